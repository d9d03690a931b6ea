"""Judging tokens: which a device accepts, which it calls used, which it refuses."""

from __future__ import annotations

import sys
import unicodedata

import model
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import DecoderState, DeviceConfig, PaygoError, Reason, TokenType, decode_token, generate_token

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
CONFIG = DeviceConfig(KEY, 123456789)


def number_at(count: int, value: int, form: int = model.STANDARD) -> str:
    """The digits of a value at exactly this count, of either parity, from the model."""
    return model.write(form, False, model.encode(KEY, 123456789, form, count, value))


def judge(state: DecoderState, count: int, value: int = 1, config: DeviceConfig = CONFIG):
    return decode_token(config, number_at(count, value), state)


def accepts(state: DecoderState, count: int, value: int = 1, config: DeviceConfig = CONFIG) -> bool:
    return judge(state, count, value, config).accepted


def after(state: DecoderState, *counts: int) -> DecoderState:
    """The state after tokens of one unit at these counts, each of which must be accepted."""
    for count in counts:
        decoded = judge(state, count)
        assert decoded.accepted, count
        state = decoded.state
    return state


def test_an_accepted_token_tells_type_value_days_and_count():
    """T7, T12: and leaves the old state alone."""
    config = DeviceConfig(KEY, 123456789, time_divider=2)
    state = DecoderState(1)
    decoded = decode_token(config, "016609796", state)
    assert (decoded.token_type, decoded.value, decoded.days, decoded.count) == (TokenType.ADD_TIME, 7, 3.5, 2)
    assert (decoded.accepted, decoded.state) == (True, DecoderState(2, 1, (2,)))
    assert state == DecoderState(1, 1, ())


@pytest.mark.parametrize(
    ("count", "value", "token_type"),
    [
        (2, 0, TokenType.ADD_TIME), (3, 0, TokenType.SET_TIME), (2, 995, TokenType.ADD_TIME),
        (3, 998, TokenType.DISABLE_PAYG), (2, 998, TokenType.DISABLE_PAYG),
        (3, 999, TokenType.COUNTER_SYNC), (2, 999, TokenType.COUNTER_SYNC),
    ],
)  # fmt: skip
def test_parity_and_value_make_the_type(count, value, token_type):
    """T7, T9, T10: 998 and 999 are obeyed at either parity."""
    decoded = judge(DecoderState(1), count, value)
    assert (decoded.token_type, decoded.value, decoded.count) == (token_type, value, count)


@pytest.mark.parametrize("value", [996, 997])
@pytest.mark.parametrize("form", [model.STANDARD, model.EXTENDED])
def test_the_reserved_values_are_invalid_at_any_count(value, form):
    """T8, T16, T25."""
    for count in (0, 1, 2, 3, 10):
        decoded = decode_token(CONFIG, number_at(count, value, form), DecoderState(1))
        assert (decoded.token_type, decoded.reason, decoded.value) == (TokenType.INVALID, Reason.RESERVED, None)


@pytest.mark.parametrize("value", [0, 7, 995, 998, 999])
@pytest.mark.parametrize("count", [0, 1, 10, 40])
def test_the_printed_starting_code_opens_nothing(value, count):
    """T6: its thousand variants lie at count 0, and count 0 is never a token."""
    decoded = judge(DecoderState(count), 0, value)
    assert (decoded.token_type, decoded.reason) == (TokenType.INVALID, Reason.NO_MATCH)


@pytest.mark.parametrize("value", [0, 7, 998, 999, 1000])
def test_the_printed_starting_code_is_no_extended_token_either(value):
    """T6, T24."""
    for count in (0, 1, 40):
        decoded = decode_token(CONFIG, number_at(0, value, model.EXTENDED), DecoderState(count))
        assert decoded.reason is Reason.NO_MATCH


@pytest.mark.parametrize("value", [0, 1, 7, 995, 998])
@pytest.mark.parametrize("count", [11, 12, 13, 73, 74])
def test_any_value_above_the_last_count_is_taken_up_to_64_further_on(value, count):
    """T12, T13."""
    assert accepts(DecoderState(10), count, value)


def test_beyond_64_counts_nothing_is_found_but_a_sync():
    """T12, T16: a sync up to 100."""
    state = DecoderState(10)
    assert judge(state, 75, 1).reason is Reason.NO_MATCH
    assert judge(state, 75, 998).reason is Reason.NO_MATCH
    assert accepts(state, 75, 999)
    assert accepts(state, 110, 999)
    assert judge(state, 111, 999).reason is Reason.NO_MATCH


def test_the_windows_are_configuration():
    """T12, T14: as the prose of the public specification has them, and tighter."""
    prose = DeviceConfig(KEY, 123456789, max_jump=30, max_sync_jump=30, older_window=10)
    assert accepts(DecoderState(10), 40, 1, prose)
    assert not accepts(DecoderState(10), 41, 1, prose)
    assert not accepts(DecoderState(10), 41, 999, prose)
    ahead = DecoderState(40, floor=1)
    assert accepts(ahead, 32, 1, prose)
    assert judge(ahead, 30, 1, prose).reason is Reason.TOO_OLD
    none = DeviceConfig(KEY, 123456789, older_window=0)
    assert judge(ahead, 38, 1, none).reason is Reason.TOO_OLD
    widest = DeviceConfig(KEY, 123456789, older_window=31)
    assert accepts(ahead, 10, 1, widest)
    assert judge(ahead, 8, 1, widest).reason is Reason.TOO_OLD


def test_tokens_at_the_last_counts_are_taken_and_nothing_wraps():
    """T10, T12."""
    top = DecoderState(65_500)
    for kind, count in ((TokenType.ADD_TIME, 65_533), (TokenType.SET_TIME, 65_534)):
        token = generate_token(CONFIG, count, 1, kind)
        decoded = decode_token(CONFIG, token.digits, top)
        assert (decoded.token_type, decoded.count) == (kind, token.count)
    full = decode_token(CONFIG, generate_token(CONFIG, 65_534, 1, TokenType.SET_TIME).digits, top).state
    assert full == DecoderState(65_535)
    assert decode_token(CONFIG, "123456789", full).reason is Reason.NO_MATCH


def test_no_count_above_the_models_limit_is_taken():
    """T10, T12."""
    limited = DeviceConfig(KEY, 123456789, max_count=20)
    assert accepts(DecoderState(10), 20, 1, limited)
    assert judge(DecoderState(10), 21, 1, limited).reason is Reason.NO_MATCH
    assert judge(DecoderState(10), 21, 999, limited).reason is Reason.NO_MATCH


def test_an_accepted_token_is_used():
    """T15: at the last count, and at an older one."""
    state = after(DecoderState(1), 2, 6)
    for count in (2, 6):
        decoded = judge(state, count)
        assert (decoded.token_type, decoded.reason) == (TokenType.ALREADY_USED, Reason.USED)
        assert (decoded.value, decoded.count, decoded.state) == (1, count, state)


def test_the_count_a_unit_was_provisioned_at_is_used():
    """T11."""
    assert judge(DecoderState(1), 1).token_type is TokenType.ALREADY_USED
    assert judge(DecoderState(8), 8).token_type is TokenType.ALREADY_USED
    assert judge(DecoderState(8), 6).reason is Reason.OLDER_THAN_SET
    assert accepts(DecoderState(0), 1)


@pytest.mark.parametrize("count", [8, 9])
def test_the_count_a_unit_was_provisioned_at_stays_void_when_the_count_moves_on(count):
    """T11, T14: the server before may have issued it."""
    state = after(DecoderState(count), 10)
    assert judge(state, 8).reason is Reason.OLDER_THAN_SET


def test_an_older_add_time_token_is_taken_once():
    """T14: entered late and out of order."""
    state = after(DecoderState(1), 10, 4, 8, 2, 6)
    assert state == DecoderState(10, 1, (2, 4, 6, 8, 10))
    for count in (2, 4, 6, 8, 10):
        assert judge(state, count).reason is Reason.USED


def test_used_counts_stay_used_when_the_count_moves_on():
    """T11: the deployed C firmware loses them here, and takes six of ten tokens twice."""
    state = after(DecoderState(1), 2, 4, 6, 8, 10, 12, 14, 16)
    for count in range(2, 17, 2):
        assert judge(state, count).token_type is TokenType.ALREADY_USED, count
    state = after(state, 22)
    assert state.used_counts == (6, 8, 10, 12, 14, 16, 22)
    assert [n for n in range(2, 22, 2) if accepts(state, n)] == [18, 20]


def test_the_used_counts_reach_as_far_as_the_window_and_no_farther():
    """T11: 16 counts on one is still known, 34 counts on none; a wider window keeps more."""
    assert after(DecoderState(1), 4, 20).used_counts == (4, 20)
    far = after(DecoderState(1), 2, 36)
    assert far.used_counts == (36,)
    assert accepts(far, 34)
    widest = DeviceConfig(KEY, 123456789, older_window=31)
    late = judge(DecoderState(40, floor=1), 10, config=widest).state
    assert late.used_counts == (10,)
    assert judge(late, 10, config=widest).reason is Reason.USED


@pytest.mark.parametrize("highest", [20, 21])
def test_an_older_add_time_token_is_taken_up_to_15_counts_back(highest):
    """T14, T15: 16 counts back is too old."""
    state = DecoderState(highest, floor=1)
    admitted = [n for n in range(1, highest) if accepts(state, n)]
    assert admitted == [n for n in range(highest - 15, highest) if n % 2 == 0]
    assert judge(state, 4).reason is Reason.TOO_OLD


@pytest.mark.parametrize(("value", "count"), [(1, 11), (998, 11), (998, 10), (999, 11), (999, 10)])
def test_the_last_count_is_used_whatever_was_accepted_there(value, count):
    """T15: also when nothing was, but the unit was provisioned there."""
    state = judge(DecoderState(1), count, value).state
    assert judge(state, count, value).reason is Reason.USED
    assert judge(DecoderState(count), count, value).reason is Reason.USED


def test_a_used_token_at_the_end_of_the_window_was_used_before():
    """T15: 16 counts back, where an unused one is too old."""
    state = after(DecoderState(1), 4, 20)
    assert judge(state, 4).reason is Reason.USED
    assert judge(DecoderState(20, floor=1), 4).reason is Reason.TOO_OLD


def test_the_reason_of_a_token_far_below_the_window_is_not_that_it_was_used():
    """T15: 32 counts and more below one that was."""
    state = DecoderState(40, 1, (36, 40))
    assert [judge(state, count).reason for count in (4, 8)] == [Reason.TOO_OLD, Reason.TOO_OLD]


@pytest.mark.parametrize(("value", "count"), [(1, 11), (998, 11), (998, 10), (999, 11), (999, 10)])
def test_a_set_time_unlock_or_sync_voids_older_add_time_tokens(value, count):
    """T17: also when an ADD_TIME token comes in between."""
    state = judge(DecoderState(1), count, value).state
    assert state == DecoderState(count, count, (count,) if count % 2 == 0 else ())
    for older in (2, 4, 6, 8):
        assert judge(state, older).reason is Reason.OLDER_THAN_SET
    state = after(state, count + 2 - count % 2)
    assert judge(state, 8).reason is Reason.OLDER_THAN_SET


@pytest.mark.parametrize("value", [998, 999])
@pytest.mark.parametrize("count", [4, 5])
def test_an_unlock_or_sync_below_the_last_count_is_overtaken(value, count):
    """T15, T17: the last count never goes down."""
    state = after(DecoderState(1), 8)
    decoded = judge(state, count, value)
    assert (decoded.token_type, decoded.reason, decoded.state) == (TokenType.ALREADY_USED, Reason.OVERTAKEN, state)


def test_a_set_time_token_below_the_last_count_is_overtaken():
    """T15."""
    assert judge(after(DecoderState(1), 8), 5).reason is Reason.OVERTAKEN


def test_a_sync_does_not_reopen_what_lies_below_it():
    """T17: SYNC@5, ADD@6 again and again would be free energy for ever."""
    state = judge(DecoderState(1), 5, 999).state
    state = after(state, 6)
    for count, value in ((5, 999), (6, 1), (5, 999), (6, 1)):
        assert judge(state, count, value).token_type is TokenType.ALREADY_USED


def test_an_unlock_at_an_even_count_is_not_entered_again_as_an_older_token():
    """T11, T15: it counts among the used ones."""
    state = judge(DecoderState(1), 4, 998).state
    assert state.used_counts == (4,)
    state = after(state, 6)
    assert not accepts(state, 4, 998)
    assert not accepts(state, 4, 1)


def test_however_old_a_match_is_it_is_used_and_not_invalid():
    """T15."""
    for state in (DecoderState(600), DecoderState(600, floor=1)):
        assert judge(state, 2).token_type is TokenType.ALREADY_USED
    assert judge(DecoderState(600), 601, 1).accepted


def test_of_two_matches_the_lowest_admitted_one_is_taken():
    """T12: with this key ADD 30 at counts 49 and 51 is one token, first ignored below the floor, then a SET_TIME."""
    config = DeviceConfig.from_hex("a3dbcd9baeb6401757bee25940693cd2", 123456789)
    token = model.write(model.STANDARD, False, model.encode(config.secret_key, 123456789, model.STANDARD, 51, 30))
    assert decode_token(config, token, DecoderState(40)).count == 49
    assert decode_token(config, token, DecoderState(49)).count == 51
    used = decode_token(config, token, DecoderState(51))
    assert (used.token_type, used.reason, used.count) == (TokenType.ALREADY_USED, Reason.USED, 51), "T15: the highest"


@pytest.mark.parametrize(
    ("form", "value", "count", "aside"),
    [
        (model.STANDARD, 15, 6, -1), (model.STANDARD, 298, 4, 1),
        (model.EXTENDED, 139_626, 3, -1), (model.EXTENDED, 50_406, 1, 1),
    ],
)  # fmt: skip
def test_a_code_beside_those_of_a_token_is_no_match(form, value, count, aside):
    """T5, T16: the code at this count is the first or last of its thousand, the number a thousand beside it."""
    code = model.encode(KEY, 123456789, form, 0, value)
    for _ in range(count):
        code = model.next_code(KEY, form, code)
    modulus = model.MODULUS[form]
    assert code % modulus == (0 if aside < 0 else modulus - 1)
    number = model.encode(KEY, 123456789, form, count, value) + aside * modulus
    assert decode_token(CONFIG, model.write(form, False, number), DecoderState(1)).reason is Reason.NO_MATCH


def test_every_dash_between_the_digits_is_taken_out():
    """T23: what a word processor makes of a hyphen."""
    dashes = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) == "Pd"]
    assert len(dashes) > 20
    for dash in dashes:
        assert decode_token(CONFIG, f"016{dash}609{dash}796", DecoderState(1)).accepted


@pytest.mark.parametrize(
    "text", ["016 609 796", "016-609-796", " 016609796\n", "0 1 6 6 0 9 7 9 6", "016\u00a0609\u00a0796"]
)
def test_spaces_and_hyphens_between_the_digits_do_not_count(text):
    """T23."""
    assert decode_token(CONFIG, text, DecoderState(1)).accepted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("16609796", Reason.LENGTH), ("0016609796", Reason.LENGTH), ("", Reason.LENGTH), ("0166097960", Reason.LENGTH),
        ("01660979a", Reason.DIGITS), ("+16609796", Reason.DIGITS), ("٠١٦٦٠٩٧٩٦", Reason.DIGITS),
        ("016.609.796", Reason.LENGTH), ("01660979\0", Reason.DIGITS),
    ],
)  # fmt: skip
def test_a_token_of_wrong_form_is_an_answer_with_a_reason(text, reason):
    """T20, T22: its leading zeros count; the state stays."""
    decoded = decode_token(CONFIG, text, DecoderState(1))
    assert (decoded.token_type, decoded.reason, decoded.state) == (TokenType.INVALID, reason, DecoderState(1))


@pytest.mark.parametrize("foreign", "056789")
def test_a_digit_that_four_keys_do_not_have_is_refused(foreign):
    """T23: deployed code reads 7 as 3, 0 as 4 and 5 as 1."""
    config = DeviceConfig(KEY, 123456789, restricted_digit_set=True)
    assert decode_token(config, "324244134441123", DecoderState(1)).accepted
    for at in range(15):
        text = "324244134441123"[:at] + foreign + "324244134441123"[at + 1 :]
        assert decode_token(config, text, DecoderState(1)).reason is Reason.DIGITS


def test_restricted_digits_beyond_the_largest_code_are_invalid():
    """T21: 10^9 and 10^12 are the first beyond."""
    config = DeviceConfig(KEY, 123456789, restricted_digit_set=True)
    for form in (model.STANDARD, model.EXTENDED):
        inside, beyond = (model.write(form, True, 10**form + step) for step in (-1, 0))
        assert decode_token(config, inside, DecoderState(1)).reason is Reason.NO_MATCH
        assert decode_token(config, beyond, DecoderState(1)).reason is Reason.RANGE


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999_999))
def test_four_keys_write_what_they_read(standard, extended):
    """T21."""
    for form, number in ((model.STANDARD, standard), (model.EXTENDED, extended)):
        text = model.write(form, True, number)
        assert len(text) == model.RESTRICTED_LENGTH[form]
        assert model.read(form, True, text) == number


@pytest.mark.parametrize(
    ("value", "count", "token_type"),
    [
        (0, 2, TokenType.ADD_TIME), (995, 2, TokenType.ADD_TIME), (1000, 2, TokenType.ADD_TIME),
        (999_999, 3, TokenType.SET_TIME), (998, 3, TokenType.DISABLE_PAYG), (998, 2, TokenType.DISABLE_PAYG),
        (999, 3, TokenType.COUNTER_SYNC), (999, 2, TokenType.COUNTER_SYNC), (1996, 2, TokenType.ADD_TIME),
        (1997, 3, TokenType.SET_TIME), (1998, 2, TokenType.ADD_TIME), (999_999, 2, TokenType.ADD_TIME),
    ],
)  # fmt: skip
def test_extended_tokens_carry_the_manufacturers_values_and_the_same_commands(value, count, token_type):
    """T25: and no days."""
    decoded = decode_token(CONFIG, number_at(count, value, model.EXTENDED), DecoderState(1))
    assert (decoded.token_type, decoded.value, decoded.count, decoded.days) == (token_type, value, count, None)


@pytest.mark.parametrize("value", [1998, 1999, 998_998, 999_999])
def test_an_extended_value_that_ends_like_a_command_is_none(value):
    """T25: it voids nothing, may come late, and is looked for no farther than others."""
    assert decode_token(CONFIG, number_at(10, value, model.EXTENDED), DecoderState(1)).state.floor == 1
    late = DecoderState(20, floor=1)
    assert decode_token(CONFIG, number_at(18, value, model.EXTENDED), late).accepted
    assert decode_token(CONFIG, number_at(85, value, model.EXTENDED), late).reason is Reason.NO_MATCH


def test_standard_and_extended_tokens_share_their_counts():
    """T25."""
    state = after(DecoderState(1), 6)
    assert decode_token(CONFIG, number_at(6, 1, model.EXTENDED), state).reason is Reason.USED
    state = decode_token(CONFIG, number_at(4, 5000, model.EXTENDED), state).state
    assert judge(state, 4).reason is Reason.USED
    state = decode_token(CONFIG, number_at(9, 5000, model.EXTENDED), state).state
    assert judge(state, 8).reason is Reason.OLDER_THAN_SET


def test_an_extended_token_that_matches_nothing_is_invalid():
    """T16, T24: openpaygo raises UnboundLocalError."""
    assert decode_token(CONFIG, "123456789012", DecoderState(1)).reason is Reason.NO_MATCH


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 60), st.integers(0, 60), st.sets(st.integers(1, 30)), st.integers(0, 130),
    st.one_of(st.integers(0, 999), st.sampled_from([998, 999])), st.sampled_from([model.STANDARD, model.EXTENDED]),
)  # fmt: skip
def test_any_state_judges_any_count_as_the_model_does(highest, below, halves, count, value, form):
    """T11 to T17."""
    floor = max(0, highest - below)
    used = tuple(2 * n for n in sorted(halves) if highest - 16 <= 2 * n <= highest)
    decoded = decode_token(CONFIG, number_at(count, value, form), DecoderState(highest, floor, used))
    device = model.Device(KEY, 123456789)
    window = model.Window(highest, floor, set(used))
    kind, their_value, their_count, after_it = model.judge(device, window, number_at(count, value, form))
    assert (decoded.value, decoded.count) == (their_value, their_count)
    assert decoded.accepted == (kind not in (model.WRONG, model.ALREADY_USED))
    assert (decoded.token_type is TokenType.ALREADY_USED) == (kind == model.ALREADY_USED)
    state = decoded.state
    assert (state.count, state.floor, set(state.used_counts)) == (after_it.highest, after_it.floor, after_it.used)


def test_a_token_that_is_no_text_is_a_wrong_argument():
    """T20: a number has lost its leading zeros."""
    with pytest.raises(PaygoError, match="the token is of type int"):
        decode_token(CONFIG, 16609796, DecoderState(1))  # type: ignore[arg-type]
