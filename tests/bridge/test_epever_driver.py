"""The EPEVER driver: against a simulated charger as another process, and against lines and chargers that misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_hdk import PtyUnit

from hw_bridge.drivers import capabilities
from hw_bridge.drivers.epever import EpeverDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core.cli import root
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError
from paygo_core.shell import run


def frame(text: str) -> bytes:
    """A Modbus RTU frame, its CRC bit by bit, independent of the library under test."""
    body = bytes.fromhex(text)
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return body + crc.to_bytes(2, "little")


class Charger(PtyUnit):
    """Answers each chunk of bytes with what a test says."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._answer = answer

    def take(self, data: bytes) -> bytes:
        return self._answer(data)


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Iterator[tuple[str, ControlClient]]:
    """A simulated charger's port and control socket."""
    directory = tmp_path_factory.mktemp("charger")
    with (
        simulated_unit(directory, "--protocol", "epever", "--start-hour", "12") as unit,
        ControlClient(unit.control) as control,
    ):
        yield unit.port, control


@pytest.fixture
def driver(plant) -> Iterator[EpeverDriver]:
    with Transport(plant[0]) as transport:
        yield EpeverDriver(transport, timeout=10)


def test_it_reads_what_the_plant_has(plant, driver):
    _, control = plant
    for irradiance in (800, 0):  # charging and discharging
        control.request("plant", irradiance=irradiance, ambient=-5)
        control.advance(60)
        has, read = control.read(), driver.telemetry()
        assert read.battery_voltage == pytest.approx(has["battery_voltage"], abs=0.01)
        assert read.battery_current == pytest.approx(has["battery_current"], abs=0.01)
        assert read.panel_voltage == pytest.approx(has["panel_voltage"], abs=0.01)
        assert read.panel_current == pytest.approx(has["panel_current"], abs=0.01)
        assert read.state_of_charge == pytest.approx(has["state_of_charge"], abs=0.006)
        assert read.temperature == -5
        assert (read.battery_current > 0) is (irradiance > 0)
        assert read.output is True
    assert driver.alerts() == []


def test_the_load_is_switched_and_stays_off_after_a_start(plant, driver):
    """A charger that comes back from a power cut must not give light that nobody paid for."""
    _, control = plant
    driver.switch_load("auto")
    assert control.read()["output"] is True
    writes = control.read()["writes"]
    driver.switch_load("auto")
    driver.switch_load("off")
    driver.switch_load("auto")
    assert control.read()["writes"] == writes  # its memory is spared
    control.power(False)
    control.power(True)
    assert control.read()["output"] is False
    driver.switch_load("auto")
    assert control.read()["output"] is True


def test_an_over_voltage_is_an_alert_with_its_value(plant, driver):
    _, control = plant
    control.request("fault", name="battery_sensor_offset_v", value=6)
    control.advance(60)
    (alert,) = driver.alerts()
    assert (alert.code, alert.unit) == ("BATTERY_OVERVOLTAGE", "mV")
    assert alert.value == pytest.approx(control.read()["battery_voltage"] * 1000 + 6000, abs=20)
    assert driver.load_wanted() is True
    assert control.read()["output"] is False  # protected
    control.request("fault", name="battery_sensor_offset_v", value=0)
    control.advance(60)
    assert driver.alerts() == []


STATUS = {
    "01 04 06 00 01 00 00 00 00": ["BATTERY_OVERVOLTAGE"],
    "01 04 06 00 03 00 00 00 00": ["BATTERY_UNDERVOLTAGE"],
    "01 04 06 00 04 00 00 00 00": ["CHARGER_FAULT"],
    "01 04 06 00 10 00 00 00 00": ["OVERTEMPERATURE"],
    "01 04 06 00 20 00 00 00 00": ["UNDERTEMPERATURE"],
    "01 04 06 00 00 80 00 00 00": ["PANEL_OVERVOLTAGE"],
    "01 04 06 00 00 00 00 08 10": ["OUTPUT_OVERVOLTAGE", "SHORT_CIRCUIT"],
    "01 04 06 00 00 00 02 00 00": [],  # the fault bit, which lies
}


@pytest.mark.parametrize("status", STATUS)
def test_every_status_bit_is_its_alert(status):
    def answer(request: bytes) -> bytes:
        return frame(status if request[2:4] == b"\x32\x00" else "01 04 02 05 dc")

    with Charger(answer) as unit, Transport(unit.port) as transport:
        assert [alert.code for alert in EpeverDriver(transport).alerts()] == STATUS[status]


def test_a_refusal_is_said_with_its_reason():
    with (
        Charger(lambda _: frame("01 84 02")) as unit,
        Transport(unit.port) as transport,
        pytest.raises(DeviceError, match="0x3100: it has no such register"),
    ):
        EpeverDriver(transport).telemetry()


def test_it_says_what_it_can_do_and_what_not(plant, driver):
    assert capabilities(driver) == {"switch_load", "telemetry", "alerts"}
    with pytest.raises(PaygoError, match="has no position 'half'"):
        driver.switch_load("half")


def test_a_load_that_does_not_switch_is_noticed():
    answers = {3: "01 03 02 00 00", 1: "01 01 01 00", 5: "01 05 00 02 ff 00"}
    with (
        Charger(lambda request: frame(answers[request[1]])) as unit,
        Transport(unit.port) as transport,
        pytest.raises(DeviceError, match="does not switch its load on"),
    ):
        EpeverDriver(transport).switch_load("auto")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        frame("02 04 02 04 b6"),  # another charger's
        frame("01 04 02 04 b6")[:-1] + b"\0",
        b"\xff" * 3000,
        b"\x01\x04\xff",
    ],
    ids=["silence", "another charger", "wrong check", "noise", "half a frame"],
)
def test_what_is_no_answer_is_not_taken_for_one(answer):
    with (
        Charger(lambda _: answer) as unit,
        Transport(unit.port) as transport,
        pytest.raises(NoAnswerError, match="no charger answers at address 1"),
    ):
        EpeverDriver(transport, timeout=0.02).load_wanted()


def test_an_answer_after_a_damaged_one_counts():
    answers = iter([frame("01 01 01 01")[:-1] + b"\0", b"\x55\xaa", frame("01 01 01 01")])
    with Charger(lambda _: next(answers)) as unit, Transport(unit.port) as transport:
        assert EpeverDriver(transport, timeout=0.05).load_wanted() is True


def test_an_answer_in_pieces_is_put_together(plant, driver):
    del plant
    with Charger(lambda _: b"") as unit, Transport(unit.port) as transport:
        unit.take = lambda _: (unit.say(b"\x01\x01"), frame("01 01 01 01")[2:])[1]  # type: ignore[method-assign]
        assert EpeverDriver(transport).load_wanted() is True


def test_a_port_that_vanishes_is_said_to():
    with Charger(lambda _: b"") as unit, Transport(unit.port) as transport:

        def vanish(_: bytes) -> bytes:
            unit.vanish()
            return b""

        unit.take = vanish  # type: ignore[method-assign]
        with pytest.raises(PortError):
            EpeverDriver(transport, timeout=5).load_wanted()


def test_an_address_out_of_range_is_refused():
    with (
        Charger(lambda _: b"") as unit,
        Transport(unit.port) as transport,
        pytest.raises(PaygoError, match="0 is no address"),
    ):
        EpeverDriver(transport, unit=0)


def test_the_shell_reads_a_charger(plant, capfd, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(root, ["bridge", "telemetry", plant[0], "--driver", "epever", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["battery_voltage"] > 10
    assert run(root, ["bridge", "status", plant[0], "--driver", "epever"]) == 0
    assert "it knows no tokens" in capfd.readouterr().out
    assert run(root, ["bridge", "enter", plant[0], "123456789", "--driver", "epever"]) == 1
    assert "no token entry" in capfd.readouterr().err


def test_the_shell_switches_a_load_as_a_command_with_a_life(plant, capfd, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command, output in (("disable", False), ("enable", True)):
        assert run(root, ["bridge", command, plant[0], "--driver", "epever", "--json"]) == 0
        assert json.loads(capfd.readouterr().out)["command"]["state"] == "confirmed"
        assert plant[1].read()["output"] is output
