"""Device configurations and the making of tokens. Rules (T1 …) are in docs/token-rules.md."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from numbers import Integral
from operator import index
from typing import TYPE_CHECKING, Any

from paygo_core._native import ffi, lib
from paygo_core.errors import PaygoError, brief

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
    if not isinstance(text, str):
        raise PaygoError(
            f"the secret key is a {type(text).__name__}", "a secret key in hexadecimal is a text of 32 characters"
        )
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
    number = _integer(value)
    if number is None:
        raise PaygoError(f"{name} is a {type(value).__name__}", f"{name} is an integer from {low} to {high}")
    if not low <= number <= high:
        raise PaygoError(f"{name} {brief(number)} is out of range", f"{name} lies between {low} and {high}")
    return number


def _integer(value: object) -> int | None:
    """What any kind of integer is as an int; None for everything else, a bool too."""
    if isinstance(value, bool):
        return None
    try:
        return index(value)  # type: ignore[arg-type]  # that is what is asked
    except TypeError:
        return None


def checked_flag(name: str, value: object) -> bool:
    """`value` as a bool, also when it is numpy's, or 0 or 1; raises PaygoError that names it."""
    if value is True or value is False:
        return value
    if (isinstance(value, Integral) or type(value).__name__ in ("bool", "bool_")) and value in (0, 1):
        return bool(value)
    raise PaygoError(f"{name} is {brief(value)}", f"{name} is True or False")


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

    if TYPE_CHECKING:

        @property
        def native(self) -> Any:
            """The C core's paygo_config, for this package alone: no field, since it is only another form of them."""

    def __post_init__(self) -> None:
        key = self.secret_key
        if not isinstance(key, (bytes, bytearray, memoryview)) or len(bytes(key)) != 16:
            length = f" of length {len(key)}" if isinstance(key, (str, bytes, bytearray, memoryview)) else ""
            raise PaygoError(
                f"the secret key is a {type(key).__name__}{length}",
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
        put(self, "restricted_digit_set", checked_flag("restricted digit set", self.restricted_digit_set))
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
    right = "days are 0 or more, an int, float, Decimal or Fraction"
    if isinstance(days, bool) or not isinstance(days, (int, float, Decimal, Fraction)):
        raise PaygoError(f"the days are a {type(days).__name__}", right)
    if (isinstance(days, float) and math.isnan(days)) or (isinstance(days, Decimal) and days.is_nan()):
        raise PaygoError("the days are no number", right)
    if days < 0:
        raise PaygoError(f"{brief(days)} days is negative", right)
    if days > LARGEST_EXTENDED_VALUE:
        raise PaygoError(f"{brief(days)} days cannot be issued", f"a value is 0 to {LARGEST_UNITS} units")
    if days < 0.001:  # no unit with any divider, and a Decimal may have an exponent of minus a million
        return 0
    exact = Fraction(str(days)) if isinstance(days, float) else Fraction(days)
    return (exact * time_divider * 2 + 1).__floor__() // 2


_TIMED = (TokenType.ADD_TIME, TokenType.SET_TIME)
_STANDARD, _EXTENDED = int(lib.PAYGO_STANDARD), int(lib.PAYGO_EXTENDED)
_COMMANDS = {TokenType.DISABLE_PAYG: 998, TokenType.COUNTER_SYNC: 999}


def token_value(
    config: DeviceConfig, token_type: TokenType, value: int | None, days: Days | None, extended: bool = False
) -> int:
    """The value that a token of this type carries, from raw units or days (T7 to T9, T25).

    Raises PaygoError when both or neither are given where one is needed, or the value cannot be issued; also for days
    above 0 that are less than half a unit.
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
        raise PaygoError(f"an amount of {token_type.name} is one of value and days", "give raw units or days, not both")
    largest = LARGEST_EXTENDED_VALUE if extended else LARGEST_UNITS
    units = units_of_days(days, config.time_divider) if days is not None else value
    allowed = f"0 to {LARGEST_UNITS}" if not extended else f"0 to {LARGEST_UNITS} and 1000 to {largest}"
    number = _integer(units)
    if number is None:
        raise PaygoError(f"the value is a {type(units).__name__}", f"a value is an integer, {allowed} units")
    if not 0 <= number <= largest or number in COMMAND_VALUES:
        raise PaygoError(f"the value {brief(number)} cannot be issued", f"a value is {allowed} units")
    if days and number == 0:
        raise PaygoError(
            f"{brief(days)} days are less than half a unit",
            f"the device counts {config.time_divider} units a day; a token for nothing would spend a count",
        )
    return number


def form_of(extended: bool) -> int:
    """The C core's paygo_form."""
    if extended is False:
        return _STANDARD
    return _EXTENDED if checked_flag("extended", extended) else _STANDARD


def collides(config: DeviceConfig, count: int, value: int, extended: bool = False) -> bool:
    """Whether another count within 80 gives the same token, so that this count must not be issued (T18).

    count: the token's own, 1 … 65 535. value: what it carries, 998 for an unlock, 999 for a sync.
    """
    config = checked_config(config)
    count = checked_int("count", count, 1, LARGEST_COUNT)
    value = checked_int("value", value, 0, LARGEST_EXTENDED_VALUE if extended else 999)
    return bool(lib.paygo_collides(config.native, form_of(extended), count, value))


def checked_config(config: object) -> DeviceConfig:
    """`config`, which everything else needs; raises PaygoError when it is something else."""
    if not isinstance(config, DeviceConfig):
        raise PaygoError(f"the configuration is a {type(config).__name__}", "give a DeviceConfig")
    return config


def checked_cache(cache: object) -> Any:
    """`cache`; raises PaygoError when it is something else."""
    if not hasattr(cache, "chain"):
        raise PaygoError(f"the cache is a {type(cache).__name__}", "give a ChainCache, or None")
    return cache


def _checked_type(token_type: object) -> TokenType:
    try:
        return TokenType(_integer(token_type) or 0)
    except ValueError:
        raise PaygoError(f"{brief(token_type)} is not a token type", "use a member of TokenType") from None


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
    it is multiplied by the time divider, halves rounded up (T7); days above 0 that make no unit are refused. An unlock
    and a sync have neither (T9). Pure: the collision rule (T18) and the count belong to whoever owns the count. With a
    cache the time does not grow with the count. Raises PaygoError for anything out of range and when no count is left
    (T10).
    """
    if type(config) is not DeviceConfig:
        config = checked_config(config)
    kind = token_type if type(token_type) is TokenType else _checked_type(token_type)
    form = _STANDARD if extended is False else form_of(extended)
    number = token_value(config, kind, value, days, extended)
    start = checked_int("count", count, 0, LARGEST_COUNT)
    native = config.native
    new_count = lib.paygo_next_count(native, start, kind)
    if new_count == 0:
        raise PaygoError(
            f"no {kind.name} count is left after {start}: the last usable count is {config.max_count}",
            "counts never wrap; the device has to be given a new key",
        )
    if cache is None:
        code = lib.paygo_encode(native, form, new_count, number)
    else:
        cache = checked_cache(cache)
        chain = cache.chain(config, form, number)
        point = cache.find(chain)
        code = lib.paygo_encode_from(native, form, new_count, number, point)
        cache.keep(chain, point)
    token = Token.__new__(Token)  # a frozen dataclass's own way takes as long as the chain
    token.__dict__.update(digits=write_token(config, form, code), count=new_count, token_type=kind, value=number)
    return token


def token_at(config: DeviceConfig, count: int, value: int, extended: bool = False) -> str:
    """The token at exactly this count, whatever its parity: for tests of devices, not for customers (T5, T9).

    count: 1 … 65 535. value: 0 … 999, extended 0 … 999 999, but not 996 or 997. Raises PaygoError for anything else.
    """
    config = checked_config(config)
    form = form_of(extended)
    number = checked_int("value", value, 0, LARGEST_EXTENDED_VALUE)
    if not lib.paygo_value_allowed(form, number):
        raise PaygoError(f"the value {number} cannot be issued", "a value fits its digits and is not 996 or 997")
    checked = checked_int("count", count, 1, LARGEST_COUNT)
    return write_token(config, form, lib.paygo_encode(config.native, form, checked, number))


def sync_count(config: DeviceConfig, count: int) -> int:
    """The odd count at which a server that may be behind its device issues a COUNTER_SYNC (T19).

    The one nearest the server's `count` (0 … 65 535) + 98, the higher of two, and the last that there is near the end.
    Raises PaygoError when no odd count is left.
    """
    config = checked_config(config)
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
