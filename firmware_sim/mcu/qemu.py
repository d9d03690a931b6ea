"""A Cortex-M3, run by QEMU: the console and the rig's link are sockets, the storage is a file."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from firmware_sim.mcu.chip import ANSWER_SECONDS, Exchange, crashed, end, hangs, start
from firmware_sim.mcu.frames import ANSWER_BYTES, Answer, answer, plan
from firmware_sim.plant.board import Board
from firmware_sim.power_cut import PowerCut

POWER_FAILED = 0
"""QEMU's exit status when the program ends because of a cut; any other is a crash."""

_QUIET = ["-nodefaults", "-nic", "none", "-display", "none", "-monitor", "none"]
_SETTINGS = ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]


class QemuChip:
    """A chip with this program and this image in its storage."""

    def __init__(self, program: Path, image: bytes) -> None:
        self._owner = ExitStack()
        try:
            self._directory = tempfile.TemporaryDirectory(prefix="paygo-")
            directory = Path(self._owner.enter_context(self._directory))
            (directory / "storage").touch(mode=0o600)
            (directory / "storage").write_bytes(image)
            self._storage = self._owner.enter_context((directory / "storage").open("rb"))
            self._said = bytearray()
            self._console, console = self._pair()
            self._link, link = self._pair()
            command = ["qemu-system-arm", "-M", "lm3s6965evb", "-kernel", str(program), *_QUIET, *_SETTINGS]
            for name, end_ in (("console", console), ("link", link)):
                command += ["-chardev", f"socket,id={name},fd={end_.fileno()}", "-serial", f"chardev:{name}"]
            self._process = start(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(console.fileno(), link.fileno()),
            )
            self._owner.callback(end, self._process)
            console.close()
            link.close()
        except BaseException:
            self._owner.close()
            raise

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        """Our end, on which every read waits for all that it asks for, and QEMU's."""
        ours, theirs = socket.socketpair()
        self._owner.enter_context(ours)
        self._owner.enter_context(theirs)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", ANSWER_SECONDS, 0))
        return ours, theirs

    def listen(self) -> None:
        """Waits until the chip says that it listens. It has opened its storage then, whose name may go."""
        if self._answer() is None:
            raise crashed()
        self._directory.cleanup()

    def plan(self, first_boot: int, board: Board, cut: PowerCut | None) -> None:
        self._send(self._link, plan(first_boot, board, cut))
        if self._answer() is None:
            raise crashed()

    def exchange(self, frame: bytes, console: bytes) -> Exchange:
        self._send(self._console, console)
        self._send(self._link, frame)
        exchange = Exchange()
        while not exchange.failed and not (exchange.answers and exchange.answers[-1].last):
            found = self._answer()
            if found is None:
                exchange.failed = True
            else:
                exchange.answers.append(found)
        if exchange.failed or exchange.answers[-1].writes:
            exchange.image = os.pread(self._storage.fileno(), 65_536, 0)
        if not exchange.failed:
            missing = exchange.answers[-1].said - len(self._said)
            self._said += self._read(self._console, missing)
            exchange.said = bytes(self._said)
            self._said.clear()
        return exchange

    def close(self) -> None:
        self._owner.close()

    def _answer(self) -> Answer | None:
        """The next answer. None: the power failed.

        What the chip says meanwhile is taken, since QEMU waits when a socket holds some hundred single bytes.
        """
        while True:
            ready = select.select([self._link, self._console], [], [], ANSWER_SECONDS)[0]
            if not ready:
                raise hangs()
            if self._link in ready:
                break
            with suppress(ConnectionError):  # then the link ends too
                self._said += self._console.recv(4096)
        data = self._read(self._link, ANSWER_BYTES)
        if len(data) == ANSWER_BYTES:
            return answer(data)
        if self._process.wait() != POWER_FAILED:
            raise crashed()
        return None

    def _read(self, line: socket.socket, length: int) -> bytes:
        try:
            return line.recv(length, socket.MSG_WAITALL) if length else b""
        except BlockingIOError:  # SO_RCVTIMEO is over
            raise hangs() from None
        except ConnectionError:
            return b""

    def _send(self, line: socket.socket, data: bytes) -> None:
        try:
            line.sendall(data)
        except ConnectionError:
            raise crashed() from None
