"""A registry of any older version becomes one of the newest, with all that was in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from paygo_core import DeviceConfig, TokenType
from paygo_core.device import Device
from paygo_core.registry import Registry
from paygo_core.registry.engine import open_engine
from paygo_core.registry.migrate import NEWEST
from paygo_core.registry.schema import Base

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
DEVICE = Device("SLT1", DeviceConfig(KEY, 123456789), 1, "Model", "1.0", "")


def as_before_alembic(path: Path) -> None:
    """What the first release wrote: no notes, and its own record of the version."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP TABLE notes")
        connection.execute("DROP TABLE alembic_version")
        connection.execute("DELETE FROM registry_meta")
        connection.execute("INSERT INTO registry_meta VALUES ('schema_version', '1')")
    connection.close()


def test_the_migrations_lead_to_the_tables_that_the_program_uses(tmp_path):
    path = tmp_path / "paygo.db"
    Registry.open(path).close()
    _, engine = open_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == NEWEST
        assert compare_metadata(context, Base.metadata) == []


def test_a_first_registry_comes_along_with_devices_counts_and_tokens(tmp_path):
    path = tmp_path / "paygo.db"
    with Registry.open(path) as registry:
        registry.add(DEVICE)
        issued = [registry.issue("SLT1", days=7), registry.issue("SLT1", TokenType.SET_TIME, days=0)]
    as_before_alembic(path)
    with Registry.open(path, create=False) as registry:
        assert registry.device("SLT1").count == issued[-1].count
        assert [one.token for one in registry.tokens("SLT1")] == issued
        registry.add_note("SLT1", "came along")
    with Registry.open(path) as again:
        assert [note.text for note in again.notes("SLT1")] == ["came along"]


def test_a_migration_that_fails_leaves_the_old_registry(tmp_path, monkeypatch):
    path = tmp_path / "paygo.db"
    with Registry.open(path) as registry:
        registry.add(DEVICE)
    as_before_alembic(path)
    before = sqlite3.connect(path).execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    monkeypatch.setattr("alembic.op.create_index", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Registry.open(path)
    assert sqlite3.connect(path).execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    monkeypatch.undo()
    with Registry.open(path) as registry:
        assert registry.device("SLT1") == DEVICE
