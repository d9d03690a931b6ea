"""Rows of an XLSX workbook as text, read without unfolding an archive that is a bomb."""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Any

from paygo_core.errors import PaygoError
from paygo_core.moving.columns import HIGHEST_HEADER, MOST_COLUMNS, header_score

MOST_UNFOLDED = 1 << 30
"""Bytes that the archive's members may have together; the largest sheets of a million rows have some 500 MB."""
MOST_STRINGS = 256 << 20
"""Bytes of the table of texts, which is held in memory."""
HIGHEST_RATIO = 200
"""Times that a member of more than a megabyte may grow; sheets of equal rows reach 60."""
_LONGEST_CELL = 10_000


class DateCell(str):
    """A cell that its sheet shows as a date. number: what it holds, None where that is no whole number."""

    number: int | None = None


def is_workbook(path: str) -> bool:
    """Whether a file is an XLSX workbook."""
    return zipfile.is_zipfile(path)


def _check(path: str) -> None:
    what = f"{path} is no XLSX workbook that can be read"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if not any(member.filename == "[Content_Types].xml" for member in members):
                raise PaygoError(what, "save the list as XLSX or CSV")
            sizes = [member.file_size for member in members]
            strings = [m.file_size for m in members if m.filename.endswith("sharedStrings.xml")]
            grown = [m for m in members if m.file_size > 1 << 20 and m.file_size > HIGHEST_RATIO * m.compress_size]
            if len(members) > 1000 or sum(sizes) > MOST_UNFOLDED or sum(strings) > MOST_STRINGS or grown:
                raise PaygoError(f"{path} would unfold to far more than a device list has", "save the list as CSV")
            for member in members:
                if member.filename.endswith((".xml", ".rels")):
                    with archive.open(member) as part:
                        if b"<!DOCTYPE" in part.read(4096).upper():
                            raise PaygoError(f"{path} has a document type in it, as no workbook has", "save it anew")
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        hint = error.strerror if isinstance(error, OSError) and error.strerror else "save the list as XLSX or CSV"
        raise PaygoError(what, hint) from None


class Workbook:
    """A workbook's sheet with the device list. Use it as a context manager."""

    def __init__(self, path: str | os.PathLike[str], sheet: str | None = None) -> None:
        self.path = os.fspath(path)
        self.sheet = sheet

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            from openpyxl import load_workbook
        except ImportError:
            raise PaygoError("an XLSX workbook needs openpyxl", "pip install 'paygo-solar[xlsx]'") from None
        _check(self.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that are nothing to us
            try:
                book = load_workbook(self.path, read_only=True, data_only=True, keep_links=False)
            except Exception:
                raise PaygoError(f"{self.path} is no XLSX workbook that can be read", "save it as CSV") from None
            try:
                yield book
            finally:
                book.close()

    def choose(self, saved: Any) -> list[list[str]]:
        """Settles which sheet it is, the one that looks most like a device list, and returns its first rows."""
        with self._opened() as book:
            names = [sheet.title for sheet in book.worksheets]
            if self.sheet is not None and self.sheet not in names:
                raise PaygoError(f"{self.path} has no sheet {self.sheet[:40]!r}", f"it has {', '.join(names[:9])}")
            heads = {
                name: [row for row, _ in zip(self._rows(book[name]), range(HIGHEST_HEADER + 20), strict=False)]
                for name in ([self.sheet] if self.sheet is not None else names[:50])
            }
            self.sheet = max(heads, key=lambda name: header_score(heads[name], saved))
            return heads[self.sheet]

    def rows(self) -> Iterator[list[str]]:
        """Every row as texts, empty ones too, so that the n-th is the sheet's row n."""
        with self._opened() as book:
            yield from self._rows(book[self.sheet])

    def _rows(self, sheet: Any) -> Iterator[list[str]]:
        from openpyxl.utils.datetime import to_excel

        epoch = sheet.parent.epoch
        sheet.reset_dimensions()  # what the file says of its size may be a lie
        try:
            for row in sheet.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True):
                cells = [
                    _text(
                        value,
                        lambda day: to_excel(day, epoch),  # type: ignore[no-untyped-call]
                    )
                    for value in row
                ]
                while cells and not cells[-1]:
                    cells.pop()
                yield cells
        except PaygoError:
            raise
        except Exception:
            raise PaygoError(f"{self.path}, sheet {sheet.title!r} is damaged", "save the list as CSV") from None


def _text(value: Any, to_number: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, (datetime, date, time)):
        cell = DateCell(value.isoformat(" ") if isinstance(value, datetime) else value.isoformat())
        number = to_number(value)
        cell.number = int(number) if float(number).is_integer() else None
        return cell
    return str(value)[: _LONGEST_CELL + 1]
