"""Light on the panel and air temperature over time, as it might be: drawn from a seed, for a place and its clouds.

Step 0 begins at a midnight of the site's own clock, which is mean solar time, and there are whole days, so that the sun
and people's habits agree without time zones. The value of a step is that of its middle. Panels face the equator.

Clear sky and tilted panel are those of `firmware_sim.plant.sun`. What clouds leave of it: a day's mean share is Beta
distributed and follows that of the day before; within the day it is an AR(1) around this mean, widest on days of broken
clouds. The numbers of both are typical values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from firmware_sim.plant.sites import Climate, Site, site
from firmware_sim.plant.sun import DAY_S, Numbers, Sun, year_angle
from paygo_core.errors import PaygoError, brief

Column = npt.NDArray[np.float32]

DARK = 1.0
"""W/m²; the logarithm of less light is that of this."""
MOST_STEPS = 32_000_000
"""Of one weather: 60 years of minutes."""
BLOCK_DAYS = 32
DIMMEST, BRIGHTEST = 0.05, 1.15
"""Shares of the clear sky's light that get through at any moment."""
DAY_DIMMEST = 0.1
SPREAD_OF_DAYS = 4.0
"""Sum of the Beta distribution's parameters."""
DAY_AFTER_DAY = 0.4
"""Correlation of a day's clearness with that of the day before."""
CLOUDS_S, CLOUDS_LAST_S = 300, 1800.0
"""How far apart the AR(1)'s points are, and its time constant."""
WARMEST_HOUR = 15.0


@dataclass(frozen=True, eq=False)
class Weather:
    """What a panel and its surroundings meet, step by step, for whole days.

    start: the first midnight, aware, in UTC. step_s: seconds, a divisor of a day. irradiance: W/m² in the panel's
    plane. ambient: °C. Both are float32 and not to be written to.
    """

    start: datetime
    step_s: int
    irradiance: Column
    ambient: Column

    def __post_init__(self) -> None:
        steps = len(self.irradiance)
        assert self.start.utcoffset() == timedelta(0), "the start is in UTC"
        assert len(self.ambient) == steps > 0 == steps * self.step_s % DAY_S, "whole days"
        for column in (self.irradiance, self.ambient):
            assert column.dtype == np.float32
            column.flags.writeable = False

    @property
    def days(self) -> int:
        """How many there are."""
        return len(self.irradiance) * self.step_s // DAY_S

    @cached_property
    def log_irradiance(self) -> Column:
        """ln(irradiance / 1000 W/m²), as if it were never darker than 1 W/m²; float32, to four decimals."""
        logarithm = np.log(np.maximum(self.irradiance, DARK, dtype=np.float64) / 1000)
        rounded: Column = np.round(logarithm, 4).astype(np.float32)
        rounded.flags.writeable = False
        return rounded


def synthetic(
    days: int,
    step_s: int,
    latitude: float,
    seed: int,
    *,
    cloudiness: float | Sequence[float] = 0.25,
    longitude: float = 0.0,
    tilt: float | None = None,
    climate: Climate | None = None,
    first_day: date = date(2026, 1, 1),
    skip_days: int = 0,
) -> Weather:
    """Weather as it might be, drawn from a seed: the same arguments give the same bytes, at any step the same weather.

    cloudiness: the share of a clear sky's light that clouds take in the mean, 0 … 0.85, or twelve of them for the
    months from January on. tilt: degrees; None: the latitude, yet 10 at least. climate: None: 25 °C all year, 10 °C
    between the hours of a day. skip_days: leaves out so many days, so that a long run can be had in pieces. Raises
    PaygoError.
    """
    steps = steps_of(days, step_s, latitude)
    if not 0 <= skip_days <= 1_000_000 or isinstance(skip_days, bool):
        raise PaygoError(f"{brief(skip_days)} days cannot be skipped", "skip_days is 0 to 1000000")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise PaygoError(f"the seed {brief(seed)} is none", "a seed is a whole number from 0 to 2**64 - 1")
    clear_share = _clearness_of_days(skip_days + days, seed, cloudiness, first_day)[skip_days:]
    first_day = first_day + timedelta(days=skip_days)
    plane = tilt_of(tilt, latitude)
    light, warmth = np.empty(steps, np.float32), np.empty(steps, np.float32)
    for low, block in blocks(days, step_s):
        sun = Sun(latitude, plane, first_day, block)
        shares = clear_share[low : low + block.shape[0] + 2]
        clouds = _clouds(shares[1:-1], seed, skip_days + low, block[0] % DAY_S)
        place = slice(low * block.shape[1], (low + block.shape[0]) * block.shape[1])
        # Rounded so that the last bits, in which processors' sines differ, do not reach the bytes.
        light[place] = np.round(sun.on_plane(sun.clear_sky * clouds), 1).ravel()
        swing = np.interp(block / DAY_S, np.arange(low - 0.5, low + len(shares) - 0.5), 0.4 + 0.6 * shares)
        warmth[place] = np.round(ambient_of(climate or Climate(), first_day, block, swing), 2).ravel()
    return Weather(midnight(first_day, longitude), step_s, light, warmth)


def at_site(
    place: Site | str, days: int, step_s: int, seed: int, *, first_day: date = date(2026, 1, 1), skip_days: int = 0
) -> Weather:
    """`synthetic` with the latitude, longitude, climate and clouds of a site. Raises PaygoError."""
    found = site(place) if isinstance(place, str) else place
    return synthetic(
        days,
        step_s,
        found.latitude,
        seed,
        cloudiness=found.cloudiness,
        longitude=found.longitude,
        climate=found.climate,
        first_day=first_day,
        skip_days=skip_days,
    )


def steps_of(days: int, step_s: int, latitude: float) -> int:
    """How many steps there are. Raises PaygoError."""
    if isinstance(step_s, bool) or not isinstance(step_s, int) or not 0 < step_s <= 3600 or DAY_S % step_s:
        raise PaygoError(f"a step of {brief(step_s)} s is none", "it is 1 to 3600 s, and a day a whole number of them")
    if isinstance(days, bool) or not isinstance(days, int) or not 0 < days <= MOST_STEPS * step_s // DAY_S:
        most = MOST_STEPS * step_s // DAY_S
        raise PaygoError(f"a weather of {brief(days)} days is none", f"at {step_s} s a step it is 1 to {most} days")
    if not -90 <= latitude <= 90:
        raise PaygoError(f"latitude {brief(latitude)} is none", "it is -90 to 90 degrees, north positive")
    return days * (DAY_S // step_s)


def tilt_of(tilt: float | None, latitude: float) -> float:
    """Degrees; the latitude where none are given. Raises PaygoError."""
    if tilt is None:
        return min(max(abs(latitude), 10.0), 60.0)  # rain is to wash the dust off
    if not 0 <= tilt <= 90:
        raise PaygoError(f"a tilt of {brief(tilt)} is none", "it is 0 (level) to 90 degrees")
    return tilt


def midnight(day: date, longitude: float) -> datetime:
    """The instant in UTC, to the second, of midnight in mean solar time."""
    if not -180 <= longitude <= 180:
        raise PaygoError(f"longitude {brief(longitude)} is none", "it is -180 to 180 degrees, east positive")
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - timedelta(seconds=round(longitude * 240))


def blocks(days: int, step_s: int) -> Iterator[tuple[int, Numbers]]:
    """The number of a first day, and the middles of the steps of it and of those after it: days × steps, in s."""
    middles = (np.arange(DAY_S // step_s) + 0.5) * step_s
    for low in range(0, days, BLOCK_DAYS):
        yield low, np.arange(low, min(low + BLOCK_DAYS, days))[:, np.newaxis] * float(DAY_S) + middles


def ambient_of(climate: Climate, first_day: date, at_s: Numbers, swing: Numbers | float) -> Numbers:
    """°C. swing: the share of a clear day's span."""
    season = year_angle(first_day, at_s) - 2 * math.pi * (climate.warmest_month - 0.5) / 12
    hour = 2 * math.pi * (at_s / DAY_S - WARMEST_HOUR / 24)
    warmth: Numbers = climate.mean + climate.season * np.cos(season) + swing * climate.day / 2 * np.cos(hour)
    return warmth


def _clearness_of_days(days: int, seed: int, cloudiness: float | Sequence[float], first_day: date) -> Numbers:
    """Mean clear-sky index of the day before the first, of each day, and of the day after the last."""
    months = [cloudiness] * 12 if isinstance(cloudiness, (int, float)) else list(cloudiness)
    if len(months) != 12 or not all(0 <= share <= 0.85 for share in months):
        raise PaygoError("the cloudiness is no share", "it is one number from 0 to 0.85, or twelve from January on")
    draws = np.random.default_rng([seed, 0]).standard_normal(days + 2).tolist()
    fresh, state = math.sqrt(1 - DAY_AFTER_DAY**2), draws[0]
    month_of = np.arange(days + 2) + (np.datetime64(first_day, "D") - 1)
    month_of = (month_of.astype("datetime64[M]").astype(int) % 12).tolist()
    quantiles = {share: _quantiles(1 - share) for share in set(months)}
    clear = np.empty(days + 2)
    for day, draw in enumerate(draws):
        state = draw if day == 0 else DAY_AFTER_DAY * state + fresh * draw
        clear[day] = quantiles[months[month_of[day]]](0.5 * math.erfc(-state / math.sqrt(2)))
    return clear


@cache
def _quantiles(mean: float) -> Callable[[float], float]:
    """The inverse distribution of a day's clear-sky index with this mean: Beta between DAY_DIMMEST and 1."""
    share = (mean - DAY_DIMMEST) / (1 - DAY_DIMMEST)
    if share > 0.999:
        return lambda _: 1.0
    places = (np.arange(4096) + 0.5) / 4096
    first, second = SPREAD_OF_DAYS * share, SPREAD_OF_DAYS * (1 - share)
    below = np.cumsum(places ** (first - 1) * (1 - places) ** (second - 1))
    below /= below[-1]
    return lambda chance: DAY_DIMMEST + (1 - DAY_DIMMEST) * float(np.interp(chance, below, places))


def _clouds(clear: Numbers, seed: int, first: int, seconds: Numbers) -> Numbers:
    """The clear-sky index of each step of the day, for each day."""
    points = DAY_S // CLOUDS_S + 1
    draws = np.stack(
        [np.random.default_rng([seed, 1, first + day]).standard_normal(points) for day in range(len(clear))]
    )
    kept = math.exp(-CLOUDS_S / CLOUDS_LAST_S)
    for point in range(1, points):
        draws[:, point] = kept * draws[:, point - 1] + math.sqrt(1 - kept**2) * draws[:, point]
    width = 1.5 * (clear - DAY_DIMMEST) * (1 - clear)
    index = np.clip(clear[:, np.newaxis] + width[:, np.newaxis] * draws, DIMMEST, BRIGHTEST)
    place = seconds / CLOUDS_S
    low = place.astype(int)
    mixed: Numbers = index[:, low] + (index[:, low + 1] - index[:, low]) * (place - low)
    return mixed
