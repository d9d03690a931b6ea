"""Deployed decoders, to the bit: a model written from their description, and the energy that they give away."""

from __future__ import annotations

import model
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import (
    DecoderState,
    DeviceConfig,
    Dialect,
    Reason,
    ReferenceState,
    TokenType,
    decode_token,
    generate_token,
)
from paygo_core.tokens import token_at

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
START = 123456789
CONFIG = DeviceConfig(KEY, START)
WIDE, NARROW = Dialect.REFERENCE_C, Dialect.REFERENCE_C_16


def unsigned16(x: int) -> int:
    return x & 0xFFFF


def signed16(x: int) -> int:
    return (x & 0xFFFF) - 0x10000 if x & 0x8000 else x & 0xFFFF


def reference_enter(
    max_count: int, used: int, token: int, narrow: bool
) -> tuple[str, int | None, int | None, int, int]:
    """What the public C source says, line by line: verdict, value, count, and the state afterwards."""
    value = (token % 1000 - START % 1000) % 1000

    def minus(distance: int) -> int:
        return unsigned16(max_count - distance) if narrow else max_count - distance

    def is_used(n: int) -> bool:
        if n % 2 == 1 and n <= max_count:
            return True
        return bool(used & (1 << unsigned16(max_count - n - 1) % 32)) or n == max_count

    def is_valid(n: int) -> bool:
        if value == 999:
            return n > minus(64)
        if n > max_count:
            return True
        return n > minus(16) and n != 0 and n % 2 == 0 and not is_used(n)

    last = max_count + (100 if value == 999 else 64)
    if narrow:
        last = signed16(last)
    code = START - START % 1000 + token % 1000
    found = False
    for n in range(last + 1):
        if n:
            code = model.next_code(KEY, model.STANDARD, code)
        if code - code % 1000 + token % 1000 != token:
            continue
        if not is_valid(n):
            found = True
            continue
        if n % 2 == 1 or value in (998, 999):
            used = 0xFFFF
        elif n > max_count:
            distance, fresh = n - max_count, 0
            if distance > 16:
                distance = 16
            else:
                fresh |= 1 << (distance - 1)
            for i in range(distance + 1, 16 - distance):
                fresh &= ~(1 << i)
                fresh |= (used & (1 << (i - distance))) << i
            used = unsigned16(fresh)
        else:
            used |= 1 << (max_count - n - 1)
        return "accepted", value, n, unsigned16(max(max_count, n)), used
    return ("used" if found else "invalid"), None, None, max_count, used


def check(state: ReferenceState, digits: str, dialect: Dialect) -> ReferenceState:
    """Enters digits into the C and into the model, which must agree; gives the state afterwards."""
    verdict, value, count, max_count, used = reference_enter(
        state.max_count, state.used_mask, int(digits), dialect is NARROW
    )
    answer = decode_token(CONFIG, digits, state, dialect)
    assert answer.state == ReferenceState(max_count, used)
    if verdict == "accepted":
        assert (answer.reason, answer.value, answer.count) == (Reason.ACCEPTED, value, count)
    else:
        expected = TokenType.ALREADY_USED if verdict == "used" else TokenType.INVALID
        assert answer.token_type is expected
    return answer.state


entries = st.lists(st.tuples(st.integers(-70, 110), st.sampled_from([0, 1, 7, 995, 998, 999])), min_size=1, max_size=12)
starts = st.one_of(st.integers(0, 140), st.sampled_from([600, 1000]))


@settings(max_examples=150, deadline=None)
@given(starts, st.integers(0, 0xFFFF), entries, st.sampled_from([WIDE, NARROW]))
def test_a_deployed_unit_is_predicted_entry_by_entry(
    max_count: int, used: int, steps: list[tuple[int, int]], dialect: Dialect
) -> None:
    state = ReferenceState(max_count, used)
    for distance, value in steps:
        count = max(1, state.max_count + distance)
        state = check(state, token_at(CONFIG, count, value), dialect)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 130), st.integers(0, 999_999_999), st.sampled_from([WIDE, NARROW]))
def test_any_number_at_all_is_judged_as_the_deployed_unit_does(max_count: int, number: int, dialect: Dialect) -> None:
    check(ReferenceState(max_count, 0), f"{number:09d}", dialect)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(0, 130), st.sampled_from([WIDE, NARROW]))
def test_the_numbers_of_count_0_too(base: int, max_count: int, dialect: Dialect) -> None:
    check(ReferenceState(max_count, 0), f"{START - START % 1000 + base:09d}", dialect)


def enter_all(dialect: Dialect, *tokens: str, state: ReferenceState | None = None) -> list[TokenType]:
    now = ReferenceState() if state is None else state
    said = []
    for digits in tokens:
        answer = decode_token(CONFIG, digits, now, dialect)
        said.append(answer.token_type)
        now = answer.state
    return said


def test_a_deployed_unit_takes_add_time_tokens_again() -> None:
    first, second, third = (token_at(CONFIG, count, 1) for count in (2, 4, 6))
    assert enter_all(WIDE, first, second, third, first) == [TokenType.ADD_TIME] * 4


def test_a_deployed_unit_takes_what_a_set_time_token_voided() -> None:
    older, set_time, newer = token_at(CONFIG, 2, 5), token_at(CONFIG, 3, 10), token_at(CONFIG, 4, 3)
    said = enter_all(WIDE, set_time, older, newer, older)
    assert said == [TokenType.SET_TIME, TokenType.ALREADY_USED, TokenType.ADD_TIME, TokenType.ADD_TIME]


def test_a_deployed_unit_takes_its_printed_starting_code_as_a_sync() -> None:
    base = (START % 1000 - 1) % 1000
    assert enter_all(WIDE, f"{START - START % 1000 + base:09d}") == [TokenType.COUNTER_SYNC]


def test_with_16_bit_int_no_sync_works_below_64_and_no_older_token_below_16() -> None:
    sync = token_at(CONFIG, 5, 999)
    assert enter_all(WIDE, sync) == [TokenType.COUNTER_SYNC]
    assert enter_all(NARROW, sync) == [TokenType.ALREADY_USED]
    newer, older = token_at(CONFIG, 8, 1), token_at(CONFIG, 6, 1)
    assert enter_all(WIDE, newer, older) == [TokenType.ADD_TIME, TokenType.ADD_TIME]
    assert enter_all(NARROW, newer, older) == [TokenType.ADD_TIME, TokenType.ALREADY_USED]


def test_with_16_bit_int_a_unit_is_deaf_from_count_32704_on() -> None:
    state = ReferenceState(32_704, 0)
    token = token_at(CONFIG, 32_706, 1)
    assert enter_all(NARROW, token, state=state) == [TokenType.INVALID]
    assert enter_all(WIDE, token, state=state) == [TokenType.ADD_TIME]
    assert enter_all(NARROW, token, state=ReferenceState(32_703)) == [TokenType.ADD_TIME]


def test_a_deployed_unit_applies_the_reserved_values_as_days() -> None:
    answer = decode_token(CONFIG, token_at_any(CONFIG, 2, 996), ReferenceState(), WIDE)
    assert (answer.token_type, answer.value, answer.days) == (TokenType.ADD_TIME, 996, 996)


def token_at_any(config: DeviceConfig, count: int, value: int) -> str:
    return f"{model.encode(config.secret_key, config.starting_code, model.STANDARD, count, value):09d}"


def test_a_decoder_state_is_a_start() -> None:
    token = generate_token(CONFIG, 40, 3)
    answer = decode_token(CONFIG, token.digits, DecoderState(40), WIDE)
    assert answer.state == ReferenceState(42, 0b10)


def test_a_deployed_restricted_keypad_reads_7_as_3() -> None:
    config = DeviceConfig(KEY, START, restricted_digit_set=True)
    digits = generate_token(config, 1, 1).digits
    assert decode_token(config, digits, ReferenceState(1), WIDE).accepted
    odd = digits.replace("3", "7").replace("4", "0").replace("1", "5")
    assert decode_token(config, odd, ReferenceState(1), WIDE).accepted
    assert decode_token(config, odd, DecoderState(1)).reason is Reason.DIGITS


def test_a_text_of_wrong_form_changes_nothing() -> None:
    for text in ("", "12345678", "1234567890", "12345678x"):
        answer = decode_token(CONFIG, text, ReferenceState(5, 9), WIDE)
        assert (answer.token_type, answer.state) == (TokenType.INVALID, ReferenceState(5, 9))
