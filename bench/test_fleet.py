"""Units of a fleet: a day of 60 s steps on each width of vectors, one core."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_sim.fleet.engine import ALWAYS, Fleet, paths, sky
from firmware_sim.plant.catalogue import KITS
from firmware_sim.plant.loads import demand

UNITS = 512
KIT = KITS["home-50"]


@pytest.mark.parametrize("path", paths())
def test_fleet_day(benchmark, path):
    benchmark.group = f"a day of {UNITS} units"
    fleet = Fleet(KIT, UNITS, path=path, threads=1)
    fleet.put("credit_s", ALWAYS)
    hours = (np.arange(1440) + 0.5) / 60
    day = sky(np.maximum(0, 900 * np.sin(np.pi * (hours - 6) / 12)), 25.0)
    benchmark(fleet.day, day, demand(KIT.home, range(UNITS), 0, 1))
    benchmark.extra_info["steps"] = UNITS * 1440
