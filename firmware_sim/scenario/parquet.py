"""Writes what came of a scenario as `paygo sim fleet` writes a run, so that `paygo sim report` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.scenario.play import Outcome
from paygo_core import __version__
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError


def claim(directory: Path) -> None:
    """Makes the directory, which is to be new or empty. Raises PaygoError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise PaygoError(f"{directory} is not empty", "name a new directory")
    except OSError as error:
        raise PaygoError(f"{directory}: {error.strerror}", "name a directory that can be written to") from None


def write_tables(outcome: Outcome, directory: Path) -> None:
    """fleet.json and the Parquet files of docs/fleets.md. directory: claimed. Raises PaygoError."""
    import pyarrow
    from pyarrow import parquet

    scenario = outcome.scenario
    kits = {group.name: group for group in scenario.groups}
    about = {
        "version": 1, "kit": __version__, "start": f"{outcome.start.isoformat()}T00:00:00+00:00",
        "units": scenario.units, "days": scenario.days, "step_s": scenario.step_s, "seed": scenario.seed,
        "models": sorted({group.kit.model for group in kits.values()}), "sites": [_site(outcome)],
        "scenario": scenario.title,
    }  # fmt: skip
    groups = [group for group in scenario.groups for _ in range(group.count)]
    batteries = [group.kit.battery for group in groups]
    int32, int64, float32 = pyarrow.int32(), pyarrow.int64(), pyarrow.float32()
    units = range(scenario.units)
    tables: dict[str, dict[str, Any]] = {
        "units": {
            "unit": pyarrow.array(units, int32),
            "site": [_site(outcome)] * scenario.units,
            "model": [group.kit.model for group in groups],
            "board": [group.kit.board for group in groups],
            "chemistry": [battery.chemistry for battery in batteries],
            "capacity_ah": pyarrow.array([battery.capacity_ah for battery in batteries], float32),
            "panel_w": pyarrow.array([group.kit.panel.power_v * group.kit.panel.power_a for group in groups], float32),
            "mppt": [group.kit.mppt for group in groups],
            "payer": outcome.payers,
        },
        "days-00000": {
            "unit": pyarrow.array(np.repeat(np.arange(scenario.units, dtype=np.int32), scenario.days)),
            "day": pyarrow.array(np.tile(np.arange(scenario.days, dtype=np.int32), scenario.units)),
            **{
                name: pyarrow.array(rows.T.ravel().astype(np.int32 if name.endswith("_mv") else np.float32))
                for name, rows in outcome.days.items()
            },
        },
        "alerts-00000": _rows(
            sorted((each.unit, each.raised_s, each.code, each.cleared_s, each.value, each.threshold, each.clamp_j)
                   for each in outcome.alerts),
            {"unit": int32, "raised_s": int64, "code": pyarrow.string(), "cleared_s": int64, "value": int32,
             "threshold": int32, "clamp_j": float32},
        ),
        "failures-00000": _rows(
            sorted((each.unit, each.at_s, each.part, each.cause) for each in outcome.failures),
            {"unit": int32, "at_s": int64, "part": pyarrow.string(), "cause": pyarrow.string()},
        ),
        "tokens-00000": _rows(
            sorted(((unit, each.at_s, each.kind, each.reason, each.days, each.verdict)
                    for unit, each in outcome.tokens), key=lambda row: row[:2]),
            {"unit": int32, "at_s": int64, "kind": pyarrow.string(), "reason": pyarrow.string(), "days": float32,
             "verdict": pyarrow.string()},
        ),
    }  # fmt: skip
    for name, columns in tables.items():
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
        _write(directory / f"{name}.parquet", sink.getvalue().to_pybytes())
    _write(directory / "fleet.json", json.dumps(about, indent=2).encode())


def _site(outcome: Outcome) -> str:
    sky = outcome.scenario.sky
    return sky.site or ("csv" if sky.csv is not None else "constant")


def _rows(rows: list[tuple[Any, ...]], kinds: dict[str, Any]) -> dict[str, Any]:
    import pyarrow

    return {name: pyarrow.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(kinds.items())}


def _write(path: Path, content: bytes) -> None:
    with Draft(path) as draft:
        draft.write(content)
        draft.publish()
