"""Refused rows as they were, each behind its line and reason, in the list's own form: to be put right and imported."""

from __future__ import annotations

import csv
import io

from paygo_core.csv_rows import RowProblem
from paygo_core.moving.source import Source
from paygo_core.moving.text import CsvText, raw_bytes
from paygo_core.moving.words import TITLES


def marked(text: str) -> str:
    """A text that a spreadsheet or an import would change, behind an apostrophe, which the import takes away again."""
    return f"'{text}'" if text.endswith(("'", " ")) else f"'{text}"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run the text."""
    return text[:1] in ("=", "+", "-", "@")


def csv_cells(delimiter: str, *cells: str) -> str:
    """Cells as a row, without a line end."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(cells)
    return text.getvalue()


def header_line(source: Source) -> bytes:
    """The first line of a quarantine file."""
    columns = source.columns
    names: list[str] = list(columns.header)
    if not names:
        at = {place: TITLES[name] for name, place in columns.places.items()}
        names = [at.get(place, f"Note {place + 1}" if place in columns.notes else "") for place in range(columns.width)]
    return csv_cells(source.delimiter, "Line", "Reason", *names).encode("utf-8") + b"\n"


def row_line(source: Source, problem: RowProblem, raw: str) -> bytes:
    """A refused row. One that is no row of its own would swallow the next ones: it becomes a cell."""
    delimiter = source.delimiter
    whole = source.text if source.text is not None else CsvText(source.path, "utf-8", ",")
    rows = [*whole.rows(raw + "\n", 1, source.columns.width, last=True)]
    is_row = len(rows) == 1 and rows[0].bad is None
    kept = raw_bytes(raw) if is_row else b'"' + raw_bytes(raw).replace(b'"', b'""') + b'"'
    reason = marked(problem.reason) if is_formula(problem.reason) else problem.reason
    start = csv_cells(delimiter, str(problem.line), reason)
    return start.encode("utf-8", "replace") + delimiter.encode("utf-8") + kept + b"\n"
