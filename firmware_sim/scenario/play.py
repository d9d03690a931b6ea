"""Plays a scenario: steps its units through their days, does what is done to them, and keeps what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_sim._fleet import lib
from firmware_sim.fleet import faults
from firmware_sim.fleet.chunk import CODES, PARTS, day_of, measured
from firmware_sim.fleet.engine import ALWAYS, DAY_S, FULL, Fleet, sky
from firmware_sim.fleet.payments import SOURCES, Customer, Entry
from firmware_sim.plant.loads import Homes
from firmware_sim.plant.sites import SITES
from firmware_sim.plant.weather import Weather, midnight, synthetic
from firmware_sim.plant.weather_csv import from_csv
from firmware_sim.scenario.reading import Event, Group, Scenario
from firmware_sim.scenario.tables import moment
from paygo_core.errors import PaygoError

SLOT_S = 900
MOST_TRACED = 6
"""Units of which a course over time is kept."""
MOST_POINTS = 10_000
"""Of each."""
MOST_HAPPENINGS = 200_000
TRACES = ("battery_v", "charge", "panel_w", "load_w", "output")
UNITS_OF = {
    "OVERCURRENT": ("A", 1000), "SHORT_CIRCUIT": ("A", 1000), "OVERTEMPERATURE": ("°C", 10),
    "UNDERTEMPERATURE": ("°C", 10),
}  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """A line of the story. unit: its number, -1 for all. kind: token, event, alert, cleared, broken or output."""

    at_s: int
    unit: int
    kind: str
    text: str


@dataclass(frozen=True)
class AlertTime:
    """An alert from when it was raised to when it cleared, None: open at the end."""

    unit: int
    code: str
    raised_s: int
    cleared_s: int | None
    value: int
    threshold: int
    clamp_j: float


@dataclass(frozen=True)
class Failure:
    """A unit that broke."""

    unit: int
    at_s: int
    part: str
    cause: str


@dataclass
class Outcome:
    """What came of a scenario.

    days: by column of days-*.parquet, arrays of shape (days, units). moments: by unit and s, what was asked of it then.
    traces: by unit, and then by TRACES, with the times `trace_s`. tokens: with the unit.
    """

    scenario: Scenario
    start: date
    happenings: list[Happening] = field(default_factory=list)
    alerts: list[AlertTime] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tokens: list[tuple[int, Entry]] = field(default_factory=list)
    payers: list[str] = field(default_factory=list)
    days: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    moments: dict[tuple[int, int], dict[str, float]] = field(default_factory=dict)
    trace_s: list[int] = field(default_factory=list)
    traces: dict[int, dict[str, list[float]]] = field(default_factory=dict)


class Pace:
    """Holds a scenario back to `speed` times its own clock: it waits for moments, so that no delay adds up.

    clock, wait: of whoever waits, in seconds.
    """

    def __init__(
        self,
        speed: float,
        clock: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self._speed, self._clock, self._wait = speed, clock, wait
        self._start = clock()

    def until(self, at_s: float) -> None:
        """Returns when it is so late in the scenario."""
        while (left := self._start + at_s / self._speed - self._clock()) > 0:
            self._wait(left)


def play(
    scenario: Scenario,
    tell: Callable[[Happening], None] | None = None,
    pace: Pace | None = None,
) -> Outcome:
    """Plays it to its end. tell: is told what happens as it does. Raises PaygoError."""
    return _Player(scenario, tell, pace).run()


def weather_of(scenario: Scenario) -> Weather:
    """Its weather, changed by its events. Raises PaygoError."""
    wanted = scenario.sky
    days, step_s = scenario.days, scenario.step_s
    if wanted.csv is not None:
        found = from_csv(wanted.csv, step_s)
        if found.days < days:
            raise PaygoError(
                f"{wanted.csv} has {found.days} whole days, and {scenario.file} lasts {days}",
                "give more rows, or fewer days",
            )
    elif wanted.site:
        place = SITES[wanted.site]
        found = synthetic(
            days, step_s, place.latitude, scenario.seed, longitude=place.longitude, climate=place.climate,
            cloudiness=place.cloudiness if wanted.cloudiness is None else wanted.cloudiness,
            first_day=wanted.first_day,
        )  # fmt: skip
    else:
        flat = np.full(days * DAY_S // step_s, wanted.irradiance, np.float32)
        found = Weather(midnight(wanted.first_day, 0.0), step_s, flat, np.full_like(flat, 25.0))
    steps = days * DAY_S // step_s
    light, ambient = found.irradiance[:steps].copy(), found.ambient[:steps].copy()
    if wanted.ambient is not None:
        ambient[:] = wanted.ambient
    for event in scenario.events:
        if event.what == "weather":
            span = slice(event.at_s // step_s, (event.at_s + event.for_s) // step_s)
            if event.light is not None:
                light[span] *= np.float32(event.light)
            if event.ambient is not None:
                ambient[span] = event.ambient
    return Weather(found.start, step_s, light, ambient)


class _Units:
    """A group's units in the engine, and what the player reads of it at every step."""

    def __init__(self, scenario: Scenario, group: Group, ambient: float) -> None:
        self.group = group
        self.fleet = Fleet(
            group.kit, group.count, charge=group.charge, ambient=ambient, step_s=scenario.step_s, threads=1
        )
        self.homes = Homes(group.kit.home, np.arange(group.first, group.first + group.count), scenario.seed)
        self.changed = self.fleet.lanes("changed")
        self.output = self.fleet.lanes("law.output")
        self.was_on = self.output.copy()
        self.health = np.ones(group.count)
        self.wanted = self.peaks = np.zeros((group.count, 96), np.float32)


class _Player:
    def __init__(self, scenario: Scenario, tell: Callable[[Happening], None] | None, pace: Pace | None) -> None:
        from firmware_sim.scenario.holder import Holder

        self._scenario, self._tell, self._pace = scenario, tell, pace
        self._step_s = scenario.step_s
        weather = weather_of(scenario)
        self._sky = sky(weather.irradiance, weather.ambient, weather.log_irradiance)
        self._groups = [_Units(scenario, group, float(weather.ambient[0])) for group in scenario.groups]
        self._of = [units for units in self._groups for _ in range(units.group.count)]
        self._people: list[Holder | Customer] = [
            Customer(scenario.seed, unit) if units.group.drawn_payments else Holder(scenario.seed, unit)
            for unit, units in enumerate(self._of)
        ]
        self._settled: list[tuple[float, dict[str, float]]] = [(0.0, {}) for _ in self._of]
        self._active: list[dict[str, float]] = [{} for _ in self._of]
        self._open: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._events: Iterator[tuple[int, list[Event]]]
        self.outcome = Outcome(scenario, scenario.sky.first_day)
        if scenario.sky.csv is not None:
            self.outcome.start = weather.start.date()
        self.outcome.payers = [person.payer if isinstance(person, Customer) else "scripted" for person in self._people]
        self._asked: dict[int, set[int]] = defaultdict(set)
        for each in scenario.expectations:
            if each.at_s is not None:
                self._asked[each.at_s // self._step_s].update(each.units)
        self._traced = self._interesting()
        self._trace_every = SLOT_S * max(1, -(-scenario.days * 96 // MOST_POINTS))
        self._before: dict[int, tuple[float, float]] = {}
        self._columns: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)

    def _interesting(self) -> list[int]:
        """Units whose course is kept: those that the file speaks of, and then the first."""
        scenario = self._scenario
        named = [each.units for each in scenario.events] + [each.units for each in scenario.expectations]
        small = [units for units in named if len(units) <= MOST_TRACED]
        firsts = [units.group.first for units in self._groups]
        order = dict.fromkeys((*chain.from_iterable(small), *firsts, *range(scenario.units)))
        return list(order)[:MOST_TRACED]

    def run(self) -> Outcome:
        outcome = self.outcome
        outcome.traces = {unit: {name: [] for name in TRACES} for unit in self._traced}
        waiting = self._drawn()
        waiting.update(self._scripted())
        for day in range(self._scenario.days):
            self._begin_day(day, waiting)
            steps = DAY_S // self._step_s
            for step in range(day * steps, (day + 1) * steps):
                for event in waiting.pop(step, ()):
                    self._do(event)
                self._step(step)
            self._end_day()
        for (unit, code), (raised_s, value, threshold) in sorted(self._open.items()):
            outcome.alerts.append(AlertTime(unit, CODES[code], raised_s, None, value, threshold, 0.0))
        outcome.alerts.sort(key=lambda alert: (alert.raised_s, alert.unit, alert.code))
        outcome.days = {name: np.stack(rows) for name, rows in self._columns.items()}
        return outcome

    def _scripted(self) -> dict[int, list[Event]]:
        found: dict[int, list[Event]] = defaultdict(list)
        for event in self._scenario.events:
            found[event.at_s // self._step_s].append(event)
        return found

    def _drawn(self) -> dict[int, list[Event]]:
        """Faults by chance."""
        found: dict[int, list[Event]] = defaultdict(list)
        for unit, units in enumerate(self._of):
            rates = units.group.rates
            for deed in faults.plan(self._scenario.seed, unit, units.group.kit, self._scenario.days, rates):
                if deed.at_s < self._scenario.days * DAY_S:
                    event = Event(deed.at_s, (unit,), "deed", deed.deed, deed.deed, deed.value)
                    found[deed.at_s // self._step_s].append(event)
        return found

    def _begin_day(self, day: int, waiting: dict[int, list[Event]]) -> None:
        for units in self._groups:
            units.wanted, units.peaks = units.homes.day(day)
        for unit, person in enumerate(self._people):
            if isinstance(person, Customer) and (typed := person.entries_of(day)):
                for entry in typed:
                    at_s = min(entry.at_s, (day + 1) * DAY_S - 1)
                    event = Event(at_s, (unit,), "drawn", entry.kind, days=int(entry.days), reason=entry.verdict)
                    waiting.setdefault(at_s // self._step_s, []).append(event)
                    self.outcome.tokens.append((unit, entry))
                last = min(typed[-1].at_s, (day + 1) * DAY_S - 1)
                credit = Event(last, (unit,), "credit", value=float(person.credit_s(last)))
                waiting.setdefault(last // self._step_s, []).append(credit)

    def _say(self, at_s: int, unit: int, kind: str, text: str) -> None:
        happening = Happening(at_s, unit, kind, text)
        if len(self.outcome.happenings) >= MOST_HAPPENINGS:
            raise PaygoError(
                f"more than {MOST_HAPPENINGS} things happened by {moment(at_s)}", "look for what flaps, or take fewer"
            )
        self.outcome.happenings.append(happening)
        if self._tell is not None:
            self._tell(happening)

    def _do(self, event: Event) -> None:
        if event.what == "weather":
            parts = [f"light {event.light:.0%}" if event.light is not None else ""]
            parts.append(f"{event.ambient:g} °C" if event.ambient is not None else "")
            hours = f"for {event.for_s / 3600:g} h" if event.at_s + event.for_s < self._scenario.days * DAY_S else ""
            self._say(event.at_s, -1, "event", " ".join(("weather:", *filter(None, (*parts, hours)))))
        for unit in event.units:
            if event.what == "credit":
                self._credit(unit, int(event.value))
            elif event.what == "drawn":
                self._say_entry(unit, Entry(event.at_s, event.name, "", float(event.days), event.reason))
            elif event.what == "deed":
                self._deed(unit, event)
            else:
                self._enter(unit, event)

    def _credit(self, unit: int, seconds: int) -> None:
        units = self._of[unit]
        units.fleet.do(unit - units.group.first, "set-credit", seconds)

    def _deed(self, unit: int, event: Event) -> None:
        units, person = self._of[unit], self._people[unit]
        units.fleet.do(unit - units.group.first, event.deed, event.value)
        ended = event.value == 0 or (event.deed in ("panels", "soiling") and event.value == 1)
        if ended and event.deed not in ("board-new", "battery-new", "restart"):
            self._active[unit].pop(event.deed, None)
            text = f"{event.name} ends"
        else:
            text = event.name if event.value in (0, 1) else f"{event.name} {event.value:g}"
            self._active[unit][event.deed] = event.value
        if event.deed in ("board-new", "battery-new", "restart"):
            self._active[unit].pop(event.deed)
        if event.deed == "restart" and not isinstance(person, Customer):
            person.restart(event.at_s)
            self._credit(unit, person.credit_s(event.at_s))
        self._say(event.at_s, unit, "event", text)

    def _enter(self, unit: int, event: Event) -> None:
        person = self._people[unit]
        assert not isinstance(person, Customer), "the reader lets no token through for them"
        self._settle(unit)  # a set-time token voids what was granted before, not what was used of it
        try:
            entry = person.act(event, event.at_s)
        except PaygoError as error:
            what = f"{self._scenario.file}: {self._scenario.labels[unit]} at {moment(event.at_s)}"
            raise PaygoError(f"{what}: {error.cause}", error.hint) from None
        if entry is None:
            self._say(event.at_s, unit, "token", f"{event.what} token issued, held back as {event.slip!r}")
            return
        self.outcome.tokens.append((unit, entry))
        self._say_entry(unit, entry)
        self._credit(unit, person.credit_s(event.at_s))

    def _settle(self, unit: int) -> dict[str, float]:
        """Where the active time of this day came from so far, in s."""
        active_s = self._value(unit, "active_s")
        before_s, sources = self._settled[unit]
        if active_s > before_s:
            for source, used in self._people[unit].use(active_s - before_s).items():
                sources[source] = sources.get(source, 0.0) + used
            self._settled[unit] = (active_s, sources)
        return sources

    def _say_entry(self, unit: int, entry: Entry) -> None:
        days = f" {entry.days:g} days" if entry.days else ""
        self._say(entry.at_s, unit, "token", f"token {entry.kind}{days}: {entry.verdict}")

    def _step(self, step: int) -> None:
        begun_s, at_s = step * self._step_s, (step + 1) * self._step_s
        for units in self._groups:
            fleet = units.fleet
            if begun_s % SLOT_S == 0:
                slot = begun_s % DAY_S // SLOT_S
                fleet.put("demand_w", units.wanted[:, slot])
                fleet.put("peak_w", units.peaks[:, slot])
            fleet.step(self._sky[step : step + 1])
            if units.changed.any():
                for place in np.flatnonzero(units.changed.ravel()[: units.group.count]).tolist():
                    self._changed(units, place, at_s)
            if (units.output != units.was_on).any():
                flips = np.flatnonzero((units.output != units.was_on).ravel()[: units.group.count])
                for place in flips.tolist():
                    state = "on" if units.output.ravel()[place] else "off"
                    self._say(at_s, units.group.first + place, "output", f"output {state}")
                units.was_on[:] = units.output
        for unit in sorted(self._asked.get(step, ())):
            self.outcome.moments[unit, step] = self._moment(unit)
        if at_s % self._trace_every == 0:
            self._trace(at_s)
        if self._pace is not None:
            self._pace.until(at_s)

    def _value(self, unit: int, name: str) -> float:
        units = self._of[unit]
        return float(units.fleet.lanes(name).flat[unit - units.group.first])

    def _moment(self, unit: int) -> dict[str, float]:
        credit = self._value(unit, "credit_s")
        return {
            "charge": self._value(unit, "charge") / FULL,
            "battery_v": self._value(unit, "volts"),
            "battery_c": self._value(unit, "battery_c"),
            "credit_d": float("inf") if credit >= ALWAYS else credit / DAY_S,
            "output": float(self._is_on(unit)),
        }

    def _is_on(self, unit: int) -> bool:
        return self._value(unit, "law.output") != 0 and self._value(unit, "broken") == 0

    def _trace(self, at_s: int) -> None:
        self.outcome.trace_s.append(at_s)
        for unit in self._traced:
            trace = self.outcome.traces[unit]
            sums = self._value(unit, "panel_ws"), self._value(unit, "load_ws")
            before = self._before.get(unit, (0.0, 0.0))
            trace["battery_v"].append(self._value(unit, "volts"))
            trace["charge"].append(self._value(unit, "charge") / FULL)
            for name, now, then in zip(("panel_w", "load_w"), sums, before, strict=True):
                trace[name].append((now - then) / min(self._trace_every, at_s))
            trace["output"].append(float(self._is_on(unit)))
            self._before[unit] = sums

    def _changed(self, units: _Units, place: int, at_s: int) -> None:
        unit, fleet = units.group.first + place, units.fleet

        def read(name: str) -> int:
            return int(fleet.lanes(name).flat[place])

        changed, alerts, broken = read("changed"), read("law.alerts"), read("broken")
        for code in range(len(CODES)):
            if not changed >> code & 1:
                continue
            if alerts >> code & 1:
                warmth = round(self._value(unit, "battery_c") * 10)
                value, threshold = measured(
                    fleet.limits, code, read("read_mv"), read("read_peak_mv"), read("read_panel_mv"),
                    read("read_load_ma"), warmth,
                )  # fmt: skip
                self._open[unit, code] = (at_s, value, threshold)
                ink, scale = UNITS_OF.get(CODES[code], ("V", 1000))
                limit = f", threshold {threshold / scale:g}" if threshold else ""
                self._say(at_s, unit, "alert", f"alert {CODES[code]}: {value / scale:g} {ink}{limit}")
            elif (unit, code) in self._open:
                raised_s, value, threshold = self._open.pop((unit, code))
                clamp_j = self._value(unit, "clamp_ws") if "OVERVOLTAGE" in CODES[code] else 0.0
                self.outcome.alerts.append(AlertTime(unit, CODES[code], raised_s, at_s, value, threshold, clamp_j))
                self._say(at_s, unit, "cleared", f"alert {CODES[code]} cleared after {_duration(at_s - raised_s)}")
        for bit, part in PARTS.items():
            if changed >> lib.FLEET_BROKEN_SHIFT & bit and broken & bit:
                cause = faults.cause(self._active[unit], part)
                self.outcome.failures.append(Failure(unit, at_s, part, cause))
                self._say(at_s, unit, "broken", f"the unit breaks: {part}, of {cause}")

    def _end_day(self) -> None:
        """The day's row of each unit."""
        parts: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
        for units in self._groups:
            numbers = range(units.group.first, units.group.first + units.group.count)
            settled = [self._settle(unit) for unit in numbers]
            used = {source: np.array([each.get(source, 0.0) for each in settled]) for source in SOURCES}
            columns, units.health = day_of(units.fleet, units.group.kit, units.health, used)
            for name, column in columns.items():
                parts[name].append(column)
        for name, columns_of in parts.items():
            self._columns[name].append(np.concatenate(columns_of))
        self._before.clear()
        self._settled = [(0.0, {}) for _ in self._of]


def _duration(seconds: int) -> str:
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
