"""Blocks of 64 units in C, stepped through days by as many threads as there are cores; what they hold, as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_sim._fleet import ffi, lib
from firmware_sim.fleet.parameters import native
from firmware_sim.plant.catalogue import Kit
from paygo_core.errors import PaygoError
from paygo_core.simd import forced_simd

LANES: int = lib.FLEET_LANES
ALWAYS: int = lib.FLEET_ALWAYS
FULL: int = lib.FLEET_FULL
SLOTS: int = lib.FLEET_SLOTS
DAY_S = 86_400
MOST_NOTES = 65_536
"""Of a block and a day; a unit whose alerts come and go each minute leaves 2 880."""
PATHS = ("whole", "scalar", "plain", "avx2", "avx512")
DEEDS = {name.removeprefix("FLEET_").lower().replace("_", "-"): getattr(lib, name) for name in (
    "FLEET_ADD_CREDIT", "FLEET_SET_CREDIT", "FLEET_BATTERY_GONE", "FLEET_STUCK_ON", "FLEET_PANELS", "FLEET_SHORT",
    "FLEET_CONTACT", "FLEET_SURGE", "FLEET_OFFSET", "FLEET_FROZEN", "FLEET_IMBALANCE", "FLEET_SOILING",
    "FLEET_BATTERY_NEW", "FLEET_BOARD_NEW", "FLEET_RESTART",
)}  # fmt: skip

SKY = np.dtype([("irradiance", "f4"), ("log_irradiance", "f4"), ("ambient", "f4")])
EVENT = np.dtype([("step", "i4"), ("unit", "i4"), ("deed", "i4"), ("value", "f4")])
"""What is done to a unit, before a step of the day; what deeds there are is in fleet.h."""
NOTE = np.dtype(
    [
        *((name, "i4") for name in ("step", "unit", "changed", "alerts", "broken")),
        *((name, "i4") for name in ("battery_mv", "peak_mv", "panel_mv", "load_ma", "battery_dc")),
        ("clamp_ws", "f4"),
    ]
)
"""An alert or a damage that came or went, after a step of the day; `changed` says which."""

SUMS = (
    "panel_ws", "load_ws", "unserved_ws", "battery_in_as", "battery_out_as", "clamp_ws", "least_volts", "most_volts",
    "most_battery_c", "least_charge", "most_charge", "on_s", "light_s", "low_s", "active_s",
)  # fmt: skip
"""What the engine adds up from one `Fleet.take` to the next."""


def best_path() -> int:
    """The widest vectors that this machine has, or what PAYGO_SIMD forces; the results do not depend on it.

    Raises PaygoError where PAYGO_SIMD names what this machine has not.
    """
    by_name = {name: PATHS.index(name) for name in paths()}
    by_name |= dict.fromkeys(("neon", "sse2"), by_name["plain"])  # what the plain vectors become
    return by_name[forced] if (forced := forced_simd(by_name)) else max(by_name.values())


def paths() -> list[str]:
    """The ways of stepping that this machine has, slowest first."""
    return [name for place, name in enumerate(PATHS) if lib.fleet_path_exists(place)]


def checked_step(step_s: int) -> int:
    """The length of a step, if the engine takes it. Raises PaygoError."""
    if not 1 <= step_s <= 60 or 900 % step_s:
        raise PaygoError(f"a step cannot take {step_s} s", "steps are a divisor of 900 s, of 1 to 60 s")
    return step_s


class Fleet:
    """Units of one kit at one site.

    charge: of their batteries, 0 … 1. step_s: 1 … 60 and a divisor of 900. threads: 0 for one a core. The names of
    its fields are those of fleet_block in block.h. Raises PaygoError.
    """

    def __init__(
        self,
        kit: Kit,
        units: int,
        *,
        charge: float = 0.7,
        ambient: float = 25.0,
        step_s: int = 60,
        path: str | None = None,
        threads: int = 0,
    ) -> None:
        self.units = units
        self.step_s = checked_step(step_s)
        self.steps = DAY_S // step_s
        self._kit = native(kit)
        self._path = best_path() if path is None else PATHS.index(path)
        self._threads = threads or os.cpu_count() or 1
        self._size: int = ffi.sizeof("fleet_block")
        self._count = -(-units // LANES)
        room = np.zeros(self._count * self._size + 64, np.uint8)
        start = -room.ctypes.data % 64
        self._memory = room[start : start + self._count * self._size]
        self._blocks = ffi.cast("fleet_block *", ffi.from_buffer(self._memory))
        for place in range(self._count):
            lib.fleet_begin(self._blocks + place, self._kit, charge, ambient)
        self.take()

    @property
    def limits(self) -> tuple[Any, Any]:
        """What the law goes by: a paygo_battery_limits and a paygo_board_limits."""
        return self._kit.battery, self._kit.board

    def lanes(self, name: str) -> npt.NDArray[Any]:
        """A field of fleet_block (`charge`, `law.alerts` …) as it lies in memory, shape (blocks, 64); writable."""
        kind, offset = _field(name)
        view: npt.NDArray[Any] = np.ndarray((self._count, LANES), kind, self._memory.data, offset, (self._size, 4))
        return view

    def get(self, name: str) -> npt.NDArray[Any]:
        """A copy of a field, shape (units,)."""
        values: npt.NDArray[Any] = self.lanes(name).flatten()[: self.units]
        return values

    def put(self, name: str, values: npt.ArrayLike) -> None:
        """Sets a field of all units; `values` is one number or has the shape (units,)."""
        room = np.zeros(self._count * LANES, self.lanes(name).dtype)
        room[: self.units] = values
        self.lanes(name)[:] = room.reshape(self._count, LANES)

    def take(self) -> dict[str, npt.NDArray[Any]]:
        """What was added up since the last time, by the names in SUMS, each of shape (units,); and it begins anew."""
        taken = {name: self.get(name) for name in SUMS}
        for name in SUMS:
            self.lanes(name)[:] = {"least_volts": 1e6, "most_battery_c": -1e6, "least_charge": FULL}.get(name, 0)
        return taken

    def do(self, unit: int, deed: str, value: float) -> None:
        """Does one deed, by its name in DEEDS, to one unit now."""
        event = ffi.new("fleet_event *", {"lane": unit % LANES, "deed": DEEDS[deed], "value": value})
        lib.fleet_do(self._blocks + unit // LANES, self._kit, event)

    def step(self, moment: npt.NDArray[Any]) -> None:
        """One step of all units under one entry of a sky, with what their appliances wanted before."""
        at = ffi.cast("fleet_sky *", ffi.from_buffer(np.ascontiguousarray(moment)))
        for place in range(self._count):
            lib.fleet_steps(self._blocks + place, self._kit, at, 1, self.step_s, self._path)

    def day(
        self,
        sky: npt.NDArray[Any],
        demand: npt.NDArray[np.float32],
        peaks: npt.NDArray[np.float32] | None = None,
        events: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """Lets a day pass and returns the notes, by unit and step.

        sky: of dtype SKY, an entry a step. demand: W that each unit's appliances want in each quarter of an hour, shape
        (units, 96); peaks: at most, as they start, the same shape; None: no more than in the mean. events: of dtype
        EVENT, in any order. Raises PaygoError where a block has more notes than anybody could want to read.
        """
        assert sky.dtype == SKY
        assert len(sky) == self.steps
        wanted = self._slots(demand)
        most = wanted if peaks is None else self._slots(peaks)
        events = np.empty(0, EVENT) if events is None else events
        events = events[np.lexsort((events["step"], events["unit"] // LANES))]
        bounds = np.searchsorted(events["unit"] // LANES, np.arange(self._count + 1))
        own = np.ascontiguousarray(events)
        own["unit"] %= LANES
        sky_at = ffi.cast("fleet_sky *", ffi.from_buffer(np.ascontiguousarray(sky)))
        wanted_at, most_at = (ffi.cast("float *", ffi.from_buffer(array)) for array in (wanted, most))
        events_at = ffi.cast("fleet_event *", ffi.from_buffer(own)) if len(own) else ffi.NULL

        def run(first: int, last: int) -> list[npt.NDArray[Any]]:
            notes = np.empty(MOST_NOTES, NOTE)
            notes_at = ffi.cast("fleet_note *", ffi.from_buffer(notes))
            found = []
            for block in range(first, last):
                begin, end = int(bounds[block]), int(bounds[block + 1])
                at = block * SLOTS * LANES
                own_at = events_at + begin if end > begin else ffi.NULL
                count = lib.fleet_day(
                    self._blocks + block, self._kit, sky_at, wanted_at + at, most_at + at, self.step_s, self._path,
                    own_at, end - begin, notes_at, MOST_NOTES,
                )  # fmt: skip
                if count > MOST_NOTES:
                    raise PaygoError(f"units {block * LANES} and on have {count} alerts a day", "look for what flaps")
                if count:
                    taken = notes[:count].copy()
                    taken["unit"] += block * LANES
                    found.append(taken[taken["unit"] < self.units])
            return found

        shares = np.linspace(0, self._count, min(self._threads, self._count) + 1).astype(int)
        pairs = list(zip(shares[:-1].tolist(), shares[1:].tolist(), strict=True))
        parts = [run(*pairs[0])] if len(pairs) == 1 else _in_threads(run, pairs)
        notes: npt.NDArray[Any] = np.concatenate([np.empty(0, NOTE), *(each for part in parts for each in part)])
        return notes[np.lexsort((notes["step"], notes["unit"]))]

    def _slots(self, watts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Shape (blocks, 96, 64), as the engine reads it."""
        assert watts.shape == (self.units, SLOTS)
        room = np.zeros((self._count * LANES, SLOTS), np.float32)
        room[: self.units] = watts
        return np.ascontiguousarray(room.reshape(self._count, LANES, SLOTS).transpose(0, 2, 1))


@cache
def _field(name: str) -> tuple[str, int]:
    """The type and the place of a field of fleet_block."""
    struct, _, member = name.rpartition(".")
    kind = dict(ffi.typeof(f"fleet_{struct or 'block'}").fields)[member].type.item.cname
    return {"int32_t": "i4", "float": "f4", "uint32_t": "u4"}[kind], ffi.offsetof("fleet_block", *name.split("."))


def _in_threads(
    run: Callable[[int, int], list[npt.NDArray[Any]]], pairs: list[tuple[int, int]]
) -> list[list[npt.NDArray[Any]]]:
    with ThreadPoolExecutor(len(pairs)) as pool:
        return list(pool.map(run, *zip(*pairs, strict=True)))


def sky(
    irradiance: npt.ArrayLike, ambient: npt.ArrayLike, log_irradiance: npt.ArrayLike | None = None
) -> npt.NDArray[Any]:
    """A day's or more sky from W/m² in the panel's plane and °C, an entry a step, as Fleet.day takes it.

    log_irradiance: ln(W/m² / 1000) where it is known already, as a Weather knows it.
    """
    light = np.asarray(irradiance, np.float32)
    made = np.empty(light.shape, SKY)
    made["irradiance"] = light
    known = log_irradiance is not None
    made["log_irradiance"] = log_irradiance if known else np.log(np.maximum(light, 1.0) / np.float32(1000.0))
    made["ambient"] = ambient
    return made
