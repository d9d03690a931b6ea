"""Fleets: a day of 60 s steps on each width of vectors, and a whole run of a year beside the engine alone."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from firmware_sim.fleet.chunk import Plan
from firmware_sim.fleet.engine import ALWAYS, Fleet, paths, sky
from firmware_sim.fleet.run import run
from firmware_sim.plant.catalogue import KITS
from firmware_sim.plant.loads import Homes, demand
from firmware_sim.plant.weather import at_site

UNITS = 512
KIT = KITS["home-50"]
YEAR = Plan(1000, 365, models=("home-50",), sites=("nairobi",))
CORES = min(2, os.cpu_count() or 1)


@pytest.mark.parametrize("path", paths()[1:])
def test_fleet_day(benchmark, path):
    benchmark.group = f"a day of {UNITS} units"
    fleet = Fleet(KIT, UNITS, path=path, threads=1)
    fleet.put("credit_s", ALWAYS)
    hours = (np.arange(1440) + 0.5) / 60
    day = sky(np.maximum(0, 900 * np.sin(np.pi * (hours - 6) / 12)), 25.0)
    benchmark(fleet.day, day, demand(KIT.home, range(UNITS), 0, 1))
    benchmark.extra_info["steps"] = UNITS * 1440


def test_engine_year(benchmark):
    """Nothing but the engine's days, a thread a core, under weather and loads that were made before."""
    benchmark.group = f"a year of {YEAR.units} units on {CORES} cores"
    weather = at_site(YEAR.sites[0], 32, YEAR.step_s, YEAR.seed)
    moments = sky(weather.irradiance, weather.ambient, weather.log_irradiance)
    shares = np.array_split(np.arange(YEAR.units), CORES)
    loads = [[Homes(KIT.home, share, YEAR.seed).day(day) for day in range(32)] for share in shares]

    def year(place: int) -> None:
        fleet = Fleet(KIT, len(shares[place]), step_s=YEAR.step_s, threads=1)
        fleet.put("credit_s", ALWAYS)
        for day in range(YEAR.days):
            at = day % 32
            fleet.day(moments[at * fleet.steps : (at + 1) * fleet.steps], *loads[place][at])

    def years() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(year, range(CORES)))

    benchmark.pedantic(years, rounds=3)


def test_fleet_year(benchmark, tmp_path):
    benchmark.group = f"a year of {YEAR.units} units on {CORES} cores"
    benchmark.pedantic(
        lambda: run(YEAR, tmp_path / "run", workers=CORES),
        setup=lambda: shutil.rmtree(tmp_path / "run", ignore_errors=True),
        rounds=3,
    )
