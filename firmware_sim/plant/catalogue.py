"""Panels, batteries and kits by name, as their datasheets have them.

Panels of 36 cells have the medians of 205 such modules in the CEC's list (pvlib 0.16.1): 17.6 V and 22.1 V, -0.33 %/K,
a short-circuit current of 1.075 times that at maximum power. Lead-acid batteries follow Vinachem's 12V-40Ah sheet
(0.32 Ω·Ah, charge at up to 0.3 C); where a size has no sheet its resistance is typical. Lithium packs follow the sheets
of UPower's UE-12Li series and of machineu, with twice the 1 kHz resistance. Kits are of no one maker: typical sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firmware_sim.plant.board import Board
from firmware_sim.plant.loads import FAN_HOME, LIGHTS_HOME, TELEVISION_HOME, Household
from firmware_sim.plant.panel import Panel
from paygo_core.errors import PaygoError, brief

Chemistry = Literal["flooded", "agm", "gel", "lfp"]
LEAD_ACID: tuple[Chemistry, ...] = ("flooded", "agm", "gel")


@dataclass(frozen=True)
class BatterySheet:
    """A 12 V battery. capacity_ah: in 10 h for lead-acid. resistance_ohm: charged, 25 °C, of the pack. charge_a: the
    most that its maker allows. self_discharge: share a month at 25 °C. cycles: to 80 % when emptied each time."""

    name: str
    chemistry: Chemistry
    capacity_ah: float
    resistance_ohm: float
    charge_a: float
    mass_kg: float
    self_discharge: float
    cycles: int


@dataclass(frozen=True)
class Kit:
    """What is sold together: the model's name, panel, battery, board, charging and the home that it is meant for."""

    model: str
    panel: Panel
    battery: BatterySheet
    board: Board
    mppt: bool
    home: Household


def _panel(watts: float, power_v: float = 17.6, open_circuit_v: float = 22.1) -> Panel:
    current = watts / power_v
    return Panel(open_circuit_v, power_v, current, 1.075 * current)


PANELS = {
    "20 W": _panel(20),
    "50 W": _panel(50),
    "80 W": _panel(80),
    "100 W": _panel(100),
    "100 W, 24 V": _panel(100, 35.2, 44.2),
}
"""The last is of 72 cells: what somebody plugs into a 12 V unit by mistake."""


def _lead(chemistry: Chemistry, capacity_ah: float, resistance_ohm: float, mass_kg: float) -> BatterySheet:
    lost = {"flooded": 0.08, "agm": 0.03, "gel": 0.02}[chemistry]
    name = f"{chemistry} {capacity_ah:g} Ah"
    return BatterySheet(name, chemistry, capacity_ah, resistance_ohm, 0.3 * capacity_ah, mass_kg, lost, 200)


def _lithium(capacity_ah: float, resistance_ohm: float, mass_kg: float) -> BatterySheet:
    name = f"lfp {capacity_ah:g} Ah"
    return BatterySheet(name, "lfp", capacity_ah, resistance_ohm, 0.5 * capacity_ah, mass_kg, 0.03, 2000)


BATTERIES = {
    sheet.name: sheet
    for sheet in (
        _lead("flooded", 40, 0.008, 14.0),
        _lead("flooded", 70, 0.006, 20.0),
        _lead("agm", 7, 0.022, 2.2),
        _lead("agm", 12, 0.015, 3.8),
        _lead("agm", 20, 0.011, 6.0),
        _lead("agm", 40, 0.008, 16.0),
        _lead("gel", 40, 0.009, 14.0),
        _lead("gel", 65, 0.007, 21.0),
        _lithium(6, 0.090, 0.9),
        _lithium(12, 0.080, 1.5),
        _lithium(20, 0.080, 2.4),
        _lithium(30, 0.080, 3.6),
        _lithium(50, 0.100, 5.8),
    )
}
"""By chemistry and capacity."""

KITS = {
    kit.model: kit
    for kit in (
        Kit("home-20", PANELS["20 W"], BATTERIES["agm 12 Ah"], "legacy", False, LIGHTS_HOME),
        Kit("home-20-lfp", PANELS["20 W"], BATTERIES["lfp 6 Ah"], "protected", False, LIGHTS_HOME),
        Kit("home-50", PANELS["50 W"], BATTERIES["flooded 40 Ah"], "legacy", False, TELEVISION_HOME),
        Kit("home-50-gel", PANELS["50 W"], BATTERIES["gel 40 Ah"], "protected", False, TELEVISION_HOME),
        Kit("home-50-lfp", PANELS["50 W"], BATTERIES["lfp 20 Ah"], "protected", False, TELEVISION_HOME),
        Kit("home-100", PANELS["100 W"], BATTERIES["gel 65 Ah"], "protected", False, FAN_HOME),
        Kit("home-100-lfp", PANELS["100 W"], BATTERIES["lfp 50 Ah"], "protected", True, FAN_HOME),
    )
}
"""By model name. A legacy board takes lead-acid alone."""


def kit(model: str) -> Kit:
    """The kit of a model name. Raises PaygoError."""
    found = KITS.get(model)
    if found is None:
        raise PaygoError(f"no kit is called {brief(model)}", f"kits are {', '.join(KITS)}")
    return found
