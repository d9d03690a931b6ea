"""The tables of a run: what a column cannot hold is refused, and never another number."""

from __future__ import annotations

import io
import math

import pytest

from firmware_sim.fleet.tables import parquet
from paygo_core.errors import PaygoError

pytest.importorskip("pyarrow")


def failures(**columns: list[object]) -> bytes:
    return parquet("failures", {"unit": [1], "at_s": [2], "part": ["board"], "cause": ["surge"]} | columns)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, math.nan, math.inf, 1.5])
def test_a_number_that_a_column_cannot_hold_is_refused(number: float) -> None:
    with pytest.raises(PaygoError, match="int32 cannot hold"):
        failures(unit=[number])


def test_what_is_not_known_is_none() -> None:
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(
        io.BytesIO(failures(unit=[1, 2], at_s=[5, 6], part=["board", "input"], cause=["surge", None]))
    ).to_pylist()
    assert [row["cause"] for row in rows] == ["surge", None]
