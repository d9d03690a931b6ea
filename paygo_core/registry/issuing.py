"""The next token that a server may hand out for a device (T10, T18)."""

from __future__ import annotations

from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.tokens import Days, Token, TokenType, collides, generate_token


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
    range and when no count is left (T10).
    """
    count = device.count
    while True:
        token = generate_token(device.config, count, value, token_type, extended, days=days)
        if days and token.value == 0:
            raise PaygoError(
                f"{days} days are less than half a unit of {device.serial}",
                f"it counts {device.config.time_divider} units a day; a token for nothing would spend a count",
            )
        if token.digits != device.test_code and not collides(device.config, token.count, token.value, extended):
            return token
        count = token.count
