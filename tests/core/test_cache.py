"""Checkpoints of chains change the time, never a token or a verdict."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import (
    ChainCache,
    DecoderState,
    DeviceConfig,
    PaygoError,
    Reason,
    TokenType,
    decode_token,
    generate_token,
)
from paygo_core.tokens import token_at

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
CONFIG = DeviceConfig(KEY, 123456789)
SMALL = DeviceConfig(KEY, 123456789, max_jump=3, max_sync_jump=5, older_window=4)
WIDE = DeviceConfig(KEY, 123456789, older_window=31, max_count=900)


@settings(max_examples=150, deadline=None)
@given(
    config=st.sampled_from([CONFIG, SMALL, WIDE]),
    start=st.sampled_from([1, 2, 127, 128, 129, 130, 200, 700]),
    steps=st.lists(st.tuples(st.integers(-400, 110), st.sampled_from([0, 7, 995, 998, 999])), min_size=1, max_size=15),
    entries=st.sampled_from([1, 2, 8, 64]),
    extended=st.booleans(),
)
def test_every_verdict_is_the_same_with_a_cache(
    config: DeviceConfig, start: int, steps: list[tuple[int, int]], entries: int, extended: bool
) -> None:
    cache = ChainCache(entries)
    state = DecoderState(start)
    for distance, value in steps:
        token = token_at(config, max(1, state.count + distance), value, extended)
        plain = decode_token(config, token, state)
        assert decode_token(config, token, state, cache=cache) == plain
        state = plain.state


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(0, 1200), min_size=1, max_size=12),
    value=st.integers(0, 995),
    entries=st.sampled_from([1, 4, 64]),
    extended=st.booleans(),
)
def test_every_token_is_the_same_with_a_cache(counts: list[int], value: int, entries: int, extended: bool) -> None:
    cache = ChainCache(entries)
    for count in counts:
        plain = generate_token(CONFIG, count, value, extended=extended)
        assert generate_token(CONFIG, count, value, extended=extended, cache=cache) == plain


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 999_999_999), st.integers(0, 1500))
def test_any_number_at_all_is_judged_the_same(number: int, count: int) -> None:
    cache = ChainCache()
    digits = f"{number:09d}"
    for _ in range(2):
        assert decode_token(CONFIG, digits, DecoderState(count), cache=cache) == decode_token(
            CONFIG, digits, DecoderState(count)
        )


def test_an_old_token_is_still_already_used_and_a_wrong_one_invalid() -> None:
    cache = ChainCache()
    state = decode_token(CONFIG, token_at(CONFIG, 5000, 7), DecoderState(4990), cache=cache).state
    assert len(cache) == 1
    old = decode_token(CONFIG, token_at(CONFIG, 3, 7), state, cache=cache)
    assert (old.token_type, old.reason) == (TokenType.ALREADY_USED, Reason.OVERTAKEN)
    wrong = f"{(int(token_at(CONFIG, 3, 7)) + 1000) % 10**9:09d}"
    assert decode_token(CONFIG, wrong, state, cache=cache).token_type is TokenType.INVALID


def test_a_device_behind_its_server_is_judged_rightly_after_the_server_used_the_cache() -> None:
    cache = ChainCache()
    token = generate_token(CONFIG, 2999, 7, cache=cache)
    assert token.count == 3000
    state = DecoderState(2950)
    assert decode_token(CONFIG, token.digits, state, cache=cache).accepted
    early = token_at(CONFIG, 60, 7)
    assert decode_token(CONFIG, early, DecoderState(40), cache=cache).accepted


def test_a_chain_goes_on_from_its_checkpoint() -> None:
    """T5."""
    cache = ChainCache()
    for count in (1000, 1002, 1200, 900):
        assert generate_token(CONFIG, count, 7, cache=cache) == generate_token(CONFIG, count, 7)


@pytest.mark.parametrize("count", [383, 384, 385])
def test_a_token_at_the_count_of_a_checkpoint_is_already_used(count: int) -> None:
    """T12, T15: the walk for 402 leaves its checkpoint at 400 - 16."""
    cache = ChainCache()
    state = decode_token(CONFIG, token_at(CONFIG, 402, 7), DecoderState(400), cache=cache).state
    assert decode_token(CONFIG, token_at(CONFIG, count, 7), state, cache=cache).token_type is TokenType.ALREADY_USED


def test_no_checkpoint_hides_a_lower_count_that_gives_the_token_too() -> None:
    """T12: ADD 7 at 306 is SET 7 at 305 with this key, and the token of 433 leaves its checkpoint at 305."""
    config = DeviceConfig.from_hex("5de70f4aba744b50f26b23f62869ea32", 123456789)
    cache = ChainCache()
    generate_token(config, 432, 7, TokenType.SET_TIME, cache=cache)
    decoded = decode_token(config, token_at(config, 306, 7), DecoderState(300), cache=cache)
    assert (decoded.token_type, decoded.count) == (TokenType.SET_TIME, 305)


def test_a_cache_serves_many_devices_within_its_bounds() -> None:
    cache = ChainCache(64)
    for number in range(200):
        config = DeviceConfig(number.to_bytes(16, "big"), 1 + number % 3)
        token = generate_token(config, 500, number, cache=cache)
        assert token == generate_token(config, 500, number)
        assert len(cache) <= 64
    assert len(cache) > 32


def test_the_length_of_a_cache_is_known_and_not_counted() -> None:
    """Of a million slots; and an empty cache is as false as any container."""
    cache = ChainCache(1 << 20)
    assert not cache
    for number in range(30):
        generate_token(CONFIG, 500, number % 20, cache=cache)
    begun = time.perf_counter()
    for _ in range(100):
        assert len(cache) == 20
        assert cache
    assert time.perf_counter() - begun < 0.1


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_cache_is_not_copied(way: Callable[[ChainCache], object]) -> None:
    with pytest.raises(PaygoError, match="cannot be copied"):
        way(ChainCache(8))


def test_a_cache_is_shared_by_threads() -> None:
    cache = ChainCache(16)

    def issue(number: int) -> bool:
        config = DeviceConfig((number % 40).to_bytes(16, "big"), 1)
        return generate_token(config, 300 + number, 7, cache=cache) == generate_token(config, 300 + number, 7)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(issue, range(400)))


def test_a_cache_shows_no_key() -> None:
    cache = ChainCache()
    generate_token(CONFIG, 500, 7, cache=cache)
    assert KEY.hex() not in repr(cache)


@pytest.mark.parametrize("entries", [0, -1, 1 << 30, 1.5])
def test_a_cache_has_a_size(entries: int) -> None:
    with pytest.raises(PaygoError, match="max entries"):
        ChainCache(entries)
