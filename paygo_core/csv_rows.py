"""Rows of CSV from anywhere: bounded lines, cells that are wrong told without secrets, refused rows as they were."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import BinaryIO

from paygo_core.errors import PaygoError
from paygo_core.redact import mask_secrets

LONGEST_LINE = 10_000
"""Characters; longer lines are refused."""
MOST_BYTES = 1_000_000
"""Beyond this a line is not read to its end: the file is no device list."""

_CELL = r'(?:"(?:[^"]|"")*"|[^",]*)'
_ROW = re.compile(f"{_CELL}(?:,{_CELL})*")


@dataclass(frozen=True)
class RowProblem:
    """Why a row was refused: where, what is wrong and what would be right, never with the key.

    serial: the row's serial as far as it can be read, else empty. raw: the line as it was, never shown.
    """

    file: str
    line: int
    column: str
    cause: str
    hint: str
    serial: str = ""
    raw: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"

    @property
    def reason(self) -> str:
        """The sentence without file and line."""
        who = f"{self.serial}, " if self.serial else ""
        where = f"{self.column}: " if self.column else ""
        return f"{who}{where}{self.cause} ({self.hint})"


class WrongCell(Exception):
    """What is wrong with a cell, or with the row where column is empty, and what would be right."""

    def __init__(self, column: str, cause: str, hint: str) -> None:
        super().__init__(cause)
        self.column, self.cause, self.hint = column, cause, hint


def next_line(file: str, stream: BinaryIO, number: int) -> bytes:
    """The next line with its end, empty at the end of the file. Raises PaygoError when it has no end."""
    line = stream.readline(MOST_BYTES)
    if len(line) == MOST_BYTES:
        raise PaygoError(f"{file}, line {number} has no end within {MOST_BYTES} bytes", "this is not a device list")
    return line


def read_cells(raw: bytes) -> list[str]:
    """The cells of a line without its end. Raises WrongCell."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WrongCell("", f"byte {error.start + 1} is not UTF-8", "save the list as CSV in UTF-8") from None
    if len(text) > LONGEST_LINE:
        raise WrongCell("", f"the line has {len(text)} characters", f"a row has {LONGEST_LINE} at most")
    if "\0" in text:
        raise WrongCell("", "the line has a NUL character", "save the list as CSV in UTF-8")
    try:
        if not quotes_are_whole(text):
            raise csv.Error
        return next(csv.reader([text], strict=True))
    except csv.Error:
        hint = "a cell in quotes is closed on its own line, and lines end with LF or CRLF"
        raise WrongCell("", "the line is not CSV", hint) from None


def quotes_are_whole(row: str) -> bool:
    """Whether quotes stand only around cells and doubled in them; else the row may be half a cell with a line break."""
    return '"' not in row or _ROW.fullmatch(row) is not None


def is_csv(raw: bytes) -> bool:
    """Whether a line is a row of its own."""
    try:
        return bool(read_cells(raw))
    except WrongCell:
        return False


def csv_line(*cells: str) -> bytes:
    """Cells as a row, without a line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue().encode("utf-8")


def shown_name(name: str) -> str:
    """A column's name, unless it may be data: a list without a header has a key there."""
    if re.fullmatch(r"[\w .()/-]{1,24}", name) and mask_secrets(name) == name:
        return repr(name)
    return f"a column of {len(name)} characters"


def shown_serial(cell: str) -> str:
    """A row's serial, unless it may be a key that slipped into the first column."""
    return mask_secrets(cell) if len(cell) <= 64 and cell.isprintable() else ""


def shown(cell: str) -> str:
    """A wrong cell, unless it may be a key that slipped into another column."""
    return repr(cell) if len(cell) <= 12 else f"a text of {len(cell)} characters"


def read_number(column: str, cell: str, low: int, high: int, hint: str) -> int | None:
    """The number, None for an empty cell. Padding zeros are allowed up to nine digits."""
    if not cell:
        return None
    if re.fullmatch(r"[0-9]{1,9}", cell) and low <= int(cell) <= high:
        return int(cell)
    raise WrongCell(column, f"{shown(cell)} is not a whole number from {low} to {high}", hint)


def quarantine_line(problem: RowProblem) -> bytes:
    """A refused row behind its line and reason. One that is no CSV would swallow the next ones: it becomes a cell."""
    row = problem.raw if is_csv(problem.raw) else b'"' + problem.raw.replace(b'"', b'""') + b'"'
    return csv_line(str(problem.line), problem.reason) + b"," + row + b"\n"
