"""Many tokens at once: each path against one chain after the other, equal and unequal counts, one and two threads."""

from __future__ import annotations

import numpy as np
import pytest

from paygo_core import generate_tokens
from paygo_core._native import ffi, lib
from paygo_core.simd import available_simd

JOBS = 16_384
STEPS = 1000
draw = np.random.default_rng(3)
KEYS = draw.integers(0, 256, (JOBS, 16), dtype=np.uint8)
STARTS = draw.integers(1, 10**9, JOBS, dtype=np.uint32)
EQUAL = np.full(JOBS, STEPS - 2, np.uint32)
UNEQUAL = draw.integers(0, 2 * STEPS - 2, JOBS, dtype=np.uint32)


def test_one_chain(benchmark):
    """As many steps on one chain after the other in C: what there is without lanes."""
    benchmark.group = f"{JOBS} tokens at counts around {STEPS}"
    config = ffi.new("paygo_config *", {"secret_key": KEYS[0].tobytes(), "starting_code": 123456789})
    result = benchmark(lambda: [lib.paygo_encode(config, lib.PAYGO_STANDARD, STEPS, 7) for _ in range(JOBS)])
    assert len(set(result)) == 1
    benchmark.extra_info["steps"] = JOBS * STEPS


@pytest.mark.parametrize("counts", ["equal", "unequal"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("path", available_simd())
def test_batch(benchmark, monkeypatch, path, threads, counts):
    benchmark.group = f"{JOBS} tokens at counts around {STEPS}"
    monkeypatch.setenv("PAYGO_SIMD", path)
    column = EQUAL if counts == "equal" else UNEQUAL
    batch = benchmark(generate_tokens, KEYS, STARTS, column, 7, threads=threads)
    assert batch.tokens.all()
    benchmark.extra_info["steps"] = int(batch.counts.sum(dtype=np.uint64))
