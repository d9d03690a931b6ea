"""A transport that loses lines, damages bytes, comes late, and ends the process at a counted step."""

from __future__ import annotations

import os
import random
import signal

from hw_bridge.transport import Transport


class BadLine(Transport):
    """A port on a bad line, the same at every run with the same seed.

    lose: share of the lines that never arrive, either way. damage: share of the bytes that arrive as others. slow: a
    read brings one byte. echo: what is sent also comes back, as on a two-wire bus.
    """

    def __init__(self, port: str, *, seed: int, lose: float = 0.0, damage: float = 0.0, slow: bool = False) -> None:
        self._random = random.Random(seed)
        self.lose, self.damage, self._slow = lose, damage, slow
        self._line, self._waiting = b"", b""
        super().__init__(port)

    def write(self, data: bytes) -> None:
        if passed := self._pass(data):
            super().write(passed)

    def read(self, timeout: float) -> bytes:
        if not self._waiting:
            came = super().read(timeout)
            if not came:
                return b""
            *lines, self._line = (self._line + came).split(b"\n")
            self._waiting = b"".join(self._pass(line + b"\n") for line in lines)
        taken = self._waiting[:1] if self._slow else self._waiting
        self._waiting = self._waiting[len(taken) :]
        return taken

    def _pass(self, line: bytes) -> bytes:
        if self._random.random() < self.lose:
            return b""
        return bytes(
            byte ^ (1 << self._random.randrange(8)) if self._random.random() < self.damage else byte for byte in line
        )


class Countdown:
    """Ends this process by SIGKILL at its n-th step."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class KillingLine(Transport):
    """Counts before and after each write, and after each read that brings something."""

    def __init__(self, port: str, countdown: Countdown) -> None:
        self._countdown = countdown
        super().__init__(port)

    def write(self, data: bytes) -> None:
        self._countdown.step()
        super().write(data)
        self._countdown.step()

    def read(self, timeout: float) -> bytes:
        data = super().read(timeout)
        if data:
            self._countdown.step()
        return data
