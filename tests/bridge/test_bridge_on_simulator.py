"""The driver and our own firmware, over a pty and over TCP: only bytes in between."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from hw_bridge.actions import ActionStore
from hw_bridge.drivers import Entry, Load, UnitStatus
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, TokenType, generate_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
CONFIG = DeviceConfig.from_hex(KEY, 123456789)
DEVICE = Device("SLT220000001", CONFIG)


@contextmanager
def simulator(control: str, *options: str):
    """A unit whose world stands still. Gives its port and `ask(**request)` for the control socket."""
    command = [sys.executable, "-m", "firmware_sim", "serve", "--json", "--speed", "0", "--control", control, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = json.loads(process.stdout.readline())
            with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as stream:
                line.connect(ready["control"])

                def ask(**request):
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    assert answer["ok"], answer
                    return answer

                yield ready["port"], ask
        finally:
            process.terminate()


@pytest.mark.parametrize("options", [[], ["--tcp", "127.0.0.1:0"]])
def test_set_up_credit_and_switch(tmp_path, options):
    """H10 to H19, as our firmware keeps them."""
    with simulator(str(tmp_path / "control"), *options) as (port, ask), Transport(port) as transport:
        driver = HdkDriver(transport)
        with pytest.raises(DeviceError, match="not set up yet"):
            driver.status()
        assert driver.provision(DEVICE) == UnitStatus("inactive", 0)
        with pytest.raises(DeviceError, match="set up already, as SLT220000001"):
            driver.provision(DEVICE)
        week = generate_token(CONFIG, 1, 7)
        assert driver.enter(week.grouped()) == Entry("accepted", seconds_left=604800)
        assert driver.enter(week.digits) == Entry("already_used")
        assert driver.enter("123456789").verdict == "invalid"
        assert driver.switch_load("off") == Load("off", False)
        assert driver.switch_load("auto") == Load("auto", True)
        assert ask(op="read")["output"] is True
        ask(op="advance", seconds=86400)
        assert driver.status() == UnitStatus("active", 518400)
        lock = generate_token(CONFIG, week.count, 0, TokenType.SET_TIME)
        assert driver.enter(lock.digits) == Entry("accepted", seconds_left=0)
        unlock = generate_token(CONFIG, lock.count, token_type=TokenType.DISABLE_PAYG)
        assert driver.enter(unlock.digits) == Entry("accepted", unlocked=True)
        info = driver.identify()
        assert (info.serial, info.last_count) == ("SLT220000001", unlock.count)
        assert driver.telemetry().token_count == unlock.count


def test_an_over_voltage_becomes_one_action_and_its_end_resolves_it(tmp_path):
    """H17, H18, H20, H21."""
    with (
        simulator(str(tmp_path / "control")) as (port, ask),
        Transport(port) as transport,
        ActionStore.open(tmp_path / "fleet.db") as store,
    ):
        driver = HdkDriver(transport)
        driver.provision(DEVICE)
        assert driver.alerts() == []
        ask(op="fault", name="battery_sensor_offset_v", value=4.0)
        ask(op="advance", seconds=60)
        (raised,) = driver.poll(10)
        opened = store.record(DEVICE.serial, raised)
        driver.acknowledge(raised)
        assert (opened.code, opened.state, opened.unit) == ("BATTERY_OVERVOLTAGE", "open", "mV")
        assert [alert.code for alert in driver.alerts()] == ["BATTERY_OVERVOLTAGE"]
        ask(op="fault", name="battery_sensor_offset_v", value=0)
        ask(op="advance", seconds=600)
        (cleared,) = driver.poll(10)
        assert store.record(DEVICE.serial, cleared).state == "resolved"
        driver.acknowledge(cleared)
        assert driver.log() == [raised, cleared]
        assert store.open_actions() == []
