"""The tables that a fleet's run or a scenario leaves: which columns each has, and their Parquet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from paygo_core.errors import PaygoError

COLUMNS: dict[str, dict[str, str]] = {
    "units": {
        "unit": "int32", "site": "string", "model": "string", "board": "string", "chemistry": "string",
        "capacity_ah": "float32", "panel_w": "float32", "mppt": "bool_", "payer": "string",
    },
    "days": {
        "unit": "int32", "day": "int32", "battery_min_mv": "int32", "battery_max_mv": "int32",
        **dict.fromkeys(
            ("panel_wh", "load_wh", "unserved_wh", "charge_min", "charge_max", "charge_end", "light_h", "on_h",
             "payment_h", "bonus_h", "manual_h", "enable_h", "low_h", "battery_max_c", "health"), "float32",
        ),
    },
    "alerts": {
        "unit": "int32", "code": "string", "raised_s": "int64", "cleared_s": "int64", "value": "int32",
        "threshold": "int32", "clamp_j": "float32",
    },
    "failures": {"unit": "int32", "at_s": "int64", "part": "string", "cause": "string"},
    "tokens": {
        "unit": "int32", "at_s": "int64", "kind": "string", "reason": "string", "days": "float32", "verdict": "string",
    },
}  # fmt: skip
"""By table and column, the types by their names in pyarrow. What they mean is in docs/fleets.md."""
_ORDER = {"alerts": ("unit", "raised_s", "code"), "failures": ("unit", "at_s"), "tokens": ("unit", "at_s")}
_GROUP = 32_768
"""Rows that a reader has in memory together."""


def parquet(name: str, columns: Mapping[str, Any]) -> bytes:
    """A table of COLUMNS as Parquet. columns: lists or arrays, by name; rows of units and days are in their order."""
    import pyarrow
    import pyarrow.parquet

    made = {each: np.asarray(columns[each]) for each in COLUMNS[name]}
    if name in _ORDER:
        order = np.lexsort([made[column] for column in reversed(_ORDER[name])])
        made = {each: column[order] for each, column in made.items()}
    arrays = [_arrow(made[each], getattr(pyarrow, kind)()) for each, kind in COLUMNS[name].items()]
    table = pyarrow.Table.from_arrays(arrays, names=list(made))
    sink = io.BytesIO()
    repeating = [column for column, kind in COLUMNS[name].items() if kind != "float32"]
    pyarrow.parquet.write_table(table, sink, compression="zstd", row_group_size=_GROUP, use_dictionary=repeating)
    return sink.getvalue()


def _arrow(column: npt.NDArray[Any], kind: Any) -> Any:
    """An array of Arrow, made of its buffers. `pyarrow.array` would import pandas first, which takes much longer."""
    import pyarrow

    valid = None
    if column.dtype == object:  # some are None
        known = np.array([value is not None for value in column], bool)
        column = np.where(known, column, "" if pyarrow.types.is_string(kind) else 0)
        valid = None if known.all() else pyarrow.py_buffer(np.packbits(known, bitorder="little"))
    if pyarrow.types.is_string(kind):
        texts = [text.encode() for text in column.tolist()]
        parts = [np.cumsum([0, *map(len, texts)], dtype=np.int32), b"".join(texts)]
    elif pyarrow.types.is_boolean(kind):
        parts = [np.packbits(column.astype(bool), bitorder="little")]
    else:
        parts = [_numbers(column, kind.to_pandas_dtype())]
    return pyarrow.Array.from_buffers(kind, len(column), [valid, *map(pyarrow.py_buffer, parts)])


def _numbers(column: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """The same numbers, which whole numbers have to hold. Raises PaygoError where they do not."""
    with np.errstate(invalid="ignore", over="ignore"):
        cast = np.ascontiguousarray(column, dtype)
    given = column.astype(np.float64) if column.dtype == object else column
    if cast.dtype.kind in "iu" and not np.array_equal(cast, given):
        raise PaygoError(f"a column of {cast.dtype} cannot hold its numbers", "they have to be whole, and fit into it")
    return cast


def units(numbers: Any, kits: Any, sites: Any, payers: Any) -> bytes:
    """units.parquet, of columns with an entry a unit, in the order of their numbers."""
    columns = {
        "unit": numbers,
        "site": sites,
        "model": [kit.model for kit in kits],
        "board": [kit.board for kit in kits],
        "chemistry": [kit.battery.chemistry for kit in kits],
        "capacity_ah": [kit.battery.capacity_ah for kit in kits],
        "panel_w": [kit.panel.power_v * kit.panel.power_a for kit in kits],
        "mppt": [kit.mppt for kit in kits],
        "payer": payers,
    }
    return parquet("units", columns)
