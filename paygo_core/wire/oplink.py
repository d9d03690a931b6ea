"""OpenPAYGO Link: frames of the single-wire bus, and the resources that they carry (CoAP, with CBOR in it).

A frame is a break, 0x55, `source << 4 | destination` (the only byte with the ninth bit set), `command << 7 | length`,
the payload and CRC-16/CCITT-FALSE over all but the first byte, most significant byte first. Break and ninth bit are the
port's; here are the bytes. Who sends hears its own frame too: it is one wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from paygo_core.errors import DeviceError, PaygoError
from paygo_core.wire.crc import crc16_ccitt_false

SYNC = 0x55
MASTER = 0xF
UNASSIGNED = 0
ADDRESSES = range(1, 6)
LARGEST_PAYLOAD = 124
"""Bytes; the manual allows 127, deployed code 124."""
LONGEST_FRAME = 3 + 127 + 2
LONGEST_UID = 12
VERSION = 1
UNLOCKED = 4_294_967_295
"""The remaining credit of a unit that is unlocked for good."""
BATTERY, CREDIT = "batt", "nx/pc"


class Command(IntEnum):
    """What a command frame begins with."""

    SIGNAL = 0
    FIND = 1
    GET_UID = 2
    PING = 3
    ALERT = 4
    ACK = 6
    NACK = 15


@dataclass(frozen=True)
class Frame:
    """One frame. source and destination: 15 the master, 1 … 5 a slave, 0 all or none yet. command: a Command first."""

    source: int
    destination: int
    payload: bytes
    command: bool = False

    def to_bytes(self) -> bytes:
        """The frame from 0x55 on; its second byte goes with the ninth bit set. Raises PaygoError if it is too long."""
        if len(self.payload) > LARGEST_PAYLOAD:
            raise PaygoError(
                f"{len(self.payload)} bytes do not fit into a frame", f"a payload has at most {LARGEST_PAYLOAD} bytes"
            )
        checked = bytes([self.source << 4 | self.destination, self.command << 7 | len(self.payload)]) + self.payload
        return bytes([SYNC]) + checked + crc16_ccitt_false(checked).to_bytes(2, "big")


class OplinkReader:
    """Finds frames among what a port reads, breaks and noise too. It holds at most the bytes of one frame and one read.

    What looks like the beginning of a frame and is none costs no later frame: the search goes on behind its first byte.
    """

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        self._pending += data
        return self._frames(waiting=True)

    def silence(self) -> list[Frame]:
        """The line has been quiet: half a frame gets no other half. What stands behind its first byte may be frames."""
        return self._frames(waiting=False)

    def _frames(self, *, waiting: bool) -> list[Frame]:
        pending = bytes(self._pending)
        found: list[Frame] = []
        at = 0
        while (at := pending.find(SYNC, at)) >= 0:
            end = at + 5 + (pending[at + 2] & 0x7F) if len(pending) > at + 2 else at + LONGEST_FRAME
            if len(pending) < end:
                if waiting:
                    break
                at += 1
                continue
            checked, check = pending[at + 1 : end - 2], pending[end - 2 : end]
            if crc16_ccitt_false(checked).to_bytes(2, "big") == check:
                found.append(Frame(checked[0] >> 4, checked[0] & 15, checked[2:], bool(checked[1] & 0x80)))
                at = end
            else:
                at += 1
        self._pending[:] = pending[at:] if at >= 0 and waiting else b""
        return found


CONTENT, CHANGED, NOT_FOUND, BAD_REQUEST, NOT_ALLOWED = 0x45, 0x44, 0x84, 0x80, 0x85
GET, PUT = 0x01, 0x03
_CONFIRMABLE, _ACKNOWLEDGEMENT = 0x40, 0x60
_URI_PATH, _CONTENT_FORMAT, _CBOR = 11, 12, 60


@dataclass(frozen=True)
class Message:
    """A CoAP message (RFC 7252) as far as a resource needs it. code: GET, PUT or an answer's, 0x45 for 2.05."""

    code: int
    id: int
    path: str = ""
    values: Mapping[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """The message; requests are confirmable, answers acknowledgements."""
        kind = _CONFIRMABLE if self.code < 0x20 else _ACKNOWLEDGEMENT
        said = bytearray([kind, self.code]) + self.id.to_bytes(2, "big")
        last = 0
        for part in filter(None, self.path.split("/")):
            said += bytes([(_URI_PATH - last) << 4 | len(part)]) + part.encode("ascii")
            last = _URI_PATH
        if self.values is not None:
            said += bytes([(_CONTENT_FORMAT - last) << 4 | 1, _CBOR, 0xFF]) + _cbor().dumps(dict(self.values))
        return bytes(said)


def decode_message(data: bytes) -> Message:
    """The message in a frame's payload. Raises DeviceError for what is none."""
    if len(data) < 4 or data[0] >> 6 != 1 or data[0] & 0x0F > 8:
        raise _nonsense("its header is not CoAP's")
    at = 4 + (data[0] & 0x0F)
    path: list[str] = []
    number = 0
    while at < len(data) and data[at] != 0xFF:
        delta, length = data[at] >> 4, data[at] & 0x0F
        if max(delta, length) > 12 or at + 1 + length > len(data):
            raise _nonsense("it has an option that no resource here has")
        number += delta
        if number == _URI_PATH:
            path.append(data[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    values = _values(data[at + 1 :]) if at < len(data) else None
    return Message(data[1], int.from_bytes(data[2:4], "big"), "/".join(path), values)


def _values(data: bytes) -> dict[str, Any]:
    try:
        values = _cbor().loads(data)
    except Exception:  # whatever a library makes of hostile bytes, they are no resource
        raise _nonsense("its payload is not CBOR") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise _nonsense("its payload is not a resource")
    return values


def _cbor() -> Any:
    try:
        import cbor2
    except ModuleNotFoundError:
        raise PaygoError("OpenPAYGO Link needs cbor2", "pip install 'paygo-solar[oplink]'") from None
    return cbor2


def _nonsense(why: str) -> DeviceError:
    return DeviceError(f"the unit sent a message that makes no sense: {why}", "ask again, or look at the cable")
