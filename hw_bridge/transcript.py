"""Transcripts: every byte of a port with time and direction, keys masked, in a text file; and playing one back."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import select
import stat
import struct
import termios
import time
import tty
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError
from paygo_core.redact import MASK, mask_secrets

HEADER = "# paygo transcript 1"
MOST_HELD = 8192
"""Bytes that wait for the end of their line, so that no key is written in halves that look like none."""
LONGEST_KEY = 128
"""Characters of a key in any form that is masked."""
LONGEST_LINE = 8 * MOST_HELD
_MAYBE_KEY = re.compile(rb"(?:[0-9A-Fa-f]{4,}|(?:[0-9A-Fa-f]{1,2}[ :,-]{1,2}){3,}[0-9A-Fa-f]{0,2})\Z")
_LINE = re.compile(r" *([0-9]{1,12}\.[0-9]{6}) ([<>]) (.*?)\r?\n?")
_ESCAPE = re.compile(r"\\(?:([\\nrt])|x([0-9a-f]{2}))")
_NAMED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MEANT = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


@dataclass
class Record:
    """Bytes that went one way at once, or until their line ended.

    seconds: since the port was opened, of the first of them. direction: ">" to the unit, "<" from it. data: the bytes;
    a key in them reads `[secret]`.
    """

    seconds: float
    direction: str
    data: bytes
    before: bytes = field(default=b"", repr=False, compare=False)  # of the same line, written already
    complete: bool = field(default=False, repr=False, compare=False)


class Transcript:
    """Writes a transcript to a file that only its owner may read; what was in it is gone. Use it with `with`.

    `trace` is for Transport. A record is a line, or what went one way before something went the other way. Raises
    PaygoError when the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], title: str) -> None:
        self._path = path
        self._begun = time.monotonic()
        self._records: deque[Record] = deque()
        self._open: dict[str, Record] = {}
        self._unfinished = {"<": b"", ">": b""}  # the end of what was written of a line that goes on
        self._held = 0
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="ascii")
        except OSError as error:
            raise self._not_written(error) from None
        self._write(f"{HEADER}: {escaped(mask_secrets(title).encode())}\n")

    def trace(self, direction: str, data: bytes) -> None:
        """Notes bytes that went in a direction."""
        now = time.monotonic() - self._begun
        other = self._open.get("<" if direction == ">" else ">")
        if other and not _MAYBE_KEY.search((other.before + other.data)[-LONGEST_KEY:]):
            self._complete(other)
        for part in data.splitlines(keepends=True):
            record = self._open.get(direction)
            if record is None:
                record = self._open[direction] = Record(now, direction, b"", self._unfinished[direction])
                self._records.append(record)
            record.data += part
            self._held += len(part)
            if part.endswith(b"\n"):
                self._complete(record)
        while self._held > MOST_HELD:
            self._complete(self._records[0])
            self._put()
        self._put()

    def close(self) -> None:
        """Writes what waits for its line's end, and closes the file."""
        with self._file:
            for record in self._records:
                self._complete(record)
            self._put()

    def __enter__(self) -> Transcript:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _complete(self, record: Record) -> None:
        record.complete = True
        if self._open.get(record.direction) is record:
            del self._open[record.direction]
            line = b"" if record.data.endswith(b"\n") else record.before + record.data
            self._unfinished[record.direction] = _masked(line[-LONGEST_KEY:]).rpartition(MASK.encode())[2]

    def _put(self) -> None:
        while self._records and self._records[0].complete:
            record = self._records.popleft()
            self._held -= len(record.data)
            masked = _masked(record.before + record.data)
            same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(record.before, masked, strict=False))
            rest = masked[sum(1 for _ in same) :]
            self._write(f"{record.seconds:13.6f} {record.direction} {escaped(rest)}\n")

    def _write(self, line: str) -> None:
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise self._not_written(error) from None

    def _not_written(self, error: OSError) -> PaygoError:
        return PaygoError(f"the transcript {self._path} cannot be written: {error.strerror}", "name another file")


def _masked(data: bytes) -> bytes:
    return mask_secrets(data.decode("latin-1")).encode("latin-1")


def escaped(data: bytes) -> str:
    """Bytes as printable ASCII: a backslash doubled, \\n, \\r, \\t, and \\xNN for all that cannot be seen."""
    return "".join(
        _NAMED.get(char) or (char if " " <= char <= "~" else f"\\x{ord(char):02x}") for char in data.decode("latin-1")
    )


def records(file: TextIO, name: str) -> Iterator[Record]:
    """The records of a transcript; mail and Windows may have put CR LF at its lines' ends.

    Raises PaygoError with the number of a line that is none.
    """
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), 1):
        if number == 1 and not line.startswith(HEADER):
            raise PaygoError(f"{name} is no transcript", f"a transcript begins with '{HEADER}'")
        if line.startswith("#") or not line.strip():
            continue
        parts = _LINE.fullmatch(line)
        if parts is None or "\\" in _ESCAPE.sub("", parts[3]) or not parts[3].isascii():
            raise PaygoError(
                f"{name}, line {number}: this is no record of a transcript", "a record is: seconds, < or >, bytes"
            )
        text = _ESCAPE.sub(lambda found: _MEANT[found[1]] if found[1] else chr(int(found[2], 16)), parts[3])
        yield Record(float(parts[1]), parts[2], text.encode("latin-1"))


class Replay:
    """Plays a transcript's unit on a pty. Use it with `with`; `port` is what a host opens, `link` a name for it.

    speed: how many times faster than it was recorded. patience: seconds that the host may stay silent where it spoke.
    """

    def __init__(self, link: Path | None = None, *, speed: float = 1.0, patience: float = 60.0) -> None:
        self._speed = speed
        self._patience = patience
        self._received = b""
        with ExitStack() as owner:
            self._master, self._slave = os.openpty()
            owner.callback(os.close, self._master)
            self._holding = owner.enter_context(ExitStack())
            self._holding.callback(os.close, self._slave)  # so that a host may come and go
            tty.setraw(self._slave)
            self.port = os.ttyname(self._slave)
            if link is not None:
                try:
                    link.symlink_to(self.port)
                except OSError as error:
                    raise PortError(f"cannot make the link {link}: {error.strerror}") from None
                owner.callback(link.unlink, missing_ok=True)
                self.port = str(link)
            self._owner = owner.pop_all()

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._owner.close()

    def play(self, played: Iterable[Record]) -> int:
        """Says what the unit said, each time after the host has sent what it sent then; gives the number of records.

        A masked key stands for any. Raises DeviceError when the host sends something else, NoAnswerError when it stays
        silent, or does not read, longer than `patience`.
        """
        before = None
        count = 0
        for record in played:
            count += 1
            if record.direction == "<":
                if before is not None:
                    self._listen(time.monotonic() + max(0.0, record.seconds - before) / self._speed)
                self._say(record)
            else:
                self._expect(record)
            before = record.seconds
        self._drain()
        return count

    def _listen(self, until: float) -> bool:
        """Takes what the host sends until a time, or until it has sent something; whether it has."""
        while (left := until - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                self._received += os.read(self._master, 4096)
                return True
        return False

    def _expect(self, record: Record) -> None:
        secrets = record.data.split(MASK.encode())
        expected = re.compile(b".{1,128}?".join(map(re.escape, secrets)), re.DOTALL)
        most = len(record.data) + 128 * len(secrets)
        until = time.monotonic() + self._patience
        while not (found := expected.match(self._received)):
            first = secrets[0]
            if self._received[: len(first)] != first[: len(self._received)] or len(self._received) > most:
                raise DeviceError(
                    f"at {record.seconds:.3f} s the host sent '{mask_secrets(escaped(self._received[:80]))}'",
                    f"in the transcript it sent '{escaped(record.data[:80])}'",
                )
            if not self._listen(until):
                raise NoAnswerError(
                    f"at {record.seconds:.3f} s the host sent nothing for {self._patience:g} s",
                    f"in the transcript it sent '{escaped(record.data[:80])}'",
                )
        self._received = self._received[found.end() :]

    def _say(self, record: Record) -> None:
        data = record.data
        while data:
            if not select.select([], [self._master], [], self._patience)[1]:
                raise self._unread()
            data = data[os.write(self._master, data[:512]) :]

    def _drain(self) -> None:
        """Until the host has read everything and left: a pty that closes takes with it what is unread."""
        until = time.monotonic() + self._patience
        empty = 0  # times in a row: what was said takes a moment to come to the other end
        while empty < 10:
            unread = struct.unpack("i", fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)))[0]
            empty = 0 if unread else empty + 1
            if time.monotonic() > until:
                raise self._unread()
            time.sleep(0.005)  # nothing tells when a pty has been read
        self._holding.close()
        with suppress(OSError):  # the system's word for that nobody else has it open
            while self._listen(until):
                pass

    def _unread(self) -> NoAnswerError:
        return NoAnswerError(f"the host has not read what the unit said for {self._patience:g} s")
