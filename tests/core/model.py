"""A reference model of tokens and units in plain Python: slow, obvious, and importing nothing of the project."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

WORD = (1 << 64) - 1
DAY = 86_400

STANDARD, EXTENDED = 9, 12
MODULUS = {STANDARD: 1_000, EXTENDED: 1_000_000}
LARGEST = {STANDARD: 999_999_999, EXTENDED: 999_999_999_999}
RESTRICTED_LENGTH = {STANDARD: 15, EXTENDED: 20}

NOT_AN_ENTRY = "not an entry"
WRONG = "wrong"
ALREADY_USED = "already used"
WAITING = "waiting"
ADD, SET, UNLOCK, SYNC = "add", "set", "unlock", "sync"


def siphash24(key: bytes, message: bytes) -> int:
    """SipHash-2-4 as its authors describe it, 64-bit result."""

    def rotate(x: int, by: int) -> int:
        return ((x << by) | (x >> (64 - by))) & WORD

    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    a, b, c, d = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(number: int) -> None:
        nonlocal a, b, c, d
        for _ in range(number):
            a, c = (a + b) & WORD, (c + d) & WORD
            b, d = rotate(b, 13) ^ a, rotate(d, 16) ^ c
            a = rotate(a, 32)
            c, a = (c + b) & WORD, (a + d) & WORD
            b, d = rotate(b, 17) ^ c, rotate(d, 21) ^ a
            c = rotate(c, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d


def to_code(hashed: int) -> int:
    """T2."""
    x = ((hashed >> 32) ^ (hashed & 0xFFFF_FFFF)) >> 2
    return x - 73_741_825 if x > 999_999_999 else x


@lru_cache(maxsize=400_000)
def next_code(key: bytes, form: int, code: int) -> int:
    """T3, and T24 for extended tokens."""
    if form == STANDARD:
        return to_code(siphash24(key, code.to_bytes(4, "big") * 2))
    x = siphash24(key, code.to_bytes(8, "big")) >> 24
    return x - 99_511_627_777 if x > 999_999_999_999 else x


def with_base(form: int, code: int, base: int) -> int:
    """T5."""
    return code - code % MODULUS[form] + base


def default_starting_code(key: bytes) -> int:
    """T4."""
    return to_code(siphash24(key, key))


def encode(key: bytes, starting_code: int, form: int, count: int, value: int) -> int:
    """T5: the token of a value at a count."""
    base = (starting_code + value) % MODULUS[form]
    code = with_base(form, starting_code, base)
    for _ in range(count):
        code = next_code(key, form, code)
    return with_base(form, code, base)


def next_count(count: int, kind: str) -> int:
    """T10: the smallest count above the server's with the parity of the type."""
    wanted = 0 if kind == ADD else 1
    return next(n for n in (count + 1, count + 2) if n % 2 == wanted)


def write(form: int, restricted: bool, token: int) -> str:
    """T20, T21."""
    if not restricted:
        return str(token).zfill(form)
    length = RESTRICTED_LENGTH[form]
    bits = format(token, f"0{2 * length}b")
    return "".join(str(int(bits[at : at + 2], 2) + 1) for at in range(0, 2 * length, 2))


def read(form: int, restricted: bool, text: str) -> int:
    """T21: the number of a text that has the right length and digits."""
    if not restricted:
        return int(text)
    return int("".join(format(int(digit) - 1, "02b") for digit in text), 2)


def form_of_entry(restricted: bool, text: str) -> int | None:
    """T22: which kind of token a text could be on a device; None when it is no entry."""
    digits = "1234" if restricted else "0123456789"
    lengths = {RESTRICTED_LENGTH[form]: form for form in MODULUS} if restricted else {form: form for form in MODULUS}
    return lengths.get(len(text)) if set(text) <= set(digits) else None


@dataclass
class Window:
    """T11: L, F and the even counts accepted in L - older … L."""

    highest: int
    floor: int
    used: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Device:
    """What identifies a unit and bounds what it accepts."""

    key: bytes
    starting_code: int
    divider: int = 1
    restricted: bool = False
    jump: int = 64
    sync_jump: int = 100
    older: int = 16
    max_count: int = 65_535
    strict: bool = False


def matching_counts(device: Device, form: int, token: int, last: int) -> list[int]:
    """The counts 1 … last at which the token lies on the chain of its value."""
    base = token % MODULUS[form]
    code = with_base(form, device.starting_code, base)
    found = []
    for n in range(1, last + 1):
        code = next_code(device.key, form, code)
        if with_base(form, code, base) == token:
            found.append(n)
    return found


def judge(device: Device, window: Window, text: str) -> tuple[str, int | None, int | None, Window]:
    """T12 to T17: verdict, value, count and the window afterwards."""
    form = form_of_entry(device.restricted, text)
    if form is None:
        return NOT_AN_ENTRY, None, None, window
    token = read(form, device.restricted, text)
    if token > LARGEST[form]:
        return WRONG, None, None, window
    value = (token % MODULUS[form] - device.starting_code) % MODULUS[form]
    if value in (996, 997):
        return WRONG, None, None, window
    command = value in (998, 999)
    last = min(window.highest + (device.sync_jump if value == 999 else device.jump), device.max_count)
    matches = matching_counts(device, form, token, last)
    for n in matches:
        newer = n > window.highest
        late = (
            not command
            and n % 2 == 0
            and max(window.floor, window.highest - device.older) < n < window.highest
            and n not in window.used
        )
        if newer or late:
            highest = max(window.highest, n)
            used = window.used | ({n} if n % 2 == 0 else set())
            kept = {u for u in used if highest - device.older <= u}
            floor = n if command or n % 2 == 1 else window.floor
            kind = {998: UNLOCK, 999: SYNC}.get(value, ADD if n % 2 == 0 else SET)
            return kind, value, n, Window(highest, floor, kept)
    if matches:
        return ALREADY_USED, value, matches[-1], window
    return WRONG, None, None, window


def wait_minutes(wrong_in_a_row: int, strict: bool) -> int:
    """T32, T33."""
    if strict:
        return min(2 ** (wrong_in_a_row - 1), 512)
    return 0 if wrong_in_a_row <= 2 else min(2 ** (wrong_in_a_row - 2), 512)


class Unit:
    """T26 to T37: credit and waits on one clock that never goes back."""

    def __init__(self, device: Device, count: int) -> None:
        self.device = device
        self.window = Window(count, count)
        self.clock = 0
        self.active_until = 0
        self.wait_until = 0
        self.wrong = 0
        self.unlocked = False

    def tick(self, now: int) -> None:
        self.clock = max(self.clock, now)

    @property
    def wait_left(self) -> int:
        return max(0, self.wait_until - self.clock)

    @property
    def seconds_left(self) -> int | None:
        return None if self.unlocked else max(0, self.active_until - self.clock)

    def enter(self, text: str, now: int) -> tuple[str, int | None, int | None]:
        self.tick(now)
        form = form_of_entry(self.device.restricted, text)
        if form is None:
            return NOT_AN_ENTRY, None, None
        if self.wait_left > 0:
            return WAITING, None, None
        kind, value, count, self.window = judge(self.device, self.window, text)
        if kind == WRONG:
            self.wrong += 1
            self.wait_until = self.clock + 60 * wait_minutes(self.wrong, self.device.strict)
        elif kind != ALREADY_USED:
            self.wrong = 0
            self._apply(kind, form, value or 0)
        return kind, value, count

    def _apply(self, kind: str, form: int, value: int) -> None:
        seconds = value * DAY // self.device.divider
        if kind == UNLOCK:
            self.unlocked = True
        elif kind == ADD and form == STANDARD:
            self.active_until = max(self.clock, self.active_until) + seconds
        elif kind == SET and form == STANDARD:
            self.active_until = self.clock + seconds
            self.unlocked = False

    def sleep(self, ahead: int) -> None:
        """T36: power is cut; the unit wakes up `ahead` seconds on, with what was left of its wait."""
        left = self.wait_left
        self.clock += ahead
        self.wait_until = self.clock + left
