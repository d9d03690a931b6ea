"""Units of a fleet: a day of 60 s steps on each width of vectors, one core."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_sim.fleet.engine import ALWAYS, Fleet, paths, seeds, sky
from firmware_sim.fleet.kits import Appliance, Kit

UNITS = 512
EVENING = [0.9 if 72 <= slot < 92 else 0.05 for slot in range(96)]
KIT = Kit(appliances=[Appliance(watts, EVENING) for watts in (3, 3, 3, 2, 15, 6, 8, 4)])


@pytest.mark.parametrize("path", paths())
def test_fleet_day(benchmark, path):
    benchmark.group = f"a day of {UNITS} units"
    fleet = Fleet(KIT, UNITS, path=path, threads=1)
    fleet.put("credit_s", ALWAYS)
    hours = (np.arange(1440) + 0.5) / 60
    day = sky(np.maximum(0, 900 * np.sin(np.pi * (hours - 6) / 12)), 25.0)
    lots = seeds(1, 0, UNITS, 0)
    benchmark(fleet.day, day, lots)
    benchmark.extra_info["steps"] = UNITS * 1440
