"""Sinks: where readings go. One interface, one file a kind, and the pump that feeds a sink from the spool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hw_bridge.spool import Cursor
from paygo_core.errors import NoAnswerError

BATCH = 500
LONGEST_DELAY = 60.0
"""Seconds between attempts at a sink that is down."""


@dataclass(frozen=True)
class Record:
    """What a sink gets.

    number: its place in the spool, one more with each. kind: telemetry, or health (a unit came or went). serial: the
    unit's. at: when the gateway had it, ISO 8601 in UTC. said: the reading as Telemetry.to_json gives it, or
    {"online": …, "reason": …}.
    """

    number: int
    kind: Literal["telemetry", "health"]
    serial: str
    at: str
    said: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"n": self.number, "kind": self.kind, "serial": self.serial, "at": self.at, **self.said}


class Sink(Protocol):
    """Takes records in order. name: also of its cursor. every: seconds between batches, 0 for at once."""

    name: str
    every: float

    async def write(self, records: Sequence[Record]) -> None:
        """Takes all of them, or raises NoAnswerError and gets them again later."""
        ...

    async def close(self) -> None:
        """Lets go of what it holds."""
        ...


def encode(kind: str, serial: str, at: str, said: dict[str, Any]) -> bytes:
    """A record as a line of the spool."""
    return json.dumps([kind, serial, at, said], separators=(",", ":"), default=str).encode()


def decode(number: int, line: bytes) -> Record:
    """The record of a line."""
    kind, serial, at, said = json.loads(line)
    return Record(number, kind, serial, at, said)


class Pump:
    """Feeds one sink from its cursor. down: why the sink took nothing at the last attempt, or the disk no note of what
    it took; else empty.
    """

    def __init__(self, cursor: Cursor, sink: Sink, report: Callable[[str], None]) -> None:
        self.cursor, self.sink = cursor, sink
        self.down = ""
        self.taken = 0
        self._report = report
        self._more = asyncio.Event()

    def wake(self) -> None:
        """There is something new."""
        self._more.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        delay = 1.0
        while True:
            self._more.clear()
            if await self.flush():
                delay = 1.0
                if self.sink.every:
                    await asyncio.sleep(self.sink.every)
                if not self.cursor.pending:
                    await self._more.wait()
            else:
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)

    async def flush(self) -> bool:
        """Gives the sink all that waits. False when it is down, or what it has cannot be noted."""
        if not self.cursor.noted and not self._note(self.cursor.position - 1):
            return False
        while found := self.cursor.read(BATCH):
            try:
                await self.sink.write([decode(record.number, record.line) for record in found])
            except NoAnswerError as problem:
                if problem.cause != self.down:
                    self._report(f"{self.sink.name} takes nothing: {problem.cause}; it is kept for later")
                self.down = problem.cause
                return False
            self.taken += len(found)
            if not self._note(found[-1].number):
                return False
        return True

    def _note(self, number: int) -> bool:
        """The sink has everything up to and with `number`: on the disk, or else it gets no more for now."""
        try:
            self.cursor.commit(number)
        except OSError as error:
            why = f"the spool cannot be written: {error.strerror}"
            if why != self.down:
                self._report(f"{self.sink.name} waits: {why}; what comes is kept for later")
            self.down = why
            return False
        if self.down:
            self._report(f"{self.sink.name} takes records again")
            self.down = ""
        return True
