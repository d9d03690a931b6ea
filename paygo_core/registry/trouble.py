"""What a database can refuse, as sentences for people."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from paygo_core.errors import PaygoError, Problem


class RegistryUnavailableError(Problem):
    """The registry is locked, denied, full or damaged. Nothing was recorded."""

    exit_status = 3


_SENTENCES: tuple[tuple[str, type[Problem], str, str], ...] = (
    ("not a database", PaygoError, "the file is not a registry", "name a registry, or a file that does not exist yet"),
    ("lock timeout", RegistryUnavailableError, "another program is writing to it", "try again when it is done"),
    ("password auth", RegistryUnavailableError, "the server refuses user or password", "check the URL, or PGPASSWORD"),
    ("no password", RegistryUnavailableError, "the server wants a password", "set PGPASSWORD, or use ~/.pgpass"),
    ("database \"", RegistryUnavailableError, "the server has no such database", "make it with createdb"),
    ("resolve host", RegistryUnavailableError, "the server cannot be reached", "check host, and the name server"),
    ("connection", RegistryUnavailableError, "the server cannot be reached", "check host, port and whether it runs"),
    ("permission denied", RegistryUnavailableError, "the user may not do that", "grant it the tables of the registry"),
    ("deadlock", RegistryUnavailableError, "another program is writing to it", "try again when it is done"),
    ("locked", RegistryUnavailableError, "another program is writing to the registry", "try again when it is done"),
    ("readonly", RegistryUnavailableError, "the registry may not be written", "check the file's owner and mode"),
    ("unable to open", RegistryUnavailableError, "the registry cannot be opened", "check who may use its directory"),
    ("is full", RegistryUnavailableError, "the disk is full", "nothing was recorded; make room and try again"),
    ("disk i/o", RegistryUnavailableError, "the disk failed", "nothing was recorded; check the disk and try again"),
    ("malformed", RegistryUnavailableError, "the registry is damaged", "restore it from a copy"),
)  # fmt: skip
"""Words of SQLite, the same in all its versions, and of PostgreSQL; the first that is found tells."""


_ROOM = 64 * 1024
"""Bytes that SQLite needs beside a registry, to open it."""


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turns what a user can meet into a Problem. Anything else is a defect and passes."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        words = str(error.orig if isinstance(error, DBAPIError) else error).lower()
        if "disk i/o" in words and _is_full(place):  # for which SQLite has several words
            words = "is full"
        for known, kind, cause, hint in _SENTENCES:
            if known in words:
                raise kind(f"{place}: {cause}", hint) from error
        raise


def _is_full(place: str) -> bool:
    """Whether there is no room left where a file lies."""
    try:
        disk = os.statvfs(os.path.dirname(os.path.abspath(place)))
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM
