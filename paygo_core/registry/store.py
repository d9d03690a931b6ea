"""The registry itself: devices and issued tokens in one SQLite file.

A token is returned only after its count is durable, and writers take the file's write lock before they read a count,
so that two processes never issue the same count.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import insert, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.registry.engine import open_engine, writing
from paygo_core.registry.issuing import next_token
from paygo_core.registry.schema import (
    ISSUE_REASONS,
    SCHEMA_VERSION,
    STATES,
    Base,
    DeviceRow,
    IssueReason,
    MetaRow,
    State,
    TokenRow,
    new_device_values,
    utc_now,
)
from paygo_core.registry.trouble import explained
from paygo_core.tokens import Days, Token, TokenType

_PAGE = 500


@dataclass(frozen=True)
class RegisteredDevice:
    """A device with what the registry knows besides. Times are aware UTC."""

    device: Device
    state: State
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class IssuedToken:
    """A token with when, why and by whom it was issued. issued_at is aware UTC."""

    token: Token
    extended: bool
    reason: IssueReason
    issued_by: str
    issued_at: datetime


@dataclass(frozen=True)
class Conflict:
    """A device that the registry holds with other data. `differs` says with what ("another secret key")."""

    serial: str
    differs: tuple[str, ...]

    def __str__(self) -> str:
        return f"the registry holds {self.serial} with {' and '.join(self.differs)}"


@dataclass(frozen=True)
class ImportResult:
    """What became of a list: numbers of devices, and the refused ones."""

    added: int
    unchanged: int
    conflicts: list[Conflict] = field(default_factory=list)


class Registry:
    """Which devices exist, their keys and their counts. Make one with `Registry.open`; close it, or use `with`.

    Every method is one transaction, which is on the disk when the method returns. Methods raise PaygoError for wrong
    arguments and RegistryUnavailableError when the file is locked, denied, full or damaged. Safe to use from several
    threads, and from several processes on the same file (not on a network file system).
    """

    def __init__(self, path: str, engine: Engine) -> None:
        self._path = path
        self._engine = engine
        self._writing = writing(engine)

    @classmethod
    def open(
        cls, place: str | os.PathLike[str] = "paygo.db", create: bool = True, *, busy_seconds: float = 30.0
    ) -> Registry:
        """The registry in a file, given as path or as `sqlite:///path`. A new one is made with mode 0600.

        create: make it when it is not there; else that is a PaygoError. busy_seconds: how long to wait for another
        program's transaction.
        """
        registry = cls(*open_engine(place, create, busy_seconds))
        registry._ensure_schema(create)
        return registry

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Registry({self._path!r})"

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Session]:
        engine = self._writing if write else self._engine
        with explained(self._path), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def _ensure_schema(self, create: bool) -> None:
        with self._transaction() as session:
            found = self._has_schema(session)
        if found:
            return
        if not create:
            raise PaygoError(f"{self._path}: the file holds no registry", "import a device list to make one")
        with self._transaction(write=True) as session:
            if not self._has_schema(session):  # another process may have been faster
                Base.metadata.create_all(session.connection())
                session.add(MetaRow(name="schema_version", value=str(SCHEMA_VERSION)))

    def _has_schema(self, session: Session) -> bool:
        tables = inspect(session.connection()).get_table_names()
        if not tables:
            return False
        row = session.get(MetaRow, "schema_version") if MetaRow.__tablename__ in tables else None
        if row is None:
            raise PaygoError(f"{self._path}: a database, but not a registry", "name a registry, or a new file")
        if row.value != str(SCHEMA_VERSION):
            raise PaygoError(
                f"{self._path}: the registry has schema version {row.value}, this program knows {SCHEMA_VERSION}",
                "use the newer version of this program that wrote it",
            )
        return True

    def add(self, device: Device) -> bool:
        """Adds a device; False when it is there already. Raises PaygoError when it is there with other data."""
        result = self.import_devices([device])
        for conflict in result.conflicts:
            raise PaygoError(str(conflict), "nothing is ever overwritten")
        return result.added == 1

    def import_devices(self, devices: Iterable[Device]) -> ImportResult:
        """Adds devices in one transaction. Nothing is overwritten: other data for a known serial is a conflict.

        A known device is unchanged also when the registry's count is further on, since tokens were issued meanwhile.
        A list that is ahead of the registry is a conflict: somebody else issues tokens for that device.
        """
        added = unchanged = 0
        conflicts: list[Conflict] = []
        remaining = iter(devices)
        with self._transaction(write=True) as session:
            while chunk := list(islice(remaining, _PAGE)):
                rows = session.scalars(select(DeviceRow).where(DeviceRow.serial.in_([d.serial for d in chunk])))
                known = {row.serial: row.device() for row in rows}
                new: list[dict[str, Any]] = []
                for device in chunk:
                    old = known.get(device.serial)
                    if old is None:
                        _checked_text("hardware model", device.hardware_model)
                        _checked_text("version", device.version)
                        known[device.serial] = device
                        new.append(new_device_values(device))
                    elif differs := _differences(old, device):
                        conflicts.append(Conflict(device.serial, differs))
                    else:
                        unchanged += 1
                if new:
                    session.execute(insert(DeviceRow), new)
                added += len(new)
        return ImportResult(added, unchanged, conflicts)

    def device(self, serial: str) -> Device:
        """The device with its present count. Raises PaygoError, with the nearest serial, when there is none."""
        return self.entry(serial).device

    def entry(self, serial: str) -> RegisteredDevice:
        """The device with its state and times. Raises as `device`."""
        with self._transaction() as session:
            return _entry(_row(session, serial))

    def devices(self) -> Iterator[Device]:
        """All devices by serial. Other methods may be called, and devices added, on the way."""
        return (entry.device for entry in self.entries())

    def entries(self) -> Iterator[RegisteredDevice]:
        """All devices by serial, with states and times."""
        # In pages: a reader that keeps its transaction open would lock out the writers.
        last = ""
        while True:
            with self._transaction() as session:
                query = select(DeviceRow).where(DeviceRow.serial > last).order_by(DeviceRow.serial).limit(_PAGE)
                page = [_entry(row) for row in session.scalars(query)]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].device.serial

    def set_state(self, serial: str, state: State) -> None:
        """Notes where the device is in its life. Raises PaygoError for a serial or a state that there is not."""
        if state not in STATES:
            raise PaygoError(f"{state!r} is not a state", f"states are {', '.join(STATES)}")
        with self._transaction(write=True) as session:
            row = _row(session, serial)
            row.state, row.updated_at = state, utc_now()

    def issue(
        self,
        serial: str,
        token_type: TokenType = TokenType.ADD_TIME,
        *,
        value: int | None = None,
        days: Days | None = None,
        extended: bool = False,
        reason: IssueReason = "payment",
        issued_by: str = "",
        dry_run: bool = False,
    ) -> Token:
        """The device's next token. Its count is spent, on the disk, before the token is returned.

        value: raw units, or days (T7), for ADD_TIME and SET_TIME; the collision rule is kept (T18). issued_by: who.
        dry_run: only what the token would be; the next caller gets the same one. Raises PaygoError for anything out
        of range and when no count is left (T10).
        """
        if reason not in ISSUE_REASONS:
            raise PaygoError(f"{reason!r} is not a reason", f"reasons are {', '.join(ISSUE_REASONS)}")
        _checked_text("issued by", issued_by)
        with self._transaction(write=not dry_run) as session:
            row = _row(session, serial)
            token = next_token(row.device(), token_type, value=value, days=days, extended=extended)
            if not dry_run:
                row.count, row.updated_at = token.count, utc_now()
                session.add(
                    TokenRow(
                        device_id=row.id,
                        count=token.count,
                        token_type=int(token.token_type),
                        value=token.value,
                        extended=extended,
                        digits=token.digits,
                        reason=reason,
                        issued_by=issued_by,
                        issued_at=row.updated_at,
                    )
                )
        return token

    def tokens(self, serial: str) -> list[IssuedToken]:
        """The tokens issued for a device, by count. Raises PaygoError when there is no such device."""
        with self._transaction() as session:
            query = select(TokenRow).where(TokenRow.device_id == _row(session, serial).id).order_by(TokenRow.count)
            return [_issued(row) for row in session.scalars(query)]


def _row(session: Session, serial: str) -> DeviceRow:
    sane = len(serial) <= 64 and serial.isprintable()
    row = session.scalars(select(DeviceRow).where(DeviceRow.serial == serial)).first() if sane else None
    if row is None:
        nearest = _nearest(session, serial) if sane else None
        hint = f"did you mean {nearest}?" if nearest else "list the devices to see the serials"
        raise PaygoError(f"the registry has no device {serial[:64]!r}", hint)
    return row


def _nearest(session: Session, serial: str) -> str | None:
    """The serial most like this one among its neighbours in the alphabet, and so among all in a small registry."""
    column = DeviceRow.serial
    folded: dict[str, str] = {}
    for typed in {serial, serial.upper()}:
        above = select(column).where(column >= typed).order_by(column).limit(_PAGE)
        below = select(column).where(column < typed).order_by(column.desc()).limit(_PAGE)
        folded |= {found.casefold(): found for query in (above, below) for found in session.scalars(query)}
    matches = difflib.get_close_matches(serial.casefold(), folded, n=1, cutoff=0.8)
    return folded[matches[0]] if matches else None


def _checked_text(name: str, text: str) -> None:
    if not text.isprintable():
        raise PaygoError(f"the text of {name!r} has control characters", "write it as plain text")


def _entry(row: DeviceRow) -> RegisteredDevice:
    state: Any = row.state  # CHECKed by the database
    return RegisteredDevice(row.device(), state, row.created_at, row.updated_at)


def _issued(row: TokenRow) -> IssuedToken:
    token = Token(row.digits, row.count, TokenType(row.token_type), row.value)
    reason: Any = row.reason  # CHECKed by the database
    return IssuedToken(token, row.extended, reason, row.issued_by, row.issued_at)


def _differences(old: Device, new: Device) -> tuple[str, ...]:
    names = ("secret_key", "starting_code", "time_divider", "restricted_digit_set")
    windows = ("max_jump", "max_sync_jump", "older_window", "max_count")
    differs = [name for name in names + windows if getattr(old.config, name) != getattr(new.config, name)]
    differs += [name for name in ("hardware_model", "version", "test_code") if getattr(old, name) != getattr(new, name)]
    phrases = [f"another {name.replace('_', ' ')}" for name in differs]
    return (*phrases, "a lower count") if new.count > old.count else tuple(phrases)
