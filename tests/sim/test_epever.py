"""A simulated EPEVER charger: read by public clients as they are, on literal frames, and against hostile bytes."""

from __future__ import annotations

from collections.abc import Iterator

import minimalmodbus
import pytest
from epevermodbus.driver import EpeverChargeController
from hypothesis import given
from hypothesis import strategies as st
from test_serve import Served, refused, serving

from firmware_sim.epever import FRAME_GAP_MS, LONGEST_REQUEST, EpeverUnit
from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage

READ_BATTERY_VOLTAGE = bytes.fromhex("01 04 33 1a 00 01 1f 49")
LOAD_OFF = bytes.fromhex("01 05 00 02 00 00 6c 0a")
LOAD_ON = bytes.fromhex("01 05 00 02 ff 00 2d fa")


def crc_of(body: bytes) -> bytes:
    """The Modbus CRC, bit by bit, independent of the library under test."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def frame(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + crc_of(body)


def charger(storage: Storage | None = None, **home: float) -> EpeverUnit:
    return EpeverUnit(storage or Storage(), SolarHome(**home))


def asked(unit: EpeverUnit, request: bytes) -> bytes:
    unit.feed(request)
    return unit.take()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--protocol", "epever", "--control", "127.0.0.1:0", "--start-hour", "12") as unit:
        yield unit


@pytest.fixture
def client(served: Served) -> Iterator[EpeverChargeController]:
    """The public client of EPEVER chargers, as it is."""
    found = EpeverChargeController(served.port, 1)
    yield found
    found.serial.close()


def test_the_frames_of_this_file_are_right():
    for sent in (READ_BATTERY_VOLTAGE, LOAD_OFF, LOAD_ON):
        assert crc_of(sent[:-2]) == sent[-2:]


def test_the_public_client_reads_what_the_plant_has(served, client):
    served.ask(op="plant", irradiance=800, ambient=-5)
    served.ask(op="advance", seconds=60)
    plant = served.ask(op="read")
    assert client.get_solar_voltage() == pytest.approx(plant["panel_voltage"], abs=0.01)
    assert client.get_solar_current() == pytest.approx(plant["panel_current"], abs=0.01)
    assert client.get_solar_power() == pytest.approx(plant["panel_voltage"] * plant["panel_current"], abs=0.02)
    assert client.get_battery_voltage() == pytest.approx(plant["battery_voltage"], abs=0.01)
    assert client.get_battery_current() == pytest.approx(plant["battery_current"], abs=0.01)
    assert client.get_battery_current() > 0  # it charges
    assert client.get_battery_state_of_charge() == round(plant["state_of_charge"] * 100)
    assert client.get_battery_temperature() == client.get_controller_temperature() == -5
    assert client.get_battery_status()["battery_status"] == "NORMAL"
    status = client.get_charging_equipment_status()
    assert (status["charging_status"], status["running"], status["input_voltage_status"]) == ("BOOST", True, "NORMAL")
    assert client.get_discharging_equipment_status()["running"] is True
    assert client.is_day()
    assert not client.is_device_over_temperature()
    assert client.get_battery_type() == "SEALED"
    assert client.get_maximum_battery_voltage_today() >= client.get_minimum_battery_voltage_today() > 10


def test_a_current_out_of_the_battery_is_negative(served, client):
    """Two registers, low word first, signed."""
    served.ask(op="plant", irradiance=0)
    served.ask(op="advance", seconds=60)
    assert client.get_battery_current() == pytest.approx(served.ask(op="read")["battery_current"], abs=0.01)
    assert client.get_battery_current() < 0
    assert client.is_night()


def test_the_public_client_sets_the_voltages_in_their_order_only(client):
    client.set_battery_voltage_control_registers(float_charging_voltage=13.7)
    assert client.get_battery_voltage_control_registers()["float_charging_voltage"] == 13.7
    with pytest.raises(minimalmodbus.SlaveReportedException):
        client.set_battery_voltage_control_registers(float_charging_voltage=15.9)


def test_a_plain_modbus_client_switches_the_load(served):
    client = minimalmodbus.Instrument(served.port, 1)
    with client.serial:
        client.serial.baudrate = 115_200
        client.serial.timeout = 5
        for on in (0, 1):
            client.write_bit(2, on)
            assert client.read_bit(2, functioncode=1) == on
            assert served.ask(op="read")["output"] is bool(on)


def test_literal_frames_are_answered_as_a_charger_does():
    unit = charger(state_of_charge=0.5)
    assert unit.home.measured.battery_v == pytest.approx(12.06)
    assert asked(unit, READ_BATTERY_VOLTAGE) == frame("01 04 02 04 b6")
    assert asked(unit, LOAD_OFF) == LOAD_OFF
    assert unit.output is False
    assert asked(unit, frame("01 01 00 02 00 01")) == frame("01 01 01 00")
    assert asked(unit, LOAD_ON) == LOAD_ON
    assert unit.output is True


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("01 04 00 00 00 01", "01 84 02"),  # no such input register
        ("01 03 91 00 00 01", "01 83 02"),
        ("01 01 00 00 00 01", "01 81 02"),
        ("01 02 30 00 00 01", "01 82 02"),
        ("01 05 00 07 ff 00", "01 85 02"),
        ("01 06 90 01 00 10", "01 86 01"),  # parameters are set by function 16
        ("01 10 90 6a 00 01 02 00 07", "01 90 03"),  # neither on nor off
        ("02 04 33 1a 00 01", ""),  # another charger on the bus
    ],
)
def test_what_it_cannot_do_is_refused_as_modbus_says(request_, answer):
    unit = charger()
    assert asked(unit, frame(request_)) == (frame(answer) if answer else b"")


def test_a_broadcast_is_obeyed_by_all_and_answered_by_none():
    unit = charger()
    assert asked(unit, frame("00 05 00 02 00 00")) == b""
    assert unit.output is False


def test_a_wrong_check_has_no_effect():
    unit = charger()
    assert asked(unit, LOAD_OFF[:-1] + b"\x0b") == b""
    assert unit.output is True


def test_the_load_is_as_it_was_set_for_a_start_and_settings_are_kept(tmp_path):
    """Coil 2 is not kept; register 0x906A says what it is after a start."""
    path = tmp_path / "charger"
    for at_start, output in ((0, False), (1, True)):
        storage = Storage(path)
        unit = charger(storage)
        assert asked(unit, frame(f"01 10 90 6a 00 01 02 00 0{at_start}")) == frame("01 10 90 6a 00 01")
        asked(unit, LOAD_ON if not at_start else LOAD_OFF)
        unit.power_off()
        storage.close()
        storage = Storage(path)
        assert charger(storage).output is output
        storage.close()


def test_a_cut_at_any_byte_of_a_setting_leaves_the_old_or_the_new_one():
    new = frame("01 10 90 01 00 01 02 00 64")
    reading = frame("01 03 90 01 00 01")
    at_byte = 0
    while True:
        storage = Storage()
        unit = charger(storage)
        asked(unit, frame("01 10 90 01 00 01 02 00 20"))
        unit.cut_power(at_byte)
        asked(unit, new)
        whole = storage.image[:]
        assert not unit.powered
        unit.power_on()
        found = asked(unit, reading)
        assert found in (frame("01 03 02 00 20"), frame("01 03 02 00 64"))
        if found == frame("01 03 02 00 64"):
            break
        at_byte += 1
        assert at_byte < len(whole)
    assert at_byte > 4


def test_a_planned_cut_strikes_once_and_behind_the_writes_before_it():
    unit = charger()
    unit.cut_power(0, after_writes=1)
    for capacity, powered in ((0x20, True), (0x30, False), (0x40, True), (0x50, True)):
        asked(unit, frame(f"01 10 90 01 00 01 02 00 {capacity:02x}"))
        assert unit.powered is powered
        unit.power_on()
    assert asked(unit, frame("01 03 90 01 00 01")) == frame("01 03 02 00 50")


def test_an_empty_battery_loses_its_load_until_it_has_recovered():
    unit = charger(state_of_charge=0.0, start_hour=19)
    unit.pass_time(1000)
    assert unit.output is False
    assert asked(unit, frame("01 04 32 00 00 01")) == frame("01 04 02 00 03")  # over-discharged
    unit.home.set_value("state_of_charge", 0.5)
    unit.pass_time(1000)
    assert unit.output is False  # 12.06 V lie below the reconnection at 12.60
    unit.home.set_value("state_of_charge", 1.0)
    unit.pass_time(1000)
    assert unit.output is True


def test_a_full_battery_is_held_and_not_cooked():
    unit = charger(state_of_charge=0.9)
    unit.home.set_value("irradiance", 1000.0)
    highest = 0.0
    for _ in range(6 * 360):
        unit.pass_time(10_000)
        highest = max(highest, unit.home.measured.battery_v)
    assert 14.3 < highest < 15.1
    assert 13.5 < unit.home.measured.battery_v < 14.2  # floats


@given(st.lists(st.binary(max_size=300) | st.sampled_from([LOAD_OFF[:5], b"\x01\x10\x90\x00\x00\x7b\xf6"]), max_size=8))
def test_after_any_noise_and_a_pause_it_answers_again(noise: list[bytes]):
    unit = charger()
    for part in noise:
        unit.feed(part)
        assert len(unit._rx) <= LONGEST_REQUEST
    unit.pass_time(0, FRAME_GAP_MS)
    unit.take()
    assert asked(unit, READ_BATTERY_VOLTAGE)[:3] == b"\x01\x04\x02"


def test_a_request_may_come_in_pieces():
    unit = charger()
    for byte in READ_BATTERY_VOLTAGE[:-1]:
        unit.feed(bytes([byte]))
    assert unit.take() == b""
    assert asked(unit, READ_BATTERY_VOLTAGE[-1:])[:3] == b"\x01\x04\x02"


def test_it_is_no_unit_of_ours():
    assert refused("--protocol", "epever", "--mcu", "avr")[0] == 2
    with serving("--protocol", "epever", "--control", "127.0.0.1:0") as unit:
        assert "no keypad" in unit.ask(op="press", keys="1")["error"]
