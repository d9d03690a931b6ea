"""Ports: missing, busy, denied, vanishing, and on the network."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest
import serial
from fake_hdk import ScriptedUnit

from hw_bridge import transport as module
from hw_bridge.transport import Transport, port_holders
from paygo_core import PaygoError
from paygo_core.errors import NoAnswerError, PortError


def echo(line: bytes) -> bytes:
    return line + b"\n"


def test_bytes_go_both_ways_and_are_traced():
    seen: list[tuple[str, bytes]] = []
    with ScriptedUnit(echo) as unit, Transport(unit.port, trace=lambda *what: seen.append(what)) as transport:
        transport.write(b"hello\n")
        data = b""
        while not data.endswith(b"\n"):
            data += transport.read(5)
        assert data == b"hello\n"
        assert transport.read(0) == b""
    assert seen[0] == (">", b"hello\n")
    assert b"".join(data for way, data in seen if way == "<") == b"hello\n"


def test_what_came_before_the_port_was_opened_is_gone():
    with ScriptedUnit(echo) as unit:
        unit.say(b"old")
        with Transport(unit.port) as transport:
            assert transport.read(0) == b""


def test_a_port_that_does_not_exist():
    with pytest.raises(PortError, match="there is no port /dev/nowhere") as error:
        Transport("/dev/nowhere")
    assert error.value.hint.startswith("ports here: ")
    assert error.value.exit_status == 3


def test_a_file_is_not_a_port(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(PortError, match="is not a serial port"):
        Transport(str(path))


def test_a_url_that_pyserial_does_not_know():
    with pytest.raises(PaygoError, match="is no port that can be opened"):
        Transport("gopher://host")


def test_a_port_that_this_program_holds():
    with ScriptedUnit(echo) as unit:
        with Transport(unit.port), pytest.raises(PortError, match=rf"this program \(process {os.getpid()}\) holds it"):
            Transport(unit.port)
        Transport(unit.port).close()


def test_a_port_that_another_program_holds():
    hold = "import serial, sys; serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); sys.stdin.read()"
    with ScriptedUnit(echo) as unit:
        with subprocess.Popen(
            [sys.executable, "-c", hold.replace("serial.Serial(", "port = serial.Serial("), unit.port],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(PortError) as error:
                Transport(unit.port)
            assert "is busy: python" in error.value.cause
            assert f"(process {holder.pid}) holds it" in error.value.cause
            holder.stdin.close()
        Transport(unit.port).close()


def test_a_port_that_is_open_but_not_locked_has_its_holder_named_too():
    master, slave = os.openpty()
    try:
        assert port_holders(os.ttyname(slave)) == [f"this program (process {os.getpid()})"]
    finally:
        os.close(master)
        os.close(slave)


def test_nobody_holds_what_does_not_exist():
    assert port_holders("/dev/nowhere") == []


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EACCES, "you may not open"), (errno.EIO, "nothing is connected"), (errno.EBUSY, "is busy")],
)
def test_what_the_system_says_becomes_a_sentence(monkeypatch, code, said):
    def refuse(*_args, **_options):
        raise serial.SerialException(code, "gibberish")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(PortError, match=said) as error:
        Transport("/dev/ttyUSB0")
    assert error.value.hint
    assert "gibberish" not in str(error.value)


def test_a_denied_port_tells_of_the_group(monkeypatch):
    def refuse(*_args, **_options):
        raise serial.SerialException(errno.EACCES, "no")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(PortError) as error:
        Transport("/dev/ttyUSB0")
    assert "dialout" in error.value.hint


def test_a_port_that_vanishes_in_mid_command():
    unit = ScriptedUnit(lambda line: unit.vanish() or b"")
    with unit, Transport(unit.port) as transport:
        transport.write(b"#STATUS;\n")
        with pytest.raises(PortError, match="vanished"):
            transport.read(60)
        with pytest.raises(PortError, match="vanished"):
            transport.write(b"#STATUS;\n")


def test_a_port_that_takes_no_bytes(monkeypatch):
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    master, slave = os.openpty()
    try:
        with Transport(os.ttyname(slave)) as transport, pytest.raises(NoAnswerError, match="takes no bytes"):
            transport.write(bytes(1_000_000))
    finally:
        os.close(master)
        os.close(slave)


def test_a_long_write_that_is_taken_in_pieces_arrives_whole():
    said = bytes(range(33, 127)) * 2000
    with ScriptedUnit(lambda line: b"") as unit, Transport(unit.port) as transport:
        transport.write(said)
        transport.write(b"\n")
        while len(unit.received) < len(said) + 1:
            pass
    assert unit.received == said + b"\n"


def test_a_closed_port_is_read_and_written_no_more():
    """Its descriptor may be another file's by then."""
    with ScriptedUnit(echo) as unit:
        with Transport(unit.port) as transport:
            transport.write(b"hello\n")
        other, its_end = os.pipe()
        os.write(its_end, b"not for the port")
        for work in (lambda: transport.read(0), lambda: transport.write(b"x")):
            with pytest.raises(PortError, match="vanished"):
                work()
        assert os.read(other, 100) == b"not for the port"
        os.close(other)
        os.close(its_end)


@pytest.mark.parametrize("timeout", [-1, 0, 0.01])
def test_a_quiet_port_is_waited_for_no_longer_than_asked(timeout):
    with ScriptedUnit(echo) as unit, Transport(unit.port) as transport:
        assert transport.read(timeout) == b""


def test_a_flood_comes_in_pieces_of_at_most_4096_bytes():
    with ScriptedUnit(lambda line: b"x" * 10_000) as unit, Transport(unit.port) as transport:
        transport.write(b"\n")
        sizes = []
        while sum(sizes) < 10_000:
            sizes.append(len(transport.read(5)))
    assert max(sizes) <= 4096
    assert min(sizes) > 0


def test_the_port_is_given_back_after_an_error():
    with ScriptedUnit(echo) as unit:
        with pytest.raises(ZeroDivisionError), Transport(unit.port):
            raise ZeroDivisionError
        Transport(unit.port).close()


def test_a_port_on_the_network():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Transport(f"socket://127.0.0.1:{server.getsockname()[1]}") as transport,
    ):
        client, _ = server.accept()
        with client:
            transport.write(b"ping")
            assert client.recv(4) == b"ping"
            client.sendall(b"pong")
            data = b""
            while len(data) < 4:
                data += transport.read(5)
            assert data == b"pong"
        with pytest.raises(PortError, match="vanished"):
            transport.read(5)


def test_a_port_on_the_network_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PortError, match="cannot be opened"):
        Transport(f"socket://127.0.0.1:{port}")
