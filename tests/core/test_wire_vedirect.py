"""VE.Direct text and hex: each quirk on literal bytes, then noise of every kind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygo_core.errors import PaygoError
from paygo_core.wire import vedirect
from paygo_core.wire.vedirect import LONGEST_BLOCK, Block, Damaged, HexMessage, VeDirectReader

CHARGER = (
    b"\r\nPID\t0xA053\r\nFW\t139\r\nSER#\tHQ1539P6MRC\r\nV\t12800\r\nI\t-330\r\nVPV\t18540\r\nPPV\t3\r\nCS\t3\r\nMPPT\t2"
    b"\r\nOR\t0x00000000\r\nERR\t0\r\nLOAD\tON\r\nIL\t500\r\nH19\t1234\r\nH20\t12\r\nH21\t45\r\nH22\t98\r\nH23\t120"
    b"\r\nHSDS\t17\r\nChecksum\t\xb8"
)
OLD_CHARGER = (
    b"\r\nPID\t0x300\r\nFW\t116\r\nSER#\tHQ14135AAAA\r\nV\t13790\r\nI\t200\r\nVPV\t0\r\nPPV\t0\r\nCS\t0\r\nERR\t2"
    b"\r\nLOAD\tOFF\r\nIL\t0\r\nH19\t7\r\nH20\t0\r\nH21\t0\r\nH22\t0\r\nH23\t0\r\nHSDS\t0\r\nChecksum\t\xb7"
)
MONITOR = (
    b"\r\nPID\t0x203\r\nV\t25994\r\nI\t-1512\r\nP\t-39\r\nCE\t-38432\r\nSOC\t876\r\nTTG\t2310\r\nT\t21\r\nAlarm\tOFF"
    b"\r\nRelay\tOFF\r\nAR\t0\r\nBMV\t700\r\nFW\t0308\r\nMON\t0\r\nChecksum\t8"
)
MONITOR_HISTORY = (
    b"\r\nH1\t-102738\r\nH2\t-38432\r\nH3\t-50000\r\nH4\t3\r\nH5\t0\r\nH6\t-4120000\r\nH7\t20100\r\nH8\t28650\r\nH9\t86400"
    b"\r\nH10\t12\r\nH11\t1\r\nH12\t0\r\nH15\t0\r\nH16\t0\r\nH17\t5230\r\nH18\t6110\r\nChecksum\t@"
)
STRANGE = (
    b"\r\nPID\t0xA060\r\nV\t12810\r\nCAP_BLE\t0x1\r\nXYZ\t\r\nV2\t---\r\nCS\t99\r\nOR\t0x00000011\r\nERR\t200"
    b"\r\nChecksum\t\xb8"
)
SHORT = b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nH19\t1500\r\nChecksum\t="
NEXT = b"\r\nPID\t0xA053\r\nV\t12810\r\nCS\t3\r\nH19\t1500\r\nChecksum\t<"
SHORT_VALUES = {"PID": "0xA053", "V": 12.8, "CS": "bulk", "H19": 15.0}
NEXT_VALUES = {**SHORT_VALUES, "V": 12.81}
BY_CHECK = {
    b"\r": b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nH19\t10005\r\nChecksum\t\r",
    b"\n": b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nH19\t10008\r\nChecksum\t\n",
    b"\t": b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nH19\t10009\r\nChecksum\t\t",
    b":": b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nH19\t1008\r\nChecksum\t:",
}
ASYNC = b":ADAED00000084\n"


def read(*pieces: bytes) -> list:
    reader = VeDirectReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def by_byte(data: bytes) -> list:
    return read(*(bytes([byte]) for byte in data))


def blocks(events: list) -> list[Block]:
    return [event for event in events if isinstance(event, Block)]


def test_a_chargers_block_in_si_units():
    assert read(CHARGER) == [
        {
            "PID": "0xA053",
            "FW": "1.39",
            "SER#": "HQ1539P6MRC",
            "V": 12.8,
            "I": -0.33,
            "VPV": 18.54,
            "PPV": 3,
            "CS": "bulk",
            "MPPT": "active",
            "OR": (),
            "ERR": 0,
            "LOAD": True,
            "IL": 0.5,
            "H19": 12.34,
            "H20": 0.12,
            "H21": 45,
            "H22": 0.98,
            "H23": 120,
            "HSDS": 17,
        }
    ]


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_reads_cut_anywhere_change_nothing(cut):
    data = CHARGER + ASYNC + b"".join(BY_CHECK.values()) + MONITOR
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert read(*pieces) == read(data)
    assert len(blocks(read(data))) == 6


@pytest.mark.parametrize("check", BY_CHECK)
def test_the_checksum_byte_can_be_cr_lf_tab_or_colon(check):
    for events in (read(BY_CHECK[check] + SHORT + NEXT), by_byte(BY_CHECK[check] + SHORT + NEXT)):
        assert len(blocks(events)) == 3
        assert events[1:] == [SHORT_VALUES, NEXT_VALUES]


def test_a_hex_message_after_a_colon_for_a_checksum():
    error = HexMessage(vedirect.ASYNC, b"\xda\xed\x00\x00\x00")
    assert read(BY_CHECK[b":"] + ASYNC + SHORT)[1:] == [error, SHORT_VALUES]


def test_hex_messages_between_blocks_do_not_count():
    events = read(ASYNC + SHORT + ASYNC + ASYNC + NEXT)
    assert blocks(events) == [SHORT_VALUES, NEXT_VALUES]
    assert len(events) == 5


def test_of_ten_blocks_with_a_hex_message_inside_ten_are_decoded():
    places = [2, 5, 9, 17, 30, 45, 80, 120, len(CHARGER) - 10, len(CHARGER) - 4]
    events = read(*(CHARGER[:at] + ASYNC + CHARGER[at:] for at in places))
    assert blocks(events) == read(CHARGER) * 10
    assert len(events) == 20


def test_a_hex_message_at_every_place_also_right_before_the_checksum_byte():
    for block in (CHARGER, *BY_CHECK.values()):
        for at in range(len(block)):
            data = block[:at] + ASYNC + block[at:] + NEXT
            for events in (read(data), by_byte(data)):
                assert blocks(events) == [*read(block), NEXT_VALUES], at
                assert len(events) == 3


def test_a_hex_message_that_lost_its_line_feed_ends_at_the_next_field():
    message, block = read(ASYNC[:-1] + SHORT)
    assert message == Damaged("half a hex message", ":ADAED00000084")
    assert block == SHORT_VALUES


def test_older_firmware_has_no_mppt_and_no_off_reason():
    [block] = read(OLD_CHARGER)
    assert "MPPT" not in block
    assert "OR" not in block
    assert (block["FW"], block["CS"], block["LOAD"]) == ("1.16", "off", False)


def test_a_battery_monitor_alternates_two_blocks_and_the_second_has_no_product_id():
    first, second = read(MONITOR + MONITOR_HISTORY)
    assert (first["SOC"], first["T"], first["TTG"], first["CE"], first["FW"]) == (0.876, 21, 138_600, -38.432, "3.08")
    assert (first["Alarm"], first["Relay"], first["AR"]) == (False, False, 0)
    assert (second["H1"], second["H9"], second["H17"]) == (-102.738, 86_400, 52.3)
    assert "PID" not in second


def test_a_monitor_whose_battery_never_empties():
    assert read(b"\r\nTTG\t-1\r\nChecksum\t@") == [{"TTG": "-1"}]


def test_unknown_labels_and_values_are_kept_as_text():
    [block] = read(STRANGE)
    assert (block["CAP_BLE"], block["XYZ"], block["V2"], block["CS"]) == ("0x1", "", "---", "99")
    assert (block["OR"], block["ERR"]) == (("no input power", "protection"), 200)


def test_half_a_block_in_front_costs_nothing_but_itself():
    """A host that is plugged in hears the rest of a block first."""
    for cut in range(1, len(SHORT)):
        events = read(SHORT[cut:] + NEXT)
        assert blocks(events) == [NEXT_VALUES], cut


def test_a_block_that_breaks_off_does_not_cost_the_next_one():
    for cut in range(len(SHORT)):
        assert blocks(read(SHORT[:cut] + NEXT))[-1] == NEXT_VALUES, cut


def test_a_lost_byte_costs_one_block():
    for lost in range(len(SHORT)):
        events = read(SHORT[:lost] + SHORT[lost + 1 :] + NEXT + SHORT)
        assert blocks(events)[-2:] == [NEXT_VALUES, SHORT_VALUES], lost


def test_a_flipped_bit_costs_one_block():
    for at in range(len(SHORT)):
        for bit in range(8):
            flipped = bytearray(SHORT)
            flipped[at] ^= 1 << bit
            assert blocks(read(bytes(flipped) + NEXT + SHORT))[-1] == SHORT_VALUES, (at, bit)


def test_noise_before_a_block_is_not_part_of_it():
    assert blocks(read(b"\x00\xffnoise\r\nmore\r\n" + SHORT)) == [SHORT_VALUES]
    assert blocks(read(b"x" * 3000 + b"\r\n" * 700 + SHORT)) == [SHORT_VALUES]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"\r\nPID\t0xA053\r\nV\t12801\r\nCS\t3\r\nH19\t1500\r\nChecksum\t=", "its sum is wrong"),
        (b"\r\nV\t1\r\nV\t1\r\nChecksum\t_", "a label stands twice"),
        (b"\r\nH1\t1\r\nH1\t1\r\nChecksum\t\x19", "a label stands twice"),
        (b"\r\nV\r\nChecksum\t@", "a field has no value"),
        (b"\r\n\t1\r\nChecksum\t\\", "a field has no value"),
        (b"\r\n\r\nxChecksum\t\x1e", "half a block"),
        (b"Checksum\t\xc4", "half a block"),
    ],
)
def test_what_is_wrong_with_a_block(block, reason):
    [event] = read(block)
    assert isinstance(event, Damaged)
    assert event.reason == reason
    assert read(block + SHORT)[-1] == SHORT_VALUES


def test_what_is_damaged_is_shown_in_printable_characters():
    [event] = read(b"\r\n\x1b[2JV\t1\r\nChecksum\t!")
    assert event.text.startswith(r"\x0d\x0a\x1b[2JV\x091")


# Hex


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b":154\n", HexMessage(vedirect.PING, b"")),
        (b":352\n", HexMessage(vedirect.VERSION, b"")),
        (b":451\n", HexMessage(vedirect.PRODUCT, b"")),
        (b":51641F9\n", HexMessage(vedirect.PING_REPLY, b"\x16\x41")),
        (b":11641FD\n", HexMessage(vedirect.DONE, b"\x16\x41")),
        (b":30250\n", HexMessage(vedirect.UNKNOWN, b"\x02")),
        (b":4AAAAFD\n", HexMessage(vedirect.ERROR, b"\xaa\xaa")),
        (b":7F0ED0071\n", HexMessage(vedirect.GET, b"\xf0\xed\x00")),
        (b":8ABED0000B5\n", HexMessage(vedirect.SET, b"\xab\xed\x00\x00")),
        (b":8ABED0004B1\n", HexMessage(vedirect.SET, b"\xab\xed\x00\x04")),
        (b":adaed00000084\n", HexMessage(vedirect.ASYNC, b"\xda\xed\x00\x00\x00")),
    ],
)
def test_hex_messages_are_read_and_written(line, message):
    assert read(line) == [message]
    assert vedirect.encode_hex(message.command, message.data) == line.upper()


def test_register_flags_and_value():
    assert vedirect.encode_get(0xEDF0) == b":7F0ED0071\n"
    assert vedirect.encode_set(vedirect.LOAD_CONTROL, bytes([vedirect.LOAD_OFF])) == b":8ABED0000B5\n"
    assert vedirect.encode_set(vedirect.LOAD_CONTROL, bytes([vedirect.LOAD_ON])) == b":8ABED0004B1\n"
    [reply] = read(b":7F0ED009600DB\n")
    assert (reply.register, reply.flags, reply.value) == (0xEDF0, 0, b"\x96\x00")
    assert read(b":154\n")[0].register is None
    for command in (
        lambda: vedirect.encode_hex(16),
        lambda: vedirect.encode_get(-1),
        lambda: vedirect.encode_get(2**16),
    ):
        with pytest.raises(PaygoError):
            command()


@pytest.mark.parametrize(
    "line", [b":\n", b":1\n", b":15\n", b":15 4\n", b":1G4\n", b":155\n", b":7F0ED0072\n", b":-54\n"]
)
def test_a_hex_message_without_its_check_is_damaged(line):
    [event] = read(line)
    assert isinstance(event, Damaged)
    assert read(line + SHORT + b":154\n")[-2:] == [SHORT_VALUES, HexMessage(1, b"")]


def test_a_hex_message_without_an_end_is_given_up():
    reader = VeDirectReader()
    events = reader.feed(b":" + b"1" * 100_000)
    assert {event.reason for event in events} == {f"longer than {LONGEST_BLOCK} bytes"}
    assert blocks(reader.feed(b"\r\n" + SHORT)) == [SHORT_VALUES]


# Readings and alerts


def test_a_reading_of_a_charger():
    reading = vedirect.telemetry(read(CHARGER)[0])
    assert (reading.serial, reading.firmware_version, reading.output) == ("HQ1539P6MRC", "1.39", True)
    assert (reading.battery_voltage, reading.battery_current, reading.load_current) == (12.8, -0.33, 0.5)
    assert (reading.panel_voltage, reading.panel_power) == (18.54, 3.0)
    assert reading.extra["CS"] == "bulk"
    assert "V" not in reading.extra


def test_a_reading_of_a_monitors_two_blocks():
    first, second = read(MONITOR + MONITOR_HISTORY)
    reading = vedirect.telemetry({**first, **second})
    assert (reading.state_of_charge, reading.temperature, reading.output) == (0.876, 21.0, None)
    assert (reading.extra["TTG"], reading.extra["H18"]) == (138_600, 61.1)


def test_a_value_that_is_no_number_stays_the_units_text():
    reading = vedirect.telemetry(read(b"\r\nV\t---\r\nLOAD\tMAYBE\r\nChecksum\t\x02")[0])
    assert (reading.battery_voltage, reading.output) == (None, None)
    assert reading.extra == {"V": "---", "LOAD": "MAYBE"}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"ERR": 0}, {}),
        ({"ERR": 2}, {"BATTERY_OVERVOLTAGE": (2, "ERR")}),
        ({"ERR": 17}, {"OVERTEMPERATURE": (17, "ERR")}),
        ({"ERR": 18}, {"OVERCURRENT": (18, "ERR")}),
        ({"ERR": 21}, {"SENSOR_FAULT": (21, "ERR")}),
        ({"ERR": 33}, {"PANEL_OVERVOLTAGE": (33, "ERR")}),
        ({"ERR": 200}, {"CHARGER_FAULT": (200, "ERR")}),
        ({"ERR": "x"}, {}),
        ({"Alarm": True, "AR": 0x41}, {"BATTERY_UNDERVOLTAGE": (0x41, "AR"), "OVERTEMPERATURE": (0x41, "AR")}),
        ({"Alarm": True, "AR": 0x200}, {"CHARGER_FAULT": (0x200, "AR")}),
        ({"Alarm": False, "AR": 1}, {}),
    ],
)
def test_errors_and_alarms_are_alerts_with_the_units_own_number(values, found):
    assert vedirect.alerts(values) == found


def test_the_example_on_the_page_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "vedirect.md").read_text("utf-8")
    exec(page.split("```python\n")[1].split("```")[0], {})
    assert capsys.readouterr().out == "12.8 12.8 {'BATTERY_OVERVOLTAGE': (2, 'ERR')}\n"


# Noise


def with_check(body: bytes) -> bytes:
    body += b"\r\nChecksum\t"
    return body + bytes([-sum(body) % 256])


words = st.sampled_from(
    [b"\r\n", b"\t", b":", b"\n", b"Checksum\t", b"\r\nPID\t", b"\r\nV\t", b"\r\nH19\t", b"ON", b"1" * 400, b":154\n"]
)
noise = st.one_of(st.binary(max_size=60), words, st.lists(words, max_size=6).map(b"".join))
pieces = st.one_of(
    noise,
    noise.map(with_check),
    st.sampled_from([CHARGER, OLD_CHARGER, MONITOR, MONITOR_HISTORY, STRANGE, ASYNC, b"\r" * 3000, b":1" * 2000]),
    st.tuples(st.integers(0, len(CHARGER)), st.integers(0, len(CHARGER))).map(lambda cut: CHARGER[min(cut) : max(cut)]),
)


@given(st.lists(pieces, max_size=10))
def test_whatever_comes_the_next_charger_is_read_and_little_is_kept(come):
    reader = VeDirectReader()
    for piece in come:
        for event in reader.feed(piece):
            assert isinstance(event, (Block, HexMessage, Damaged))
            if isinstance(event, Block):
                vedirect.alerts(event)
                vedirect.telemetry(event).to_json()
        assert sys.getsizeof(reader._rest) < LONGEST_BLOCK + 100
    assert blocks(reader.feed(SHORT + NEXT))[-1:] == [NEXT_VALUES]


@given(st.lists(pieces, max_size=6), st.integers(1, 50))
def test_the_cuts_between_reads_mean_nothing(come, cut):
    data = b"".join(come)[: LONGEST_BLOCK // 2]
    assert read(*(data[at : at + cut] for at in range(0, len(data), cut))) == read(data)


def test_the_sum_of_a_long_block_is_exact():
    for length, error in ((300, 241), (600, 226), (1900, 151)):  # of a sum that is counted mod 65 521
        block = with_check(b"\r\nX\t" + b"\xff" * length)
        assert read(block) == [{"X": "\xff" * length}]
        assert isinstance(read(block[:-1] + bytes([(block[-1] + error) % 256]))[0], Damaged)


def test_a_number_that_no_unit_measures_stays_text():
    assert read(with_check(b"\r\nV\t99999999999\r\nI\t100000000000")) == [{"V": 99999999.999, "I": "100000000000"}]


def test_what_was_computed_once_is_forgotten_some_day():
    reader = VeDirectReader()
    for number in range(5000):
        reader.feed(with_check(b"\r\nX%d\t1\r\nH%d\t1" % (number, number)))
    reader.feed(with_check(b"\r\nX\t" + b"x" * 100))
    assert len(vedirect._line.__self__) <= 4096
    assert max(map(len, vedirect._line.__self__)) <= 48
    assert len(vedirect._run.__self__) <= 64
