"""What goes wrong by chance: faults with a rate a year, when each begins and ends, and what a broken unit broke of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_sim.fleet.chances import Chances
from firmware_sim.fleet.engine import DAY_S
from firmware_sim.plant.catalogue import Kit

PURPOSE = 2


@dataclass(frozen=True)
class Kind:
    """A fault: the deed that makes it, what a broken unit says of it, how often a year, with what, for how many days.

    low, high: of the deed's value. rest: the value that ends it. lasts_d: 0 for as long as the unit lives or, of a
    surge, one step.
    """

    deed: str
    cause: str
    a_year: float
    low: float
    high: float
    rest: float = 0.0
    lasts_d: float = 0.0
    lithium: bool | None = None


KINDS = {
    "battery-disconnected": Kind("battery-gone", "battery disconnected", 0.06, 1, 1, 0, 1.5),
    "24v-panel": Kind("panels", "24 V panel", 0.01, 2, 2, 1, 20),
    "charge-switch-stuck": Kind("stuck-on", "charge switch stuck on", 0.01, 1, 1),
    "surge": Kind("surge", "surge", 0.05, 100, 900),
    "short-circuit": Kind("short", "short circuit", 0.04, 30, 90, 0, 0.05),
    "bad-contact": Kind("contact", "bad contact", 0.05, 0.05, 0.4, 0, 30),
    "sensor-offset": Kind("offset", "sensor offset", 0.01, -600, 600),
    "sensor-stuck": Kind("frozen", "sensor stuck", 0.003, 12_000, 13_500),
    "cell-imbalance": Kind("imbalance", "cell imbalance", 0.05, 0.5, 1.4, 0, 60, lithium=True),
    "soiling": Kind("soiling", "soiling", 0.8, 0.75, 0.95, 1, 25),
}
"""By name. Rates are typical values, a few per hundred units and year, and can be set for a run."""


@dataclass(frozen=True)
class Deed:
    """What is done to a unit: s since the start, the engine's deed and its value."""

    at_s: int
    deed: str
    value: float


def plan(seed: int, unit: int, kit: Kit, days: int, rates: dict[str, float]) -> list[Deed]:
    """All that happens to a unit in a run, in the order of time. rates: a year, by the names in KINDS."""
    draw = Chances(seed, unit, PURPOSE)
    deeds = []
    for name, kind in KINDS.items():
        rate = rates.get(name, kind.a_year)
        at_d = 0.0
        while rate > 0:
            at_d += -math.log(1 - draw.next()) * 365 / rate
            if at_d >= days:
                break
            value = draw.between(kind.low, kind.high) if kind.high > kind.low else kind.low
            if kind.lithium is not None and kind.lithium != (kit.battery.chemistry == "lfp"):
                continue
            deeds.append(Deed(int(at_d * DAY_S), kind.deed, value))
            if kind.lasts_d:
                at_d += kind.lasts_d * draw.between(0.5, 1.5)
                deeds.append(Deed(int(at_d * DAY_S), kind.deed, kind.rest))
    return sorted(deeds, key=lambda deed: (deed.at_s, deed.deed))


def cause(active: dict[str, float], part: str) -> str:
    """What a unit broke of: the fault that it had, or the heat of its own work."""
    for kind in KINDS.values():
        if kind.deed in active and kind.deed not in ("soiling", "offset", "frozen", "contact"):
            return kind.cause
    return "overheating" if part == "board" else "unknown"
