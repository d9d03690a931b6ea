"""The simulated VE.Direct charger: its wire on literal bytes, its settings over power cuts, its day, public clients."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from serial import serial_for_url
from test_serve import refused, serving

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.vedirect import LONGEST_BACKLOG, VeDirectCharger
from paygo_core.errors import PaygoError
from paygo_core.wire.vedirect import Block, VeDirectReader

HOUR_MS = 3_600_000
OFF, ON = b":8ABED0000B5\n", b":8ABED0004B1\n"
GET_CONTROL, CONTROL_OFF, CONTROL_ON = b":7ABED00B6\n", b":7ABED0000B6\n", b":7ABED0004B2\n"


def charger(storage: Storage | None = None, *, hour: float = 12.0, charge: float = 0.5) -> VeDirectCharger:
    return VeDirectCharger(storage or Storage(), SolarHome(start_hour=hour, state_of_charge=charge))


def ask(unit: VeDirectCharger, line: bytes) -> bytes:
    unit.feed(line)
    return unit.take()


def text(unit: VeDirectCharger) -> Block:
    """The next block; hex messages beside it are dropped."""
    unit.take()
    unit.pass_time(0, 1000)
    [block] = [event for event in VeDirectReader().feed(unit.take()) if isinstance(event, Block)]
    return block


def test_a_block_a_second_whose_sum_is_zero():
    unit = charger(hour=0.0)
    unit.pass_time(0, 999)
    assert unit.take() == b""
    unit.pass_time(0, 1)
    block = unit.take()
    assert block.startswith(b"\r\nPID\t0xA053\r\nFW\t159\r\nSER#\tHQ2146SIM01\r\nV\t12060\r\nI\t0\r\nVPV\t0\r\n")
    assert block[:-1].endswith(b"\r\nHSDS\t0\r\nChecksum\t")
    assert sum(block) % 256 == 0
    unit.pass_time(0, 3000)
    assert unit.take() == block * 3
    assert unit.wire_due_ms == 1000


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b":154\n", b":59F00B1\n"),
        (b":352\n", b":19F00B5\n"),
        (b":451\n", b":153A061\n"),
        (b":253\n", b":30250\n"),
        (GET_CONTROL, CONTROL_ON),
        (b":7A8ED00B9\n", b":7A8ED0001B8\n"),
        (b":7DAED0087\n", b":7DAED000087\n"),
        (b":70002004C\n", b":7000200014B\n"),
        (b":7F0ED0071\n", b":7F0ED009600DB\n"),
        (b":7F1ED0070\n", b":7F1ED016F\n"),
        (b":8F1ED00016E\n", b":8F1ED01016D\n"),
        (b":8A8ED0001B7\n", b":8A8ED0201B5\n"),
        (b":8ABED0007AE\n", b":8ABED0407AA\n"),
        (b":8ABED000400B1\n", b":8ABED040400AD\n"),
        (OFF, OFF),
        (ON, ON),
        (b":155\n", b":4AAAAFD\n"),
        (b":1\n", b":4AAAAFD\n"),
        (b"noise\n", b""),
        (b":7\r\n", b":4AAAAFD\n"),
    ],
)
def test_hex_commands(asked, answer):
    """Flags 1: no such register; 2: it cannot be set; 4: not with this value."""
    assert ask(charger(), asked) == answer


def test_the_load_output_is_switched_and_stays_so_over_a_power_cut(tmp_path):
    path = tmp_path / "charger"
    storage = Storage(path)
    unit = charger(storage)
    assert unit.output
    assert ask(unit, OFF) == OFF
    assert not unit.output
    assert text(unit)["LOAD"] is False
    unit.power_off()
    assert ask(unit, GET_CONTROL) == b""
    unit.power_on()
    assert not unit.output
    storage.close()
    storage = Storage(path)
    assert ask(charger(storage), GET_CONTROL) == CONTROL_OFF
    storage.close()


def test_every_set_wears_the_storage_also_one_that_changes_nothing():
    unit = charger()
    for _ in range(3):
        ask(unit, ON)
    assert unit.storage.writes == 3


@pytest.mark.parametrize("at_byte", range(8))
def test_a_power_cut_in_a_write_leaves_the_old_or_the_new_setting(at_byte):
    unit = charger()
    unit.cut_power(at_byte)
    assert ask(unit, OFF) == b""
    assert not unit.powered
    unit.power_on()
    assert ask(unit, GET_CONTROL) == (CONTROL_OFF if at_byte > 4 else CONTROL_ON)
    assert ask(unit, OFF) == OFF
    assert ask(charger(unit.storage), GET_CONTROL) == CONTROL_OFF


def test_another_units_state_file_is_refused():
    storage = Storage()
    storage.write(0, b"PG")
    with pytest.raises(PaygoError, match="none of a charger"):
        charger(storage)


def test_switched_off_it_charges_no_more_and_says_why():
    unit = charger()
    unit.pass_time(60_000)
    assert text(unit)["CS"] == "bulk"
    assert ask(unit, b":80002000447\n") == b":80002000447\n"
    unit.pass_time(60_000)
    block = text(unit)
    assert (block["CS"], block["OR"], block["PPV"]) == ("off", ("switched off by a register",), 0)


def test_a_day_goes_through_its_stages_without_overcharging():
    unit = charger(hour=6.0, charge=0.8)
    stages, highest = [], 0.0
    for _ in range(24 * 4):
        unit.pass_time(HOUR_MS // 4)
        block = text(unit)
        stages.append(block["CS"])
        highest = max(highest, float(block["V"]))
    assert [stage for stage, before in zip(stages, [None, *stages], strict=False) if stage != before] == [
        "bulk",
        "absorption",
        "float",
        "off",
    ]
    assert 14.3 < highest < 15.0
    assert unit.home.battery.state_of_charge > 0.8
    last = text(unit)
    assert last["H22"] == block["H19"]  # a day later it is yesterday's
    assert last["HSDS"] == 1
    assert last["OR"] == ("no input power",)


def test_an_empty_battery_switches_the_load_off_and_tells_it_unasked():
    unit = charger(hour=19.0, charge=0.2)
    unit.home.set_value("lamp_w", 60)
    while unit.output:
        unit.pass_time(60_000)
    assert b":AA8ED0000B6\n" in unit.take()
    assert text(unit)["LOAD"] is False
    assert ask(unit, GET_CONTROL) == CONTROL_ON
    unit.home.set_value("lamp_w", 0)
    unit.home.set_value("state_of_charge", 1.0)
    unit.pass_time(1000)
    assert b":AA8ED0001B5\n" in unit.take()


def test_a_battery_voltage_that_is_too_high_is_error_2():
    unit = charger()
    unit.home.set_fault("battery_sensor_offset_v", 4)
    unit.pass_time(1000)
    assert b":ADAED000282\n" in unit.take()
    block = text(unit)
    assert (block["ERR"], block["CS"], unit.charge, unit.light) == (2, "fault", False, "red")
    unit.home.set_fault("battery_sensor_offset_v", 0)
    unit.pass_time(1000)
    assert b":ADAED000084\n" in unit.take()
    assert text(unit)["ERR"] == 0


def test_what_nobody_reads_is_bounded():
    unit = charger()
    unit.feed(b":154\n" * 100_000)
    unit.pass_time(0, 3_600_000)
    assert len(unit.take()) <= LONGEST_BACKLOG


def test_it_is_served_like_every_unit():
    with serving("--protocol", "vedirect", "--control", "127.0.0.1:0", "--rfc2217", "127.0.0.1:0") as unit:
        with serial_for_url(unit.port, 19_200, timeout=10) as port:
            port.write(OFF)
            assert port.read_until(OFF).endswith(OFF)
            assert unit.ask(op="read")["line"]["baudrate"] == 19_200
        assert unit.ask(op="read")["output"] is False
        assert "keypad" in unit.ask(op="press", keys="1")["error"]
        assert unit.ask(op="power", on=False)["powered"] is False


def test_a_simulator_that_is_killed_in_a_write_starts_from_the_old_setting(tmp_path):
    options = ("--protocol", "vedirect", "--state", str(tmp_path / "charger"), "--control", "127.0.0.1:0")
    with serving(*options) as unit, serial_for_url(unit.port, 19_200, timeout=10) as port:
        assert unit.ask(op="cut_power", at_byte=3, kill=True) == {"ok": True}
        port.write(OFF)
        assert unit.process.wait(10) == -signal.SIGKILL
    with serving(*options) as unit:
        assert unit.ask(op="read")["output"] is True


def test_it_runs_no_firmware_of_ours():
    status, sentence = refused("--protocol", "vedirect", "--mcu", "avr")
    assert status == 2
    assert "vedirect" in sentence["error"]


# Public clients, unchanged


def test_vedirect_of_pypi_reads_the_unit():
    from vedirect import MPPTState, VEDirect

    with serving("--protocol", "vedirect", "--start-hour", "12", "--control", "127.0.0.1:0") as unit:
        unit.ask(op="advance", seconds=60)
        found = VEDirect(unit.port)
        read = unit.ask(op="read")
        assert found.battery_volts == pytest.approx(read["battery_voltage"], abs=0.001)
        assert found.solar_volts == pytest.approx(read["panel_voltage"], abs=0.001)
        assert found.solar_power == pytest.approx(read["panel_voltage"] * read["panel_current"], abs=0.51)
        assert found.device_serial == "HQ2146SIM01"
        assert found.device_MPPT_state == MPPTState.Active


def test_vedirect_m8_of_pypi_reads_the_unit(tmp_path):
    """It takes USB ports and links named vmodem in the home directory. It logs much: in a process of its own."""
    script = (
        "import json, sys; from vedirect_m8.vedirect import Vedirect;"
        "print(json.dumps(Vedirect({'serial_port': sys.argv[1], 'timeout': 5}).read_data_single(timeout=20)))"
    )
    link = tmp_path / "vmodem0"
    with serving("--protocol", "vedirect", "--start-hour", "0", "--link", str(link)):
        done = subprocess.run(
            [sys.executable, "-c", script, str(link)],
            env={"HOME": str(tmp_path)},
            capture_output=True,
            check=True,
            timeout=60,
            text=True,
        )
    assert '"SER#": "HQ2146SIM01"' in done.stdout
    assert '"V": "12320", "I": "0"' in done.stdout
