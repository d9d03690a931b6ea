"""VE.Direct of Victron solar chargers and battery monitors: text blocks and hex messages, as bytes in and events out.

Text comes unasked, about once a second: fields `\\r\\n<label>\\t<value>`, the last of which is `Checksum` with a byte
that makes the sum of all bytes of the block 0 mod 256 and can be any byte, also CR, LF, TAB or `:`. Hex messages, from
`:` to a line feed, stand between blocks or inside one and do not count in its sum. 19 200 baud, 8N1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import adler32

from paygo_core.errors import PaygoError
from paygo_core.telemetry import Telemetry

BAUD = 19_200
LONGEST_BLOCK = 2048
"""Bytes; a charger's block has some 200. What is longer is noise."""
EXCERPT = 80

PING, VERSION, PRODUCT, GET, SET, ASYNC = 1, 3, 4, 7, 8, 0xA
"""Commands; what a unit sends unasked is ASYNC."""
DONE, UNKNOWN, ERROR, PING_REPLY = 1, 3, 4, 5
"""Replies; to GET and SET they have the command's own number."""
OK, UNKNOWN_ID, NOT_SUPPORTED, PARAMETER_ERROR = 0, 1, 2, 4
"""Flags in a reply to GET and SET."""

LOAD_CONTROL, LOAD_STATE, ERROR_CODE, DEVICE_MODE = 0xEDAB, 0xEDA8, 0xEDDA, 0x0200
LOAD_OFF, LOAD_ON = 0, 4
"""Values of LOAD_CONTROL."""
MODE_ON, MODE_OFF = 1, 4
"""Values of DEVICE_MODE."""

CHARGER_STATES = {
    0: "off",
    2: "fault",
    3: "bulk",
    4: "absorption",
    5: "float",
    7: "equalize",
    245: "starting",
    247: "auto equalize",
    252: "external",
}
TRACKER_STATES = {0: "off", 1: "limited", 2: "active"}
OFF_REASONS = {
    0x001: "no input power",
    0x002: "switched off",
    0x004: "switched off by a register",
    0x008: "remote input",
    0x010: "protection",
    0x020: "paygo",
    0x040: "battery management system",
    0x080: "engine shut down",
    0x100: "analysing the input voltage",
}
ERRORS = {
    2: ("BATTERY_OVERVOLTAGE", "battery voltage too high"),
    17: ("OVERTEMPERATURE", "charger too hot"),
    18: ("OVERCURRENT", "charger over current"),
    19: ("CHARGER_FAULT", "charger current reversed"),
    20: ("CHARGER_FAULT", "bulk time limit exceeded"),
    21: ("SENSOR_FAULT", "current sensor"),
    26: ("OVERTEMPERATURE", "terminals too hot"),
    28: ("CHARGER_FAULT", "converter"),
    33: ("PANEL_OVERVOLTAGE", "panel voltage too high"),
    34: ("OVERCURRENT", "panel current too high"),
    38: ("CHARGER_FAULT", "input shut down, battery voltage too high"),
    39: ("CHARGER_FAULT", "input shut down"),
    67: ("BATTERY_DISCONNECTED", "connection to the battery management system lost"),
    116: ("SENSOR_FAULT", "calibration data lost"),
    117: ("STORAGE_FAULT", "firmware not compatible"),
    119: ("STORAGE_FAULT", "settings data invalid"),
}
"""What ERR and the register ERROR_CODE say: alert code and meaning. Any other but 0 is a CHARGER_FAULT."""
_OTHER_ERROR = ("CHARGER_FAULT", "unknown")

Value = float | int | bool | str | tuple[str, ...]


class Block(dict[str, Value]):
    """A text block whose sum is right: its values by label.

    Voltages in V, currents in A (positive charges), power in W, charge in Ah, energy in kWh, TTG in seconds, T in °C,
    SOC and DM 0 … 1; LOAD, Relay and Alarm are true or false; FW reads 1.39; CS, MPPT and OR in words; ERR and AR
    numbers. A value that is not what its label promises, and every value of an unknown label, is the unit's own text.
    """

    __slots__ = ()


@dataclass(frozen=True)
class HexMessage:
    """A hex message whose check is right: its command or reply, 0 … 15, and what follows.

    GET, SET and ASYNC carry register, flags and value; the properties are None for other messages.
    """

    command: int
    data: bytes

    @property
    def register(self) -> int | None:
        """The register that it is about."""
        return int.from_bytes(self.data[:2], "little") if self._about_register else None

    @property
    def flags(self) -> int | None:
        """0, or why the unit refused."""
        return self.data[2] if self._about_register else None

    @property
    def value(self) -> bytes | None:
        """The register's value, little-endian."""
        return self.data[3:] if self._about_register else None

    @property
    def _about_register(self) -> bool:
        return self.command in (GET, SET, ASYNC) and len(self.data) >= 3


@dataclass(frozen=True)
class Damaged:
    """What cannot be trusted: why, and how it began, in printable characters."""

    reason: str
    text: str


Event = Block | HexMessage | Damaged

_MARK = b"Checksum\t"
_END = b"\r\nChecksum\t"
_EXACT = 256
"""The lower half of adler32 is 1 and the sum of the bytes mod 65 521, which so many do not reach."""
_FIRST = b"\r\nPID\t"
_STATE, _HISTORY = b"\r\nCS\t", b"\r\nH"
"""From here to the end a charger's, or a monitor's, block changes seldom."""
_HEX = re.compile(rb":([^\r\n\t:]*)(?:\n|(?=[\r\t:]))")
_DIGITS = re.compile(rb"[0-9A-Fa-f](?:[0-9A-Fa-f]{2})+")
_BITS = re.compile(r"0x[0-9A-Fa-f]{1,8}")


class VeDirectReader:
    """Turns what a unit, or its host, sends into events, however the bytes are cut into reads.

    Holds at most LONGEST_BLOCK bytes between calls. A damaged block costs itself, never the block that follows it.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. A hex message inside a block comes before the block."""
        events: list[Event] = []
        for at in range(0, len(data), LONGEST_BLOCK):
            self._take(data[at : at + LONGEST_BLOCK], events)
        return events

    def _take(self, data: bytes, events: list[Event]) -> None:
        buffer = self._rest + data
        start = 0
        while True:
            mark = buffer.find(_MARK, start)
            colon = buffer.find(b":", start, mark if mark >= 0 else len(buffer))
            if colon >= 0:
                message = _HEX.match(buffer, colon)
                if message is None:
                    break
                events.append(_hex_message(message[1], message[0].endswith(b"\n")))
                buffer = buffer[start:colon] + buffer[message.end() :]
                start = 0
                continue
            end = mark + len(_MARK) + 1
            if mark < 0 or end > len(buffer):
                break
            event = _block(buffer[start:end])
            if type(event) is Damaged and buffer[end - 1] in b"\r:":
                if buffer[end - 1] == 13:
                    end -= 1  # after a lost checksum byte this CR begins the next block; before one it does no harm
                elif (message := _HEX.match(buffer, end - 1)) is None:
                    break  # it may become a hex message, before which the checksum byte is still to come
                elif type(inside := _hex_message(message[1], message[0].endswith(b"\n"))) is HexMessage:
                    events.append(inside)
                    buffer = buffer[start : end - 1] + buffer[message.end() :]
                    start = 0
                    continue
            events.append(event)
            start = end
        self._rest = buffer[start:]
        if len(self._rest) > LONGEST_BLOCK:
            events.append(_damaged(f"longer than {LONGEST_BLOCK} bytes", self._rest))
            self._rest = self._rest[-LONGEST_BLOCK // 2 :]


def _block(text: bytes) -> Block | Damaged:
    """A block begins at the first CR LF; should the rest of a broken one stand before it, at its product id."""
    begin = 0
    if not text.startswith(b"\r\n") or (_sum(text) if len(text) > _EXACT else adler32(text) - 1 & 0xFF):
        begin = text.find(b"\r\n")
        if begin < 0:
            return _damaged("half a block", text)
        if _sum(text[begin:]):
            begin = text.rfind(_FIRST, begin + 1)
            if begin < 0 or _sum(text[begin:]):
                return _damaged("its sum is wrong", text)
    if not text.endswith(_END, begin, -1):
        return _damaged("half a block", text)
    end = len(text) - len(_END) - 1
    seldom = text.find(_STATE, begin, end)
    if seldom < 0:
        seldom = text.find(_HISTORY, begin, end)
    try:
        if seldom < 0:
            lines = text[begin + 2 : end].split(b"\r\n")
            block, number = Block(map(_line, lines)), len(lines)
        else:
            block = Block(_run(text[seldom:end]))
            number = len(block)
            if seldom > begin:
                lines = text[begin + 2 : seldom].split(b"\r\n")
                block.update(map(_line, lines))
                number += len(lines)
    except ValueError as wrong:
        return _damaged(str(wrong), text)
    return block if len(block) == number else _damaged("a label stands twice", text)


def _sum(text: bytes) -> int:
    """Mod 256."""
    return sum(adler32(text[at : at + _EXACT]) - 1 for at in range(0, len(text), _EXACT)) & 0xFF


def _hex_message(digits: bytes, ended: bool) -> HexMessage | Damaged:
    if not ended or not _DIGITS.fullmatch(digits):
        return _damaged("half a hex message", b":" + digits)
    command, data = int(digits[:1], 16), bytes.fromhex(digits[1:].decode("ascii"))
    if (command + sum(data)) % 256 != 0x55:
        return _damaged("the check of a hex message is wrong", b":" + digits)
    return HexMessage(command, data[:-1])


def _damaged(reason: str, text: bytes) -> Damaged:
    return Damaged(reason, "".join(chr(byte) if 32 <= byte <= 126 else f"\\x{byte:02x}" for byte in text[:EXCERPT]))


# Values

_PER_UNIT = {
    label: divisor
    for labels, divisor in (
        ("V V2 V3 VS VM VPV I I2 I3 IL CE H1 H2 H3 H6 H7 H8 H15 H16 SOC DM", 1000),
        ("H17 H18 H19 H20 H22", 100),
        ("PPV P T TTG ERR AR H4 H5 H9 H10 H11 H12 H13 H14 H21 H23 HSDS", 1),
    )
    for label in labels.split()
}
"""How many of the line's unit make one of ours."""
_SWITCHES = {"LOAD", "Relay", "Alarm"}
_NAMES = {"CS": CHARGER_STATES, "MPPT": TRACKER_STATES}


class _Lines(dict[bytes, tuple[str, Value]]):
    """Label and value by line, computed once: most lines of a block are those of an earlier one. Raises ValueError."""

    def __missing__(self, line: bytes) -> tuple[str, Value]:
        label, tab, text = line.decode("latin-1").partition("\t")
        if not tab or not label:
            raise ValueError("a field has no value")
        field = label, _value(label, text)
        if len(line) <= _KEPT_BYTES:
            if len(self) >= _KEPT_LINES:
                self.clear()
            self[line] = field
        return field


class _Runs(dict[bytes, dict[str, Value]]):
    """The same for a run of lines, each after its CR LF."""

    def __missing__(self, run: bytes) -> dict[str, Value]:
        lines = run[2:].split(b"\r\n")
        fields = dict(map(_line, lines))
        if len(fields) != len(lines):
            raise ValueError("a label stands twice")
        if len(self) >= _KEPT_RUNS:
            self.clear()
        self[run] = fields
        return fields


_LONGEST_NUMBER = 11
_KEPT_LINES, _KEPT_BYTES, _KEPT_RUNS = 4096, 48, 64
_line, _run = _Lines().__getitem__, _Runs().__getitem__


def _value(label: str, text: str) -> Value:
    if label in _PER_UNIT:
        if not _is_number(text):
            return text
        number, divisor = int(text), _PER_UNIT[label]
        if label == "TTG":  # minutes; -1: it will never be empty
            return number * 60 if number >= 0 else text
        return number if divisor == 1 else number / divisor
    if label in _SWITCHES:
        return {"ON": True, "OFF": False}.get(text.upper(), text)
    if label in _NAMES:
        return _NAMES[label].get(int(text), text) if _is_number(text) else text
    if label == "OR" and _BITS.fullmatch(text):
        return _off_reasons(int(text, 16))
    if label == "FW" and re.fullmatch("[0-9]{3,4}", text):
        return f"{int(text[:-2])}.{text[-2:]}"
    return text


def _is_number(text: str) -> bool:
    return (text.isdecimal() or (text[:1] in ("-", "+") and text[1:].isdecimal())) and len(text) <= _LONGEST_NUMBER


def _off_reasons(bits: int) -> tuple[str, ...]:
    return tuple(OFF_REASONS.get(1 << bit, f"bit {bit}") for bit in range(32) if bits >> bit & 1)


_QUANTITIES = {
    "V": "battery_voltage",
    "I": "battery_current",
    "VPV": "panel_voltage",
    "PPV": "panel_power",
    "IL": "load_current",
    "T": "temperature",
    "SOC": "state_of_charge",
}


def telemetry(values: Mapping[str, Value]) -> Telemetry:
    """A block's values, or those of several blocks of one unit, as a reading.

    What a reading has no name for stands in `extra`, under the unit's labels and in the units of Block.
    """
    rest = dict(values)
    known: dict[str, Any] = {
        name: float(rest.pop(label))  # type: ignore[arg-type]
        for label, name in _QUANTITIES.items()
        if isinstance(rest.get(label), (int, float))
    }
    output = rest.pop("LOAD") if isinstance(rest.get("LOAD"), bool) else None
    return Telemetry(
        serial=str(rest.pop("SER#", "")),
        firmware_version=str(rest.pop("FW")) if "FW" in rest else None,
        output=None if output is None else bool(output),
        extra=rest,
        **known,
    )


_ALARMS = {0x01: "BATTERY_UNDERVOLTAGE", 0x02: "BATTERY_OVERVOLTAGE", 0x20: "UNDERTEMPERATURE", 0x40: "OVERTEMPERATURE"}
"""Bits of AR; any other is a CHARGER_FAULT."""


def alerts(values: Mapping[str, Value]) -> dict[str, tuple[int, str]]:
    """The alerts that these values tell of: by code, the unit's own number and the label that it stood under."""
    found: dict[str, tuple[int, str]] = {}
    error, reason = values.get("ERR"), values.get("AR")
    if isinstance(error, int) and error:
        found[ERRORS.get(error, _OTHER_ERROR)[0]] = error, "ERR"
    if values.get("Alarm") is True:
        bits = reason if isinstance(reason, int) and reason > 0 else 0
        codes = [code for bit, code in _ALARMS.items() if bits & bit] or [_OTHER_ERROR[0]]
        for code in codes:
            found.setdefault(code, (bits, "AR"))
    return found


# Messages


def encode_hex(command: int, data: bytes = b"") -> bytes:
    """A hex message. Raises PaygoError for a command beyond 0 … 15."""
    if not 0 <= command <= 15:
        raise PaygoError(f"there is no VE.Direct command {command}", "it is one hexadecimal digit")
    check = (0x55 - command - sum(data)) % 256
    return f":{command:X}{data.hex().upper()}{check:02X}\n".encode("ascii")


def encode_get(register: int) -> bytes:
    """Asks for a register, 0 … 0xFFFF."""
    return encode_hex(GET, _register(register) + b"\0")


def encode_set(register: int, value: bytes) -> bytes:
    """Sets a register to a little-endian value. A charger writes most registers to its storage each time."""
    return encode_hex(SET, _register(register) + b"\0" + value)


def _register(register: int) -> bytes:
    if not 0 <= register <= 0xFFFF:
        raise PaygoError(f"there is no VE.Direct register {register}", "a register is 0 to 0xFFFF")
    return register.to_bytes(2, "little")
