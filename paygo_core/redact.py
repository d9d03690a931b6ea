"""Keeps secret keys out of text that is shown: in hex, upper case, spaced, unpadded, base64 and raw."""

from __future__ import annotations

import base64
import re

MASK = "[secret]"

# Anything that looks like a key although nobody told us the key: long runs of hex, of separated bytes (units print
# them without leading zeros), and 16 bytes in base64.
SHORTEST_SECRET = 16
"""Characters; shorter texts look like no key."""
_LOOKS_LIKE_KEY = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"(?:0x)?(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{16,}"
    r"|(?:0x)?[0-9A-Fa-f]{24,}"
    r"|(?:(?:0x)?[0-9A-Fa-f]{1,2}[ :,-]{1,2}){11,}(?:0x)?[0-9A-Fa-f]{1,2}"
    r"|[0-9A-Za-z+/_-]{22}=="
    r")(?![0-9A-Za-z])"
)


def key_forms(key: bytes) -> list[str]:
    """How a key can be written: hexadecimal, spaced, unpadded, base64, raw."""
    pairs = [f"{byte:02x}" for byte in key]
    unpadded = [f"{byte:x}" for byte in key]
    plain = ["".join(pairs), " ".join(pairs), ":".join(pairs), "".join(unpadded), " ".join(unpadded)]
    in_base64 = [encode(key).decode().rstrip("=") for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    return [*plain, *in_base64, key.decode("latin-1"), repr(key)[2:-1]]


def mask_secrets(text: str, *keys: bytes) -> str:
    """`text` with the given keys, and whatever looks like one, masked."""
    if len(text) < SHORTEST_SECRET:
        return text
    for key in keys:
        for form in key_forms(key):
            text = re.sub(re.escape(form), MASK, text, flags=re.IGNORECASE)
    return _LOOKS_LIKE_KEY.sub(MASK, text)
