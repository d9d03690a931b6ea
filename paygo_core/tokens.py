"""Device configurations and the making of tokens. Rules (T1 …) are in docs/token-rules.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, SupportsIndex

from paygo_core._native import ffi, lib
from paygo_core.errors import PaygoError

if TYPE_CHECKING:
    from paygo_core.cache import ChainCache

LARGEST_STARTING_CODE = 999_999_999
LARGEST_COUNT = 65_535
LARGEST_UNITS = 995
LARGEST_EXTENDED_VALUE = 999_999
LARGEST_OLDER_WINDOW = 31
COMMAND_VALUES = range(996, 1000)
"""Values that no ADD_TIME or SET_TIME may carry: reserved, reserved, DISABLE_PAYG, COUNTER_SYNC (T8, T9)."""

Days = int | float | Decimal | Fraction


class TokenType(IntEnum):
    """What a token does, in the numbers that the whole ecosystem uses."""

    ADD_TIME = 1
    """Adds credit; at even counts (T10, T26)."""
    SET_TIME = 2
    """Sets credit, and makes older tokens void; at odd counts (T10, T17, T27)."""
    DISABLE_PAYG = 3
    """Unlocks the unit for good (T9, T29)."""
    COUNTER_SYNC = 4
    """Moves the device's count and nothing else (T9, T30)."""
    INVALID = 10
    """A verdict: no token of this device within its windows (T16)."""
    ALREADY_USED = 11
    """A verdict: a token of this device that it takes no more (T15)."""


def parse_key(text: str) -> bytes:
    """The 16 bytes of a secret key written as 32 hexadecimal characters (T1). The error never shows the key."""
    stripped = text.strip()
    if re.fullmatch(r"[0-9A-Fa-f]*", stripped) is None:
        raise PaygoError(
            "the secret key has characters that are not hexadecimal",
            "a secret key is 32 characters, 0-9 and a-f, without spaces",
        )
    if len(stripped) != 32:
        raise PaygoError(
            f"the secret key has {len(stripped)} characters", "a secret key is exactly 32 hexadecimal characters"
        )
    return bytes.fromhex(stripped)


def checked_int(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int within its limits; raises PaygoError that names it."""
    if type(value) is int and low <= value <= high:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise PaygoError(f"{name} is a {type(value).__name__}", f"{name} is an integer from {low} to {high}")
    number = int(value.__index__())
    if not low <= number <= high:
        raise PaygoError(f"{name} {number} is out of range", f"{name} lies between {low} and {high}")
    return number


@dataclass(frozen=True)
class DeviceConfig:
    """What identifies a device and bounds what it accepts.

    secret_key: 16 bytes (T1), never shown. starting_code: 1 … 999 999 999; None derives it from the key (T4).
    time_divider: units a day, 1 … 255. restricted_digit_set: the keypad has only 1 to 4 (T21).
    max_jump, max_sync_jump: how far above the last count a token, or a sync, may lie, 1 … 65 535 (T12). older_window:
    how far below it an unused add-time token may lie, 0 … 31 (T14). max_count: the model's last usable count,
    1 … 65 535 (T10). Raises PaygoError for anything out of range.
    """

    secret_key: bytes = field(repr=False)
    starting_code: int = None  # type: ignore[assignment]  # None only until __post_init__ derives it
    time_divider: int = 1
    restricted_digit_set: bool = False
    max_jump: int = 64
    max_sync_jump: int = 100
    older_window: int = 16
    max_count: int = LARGEST_COUNT
    native: Any = field(init=False, repr=False, compare=False)
    """The C core's paygo_config, for this package alone."""

    def __post_init__(self) -> None:
        key = self.secret_key
        if not isinstance(key, (bytes, bytearray, memoryview)) or len(bytes(key)) != 16:
            size = len(key) if hasattr(key, "__len__") else 0
            raise PaygoError(
                f"the secret key is a {type(key).__name__} of length {size}",
                "a secret key is 16 bytes; DeviceConfig.from_hex takes 32 hexadecimal characters",
            )
        put = object.__setattr__
        put(self, "secret_key", bytes(key))
        if self.starting_code is None:
            put(self, "starting_code", int(lib.paygo_default_starting_code(self.secret_key)))
        for name, low, high in (
            ("starting_code", 1, LARGEST_STARTING_CODE),
            ("time_divider", 1, 255),
            ("max_jump", 1, LARGEST_COUNT),
            ("max_sync_jump", 1, LARGEST_COUNT),
            ("older_window", 0, LARGEST_OLDER_WINDOW),
            ("max_count", 1, LARGEST_COUNT),
        ):
            put(self, name, checked_int(name.replace("_", " "), getattr(self, name), low, high))
        put(self, "restricted_digit_set", bool(self.restricted_digit_set))
        native = ffi.new("paygo_config *")
        native.secret_key = self.secret_key
        native.starting_code = self.starting_code
        native.max_count = self.max_count
        native.max_jump = self.max_jump
        native.max_sync_jump = self.max_sync_jump
        native.older_window = self.older_window
        native.time_divider = self.time_divider
        native.restricted_digits = self.restricted_digit_set
        put(self, "native", native)

    @classmethod
    def from_hex(cls, secret_key: str, starting_code: int | None = None, **options: Any) -> DeviceConfig:
        """The same from a key of 32 hexadecimal characters (T1). options: the other fields.

        Raises PaygoError for any other text, without showing it, and for anything out of range.
        """
        return cls(parse_key(secret_key), starting_code, **options)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("secret_key", "starting_code", "time_divider", "restricted_digit_set")
        windows = ("max_jump", "max_sync_jump", "older_window", "max_count")
        return DeviceConfig, tuple(getattr(self, name) for name in names + windows)


@dataclass(frozen=True)
class Token:
    """A token as it is handed out.

    digits: 9 or 12 characters, 15 or 20 of a restricted digit set (T21); text, since leading zeros count (T20).
    count: 1 … 65 535, what the server has to store (T10). value: raw units, 998 or 999 (T7, T9).
    """

    digits: str
    count: int
    token_type: TokenType
    value: int

    def grouped(self) -> str:
        """The digits as they are printed for people, by threes or by fours: 016 609 796."""
        size = 3 if len(self.digits) % 3 == 0 else 4
        return " ".join(self.digits[at : at + size] for at in range(0, len(self.digits), size))

    def __str__(self) -> str:
        return self.digits


def units_of_days(days: Days, time_divider: int) -> int:
    """Days as raw units, halves rounded up (T7). A float means the decimal number that it prints as."""
    try:
        exact = Fraction(str(days)) if isinstance(days, float) else Fraction(days)
    except (TypeError, ValueError, OverflowError):
        raise PaygoError(f"{days!r} is not a number of days", "days are a number, 0 or more") from None
    if exact < 0:
        raise PaygoError(f"{days} days is negative", "days are a number, 0 or more")
    return (exact * time_divider * 2 + 1).__floor__() // 2


_TIMED = (TokenType.ADD_TIME, TokenType.SET_TIME)
_STANDARD, _EXTENDED = int(lib.PAYGO_STANDARD), int(lib.PAYGO_EXTENDED)
_COMMANDS = {TokenType.DISABLE_PAYG: 998, TokenType.COUNTER_SYNC: 999}


def token_value(
    config: DeviceConfig, token_type: TokenType, value: int | None, days: Days | None, extended: bool = False
) -> int:
    """The value that a token of this type carries, from raw units or days (T7 to T9, T25).

    Raises PaygoError when both or neither are given where one is needed, or the value cannot be issued.
    """
    if type(value) is int and token_type in _TIMED and 0 <= value <= LARGEST_UNITS and days is None:
        return value
    command = _COMMANDS.get(token_type)
    if command is not None:
        if value is not None or days is not None:
            raise PaygoError(f"a {token_type.name} token carries no value", "leave out value and days")
        return command
    if token_type not in _TIMED:
        raise PaygoError(
            f"{token_type.name} is not a token that can be made",
            "token types are ADD_TIME, SET_TIME, DISABLE_PAYG and COUNTER_SYNC",
        )
    if (value is None) == (days is None):
        raise PaygoError(f"a {token_type.name} token needs one of value and days", "give raw units or days, not both")
    largest = LARGEST_EXTENDED_VALUE if extended else LARGEST_UNITS
    units = units_of_days(days, config.time_divider) if days is not None else value
    allowed = f"0 to {LARGEST_UNITS}" if not extended else f"0 to {LARGEST_UNITS} and 1000 to {largest}"
    if isinstance(units, bool) or not isinstance(units, SupportsIndex):
        raise PaygoError(f"the value is a {type(units).__name__}", f"a value is an integer, {allowed} units")
    number = int(units.__index__())
    if not 0 <= number <= largest or number in COMMAND_VALUES:
        raise PaygoError(f"the value {number} cannot be issued", f"a value is {allowed} units")
    return number


def form_of(extended: bool) -> int:
    """The C core's paygo_form."""
    return _EXTENDED if extended else _STANDARD


def collides(config: DeviceConfig, count: int, value: int, extended: bool = False) -> bool:
    """Whether another count within 80 gives the same token, so that this count must not be issued (T18).

    count: the token's own, 1 … 65 535. value: what it carries, 998 for an unlock, 999 for a sync. Neither is checked.
    """
    return bool(lib.paygo_collides(config.native, form_of(extended), count, value))


def generate_token(
    config: DeviceConfig,
    count: int,
    value: int | None = None,
    token_type: TokenType = TokenType.ADD_TIME,
    extended: bool = False,
    *,
    days: Days | None = None,
    cache: ChainCache | None = None,
) -> Token:
    """The token after the server's `count` (0 … 65 535): the next count of the type's parity (T10).

    value: raw units, 0 … 995 (extended: 0 … 995, 1000 … 999 999, T25), or days: a number that makes as many units when
    it is multiplied by the time divider, halves rounded up (T7). An unlock and a sync have neither (T9). Pure: the
    collision rule (T18) and the count belong to whoever owns the count. With a cache the time does not grow with the
    count. Raises PaygoError for anything out of range and when no count is left (T10).
    """
    kind = token_type
    if type(kind) is not TokenType:
        try:
            kind = TokenType(token_type)
        except ValueError:
            raise PaygoError(f"{token_type!r} is not a token type", "use a member of TokenType") from None
    number = token_value(config, kind, value, days, extended)
    start = checked_int("count", count, 0, LARGEST_COUNT)
    new_count = lib.paygo_next_count(config.native, start, kind)
    if new_count == 0:
        raise PaygoError(
            f"no {kind.name} count is left after {start}: the last usable count is {config.max_count}",
            "counts never wrap; the device has to be given a new key",
        )
    form = form_of(extended)
    if cache is None:
        code = lib.paygo_encode(config.native, form, new_count, number)
    else:
        chain = cache.chain(config, form, number)
        point = cache.find(chain)
        code = lib.paygo_encode_from(config.native, form, new_count, number, point)
        cache.keep(chain, point)
    token = Token.__new__(Token)  # a frozen dataclass's own way takes as long as the chain
    token.__dict__.update(digits=write_token(config, form, code), count=new_count, token_type=kind, value=number)
    return token


def token_at(config: DeviceConfig, count: int, value: int, extended: bool = False) -> str:
    """The token at exactly this count, whatever its parity: for tests of devices, not for customers (T5, T9).

    count: 1 … 65 535. value: 0 … 999, extended 0 … 999 999, but not 996 or 997. Raises PaygoError for anything else.
    """
    form = form_of(extended)
    if not lib.paygo_value_allowed(form, checked_int("value", value, 0, LARGEST_EXTENDED_VALUE)):
        raise PaygoError(f"the value {value} cannot be issued", "a value fits its digits and is not 996 or 997")
    checked = checked_int("count", count, 1, LARGEST_COUNT)
    return write_token(config, form, lib.paygo_encode(config.native, form, checked, value))


def sync_count(config: DeviceConfig, count: int) -> int:
    """The odd count at which a server that may be behind its device issues a COUNTER_SYNC (T19).

    The one nearest the server's `count` (0 … 65 535) + 98, the higher of two, and the last that there is near the end.
    Raises PaygoError when no odd count is left.
    """
    start = checked_int("count", count, 0, LARGEST_COUNT)
    last = config.max_count if config.max_count % 2 == 1 else config.max_count - 1
    sync = min(start + (98 if start % 2 == 1 else 99), last)
    if sync <= start:
        raise PaygoError(
            f"no COUNTER_SYNC count is left after {start}: the last usable count is {config.max_count}",
            "counts never wrap; the device has to be given a new key",
        )
    return sync


def write_token(config: DeviceConfig, form: int, token: int) -> str:
    """A token number as digits of the device's digit set (T20, T21)."""
    if not config.restricted_digit_set:
        return f"{token:0{form}d}"
    text = ffi.new("char[20]")
    length = lib.paygo_digits_write(form, config.restricted_digit_set, token, text)
    return str(ffi.unpack(text, length).decode("ascii"))
