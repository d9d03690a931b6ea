"""Reads what a fleet's run left, by pieces: fleet.json, its units, and the rows of its Parquet files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paygo_core.errors import PaygoError

MOST_UNITS, MOST_DAYS = 10_000_000, 36_600
ROWS = 65_536
"""Read at a time."""
Columns = dict[str, npt.NDArray[Any]]

UNIT_COLUMNS = ("unit", "site", "model", "board", "chemistry", "capacity_ah", "payer")
TEXTS = {"site", "model", "board", "chemistry", "payer", "code", "cause", "kind", "reason", "verdict"}
WHOLE = {"unit", "day", "at_s", "raised_s"}
_HINT = "name the directory that `paygo sim fleet -o` wrote"


@dataclass(frozen=True)
class Fleet:
    """A run's directory, what fleet.json says of it, and its units: sorted by number, each column as long.

    run: six hexadecimal digits of fleet.json, which tell it from other runs.
    """

    directory: Path
    run: str
    days: int
    step_s: int
    seed: int
    start: datetime
    units: Columns

    @property
    def size(self) -> int:
        """How many units there are."""
        return len(self.units["unit"])

    def places(self, numbers: npt.NDArray[Any], file: Path) -> npt.NDArray[np.int64]:
        """Where in `units` each of these unit numbers stands. Raises PaygoError."""
        known = self.units["unit"]
        found = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        if (known[found] != numbers).any():
            stranger = int(numbers[(known[found] != numbers).argmax()])
            raise PaygoError(f"{file} has a row of unit {stranger}, which units.parquet has not", _HINT)
        return found

    def rows(self, kind: str, *columns: str, only: npt.NDArray[Any] | None = None) -> Iterator[tuple[Path, Columns]]:
        """The rows of the files of a kind (days, alerts, failures, tokens) in pieces, as numpy columns; a missing
        number is NaN. only: row groups that cannot have one of these units, in ascending order, are passed over.
        Raises PaygoError."""
        for path in sorted(self.directory.glob(f"{kind}-*.parquet")):
            for piece in _pieces(path, columns, only):
                yield path, piece


def open_fleet(directory: Path) -> Fleet:
    """Raises PaygoError that says what is missing or wrong."""
    about = directory / "fleet.json"
    try:
        written = about.read_bytes()
        said = json.loads(written.decode("utf-8"))
        days, step_s, seed = (int(said[name]) for name in ("days", "step_s", "seed"))
        start = datetime.fromisoformat(str(said["start"]).replace("Z", "+00:00"))
        version = said["version"]
    except OSError as error:
        raise PaygoError(f"{about}: {error.strerror}", _HINT) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PaygoError(f"{about} does not tell of a fleet: {type(error).__name__}", _HINT) from None
    if version != 1:
        raise PaygoError(f"{about} is of version {str(version)[:12]}", "this paygo reads version 1")
    if not 0 < days <= MOST_DAYS or not 0 < step_s <= 86_400 or start.utcoffset() is None:
        raise PaygoError(f"{about}: days, step_s or start is out of range", f"up to {MOST_DAYS} days, a start in UTC")
    path = directory / "units.parquet"
    pieces = list(_pieces(path, UNIT_COLUMNS, None))
    size = sum(len(piece["unit"]) for piece in pieces)
    if not 0 < size <= MOST_UNITS:
        raise PaygoError(f"{path} has {size} units", f"a fleet has 1 to {MOST_UNITS}")
    units = {name: np.concatenate([piece[name] for piece in pieces]) for name in UNIT_COLUMNS}
    order = np.argsort(units["unit"], kind="stable")
    units = {name: column[order] for name, column in units.items()}
    if (np.diff(units["unit"]) == 0).any():
        raise PaygoError(f"{path} names a unit twice", "each unit has one row")
    run = hashlib.sha256(written).hexdigest()[:6].upper()
    return Fleet(directory, run, days, step_s, seed, start.astimezone(timezone.utc), units)


def day_of(fleet: Fleet, day: float) -> str:
    """The date of a day of the run."""
    return f"{fleet.start + timedelta(days=float(day)):%Y-%m-%d}"


def _pieces(path: Path, columns: tuple[str, ...], only: npt.NDArray[Any] | None) -> Iterator[Columns]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise PaygoError("a fleet's files need pyarrow", "pip install 'paygo-solar[fleet]'") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise PaygoError(f"{path} has no column {missing[0]}", "the columns are those of `paygo sim fleet`")
            groups = [group for group in range(file.num_row_groups) if _may_have(file.metadata.row_group(group), only)]
            for batch in file.iter_batches(ROWS, row_groups=groups, columns=list(columns)):
                yield {name: _column(pyarrow, path, name, batch.column(name)) for name in columns}
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror or 'it is cut short or damaged'}", _HINT) from None
    except pyarrow.ArrowException as error:
        raise PaygoError(f"{path} is no Parquet file of a fleet: {type(error).__name__}", _HINT) from None


def _column(pyarrow: Any, path: Path, name: str, column: Any) -> npt.NDArray[Any]:
    """Texts as objects, whole numbers as int64, all else as float64 with NaN where there is none."""
    if name in TEXTS:
        return column.cast(pyarrow.string()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    if name in WHOLE and column.null_count:
        raise PaygoError(f"{path}: column {name} has a row without a value", _HINT)
    kind = pyarrow.int64() if name in WHOLE else pyarrow.float64()
    return column.cast(kind).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _may_have(group: Any, only: npt.NDArray[Any] | None) -> bool:
    """Whether a row group may have rows of these units, by the statistics of its unit column."""
    if only is None:
        return True
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == "unit" and column.statistics is not None and column.statistics.has_min_max:
            first = np.searchsorted(only, column.statistics.min)
            return bool(first < len(only) and only[first] <= column.statistics.max)
    return True
