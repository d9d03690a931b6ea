"""OpenPAYGO Link: literal frames, hostile bytes, and a master with an appliance over RFC 2217."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_bridge.drivers import Info, UnitStatus, capabilities
from hw_bridge.drivers.oplink import OplinkDriver
from hw_bridge.drivers.testing import NOISES, Line
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError
from paygo_core.wire.oplink import LONGEST_FRAME, Frame, Message, OplinkReader, decode_message

PING = bytes.fromhex("55 f1 81 03 00 34")
ACK = bytes.fromhex("55 1f 81 06 eb a1")
GET_BATT = bytes.fromhex("40 01 00 07 b4 62617474")
GET_CREDIT = bytes.fromhex("40 01 00 08 b2 6e78 02 7063")
BATT = bytes.fromhex("60 45 00 07 c1 3c ff a2 627662 193200 626370 1846")


def crc(data: bytes) -> bytes:
    """CRC-16/CCITT-FALSE bit by bit, independent of the code under test."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value.to_bytes(2, "big")


@pytest.mark.parametrize("frame", [PING, ACK])
def test_the_literal_frames_have_a_right_check(frame):
    assert crc(frame[1:-2]) == frame[-2:]


def test_a_ping_and_its_acknowledgement():
    assert Frame(15, 1, b"\x03", command=True).to_bytes() == PING
    assert OplinkReader().feed(PING + b"\x00" + ACK) == [
        Frame(15, 1, b"\x03", command=True),
        Frame(1, 15, b"\x06", command=True),
    ]


def test_a_break_is_read_as_a_zero_byte_and_costs_nothing():
    assert OplinkReader().feed(b"\x00\x00" + ACK) == [Frame(1, 15, b"\x06", command=True)]


def test_a_false_beginning_costs_no_frame():
    """0x55 0x55 0xff … would be a command of 127 bytes."""
    reader = OplinkReader()
    assert reader.feed(b"\x55\x55\xff" + ACK + ACK) == []
    assert reader.silence() == [Frame(1, 15, b"\x06", command=True)] * 2


def test_a_payload_may_hold_what_begins_a_frame():
    payload = b"\x55" * 10
    assert OplinkReader().feed(Frame(1, 15, payload).to_bytes()) == [Frame(1, 15, payload)]


def test_a_frame_with_one_wrong_bit_is_none():
    for bit in range(8 * len(ACK)):
        damaged = (int.from_bytes(ACK, "big") ^ 1 << bit).to_bytes(len(ACK), "big")
        reader = OplinkReader()
        assert reader.feed(damaged) + reader.silence() == []


def test_a_payload_that_is_too_long_is_not_sent():
    with pytest.raises(PaygoError, match="125 bytes"):
        Frame(15, 1, bytes(125)).to_bytes()


@given(st.lists(st.binary(max_size=400)))
def test_no_bytes_harm_the_reader_and_the_next_frame_after_a_silence_arrives(pieces):
    reader = OplinkReader()
    for piece in pieces:
        reader.feed(piece)
        assert len(reader._pending) <= LONGEST_FRAME
    reader.silence()
    assert reader.feed(ACK) == [Frame(1, 15, b"\x06", command=True)]


def test_resources_are_asked_and_told_in_coap_and_cbor():
    assert Message(1, 7, "batt").to_bytes() == GET_BATT
    assert Message(1, 8, "nx/pc").to_bytes() == GET_CREDIT
    assert decode_message(GET_CREDIT) == Message(1, 8, "nx/pc")
    assert decode_message(BATT) == Message(0x45, 7, "", {"vb": 12800, "cp": 70})
    assert Message(0x45, 7, values={"vb": 12800, "cp": 70}).to_bytes() == BATT


@given(st.binary(max_size=124) | st.binary(max_size=110).map(lambda data: b"\x60\x45\x00\x07\xff" + data))
def test_no_payload_harms_who_reads_it(payload):
    with contextlib.suppress(DeviceError):
        assert isinstance(decode_message(payload), Message)


class LateWire:
    """A port whose bytes take their time, on a clock of its own: echo and answer come `late_s` after a frame's end."""

    def __init__(self, late_s: float, *, echoes: bool = True) -> None:
        self.now = 0.0
        self.late_s, self._echoes = late_s, echoes
        self._written = bytearray()
        self._due: list[tuple[float, bytes]] = []

    def monotonic(self) -> float:
        return self.now

    def read(self, timeout: float) -> bytes:
        if self._due and self._due[0][0] <= self.now + timeout:
            at, data = self._due.pop(0)
            self.now = max(at, self.now)
            return data
        self.now += timeout
        return b""

    def write(self, data: bytes) -> None:
        self._written += data
        if OplinkReader().feed(bytes(self._written)):
            heard = bytes(self._written) if self._echoes else b""
            self._due = sorted([*self._due, (self.now + self.late_s, heard + ACK)])
            self._written.clear()

    def set_line(self, baud: int, parity: str) -> None:
        pass

    def send_break(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("late_s", "echoes", "taken_s"), [(2.0, True, 2.0), (4.0, True, None), (0.1, False, 0.1)])
def test_the_time_for_an_answer_begins_when_the_frame_is_heard_on_the_wire(monkeypatch, late_s, echoes, taken_s):
    """A port behind a slow network is no dead one."""
    wire = LateWire(late_s, echoes=echoes)
    monkeypatch.setattr("hw_bridge.drivers.oplink.time", wire)
    driver = OplinkDriver(wire)
    answer = driver._command(b"\x03", to=1, tries=1)
    assert (answer is not None) == (taken_s is not None)
    if taken_s is not None:
        assert wire.now == pytest.approx(taken_s, abs=0.01)


def test_a_port_that_does_not_echo_is_waited_for_once(monkeypatch):
    wire = LateWire(1e9)
    monkeypatch.setattr("hw_bridge.drivers.oplink.time", wire)
    driver = OplinkDriver(wire)
    assert driver._command(b"\x03", to=1, tries=1) is None
    first = wire.now
    assert driver._command(b"\x03", to=1, tries=1) is None
    assert first > 3
    assert wire.now - first < 0.2


def test_a_port_that_ceases_to_echo_is_waited_for_twice(monkeypatch):
    """Once might be a frame that was lost."""
    wire = LateWire(0.5)
    monkeypatch.setattr("hw_bridge.drivers.oplink.time", wire)
    driver = OplinkDriver(wire)

    def taken_s() -> float:
        began = wire.now
        assert (driver._command(b"\x03", to=1, tries=1) is None) == (wire.late_s > 10)
        return wire.now - began

    assert taken_s() == pytest.approx(0.5, abs=0.01)
    wire.late_s = 1e9
    assert [taken_s() > 3 for _ in range(4)] == [True, True, False, False]
    wire.late_s = 0.1
    assert taken_s() == pytest.approx(0.1, abs=0.01)
    wire.late_s = 2.0
    assert taken_s() == pytest.approx(2.0, abs=0.01), "its echo was heard again"


@pytest.fixture
def appliance(tmp_path):
    options = ("--protocol", "oplink", "--rfc2217", "127.0.0.1:0")
    with simulated_unit(tmp_path, *options) as unit, ControlClient(unit.control) as control:
        yield unit, control


def test_a_master_finds_an_appliance_reads_it_and_gives_it_credit(appliance):
    unit, control = appliance
    with Transport(unit.port, OplinkDriver.BAUD) as transport:
        driver = OplinkDriver(transport)
        assert driver.identify() == Info("504159474f0001", model="OpenPAYGO Link")
        assert driver.status() == UnitStatus("inactive", 0)
        assert not control.read()["output"]
        assert driver.give_credit(3600) == UnitStatus("active", 3600)
        assert control.read()["output"]
        reading = driver.telemetry()
        assert reading.battery_voltage == pytest.approx(control.read()["battery_voltage"], abs=0.01)
        assert reading.state_of_charge == pytest.approx(0.7, abs=0.01)
        assert driver.alerts() == []
        control.advance(3600)
        assert driver.status() == UnitStatus("inactive", 0)
        assert driver.give_credit(None) == UnitStatus("unlocked", None)
    with Transport(unit.port, OplinkDriver.BAUD) as transport:  # an appliance that another master left
        assert OplinkDriver(transport).status() == UnitStatus("unlocked", None)


def test_an_appliance_that_lost_its_address_joins_anew(appliance):
    unit, control = appliance
    with Transport(unit.port, OplinkDriver.BAUD) as transport:
        driver = OplinkDriver(transport)
        driver.identify()
        control.power(False)
        control.power(True)
        assert driver.status() == UnitStatus("inactive", 0)


def test_what_comes_without_the_ninth_bit_is_not_for_the_appliance(appliance):
    unit, _ = appliance
    with Transport(unit.port, OplinkDriver.BAUD) as transport:
        OplinkDriver(transport).identify()
        transport.set_line(OplinkDriver.BAUD, "S")
        transport.send_break(0.001)
        transport.write(PING)
        transport.send_break(0.001)  # and once more, as it should be
        transport.write(PING[:1])
        transport.set_line(OplinkDriver.BAUD, "M")
        transport.write(PING[1:2])
        transport.set_line(OplinkDriver.BAUD, "S")
        transport.write(PING[2:])
        reader, own, answer = OplinkReader(), Frame(15, 1, b"\x03", command=True), Frame(1, 15, b"\x06", command=True)
        heard: list[Frame] = []
        while answer not in heard:
            heard += reader.feed(transport.read(10))
        assert heard == [own, own, answer], "the first was heard by its sender alone"


def test_what_an_appliance_lacks_is_refused_and_not_waited_for(appliance):
    unit, _ = appliance
    with (
        Transport(unit.port, OplinkDriver.BAUD) as transport,
        pytest.raises(DeviceError, match=r"refuses /nobodys: 4\.04"),
    ):
        OplinkDriver(transport)._get("nobodys")


def test_a_link_is_not_served_where_parity_and_break_are_lost():
    command = [sys.executable, "-m", "firmware_sim", "serve", "--protocol", "oplink"]
    shown = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 2
    assert "--rfc2217" in shown.stderr


@pytest.mark.parametrize("noise", [b"", *NOISES.values()])
def test_a_line_without_an_appliance_is_no_answer(noise):
    with Line(flood=noise) as line, Transport(line.port, OplinkDriver.BAUD) as transport:
        driver = OplinkDriver(transport, timeout=0.3)
        assert capabilities(driver) == {"identify", "status", "telemetry", "alerts"}
        with pytest.raises(NoAnswerError, match="no appliance signals itself"):
            driver.identify()
