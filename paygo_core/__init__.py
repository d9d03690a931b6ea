"""Tokens, device identity, wire formats and the device registry of pay-as-you-go solar control units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paygo_core._version import __version__
from paygo_core.cache import ChainCache
from paygo_core.decoding import Decoded, DecoderState, Dialect, Reason, ReferenceState, decode_token
from paygo_core.errors import PaygoError
from paygo_core.tokens import DeviceConfig, Token, TokenType, generate_token
from paygo_core.unit import Answer, PaygUnit

if TYPE_CHECKING:
    from paygo_core.batch import DecodedBatch, TokenBatch, decode_tokens, generate_tokens

__all__ = [
    "Answer",
    "ChainCache",
    "Decoded",
    "DecodedBatch",
    "DecoderState",
    "DeviceConfig",
    "Dialect",
    "PaygUnit",
    "PaygoError",
    "Reason",
    "ReferenceState",
    "Token",
    "TokenBatch",
    "TokenType",
    "__version__",
    "decode_token",
    "decode_tokens",
    "generate_token",
    "generate_tokens",
]


def __getattr__(name: str) -> Any:
    """Loads what needs numpy only when it is asked for."""
    if name in ("DecodedBatch", "TokenBatch", "decode_tokens", "generate_tokens"):
        from paygo_core import batch

        return getattr(batch, name)
    raise AttributeError(f"module 'paygo_core' has no attribute {name!r}")
