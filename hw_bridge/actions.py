"""Alerts become actions for people: at least once on the wire, exactly once here.

An event is durable before the unit is told so. A repetition is known by serial, boot and sequence (H19, H20). All
events about one thing at one unit are grouped in one action while it lasts, and for a day after its end: one that
returns reopens its action. Every change of an action is kept with who made it and when, and is what leaves for other
systems.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from hw_bridge.drivers import ActiveAlert
from hw_bridge.store import Base, Store
from paygo_core.errors import DeviceError, PaygoError
from paygo_core.registry.schema import UtcDateTime, utc_now
from paygo_core.wire.hdk import Alert

LARGEST_NUMBER = 2**63 - 1
"""What the database can hold."""
REOPEN_WITHIN = timedelta(days=1)
UNIT = "unit"
"""Who made a change that an alert made."""

_UNRESOLVED = text("state <> 'resolved'")

ActionState = Literal["open", "acknowledged", "resolved"]
What = Literal["opened", "repeated", "acknowledged", "resolved", "reopened"]


@dataclass(frozen=True)
class Action:
    """Something to look after: an alert of a unit that was raised, `times` times, until it is cleared.

    code: the alert's. state: open, acknowledged (somebody is on it) or resolved. value and unit: as last raised (H20).
    Times are aware UTC, None for what did not happen; resolved_by: unit, or the person who did it.
    """

    id: int
    serial: str
    code: str
    state: ActionState
    value: int
    unit: str
    times: int
    opened_at: datetime
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For machines: times in ISO 8601, nothing that is None."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}


@dataclass(frozen=True)
class Change:
    """A change of an action: what happened, who made it, when, and a note. key: its name for ever, everywhere."""

    id: int
    key: str
    action: Action
    what: What
    who: str
    at: datetime
    note: str

    def to_json(self) -> dict[str, Any]:
        """As it leaves for other systems. `action` is the action as it is now."""
        return {
            "key": self.key,
            "what": self.what,
            "who": self.who,
            "at": self.at.isoformat(),
            "note": self.note,
            "action": self.action.to_json(),
        }


@dataclass(frozen=True)
class Audit:
    """What should not be: alerts that no action is about (serial, boot, sequence, code), and actions that reached no
    outside system, with the last reason.
    """

    alerts: tuple[tuple[str, int, int, str], ...]
    actions: tuple[tuple[Action, str], ...]


class _EventRow(Base):
    __tablename__ = "alert_events"
    __table_args__ = (UniqueConstraint("serial", "boot", "seq", "code", "raised", "value", "unit"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    serial: Mapped[str]
    boot: Mapped[int]
    seq: Mapped[int]
    code: Mapped[str]
    raised: Mapped[bool]
    value: Mapped[int]
    unit: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    action_id: Mapped[int | None]


class _ActionRow(Base):
    __tablename__ = "actions"
    __table_args__ = (
        Index(
            "ix_actions_unresolved",
            "serial",
            "code",
            unique=True,
            sqlite_where=_UNRESOLVED,
            postgresql_where=_UNRESOLVED,
        ),
        Index("ix_actions_serial_code", "serial", "code"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    serial: Mapped[str]
    code: Mapped[str]
    state: Mapped[str]
    value: Mapped[int]
    unit: Mapped[str]
    times: Mapped[int]
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acknowledged_by: Mapped[str | None]
    resolved_by: Mapped[str | None]

    def action(self) -> Action:
        return Action(
            self.id,
            self.serial,
            self.code,
            cast(ActionState, self.state),
            self.value,
            self.unit,
            self.times,
            self.opened_at,
            self.resolved_at,
            self.acknowledged_at,
            self.acknowledged_by,
            self.resolved_by,
        )

    def resolve(self, who: str) -> None:
        self.state, self.resolved_at, self.resolved_by = "resolved", utc_now(), who


class _ChangeRow(Base):
    __tablename__ = "action_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    action_id: Mapped[int] = mapped_column(ForeignKey("actions.id"), index=True)
    what: Mapped[str]
    who: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    note: Mapped[str]


class _DeliveryRow(Base):
    __tablename__ = "action_deliveries"
    __table_args__ = (UniqueConstraint("change_id", "destination"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("action_changes.id"))
    destination: Mapped[str]
    attempts: Mapped[int]
    tried_at: Mapped[datetime] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    refused: Mapped[bool]
    detail: Mapped[str]


class ActionStore(Store):
    """Events, actions, their changes and where those were delivered. Use `with ActionStore.open(path)`."""

    def record(self, serial: str, alert: Alert, *, reopen_within: timedelta = REOPEN_WITHIN) -> Action | None:
        """Stores an event and what follows from it. Returns the action that it changed.

        None when nothing changed: a repetition, or the end of something that no action is about. reopen_within: how
        long after its end an action is reopened in place of a new one. Raises DeviceError for numbers above 2^63 - 1,
        which no unit counts to. Acknowledge an alert to its unit after this (H21).
        """
        if max(alert.boot, alert.seq) > LARGEST_NUMBER:
            raise DeviceError(
                f"the unit sent an event numbered {alert.seq} of start {alert.boot}", "no unit counts so far"
            )
        with self._transaction() as session:
            known = select(_EventRow.id).filter_by(serial=serial, boot=alert.boot, seq=alert.seq)
            if session.scalar(known) is not None:
                return None
            row: _ActionRow | None
            if alert.raised:
                row = self._raise(session, serial, alert.code, alert.value, alert.unit, reopen_within)
            else:
                row = self._clear(session, serial, alert.code)
            event = _EventRow(serial=serial, received_at=utc_now(), action_id=row.id if row else None, **vars(alert))
            session.add(event)
            return row.action() if row else None

    def observe(self, serial: str, active: Iterable[ActiveAlert]) -> list[Action]:
        """For units that number no events, but tell which alerts are active now.

        What was not active before is raised, what no longer is, is cleared. Returns the actions that changed.
        """
        now = {alert.code: alert for alert in active}
        with self._transaction() as session:
            unresolved = {row.code: row for row in session.scalars(self._unresolved(serial))}
            changed = [
                self._raise(session, serial, code, alert.value, alert.unit, REOPEN_WITHIN)
                for code, alert in now.items()
                if code not in unresolved
            ]
            for code, row in unresolved.items():
                if code not in now:
                    row.resolve(UNIT)
                    self._note(session, row, "resolved", UNIT)
                    changed.append(row)
            return [row.action() for row in changed]

    def acknowledge(self, action_id: int, who: str = "", note: str = "") -> Action:
        """Somebody is on it. Raises PaygoError when no open action has this id."""
        with self._transaction() as session:
            row = session.get(_ActionRow, action_id)
            if row is None or row.state != "open":
                raise PaygoError(f"there is no open action {action_id}", "open_actions() lists them")
            row.state, row.acknowledged_at, row.acknowledged_by = "acknowledged", utc_now(), who
            self._note(session, row, "acknowledged", who, note)
            return row.action()

    def resolve(self, action_id: int, who: str, note: str = "") -> Action:
        """Somebody has dealt with it. When the unit raises it again, it is open again.

        Raises PaygoError when no action with this id is unresolved.
        """
        with self._transaction() as session:
            row = session.get(_ActionRow, action_id)
            if row is None or row.state == "resolved":
                raise PaygoError(f"there is no unresolved action {action_id}", "open_actions() lists them")
            row.resolve(who)
            self._note(session, row, "resolved", who, note)
            return row.action()

    def open_actions(self) -> list[Action]:
        """What is not resolved, oldest first."""
        return [action for action in self.actions() if action.state != "resolved"]

    def actions(self) -> list[Action]:
        """All of them, oldest first."""
        with self._transaction() as session:
            return [row.action() for row in session.scalars(select(_ActionRow).order_by(_ActionRow.id))]

    def changes(self, action_id: int) -> list[Change]:
        """What happened to an action, oldest first. Raises PaygoError when there is none with this id."""
        with self._transaction() as session:
            row = session.get(_ActionRow, action_id)
            if row is None:
                raise PaygoError(f"there is no action {action_id}", "'paygo bridge alerts list --all' lists them")
            query = select(_ChangeRow).filter_by(action_id=action_id).order_by(_ChangeRow.id)
            return [_change(change, row) for change in session.scalars(query)]

    # Out to other systems

    def undelivered(self, destination: str, limit: int = 100) -> list[Change]:
        """The oldest changes that this destination has neither taken nor refused, in order; repetitions are none."""
        with self._transaction() as session:
            done = (
                select(_DeliveryRow.change_id)
                .filter_by(destination=destination)
                .where(_DeliveryRow.delivered_at.is_not(None) | _DeliveryRow.refused)
            )
            query = (
                select(_ChangeRow, _ActionRow)
                .join(_ActionRow, _ActionRow.id == _ChangeRow.action_id)
                .where(_ChangeRow.what != "repeated", _ChangeRow.id.not_in(done))
                .order_by(_ChangeRow.id)
                .limit(limit)
            )
            return [_change(change, action) for change, action in session.execute(query)]

    def note_delivery(self, change: Change, destination: str, *, delivered: bool, refused: bool, detail: str) -> None:
        """Stores how an attempt to deliver went. refused: the destination wants it never."""
        with self._transaction() as session:
            row = session.scalar(select(_DeliveryRow).filter_by(change_id=change.id, destination=destination))
            if row is None:
                row = _DeliveryRow(change_id=change.id, destination=destination, attempts=0)
                session.add(row)
            row.attempts, row.tried_at, row.detail = row.attempts + 1, utc_now(), detail
            row.delivered_at, row.refused = utc_now() if delivered else None, refused

    def audit(self) -> Audit:
        """Every raised alert without an action, and every action of which nothing reached an outside system."""
        with self._transaction() as session:
            events = select(_EventRow).filter_by(raised=True, action_id=None).order_by(_EventRow.id)
            alerts = [(row.serial, row.boot, row.seq, row.code) for row in session.scalars(events)]
            reached = (
                select(_ChangeRow.action_id)
                .join(_DeliveryRow, _DeliveryRow.change_id == _ChangeRow.id)
                .where(_DeliveryRow.delivered_at.is_not(None))
            )
            unknown = select(_ActionRow).where(_ActionRow.id.not_in(reached)).order_by(_ActionRow.id)
            actions = [(row.action(), self._last_reason(session, row.id)) for row in session.scalars(unknown)]
            return Audit(tuple(alerts), tuple(actions))

    def counts(self) -> dict[str, int]:
        """How many events, actions and unresolved actions there are."""
        with self._transaction() as session:
            return {
                "events": session.scalar(select(func.count(_EventRow.id))) or 0,
                "actions": session.scalar(select(func.count(_ActionRow.id))) or 0,
                "unresolved": session.scalar(select(func.count(_ActionRow.id)).where(_UNRESOLVED)) or 0,
            }

    # Rows

    def _last_reason(self, session: Session, action_id: int) -> str:
        query = (
            select(_DeliveryRow.destination, _DeliveryRow.attempts, _DeliveryRow.detail)
            .join(_ChangeRow, _ChangeRow.id == _DeliveryRow.change_id)
            .where(_ChangeRow.action_id == action_id)
            .order_by(_DeliveryRow.tried_at.desc())
            .limit(1)
        )
        found = session.execute(query).first()
        return f"{found[0]}, attempt {found[1]}: {found[2]}" if found else "no delivery was tried"

    def _unresolved(self, serial: str) -> Any:
        return select(_ActionRow).filter_by(serial=serial).where(_UNRESOLVED)

    def _raise(
        self, session: Session, serial: str, code: str, value: int, unit: str, reopen_within: timedelta
    ) -> _ActionRow:
        row: _ActionRow | None = session.scalar(self._unresolved(serial).filter_by(code=code))
        what: What = "repeated"
        if row is None:
            ended = (
                select(_ActionRow).filter_by(serial=serial, code=code).order_by(_ActionRow.resolved_at.desc()).limit(1)
            )
            row = session.scalar(ended)
            what = "reopened"
            if row is None or row.resolved_at is None or utc_now() - row.resolved_at >= reopen_within:
                row, what = _ActionRow(serial=serial, code=code, times=0, opened_at=utc_now()), "opened"
                session.add(row)
            row.state, row.resolved_at, row.resolved_by = "open", None, None
            row.acknowledged_at = row.acknowledged_by = None
        row.times, row.value, row.unit = row.times + 1, value, unit
        session.flush()
        self._note(session, row, what, UNIT)
        return row

    def _clear(self, session: Session, serial: str, code: str) -> _ActionRow | None:
        row: _ActionRow | None = session.scalar(self._unresolved(serial).filter_by(code=code))
        if row is not None:
            row.resolve(UNIT)
            self._note(session, row, "resolved", UNIT)
        return row

    def _note(self, session: Session, row: _ActionRow, what: What, who: str, note: str = "") -> None:
        session.add(_ChangeRow(key=uuid.uuid4().hex, action_id=row.id, what=what, who=who, at=utc_now(), note=note))


def _change(row: _ChangeRow, action: _ActionRow) -> Change:
    return Change(row.id, row.key, action.action(), cast(What, row.what), row.who, row.at, row.note)
