"""A unit's firmware and who types into it: tokens issued, lost, held back, typed again or wrongly, and the credit."""

from __future__ import annotations

from firmware_sim.fleet.chances import Chances
from firmware_sim.fleet.engine import DAY_S
from firmware_sim.fleet.payments import Entry, Grant, Grants, credit_left, unit_of
from firmware_sim.scenario.reading import Event
from paygo_core import PaygoError, TokenType, generate_token

PURPOSE = 3
TYPES = {
    "add": TokenType.ADD_TIME, "set": TokenType.SET_TIME, "lock": TokenType.SET_TIME,
    "unlock": TokenType.DISABLE_PAYG, "sync": TokenType.COUNTER_SYNC,
}  # fmt: skip


class Holder:
    """One unit's tokens. seed, unit: its key follows from them."""

    def __init__(self, seed: int, unit: int) -> None:
        self._config, self._unit = unit_of(Chances(seed, unit, PURPOSE), unit)
        self._count = 1
        self._slips: dict[str, tuple[str, Event, int]] = {}
        self._last = ""
        self._typed_count = 0
        self._grants = Grants()

    def act(self, event: Event, at_s: int) -> Entry | None:
        """Issues or types what the event says; None where nothing is typed. Raises PaygoError."""
        if event.what == "again":
            if not self._last:
                raise PaygoError("a token is to be typed again before one was typed", "let an earlier event type one")
            return self._type(self._last, "replay", event, at_s)
        if event.what == "slip":
            token, issued, count = self._slips[event.slip]
            kind = "out-of-order" if count < self._typed_count else issued.what
            return self._type(token, kind, issued, at_s, count)
        if event.what == "mistyped":
            token = generate_token(self._config, self._count, 1).digits
            return self._type(token[:4] + str((int(token[4]) + 1) % 10) + token[5:], "mistyped", event, at_s)
        for _ in range(event.skip):
            self._issue(event)
        token = self._issue(event)
        if event.issued:
            self._slips[event.slip] = (token, event, self._count)
            return None
        return self._type(token, event.what, event, at_s, self._count)

    def restart(self, at_s: int) -> None:
        """The unit wakes up from what it stored, its clock ahead."""
        self._unit.restart(at_s)

    def credit_s(self, at_s: int) -> int:
        """As the engine takes it."""
        return credit_left(self._unit, at_s)

    def use(self, seconds: float) -> dict[str, float]:
        """Takes active seconds off what was granted, oldest first, and says where they came from."""
        return self._grants.use(seconds, unlocked=self._unit.unlocked)

    def _issue(self, event: Event) -> str:
        value = event.days if event.what in ("add", "set") else 0 if event.what == "lock" else None
        token = generate_token(self._config, self._count, value, TYPES[event.what])
        self._count = token.count
        return token.digits

    def _type(self, token: str, kind: str, event: Event, at_s: int, count: int = 0) -> Entry:
        verdict = self._unit.enter(token, at_s)
        if verdict == "accepted":
            self._typed_count = max(self._typed_count, count)
            if TYPES.get(event.what) is TokenType.SET_TIME:
                self._grants.clear()
            if event.days:
                self._grants.append(Grant(event.reason, float(event.days * DAY_S)))
        if kind != "mistyped":
            self._last = token
        return Entry(at_s, kind, event.reason, float(event.days), verdict)
