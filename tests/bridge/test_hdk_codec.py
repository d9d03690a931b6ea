"""The HDK and hdk+ lines, on literal transcripts."""

from __future__ import annotations

import pytest
from fake_hdk import KEY, check_of, checked, serial_forms
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import DeviceConfig, PaygoError
from paygo_core.device import Device
from paygo_core.wire import hdk
from paygo_core.wire.crc import crc16_ccitt_false
from paygo_core.wire.hdk import LONGEST_LINE, Alert, Damaged, HdkReader, LogLine, Reply

INACTIVE = Reply("STATUS", ("INACTIVE",))
DEVICE = Device("SLT220000001", DeviceConfig.from_hex(KEY, 123456789), count=7)


def read(*pieces: bytes, silence: bool = False, **options) -> list:
    reader = HdkReader(**options)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.silence() if silence else events


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"#INVALID\r\n", Reply("INVALID")),
        (b"#TOKEN;INVALID\r\n", Reply("TOKEN", ("INVALID",))),
        (b"#TOKEN;ALREADY_USED\r\n", Reply("TOKEN", ("ALREADY_USED",))),
        (b"#TOKEN;PAYG_DISABLED\r\n", Reply("TOKEN", ("PAYG_DISABLED",))),
        (b"#TOKEN;VALID;86399\r\n", Reply("TOKEN", ("VALID", "86399"))),
        (b"#TOKEN;WAIT;120\r\n", Reply("TOKEN", ("WAIT", "120"))),
        (b"#STATUS;ACTIVE;257903995\n", Reply("STATUS", ("ACTIVE", "257903995"))),
        (b"#SETUP;OK\r\n", Reply("SETUP", ("OK",))),
        (b"#SETUP+;ERROR;starting_code\r\n", Reply("SETUP+", ("ERROR", "starting_code"))),
        (b"#LOAD;AUTO;ON\r\n", Reply("LOAD", ("AUTO", "ON"))),
        (b"#BATTERY;GEL;40\r\n", Reply("BATTERY", ("GEL", "40"))),
        (b"#BATTERY;ERROR;board\r\n", Reply("BATTERY", ("ERROR", "board"))),
        (b"#ACK;UNKNOWN\r\n", Reply("ACK", ("UNKNOWN",))),
        (b"#INFO;;PAYGO-SIM;legacy;0.1.0;0;1\r\n", Reply("INFO", ("", "PAYGO-SIM", "legacy", "0.1.0", "0", "1"))),
        (b'#TELEMETRY;{"a":"b;c"}\r\n', Reply("TELEMETRY", ('{"a":"b;c"}',))),
        (b"#ALERTS;1;STORAGE_FAULT,0,1\r\n", Reply("ALERTS", ("1", "STORAGE_FAULT,0,1"))),
        (
            b"#LOG;1;4,BATTERY_UNDERVOLTAGE,CLEARED,-3,mV,2\r\n",
            Reply("LOG", ("1", "4,BATTERY_UNDERVOLTAGE,CLEARED,-3,mV,2")),
        ),
        (
            b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;1;9\r\n",
            Alert("BATTERY_OVERVOLTAGE", True, 16012, "mV", 1, 9),
        ),
    ],
)
def test_every_line_of_a_unit_is_read(line, event):
    """H10 to H21, H28."""
    assert read(line) == [event]
    assert read(line, require_check=True)[0].reason == "its check is missing"


def test_a_reply_without_a_line_end_is_complete_after_a_silence():
    assert read(b"#STATUS;INACTIVE") == []
    assert read(b"#STATUS;INACTIVE", silence=True) == [INACTIVE]
    assert read(b"#TOKEN;VALID;86399", silence=True) == [Reply("TOKEN", ("VALID", "86399"))]


def test_a_reply_glued_to_a_log_line():
    assert read(b"#STATUS;INACTIVEINFO: Token entered\r\n") == [INACTIVE, LogLine("INFO: Token entered")]
    assert read(b"#TOKEN;VALID;86399INFO: x\r\n") == [Reply("TOKEN", ("VALID", "86399")), LogLine("INFO: x")]


def test_a_reply_glued_to_half_a_log_line_is_complete_after_a_silence():
    reader = HdkReader()
    assert reader.feed(b"#STATUS;INACTIVEINFO: KEY: F9AB8EDC5FBB") == []
    assert reader.silence() == [INACTIVE]
    assert reader.feed(b"C41EC953F6DAAB1\r\n") == [LogLine("INFO: KEY: [secret]")]


def test_a_reply_glued_to_the_next_reply():
    assert read(b"#STATUS;INACTIVE#STATUS;INACTIVE", silence=True) == [INACTIVE, INACTIVE]


def test_log_lines_before_after_and_between_replies():
    transcript = b"INFO: Received Command: STATUS\r\n#STATUS;INACTIVEINFO: a\nWARNING: b\r\n#INVALID\r\nINFO: c\r\n"
    assert read(transcript) == [
        LogLine("INFO: Received Command: STATUS"),
        INACTIVE,
        LogLine("INFO: a"),
        LogLine("WARNING: b"),
        Reply("INVALID"),
        LogLine("INFO: c"),
    ]


def test_a_number_sign_in_mid_line_begins_a_reply():
    assert read(b"INFO: half a li#STATUS;INACTIVE\r\n") == [LogLine("INFO: half a li"), INACTIVE]


def test_the_digits_of_valid_split_across_reads():
    assert read(b"#TOKEN;VALID;86", b"39", b"9\r\n") == [Reply("TOKEN", ("VALID", "86399"))]


def test_binary_noise_is_shown_in_hexadecimal():
    assert read(b"\x00\xff~\r\n#STATUS;INACTIVE\r\n") == [LogLine(r"\x00\xff~"), INACTIVE]


def test_a_reply_with_a_flipped_bit_is_damaged():
    assert read(b"#STATUS;INACTIVF\r\n") == [Damaged("not an answer", "STATUS;INACTIVF")]
    assert read(b"#STATUS;ACTIVE;1 2\r\n#TOKEN;\r\n#\xa3\r\n#\r\n") == [
        Damaged("not an answer", "STATUS;ACTIVE;1 2"),
        Damaged("not an answer", "TOKEN;"),
        Damaged("not an answer", r"\xa3"),
    ]


@pytest.mark.parametrize("resync", [b"\r\n#STATUS;INACTIVE\r\n", b"#STATUS;INACTIVE\r\n"])
@pytest.mark.parametrize("start", [b"", b"#"])
def test_an_endless_line_is_dropped_in_bounded_memory(start, resync):
    reader = HdkReader()
    events = reader.feed(start)
    for _ in range(100):
        events += reader.feed(b"z" * 1000)
        assert len(reader._line) <= LONGEST_LINE
    assert [event.reason for event in events] == ["longer than 4096 bytes"]
    assert reader.feed(resync) == [INACTIVE]


def test_the_longest_telemetry_is_read():
    """H15: JSON on one line, up to 4 KiB."""
    json = "{" + " " * (LONGEST_LINE - len("TELEMETRY;{}*0000")) + "}"
    assert read(checked(f"TELEMETRY;{json}"), require_check=True) == [Reply("TELEMETRY", (json,))]


def test_the_check_of_the_standard_string():
    """H6."""
    assert crc16_ccitt_false(b"123456789") == 0x29B1
    assert check_of("123456789") == "29B1"


def test_a_check_is_verified_also_where_it_is_not_required():
    """H6."""
    good, bad = checked("STATUS;INACTIVE"), b"#STATUS;INACTIVE*0000\r\n"
    assert read(good) == [INACTIVE]
    assert read(bad) == [Damaged("its check is wrong", "STATUS;INACTIVE*0000")]
    assert read(good.lower()) != [INACTIVE]
    assert read(good.rstrip() + b"INFO: x\r\n") == [INACTIVE, LogLine("INFO: x")]


@pytest.mark.parametrize(
    "line", [b"#STATUS;INACTIVE", checked("STATUS;INACTIVE").rstrip() + b"X", b"#STATUS;INACTIVEX"]
)
def test_a_required_check_that_is_missing_or_not_at_the_end_is_damage(line):
    """H6."""
    assert [type(event) for event in read(line + b"\r\n", require_check=True)] == [Damaged]
    assert read(checked("STATUS;INACTIVE"), require_check=True) == [INACTIVE]


@settings(deadline=None)
@given(at=st.integers(0, 200), flip=st.integers(1, 255))
def test_no_single_damaged_byte_passes_a_required_check(at, flip):
    """H6: not even in an alert, whose acknowledgement would erase another one."""
    line = bytearray(checked("ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;1;9"))
    sent = Alert("BATTERY_OVERVOLTAGE", True, 16012, "mV", 1, 9)
    line[at % (len(line) - 2)] ^= flip
    events = read(bytes(line), silence=True, require_check=True)
    assert not any(isinstance(event, (Alert, Reply)) and event != sent for event in events)


@pytest.mark.parametrize("form", serial_forms(KEY)[:-1])
def test_a_key_never_leaves_the_reader(form):
    for line in (b"INFO: SN: 1, SC: 2, KEY: " + form, b"INFO: " + form, b"#SETUP;1;2;" + form):
        (event,) = read(line + b"\r\n", secrets=(bytes.fromhex(KEY),))
        assert form.decode() not in event.text
        assert "[secret]" in event.text


def test_an_unknown_key_of_decimal_digits_is_masked_after_its_name():
    assert read(b"INFO: SN: 1, KEY: 1234567890123456\r\n") == [LogLine("INFO: SN: 1, KEY: [secret]")]


VALID_LINES = [b"#STATUS;ACTIVE;5\r\n", b"#TOKEN;ALREADY_USED\n", b"#INVALID\r\n", checked("LOAD;OFF;OFF")]
NOISE = st.lists(
    st.one_of(st.binary(max_size=40), st.sampled_from([b"#", b"\r", b"\n", b"*", b"#TOKEN;VALID;", *VALID_LINES]))
).map(b"".join)


@settings(deadline=None)
@given(noise=NOISE, line=st.sampled_from(VALID_LINES), silence=st.booleans())
def test_a_reply_after_any_noise_is_read(noise, line, silence):
    """Also when the noise ends in silence; nothing raises and nothing grows."""
    reader = HdkReader()
    reader.feed(noise)
    if silence:
        reader.silence()
    reader.feed(b"\r\n")
    assert reader.feed(line) == read(line)
    assert len(reader._line) == 0


@settings(deadline=None)
@given(noise=NOISE, require=st.booleans(), long=st.booleans())
def test_bytes_one_by_one_give_what_they_give_at_once(noise, require, long):
    noise = noise + b"k" * 5000 + noise if long else noise
    pieces = [noise[at : at + 1] for at in range(len(noise))]
    assert read(*pieces, silence=True, require_check=require) == read(noise, silence=True, require_check=require)


def test_the_lines_of_a_host():
    """H1, H10 to H21."""
    assert hdk.encode_status() == b"#STATUS;\n"
    assert hdk.encode_info(with_check=True) == b"#INFO;*5119\n"
    assert hdk.encode_token("016 609-796") == b"#TOKEN;016609796\n"
    assert hdk.encode_load("off") == b"#LOAD;OFF\n"
    assert hdk.encode_battery() == b"#BATTERY;\n"
    assert hdk.encode_battery("gel", 40) == b"#BATTERY;GEL;40\n"
    assert hdk.encode_ack(1, 2, with_check=True) == b"#ACK;1;2*" + check_of("ACK;1;2").encode() + b"\n"
    assert (hdk.encode_telemetry(), hdk.encode_alerts(), hdk.encode_log()) == (
        b"#TELEMETRY;\n",
        b"#ALERTS;\n",
        b"#LOG;\n",
    )
    assert hdk.encode_setup(DEVICE) == b"#SETUP;SLT220000001;123456789;%s\n" % KEY.encode()
    assert hdk.encode_setup_plus(DEVICE) == b"#SETUP+;SLT220000001;123456789;%s;7;1;0;;\n" % KEY.encode()
    migrated = Device(
        "A/1",
        DeviceConfig.from_hex(KEY, 5, time_divider=4, restricted_digit_set=True, max_jump=30),
        9,
        test_code="0042",
    )
    assert hdk.encode_setup_plus(migrated) == b"#SETUP+;A/1;5;%s;9;4;1;0042;30,100,16\n" % KEY.encode()


@pytest.mark.parametrize("serial", ["with space", "semi;colon", "star*", "é", "a" * 21, "#"])
def test_a_serial_that_the_line_cannot_carry_is_refused(serial):
    """H10, H14."""
    device = Device(serial, DeviceConfig.from_hex(KEY, 1))
    for encode in (hdk.encode_setup, hdk.encode_setup_plus):
        with pytest.raises(PaygoError) as error:
            encode(device)
        assert KEY not in str(error.value)


@pytest.mark.parametrize("text", ["", "12345678", "1234567890", "12345678a", "१२३४५६७८९", "1234567;9", "1" * 21])
def test_what_is_no_token_is_refused(text):
    """H11."""
    with pytest.raises(PaygoError):
        hdk.encode_token(text)


def test_a_switch_position_or_event_that_does_not_exist_is_refused():
    with pytest.raises(PaygoError):
        hdk.encode_load("up")
    with pytest.raises(PaygoError):
        hdk.encode_ack(-1, 1)
