"""`paygo sim serve` as a process: its port, its control socket, its files, its end."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from full_disk import full_disk
from serial import Serial, serial_for_url
from sim_rig import HDK_SETUP, SETUP, WEEK_2, ready_unit

from firmware_sim.serve import Address, Server
from firmware_sim.storage import IMAGE_BYTES, Storage
from paygo_core.errors import PaygoError

COMMAND = [sys.executable, "-m", "firmware_sim", "serve", "--json"]


class Served:
    """A simulator's process, its port and its control socket."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        ready = json.loads(line)
        self.port, self.control = ready["port"], ready["control"]

    def connect(self) -> socket.socket:
        if ":" in self.control and "/" not in self.control:
            host, port = self.control.split(":")
            return socket.create_connection((host, int(port)), timeout=20)
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(20)
        line.connect(self.control)
        return line

    def ask(self, **request: Any) -> dict[str, Any]:
        with self.connect() as line:
            return asked(line, json.dumps(request).encode())


def asked(line: socket.socket, request: bytes) -> dict[str, Any]:
    line.sendall(request + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        part = line.recv(65_536)
        assert part, "the control socket closed"
        answer += part
    found: dict[str, Any] = json.loads(answer)
    return found


@contextmanager
def serving(*options: str, speed: str = "0", **arguments: Any) -> Iterator[Served]:
    arguments = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **arguments}
    with subprocess.Popen([*COMMAND, "--speed", speed, *options], **arguments) as process:
        try:
            yield Served(process)
        finally:
            if process.stdin:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            process.terminate()
            process.wait(10)


def refused(*options: str) -> tuple[int, dict[str, Any]]:
    """The exit status of a simulator that does not start, and its one sentence."""
    ended = subprocess.run(
        [*COMMAND, "--speed", "0", *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
    )
    assert ended.stdout == b""
    [sentence] = ended.stderr.decode().splitlines()
    return ended.returncode, json.loads(sentence)


def said(port: str, line: bytes) -> bytes:
    with serial_for_url(port, 115_200, timeout=10) as wire:
        wire.write(line)
        return bytes(wire.read_until(b"\n"))


@pytest.mark.parametrize("control", ["unix", "tcp"])
@pytest.mark.parametrize("wire", ["pty", "link", "tcp", "rfc2217"])
def test_a_unit_is_served_on_a_pty_or_tcp_or_rfc_2217(tmp_path: Path, wire: str, control: str):
    """H10, H13: a client may come and go, and a second one on TCP is turned away."""
    options = [f"--{wire}", "127.0.0.1:0" if wire != "link" else str(tmp_path / "unit")] if wire != "pty" else []
    where = str(tmp_path / "control") if control == "unix" else "127.0.0.1:0"
    with serving(*options, "--control", where) as unit:
        assert said(unit.port, b"#STATUS;\n") == b"#INVALID\r\n"
        assert said(unit.port, HDK_SETUP) == b"#SETUP;OK\r\n"
        if wire == "tcp":
            host, port = unit.port.removeprefix("socket://").split(":")
            with socket.create_connection((host, int(port)), timeout=10) as first:
                first.sendall(b"#STATUS;\n")
                assert first.recv(100) == b"#STATUS;INACTIVE\r\n"
                with socket.create_connection((host, int(port)), timeout=10) as second:
                    assert second.recv(100) == b""
        assert said(unit.port, b"#TOKEN;016609796\n") == b"#TOKEN;VALID;604800\r\n"
        assert unit.ask(op="read")["output"] is True
        assert unit.process.poll() is None


def test_a_client_of_raw_bytes_sees_no_echo(tmp_path: Path):
    """H3: the pty is raw from its first byte: CR stays CR, nothing is echoed, control characters pass."""
    with serving("--link", str(tmp_path / "unit")) as unit:
        wire = os.open(unit.port, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(wire, b"\x03\x04\x11\x13\x1a#STATUS;\r")
            assert select.select([wire], [], [], 10)[0]
            assert os.read(wire, 100) == b"#INVALID\r\n"
        finally:
            os.close(wire)


def test_wire_time_is_not_scaled(tmp_path: Path):
    """H2: at 100 000 world seconds a second a silence of a second is a second."""
    with serving("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control"), speed="100000") as unit:
        with Serial(unit.port, 115_200, timeout=10) as wire:
            begin = time.monotonic()
            wire.write(b"#INFO")
            assert wire.read_until(b"\n").startswith(b"#INFO;;")
            assert 0.95 < time.monotonic() - begin < 5
        assert unit.ask(op="read")["time"] > 6 * 3600 + 10_000


def test_world_time_is_scaled_or_stands_still(tmp_path: Path):
    """And the control socket moves it at once."""
    with serving("--control", str(tmp_path / "still")) as still:
        assert still.ask(op="read")["time"] == 6 * 3600
        assert still.ask(op="advance", seconds=86_400)["time"] == 30 * 3600
        assert still.ask(op="read")["time"] == 30 * 3600
    with serving("--control", str(tmp_path / "fast"), "--start-hour", "0", speed="1000") as fast:
        begin, first = time.monotonic(), fast.ask(op="read")["time"]
        while (now := fast.ask(op="read")["time"]) < first + 600:
            assert time.monotonic() - begin < 20
            select.select([], [], [], 0.05)
        assert now - first < (time.monotonic() - begin + 1) * 1000


@pytest.mark.parametrize("speed", [1, 60, 3600])
def test_what_is_read_is_of_the_moment_of_the_question(tmp_path: Path, speed: int):
    """World time is exact, although a unit that nobody asks goes on five times a second only."""
    with serving("--control", str(tmp_path / "control"), speed=str(speed)) as unit, unit.connect() as control:

        def timed() -> tuple[float, float, float]:
            before = time.monotonic()
            now = asked(control, b'{"op":"read"}')["time"]
            return before, now, time.monotonic()

        first = timed()
        for _ in range(5):
            select.select([], [], [], 0.15)
            last = timed()
            passed = last[1] - first[1]
            assert (last[0] - first[2]) * speed - 0.002 <= passed <= (last[2] - first[0]) * speed + 0.002


def test_a_signal_in_the_middle_of_a_client_s_leaving_is_no_error(tmp_path: Path):
    def interrupted(client: socket.socket) -> None:
        server._selector.unregister = unregister
        unregister(client)
        raise KeyboardInterrupt

    with Server(ready_unit(), control=Address(tmp_path / "control")) as server:
        unregister = server._selector.unregister
        server._selector.unregister = interrupted
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "control"))
        with pytest.raises(KeyboardInterrupt):
            server.run()
    assert list(tmp_path.iterdir()) == []


def test_requests_do_not_stop_the_wire_time(tmp_path: Path):
    """H2: however fast they come."""
    with (
        serving("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control")) as unit,
        unit.connect() as control,
        Serial(unit.port, 115_200, timeout=0) as wire,
    ):
        wire.write(b"#INFO")
        begin, heard = time.monotonic(), b""
        while not heard.endswith(b"\n"):
            assert asked(control, b'{"op":"read"}')["ok"]
            heard += wire.read(100)
            assert time.monotonic() - begin < 10
        assert 0.95 < time.monotonic() - begin < 3


def test_hostile_requests_are_answered_and_the_unit_lives(tmp_path: Path):
    """Each with an error, on the same connection; a line that is too long once."""
    with serving("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control")) as unit:
        with unit.connect() as line:
            for request in (
                b'{"op":"advance","seconds":1e999}', b'{"op":"advance","seconds":NaN}', b"[" * 60_000, b"nonsense",
                b'{"op":' * 9000, b"\xff\xfe\x00", b"", b"x" * 200_000, b'{"op":"cut_power","at_byte":1e308}', b"[]",
                b'{"op":"press","keys":' + b"9" * 5000 + b"}", b'{"op":"plant","ambient":Infinity}',
            ):  # fmt: skip
                assert asked(line, request)["ok"] is False
            assert asked(line, b'{"op":"read"}')["ok"] is True
        with unit.connect() as line:
            line.sendall(b'{"op":"re')  # a client that leaves in the middle of a request
        with unit.connect() as line:
            with suppress(OSError):  # and one that never reads
                line.setblocking(False)
                for _ in range(20_000):
                    line.send(b'{"op":"read"}\n')
            assert unit.ask(op="read")["ok"] is True
        assert said(unit.port, b"#INFO;\n").startswith(b"#INFO;;")


@pytest.mark.parametrize("wire", ["pty", "tcp"])
def test_a_client_that_never_reads_does_not_stop_the_unit(tmp_path: Path, wire: str):
    """H3: its replies are lost as on a wire; the control socket answers, and the next client is served."""
    options = ["--tcp", "127.0.0.1:0"] if wire == "tcp" else ["--link", str(tmp_path / "unit")]
    with serving(*options, "--control", str(tmp_path / "control")) as unit:
        with serial_for_url(unit.port, 115_200, timeout=1, write_timeout=1) as deaf, suppress(OSError):
            for _ in range(300):
                deaf.write(b"#INFO;\n" * 20)
        assert unit.ask(op="advance", seconds=60)["ok"] is True
        deadline = time.monotonic() + 10
        while True:
            with serial_for_url(unit.port, 115_200, timeout=1) as wire_again:
                wire_again.reset_input_buffer()
                wire_again.write(b"\n#INFO;\n")
                if b"#INFO;;PAYGO-SIM;legacy;0.1.0;0;0\r\n" in wire_again.read_until(b"\n"):
                    break
            assert time.monotonic() < deadline


def test_the_state_file_is_private_and_kept(tmp_path: Path):
    """H8: it holds the key. The unit goes on from it."""
    state = tmp_path / "state"
    for expected in (b"#SETUP+;OK\r\n", b"#SETUP+;ERROR;provisioned\r\n"):
        with serving("--link", str(tmp_path / "unit"), "--state", str(state)) as unit:
            assert said(unit.port, SETUP) == expected
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        assert state.stat().st_size == IMAGE_BYTES


def test_a_state_file_serves_one_simulator(tmp_path: Path):
    """Exit status 3 and one sentence; the first one goes on."""
    state = str(tmp_path / "state")
    with serving("--state", state, "--link", str(tmp_path / "unit")) as unit:
        status, sentence = refused("--state", state)
        assert status == 3
        assert sentence["error"] == f"the state file {state} is in use"
        assert said(unit.port, SETUP) == b"#SETUP+;OK\r\n"


def test_a_state_file_on_a_full_disk_is_told_and_is_a_state_file_later(tmp_path: Path):
    state = tmp_path / "state"
    for room in (0, IMAGE_BYTES - 1):
        with full_disk(room), pytest.raises(PaygoError) as told:
            Storage(state)
        assert told.value.cause.startswith(f"the state file {state} cannot be written: ")
    with closing(Storage(state)) as storage:
        with full_disk(), pytest.raises(PaygoError, match="cannot be written"):
            storage.write(7, b"later")
        storage.write(0, b"now")
    assert state.read_bytes() == b"now" + b"\xff" * (IMAGE_BYTES - 3)


def test_a_file_that_is_no_state_file_is_refused_and_left_alone(tmp_path: Path):
    """Exit status 2."""
    for size in (1, IMAGE_BYTES - 1, IMAGE_BYTES + 1):
        (tmp_path / "letter").write_bytes(b"x" * size)
        status, sentence = refused("--state", str(tmp_path / "letter"))
        assert (status, "is not a state file" in sentence["error"]) == (2, True)
        assert (tmp_path / "letter").read_bytes() == b"x" * size
    os.mkfifo(tmp_path / "fifo")
    assert refused("--state", str(tmp_path / "fifo"))[0] == 2
    assert refused("--state", str(tmp_path))[0] == 2
    assert refused("--state", str(tmp_path / "no" / "state"))[0] == 2


@pytest.mark.parametrize("option", ["--link", "--control"])
def test_a_file_that_is_no_port_is_left_alone(tmp_path: Path, option: str):
    """Exit status 2: also a link to somebody else's device."""
    (tmp_path / "letter").write_text("dear")
    assert refused(option, str(tmp_path / "letter"))[0] == 2
    assert (tmp_path / "letter").read_text() == "dear"
    (tmp_path / "null").symlink_to("/dev/null")
    assert refused(option, str(tmp_path / "null"))[0] == 2
    assert (tmp_path / "null").readlink() == Path("/dev/null")


@pytest.mark.parametrize("option", ["--link", "--control"])
def test_a_port_in_use_is_refused(tmp_path: Path, option: str):
    """Exit status 3; the one that serves it goes on."""
    with serving("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control")) as unit:
        path = unit.port if option == "--link" else unit.control
        status, sentence = refused(option, path)
        assert (status, sentence["error"]) == (3, f"{path} is in use")
        assert unit.ask(op="read")["ok"]
        assert said(unit.port, b"#INFO;\n").startswith(b"#INFO;;")


def test_what_a_killed_simulator_left_is_replaced(tmp_path: Path):
    """Its link too, though its pty's number may be another terminal's by now."""
    options = ("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control"))
    with serving(*options) as unit:
        unit.process.kill()
        unit.process.wait(10)
    assert (tmp_path / "unit").is_symlink()
    assert (tmp_path / "control").is_socket()
    terminals = [os.openpty() for _ in range(3)]
    try:
        with serving(*options) as unit:
            assert said(unit.port, b"#INFO;\n").startswith(b"#INFO;;")
            assert unit.ask(op="read")["ok"]
    finally:
        for pair in terminals:
            for end in pair:
                os.close(end)


@pytest.mark.parametrize("speed", ["0", "1000"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_simulator_leaves_nothing(tmp_path: Path, number: int, speed: str):
    """Neither its link nor its sockets; exit status 130 or that of the signal."""
    options = ("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control"))
    with serving(*options, speed=speed) as unit, unit.connect(), Serial(unit.port, 115_200):
        unit.process.send_signal(number)
        assert unit.process.wait(10) == (130 if number == signal.SIGINT else 143)
        assert unit.process.stderr is not None
        assert b"Traceback" not in unit.process.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_an_attached_simulator_ends_with_its_input(tmp_path: Path):
    """And without one to watch it does not start."""
    options = ("--attached", "--link", str(tmp_path / "unit"))
    with serving(*options, stdin=subprocess.PIPE) as unit:
        assert unit.process.stdin is not None
        unit.process.stdin.write(b"still here\n")
        unit.process.stdin.flush()
        assert said(unit.port, b"#INFO;\n").startswith(b"#INFO;;")
        assert unit.process.poll() is None
        unit.process.stdin.close()
        assert unit.process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []
    assert refused(*options)[0] == 2  # /dev/null never waits


def test_power_and_faults_over_the_control_socket(tmp_path: Path):
    """T36, H20: off is silent and dark; after a cut in a write the unit can be switched on again."""
    with serving("--link", str(tmp_path / "unit"), "--control", str(tmp_path / "control")) as unit:
        assert said(unit.port, SETUP) == b"#SETUP+;OK\r\n"
        assert unit.ask(op="press", keys="*" + WEEK_2)["ok"]
        assert unit.ask(op="read")["last_blink"] == ["green", 2]
        assert unit.ask(op="cut_power", at_byte=7)["ok"]
        assert unit.ask(op="advance", seconds=300)["ok"]
        reading = unit.ask(op="read")
        assert (reading["powered"], reading["output"], reading["light"]) == (False, False, "dark")
        assert unit.ask(op="power", on=True)["powered"] is True
        assert unit.ask(op="read")["output"] is True
        assert said(unit.port, b"#STATUS;\n") == b"#STATUS;ACTIVE;604500\r\n"
        assert unit.ask(op="fault", name="battery_sensor_offset_v", value=8)["ok"]
        assert unit.ask(op="plant", lamp_w=10, irradiance=None)["ok"]
        assert unit.ask(op="advance", seconds=20)["ok"]
        assert unit.ask(op="read")["output"] is False


def test_a_unit_is_served_with_the_battery_that_was_asked_for():
    """And changes it while it runs: over the control socket, and over the console."""
    with serving("--control", "127.0.0.1:0", "--board", "protected", "--battery", "lfp", "--capacity", "12") as unit:
        reading = unit.ask(op="read")
        assert reading["battery"] == "lfp 12 Ah"
        assert 12.9 < reading["battery_voltage"] < 13.1, "seven tenths of lithium"
        with Serial(unit.port, timeout=10) as port:
            port.write(HDK_SETUP + b"#BATTERY;LFP;12\n")
            assert port.read_until(b"#BATTERY;LFP;12\r\n").endswith(b"#BATTERY;LFP;12\r\n")
            assert unit.ask(op="battery", chemistry="gel", capacity_ah=40, state_of_charge=0.5)["ok"]
            assert unit.ask(op="read")["battery"] == "gel 40 Ah"
            port.write(b"#BATTERY;GEL;40\n")
            assert port.read_until(b"#BATTERY;GEL;40\r\n").endswith(b"#BATTERY;GEL;40\r\n")
        assert unit.ask(op="read")["powered"]
