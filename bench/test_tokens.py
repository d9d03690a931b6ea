"""Tokens a second, ours against openpaygo's: each group is one task, its rows are the two libraries (`make bench`)."""

from __future__ import annotations

import openpaygo
import pytest

from paygo_core import ChainCache, DecoderState, DeviceConfig, generate_token
from paygo_core import decode_token as decode

HEX = "a29ab82edc5fbbc41ec9530f6dac86b1"
STARTING_CODE = 123456789
CONFIG = DeviceConfig.from_hex(HEX, STARTING_CODE)
COUNTS = pytest.mark.parametrize("count", [1, 100, 1000, 10_000])
WRONG = "987654321"


def theirs(**arguments):
    return {"secret_key": HEX, "starting_code": STARTING_CODE, **arguments}


@COUNTS
def test_generate_paygo_solar(benchmark, count):
    benchmark.group = f"generate at count {count}"
    assert benchmark(generate_token, CONFIG, count, 7).value == 7


@COUNTS
def test_generate_openpaygo(benchmark, count):
    benchmark.group = f"generate at count {count}"
    made = benchmark(lambda: openpaygo.generate_token(**theirs(count=count, value=7)))
    assert made[1] == generate_token(CONFIG, count, 7).digits


@COUNTS
def test_decode_paygo_solar(benchmark, count):
    benchmark.group = f"decode the next token at count {count}"
    digits, state = generate_token(CONFIG, count, 7).digits, DecoderState(count)
    assert benchmark(decode, CONFIG, digits, state).value == 7


@COUNTS
def test_decode_openpaygo(benchmark, count):
    benchmark.group = f"decode the next token at count {count}"
    digits = generate_token(CONFIG, count, 7).digits
    value, *_ = benchmark(lambda: openpaygo.decode_token(**theirs(token=digits, count=count, used_counts=[])))
    assert value == 7


@COUNTS
def test_refuse_paygo_solar(benchmark, count):
    benchmark.group = f"refuse a wrong token at count {count}"
    assert benchmark(decode, CONFIG, WRONG, DecoderState(count)).value is None


@COUNTS
def test_refuse_openpaygo(benchmark, count):
    benchmark.group = f"refuse a wrong token at count {count}"
    value, *_ = benchmark(lambda: openpaygo.decode_token(**theirs(token=WRONG, count=count, used_counts=[])))
    assert value is None


@pytest.mark.parametrize("count", [100, 1000, 10_000, 60_000])
def test_decode_with_a_warm_cache(benchmark, count):
    benchmark.group = "decode the next token with a warm cache"
    cache = ChainCache()
    digits, state = generate_token(CONFIG, count, 7).digits, DecoderState(count)
    decode(CONFIG, digits, state, cache=cache)
    assert benchmark(decode, CONFIG, digits, state, cache=cache).value == 7
