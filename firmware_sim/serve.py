"""Serves one simulated unit: its console on a pty, TCP or RFC 2217, its control socket, and the pace of its clock."""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
import sys
import time
import tty
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from firmware_sim.plant.battery_sheets import battery_sheet
from firmware_sim.plant.home import SolarHome
from firmware_sim.remote_port import RemotePort
from firmware_sim.storage import Storage
from paygo_core.errors import PaygoError, PortError, Problem
from paygo_core.wire.control import BadLine, ControlReader, encode

TICK_S = 0.2
"""How often world time moves on while it is scaled."""

LONGEST_ADVANCE_S = 366 * 86_400
READ_BYTES = 4096
PTYS = Path("/dev/pts")
LINUX = sys.platform == "linux"
"""Only there have sockets names that vanish with their owner."""


class Unit(Protocol):
    """What is served: a unit on the PC or on an emulated chip (ControlUnit says what each does)."""

    storage: Storage
    home: SolarHome
    powered: bool
    output: bool
    charge: bool
    light: str
    last_blink: tuple[str, int]
    wire_due_ms: int | None

    def power_on(self) -> None: ...
    def power_off(self) -> None: ...
    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def press(self, keys: str) -> None: ...
    def pass_time(self, world_ms: int, wire_ms: int = 0) -> None: ...
    def take(self) -> bytes: ...


@dataclass(frozen=True)
class Address:
    """A Unix socket's path, or a TCP host and port."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """`HOST:PORT` is TCP, everything else is a path."""
        host, colon, port = text.rpartition(":")
        if colon and host and "/" not in text and port.isdigit() and int(port) > 65_535:
            raise PaygoError(f"{text} has a port above 65535", "an address is HOST:PORT, or a path")
        if colon and host and "/" not in text and port.isdigit() and int(port) < 65_536:
            return cls(host=host, port=int(port))
        return cls(path=Path(text))


def _listen(address: Address, owner: ExitStack) -> tuple[socket.socket, str]:
    """A listening socket and what a client connects to."""
    try:
        if address.path is None:
            server = owner.enter_context(socket.create_server((address.host, address.port)))
            name = "{}:{}".format(*server.getsockname()[:2])
        else:
            _remove_stale(address.path)
            server = owner.enter_context(socket.socket(socket.AF_UNIX))
            old = os.umask(0o077)
            try:
                server.bind(str(address.path))
            finally:
                os.umask(old)
            owner.callback(address.path.unlink, missing_ok=True)
            server.listen()
            name = str(address.path)
    except OSError as error:
        where = address.path or f"{address.host}:{address.port}"
        raise PortError(f"cannot listen on {where}: {error.strerror or error}") from None
    server.setblocking(False)
    return server, name


def _remove_stale(path: Path) -> None:
    """Removes a socket or link that a killed simulator left; anything that is in use, or not ours, stays."""
    if path.is_symlink() and (not path.exists() or path.resolve().parent == PTYS):
        if _is_served(path):
            raise PortError(f"{path} is in use", "name another path, or stop what serves it")
        path.unlink()
    elif path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise PortError(f"{path} is in use", "name another path, or stop what serves it")
        path.unlink()
    elif path.exists():
        raise PaygoError(f"{path} exists and is not a simulated port", "name a path that does not exist")


def _is_served(link: Path) -> bool:
    """Whether a simulator serves this link. Its pty cannot tell: after a kill the number goes to another terminal."""
    if not LINUX:
        return link.exists()
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(_claim_of(link))
        except OSError:
            return True
    return False


def _claim_of(link: Path) -> str:
    """The name that is bound while a link is served; the kernel takes it back when the process ends in any way."""
    digest = hashlib.sha256(str(link.parent.resolve() / link.name).encode()).hexdigest()
    return f"\0paygo-sim-{digest}"


class Server:
    """Owns the port, the control socket and the loop between them. Use as a context manager.

    rfc2217: what is served at `tcp` is RFC 2217 rather than plain bytes.
    """

    def __init__(
        self,
        unit: Unit,
        *,
        link: Path | None = None,
        tcp: Address | None = None,
        rfc2217: bool = False,
        control: Address | None = None,
        speed: float = 1.0,
        attached: bool = False,
    ) -> None:
        self.unit = unit
        self.speed = speed
        self.port = ""
        self.control = ""
        self._owner = ExitStack()
        self._selector = self._owner.enter_context(selectors.DefaultSelector())
        self._wire: int | socket.socket | None = None
        self._rfc2217 = rfc2217
        self._remote: RemotePort | None = None
        self._clients: dict[socket.socket, ControlReader] = {}
        self._running = True
        self._crash: Problem | None = None
        """Of the unit, when nobody had asked for it: the next who asks is told."""
        try:
            if tcp is not None:
                listener, name = _listen(tcp, self._owner)
                self.port = f"{'rfc2217' if rfc2217 else 'socket'}://{name}"
                self._watch(listener, self._accept_wire)
            else:
                self._open_pty(link)
            if control is not None:
                listener, self.control = _listen(control, self._owner)
                self._watch(listener, self._accept_control)
            if attached:
                self._attach()
        except BaseException:
            self._owner.close()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        for client in list(self._clients):
            self._drop(client)
        if isinstance(self._wire, socket.socket):
            self._drop(self._wire)
        self._owner.close()

    def _attach(self) -> None:
        try:
            self._watch(sys.stdin.fileno(), self._read_stdin)
        except (AttributeError, OSError):  # closed, or a file, which never waits
            raise PaygoError("--attached has no standard input to watch", "start it from a pipe or terminal") from None

    def _open_pty(self, link: Path | None) -> None:
        if link is not None:
            _remove_stale(link)
        master, slave = os.openpty()
        self._owner.callback(os.close, master)
        self._owner.callback(os.close, slave)  # held open, so that a client may come and go
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.port = os.ttyname(slave)
        if link is not None:
            claim = self._owner.enter_context(socket.socket(socket.AF_UNIX))
            try:
                if LINUX:
                    claim.bind(_claim_of(link))
                link.symlink_to(self.port)
            except OSError as error:
                raise PortError(f"cannot make the link {link}: {error.strerror}") from None
            self._owner.callback(link.unlink, missing_ok=True)
            self.port = str(link)
        self._wire = master
        self._watch(master, self._read_wire)

    def _watch(self, source: int | socket.socket, act: Callable[[Any], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    def _drop(self, client: socket.socket) -> None:
        with suppress(KeyError):  # a signal may have ended this once before it was done
            self._selector.unregister(client)
        self._clients.pop(client, None)
        if client is self._wire:
            self._wire = self._remote = None
        client.close()

    def run(self) -> None:
        """Serves until the process is told to stop, or its standard input ends if it is attached."""
        last = time.monotonic()
        world_rest = wire_rest = 0.0
        while self._running:
            ready = self._selector.select(self._timeout())
            now = time.monotonic()
            elapsed, last = now - last, now
            world_rest += elapsed * self.speed * 1000
            wire_rest += elapsed * 1000
            try:
                self.unit.pass_time(int(world_rest), int(wire_rest))
            except Problem as error:  # a chip that crashed
                if not ready:
                    raise
                self._crash = error
            world_rest %= 1
            wire_rest %= 1
            for key, _ in ready:
                key.data(key.fileobj)
            if ready:
                self.unit.pass_time(0)
            self._say()

    def _timeout(self) -> float | None:
        waits = [TICK_S] if self.speed > 0 else []
        if self.unit.wire_due_ms is not None:
            waits.append(self.unit.wire_due_ms / 1000 + 0.001)
        return min(waits) if waits else None

    def _say(self) -> None:
        said = self.unit.take()
        if not said or self._wire is None:
            return
        with suppress(OSError):  # nobody listens: lost, as on a wire
            if isinstance(self._wire, int):
                os.write(self._wire, said)
            elif self._remote is None:
                self._wire.send(said)
            else:
                try:
                    self._remote.send(said)
                except ConnectionError:
                    self._drop(self._wire)

    def _read_wire(self, wire: int | socket.socket) -> None:
        if wire is not self._wire:
            return
        try:
            data = os.read(wire, READ_BYTES) if isinstance(wire, int) else wire.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and self._remote is not None:
            try:
                for part in self._remote.received(data):
                    self.unit.feed(part)
            except ConnectionError:
                data = b""
        elif data:
            self.unit.feed(data)
        if not data and isinstance(wire, socket.socket):
            self._drop(wire)

    def _read_stdin(self, stdin: int) -> None:
        self._running = bool(os.read(stdin, READ_BYTES))

    def _accept_wire(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        if self._wire is not None:
            self._read_wire(self._wire)  # it may have left just before
        if self._wire is not None:
            client.close()  # a cable has one host
            return
        client.setblocking(False)
        if self._rfc2217:
            try:
                self._remote = RemotePort(client)
            except ConnectionError:
                client.close()
                return
        if hasattr(self.unit, "line"):  # it looks at parity and breaks
            self.unit.line = self._remote
        self._wire = client
        self._watch(client, self._read_wire)

    def _accept_control(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        client.setblocking(False)
        self._clients[client] = ControlReader()
        self._watch(client, self._read_control)

    def _read_control(self, client: socket.socket) -> None:
        try:
            data = client.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        for message in self._clients[client].feed(data):
            answer = self._answer(message)
            self._say()
            try:
                client.sendall(encode(answer))
            except OSError:
                self._drop(client)
                return

    def _answer(self, message: dict[str, Any] | BadLine) -> dict[str, Any]:
        if isinstance(message, BadLine):
            return {"ok": False, "error": message.cause}
        try:
            if self._crash is not None:
                crash, self._crash = self._crash, None
                raise crash
            return {"ok": True, **self._obey(message)}
        except Problem as error:
            return {"ok": False, "error": f"{error.cause} ({error.hint})"}

    def _obey(self, message: dict[str, Any]) -> dict[str, Any]:
        unit = self.unit
        request = dict(message)
        op = request.pop("op", None)
        if op == "advance":
            seconds = _number(request, "seconds", LONGEST_ADVANCE_S)
            unit.pass_time(round(seconds * 1000))
            return {"time": unit.home.time_s}
        if op == "power":
            if _flag(request, "on"):
                unit.power_on()
            else:
                unit.power_off()
            return {"powered": unit.powered}
        if op == "cut_power":
            at_byte = int(_number(request, "at_byte", 65_536))
            after = int(_number({"after_writes": 0, **request}, "after_writes", 1_000_000))
            unit.cut_power(at_byte, after, kill=_flag({"kill": False, **request}, "kill"))
            return {}
        if op == "press":
            keys = request.get("keys")
            if not isinstance(keys, str):
                raise PaygoError(f"keys cannot be {keys!r}", "keys is a text of 0-9, * and #")
            unit.press(keys)
            return {}
        if op == "plant":
            for name, value in request.items():
                unit.home.set_value(name, value)
            return {}
        if op == "battery":
            sheet = battery_sheet(request.get("chemistry"), request.get("capacity_ah"))
            unit.home.put_in(sheet, request.get("state_of_charge", 0.7))
            return {"battery": sheet.name}
        if op == "fault":
            unit.home.set_fault(str(request.get("name")), request.get("value"))
            return {}
        if op == "read":
            remote = self._remote
            line = {"baudrate": remote.baudrate, "parity": remote.parity, "breaks": remote.breaks} if remote else None
            return {**_reading(unit), "speed": self.speed, "line": line}
        raise PaygoError(
            f"there is no operation {op!r}",
            "operations are advance, power, cut_power, press, read, plant, battery and fault",
        )


def _number(request: dict[str, Any], name: str, most: float) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise PaygoError(f"{name} cannot be {value!r}", f"{name} is a number from 0 to {most}")
    return value


def _flag(request: dict[str, Any], name: str) -> bool:
    value = request.get(name)
    if not isinstance(value, bool):
        raise PaygoError(f"{name} cannot be {value!r}", f"{name} is true or false")
    return value


def _reading(unit: Unit) -> dict[str, Any]:
    home = unit.home
    measured = home.measured
    return {
        "time": home.time_s,
        "powered": unit.powered,
        "output": unit.output,
        "charge": unit.charge,
        "light": unit.light,
        "last_blink": list(unit.last_blink),
        "lamp_lit": measured.load_a > 0,
        "battery": home.battery.sheet.name,
        "battery_voltage": home.battery.voltage,
        "battery_current": measured.battery_a,
        "panel_voltage": measured.panel_v,
        "panel_current": measured.panel_a,
        "load_current": measured.load_a,
        "irradiance": home.irradiance,
        "state_of_charge": home.battery.state_of_charge,
        "writes": unit.storage.writes,
    }
