"""Foreseeable misuse ends in one sentence and the right exit status, never in a defect of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw_bridge.actions import ActionStore
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device

PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]
KEY = "0a29ab82ed050bbc41ec9530f60dac86"
HEADER = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code\n"


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PAYGO, *words], cwd=directory, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "status", "about"),
    [
        (("bridge", "status", "spy:///dev/null"), 2, "spy:///dev/null"),
        (("bridge", "status", "hwgrep://("), 2, "hwgrep://("),
        (("bridge", "status", "socket://127.0.0.1:9?logging=debug"), 2, "socket://"),
        (("bridge", "status", ""), 3, "no port was named"),
        (("bridge", "status", "/dev/nothing", "--baud", "4294967296"), 2, "baud"),
        (("bridge", "status", "/dev/nothing", "--timeout", "nan"), 2, "nan"),
        (("sim", "serve", "--speed", "nan"), 2, "nan"),
        (("sim", "serve", "--charge", "nan"), 2, "nan"),
        (("sim", "serve", "--start-hour", "inf"), 2, "inf"),
        (("sim", "serve", "--tcp", "foo"), 2, "foo"),
        (("sim", "serve", "--tcp", "localhost:99999"), 2, "65535"),
        (("sim", "serve", "--control", "localhost:99999"), 2, "65535"),
        (("sim", "serve", "--control", ""), 2, "--control"),
        (("sim", "serve", "--link", "a", "--tcp", "localhost:0"), 2, "--tcp"),
    ],
)
def test_one_sentence_and_the_right_status(tmp_path: Path, words: tuple[str, ...], status: int, about: str) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == status, done.stderr
    assert about in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_paygo_alone_shows_its_help(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: paygo")
    assert "Commands:" in done.stderr


def test_a_payment_for_less_than_a_unit_spends_no_count(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{HEADER}SLT1,123456789,{KEY},1,1,0,,,\n")
    assert run(tmp_path, "device", "import", "list.csv").returncode == 0
    done = run(tmp_path, "device", "token", "SLT1", "--add", "0.3")
    assert done.returncode == 2
    assert "0.3 days" in done.stderr
    assert run(tmp_path, "device", "token", "SLT1", "--add", "0.5", "--json").stdout.count('"count":2') == 1


def test_a_key_in_a_column_for_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{HEADER}SLT1,123456789,{KEY},1,1,0,{KEY},,\n")
    done = run(tmp_path, "device", "import", "list.csv")
    assert done.returncode == 1
    assert "Hardware Model" in done.stderr
    assert KEY not in done.stderr + done.stdout


def test_who_holds_a_port_is_the_program_and_not_the_unit(tmp_path: Path) -> None:
    with simulated_unit(tmp_path) as unit, Transport(unit.port):
        done = run(tmp_path, "bridge", "status", unit.port)
    assert done.returncode == 3
    assert f"(process {os.getpid()}) holds it" in done.stderr
    assert str(unit.process.pid) not in done.stderr


def test_an_alert_of_a_unit_whose_storage_was_replaced_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    """H19: the same serial number, a first start and a first event again, and yet another event."""
    device = Device("SLT1", DeviceConfig(bytes.fromhex(KEY), 123456789))
    with ActionStore.open(tmp_path / "fleet.db") as store:
        for life in range(2):
            room = tmp_path / str(life)
            room.mkdir()
            with (
                simulated_unit(room) as running,
                ControlClient(running.control) as control,
                Transport(running.port) as transport,
            ):
                unit = HdkDriver(transport)
                unit.provision(device)
                control.request("fault", name="battery_sensor_offset_v", value=6)
                control.advance(60)
                unit.telemetry()
                (alert,) = unit.poll(10)
                assert alert.raised
                assert store.record(device.serial, alert) is not None
                assert store.record(device.serial, alert) is None
                unit.acknowledge(alert)
        (action,) = store.open_actions()
        assert action.times == 2
