"""`openpaygo`'s generate_token and decode_token, with its arguments and return values and without its defects.

docs/migrating.md shows the change of one import, and each defect with the lines that reproduce it.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from paygo_core.decoding import DecoderState
from paygo_core.decoding import decode_token as judge
from paygo_core.errors import PaygoError
from paygo_core.tokens import LARGEST_COUNT, Days, DeviceConfig, TokenType, checked_int, units_of_days
from paygo_core.tokens import generate_token as make

__all__ = ["TokenType", "decode_token", "generate_token"]

OLDER_WINDOW = 16


def _config(secret_key: str | bytes, starting_code: int | None, divider: int | None, restricted: bool) -> DeviceConfig:
    """A starting code of 0 counts as none given, and a key may be bytes of hexadecimal, as in `openpaygo`."""
    if isinstance(secret_key, (bytes, bytearray)):
        secret_key = secret_key.decode("ascii", "replace")
    return DeviceConfig.from_hex(
        secret_key, starting_code or None, time_divider=divider or 1, restricted_digit_set=restricted
    )


def generate_token(
    *,
    secret_key: str | bytes,
    count: int,
    value: Days | None = None,
    token_type: int = TokenType.ADD_TIME,
    starting_code: int | None = None,
    value_divider: int = 1,
    restricted_digit_set: bool = False,
    extended_token: bool = False,
) -> tuple[int, str]:
    """The new count and the digits of the token after the server's `count`.

    secret_key: 32 hexadecimal characters. count: 0 … 65 535. value: in days of `value_divider` units each (1 … 255; 0
    makes 0 units of every value), rounded as T7 says; it stays away for unlock and sync. starting_code: up to
    999 999 999, None or 0: derived from the key (T4). Raises ValueError, mostly a PaygoError, for what cannot be made.
    """
    config = _config(secret_key, starting_code, value_divider, restricted_digit_set)
    kind = TokenType(token_type)
    timed = kind in (TokenType.ADD_TIME, TokenType.SET_TIME)
    if isinstance(value, Integral):
        value = int(value)  # numpy's too
    if timed and value is not None and value_divider == 0:
        value = units_of_days(value, 1) * 0
    token = make(config, count, token_type=kind, extended=extended_token, days=value if timed else value or None)
    return token.count, token.digits


def decode_token(
    *,
    token: str,
    secret_key: str | bytes,
    count: int,
    used_counts: Iterable[int] | None = None,
    starting_code: int | None = None,
    value_divider: int = 1,
    restricted_digit_set: bool = False,
) -> tuple[float | None, TokenType, int | None, list[int] | None]:
    """Value in days (or 998, 999), type, the token's count and the used counts to pass the next time.

    token: text of digits; leading zeros that are missing are put back. count is the last count, used_counts what the
    last call returned; None or nothing for a device just provisioned at `count`, which admits nothing older (T11).
    Refused tokens give (None, INVALID or ALREADY_USED, None, None). Raises PaygoError for a token that is no text of
    digits, or too long a one, and for anything else out of range.
    """
    config = _config(secret_key, starting_code, value_divider, restricted_digit_set)
    if not isinstance(token, str) or not token.isdigit() or not token.isascii():
        raise PaygoError("the token is not a text of digits", "a token is text, since its leading zeros count")
    if len(token) > (20 if restricted_digit_set else 12):
        raise PaygoError(f"the token has {len(token)} digits", "a token has 9 or 12 digits, 15 or 20 restricted")
    last = checked_int("count", count, 0, LARGEST_COUNT)
    digits = token if restricted_digit_set else token.zfill(9 if len(token) <= 9 else 12)
    answer = judge(config, digits, _state(last, used_counts))
    if not answer.accepted:
        return None, answer.token_type, None, None
    assert answer.value is not None
    value: float = answer.value
    if answer.token_type in (TokenType.ADD_TIME, TokenType.SET_TIME) and value:
        value = value / config.time_divider
    elif answer.token_type in (TokenType.DISABLE_PAYG, TokenType.COUNTER_SYNC):
        value = float(value)
    return value, answer.token_type, answer.count, _used_counts(answer.state)


def _state(count: int, used_counts: Iterable[int] | None) -> DecoderState:
    """The used counts carry the floor as well: everything at or below it is listed, odd counts too (T11, T17).

    The caller's count may be that of an older token, so that the highest count is the larger of both.
    """
    try:
        used = [int(n) for n in used_counts or () if 0 < n <= LARGEST_COUNT]
    except (TypeError, ValueError):
        raise PaygoError("the used counts are no list of integers", "pass what decode_token returned") from None
    if not used:
        return DecoderState(count)
    last = max(count, *used)
    floor = max((n for n in used if n % 2 == 1), default=0)
    return DecoderState(last, floor, tuple(n for n in used if n % 2 == 0))


def _used_counts(state: DecoderState) -> list[int]:
    below: Any = range(max(1, state.count - OLDER_WINDOW), state.floor + 1)
    return sorted({*below, *state.used_counts, state.count})
