"""One chain step, one core, against eight bare SipHash rounds, compiled with the same options as the core."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cffi import FFI

from paygo_core._native import ffi, lib

STEPS = 60_000


@pytest.fixture(scope="module")
def bare_rounds(tmp_path_factory):
    library = tmp_path_factory.mktemp("bare") / "bare.so"
    source = Path(__file__).with_name("bare.c")
    subprocess.run(["cc", "-std=gnu99", "-O2", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    bare = FFI()
    bare.cdef("uint64_t bare_rounds(uint64_t seed, uint32_t steps);")
    return bare.dlopen(str(library)).bare_rounds


def test_bare_rounds(benchmark, bare_rounds):
    benchmark.group = f"{STEPS} steps of one chain"
    assert benchmark(bare_rounds, 1, STEPS)


def test_chain_steps(benchmark):
    benchmark.group = f"{STEPS} steps of one chain"
    config = ffi.new("paygo_config *", {"secret_key": bytes(range(16)), "starting_code": 123456789})
    assert benchmark(lib.paygo_encode, config, lib.PAYGO_STANDARD, STEPS, 7)
