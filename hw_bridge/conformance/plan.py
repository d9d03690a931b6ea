"""Works a test out before it is run: the digits to enter, what the rules say to them, and the counts that it spends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hw_bridge.conformance.catalogue import SYNC, UNLOCK, Step, Test
from paygo_core._native import lib
from paygo_core.decoding import Reason, decode_token
from paygo_core.errors import PaygoError
from paygo_core.tokens import (
    LARGEST_COUNT,
    LARGEST_UNITS,
    DeviceConfig,
    TokenType,
    collides,
    form_of,
    generate_token,
    write_token,
)
from paygo_core.unit import PaygUnit

SECONDS_PER_DAY = 86_400
TRIES = 20
ROUNDED_S = 60
"""Less than a unit of any divider; each of 52 tokens loses less than a second to rounding."""
LOCK = Step(set=0, units=0, name="lock")
REPLAY = Step(again="lock", says="already_used", units=0)
"""How every test begins, so that none passes on a unit that says yes to everything."""


CHANGES: dict[str, Callable[[str], str]] = {
    "": lambda digits: digits,
    "short": lambda digits: digits[:-1],
    "long": lambda digits: digits + digits[-1],
    "without its zero": lambda digits: digits.removeprefix("0"),
    "foreign digits": lambda digits: digits.translate(str.maketrans("1234", "5670")),
    "begun anew": lambda digits: f"{digits[:4]}*{digits}",
}
"""What can be done to a token's digits before they are entered. Old decoders read 5, 6, 7 and 0 as 1, 2, 3 and 4."""


@dataclass(frozen=True)
class Move:
    """A step with its digits, the verdict that is right, and the time that passes in it, in seconds.

    credit: in seconds afterwards, None for unlimited. count: the token's.
    """

    step: Step
    digits: str = ""
    verdict: str = ""
    credit: int | None = 0
    count: int = 0
    seconds: float = 0


@dataclass(frozen=True)
class Plan:
    """A test worked out. moves: what to do. highest: the highest count of its tokens. after: the unit afterwards."""

    moves: tuple[Move, ...]
    highest: int
    after: Model


@dataclass(frozen=True)
class Model:
    """A unit that keeps the rules, at some point: its stored bytes, its time, and the tokens made for it."""

    config: DeviceConfig
    stored: bytes
    now: int = 0
    made: tuple[tuple[str, str], ...] = ()

    @classmethod
    def at(cls, config: DeviceConfig, count: int) -> Model:
        """A locked unit without credit whose last count this is."""
        return cls(config, PaygUnit(config, count).to_bytes())

    @property
    def unit(self) -> PaygUnit:
        """A unit in this state."""
        return PaygUnit.from_bytes(self.config, self.stored)

    @property
    def count(self) -> int:
        """The last accepted count."""
        return self.unit.state.count


class _Clash(Exception):
    """By chance the digits are also those of another count: the rules say something else than the test means."""


class NoCounts(PaygoError):
    """The device's counts do not reach for a test."""


def plan(test: Test, model: Model, fresh: bool) -> Plan:
    """The test on a unit in this state; fresh: it begins by locking the unit.

    Digits that by chance mean something else are avoided by beginning at a later count. Raises NoCounts when the
    device has none left, PaygoError when the test contradicts the rules.
    """
    clash = _Clash()
    for attempt in range(TRIES):
        try:
            return _Planner(model).work(_steps(test, attempt if fresh else 0, fresh))
        except _Clash as found:
            clash = found
            if not fresh:
                break
    raise PaygoError(
        f"the test {test.id} contradicts the rules: {clash}", "a defect of the catalogue; please report it"
    )


def _steps(test: Test, skip: int, fresh: bool) -> Sequence[Step]:
    return [replace(LOCK, skip=2 * skip), REPLAY, *test.steps] if fresh else test.steps


def other_device(config: DeviceConfig, number: int) -> DeviceConfig:
    """Another device: the same starting code and another key."""
    key = hashlib.sha256(config.secret_key + bytes([number])).digest()[:16]
    return replace(config, secret_key=key)


class _Planner:
    """Goes through the steps with a unit that keeps the rules."""

    def __init__(self, model: Model) -> None:
        self._config = model.config
        self._unit = model.unit
        self._now = model.now
        self._made = dict(model.made)
        self._running = self._highest = model.count

    def work(self, steps: Sequence[Step]) -> Plan:
        moves = [self._move(step) for step in steps]
        after = Model(self._config, self._unit.to_bytes(), self._now, tuple(self._made.items()))
        return Plan(tuple(moves), self._highest, after)

    def _move(self, step: Step) -> Move:
        digits = verdict = ""
        count = 0
        if step.makes:
            running = self._running
            digits, count = self._digits(step)
            if step.name:
                self._made[step.name] = digits
            if not step.hold:
                verdict = self._enter(step, digits)
                if verdict == "invalid":
                    self._running = running
        seconds = (step.advance or 0) + round((step.advance_units or 0) * SECONDS_PER_DAY / self._config.time_divider)
        self._now += round(seconds)
        self._unit.tick(self._now)
        left = self._unit.seconds_left
        if (step.units is not None or step.unlimited) and not step.hold and not self._is(step, left):
            raise _Clash(f"{step}: the credit is {left} s")
        return Move(step, digits, verdict, left, count, seconds)

    def _is(self, step: Step, left: int | None) -> bool:
        """Whether so many seconds are the credit that a step tells; each token and each time is rounded by itself."""
        if step.units is None or left is None:
            return step.unlimited and left is None
        return abs(left - step.units * SECONDS_PER_DAY / self._config.time_divider) < ROUNDED_S

    def _enter(self, step: Step, digits: str) -> str:
        answer = self._unit.enter(digits.rpartition("*")[2], self._now)
        if answer.reason is Reason.WAITING:
            verdict = "wait"
        elif answer.token_type is TokenType.INVALID:
            verdict = "invalid"
        elif answer.token_type is TokenType.ALREADY_USED:
            verdict = "already_used"
        else:
            verdict = "accepted"
        if verdict != step.says:
            raise _Clash(f"{step}: the rules say {verdict}, for {answer.reason.value}")
        return verdict

    def _digits(self, step: Step) -> tuple[str, int]:
        digits, count = self._token(step)
        if count:
            self._running = max(self._running, count)
            self._highest = max(self._highest, count)
        return CHANGES[step.change](digits), count

    def _token(self, step: Step) -> tuple[str, int]:
        config = self._config
        if step.again:
            return self._made[step.again], 0
        if step.literal:
            return step.literal, 0
        if step.code_plus is not None:
            low = config.starting_code % 1000
            code = config.starting_code - low + (low + step.code_plus) % 1000
            return write_token(config, form_of(False), code), 0
        if step.foreign:
            return self._foreign(step.extended), 0
        if step.zero:
            return self._with_zero()
        value, kind = _meaning(step)
        count = self._count(step, kind, value)
        form = form_of(step.extended)
        return write_token(config, form, lib.paygo_encode(config.native, form, count, value)), count

    def _with_zero(self) -> tuple[str, int]:
        """An ADD_TIME that is written with a leading zero, of the least value that has one."""
        for value in range(1, LARGEST_UNITS + 1):
            token = generate_token(self._config, self._running, value)
            if token.digits.startswith("0") and not collides(self._config, token.count, value):
                return token.digits, token.count
        raise _Clash("no token has a leading zero")

    def _foreign(self, extended: bool) -> str:
        for number in range(256):
            token = generate_token(other_device(self._config, number), self._running, 1, extended=extended).digits
            if decode_token(self._config, token, self._unit.state).reason is Reason.NO_MATCH:
                return token
        raise _Clash("no token of another unit is strange to this one")

    def _count(self, step: Step, kind: TokenType, value: int) -> int:
        last = self._unit.state.count
        if step.ahead is not None:
            return self._of_type(last + step.ahead, step)
        if step.back is not None:
            return self._of_type(last - step.back, step)
        count = self._running + step.skip
        while True:
            if step.even:
                count += 2 - count % 2
            else:
                count = int(lib.paygo_next_count(self._config.native, min(count, LARGEST_COUNT), kind))
            self._checked(count)
            if not collides(self._config, count, value, step.extended):
                return count

    def _of_type(self, count: int, step: Step) -> int:
        if (step.add is not None and count % 2 == 1) or (step.set is not None and count % 2 == 0):
            raise _Clash(f"{step}: the count has the wrong parity")
        return self._checked(count)

    def _checked(self, count: int) -> int:
        if not 1 <= count <= self._config.max_count:
            raise NoCounts(f"the device has no count left for it: its last one is {self._config.max_count}")
        return count


def _meaning(step: Step) -> tuple[int, TokenType]:
    """The value of a token, and the type whose parity its count has."""
    if step.unlock:
        return UNLOCK, TokenType.DISABLE_PAYG
    if step.sync:
        return SYNC, TokenType.COUNTER_SYNC
    if step.set is not None:
        return step.set, TokenType.SET_TIME
    if step.value is not None:
        return step.value, TokenType.ADD_TIME
    assert step.add is not None
    return step.add, TokenType.ADD_TIME
