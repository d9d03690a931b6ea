"""Wrong arguments are refused with a sentence that says what was wrong and what is right; keys are never shown."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from paygo_core import (
    ChainCache,
    DecoderState,
    DeviceConfig,
    Dialect,
    PaygoError,
    PaygUnit,
    ReferenceState,
    TokenType,
    decode_token,
    generate_token,
)
from paygo_core.tokens import collides, sync_count, token_at

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


@pytest.mark.parametrize(
    "days",
    [-0.001, float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), "x", "7",
     HEX, True, None, [7], 1j, b"7"],
)  # fmt: skip
def test_days_are_a_number_from_0(days):
    """T7: a text is none, since it may be anything."""
    problem(generate_token, CONFIG, 1, days=days)


@pytest.mark.parametrize(
    "days",
    [Decimal("1e9999999"), Decimal("-1e9999999"), Decimal("1e-9999999"), 10**9999, -(10**9999), Fraction(10**9999, 3),
     Fraction(3, 10**9999)],
    ids=[f"extreme{number}" for number in range(7)],
)  # fmt: skip
def test_days_out_of_all_bounds_are_refused_at_once_and_not_printed(days):
    """T7."""
    begun = time.monotonic()
    assert len(problem(generate_token, CONFIG, 1, days=days)) < 200
    assert time.monotonic() - begun < 1


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


@pytest.mark.parametrize(
    "kind",
    [TokenType.INVALID, TokenType.ALREADY_USED, 5, "ADD_TIME", None, HEX, "5" * 5000, True, 1.0, Decimal("sNaN")],
)
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


@pytest.mark.parametrize("days", [HEX, KEY, int(HEX, 16)])
def test_a_key_put_anywhere_by_mistake_is_not_shown(days):
    """T1: as text, bytes or a number."""
    for name in ("value", "days", "token_type", "extended"):
        arguments = {"value": 1} | ({"value": None} if name == "days" else {}) | {name: days}
        assert str(int(HEX, 16)) not in problem(generate_token, CONFIG, 1, **arguments)
    for name in ("starting_code", "max_jump", "restricted_digit_set"):
        assert str(int(HEX, 16)) not in problem(DeviceConfig, KEY, **{name: days})
    assert str(int(HEX, 16)) not in problem(decode_token, CONFIG, "016609796", DecoderState(1), days)


@pytest.mark.parametrize("key", [None, 5, KEY, HEX.encode(), [HEX], np.array(5), DeviceConfig])
def test_a_key_in_hexadecimal_is_text(key):
    """T1."""
    assert "a text of 32 characters" in problem(DeviceConfig.from_hex, key)


@pytest.mark.parametrize("wrong", [None, 5, KEY, DecoderState(1), DeviceConfig, "config"], ids=str)
def test_a_configuration_is_one(wrong):
    """T1."""
    cache = ChainCache(8)
    for call, arguments in (
        (generate_token, (1, 7)), (decode_token, ("016609796", DecoderState(1))), (sync_count, (1,)),
        (decode_token, ("016609796", DecoderState(1), Dialect.REFERENCE_C)), (token_at, (2, 7)), (collides, (2, 7)),
        (PaygUnit, ()), (PaygUnit.from_bytes, (bytes(36),)),
    ):  # fmt: skip
        assert "DeviceConfig" in problem(call, wrong, *arguments)
    assert "DeviceConfig" in problem(generate_token, wrong, 1, 7, cache=cache)


@pytest.mark.parametrize("wrong", [True, 4096, "cache", {}, DecoderState(1)], ids=str)
def test_a_cache_is_one(wrong):
    assert "ChainCache" in problem(generate_token, CONFIG, 1, 7, cache=wrong)
    assert "ChainCache" in problem(decode_token, CONFIG, "016609796", DecoderState(1), cache=wrong)


@pytest.mark.parametrize("number", [np.array([5]), np.array([5, 6]), np.float64(5), np.True_, Ellipsis], ids=str)
def test_a_number_is_one_integer(number):
    """T10: an array of one element is none."""
    assert "count" in problem(generate_token, CONFIG, number, 7)
    assert "value" in problem(generate_token, CONFIG, 1, number)
    assert "max jump" in problem(DeviceConfig, KEY, 1, max_jump=number)


def test_integers_of_numpy_are_integers():
    """T10."""
    assert generate_token(CONFIG, np.uint16(1), np.array(7), np.int64(1)) == generate_token(CONFIG, 1, 7)


@pytest.mark.parametrize("flag", ["no", "", 2, -1, 1.0, None, np.array([1]), np.array([1, 2]), []], ids=str)
def test_a_flag_is_true_or_false(flag):
    """T21: "no" would be true."""
    assert "True or False" in problem(DeviceConfig, KEY, 1, restricted_digit_set=flag)
    assert "True or False" in problem(generate_token, CONFIG, 1, 7, extended=flag)
    assert "True or False" in problem(PaygUnit, CONFIG, strict_waits=flag)


@pytest.mark.parametrize("flag", [1, 0, np.True_, np.False_, np.int8(1)])
def test_a_flag_may_be_0_or_1_or_numpys(flag):
    """T21."""
    assert DeviceConfig(KEY, 1, restricted_digit_set=flag).restricted_digit_set is bool(flag)
    assert generate_token(CONFIG, 1, 7, extended=flag) == generate_token(CONFIG, 1, 7, extended=bool(flag))


@pytest.mark.parametrize(("count", "value"), [(0, 7), (-1, 7), (65_536, 7), (2, 1000), (2, -1), ("2", 7), (2, "7")])
def test_what_may_collide_is_a_token(count, value):
    """T18."""
    problem(collides, CONFIG, count, value)


@pytest.mark.parametrize("used", [None, 5, np.array(5)])
def test_used_counts_are_several(used):
    """T11."""
    assert "used counts" in problem(DecoderState, 10, 1, used)


@pytest.mark.parametrize("state", [None, 5, ReferenceState(), (1, 1, ())], ids=str)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_state_is_of_its_dialect(state, dialect):
    """T11."""
    if isinstance(state, ReferenceState) and dialect is not Dialect.STANDARD:
        decode_token(CONFIG, "016609796", state, dialect)
    else:
        assert "DecoderState" in problem(decode_token, CONFIG, "016609796", state, dialect)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_dialect_may_be_given_by_its_value(dialect):
    """T14: here the dialects answer differently."""
    state = DecoderState(4, 1, (4,))
    named = decode_token(CONFIG, "016609796", state, dialect.value)
    assert named == decode_token(CONFIG, "016609796", state, dialect)
    assert type(named.state) is (DecoderState if dialect is Dialect.STANDARD else ReferenceState)


@pytest.mark.parametrize("dialect", [None, "", "junk", "STANDARD", 1, True, ChainCache(8), Dialect])
def test_any_other_dialect_is_refused_with_the_names_of_the_three(dialect):
    """T14: also a cache in the place of a dialect."""
    said = problem(decode_token, CONFIG, "016609796", DecoderState(4, 1, (4,)), dialect)
    assert "'standard', 'reference C' and 'reference C, 16-bit int'" in said


@pytest.mark.parametrize("count", [-1, 65_536, True, "1", 1.0, None, 2**70, np.array([5])])
def test_a_unit_is_provisioned_at_a_count_that_there_is(count):
    """T10, T11."""
    problem(PaygUnit, CONFIG, count)


@pytest.mark.parametrize("now", [-1, 2**32, 2**200, True, 1.0, "1", None, np.array([5])])
def test_a_unit_s_clock_is_an_integer_from_0(now):
    """T36, T37."""
    unit = PaygUnit(CONFIG)
    assert "now" in problem(unit.enter, "016609796", now)
    assert "now" in problem(unit.tick, now)
    unit.tick(2**32 - 1)
    assert "ahead" in problem(unit.to_bytes, now)


@pytest.mark.parametrize("token", [16609796, None, b"016609796", ["016609796"]])
def test_an_entry_is_text(token):
    """T20."""
    assert "text" in problem(PaygUnit(CONFIG).enter, token, 0)


@pytest.mark.parametrize("stored", [None, 36, "x" * 36, [0] * 36, b"", bytes(35)], ids=str)
def test_a_stored_unit_is_36_bytes(stored):
    """T36."""
    assert "36 bytes" in problem(PaygUnit.from_bytes, CONFIG, stored)


def test_a_stored_unit_may_be_any_kind_of_bytes():
    """T36."""
    good = PaygUnit(CONFIG, np.uint16(5)).to_bytes(np.int64(1))
    for kind in (bytearray, memoryview):
        assert PaygUnit.from_bytes(CONFIG, kind(good)).to_bytes() == good


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_unit_is_copied_only_by_its_bytes(way):
    """T36: two units with one life would take each token twice."""
    assert "to_bytes" in problem(way, PaygUnit(CONFIG))


def test_a_configuration_can_be_copied_and_compared_but_never_shows_its_key():
    """T1."""
    config = DeviceConfig(KEY, 5, 24, True, 30, 31, 10, 32_600)
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert generate_token(again, 1, 1) == generate_token(config, 1, 1)
    assert config != DeviceConfig(KEY[::-1], 5, 24, True, 30, 31, 10, 32_600)
    for shown in (repr(config), str(config)):
        assert all(form not in shown for form in (HEX, HEX.upper(), repr(KEY)[2:-1], "secret_key"))


def test_a_configuration_is_copied_and_taken_apart_like_any_dataclass():
    """T1."""
    config = DeviceConfig(KEY, 5, 24, True, 30, 31, 10, 32_600)
    parts = dataclasses.asdict(config)
    assert DeviceConfig(**parts) == config
    assert dataclasses.astuple(config) == tuple(parts.values())
    assert copy.copy(config) == copy.deepcopy(config) == dataclasses.replace(config) == config
    assert generate_token(copy.deepcopy(config), 1, 1) == generate_token(config, 1, 1)


def test_a_configuration_cannot_be_changed():
    """T12: a change would not reach the C core."""
    with pytest.raises(AttributeError):
        CONFIG.max_jump = 5  # type: ignore[misc]
