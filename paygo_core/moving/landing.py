"""Puts many devices into the registry at once: one statement a chunk, and a question only where a serial is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from paygo_core.device import Device
from paygo_core.moving.words import FIELDS
from paygo_core.registry.keys import NO_KEY, KeyBox
from paygo_core.registry.schema import DeviceRow, new_device_values, utc_now
from paygo_core.tokens import DeviceConfig

_COLUMNS = dict(
    zip(
        FIELDS,
        (
            "serial",
            "starting_code",
            "key_blob",
            "count",
            "time_divider",
            "restricted_digit_set",
            "hardware_model",
            "version",
            "test_code",
        ),
        strict=True,
    )
)
_NUMBERS = {"starting_code", "count", "time_divider", "restricted"}
_DEFAULTS = {"count": "1", "time_divider": "1", "restricted": "0"}
_PHRASES = {
    "starting_code": "another starting code",
    "key": "another secret key",
    "count": "a lower count",
    "time_divider": "another time divider",
    "restricted": "another restricted digit set",
    "model": "another hardware model",
    "version": "another version",
    "test_code": "another test code",
}
_PAGE = 500
_CACHE_KILOBYTES = 64_000
"""Of SQLite's page cache: the index of a million serials in any order fits."""


class Known:
    """What became of a row whose serial is in the registry: how it differs, and whether this list put it there."""

    def __init__(self, differs: tuple[str, ...], ours: bool) -> None:
        self.differs, self.ours = differs, ours


class Landing:
    """Devices come in as tuples of clean text, in the order that is given once. Make it within `landing`.

    The checks of the columns are off in SQLite meanwhile, which take longer than all else: rows are judged before.
    """

    def __init__(self, connection: Connection, keys: KeyBox, order: list[str]) -> None:
        self._connection = connection
        self._keys = keys
        self._order = order
        self._serial, self._key = order.index("serial"), order.index("key")
        self._sqlite = connection.dialect.name == "sqlite"
        self._before: int = connection.scalar(select(func.coalesce(func.max(DeviceRow.id), 0))) or 0
        self._last = self._before
        constants = self._constants()
        columns = ", ".join([*(_COLUMNS[name] for name in order), *constants])
        values = ", ".join([*(self._value(at, name) for at, name in enumerate(order)), *constants.values()])
        if self._sqlite:
            connection.connection.create_function("paygo_unhex", 1, bytes.fromhex, deterministic=True)
            source = f"VALUES ({values})"
        else:
            typed = ", ".join(f"v{at} {self._staged(name)}" for at, name in enumerate(order))
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE moving_rows ({typed}) ON COMMIT DROP")
            source = f"SELECT {values} FROM moving_rows"  # noqa: S608  # names and constants of ours
        self._insert = f"INSERT INTO devices ({columns}) {source} ON CONFLICT (serial) DO NOTHING"

    def _constants(self) -> dict[str, str]:
        """What a list says nothing of, as SQL."""
        template = new_device_values(Device("x", DeviceConfig(bytes(16), 1)), KeyBox())
        template["key_format"] = self._keys.seal("x", bytes(16))[0]
        given = {_COLUMNS[name] for name in self._order}
        return {name: self._literal(value) for name, value in template.items() if name not in given}

    def _literal(self, value: Any) -> str:
        if isinstance(value, bool):
            return ("1" if value else "0") if self._sqlite else ("TRUE" if value else "FALSE")
        if isinstance(value, int):
            return str(value)
        if isinstance(value, datetime):
            return f"'{value:%Y-%m-%d %H:%M:%S.%f}'" if self._sqlite else f"'{value.isoformat()}'"
        assert isinstance(value, str), "a constant of the schema"
        return "'" + value.replace("'", "''") + "'"

    def _value(self, at: int, name: str) -> str:
        """A field as SQL."""
        place = f"?{at + 1}" if self._sqlite else f"v{at}"
        if name == "key":
            if self._keys.parameters:
                return place
            return f"paygo_unhex({place})" if self._sqlite else f"decode({place}, 'hex')"
        if name in _DEFAULTS:
            place = f"coalesce(nullif({place}, ''), '{_DEFAULTS[name]}')"
        if name in _NUMBERS and not self._sqlite:  # SQLite's columns turn digits into numbers by themselves
            place = f"({place} = '1')" if name == "restricted" else f"({place})::integer"
        return place

    def _staged(self, name: str) -> str:
        return "bytea" if name == "key" and self._keys.parameters else "text"

    def add(self, rows: list[tuple[str, ...]]) -> dict[int, Known]:
        """Adds devices; returns those that were there, by their place among `rows`."""
        if not rows:
            return {}
        if self._put(rows) == len(rows):
            return {}
        known = self._compared(rows)
        self._last = self._connection.scalar(select(func.max(DeviceRow.id))) or 0
        return known

    def _put(self, rows: list[tuple[str, ...]]) -> int:
        sealed: Sequence[tuple[Any, ...]] = rows
        if self._keys.parameters:
            at = self._key
            sealed = [
                (*row[:at], self._keys.seal(row[self._serial], bytes.fromhex(row[at]))[1], *row[at + 1 :])
                for row in rows
            ]
        if self._sqlite:
            return self._connection.exec_driver_sql(self._insert, sealed).rowcount
        self._connection.exec_driver_sql("TRUNCATE moving_rows")
        driver: Any = self._connection.connection
        with driver.cursor() as cursor, cursor.copy("COPY moving_rows FROM STDIN") as copy:
            for row in sealed:
                copy.write_row(row)
        return self._connection.exec_driver_sql(self._insert).rowcount

    def _compared(self, rows: list[tuple[str, ...]]) -> dict[int, Known]:
        stored: dict[str, Any] = {}
        serials = [row[self._serial] for row in rows]
        wanted = [getattr(DeviceRow, _COLUMNS[name]) for name in self._order]
        for at in range(0, len(serials), _PAGE):
            query = select(DeviceRow.id, DeviceRow.key_format, *wanted)
            found = self._connection.execute(query.where(DeviceRow.serial.in_(serials[at : at + _PAGE])))
            stored |= {row[2 + self._serial]: row for row in found}
        known: dict[int, Known] = {}
        fresh: set[str] = set()
        for at, row in enumerate(rows):
            serial = row[self._serial]
            number, key_format, *values = stored[serial]
            if number > self._last and serial not in fresh:
                fresh.add(serial)  # this row is how it came in
            else:
                ours = number > self._before
                known[at] = Known(self._differences(row, key_format, values, ours), ours)
        return known

    def _differences(self, row: tuple[str, ...], key_format: str, stored: list[Any], ours: bool) -> tuple[str, ...]:
        """How a row differs in what its list tells. That a known device's count went on since is no difference."""
        if key_format == NO_KEY:
            return ("no key",)
        differs = []
        for name, given, held in zip(self._order, row, stored, strict=True):
            if name == "key":
                same = bytes.fromhex(given) == self._keys.unseal(row[self._serial], key_format, held)
            elif name == "count":
                number = int(given or _DEFAULTS[name])
                same = number == held or (number < held and not ours)
            elif name in _NUMBERS:
                same = int(given or _DEFAULTS[name]) == held
            else:
                same = given == held
            if not same:
                differs.append(_PHRASES[name])
        return tuple(differs)

    def note(self, said: list[tuple[str, str]], noted_by: str) -> int:
        """Writes notes, each a serial and a text, unless the device has the same one. Returns how many."""
        if not said:
            return 0
        now = utc_now()
        statement = text(
            "INSERT INTO notes (device_id, kind, text, noted_by, noted_at)"
            " SELECT id, 'note', CAST(:text AS VARCHAR), :noted_by, :noted_at FROM devices WHERE serial = :serial"
            " AND NOT EXISTS (SELECT 1 FROM notes AS n"
            " WHERE n.device_id = devices.id AND n.text = CAST(:text AS VARCHAR))"
        )
        at = f"{now:%Y-%m-%d %H:%M:%S.%f}" if self._sqlite else now
        values = [{"serial": who, "text": what, "noted_by": noted_by, "noted_at": at} for who, what in said]
        return self._connection.execute(statement, values).rowcount

    def remove(self, serials: set[str]) -> int:
        """Takes out again what this list put in. Returns how many devices."""
        names = sorted(serials)
        gone = 0
        for at in range(0, len(names), _PAGE):
            ids = select(DeviceRow.id).where(DeviceRow.serial.in_(names[at : at + _PAGE]), DeviceRow.id > self._before)
            found = list(self._connection.scalars(ids))
            for table, column in (("notes", "device_id"), ("devices", "id")):
                for one in found:
                    self._connection.execute(text(f"DELETE FROM {table} WHERE {column} = :id"), {"id": one})  # noqa: S608
            gone += len(found)
        return gone


@contextmanager
def landing(connection: Connection, keys: KeyBox, order: list[str]) -> Iterator[Landing]:
    """A Landing, and SQLite as it was before when it is done."""
    if connection.dialect.name != "sqlite":
        yield Landing(connection, keys, order)
        return
    cache = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    try:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KILOBYTES}")
        yield Landing(connection, keys, order)
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size={int(cache)}")
        connection.exec_driver_sql("PRAGMA ignore_check_constraints=OFF")
