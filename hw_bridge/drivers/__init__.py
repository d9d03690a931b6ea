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

    unlocked: PAYG is disabled for good. seconds_left: credit afterwards, as far as the unit said. wait_seconds: with
    "wait", until it looks at a token again. resent: an answer got lost and the same token was sent once more.
    """

    verdict: Verdict
    unlocked: bool = False
    seconds_left: int | None = None
    wait_seconds: int | None = None
    resent: bool = False


@dataclass(frozen=True)
class UnitStatus:
    """What the customer may use: seconds_left of credit, None when unlocked. Says nothing about the output (H13)."""

    state: State
    seconds_left: int | None


class UnitDriver(Protocol):
    """What every driver can do."""

    def provision(self, device: Device) -> UnitStatus: ...

    def enter(self, token: str) -> Entry: ...

    def status(self) -> UnitStatus: ...
