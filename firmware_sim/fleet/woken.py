"""One unit's whole firmware in memory: its tokens, waits and storage, woken only when something is done to it."""

from __future__ import annotations

from firmware_sim._native import ffi, lib
from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.wire.hdk import encode_setup_plus

VERDICTS = {
    (lib.PAYGO_GREEN, 2): "accepted",
    (lib.PAYGO_GREEN, 3): "accepted",
    (lib.PAYGO_GREEN, 5): "accepted",
    (lib.PAYGO_GREEN, 1): "already used",
    (lib.PAYGO_RED, 10): "invalid",
    (lib.PAYGO_RED, 1): "waiting",
}
"""What the lights say of an entry (H24): time, a sync or an unlock, and what was refused."""


class WokenUnit:
    """A unit that was set up as `device` at time 0. It sleeps from one call to the next.

    Times are in s, 0 … 2^31 - 1; one that has passed counts as the latest that it was told (T36). Its control law is
    stepped elsewhere, by `firmware_sim.fleet.engine`. Raises PaygoError for a device that cannot be set up, and for
    other times, since its clock has 32 bits and restarts put it ahead.
    """

    __slots__ = ("_brain", "_unit")

    def __init__(self, device: Device) -> None:
        self._unit = ffi.new("paygo_woken *")
        self._brain = self._unit.firmware.live.unit
        lib.paygo_woken_begin(self._unit)
        line = encode_setup_plus(device)
        lib.paygo_woken_hear(self._unit, line, len(line))
        if self._unit.firmware.storage != lib.PAYGO_STORAGE_READY:
            raise PaygoError(f"{device.serial} cannot be set up", "the line of hdk+ has to carry what its device is")

    def enter(self, token: str, at_s: int) -> str:
        """Types it on the keypad, as many digits as its tokens have; what the lights then say, one of VERDICTS.

        Raises PaygoError where they say nothing, since it is no whole entry.
        """
        digits = token.encode("ascii", "replace")
        answer = lib.paygo_woken_enter(self._unit, _time(at_s), digits, len(digits))
        verdict = VERDICTS.get((answer.colour, answer.blinks))
        if verdict is None:
            raise PaygoError("the keypad takes this for no entry", "type as many digits as the unit's tokens have")
        return verdict

    def restart(self, at_s: int) -> None:
        """Cuts its power and gives it back: it goes on with what it has stored."""
        lib.paygo_woken_restart(self._unit, _time(at_s))

    def seconds_left(self, at_s: int) -> int | None:
        """Its credit in s, None when it is unlocked."""
        left: int = lib.paygo_woken_seconds_left(self._unit, _time(at_s))
        return None if left == lib.PAYGO_FOR_EVER else left

    @property
    def unlocked(self) -> bool:
        """Whether PAYG is disabled for good (T29)."""
        return bool(self._brain.unlocked)


def _time(at_s: int) -> int:
    if not 0 <= at_s < 1 << 31:
        raise PaygoError(f"a unit in memory does not live at {at_s} s", "it lives from 0 to 2^31 - 1")
    return at_s
