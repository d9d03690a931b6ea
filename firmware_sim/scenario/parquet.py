"""Writes what came of a scenario as `paygo sim fleet` writes a run, so that `paygo sim report` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.fleet.tables import COLUMNS, parquet
from firmware_sim.fleet.tables import units as units_table
from firmware_sim.scenario.play import Outcome
from paygo_core import __version__
from paygo_core.draft import write_whole
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
    scenario = outcome.scenario
    about = {
        "version": 1, "kit": __version__, "start": f"{outcome.start.isoformat()}T00:00:00+00:00",
        "units": scenario.units, "days": scenario.days, "step_s": scenario.step_s, "seed": scenario.seed,
        "models": sorted({group.kit.model for group in scenario.groups}), "sites": [_site(outcome)],
        "scenario": scenario.title,
    }  # fmt: skip
    kits = [group.kit for group in scenario.groups for _ in range(group.count)]
    units, days = np.arange(scenario.units), np.arange(scenario.days)
    tables: dict[str, Any] = {
        "days": {
            "unit": np.repeat(units, scenario.days),
            "day": np.tile(days, scenario.units),
            **{name: rows.T.ravel() for name, rows in outcome.days.items()},
        },
        "alerts": [vars(alert) for alert in outcome.alerts],
        "failures": [vars(failure) for failure in outcome.failures],
        "tokens": [{"unit": unit, **vars(entry)} for unit, entry in outcome.tokens],
    }
    content = {"units": units_table(units, kits, [_site(outcome)] * scenario.units, outcome.payers)}
    for name, rows in tables.items():
        columns = rows if name == "days" else {column: [row[column] for row in rows] for column in COLUMNS[name]}
        content[f"{name}-00000"] = parquet(name, columns)
    for name, table in content.items():
        write_whole(directory / f"{name}.parquet", table)
    write_whole(directory / "fleet.json", json.dumps(about, indent=2).encode())


def _site(outcome: Outcome) -> str:
    sky = outcome.scenario.sky
    return sky.site or ("csv" if sky.csv is not None else "constant")
