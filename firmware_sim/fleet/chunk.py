"""One chunk of a fleet's run: some units of one kit at one site, all their days, and the tables that come of it.

A chunk is a function of the plan and its number alone, wherever and in whatever order chunks are run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_sim._fleet import lib
from firmware_sim.fleet import faults
from firmware_sim.fleet.engine import DAY_S, DEEDS, EVENT, FULL, LANES, Fleet, sky
from firmware_sim.fleet.payments import SOURCES, Customers
from firmware_sim.fleet.tables import COLUMNS, parquet
from firmware_sim.plant.catalogue import Kit, kit
from firmware_sim.plant.loads import Homes
from firmware_sim.plant.weather import at_site

CODES = (
    "BATTERY_OVERVOLTAGE", "BATTERY_UNDERVOLTAGE", "STORAGE_FAULT", "CLOCK_TAMPER", "PANEL_OVERVOLTAGE",
    "OUTPUT_OVERVOLTAGE", "BATTERY_DISCONNECTED", "OVERCURRENT", "SHORT_CIRCUIT", "OVERTEMPERATURE",
    "UNDERTEMPERATURE", "CHARGER_FAULT", "SENSOR_FAULT",
)  # fmt: skip
"""By the number that the firmware stores and tells."""
PARTS = {lib.FLEET_BROKEN_INPUT: "input", lib.FLEET_BROKEN_OUTPUT: "output", lib.FLEET_BROKEN_BOARD: "board"}
REPLACED_AFTER_S = 7 * DAY_S
WEATHER_DAYS = 32
"""Of which weather is made at a time."""
MOST_TOGETHER = 512
UNIT_DAYS = 200_000
"""Of one chunk, so that its tables stay small whatever the number of days."""
TABLES = ("days", "alerts", "failures", "tokens")


@dataclass(frozen=True)
class Plan:
    """A fleet's run. units: how many; unit i is of kit and site i modulo how many combinations there are.

    rates: of faults, a year, by name. Everything else follows from `seed`.
    """

    units: int
    days: int
    step_s: int = 60
    seed: int = 1
    models: tuple[str, ...] = ("home-50",)
    sites: tuple[str, ...] = ("nairobi",)
    rates: dict[str, float] = field(default_factory=dict)

    @property
    def groups(self) -> int:
        """How many combinations of model and site there are."""
        return len(self.models) * len(self.sites)

    def model_and_site(self, unit: int) -> tuple[str, str]:
        """Of a unit."""
        group = unit % self.groups
        return self.models[group % len(self.models)], self.sites[group // len(self.models)]

    def chunks(self) -> list[npt.NDArray[np.int64]]:
        """The numbers of each chunk's units, all of one model and site."""
        most = max(1, min(MOST_TOGETHER, UNIT_DAYS // self.days) // LANES)
        found = []
        for group in range(self.groups):
            numbers = np.arange(group, self.units, self.groups)
            blocks = -(-len(numbers) // LANES)
            parts = np.array_split(np.arange(blocks), -(-blocks // most))  # so that no chunk is much less than another
            found += [numbers[LANES * part[0] : LANES * (part[-1] + 1)] for part in parts if len(part)]
        return found


class Chunk:
    """Runs it, day by day."""

    def __init__(self, plan: Plan, units: npt.NDArray[np.int64]) -> None:
        self._plan = plan
        self._units = units
        model, self._site = plan.model_and_site(int(units[0]))
        self._kit: Kit = kit(model)
        self._fleet = Fleet(self._kit, len(units), step_s=plan.step_s, threads=1)
        self._homes = Homes(self._kit.home, units, plan.seed)
        self._customers = Customers(plan.seed, units)
        self._deeds: dict[int, list[tuple[int, faults.Deed]]] = defaultdict(list)
        for place, unit in enumerate(units.tolist()):
            for deed in faults.plan(plan.seed, unit, self._kit, plan.days, plan.rates):
                self._deeds[deed.at_s // DAY_S].append((place, deed))
        self._active: list[dict[str, float]] = [{} for _ in units]
        self._open: dict[tuple[int, int], tuple[int, int, int, float]] = {}
        self._health = np.ones(len(units))
        self.payers = self._customers.payers
        self._rows: dict[str, dict[str, list[Any]]] = {
            name: {column: [] for column in COLUMNS[name]} for name in TABLES
        }

    def run(self) -> dict[str, bytes]:
        """All days; the tables as Parquet, by name."""
        plan = self._plan
        for first in range(0, plan.days, WEATHER_DAYS):
            count = min(WEATHER_DAYS, plan.days - first)
            weather = at_site(self._site, count, plan.step_s, plan.seed, skip_days=first)
            moments = sky(weather.irradiance, weather.ambient, weather.log_irradiance)
            for day in range(count):
                steps = self._fleet.steps
                self._day(first + day, moments[day * steps : (day + 1) * steps])
        for (unit, code), (raised_s, value, threshold, clamp_j) in sorted(self._open.items()):
            self._alert(unit, code, raised_s, None, value, threshold, clamp_j)
        days = {name: np.stack(parts, axis=1).ravel() for name, parts in self._rows["days"].items()}  # unit by unit
        return {name: parquet(name, days if name == "days" else self._rows[name]) for name in TABLES}

    def _day(self, day: int, moments: npt.NDArray[Any]) -> None:
        start = day * DAY_S
        rows: list[tuple[int, int, int, float]] = []
        for place, deed in sorted(self._deeds.pop(day, ()), key=lambda each: (each[0], each[1].at_s)):
            rows.append((self._step(deed.at_s - start), place, DEEDS[deed.deed], deed.value))
            self._note_fault(place, deed)
        for place, typed in self._customers.entries_of(day):
            for entry in typed:
                self._add("tokens", place, at_s=entry.at_s, kind=entry.kind, reason=entry.reason, days=entry.days,
                          verdict=entry.verdict)  # fmt: skip
            last = min(typed[-1].at_s, start + DAY_S - 1)
            credit_s = float(self._customers.credit_s(place, last))
            rows.append((self._step(last - start), place, DEEDS["set-credit"], credit_s))
        wanted, most = self._homes.day(day)
        notes = self._fleet.day(moments, wanted, most, np.array(rows, EVENT) if rows else None)
        for note in notes.tolist():
            self._note(start, note)
        used = self._customers.use(self._fleet.get("active_s"))
        columns, self._health = day_of(self._fleet, self._kit, self._health, used)
        columns |= {"unit": self._units, "day": np.full_like(self._units, day)}
        for name, parts in self._rows["days"].items():
            parts.append(columns[name])

    def _add(self, table: str, place: int, **values: Any) -> None:
        """One row of a unit."""
        for name, column in self._rows[table].items():
            column.append(int(self._units[place]) if name == "unit" else values[name])

    def _step(self, second: int) -> int:
        return second // self._plan.step_s

    def _note_fault(self, place: int, deed: faults.Deed) -> None:
        if deed.value == 0 or (deed.deed in ("panels", "soiling") and deed.value == 1):
            self._active[place].pop(deed.deed, None)
        else:
            self._active[place][deed.deed] = deed.value

    def _note(self, start: int, note: tuple[Any, ...]) -> None:
        """An alert that came or went, or a unit that broke."""
        step, place, changed, alerts, broken, battery_mv, peak_mv, panel_mv, load_ma, battery_dc, clamp_ws = note
        at_s = start + step * self._plan.step_s
        code = 0
        while changed >> code and code < len(CODES):
            if changed >> code & 1:
                if alerts >> code & 1:
                    value, threshold = measured(
                        self._fleet.limits, code, battery_mv, peak_mv, panel_mv, load_ma, battery_dc
                    )
                    self._open[place, code] = (at_s, value, threshold, 0.0)
                elif (place, code) in self._open:
                    raised_s, value, threshold, _ = self._open.pop((place, code))
                    self._alert(place, code, raised_s, at_s, value, threshold, clamp_ws)
            code += 1
        for bit, part in PARTS.items():
            if changed >> lib.FLEET_BROKEN_SHIFT & bit and broken & bit:
                self._add("failures", place, at_s=at_s, part=part, cause=faults.cause(self._active[place], part))
                deed = faults.Deed(at_s + REPLACED_AFTER_S, "board-new", 0.0)
                self._deeds[deed.at_s // DAY_S].insert(0, (place, deed))
                self._active[place].pop("stuck-on", None)

    def _alert(
        self, place: int, code: int, raised_s: int, cleared_s: int | None, value: int, threshold: int, clamp_j: float
    ) -> None:
        self._add("alerts", place, code=CODES[code], raised_s=raised_s, cleared_s=cleared_s, value=value,
                  threshold=threshold, clamp_j=clamp_j)  # fmt: skip


def run_chunk(plan: Plan, number: int) -> tuple[dict[str, bytes], list[str]]:
    """The tables of a chunk as Parquet, and how each of its units' customers pays."""
    chunk = Chunk(plan, plan.chunks()[number])
    return chunk.run(), chunk.payers


def measured(
    limits: tuple[Any, Any], code: int, battery_mv: int, peak_mv: int, panel_mv: int, load_ma: int, battery_dc: int
) -> tuple[int, int]:
    """What was measured as an alert rose, and its threshold: mV, mA or 0.1 °C. limits: of the fleet."""
    battery, board = limits
    return {
        0: (battery_mv, battery.overvoltage.trip),
        1: (battery_mv, battery.undervoltage.trip),
        4: (panel_mv, board.panel.trip),
        5: (peak_mv, board.output.trip),
        6: (peak_mv, battery.lost.trip),
        7: (load_ma, board.current.trip),
        8: (load_ma, board.shorted.trip),
        9: (battery_dc, battery.hot_dc),
        10: (battery_dc, battery.charge_min_dc),
    }.get(code, (battery_mv, 0))


def aged(kit: Kit, health: npt.NDArray[np.float64], sums: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """The health of each battery after a day: throughput over what the cycles of this depth allow, and a calendar whose
    life halves every 10 degrees."""
    battery = kit.battery
    lithium = battery.chemistry == "lfp"
    depth = np.clip((sums["most_charge"] - sums["least_charge"]) / FULL, 0.02, 1.0)
    cycles = battery.cycles * depth ** (-1.0 if lithium else -1.65)
    years = (20.0 if lithium else 8.0) * 2 ** ((20 - sums["most_battery_c"]) / 10)
    lost = 0.2 * (sums["battery_out_as"] / (cycles * battery.capacity_ah * 3600) + 1 / (365 * years))
    left: npt.NDArray[np.float64] = np.clip(health - lost, 0.2, 1.0)
    return left


def day_of(
    fleet: Fleet, kit: Kit, health: npt.NDArray[np.float64], used: Mapping[str, npt.NDArray[np.float64]]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.float64]]:
    """Ends a day of a fleet: the columns of its day, but for unit and day, and the batteries' health from now on.

    used: s of active time by where it came from.
    """
    sums = fleet.take()
    health = aged(kit, health, sums)
    fleet.put("per_capacity", 1 / (kit.battery.capacity_ah * 3600 * health))
    columns = {f"{name}_wh": sums[f"{name}_ws"] / 3600 for name in ("panel", "load", "unserved")}
    columns |= {f"{name}_h": sums[f"{name}_s"] / 3600 for name in ("light", "on", "low")}
    columns |= {f"{name}_h": used[name] / 3600 for name in SOURCES}
    columns |= {"charge_min": sums["least_charge"] / FULL, "charge_max": sums["most_charge"] / FULL}
    columns |= {"charge_end": fleet.get("charge") / FULL, "battery_max_c": sums["most_battery_c"], "health": health}
    columns |= {"battery_min_mv": sums["least_volts"] * 1000, "battery_max_mv": sums["most_volts"] * 1000}
    kinds = {name: np.int32 if kind == "int32" else np.float32 for name, kind in COLUMNS["days"].items()}
    return {name: column.astype(kinds[name]) for name, column in columns.items()}, health
