"""The line protocol of the OpenPAYGO HDK and of `hdk+`, as bytes in and events out. Rules (H1 …): docs/hdk-plus.md.

What an un-extended HDK does, and the reader therefore expects: `#STATUS;INACTIVE` and `#TOKEN;VALID;<n>` come without
a line end and may be glued to the log line that follows; log lines stand before, after and between replies, and print
the key byte by byte without leading zeros. A `#` begins a reply wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from paygo_core.decoding import strip_token
from paygo_core.device import Device
from paygo_core.errors import PaygoError, brief
from paygo_core.redact import MASK, mask_secrets
from paygo_core.wire.crc import crc16_ccitt_false

LONGEST_LINE = 4096
CHEMISTRIES = ("FLOODED", "AGM", "GEL", "LFP")
LARGEST_BATTERY_AH = 500
"""Bytes. Telemetry is the only line that comes near; what is longer is noise."""
EXCERPT = 80
STANDARD_WINDOWS = (64, 100, 16)


@dataclass(frozen=True)
class Reply:
    """An answer to a command: its name and its fields, TELEMETRY with its JSON as the only one."""

    name: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alert:
    """An alert that began (raised) or ended, event `seq` of the unit, during its start number `boot` (H20).

    value: in `unit`, mV for a voltage, 1 where nothing is measured.
    """

    code: str
    raised: bool
    value: int
    unit: str
    boot: int
    seq: int


@dataclass(frozen=True)
class LogLine:
    """Text that is no reply, with keys masked."""

    text: str


@dataclass(frozen=True)
class Damaged:
    """A reply that cannot be trusted: why, and how it began, with keys masked."""

    reason: str
    text: str


Event = Reply | Alert | LogLine | Damaged

_NUMBER = "[0-9]{1,20}"
_ALERT = r"[A-Z_]+,-?[0-9]{1,10},[A-Za-z0-9]+"
_SERIAL = r"[A-Za-z0-9._/:-]{1,20}"
_TEXT = r"[A-Za-z0-9 ._+-]*"
_DONE = ";(?:OK|ERROR;(?:serial|starting_code|key|count|divider|restricted|test_code|windows|provisioned|storage))"
_GRAMMAR = {
    name: re.compile(rest)
    for name, rest in {
        "INVALID": "",
        "SETUP": _DONE,
        "SETUP+": _DONE,
        "TOKEN": f";(?:INVALID|ALREADY_USED|PAYG_DISABLED|(?:VALID|WAIT);{_NUMBER})",
        "STATUS": f";(?:INACTIVE|PAYG_DISABLED|ACTIVE;{_NUMBER})",
        "TELEMETRY": r";(\{[\x20-\x22\x24-\x29\x2B-\x7E]*\})",
        "LOAD": ";(?:OFF|ON|AUTO);(?:OFF|ON)",
        "BATTERY": f";(?:ERROR;[a-z_]{{1,20}}|(?:{'|'.join(CHEMISTRIES)});{_NUMBER})",
        "ALERTS": f";{_NUMBER}(?:;{_ALERT})*",
        "LOG": f";{_NUMBER}(?:;{_NUMBER},[A-Z_]+,(?:RAISED|CLEARED),-?[0-9]{{1,10}},[A-Za-z0-9]+,{_NUMBER})*",
        "INFO": f";(?:{_SERIAL})?;{_TEXT};{_TEXT};{_TEXT};{_NUMBER};{_NUMBER}",
        "ACK": f";(?:UNKNOWN|{_NUMBER};{_NUMBER})",
        "ALERT": f";[A-Z_]+;(?:RAISED|CLEARED);-?[0-9]{{1,10}};[A-Za-z0-9]+;{_NUMBER};{_NUMBER}",
    }.items()
}
_CHECKED = re.compile(r"([^*]*)\*([0-9A-F]{4})(.*)", re.DOTALL)
_WITHOUT_LINE_END = re.compile(rf"(STATUS;INACTIVE|TOKEN;VALID;{_NUMBER})([^*0-9].*)", re.DOTALL)
_MARK = re.compile(rb"[#\r\n]")
_KEY_IN_LOG = re.compile(r"(?i)(key\W{1,3})[0-9a-f]{16,}")
_MAY_GO_ON = re.compile(r"[0-9A-Fa-f][ ,:x-]*\Z")


class HdkReader:
    """Turns what a unit sends into events, however the bytes are cut into reads, holding at most LONGEST_LINE of them.

    require_check: from now on a line without a right check is Damaged (H6). secrets: keys to be masked in addition to
    everything that looks like one.
    """

    def __init__(self, *, require_check: bool = False, secrets: Sequence[bytes] = ()) -> None:
        self.require_check = require_check
        self.secrets = tuple(secrets)
        self._line = bytearray()
        self._in_reply = False
        self._skipping = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        start = 0
        for mark in _MARK.finditer(data):
            events += self._grow(data[start : mark.start()])
            events += self._complete()
            self._in_reply = mark[0] == b"#"
            start = mark.end()
        events += self._grow(data[start:])
        return events

    def silence(self) -> list[Event]:
        """The line has been quiet: what is pending is complete.

        Log text that ends in a hexadecimal digit is kept for its line end, since it may be half a key.
        """
        text = self._line.decode("latin-1")
        if self._in_reply and not self.require_check and (glued := _WITHOUT_LINE_END.fullmatch(text)):
            self._in_reply = False
            self._line = bytearray(glued[2].encode("latin-1"))
            return [_parse(glued[1]) or self._damaged("not an answer", text), *self.silence()]
        if not self._in_reply and _MAY_GO_ON.search(text):
            return []
        return self._complete()

    def _grow(self, piece: bytes) -> list[Event]:
        if self._skipping:
            return []
        self._line += piece[: LONGEST_LINE + 1 - len(self._line)]
        if len(self._line) <= LONGEST_LINE:
            return []
        damaged = self._damaged(f"longer than {LONGEST_LINE} bytes", self._line.decode("latin-1"))
        self._line.clear()
        self._skipping = True
        return [damaged]

    def _complete(self) -> list[Event]:
        text = self._line.decode("latin-1")
        self._line.clear()
        self._skipping = False
        in_reply, self._in_reply = self._in_reply, False
        if not text:
            return []
        return self._reply(text) if in_reply else self._log(text)

    def _reply(self, text: str) -> list[Event]:
        body, rest = text, ""
        if (checked := _CHECKED.fullmatch(text)) and not (self.require_check and checked[3]):
            body, rest = checked[1], checked[3]
            if f"{crc16_ccitt_false(body.encode('latin-1')):04X}" != checked[2]:
                return [self._damaged("its check is wrong", text)]
        elif self.require_check:
            return [self._damaged("its check is missing", text)]
        elif glued := _WITHOUT_LINE_END.fullmatch(text):
            body, rest = glued[1], glued[2]
        event = _parse(body)
        return [event, *self._log(rest)] if event else [self._damaged("not an answer", text)]

    def _log(self, text: str) -> list[Event]:
        if not text:
            return []
        text = self._shown(text).strip()
        return [LogLine(text)] if text else []

    def _damaged(self, reason: str, text: str) -> Damaged:
        return Damaged(reason, self._shown(text)[:EXCERPT])

    def _shown(self, text: str) -> str:
        text = _KEY_IN_LOG.sub(rf"\1{MASK}", mask_secrets(text, *self.secrets))
        return "".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in text)


def _parse(body: str) -> Reply | Alert | None:
    name, separator, rest = body.partition(";")
    grammar = _GRAMMAR.get(name)
    if grammar is None or not grammar.fullmatch(separator + rest):
        return None
    if name == "TELEMETRY":
        return Reply(name, (rest,))
    fields = tuple(rest.split(";")) if separator else ()
    if name == "ALERT":
        code, change, value, unit, boot, seq = fields
        return Alert(code, change == "RAISED", int(value), unit, int(boot), int(seq))
    return Reply(name, fields)


def _command(body: str, with_check: bool) -> bytes:
    check = f"*{crc16_ccitt_false(body.encode('ascii')):04X}" if with_check else ""
    return f"#{body}{check}\n".encode("ascii")


def encode_setup(device: Device, *, with_check: bool = False) -> bytes:
    """`#SETUP` (H10). Raises PaygoError for a serial that the line cannot carry."""
    return _command(f"SETUP;{_identity(device)}", with_check)


def encode_setup_plus(device: Device, *, with_check: bool = False) -> bytes:
    """`#SETUP+` (H14): also the last used count, divider, digit set, test code and windows."""
    config = device.config
    windows = (config.max_jump, config.max_sync_jump, config.older_window)
    written = "" if windows == STANDARD_WINDOWS else ",".join(map(str, windows))
    numbers = f"{device.count};{config.time_divider};{config.restricted_digit_set:d}"
    return _command(f"SETUP+;{_identity(device)};{numbers};{device.test_code};{written}", with_check)


def _identity(device: Device) -> str:
    if re.fullmatch(_SERIAL, device.serial) is None:
        raise PaygoError(
            f"the serial number {device.serial!r} cannot be sent to a unit",
            "on this line a serial is 1 to 20 letters, digits and - _ . / :",
        )
    return f"{device.serial};{device.config.starting_code};{device.config.secret_key.hex()}"


def encode_token(text: str, *, with_check: bool = False) -> bytes:
    """`#TOKEN` (H11), without the spaces and hyphens that people write. Raises PaygoError for anything but digits."""
    digits = strip_token(text)
    if re.fullmatch("[0-9]*", digits) is None:
        raise PaygoError("the token has characters that are not digits", "a token is digits, spaces and hyphens")
    if len(digits) not in (9, 12, 15, 20):
        raise PaygoError(
            f"the token has {len(digits)} digits", "a token has 9, 12, 15 or 20 digits, leading zeros included"
        )
    return _command(f"TOKEN;{digits}", with_check)


def encode_status(*, with_check: bool = False) -> bytes:
    """`#STATUS;` (H13). The `;` is needed: an HDK answers `#INVALID` to `#STATUS` and a line end."""
    return _command("STATUS;", with_check)


def encode_telemetry(*, with_check: bool = False) -> bytes:
    """`#TELEMETRY;` (H15)."""
    return _command("TELEMETRY;", with_check)


def encode_load(mode: str, *, with_check: bool = False) -> bytes:
    """`#LOAD` (H16): mode is off, on or auto."""
    if mode.upper() not in ("OFF", "ON", "AUTO"):
        raise PaygoError(f"{mode!r} is not a position of the operator's switch", "it is off, on or auto")
    return _command(f"LOAD;{mode.upper()}", with_check)


def encode_battery(chemistry: str = "", capacity_ah: int = 0, *, with_check: bool = False) -> bytes:
    """`#BATTERY` (H28): which battery the unit has now, or, with a chemistry of CHEMISTRIES, which it asks for."""
    if not chemistry:
        return _command("BATTERY;", with_check)
    if chemistry.upper() not in CHEMISTRIES:
        known = ", ".join(CHEMISTRIES).lower()
        raise PaygoError(f"{brief(chemistry)} is no chemistry of a battery", f"chemistries are {known}")
    if not 1 <= capacity_ah <= LARGEST_BATTERY_AH:
        raise PaygoError(f"a battery of {capacity_ah} Ah is none for a unit", f"it has 1 to {LARGEST_BATTERY_AH} Ah")
    return _command(f"BATTERY;{chemistry.upper()};{capacity_ah}", with_check)


def encode_alerts(*, with_check: bool = False) -> bytes:
    """`#ALERTS;` (H17)."""
    return _command("ALERTS;", with_check)


def encode_log(*, with_check: bool = False) -> bytes:
    """`#LOG;` (H18)."""
    return _command("LOG;", with_check)


def encode_info(*, with_check: bool = False) -> bytes:
    """`#INFO;` (H19), which tells an `hdk+` unit from an HDK."""
    return _command("INFO;", with_check)


def encode_ack(boot: int, seq: int, *, with_check: bool = False) -> bytes:
    """`#ACK` (H21)."""
    if boot < 0 or seq < 0:
        raise PaygoError(f"there is no event {seq} of start {boot}", "both are 0 or more")
    return _command(f"ACK;{boot};{seq}", with_check)
