"""The control socket of a simulated unit: one JSON object a line, a request and its answer.

A request is {"op": NAME, …}, an answer {"ok": true, …} or {"ok": false, "error": SENTENCE}. Operations:

advance      seconds        lets world time pass at once
power        on             switches the unit's supply
cut_power    at_byte [after_writes] [kill]   lets the next write (or one later) stop after so many bytes, and the supply
             with it; with kill the simulator's process dies there instead
press        keys           presses keys of the keypad, 0-9, * and #
read                        world time, supply, output, lights, what the plant measures, how many writes were done
plant        NAME: VALUE …  sets plant values, see firmware_sim.plant.home
battery      chemistry capacity_ah [state_of_charge]   puts another battery in; the unit is not told
fault        name value     plants or removes a fault, see firmware_sim.plant.home
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_LINE = 65_536


@dataclass(frozen=True)
class BadLine:
    """A line that is not a JSON object, and why."""

    cause: str


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class ControlReader:
    """Messages from bytes. Holds at most LONGEST_LINE bytes and recovers at the next line end."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[dict[str, Any] | BadLine]:
        """Takes bytes, gives the messages that they complete."""
        found: list[dict[str, Any] | BadLine] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._take(line, found)
            if not self._skipping:
                found.append(_decode(bytes(self._pending)))
            self._pending.clear()
            self._skipping = False
        self._take(rest, found)
        return found

    def _take(self, part: bytes, found: list[dict[str, Any] | BadLine]) -> None:
        if self._skipping:
            return
        if len(self._pending) + len(part) > LONGEST_LINE:
            self._pending.clear()
            self._skipping = True
            found.append(BadLine(f"a line is longer than {LONGEST_LINE} bytes"))
            return
        self._pending += part


def _decode(line: bytes) -> dict[str, Any] | BadLine:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return BadLine("a line is not JSON")
    if not isinstance(message, dict):
        return BadLine("a line is not a JSON object")
    return message
