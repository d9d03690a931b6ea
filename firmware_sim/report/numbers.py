"""What a report says of a fleet, as numbers: one pass over each kind of file, in memory that days do not add to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_sim.report.estimates import YEAR_DAYS, Curve, Rate, failed_by, rate
from firmware_sim.report.reading import Columns, Fleet
from paygo_core.errors import PaygoError

PILOT_UNITS, PILOT_DAYS = 50, 14
"""The pilot: the first units by number that were used on more days than this."""
MOST_PERIODS = 60
CHARGE_BINS = 10
SOURCES = ("payment", "bonus", "manual", "enable")
OVERVOLTAGES = ("BATTERY_OVERVOLTAGE", "PANEL_OVERVOLTAGE", "OUTPUT_OVERVOLTAGE")
NOMINAL_V = {"lfp": 12.8}
LEAD_ACID_V = 12.0
DAY_S = 86_400

Numbers = npt.NDArray[np.float64]

_SUMS = (
    "panel_wh", "load_wh", "unserved_wh", "light_h", "on_h", "low_h", "payment_h", "bonus_h", "manual_h", "enable_h",
)  # fmt: skip


@dataclass(frozen=True)
class Use:
    """What a group of units did: Wh a unit and day that came in, were used, and were wanted but not had while paid for;
    the share of what was wanted that was had; hours a month of 30 days off by low voltage; mean health at the end."""

    units: int
    panel_wh: float
    load_wh: float
    unserved_wh: float
    served: float
    low_h_month: float
    health: float


@dataclass(frozen=True)
class PilotUnit:
    """One unit of the pilot. days: on which it was used. autonomy: days that a full battery carries its mean use.
    lowest: state of charge. failed_day: None, or when its control unit did, and of what."""

    unit: int
    site: str
    model: str
    days: int
    panel_wh: float
    load_wh: float
    served: float
    autonomy: float
    lowest: float
    alerts: int
    open_alerts: int
    failed_day: float | None
    cause: str


@dataclass(frozen=True)
class Failures:
    """Control units by board, and by board and cause: rates over the whole run, and the share that failed over time."""

    units: dict[str, int]
    rates: dict[str, Rate]
    curves: dict[str, Curve]
    causes: dict[str, dict[str, Rate]]
    cause_curves: dict[str, dict[str, Curve]]


@dataclass(frozen=True)
class AlertCount:
    """Alerts of a code: raised, cleared, open at the end, on how many units, how long they lasted in hours in the mean
    and at the longest (of those that were cleared), and what the clamps took in J."""

    raised: int
    cleared: int
    open: int
    units: int
    mean_h: float
    longest_h: float
    clamp_j: float


@dataclass(frozen=True)
class Periods:
    """Sums over periods of `length` days; each list has a value a period. hours: those that units were observed.
    pilot_energy: Wh a unit and day. lowest and highest: the share of units with that state of charge of the day in each
    tenth."""

    length: int
    first_days: list[int]
    hours: list[float]
    pilot_energy: dict[str, list[float]]
    active_h: dict[str, list[float]]
    overvoltage: dict[str, list[int]]
    lowest: list[list[float]]
    highest: list[list[float]]


@dataclass(frozen=True)
class Summary:
    """All that a report says. active_h: hours by where the time came from. hours: those that units were observed."""

    units: int
    reported: int
    days: int
    pilot: Use
    pilot_units: list[PilotUnit]
    pilot_alerts: dict[str, int]
    models: dict[str, Use]
    failures: Failures
    alerts: dict[str, AlertCount]
    hours: float
    active_h: dict[str, float]
    active_by_payer: dict[str, dict[str, float]]
    tokens: dict[str, dict[str, int]]
    token_reasons: dict[str, float]
    periods: Periods


class _Days:
    """Sums over the days of each unit, and of all units over each period."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.length = -(-fleet.days // MOST_PERIODS)
        periods = -(-fleet.days // self.length)
        self.seen = np.zeros(fleet.size, np.int64)
        self.used = np.zeros(fleet.size, np.int64)
        self.sums = {name: np.zeros(fleet.size) for name in _SUMS}
        self.lowest = np.ones(fleet.size)
        self.health = np.zeros(fleet.size)
        self.active = {source: np.zeros(periods) for source in SOURCES}
        self.charge = {name: np.zeros((periods, CHARGE_BINS)) for name in ("charge_min", "charge_max")}
        for path, rows in fleet.rows("days", "unit", "day", *_SUMS, "charge_min", "charge_max", "health"):
            self._add(path, rows)

    def _add(self, path: Path, rows: Columns) -> None:
        places = self._fleet.places(rows["unit"], path)
        period = checked_days(self._fleet, rows["day"], path) // self.length
        for name in (*_SUMS, "charge_min", "charge_max", "health"):
            if not np.isfinite(rows[name]).all():
                raise PaygoError(f"{path}: column {name} has a value that is no number", "write the run again")
        size, periods = self._fleet.size, len(next(iter(self.active.values())))
        self.seen += np.bincount(places, minlength=size)
        self.used += np.bincount(places, rows["light_h"] > 0, minlength=size).astype(np.int64)
        for name in _SUMS:
            self.sums[name] += np.bincount(places, rows[name], minlength=size)
        np.minimum.at(self.lowest, places, rows["charge_min"])
        self.health[places] = rows["health"]  # rows are in the order of days: the last one stays
        for source in SOURCES:
            self.active[source] += np.bincount(period, rows[f"{source}_h"], minlength=periods)
        for name, table in self.charge.items():
            level = np.clip((rows[name] * CHARGE_BINS).astype(int), 0, CHARGE_BINS - 1)
            counted = np.bincount(period * CHARGE_BINS + level, minlength=periods * CHARGE_BINS)
            table[:] += counted.reshape(periods, CHARGE_BINS)

    def use(self, chosen: npt.NDArray[np.bool_]) -> Use:
        """Of some of the units."""
        days = max(int(self.seen[chosen].sum()), 1)
        panel, load, missed, low = (
            float(self.sums[name][chosen].sum()) / days for name in ("panel_wh", "load_wh", "unserved_wh", "low_h")
        )
        health = float(self.health[chosen].mean()) if chosen.any() else 0.0
        return Use(int(chosen.sum()), panel, load, missed, _share(load, load + missed), 30 * low, health)


class _Alerts:
    """Alerts by code, by unit and by period."""

    def __init__(self, fleet: Fleet, length: int) -> None:
        periods = -(-fleet.days // length)
        self.of_unit = {name: np.zeros(fleet.size, np.int64) for name in ("raised", "open")}
        self.by_code: dict[str, dict[str, float]] = {}
        self.on: dict[str, npt.NDArray[np.bool_]] = {}
        self.of_unit_by_code: dict[str, npt.NDArray[np.int64]] = {}
        self.raised, self.cleared = np.zeros(periods, np.int64), np.zeros(periods, np.int64)
        for path, rows in fleet.rows("alerts", "unit", "code", "raised_s", "cleared_s", "clamp_j"):
            places = fleet.places(rows["unit"], path)
            raised_s = rows["raised_s"].astype(float)
            cleared_s = rows["cleared_s"].astype(float)
            open_ = np.isnan(cleared_s)
            if not (cleared_s[~open_] >= raised_s[~open_]).all():
                raise PaygoError(f"{path} has an alert that was cleared before it was raised", "write the run again")
            self.of_unit["raised"] += np.bincount(places, minlength=fleet.size)
            self.of_unit["open"] += np.bincount(places[open_], minlength=fleet.size)
            for code in np.unique(rows["code"].astype(str)):
                self._add(code, rows["code"] == code, places, cleared_s - raised_s, np.nan_to_num(rows["clamp_j"]))
            high = np.isin(rows["code"].astype(str), OVERVOLTAGES)
            for counted, at_s in ((self.raised, raised_s[high]), (self.cleared, cleared_s[high & ~open_])):
                counted[:] += np.bincount(checked_days(fleet, at_s // DAY_S, path) // length, minlength=periods)

    def _add(
        self, code: str, chosen: npt.NDArray[Any], places: npt.NDArray[Any], lasted_s: Numbers, clamp_j: Numbers
    ) -> None:
        size = len(self.of_unit["raised"])
        count = self.by_code.setdefault(code, dict.fromkeys(("raised", "cleared", "s", "longest", "j"), 0.0))
        lasted = lasted_s[chosen & ~np.isnan(lasted_s)]
        count["raised"] += int(chosen.sum())
        count["cleared"] += len(lasted)
        count["s"] += float(lasted.sum())
        count["longest"] = max(count["longest"], float(lasted.max(initial=0)))
        count["j"] += float(clamp_j[chosen].sum())
        counted = self.of_unit_by_code.setdefault(code, np.zeros(size, np.int64))
        counted += np.bincount(places[chosen], minlength=size)

    def counts(self) -> dict[str, AlertCount]:
        """By code."""
        return {
            code: AlertCount(
                int(count["raised"]),
                int(count["cleared"]),
                int(count["raised"] - count["cleared"]),
                int((self.of_unit_by_code[code] > 0).sum()),
                _share(count["s"], count["cleared"]) / 3600,
                count["longest"] / 3600,
                count["j"],
            )
            for code, count in sorted(self.by_code.items())
        }


def summarize(fleet: Fleet) -> Summary:
    """Reads the rows of a run. Raises PaygoError."""
    days = _Days(fleet)
    reported = days.seen > 0
    if not reported.any():
        raise PaygoError(f"{fleet.directory} has no day of any unit", "let `paygo sim fleet` write at least one chunk")
    alerts = _Alerts(fleet, days.length)
    first_failure, cause = _first_failures(fleet)
    pilot = np.flatnonzero(days.used > PILOT_DAYS)[:PILOT_UNITS]
    in_pilot = np.zeros(fleet.size, bool)
    in_pilot[pilot] = True
    models, payers = fleet.units["model"].astype(str), fleet.units["payer"].astype(str)
    return Summary(
        units=fleet.size,
        reported=int(reported.sum()),
        days=fleet.days,
        pilot=days.use(in_pilot),
        pilot_units=[_pilot_unit(fleet, days, alerts, int(place), first_failure, cause) for place in pilot],
        pilot_alerts={
            code: int(counted[pilot].sum())
            for code, counted in sorted(alerts.of_unit_by_code.items())
            if counted[pilot].any()
        },
        models={model: days.use(reported & (models == model)) for model in sorted(set(models[reported]))},
        failures=_failures(fleet, reported, first_failure, cause),
        alerts=alerts.counts(),
        hours=24.0 * int(days.seen.sum()),
        active_h={source: float(days.sums[f"{source}_h"].sum()) for source in SOURCES},
        active_by_payer={
            payer: {
                "hours": 24.0 * int(days.seen[payers == payer].sum()),
                **{source: float(days.sums[f"{source}_h"][payers == payer].sum()) for source in SOURCES},
            }
            for payer in sorted(set(payers[reported]))
        },
        **_tokens(fleet),
        periods=Periods(
            length=days.length,
            first_days=list(range(0, fleet.days, days.length)),
            hours=(24 * days.charge["charge_min"].sum(axis=1)).tolist(),
            pilot_energy=_pilot_energy(fleet, pilot, days.length),
            active_h={source: days.active[source].tolist() for source in SOURCES},
            overvoltage={
                "raised": alerts.raised.tolist(),
                "cleared": alerts.cleared.tolist(),
                "open": np.cumsum(alerts.raised - alerts.cleared).tolist(),
            },
            lowest=_shares(days.charge["charge_min"]),
            highest=_shares(days.charge["charge_max"]),
        ),
    )


def checked_days(fleet: Fleet, days: npt.NDArray[Any], path: Path) -> npt.NDArray[np.int64]:
    """Days as whole numbers within the run; what happened at its very end is of its last day. Raises PaygoError."""
    whole = days.astype(np.int64)
    whole = np.where(whole == fleet.days, fleet.days - 1, whole)
    if len(whole) and not (whole.min() >= 0 and whole.max() < fleet.days):
        raise PaygoError(f"{path} has a row of a day that the run of {fleet.days} days has not", "write the run again")
    return whole


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _shares(counted: Numbers) -> list[list[float]]:
    """Of each period."""
    shares: list[list[float]] = (counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)).tolist()
    return shares


def _first_failures(fleet: Fleet) -> tuple[Numbers, list[str]]:
    """For each unit the day on which its control unit failed (infinite: it did not), and of what."""
    first = np.full(fleet.size, np.inf)
    cause = [""] * fleet.size
    for path, rows in fleet.rows("failures", "unit", "at_s", "cause"):
        at = rows["at_s"] / DAY_S
        checked_days(fleet, at, path)
        for place, day, why in zip(fleet.places(rows["unit"], path).tolist(), at.tolist(), rows["cause"], strict=True):
            if day < first[place]:
                first[place], cause[place] = day, str(why)
    return first, cause


def _failures(fleet: Fleet, reported: npt.NDArray[np.bool_], first: Numbers, cause: Sequence[str]) -> Failures:
    boards = fleet.units["board"].astype(str)
    causes = np.array(cause, dtype=object)
    units: dict[str, int] = {}
    rates: dict[str, Rate] = {}
    curves: dict[str, Curve] = {}
    by_cause: dict[str, dict[str, Rate]] = {}
    cause_curves: dict[str, dict[str, Curve]] = {}
    names = sorted(set(cause) - {""})
    for board in sorted(set(boards[reported])):
        mine = reported & (boards == board)
        failed = mine & np.isfinite(first)
        years = float(np.minimum(first[mine], fleet.days).sum()) / YEAR_DAYS
        units[board] = int(mine.sum())
        rates[board] = rate(int(failed.sum()), years)
        curves[board] = failed_by(first[failed].tolist(), units[board], fleet.days)
        by_cause[board], cause_curves[board] = {}, {}
        for name in names:
            of_it = failed & (causes == name)
            others = first[failed & ~of_it].tolist()
            by_cause[board][name] = rate(int(of_it.sum()), years)
            cause_curves[board][name] = failed_by(first[of_it].tolist(), units[board], fleet.days, others)
    return Failures(units, rates, curves, by_cause, cause_curves)


def _pilot_unit(
    fleet: Fleet, days: _Days, alerts: _Alerts, place: int, first: Numbers, cause: Sequence[str]
) -> PilotUnit:
    row = {name: column[place] for name, column in fleet.units.items()}
    used = int(days.used[place])
    panel, load, missed = (float(days.sums[name][place]) for name in ("panel_wh", "load_wh", "unserved_wh"))
    volts = NOMINAL_V.get(str(row["chemistry"]), LEAD_ACID_V)
    return PilotUnit(
        unit=int(row["unit"]),
        site=str(row["site"]),
        model=str(row["model"]),
        days=used,
        panel_wh=_share(panel, float(days.seen[place])),
        load_wh=_share(load, used),
        served=_share(load, load + missed),
        autonomy=_share(float(row["capacity_ah"]) * volts * float(days.health[place]), _share(load, used)),
        lowest=float(days.lowest[place]),
        alerts=int(alerts.of_unit["raised"][place]),
        open_alerts=int(alerts.of_unit["open"][place]),
        failed_day=float(first[place]) if np.isfinite(first[place]) else None,
        cause=cause[place],
    )


def _pilot_energy(fleet: Fleet, pilot: npt.NDArray[np.int64], length: int) -> dict[str, list[float]]:
    """Wh a unit and day in each period, read from the row groups that have units of the pilot."""
    names = ("panel_wh", "load_wh", "unserved_wh")
    periods = -(-fleet.days // length)
    sums, days = {name: np.zeros(periods) for name in names}, np.zeros(periods)
    numbers = fleet.units["unit"][pilot]
    if len(pilot):
        for path, rows in fleet.rows("days", "unit", "day", *names, only=numbers):
            chosen = np.isin(rows["unit"], numbers)
            period = checked_days(fleet, rows["day"][chosen], path) // length
            days += np.bincount(period, minlength=periods)
            for name in names:
                sums[name] += np.bincount(period, rows[name][chosen], minlength=periods)
    return {name: (sums[name] / np.maximum(days, 1)).tolist() for name in names}


def _tokens(fleet: Fleet) -> dict[str, Any]:
    """How often tokens of each kind got each verdict; days of accepted ones by reason."""
    verdicts: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    for path, rows in fleet.rows("tokens", "unit", "kind", "reason", "days", "verdict"):
        fleet.places(rows["unit"], path)
        kinds, verdict, reason = (rows[name].astype(str) for name in ("kind", "verdict", "reason"))
        for kind in np.unique(kinds):
            found, counts = np.unique(verdict[kinds == kind], return_counts=True)
            verdicts.setdefault(str(kind), Counter()).update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        for name in np.unique(reason):
            chosen = (reason == name) & (verdict == "accepted")
            reasons[str(name)] += float(np.nan_to_num(rows["days"][chosen]).sum())  # type: ignore[assignment]
    return {
        "tokens": {kind: dict(sorted(found.items())) for kind, found in sorted(verdicts.items())},
        "token_reasons": {name: days for name, days in sorted(reasons.items()) if name and days},
    }
