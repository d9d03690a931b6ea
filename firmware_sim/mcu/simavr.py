"""An AVR, run by simavr_host.c in a process of its own."""

from __future__ import annotations

import os
import select
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from firmware_sim.mcu.chip import ANSWER_SECONDS, Exchange, crashed, end, hangs, start
from firmware_sim.mcu.frames import ANSWER_BYTES, answer, plan
from firmware_sim.plant.board import Board
from firmware_sim.power_cut import PowerCut

_HEAD = struct.Struct("<cHHHH")


class SimavrChip:
    """A chip with this program, `mcu` being its name in simavr, and with this image at the start of its EEPROM."""

    def __init__(self, host: Path, program: Path, mcu: str, image: bytes) -> None:
        command = [str(host), str(program), mcu, str(len(image))]
        self._process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self._request(b"E", image)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SimavrChip:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def plan(self, first_boot: int, board: Board, cut: PowerCut | None) -> None:
        self._request(b"P", struct.pack("<BII", cut is not None, *((cut.after_writes, cut.at_byte) if cut else (0, 0))))
        self._request(b"F", plan(first_boot, board, None))  # the rig cuts the power itself
        self._reply()

    def listen(self) -> None:
        """Runs until the chip says that it listens."""
        self._request(b"F")
        self._reply()

    def exchange(self, frame: bytes, console: bytes) -> Exchange:
        if console:
            self._request(b"C", console)
        self._request(b"F", frame)
        return self._reply()

    def run(self, microseconds: int, console: bytes = b"") -> Exchange:
        """Lets the chip's own clock run, without a frame."""
        if console:
            self._request(b"C", console)
        self._request(b"T", struct.pack("<I", microseconds))
        return self._reply()

    def set_adc(self, channel: int, millivolts: int) -> None:
        """What an ADC pin sees."""
        self._request(b"V", struct.pack("<BH", channel, millivolts))

    def port_d(self) -> int:
        """Which pins of port D are driven high, as bits. What was said since the last reply is lost."""
        self._request(b"O")
        return self._reply().said[0]

    def close(self) -> None:
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was not flushed is for nobody
                    pipe.close()

    def _request(self, operation: bytes, data: bytes = b"") -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(operation + struct.pack("<H", len(data)) + data)
        except BrokenPipeError:
            raise crashed() from None

    def _reply(self) -> Exchange:
        assert self._process.stdin is not None
        try:
            self._process.stdin.flush()
        except BrokenPipeError:
            raise crashed() from None
        letter, _, said, answers, image = _HEAD.unpack(self._read(_HEAD.size))
        exchange = Exchange(said=self._read(said))
        data = self._read(answers)
        exchange.answers = [answer(data[at : at + ANSWER_BYTES]) for at in range(0, answers, ANSWER_BYTES)]
        exchange.image = self._read(image) or None
        if letter == b"D":
            raise crashed()
        exchange.failed = letter == b"X"
        return exchange

    def _read(self, length: int) -> bytes:
        """So many bytes, from a pipe without a buffer of ours, so that select sees them all."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        data = b""
        while len(data) < length:
            if not select.select([descriptor], [], [], ANSWER_SECONDS)[0]:
                raise hangs()
            part = os.read(descriptor, length - len(data))
            if not part:
                raise crashed()
            data += part
        return data
