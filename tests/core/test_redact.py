"""Secret keys stay out of text in every form in which one can slip in; tokens and readings stay in."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paygo_core.redact import MASK, mask_secrets

KEY = bytes.fromhex("a29ab82edc5f0bc41ec9530f6dac86b1")
HEX = KEY.hex()

FORMS = {
    "hex": HEX,
    "upper": HEX.upper(),
    "spaced": " ".join(f"{b:02x}" for b in KEY),
    "spaced upper": " ".join(f"{b:02X}" for b in KEY),
    "colons": ":".join(f"{b:02x}" for b in KEY),
    "C array": ", ".join(f"0x{b:02x}" for b in KEY),
    "unpadded and spaced": " ".join(f"{b:x}" for b in KEY),
    "base64": base64.b64encode(KEY).decode(),
    "0x": f"0x{HEX}",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("around", ["{}", "key {}.", "#SETUP;S1;123456789;{}\r\n", '"{}"', "key={}", "({})"])
def test_what_looks_like_a_key_is_masked_although_nobody_told_us_the_key(form, around):
    """T1."""
    masked = mask_secrets(around.format(form))
    assert MASK in masked
    assert form not in masked
    assert "dc5f" not in masked.lower()


@pytest.mark.parametrize(
    "form", [*FORMS.values(), "".join(f"{b:x}" for b in KEY), KEY.decode("latin-1"), repr(KEY)[2:-1],
             base64.b64encode(KEY).decode().rstrip("="), base64.urlsafe_b64encode(KEY).decode()],
)  # fmt: skip
def test_a_known_key_is_masked_wherever_it_stands(form):
    """T1: also glued to other text."""
    for text in (form, f"x{form}y", f"a{form}", f"{form}{form}"):
        assert form.lower() not in mask_secrets(text, KEY).lower()


@given(st.binary(min_size=16, max_size=16))
@example(bytes(16))
@example(bytes(range(16)))
@example(b"0123456789abcdef")
def test_every_key_is_masked_in_every_form(key):
    """T1."""
    for form in (key.hex(), key.hex().upper(), key.hex(" "), key.hex(":"), base64.b64encode(key).decode()):
        assert form not in mask_secrets(f"the key {form} here", key)
        assert form not in mask_secrets(f"the key {form} here")


@pytest.mark.parametrize(
    "text",
    [
        "016609796", "016 609 796", "324244134441123", "14323213131442331314", "1432 3213 1314 4233 1314",
        "247 264 959 011", "#TOKEN;VALID;604800", "2026-11-05T12:34:56.789012+00:00", "/dev/ttyUSB0", "SLT220000001",
        "#INFO;SLT220000001;PAYGO-SIM;legacy;0.1.0;0;1", "battery_voltage 12.85 V, 1 2 3 4 5", "deadbeef",
        "paygo: the secret key has 31 characters", "/tmp/pytest-of-root/pytest-0/popen-gw0",
    ],
)  # fmt: skip
def test_tokens_serials_and_readings_are_not_masked(text):
    """T20: a twenty-digit token is not taken for a key."""
    assert mask_secrets(text) == text
