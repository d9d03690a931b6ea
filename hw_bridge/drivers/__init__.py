"""Drivers: one file per kind of control unit; what they all can do, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from paygo_core.device import Device

Verdict = Literal["accepted", "already_used", "invalid", "wait"]
State = Literal["inactive", "active", "unlocked"]


@dataclass(frozen=True)
class Entry:
    """What a unit said to a token.

    verdict: accepted, already_used, invalid or wait. unlocked: PAYG is disabled for good (T29). seconds_left: credit
    afterwards, as far as the unit said. wait_seconds: with wait, until it looks at a token again (T35). resent: an
    answer got lost and the same token was sent once more.
    """

    verdict: Verdict
    unlocked: bool = False
    seconds_left: int | None = None
    wait_seconds: int | None = None
    resent: bool = False


@dataclass(frozen=True)
class UnitStatus:
    """What the customer may use. state: inactive, active or unlocked. seconds_left: credit, None when unlocked.

    It says nothing about the output, which a protection or the operator may hold off (H13).
    """

    state: State
    seconds_left: int | None


class UnitDriver(Protocol):
    """What every driver can do.

    Every method raises DeviceError when the unit refuses or answers nonsense, NoAnswerError when no answer comes in
    time and PortError when the port vanishes.
    """

    def provision(self, device: Device) -> UnitStatus:
        """Sets up a unit that was not set up before, and proves it by its status."""
        ...

    def enter(self, token: str) -> Entry:
        """Enters a token, which may have spaces and hyphens (T23). Raises PaygoError when it cannot be a token."""
        ...

    def status(self) -> UnitStatus:
        """What the customer may use."""
        ...
