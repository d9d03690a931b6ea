"""PAYG for chargers that know no tokens: the bridge runs the unit's brain and switches the charger's load output.

The brain is the same C as in a unit's firmware (PaygUnit). Its state is on the disk before the charger is told
anything: a token's count is durable before its credit is granted, and the clock is written ahead, so that killing the
bridge costs at most five minutes of credit and gains nothing (T36); a planned end costs nothing. The charger is written
to only when its output is not what it should be, for each write wears its storage.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from hw_bridge.drivers import ActiveAlert, Entry, Info, Load, Measures, SwitchesLoad, UnitStatus, Verdict
from hw_bridge.store import Base, Store
from paygo_core.decoding import Reason, strip_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError, PaygoError
from paygo_core.telemetry import Telemetry
from paygo_core.unit import PaygUnit

AHEAD_SECONDS = 300
"""How far ahead of itself the clock is written (T36)."""
REPEAT_ON_SECONDS, REPEAT_OFF_SECONDS = 600.0, 30.0
"""Between writes to a charger that does not do what it was told; a protection may hold its output off for hours."""
Switch = Literal["auto", "on", "off"]


class Charger(SwitchesLoad, Measures, Protocol):
    """What a driver needs: `switch_load`, to auto or off, and `telemetry`, whose `output` tells what the load is at.

    One with a quicker way to know has `load_output`, which returns that alone.
    """


class _BrainRow(Base):
    __tablename__ = "charger_brains"

    serial: Mapped[str] = mapped_column(primary_key=True)
    stored: Mapped[bytes] = mapped_column(LargeBinary)
    switch: Mapped[str]
    lead: Mapped[int | None]


@dataclass(frozen=True)
class StoredBrain:
    """A brain's state, the operator's switch, and how many seconds its clock leads the world's, from earlier ends."""

    stored: bytes
    switch: Switch
    lead: int = 0


class BrainStore(Store):
    """The brains' states, by serial. Use `with BrainStore.open(path)`."""

    def load(self, serial: str) -> StoredBrain | None:
        """What is stored, None for a device without."""
        with self._transaction() as session:
            row = session.get(_BrainRow, serial)
            return None if row is None else StoredBrain(row.stored, cast(Switch, row.switch), row.lead or 0)

    def save(self, serial: str, brain: StoredBrain) -> None:
        """Durable when it returns."""
        with self._transaction() as session:
            session.merge(_BrainRow(serial=serial, **vars(brain)))


class ChargerPayg:
    """A charger as a PAYG unit: a driver that enters tokens, tells the status and keeps the load as credit allows.

    device: whose tokens it takes; its count is where a new unit begins. now: seconds of the world's clock. Call `tick`
    at least every few seconds; it raises what the charger's driver raises. `close` it at a planned end.
    """

    tells_used_tokens = True
    takes_extended = True

    def __init__(
        self, charger: Charger, store: BrainStore, device: Device, now: Callable[[], float] = time.time
    ) -> None:
        self._charger, self._store, self._device, self._now = charger, store, device, now
        self._output: Callable[[], bool | None] = getattr(charger, "load_output", lambda: charger.telemetry().output)
        self._start()

    def after_power_cut(self) -> None:
        """The bridge was without power too: goes on from what is stored."""
        self._start()

    def close(self) -> None:
        """Stores its time exactly. A bridge that ends without costs the customer up to five minutes."""
        self._advance()
        self._save(ahead=0)

    def _start(self) -> None:
        found = self._store.load(self._device.serial)
        world = int(self._now())
        self._lead = 0
        self._switch: Switch = "auto"
        if found is None:
            self._brain = PaygUnit(self._device.config, self._device.count)
        else:
            self._brain = PaygUnit.from_bytes(self._device.config, found.stored)
            self._switch = found.switch
            behind = self._brain.clock - (world + found.lead)  # more than was written ahead: the world was set back
            self._lead = found.lead + min(max(0, behind), AHEAD_SECONDS)
        self._highest = max(self._brain.clock, world + self._lead)
        self._began = time.monotonic(), self._highest
        self._written_until = 0
        self._told: bool | None = None
        self._wanted = False
        self._told_at, self._obeyed = 0.0, False
        self._advance()
        self._save()

    def identify(self) -> Info:
        """Who the unit is: its device, not the charger."""
        return Info(self._device.serial, last_count=self._brain.state.count)

    def provision(self, device: Device) -> UnitStatus:
        """A charger has nothing to set up. Raises DeviceError for another device than its own."""
        if device.serial != self._device.serial:
            raise DeviceError(f"this charger is run as {self._device.serial}", "change its serial in gateway.toml")
        return self.status()

    def status(self) -> UnitStatus:
        """What the customer may use, which the charger's output follows before this returns."""
        self.tick()
        if self._brain.unlocked:
            return UnitStatus("unlocked", None)
        return UnitStatus("active" if self._brain.active else "inactive", self._brain.seconds_left)

    def enter(self, token: str) -> Entry:
        """Judges a token as a unit does, and switches the output. The count is stored before."""
        now = self._advance()
        answer = self._brain.enter(strip_token(token), now)
        self._save()
        self._follow()
        if answer.reason is Reason.WAITING:
            return Entry("wait", wait_seconds=answer.wait_seconds)
        verdict: Verdict = "invalid"
        if answer.reason is Reason.ACCEPTED:
            verdict = "accepted"
        elif answer.value is not None:
            verdict = "already_used"
        return Entry(verdict, self._brain.unlocked, self._brain.seconds_left)

    def switch_load(self, mode: str) -> Load:
        """Moves the operator's switch, which can only take away what credit allows."""
        if mode not in ("auto", "on", "off"):
            raise PaygoError(f"{mode!r} is not a position of the operator's switch", "it is off, on or auto")
        self._switch = cast(Switch, mode)
        self._advance()
        self._save()
        return Load(self._switch, self._follow())

    def telemetry(self) -> Telemetry:
        """The charger's reading under the device's serial, with credit, count and switch beside it."""
        reading = self._charger.telemetry()
        self.tick(reading)
        beside = {
            "load_switch": self._switch,
            "payg_disabled": self._brain.unlocked,
            "active_seconds_left": self._brain.seconds_left,
            "charger": reading.serial,
        }
        extra = {**reading.extra, **beside}
        return replace(reading, serial=self._device.serial, token_count=self._brain.state.count, extra=extra)

    def alerts(self) -> list[ActiveAlert]:
        """What is wrong with the charger, as far as its driver can tell."""
        tells = getattr(self._charger, "alerts", None)
        return [] if tells is None else tells()

    def tick(self, reading: Telemetry | None = None) -> None:
        """Lets credit run out, and brings the charger's output where it has to be. reading: the newest, if at hand."""
        if self._advance() >= self._written_until:
            self._save()
        self._follow(reading)

    def expire(self) -> None:
        """Between ticks: switches the output off once the credit has run out; asks the charger nothing before."""
        self._advance()
        if self._wanted and not self._brain.active:
            self.tick()

    def _advance(self) -> int:
        """The brain's time: the world's and its lead, but never slower than this process's own clock."""
        began, then = self._began
        self._highest = max(self._highest, int(self._now()) + self._lead, then + int(time.monotonic() - began))
        self._brain.tick(self._highest)
        return self._highest

    def _save(self, ahead: int = AHEAD_SECONDS) -> None:
        self._store.save(self._device.serial, StoredBrain(self._brain.to_bytes(ahead), self._switch, self._lead))
        self._written_until = self._highest + ahead

    def _follow(self, reading: Telemetry | None = None) -> bool:
        """Switches the charger's output if it is not what it should be; returns what it should be.

        An output that a protection of the charger holds off is not told again and again.
        """
        wanted = self._wanted = self._brain.active and self._switch != "off"
        found = reading.output if reading is not None else self._output()
        if found is None:  # this charger does not tell
            found = self._told
        now, patience = time.monotonic(), REPEAT_ON_SECONDS if wanted else REPEAT_OFF_SECONDS
        if found is wanted:
            self._obeyed = True
        elif self._told is not wanted or self._obeyed or now - self._told_at >= patience:
            self._charger.switch_load("auto" if wanted else "off")
            self._told, self._told_at, self._obeyed = wanted, now, False
        return wanted
