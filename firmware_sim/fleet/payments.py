"""How people pay, and what they type: tokens entered early, on time, late or no more, twice, out of order, mistyped.

Each unit's firmware judges them, woken at the simulated time. The shares of the habits are typical values; the record
of 1 000 systems (arXiv 2502.14630) has all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_sim.fleet.chances import Chances
from firmware_sim.fleet.engine import ALWAYS, DAY_S
from firmware_sim.fleet.woken import WokenUnit
from paygo_core import DeviceConfig, TokenType, generate_token
from paygo_core.device import Device

PAYERS = ("early", "on-time", "late", "defaulter")
PURPOSE = 1
UNLOCK_AFTER_D = 540
"""Days that have to be paid until the unit is the customer's."""
SOURCES = ("payment", "bonus", "manual", "enable")
"""Where active time comes from."""


@dataclass(frozen=True)
class Entry:
    """What was typed: s since the start, what it was meant as, why it was issued, days that it brings, the verdict."""

    at_s: int
    kind: str
    reason: str
    days: float
    verdict: str


@dataclass(slots=True)
class Grant:
    """Active time that is not used up yet, in s, and where it came from."""

    source: str
    seconds: float


class Grants(list[Grant]):
    """A unit's grants, oldest first."""

    def use(self, seconds: float, *, unlocked: bool) -> dict[str, float]:
        """Takes active seconds off them and says where they came from; what is beyond them, from the unlock."""
        used: dict[str, float] = {}
        while seconds > 0 and self:
            grant = self[0]
            taken = min(seconds, grant.seconds)
            used[grant.source] = used.get(grant.source, 0.0) + taken
            grant.seconds -= taken
            seconds -= taken
            if grant.seconds <= 0:
                del self[0]
        if seconds > 0 and unlocked:
            used["enable"] = used.get("enable", 0.0) + seconds
        return used


def unit_of(draw: Chances, unit: int) -> tuple[DeviceConfig, WokenUnit]:
    """A unit that was just set up, with a key of its own."""
    config = DeviceConfig(secret_key=draw.bytes(16), starting_code=1 + int(draw.next() * 999_999_998))
    return config, WokenUnit(Device(f"SIM{unit:07}", config))


def credit_left(unit: WokenUnit, now: int) -> int:
    """A unit's credit in s, as the engine takes it."""
    left = unit.seconds_left(now)
    return ALWAYS if left is None else min(left, ALWAYS - 1)


class Customer:
    """One unit's customer, their tokens and their unit. seed, unit: who they are."""

    def __init__(self, seed: int, unit: int) -> None:
        draw = Chances(seed, unit, PURPOSE)
        self._draw = draw
        lot = draw.next()
        self.payer = PAYERS[0 if lot < 0.2 else 1 if lot < 0.6 else 2 if lot < 0.9 else 3]
        self._config, self._unit = unit_of(draw, unit)
        self._count = 1
        self._days = 7 if draw.happens(0.6) else 30
        self._gives_up_d = draw.between(40, 300) if self.payer == "defaulter" else float("inf")
        self._next_s = int(draw.between(6, 12) * 3600)
        self._paid_d = 0
        self._last = ""
        self.grants = Grants()

    def entries_of(self, day: int) -> list[Entry]:
        """What is typed on a day, in the order of time."""
        typed: list[Entry] = []
        end = (day + 1) * DAY_S
        while self._next_s < end and not self._unit.unlocked:
            if day > self._gives_up_d:
                if not self._draw.happens(0.02):
                    self._next_s += 7 * DAY_S
                    continue
                self._gives_up_d = day + self._draw.between(30, 120)
            self._pay(typed, self._next_s)
            self._plan(self._next_s)
        return typed

    @property
    def due_s(self) -> float:
        """When something is typed next, at the earliest, in s since the start."""
        return float("inf") if self._unit.unlocked else self._next_s

    def credit_s(self, now: int) -> int:
        """As the engine takes it."""
        return credit_left(self._unit, now)

    @property
    def source(self) -> Grant:
        """What the next active seconds are taken off. A unit that was never paid, and is off, has some of none."""
        if self.grants:
            return self.grants[0]
        return Grant("enable", float("inf") if self._unit.unlocked else 0.0)

    def use(self, seconds: float) -> dict[str, float]:
        """Takes active seconds off the grants, oldest first, and says where they came from."""
        return self.grants.use(seconds, unlocked=self._unit.unlocked)

    def _pay(self, typed: list[Entry], now: int) -> None:
        draw = self._draw
        if self._paid_d >= UNLOCK_AFTER_D:
            self._enter(typed, now, self._issue(None, TokenType.DISABLE_PAYG), "unlock", "payment", 0)
            return
        reason = "bonus" if draw.happens(0.04) else "manual" if draw.happens(0.03) else "payment"
        days = 3 if reason != "payment" else self._days
        if draw.happens(0.03):
            # Two payments at once, and the second token is typed first.
            first, second = self._issue(days), self._issue(days)
            self._enter(typed, now, second, "add", reason, days)
            self._enter(typed, now + 60, first, "out-of-order", reason, days)
            return
        token = self._issue(days)
        if draw.happens(0.06):
            wrong = token[:4] + str((int(token[4]) + 1 + int(draw.next() * 9)) % 10) + token[5:]
            self._enter(typed, now, wrong, "mistyped", "", 0)
            now += 45
        self._enter(typed, now, token, "add", reason, days)
        if self._last and draw.happens(0.05):
            self._enter(typed, now + 120, self._last, "replay", "", 0)
        self._last = token

    def _plan(self, now: int) -> None:
        """When the next payment is typed."""
        draw = self._draw
        left = self.credit_s(now + 240)
        late = (-draw.between(0.2, 2.5), draw.between(-0.3, 0.3), draw.between(0.3, 6), draw.between(0, 9))
        self._next_s = now + 300 + max(0, left + int(late[PAYERS.index(self.payer)] * DAY_S))

    def _issue(self, days: int | None, token_type: TokenType = TokenType.ADD_TIME) -> str:
        token = generate_token(self._config, count=self._count, value=days, token_type=token_type)
        self._count = token.count
        return token.digits

    def _enter(self, typed: list[Entry], now: int, token: str, kind: str, reason: str, days: int) -> None:
        verdict = self._unit.enter(token, now)
        verdict = "invalid" if verdict == "waiting" else verdict
        if verdict == "accepted" and days:
            self._paid_d += days if reason == "payment" else 0
            self.grants.append(Grant(reason or "payment", float(days * DAY_S)))
        typed.append(Entry(now, kind, reason, float(days), verdict))


class Customers:
    """The customers of many units. A day is arithmetic on arrays but for those who type or use up a grant on it."""

    def __init__(self, seed: int, units: npt.NDArray[np.int64]) -> None:
        self._each = [Customer(seed, unit) for unit in units.tolist()]
        self._due_s = np.array([customer.due_s for customer in self._each])
        self._source = np.zeros(len(units), np.intp)
        self._left_s = np.zeros(len(units))
        self.payers = [customer.payer for customer in self._each]

    def entries_of(self, day: int) -> Iterator[tuple[int, list[Entry]]]:
        """What is typed on a day at each unit where something is, by its place among the units."""
        for place in np.flatnonzero(self._due_s < (day + 1) * DAY_S).tolist():
            customer = self._opened(place)
            typed = customer.entries_of(day)
            self._due_s[place] = customer.due_s
            self._close(place)
            if typed:
                yield place, typed

    def credit_s(self, place: int, now: int) -> int:
        """As the engine takes it."""
        return self._each[place].credit_s(now)

    def use(self, active_s: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
        """Takes each unit's active seconds off its grants and says where they came from, by SOURCES."""
        seconds = active_s.astype(np.float64)
        used = np.zeros((len(SOURCES), len(seconds)))
        within = seconds < self._left_s
        used[self._source, np.arange(len(seconds))] = np.where(within, seconds, 0)
        self._left_s -= np.where(within, seconds, 0)
        for place in np.flatnonzero(~within & (seconds > 0)).tolist():
            for source, some in self._opened(place).use(float(seconds[place])).items():
                used[SOURCES.index(source), place] = some
            self._close(place)
        return dict(zip(SOURCES, used, strict=True))

    def _opened(self, place: int) -> Customer:
        """A customer whose oldest grant has what is left of it."""
        customer = self._each[place]
        customer.source.seconds = float(self._left_s[place])
        return customer

    def _close(self, place: int) -> None:
        source = self._each[place].source
        self._source[place], self._left_s[place] = SOURCES.index(source.source), source.seconds
