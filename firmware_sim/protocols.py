"""The kinds of unit that can be served on the PC, by the protocol that they speak."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_sim.plant.home import SolarHome
    from firmware_sim.serve import Unit
    from firmware_sim.storage import Storage


def _epever(storage: Storage, home: SolarHome) -> Unit:
    from firmware_sim.epever import EpeverUnit

    return EpeverUnit(storage, home)


def _vedirect(storage: Storage, home: SolarHome) -> Unit:
    from firmware_sim.vedirect import VeDirectCharger

    return VeDirectCharger(storage, home)


def _keypad(storage: Storage, home: SolarHome) -> Unit:
    from firmware_sim.keypads import TerminalUnit

    return TerminalUnit(storage, home)


def _arduino(storage: Storage, home: SolarHome) -> Unit:
    from firmware_sim.keypads import ArduinoUnit

    return ArduinoUnit(storage, home)


def _oplink(storage: Storage, home: SolarHome) -> Unit:
    from firmware_sim.oplink import OplinkUnit

    return OplinkUnit(storage, home)


OTHERS: dict[str, Callable[[Storage, SolarHome], Unit]] = {
    "epever": _epever,
    "vedirect": _vedirect,
    "keypad": _keypad,
    "arduino": _arduino,
    "oplink": _oplink,
}
"""Every kind but ours, each made from its storage and its plant: chargers that know no tokens, units with a keypad that
run deployed firmware, and appliances on a link."""

OURS = "hdk+"
"""What our own firmware speaks."""
