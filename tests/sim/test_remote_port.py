"""A unit behind RFC 2217: what a serial port carries beside its bytes, and clients that mean harm."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial import PARITY_EVEN, PARITY_MARK, serial_for_url
from test_serve import refused, said, serving

from firmware_sim.remote_port import LONGEST_OPTION, RemotePort

IAC, SB, SE = b"\xff", b"\xff\xfa", b"\xff\xf0"
COM_PORT = b"\x2c"


@pytest.fixture
def line() -> Iterator[tuple[RemotePort, socket.socket]]:
    """A port and the client's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield RemotePort(ours), theirs


def test_speed_parity_and_break_reach_the_unit():
    """A pty drops parity and break."""
    with serving("--rfc2217", "127.0.0.1:0", "--control", "127.0.0.1:0") as unit:
        assert unit.port.startswith("rfc2217://127.0.0.1:")
        assert unit.ask(op="read")["line"] is None
        with serial_for_url(unit.port, 19_200, parity=PARITY_EVEN, timeout=10) as port:
            assert unit.ask(op="read")["line"] == {"baudrate": 19_200, "parity": "E", "breaks": 0}
            port.parity = PARITY_MARK
            port.break_condition = True
            port.break_condition = False
            assert unit.ask(op="read")["line"] == {"baudrate": 19_200, "parity": "M", "breaks": 1}
            port.write(b"#STATUS;\n")
            assert port.read_until(b"\n") == b"#INVALID\r\n"


def test_a_client_that_speaks_no_telnet_is_a_cable_of_plain_bytes():
    with (
        serving("--rfc2217", "127.0.0.1:0") as unit,
        socket.create_connection(("127.0.0.1", int(unit.port.rsplit(":")[-1])), timeout=10) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(b"#STATUS;\n")
        assert answers.readline().endswith(b"#INVALID\r\n")  # after the server's offers


def test_broken_telnet_costs_the_client_its_connection_and_nobody_else():
    with serving("--rfc2217", "127.0.0.1:0") as unit:
        where = ("127.0.0.1", int(unit.port.rsplit(":")[-1]))
        for attack in (SE, SB + COM_PORT + b"\x01\x01" + SE, SB + COM_PORT + b"\x03\x77" + SE, SB + bytes(100)):
            with socket.create_connection(where, timeout=10) as client:
                client.sendall(attack)
                while client.recv(4096):
                    pass  # its end comes, or the time-out fails the test
        assert said(unit.port, b"#STATUS;\n") == b"#INVALID\r\n"


def test_a_byte_of_255_is_doubled_on_the_way_out_and_single_on_the_way_in(line):
    port, client = line
    client.setblocking(False)
    client.recv(4096)
    port.send(b"a\xffb")
    assert client.recv(4096) == b"a\xff\xffb"
    assert b"".join(port.received(b"a\xff\xffb")) == b"a\xffb"


def test_a_byte_comes_with_the_parity_that_was_set_before_it(line):
    """Mark and space parity carry a ninth bit."""
    port, _ = line
    mark, space = (SB + COM_PORT + b"\x03" + bytes([parity]) + SE for parity in (4, 5))
    came = [(byte, port.parity) for byte in port.received(mark + b"\x10" + space + b"\x20\x30")]
    assert came == [(b"\x10", "M"), (b"\x20", "S"), (b"\x30", "S")]


def test_a_break_is_a_zero_byte_in_its_place(line):
    port, _ = line
    down, up = (SB + COM_PORT + b"\x05" + bytes([state]) + SE for state in (5, 6))
    assert b"".join(port.received(b"a" + down + up + b"b")) == b"a\0b"
    assert (port.breaks, port.break_condition) == (1, False)


def test_a_client_that_never_reads_is_let_go(line):
    port, _ = line

    def flood() -> None:
        for _ in range(100_000):
            port.send(bytes(4096))

    with pytest.raises(ConnectionError):
        flood()


TELNET = st.sampled_from([IAC, SB, SE, COM_PORT, b"\xff\xfd", b"\xff\xfb", SB + COM_PORT, b"\x01", b"\x05"])


@given(st.lists(TELNET | st.binary(max_size=80), max_size=30))
def test_no_bytes_do_more_than_end_the_connection(parts: list[bytes]):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        port = RemotePort(ours)
        sent = b"".join(parts)
        try:
            came = b"".join(port.received(sent))
        except ConnectionError:
            return
        assert len(came) <= len(sent)
        assert len(port._manager.suboption or b"") <= LONGEST_OPTION


def test_one_console_only():
    status, sentence = refused("--tcp", "127.0.0.1:0", "--rfc2217", "127.0.0.1:0")
    assert status == 2
    assert "--tcp and --rfc2217 exclude each other" in sentence["error"]
