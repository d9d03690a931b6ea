"""Judging tokens: what a device makes of one, by our rules or as deployed firmware does. Rules: docs/token-rules.md."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from paygo_core._native import ffi, lib
from paygo_core.errors import PaygoError, brief
from paygo_core.tokens import (
    COMMAND_VALUES,
    LARGEST_COUNT,
    LARGEST_OLDER_WINDOW,
    DeviceConfig,
    TokenType,
    checked_cache,
    checked_config,
    checked_int,
    form_of,
)

if TYPE_CHECKING:
    from paygo_core.cache import ChainCache


class Dialect(str, Enum):
    """Whose rules judge a token."""

    STANDARD = "standard"
    """Ours: docs/token-rules.md."""
    REFERENCE_C = "reference C"
    """The decoder that ships in deployed firmware where int has 32 bits (HDK, ESP32), its defects included."""
    REFERENCE_C_16 = "reference C, 16-bit int"
    """The same source where int has 16 bits (the Arduino sketch)."""


class Reason(str, Enum):
    """Why a token got its type.

    LENGTH and DIGITS are no entries (T22), RANGE and RESERVED never tokens (T21, T8), NO_MATCH is T16; USED,
    OLDER_THAN_SET, TOO_OLD and OVERTAKEN are ALREADY_USED (T15); WAITING is a unit's alone (T35).
    """

    ACCEPTED = "accepted"
    LENGTH = "wrong length"
    DIGITS = "wrong digit set"
    RANGE = "beyond the largest code"
    RESERVED = "reserved value"
    NO_MATCH = "no matching count within the windows"
    USED = "used before"
    OLDER_THAN_SET = "older than a set-time, unlock, sync or the provisioning"
    TOO_OLD = "older than the window for late add-time tokens"
    OVERTAKEN = "a set-time, unlock or sync below the last count"
    WAITING = "entered during the wait after wrong entries"


_new = object.__new__
_ACCEPTED, _INVALID, _SET_TIME = Reason.ACCEPTED, TokenType.INVALID, int(TokenType.SET_TIME)
_WINDOW = ffi.typeof("paygo_window *")
_FACT_COUNT = int(lib.PAYGO_FACTS)
_FACTS = ffi.typeof(f"uint32_t[{_FACT_COUNT}]")
_TYPES = {int(kind): kind for kind in TokenType}
_DIALECTS = tuple(dialect.value for dialect in Dialect)
REASONS = tuple(Reason)
"""In the order of the C core's paygo_reason."""


@dataclass(frozen=True)
class DecoderState:
    """What a device remembers of the tokens it took (T11).

    count: L, the highest accepted count, 0 … 65 535. floor: F, at or below which nothing is admitted, 0 … count; None
    means count, as after provisioning. used_counts: the even counts accepted near the last one, 1 … count. Raises
    PaygoError for anything out of range.
    """

    count: int = 1
    floor: int = None  # type: ignore[assignment]  # None only until __post_init__ sets it
    used_counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "count", checked_int("count", self.count, 0, LARGEST_COUNT))
        floor = self.count if self.floor is None else self.floor
        put(self, "floor", checked_int("floor", floor, 0, self.count))
        try:
            given = tuple(self.used_counts)
        except TypeError:
            kind = type(self.used_counts).__name__
            raise PaygoError(f"the used counts are a {kind}", "used counts are a tuple of integers") from None
        used = {checked_int("used count", n, 1, self.count) for n in given}
        put(self, "used_counts", tuple(sorted(used)))

    def used_mask(self) -> int:
        """The used counts as the C core keeps them: bit i is the count L - i."""
        used = 0
        for n in self.used_counts:
            if self.count - n <= LARGEST_OLDER_WINDOW and n % 2 == 0:
                used |= 1 << (self.count - n)
        return used

    @classmethod
    def from_native(cls, count: int, floor: int, used_mask: int) -> DecoderState:
        """The reverse of used_mask, for this package alone: what the C core says needs no checking."""
        used_counts = []
        while used_mask:
            back = used_mask.bit_length() - 1
            used_counts.append(count - back)
            used_mask ^= 1 << back
        state = _new(cls)  # a frozen dataclass's own way takes as long as the judging
        facts = state.__dict__
        facts["count"], facts["floor"], facts["used_counts"] = count, floor, tuple(used_counts)
        return state


@dataclass(frozen=True)
class ReferenceState:
    """What deployed firmware remembers: max_count, 0 … 65 535, and used_mask, 16 bits.

    A new HDK or Arduino unit is (0, 0), the example for terminals (1, 0). Raises PaygoError for anything out of range.
    """

    max_count: int = 0
    used_mask: int = 0

    def __post_init__(self) -> None:
        checked_int("max count", self.max_count, 0, LARGEST_COUNT)
        checked_int("used mask", self.used_mask, 0, 0xFFFF)


State = TypeVar("State", DecoderState, ReferenceState)


@dataclass(frozen=True)
class Decoded(Generic[State]):
    """What a device makes of a token.

    value: raw units, 998 or 999 (T7, T9), and count: the count that gave the token, 1 … 65 535; both None when INVALID.
    days: value / time divider of a standard ADD_TIME or SET_TIME, else None. state: the device's state afterwards, the
    one that was given unless the token was accepted (T17). reason: why, ACCEPTED or another.
    """

    token_type: TokenType
    value: int | None
    days: float | None
    count: int | None
    state: State
    reason: Reason

    @property
    def accepted(self) -> bool:
        """Whether the device takes the token (T13, T14)."""
        return self.reason is Reason.ACCEPTED


def strip_token(text: str) -> str:
    """A token as people write it, without the spaces, hyphens and dashes between its digits (T23)."""
    if text.isalnum():
        return text
    return "".join(mark for mark in text if not (mark.isspace() or unicodedata.category(mark) == "Pd"))


@overload
def decode_token(
    config: DeviceConfig, token: str, state: DecoderState, *, cache: ChainCache | None = None
) -> Decoded[DecoderState]: ...


@overload
def decode_token(
    config: DeviceConfig, token: str, state: DecoderState | ReferenceState, dialect: Dialect
) -> Decoded[Any]: ...


def decode_token(
    config: DeviceConfig,
    token: str,
    state: DecoderState | ReferenceState,
    dialect: Dialect = Dialect.STANDARD,
    *,
    cache: ChainCache | None = None,
) -> Decoded[Any]:
    """What a device in `state` makes of a token. The state is not changed: the new one is in the answer.

    token: text, 9 or 12 digits, 15 or 20 of a restricted digit set; spaces and dashes are taken out (T20 to T24). The
    standard dialect judges by T11 to T17 and takes a DecoderState. The reference dialects take a ReferenceState, or a
    DecoderState whose count is their start, and standard tokens only, and make no use of a cache. dialect may also be
    the value of a Dialect. With a cache the time of an accepted token does not grow with the count, and no verdict
    changes. A token of wrong form is an answer with a reason too; PaygoError is raised for a token that is no text, for
    a state of the other dialect, and for any other argument of a wrong type.
    """
    if not isinstance(token, str):
        raise PaygoError(
            f"the token is of type {type(token).__name__}", "a token is text, since its leading zeros count"
        )
    if type(config) is not DeviceConfig:
        config = checked_config(config)
    digits = strip_token(token)
    if dialect is not Dialect.STANDARD and (judge := _checked_dialect(dialect)) is not Dialect.STANDARD:
        return _decode_reference(config, digits, state, judge)
    if not isinstance(state, DecoderState):
        raise PaygoError(f"the state is a {type(state).__name__}", "the standard dialect takes a DecoderState")
    extended = len(digits) == (20 if config.restricted_digit_set else 12)
    text = digits.encode("ascii", "replace")
    form = form_of(extended)
    if cache is None:
        buffer = ffi.new(_FACTS)
        lib.paygo_judge_text(config.native, state.count, state.floor, state.used_mask(), form, text, len(text), buffer)
        kind, why, value, count, last, floor, used = ffi.unpack(buffer, _FACT_COUNT)
    else:
        verdict = _decode_cached(config, state, form, text, checked_cache(cache))
        kind, why, value, count = verdict.type, verdict.reason, verdict.value, verdict.count
        last, floor, used = verdict.window.count, verdict.window.floor, verdict.window.used
    reason = REASONS[why]
    after = DecoderState.from_native(last, floor, used) if reason is _ACCEPTED else state
    return _decoded(config, kind, reason, value, count, after, extended)


def _checked_dialect(dialect: object) -> Dialect:
    if isinstance(dialect, str) and dialect in _DIALECTS:
        return Dialect(dialect)
    names = f"{', '.join(repr(name) for name in _DIALECTS[:-1])} and {_DIALECTS[-1]!r}"
    raise PaygoError(f"the dialect is {brief(dialect)}", f"there are {names}; a cache is given by its name")


def _decode_cached(config: DeviceConfig, state: DecoderState, form: int, text: bytes, cache: ChainCache) -> Any:
    number = ffi.new("uint64_t *")
    window = ffi.new(_WINDOW, (state.count, state.floor, state.used_mask()))
    if lib.paygo_digits_read(form, config.restricted_digit_set, text, len(text), number) != lib.PAYGO_DIGITS_TOKEN:
        return lib.paygo_decode(config.native, window, form, text, len(text))
    modulus = 1000 if form == lib.PAYGO_STANDARD else 1_000_000
    chain = cache.chain(config, form, (number[0] - config.starting_code) % modulus)
    point = cache.find(chain)
    verdict = lib.paygo_decode_from(config.native, window, form, number[0], point)
    cache.keep(chain, point)
    return verdict


def _decoded(
    config: DeviceConfig, kind: int, reason: Reason, value: int, count: int, state: State, extended: bool = False
) -> Decoded[State]:
    token_type = _TYPES[kind]
    if token_type is _INVALID:
        return Decoded(token_type, None, None, None, state, reason)
    timed = kind <= _SET_TIME or value not in COMMAND_VALUES
    answer: Decoded[State] = _new(Decoded)
    facts = answer.__dict__
    facts["token_type"], facts["value"], facts["count"] = token_type, value, count
    facts["days"] = value / config.time_divider if timed and not extended else None
    facts["state"], facts["reason"] = state, reason
    return answer


def _decode_reference(
    config: DeviceConfig, digits: str, state: DecoderState | ReferenceState, dialect: Dialect
) -> Decoded[ReferenceState]:
    """Deployed code keeps two bits of each restricted digit: there 7 reads as 3 (T23)."""
    if not isinstance(state, (DecoderState, ReferenceState)):
        hint = "the reference dialects take a ReferenceState or a DecoderState"
        raise PaygoError(f"the state is a {type(state).__name__}", hint)
    before = ReferenceState(state.count) if isinstance(state, DecoderState) else state
    length = 15 if config.restricted_digit_set else 9
    if len(digits) != length or re.fullmatch("[0-9]*", digits) is None:
        reason = Reason.LENGTH if len(digits) != length else Reason.DIGITS
        return Decoded(TokenType.INVALID, None, None, None, before, reason)
    number = int(digits)
    if config.restricted_digit_set:
        number = 0
        for digit in digits:
            number = number << 2 | (int(digit) - 1) & 3
    if number > lib.paygo_largest_code(lib.PAYGO_STANDARD):
        return Decoded(TokenType.INVALID, None, None, None, before, Reason.RANGE)
    native = ffi.new("paygo_reference *", {"max_count": before.max_count, "used": before.used_mask})
    verdict = lib.paygo_reference_enter(config.native, dialect is Dialect.REFERENCE_C, native, number)
    after = ReferenceState(native.max_count, native.used)
    return _decoded(config, verdict.type, REASONS[verdict.reason], verdict.value, verdict.count, after)
