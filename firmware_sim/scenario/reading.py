"""A scenario's file read: what there is, what happens to it, and what is expected of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

from firmware_sim.fleet.chunk import CODES, PARTS
from firmware_sim.fleet.engine import DEEDS
from firmware_sim.fleet.faults import KINDS
from firmware_sim.fleet.parameters import native
from firmware_sim.plant.battery_sheets import BATTERIES, CAPACITY_AH
from firmware_sim.plant.catalogue import KITS, PANELS, Kit
from firmware_sim.plant.loads import APPLIANCES, household
from firmware_sim.plant.sites import SITES
from firmware_sim.scenario.tables import DAY_S, MOST_DAYS, Source, Table
from paygo_core.errors import PaygoError, brief
from paygo_core.toml import loads

MOST_BYTES = 1 << 20
MOST_UNITS, MOST_GROUPS, MOST_EVENTS, MOST_EXPECTATIONS = 10_000, 32, 10_000, 1000
MOST_UNIT_DAYS = 200_000
MOST_ACTS = 200_000
"""Things that are done to one unit, or asked of one."""
MOST_STEPS = 20_000_000
"""Of all groups together."""
LARGEST_SEED = 2**63 - 1

TOKENS = ("add", "set", "unlock", "lock", "sync", "mistyped", "again", "slip")
REASONS = ("payment", "bonus", "manual", "test")
VERDICTS = ("accepted", "already used", "invalid", "waiting")
CREDIT_DEEDS = ("add-credit", "set-credit")
DEED_VALUES = {
    "battery-gone": (0, 1), "stuck-on": (0, 1), "panels": (1, 2), "short": (0, 200), "contact": (0, 10),
    "surge": (0, 5000), "offset": (-20_000, 20_000), "frozen": (0, 60_000), "imbalance": (0, 3), "soiling": (0, 1),
    "battery-new": (0, 1), "board-new": (0, 1), "restart": (0, 1),
}  # fmt: skip
REST = {"panels": 1.0, "soiling": 1.0}
"""What ends a deed; 0 where nothing stands here."""
AT_A_MOMENT = {
    "charge": "of the battery, 0 to 1", "battery_v": "V", "battery_c": "°C", "credit_d": "days of credit",
}  # fmt: skip
OVER_DAYS = (
    "panel_wh", "load_wh", "unserved_wh", "light_h", "on_h", "low_h", "payment_h", "bonus_h", "manual_h", "enable_h",
    "charge_min", "charge_max", "battery_min_mv", "battery_max_mv", "battery_max_c",
)  # fmt: skip
Across = Literal["each", "mean", "sum"]


@dataclass(frozen=True)
class Group:
    """Units of one kit. first: the number of the first. rates: of faults by chance, a year."""

    name: str
    first: int
    count: int
    kit: Kit
    charge: float
    drawn_payments: bool
    rates: dict[str, float]

    def label(self, unit: int) -> str:
        """A unit's name."""
        return self.name if self.count == 1 else f"{self.name}-{unit - self.first}"


@dataclass(frozen=True)
class Sky:
    """Weather: one of site, csv, irradiance. cloudiness: None for the site's own; 0 for a clear sky."""

    site: str = ""
    cloudiness: float | None = None
    first_day: date = date(2026, 1, 1)
    csv: Path | None = None
    irradiance: float = 0.0
    ambient: float | None = None


@dataclass(frozen=True)
class Event:
    """Something that is done. what: a token of TOKENS, "deed", or "weather".

    name: of the fault, or of the deed. deed, value: what the engine is told. issued: a token is issued for the slip,
    and not typed. light, ambient: of weather, a share and °C, for `for_s`.
    """

    at_s: int
    units: tuple[int, ...]
    what: str
    name: str = ""
    deed: str = ""
    value: float = 0.0
    days: int = 0
    reason: str = ""
    skip: int = 0
    slip: str = ""
    issued: bool = False
    light: float | None = None
    ambient: float | None = None
    for_s: int = 0


@dataclass(frozen=True)
class Expectation:
    """What shall be so. kind: alert, output, measure, broken, verdict. subject: how the units are called.

    name: the alert's code, the measure, the part or the verdict. least, most: bounds of what is counted or measured.
    at_s: the moment; None: over `days`. cleared: when; False: not at all; None: whenever.
    """

    kind: str
    subject: str
    units: tuple[int, ...]
    name: str = ""
    least: float = float("-inf")
    most: float = float("inf")
    window: tuple[int, int] | None = None
    cleared: tuple[int, int] | bool | None = None
    at_s: int | None = None
    days: tuple[int, int] = (0, 0)
    across: Across = "each"
    token: str = ""
    wanted: bool = True


@dataclass(frozen=True)
class Scenario:
    """All of a file. Raises nothing: `read` has checked it."""

    file: str
    title: str
    about: str
    days: int
    step_s: int
    seed: int
    sky: Sky
    groups: tuple[Group, ...]
    events: tuple[Event, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    labels: tuple[str, ...] = field(default=(), repr=False)

    @property
    def units(self) -> int:
        """How many."""
        return len(self.labels)


def shipped() -> dict[str, str]:
    """The texts of the scenarios that come with this package, by name."""
    room = files("firmware_sim.scenario").joinpath("shipped")
    found = (each for each in room.iterdir() if each.name.endswith(".toml"))
    return {each.name.removesuffix(".toml"): each.read_text("utf-8") for each in sorted(found, key=lambda it: it.name)}


def open_scenario(name: str) -> Scenario:
    """A file, or a shipped scenario by its name. Raises PaygoError."""
    path = Path(name)
    if not path.exists():
        texts = shipped()
        if name in texts:
            return read(texts[name], name, Path())
        raise PaygoError(
            f"{name[:200]!r} is no file and no scenario that comes with paygo",
            f"name a TOML file, or one of {', '.join(texts)}",
        )
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise PaygoError(f"{name}: {error.strerror}", "name a scenario's TOML file") from None
    if len(content) > MOST_BYTES:
        raise PaygoError(f"{name} is larger than a scenario", f"a scenario has up to {MOST_BYTES >> 20} MB")
    try:
        return read(content.decode("utf-8-sig"), name, path.parent)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PaygoError(f"{name}, line {line}: this is not UTF-8", "save the file as UTF-8") from None


def read(text: str, file: str, directory: Path) -> Scenario:
    """A scenario from its text. directory: where its CSV lies. Raises PaygoError that names file and line."""
    try:
        values = loads(text)
    except RecursionError:
        raise PaygoError(f"{file}: it is nested too deeply", "a scenario has tables, and values in them") from None
    except ValueError as error:
        said = re.sub(r"\(at line (\d+), column (\d+)\)", r"at line \1, column \2", str(error))[:200]
        raise PaygoError(f"{file} is no TOML: {said}", "https://toml.io tells how TOML is written") from None
    return _Reader(Source(file, text), values, file, directory).scenario


class _Reader:
    def __init__(self, source: Source, values: dict[str, object], file: str, directory: Path) -> None:
        self._source, self._directory = source, directory
        top = Table(source, values)
        title = top.text("title")
        about = top.text("about", "", 2000)
        self._days = top.whole("days", 1, MOST_DAYS)
        step_s = top.whole("step", 1, 60, 60)
        if 900 % step_s:
            raise top.wrong("step", f"step is {step_s}", "it is a divisor of 900 s, from 1 to 60")
        seed = top.whole("seed", 0, LARGEST_SEED, 1)
        self._end_s = self._days * DAY_S
        sky = self._sky(Table(source, top.raw("weather") or {}, "weather"))
        self._groups: list[Group] = []
        self._names: dict[str, tuple[int, ...]] = {}
        self._labels: list[str] = []
        for table in self._tables(top, "units", MOST_GROUPS):
            self._group(table)
        if not self._groups:
            raise top.wrong("", "there are no units", "describe them under [[units]]")
        if len(self._labels) * self._days > MOST_UNIT_DAYS:
            what = f"{len(self._labels)} units for {self._days} days"
            raise top.wrong("days", f"{what} are too much", f"units times days are up to {MOST_UNIT_DAYS}")
        if len(self._groups) * self._end_s // step_s > MOST_STEPS:
            raise top.wrong("step", "these are too many steps", "take a longer step, or fewer days")
        self._acts = 0
        self._slips: dict[tuple[int, str], int] = {}
        events = [event for table in self._tables(top, "events", MOST_EVENTS) for event in self._events(table)]
        if len(events) > MOST_EVENTS:
            raise top.wrong("events", f"there are {len(events)} events", f"with repetitions it is up to {MOST_EVENTS}")
        expected = [self._expectation(table) for table in self._tables(top, "expect", MOST_EXPECTATIONS)]
        top.done()
        self.scenario = Scenario(
            file, title, about, self._days, step_s, seed, sky, tuple(self._groups),
            tuple(sorted(events, key=lambda event: event.at_s)), tuple(expected), tuple(self._labels),
        )  # fmt: skip

    def _tables(self, top: Table, name: str, most: int) -> list[Table]:
        found = top.raw(name)
        found = [] if found is None else found
        if not isinstance(found, list):
            raise top.wrong(name, f"{name} is {brief(found)}", f"write each under its own [[{name}]]")
        if len(found) > most:
            raise top.wrong(name, f"there are {len(found)} of [[{name}]]", f"there are up to {most}")
        return [Table(self._source, each, name, number) for number, each in enumerate(found)]

    def _sky(self, table: Table) -> Sky:
        kind = table.one_of("the weather", "site", "csv", "irradiance")
        ambient = table.number("ambient", -40, 60) if table.has("ambient") else None
        if kind == "irradiance":
            sky = Sky(irradiance=table.number("irradiance", 0, 1600), ambient=25.0 if ambient is None else ambient)
        elif kind == "csv":
            sky = Sky(csv=self._directory / table.text("csv"), ambient=ambient)
        else:
            clouds = table.number("cloudiness", 0, 0.85) if table.has("cloudiness") else None
            if table.flag("clear", False):
                if clouds is not None:
                    raise table.wrong("clear", "a clear sky has no cloudiness", "leave one of the two out")
                clouds = 0.0
            site = table.choice("site", SITES)
            sky = Sky(site, clouds, self._first_day(table), ambient=ambient)
        table.done()
        return sky

    def _first_day(self, table: Table) -> date:
        value = table.raw("first_day")
        if value is None:
            return Sky.first_day
        if not isinstance(value, date) or isinstance(value, datetime) or not 1900 <= value.year <= 2200:
            raise table.wrong("first_day", f"first_day is {brief(value)}", "it is a date such as 2026-07-01")
        return value

    def _group(self, table: Table) -> None:
        name = table.text("name", f"unit{len(self._groups)}" if len(self._groups) else "unit", 32)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 _]*", name) or name == "all":
            raise table.wrong("name", f"units cannot be called {name!r}", "a name is letters, digits and spaces")
        if name in self._names:
            raise table.wrong("name", f"there are units called {name!r} already", "each [[units]] has its own name")
        count = table.whole("count", 1, MOST_UNITS, 1)
        first = len(self._labels)
        if first + count > MOST_UNITS:
            raise table.wrong("count", f"these are {first + count} units", f"there are up to {MOST_UNITS}")
        made = self._kit(table)
        group = Group(
            name, first, count, made,
            charge=table.number("charge", 0, 1, 0.7),
            drawn_payments=table.choice("payments", ("scripted", "drawn"), "scripted") == "drawn",
            rates=self._rates(table),
        )  # fmt: skip
        table.done()
        self._groups.append(group)
        self._names[name] = tuple(range(first, first + count))
        for unit in range(first, first + count):
            self._labels.append(group.label(unit))
            self._names[group.label(unit)] = self._names[name] if count == 1 else (unit,)

    def _kit(self, table: Table) -> Kit:
        made = KITS[table.choice("model", KITS, "home-50")]
        if table.has("battery"):
            made = replace(made, battery=BATTERIES[table.choice("battery", BATTERIES)])
        if table.has("capacity_ah"):
            made = replace(made, battery=made.battery.sized(table.number("capacity_ah", *CAPACITY_AH)))
        if table.has("panel"):
            made = replace(made, panel=PANELS[table.choice("panel", PANELS)])
        if table.has("appliances"):
            wanted = table.raw("appliances")
            if not isinstance(wanted, list) or len(wanted) > 50 or any(each not in list(APPLIANCES) for each in wanted):
                hint = f"it is a list of up to 50 of {', '.join(APPLIANCES)}"
                raise table.wrong("appliances", "appliances is not a list of known appliances", hint)
            made = replace(made, home=household("scenario", *wanted))
        board = table.choice("board", ("legacy", "protected"), made.board)
        made = replace(made, board="legacy" if board == "legacy" else "protected", mppt=table.flag("mppt", made.mppt))
        try:
            native(made)
        except PaygoError as error:
            key = "board" if table.has("board") else "battery"
            raise table.wrong(key, error.cause, error.hint) from None
        return made

    def _rates(self, table: Table) -> dict[str, float]:
        given = table.raw("faults")
        rates = dict.fromkeys(KINDS, 0.0)
        if given is None:
            return rates
        if not isinstance(given, dict) or not set(given) <= set(KINDS):
            hint = f"write faults = {{ surge = 0.2 }} with times a year of {', '.join(KINDS)}"
            raise table.wrong("faults", "faults is not a table of known faults", hint)
        for fault, rate in given.items():
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1000:
                raise table.wrong("faults", f"{fault} is {brief(rate)}", "rates are 0 to 1000 times a year")
            rates[fault] = float(rate)
        return rates

    def _units(self, table: Table) -> tuple[str, tuple[int, ...]]:
        everyone = tuple(range(len(self._labels)))
        wanted = table.raw("unit")
        if wanted is None or wanted == "all":
            return (self._labels[0] if len(self._labels) == 1 else "all units"), everyone
        if isinstance(wanted, str) and wanted in self._names:
            return wanted, self._names[wanted]
        shown = repr(wanted) if isinstance(wanted, str) and len(wanted) <= 48 else brief(wanted)
        names = ", ".join(group.name for group in self._groups)
        raise table.wrong("unit", f"no unit is called {shown}", f"there are {names}; one of several is {names[:8]}-0")

    def _count_acts(self, table: Table, count: int) -> None:
        self._acts += count
        if self._acts > MOST_ACTS:
            cause = f"with this more than {MOST_ACTS} things are done to units or asked of them"
            raise table.wrong("", cause, "name fewer units, or take fewer events and repetitions")

    def _events(self, table: Table) -> list[Event]:
        kind = table.one_of("the event", "token", "issue", "fault", "deed", "restart", "weather")
        at_s = table.moment("at", self._end_s - 1)
        made = [self._weather(table, at_s)] if kind == "weather" else self._happen(table, kind, at_s)
        table.done()
        return made

    def _weather(self, table: Table, at_s: int) -> Event:
        values = Table(self._source, table.raw("weather"), "events", table.index)
        light = values.number("light", 0, 1) if values.has("light") else None
        ambient = values.number("ambient", -40, 60) if values.has("ambient") else None
        if light is None and ambient is None:
            hint = "write weather = { light = 0.3 } for a share of the light, or { ambient = -5 } for °C"
            raise table.wrong("weather", "the weather has neither light nor ambient", hint)
        values.done()
        for_s = self._for(table) or self._end_s
        return Event(at_s, (), "weather", light=light, ambient=ambient, for_s=for_s)

    def _for(self, table: Table) -> int:
        return table.seconds("for_h", 3600, 24 * MOST_DAYS, 0)

    def _happen(self, table: Table, kind: str, at_s: int) -> list[Event]:
        _, units = self._units(table)
        self._count_acts(table, len(units))
        if kind in ("token", "issue"):
            return self._tokens(table, kind, at_s, units)
        if kind == "restart":
            if not table.flag("restart", True):
                raise table.wrong("restart", "this restart does not happen", "write restart = true")
            return [Event(at_s, units, "deed", "restart", "restart")]
        if kind == "fault":
            name = table.choice("fault", KINDS)
            fault = KINDS[name]
            deed, rest, value = fault.deed, fault.rest, (fault.low + fault.high) / 2
            lithium = [group.kit.battery.chemistry == "lfp" for group in self._groups_of(units)]
            if fault.lithium is not None and fault.lithium not in lithium:
                raise table.wrong("fault", f"{name} cannot happen to these units", "it needs a lithium battery")
        else:
            name = deed = table.choice("deed", [each for each in DEEDS if each in DEED_VALUES])
            rest, value = REST.get(deed, 0.0), 1.0
        low, high = DEED_VALUES[deed]
        if kind == "deed" or table.has("value"):
            value = table.number("value", low, high, value if deed in ("board-new", "restart") else None)
        events = [Event(at_s, units, "deed", name, deed, value)]
        for_s = self._for(table)
        if for_s and at_s + for_s < self._end_s:
            events.append(Event(at_s + for_s, units, "deed", name, deed, rest))
        return events

    def _groups_of(self, units: tuple[int, ...]) -> list[Group]:
        chosen = set(units)
        return [group for group in self._groups if chosen & set(self._names[group.name])]

    def _tokens(self, table: Table, kind: str, at_s: int, units: tuple[int, ...]) -> list[Event]:
        for group in self._groups_of(units):
            if group.drawn_payments:
                cause = f"what the customers of {group.name} type is drawn"
                raise table.wrong(kind, cause, 'leave payments = "drawn" out there, or the token here')
        issued = kind == "issue"
        what = table.choice(kind, TOKENS[:5] if issued else TOKENS)
        days = table.whole("days", 1, 995) if what in ("add", "set") else 0
        slip = table.text("slip", most=32) if issued or what == "slip" else ""
        reason = table.choice("reason", REASONS, "payment") if days else ""
        skip = table.whole("skip", 0, 200, 0) if what in TOKENS[:5] else 0
        times = 1 if issued else table.whole("times", 1, 100, 1)
        self._count_acts(table, len(units) * (skip + times - 1))
        for unit in units:
            if issued:
                self._slips[unit, slip] = at_s
            elif what == "slip" and self._slips.get((unit, slip), at_s + 1) > at_s:
                hint = "issue it before, in an event with issue and the same slip"
                raise table.wrong("slip", f"{self._labels[unit]} has no slip {slip!r}", hint)
        events = [Event(at_s, units, what, days=days, reason=reason, skip=skip, slip=slip, issued=issued)]
        if not issued:
            every_s = table.seconds("every_min", 60, 1440, 1)
            again = what if what == "mistyped" else "again"
            for turn in range(1, times):
                if at_s + turn * every_s >= self._end_s:
                    raise table.wrong("times", "its repetitions last beyond the end", "take fewer, or begin earlier")
                events.append(Event(at_s + turn * every_s, units, again))
        return events

    def _expectation(self, table: Table) -> Expectation:
        kind = table.one_of("the expectation", "alert", "output", "measure", "broken", "verdict")
        subject, units = self._units(table)
        self._count_acts(table, len(units))
        makers: dict[str, Callable[[Table, str, tuple[int, ...]], Expectation]] = {
            "alert": self._alert, "output": self._output, "measure": self._measure, "broken": self._broken,
            "verdict": self._verdict,
        }  # fmt: skip
        made = makers[kind](table, subject, units)
        table.done()
        return made

    def _bounds(self, table: Table, low: float, high: float) -> tuple[float, float]:
        least = table.number("least", low, high) if table.has("least") else low
        most = table.number("most", low, high) if table.has("most") else high
        if least > most:
            raise table.wrong("least", f"least is {least:g} and most is {most:g}", "least is not above most")
        return least, most

    def _count(self, table: Table) -> tuple[float, float]:
        if table.has("count"):
            count = table.whole("count", 0, 10**9)
            if table.has("least", "most"):
                raise table.wrong("count", "count stands beside least or most", "count is exact; leave the other out")
            return count, count
        if table.has("most") and not table.has("least"):
            return 0, table.number("most", 0, 1e9)
        least, most = self._bounds(table, 0, 1e9)
        return (least if table.has("least") else 1), most

    def _alert(self, table: Table, subject: str, units: tuple[int, ...]) -> Expectation:
        code = table.choice("alert", CODES)
        cleared: tuple[int, int] | bool | None
        if isinstance(table.raw("cleared"), bool):
            cleared = table.flag("cleared", True)
        else:
            cleared = table.window("cleared", self._end_s)
        least, most = self._count(table)
        window = table.window("raised", self._end_s)
        return Expectation("alert", subject, units, code, least, most, window, cleared)

    def _output(self, table: Table, subject: str, units: tuple[int, ...]) -> Expectation:
        wanted = table.choice("output", ("on", "off")) == "on"
        return Expectation("output", subject, units, at_s=table.moment("at", self._end_s - 1), wanted=wanted)

    def _measure(self, table: Table, subject: str, units: tuple[int, ...]) -> Expectation:
        name = table.choice("measure", (*AT_A_MOMENT, *OVER_DAYS))
        least, most = self._bounds(table, -1e9, 1e9)
        if not table.has("least", "most"):
            raise table.wrong("measure", f"nothing is expected of {name}", "write least, most, or both")
        across: Across = "each"
        chosen = table.choice("across", ("each", "mean", "sum"), "each")
        if chosen != "each":
            across = "mean" if chosen == "mean" else "sum"
        if name in AT_A_MOMENT:
            at_s = table.moment("at", self._end_s - 1) if table.has("at") else self._end_s - 1
            return Expectation("measure", subject, units, name, least, most, at_s=at_s, across=across)
        days = table.raw("days")
        if days is None:
            days = [0, self._days - 1]
        whole = isinstance(days, list) and len(days) == 2 and all(type(each) is int for each in days)
        if not whole or not 0 <= days[0] <= days[1] < self._days:
            hint = f"it is a first and a last day, as in [0, {self._days - 1}]"
            raise table.wrong("days", "days is no span of this scenario's days", hint)
        return Expectation("measure", subject, units, name, least, most, days=(days[0], days[1]), across=across)

    def _broken(self, table: Table, subject: str, units: tuple[int, ...]) -> Expectation:
        wanted = table.flag("broken", True)
        part = table.choice("part", PARTS.values(), "")
        window = table.window("within", self._end_s)
        return Expectation("broken", subject, units, part, window=window, wanted=wanted)

    def _verdict(self, table: Table, subject: str, units: tuple[int, ...]) -> Expectation:
        verdict = table.choice("verdict", VERDICTS)
        token = table.choice("token", (*TOKENS[:6], "replay", "out-of-order"), "")
        least, most = self._count(table)
        return Expectation(
            "verdict", subject, units, verdict, least, most, table.window("within", self._end_s), token=token
        )
