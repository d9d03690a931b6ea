"""Terminal voltages of lead batteries of four sizes under discharges of 20, 10 and 5 h, beside what data sheets say.

.venv/bin/python bench/battery_curves.py
"""

from __future__ import annotations

import numpy as np
from battery_reference import ReferenceBattery

from firmware_sim.fleet.engine import ALWAYS, FULL, Fleet, sky
from firmware_sim.plant.battery_sheets import BatterySheet
from firmware_sim.plant.catalogue import Kit
from firmware_sim.plant.loads import LIGHTS_HOME
from firmware_sim.plant.panel import Panel

RESISTANCE_OHM = {7: 0.022, 12: 0.015, 40: 0.008, 100: 0.0032}
HOURS = (20, 10, 5)
SHARES = (1.0, 0.75, 0.5, 0.25)
CUT_OFF_V = 10.5
SETTLE = 30
"""Minutes after which a discharge's first voltage is read."""
SHEETS = {
    20: "12.0 V at 50 %, all of the capacity to 10.5 V",
    10: "92 % of what 20 h give (Panasonic LC-R: 1.2 of 1.3 Ah)",
    5: "81 % of it (1.05 of 1.3 Ah)",
}


def curves(capacity_ah: float) -> list[tuple[int, list[float], float, float]]:
    """For each of HOURS: the voltage of the fleet's battery at each of SHARES, the share that it gave when it came to
    CUT_OFF_V, and by how many V the published formulas' battery differed at most until then."""
    sheet = BatterySheet("any", "agm", capacity_ah, RESISTANCE_OHM[int(capacity_ah)], 0.3 * capacity_ah, 10.0, 0.0, 200)
    fleet = Fleet(Kit("any", Panel(), sheet, "legacy", False, LIGHTS_HOME), len(HOURS), charge=1.0)
    references = [ReferenceBattery(capacity_ah, 1.0) for _ in HOURS]
    seen: list[dict[float, float]] = [{} for _ in HOURS]
    given, apart = [0.0] * len(HOURS), [0.0] * len(HOURS)
    amperes = capacity_ah / np.array(HOURS)
    fleet.put("credit_s", ALWAYS)
    night = sky([0.0], 25.0)
    for minute in range(HOURS[0] * 60):
        fleet.put("law.output", -1)  # whatever the unit would do about it, and its board stand
        fleet.put("broken", 0)
        fleet.put("demand_w", amperes * np.maximum(fleet.get("volts"), 6.0))
        fleet.step(night)
        volts, charge = fleet.get("volts").tolist(), (fleet.get("charge") / FULL).tolist()
        for at, reference in enumerate(references):
            reference.step(60.0, float(-amperes[at]) - 0.1 / volts[at])
            if given[at]:
                continue
            if volts[at] <= CUT_OFF_V:
                given[at] = (minute + 1) / 60 / HOURS[at]
                continue
            if minute >= SETTLE:
                apart[at] = max(apart[at], abs(reference.voltage - volts[at]))
                for share in SHARES:
                    if charge[at] <= share and share not in seen[at]:
                        seen[at][share] = volts[at]
    return [(hours, [seen[at][share] for share in SHARES], given[at], apart[at]) for at, hours in enumerate(HOURS)]


def main() -> None:
    """Prints the table of docs/plant.md."""
    print("| Ah | rate | 100 % | 75 % | 50 % | 25 % | given to 10.5 V | published | data sheets |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for capacity in RESISTANCE_OHM:
        for hours, volts, given, apart in curves(capacity):
            cells = " | ".join(f"{each:.2f}" for each in volts)
            print(f"| {capacity} | C/{hours} | {cells} | {given:.0%} | ±{apart:.2f} V | {SHEETS[hours]} |")


if __name__ == "__main__":
    main()
