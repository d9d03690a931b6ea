"""Tokens, device identity, wire formats and the device registry of pay-as-you-go solar control units."""

from paygo_core._version import __version__
from paygo_core.errors import PaygoError
from paygo_core.tokens import (
    Decoded,
    DecoderState,
    DeviceConfig,
    Reason,
    Token,
    TokenType,
    decode_token,
    generate_token,
)
from paygo_core.unit import Answer, PaygUnit

__all__ = [
    "Answer",
    "Decoded",
    "DecoderState",
    "DeviceConfig",
    "PaygUnit",
    "PaygoError",
    "Reason",
    "Token",
    "TokenType",
    "__version__",
    "decode_token",
    "generate_token",
]
