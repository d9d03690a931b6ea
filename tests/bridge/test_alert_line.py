"""Alerts over a bad line: whatever is lost, damaged or restarted, every alert is exactly one action.

The units are our firmware; the line and its time are simulated, so that 3 s of silence cost nothing. The bridge is
ended at counted steps, between any two of its bytes and transactions, and the units' supply is cut at counted bytes of
their writes. `make test-alerts` raises 10 000 alerts.
"""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_hdk import PlusUnit, checked

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from hw_bridge.actions import ActionStore
from hw_bridge.drivers import hdk
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.errors import Problem

ALERTS = int(os.environ.get("PAYGO_ALERTS", "120"))
UNITS = 5
PARTS = 4
CONFIG = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
LOSE, DAMAGE = 0.10, 0.001
OVER, UNDER = 16.8, 6.5


class Killed(BaseException):
    """The bridge's process ended here: whatever it had in memory is gone."""


class Steps:
    """Counts what the bridge does, and ends it at some of these steps."""

    def __init__(self, rng: random.Random, between: tuple[int, int]) -> None:
        self._rng, self._between = rng, between
        self._left, self.killed = rng.randint(*between), 0

    def step(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self._left = self._rng.randint(*self._between)
            self.killed += 1
            raise Killed


class SimulatedLine:
    """A transport to a unit in this process, with a clock of its own; lines get lost and bytes change, both ways."""

    def __init__(self, serial: str, rng: random.Random, steps: Steps) -> None:
        self.unit = SimulatedUnit(Storage(), SolarHome(state_of_charge=0.6))
        self.now = 0.0
        self.damaged = self.lost = self.cuts = 0
        self.perfect = True
        self._rng, self._steps = rng, steps
        self._line = b""
        HdkDriver(self).provision(Device(serial, CONFIG))
        self.perfect = False

    def write(self, data: bytes) -> None:
        self._count()
        self.unit.feed(self._pass(data))
        self.unit.pass_time(0)
        self._count()

    def read(self, timeout: float) -> bytes:
        until = self.now + timeout
        while not (came := self._arrived()) and self.now < until:
            due = self.unit.wire_due_ms
            seconds = min(until - self.now, 0.05 if due is None else due / 1000 + 0.001)
            self.now += seconds
            self.unit.pass_time(0, round(seconds * 1000) + 1)
        if came:
            self._count()
        return came

    def _arrived(self) -> bytes:
        if not self.unit.powered:  # the cut supply returns
            self.cuts += 1
            self.unit.power_on()
        *lines, self._line = (self._line + self.unit.take()).split(b"\n")
        return b"".join(self._pass(line + b"\n") for line in lines)

    def _pass(self, line: bytes) -> bytes:
        if self.perfect:
            return line
        if self._rng.random() < LOSE:
            self.lost += 1
            return b""
        changed = bytes(byte ^ (1 << self._rng.randrange(8)) if self._rng.random() < DAMAGE else byte for byte in line)
        self.damaged += changed != line
        return changed

    def _count(self) -> None:
        if not self.perfect:
            self._steps.step()


def counted(steps: Steps) -> type[ActionStore]:
    class CountedStore(ActionStore):
        @contextmanager
        def _transaction(self):
            with super()._transaction() as session:
                yield session
                steps.step()  # the transaction is rolled back
            steps.step()  # it is on the disk, and nobody was told

    return CountedStore


def take_alerts(driver: HdkDriver, store: ActionStore, serial: str, every: timedelta) -> None:
    """What the bridge does with a unit, as often as it can."""
    driver.identify()  # after a restart a unit says nothing unasked (H7)
    for alert in driver.poll(3.2):
        store.record(serial, alert, reopen_within=every)
        driver.acknowledge(alert)


class Bridge:
    """A bridge that goes on with nothing but its file whenever it was killed."""

    def __init__(self, path: Path, steps: Steps) -> None:
        self._path, self._kind = path, counted(steps)
        self._store: ActionStore | None = None

    def run(self, line: SimulatedLine, serial: str, events: int) -> None:
        """Takes a unit's alerts until so many of its events are stored."""
        while stored(self._path, serial) < events:
            try:
                self._store = self._store or self._kind.open(self._path)
                driver = HdkDriver(line, timeout=2.0)
                while stored(self._path, serial) < events:
                    line.unit.pass_time(10_000)  # world time, in which the battery is out of its limits
                    take_alerts(driver, self._store, serial, timedelta(0))
            except Problem:
                pass
            except Killed:
                self.close()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(PARTS))
def test_every_alert_is_exactly_one_action(tmp_path, monkeypatch, seed):
    """H20, H21: at least once on the wire, exactly once as an action."""
    rng = random.Random(seed)
    steps = Steps(rng, (50, 300))
    path = tmp_path / "fleet.db"
    ActionStore.open(path).close()
    clock = SimpleNamespace(now=lambda: 0.0)
    monkeypatch.setattr(hdk, "time", SimpleNamespace(monotonic=lambda: clock.now()))  # noqa: PLW0108  # it changes
    lines = {serial: SimulatedLine(serial, rng, steps) for serial in (f"SLT{number:09}" for number in range(UNITS))}
    raised = dict.fromkeys(lines, 0)
    bridge = Bridge(path, steps)
    planned = 0
    for turn in range(-(-ALERTS // UNITS // PARTS)):
        for serial, line in lines.items():
            clock.now = lambda line=line: line.now
            if rng.random() < 0.2:
                line.unit.cut_power(rng.randrange(64), rng.randrange(3))
                planned += 1
            for volts in (OVER if turn % 2 else UNDER, line.unit.home.battery.voltage):
                offset = volts - line.unit.home.battery.voltage  # no other alert than the one has its limits there
                line.unit.home.set_fault("battery_sensor_offset_v", offset)
                bridge.run(line, serial, stored(path, serial) + 1)
            raised[serial] += 1
    bridge.close()
    with ActionStore.open(path) as store:
        actions, audit, counts = store.actions(), store.audit(), store.counts()
    total = sum(raised.values())
    assert total * PARTS >= ALERTS
    assert len(actions) == total
    assert {(action.state, action.times) for action in actions} == {("resolved", 1)}
    assert counts["events"] == 2 * total
    assert audit.alerts == ()
    for serial, line in lines.items():
        clock.now = lambda line=line: line.now
        line.perfect = True
        assert HdkDriver(line).log()[-1].seq == 2 * raised[serial]
        assert len([action for action in actions if action.serial == serial]) == raised[serial]
    assert steps.killed > total / 20
    assert sum(line.cuts for line in lines.values()) > planned / 2 > 0
    assert sum(line.lost for line in lines.values()) > total / 2
    assert sum(line.damaged for line in lines.values()) > total / 10


def test_an_event_that_lost_its_check_before_the_unit_was_asked_is_not_taken():
    """Event 530 with its 3 damaged to a # is event 5 without a check (H5, H6)."""
    cut_short = b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;12;5#0*4F1C\r\n"
    with PlusUnit(INFO=[cut_short + checked("INFO;A1;M;B;0.1;3;12")]) as unit, Transport(unit.port) as transport:
        driver = HdkDriver(transport)
        driver.identify()
        assert driver.poll(0) == []


def stored(path: Path, serial: str) -> int:
    """The number of the last event of a unit that is on the disk."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT max(seq) FROM alert_events WHERE serial = ?"
        return connection.execute(query, (serial,)).fetchone()[0] or 0
