"""What people switch on, and when: appliances, habits, and the demand of many homes by quarters of an hour.

Watts, hours and inrush are those that solar homes have at 12 V: televisions from the Global LEAP tests (0.05 to 0.10 W
per square inch, Energy Efficiency 2016, table 2) scaled to their size; fans as IDCOL's specification of 2014 allows
them; all else typical values. Habits follow what 1 000 pay-as-you-go systems showed (arXiv 2502.14630): an evening peak
from 18 to 22 h, a second one at midday with a television, five kinds of households. Their shares are typical values.

Every draw is a hash of seed, unit, day, appliance and use (SplitMix64, Steele, Lea and Flood 2014), so that neither the
order of units nor how they are cut into chunks changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_sim._fleet import ffi, lib
from firmware_sim.plant.chances import GOLDEN, mixed
from paygo_core.errors import PaygoError, brief

SLOTS: int = lib.HOME_SLOTS
"""Quarters of an hour in a day."""

_USE_KEY = 0x8CB92BA72F3D8DD7
_MOST_USES = 16

_C_TYPES = {"f": "double", "i": "int32_t", "u": "uint64_t"}

Watts = npt.NDArray[np.float32]
_Hashes = npt.NDArray[np.uint64]
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Use:
    """One time of the day at which something is on.

    start_h: hour of the day in the mean; hours: how long; jitter: the start is up to so many hours earlier or later,
    the duration up to such a share shorter or longer. chance: of a day. steady: whoever lives there, as a light with a
    sensor is.
    """

    start_h: float
    hours: float
    start_jitter_h: float = 0.5
    hours_jitter: float = 0.3
    chance: float = 1.0
    steady: bool = False


@dataclass(frozen=True)
class Appliance:
    """Something on the unit's output.

    watts: while on. standby_w: while off. inrush: how many times its watts it takes as it starts. levels: shares of its
    watts that people choose from. follows: the kind whose draws it shares, as a decoder is on with its television.
    """

    name: str
    kind: str
    watts: float
    uses: tuple[Use, ...]
    standby_w: float = 0.0
    inrush: float = 1.0
    levels: tuple[float, ...] = (1.0,)
    follows: str = ""

    def profile(self) -> _Numbers:
        """The share of each quarter of an hour that it is on, in the mean of many moderate homes and days."""
        draws = (np.arange(32) + 0.5) / 16 - 1
        shares = np.zeros(SLOTS)
        edges = np.arange(SLOTS + 1) / 4
        for use in self.uses:
            start = (use.start_h + use.start_jitter_h * draws)[:, np.newaxis, np.newaxis]
            end = start + use.hours * (1 + use.hours_jitter * draws)[:, np.newaxis]
            covered = np.diff(np.clip(edges, start, end), axis=2) * 4
            shares += use.chance * covered.mean(axis=(0, 1))
        return shares


@dataclass(frozen=True)
class Archetype:
    """A kind of household. amount: of a moderate one's hours. later_h: of the evening. daytime: of the chance that
    something is on between 9 and 16 h. share: of all households."""

    name: str
    amount: float
    later_h: float
    daytime: float
    share: float


ARCHETYPES = (
    Archetype("low", 0.65, 0.0, 1.0, 0.25),
    Archetype("moderate", 1.0, 0.0, 1.0, 0.35),
    Archetype("high", 1.35, 0.0, 1.0, 0.15),
    Archetype("night", 1.1, 1.5, 0.5, 0.15),
    Archetype("single peak", 0.9, 0.0, 0.1, 0.10),
)
"""The kinds that units draw from. Their numbers are typical values."""
MODERATE = ARCHETYPES[1]


@dataclass(frozen=True)
class Household:
    """The appliances of a home, and how it lives; archetype None: each unit draws its own by the shares."""

    name: str
    appliances: tuple[Appliance, ...]
    archetype: Archetype | None = None

    def daily_wh(self) -> float:
        """Wh a day that a moderate home of this kind uses in the mean."""
        total = 0.0
        for item in self.appliances:
            on = float(item.profile().sum()) / 4
            total += item.watts * on * sum(item.levels) / len(item.levels) + item.standby_w * max(24 - on, 0)
        return total


_EVENING = Use(18.5, 4.0, 0.75, 0.3, 0.97)
_MORNING = Use(5.25, 0.75, 0.3, 0.3, 0.6)
_WATCHING = (Use(12.75, 1.2, 0.75, 0.4, 0.45), Use(19.0, 3.2, 0.6, 0.35, 0.92))

APPLIANCES = {
    item.name: item
    for item in (
        Appliance("light", "light", 2.0, (_MORNING, _EVENING)),
        Appliance("dimmable light", "light", 3.0, (_MORNING, _EVENING), levels=(1.0, 0.5, 0.25)),
        Appliance("security light", "light", 0.5, (Use(0, 6, 0, 0, steady=True), Use(18.25, 6, 0.2, 0, steady=True))),
        Appliance("radio", "radio", 2.5, (Use(6.0, 1.5, 0.75, 0.4, 0.75), Use(16.5, 2.5, 1.0, 0.4, 0.8))),
        Appliance("television 24", "television", 15.0, _WATCHING, standby_w=0.4, inrush=3.0),
        Appliance("television 32", "television", 28.0, _WATCHING, standby_w=0.5, inrush=3.0),
        Appliance("decoder", "decoder", 7.0, _WATCHING, inrush=2.0, follows="television"),
        Appliance("fan", "fan", 8.0, (Use(12.5, 3.0, 1.0, 0.4, 0.7), Use(19.5, 4.5, 0.75, 0.4, 0.85)), inrush=2.5),
        Appliance("phone", "phone", 5.9, (Use(17.5, 2.0, 1.0, 0.4, 0.9),)),
        Appliance("feature phone", "phone", 3.0, (Use(18.0, 1.6, 1.0, 0.4, 0.75),)),
        Appliance("water pump", "pump", 45.0, (Use(8.5, 1.0, 1.5, 0.5, 0.9),), inrush=5.0),
        Appliance(
            "water filter", "filter", 12.0, (Use(7.0, 1.0, 1.0, 0.3, 0.9), Use(17.0, 1.0, 1.0, 0.3, 0.8)), inrush=2.0
        ),
        Appliance("router", "router", 6.0, (Use(0, 24, 0, 0, steady=True),)),
    )
}
"""By name. A phone is charged through a 5 V converter of 85 %."""


def household(name: str, *appliances: str, archetype: Archetype | None = None) -> Household:
    """A home of appliances by name, each as often as it is named. Raises PaygoError."""
    for wanted in appliances:
        if wanted not in APPLIANCES:
            raise PaygoError(f"no appliance is called {brief(wanted)}", f"there are {', '.join(APPLIANCES)}")
    return Household(name, tuple(APPLIANCES[wanted] for wanted in appliances), archetype)


LIGHTS_HOME = household("lights", "light", "light", "security light", "radio", "feature phone", "feature phone")
"""What a 20 W kit carries, 30 to 60 Wh a day."""
TELEVISION_HOME = household(
    "television", *3 * ["light"], "dimmable light", "security light", "television 24", "decoder", "radio", "phone"
)
"""What a 50 W kit carries, 100 to 180 Wh a day."""
FAN_HOME = household(
    "television and fan",
    *4 * ["light"],
    "dimmable light",
    "security light",
    "television 32",
    "decoder",
    "fan",
    "radio",
    *2 * ["phone"],
)
"""What a 100 W kit carries, 200 to 350 Wh a day."""


class Homes:
    """Many homes of one kind and what they want day by day.

    units: their numbers, 0 or more. seed: 0 … 2**64 - 1. What a unit wants depends on nothing but these and the day.
    Raises PaygoError for an appliance with numbers that none has.
    """

    def __init__(self, home: Household, units: npt.ArrayLike, seed: int) -> None:
        _check(home)
        self.home = home
        self._lives = _homes(_units(units), seed)
        kinds = _kinds(home, self._lives)
        amount, later, daytime = (
            np.array([getattr(kind, name) for kind in ARCHETYPES])[kinds] for name in ("amount", "later_h", "daytime")
        )
        amount = amount * (0.8 + 0.4 * _chances(self._lives, 1))
        of_kind = {item.kind: index for index, item in reversed(list(enumerate(home.appliances)))}
        uses, starts, lasts, chances = [], [], [], []
        levels: list[float] = []
        for index, item in enumerate(home.appliances):
            for number, use in enumerate(item.uses):
                place = of_kind.get(item.follows, index)
                key = (place * _MOST_USES + number + 1) * _USE_KEY % 2**64
                jitters = (4 * use.start_jitter_h, use.hours_jitter)
                uses.append((key, *jitters, item.watts, item.standby_w, item.inrush, len(levels), len(item.levels)))
                starts.append(use.start_h + (later if use.start_h >= 16 and not use.steady else 0 * later))
                lasts.append(use.hours * (np.ones_like(amount) if use.steady else amount))
                by_day = 9 <= use.start_h < 16 and not use.steady
                chances.append(np.rint(use.chance * (daytime if by_day else np.ones_like(daytime)) * 65536))
            levels += item.levels
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "levels": np.array(levels, np.float64), "lives": self._lives, "starts": 4 * np.array(starts),
            "lasts": 4 * np.array(lasts), "chances": np.array(chances).astype(np.int32),
        }  # fmt: skip
        self._uses = ffi.new("home_use[]", uses)
        self._kind = ffi.new("home_kind *")
        self._kind.uses, self._kind.use_count, self._kind.unit_count = self._uses, len(uses), len(self._lives)
        self._kind.standby_mw = round(sum(item.standby_w for item in home.appliances) * 1000)
        for name, array in self._arrays.items():
            setattr(self._kind, name, ffi.from_buffer(f"{_C_TYPES[array.dtype.kind]}[]", array))

    def day(self, day: int | npt.ArrayLike) -> tuple[Watts, Watts]:
        """Two times float32, units × 96 quarters of an hour: mean watts, and the most watts at any moment.

        The most is all that is on in the quarter together, and the largest inrush of what starts in it. day: since the
        beginning, one for all or one a unit.
        """
        mean, most = np.empty((2, len(self._lives), SLOTS), np.float32)
        lib.home_day(self._kind, self._days(day), _floats(mean), _floats(most))
        return mean, most

    def dim_levels(self, day: int | npt.ArrayLike) -> Watts:
        """How bright people have their dimmable lights: the highest level in each quarter of an hour, 0 where all are
        off; float32, units × 96."""
        levels = np.empty((len(self._lives), SLOTS), np.float32)
        lib.home_levels(self._kind, self._days(day), _floats(levels))
        return levels

    def _days(self, day: int | npt.ArrayLike) -> Any:
        each = np.ascontiguousarray(np.broadcast_to(_units(day), self._lives.shape))
        return ffi.from_buffer("uint64_t[]", each)


def _check(home: Household) -> None:
    for item in home.appliances:
        watts = (item.watts, item.standby_w, item.inrush * item.watts)
        times = [number for use in item.uses for number in (use.hours, use.start_jitter_h, use.hours_jitter)]
        starts = [use.start_h for use in item.uses]
        good = (
            all(0 <= number <= 100_000 for number in watts)
            and all(0 <= number <= 24 for number in (*times, *starts))
            and all(0 <= use.chance <= 1 for use in item.uses)
            and len(item.levels) > 0
            and all(0 <= level <= 1 for level in item.levels)
        )
        if not good:
            raise PaygoError(
                f"no appliance is like {brief(item.name)}",
                "watts are 0 … 100000, hours 0 … 24, chances and levels 0 … 1, and it has at least one level",
            )


def demand(home: Household, units: npt.ArrayLike, day: int | npt.ArrayLike, seed: int) -> Watts:
    """Mean watts that each unit's people want in each quarter of an hour of a day: `Homes.day` once."""
    return Homes(home, units, seed).day(day)[0]


def peaks(home: Household, units: npt.ArrayLike, day: int | npt.ArrayLike, seed: int) -> Watts:
    """The most watts at any moment of each quarter of an hour: `Homes.day` once."""
    return Homes(home, units, seed).day(day)[1]


def archetypes_of(home: Household, units: npt.ArrayLike, seed: int) -> npt.NDArray[np.int64]:
    """Which of ARCHETYPES each unit's household is."""
    return _kinds(home, _homes(_units(units), seed))


def _floats(array: Watts) -> Any:
    return ffi.from_buffer("float[]", array)


def _kinds(home: Household, lives: _Hashes) -> npt.NDArray[np.int64]:
    if home.archetype is not None:
        return np.full(len(lives), ARCHETYPES.index(home.archetype))
    bounds = np.cumsum([kind.share for kind in ARCHETYPES])[:-1]
    found: npt.NDArray[np.int64] = np.searchsorted(bounds, _chances(lives, 0), side="right")
    return found


def _units(units: npt.ArrayLike) -> _Hashes:
    return np.atleast_1d(np.asarray(units)).astype(np.uint64)


def _homes(units: _Hashes, seed: int) -> _Hashes:
    start = mixed(np.array([seed], np.uint64) + np.uint64(GOLDEN))
    return mixed(start + (units + np.uint64(1)) * np.uint64(GOLDEN))


def _chances(hashes: _Hashes, field: int) -> _Numbers:
    """One of four numbers between 0 and 1 in a hash."""
    bits = (hashes >> np.uint64(16 * field)) & np.uint64(0xFFFF)
    between: _Numbers = (bits.astype(np.float64) + 0.5) / 65536
    return between
