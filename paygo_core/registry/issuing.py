"""The next tokens that a server may hand out for a device (T10, T18, T19), and counts found again from its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paygo_core.decoding import DecoderState, decode_token
from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.tokens import (
    LARGEST_COUNT,
    LARGEST_UNITS,
    Days,
    Token,
    TokenType,
    collides,
    generate_token,
    sync_count,
    units_of_days,
)

_COLLISIONS = 50
"""Counts in a row that cannot be issued: then the chain is in a circle, and none can be any more."""
MOST_TOKENS = 20
"""How many are issued together, at most: somebody has to type them."""


def next_token(
    device: Device,
    token_type: TokenType = TokenType.ADD_TIME,
    *,
    value: int | None = None,
    days: Days | None = None,
    extended: bool = False,
) -> Token:
    """The token at the first count after the device's that has the type's parity and may be issued.

    A count is skipped when another one within 80 gives the same digits (T18), or when the digits are the device's
    test code. The device is not changed: whoever owns the count records it. Raises PaygoError for anything out of
    range, when no count is left (T10), and for a value whose chain has run into a circle.
    """
    count = device.count
    for _ in range(_COLLISIONS):
        token = generate_token(device.config, count, value, token_type, extended, days=days)
        if token.digits != device.test_code and not collides(device.config, token.count, token.value, extended):
            return token
        count = token.count
    raise PaygoError(
        f"the {token_type.name} tokens of {device.serial} repeat themselves from count {device.count} on",
        "another value has other tokens; if it has to be this one the device needs a new key",
    )


def next_tokens(
    device: Device, token_type: TokenType = TokenType.ADD_TIME, *, value: int | None = None, days: Days | None = None
) -> list[Token]:
    """The same, as several tokens when there are more than 995 units: to be entered in this order.

    A SET_TIME of more sets 995 units and adds the rest. Raises PaygoError as next_token does.
    """
    units = units_of_days(days, device.config.time_divider) if days is not None else value
    if units is None or isinstance(units, bool) or not isinstance(units, int) or units <= LARGEST_UNITS:
        return [next_token(device, token_type, value=value, days=days)]
    if units > MOST_TOKENS * LARGEST_UNITS:
        raise PaygoError(
            f"{units} units would take {-(-units // LARGEST_UNITS)} tokens",
            f"at most {MOST_TOKENS} are issued together, {MOST_TOKENS * LARGEST_UNITS} units",
        )
    tokens: list[Token] = []
    while units > 0:
        part = min(units, LARGEST_UNITS)
        tokens.append(next_token(device, token_type, value=part))
        device = replace(device, count=tokens[-1].count)
        token_type = TokenType.ADD_TIME
        units -= part
    return tokens


def next_sync(device: Device, behind: bool = False) -> Token:
    """The COUNTER_SYNC that moves a device on; `behind`: the server may be behind the device (T19)."""
    if behind:
        device = replace(device, count=sync_count(device.config, device.count) - 1)
    return next_token(device, TokenType.COUNTER_SYNC)


def find_count(device: Device, accepted: Sequence[str]) -> int:
    """The least that a device's last count can be, from tokens that it accepted, in any order.

    Tokens may be spaced or hyphenated. Raises PaygoError when one cannot be this device's.
    """
    if not accepted:
        raise PaygoError("no token was given", "give one or more tokens that the unit accepted")
    farthest = replace(device.config, max_jump=LARGEST_COUNT, max_sync_jump=LARGEST_COUNT)
    counts = []
    for token in accepted:
        decoded = decode_token(farthest, token, DecoderState(0))
        if decoded.count is None:
            raise PaygoError(
                f"{token[:24]!r} is no token of {device.serial}: {decoded.reason.value}", "is it another device's?"
            )
        counts.append(decoded.count)
    return max(counts)
