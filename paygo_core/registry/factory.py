"""Hands the registry's new devices to the stations of a factory, each serial to one unit.

A serial is claimed, on the disk, before it is sent to a unit. Whoever dies afterwards leaves the claim open: nobody
else gets that serial, until the unit that has it is found and proved, or a person says that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.registry.keys import NO_KEY
from paygo_core.registry.life import check_change
from paygo_core.registry.schema import DeviceRow, NoteRow, ProvisioningRow, device_of, utc_now
from paygo_core.registry.store import Registry


@dataclass(frozen=True)
class Claim:
    """A serial that a station has begun to write into a unit. begun_at is aware UTC."""

    serial: str
    station: str
    begun_at: datetime


class Factory:
    """One station of a factory. station: its name, for the record. Methods raise as Registry's do."""

    def __init__(self, registry: Registry, station: str) -> None:
        if not station or not station.isprintable():
            raise PaygoError("the station needs a name", "a name is plain text, such as line-2")
        self._registry, self._station = registry, station

    def claim(self, serial: str | None = None) -> Device:
        """The device that the next unit becomes: this one, or the first new one by serial that nobody has claimed.

        Unasked it takes none for which tokens were made already: a unit in somebody's house may have that device's key.
        Raises PaygoError when it is not new or is claimed, or when there is none.
        """
        with self._registry._transaction(write=True) as session:
            row = self._next_row(session) if serial is None else self._row(session, serial)
            device = device_of(row, self._registry._keys(session))
            session.add(ProvisioningRow(device_id=row.id, station=self._station, begun_at=utc_now()))
        return device

    @staticmethod
    def _next_row(session: Session) -> DeviceRow:
        claimed = select(ProvisioningRow.device_id).where(ProvisioningRow.ended_at.is_(None))
        query = select(DeviceRow).where(DeviceRow.state == "new", DeviceRow.key_format != NO_KEY)
        query = query.where(DeviceRow.count <= 1, DeviceRow.id.not_in(claimed)).order_by(DeviceRow.serial).limit(1)
        while (row := session.scalars(query.with_for_update(skip_locked=True)).first()) is not None:
            if _open_claim(session, row.serial) is None:  # on a server somebody may have claimed it since we looked
                return row
        raise PaygoError(
            "no new device is left", "make more with 'paygo device new'; one that tokens were made for has to be named"
        )

    def _row(self, session: Session, serial: str) -> DeviceRow:
        query = select(DeviceRow).where(DeviceRow.serial == serial, DeviceRow.key_format != NO_KEY)
        row = session.scalars(query.with_for_update()).first()
        if row is None:
            raise PaygoError(f"the registry has no device {serial!r} with a key", "is it another registry's label?")
        if row.state != "new":
            hint = "a unit that takes its place gets a new key first: paygo device rekey"
            raise PaygoError(f"{row.serial} is {row.state} already", hint)
        self._refuse_if_claimed(session, row)
        return row

    def _refuse_if_claimed(self, session: Session, row: DeviceRow) -> None:
        claim = _open_claim(session, row.serial)
        if claim is not None:
            raise PaygoError(
                f"{row.serial} was begun at {claim.station} and never proved",
                f"connect the unit that has it; if there is none: paygo bridge provision PORT --release {row.serial}",
            )

    def prove(self, serial: str, said: str, by: str = "") -> None:
        """The unit that got this serial has shown that it has it: the device becomes provisioned, on the record."""
        with self._registry._transaction(write=True) as session:
            row, claim = self._claimed(session, serial)
            check_change(serial, row.state, "provisioned")
            old, row.state, row.updated_at = row.state, "provisioned", utc_now()
            text = f"{old} became provisioned: at {self._station}, {said}"
            session.add(NoteRow(device_id=row.id, kind="state", text=text, noted_by=by, noted_at=utc_now()))
            claim.ended_at, claim.outcome = utc_now(), "proved"

    def has_proved(self, serial: str) -> bool:
        """Whether the unit with this serial was proved at this station, and its device is provisioned still."""
        with self._registry._transaction() as session:
            query = select(ProvisioningRow.id).join(DeviceRow, DeviceRow.id == ProvisioningRow.device_id)
            query = query.where(DeviceRow.serial == serial, DeviceRow.state == "provisioned")
            query = query.where(ProvisioningRow.station == self._station, ProvisioningRow.outcome == "proved")
            return session.scalars(query).first() is not None

    def release(self, serial: str, why: str, by: str = "") -> None:
        """No unit has this serial: it may be claimed again. Why, stays as a note."""
        with self._registry._transaction(write=True) as session:
            row, claim = self._claimed(session, serial)
            text = f"provisioning at {claim.station} came to nothing: {why}"
            session.add(NoteRow(device_id=row.id, kind="note", text=text, noted_by=by, noted_at=utc_now()))
            claim.ended_at, claim.outcome = utc_now(), "released"

    def open_claims(self) -> list[Claim]:
        """The serials that some station has begun and nobody has proved, by serial."""
        with self._registry._transaction() as session:
            query = select(DeviceRow.serial, ProvisioningRow.station, ProvisioningRow.begun_at)
            query = query.join(DeviceRow, DeviceRow.id == ProvisioningRow.device_id)
            rows = session.execute(query.where(ProvisioningRow.ended_at.is_(None)).order_by(DeviceRow.serial))
            return [Claim(*row) for row in rows]

    def _claimed(self, session: Session, serial: str) -> tuple[DeviceRow, ProvisioningRow]:
        row = session.scalars(select(DeviceRow).where(DeviceRow.serial == serial).with_for_update()).first()
        claim = None if row is None else _open_claim(session, serial)
        if row is None or claim is None:
            raise PaygoError(f"{serial!r} is not being provisioned", "only a serial that was begun can be ended")
        return row, claim


def _open_claim(session: Session, serial: str) -> ProvisioningRow | None:
    query = select(ProvisioningRow).join(DeviceRow, DeviceRow.id == ProvisioningRow.device_id)
    return session.scalars(query.where(DeviceRow.serial == serial, ProvisioningRow.ended_at.is_(None))).first()
