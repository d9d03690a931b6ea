"""Brings a registry's schema up to this program's version, inside the caller's transaction."""

from __future__ import annotations

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from paygo_core.errors import PaygoError
from paygo_core.registry.schema import Base

NEWEST = "0004"
_BEFORE_ALEMBIC = {"1": "0001"}
"""Registries that recorded their version themselves."""


def schema_version(connection: Connection, place: str) -> str | None:
    """The schema's version; None for an empty database. Raises PaygoError for somebody else's, or a newer one."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "registry_meta" not in tables:
        raise PaygoError(f"{place}: a database, but not a registry", "name a registry, or a new file")
    if "alembic_version" in tables:
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    else:
        own = connection.scalar(text("SELECT value FROM registry_meta WHERE name = 'schema_version'"))
        if own is None:
            raise PaygoError(f"{place}: a database, but not a registry", "name a registry, or a new file")
        found = _BEFORE_ALEMBIC.get(own, own)
    if not isinstance(found, str) or found > NEWEST:
        raise PaygoError(
            f"{place}: the registry has schema version {found}, this program knows {NEWEST}",
            "use the newer version of this program that wrote it",
        )
    return found


def bring_up_to_date(connection: Connection, found: str | None, version: str = NEWEST) -> None:
    """Runs what lies between `found` and `version`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "paygo_core.registry:migrations")
    config.attributes.update(connection=connection, metadata=Base.metadata)
    if found is not None and "alembic_version" not in inspect(connection).get_table_names():
        command.stamp(config, found)
    command.upgrade(config, version)
