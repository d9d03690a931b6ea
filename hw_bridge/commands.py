"""The journal of commands: durable before a unit is told anything, open until the unit's own status confirms it.

The life of a command: recorded, sent, acknowledged (the unit accepted it), confirmed (its status shows it); or
refused, expired or cancelled, each with a reason. Every attempt is kept. A token that was sent and not answered is in
doubt: what the unit said of itself before the first attempt is stored with it, so that a later ALREADY_USED can be
judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from hw_bridge.store import Base, Store
from paygo_core.errors import PaygoError
from paygo_core.registry.schema import UtcDateTime, utc_now

Kind = Literal["enable", "disable", "enter"]
CommandState = Literal["recorded", "sent", "acknowledged", "confirmed", "refused", "expired", "cancelled"]
OPEN_STATES: tuple[CommandState, ...] = ("recorded", "sent", "acknowledged")
SWITCHING: tuple[Kind, ...] = ("enable", "disable")
LIFETIME = timedelta(hours=24)
FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=10)


@dataclass(frozen=True)
class Attempt:
    """One time that a command was sent, or could not be.

    sent: something of it may have reached the unit. outcome: empty while it runs; answered, no answer, not sent,
    or interrupted (the bridge ended meanwhile). detail: a sentence.
    """

    started_at: datetime
    ended_at: datetime | None
    sent: bool
    outcome: str
    detail: str


@dataclass(frozen=True)
class Before:
    """What a unit said of itself before it was sent a token.

    last_count: the last accepted one, None when the unit does not tell. state and seconds_left: as in UnitStatus.
    """

    last_count: int | None
    state: str
    seconds_left: int | None


@dataclass(frozen=True)
class Command:
    """What an operator wants of a unit, and how far it is.

    serial: None for a unit that has none to tell, which its port stands for. token: its digits, for enter. reason: why
    it stands where it stands. next_try_at: None when it waits for an operator, or is no longer open.
    """

    id: int
    kind: Kind
    serial: str | None
    port: str | None
    token: str | None
    state: CommandState
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    next_try_at: datetime | None
    finished_at: datetime | None
    before: Before | None
    resend_allowed: bool
    acknowledged_at: datetime | None
    acknowledged_seconds: int | None
    attempts: tuple[Attempt, ...]

    @property
    def open(self) -> bool:
        """Whether it still has to happen."""
        return self.state in OPEN_STATES

    @property
    def in_doubt(self) -> bool:
        """Whether the unit may have had it without our knowing its answer."""
        return any(attempt.sent and attempt.outcome in ("", "no answer", "interrupted") for attempt in self.attempts)

    def what_to_do(self) -> str:
        """What an operator can do about it, as a sentence; empty when there is nothing to do."""
        if self.open and self.next_try_at is None:
            return f"look at the unit; 'commands retry {self.id}' sends it again, 'commands cancel {self.id}' ends it"
        if self.open:
            where = "'commands run PORT' or a gateway tries again"
            return f"{where}; 'commands cancel {self.id}' ends it"
        if self.state == "expired" and self.in_doubt:
            return "it may have had its effect: compare 'bridge status' with what is due before sending another"
        return ""

    def to_json(self) -> dict[str, Any]:
        """For machines and people: times in ISO 8601, of a token only its last three digits."""
        return {
            "id": self.id,
            "kind": self.kind,
            "serial": self.serial,
            "port": self.port,
            "token": None if self.token is None else "*" * (len(self.token) - 3) + self.token[-3:],
            "state": self.state,
            "reason": self.reason,
            "what_to_do": self.what_to_do(),
            "created_by": self.created_by,
            **{
                name: None if (at := getattr(self, name)) is None else at.isoformat()
                for name in ("created_at", "expires_at", "next_try_at", "finished_at")
            },
            "attempts": [
                {
                    "started_at": attempt.started_at.isoformat(),
                    "sent": attempt.sent,
                    "outcome": attempt.outcome,
                    "detail": attempt.detail,
                }
                for attempt in self.attempts
            ],
        }


class _AttemptRow(Base):
    __tablename__ = "bridge_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    command_id: Mapped[int] = mapped_column(ForeignKey("bridge_commands.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent: Mapped[bool]
    outcome: Mapped[str]
    detail: Mapped[str]


class _CommandRow(Base):
    __tablename__ = "bridge_commands"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    serial: Mapped[str | None] = mapped_column(index=True)
    port: Mapped[str | None]
    token: Mapped[str | None]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_try_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    before_count: Mapped[int | None]
    before_state: Mapped[str | None]
    before_seconds: Mapped[int | None]
    resend_allowed: Mapped[bool]
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_seconds: Mapped[int | None]
    attempts: Mapped[list[_AttemptRow]] = relationship(order_by=_AttemptRow.id)

    def command(self) -> Command:
        before = None
        if self.before_state is not None:
            before = Before(self.before_count, self.before_state, self.before_seconds)
        return Command(
            self.id,
            cast(Kind, self.kind),
            self.serial,
            self.port,
            self.token,
            cast(CommandState, self.state),
            self.reason,
            self.created_by,
            self.created_at,
            self.expires_at,
            self.next_try_at,
            self.finished_at,
            before,
            self.resend_allowed,
            self.acknowledged_at,
            self.acknowledged_seconds,
            tuple(Attempt(row.started_at, row.ended_at, row.sent, row.outcome, row.detail) for row in self.attempts),
        )

    def finish(self, state: CommandState, reason: str) -> None:
        self.state, self.reason, self.finished_at, self.next_try_at = state, reason, utc_now(), None

    def end_attempt(self, outcome: str, detail: str) -> None:
        """Ends the attempt that runs, or adds one that did not come to sending."""
        if not self.attempts or self.attempts[-1].ended_at is not None:
            self.attempts.append(_AttemptRow(started_at=utc_now(), sent=False))
        row = self.attempts[-1]
        row.ended_at, row.outcome, row.detail = utc_now(), outcome, detail


class CommandJournal(Store):
    """Commands and their attempts. Use `with CommandJournal.open(path)`."""

    def record(
        self,
        kind: Kind,
        *,
        serial: str | None = None,
        port: str | None = None,
        token: str | None = None,
        by: str,
        lifetime: timedelta = LIFETIME,
    ) -> Command:
        """Records a command for a unit: by its serial, or by its port when it has none to tell.

        The same command again, while it is open, is that command. A switch command replaces an open one of the same
        unit. Raises PaygoError when neither serial nor port is given.
        """
        if not serial and not port:
            raise PaygoError("a command needs a unit", "give its serial number, or its port when it has none")
        with self._transaction() as session:
            now = utc_now()
            self._expire(session, now)
            for row in self._open_rows(session, serial, port):
                if row.kind == kind and row.token == token:
                    row.port = port or row.port
                    return row.command()
                if row.kind in SWITCHING and kind in SWITCHING:
                    row.finish("cancelled", f"a later command of {by} replaces it: {kind}")
            row = _CommandRow(
                kind=kind,
                serial=serial,
                port=port,
                token=token,
                state="recorded",
                reason="it was not sent yet",
                created_by=by,
                created_at=now,
                expires_at=now + lifetime,
                next_try_at=now,
                resend_allowed=False,
            )
            session.add(row)
            session.flush()
            return row.command()

    def command(self, command_id: int) -> Command:
        """One command. Raises PaygoError when there is none with this id."""
        with self._transaction() as session:
            return self._row(session, command_id).command()

    def commands(self, *, open_only: bool = False, serial: str | None = None) -> list[Command]:
        """All of them, or what is open, oldest first."""
        with self._transaction() as session:
            self._expire(session, utc_now())
            query = select(_CommandRow).order_by(_CommandRow.id)
            if open_only:
                query = query.where(_CommandRow.state.in_(OPEN_STATES))
            if serial is not None:
                query = query.filter_by(serial=serial)
            return [row.command() for row in session.scalars(query)]

    def due(self, serial: str | None = None, port: str | None = None) -> list[Command]:
        """What is to be tried now on a unit: of its tokens the oldest, and of its switch the newest command."""
        with self._transaction() as session:
            now = utc_now()
            self._expire(session, now)
            first: dict[bool, _CommandRow] = {}
            for row in self._open_rows(session, serial, port):
                first.setdefault(row.kind in SWITCHING, row)
            return [row.command() for row in first.values() if row.next_try_at is not None and row.next_try_at <= now]

    def due_serials(self) -> set[str]:
        """The units that have a command to be tried now."""
        with self._transaction() as session:
            now = utc_now()
            self._expire(session, now)
            query = select(_CommandRow.serial).where(
                _CommandRow.state.in_(OPEN_STATES), _CommandRow.next_try_at <= now, _CommandRow.serial.is_not(None)
            )
            return {serial for serial in session.scalars(query) if serial}

    # What happens to a command, for who carries it out

    def resume(self, command_id: int) -> Command:
        """Takes a command up: an attempt that the bridge did not survive is closed as interrupted."""
        with self._transaction() as session:
            row = self._row(session, command_id)
            if row.state in OPEN_STATES and row.expires_at <= utc_now():
                self._let_expire(row)
            if row.attempts and row.attempts[-1].ended_at is None:
                row.end_attempt("interrupted", "the bridge ended before it knew the answer")
            return row.command()

    def will_send(self, command_id: int, before: Before | None) -> None:
        """From here on the unit may have it. `before` is kept from the first time."""
        with self._transaction() as session:
            row = self._row(session, command_id)
            if before is not None and row.before_state is None:
                row.before_count, row.before_state = before.last_count, before.state
                row.before_seconds = before.seconds_left
            row.state, row.reason, row.resend_allowed = "sent", "its answer is awaited", False
            row.attempts.append(_AttemptRow(started_at=utc_now(), sent=True, outcome="", detail=""))

    def acknowledge(self, command_id: int, detail: str, seconds_left: int | None = None) -> Command:
        """The unit accepted it; its status has still to confirm it."""
        with self._transaction() as session:
            row = self._row(session, command_id)
            if row.attempts and row.attempts[-1].ended_at is None:
                row.end_attempt("answered", detail)
            row.state, row.reason, row.acknowledged_at = "acknowledged", detail, utc_now()
            row.acknowledged_seconds, row.next_try_at = seconds_left, utc_now()
            return row.command()

    def confirm(self, command_id: int, reason: str) -> Command:
        """The unit's status shows it."""
        with self._transaction() as session:
            row = self._row(session, command_id)
            row.finish("confirmed", reason)
            return row.command()

    def refuse(self, command_id: int, reason: str) -> Command:
        """It will not happen."""
        with self._transaction() as session:
            row = self._row(session, command_id)
            row.end_attempt("answered", reason)
            row.finish("refused", reason)
            return row.command()

    def fail(
        self, command_id: int, outcome: str, detail: str, *, again: bool = True, after: int | None = None
    ) -> Command:
        """An attempt failed. again: it is tried again, `after` so many seconds or with back-off; else it is held."""
        with self._transaction() as session:
            row = self._row(session, command_id)
            row.end_attempt(outcome, detail)
            row.reason = detail
            delay = min(FIRST_DELAY * 2 ** min(len(row.attempts) - 1, 16), LONGEST_DELAY)
            if after is not None:
                delay = timedelta(seconds=after)
            row.next_try_at = utc_now() + delay if again else None
            return row.command()

    def send_again(self, command_id: int, detail: str) -> Command:
        """The unit accepted a switch command, and its telemetry denies it."""
        with self._transaction() as session:
            self._row(session, command_id).state = "sent"
        return self.fail(command_id, "answered", detail)

    # What an operator does

    def retry(self, command_id: int, by: str) -> Command:
        """Lets an open command be tried now, also one that was held. Raises PaygoError when it is not open."""
        with self._transaction() as session:
            row = self._open_row(session, command_id)
            row.next_try_at, row.resend_allowed = utc_now(), True
            row.expires_at = max(row.expires_at, utc_now() + LIFETIME)
            row.reason = f"{by} lets it be tried again; before: {row.reason}"
            return row.command()

    def cancel(self, command_id: int, by: str) -> Command:
        """Ends an open command; what was sent may have had its effect. Raises PaygoError when it is not open."""
        with self._transaction() as session:
            row = self._open_row(session, command_id)
            sent = (
                " after it was sent: it may have had its effect" if row.state != "recorded" else " before it was sent"
            )
            row.finish("cancelled", f"{by} cancelled it{sent}")
            return row.command()

    # Rows

    def _row(self, session: Session, command_id: int) -> _CommandRow:
        row = session.get(_CommandRow, command_id)
        if row is None:
            raise PaygoError(f"there is no command {command_id}", "'paygo bridge commands list --all' lists them")
        return row

    def _open_row(self, session: Session, command_id: int) -> _CommandRow:
        row = self._row(session, command_id)
        if row.state not in OPEN_STATES:
            raise PaygoError(
                f"command {command_id} is {row.state}: {row.reason}", "record it anew if it is still wanted"
            )
        return row

    def _open_rows(self, session: Session, serial: str | None, port: str | None) -> Iterable[_CommandRow]:
        query = select(_CommandRow).where(_CommandRow.state.in_(OPEN_STATES)).order_by(_CommandRow.id)
        unit = {"serial": serial} if serial else {"serial": None, "port": port}
        return session.scalars(query.filter_by(**unit)).all()

    def _expire(self, session: Session, now: datetime) -> None:
        query = select(_CommandRow).where(_CommandRow.state.in_(OPEN_STATES), _CommandRow.expires_at <= now)
        for row in session.scalars(query):
            self._let_expire(row)

    def _let_expire(self, row: _CommandRow) -> None:
        row.finish("expired", f"its time ran out at {row.expires_at:%Y-%m-%d %H:%M} UTC; last: {row.reason}")
