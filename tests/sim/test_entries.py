"""Entries from the keypad and the console: waits, lights, time-outs, and the order of storing and telling."""

from __future__ import annotations

import pytest
from sim_rig import (
    DAY,
    HDK_SETUP,
    SYNC_3,
    UNLOCK_3,
    WEEK_2,
    WRONG,
    ZERO_3,
    ask,
    enter,
    new_unit,
    ready_unit,
    restart,
    status,
)

from firmware_sim.unit import SimulatedUnit
from paygo_core import PaygoError


def pressed(unit: SimulatedUnit, keys: str) -> tuple[str, int]:
    """The blinks that follow the keys, ("dark", 0) when there are none."""
    unit.last_blink = ("dark", 0)
    unit.press(keys)
    return unit.last_blink


@pytest.mark.parametrize(
    ("token", "blinks"),
    [
        (WEEK_2, ("green", 2)),
        (ZERO_3, ("green", 2)),
        (SYNC_3, ("green", 3)),
        (UNLOCK_3, ("green", 5)),
        (WRONG, ("red", 10)),
    ],
)
def test_the_lights_tell_the_verdict(token, blinks):
    """T26 to T30, T16, H24: on the keypad as on the console (H11); a used token blinks green once (T15)."""
    assert pressed(ready_unit(), "*" + token) == blinks
    console = ready_unit()
    enter(console, token)
    assert console.last_blink == blinks
    if blinks[0] == "green":
        assert pressed(console, "*" + token) == ("green", 1)


def test_a_keypad_entry_gives_light():
    """T26, H12: at once, since nothing else is being stored."""
    unit = ready_unit()
    assert not unit.output
    unit.press("*" + WEEK_2)
    assert unit.output
    assert status(unit) == b"ACTIVE;604800"


def test_the_hash_key_tells_the_state():
    """Green when active, red when not, before and after setup."""
    assert pressed(new_unit(), "#") == ("red", 1)
    assert pressed(ready_unit(), "#") == ("red", 1)
    unit = ready_unit(WEEK_2)
    assert pressed(unit, "#") == ("green", 1)
    enter(unit, ZERO_3)
    assert pressed(unit, "#") == ("red", 1)


def test_digits_without_a_star_are_no_entry():
    """T22."""
    unit = ready_unit()
    assert pressed(unit, WEEK_2) == ("dark", 0)
    assert unit.storage.writes == 3


def test_a_star_begins_again():
    """A customer who mistypes starts over; the hash key ends an entry that was begun."""
    unit = ready_unit()
    assert pressed(unit, "*0166*" + WEEK_2) == ("green", 2)
    assert pressed(ready_unit(), "*01660979#6") == ("red", 1)


def test_an_entry_is_forgotten_after_20_seconds_without_a_key():
    """H23: of wire time, and not a millisecond earlier."""
    unit = ready_unit()
    unit.press("*01660979")
    unit.pass_time(86_400_000, 19_999)
    assert pressed(unit, "6") == ("green", 2)
    unit = ready_unit()
    unit.press("*01660979")
    for _ in range(4):
        unit.pass_time(0, 5000)
    assert pressed(unit, "6") == ("dark", 0)


def test_a_unit_that_is_not_set_up_takes_no_entry():
    """H9, on the keypad."""
    unit = new_unit()
    assert pressed(unit, "*" + WEEK_2) == ("red", 10)
    assert unit.storage.writes == 0


def test_a_unit_of_four_keys_takes_15_digits_of_them():
    """T21, T22: other keys are no digits of that unit."""
    unit = new_unit()
    line = b"#SETUP+;S;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;1;;\n"
    assert ask(unit, line) == b"#SETUP+;OK\r\n"
    assert pressed(unit, "*11144422413112") == ("dark", 0)
    assert pressed(unit, "1") == ("green", 2)
    assert pressed(unit, "*" + WEEK_2 + "111111") == ("red", 10)
    assert ask(unit, b"#STATUS;\n") == b"#STATUS;ACTIVE;604800\r\n"


def test_the_keypad_has_no_other_keys():
    with pytest.raises(PaygoError, match="no such key"):
        ready_unit().press("*12a")


def test_the_light_blinks_on_and_off_every_quarter_second():
    unit = ready_unit()
    unit.press("*" + WEEK_2)
    seen = [unit.light]
    for _ in range(5):
        unit.pass_time(0, 125)
        unit.pass_time(0, 125)
        seen.append(unit.light)
    assert seen == ["green", "dark", "green", "dark", "dark", "dark"]


# Waits


def test_waits_grow_from_the_third_wrong_entry_on():
    """T32: over the console."""
    unit = ready_unit()
    assert [enter(unit, WRONG) for _ in range(3)] == [b"INVALID"] * 3
    for minutes in (2, 4, 8, 16, 32, 64, 128, 256, 512, 512):
        assert enter(unit, WRONG) == b"WAIT;%d" % (minutes * 60)
        unit.pass_time((minutes * 60 - 1) * 1000)
        assert enter(unit, WRONG) == b"WAIT;1"
        unit.pass_time(1000)
        assert enter(unit, WRONG) == b"INVALID"


def test_a_wait_holds_on_every_way_in():
    """T35: three wrong entries on the keypad stop the console too, also for a good token; one blink tells it."""
    unit = ready_unit()
    for _ in range(3):
        unit.press("*" + WRONG)
    assert enter(unit, WEEK_2) == b"WAIT;120"
    assert pressed(unit, "*" + WEEK_2) == ("red", 1)
    unit.pass_time(119_999)
    assert enter(unit, WEEK_2) == b"WAIT;1"
    unit.pass_time(1)
    assert enter(unit, WEEK_2) == b"VALID;604800"
    assert enter(unit, WRONG) == b"INVALID"
    assert enter(unit, WRONG) == b"INVALID"
    assert enter(unit, WRONG) == b"INVALID"


def test_already_used_leaves_the_row_of_wrong_entries():
    """T34."""
    unit = ready_unit(WEEK_2)
    assert [enter(unit, WRONG) for _ in range(2)] == [b"INVALID"] * 2
    assert enter(unit, WEEK_2) == b"ALREADY_USED"
    assert enter(unit, WRONG) == b"INVALID"
    assert enter(unit, WRONG) == b"WAIT;120"


def test_a_power_cut_does_not_shorten_a_wait():
    """T36: however often the supply is switched, and also when time runs in between."""
    unit = ready_unit()
    for _ in range(3):
        enter(unit, WRONG)
    for _ in range(50):
        restart(unit)
        assert enter(unit, WRONG) == b"WAIT;120"
    ran = 0
    while enter(unit, WRONG).startswith(b"WAIT"):
        unit.pass_time(10_000)
        ran += 10
        if ran % 50 == 0:
            restart(unit)
        assert ran < 5000
        if ran == 200:
            break
    assert ran >= 120


def test_a_power_cut_does_not_begin_a_wait_anew():
    """T36: of a wait of an hour, the part that is over is over, but for the minutes that a cut may cost."""
    unit = ready_unit()
    for minutes in (0, 0, 2, 4, 8, 16, 32, 64):
        assert enter(unit, WRONG) == b"INVALID"
        unit.pass_time(minutes * 60_000)
    assert enter(unit, WRONG) == b"INVALID"
    unit.pass_time(127 * 60_000)
    assert enter(unit, WRONG) == b"WAIT;60"
    restart(unit)
    assert 60 <= int(enter(unit, WRONG).removeprefix(b"WAIT;")) <= 360


def test_wrong_entries_in_a_row_survive_a_power_cut():
    """T36."""
    unit = ready_unit()
    enter(unit, WRONG)
    restart(unit)
    enter(unit, WRONG)
    restart(unit)
    enter(unit, WRONG)
    restart(unit)
    assert enter(unit, WEEK_2) == b"WAIT;120"


# Stored before it is told


@pytest.mark.parametrize("token", [WEEK_2, ZERO_3, SYNC_3, UNLOCK_3, WRONG])
@pytest.mark.parametrize("way", ["console", "keypad"])
def test_no_answer_and_no_light_before_the_entry_is_stored(token, way):
    """H12: the supply fails in the write; the unit said nothing, blinked nothing, switched nothing."""
    unit = ready_unit()
    unit.last_blink = ("dark", 0)
    unit.cut_power(0)
    if way == "console":
        assert ask(unit, b"#TOKEN;" + token.encode() + b"\n") == b""
    else:
        unit.press("*" + token)
    assert (unit.powered, unit.output, unit.last_blink) == (False, False, ("dark", 0))
    unit.power_on()
    assert status(unit) == b"INACTIVE"
    assert not unit.output


@pytest.mark.parametrize("line", [b"#LOAD;OFF\n", HDK_SETUP])
def test_other_writes_are_told_after_they_are_stored(line):
    """H10, H16."""
    unit = new_unit() if line is HDK_SETUP else ready_unit(WEEK_2)
    unit.cut_power(5)
    assert ask(unit, line) == b""
    unit.power_on()
    if line is HDK_SETUP:
        assert ask(unit, b"#INFO;\n") == b"#INFO;;PAYGO-SIM;legacy;0.1.0;0;0\r\n"
    else:
        assert unit.output


def test_credit_runs_out_on_the_second():
    """T26, H13."""
    unit = new_unit()
    ask(unit, b"#SETUP+;S;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;168;0;;\n")  # 7 units are an hour
    assert enter(unit, WEEK_2) == b"VALID;3600"
    unit.pass_time(3600_000 - 1)
    assert (status(unit), unit.output) == (b"ACTIVE;1", True)
    unit.pass_time(1)
    assert (status(unit), unit.output) == (b"INACTIVE", False)


def test_an_unlocked_unit_never_runs_out():
    """T29: also over restarts and without a write."""
    unit = ready_unit(UNLOCK_3)
    unit.home.set_value("irradiance", 0)
    unit.home.set_value("lamp_w", 0)
    writes = unit.storage.writes
    unit.pass_time(3 * DAY * 1000)
    assert unit.storage.writes == writes
    restart(unit)
    assert (status(unit), unit.output) == (b"PAYG_DISABLED", True)
