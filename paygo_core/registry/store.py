"""The registry itself: devices and issued tokens, in one SQLite file or in PostgreSQL.

A token is returned only after its count is durable, and writers take the file's write lock, or in PostgreSQL the
device's row lock, before they read a count, so that two processes never issue the same count.
"""

from __future__ import annotations

import difflib
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from paygo_core._version import __version__
from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.registry.engine import begin, compact, keep_log, lock_registry, open_engine, writing
from paygo_core.registry.issuing import next_sync, next_token, next_tokens
from paygo_core.registry.keys import NO_KEY, KeyBox, KeyFile, Passphrase, Secrets
from paygo_core.registry.life import check_change, check_in_use
from paygo_core.registry.migrate import NEWEST, bring_up_to_date, schema_version
from paygo_core.registry.schema import (
    NOTE_KINDS,
    DeviceRow,
    IssueReason,
    IssueRow,
    MetaRow,
    NoteKind,
    NoteRow,
    State,
    TokenRow,
    device_of,
    new_device_values,
    utc_now,
)
from paygo_core.registry.spending import (
    ENCRYPTION,
    Order,
    Refused,
    Spent,
    checked_reason,
    checked_reference,
    find,
    recorded,
    spend,
    spend_alike,
    spend_many,
)
from paygo_core.registry.trouble import explained
from paygo_core.tokens import LARGEST_STARTING_CODE, Days, DeviceConfig, Token, TokenType, checked_int

_PAGE = 500
LARGEST_BATCH = 100_000
"""Devices that are made at once, at most."""
_SET = 10_000
"""Orders of one transaction."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class RegisteredDevice:
    """What the registry knows of a device but for its key. count: the last used. Times are aware UTC.

    takes_tokens: False for a device without a key, such as a plain charger, whose output the bridge switches.
    """

    serial: str
    state: State
    count: int
    starting_code: int
    time_divider: int
    restricted_digit_set: bool
    hardware_model: str
    version: str
    takes_tokens: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Note:
    """Something that happened to a device. noted_at is aware UTC."""

    kind: NoteKind
    text: str
    noted_by: str
    noted_at: datetime


@dataclass(frozen=True)
class IssuedToken:
    """A token with when, why, by whom and for which order it was issued. issued_at is aware UTC."""

    token: Token
    extended: bool
    reason: IssueReason
    issued_by: str
    issued_at: datetime
    reference: str = ""


@dataclass(frozen=True)
class IssuedBatch:
    """What many devices got, one entry each in the order given. digits: empty where there is no token or several.

    several: those that got more than one token, or whose state changed, by their places. refused: by their places.
    """

    serials: Sequence[str]
    digits: list[str]
    counts: list[int]
    several: dict[int, list[Token]]
    refused: dict[int, Refused]

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        """Each serial with the digits of its tokens, in the order in which they are to be entered."""
        for at, (serial, digits) in enumerate(zip(self.serials, self.digits, strict=True)):
            yield serial, [digits] if digits else [token.digits for token in self.several.get(at, ())]


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

    def __init__(self, path: str, engine: Engine, opens_with: Secrets) -> None:
        self._path = path
        self._engine = engine
        self._writing = writing(engine)
        self._writing_sets = writing(engine, trusted=True)
        self._secrets = opens_with
        self._box = KeyBox()
        self._opening = threading.Lock()
        self._ready = False

    @classmethod
    def open(
        cls,
        place: str | os.PathLike[str] = "paygo.db",
        create: bool = True,
        *,
        passphrase: Passphrase | None = None,
        key_file: str | os.PathLike[str] | None = None,
        busy_seconds: float = 30.0,
    ) -> Registry:
        """The registry in a file (a path, or `sqlite:///path`), or in PostgreSQL (`postgresql://user@host/name`).

        A new file is made with mode 0600; an older schema is brought up to date. create: make it when it is not there;
        else that is a PaygoError. passphrase: a text, or a function that is called when an encrypted key is needed for
        the first time. key_file: a file of 16 to 4096 random bytes instead. A new registry opened with either encrypts
        its keys from the start. busy_seconds: how long to wait for another program's transaction.
        """
        opens_with = Secrets(passphrase, None if key_file is None else KeyFile(os.fspath(key_file)))
        registry = cls(*open_engine(place, create, busy_seconds), opens_with)
        try:
            registry._ensure_schema(create)
            registry._ready = True
        except BaseException:
            registry.close()
            raise
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
        self._ask_first(write)
        engine = self._writing if write else self._engine
        with explained(self._path), Session(engine, expire_on_commit=False) as session, session.begin():
            begin(session.connection())
            yield session

    def _ask_first(self, write: bool) -> None:
        """Nobody shall wait for a lock while somebody types a passphrase."""
        if write and self._ready and callable(self._secrets.passphrase):
            with self._transaction() as session:
                self._keys(session)

    def _ensure_schema(self, create: bool) -> None:
        with self._transaction() as session:
            found = schema_version(session.connection(), self._path)
        if found == NEWEST:
            return
        if found is None and not create:
            raise PaygoError(f"{self._path}: the file holds no registry", "import a device list to make one")
        with self._transaction(write=True) as session:
            lock_registry(session)
            found = schema_version(session.connection(), self._path)  # another process may have been faster
            if found != NEWEST:
                bring_up_to_date(session.connection(), found)
            if found is None:
                session.add(MetaRow(name="made_by", value=f"paygo {__version__}"))
                if (secret := self._secrets.given) is not None:
                    session.add(MetaRow(name=ENCRYPTION, value=KeyBox.new(secret).parameters))
        keep_log(self._engine)

    def _keys(self, session: Session) -> KeyBox:
        """How keys are read and written now: another process may have changed it since the last transaction."""
        row = session.get(MetaRow, ENCRYPTION)
        return self._box_for("" if row is None else row.value)

    def _box_for(self, parameters: str) -> KeyBox:
        if parameters == self._box.parameters:
            return self._box
        with self._opening:
            if parameters != self._box.parameters:
                self._box = self._secrets.box(parameters)
            return self._box

    def open_keys(self) -> None:
        """Does now what the first key would wait for. Raises PaygoError when what was given does not open them."""
        with self._transaction() as session:
            self._keys(session)

    @property
    def encrypted(self) -> bool:
        """Whether the keys are encrypted at rest."""
        with self._transaction() as session:
            return session.get(MetaRow, ENCRYPTION) is not None

    def change_passphrase(self, new: str | None) -> int:
        """Encrypts every key anew, under another passphrase, or stores them plain when `new` is None.

        One transaction, so that after a crash either the old or the new one opens every key; returns how many keys
        there are. What SQLite kept of the old ones is overwritten. Needs what opens the present ones.
        """
        if new == "":
            raise PaygoError("an empty passphrase protects nothing", "give None to store the keys plain")
        return self._encrypt_anew(KeyBox() if new is None else KeyBox.new(new), Secrets(new))

    def change_key_file(self, new: str | os.PathLike[str]) -> int:
        """The same with the bytes of a key file, which is made when it is not there (mode 0600, 32 random bytes)."""
        file = KeyFile(os.fspath(new))
        with suppress(FileNotFoundError):
            os.stat(file.path)
            return self._encrypt_anew(KeyBox.new(file.read()), Secrets(None, file))
        with self._transaction() as session:
            self._keys(session)  # no file is made for whom the registry does not open
        file.make()
        return self._encrypt_anew(KeyBox.new(file.read()), Secrets(None, file))

    def _encrypt_anew(self, box: KeyBox, opens_with: Secrets) -> int:
        changed = 0
        page = select(DeviceRow.id, DeviceRow.serial, DeviceRow.key_format, DeviceRow.key_blob)
        page = page.where(DeviceRow.serial > bindparam("last"), DeviceRow.key_format != NO_KEY)
        page = page.order_by(DeviceRow.serial).limit(_PAGE).with_for_update()
        with self._transaction(write=True) as session:
            lock_registry(session)
            old, last = self._keys(session), ""
            while rows := session.execute(page, {"last": last}).all():
                keys = [old.unseal(row.serial, row.key_format, row.key_blob) for row in rows]
                sealed = [box.seal(row.serial, key) for row, key in zip(rows, keys, strict=True)]
                session.execute(
                    update(DeviceRow),
                    [
                        {"id": row.id, "key_format": stored_as, "key_blob": blob}
                        for row, (stored_as, blob) in zip(rows, sealed, strict=True)
                    ],
                )
                changed, last = changed + len(rows), rows[-1].serial
            session.execute(delete(MetaRow).where(MetaRow.name == ENCRYPTION))
            if box.parameters:
                session.add(MetaRow(name=ENCRYPTION, value=box.parameters))
        with self._opening:
            self._secrets, self._box = opens_with, box
        with explained(self._path):
            compact(self._engine)
        return changed

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
            lock_registry(session)
            keys = self._keys(session)
            while chunk := list(islice(remaining, _PAGE)):
                rows = session.scalars(select(DeviceRow).where(DeviceRow.serial.in_([d.serial for d in chunk])))
                known: dict[str, Device | None] = {row.serial: _device_of(row, keys) for row in rows}
                new: list[dict[str, Any]] = []
                for device in chunk:
                    old = known.get(device.serial)
                    if device.serial not in known:
                        _checked_text("hardware model", device.hardware_model)
                        _checked_text("version", device.version)
                        known[device.serial] = device
                        new.append(new_device_values(device, keys))
                    elif old is None:
                        conflicts.append(Conflict(device.serial, ("no key",)))
                    elif differs := _differences(old, device):
                        conflicts.append(Conflict(device.serial, differs))
                    else:
                        unchanged += 1
                if new:
                    session.execute(insert(DeviceRow), new)
                added += len(new)
        return ImportResult(added, unchanged, conflicts)

    @contextmanager
    def moving_in(self) -> Iterator[tuple[Connection, KeyBox]]:
        """For `paygo_core.moving`: a transaction in which nobody else adds devices, and how it stores keys."""
        with self._transaction(write=True) as session:
            lock_registry(session)
            yield session.connection(), self._keys(session)

    def moving_out(self, with_keys: bool) -> Iterator[tuple[DeviceRow, bytes | None]]:
        """For `paygo_core.moving`: all rows by serial, with the keys of those that have one if they are asked for."""
        for page in self._pages():
            keys = None
            if with_keys:
                with self._transaction() as session:
                    keys = self._keys(session)
            for row in page:
                told = keys is not None and row.key_format != NO_KEY
                yield row, keys.unseal(row.serial, row.key_format, row.key_blob) if keys and told else None

    def make(
        self,
        number: int,
        prefix: str,
        *,
        digits: int = 9,
        hardware_model: str = "",
        version: str = "",
        time_divider: int = 1,
        restricted_digit_set: bool = False,
    ) -> list[str]:
        """New devices with keys and starting codes from the operating system's randomness. Returns their serials.

        number: 1 … 100 000. Serials are the prefix and a running number of `digits` digits, which goes on after the
        highest that is there. Raises PaygoError when they run out, or for anything out of range.
        """
        checked_int("number of devices", number, 1, LARGEST_BATCH)
        checked_int("digits", digits, 1, 18)
        with self._transaction(write=True) as session:
            lock_registry(session)
            keys = self._keys(session)
            first = 1 + _highest_number(session, prefix, digits)
            if first + number > 10**digits:
                raise PaygoError(f"{prefix} has no {number} serials of {digits} digits left", "give more digits")
            serials = [f"{prefix}{n:0{digits}d}" for n in range(first, first + number)]
            devices = [
                Device(serial, _random_config(time_divider, restricted_digit_set), 1, hardware_model, version)
                for serial in serials
            ]
            _checked_text("hardware model", hardware_model)
            _checked_text("version", version)
            session.execute(insert(DeviceRow), [new_device_values(device, keys) for device in devices])
        return serials

    def rekey(self, serial: str, noted_by: str = "") -> Device:
        """Gives a device a new key and starting code, on the record: after a repair, or when the key got out.

        Its counts go on, so that no record is ambiguous; it is new until it is provisioned again. Returns the device.
        """
        with self._transaction(write=True) as session:
            lock_registry(session)  # against who encrypts all keys anew
            row = _row(session, serial, lock=True)
            check_in_use(serial, row.state)
            keys = self._keys(session)
            keys.unseal(serial, row.key_format, row.key_blob)
            config = _random_config(row.time_divider, row.restricted_digit_set)
            row.key_format, row.key_blob = keys.seal(serial, config.secret_key)
            was, row.state = row.state, "new"
            row.starting_code, row.updated_at = config.starting_code, utc_now()
            if was != "new":
                session.add(_state_note(row, was, "", noted_by))
            text = f"a new key after count {row.count}; tokens up to it work no more"
            session.add(NoteRow(device_id=row.id, kind="rekey", text=text, noted_by=noted_by, noted_at=utc_now()))
            return device_of(row, keys)

    def swap(self, old: str, new: str, days: Days, *, issued_by: str = "") -> tuple[Token, list[Token]]:
        """Moves what is left of a unit's credit to another unit, on the record of both, in one transaction.

        days: what is left, as the old unit shows or its customer's account says. Returns the token that locks the old
        unit, whose state becomes repair, and those that set the new one's time. Raises PaygoError as `issue`.
        """
        if old == new:
            raise PaygoError(f"{old} cannot take its own place", "name the unit that takes its place")
        _checked_text("issued by", issued_by)
        with self._transaction(write=True) as session:
            # Always in the same order, so that two swaps never wait for each other.
            rows = {serial: _row(session, serial, lock=True) for serial in sorted((old, new))}
            for row in rows.values():
                check_in_use(row.serial, row.state)
            keys = self._keys(session)
            lock = next_tokens(device_of(rows[old], keys), TokenType.SET_TIME, value=0)
            moved = next_tokens(device_of(rows[new], keys), TokenType.SET_TIME, days=days)
            for serial, tokens in ((old, lock), (new, moved)):
                spend(session.connection(), rows[serial], tokens, "manual", issued_by)
                session.refresh(rows[serial])
            if rows[old].state != "repair":
                was, rows[old].state = rows[old].state, "repair"
                session.add(_state_note(rows[old], was, "", issued_by))
            for serial, text in (
                (old, f"replaced by {new}, {days} days left"),
                (new, f"replaces {old}, {days} days left"),
            ):
                note = NoteRow(
                    device_id=rows[serial].id, kind="swap", text=text, noted_by=issued_by, noted_at=utc_now()
                )
                session.add(note)
        return lock[0], moved

    def add_plain(self, serial: str, hardware_model: str = "", version: str = "") -> bool:
        """Adds a device that takes no tokens, and needs no key; False when it is there already.

        Raises PaygoError when a device with a key has this serial, or for texts that cannot be used.
        """
        _checked_text("hardware model", hardware_model)
        _checked_text("version", version)
        template = Device(serial, DeviceConfig(bytes(16), 1), 0, hardware_model, version)
        with self._transaction(write=True) as session:
            lock_registry(session)
            row = session.scalars(select(DeviceRow).where(DeviceRow.serial == serial)).first()
            if row is None:
                values = new_device_values(template, KeyBox())
                session.add(DeviceRow(**{**values, "key_format": NO_KEY, "key_blob": None}))
            elif row.key_format != NO_KEY:
                raise PaygoError(f"the registry holds {serial} with a key", "nothing is ever overwritten")
        return row is None

    def device(self, serial: str) -> Device:
        """The device with its key and present count. Raises PaygoError, with the nearest serial, when there is none."""
        with self._transaction() as session:
            return device_of(_row(session, serial), self._keys(session))

    def entry(self, serial: str) -> RegisteredDevice:
        """What is known of a device but for its key. Raises as `device`; needs no passphrase."""
        with self._transaction() as session:
            return _entry(_row(session, serial))

    def devices(self) -> Iterator[Device]:
        """All devices that take tokens, by serial. Other methods may be called, and devices added, on the way."""
        for page in self._pages():
            with self._transaction() as session:
                keys = self._keys(session)
            for row in page:
                if row.key_format != NO_KEY:
                    yield device_of(row, keys)

    def entries(self) -> Iterator[RegisteredDevice]:
        """All devices by serial, without keys; needs no passphrase."""
        for page in self._pages():
            yield from map(_entry, page)

    def _pages(self) -> Iterator[list[DeviceRow]]:
        """In pages: a reader that keeps its transaction open would lock out the writers."""
        last = ""
        while True:
            with self._transaction() as session:
                query = select(DeviceRow).where(DeviceRow.serial > last).order_by(DeviceRow.serial).limit(_PAGE)
                page = list(session.scalars(query))
            yield page
            if len(page) < _PAGE:
                return
            last = page[-1].serial

    def set_state(self, serial: str, state: State, note: str = "", noted_by: str = "") -> bool:
        """Notes where a device is in its life; False when it was there already, which changes nothing.

        Every change leaves a note of what it was before, with `note` behind it. Raises PaygoError for a serial that
        there is not, and for a state that cannot follow the present one (life.py).
        """
        _checked_text("note", note)
        _checked_text("noted by", noted_by)
        with self._transaction(write=True) as session:
            row = _row(session, serial, lock=True)
            old = row.state
            check_change(serial, old, state)
            if state != old:
                row.state, row.updated_at = state, utc_now()
                session.add(_state_note(row, old, note, noted_by))
            elif note:
                session.add(NoteRow(device_id=row.id, kind="note", text=note, noted_by=noted_by, noted_at=utc_now()))
        return state != old

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
        reference: str = "",
        dry_run: bool = False,
    ) -> Token:
        """The device's next token. Its count is spent, on the disk, before the token is returned.

        value: raw units, or days (T7), for ADD_TIME and SET_TIME; the collision rule is kept (T18). issued_by: who.
        reference: the caller's name for the order, such as a payment's number: asked again with the same one, the same
        token comes back and no count is spent. dry_run: only what the token would be; the next caller gets the same
        one. Raises PaygoError for anything out of range, when no count is left (T10), for a retired device, and for a
        reference under which something else was issued.
        """
        return self._issue(
            serial,
            lambda device: [next_token(device, token_type, value=value, days=days, extended=extended)],
            _Why(token_type, value, days, reason, issued_by, reference, dry_run, extended),
        )[0]

    def issue_time(
        self,
        serial: str,
        token_type: TokenType = TokenType.ADD_TIME,
        *,
        value: int | None = None,
        days: Days | None = None,
        reason: IssueReason = "payment",
        issued_by: str = "",
        reference: str = "",
        dry_run: bool = False,
    ) -> list[Token]:
        """The same for any number of units: above 995 several tokens, recorded together, to be entered in order."""
        return self._issue(
            serial,
            lambda device: next_tokens(device, token_type, value=value, days=days),
            _Why(token_type, value, days, reason, issued_by, reference, dry_run),
        )

    def issue_sync(
        self,
        serial: str,
        *,
        behind: bool = False,
        reason: IssueReason = "manual",
        issued_by: str = "",
        reference: str = "",
        dry_run: bool = False,
    ) -> Token:
        """A COUNTER_SYNC; `behind`: the registry may be behind the unit, so that it goes 98 counts ahead (T19)."""
        return self._issue(
            serial,
            lambda device: [next_sync(device, behind)],
            _Why(TokenType.COUNTER_SYNC, None, None, reason, issued_by, reference, dry_run),
        )[0]

    def _issue(self, serial: str, make: Callable[[Device], list[Token]], why: _Why) -> list[Token]:
        checked_reason(why.reason)
        checked_reference(why.reference)
        _checked_text("issued by", why.issued_by)

        def work(connection: Connection) -> list[Token]:
            row = find(connection, serial, lock=not why.dry_run) if _is_sane(serial) else None
            if row is None:
                raise _unknown(connection, serial)
            if why.reference:
                known = recorded(connection, row, why.reference, why.token_type, why.value, why.days)
                if known:
                    return known
            check_in_use(serial, row.state)
            tokens = make(device_of(row, self._box_for(row.encryption or "")))
            if not why.dry_run:
                facts = (why.reason, why.issued_by)
                spend(connection, row, tokens, *facts, reference=why.reference, extended=why.extended)
            return tokens

        self._ask_first(write=not why.dry_run)
        return self._carry_out(work, self._engine if why.dry_run else self._writing)

    def issue_many(
        self, orders: Iterable[Order], *, issued_by: str = "", dry_run: bool = False
    ) -> Iterator[Order | Refused]:
        """Issues the tokens of many orders; each comes back with its tokens, or refused, in the order given.

        10 000 orders are one transaction, on the disk before the first of them comes back: a crash wastes the counts of
        10 000 orders at most, and spends none twice. Orders with a reference waste none: given again, they come back
        with the same tokens. An order that is refused changes nothing. dry_run: only what the tokens would be, as far
        as each transaction can tell.
        """
        _checked_text("issued by", issued_by)
        remaining = iter(orders)
        while chunk := list(islice(remaining, _SET)):
            spent = self._spend(partial(spend_many, orders=chunk, issued_by=issued_by), dry_run)
            for at, order in enumerate(chunk):
                if at in spent.errors:
                    yield Refused(order, spent.errors[at].cause, spent.errors[at].hint)
                elif at in spent.several:
                    yield replace(order, tokens=tuple(spent.several[at]), repeated=at in spent.repeated)
                else:
                    token = Token(spent.digits[at], spent.counts[at], order.token_type, spent.units[at])
                    yield replace(order, tokens=(token,))

    def issue_batch(
        self,
        serials: Sequence[str],
        token_type: TokenType = TokenType.ADD_TIME,
        *,
        value: int | None = None,
        days: Days | None = None,
        reason: IssueReason = "payment",
        issued_by: str = "",
    ) -> IssuedBatch:
        """Issues the same for many devices, the fastest way that there is: as `issue_time` for each, in their order.

        10 000 devices are one transaction, and all is on the disk when it returns. A device that is refused changes
        nothing. Raises PaygoError for a reason that there is not.
        """
        checked_reason(reason)
        _checked_text("issued by", issued_by)
        order = Order("", token_type, value, days, reason)
        result = IssuedBatch(serials, [], [], {}, {})
        for start in range(0, len(serials), _SET):
            part = serials[start : start + _SET]
            spent = self._spend(partial(spend_alike, serials=part, order=order, issued_by=issued_by))
            result.digits.extend(spent.digits)
            result.counts.extend(spent.counts)
            result.several.update((start + at, tokens) for at, tokens in spent.several.items())
            for at, error in spent.errors.items():
                result.refused[start + at] = Refused(replace(order, serial=part[at]), error.cause, error.hint)
        return result

    def _spend(self, work: Callable[[Connection, KeyBox], Spent], dry_run: bool = False) -> Spent:
        def with_keys(connection: Connection) -> Spent:
            parameters = connection.scalar(select(MetaRow.value).where(MetaRow.name == ENCRYPTION))
            spent = work(connection, self._box_for(parameters or ""))
            if dry_run:
                connection.rollback()
            return spent

        self._ask_first(write=True)
        return self._carry_out(with_keys, self._writing_sets)

    def _carry_out(self, work: Callable[[Connection], Result], engine: Engine) -> Result:
        """One transaction without the ORM, which costs more than the sync."""
        with explained(self._path):
            try:
                with engine.begin() as connection:
                    begin(connection)
                    return work(connection)
            except IntegrityError:  # on a server somebody took our reference meanwhile: now it is found
                with engine.begin() as connection:
                    begin(connection)
                    return work(connection)

    def advance(self, serial: str, count: int, noted_by: str = "") -> bool:
        """Takes note that a unit's last count is `count`: ours goes up to it, never down. Returns whether it did.

        Raises PaygoError for an unknown serial, or a count that the device cannot have.
        """
        with self._transaction(write=True) as session:
            row = _row(session, serial, lock=True)
            checked_int("count", count, 0, row.max_count)
            if count <= row.count:
                return False
            text = f"the unit's count is {count}, the registry's was {row.count}"
            session.add(NoteRow(device_id=row.id, kind="sync", text=text, noted_by=noted_by, noted_at=utc_now()))
            row.count, row.updated_at = count, utc_now()
        return True

    def add_note(self, serial: str, text: str, kind: NoteKind = "note", noted_by: str = "") -> None:
        """Records something about a device. Raises PaygoError for an unknown serial, kind, or text of no one line."""
        if kind not in NOTE_KINDS:
            raise PaygoError(f"{kind!r} is not a kind of note", f"kinds are {', '.join(NOTE_KINDS)}")
        _checked_text("note", text)
        _checked_text("noted by", noted_by)
        with self._transaction(write=True) as session:
            row = _row(session, serial)
            session.add(NoteRow(device_id=row.id, kind=kind, text=text, noted_by=noted_by, noted_at=utc_now()))

    def notes(self, serial: str) -> list[Note]:
        """What happened to a device, in order. Raises PaygoError when there is no such device."""
        with self._transaction() as session:
            query = select(NoteRow).where(NoteRow.device_id == _row(session, serial).id).order_by(NoteRow.id)
            rows = session.scalars(query)
            return [Note(cast(NoteKind, row.kind), row.text, row.noted_by, row.noted_at) for row in rows]

    def tokens(self, serial: str) -> list[IssuedToken]:
        """The tokens issued for a device, by count. Raises PaygoError when there is no such device."""
        with self._transaction() as session:
            query = select(TokenRow, IssueRow).join(IssueRow, IssueRow.id == TokenRow.issue_id)
            query = query.where(TokenRow.device_id == _row(session, serial).id).order_by(TokenRow.count)
            return [_issued(row, issue) for row, issue in session.execute(query)]


@dataclass(frozen=True)
class _Why:
    """What is asked for, and for what reason."""

    token_type: TokenType
    value: int | None
    days: Days | None
    reason: IssueReason
    issued_by: str
    reference: str
    dry_run: bool
    extended: bool = False


def _is_sane(serial: str) -> bool:
    return len(serial) <= 64 and serial.isprintable()


def _row(session: Session, serial: str, lock: bool = False) -> DeviceRow:
    """The row of a device. lock: against other writers, where they do not wait for each other anyway."""
    query = select(DeviceRow).where(DeviceRow.serial == serial)
    row = session.scalars(query.with_for_update() if lock else query).first() if _is_sane(serial) else None
    if row is None:
        raise _unknown(session.connection(), serial)
    return row


def _unknown(connection: Connection, serial: str) -> PaygoError:
    nearest = _nearest(connection, serial) if _is_sane(serial) else None
    hint = f"did you mean {nearest}?" if nearest else "list the devices to see the serials"
    return PaygoError(f"the registry has no device {serial[:64]!r}", hint)


def _nearest(connection: Connection, serial: str) -> str | None:
    """The serial most like this one among its neighbours in the alphabet, and so among all in a small registry."""
    column = DeviceRow.serial
    folded: dict[str, str] = {}
    for typed in {serial, serial.upper()}:
        above = select(column).where(column >= typed).order_by(column).limit(_PAGE)
        below = select(column).where(column < typed).order_by(column.desc()).limit(_PAGE)
        folded |= {found.casefold(): found for query in (above, below) for found in connection.scalars(query)}
    matches = difflib.get_close_matches(serial.casefold(), folded, n=1, cutoff=0.8)
    return folded[matches[0]] if matches else None


def _state_note(row: DeviceRow, old: str, why: str, noted_by: str) -> NoteRow:
    text = f"{old} became {row.state}" + (f": {why}" if why else "")
    return NoteRow(device_id=row.id, kind="state", text=text, noted_by=noted_by, noted_at=utc_now())


def _random_config(time_divider: int, restricted_digit_set: bool) -> DeviceConfig:
    code = 1 + secrets.randbelow(LARGEST_STARTING_CODE)
    return DeviceConfig(secrets.token_bytes(16), code, time_divider, restricted_digit_set)


def _highest_number(session: Session, prefix: str, digits: int) -> int:
    """The highest running number behind a prefix, 0 when there is none."""
    pattern = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "_" * digits
    query = select(DeviceRow.serial).where(DeviceRow.serial.like(pattern, escape="\\"))
    tails = (serial[len(prefix) :] for serial in session.scalars(query))
    return max((int(tail) for tail in tails if tail.isascii() and tail.isdecimal()), default=0)


def _checked_text(name: str, text: str) -> None:
    if not text.isprintable():
        raise PaygoError(f"the text of {name!r} has control characters", "write it as plain text")


def _entry(row: DeviceRow) -> RegisteredDevice:
    state: Any = row.state  # CHECKed by the database
    return RegisteredDevice(
        row.serial,
        state,
        row.count,
        row.starting_code,
        row.time_divider,
        row.restricted_digit_set,
        row.hardware_model,
        row.version,
        row.key_format != NO_KEY,
        row.created_at,
        row.updated_at,
    )


def _device_of(row: DeviceRow, keys: KeyBox) -> Device | None:
    return None if row.key_format == NO_KEY else device_of(row, keys)


def _issued(row: TokenRow, issue: IssueRow) -> IssuedToken:
    token = Token(row.digits, row.count, TokenType(row.token_type), row.value)
    reason: Any = issue.reason  # CHECKed by the database
    return IssuedToken(token, row.extended, reason, issue.issued_by, issue.issued_at, issue.reference or "")


def _differences(old: Device, new: Device) -> tuple[str, ...]:
    names = ("secret_key", "starting_code", "time_divider", "restricted_digit_set")
    windows = ("max_jump", "max_sync_jump", "older_window", "max_count")
    differs = [name for name in names + windows if getattr(old.config, name) != getattr(new.config, name)]
    differs += [name for name in ("hardware_model", "version", "test_code") if getattr(old, name) != getattr(new, name)]
    phrases = [f"another {name.replace('_', ' ')}" for name in differs]
    return (*phrases, "a lower count") if new.count > old.count else tuple(phrases)
