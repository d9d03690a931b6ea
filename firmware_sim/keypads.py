"""Keypad units that are not ours: the neutral C example as a terminal program, and the Arduino sketch.

They decide as deployed firmware does (Dialect.REFERENCE_C), defects included.
"""

from __future__ import annotations

import struct

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from paygo_core import Dialect, ReferenceState, TokenType, decode_token
from paygo_core.errors import PaygoError
from paygo_core.tokens import DeviceConfig

DAY_MS = 86_400_000
KEYS = "0123456789*#"
LONGEST_BACKLOG = 64
"""Bytes in a UART's buffer; what comes beyond is lost."""
STEP_MS = 10_000
BLINK_MS = 500
EXAMPLE = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", starting_code=123456789)
"""What the neutral example has compiled in; published, so no secret."""


class KeypadUnit:
    """What both kinds share: time, credit, the plant, the wire. ControlUnit says what each attribute is."""

    dialect = Dialect.REFERENCE_C

    def __init__(self, storage: Storage, home: SolarHome) -> None:
        self.storage = storage
        self.home = home
        self.powered = False
        self.output = False
        self.charge = True
        self.light = "dark"
        self.last_blink: tuple[str, int] = ("dark", 0)
        self.wire_due_ms: int | None = None
        self.config: DeviceConfig | None = None
        self.tokens = ReferenceState()
        self.now_ms = 0
        self.until_ms = 0
        self.unlocked = False
        self._rx = bytearray()
        self._tx = bytearray()
        self.power_on()

    def power_on(self) -> None:
        """Starts the program."""
        if not self.powered:
            self.powered = True
            self._start()
            self._switch()

    def power_off(self) -> None:
        """Cuts the supply."""
        self.powered = False
        self._switch()
        self.light = "dark"
        self.wire_due_ms = None
        self._rx.clear()
        self._tx.clear()

    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None:  # noqa: ARG002
        """Raises PaygoError: cuts inside a write are for our own firmware."""
        raise PaygoError("this kind of unit cannot be cut inside a write", "cut its supply with power")

    def press(self, keys: str) -> None:
        """Presses keys, which such a unit reads from its line as well. Raises PaygoError for others."""
        if any(key not in KEYS for key in keys):
            raise PaygoError("the keypad has no such key", f"its keys are {KEYS}")
        self.feed(keys.encode("ascii"))

    def feed(self, data: bytes) -> None:
        """Bytes on the wire."""
        if self.powered:
            self._rx += data[: max(0, LONGEST_BACKLOG - len(self._rx))]
            self._read()
            self._switch()

    def pass_time(self, world_ms: int, wire_ms: int = 0) -> None:
        """Lets time pass, in ms."""
        while world_ms > 0:
            step = min(world_ms, STEP_MS)
            self.home.step(step / 1000, output=self.output, charge=self.charge)
            self.now_ms += step
            self._switch()
            world_ms -= step
        if self.powered:
            self._wait(wire_ms)
            self._switch()

    def take(self) -> bytes:
        """What the unit has said since the last call."""
        said = bytes(self._tx)
        self._tx.clear()
        return said

    def _paid(self) -> bool:
        return self.unlocked or self.now_ms < self.until_ms

    def _switch(self) -> None:
        self.output = self.powered and self._paid()

    def _start(self) -> None:
        raise NotImplementedError

    def _read(self) -> None:
        raise NotImplementedError

    def _wait(self, wire_ms: int) -> None:
        """Lets wire time pass."""

    def _print(self, line: str) -> None:
        self._tx += line.encode("ascii") + b"\r\n"

    def _judge(self, digits: str) -> tuple[int, int]:
        """The activation value as the C code has it (-1 invalid, -2 used), and the token's count; applied."""
        assert self.config is not None
        said = decode_token(self.config, digits, self.tokens, dialect=self.dialect)
        if said.token_type is TokenType.INVALID:
            return -1, self.tokens.max_count
        if said.token_type is TokenType.ALREADY_USED:
            return -2, self.tokens.max_count
        self.tokens = said.state
        value = said.value or 0
        if said.token_type is TokenType.ADD_TIME:
            self.until_ms = max(self.now_ms, self.until_ms) + value * DAY_MS
        elif said.token_type is TokenType.SET_TIME:
            self.until_ms = self.now_ms + value * DAY_MS
            self.unlocked = False
        self.unlocked |= said.token_type is TokenType.DISABLE_PAYG
        return {TokenType.DISABLE_PAYG: 998, TokenType.COUNTER_SYNC: 999}.get(said.token_type, value), said.count or 0


class TerminalUnit(KeypadUnit):
    """The neutral C example with its debug prints: a program on a terminal, which forgets everything when it ends."""

    def _start(self) -> None:
        self.config = EXAMPLE
        self.tokens = ReferenceState(max_count=1)
        self.until_ms = self.now_ms
        self.unlocked = False
        self._entry: bytearray | None = None
        self._wrong = 0
        self._locked_until_ms = 0

    def _read(self) -> None:
        for byte in bytes(self._rx):
            if self._entry is not None:
                self._entry.append(byte)
                if len(self._entry) == 9:
                    entry, self._entry = bytes(self._entry), None
                    self._enter(entry)
            elif byte == ord("*"):
                self._entry = bytearray()
            elif byte == ord("#"):
                self._show()
        self._rx.clear()

    def _show(self) -> None:
        if not self._paid():
            self._blink("Red", 1)
            return
        if not self.unlocked:
            self._print(f"Time Left: {(self.until_ms - self.now_ms) // 1000} seconds")
        self._blink("Green", 1)

    def _enter(self, entry: bytes) -> None:
        if self.now_ms < self._locked_until_ms:
            self._print(f"Token entry locked for {-(-(self._locked_until_ms - self.now_ms) // 1000)} seconds")
            self._blink("Red", 1)
            return
        token = 0
        for byte in entry:
            token = token * 10 + byte - ord("0")
        self._print(f"(Token entered: {token})")
        value, count = self._judge(entry.decode("ascii")) if entry.isdigit() else (-1, self.tokens.max_count)
        self._print(f"(Activation Value from Token: {value})")
        self._print(f"(Count: {count})")
        self._print(f"(Max Count: {self.tokens.max_count})")
        self._print(f"(Used Tokens: {self.tokens.used_mask})")
        if value == -1:
            self._wrong += 1
            self._locked_until_ms = self.now_ms + 60_000 * 2 ** min(self._wrong - 1, 9)
            self._blink("Red", 10)
            return
        if value >= 0:
            self._wrong = 0
        self._blink("Green", {-2: 1, 998: 5, 999: 3}.get(value, 2))

    def _blink(self, colour: str, times: int) -> None:
        self.last_blink = (colour.lower(), times)
        self._print(f"{colour} LED Blinked {times} times!")


class ArduinoUnit(KeypadUnit):
    """The Arduino sketch on an ATmega328P: set up over its line once, then a key every half second of wire time."""

    dialect = Dialect.REFERENCE_C_16
    _STORED = struct.Struct("<4sII16sHHQ?")
    _MAGIC = b"ARDU"

    def _start(self) -> None:
        magic, _, starting_code, key, max_count, used, days_ms, unlocked = self._STORED.unpack_from(self.storage.image)
        self._entry: str | None = None
        self._open_ms = 0
        self._busy_ms = 0
        self._deaf = False
        self.config = None
        if magic == self._MAGIC:
            self.config = DeviceConfig(secret_key=key, starting_code=starting_code)
            self.tokens = ReferenceState(max_count, used)
            self.until_ms, self.unlocked = days_ms, unlocked
        else:
            self._print("FACTORY SETUP MODE")
            self._print("Disconnection spotted!!")

    def _read(self) -> None:
        if self._deaf:
            self._rx.clear()
        elif self.config is None:
            line = bytes(self._rx).decode("latin-1")
            self._rx.clear()
            if line.startswith("#"):
                self._set_up(line)
        else:
            self._wait(0)

    def _set_up(self, line: str) -> None:
        """Fields are taken by their place, as the sketch does: a serial of nine digits eats the separator."""
        serial, _, rest = line[1:].partition(";") if ";" in line[1:10] else (line[1:10], "", line[11:])
        code, key = rest[:9], rest[10:42]
        digits = "".join(char for char in serial if char.isdigit())[:9] or "0"
        starting_code = int("".join(char for char in code if char.isdigit()) or "0")
        stored = bytes(int(key[at : at + 2], 16) if _is_hex(key[at : at + 2]) else 0 for at in range(0, 32, 2))
        self._store(int(digits), starting_code, stored)
        self._print(f"SN: {int(digits)}")
        self._print(f"SC: {starting_code}")
        self._print(f"SK: {stored.hex()}")
        self._print("Data saved in EEPROM")
        self._print("count = 0")
        self._deaf = True

    def _store(self, serial: int, starting_code: int, key: bytes) -> None:
        state = (self.tokens.max_count, self.tokens.used_mask, self.until_ms, self.unlocked)
        self.storage.writes += 1
        self.storage.write(0, self._STORED.pack(self._MAGIC, serial, starting_code, key, *state))

    def _wait(self, wire_ms: int) -> None:
        while True:
            step = min(wire_ms, self._busy_ms)
            self._busy_ms -= step
            wire_ms -= step
            if self._entry is not None:
                self._open_ms += step
            if self._busy_ms or not self._rx:
                break
            self._take(chr(self._rx.pop(0)))
        if self._entry is not None and not self._rx:
            self._open_ms += wire_ms
            if self._open_ms >= 20_000:
                self._entry = None
                self._print("activation code = 4294967293")
                self._print("Activation value = -1")
        self.wire_due_ms = (
            self._busy_ms if self._busy_ms else 20_000 - self._open_ms if self._entry is not None else None
        )

    def _take(self, key: str) -> None:
        self._print(key if key.isprintable() else "")
        if key == "*":
            if self._entry is not None:
                self._print("activation code = 4294967295")
            self._entry, self._open_ms = "", 0
        elif self._entry is not None and key.isdigit():
            self._entry += key
        else:
            return
        self._busy_ms = BLINK_MS
        self.last_blink = ("green", 1)
        if self._entry is not None and len(self._entry) == 9:
            entry, self._entry = self._entry, None
            self._enter(entry)

    def _enter(self, entry: str) -> None:
        self._print(f"activation code = {int(entry)}")
        value, _ = self._judge(entry)
        self._print(f"Activation value = {value}")
        self._print(f"count = {self.tokens.max_count}")
        left = max(0, self.until_ms - self.now_ms)
        self._print(f"Active until in days = {-(-left // DAY_MS)}")
        if value >= 0:
            _, serial, starting_code, key, *_ = self._STORED.unpack_from(self.storage.image)
            self._store(serial, starting_code, key)


def _is_hex(pair: str) -> bool:
    return len(pair) == 2 and all(char in "0123456789abcdefABCDEF" for char in pair)
