"""A port: anything that pyserial opens, held alone, with errors that say who, what and what to do."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import serial

from paygo_core.errors import NoAnswerError, PaygoError, PortError

DEFAULT_BAUD = 115200
SLICE_SECONDS = 0.02
"""pyserial sets a port up anew whenever its timeout changes, so reads wait in slices of one timeout."""
MOST_BYTES = 4096
WRITE_SECONDS = 2.0
REMOTE_SCHEMES = ("socket", "rfc2217")
"""pyserial has more, which print or store every byte, keys too, or open a local port without its lock."""

Trace = Callable[[str, bytes], None]

try:
    from termios import error as _TermiosError
except ImportError:  # not POSIX
    _TermiosError = OSError  # type: ignore[misc, assignment]

_FAILURES = (OSError, _TermiosError)  # SerialException is an OSError


class Transport:
    """An open port. `trace` sees every byte: ">" what is sent, "<" what comes; it sees keys too.

    port: a device, a pty path, socket:// or rfc2217://. baud: bits a second, 115 200 by default; 8 data bits, no
    parity, one stop bit. Local ports are locked against a second program. What has come before is dropped. Raises
    PortError when the port is missing, busy, denied or vanishes, PaygoError when it cannot be a port at all. Close it,
    or use `with`.
    """

    def __init__(self, port: str, baud: int = DEFAULT_BAUD, *, trace: Trace | None = None) -> None:
        self.port = port
        self._trace = trace or (lambda _direction, _data: None)
        self._local = "://" not in port
        if not self._local and (port.partition("://")[0] not in REMOTE_SCHEMES or "logging=" in port):
            raise PaygoError(
                f"{port[:80]} is no port that can be opened", "a port is a device, socket:// or rfc2217://"
            )
        if not port:
            raise PortError("no port was named", f"ports here: {', '.join(_ports()) or 'none'}")
        options: dict[str, Any] = {"exclusive": True} if self._local else {}
        if not port.startswith("rfc2217://"):  # pyserial's client has no write timeout
            options["write_timeout"] = WRITE_SECONDS
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pyserial's own, in its rfc2217 client
                self._serial = serial.serial_for_url(port, baudrate=baud, timeout=SLICE_SECONDS, **options)
        except ValueError as error:
            raise PaygoError(
                f"{port} cannot be opened: {error}", "a port is a device, socket:// or rfc2217://"
            ) from None
        except _FAILURES as error:
            raise self._not_opened(error) from None
        self._fd: int | None = None
        if self._local and hasattr(select, "poll"):
            self._fd = self._serial.fileno()  # which pyserial has made non-blocking
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLIN)
        try:
            self._drain()
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Sends all of `data`. Raises NoAnswerError when the other side takes no bytes for 2 s."""
        self._trace(">", data)
        try:  # no flush(): draining has no timeout
            if self._fd is not None:
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(self._fd, data) :]
            if data:
                self._serial.write(data)
        except serial.SerialTimeoutException:
            raise NoAnswerError(
                f"{self.port} takes no bytes since {WRITE_SECONDS:g} s", "the unit hangs, or its flow control is on"
            ) from None
        except _FAILURES:
            raise self._vanished() from None

    def read(self, timeout: float) -> bytes:
        """What has come, at most 4096 bytes; b"" when nothing comes within `timeout` seconds."""
        try:
            return self._read_there(self._fd, timeout) if self._fd is not None else self._read_slices(timeout)
        except _FAILURES:
            raise self._vanished() from None

    def _read_there(self, descriptor: int, timeout: float) -> bytes:
        """From a local port, without pyserial's loops."""
        if not self._poll.poll(max(0, math.ceil(timeout * 1000))):
            return b""
        data = os.read(descriptor, MOST_BYTES)
        if not data:
            raise OSError("readable, and nothing comes: the other side is gone")
        return self._seen(data)

    def _read_slices(self, timeout: float) -> bytes:
        if not self._serial.is_open:
            raise OSError("it was closed")
        until = time.monotonic() + timeout
        while not (waiting := self._serial.in_waiting):
            if time.monotonic() >= until:
                return b""
            if first := self._serial.read(1):
                return self._seen(first + self._serial.read(min(self._serial.in_waiting, MOST_BYTES - 1)))
        return self._seen(self._serial.read(min(waiting, MOST_BYTES)))

    def set_line(self, baud: int, parity: str = "N") -> None:
        """Goes on at another speed, in bits a second, and parity: N, E, O, M (mark) or S (space), once all was sent.

        Raises PaygoError for what the port cannot do.
        """
        try:
            if self._local:
                self._serial.flush()
            if self._serial.baudrate != baud:
                self._serial.baudrate = baud
            if self._serial.parity != parity:
                self._serial.parity = parity
        except ValueError as error:
            raise PaygoError(f"{self.port} cannot do that: {error}", "choose another speed or parity") from None
        except _FAILURES:
            raise self._vanished() from None

    def fileno(self) -> int | None:
        """Its file descriptor, to wait for; None for rfc2217://, whose bytes are not the port's."""
        return None if self.port.startswith("rfc2217://") else int(self._serial.fileno())

    def send_break(self, seconds: float) -> None:
        """Holds the line low for so long, once all was sent. Raises PortError when the port vanishes."""
        try:
            if self._local:
                self._serial.flush()
            self._serial.break_condition = True
            time.sleep(seconds)
            self._serial.break_condition = False
        except _FAILURES:
            raise self._vanished() from None

    def close(self) -> None:
        """Gives the port back; also one that has vanished, also twice."""
        self._fd = None
        with contextlib.suppress(*_FAILURES):
            self._serial.close()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _seen(self, data: bytes) -> bytes:
        self._trace("<", data)
        return data

    def _drain(self) -> None:
        for _ in range(16):  # a unit that never stops talking must not hold us here
            if not self.read(0):
                return

    def _vanished(self) -> PortError:
        return PortError(f"{self.port} vanished", "look at the cable and the power, then try again")

    def _not_opened(self, error: Exception) -> PortError:
        code = getattr(error, "errno", None)
        if code == errno.ENOENT:
            return PortError(f"there is no port {self.port}", f"ports here: {', '.join(_ports()) or 'none'}")
        if code in (errno.EACCES, errno.EPERM):
            return PortError(
                f"you may not open {self.port}",
                "add yourself to the group dialout and log in again: sudo usermod -aG dialout $USER",
            )
        if code in (errno.EBUSY, errno.EAGAIN):
            holders = port_holders(self.port) or ["another program"]
            verb = "holds" if len(holders) == 1 else "hold"
            return PortError(
                f"{self.port} is busy: {' and '.join(holders)} {verb} it", "close that program, or use another port"
            )
        if code in (errno.EIO, errno.ENXIO, errno.ENODEV):
            return PortError(f"nothing is connected to {self.port}", "look at the cable and the power, then try again")
        if self._local:
            return PortError(f"{self.port} is not a serial port", f"ports here: {', '.join(_ports()) or 'none'}")
        return PortError(f"{self.port} cannot be opened", "is the server running there, and is the address right?")


def port_holders(port: str) -> list[str]:
    """The processes that hold a device, as "name (process 123)"; as far as we may look.

    Those that locked it as serial programs do (flock), if any did: a simulator has its own port open too, without
    being in the way.
    """
    try:
        device = os.stat(port)
    except OSError:
        return []
    having = [process for process in Path("/proc").glob("[0-9]*") if _holds(process, device)]
    lockers = _lockers(device)
    holders = [process for process in having if process.name in lockers] or having
    return [f"{_name(process)} (process {process.name})" for process in holders]


def _lockers(device: os.stat_result) -> set[str]:
    file = f"{os.major(device.st_dev):02x}:{os.minor(device.st_dev):02x}:{device.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return set()
    return {fields[-4] for fields in map(str.split, lines) if fields[-3] == file and "FLOCK" in fields}


def _holds(process: Path, device: os.stat_result) -> bool:
    with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), device):
                    return True
    return False


def _name(process: Path) -> str:
    if process.name == str(os.getpid()):
        return "this program"
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a program"


def _ports() -> list[str]:
    from serial.tools.list_ports import comports

    return [str(found.device) for found in comports()]
