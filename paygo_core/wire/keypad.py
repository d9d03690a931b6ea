"""What keypad units print on a serial line: the neutral C example (a terminal program) and the Arduino sketch.

Bytes in, events out. Neither marks its replies as such: what they say is told by its words. What they echo may stand
before it on the same line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from paygo_core.redact import MASK, mask_secrets

LONGEST_LINE = 256
"""Bytes; what is longer is noise."""

Name = Literal[
    "token",
    "value",
    "count",
    "max_count",
    "used",
    "green",
    "red",
    "time_left",
    "locked",
    "factory",
    "serial",
    "starting_code",
    "key",
    "saved",
    "code",
    "days",
]

_NUMBER = "(-?[0-9]{1,15})"
_SAID: tuple[tuple[Name, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))  # type: ignore[misc]  # the names stand in Name
    for name, pattern in (
        ("token", rf"\(Token entered: {_NUMBER}\)"),
        ("value", rf"\(Activation Value from Token: {_NUMBER}\)"),
        ("count", rf"\(Count: {_NUMBER}\)"),
        ("max_count", rf"\(Max Count: {_NUMBER}\)"),
        ("used", rf"\(Used Tokens: {_NUMBER}\)"),
        ("green", rf"Green LED Blinked {_NUMBER} times!"),
        ("red", rf"Red LED Blinked {_NUMBER} times!"),
        ("time_left", rf"Time Left: {_NUMBER} seconds"),
        ("locked", rf"Token entry locked for {_NUMBER} seconds"),
        ("factory", "FACTORY SETUP MODE()"),
        ("serial", r"SN:\s*([0-9]{1,10})\s*$"),
        ("starting_code", r"SC:\s*([0-9]{1,10})\s*$"),
        ("key", r"SK:\s*([0-9A-Fa-fx ,:]{1,96}?)\s*$"),
        ("saved", "Data saved in EEPROM()"),
        ("code", rf"activation code = {_NUMBER}\s*$"),
        ("value", rf"Activation value = {_NUMBER}\s*$"),
        ("count", rf"count = {_NUMBER}\s*$"),
        ("days", rf"Active until in days = {_NUMBER}\s*$"),
    )
)


@dataclass(frozen=True)
class Said:
    """A thing that the unit said, and its number or text. A key never shows in its repr."""

    name: Name
    text: str

    @property
    def number(self) -> int:
        """The text as a number; 0 where there is none."""
        return int(self.text or 0)

    def __repr__(self) -> str:
        return f"Said({self.name!r}, {MASK if self.name == 'key' else self.text!r})"


@dataclass(frozen=True)
class Text:
    """What is none of these: an echo, a prompt, a log line. Keys are masked."""

    text: str


Event = Said | Text


class KeypadReader:
    """Turns what a keypad unit prints into events, however it is cut into reads, holding at most LONGEST_LINE bytes."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._grow(line)
            events += self.silence()
        self._grow(rest)
        return events

    def silence(self) -> list[Event]:
        """The line has been quiet: what is pending is complete."""
        text = bytes(self._line).decode("latin-1").strip()
        skipped, self._skipping = self._skipping, False
        self._line.clear()
        if not text or skipped:
            return []
        for name, pattern in _SAID:
            if found := pattern.search(text):
                return [Said(name, found[1])]
        return [Text("".join(char if " " <= char <= "~" else "?" for char in mask_secrets(text)))]

    def _grow(self, piece: bytes) -> None:
        if self._skipping or len(self._line) + len(piece) > LONGEST_LINE:
            self._skipping = True
            self._line.clear()
        else:
            self._line += piece


def same_key(echoed: str, key: bytes) -> bool:
    """Whether a unit that echoed this has the key: in hexadecimal, spaced or not, with or without leading zeros."""
    words = re.split(r"[ ,:]+", echoed.strip().lower().replace("0x", " ").strip())
    if len(words) == len(key):
        return [word.zfill(2) for word in words] == [f"{byte:02x}" for byte in key]
    joined = "".join(words)
    return joined in (key.hex(), "".join(f"{byte:x}" for byte in key))
