"""What an emulated chip is to the unit around it, and how its process is started and ended."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.mcu.frames import Answer
from firmware_sim.plant.board import Board
from firmware_sim.power_cut import PowerCut
from paygo_core.errors import DeviceError

ANSWER_SECONDS = 110
"""How long a chip may take for a frame; the control socket's clients wait 120 s."""


@dataclass
class Exchange:
    """What came of a frame. image: the stored bytes, None: as before. failed: the power failed in a write."""

    said: bytes = b""
    answers: list[Answer] = field(default_factory=list)
    image: bytes | None = None
    failed: bool = False


class Chip(Protocol):
    """A running chip. It starts with power; it loses it in `close`, or in a planned cut."""

    def plan(self, first_boot: int, board: Board, cut: PowerCut | None) -> None:
        """Tells what the first start is called, and plans a cut or none."""

    def exchange(self, frame: bytes, console: bytes) -> Exchange:
        """One frame with its console bytes. Raises DeviceError when the chip crashes or hangs."""

    def close(self) -> None:
        """Ends the process; also one that has ended, also twice."""


def start(command: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
    """A process that is killed when this one ends, however it ends."""
    dying = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return subprocess.Popen([*dying, *command], start_new_session=True, **options)  # type: ignore[call-overload, no-any-return]


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills it and waits for its end."""
    process.kill()
    process.wait()


def hangs() -> DeviceError:
    """The chip does not answer in time."""
    return DeviceError(f"the emulated chip does not answer within {ANSWER_SECONDS} s", "switch its power off and on")


def crashed() -> DeviceError:
    """The chip ended by itself."""
    return DeviceError("the program on the emulated chip crashed", "switch its power off and on")
