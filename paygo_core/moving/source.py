"""A list that is about to move in: how its file is read, which column is what, and its rows, many at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from paygo_core.csv_rows import WrongCell, csv_line, shown_serial
from paygo_core.errors import PaygoError
from paygo_core.moving.cells import Judge, UnsureCell, group_order, plain_rows, template_order
from paygo_core.moving.columns import HIGHEST_HEADER, Columns, Saved, find_columns, header_score
from paygo_core.moving.text import DELIMITERS, CsvText, Row, check_regular, find_encoding
from paygo_core.moving.xlsx import Workbook, is_workbook
from paygo_core.redact import mask_secrets

_HEAD = HIGHEST_HEADER + 20
_SHEET_ROWS = 2000


@dataclass(frozen=True)
class Refused:
    """A row that does not come in. wrong.column is a field, or empty; raw holds the key, and is never shown."""

    line: int
    wrong: WrongCell
    serial: str
    raw: str = field(repr=False)

    @property
    def kind(self) -> str:
        """Where --accept KIND would take it: which."""
        return self.wrong.kind if isinstance(self.wrong, UnsureCell) else ""


@dataclass
class Batch:
    """Some rows in a row: clean ones as tuples in the list's order of fields, their notes, and those refused."""

    rows: list[tuple[str, ...]]
    lines: Sequence[int]
    raws: Callable[[int], str]
    notes: list[tuple[int, str]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True)
class Source:
    """A list's file, read and understood. `first` is the line of the first device."""

    path: str
    columns: Columns
    first: int
    text: CsvText | None = None
    book: Workbook | None = None

    @property
    def order(self) -> list[str]:
        """The fields of a batch's rows."""
        return group_order(self.columns)

    @property
    def delimiter(self) -> str:
        """What stands between two cells; a comma for a workbook."""
        return self.text.delimiter if self.text is not None else ","

    def facts(self) -> dict[str, Any]:
        """How the file is read, for a report."""
        if self.text is None:
            return {"sheet": self.book.sheet if self.book is not None else None}
        return {"encoding": self.text.encoding.removesuffix("-sig"), "delimiter": self.text.delimiter}

    def batches(self, judge: Judge) -> Iterator[Batch]:
        """All rows. Raises PaygoError where the file turns out to be no list at all."""
        return self._sheet_batches(judge) if self.text is None else self._text_batches(self.text, judge)

    def _text_batches(self, text: CsvText, judge: Judge) -> Iterator[Batch]:
        plain = plain_rows(self.columns, text.delimiter)
        serial_at = self.order.index("serial")
        chunks = text.chunks()
        left = 0
        while True:
            try:
                line, chunk, last = chunks.send(left) if left else next(chunks)
            except StopIteration:
                return
            left = 0
            if line < self.first:
                above = chunk.split("\n", self.first - line)
                if len(above) <= self.first - line:
                    continue
                chunk, line = above[-1], self.first
            if plain is not None and '"' not in chunk:
                rows = plain.findall(chunk)
                if len(rows) == chunk.count("\n") and not _secret_among([row[serial_at] for row in rows]):
                    yield Batch(rows, range(line, line + len(rows)), partial(_line_of, chunk), size=len(chunk))
                    continue
            batch, left = self._judged(text, judge, plain, line, chunk, last)
            yield batch

    def _judged(
        self, text: CsvText, judge: Judge, plain: re.Pattern[str] | None, line: int, chunk: str, last: bool
    ) -> tuple[Batch, int]:
        """One by one; also how many characters are the beginning of a row that ends in the next chunk."""
        left = len(chunk)
        serial_at = self.order.index("serial")
        taken = _Taken(self, judge)
        for row in text.rows(chunk, line, self.columns.width, last=last):
            left -= len(row.raw) + 1
            found = plain.fullmatch(row.raw) if plain is not None else None
            if found is not None and not _secret_among([found.groups()[serial_at]]):
                taken.plain(found.groups(), row)
            else:
                taken.judge(row)
        return taken.batch(len(chunk) - left), left

    def _sheet_batches(self, judge: Judge) -> Iterator[Batch]:
        assert self.book is not None
        numbered = enumerate(self.book.rows(), 1)
        while rows := list(islice(numbered, _SHEET_ROWS)):
            taken = _Taken(self, judge)
            for line, cells in rows:
                if line >= self.first:
                    full = cells + [""] * (self.columns.width - len(cells))  # a sheet has no end of a row
                    taken.judge(Row(line, csv_line(*cells).decode("utf-8", "replace"), full))
            yield taken.batch(0)


class _Taken:
    """Rows of a batch, as they are judged."""

    def __init__(self, source: Source, judge: Judge) -> None:
        self._judge = judge
        self._order = source.order
        self._serial_at = source.columns.places["serial"]
        self._rows: list[tuple[str, ...]] = []
        self._from: list[Row] = []
        self._notes: list[tuple[int, str]] = []
        self._refused: list[Refused] = []

    def plain(self, values: tuple[str, ...], row: Row) -> None:
        self._rows.append(values)
        self._from.append(row)

    def judge(self, row: Row) -> None:
        if row.bad is None and not any(cell.strip() for cell in row.cells):
            return
        try:
            if row.bad is not None:
                raise WrongCell("", row.bad.cause, row.bad.hint)
            _readable(row)
            values = self._judge.row(row.cells, row.line)
        except WrongCell as wrong:
            cell = row.cells[self._serial_at].strip() if len(row.cells) > self._serial_at else ""
            self._refused.append(Refused(row.line, wrong, shown_serial(cell), row.raw))
            return
        self._notes += ((len(self._rows), said) for said in self._judge.notes(row.cells, row.line))
        self.plain(template_order(values, self._order), row)

    def batch(self, size: int) -> Batch:
        return Batch(
            self._rows,
            [row.line for row in self._from],
            lambda at: self._from[at].raw,
            self._notes,
            self._refused,
            size,
        )


def _line_of(chunk: str, at: int) -> str:
    return chunk.split("\n")[at]


_UNREADABLE = re.compile("[\ud800-\udfff\ufffd]")


def _readable(row: Row) -> None:
    if not row.raw.isascii() and _UNREADABLE.search(row.raw):
        raise WrongCell("", "the line has bytes that are not text in its encoding", "save the list as CSV in UTF-8")


def _secret_among(serials: list[str]) -> bool:
    if max(map(len, serials), default=0) < 16:
        return False
    joined = "\n".join(serials)
    return mask_secrets(joined) != joined


def open_source(
    path: str | os.PathLike[str],
    *,
    saved: Saved | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
) -> Source:
    """Finds out how a list is read: its kind, encoding and delimiter, and which column is what.

    saved: a mapping instead of a guess. Raises PaygoError when the file cannot be read, or is not certainly a list.
    """
    file = os.fspath(path)
    check_regular(file)
    if is_workbook(file):
        book = Workbook(file, sheet)
        head = book.choose(saved)
        columns = find_columns(file, head, saved)
        return Source(file, columns, columns.skipped + 1, book=book)
    if sheet is not None:
        raise PaygoError(f"{file} is no workbook", "--sheet goes with an XLSX file")
    encoding = encoding or find_encoding(file)
    best: tuple[int, CsvText, list[Row]] | None = None
    for candidate in delimiter or DELIMITERS:
        text = CsvText(file, encoding, candidate)
        rows = text.head(_HEAD)
        if rows and delimiter is None and (told := re.fullmatch(r"sep=(.)", rows[0].raw)) is not None:
            return open_source(file, saved=saved, encoding=encoding, delimiter=told[1])
        score = header_score([row.cells for row in rows], saved)
        if best is None or score > best[0]:
            best = score, text, rows
    assert best is not None
    _, text, rows = best
    if not rows:
        raise PaygoError(f"{file}, line 1: the list is empty", "missing Serial Number, Key and at least one device")
    columns = find_columns(file, [row.cells for row in rows], saved)
    if columns.skipped:
        above = rows[columns.skipped - 1]
        first = above.line + above.raw.count("\n") + 1
    else:
        first = 1
    return Source(file, columns, first, text=text)
