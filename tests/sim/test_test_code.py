"""The test code: a minute of light, five times an hour, which no token and no power cut makes more (H22)."""

from __future__ import annotations

import pytest
from sim_rig import DAY, KEY, WEEK_2, WRONG, ask, enter, new_unit, restart, status

from firmware_sim.unit import SimulatedUnit

CODE = "4711"
LIKE_A_TOKEN = "016609795"


def coded_unit(code: str = CODE, restricted: int = 0) -> SimulatedUnit:
    unit = new_unit()
    line = f"#SETUP+;SLT220000001;123456789;{KEY};1;1;{restricted};{code};\n"
    assert ask(unit, line.encode()) == b"#SETUP+;OK\r\n"
    return unit


def seconds(answer: bytes) -> int:
    assert answer.startswith(b"WAIT;"), answer
    return int(answer[5:])


@pytest.mark.parametrize(
    ("code", "restricted", "keys"),
    [
        (CODE, 0, "*4711#"),
        (LIKE_A_TOKEN, 0, "*" + LIKE_A_TOKEN),
        ("1", 0, "*1#"),
        ("1234", 1, "*1234#"),
        ("1" * 15, 1, "*" + "1" * 15),
    ],
)
def test_it_gives_light_for_a_minute_and_no_credit(code, restricted, keys):
    """H22, H23: from the console and from keypads of twelve and of four keys."""
    for way in ("console", "keypad"):
        unit = coded_unit(code, restricted)
        if way == "console":
            assert enter(unit, code) == b"VALID;60"
        else:
            unit.press(keys)
        assert unit.last_blink == ("green", 2)
        assert (unit.output, status(unit)) == (True, b"INACTIVE")
        unit.pass_time(59_999)
        assert unit.output
        unit.pass_time(1)
        assert not unit.output


def test_five_work_in_sixty_minutes_whenever_they_come():
    """H22: the sixth waits until the first is an hour old, the seventh for the second."""
    unit = coded_unit()
    for _ in range(5):
        assert enter(unit, CODE) == b"VALID;60"
        unit.pass_time(100_000)
    assert enter(unit, CODE) == b"WAIT;3100"
    unit.press("*4711#")
    assert unit.last_blink == ("red", 1)
    unit.pass_time(3_099_999)
    assert enter(unit, CODE) == b"WAIT;1"
    assert not unit.output
    unit.pass_time(1)
    assert enter(unit, CODE) == b"VALID;60"
    assert enter(unit, CODE) == b"WAIT;100"


def test_power_cuts_give_no_sixth():
    """H22, H25: neither right after the fifth nor at any time within the hour; a cut ends the light."""
    unit = coded_unit()
    for _ in range(5):
        assert enter(unit, CODE) == b"VALID;60"
        restart(unit)
        assert not unit.output
    left = seconds(enter(unit, CODE))
    assert left == 3600
    for minute in range(1, 60):
        unit.pass_time(60_000)
        restart(unit)
        assert seconds(enter(unit, CODE)) >= 3600 - 60 * minute
    assert not unit.output


def test_a_cut_in_the_write_gives_no_light():
    """H12: it counts before it shines."""
    unit = coded_unit()
    unit.cut_power(20)
    assert ask(unit, b"#TOKEN;4711\n") == b""
    assert not unit.output
    unit.power_on()
    assert [enter(unit, CODE) for _ in range(6)] == [b"VALID;60"] * 5 + [b"WAIT;3600"]


def test_it_is_no_token_and_no_wrong_entry():
    """H22: the count stays, wrong entries stay, and it does not end the wait after them."""
    unit = coded_unit(LIKE_A_TOKEN)
    assert enter(unit, WRONG) == b"INVALID"
    assert enter(unit, LIKE_A_TOKEN) == b"VALID;60"
    assert ask(unit, b"#INFO;\n").split(b";")[5] == b"1"
    assert [enter(unit, WRONG) for _ in range(2)] == [b"INVALID"] * 2
    assert enter(unit, LIKE_A_TOKEN) == b"WAIT;120"
    unit.pass_time(120_000)
    assert enter(unit, LIKE_A_TOKEN) == b"VALID;60"


def test_a_code_that_equals_a_token_is_the_code():
    """H22: it spends nothing, and the token's seven days are given by no test."""
    unit = coded_unit(WEEK_2)
    assert enter(unit, WEEK_2) == b"VALID;60"
    assert status(unit) == b"INACTIVE"
    assert ask(unit, b"#INFO;\n").split(b";")[5] == b"1"


def test_with_credit_it_takes_nothing_away():
    unit = coded_unit()
    assert enter(unit, WEEK_2) == b"VALID;604800"
    assert enter(unit, CODE) == b"VALID;604800"
    unit.pass_time(60_000)
    assert unit.output
    assert status(unit) == b"ACTIVE;%d" % (7 * DAY - 60)


def test_the_operator_and_the_protections_stand_above_it():
    """H26."""
    unit = coded_unit()
    assert ask(unit, b"#LOAD;OFF\n") == b"#LOAD;OFF;OFF\r\n"
    assert enter(unit, CODE) == b"VALID;60"
    assert not unit.output
    assert ask(unit, b"#LOAD;AUTO\n") == b"#LOAD;AUTO;ON\r\n"
    unit.home.set_fault("battery_sensor_offset_v", 6)
    unit.pass_time(2000)
    assert not unit.output


def test_nearly_the_code_is_nothing():
    """T22: and on the keypad the hash key then asks for the state."""
    unit = coded_unit()
    assert [enter(unit, code) for code in ("471", "47111", "4710")] == [b"INVALID"] * 3
    for keys in ("*471#", "*47111#", "4711#", "*4711", "*#"):
        unit.last_blink = ("dark", 0)
        unit.press(keys)
        assert unit.last_blink in {("dark", 0), ("red", 1)}, keys
    assert not unit.output
    assert enter(coded_unit(""), "4711") == b"INVALID"
    assert enter(unit, CODE) == b"VALID;60"
