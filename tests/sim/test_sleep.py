"""The firmware sleeps while nothing changes: fewer steps, and the same two days."""

from __future__ import annotations

import json
import re

from sim_rig import DAY, WEEK_2, ask, enter, ready_unit, status

from firmware_sim.plant.home import Measured
from firmware_sim.unit import SimulatedUnit

TWO_DAYS_MS = 2 * DAY * 1000
STEP_MS = 10_000


class Counted(SimulatedUnit):
    """It counts how often its firmware was stepped through time, and notes the longest step."""

    steps = 0
    longest_ms = 0

    def _run(self, world_ms: int, wire_ms: int, key: str = "", measured: Measured | None = None) -> None:
        self.steps += world_ms > 0
        self.longest_ms = max(self.longest_ms, world_ms)
        super()._run(world_ms, wire_ms, key, measured)


def counted() -> Counted:
    unit = Counted(ready_unit().storage, ready_unit().home)
    assert enter(unit, WEEK_2).startswith(b"VALID")
    return unit


def data(unit: SimulatedUnit) -> dict[str, object]:
    told = json.loads(ask(unit, b"#TELEMETRY;\n").removeprefix(b"#TELEMETRY;"))["data"]
    assert isinstance(told, dict)
    return told


def events(unit: SimulatedUnit) -> bytes:
    """The log, without what was measured."""
    return re.sub(rb"\d+[,;]mV", b"", ask(unit, b"#LOG;\n"))


def test_two_days_take_less_than_half_of_the_steps_and_leave_the_same_unit():
    asleep, awake = counted(), counted()
    asleep.pass_time(TWO_DAYS_MS)
    for _ in range(TWO_DAYS_MS // STEP_MS):
        awake.pass_time(STEP_MS)
    assert awake.steps == TWO_DAYS_MS // STEP_MS
    assert asleep.steps * 2 < awake.steps
    assert status(asleep) == status(awake) == b"ACTIVE;%d" % (5 * DAY)
    assert asleep.storage.writes == awake.storage.writes
    assert events(asleep) == events(awake) != b""
    assert (asleep.output, asleep.charge) == (awake.output, awake.charge)
    found, expected = data(asleep), data(awake)
    assert abs(found.pop("state_of_charge") - expected.pop("state_of_charge")) < 0.02
    measured = ["battery_voltage", "battery_current", "panel_voltage", "panel_current", "panel_power", "load_current"]
    assert {name: found[name] for name in found if name not in measured} == {
        name: expected[name] for name in expected if name not in measured
    }


def test_in_a_dark_night_it_wakes_for_little_more_than_its_clock():
    unit = counted()
    unit.pass_time(5 * 3_600_000)
    assert unit.steps * 8 < 5 * 3_600_000 // STEP_MS


def test_a_unit_sleeps_no_longer_than_its_clock_may_stay_unstored():
    """T36: the stored clock is 300 s ahead, and is stored again 30 s before that; a power cut gains nothing."""
    unit = counted()
    unit.pass_time(6 * 3_600_000)
    assert 60_000 < unit.longest_ms < 270_000
    left = int(status(unit).split(b";")[1])
    unit.power_off()
    unit.power_on()
    assert left - 300 <= int(status(unit).split(b";")[1]) <= left - 30


def test_a_reading_that_moves_wakes_it_within_the_plants_step():
    """H26: the sensor's fault is seen although nothing was due."""
    unit = counted()
    unit.pass_time(60_000)
    unit.home.set_fault("battery_sensor_offset_v", 6)
    unit.pass_time(2 * STEP_MS + 1)
    assert b"BATTERY_OVERVOLTAGE" in ask(unit, b"#ALERTS;\n")
