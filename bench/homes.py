"""What the homes of the kits use in a day, beside the size of the kit."""

from __future__ import annotations

import numpy as np

from firmware_sim.plant.catalogue import KITS
from firmware_sim.plant.loads import demand

HOMES, DAYS = 2000, 14


def main() -> None:
    """Prints one row a kit."""
    columns = ("kit", "panel W", "battery", "board", "Wh/day", "a tenth of homes below", "a tenth above")
    print("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    for kit in KITS.values():
        days = [demand(kit.home, np.arange(HOMES), day, 1).sum(axis=1, dtype=float) / 4 for day in range(DAYS)]
        by_home = np.mean(days, axis=0)
        low, high = np.quantile(by_home, [0.1, 0.9])
        watts = kit.panel.power_v * kit.panel.power_a
        cells = (kit.model, f"{watts:.0f}", kit.battery.name, kit.board)
        print(f"| {' | '.join(cells)} | {by_home.mean():.0f} | {low:.0f} | {high:.0f} |")


if __name__ == "__main__":
    main()
