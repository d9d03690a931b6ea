"""How sure a fleet's failures are: rates with Poisson limits, and the share failed by a day (Kaplan and Meier)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959964
"""Of a band that holds 95 %."""
TAIL = 0.025
MOST_POINTS = 400
YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Rate:
    """Failures per 100 unit-years, and from where to where the true rate lies with 95 %."""

    failed: int
    unit_years: float
    per_100: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """The share that has failed by each day, and its 95 % band."""

    days: list[float]
    share: list[float]
    low: list[float]
    high: list[float]


def rate(failed: int, unit_years: float) -> Rate:
    """Failures in so many unit-years, with the exact limits of a Poisson count."""
    if unit_years <= 0:
        return Rate(failed, 0.0, 0.0, 0.0, 0.0)
    low = _mean_with(failed - 1, 1 - TAIL) if failed else 0.0
    counts = (failed, low, _mean_with(failed, TAIL))
    return Rate(failed, unit_years, *(100 * count / unit_years for count in counts))


def _mean_with(most: int, chance: float) -> float:
    """The mean of the Poisson distribution that stays at or below `most` with this chance."""
    numbers = np.arange(most + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1)))))
    low, high = 0.0, most + 10 * math.sqrt(most + 1) + 10
    for _ in range(60):
        mean = (low + high) / 2
        below = float(np.exp(numbers * math.log(mean) - mean - logs).sum())
        low, high = (mean, high) if below > chance else (low, mean)
    return (low + high) / 2


def ratio(one: Rate, other: Rate) -> tuple[float, float, float] | None:
    """How many times as often one fails as the other, with 95 % limits; None where the first has no failure.

    Where the second has none it is infinite, with the exact lower limit: all failures in one of two groups.
    """
    if not one.failed or not other.unit_years:
        return None
    if not other.failed:
        share = TAIL ** (1 / one.failed)
        return math.inf, share / (1 - share) * other.unit_years / one.unit_years, math.inf
    times = one.per_100 / other.per_100
    width = math.exp(Z * math.sqrt(1 / one.failed + 1 / other.failed))
    return times, times / width, times * width


def failed_by(failed: Sequence[float], units: int, end: float, left: Sequence[float] = ()) -> Curve:
    """Kaplan and Meier's estimate for units that all began on day 0, with Greenwood's variance on the log-log scale.

    failed: the days on which units did. left: the days on which others left for another reason. end: the last day.
    """
    days, share, low, high = [0.0], [0.0], [0.0], [0.0]
    alive, variance, place = 1.0, 0.0, 0
    ordered, gone = sorted(failed), sorted(left)
    already = 0
    while place < len(ordered):
        day = ordered[place]
        together = _run(ordered, place)
        while already < len(gone) and gone[already] < day:
            already += 1
        at_risk = units - place - already
        alive *= 1 - together / at_risk
        days.append(day)
        if alive > 0:
            variance += together / (at_risk * (at_risk - together))
            spread = math.exp(Z * math.sqrt(variance) / math.log(alive))
            bounds = (1 - alive**spread, 1 - alive ** (1 / spread))
        else:
            bounds = (high[-1], 1.0)
        share.append(1 - alive)
        low.append(bounds[0])
        high.append(bounds[1])
        place += together
    days.append(max(float(end), days[-1]))
    for column in (share, low, high):
        column.append(column[-1])
    step = -(-len(days) // MOST_POINTS)
    kept = sorted({*range(0, len(days), step), len(days) - 1})
    return Curve(*([column[index] for index in kept] for column in (days, share, low, high)))


def _run(ordered: Sequence[float], place: int) -> int:
    end = place
    while end < len(ordered) and ordered[end] == ordered[place]:
        end += 1
    return end - place
