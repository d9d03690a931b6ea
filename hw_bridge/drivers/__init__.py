"""Drivers: one file per kind of control unit; what they can do, what they answer, and how they are found by name.

A driver is a class that is called with an open Transport, and optionally `log`, which gets what the unit prints beside
its answers, and `timeout`, the deadline of one command in seconds. It implements the protocols below as far as its
hardware goes. Every method raises DeviceError when the unit refuses or answers nonsense, NoAnswerError when no answer
comes in time and PortError when the port vanishes.

For `paygo bridge scan` a driver class may have `heard`, which gets what a line said unasked and returns what is on it,
or None, and `ask`, which gets a Transport and asks, by something that changes nothing on any unit. One that keeps in
memory what its unit forgets without power may have `after_power_cut`, which forgets it too. docs/drivers.md has a
template.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, runtime_checkable

from paygo_core.device import Device
from paygo_core.errors import DeviceError, PaygoError
from paygo_core.telemetry import Telemetry
from paygo_core.wire.hdk import Alert

GROUP = "paygo.drivers"
"""The entry points that name drivers."""

Verdict = Literal["accepted", "already_used", "invalid", "wait"]
State = Literal["inactive", "active", "unlocked"]
Capability = Literal["identify", "provision", "enter", "status", "switch_load", "telemetry", "alerts", "poll"]


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


@dataclass(frozen=True)
class Info:
    """Who a unit is, as far as it says (H19).

    serial: empty before set-up. last_count: the highest accepted count, 0 before set-up. boot: the name of its present
    start, one more at each, 0 before set-up. Both are 0 for a unit that knows no tokens.
    """

    serial: str
    model: str = ""
    board: str = ""
    firmware: str = ""
    last_count: int = 0
    boot: int = 0


@dataclass(frozen=True)
class UnitBattery:
    """The battery that a unit charges. chemistry: flooded, agm, gel or lfp."""

    chemistry: str
    capacity_ah: int


@dataclass(frozen=True)
class Load:
    """The operator's switch (off, on, auto), and whether the output is on (H16)."""

    switch: Literal["off", "on", "auto"]
    output: bool


@dataclass(frozen=True)
class ActiveAlert:
    """An alert that is active now (H17). value: in `unit`, mV for a voltage, 1 where nothing is measured.

    native: the unit's own name or number for it, where it has one.
    """

    code: str
    value: int
    unit: str
    native: str = ""


@runtime_checkable
class Identifies(Protocol):
    """It says who it is."""

    def identify(self) -> Info | None:
        """Who the unit is; None when it does not say."""
        ...


@runtime_checkable
class Provisions(Protocol):
    """It can be given a serial, a starting code and a key."""

    def provision(self, device: Device) -> UnitStatus:
        """Sets up a unit that was not set up before, and proves it by its status."""
        ...


@runtime_checkable
class TakesTokens(Protocol):
    """It knows tokens."""

    def enter(self, token: str) -> Entry:
        """Enters a token, which may have spaces and hyphens (T23). Raises PaygoError when it cannot be a token."""
        ...


@runtime_checkable
class TellsStatus(Protocol):
    """It knows what the customer may use."""

    def status(self) -> UnitStatus:
        """What the customer may use."""
        ...


@runtime_checkable
class SwitchesLoad(Protocol):
    """Its output can be switched."""

    def switch_load(self, mode: str) -> Load:
        """Moves the operator's switch to off, on or auto. Raises PaygoError for a position that it does not have."""
        ...


@runtime_checkable
class Measures(Protocol):
    """It measures."""

    def telemetry(self) -> Telemetry:
        """What the unit measures, in SI units."""
        ...


@runtime_checkable
class HasAlerts(Protocol):
    """It knows what is wrong with it."""

    def alerts(self) -> list[ActiveAlert]:
        """The alerts that are active now."""
        ...


@runtime_checkable
class TellsEvents(Protocol):
    """It tells of alerts unasked, each until it is acknowledged."""

    def poll(self, timeout: float) -> list[Alert]:
        """The events that came, waiting up to `timeout` seconds for the first."""
        ...

    def acknowledge(self, alert: Alert) -> None:
        """Tells the unit that an event was stored, so that it sends the next."""
        ...


class UnitDriver(Provisions, TakesTokens, TellsStatus, Protocol):
    """What a driver of a unit that knows tokens can do."""


CAPABILITIES: dict[Capability, tuple[type, str]] = {
    "identify": (Identifies, "name that it tells"),
    "provision": (Provisions, "set-up"),
    "enter": (TakesTokens, "token entry"),
    "status": (TellsStatus, "PAYG status"),
    "switch_load": (SwitchesLoad, "switch"),
    "telemetry": (Measures, "telemetry"),
    "alerts": (HasAlerts, "alerts"),
    "poll": (TellsEvents, "events"),
}
"""Each capability: its protocol, and what a unit without it has not."""


def capabilities(driver: object) -> frozenset[Capability]:
    """What a driver can do with the unit on its line.

    A driver whose unit turned out to have less than its class names that in an attribute `lacking`.
    """
    lacking: frozenset[Capability] = getattr(driver, "lacking", frozenset())
    return frozenset(
        name for name, (kind, _) in CAPABILITIES.items() if isinstance(driver, kind) and name not in lacking
    )


def require(driver: object, capability: Capability) -> None:
    """Raises DeviceError when the driver's kind of unit cannot do that."""
    kind, noun = CAPABILITIES[capability]
    if not isinstance(driver, kind):
        able = ", ".join(name for name in CAPABILITIES if name in capabilities(driver))
        raise DeviceError(f"this kind of unit has no {noun}", f"it can: {able}")


def identify(driver: Any) -> Info | None:
    """Who the unit is; None for one that cannot tell."""
    info: Info | None = driver.identify() if "identify" in capabilities(driver) else None
    return info


def active_alerts(driver: Any) -> list[ActiveAlert] | None:
    """What is wrong with a unit that numbers no events; None for one that tells events, or knows of no alerts."""
    if {"alerts", "poll"} & capabilities(driver) != {"alerts"}:
        return None
    found: list[ActiveAlert] = driver.alerts()
    return found


def driver_names() -> list[str]:
    """The drivers that are installed, of ours and of others."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load_driver(name: str) -> Callable[..., Any]:
    """The driver class with this name. Raises PaygoError when there is none, or when it cannot be loaded."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise PaygoError(f"there is no driver {name[:40]!r}", f"drivers here: {', '.join(sorted(found))}")
    try:
        driver: Callable[..., Any] = found[name].load()
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] in ("hw_bridge", "paygo_core"):
            raise
        raise PaygoError(f"the driver {name} needs {error.name}", f"pip install {error.name}") from None
    return driver


def usual_baud(driver: Callable[..., Any]) -> int:
    """The speed of a driver's line, its BAUD; 115 200 bits a second where it names none."""
    return int(getattr(driver, "BAUD", 115_200))
