"""The console, byte by byte: every rule of docs/hdk-plus.md as a transcript."""

from __future__ import annotations

import json
import re
from binascii import crc_hqx
from pathlib import Path

import pytest
from abnf import ParseError, Rule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpaygo import MetricsResponseHandler
from sim_rig import (
    HDK_SETUP,
    KEY,
    LARGEST_2,
    LARGEST_4,
    LARGEST_6,
    SETUP,
    SYNC_3,
    SYNC_5,
    UNLOCK_3,
    UNLOCK_5,
    WEEK_2,
    WRONG,
    ZERO_3,
    ask,
    checked,
    enter,
    new_unit,
    ready_unit,
    restart,
    status,
)

from firmware_sim.unit import SimulatedUnit
from paygo_core import DeviceConfig, TokenType, generate_token

INVALID = b"#INVALID\r\n"
INFO = b"#INFO;SLT220000001;PAYGO-SIM;legacy;0.1.0;1;1\r\n"


# Lines


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("name", [b"#STATUS", b"#STATUS;"])
def test_a_command_ends_at_any_line_end(name, end):
    """H1: and a CR LF is one line end, not two."""
    assert ask(ready_unit(), name + end) == b"#STATUS;INACTIVE\r\n"


@pytest.mark.parametrize(
    ("sent", "silence_ms", "answer"),
    [
        (b"#STATUS;", 50, b"#STATUS;INACTIVE\r\n"),
        (b"#INFO;", 50, INFO),
        (b"#STATUS", 1000, b"#STATUS;INACTIVE\r\n"),
        (b"#TOKEN;016609796", 1000, b"#TOKEN;VALID;604800\r\n"),
        (b"#STATUS;*D8F7", 1000, b"#STATUS;INACTIVE*0EDA\r\n"),
        (b"#FOO", 1000, INVALID),
        (b"#" + b"A" * 300, 1000, INVALID),
        (b"#\xff;", 1000, INVALID),
    ],
)
def test_a_command_without_a_line_end_is_complete_after_a_silence(sent, silence_ms, answer):
    """H2: not a millisecond earlier, in one piece or in many."""
    unit = ready_unit()
    assert ask(unit, sent) == b""
    for elapsed in (silence_ms // 2, silence_ms - silence_ms // 2 - 1):
        unit.pass_time(0, elapsed)
        assert unit.take() == b""
    unit.pass_time(0, 1)
    assert unit.take() == answer
    unit.pass_time(0, 5000)
    assert unit.take() == b""


def test_the_unit_says_when_the_silence_will_be_over():
    """H2: so that a port can sleep until then."""
    unit = ready_unit()
    assert unit.wire_due_ms is None
    ask(unit, b"#STATUS;")
    assert unit.wire_due_ms == 50
    unit.pass_time(0, 20)
    assert unit.wire_due_ms == 30
    ask(unit, b"1")
    assert unit.wire_due_ms == 1000


def test_every_byte_begins_the_silence_anew():
    """H2: a slow typist is one command."""
    unit = ready_unit()
    for byte in b"#TOKEN;0166097960"[:-1]:
        assert ask(unit, bytes([byte])) == b""
        if byte != ord(";"):
            unit.pass_time(0, 900)
            assert unit.take() == b""
    unit.pass_time(0, 100)
    assert unit.take() == b"#TOKEN;VALID;604800\r\n"


def test_the_silence_is_wire_time():
    """H2: a week of world time completes nothing."""
    unit = ready_unit()
    assert ask(unit, b"#STATUS;") == b""
    unit.pass_time(86_400_000, 0)
    assert unit.take() == b""


def test_an_hdk_host_works_against_it():
    """H2, H7, H9, H10, H13: what a host sends that knows only the HDK, and what it gets: replies, and nothing else."""
    unit = new_unit()
    said = b""
    for sent in (
        b"#STATUS;",
        b"#SETUP;SLT220000001;123456789;A29AB82EDC5FBBC41EC9530F6DAC86B1\n",
        b"#STATUS;",
        b"#TOKEN;016609796\n",
        b"#STATUS;",
        b"#TOKEN;312690787\n",
        b"#STATUS;",
    ):
        said += ask(unit, sent)
        unit.pass_time(0, 60)
        said += unit.take()
    assert said == (
        b"#INVALID\r\n"
        b"#SETUP;OK\r\n"
        b"#STATUS;INACTIVE\r\n"
        b"#TOKEN;VALID;604800\r\n"
        b"#STATUS;ACTIVE;604800\r\n"
        b"#TOKEN;PAYG_DISABLED\r\n"
        b"#STATUS;PAYG_DISABLED\r\n"
    )


def test_commands_sent_in_one_go_are_answered_in_their_order():
    """H3: one reply each, also where a write lies in between."""
    unit = ready_unit()
    assert ask(unit, b"#STATUS;\n#TOKEN;016609796\n#LOAD;OFF\n#FOO\n#STATUS;\n#INFO;\n") == (
        b"#STATUS;INACTIVE\r\n#TOKEN;VALID;604800\r\n#LOAD;OFF;OFF\r\n#INVALID\r\n#STATUS;ACTIVE;604800\r\n"
        b"#INFO;SLT220000001;PAYGO-SIM;legacy;0.1.0;2;1\r\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"#", b"#;", b"#FOO;", b"#status;", b"#STATUS ;", b"# STATUS;", b"#STATUS;1", b"#STATUS;;", b"#INFO;;",
        b"#TELEMETRY;;", b"#ALERTS;1", b"#LOG;1", b"#TOKEN", b"#TOKEN;016609796;", b"#TOKEN;016609796;1", b"#LOAD",
        b"#LOAD;", b"#LOAD;off", b"#LOAD;OFF;", b"#LOAD; OFF", b"#ACK", b"#ACK;1", b"#ACK;;", b"#ACK;1;1;", b"#ACK;a;1",
        b"#ACK;1;-1", b"#ACK;+1;1", b"#ACK;1; 1", b"#ACK;4294967296;1", b"#ACK;1;99999999999",
        b"#SETUP;A;1;" + b"0" * 32, b"#SETUP+", b"#SETUP+;A;1;2;3;4;5;6", b"#SETUP+;A;1;2;3;4;5;6;7;8",
        b"#ALERT;1;1", b"#SETUPX;1;2;3",
        b"#TOKEN;0166\x009796", b"#TOKEN;0166\t9796", b"#STATUS;\x7f", b"#STATUS;\xc3\xa9",
    ],
)  # fmt: skip
def test_what_is_no_command_is_invalid_and_has_no_effect(line):
    """H4: nor does it make the host an extended one (H7)."""
    unit = ready_unit()
    unit.home.set_fault("battery_sensor_offset_v", 10)
    unit.pass_time(5000)
    image, writes = bytes(unit.storage.image), unit.storage.writes
    assert ask(unit, line + b"\n") == INVALID
    assert (bytes(unit.storage.image), unit.storage.writes) == (image, writes)
    unit.pass_time(0, 10_000)
    assert unit.take() == b""


def test_the_longest_setup_fits_with_its_check():
    """H4, H6, H14: every field as long as it may be, in 123 characters."""
    serial, test_code = b"A" * 20, b"7" * 20
    body = b"SETUP+;%s;999999999;%s;65535;255;1;%s;65535,65535,31" % (serial, KEY.encode(), test_code)
    line = checked(body) + b"\n"
    assert len(line) == 1 + 123 + 1
    assert ask(new_unit(), line) == checked(b"SETUP+;OK") + b"\r\n"


def test_a_command_has_at_most_128_characters():
    """H4: 128 between `#` and the line end are judged as they are, one more is INVALID, and the next line is good."""
    unit = ready_unit()
    assert ask(unit, b"#TOKEN;" + b"1" * 122 + b"\n") == b"#TOKEN;INVALID\r\n"
    assert ask(unit, b"#TOKEN;" + b"1" * 123 + b"\n") == INVALID
    assert ask(unit, b"#TOKEN;" + b"1" * 100_000 + b"\n") == b""  # its end did not fit into the port's buffer
    assert ask(unit, b"\n#STATUS;\n") == INVALID + b"#STATUS;INACTIVE\r\n"


@pytest.mark.parametrize("noise", [b"STATUS;\n", b"\r\n\r\n", b"hello *1234\r\n", bytes(set(range(256)) - {ord("#")})])
def test_bytes_outside_a_command_are_dropped(noise):
    """H5."""
    unit = ready_unit()
    assert ask(unit, noise) == b""
    assert ask(unit, noise + b"#STATUS;\n" + noise) == b"#STATUS;INACTIVE\r\n"


def test_a_hash_begins_a_new_command_wherever_it_stands():
    """H5: what it interrupts is dropped: a wrong check, a bad byte, a line that is too long."""
    unit = ready_unit()
    assert ask(unit, b"#TOKEN;0166#STATUS;\n") == b"#STATUS;INACTIVE\r\n"
    assert ask(unit, b"##STATUS;\n") == b"#STATUS;INACTIVE\r\n"
    assert ask(unit, b"#" + b"\xff" * 200 + b"#STATUS;*D8F7\n") == b"#STATUS;INACTIVE*0EDA\r\n"
    assert ask(unit, b"#STATUS;*D8#STATUS;*D8F7\n") == b"#STATUS;INACTIVE*0EDA\r\n"


def test_a_good_check_makes_the_check_mandatory_in_both_directions():
    """H6: until the unit restarts; wrong ones before it change nothing."""
    unit = ready_unit()
    assert crc_hqx(b"123456789", 0xFFFF) == 0x29B1  # the oracle itself
    assert ask(unit, b"#STATUS;*D8F6\n") == INVALID
    assert ask(unit, b"#STATUS;\n") == b"#STATUS;INACTIVE\r\n"
    assert ask(unit, b"#STATUS;*D8F7\n") == b"#STATUS;INACTIVE*0EDA\r\n"
    assert ask(unit, b"#STATUS;\n") == b"#INVALID*FA1A\r\n"
    assert ask(unit, b"#TOKEN;016609796\n") == b"#INVALID*FA1A\r\n"
    assert ask(unit, b"#TOKEN;016609796*D84C\n") == b"#INVALID*FA1A\r\n"
    assert ask(unit, b"#TOKEN;016609796*D84B\n") == b"#TOKEN;VALID;604800*E674\r\n"
    assert ask(unit, b"#LOAD;OFF*BA80\r\n") == b"#LOAD;OFF;OFF*2E22\r\n"
    restart(unit)
    assert ask(unit, b"#STATUS;\n") == b"#STATUS;ACTIVE;604500\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"#STATUS;*d8f7", b"#STATUS;*D8F", b"#STATUS;*D8F70", b"#STATUS;*", b"#STATUS;**D8F7", b"#STATUS;*D8F7 ",
        b"#STATUS*D8F7", b"#*D8F7", b"#*", b"#STATUS;*D8F7*D8F7", b"#STATUT;*D8F7", b"#STATUS;*+8F7", b"#STATUS;*G8F7",
    ],
)  # fmt: skip
def test_a_check_that_is_not_right_is_invalid(line):
    """H6: and the check is not mandatory after it."""
    unit = ready_unit()
    assert ask(unit, line + b"\n") == INVALID
    assert ask(unit, b"#STATUS;\n") == b"#STATUS;INACTIVE\r\n"


def test_a_good_check_on_an_unknown_command_counts_too():
    """H6: a good check has arrived."""
    unit = ready_unit()
    assert ask(unit, b"#FOO;*6693\n") == b"#INVALID*FA1A\r\n"
    assert ask(unit, b"#STATUS;\n") == b"#INVALID*FA1A\r\n"
    assert ask(unit, b"#*FFFF\n") == b"#INVALID*FA1A\r\n"


def test_events_carry_the_check_once_it_is_mandatory():
    """H6, H20."""
    unit = ready_unit()
    unit.home.set_fault("battery_sensor_offset_v", 10)
    unit.pass_time(5000)
    body = re.fullmatch(rb"#INFO;.*\r\n#(ALERT;.*)\*[0-9A-F]{4}\r\n", ask(unit, b"#INFO;*5119\n"))
    assert body is not None
    unit.pass_time(0, 3000)
    assert unit.take() == checked(body[1]) + b"\r\n"


@pytest.mark.parametrize(
    "line", [b"#INFO;", b"#TELEMETRY;", b"#ALERTS;", b"#LOG;", b"#LOAD;AUTO", b"#ACK;7;7", SETUP.strip()]
)
def test_nothing_is_sent_unasked_before_an_extended_command(line):
    """H7: an HDK host never hears of an alert; a host of ours hears of it with its first extended command."""
    unit = ready_unit()
    restart(unit)
    unit.home.set_fault("battery_sensor_offset_v", 10)
    for _ in range(20):
        unit.pass_time(5000, 5000)
    assert unit.take() == b""
    for known in (b"#STATUS;\n", b"#TOKEN;016609796\n", b"#SETUP;1;2;3\n", b"#FOO;\n"):
        assert ask(unit, known).count(b"#") == 1
        unit.pass_time(0, 10_000)
        assert unit.take() == b""
    reply, alert, rest = ask(unit, line + b"\n").split(b"\r\n")
    assert not reply.startswith(b"#ALERT;")
    assert alert.startswith(b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;")
    assert rest == b""
    restart(unit)
    unit.pass_time(0, 10_000)
    assert unit.take() == b""


# Setup


def test_before_setup_only_setup_and_info_are_answered():
    """H9, H19."""
    unit = new_unit()
    for line in (b"#STATUS;", b"#TOKEN;016609796", b"#TELEMETRY;", b"#LOAD;OFF", b"#ALERTS;", b"#LOG;", b"#ACK;1;1"):
        assert ask(unit, line + b"\n") == INVALID
    assert ask(unit, b"#INFO;\n") == b"#INFO;;PAYGO-SIM;legacy;0.1.0;0;0\r\n"
    assert unit.storage.writes == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (b"", b"serial"), (b"S" * 21, b"serial"), (b"S L", b"serial"), (b"S*L", b"#INVALID"), (b"S,L", b"serial"),
        (b'S"', b"serial"), (b"S\\", b"serial"),
    ],
)  # fmt: skip
def test_a_wrong_serial_is_named(fields, field):
    """H4, H10, H14: a `*` can only begin a check, which this is not."""
    rest = b";123456789;a29ab82edc5fbbc41ec9530f6dac86b1"
    plain, plus = new_unit(), new_unit()
    expected = INVALID if field == b"#INVALID" else b"#SETUP;ERROR;" + field + b"\r\n"
    assert ask(plain, b"#SETUP;" + fields + rest + b"\n") == expected
    expected = INVALID if field == b"#INVALID" else b"#SETUP+;ERROR;" + field + b"\r\n"
    assert ask(plus, b"#SETUP+;" + fields + rest + b";1;1;0;;\n") == expected
    assert plain.storage.writes == plus.storage.writes == 0


GOOD = [b"SLT220000001", b"123456789", b"a29ab82edc5fbbc41ec9530f6dac86b1", b"1", b"1", b"0", b"", b""]


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        *[
            (1, v, b"starting_code")
            for v in (b"", b"0", b"000000000", b"1234567890", b"12345678a", b"-1", b" 1", b"0x1")
        ],
        *[(2, v, b"key") for v in (b"", b"a" * 31, b"a" * 33, b"g" * 32, b"a" * 31 + b" ", b"0x" + b"a" * 30)],
        *[(3, v, b"count") for v in (b"", b"65536", b"-1", b"1a", b"4294967296", b"00000000001")],
        *[(4, v, b"divider") for v in (b"", b"0", b"256", b"257", b"1.5")],
        *[(5, v, b"restricted") for v in (b"", b"2", b"01", b"true")],
        *[(6, v, b"test_code") for v in (b"a", b"1" * 21, b"-1")],
        *[
            (7, v, b"windows")
            for v in (
                b"64",
                b"64,100",
                b"64,100,16,1",
                b"0,100,16",
                b"64,0,16",
                b"64,100,32",
                b"65536,1,1",
                b",,",
                b"1,1,",
            )
        ],
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(place, value, field):
    """H14: and the unit can be set up afterwards."""
    unit = new_unit()
    fields = [*GOOD]
    fields[place] = value
    assert ask(unit, b"#SETUP+;" + b";".join(fields) + b"\n") == b"#SETUP+;ERROR;" + field + b"\r\n"
    assert unit.storage.writes == 0
    assert ask(unit, b"#INFO;\n") == b"#INFO;;PAYGO-SIM;legacy;0.1.0;0;0\r\n"
    if place < 3:
        assert ask(unit, b"#SETUP;" + b";".join(fields[:3]) + b"\n") == b"#SETUP;ERROR;" + field + b"\r\n"
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    assert ask(unit, b"#INFO;\n") == INFO


def test_the_first_wrong_field_is_the_one_named():
    """H14."""
    assert ask(new_unit(), b"#SETUP+;;0;x;x;0;2;a;b\n") == b"#SETUP+;ERROR;serial\r\n"
    assert ask(new_unit(), b"#SETUP+;A;0;x;x;0;2;a;b\n") == b"#SETUP+;ERROR;starting_code\r\n"
    assert ask(new_unit(), b"#SETUP+;A;1;x;x;0;2;a;b\n") == b"#SETUP+;ERROR;key\r\n"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"a"), (0, b"-_./:aZ09"), (0, b"S" * 20), (1, b"1"), (1, b"000000001"), (2, KEY.upper().encode()),
        (3, b"0"), (3, b"65535"), (4, b"255"), (5, b"1"), (6, b"1" * 20), (7, b"1,1,0"), (7, b"65535,65535,31"),
    ],
)  # fmt: skip
def test_every_allowed_value_sets_the_unit_up(place, value):
    """H14: the edges of the grammar."""
    unit = new_unit()
    fields = [*GOOD]
    fields[place] = value
    assert ask(unit, b"#SETUP+;" + b";".join(fields) + b"\n") == b"#SETUP+;OK\r\n"
    restart(unit)
    serial, count = fields[0], int(fields[3])
    assert ask(unit, b"#INFO;\n") == b"#INFO;%s;PAYGO-SIM;legacy;0.1.0;%d;2\r\n" % (serial, count)


def test_a_unit_is_set_up_once():
    """H9, H14: `#SETUP+` says so, `#SETUP` is INVALID, and its tokens stay its own."""
    unit = ready_unit()
    assert ask(unit, SETUP) == b"#SETUP+;ERROR;provisioned\r\n"
    assert ask(unit, b"#SETUP+;;;;;;;;\n") == b"#SETUP+;ERROR;provisioned\r\n"
    assert ask(unit, b"#SETUP;OTHER;1;bc41ec9530f6dac86b1a29ab82edc5fb\n") == INVALID
    restart(unit)
    assert ask(unit, b"#SETUP+;OTHER;1;bc41ec9530f6dac86b1a29ab82edc5fb;1;1;0;;\n") == b"#SETUP+;ERROR;provisioned\r\n"
    assert enter(unit, WEEK_2) == b"VALID;604800"


def test_a_migrated_unit_keeps_its_count_divider_digits_and_windows():
    """H14, T7, T11, T12, T21."""
    unit = new_unit()
    assert ask(unit, b"#SETUP+;S;123456789;%s;40;24;1;7;10,12,4\n" % KEY.encode()) == b"#SETUP+;OK\r\n"
    config = DeviceConfig.from_hex(KEY, 123456789, time_divider=24, restricted_digit_set=True)
    assert enter(unit, generate_token(config, 38, 12).digits) == b"ALREADY_USED"
    assert enter(unit, generate_token(config, 50, 12).digits) == b"INVALID"
    assert enter(unit, generate_token(config, 48, 12).digits) == b"VALID;43200"
    assert enter(unit, generate_token(config, 44, 12).digits) == b"ALREADY_USED"  # 46 is 4 back
    assert enter(unit, generate_token(config, 46, 12).digits) == b"VALID;86400"


@pytest.mark.parametrize("line", [HDK_SETUP, SETUP])
def test_the_windows_are_the_standard_ones(line):
    """H10, H14, T12: 64 counts ahead, 100 for a synchronisation, unless the setup says otherwise."""
    config = DeviceConfig.from_hex(KEY, 123456789)
    unit = new_unit()
    ask(unit, line)
    assert enter(unit, generate_token(config, 64, 1).digits) == b"INVALID"
    assert enter(unit, generate_token(config, 101, token_type=TokenType.COUNTER_SYNC).digits) == b"INVALID"
    assert enter(unit, generate_token(config, 99, token_type=TokenType.COUNTER_SYNC).digits) == b"VALID;0"
    assert enter(unit, generate_token(config, 162, 1).digits) == b"VALID;86400"


# Entries


def test_every_verdict_on_a_token():
    """H11, T26 to T30: also the ones that the HDK answers otherwise."""
    unit = ready_unit()
    assert enter(unit, WEEK_2) == b"VALID;604800"
    assert enter(unit, WEEK_2) == b"ALREADY_USED"
    assert enter(unit, WRONG) == b"INVALID"
    assert enter(unit, ZERO_3) == b"VALID;0"
    assert status(unit) == b"INACTIVE"
    assert enter(unit, UNLOCK_5) == b"PAYG_DISABLED"
    assert enter(unit, LARGEST_6) == b"PAYG_DISABLED"
    assert status(unit) == b"PAYG_DISABLED"


def test_a_synchronisation_is_answered_with_the_credit():
    """H11, T30."""
    unit = ready_unit(WEEK_2)
    assert enter(unit, SYNC_3) == b"VALID;604800"
    unlocked = ready_unit(UNLOCK_3)
    assert enter(unlocked, SYNC_5) == b"PAYG_DISABLED"


@pytest.mark.parametrize(
    "token", ["16609796", "0016609796", "01660979a", "016 609 796", "+16609796", "", "0" * 11, "-"]
)
def test_anything_but_all_the_digits_is_no_entry(token):
    """H11, T22: not filled up, not counted, and told so also during a wait."""
    unit = ready_unit()
    for _ in range(10):
        assert enter(unit, token) == b"INVALID"
    assert unit.storage.writes == 3  # those of the setup
    for _ in range(3):
        enter(unit, WRONG)
    assert enter(unit, token) == b"INVALID"
    assert enter(unit, WEEK_2) == b"WAIT;120"


def test_large_credit_is_told_in_full():
    """H11, T37: three times the largest token."""
    unit = ready_unit(LARGEST_2, LARGEST_4)
    assert enter(unit, LARGEST_6) == b"VALID;257904000"
    unit.pass_time(5000)
    assert status(unit) == b"ACTIVE;257903995"


def test_extended_tokens_are_entries_too():
    """H11, T24, T25: an extended unlock unlocks, an extended amount is consumed and is no time."""
    unit = ready_unit()
    assert enter(unit, "990952456796") == b"VALID;0"
    assert enter(unit, WEEK_2) == b"ALREADY_USED"


def test_the_status_tells_credit_alone():
    """H13, H16: the operator's switch does not change it."""
    unit = ready_unit(WEEK_2)
    assert ask(unit, b"#LOAD;OFF\n") == b"#LOAD;OFF;OFF\r\n"
    assert status(unit) == b"ACTIVE;604800"
    assert not unit.output


# Extended commands


def test_the_switch_takes_away_and_never_gives():
    """H16: and it is stored."""
    unit = ready_unit()
    assert ask(unit, b"#LOAD;ON\n") == b"#LOAD;ON;OFF\r\n"
    enter(unit, WEEK_2)
    assert unit.output
    assert ask(unit, b"#LOAD;OFF\n") == b"#LOAD;OFF;OFF\r\n"
    restart(unit)
    assert not unit.output
    assert ask(unit, b"#LOAD;ON\n") == b"#LOAD;ON;ON\r\n"
    assert ask(unit, b"#LOAD;OFF\n") == b"#LOAD;OFF;OFF\r\n"
    assert ask(unit, b"#LOAD;AUTO\n") == b"#LOAD;AUTO;ON\r\n"
    assert unit.output


def test_telemetry_is_metrics_json():
    """H15: read by the reference implementation of OpenPAYGO Metrics, with its signs and units."""
    unit = ready_unit(WEEK_2)
    unit.home.set_value("irradiance", 800)
    unit.pass_time(600_000)
    answer = ask(unit, b"#TELEMETRY;\n").decode("ascii")
    handler = MetricsResponseHandler(answer.removeprefix("#TELEMETRY;").removesuffix("\r\n"))
    assert handler.get_device_serial() == "SLT220000001"
    assert handler.get_token_count() == 2
    data = handler.get_simple_metrics()["data"]
    measured = unit.home.measured
    assert data["battery_voltage"] == pytest.approx(measured.battery_v, abs=0.001)
    assert data["battery_current"] == pytest.approx(-measured.battery_a, abs=0.001)
    assert data["battery_current"] < 0
    assert data["panel_power"] == pytest.approx(measured.panel_v * measured.panel_a, abs=0.02)
    assert data["temperature"] == 25.0
    assert 0 < data["state_of_charge"] < 1
    assert (data["output"], data["charging"], data["load_switch"]) == (True, True, "AUTO")
    assert (data["payg_disabled"], data["active_seconds_left"]) == (False, 604_200)
    assert (data["token_count"], data["wrong_entries"], data["boot"]) == (2, 0, 1)
    assert data["firmware_version"] == "0.1.0"


def test_telemetry_of_an_unlocked_unit_has_no_seconds_left():
    """H15, T29."""
    data = json.loads(ask(ready_unit(UNLOCK_3), b"#TELEMETRY;\n")[11:])["data"]
    assert data["payg_disabled"] is True
    assert "active_seconds_left" not in data


def test_alerts_and_log_are_empty_on_a_well_unit():
    """H17, H18."""
    unit = ready_unit()
    assert ask(unit, b"#ALERTS;\n") == b"#ALERTS;0\r\n"
    assert ask(unit, b"#LOG;\n") == b"#LOG;0\r\n"


def test_info_counts_starts():
    """H19."""
    unit = ready_unit(WEEK_2)
    for boot in range(2, 6):
        restart(unit)
        assert ask(unit, b"#INFO;\n") == b"#INFO;SLT220000001;PAYGO-SIM;legacy;0.1.0;2;%d\r\n" % boot


# Everything at once

_COMMANDS = [
    b"#STATUS;", b"#STATUS", b"#INFO;", b"#TELEMETRY;", b"#ALERTS;", b"#LOG;", b"#LOAD;OFF", b"#LOAD;ON", b"#LOAD;AUTO",
    b"#ACK;1;1", b"#ACK;1;2", b"#ACK;9;9", b"#TOKEN;016609796", b"#TOKEN;123456789", b"#TOKEN;312690787",
    b"#TOKEN;552995789", b"#TOKEN;12345678901234567890", SETUP.strip(), b"#STATUS;*D8F7",
    b"#SETUP;SLT220000001;123456789;a29ab82edc5fbbc41ec9530f6dac86b1",
]  # fmt: skip
_BROKEN = [b"#FOO", b"#", b"#TOKEN", b"#LOAD;off", b"#SETUP+;A;0;a;b;c;d;e;f", b"#SETUP;A;0;B", b"#" + b"x" * 200]


def _many_sessions(data: st.DataObject, unit: SimulatedUnit) -> tuple[list[bytes], bytes]:
    """A random life; what was sent, and everything that was said."""
    sent: list[bytes] = []
    said = b""
    for _ in range(data.draw(st.integers(1, 40))):
        act = data.draw(st.integers(0, 9))
        if act < 6:
            line = data.draw(st.sampled_from(_COMMANDS))
            if data.draw(st.booleans()) and b"*" not in line:
                line = checked(line[1:])
            sent.append(line)
            said += ask(unit, line + b"\n")
        elif act == 6:
            said += ask(unit, data.draw(st.sampled_from(_BROKEN)) + b"\n")
        elif act == 7:
            unit.home.set_fault("battery_sensor_offset_v", data.draw(st.sampled_from([0, 10, -8])))
            unit.pass_time(data.draw(st.integers(0, 100_000)), data.draw(st.integers(0, 4000)))
            said += unit.take()
        elif act == 8:
            said += ask(unit, data.draw(st.binary(max_size=40)) + b"\n")
        else:
            restart(unit)
    return sent, said


def _grammar() -> type[Rule]:
    page = (Path(__file__).parents[2] / "docs" / "hdk-plus.md").read_text("utf-8")
    block = re.search(r"```abnf\n(.*?)```", page, re.DOTALL)
    assert block is not None

    class Grammar(Rule):
        pass

    Grammar.load_grammar(block[1].replace("\n", "\r\n"))
    return Grammar


GRAMMAR = _grammar()


def in_grammar(rule: str, line: bytes) -> bool:
    try:
        GRAMMAR(rule).parse_all(line.decode("ascii"))
    except ParseError:
        return False
    return True


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_unit_never_says_its_key_and_speaks_by_its_grammar(data):
    """H8, and the ABNF: every line sent is a `host-line`, every line heard a `unit-line`."""
    sent, said = _many_sessions(data, new_unit())
    assert said == b"" or said.endswith(b"\r\n")
    assert KEY.encode() not in said.lower()
    assert bytes.fromhex(KEY) not in said
    assert not any(KEY[at : at + 8].encode() in said.lower() for at in range(25))
    for line in sent:
        assert in_grammar("host-line", line), line
    for line in said.split(b"\r\n")[:-1]:
        assert in_grammar("unit-line", line), line


@pytest.mark.parametrize(
    "line",
    [
        b"#STATUS;ACTIVE;", b"#STATUS;active;1", b"#TOKEN;VALID", b"#SETUP;OK;", b"#INVALID*12AG", b"STATUS;INACTIVE",
        b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;1.5;mV;1;1", b"#ACK;1", b"#LOAD;OFF", b"#TELEMETRY;[]", b"#INFO;;a;b;c;0",
    ],
)  # fmt: skip
def test_the_grammar_is_not_too_wide(line):
    """A line that no unit sends is no `unit-line`."""
    assert not in_grammar("unit-line", line)


def test_the_session_of_the_page_is_what_a_unit_says():
    """docs/hdk-plus.md, A session: its key filled in, the voltage of its alert as this plant has it."""
    page = (Path(__file__).parents[2] / "docs" / "hdk-plus.md").read_text("utf-8")
    block = re.search(r"## A session.*?```text\n(.*?)```", page, re.DOTALL)
    assert block is not None
    unit = new_unit()
    heard: list[str] = []
    for line in block[1].splitlines():
        mark, text = line.split(" ", 1)
        if mark == ">":
            assert heard == []
            heard = ask(unit, text.replace("*" * 32, KEY).encode() + b"\n").decode().split("\r\n")[:-1]
            continue
        if text.startswith("#ALERT;"):
            unit.home.set_fault("battery_sensor_offset_v", 16.012 - unit.home.battery.voltage)
            unit.pass_time(1000)
            heard += unit.take().decode().split("\r\n")[:-1]
        assert heard.pop(0) == text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([b"#", b"#STATUS;", b"#TOKEN;", b"*", b";", b"#" * 200]), max_size=12
    )
)
def test_after_any_garbage_the_next_line_is_answered_once(pieces):
    """H3, H5: one good reply to a good line, and none of the garbage is left in it."""
    unit = ready_unit()
    for piece in pieces:
        ask(unit, piece)
    ask(unit, b"\n")
    assert ask(unit, b"#STATUS;*D8F7\n") == b"#STATUS;INACTIVE*0EDA\r\n"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200).map(lambda body: body.translate(None, b"#\r\n")), max_size=20), st.booleans())
def test_every_complete_command_gets_exactly_one_reply(bodies, one_by_one):
    """H3."""
    unit = ready_unit()
    if one_by_one:
        for body in bodies:
            assert ask(unit, b"#" + body + b"\n").count(b"\r\n") == 1
    else:
        assert ask(unit, b"".join(b"#" + body + b"\n" for body in bodies)).count(b"\r\n") == len(bodies)


def test_credit_of_more_than_a_milliard_seconds_is_told_to_the_second():
    """H13: on both sides of 10^9, with the zeros inside."""
    unit, count = ready_unit(), 1
    for days, told in [*((995, None),) * 11, (629, b"ACTIVE;999993600"), (1, b"ACTIVE;1000080000")]:
        token = generate_token(DeviceConfig.from_hex(KEY, 123456789), count, days)
        count = token.count
        enter(unit, token.digits)
        assert told in (None, status(unit))
