"""Many tokens at once are the same tokens as one by one: on every path, at every lane and every remainder."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from paygo_core import DeviceConfig, PaygoError, TokenType, generate_token, generate_tokens
from paygo_core.simd import SIMD, available_simd, chosen_simd

PATHS = available_simd()


def columns(size: int, seed: int = 7) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {
        "secret_keys": draw.integers(0, 256, (size, 16), dtype=np.uint8),
        "starting_codes": draw.integers(1, 10**9, size, dtype=np.uint32),
        "counts": draw.integers(0, 400, size, dtype=np.uint32),
        "values": draw.integers(0, 996, size, dtype=np.uint32),
        "token_types": draw.integers(1, 5, size, dtype=np.uint32),
    }


def one_by_one(jobs: dict[str, Any], extended: bool) -> tuple[list[int], list[int]]:
    tokens = []
    for key, start, count, value, kind in zip(*jobs.values(), strict=True):
        token_type = TokenType(int(kind))
        carried = int(value) if token_type <= TokenType.SET_TIME else None
        tokens.append(
            generate_token(DeviceConfig(key.tobytes(), int(start)), int(count), carried, token_type, extended)
        )
    return [int(token.digits) for token in tokens], [token.count for token in tokens]


def test_an_instruction_set_is_known_by_its_processor() -> None:
    assert PATHS[0] == "scalar"
    assert ("neon" in PATHS) == (platform.machine() in ("aarch64", "arm64"))
    assert platform.machine() == "x86_64" or not {"avx2", "avx512"} & set(PATHS)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("extended", [False, True])
def test_every_lane_and_every_remainder(monkeypatch: pytest.MonkeyPatch, path: str, extended: bool) -> None:
    monkeypatch.setenv("PAYGO_SIMD", path)
    jobs = columns(80)
    tokens, counts = one_by_one(jobs, extended)
    for size in [*range(1, 71), 80]:
        batch = generate_tokens(**{name: column[:size] for name, column in jobs.items()}, extended=extended, threads=1)
        assert batch.tokens.tolist() == tokens[:size]
        assert batch.counts.tolist() == counts[:size]


@pytest.mark.parametrize("path", PATHS)
def test_the_largest_codes_are_brought_below_the_limit(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """One hash in 15 is above 10^9, so that a thousand jobs meet both sides of the comparison in every lane (T2)."""
    monkeypatch.setenv("PAYGO_SIMD", path)
    jobs = columns(1000, seed=11) | {"counts": np.zeros(1000, np.uint32)}
    for extended in (False, True):
        assert generate_tokens(**jobs, extended=extended).tokens.tolist() == one_by_one(jobs, extended)[0]


def test_threads_change_nothing() -> None:
    jobs = columns(40_000) | {"counts": np.arange(40_000, dtype=np.uint32) % 50}
    alone = generate_tokens(**jobs, threads=1)
    for threads in (0, 2, 3):
        together = generate_tokens(**jobs, threads=threads)
        assert (together.tokens == alone.tokens).all()
        assert (together.counts == alone.counts).all()


def test_scalars_stand_for_every_row() -> None:
    key = np.frombuffer(bytes(range(16)), np.uint8)
    batch = generate_tokens(key, 123456789, np.arange(10, dtype=np.uint32), 7)
    config = DeviceConfig(bytes(range(16)), 123456789)
    assert batch.tokens.tolist() == [int(generate_token(config, count, 7).digits) for count in range(10)]
    assert batch.tokens.dtype == np.uint64
    assert batch.counts.dtype == np.uint32
    assert generate_tokens(key, 123456789, 1, 7).tokens.shape == (1,)
    assert generate_tokens(key, 123456789, np.zeros(0, np.uint32), 7).tokens.shape == (0,)


def test_columns_of_another_layout_are_understood() -> None:
    jobs = columns(50)
    strided = {
        name: np.repeat(column, 2, axis=0)[::2].astype(np.int64 if name != "secret_keys" else np.uint8)
        for name, column in jobs.items()
    }
    assert (generate_tokens(**strided).tokens == generate_tokens(**jobs).tokens).all()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"values": np.array([1, 996, 1], np.uint32)}, "the value 996 of job 1"),
        ({"counts": np.array([1, 1, 65_535], np.uint32)}, "the count 65535 of job 2"),
        ({"counts": np.array([1, 70_000, 1], np.uint32)}, "the count 70000 of job 1"),
        ({"starting_codes": np.array([0, 1, 1], np.uint32)}, "the starting code 0 of job 0"),
        ({"token_types": np.array([1, 5, 1], np.uint32)}, "the token type 5 of job 1"),
        ({"counts": np.array([1, -1, 1])}, "row 1 of the counts"),
        ({"values": np.ma.masked_array([1, 2, 3])}, "the values are a masked array"),
        ({"values": [[1], [2, 3]]}, "the values cannot be made a column"),
        ({"extended": "no"}, "extended is 'no'"),
        ({"counts": np.array([1.0, 2.0, 3.0])}, "the counts are float64"),
        ({"counts": np.array([1, 2], np.uint32)}, "2, 3"),
        ({"secret_keys": np.zeros((3, 15), np.uint8)}, "the secret keys are uint8 of shape"),
    ],
)
def test_a_wrong_row_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PaygoError, match=complaint):
        generate_tokens(**(columns(3) | change))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("starting_codes", "starting codes are 1 to 999 999 999"), ("counts", "counts are 0 to 65535"),
        ("values", "values are 0 to 995, or to 999999"), ("token_types", "token types are 1 to 4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", [-1, 2**32])
def test_what_would_be_right_is_said_of_the_column(name: str, right: str, number: int) -> None:
    """T4, T7, T10."""
    with pytest.raises(PaygoError, match="row 1") as caught:
        generate_tokens(**(columns(3) | {name: np.array([1, number, 1])}))
    assert right in caught.value.hint


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("judged", [False, True])
def test_a_long_batch_is_interrupted_soon(threads: int, judged: bool) -> None:
    """Ctrl-C reaches Python only between two calls of C: the whole takes minutes."""
    script = f"""
import os, signal, threading
import numpy as np
from paygo_core import decode_tokens, generate_tokens
keys, counts = np.zeros((1_000_000, 16), np.uint8), np.full(1_000_000, 65_000)
try:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    if {judged}:
        decode_tokens(keys, 5, np.arange(1_000_000), counts, threads={threads})
    else:
        generate_tokens(keys, 5, counts, 7, threads={threads})
except KeyboardInterrupt:
    print("interrupted")
"""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=110)
    assert done.stdout == "interrupted\n"
    assert time.monotonic() - begun < 60


def test_simd_can_be_forced_only_to_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYGO_SIMD", "scalar")
    assert chosen_simd() == "scalar"
    for missing in ["mmx", *(set(SIMD) - set(PATHS))]:
        monkeypatch.setenv("PAYGO_SIMD", missing)
        with pytest.raises(PaygoError, match=missing):
            generate_tokens(**columns(1))
    monkeypatch.delenv("PAYGO_SIMD")
    assert chosen_simd() == PATHS[-1]


def test_the_package_loads_numpy_only_for_this() -> None:
    before, after = ("assert 'numpy' not in sys.modules", "assert 'numpy' in sys.modules")
    script = f"import sys, paygo_core; {before}; paygo_core.generate_tokens; {after}"
    subprocess.run([sys.executable, "-c", script], check=True)
