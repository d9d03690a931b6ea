"""Many tokens judged at once get the same verdicts and leave the same states as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paygo_core import DecoderState, DeviceConfig, PaygoError, TokenType, decode_token, decode_tokens, generate_tokens
from paygo_core.decoding import REASONS, Reason
from paygo_core.tokens import token_at

SIZE = 900


def fleet(seed: int = 5) -> tuple[list[DeviceConfig], list[DecoderState], list[str]]:
    """Devices of both digit sets in all kinds of states, each with a text: a token near its count, or nonsense."""
    draw = np.random.default_rng(seed)
    configs, states, texts = [], [], []
    for _ in range(SIZE):
        config = DeviceConfig(
            draw.bytes(16), int(draw.integers(1, 10**9)), restricted_digit_set=bool(draw.integers(0, 2))
        )
        last = int(draw.integers(0, 200))
        used = tuple(int(n) for n in range(max(1, last - 20), last + 1) if n % 2 == 0 and draw.random() < 0.4)
        states.append(DecoderState(last, int(draw.integers(max(0, last - 25), last + 1)), used))
        configs.append(config)
        value = int(draw.choice([0, 7, 995, 998, 999]))
        count = max(1, last + int(draw.integers(-30, 110)))
        token = token_at(config, count, value, extended=bool(draw.integers(0, 4) == 0))
        nonsense = [
            "",
            "12",
            "x" * 5000,
            "777777777777777",
            "444444444444444",
            "123 456-789",
            "00\u0660000000",
            "9" * 12,
        ]
        texts.append(str(draw.choice(nonsense)) if draw.random() < 0.2 else token)
    return configs, states, texts


def columns(configs: list[DeviceConfig], states: list[DecoderState]) -> dict[str, Any]:
    return {
        "secret_keys": np.frombuffer(b"".join(config.secret_key for config in configs), np.uint8).reshape(-1, 16),
        "starting_codes": np.array([config.starting_code for config in configs]),
        "counts": np.array([state.count for state in states]),
        "floors": np.array([state.floor for state in states]),
        "used_masks": np.array([state.used_mask() for state in states]),
        "restricted_digit_sets": np.array([config.restricted_digit_set for config in configs]),
    }


def test_texts_get_the_verdicts_that_they_get_one_by_one() -> None:
    """T6 to T17, T20 to T25."""
    configs, states, texts = fleet()
    batch = decode_tokens(tokens=texts, **columns(configs, states))
    for i, (config, state, text) in enumerate(zip(configs, states, texts, strict=True)):
        alone = decode_token(config, text, state)
        assert batch.types[i] == alone.token_type
        assert REASONS[batch.reasons[i]] is alone.reason
        assert (batch.values[i], batch.counts[i]) == (alone.value or 0, alone.count or 0)
        after = alone.state
        assert (batch.last_counts[i], batch.floors[i], batch.used_masks[i]) == (
            after.count,
            after.floor,
            after.used_mask(),
        )
        assert batch.accepted[i] == alone.accepted
    assert {REASONS[reason] for reason in batch.reasons} == set(Reason) - {Reason.WAITING, Reason.RESERVED}


@pytest.mark.parametrize("extended", [False, True])
def test_numbers_are_tokens_of_one_form(extended: bool) -> None:
    draw = np.random.default_rng(1)
    keys = draw.integers(0, 256, (50, 16), dtype=np.uint8)
    last = np.arange(50, dtype=np.uint32)
    made = generate_tokens(keys, 123456789, last, 7, extended=extended)
    judged = decode_tokens(keys, 123456789, made.tokens, last, extended=extended)
    assert judged.accepted.all()
    assert (judged.types == TokenType.ADD_TIME).all()
    assert (judged.values == 7).all()
    assert (judged.counts == made.counts).all()
    assert (judged.last_counts == made.counts).all()
    assert decode_tokens(keys[0], 1, [10**12], 1, extended=extended).reasons == REASONS.index(Reason.RANGE)


def test_windows_hold_for_all() -> None:
    """T12, T10."""
    config = DeviceConfig(bytes(16), 1)
    tokens = [token_at(config, count, 1) for count in (40, 41)]
    arguments = (config.secret_key, 1, tokens, 10)
    assert decode_tokens(*arguments).accepted.tolist() == [True, True]
    assert decode_tokens(*arguments, max_jump=30).accepted.tolist() == [True, False]
    assert decode_tokens(*arguments, max_count=40).accepted.tolist() == [True, False]
    assert decode_tokens(config.secret_key, 1, [token_at(config, 4, 1)], 20, floors=1, older_window=16).accepted == [
        False
    ]
    assert decode_tokens(config.secret_key, 1, [token_at(config, 4, 1)], 20, floors=1, older_window=20).accepted == [
        True
    ]


def test_threads_change_nothing() -> None:
    configs, states, texts = fleet(8)
    many = {name: np.tile(column, (20, *[1] * (column.ndim - 1))) for name, column in columns(configs, states).items()}
    alone = decode_tokens(tokens=texts * 20, threads=1, **many)
    together = decode_tokens(tokens=texts * 20, threads=3, **many)
    assert (alone.reasons == together.reasons).all()
    assert (alone.used_masks == together.used_masks).all()


@pytest.mark.parametrize("dtype", ["U", object])
def test_texts_may_stand_in_an_array(dtype: Any) -> None:
    """T20: as they come out of a table."""
    configs, states, texts = fleet(9)
    texts = [text[:40] for text in texts]
    alone = decode_tokens(tokens=texts, **columns(configs, states))
    assert (decode_tokens(tokens=np.array(texts, dtype), **columns(configs, states)).reasons == alone.reasons).all()


def test_one_long_text_among_many_takes_no_memory() -> None:
    """T22: as an array of texts of like width these would take 40 GB."""
    assert not decode_tokens(bytes(16), 1, ["1" * 1_000_000, *["1"] * 9_999], 1).accepted.any()


@pytest.mark.parametrize("name", ["secret_keys", "starting_codes", "tokens", "counts", "floors", "used_masks",
                                  "restricted_digit_sets"])  # fmt: skip
def test_a_masked_array_is_refused(name: str) -> None:
    """What is behind the mask would be taken."""
    good: dict[str, Any] = {"secret_keys": np.zeros((2, 16), np.uint8), "starting_codes": [1, 1], "tokens": [1, 1],
                            "counts": [1, 1], "floors": [1, 1], "used_masks": [0, 0],
                            "restricted_digit_sets": [False, False]}  # fmt: skip
    decode_tokens(**good)
    with pytest.raises(PaygoError, match=f"the {name.replace('_', ' ')} are a masked array"):
        decode_tokens(**(good | {name: np.ma.masked_array(good[name])}))


@pytest.mark.parametrize("jump", [np.uint8(64), np.int8(64), np.int64(64)])
def test_a_window_may_be_an_integer_of_numpy(jump: Any) -> None:
    """T12: 600 times 64 is more than eight bits."""
    assert decode_tokens(bytes(16), 1, ["016609796"] * 600, 1, max_jump=jump).types.shape == (600,)


def test_bits_of_counts_that_are_none_are_cleared() -> None:
    """T11: at count 4 only 4 and 2 can have been used; of an odd count none at its own place."""
    token = token_at(DeviceConfig(bytes(16), 1), 200, 1)
    last = [4, 5, 0, 31, 32, 33, 200]
    judged = decode_tokens(bytes(16), 1, [token] * 7, last, 0, 0xFFFFFFFF, max_jump=1)
    assert not judged.accepted.any()
    for mask, count in zip(judged.used_masks.tolist(), last, strict=True):
        assert mask == DecoderState(count, 0, tuple(range(1, count + 1))).used_mask()


@pytest.mark.parametrize("threads", [-1, 1025, 1.5, float("nan"), None, True, "2", 2**70])
def test_threads_are_a_few(threads: Any) -> None:
    with pytest.raises(PaygoError, match="threads"):
        decode_tokens(bytes(16), 1, ["016609796"], 1, threads=threads)
    with pytest.raises(PaygoError, match="threads"):
        generate_tokens(bytes(16), 1, 1, 7, threads=threads)


def test_no_token_is_an_empty_answer() -> None:
    key = bytes(16)
    assert decode_tokens(key, 1, [], 1).types.shape == (0,)
    assert decode_tokens(key, 1, np.zeros(0, np.uint64), 1).types.shape == (0,)


def test_the_states_given_stay_as_they_are() -> None:
    last = np.array([1, 1])
    token = token_at(DeviceConfig(bytes(16), 1), 2, 1)
    assert decode_tokens(bytes(16), 1, [token, token], last).last_counts.tolist() == [2, 2]
    assert last.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tokens": "016609796"}, "the tokens are <U9"),
        ({"tokens": ["016609796", 3]}, "the token of job 1 is of type int"),
        ({"tokens": [3, "016609796"]}, "the token of job 0 is of type int"),
        ({"tokens": ["016609796", None]}, "the token of job 1 is of type NoneType"),
        ({"tokens": ["016609796", [2]]}, "the token of job 1 is of type list"),
        ({"tokens": [5, None]}, "the token of job 1 is of type NoneType"),
        ({"tokens": [[1], [2, 3]]}, "the token of job 0 is of type list"),
        ({"tokens": np.array(["016609796", None], object)}, "the token of job 1 is of type NoneType"),
        ({"tokens": np.array([["016609796"]])}, "the tokens are <U9 of shape"),
        ({"tokens": [1.5]}, "the token of job 0 is of type float"),
        ({"tokens": np.array([1.5])}, "the tokens are float64"),
        ({"tokens": [True]}, "the token of job 0 is of type bool"),
        ({"tokens": None}, "the tokens are object"),
        ({"tokens": [2**70]}, "the tokens are object"),
        ({"restricted_digit_sets": "no"}, "the restricted digit sets are <U2"),
        ({"restricted_digit_sets": [0, 2]}, "the restricted digit sets are int64"),
        ({"extended": "no"}, "extended is 'no'"),
        ({"used_masks": -1}, "row 0 of the used masks is out of range"),
        ({"counts": [[1], [2, 3]]}, "the counts cannot be made a column"),
        ({"tokens": [-1]}, "the token of job 0 is below 0"),
        ({"tokens": [1, 2, 3], "counts": [1, 2]}, "2, 3"),
        ({"counts": 70_000}, "the count 70000 of job 0"),
        ({"floors": 2}, "the floor 2 of job 0"),
        ({"starting_codes": 0}, "the starting code 0 of job 0"),
        ({"older_window": 40}, "older window 40"),
    ],
)
def test_wrong_columns_are_named(change: dict[str, Any], complaint: str) -> None:
    good: dict[str, Any] = {"secret_keys": bytes(16), "starting_codes": 1, "tokens": ["123456789"], "counts": 1}
    with pytest.raises(PaygoError, match=complaint):
        decode_tokens(**(good | change))
