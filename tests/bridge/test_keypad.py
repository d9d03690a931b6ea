"""Keypad units over a serial line: literal transcripts, hostile lines, and simulated units."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fake_hdk import ScriptedUnit
from hypothesis import given
from hypothesis import strategies as st

from hw_bridge.drivers import Entry, UnitStatus, capabilities
from hw_bridge.drivers.keypad import ArduinoDriver, TerminalDriver
from hw_bridge.drivers.testing import Line
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, PaygoError
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.wire.keypad import LONGEST_LINE, KeypadReader, Said, Text, same_key

KEY = "0f9ab80edc05fbbc41ec9530f6da0ab1"
CONFIG = DeviceConfig.from_hex(KEY, starting_code=12345678)
EXAMPLE = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", starting_code=123456789)
ADD_7 = "016609796"

ACCEPTED = (
    b"\r\n(Token entered: 16609796)\r\n(Activation Value from Token: 7)\r\n(Count: 2)\r\n(Max Count: 2)\r\n"
    b"(Used Tokens: 1)\r\nGreen LED Blinked 2 times!\r\n"
)
SET_UP = b"SN: 1234\r\nSC: 12345678\r\nSK: %b\r\nData saved in EEPROM\r\ncount = 0\r\n"
ENTERED = (
    b"*\r\n0\r\n1\r\nactivation code = 16609796\r\nActivation value = 7\r\ncount = 2\r\nActive until in days = 7\r\n"
)


def read(*pieces: bytes):
    reader = KeypadReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.silence()


# The codec


def test_what_the_neutral_example_prints_for_an_accepted_token():
    assert read(ACCEPTED) == [
        Said("token", "16609796"),
        Said("value", "7"),
        Said("count", "2"),
        Said("max_count", "2"),
        Said("used", "1"),
        Said("green", "2"),
    ]


def test_an_answer_without_a_line_end_is_complete_after_a_silence():
    assert read(b"Time Left: 604800 seconds\nGreen LED Blinked 1 times!") == [
        Said("time_left", "604800"),
        Said("green", "1"),
    ]


def test_a_terminal_that_echoes_keys_before_the_answer():
    assert read(b"*016609796(Token entered: 16609796)\n") == [Said("token", "16609796")]


def test_an_arduino_echoes_every_character_on_a_line_of_its_own():
    events = read(ENTERED)
    assert events[:3] == [Text("*"), Text("0"), Text("1")]
    assert events[3:] == [Said("code", "16609796"), Said("value", "7"), Said("count", "2"), Said("days", "7")]


def test_a_key_shows_in_no_event():
    events = read(SET_UP % KEY.encode(), b"\r\n" + KEY.encode() + b"\r\n")
    assert events[2].text == KEY
    assert KEY not in repr(events)


@pytest.mark.parametrize(
    ("echoed", "same"),
    [
        (KEY, True),
        (KEY.upper(), True),
        ("f9ab8edc5fbbc41ec9530f6daab1", True),
        ("f 9a b8 e dc 5 fb bc 41 ec 95 30 f6 da a b1", True),
        ("0f9ab80edc05fbbc41ec9530f6da0ab2", False),
        ("f 9a b8 e dc 5 fb bc 41 ec 95 30 f6 da ab 1", False),
        ("", False),
    ],
)
def test_an_echoed_key_with_and_without_leading_zeros(echoed, same):
    assert same_key(echoed, bytes.fromhex(KEY)) is same


@given(st.lists(st.binary(max_size=600)))
def test_no_bytes_harm_the_reader_and_it_keeps_few(pieces):
    reader = KeypadReader()
    for piece in pieces:
        reader.feed(piece)
        assert len(reader._line) <= LONGEST_LINE
    assert reader.feed(b"\r\nRed LED Blinked 10 times!\r\n")[-1] == Said("red", "10")


@given(st.lists(st.integers(0, len(ACCEPTED)), max_size=8))
def test_how_the_bytes_are_cut_does_not_matter(cuts):
    ends = [0, *sorted(cuts), len(ACCEPTED)]
    assert read(*(ACCEPTED[a:b] for a, b in pairwise(ends))) == read(ACCEPTED)


# The driver of the neutral example


class Terminal:
    """The other end of the line, which takes keys one by one and answers what a test says."""

    def __init__(
        self, answer: bytes, state: bytes = b"Red LED Blinked 1 times!\r\n", begun: bytes | None = None
    ) -> None:
        self.entries: list[bytes] = []
        self._answer, self._state, self._entry = answer, state, begun

    def take(self, sent: bytes) -> bytes:
        said = b""
        for key in (sent[at : at + 1] for at in range(len(sent))):
            if self._entry is not None:
                self._entry += key
                if len(self._entry) == 9:
                    self.entries.append(self._entry)
                    said += self._answer if self._entry.isdigit() else b"Red LED Blinked 10 times!\r\n"
                    self._entry = None
            elif key == b"*":
                self._entry = b""
            elif key == b"#":
                said += self._state
        return said


def entered(answer: bytes, begun: bytes | None = None) -> tuple[Entry, list[bytes]]:
    terminal = Terminal(answer, begun=begun)
    with Line(terminal.take) as line, Transport(line.port) as transport:
        return TerminalDriver(transport).enter("016 609 796"), terminal.entries


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        (ACCEPTED, Entry("accepted")),
        (b"Green LED Blinked 1 times!\r\n", Entry("already_used")),
        (b"Green LED Blinked 3 times!\r\n", Entry("accepted")),
        (b"Green LED Blinked 5 times!\r\n", Entry("accepted", unlocked=True)),
        (b"Red LED Blinked 10 times!\r\n", Entry("invalid")),
        (b"Token entry locked for 61 seconds\r\nRed LED Blinked 1 times!\r\n", Entry("wait", wait_seconds=61)),
    ],
)
def test_what_the_light_says_is_the_verdict(answer, entry):
    assert entered(answer) == (entry, [b"016609796"])


def test_an_entry_that_somebody_began_and_left_does_not_swallow_the_token():
    entry, entries = entered(ACCEPTED, begun=b"12345")
    assert entry.verdict == "accepted"
    assert entries == [b"12345####", b"016609796"]


def test_a_misread_token_is_said():
    with pytest.raises(DeviceError, match="read another token"):
        entered(ACCEPTED.replace(b"16609796", b"16609797"))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (b"Time Left: 86400 seconds\nGreen LED Blinked 1 times!\n", UnitStatus("active", 86_400)),
        (b"Green LED Blinked 1 times!\n", UnitStatus("unlocked", None)),
        (b"Red LED Blinked 1 times!\n", UnitStatus("inactive", 0)),
    ],
)
def test_the_state_is_what_the_light_shows(state, status):
    with Line(Terminal(b"", state).take) as line, Transport(line.port) as transport:
        assert TerminalDriver(transport).status() == status


def test_a_lost_answer_is_not_asked_for_by_entering_again():
    terminal = Terminal(b"")
    with Line(terminal.take) as line, Transport(line.port) as transport:
        with pytest.raises(NoAnswerError, match="did not answer the token"):
            TerminalDriver(transport, timeout=0.8).enter(ADD_7)
        assert terminal.entries == [b"016609796"]


# The driver of the Arduino sketch


def set_up(device: Device, key: str, *, shown: list[str] | None = None) -> tuple[UnitStatus, bytes]:
    with Line(lambda sent: SET_UP % key.encode(), flood=b"") as line, Transport(line.port) as transport:
        line.say(b"FACTORY SETUP MODE\r\nDisconnection spotted!!\r\n")
        driver = ArduinoDriver(transport, timeout=2.0, log=(shown if shown is not None else []).append)
        return driver.provision(device), line.received


def test_the_sketch_gets_its_data_padded_and_in_one_go():
    status, sent = set_up(Device("1234", CONFIG), KEY)
    assert status == UnitStatus("inactive", 0)
    assert sent == b"#1234;012345678;" + KEY.encode()
    assert len(sent) < 64


def test_a_sketch_that_stored_another_key_is_not_set_up():
    shown: list[str] = []
    with pytest.raises(DeviceError, match="stored another key") as error:
        set_up(Device("1234", CONFIG), KEY[:-1] + "0", shown=shown)
    assert KEY[:20] not in f"{error.value.cause} {error.value.hint} {shown}"


def test_a_unit_that_does_not_say_factory_setup_mode_gets_no_key():
    with Line() as line, Transport(line.port) as transport:
        with pytest.raises(NoAnswerError, match="FACTORY SETUP MODE"):
            ArduinoDriver(transport, timeout=0.3).provision(Device("1234", CONFIG))
        assert line.received == b""


@pytest.mark.parametrize("device", [Device("123456789", CONFIG), Device("A1", CONFIG), Device("1", CONFIG, count=5)])
def test_what_the_sketch_would_store_wrong_is_not_sent(device):
    with ScriptedUnit(lambda line: b"") as unit, Transport(unit.port) as transport:
        with pytest.raises(DeviceError, match="cannot be set up on this sketch"):
            ArduinoDriver(transport).provision(device)
        assert unit.received == b""


@pytest.mark.parametrize(
    ("said", "entry"),
    [
        (ENTERED, Entry("accepted", seconds_left=7 * 86_400)),
        (ENTERED.replace(b"value = 7", b"value = -2"), Entry("already_used")),
        (ENTERED.replace(b"value = 7", b"value = -1"), Entry("invalid")),
        (ENTERED.replace(b"value = 7", b"value = 998"), Entry("accepted", unlocked=True)),
        (b"activation code = 4294967295\r\n" + ENTERED, Entry("accepted", seconds_left=7 * 86_400)),
    ],
)
def test_what_the_sketch_makes_of_a_token(said, entry):
    with Line(lambda sent: said) as line, Transport(line.port) as transport:
        assert ArduinoDriver(transport).enter(ADD_7) == entry
        assert line.received == b"*016609796"


def test_an_entry_that_the_sketch_gave_up_is_no_verdict():
    with (
        Line(lambda sent: b"activation code = 4294967293\r\nActivation value = -1\r\n") as line,
        Transport(line.port) as transport,
        pytest.raises(NoAnswerError, match="in 20 s"),
    ):
        ArduinoDriver(transport).enter(ADD_7)


def test_an_arduino_tells_no_status():
    with Line() as line, Transport(line.port) as transport:
        assert capabilities(ArduinoDriver(transport)) == {"provision", "enter"}
        with pytest.raises(PaygoError, match="10 digits"):
            ArduinoDriver(transport).enter("0166097961")


# Simulated units


def test_a_simulated_terminal_keypad_from_locked_to_active(tmp_path):
    with simulated_unit(tmp_path, "--protocol", "keypad") as unit, Transport(unit.port) as transport:
        driver = TerminalDriver(transport)
        assert driver.status() == UnitStatus("inactive", 0)
        assert driver.enter(ADD_7).verdict == "accepted"
        assert driver.status() == UnitStatus("active", 7 * 86_400)
        assert driver.enter(ADD_7).verdict == "already_used"
        with ControlClient(unit.control) as control:
            assert control.read()["output"]
            control.advance(7 * 86_400)
            assert not control.read()["output"]
        assert driver.status() == UnitStatus("inactive", 0)
        assert driver.enter("111111111").verdict == "invalid"
        assert driver.enter("111111112") == Entry("wait", wait_seconds=60)


def test_a_simulated_arduino_is_set_up_once_and_keeps_its_count(tmp_path):
    state = tmp_path / "eeprom"
    options = ("--protocol", "arduino", "--state", str(state))
    device = Device("1234", EXAMPLE)
    with (
        simulated_unit(tmp_path, *options) as unit,
        ControlClient(unit.control) as control,
        Transport(unit.port) as transport,
    ):
        driver = ArduinoDriver(transport)
        control.power(False)
        control.power(True)
        assert driver.provision(device) == UnitStatus("inactive", 0)
        with pytest.raises(NoAnswerError):  # deaf until the next reset
            ArduinoDriver(transport, timeout=0.3).enter(ADD_7)
        control.power(False)
        control.power(True)
        assert driver.enter(ADD_7) == Entry("accepted", seconds_left=7 * 86_400)
    with simulated_unit(tmp_path, *options) as unit, Transport(unit.port) as transport:
        assert ArduinoDriver(transport).enter(ADD_7).verdict == "already_used"
