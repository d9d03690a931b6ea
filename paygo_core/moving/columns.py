"""Which column of a list is what: guessed from the header, or from a mapping that somebody saved."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paygo_core.csv_rows import shown_name
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError
from paygo_core.moving.words import FIELDS, TITLES, field_of, folded, is_history
from paygo_core.redact import mask_secrets
from paygo_core.toml import TOMLDecodeError, loads

HIGHEST_HEADER = 30
"""Lines in which the header is looked for: titles, dates and logos stand above it."""
MOST_COLUMNS = 200
_NEEDED = ("serial", "key")
_OURS = ("line", "reason")
"""What a quarantine file has before the columns of the list."""


@dataclass(frozen=True)
class Columns:
    """Where the fields stand. `places` and `notes` count columns from 0; header is empty where the list has none.

    skipped: the rows above the first device, with the header.
    """

    places: dict[str, int]
    notes: dict[int, str] = field(default_factory=dict)
    header: tuple[str, ...] = ()
    skipped: int = 0
    width: int = 0

    def title(self, name: str) -> str:
        """What the list calls a field, or the template where the list has no header."""
        place = self.places.get(name)
        cell = self.header[place].strip() if place is not None and place < len(self.header) else ""
        return cell if cell and cell.isprintable() and len(cell) <= 40 else TITLES[name]

    @property
    def unused(self) -> list[str]:
        """The names of the columns that nothing is taken from."""
        taken = {*self.places.values(), *self.notes}
        return [
            _shown(cell)
            for at, cell in enumerate(self.header)
            if at not in taken and cell.strip() and folded(cell) not in _OURS
        ]

    @property
    def plain(self) -> bool:
        """Whether the header is one of the two public ones, so that there is nothing to be shown."""
        order = [name for name in FIELDS if name in self.places]
        return (
            not self.notes
            and not self.unused
            and len(order) >= len(FIELDS) - 1
            and [self.places[name] for name in order] == list(range(len(order)))
        )

    def facts(self) -> dict[str, Any]:
        """For a report: field by field the column's name, or its number from 1."""
        known = {name: self._name(self.places[name]) for name in FIELDS if name in self.places}
        return {**known, "notes": [self._name(at) for at in self.notes]}

    def _name(self, at: int) -> str | int:
        name = self.header[at].strip() if at < len(self.header) else ""
        unique = name and [cell.strip() for cell in self.header].count(name) == 1
        return name if unique else at + 1

    def sentence(self) -> str:
        """Which column is what, for people."""
        facts = self.facts()
        notes = facts.pop("notes")
        parts = [f"{name.replace('_', ' ')} from {_said(value)}" for name, value in facts.items()]
        parts += [f"notes from {', '.join(map(_said, notes))}"] if notes else []
        parts += [f"not used: {', '.join(self.unused[:9])}"] if self.unused else []
        parts += [f"the first {self.skipped} lines passed over"] if self.skipped > 1 else []
        return "; ".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the mapping as TOML, to be used again for lists from the same place."""
        facts = self.facts()
        lines = [
            "# Which column of a device list is what: its name, or its number from 1 where it has none.",
            "[columns]",
        ]
        lines += [f"{name} = {_toml(facts[name])}" for name in FIELDS if name in facts]
        if facts["notes"]:
            lines.append(f"notes = [{', '.join(map(_toml, facts['notes']))}]")
        with Draft(Path(path)) as draft:
            draft.write(("\n".join(lines) + "\n").encode("utf-8"))
            draft.publish()


def _said(value: str | int) -> str:
    return f"column {value}" if isinstance(value, int) else _shown(value)


def _shown(name: str) -> str:
    """A column's name, unless it may be data."""
    name = " ".join(name.split())
    if len(name) <= 40 and name.isprintable() and not re.search("[0-9]{4}", name) and mask_secrets(name) == name:
        return repr(name)
    return shown_name(name)


def _toml(value: str | int) -> str:
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


Saved = dict[str, Any]
"""A mapping as it stands in its file: field to a column's name or number, and `notes` to a list of them."""


def load_mapping(path: str | os.PathLike[str]) -> Saved:
    """Reads a saved mapping. Raises PaygoError when it is none."""
    where = os.fspath(path)
    right = "it is a TOML file with a table [columns], as --save-mapping writes it"
    try:
        table = loads(Path(path).read_text("utf-8")).get("columns")
    except OSError as error:
        raise PaygoError(f"{where}: {error.strerror}", right) from None
    except (UnicodeDecodeError, TOMLDecodeError) as error:
        raise PaygoError(f"{where} is no mapping: {str(error)[:200]}", right) from None
    if not isinstance(table, dict):
        raise PaygoError(f"{where} has no table [columns]", right)
    for name, value in table.items():
        values = value if name == "notes" and isinstance(value, list) else [value]
        if name not in (*FIELDS, "notes"):
            raise PaygoError(f"{where}: {name!r} is no field", f"fields are {', '.join(FIELDS)} and notes")
        for one in values:
            number = isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= MOST_COLUMNS
            if not number and not (isinstance(one, str) and one.strip()):
                raise PaygoError(f"{where}: {name} names no column", "give its name, or its number from 1")
    for name in _NEEDED:
        if name not in table:
            raise PaygoError(f"{where}: no column is the {TITLES[name]}", f"add a line {name} = …")
    return table


def find_columns(file: str, rows: Sequence[Sequence[str]], saved: Saved | None) -> Columns:
    """The columns of a list whose first rows are these. Raises PaygoError where it is not certain."""
    if saved is not None:
        return _from_mapping(file, rows, saved)
    best, score = 0, 0
    for at, cells in enumerate(rows[:HIGHEST_HEADER]):
        fields = {field_of(cell) for cell in cells[:MOST_COLUMNS]} - {None}
        if len(fields) > score and not any(_like_key(cell) for cell in cells):
            best, score = at, len(fields)
    if score:
        return _from_header(file, rows[best], best)
    return _from_content(file, rows)


def header_score(rows: Sequence[Sequence[str]], saved: Saved | None) -> int:
    """How much the rows look like a device list, to choose between ways to read it."""
    if saved is not None:
        names = {one.strip() for value in saved.values() for one in _listed(value) if isinstance(one, str)}
        highest = max(
            (int(one) for value in saved.values() for one in _listed(value) if isinstance(one, int)), default=0
        )
        matches = max((len(names & {cell.strip() for cell in cells}) for cells in rows), default=0)
        return 2 * matches + (sum(len(cells) >= highest for cells in rows) if highest else 0)
    found = max((len({field_of(cell) for cell in cells[:MOST_COLUMNS]} - {None}) for cells in rows), default=0)
    return found or int(any(_like_key(cell) for cells in rows for cell in cells))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _from_header(file: str, header: Sequence[str], at: int) -> Columns:
    where = f"{file}, line {at + 1}"
    if len(header) > MOST_COLUMNS:
        raise PaygoError(f"{where}: the list has {len(header)} columns", f"a device list has {MOST_COLUMNS} at most")
    places: dict[str, int] = {}
    notes: dict[int, str] = {}
    for column, cell in enumerate(header):
        name = field_of(cell)
        if name in places:
            both = f"columns {places[name] + 1} and {column + 1} could both be the {TITLES[name]}"
            raise PaygoError(f"{where}: {both}", "say which with --mapping, or rename one")
        if name is not None:
            places[name] = column
        elif is_history(cell):
            notes[column] = cell.strip()
    for name in _NEEDED:
        if name not in places:
            known = ", ".join(TITLES[found] for found in places)
            hint = f"found: {known}; rename the column to {TITLES[name]}, or name it with --mapping"
            raise PaygoError(f"{where}: wrong header: no column is the {TITLES[name]}", hint)
    return Columns(places, notes, tuple(header), at + 1, len(header))


def _from_content(file: str, rows: Sequence[Sequence[str]]) -> Columns:
    """A list without a header is taken only in the order of the public template."""
    for cells in rows:
        if (
            len(cells) in (len(FIELDS), len(FIELDS) - 1)
            and _like_key(cells[2])
            and re.match(r"[0-9]", cells[1].strip())
        ):
            return Columns(dict(zip(FIELDS[: len(cells)], range(len(cells)), strict=True)), {}, (), 0, len(cells))
    raise PaygoError(
        f"{file}, line 1: no header of a device list in the first {HIGHEST_HEADER} lines",
        "missing Serial Number, Key; a list without a header needs --mapping with the columns' numbers",
    )


def _from_mapping(file: str, rows: Sequence[Sequence[str]], saved: Saved) -> Columns:
    wanted = [one for value in saved.values() for one in _listed(value)]
    names = [one.strip() for one in wanted if isinstance(one, str)]
    header: Sequence[str] = ()
    skipped = 0
    if names:
        for at, cells in enumerate(rows[:HIGHEST_HEADER]):
            if {folded(name) or name for name in names} <= {folded(cell) or cell.strip() for cell in cells}:
                header, skipped = cells, at + 1
                break
        else:
            raise PaygoError(
                f"{file}: the mapping's columns are not all in one of its first {HIGHEST_HEADER} lines",
                f"they are {', '.join(_shown(name) for name in names[:9])}",
            )
    else:
        key = saved["key"] - 1
        skipped = next((at for at, row in enumerate(rows) if len(row) > key and re.search("[0-9]", row[key])), 0)

    def place(one: str | int) -> int:
        if isinstance(one, int):
            return one - 1
        exact = [at for at, cell in enumerate(header) if cell.strip() == one.strip()]
        near = exact or [at for at, cell in enumerate(header) if folded(cell) == folded(one)]
        if len(near) != 1:
            raise PaygoError(
                f"{file}, line {skipped}: {len(near)} columns are called {_shown(one)}",
                "give the column's number instead of its name",
            )
        return near[0]

    places = {name: place(saved[name]) for name in FIELDS if name in saved}
    notes = {place(one): (one if isinstance(one, str) else "") for one in _listed(saved.get("notes", []))}
    taken = [*places.values(), *notes]
    if len(set(taken)) != len(taken):
        raise PaygoError(f"{file}: the mapping takes one column for two things", "each field has a column of its own")
    width = len(header) if header else max((len(row) for row in rows[skipped:]), default=0)
    if taken and max(taken) >= width:
        raise PaygoError(f"{file}: the mapping names column {max(taken) + 1}, and the list has {width}", "correct it")
    return Columns(places, notes, tuple(header), skipped, width)


def _like_key(cell: str) -> bool:
    text = re.sub(r"[\s:.\-]|^0x", "", cell[:100])
    return re.fullmatch(r"[0-9A-Fa-f]{31,32}", text) is not None
