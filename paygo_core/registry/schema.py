"""The registry's tables at their newest version; migrations/ has the way to it from each older one."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal, get_args

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, MetaData, UniqueConstraint, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from paygo_core.device import Device
from paygo_core.registry.keys import PLAIN, KeyBox
from paygo_core.tokens import (
    LARGEST_COUNT,
    LARGEST_EXTENDED_VALUE,
    LARGEST_OLDER_WINDOW,
    LARGEST_STARTING_CODE,
    DeviceConfig,
)

State = Literal["new", "provisioned", "active", "unlocked", "repair", "retired"]
"""Where a device is in its life."""
STATES: tuple[State, ...] = get_args(State)
"""All of State, in the order of a life."""

IssueReason = Literal["payment", "bonus", "manual", "test"]
"""Why a token was issued."""
ISSUE_REASONS: tuple[IssueReason, ...] = get_args(IssueReason)
"""All of IssueReason."""

NoteKind = Literal["state", "swap", "rekey", "sync", "note"]
"""What a note on a device is about."""
NOTE_KINDS: tuple[NoteKind, ...] = get_args(NoteKind)
"""All of NoteKind."""


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(timezone.utc)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times, also where the database keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


def _between(column: str, low: int, high: int | str) -> CheckConstraint:
    return CheckConstraint(f"{column} BETWEEN {low} AND {high}", name=column)


def _one_of(column: str, words: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(map(repr, words))})", name=column)


class Base(DeclarativeBase):
    """Names every constraint, so that a migration can find it."""

    metadata = MetaData(
        naming_convention={
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class MetaRow(Base):
    """Facts about the registry itself."""

    __tablename__ = "registry_meta"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class DeviceRow(Base):
    """A device. How key_blob is to be read says key_format (keys.py); a device without a key has starting code 1."""

    __tablename__ = "devices"
    __table_args__ = (
        CheckConstraint(
            f"key_format <> '{PLAIN}' OR (key_blob IS NOT NULL AND length(key_blob) = 16)", name="key_blob"
        ),
        _between("starting_code", 1, LARGEST_STARTING_CODE),
        _between("count", 0, "max_count"),
        _between("time_divider", 1, 255),
        _between("max_jump", 1, LARGEST_COUNT),
        _between("max_sync_jump", 1, LARGEST_COUNT),
        _between("older_window", 0, LARGEST_OLDER_WINDOW),
        _between("max_count", 1, LARGEST_COUNT),
        _one_of("state", STATES),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    serial: Mapped[str] = mapped_column(unique=True)
    key_format: Mapped[str]
    key_blob: Mapped[bytes | None] = mapped_column(LargeBinary)
    starting_code: Mapped[int]
    count: Mapped[int]
    time_divider: Mapped[int]
    restricted_digit_set: Mapped[bool]
    max_jump: Mapped[int]
    max_sync_jump: Mapped[int]
    older_window: Mapped[int]
    max_count: Mapped[int]
    hardware_model: Mapped[str]
    version: Mapped[str]
    test_code: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


def device_of(row: Any, keys: KeyBox) -> Device:
    """A row of devices as the rest of the package knows it. Raises PaygoError when it has no key that can be read."""
    config = DeviceConfig(
        keys.unseal(row.serial, row.key_format, row.key_blob),
        row.starting_code,
        row.time_divider,
        bool(row.restricted_digit_set),
        row.max_jump,
        row.max_sync_jump,
        row.older_window,
        row.max_count,
    )
    return Device(row.serial, config, row.count, row.hardware_model, row.version, row.test_code)


def new_device_values(device: Device, keys: KeyBox) -> dict[str, Any]:
    """The columns of a device that comes into the registry now. They hold the key: not for showing."""
    config, now = device.config, utc_now()
    key_format, key_blob = keys.seal(device.serial, config.secret_key)
    return {
        "serial": device.serial,
        "key_format": key_format,
        "key_blob": key_blob,
        "starting_code": config.starting_code,
        "count": device.count,
        "time_divider": config.time_divider,
        "restricted_digit_set": config.restricted_digit_set,
        "max_jump": config.max_jump,
        "max_sync_jump": config.max_sync_jump,
        "older_window": config.older_window,
        "max_count": config.max_count,
        "hardware_model": device.hardware_model,
        "version": device.version,
        "test_code": device.test_code,
        "state": "new",
        "created_at": now,
        "updated_at": now,
    }


class IssueRow(Base):
    """Why, by whom and when tokens were issued: one token, those of one order, or those of many devices at once.

    reference: the caller's name for an order; an order with the same one is the same order, and gets the same tokens.
    """

    __tablename__ = "issues"
    __table_args__ = (_one_of("reason", ISSUE_REASONS),)

    id: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    issued_by: Mapped[str]
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reference: Mapped[str | None] = mapped_column(unique=True)


class TokenRow(Base):
    """A token that was handed out, or may have been: its count is spent."""

    __tablename__ = "tokens"
    __table_args__ = (
        UniqueConstraint("device_id", "count"),
        _between("count", 1, LARGEST_COUNT),
        _between("token_type", 1, 4),
        _between("value", 0, LARGEST_EXTENDED_VALUE),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"))
    count: Mapped[int]
    token_type: Mapped[int]
    value: Mapped[int]
    extended: Mapped[bool]
    digits: Mapped[str]
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id"))


class NoteRow(Base):
    """What happened to a device."""

    __tablename__ = "notes"
    __table_args__ = (_one_of("kind", NOTE_KINDS), Index("ix_notes_device_id", "device_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"))
    kind: Mapped[str]
    text: Mapped[str]
    noted_by: Mapped[str]
    noted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProvisioningRow(Base):
    """A serial that a factory's station began to write into a unit. It is open until ended_at is there."""

    __tablename__ = "provisionings"
    __table_args__ = (
        Index(
            "ix_provisionings_begun",
            "device_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"))
    station: Mapped[str]
    begun_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None]
