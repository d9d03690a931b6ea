"""Making tokens: the published vectors, openpaygo as the oracle, the reference model, and the edges of the counts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import model
import openpaygo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import DeviceConfig, PaygoError, Token, TokenType, _native, generate_token
from paygo_core.tokens import collides, sync_count, units_of_days

ffi, lib = _native.ffi, _native.lib

HEX = "a29ab82edc5fbbc41ec9530f6dac86b1"
CONFIG = DeviceConfig.from_hex(HEX, 123456789)
OTHER_HEX = "bc41ec9530f6dac86b1a29ab82edc5fb"

KEYS = st.binary(min_size=16, max_size=16)
STARTING_CODES = st.one_of(st.integers(1, 999_999_999), st.sampled_from([1, 999, 1000, 999_999, 999_999_999]))
TIMED = [TokenType.ADD_TIME, TokenType.SET_TIME]


@pytest.mark.parametrize(
    ("count", "options", "digits", "new_count"),
    [
        (0, {"value": 1}, "662486790", 2),
        (2, {"value": 29}, "927706818", 4),
        (4, {"value": 7, "token_type": TokenType.SET_TIME}, "942433796", 5),
        (5, {"token_type": TokenType.DISABLE_PAYG}, "650975787", 7),
        (7, {"value": 0, "token_type": TokenType.SET_TIME}, "592185789", 9),
        (1, {"value": 7}, "016609796", 2),
    ],
)
def test_the_published_standard_vectors(count, options, digits, new_count):
    """T5, T10, T20."""
    token = generate_token(CONFIG, count, **options)
    assert (token.digits, token.count) == (digits, new_count)


@pytest.mark.parametrize(
    ("restricted", "extended", "digits"),
    [
        (False, False, "588224011"),
        (True, False, "314114432231134"),
        (False, True, "247264959011"),
        (True, True, "14323213131442331314"),
    ],
)
def test_the_published_vectors_of_the_other_written_forms(restricted, extended, digits):
    """T21, T24."""
    config = DeviceConfig.from_hex(OTHER_HEX, 516959010, restricted_digit_set=restricted)
    assert generate_token(config, 1, 1, extended=extended).digits == digits


def test_a_base_begins_again_at_000():
    """T5: 789 + 210 is 999, 789 + 211 is 000, and nothing is carried."""
    for value in (210, 211, 995):
        token = model.encode(CONFIG.secret_key, 123456789, model.STANDARD, 2, value)
        assert int(generate_token(CONFIG, 1, value).digits) == token


def test_next_applied_ten_times():
    """T3. tests/c goes on to 20 000 000."""
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, CONFIG.secret_key)
    code = 123456789
    for _ in range(10):
        code = lib.paygo_chain_next(key, lib.PAYGO_STANDARD, code)
    assert code == 152198176


def test_the_largest_code_has_nine_digits():
    """T2: the hashes of these codes fold to 999 999 999, and to 1 000 000 000, the first number that is reduced."""
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, CONFIG.secret_key)
    for code, following in ((448579445, 999999999), (113227404, 926258175)):
        assert lib.paygo_chain_next(key, lib.PAYGO_STANDARD, code) == following
        assert model.next_code(CONFIG.secret_key, model.STANDARD, code) == following


def test_an_extended_code_is_hashed_and_reduced_in_all_its_digits():
    """T24: one hash in eleven is above 999 999 999 999."""
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, CONFIG.secret_key)
    code, reduced = 123456789, 0
    for _ in range(60):
        following = lib.paygo_chain_next(key, lib.PAYGO_EXTENDED, code)
        assert following == model.next_code(CONFIG.secret_key, model.EXTENDED, code)
        reduced += model.siphash24(CONFIG.secret_key, code.to_bytes(8, "big")) >> 24 > 999_999_999_999
        code = following
    assert reduced


def test_the_hash_is_siphash_2_4():
    """T3: the first vectors of its authors, and any message against the model's own."""
    key = bytes(range(16))
    native = ffi.new("paygo_key *")
    lib.paygo_key_load(native, key)
    assert lib.paygo_siphash24(native, b"", 0) == 0x726FDB47DD0E0E31
    assert lib.paygo_siphash24(native, bytes(range(15)), 15) == 0xA129CA6149BE45E5
    for length in range(70):
        assert lib.paygo_siphash24(native, bytes(range(length)), length) == model.siphash24(key, bytes(range(length)))


def draw_case(data):
    extended = data.draw(st.booleans(), "extended")
    kind = data.draw(st.sampled_from([*TIMED, TokenType.DISABLE_PAYG, TokenType.COUNTER_SYNC]), "kind")
    largest = 999_999 if extended else 995
    units = st.integers(0, largest).filter(lambda v: not 996 <= v <= 999)
    value = data.draw(units, "value") if kind in TIMED else None
    return extended, kind, value


@settings(max_examples=300, deadline=None)
@given(KEYS, STARTING_CODES, st.integers(0, 60), st.booleans(), st.data())
def test_generation_equals_openpaygo(key, starting_code, count, restricted, data):
    """T2 to T5, T9, T10, T20, T21, T24, in whole units, where openpaygo has no slip."""
    extended, kind, value = draw_case(data)
    config = DeviceConfig(key, starting_code, restricted_digit_set=restricted)
    theirs = openpaygo.generate_token(
        secret_key=key.hex(), count=count, value=value, token_type=int(kind), starting_code=starting_code,
        restricted_digit_set=restricted, extended_token=extended,
    )  # fmt: skip
    ours = generate_token(config, count, value, kind, extended)
    assert (ours.count, ours.digits) == theirs


@settings(max_examples=40, deadline=None)
@given(KEYS, st.integers(0, 20), st.integers(0, 195))
def test_a_starting_code_that_is_not_given_follows_from_the_key(key, count, value):
    """T4."""
    theirs = openpaygo.generate_token(secret_key=key.hex(), count=count, value=value)
    config = DeviceConfig(key)
    assert config.starting_code == model.default_starting_code(key)
    ours = generate_token(config, count, value)
    assert (ours.count, ours.digits) == theirs


@settings(max_examples=100, deadline=None)
@given(KEYS, STARTING_CODES, st.integers(0, 200), st.booleans(), st.data())
def test_generation_equals_the_model(key, starting_code, count, restricted, data):
    """T2 to T5, T10, T20, T21, T24."""
    extended, kind, value = draw_case(data)
    form = model.EXTENDED if extended else model.STANDARD
    number = {TokenType.DISABLE_PAYG: 998, TokenType.COUNTER_SYNC: 999}.get(kind, value)
    new_count = model.next_count(count, model.ADD if kind is TokenType.ADD_TIME else model.SET)
    digits = model.write(form, restricted, model.encode(key, starting_code, form, new_count, number))
    config = DeviceConfig(key, starting_code, restricted_digit_set=restricted)
    assert generate_token(config, count, value, kind, extended) == Token(digits, new_count, kind, number)


@pytest.mark.parametrize(
    ("days", "divider", "units"),
    [
        (1, 24, 24), (0.5, 1, 1), (1.5, 1, 2), (2.5, 1, 3), (0.25, 2, 1), (0.1, 5, 1), (0, 255, 0),
        (Fraction(1, 3), 3, 1), (Fraction(1, 48), 24, 1), (1.005, 100, 101),
    ],
)  # fmt: skip
def test_days_round_half_up_to_units(days, divider, units):
    """T7. openpaygo rounds 0.5 and 2.5 to the even unit."""
    assert units_of_days(days, divider) == units
    config = DeviceConfig.from_hex(HEX, 123456789, time_divider=divider)
    assert generate_token(config, 1, days=days) == generate_token(config, 1, units)


@pytest.mark.parametrize(
    ("days", "divider"),
    [(Decimal("0.49"), 1), (0.0019, 255), (0.3, 1), (5e-324, 255), (Decimal("1e-9999999"), 1), (Fraction(1, 513), 255)],
)
@pytest.mark.parametrize("kind", [TokenType.ADD_TIME, TokenType.SET_TIME])
def test_days_that_make_no_unit_are_refused(days, divider, kind):
    """T7: a token for nothing would spend a count."""
    assert units_of_days(days, divider) == 0
    config = DeviceConfig.from_hex(HEX, 123456789, time_divider=divider)
    with pytest.raises(PaygoError, match=r"days are less than half a unit") as caught:
        generate_token(config, 1, token_type=kind, days=days)
    assert f"the device counts {divider} units a day" in caught.value.hint


@pytest.mark.parametrize(("value", "extended"), [(995, False), (995, True), (1000, True), (999_999, True)])
def test_the_largest_values_are_issued(value, extended):
    """T7, T25."""
    assert generate_token(CONFIG, 1, value, extended=extended).value == value


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 101, 32_767, 32_768, 65_532])
def test_the_new_count_is_the_next_of_the_types_parity(count):
    """T10."""
    assert generate_token(CONFIG, count, 1).count == model.next_count(count, model.ADD)
    for kind in (TokenType.DISABLE_PAYG, TokenType.COUNTER_SYNC):
        assert generate_token(CONFIG, count, token_type=kind).count == model.next_count(count, model.SET)


def test_counts_end_at_65535_and_never_wrap():
    """T10."""
    assert generate_token(CONFIG, 65_533, 1).count == 65_534
    assert generate_token(CONFIG, 65_534, 1, TokenType.SET_TIME).count == 65_535
    for count, kind in ((65_534, TokenType.ADD_TIME), (65_535, TokenType.ADD_TIME), (65_535, TokenType.SET_TIME)):
        with pytest.raises(PaygoError, match="last usable count is 65535"):
            generate_token(CONFIG, count, 1, kind)


def test_counts_end_at_the_models_limit():
    """T10: 32 600 for firmware whose arithmetic has 16 bits."""
    config = DeviceConfig.from_hex(HEX, 123456789, max_count=32_600)
    assert generate_token(config, 32_598, 1).count == 32_600
    with pytest.raises(PaygoError, match="last usable count is 32600"):
        generate_token(config, 32_599, 1, TokenType.SET_TIME)


@settings(max_examples=60, deadline=None)
@given(KEYS, STARTING_CODES, st.integers(1, 300), st.integers(0, 999))
def test_the_collision_check_looks_at_every_count_within_80(key, starting_code, count, value):
    """T18, count 0 included."""
    device = model.Device(key, starting_code)
    token = model.encode(key, starting_code, model.STANDARD, count, value)
    others = set(model.matching_counts(device, model.STANDARD, token, count + 80)) - {count}
    zero = count <= 80 and model.encode(key, starting_code, model.STANDARD, 0, value) == token
    expected = zero or any(count - 80 <= n for n in others)
    assert collides(DeviceConfig(key, starting_code), count, value) == expected


@pytest.mark.parametrize(
    ("key", "low", "high", "value"),
    [
        ("5de70f4aba744b50f26b23f62869ea32", 305, 306, 7),
        ("a3dbcd9baeb6401757bee25940693cd2", 49, 51, 30),
        ("09d961a15ec380e562febac91e44f069", 30, 110, 30),
        ("db105df519d7a21ceb9b8bcddc06fe0b", 178, 259, 30),
    ],
)
def test_a_collision_is_seen_as_far_as_80_counts_and_no_farther(key, low, high, value):
    """T18: four keys whose chains meet 1, 2, 80 and 81 counts on. The first makes a SET of an ADD."""
    config = DeviceConfig.from_hex(key, 123456789)
    tokens = {model.encode(config.secret_key, 123456789, model.STANDARD, n, value) for n in (low, high)}
    assert len(tokens) == 1
    assert collides(config, low, value) == collides(config, high, value) == (high - low <= 80)


def test_extended_tokens_collide_too():
    """T18, T25: the value 1971 has the same digits at 11 and at 34."""
    tokens = [model.encode(CONFIG.secret_key, 123456789, model.EXTENDED, count, 1971) for count in (11, 34)]
    assert tokens[0] == tokens[1]
    assert [collides(CONFIG, count, 1971, extended=True) for count in (11, 34, 12)] == [True, True, False]


@pytest.mark.parametrize(("starting_code", "count"), [(18_715, 2), (2_051_376, 80), (986_183, 81)])
def test_a_token_that_is_the_starting_code_with_a_base_is_not_issued(starting_code, count):
    """T18: a collision with count 0, which 81 counts on is one no longer."""
    config = DeviceConfig.from_hex(HEX, starting_code)
    at_0 = model.encode(config.secret_key, starting_code, model.STANDARD, 0, 7)
    assert model.encode(config.secret_key, starting_code, model.STANDARD, count, 7) == at_0
    assert collides(config, count, 7) == (count <= 80)


@pytest.mark.parametrize(
    ("count", "sync"), [(0, 99), (1, 99), (2, 101), (3, 101), (65_436, 65_535), (65_500, 65_535), (65_534, 65_535)]
)
def test_a_server_that_may_be_behind_syncs_98_counts_on(count, sync):
    """T19: the nearest odd count, never past the last."""
    assert sync_count(CONFIG, count) == sync


def test_a_sync_issued_98_counts_on_reaches_a_device_wherever_it_may_be():
    """T19, T12: a device from level with the server to 97 counts ahead."""
    for server in (1, 2, 77, 500):
        n = sync_count(CONFIG, server)
        for ahead in (0, 1, 50, 97):
            assert server + ahead < n <= server + ahead + CONFIG.max_sync_jump


def test_no_sync_is_issued_past_the_last_count():
    """T10, T19."""
    with pytest.raises(PaygoError, match="no COUNTER_SYNC count is left"):
        sync_count(CONFIG, 65_535)
    assert sync_count(DeviceConfig.from_hex(HEX, 1, max_count=600), 550) == 599


def test_a_token_is_text_and_prints_in_groups():
    """T20."""
    token = generate_token(CONFIG, 1, 7)
    assert (str(token), token.grouped()) == ("016609796", "016 609 796")
    restricted = DeviceConfig.from_hex(OTHER_HEX, 516959010, restricted_digit_set=True)
    assert generate_token(restricted, 1, 1, extended=True).grouped() == "1432 3213 1314 4233 1314"
    assert generate_token(restricted, 1, 1).grouped() == "314 114 432 231 134"
