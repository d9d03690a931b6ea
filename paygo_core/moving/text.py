"""Rows of a CSV file in whatever encoding, with whatever delimiter and quotes: bounded, and exact about lines."""

from __future__ import annotations

import codecs
import csv
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from paygo_core.csv_rows import LONGEST_LINE, MOST_BYTES
from paygo_core.errors import PaygoError

DELIMITERS = ",;\t|^~:\x1f"
CHUNK = 1 << 18
"""Characters that are read at once."""
MOST_LINES = 50
"""Lines that one row can have, where a quoted cell has line breaks."""
_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "a database"),
    (b"\x1f\x8b", "a compressed file"),
)


class BadRow(Exception):
    """A row that cannot be taken apart: what is wrong, and what would be right."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(cause)
        self.cause, self.hint = cause, hint


@dataclass(frozen=True)
class Row:
    """A row with the line it begins on. raw: as it was, with the key, not for showing. bad: why it has no cells."""

    line: int
    raw: str
    cells: list[str]
    bad: BadRow | None = None


def raw_bytes(text: str) -> bytes:
    """What stood in the file, as UTF-8; bytes that could not be read are as they were."""
    return text.encode("utf-8", "surrogateescape")


def check_regular(path: str) -> None:
    """Raises PaygoError for what cannot be read twice, or has no end, such as a pipe or a device."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise PaygoError(f"{path}: {why}", "name a device list, a CSV or XLSX file") from None
    if not stat.S_ISREG(mode):
        raise PaygoError(f"{path} is no regular file", "save the list first: it is read more than once")


def find_encoding(path: str) -> str:
    """By its mark or its zeros UTF-16 or UTF-32, else UTF-8, else cp1252 when nothing in it says UTF-8.

    Raises PaygoError when the file cannot be read, or is no text.
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(1 << 16)
            for magic, what in _BINARY:
                if start.startswith(magic):
                    raise PaygoError(f"{path} is {what}, no device list", "save the list as CSV or as XLSX")
            for mark, encoding in _MARKS:
                if start.startswith(mark):
                    return encoding
            if len(start) >= 4 and (zeros := start.count(0)) > len(start) / 4:
                return "utf-16-be" if start[::2].count(0) > zeros / 2 else "utf-16-le"
            stream.seek(0)
            return _utf8_or_cp1252(stream)
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror}", "name a device list, a CSV or XLSX file") from None


def _utf8_or_cp1252(stream: IO[bytes]) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    letters = strays = 0
    while block := stream.read(_BLOCK):
        text = decoder.decode(block)
        if not text.isascii():
            bad = len(re.findall("[\udc80-\udcff]", text))
            strays += bad
            letters += len(re.findall("[^\x00-\x7f]", text)) - bad
    return "cp1252" if strays > letters else "utf-8"


@contextmanager
def _opened(path: str, encoding: str) -> Iterator[IO[str]]:
    """Every line end becomes LF, since lists with CR alone, or mixed ends, are met too."""
    errors = "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    try:
        with open(path, encoding=encoding, errors=errors) as stream:
            yield stream
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror}", "name a device list, a CSV or XLSX file") from None
    except LookupError:
        raise PaygoError(f"there is no encoding {encoding!r}", "utf-8, utf-16, cp1252 and latin-1 are common") from None


class CsvText:
    """A CSV file whose encoding and delimiter are known."""

    def __init__(self, path: str | os.PathLike[str], encoding: str, delimiter: str) -> None:
        self.path = os.fspath(path)
        self.encoding = encoding
        self.delimiter = delimiter
        cell = rf'(?: *"(?:[^"]|"")*" *|[^"{re.escape(delimiter)}]*)'
        self._whole = re.compile(f"{cell}(?:{re.escape(delimiter)}{cell})*")

    def size(self) -> int:
        return Path(self.path).stat().st_size

    def head(self, rows: int) -> list[Row]:
        """The first rows, empty ones too, so that their place is their line where no cell has a line break."""
        with _opened(self.path, self.encoding) as stream:
            text = stream.read(CHUNK)
        return [row for row, _ in zip(self.rows(text, 1, 0, last=True), range(rows), strict=False)]

    def chunks(self) -> Generator[tuple[int, str, bool], int, None]:
        """Whole lines: the first one's number, the text, and whether it is the last. A receiver sends back how many
        characters it leaves for the next chunk. Raises PaygoError when a line has no end.
        """
        line, rest = 1, ""
        with _opened(self.path, self.encoding) as stream:
            while True:
                block = stream.read(CHUNK)
                text = rest + block
                if not block:
                    if text:
                        yield line, text if text.endswith("\n") else text + "\n", True
                    return
                cut = text.rfind("\n") + 1
                if not cut:
                    if len(text) > MOST_BYTES:
                        where = f"{self.path}, line {line}"
                        raise PaygoError(
                            f"{where} has no end within {MOST_BYTES} characters", "this is not a device list"
                        )
                    rest = text
                    continue
                left = (yield line, text[:cut], False) or 0
                line += text.count("\n", 0, cut - left)
                rest = text[cut - left :]

    def rows(self, text: str, line: int, width: int, *, last: bool) -> Iterator[Row]:
        """The rows of whole lines. A quoted cell may have line breaks if the row then has the right width.

        Where the text ends within such a cell and is not the last, the rest is left: it is no row.
        """
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        at = 0
        while at < len(lines):
            row, taken = self._row(lines, at, line + at, width, last)
            if row is None:
                return
            yield row
            at += taken

    def _row(self, lines: list[str], at: int, line: int, width: int, last: bool) -> tuple[Row | None, int]:
        raw = lines[at]
        if len(raw) > LONGEST_LINE:
            bad = BadRow(f"the line has {len(raw)} characters", f"a row has {LONGEST_LINE} at most")
            return Row(line, raw[:MOST_BYTES], [], bad), 1
        if "\0" in raw:
            return Row(line, raw, [], BadRow("the line has a NUL character", "save the list as CSV in UTF-8")), 1
        if '"' not in raw:
            return Row(line, raw, raw.split(self.delimiter)), 1
        if self._whole.fullmatch(raw):
            return Row(line, raw, self._cells(raw)), 1
        apart = raw.split(self.delimiter)
        if not any(cell.lstrip().startswith('"') for cell in apart):
            return Row(line, raw, apart), 1  # a quote within a cell is an inch
        joined, open_quote = raw, raw.count('"') % 2 == 1
        for more in range(1, MOST_LINES):
            if at + more >= len(lines):
                if last:
                    break
                return None, 0
            joined += "\n" + lines[at + more]
            if len(joined) > LONGEST_LINE:
                break
            open_quote ^= lines[at + more].count('"') % 2 == 1
            if not open_quote and self._whole.fullmatch(joined):
                cells = self._cells(joined)
                if width and len(cells) != width:
                    break
                return Row(line, joined, cells), more + 1
        return Row(line, raw, [], BadRow("the line is not CSV", "a quote opens a cell and closes it")), 1

    def _cells(self, raw: str) -> list[str]:
        lines = [line + "\n" for line in raw.split("\n")]
        return next(csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True))
