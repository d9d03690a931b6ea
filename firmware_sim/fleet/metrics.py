"""A simulated unit's days as OpenPAYGO Metrics requests: daily aggregates, lifetime counters, days not yet answered.

As a unit's, a request has the newest day as its data and the days before it, which no server has answered yet, as
historical data. Days, counts and times of requests that were sent are in a file before each of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.fleet.engine import DAY_S
from firmware_sim.report.reading import Fleet
from paygo_core.draft import write_whole
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError
from paygo_core.http_post import post
from paygo_core.wire.metrics_request import DataFormat, decode_response, encode_request

MOST_DAYS = 60
"""Of one request; an older day comes first."""
TOO_LARGE = 413
"""HTTP's status."""
PATIENCE = 3
"""Requests in a row that nobody answers, after which the rest is left for the next run."""

DAILY = {
    "panel_wh": ("daily_panel_energy", 1.0, 1),
    "load_wh": ("daily_load_energy", 1.0, 1),
    "unserved_wh": ("daily_unserved_energy", 1.0, 1),
    "battery_min_mv": ("battery_voltage_min", 0.001, 3),
    "battery_max_mv": ("battery_voltage_max", 0.001, 3),
    "charge_min": ("state_of_charge_min", 1.0, 3),
    "charge_max": ("state_of_charge_max", 1.0, 3),
    "charge_end": ("state_of_charge", 1.0, 3),
    "light_h": ("daily_light_hours", 1.0, 2),
    "on_h": ("daily_output_hours", 1.0, 2),
    "low_h": ("daily_low_voltage_hours", 1.0, 2),
    "battery_max_c": ("battery_temperature_max", 1.0, 1),
    "health": ("battery_health", 1.0, 4),
}
"""Of a column of days-*.parquet: its name in a request, what it is multiplied with, and its decimals. Wh, V, h, °C."""
LIFETIME = {
    "panel_wh": ("lifetime_panel_energy", 0),
    "load_wh": ("lifetime_load_energy", 0),
    "on_h": ("lifetime_output_hours", 1),
    "light_h": ("lifetime_light_hours", 1),
}
"""Sums since the unit's first day."""
_DAY_ORDER = tuple(name for name, _, _ in DAILY.values())
_ORDER = (*_DAY_ORDER, *(name for name, _ in LIFETIME.values()), "lifetime_days")


@dataclass(frozen=True)
class Day:
    """at: its end, seconds since 1970. data: its aggregates; counters: sums until then. By their names in a request."""

    number: int
    at: int
    data: dict[str, float]
    counters: dict[str, float]


@dataclass(frozen=True)
class Style:
    """How requests are written. auth: of AUTH_METHODS. format_id: of a condensed one; None: the order is sent along."""

    condensed: bool = False
    auth: str = "ra"
    format_id: int | None = None

    @property
    def data_format(self) -> DataFormat | None:
        """The order of values, for condensed requests."""
        return DataFormat(_ORDER, ("timestamp", *_DAY_ORDER), self.format_id) if self.condensed else None


@dataclass
class Sent:
    """What is known of the requests of a serial. count, at: of the last one. answered: days that each server has, or
    refused as too large: those of `refused`, by their numbers."""

    count: int = 0
    at: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    refused: dict[str, list[int]] = field(default_factory=dict)
    serial: str = ""


def serial_of(fleet: Fleet, unit: int) -> str:
    """What a simulated unit is called in its requests: the same whenever this run is told, and nowhere else."""
    return f"SIM{fleet.run}{unit:07}"


def days_of(fleet: Fleet, unit: int) -> list[Day]:
    """All days of a unit, oldest first. Raises PaygoError where the fleet has no such unit."""
    if unit not in fleet.units["unit"]:
        raise PaygoError(f"{fleet.directory} has no unit {unit}", f"it has {fleet.size} units, from 0 on")
    rows: dict[int, dict[str, float]] = {}
    for _, piece in fleet.rows("days", "unit", "day", *DAILY, only=np.array([unit])):
        for at in np.flatnonzero(piece["unit"] == unit).tolist():
            rows[int(piece["day"][at])] = {name: float(piece[name][at]) for name in DAILY}
    start = int(fleet.start.timestamp())
    sums = dict.fromkeys(LIFETIME, 0.0)
    days = []
    for count, (number, row) in enumerate(sorted(rows.items()), 1):
        for name in sums:
            sums[name] += row[name]
        data = {named: round(row[name] * times, decimals) for name, (named, times, decimals) in DAILY.items()}
        counters = {named: round(sums[name], decimals) for name, (named, decimals) in LIFETIME.items()}
        days.append(Day(number, start + (number + 1) * DAY_S, data, {**counters, "lifetime_days": count}))
    return days


def requests(serial: str, days: Sequence[Day], key: bytes | None, style: Style, every: int = 1) -> Iterator[bytes]:
    """The requests of a unit whose server answers each, one every `every` days."""
    for count, first in enumerate(range(0, len(days), every), 1):
        part = days[first : first + every]
        yield _request(serial, part, key, style, count, part[-1].at)


class Courier:
    """Posts a unit's days to `url`, in order, until a server has answered for each.

    state: a file that says what it has. A run begins with the first day that was not answered. A request that is too
    large for the server (413) is cut in halves; a day that is too large alone is passed over, and kept by its number.
    """

    def __init__(self, url: str, serial: str, key: bytes | None, style: Style, state: Path) -> None:
        self._url, self._serial, self._key, self._style, self._state = url, serial, key, style, state
        self._most = MOST_DAYS
        self.sent = _known(state)
        if self.sent.serial != serial:  # a server knows nothing of this one
            self.sent = Sent(serial=serial)
        self.problem = ""
        """What was wrong with the last request that was not answered."""
        self.refused: list[int] = []
        """Days that this run has passed over."""

    def deliver(self, days: Sequence[Day], every: int = 1) -> int:
        """One request every `every` days; returns how many days still wait. Raises PaygoError for a wrong URL."""
        waiting: list[Day] = []
        unanswered = 0
        for day in days[self.sent.answered.get(self._url, 0) :]:
            waiting.append(day)
            if (day.number + 1) % every and day is not days[-1]:
                continue
            while waiting and unanswered < PATIENCE:
                part = waiting[: self._most]
                taken = self._post(part)
                if taken is None:
                    unanswered += 1
                    break
                unanswered = 0
                del waiting[:taken]
        return len(waiting)

    def _post(self, part: Sequence[Day]) -> int | None:
        """How many of the days are done with; None when the server did not answer, or not for this unit."""
        self.sent.count += 1
        self.sent.at = max(self.sent.at + 1, part[-1].at)
        self._keep()
        count, at = self.sent.count, self.sent.at
        body = _request(self._serial, part, self._key, self._style, count, at)
        try:
            status, answer = post(self._url, body, {"Content-Type": "application/json"})
            if status == TOO_LARGE:
                return self._shrink(part)
            if not 200 <= status < 300:
                raise NoAnswerError(f"the server answered {status}")
            decode_response(answer, self._serial, self._key, timestamp=at, request_count=count)
        except (NoAnswerError, DeviceError) as problem:
            self.problem = problem.cause
            return None
        return self._done(part)

    def _shrink(self, part: Sequence[Day]) -> int:
        if len(part) > 1:
            self._most = len(part) // 2
            return 0
        self._most = MOST_DAYS  # it was the day, and not how many they were
        self.refused.append(part[0].number)
        self.sent.refused.setdefault(self._url, []).append(part[0].number)
        return self._done(part)

    def _done(self, part: Sequence[Day]) -> int:
        self.sent.answered[self._url] = self.sent.answered.get(self._url, 0) + len(part)
        self._keep()
        return len(part)

    def _keep(self) -> None:
        write_whole(self._state, json.dumps(asdict(self.sent)).encode())


def _request(serial: str, part: Sequence[Day], key: bytes | None, style: Style, count: int, at: int) -> bytes:
    *earlier, newest = part
    return encode_request(
        serial,
        key,
        timestamp=at,
        request_count=count,
        collected_at=newest.at,
        data={**newest.data, **newest.counters},
        historical=[{"timestamp": day.at, **day.data} for day in earlier],
        data_format=style.data_format,
        auth=style.auth,
    )


def _known(state: Path) -> Sent:
    try:
        said: Any = json.loads(state.read_text("utf-8"))
        answered = {str(url): int(days) for url, days in said["answered"].items()}
        refused = {str(url): [int(day) for day in days] for url, days in said.get("refused", {}).items()}
        return Sent(int(said["count"]), int(said["at"]), answered, refused, str(said.get("serial", "")))
    except FileNotFoundError:
        return Sent()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise PaygoError(f"{state} does not tell what was sent", "remove it to send every day again") from None
