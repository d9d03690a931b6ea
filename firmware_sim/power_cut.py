"""A planned power cut inside a write to storage."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from firmware_sim.storage import Storage
from paygo_core.errors import PaygoError


@dataclass
class PowerCut:
    """Where the supply shall fail: after `at_byte` bytes of the write that follows `after_writes` others.

    kill: the process dies there, as if by SIGKILL. Raises PaygoError for numbers below 0.
    """

    at_byte: int
    after_writes: int = 0
    kill: bool = False

    def __post_init__(self) -> None:
        if self.at_byte < 0 or self.after_writes < 0:
            raise PaygoError("a power cut needs counts of 0 or more", "give at_byte and after_writes, both 0 or more")

    def strikes(self, storage: Storage, offset: int, data: bytes) -> bool:
        """Counts a write of a whole record. In the one that is meant it stores what comes before the cut: True."""
        if self.after_writes > 0:
            self.after_writes -= 1
            return False
        storage.write(offset, data[: self.at_byte])
        self.end_process()
        return True

    def end_process(self) -> None:
        """Where the supply has failed: kills the process if that was asked for."""
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
