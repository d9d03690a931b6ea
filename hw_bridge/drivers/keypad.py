"""Drives keypad units over a serial line: the neutral C example (a terminal program), the Arduino sketch, and, by a
typist on its keys, any unit.

None has a command for more than keys. What they do with an accepted token only their own lights say, and some take
used tokens once more: a token is never sent twice here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from hw_bridge.drivers import Entry, UnitStatus
from hw_bridge.transport import Transport
from paygo_core.decoding import strip_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError
from paygo_core.redact import mask_secrets
from paygo_core.wire.keypad import Event, KeypadReader, Said, Text, same_key

QUIET_SECONDS = 0.3
QUERY_SECONDS = 10.0
ENTRY_SECONDS = 15.0
"""An Arduino blinks half a second for each key."""
SETUP_SECONDS = 15.0
ENTRY_KEYS = 9, 15
SECOND_START = 4294967295
"""The Arduino's word for an entry that another `*` cut off."""
TIMED_OUT = 4294967293
TYPIST = b"keypad typist"
START_SECONDS = 6.0
TYPING_SECONDS = 30.0
"""Sixteen keys of 300 ms, ten blinks of a second, and the dark after them."""
UNLOCK_BLINKS, MOST_BLINKS = 5, 12
STANDARD_WINDOWS = (64, 100, 16)


class _Keys:
    """What both kinds share: keys out, words in."""

    def __init__(
        self, transport: Transport, *, log: Callable[[str], None] | None = None, timeout: float | None = None
    ) -> None:
        self._transport = transport
        self._log = log or (lambda _text: None)
        self._timeout = timeout
        self._reader = KeypadReader()

    def _words(self, until: float) -> Iterator[Said]:
        """What the unit says until then."""
        for event in self._events(until):
            if isinstance(event, Text):
                self._log(event.text)
            else:
                yield event

    def _events(self, until: float) -> Iterator[Event]:
        while (left := until - time.monotonic()) > 0:
            data = self._transport.read(min(left, QUIET_SECONDS))
            yield from self._reader.feed(data) if data else self._reader.silence()

    def _forget(self) -> None:
        """What was said before is not an answer to what comes now."""
        until = time.monotonic() + QUIET_SECONDS
        while self._transport.read(0) and time.monotonic() < until:
            pass
        self._reader = KeypadReader()

    def _settle(self) -> None:
        """Reads until the line is quiet, so that nothing late is taken for the next answer."""
        until = time.monotonic() + 1.0
        while self._transport.read(QUIET_SECONDS) and time.monotonic() < until:
            pass
        self._reader = KeypadReader()

    def _until(self, usual: float) -> float:
        return time.monotonic() + (self._timeout or usual)


class TerminalDriver(_Keys):
    """The neutral C example: `*` and nine keys (15 with the restricted digit set) are an entry, `#` asks for the state.

    Its key is compiled in: it cannot be set up. In an entry every byte counts as a digit, so one that somebody began
    and left takes the next keys; it is ended before a token is sent, which costs one wrong entry.
    """

    BAUD = 115_200

    @staticmethod
    def heard(said: bytes) -> str | None:
        """What a line that says this unasked has on it, None if it is not for this driver."""
        return "keypad unit, neutral C example" if _TERMINAL.search(said) else None

    @classmethod
    def ask(cls, transport: Transport) -> str | None:
        """What is on a line, by the key that shows the state."""
        transport.write(b"#")
        driver = cls(transport)
        for word in driver._words(time.monotonic() + 2.0):
            if word.name in ("green", "red"):
                return "keypad unit, neutral C example"
        return None

    def status(self) -> UnitStatus:
        """What the customer may use, as its light shows it. A green light without time left is an unlocked unit."""
        self._forget()
        until = self._until(QUERY_SECONDS)
        for _ in range(max(ENTRY_KEYS) + 1):  # an open entry takes at most so many keys
            self._transport.write(b"#")
            left: int | None = None
            for word in self._words(min(until, time.monotonic() + 2 * QUIET_SECONDS)):
                if word.name == "time_left":
                    left = max(0, word.number)
                elif word.name == "green" and word.number == 1:
                    return UnitStatus("unlocked", None) if left is None else _status(left)
                elif word.name == "red" and word.number == 1:
                    return UnitStatus("inactive", 0)
            if time.monotonic() >= until:
                break
        raise NoAnswerError("the keypad unit does not show its state", "is it powered, and is this its port?")

    def enter(self, token: str) -> Entry:
        """Enters a token. The verdict is what the light says; an answer that is lost is not asked for again."""
        keys = _checked(token, ENTRY_KEYS)
        self.status()
        self._settle()
        self._transport.write(b"*" + keys)
        for word in self._words(self._until(ENTRY_SECONDS)):
            if word.name == "token" and len(keys) == ENTRY_KEYS[0] and word.number != int(keys):
                raise DeviceError("the unit read another token than was sent", "is the line disturbed?")
            if word.name == "locked":
                return Entry("wait", wait_seconds=max(0, word.number))
            if word.name in ("green", "red"):
                return _by_light(word)
        raise NoAnswerError("the keypad unit did not answer the token", "ask for its status before entering it again")


class ArduinoDriver(_Keys):
    """The Arduino sketch for an ATmega328P. It tells no status: only what it made of a token, as it is entered.

    A chip that was never set up says so after a reset, which opening its port usually is. After the set-up it is deaf
    until the next reset.
    """

    BAUD = 9600

    @staticmethod
    def heard(said: bytes) -> str | None:
        """What a line that says this unasked has on it, None if it is not for this driver."""
        if b"FACTORY SETUP MODE" in said:
            return "Arduino keypad unit, not set up yet"
        return "Arduino keypad unit" if _ARDUINO.search(said) else None

    def provision(self, device: Device) -> UnitStatus:
        """Sets up a chip that says FACTORY SETUP MODE, and compares what it stored with what was sent.

        Raises DeviceError when the unit stored something else: it is not set up then, and its tokens would not work.
        """
        _refuse_what_the_sketch_lacks(device)
        config = device.config
        until = self._until(SETUP_SECONDS)
        if not any(word.name == "factory" for word in self._words(until)):
            raise NoAnswerError(
                "the unit does not say FACTORY SETUP MODE", "reset it; one that was set up before says it no more"
            )
        line = f"#{device.serial};{config.starting_code:09d};{config.secret_key.hex()}"
        self._transport.write(line.encode("ascii"))  # in one go: the sketch takes what is there
        stored: dict[str, str] = {}
        for word in self._words(until):
            stored[word.name] = word.text
            if word.name == "saved":
                break
        else:
            raise NoAnswerError("the unit did not say that it saved its data", "reset it, and look what it says")
        for name, right in (
            ("serial", stored.get("serial", "").lstrip("0") == device.serial.lstrip("0")),
            ("starting code", stored.get("starting_code", "0") == f"{config.starting_code}"),
            ("key", same_key(stored.get("key", ""), config.secret_key)),
        ):
            if not right:
                raise DeviceError(
                    f"the unit stored another {name} than it was sent", "erase its EEPROM, and set it up again"
                )
        return UnitStatus("inactive", 0)

    def enter(self, token: str) -> Entry:
        """Enters a token of nine digits, in some five seconds. An answer that is lost is not asked for again."""
        keys = _checked(token, ENTRY_KEYS[:1])
        self._forget()
        self._transport.write(b"*" + keys)
        value: int | None = None
        for word in self._words(self._until(ENTRY_SECONDS)):
            if word.name == "code" and word.number == TIMED_OUT:
                raise NoAnswerError("the unit did not get the whole token in 20 s", "is the line disturbed?")
            if word.name == "code" and word.number not in (SECOND_START, int(keys)):
                raise DeviceError("the unit read another token than was sent", "is the line disturbed?")
            if word.name == "code":
                value = None
            elif word.name == "value":
                value = word.number
                if value < 0:
                    return Entry("already_used" if value == -2 else "invalid")
            elif word.name == "days" and value is not None:
                unlocked = value == 998
                return Entry("accepted", unlocked, None if unlocked else max(0, word.number) * 86_400)
        raise NoAnswerError("the unit did not say what it made of the token", "look at its light and its output")


class TypistDriver(_Keys):
    """The typist of contrib/keypad_typist, on the keypad of a unit without a line: it types, and counts blinks.

    A unit's light tells no credit and no state; it tells what the unit made of a token.
    """

    BAUD = 9600

    @staticmethod
    def heard(said: bytes) -> str | None:
        """What a line that says this unasked has on it, None if it is not for this driver."""
        return "keypad typist" if TYPIST in said else None

    def enter(self, token: str) -> Entry:
        """Types a token. The verdict is what the light says; an answer that is missed is not asked for again."""
        keys = _checked(token, ENTRY_KEYS)
        self._greet()
        self._forget()
        self._transport.write(b"*" + keys)
        for word in self._words(self._until(TYPING_SECONDS)):
            if word.name in ("green", "red"):
                if word.number > MOST_BLINKS:
                    raise DeviceError(f"the unit's light blinked {word.number} times", "no token is answered so")
                return _by_light(word)
        raise NoAnswerError(
            "the unit's light did not answer the token", "look at the typist's wires on keys and lights"
        )

    def _greet(self) -> None:
        """Opening its port starts an Arduino anew, which is deaf for some seconds then."""
        until = self._until(START_SECONDS)
        while (now := time.monotonic()) < until:
            self._transport.write(b"?")
            for event in self._events(min(until, now + QUIET_SECONDS)):
                if isinstance(event, Text) and TYPIST.decode() in event.text:
                    return
        raise NoAnswerError("no keypad typist answers", "is the sketch on it, and is this its port?")


_TERMINAL = re.compile(rb"(?:Green|Red) LED Blinked [0-9]+ times!|\(Token entered: [0-9]+\)")
_ARDUINO = re.compile(rb"activation code = [0-9]+|Active until in days = -?[0-9]+")


def _by_light(word: Said) -> Entry:
    """What a pattern of blinks says to a token."""
    if word.name == "red":
        return Entry("invalid" if word.number > 1 else "wait")
    if word.number == 1:
        return Entry("already_used")
    return Entry("accepted", unlocked=word.number >= UNLOCK_BLINKS)


def _status(seconds: int) -> UnitStatus:
    return UnitStatus("active" if seconds else "inactive", seconds)


def _checked(token: str, lengths: tuple[int, ...]) -> bytes:
    digits = strip_token(token)
    if re.fullmatch("[0-9]*", digits) is None:
        raise PaygoError("the token has characters that are not digits", "a token is digits, spaces and hyphens")
    if len(digits) not in lengths:
        wanted = " or ".join(map(str, lengths))
        raise PaygoError(f"the token has {len(digits)} digits", f"this unit takes {wanted}, leading zeros included")
    return digits.encode("ascii")


def _refuse_what_the_sketch_lacks(device: Device) -> None:
    config = device.config
    for lacking, why in (
        (
            re.fullmatch("[0-9]{1,8}", device.serial) is None,
            "takes a serial of 1 to 8 digits: a longer one shifts the key",
        ),
        (device.count > 1, f"starts at count 0: every token up to count {device.count} would work again"),
        (config.time_divider != 1, f"counts in days: it cannot divide time by {config.time_divider}"),
        (config.restricted_digit_set, "takes tokens of ten digits only, not of the restricted digit set"),
        (
            (config.max_jump, config.max_sync_jump, config.older_window) != STANDARD_WINDOWS,
            "has the standard windows only",
        ),
        (bool(device.test_code), "has no test code"),
    ):
        if lacking:
            shown = mask_secrets(device.serial, config.secret_key)
            raise DeviceError(f"{shown} cannot be set up on this sketch, which {why}", "use an hdk+ unit for it")
