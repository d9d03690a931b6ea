"""`paygo sim serve --mcu` as a process: what it keeps, says when something is missing, and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sim_rig import HDK_SETUP, WEEK_2
from test_procedure import provisioned

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, PortError

SERVE = [sys.executable, "-m", "firmware_sim", "serve", "--json", "--speed", "0"]


def said(transport: Transport, line: bytes) -> bytes:
    transport.write(line)
    answer = b""
    deadline = time.monotonic() + 20
    while not answer.endswith(b"\n"):
        assert time.monotonic() < deadline, answer
        answer += transport.read(1)
    return answer


def children(process: subprocess.Popen[bytes]) -> list[int]:
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    for pid in pids:
        while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            assert time.monotonic() < deadline, f"process {pid} lives on"


def test_the_state_is_kept_and_is_that_of_the_pc(tmp_path: Path, mcu: str) -> None:
    """T36: a chip goes on from the file, and the PC's unit from what the chip has stored."""
    options = ("--mcu", mcu, "--state", str(tmp_path / "state"))
    with simulated_unit(tmp_path, *options) as running, Transport(running.port) as transport:
        assert said(transport, HDK_SETUP) == b"#SETUP;OK\r\n"
        assert said(transport, b"#TOKEN;" + WEEK_2.encode() + b"\n") == b"#TOKEN;VALID;604800\r\n"
    with simulated_unit(tmp_path, *options) as running, Transport(running.port) as transport:
        assert said(transport, b"#STATUS;\n") == b"#STATUS;ACTIVE;604500\r\n"
        assert said(transport, b"#TOKEN;" + WEEK_2.encode() + b"\n") == b"#TOKEN;ALREADY_USED\r\n"
    storage = Storage(tmp_path / "state")
    try:
        unit = SimulatedUnit(storage, SolarHome())
        unit.feed(b"#STATUS;\n")
        unit.pass_time(0)
        assert unit.take() == b"#STATUS;ACTIVE;604200\r\n"
    finally:
        storage.close()


def test_two_days_pass_at_once(tmp_path: Path, mcu: str) -> None:
    with provisioned(tmp_path, "--mcu", mcu) as (_, control):
        control.request("fault", name="battery_sensor_offset_v", value=5)
        control.advance(48 * 3600)
        reading = control.read()
        assert reading["time"] == 54 * 3600
        assert reading["charge"] is False
        assert reading["powered"] is True


def test_a_cut_may_kill_the_whole_simulator(tmp_path: Path, mcu: str) -> None:
    """And what was stored at that byte is in the file."""
    with simulated_unit(tmp_path, "--mcu", mcu, "--state", str(tmp_path / "state")) as running:
        inside = children(running.process)
        assert inside
        with ControlClient(running.control) as control, Transport(running.port) as transport:
            control.request("cut_power", at_byte=9, kill=True)
            transport.write(HDK_SETUP)
            assert running.process.wait(20) == -signal.SIGKILL
            with pytest.raises(PortError):
                control.read()
        wait_gone(inside)
    stored = (tmp_path / "state").read_bytes()
    assert stored[:9] != b"\xff" * 9
    assert stored[9:] == b"\xff" * (len(stored) - 9)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_chip_outlives_its_simulator(tmp_path: Path, mcu: str, number: int) -> None:
    with simulated_unit(tmp_path, "--mcu", mcu) as running:
        inside = children(running.process)
        assert inside
        running.process.send_signal(number)
        running.process.wait(20)
        wait_gone(inside)
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def test_a_chip_that_crashes_is_told_and_can_be_switched_on_again(tmp_path: Path, mcu: str) -> None:
    with provisioned(tmp_path, "--mcu", mcu) as (unit, control):
        (pid,) = children_of_unit(tmp_path)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DeviceError, match="crashed"):
            control.advance(60)
        assert control.read()["powered"] is False
        control.power(True)
        assert unit.identify().serial == "SLT220000001"


def children_of_unit(directory: Path) -> list[int]:
    """The chip's process, by who holds the unit's socket."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if str(directory / "unit").encode() in words:
                tasks = (process / "task").iterdir()
                return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        except OSError:  # it ended meanwhile
            continue
    raise AssertionError("no unit runs here")


@pytest.mark.parametrize("chip", ["avr", "cortex-m3"])
def test_a_missing_tool_is_one_sentence(tmp_path: Path, chip: str) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([*SERVE, "--mcu", chip], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    (sentence,) = done.stderr.decode().splitlines()
    assert "missing" in json.loads(sentence)["error"]
    assert json.loads(sentence)["hint"].startswith("on Debian: apt-get install ")


def test_what_only_the_pc_can_do_is_refused(tmp_path: Path) -> None:
    done = subprocess.run([*SERVE, "--mcu", "avr", "--sabotage", "count"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"--sabotage breaks the PC's unit only" in done.stderr
