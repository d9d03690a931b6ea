"""Rig files, power relays and operators: who switches a unit's supply when no control socket does."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from modbus_board import ModbusBoard

from hw_bridge.conformance import rig
from hw_bridge.conformance.catalogue import choose, load
from hw_bridge.conformance.hands import Hands, Wire
from hw_bridge.conformance.results import read
from hw_bridge.conformance.runner import Counts, Runner
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.errors import PaygoError, PortError
from paygo_core.registry import Registry

PAYGO = "from paygo_core.cli import main; main()"
COMMAND = [sys.executable, "-c", PAYGO, "conform", "run"]


def test_a_rig_file_says_what_belongs_together(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(
        '[[unit]]\nname = "a"\nport = "/dev/ttyUSB0"\nbaud = 9600\nrelay = "/dev/ttyUSB1:1:0"\nwait_minutes = 5\n'
    )
    (place,) = rig.read(path)
    assert place == rig.Place("a", "/dev/ttyUSB0", baud=9600, relay="/dev/ttyUSB1:1:0", wait_minutes=5)
    assert isinstance(place.power(), rig.ModbusRelay)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no tables"),
        ("unit = 3", "no tables"),
        ("[[unit]]\nname = 'a'", "lacks its name or its port"),
        ("[[unit]]\nname = 'a'\nport = 'p'\nspeed = 3", "'speed', which is nothing"),
        ("[[unit]]\nname = 'a'\nport = 'p'\nbaud = 'fast'", "baud cannot be 'fast'"),
        ("[[unit]]\nname = 'a'\nport = 'p'\npower_on = 'x'", "one of power_off and power_on"),
        ("[[unit]]\nname = 'a'\nport = 'p'\n[[unit]]\nname = 'b'\nport = 'p'", "the same port"),
        ("[[unit", "rig.toml"),
    ],
)
def test_what_is_wrong_in_a_rig_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    with pytest.raises(PaygoError, match=re.escape(said)):
        rig.read(path)


def test_a_relay_of_shell_commands_switches_off_and_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rig.ShellRelay(f"echo off >> {log}", f"echo on >> {log}", 0).cycle()
    assert log.read_text().split() == ["off", "on"]
    with pytest.raises(PortError, match="'false' failed"):
        rig.ShellRelay("false", "true").cycle()


def test_a_modbus_relay_takes_the_supply_away_and_gives_it_back() -> None:
    with ModbusBoard() as board:
        relay = rig.ModbusRelay(f"{board.port}:1:3", 0)
        relay.check()
        assert board.written == []
        relay.cycle()
    assert board.written == [(3, False), (3, True)]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{port}:2:0", "does not answer as unit 2"),
        ("{port}:1:99", "has no coil 99"),
        ("{port}x:1:0", "cannot be opened"),
    ],
)
def test_a_modbus_relay_that_is_not_there_blocks(address: str, said: str) -> None:
    with ModbusBoard() as board:
        relay = rig.ModbusRelay(address.format(port=board.port), 0, timeout=0.1)
        for work in (relay.check, relay.cycle):
            with pytest.raises(PortError, match=said) as caught:
                work()
            assert caught.value.exit_status == 3
    assert board.written == []


def test_a_dead_relay_blocks_a_run_before_it_begins(tmp_path: Path) -> None:
    with simulated_unit(tmp_path) as unit, ModbusBoard(dies_after=0) as board:
        (tmp_path / "rig.toml").write_text(f"[[unit]]\nname = 'a'\nport = '{unit.port}'\nrelay = '{board.port}:1:0'\n")
        command = [*COMMAND, "--rig", str(tmp_path / "rig.toml"), "--serial", "1", "--output", str(tmp_path / "out")]
        done = subprocess.run(
            [*command, *key_options(tmp_path)], capture_output=True, text=True, check=False, timeout=60
        )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "does not answer as unit 1 (has it power" in done.stderr
    assert not (tmp_path / "out").exists()


def key_options(directory: Path) -> list[str]:
    path = directory / "key"
    path.write_text("bc41ec9530f6dac86b1a29ab82edc5fb\n")
    return ["--key-file", str(path), "--starting-code", "516959010"]


@pytest.mark.parametrize("dies_after", [None, 5, 6])
def test_a_relay_that_dies_on_the_way_says_nothing_about_the_unit(tmp_path: Path, dies_after: int | None) -> None:
    """P1 switches four times. After five the unit is without supply, after six it has it again."""
    device = Device("1", DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010))
    with simulated_unit(tmp_path) as unit, ControlClient(unit.control) as control:

        def switched(_coil: int, on: bool) -> None:
            control.power(on)

        with ModbusBoard(switched, dies_after=dies_after) as board, Transport(unit.port) as transport:
            relay = rig.ModbusRelay(f"{board.port}:1:0", 0, timeout=0.1)
            hands = Hands(device, transport, Wire(), power=relay, timeout=1)
            hands.driver.provision(device)
            runner = Runner(hands, Counts(1, 300))
            found = {result.id: result for result in runner.run(choose(load(), ["P1", "P2", "P3", "O1"]))}
            closed = runner.close("locked")
    verdicts = {name: result.verdict for name, result in found.items()}
    if dies_after is None:
        assert set(verdicts.values()) == {"passed"}
        return
    last = "passed" if dies_after == 6 else "not run"
    assert verdicts == {"P1": "passed", "P2": "not run", "P3": "not run", "O1": last}
    assert "blocked: the relay on" in found["P2"].reason
    assert closed == (dies_after == 6)


@pytest.mark.parametrize("address", ["", "/dev/ttyUSB1", "/dev/ttyUSB1:1", "/dev/ttyUSB1:1:x"])
def test_a_relay_has_port_unit_and_coil(address: str) -> None:
    with pytest.raises(PaygoError, match="cannot be used"):
        rig.ModbusRelay(address)


def power_command(control: str, on: bool) -> str:
    """A shell command that switches a simulated unit's supply, as a relay does."""
    request = json.dumps({"op": "power", "on": on}).encode() + b"\n"
    script = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({control!r}); s.sendall({request!r}); s.recv(99)"
    )
    return shlex.join([sys.executable, "-c", script])


def test_two_units_of_a_rig_are_tested_at_once(tmp_path: Path) -> None:
    database = tmp_path / "fleet.db"
    keys = ("bc41ec9530f6dac86b1a29ab82edc5fb", "a29ab82edc5fbbc41ec9530f6dac86b1")
    with Registry.open(str(database), create=True) as registry:
        for number, key in enumerate(keys):
            registry.add(Device(f"SLT{number}", DeviceConfig.from_hex(key, 516959010)))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with simulated_unit(tmp_path / "a") as first, simulated_unit(tmp_path / "b") as second:
        rows = []
        for number, unit in enumerate((first, second)):
            off, on = (power_command(unit.control, on) for on in (False, True))
            rows.append(
                f"[[unit]]\nname = 'place {number}'\nport = '{unit.port}'\nserial = 'SLT{number}'\n"
                f"power_off = {json.dumps(off)}\npower_on = {json.dumps(on)}\noff_seconds = 0\n"
            )
        (tmp_path / "rig.toml").write_text("\n".join(rows))
        command = [
            *COMMAND,
            "--rig",
            str(tmp_path / "rig.toml"),
            "--registry",
            str(database),
            "--output",
            str(tmp_path / "out"),
        ]
        command += ["--only", "P1", "--only", "W20", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    passed = {(row["unit"], row["id"]) for row in told if row.get("verdict") == "passed"}
    assert passed == {(f"place {n}", test) for n in (0, 1) for test in ("P1", "W20")}
    for number in (0, 1):
        outcome = read(tmp_path / "out" / f"place_{number}" / "results.json")
        with Registry.open(str(database)) as registry:
            assert registry.device(f"SLT{number}").count == outcome.last_count > 1


def test_an_operator_is_asked_to_switch_the_unit(tmp_path: Path) -> None:
    with simulated_unit(tmp_path) as unit, ControlClient(unit.control) as control:
        command = [*COMMAND, unit.port, "--operator", "--only", "P1", "--output", str(tmp_path / "out")]
        terminal, slave = pty.openpty()
        with subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=slave) as process:
            os.close(slave)
            heard, asked = "", 0
            while process.poll() is None and select.select([terminal], [], [], 30)[0]:
                try:
                    heard += os.read(terminal, 4096).decode()
                except OSError:
                    break
                while heard.count("[Enter]") > asked:
                    question = heard.split("[Enter]")[asked]
                    control.power("ON again" in question)
                    os.write(terminal, b"\n")
                    asked += 1
            os.close(terminal)
            said = process.communicate(timeout=30)[0].decode()
    assert "ok   P1" in said, said + heard
    assert asked == 4
    assert process.returncode == 0


def test_what_has_to_wait_is_run_only_as_far_as_it_may(tmp_path: Path) -> None:
    device = Device("1", DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010))
    slept = []
    with (
        simulated_unit(tmp_path) as unit,
        ControlClient(unit.control) as control,
        Transport(unit.port) as transport,
    ):

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            control.advance(seconds)

        hands = Hands(device, transport, Wire(), longest_wait=200, sleep=sleep)
        hands.driver.provision(device)
        runner = Runner(hands, Counts(1, 100))
        waits, days = runner.run([test for test in load() if test.id in ("E1", "L1")][::-1])
        impatient = Runner(Hands(device, transport, Wire()), Counts(hands.last_count(), 100))
        (unasked,) = impatient.run([test for test in load() if test.id == "E1"])
    assert (waits.id, waits.verdict, waits.reason) == ("E1", "passed", "")
    assert slept == [117, 5]
    assert (days.verdict, days.reason) == (
        "not run",
        "needs 2520 minutes of waiting (--wait), or a clock that can be advanced",
    )
    assert unasked.reason == "needs a clock that can be advanced (--control), or time (--wait)"
