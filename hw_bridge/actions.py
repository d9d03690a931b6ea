"""Alerts become actions for people: at least once on the wire, exactly once here.

An event is durable before the unit is told so. A repetition is known by serial, boot and sequence, and by saying the
same: a unit whose storage was replaced may begin to count anew, and its events are new ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Index, UniqueConstraint, select, text
from sqlalchemy.orm import Mapped, mapped_column

from hw_bridge.store import Base, Store
from paygo_core.errors import DeviceError, PaygoError
from paygo_core.registry.schema import UtcDateTime, utc_now
from paygo_core.wire.hdk import Alert

LARGEST_NUMBER = 2**63 - 1
"""What the database can hold."""

_UNRESOLVED = text("state <> 'resolved'")

ActionState = Literal["open", "acknowledged", "resolved"]


@dataclass(frozen=True)
class Action:
    """Something to look after: an alert of a unit that was raised, `times` times, until it is cleared.

    code: the alert's. state: open, acknowledged (somebody is on it) or resolved. value and unit: as last raised (H20).
    Times are aware UTC; resolved_at is None until the alert is cleared.
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

    def action(self) -> Action:
        state: Any = self.state
        return Action(
            self.id, self.serial, self.code, state, self.value, self.unit, self.times, self.opened_at, self.resolved_at
        )


class ActionStore(Store):
    """Events and actions, in two tables of their own in the registry's file. Use `with ActionStore.open(path)`.

    Every method is one transaction, on the disk when it returns. Raises as the registry does: PaygoError for a file
    that is none, RegistryUnavailableError when it is locked, denied, full or damaged.
    """

    def record(self, serial: str, alert: Alert) -> Action | None:
        """Stores an event and what follows from it. Returns the action that it changed.

        None when nothing changed: a repetition, or the end of something that no action is about. Raises DeviceError for
        numbers above 2^63 - 1, which no unit counts to. Acknowledge an alert to its unit after this (H21).
        """
        if max(alert.boot, alert.seq) > LARGEST_NUMBER:
            raise DeviceError(
                f"the unit sent an event numbered {alert.seq} of start {alert.boot}", "no unit counts so far"
            )
        with self._transaction() as session:
            known = select(_EventRow.id).filter_by(serial=serial, **asdict(alert))
            if session.scalar(known) is not None:
                return None
            now = utc_now()
            session.add(
                _EventRow(
                    serial=serial,
                    boot=alert.boot,
                    seq=alert.seq,
                    code=alert.code,
                    raised=alert.raised,
                    value=alert.value,
                    unit=alert.unit,
                    received_at=now,
                )
            )
            query = select(_ActionRow).filter_by(serial=serial, code=alert.code).where(_ActionRow.state != "resolved")
            row = session.scalar(query)
            if alert.raised and row is None:
                row = _ActionRow(serial=serial, code=alert.code, state="open", times=0, opened_at=now)
                session.add(row)
            if row is None:
                return None
            if alert.raised:
                row.times, row.value, row.unit = row.times + 1, alert.value, alert.unit
            else:
                row.state, row.resolved_at = "resolved", now
            session.flush()
            return row.action()

    def acknowledge(self, action_id: int) -> Action:
        """Somebody is on it. Raises PaygoError when no open action has this id."""
        with self._transaction() as session:
            row = session.get(_ActionRow, action_id)
            if row is None or row.state != "open":
                raise PaygoError(f"there is no open action {action_id}", "open_actions() lists them")
            row.state = "acknowledged"
            return row.action()

    def open_actions(self) -> list[Action]:
        """What is not resolved, oldest first."""
        return [action for action in self.actions() if action.state != "resolved"]

    def actions(self) -> list[Action]:
        """All of them, oldest first."""
        with self._transaction() as session:
            return [row.action() for row in session.scalars(select(_ActionRow).order_by(_ActionRow.id))]
