"""The registry's file as a database: made with mode 0600, every commit on the disk, writers one at a time."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from paygo_core.errors import PaygoError
from paygo_core.registry.trouble import RegistryUnavailableError

_creating = threading.Lock()


def open_engine(place: str | os.PathLike[str], create: bool = True, busy_seconds: float = 30.0) -> tuple[str, Engine]:
    """The file's path and an engine on it, which only reads; `writing` gives the one that writes."""
    path = _path_of(place)
    _ensure_file(path, create)
    engine = create_engine(
        URL.create("sqlite", database=path),
        hide_parameters=True,  # else an error shows the key that was being written
        poolclass=NullPool,  # a connection must not live through a fork
        connect_args={"timeout": busy_seconds, "isolation_level": None},  # transactions are begun below
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return path, engine


def writing(engine: Engine) -> Engine:
    """The same engine with transactions that take the write lock at once, so that nobody writes between our look and
    our write.
    """
    return engine.execution_options(paygo_write=True)


def _configure(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    # With SQLite's rollback journal FULL leaves a committed count undone after a power cut; EXTRA is FULL that also
    # syncs the directory once the journal is gone (sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA synchronous=EXTRA")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("paygo_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _path_of(place: str | os.PathLike[str]) -> str:
    text = os.fspath(place)
    if "://" not in text:
        path = text
    else:
        hint = "a registry is a file, given as a path or as sqlite:///path"
        try:
            url = make_url(text)
        except ArgumentError:
            raise PaygoError("the registry's URL cannot be read", hint) from None
        if url.drivername not in ("sqlite", "sqlite+pysqlite") or url.host or url.query:
            raise PaygoError(f"no registry can be opened with {url.drivername!r} and these options", hint)
        path = url.database or ""
    if path in ("", ":memory:") or "\0" in path:
        raise PaygoError("the registry's path names no file", "give a path such as paygo.db")
    return os.path.expanduser(path)


def _ensure_file(path: str, create: bool) -> None:
    """Makes the file before SQLite does, so that it never has another mode than 0600; SQLite's journal inherits it."""
    try:
        # Closing a file drops this process's locks on it, so it is opened only when it is new, one thread at a time.
        with _creating:
            if create:
                with suppress(FileExistsError):
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            regular = stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        if create:
            raise PaygoError(f"{path}: the directory does not exist", "make it first, or name another path") from None
        raise PaygoError(f"{path}: there is no registry", "import a device list to make one") from None
    except OSError as error:
        raise RegistryUnavailableError(f"{path}: {error.strerror}", "check the owner and mode of the path") from None
    if not regular:
        raise PaygoError(f"{path}: not a regular file", "name a registry, or a file that does not exist yet")
