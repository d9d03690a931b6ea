"""A log on the disk between units and sinks: each record once, in order, a cursor for each sink, bounded.

A record is a line and has a number, one more than the last. Lines lie in segments, files named by the number of their
first. A sink's cursor is a small file with the number of the next record that it wants. When all segments together
exceed the bound, the oldest goes, and each cursor in it counts what it lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from paygo_core.draft import write_whole
from paygo_core.errors import PaygoError, PortError

MOST_BYTES = 256 * 2**20
SEGMENT_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Numbered:
    """A record as it lies in the log, without its line end."""

    number: int
    line: bytes


class Cursor:
    """Where a sink stands.

    position: the number of the next record that it wants; lost: how many it never got; noted: the disk has them.
    """

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool, self._path = spool, path
        self._segment: BinaryIO | None = None
        self._segment_first = self._at = 0
        self.lost = 0
        self.noted = True
        self.position = spool.first
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text("ascii"))
            self.position, self.lost = int(kept["position"]), int(kept["lost"])
        self.position = min(self.position, spool.next)
        self.skip_lost()

    @property
    def pending(self) -> int:
        """How many records wait for this sink."""
        return self._spool.next - self.position

    def read(self, limit: int) -> list[Numbered]:
        """The next records, at most `limit`; the same again until `commit`."""
        found: list[Numbered] = []
        position = self.position
        while len(found) < limit and position < self._spool.next:
            segment = self._open_at(position)
            line = segment.readline()
            if not line.endswith(b"\n"):
                break  # cannot happen below `next`, but never loop on it
            self._at = position = position + 1
            found.append(Numbered(position - 1, line[:-1]))
        return found

    def commit(self, number: int) -> None:
        """The sink has everything up to and with `number`. Raises OSError when that cannot be noted on the disk."""
        self.position = max(self.position, number + 1)
        self._write()

    def skip_lost(self) -> None:
        """Counts what is no longer there."""
        if self.position < self._spool.first:
            self.lost += self._spool.first - self.position
            self.position = self._spool.first
            with contextlib.suppress(OSError):  # it is counted anew from what the disk has
                self._write()

    def close(self) -> None:
        """Lets go of its files."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _open_at(self, position: int) -> BinaryIO:
        first = self._spool.segment_of(position)
        if self._segment is None or first != self._segment_first or position != self._at:
            self.close()
            self._segment = self._spool.path_of(first).open("rb")
            self._segment_first = self._at = first
            while self._at < position:
                self._segment.readline()
                self._at += 1
        return self._segment

    def _write(self) -> None:
        self.noted = False
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"position": self.position, "lost": self.lost}), "ascii")
        new.replace(self._path)
        self.noted = True


class Spool:
    """The log in a directory, which is made with mode 0700. One process at a time. A context manager.

    most_bytes: of all segments together. id: its name for ever, for sinks that tell repetitions by it. Raises
    PortError when another process has it, PaygoError when the directory cannot be used.
    """

    def __init__(self, directory: Path, most_bytes: int = MOST_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory, self._most = directory, most_bytes
        self._segment_bytes = min(segment_bytes, most_bytes // 4)
        self._cursors: dict[str, Cursor] = {}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (directory / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise PortError(f"{directory} is used by another gateway", "stop it, or name another spool") from None
        except OSError as error:
            raise PaygoError(f"{directory}: {error.strerror}", "name a directory that can be written") from None
        try:
            self.id = self._name()
            self._segments = sorted(int(path.stem) for path in directory.glob("*.log"))
            if not self._segments:
                self._segments = [1]
                self.path_of(1).touch()
            self._file = self.path_of(self._segments[-1]).open("r+b")
        except OSError as error:
            self._lock.close()
            raise PaygoError(f"{directory}: {error.strerror}", "make room, or name another spool") from None
        except PaygoError:
            self._lock.close()
            raise
        self.next = self._recover()
        self._sizes = {first: self.path_of(first).stat().st_size for first in self._segments}

    @property
    def first(self) -> int:
        """The number of the oldest record that is there."""
        return self._segments[0]

    def append(self, lines: Sequence[bytes]) -> None:
        """Adds records, on the disk when it returns. Raises OSError when the disk is full, and then adds none."""
        if not lines:
            return
        if self._sizes[self._segments[-1]] >= self._segment_bytes:
            self._begin_segment()
        before = self._file.seek(0, os.SEEK_END)
        data = b"".join(line + b"\n" for line in lines)
        try:
            self._file.write(data)
            self._file.flush()
            os.fdatasync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.close()  # what is buffered is tried once more, and cut off below
            self._file = self.path_of(self._segments[-1]).open("r+b")
            self._file.truncate(before)
            raise
        self._sizes[self._segments[-1]] += len(data)
        self.next += len(lines)
        self._drop_oldest()

    def cursor(self, name: str) -> Cursor:
        """The cursor of a sink, where it was when the process last ended; at the oldest record for a new sink."""
        if name not in self._cursors:
            self._cursors[name] = Cursor(self, self._directory / f"{name}.cursor")
        return self._cursors[name]

    def segment_of(self, number: int) -> int:
        """The number of the first record of the segment that has this one."""
        return next(first for first in reversed(self._segments) if first <= number)

    def path_of(self, first: int) -> Path:
        """The file of a segment."""
        return self._directory / f"{first:020}.log"

    def close(self) -> None:
        """Lets go of the directory."""
        for cursor in self._cursors.values():
            cursor.close()
        self._file.close()
        self._lock.close()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _name(self) -> str:
        """What is in the file `id`, or a new name there when that is none."""
        path = self._directory / "id"
        with contextlib.suppress(FileNotFoundError):
            kept = path.read_bytes()
            if re.fullmatch(rb"[0-9a-f]{32}", kept):
                return kept.decode()
        name = uuid.uuid4().hex
        write_whole(path, name.encode())
        return name

    def _recover(self) -> int:
        """Cuts off a line that was being written when the process or the power ended; the number of the next."""
        number, good = self._segments[-1], 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(good)
                break
            number, good = number + 1, good + len(line)
        return number

    def _begin_segment(self) -> None:
        file = self.path_of(self.next).open("w+b")
        self._file.close()
        self._file = file
        self._segments.append(self.next)
        self._sizes[self.next] = 0

    def _drop_oldest(self) -> None:
        """Drops what every sink has, and what is beyond the bound."""
        while len(self._segments) > 1:
            wanted = min((cursor.position for cursor in self._cursors.values()), default=self.first)
            if wanted < self._segments[1] and sum(self._sizes.values()) <= self._most:
                return
            gone = self._segments.pop(0)
            del self._sizes[gone]
            self.path_of(gone).unlink(missing_ok=True)
            for cursor in self._cursors.values():
                cursor.skip_lost()
