"""Frames to a chip on the test rig and answers from it, as bytes (ports/rig.h)."""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass

from firmware_sim.plant.board import BOARDS, Board
from firmware_sim.plant.home import Measured
from firmware_sim.power_cut import PowerCut
from paygo_core.errors import DeviceError

FRAME_BYTES = 37
ANSWER_BYTES = 24
CONSOLE_BYTES = 48
"""How many console bytes go with a frame at most; the chip has room for some more."""

_LONGEST_WIRE_MS = (1 << 24) - 1
_LAST = 0x80


@dataclass(frozen=True)
class Answer:
    """What the chip does now. said, writes: console bytes and writes since the frame. last: the frame is done."""

    last: bool
    output: bool
    charge: bool
    light: int
    blinking: int
    blinks: int
    writes: int
    said: int
    wire_due_ms: int
    world_due_ms: int
    target_mv: int
    limit_ma: int


def _checked(body: bytes) -> bytes:
    body = body.ljust(FRAME_BYTES - 2, b"\0")
    return body + struct.pack("<H", crc_hqx(body, 0xFFFF))


def frame(measured: Measured, *, console: int, key: str, world_ms: int, wire_ms: int) -> bytes:
    """A frame. Wire time beyond 4.6 hours is cut off: no time-out of the wire is longer."""
    return _checked(
        struct.pack("<BBB", 0xA5, console, ord(key or "\0"))
        + world_ms.to_bytes(3, "little")
        + min(wire_ms, _LONGEST_WIRE_MS).to_bytes(3, "little")
        + struct.pack("<2hH4h4HI", *measured.numbers(), measured.rtc_s)
    )


def plan(first_boot: int, board: Board, cut: PowerCut | None) -> bytes:
    """What the chip has to know before its first frame, and of a power cut."""
    after_writes, at_byte = (0, 0) if cut is None else (cut.after_writes, cut.at_byte)
    number = BOARDS.index(board)
    return _checked(struct.pack("<BBIIIB", 0xA6, cut is not None, first_boot, after_writes, at_byte, number))


def answer(data: bytes) -> Answer:
    """Reads an answer. Raises DeviceError for bytes that are none."""
    start, flags, light, blinking, blinks, _, writes, said, wire_due, world_due, target, limit, crc = struct.unpack(
        "<BBBBBBHHIIHHH", data
    )
    if start != 0x5A or crc != crc_hqx(data[:-2], 0xFFFF):
        raise DeviceError("the emulated chip sends no answer that can be read", "its program is none of this version")
    return Answer(
        last=bool(flags & _LAST),
        output=bool(flags & 1),
        charge=bool(flags & 2),
        light=light,
        blinking=blinking,
        blinks=blinks,
        writes=writes,
        said=said,
        wire_due_ms=wire_due,
        world_due_ms=world_due,
        target_mv=target,
        limit_ma=limit,
    )
