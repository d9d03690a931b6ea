"""The registry's database. A file: mode 0600, every commit on the disk, one writer at a time. Or PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import weakref
from contextlib import closing, suppress
from typing import Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from paygo_core.errors import PaygoError
from paygo_core.registry.trouble import RegistryUnavailableError

_creating = threading.Lock()
_LOCK_KEY = 0x70617967
"""Of PostgreSQL's advisory lock: any number that no other program takes."""


def open_engine(place: str | os.PathLike[str], create: bool = True, busy_seconds: float = 30.0) -> tuple[str, Engine]:
    """What the registry is called, and an engine on it, which only reads; `writing` gives the one that writes."""
    url = _server_of(place)
    if url is not None:
        options = {"connect_timeout": max(2, round(busy_seconds)), "options": f"-c lock_timeout={round(busy_seconds)}s"}
        server = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",  # rows are locked before they are read; a stricter one would give up
            connect_args=options,
        )
        _forget_in_children(server)
        return url.set(drivername="postgresql").render_as_string(hide_password=True), server
    path = _path_of(place)
    _ensure_file(path, create)
    engine = create_engine(
        URL.create("sqlite", database=path),
        hide_parameters=True,  # else an error shows the key that was being written
        connect_args={"timeout": busy_seconds, "isolation_level": None},  # transactions are begun by `begin`
    )
    event.listen(engine, "connect", _configure)
    _forget_in_children(engine)
    return path, engine


def _forget_in_children(engine: Engine) -> None:
    """A connection must not live through a fork: a child begins with none."""
    reference = weakref.ref(engine)

    def forget() -> None:
        if (inherited := reference()) is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forget)


def writing(engine: Engine, trusted: bool = False) -> Engine:
    """The same engine with transactions that take the write lock at once, so that nobody writes between our look and
    our write.

    trusted: they write no reference but to rows that they read. A file does not look these up again, which would be a
    quarter of what it costs to record thousands of tokens.
    """
    return engine.execution_options(paygo_write=True, paygo_trusted=trusted)


def lock_registry(session: Session) -> None:
    """Until the transaction's end nobody else adds devices. SQLite's writers wait for each other anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def keep_log(engine: Engine) -> None:
    """Gives a file a write-ahead log, in which a commit is one write and one sync. It stays a property of the file."""
    if engine.dialect.name == "sqlite":
        with _alone(engine) as connection, suppress(sqlite3.OperationalError):  # in use: then at another time
            connection.execute("PRAGMA journal_mode=WAL")


def compact(engine: Engine) -> None:
    """Writes a file anew, without what was deleted from it, also in its log."""
    if engine.dialect.name == "sqlite":
        with _alone(engine) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _alone(engine: Engine) -> closing[sqlite3.Connection]:
    """A connection outside of any transaction."""
    engine.dispose()
    return closing(sqlite3.connect(str(engine.url.database), isolation_level=None))


def _configure(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    # FULL is what a write-ahead log needs; before a file has one, EXTRA also syncs the directory once the rollback
    # journal is gone, without which a committed count comes undone (sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA secure_delete=ON")  # no old key stays in a freed page
    connection.execute("PRAGMA cache_size=-16384")  # KiB: a set of orders fits
    # Pages of the log, 16 MB, before they go to their places in the file: those of a set of orders are mostly the same.
    connection.execute("PRAGMA wal_autocheckpoint=4000")


def begin(connection: Connection) -> None:
    """Begins a file's transaction, for reading or as `writing` says; a server has begun one. An event that did it would
    have SQLAlchemy look for listeners at every statement, which takes longer than the statement.
    """
    if connection.dialect.name != "sqlite":
        return
    options = connection.get_execution_options()
    trusted = options.get("paygo_trusted", False)
    if connection.info.get("paygo_trusted", False) != trusted:  # it cannot be changed in a transaction
        connection.info["paygo_trusted"] = None  # not known until it is done
        connection.exec_driver_sql(f"PRAGMA foreign_keys={'OFF' if trusted else 'ON'}")
        connection.info["paygo_trusted"] = trusted
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("paygo_write", False) else "BEGIN")


def _server_of(place: str | os.PathLike[str]) -> URL | None:
    """The URL of a PostgreSQL server, else None."""
    shown = os.fspath(place)
    if not shown.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
        return None
    try:
        import psycopg  # noqa: F401  # is it there?

        return make_url(shown).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise PaygoError(
            "the registry's URL cannot be read", "it is postgresql://user@host:port/name; @ in a password is %40"
        ) from None
    except ImportError:
        raise PaygoError("a registry in PostgreSQL needs psycopg", "pip install 'paygo-solar[postgresql]'") from None


def _path_of(place: str | os.PathLike[str]) -> str:
    shown = os.fspath(place)
    if "://" not in shown:
        path = shown
    else:
        hint = "a registry is a file, given as a path or as sqlite:///path, or postgresql://user@host/name"
        try:
            url = make_url(shown)
        except (ArgumentError, ValueError):
            raise PaygoError("the registry's URL cannot be read", hint) from None
        if url.drivername not in ("sqlite", "sqlite+pysqlite") or url.host or url.query:
            raise PaygoError(f"no registry can be opened with {url.drivername!r} and these options", hint)
        path = url.database or ""
    if path in ("", ":memory:") or "\0" in path:
        raise PaygoError("the registry's path names no file", "give a path such as paygo.db")
    return os.path.expanduser(path)


def _close_to_others(path: str) -> None:
    """A registry that was copied or restored gets mode 0600 again. Who does not own it cannot do that."""
    with suppress(PermissionError):
        for name in (path, f"{path}-wal", f"{path}-shm"):
            with suppress(FileNotFoundError):
                os.chmod(name, 0o600)


def _ensure_file(path: str, create: bool) -> None:
    """Makes the file before SQLite does, so that it never has another mode than 0600; SQLite's journal inherits it."""
    try:
        # Closing a file drops this process's locks on it, so it is opened only when it is new, one thread at a time.
        with _creating:
            if create:
                with suppress(FileExistsError):
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            mode = os.stat(path).st_mode
            regular = stat.S_ISREG(mode)
            if regular and mode & 0o077:
                _close_to_others(path)
    except (FileNotFoundError, NotADirectoryError):
        if create:
            raise PaygoError(f"{path}: the directory does not exist", "make it first, or name another path") from None
        raise PaygoError(f"{path}: there is no registry", "import a device list to make one") from None
    except OSError as error:
        raise RegistryUnavailableError(f"{path}: {error.strerror}", "check the owner and mode of the path") from None
    if not regular:
        raise PaygoError(f"{path}: not a regular file", "name a registry, or a file that does not exist yet")
