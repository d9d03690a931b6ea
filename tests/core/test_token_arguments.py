"""Wrong arguments are refused with a sentence that says what was wrong and what is right; keys are never shown."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest

from paygo_core import DecoderState, DeviceConfig, PaygoError, PaygUnit, TokenType, decode_token, generate_token

HEX = "a29ab82edc5fbbc41ec9530f6dac86b1"
KEY = bytes.fromhex(HEX)
CONFIG = DeviceConfig(KEY, 123456789)


def problem(call, *arguments, **options) -> str:
    """The sentence and the hint that a wrong call gives; it must not contain the key."""
    with pytest.raises(PaygoError) as caught:
        call(*arguments, **options)
    text = f"{caught.value.cause} | {caught.value.hint}"
    assert caught.value.cause
    assert caught.value.hint
    assert isinstance(caught.value, ValueError)
    assert HEX[:30] not in text
    assert HEX[:30].upper() not in text
    return text


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (HEX[:-1], "has 31 characters"), (HEX + "0", "has 33 characters"), ("", "has 0 characters"),
        (HEX[:-1] + "g", "not hexadecimal"), (" ".join(HEX), "not hexadecimal"), ("0x" + HEX, "not hexadecimal"),
        (HEX[:-1] + "\uff11", "not hexadecimal"),
    ],
)  # fmt: skip
def test_a_key_is_32_hexadecimal_characters(key, said):
    """T1: nothing is padded, cut or skipped."""
    assert said in problem(DeviceConfig.from_hex, key)


def test_a_key_may_be_upper_case_and_end_in_a_newline():
    """T1: as it comes out of a file."""
    assert DeviceConfig.from_hex(f" {HEX.upper()}\n", 123456789) == CONFIG


@pytest.mark.parametrize("key", [HEX, KEY[:15], KEY + b"\0", None, 16, list(KEY)], ids=str)
def test_a_key_is_16_bytes(key):
    """T1."""
    assert "16 bytes" in problem(DeviceConfig, key, 1)


def test_a_key_may_be_any_kind_of_bytes():
    """T1."""
    assert DeviceConfig(bytearray(KEY), 123456789) == DeviceConfig(memoryview(KEY), 123456789) == CONFIG


@pytest.mark.parametrize("code", [0, -1, 1_000_000_000, 2**32 + 1, 1.0, "123456789", True])
def test_a_starting_code_is_1_to_999999999(code):
    """T4: 0 is refused, since implementations disagree on what it means."""
    assert "starting code" in problem(DeviceConfig, KEY, code)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("time_divider", 0), ("time_divider", 256), ("max_jump", 0), ("max_jump", 65_536), ("max_sync_jump", 0),
        ("older_window", -1), ("older_window", 32), ("max_count", 0), ("max_count", 65_536), ("time_divider", 1.5),
    ],
)  # fmt: skip
def test_windows_limits_and_dividers_have_bounds(name, wrong):
    """T7, T10, T12, T14."""
    assert name.replace("_", " ") in problem(DeviceConfig, KEY, 1, **{name: wrong})


@pytest.mark.parametrize("value", [996, 997, 998, 999, 1000, -1, 2**32 + 7, 7.0, "7", True])
@pytest.mark.parametrize("kind", [TokenType.ADD_TIME, TokenType.SET_TIME])
def test_a_value_is_0_to_995_units(value, kind):
    """T7 to T9: a reserved or a command's value is never slipped in as time."""
    assert "0 to 995" in problem(generate_token, CONFIG, 1, value, kind)


@pytest.mark.parametrize("value", [996, 997, 998, 999, 1_000_000, -1])
def test_an_extended_value_leaves_out_the_commands(value):
    """T25."""
    assert "0 to 995 and 1000 to 999999" in problem(generate_token, CONFIG, 1, value, extended=True)


@pytest.mark.parametrize("days", [-0.001, float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"), "x", None])
def test_days_are_a_number_from_0(days):
    """T7."""
    problem(generate_token, CONFIG, 1, days=days)


@pytest.mark.parametrize(("days", "divider"), [(995.5, 1), (996, 1), (142.3, 7), (1e300, 1)])
def test_days_that_do_not_fit_are_refused(days, divider):
    """T7."""
    config = DeviceConfig(KEY, 1, time_divider=divider)
    assert "cannot be issued" in problem(generate_token, config, 1, days=days)


def test_a_timed_token_needs_one_of_value_and_days():
    """T7."""
    problem(generate_token, CONFIG, 1)
    problem(generate_token, CONFIG, 1, 1, days=1)


@pytest.mark.parametrize("kind", [TokenType.DISABLE_PAYG, TokenType.COUNTER_SYNC])
def test_an_unlock_or_sync_carries_no_value(kind):
    """T9: not even 0."""
    assert "carries no value" in problem(generate_token, CONFIG, 1, 0, kind)
    assert "carries no value" in problem(generate_token, CONFIG, 1, None, kind, days=1)


@pytest.mark.parametrize("kind", [TokenType.INVALID, TokenType.ALREADY_USED, 5, "ADD_TIME", None])
def test_only_four_types_can_be_made(kind):
    """T9, T10."""
    assert "token type" in problem(generate_token, CONFIG, 1, 1, kind)


@pytest.mark.parametrize("count", [-1, 65_536, 1.0, "1", None])
def test_a_count_is_0_to_65535(count):
    """T10."""
    assert "count" in problem(generate_token, CONFIG, count, 1)


@pytest.mark.parametrize(
    "state", [{"count": -1}, {"count": 65_536}, {"count": 5, "floor": 6}, {"count": 5, "floor": -1},
              {"count": 5, "used_counts": (6,)}, {"count": 5, "used_counts": (0,)}, {"count": "5"}],
)  # fmt: skip
def test_a_state_is_one_that_a_device_can_have(state):
    """T11."""
    problem(DecoderState, **state)


@pytest.mark.parametrize("token", [16609796, None, b"016609796"])
def test_a_token_to_decode_is_text(token):
    """T20."""
    assert "text" in problem(decode_token, CONFIG, token, DecoderState(1))


@pytest.mark.parametrize("count", [-1, 65_536])
def test_a_unit_is_provisioned_at_a_count_that_there_is(count):
    """T10, T11."""
    problem(PaygUnit, CONFIG, count)


def test_a_configuration_can_be_copied_and_compared_but_never_shows_its_key():
    """T1."""
    config = DeviceConfig(KEY, 5, 24, True, 30, 31, 10, 32_600)
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert generate_token(again, 1, 1) == generate_token(config, 1, 1)
    assert config != DeviceConfig(KEY[::-1], 5, 24, True, 30, 31, 10, 32_600)
    for shown in (repr(config), str(config)):
        assert all(form not in shown for form in (HEX, HEX.upper(), repr(KEY)[2:-1], "secret_key"))


def test_a_configuration_cannot_be_changed():
    """T12: a change would not reach the C core."""
    with pytest.raises(AttributeError):
        CONFIG.max_jump = 5  # type: ignore[misc]
