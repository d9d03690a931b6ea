"""Weather that somebody measured, from a CSV file of anybody's making."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

import numpy as np

from firmware_sim.plant.sun import DAY_S
from firmware_sim.plant.weather import Weather, steps_of
from paygo_core.csv_rows import WrongCell, next_line, read_cells, shown
from paygo_core.errors import PaygoError, brief

LONGEST_GAP_S = 3 * 3600.0
"""Between two rows; longer gaps are refused."""


def from_csv(
    path: Path | str,
    step_s: int = 60,
    *,
    ambient: float = 25.0,
    utc_offset_h: float = 0.0,
    longest_gap_s: float = LONGEST_GAP_S,
) -> Weather:
    """What somebody measured: a CSV with columns time, irradiance (W/m² in the panel's plane) and perhaps ambient (°C).

    A time is 2026-01-31T18:05 with or without seconds and with or without Z or +03:00 behind it; `utc_offset_h` is that
    of times without. The first row's offset is the site's clock. Between rows lie straight lines; an empty cell is a
    gap, and one longer than `longest_gap_s` is refused. Days that have no beginning or no end are left out. ambient:
    °C where the file has none. Raises PaygoError that names file, line and column.
    """
    try:
        with open(path, "rb") as stream:
            return read_csv(
                stream,
                str(path),
                step_s,
                ambient=ambient,
                utc_offset_h=utc_offset_h,
                longest_gap_s=longest_gap_s,
            )
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror}", "name a CSV file with time and irradiance") from None


def read_csv(
    stream: BinaryIO,
    file: str,
    step_s: int = 60,
    *,
    ambient: float = 25.0,
    utc_offset_h: float = 0.0,
    longest_gap_s: float = LONGEST_GAP_S,
) -> Weather:
    """`from_csv` of an open file; `file` is its name in errors."""
    steps_of(1, step_s, 0.0)
    if not -14 <= utc_offset_h <= 14 or not 0 < longest_gap_s <= DAY_S or not -60 <= ambient <= 60:
        raise PaygoError(
            f"utc_offset_h {brief(utc_offset_h)}, longest_gap_s {brief(longest_gap_s)} or ambient {brief(ambient)} "
            "is out of range",
            "they are -14 to 14 h, up to 86400 s, and -60 to 60 °C",
        )
    rows = _Rows(timedelta(hours=utc_offset_h), longest_gap_s)
    number = 0
    try:
        while raw := next_line(file, stream, number + 1):
            number += 1
            text = raw.rstrip(b"\r\n")
            if number == 1:
                rows.header(read_cells(text.removeprefix(b"\xef\xbb\xbf")))
            elif text:
                rows.row(read_cells(text))
    except WrongCell as wrong:
        column = f", {wrong.column}" if wrong.column else ""
        raise PaygoError(f"{file}, line {number}{column}: {wrong}", wrong.hint) from None
    if number == 0:
        raise PaygoError(f"{file} is empty", "its first line is time,irradiance,ambient")
    return rows.weather(file, step_s, ambient)


NAMES = ("time", "irradiance", "ambient")
RANGES = {"irradiance": (-20.0, 1600.0, "W/m²"), "ambient": (-60.0, 60.0, "°C")}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?", re.ASCII)


class _Rows:
    """A CSV's rows as they come: times and values of each column, gaps refused."""

    def __init__(self, offset: timedelta, longest_gap_s: float) -> None:
        self._offset, self._longest_gap_s = offset, longest_gap_s
        self._clock: timedelta | None = None
        self._places: dict[str, int] = {}
        self._width = 0
        self._last_s = -math.inf
        self._columns = {name: (array("d"), array("d")) for name in RANGES}

    def header(self, cells: Sequence[str]) -> None:
        """Which column is where. Raises WrongCell."""
        names = [cell.strip().lower() for cell in cells]
        self._width = len(names)
        for name in NAMES:
            if names.count(name) > 1:
                raise WrongCell(name, "the header names it twice", "each column once")
            if name in names:
                self._places[name] = names.index(name)
            elif name != "ambient":
                raise WrongCell(name, "the header does not name it", "the first line is time,irradiance,ambient")

    def row(self, cells: Sequence[str]) -> None:
        """One moment. Raises WrongCell."""
        if len(cells) != self._width:
            raise WrongCell("", f"{len(cells)} cells under {self._width} names", "each row has a cell for each column")
        at_s = self._time(cells[self._places["time"]].strip())
        if at_s <= self._last_s:
            raise WrongCell("time", "it is not after the row before", "rows are in the order of time")
        if at_s - self._last_s > 366 * DAY_S and math.isfinite(self._last_s):
            raise WrongCell("time", "it is more than a year after the row before", "rows are in the order of time")
        self._last_s = at_s
        for name, place in self._places.items():
            if name != "time" and (cell := cells[place].strip()):
                value = self._number(name, cell)
                times, values = self._columns[name]
                gap = at_s - times[-1] if times else 0
                if gap > self._longest_gap_s:
                    hint = f"up to {self._longest_gap_s / 3600:g} h are bridged"
                    raise WrongCell(name, f"there is no value in the {gap / 3600:.1f} h before it", hint)
                times.append(at_s)
                values.append(value)

    def _time(self, cell: str) -> float:
        hint = "a time is 2026-01-31T18:05, with seconds and an offset (Z, +03:00) or without"
        if not _TIME.fullmatch(cell):
            raise WrongCell("time", f"{_shown_time(cell)} is no time", hint)
        try:
            moment = datetime.fromisoformat(cell.replace("Z", "+00:00"))
            offset = moment.utcoffset()
            utc = moment.replace(tzinfo=timezone.utc) - (self._offset if offset is None else offset)
        except (ValueError, OverflowError):
            raise WrongCell("time", f"{_shown_time(cell)} is on no calendar", hint) from None
        if self._clock is None:
            self._clock = self._offset if offset is None else offset
        return utc.timestamp()

    def _number(self, name: str, cell: str) -> float:
        low, high, unit = RANGES[name]
        if not _NUMBER.fullmatch(cell) or not low <= float(cell) <= high:
            hint = "decimals have a point; leave the cell empty where nothing was measured"
            raise WrongCell(name, f"{shown(cell)} is not a number from {low:g} to {high:g} {unit}", hint)
        return float(cell)

    def weather(self, file: str, step_s: int, ambient: float) -> Weather:
        """The whole days of it. Raises PaygoError."""
        clock_s = self._clock.total_seconds() if self._clock is not None else 0.0
        times, values = (np.asarray(column) for column in self._columns["irradiance"])
        days = 0
        if len(times):
            reach_s = self._longest_gap_s
            first_s = math.ceil((times[0] + clock_s - reach_s) / DAY_S) * DAY_S - clock_s
            days = int((times[-1] + reach_s - first_s) // DAY_S)
        if days < 1:
            raise PaygoError(f"{file} covers no day from midnight to midnight", "one day of rows at least is needed")
        middles = first_s + (np.arange(steps_of(days, step_s, 0.0)) + 0.5) * step_s
        light = np.maximum(np.interp(middles, times, values), 0)
        warm_at, warmths = (np.asarray(column) for column in self._columns["ambient"])
        warmth = np.interp(middles, warm_at, warmths) if len(warm_at) else np.full(len(middles), ambient)
        start = datetime.fromtimestamp(first_s, timezone.utc)
        return Weather(start, step_s, light.astype(np.float32), warmth.astype(np.float32))


def _shown_time(cell: str) -> str:
    return repr(cell) if len(cell) <= 32 else f"a text of {len(cell)} characters"
