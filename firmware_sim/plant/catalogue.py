"""Panels and kits by name, as their datasheets have them.

Panels of 36 cells have the medians of 205 such modules in the CEC's list (pvlib 0.16.1): 17.6 V and 22.1 V, -0.33 %/K,
a short-circuit current of 1.075 times that at maximum power. Kits are of no one maker: typical sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.plant.battery_sheets import BATTERIES, BatterySheet
from firmware_sim.plant.board import Board
from firmware_sim.plant.loads import FAN_HOME, LIGHTS_HOME, TELEVISION_HOME, Household
from firmware_sim.plant.panel import Panel
from paygo_core.errors import PaygoError, brief


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
