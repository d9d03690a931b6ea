"""Sinks on this machine: JSON lines and SQLite. Each record is there once, whatever ended in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hw_bridge.sinks import Record
from paygo_core.errors import NoAnswerError

_LAST_LINE = 65_536
"""Bytes from a file's end in which its last line is looked for."""
_COLUMNS = (
    "taken_at",
    "battery_voltage",
    "battery_current",
    "panel_voltage",
    "panel_current",
    "panel_power",
    "load_voltage",
    "load_current",
    "load_power",
    "temperature",
    "state_of_charge",
    "output",
    "token_count",
)


class JsonLines:
    """Appends one JSON object a line: n, kind, serial, at, and what was said.

    spool_id: which spool the numbers are of. After a crash it goes on behind the last whole line.
    """

    every = 0.0

    def __init__(self, name: str, path: Path, spool_id: str) -> None:
        self.name, self._path, self._spool = name, path, spool_id
        self._last: int | None = None

    async def write(self, records: Sequence[Record]) -> None:
        try:
            if self._last is None:
                self._last = self._recover()
            new = [record for record in records if record.number > self._last]
            text = "".join(
                json.dumps({"spool": self._spool, **record.to_json()}, separators=(",", ":")) + "\n" for record in new
            )
            with self._path.open("ab") as file:
                file.write(text.encode())
            self._last = records[-1].number
        except OSError as error:
            self._last = None
            raise NoAnswerError(f"{self._path}: {error.strerror}") from None

    async def close(self) -> None:
        """Nothing is held between writes."""

    def _recover(self) -> int:
        """Cuts a half line off, and gives the number of the last record of this spool, 0 when there is none."""
        if not self._path.exists():
            return 0
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _LAST_LINE)
            file.seek(start)
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                file.truncate(start + whole)
            lines = tail[:whole].splitlines()
        with contextlib.suppress(IndexError, ValueError, KeyError, TypeError):
            last = json.loads(lines[-1])
            if last["spool"] == self._spool:
                return int(last["n"])
        return 0


class Sqlite:
    """Table `telemetry` with a row a reading and table `health` with a row a change, in a file of its own.

    What has no column of its own is in `extra`, as JSON.
    """

    every = 0.0

    def __init__(self, name: str, path: Path, spool_id: str) -> None:
        self.name, self._path, self._spool = name, path, spool_id
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        """Device and inode of what is open."""

    async def write(self, records: Sequence[Record]) -> None:
        await asyncio.to_thread(self._write, records)

    async def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _write(self, records: Sequence[Record]) -> None:
        try:
            if self._database is not None and self._file != self._on_disk():
                self._database.close()
                self._database = None
            database = self._database = self._database or self._open()
            readings = [self._reading(record) for record in records if record.kind == "telemetry"]
            health = [
                (self._spool, record.number, record.serial, record.at, record.said["online"], record.said["reason"])
                for record in records
                if record.kind == "health"
            ]
            marks = ",".join("?" * (5 + len(_COLUMNS)))
            with database:
                database.executemany(f"INSERT OR IGNORE INTO telemetry VALUES ({marks})", readings)  # noqa: S608
                database.executemany("INSERT OR IGNORE INTO health VALUES (?, ?, ?, ?, ?, ?)", health)
        except (sqlite3.Error, OSError) as error:
            raise NoAnswerError(f"{self._path}: {getattr(error, 'strerror', error)}") from None

    def _reading(self, record: Record) -> tuple[object, ...]:
        said = dict(record.said)
        extra = said.pop("extra", {})
        known = [said.pop(name, None) for name in _COLUMNS]
        said.pop("serial", None)
        text = json.dumps({**said, **extra}, separators=(",", ":"))
        return (self._spool, record.number, record.serial, record.at, *known, text)

    def _on_disk(self) -> tuple[int, int] | None:
        """What the path stands for now: a file that is gone, or another, takes no readings to where nobody looks."""
        with contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            return found.st_dev, found.st_ino
        return None

    def _open(self) -> sqlite3.Connection:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self._file = self._on_disk()
        database = sqlite3.connect(self._path, check_same_thread=False)
        key = "spool TEXT, number INTEGER, serial TEXT, at TEXT"
        columns = ", ".join(_COLUMNS)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")  # the spool has what a power cut takes from here
            database.execute(
                f"CREATE TABLE IF NOT EXISTS telemetry ({key}, {columns}, extra TEXT, PRIMARY KEY (spool, number))"
            )
            database.execute(
                f"CREATE TABLE IF NOT EXISTS health ({key}, online, reason TEXT, PRIMARY KEY (spool, number))"
            )
        except BaseException:
            database.close()
            raise
        return database
