"""Time that cannot be cheated: the unit counts for itself, and the clock chip is a witness only (H25)."""

from __future__ import annotations

import pytest
from sim_rig import DAY, WEEK_2, WRONG, ask, enter, ready_unit, restart, status

from firmware_sim.unit import SimulatedUnit


def alerts(unit: SimulatedUnit) -> bytes:
    return ask(unit, b"#ALERTS;\n").split(b"\r\n")[0]


def tampered(unit: SimulatedUnit) -> bool:
    return b"CLOCK_TAMPER" in alerts(unit)


def pass_minutes(unit: SimulatedUnit, minutes: int) -> None:
    unit.pass_time(minutes * 60_000)


@pytest.mark.parametrize("offset", [-2, -3600, -9e8])
def test_a_clock_that_goes_back_is_told_at_once_and_gives_nothing(offset):
    """H25: credit falls by what passed, the wait is as long as it was."""
    unit = ready_unit(WEEK_2)
    for _ in range(3):
        enter(unit, WRONG)
    pass_minutes(unit, 1)
    assert not tampered(unit)
    unit.home.set_fault("clock_offset_s", offset)
    unit.pass_time(1000)
    assert tampered(unit)
    assert status(unit) == b"ACTIVE;%d" % (7 * DAY - 61)
    assert enter(unit, WEEK_2) == b"WAIT;59"
    pass_minutes(unit, 10)
    assert not tampered(unit)
    assert status(unit) == b"ACTIVE;%d" % (7 * DAY - 661)


@pytest.mark.parametrize("fault", [("clock_stopped", 1), ("clock_offset_s", 3600)])
def test_a_clock_that_stands_still_or_jumps_is_told_and_changes_nothing(fault):
    """H25: as an event too, raised once, and cleared when the clocks have agreed for ten minutes."""
    unit = ready_unit(WEEK_2)
    ask(unit, b"#INFO;\n")
    unit.home.set_fault(*fault)
    for _ in range(60):
        unit.pass_time(10_000)
    unit.pass_time(10_000)
    assert tampered(unit)
    said = unit.take() + ask(unit, b"#LOG;\n")
    assert b",CLOCK_TAMPER,RAISED," in said
    assert status(unit).startswith(b"ACTIVE;%d" % (7 * DAY - 610))
    if fault[0] == "clock_stopped":
        unit.home.set_fault("clock_stopped", 0)
    pass_minutes(unit, 25)
    assert not tampered(unit)
    log = ask(unit, b"#LOG;\n")
    assert log.count(b"CLOCK_TAMPER,RAISED") == 1
    assert log.count(b"CLOCK_TAMPER,CLEARED") == 1


def test_a_clock_that_is_turned_back_while_the_supply_is_off_is_told():
    """H25: over a restart too, and the credit is what was stored."""
    unit = ready_unit(WEEK_2)
    pass_minutes(unit, 10)
    unit.power_off()
    unit.home.set_fault("clock_offset_s", -86_400)
    unit.home.step(1, output=False, charge=True)
    unit.power_on()
    assert tampered(unit)
    assert 7 * DAY - 600 - 300 <= int(status(unit)[7:]) <= 7 * DAY - 600


def test_time_without_power_is_not_counted():
    """H25: the seconds are those with power; days in a drawer cost nothing and end no wait."""
    unit = ready_unit(WEEK_2)
    for _ in range(3):
        enter(unit, WRONG)
    unit.power_off()
    unit.home.step(30 * DAY, output=False, charge=True)
    unit.power_on()
    assert not tampered(unit)
    assert status(unit) == b"ACTIVE;%d" % (7 * DAY - 300)
    assert enter(unit, WEEK_2) == b"WAIT;120"


def test_no_game_with_the_clock_shortens_a_wait_or_lengthens_credit():
    """H25, T36: jumps, stops and restarts in turn; credit never grows and the wait runs by true time at most."""
    unit = ready_unit(WEEK_2)
    for _ in range(3):
        enter(unit, WRONG)
    true_s, credit = 0, 7 * DAY
    for turn in range(40):
        unit.home.set_fault("clock_offset_s", (-1) ** turn * 40_000.0 * turn)
        unit.home.set_fault("clock_stopped", int(turn % 3 == 0))
        unit.pass_time(2_000)
        true_s += 2
        if turn % 7 == 6:
            restart(unit)
        left = int(status(unit)[7:].split(b"\r\n")[0])
        assert left <= credit - 2 or turn % 7 == 6
        credit = left
        assert int(enter(unit, WEEK_2).split(b"\r\n")[0].removeprefix(b"WAIT;")) >= 120 - true_s
