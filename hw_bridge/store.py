"""What the bridge keeps: tables of its own in the registry's file, each change a transaction that is on the disk."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.schema import CreateColumn

from paygo_core.registry import Registry
from paygo_core.registry.engine import begin, open_engine, writing
from paygo_core.registry.trouble import explained

if TYPE_CHECKING:
    from typing_extensions import Self


class Base(DeclarativeBase):
    """The bridge's tables."""


class Store:
    """A part of what the bridge keeps. Use `with Store.open(path)`.

    Every method is one transaction, on the disk when it returns. Raises as the registry does: PaygoError for a file
    that is none, RegistryUnavailableError when it is locked, denied, full or damaged.
    """

    def __init__(self, path: str, engine: Engine) -> None:
        self._path = path
        self._engine = engine
        self._writing = writing(engine)

    @classmethod
    def open(cls, path_or_url: str | os.PathLike[str], busy_seconds: float = 30.0) -> Self:
        """The store in a registry's file, which is made with mode 0600 when it is not there.

        busy_seconds: how long a method waits while another program writes.
        """
        Registry.open(path_or_url).close()
        store = cls(*open_engine(path_or_url, busy_seconds=busy_seconds))
        with store._transaction() as session:
            connection = session.connection()
            Base.metadata.create_all(connection)
            _add_missing_columns(connection)
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with explained(self._path), Session(self._writing, expire_on_commit=False) as session, session.begin():
            begin(session.connection())
            yield session


def _add_missing_columns(connection: Connection) -> None:
    """Tables of an earlier version get the columns that came later, all of which may be empty."""
    found = inspect(connection)
    for table in Base.metadata.sorted_tables:
        known = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def operator() -> str:
    """Who sits here, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"user {os.getuid()}"
