"""A registry of any older version becomes one of the newest, with all that was in it."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from servers import postgresql_server
from sqlalchemy import bindparam, insert, text

from paygo_core import DeviceConfig, Token, TokenType, generate_token
from paygo_core.device import Device
from paygo_core.registry import Factory, Registry
from paygo_core.registry.engine import begin, open_engine, writing
from paygo_core.registry.keys import KeyBox
from paygo_core.registry.migrate import NEWEST, bring_up_to_date
from paygo_core.registry.schema import Base, DeviceRow, UtcDateTime, new_device_values

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
DEVICE = Device("SLT1", DeviceConfig(KEY, 123456789), 1, "Model", "1.0", "")


def at_version(place: Path | str, version: str, *issued: Token) -> None:
    """A registry as a program of that schema wrote it, with DEVICE and its tokens."""
    _, engine = open_engine(place)
    insertion = text(
        "INSERT INTO tokens (device_id, count, token_type, value, extended, digits, reason, issued_by, issued_at)"
        " VALUES (1, :count, :kind, :value, FALSE, :digits, 'bonus', 'amina', :at)"
    ).bindparams(bindparam("at", type_=UtcDateTime()))
    with writing(engine).begin() as connection:
        begin(connection)
        bring_up_to_date(connection, None, version)
        values = new_device_values(DEVICE, KeyBox())
        values["count"] = issued[-1].count if issued else DEVICE.count
        connection.execute(insert(DeviceRow), values)
        for token in issued:
            facts = {"count": token.count, "kind": int(token.token_type), "value": token.value, "digits": token.digits}
            connection.execute(insertion, {**facts, "at": WHEN})
    engine.dispose()


def as_before_alembic(path: Path, *issued: Token) -> None:
    """What the first release wrote: its own record of the version."""
    at_version(path, "0001", *issued)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("DELETE FROM registry_meta")
        connection.execute("INSERT INTO registry_meta VALUES ('schema_version', '1')")
    connection.close()


WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
ISSUED = (generate_token(DEVICE.config, 1, 7), generate_token(DEVICE.config, 2, 0, TokenType.SET_TIME))


def test_the_migrations_lead_to_the_tables_that_the_program_uses(tmp_path):
    path = tmp_path / "paygo.db"
    Registry.open(path).close()
    _, engine = open_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == NEWEST
        assert compare_metadata(context, Base.metadata) == []


def check_it_came_along(place: Path | str) -> None:
    with Registry.open(place, create=False) as registry:
        assert registry.device("SLT1").count == ISSUED[-1].count
        recorded = registry.tokens("SLT1")
        assert [one.token for one in recorded] == list(ISSUED)
        facts = {(one.reason, one.issued_by, one.issued_at, one.reference) for one in recorded}
        assert facts == {("bonus", "amina", WHEN, "")}
        assert registry.issue("SLT1", days=1).count == ISSUED[-1].count + 1
        assert registry.issue_batch(["SLT1"], days=1).digits[0]
        registry.add_note("SLT1", "came along")
        assert Factory(registry, "line").claim("SLT1").serial == "SLT1"
    with Registry.open(place) as again:
        assert [note.text for note in again.notes("SLT1")] == ["came along"]


@pytest.mark.parametrize("version", ["", "0001", "0002"])
def test_an_older_registry_comes_along_with_devices_counts_and_tokens(tmp_path, version):
    path = tmp_path / "paygo.db"
    at_version(path, version, *ISSUED) if version else as_before_alembic(path, *ISSUED)
    check_it_came_along(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with pytest.raises(sqlite3.IntegrityError, match="ck_tokens_count"):
        connection.execute("INSERT INTO tokens VALUES (9, 1, 0, 1, 1, FALSE, '1', 1)")
    connection.close()


def test_an_older_registry_on_a_server_comes_along_too():
    with postgresql_server() as url:
        at_version(url, "0002", *ISSUED)
        check_it_came_along(url)
        engine = open_engine(url)[1]
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()


def test_a_migration_that_fails_leaves_the_old_registry(tmp_path, monkeypatch):
    path = tmp_path / "paygo.db"
    as_before_alembic(path)
    before = sqlite3.connect(path).execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    monkeypatch.setattr("alembic.op.create_index", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Registry.open(path)
    assert sqlite3.connect(path).execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    monkeypatch.undo()
    with Registry.open(path) as registry:
        assert registry.device("SLT1") == DEVICE
