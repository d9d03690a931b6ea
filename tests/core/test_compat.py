"""The drop-in for openpaygo: the same calls, the same answers wherever openpaygo's are right."""

from __future__ import annotations

import doctest
from pathlib import Path

import openpaygo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import PaygoError, compat

DEVICE = {"secret_key": "a29ab82edc5fbbc41ec9530f6dac86b1", "starting_code": 123456789}
GUIDE = Path(__file__).parents[2] / "docs" / "migrating.md"


def test_every_line_of_the_migration_guide_is_true() -> None:
    flags = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS
    text = GUIDE.read_text("utf-8").replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, "migrating", str(GUIDE), 0)
    assert len(test.examples) > 20
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    runner.run(test)
    assert runner.failures == 0


@settings(max_examples=150, deadline=None)
@given(
    key=st.binary(min_size=16, max_size=16),
    starting_code=st.one_of(st.none(), st.integers(1, 999_999_999)),
    count=st.integers(0, 300),
    kind=st.integers(1, 4),
    value=st.integers(0, 995),
    divider=st.sampled_from([1, 2, 24]),
    restricted=st.booleans(),
    extended=st.booleans(),
)
def test_the_same_tokens_to_the_digit(
    key: bytes,
    starting_code: int | None,
    count: int,
    kind: int,
    value: int,
    divider: int,
    restricted: bool,
    extended: bool,
) -> None:
    call = {
        "secret_key": key.hex(),
        "count": count,
        "token_type": kind,
        "value": value / divider if kind <= 2 else None,
        "starting_code": starting_code,
        "value_divider": divider,
        "restricted_digit_set": restricted,
        "extended_token": extended,
    }
    assert compat.generate_token(**call) == openpaygo.generate_token(**call)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from([1, 1, 1, 2]), st.integers(0, 995)), min_size=1, max_size=8),
    divider=st.sampled_from([1, 2]),
    restricted=st.booleans(),
)
def test_tokens_entered_in_order_give_the_same_values_types_and_counts(
    steps: list[tuple[int, int]], divider: int, restricted: bool
) -> None:
    """Begun above count 16 with a used count, where openpaygo's decoder has no defect that shows."""
    options = {"value_divider": divider, "restricted_digit_set": restricted}
    count = ours = theirs = 21
    used_ours: list[int] | None = list(range(5, 22))
    used_theirs: list[int] | None = list(range(5, 22))
    for kind, value in steps:
        count, token = openpaygo.generate_token(
            count=count, value=value / divider, token_type=kind, **DEVICE, **options
        )
        value_ours, type_ours, ours, used_ours = compat.decode_token(
            token=token, count=ours, used_counts=used_ours, **DEVICE, **options
        )
        value_theirs, type_theirs, theirs, used_theirs = openpaygo.decode_token(
            token=token, count=theirs, used_counts=used_theirs, **DEVICE, **options
        )
        assert (value_ours, int(type_ours), ours) == (value_theirs, type_theirs, theirs)
        assert used_ours is not None
        assert used_theirs is not None
        evens = {n for n in used_theirs if n % 2 == 0}
        assert {n for n in used_ours if n % 2 == 0} == evens


def test_a_late_add_time_token_does_not_lower_what_is_known() -> None:
    first = compat.generate_token(count=1, value=1, **DEVICE)[1]
    second = compat.generate_token(count=2, value=1, **DEVICE)[1]
    third_count, third = compat.generate_token(count=4, value=5, token_type=compat.TokenType.SET_TIME, **DEVICE)
    _, _, count, used = compat.decode_token(token=second, count=1, used_counts=None, **DEVICE)
    value, _, count, used = compat.decode_token(token=first, count=4, used_counts=used, **DEVICE)
    assert (value, count) == (1.0, 2)
    assert compat.decode_token(token=second, count=2, used_counts=used, **DEVICE)[1] == compat.TokenType.ALREADY_USED
    _, _, count, used = compat.decode_token(token=third, count=2, used_counts=used, **DEVICE)
    assert count == third_count
    for token in (first, second, third):
        assert compat.decode_token(token=token, count=2, used_counts=used, **DEVICE)[1] == compat.TokenType.ALREADY_USED


def test_a_leading_zero_that_got_lost_is_put_back() -> None:
    assert compat.decode_token(token="16609796", count=1, **DEVICE)[:2] == (7.0, compat.TokenType.ADD_TIME)


@pytest.mark.parametrize("token", ["", "12a456789", "1234567890123", "-23456789"])
def test_what_is_no_token_at_all_is_a_value_error(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        compat.decode_token(token=token, count=1, **DEVICE)


@pytest.mark.parametrize("key", [b"a29ab82edc5fbbc41ec9530f6dac86b1", bytearray(b"A29AB82EDC5FBBC41EC9530F6DAC86B1")])
def test_a_key_may_be_bytes_of_hexadecimal(key: bytes) -> None:
    call = {"secret_key": key, "starting_code": 123456789, "count": 1}
    assert compat.generate_token(value=7, **call) == openpaygo.generate_token(value=7, **call) == (2, "016609796")
    assert compat.decode_token(token="016609796", **call)[:2] == (7.0, compat.TokenType.ADD_TIME)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("value", [0, 7, 2.5, 995])
def test_a_divider_of_0_makes_0_units(kind: int, value: float) -> None:
    call = {"count": 1, "value": value, "token_type": kind, "value_divider": 0, **DEVICE}
    assert compat.generate_token(**call) == openpaygo.generate_token(**call)


def test_a_divider_of_0_leaves_the_units_as_they_are() -> None:
    call = {"token": "016609796", "count": 1, "used_counts": [1], "value_divider": 0, **DEVICE}
    assert compat.decode_token(**call) == openpaygo.decode_token(**call)


@pytest.mark.parametrize("key", [None, 5, b"\xff" * 32])
def test_what_is_no_key_is_a_value_error_in_both(key: object) -> None:
    for module in (openpaygo, compat):
        with pytest.raises(ValueError, match="secret key"):
            module.generate_token(secret_key=key, count=1, value=7)


@pytest.mark.parametrize("count", [None, "1", 1.5, [1]])
@pytest.mark.parametrize("used", [None, [1]])
def test_a_count_that_is_none_is_named(count: object, used: list[int] | None) -> None:
    with pytest.raises(PaygoError, match="count is a"):
        compat.decode_token(token="016609796", count=count, used_counts=used, **DEVICE)
    with pytest.raises(PaygoError, match="count is a"):
        compat.generate_token(value=7, count=count, **DEVICE)


@pytest.mark.parametrize("used", [["1"], [None], 5, [[1]]])
def test_used_counts_that_are_none_are_named(used: object) -> None:
    with pytest.raises(PaygoError, match="used counts"):
        compat.decode_token(token="016609796", count=1, used_counts=used, **DEVICE)


def test_the_key_is_not_in_the_error() -> None:
    with pytest.raises(ValueError, match="31 characters") as caught:
        compat.generate_token(secret_key=DEVICE["secret_key"][:31], count=1, value=1)
    assert str(DEVICE["secret_key"])[:31] not in str(caught.value)
