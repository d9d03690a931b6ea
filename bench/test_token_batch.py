"""`paygo token batch` against its parts: reading and writing the same CSV, the tokens, and the collision check."""

from __future__ import annotations

import csv
import random
import time

import numpy as np
import pytest

from paygo_core import generate_tokens
from paygo_core.batch import checked_tokens
from paygo_core.device_list import TEMPLATE_HEADER
from paygo_core.token_batch import HEADER, issue_list
from paygo_core.token_rows import Order
from paygo_core.tokens import TokenType

DEVICES = 100_000
BUDGET = 2.0


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    draw = random.Random(4)
    path = tmp_path_factory.mktemp("fleet") / "devices.csv"
    with path.open("w") as file:
        file.write(",".join(TEMPLATE_HEADER) + "\n")
        for n in range(DEVICES):
            start, key, count = draw.randrange(1, 10**9), draw.getrandbits(128), draw.randrange(1, 200)
            file.write(f"SLT{n:09d},{start},{key:032x},{count},1,0,SLT-50,1.2,\n")
    return path


def parts(devices, target):
    """Seconds of the parts by themselves: CSV in and out, bare tokens, bare check."""
    before = time.perf_counter()
    with devices.open(newline="") as source, target.open("w", newline="") as result:
        rows = csv.reader(source)
        next(rows)
        written = csv.writer(result)
        written.writerow(HEADER)
        for row in rows:
            written.writerow((row[0], "016609796", "016 609 796", row[3], "ADD_TIME", "7"))
    seconds = time.perf_counter() - before
    with devices.open(newline="") as source:
        table = list(csv.reader(source))[1:]
    keys = np.frombuffer(bytes.fromhex("".join(row[2] for row in table)), np.uint8).reshape(-1, 16)
    starts, counts = (np.array([int(row[at]) for row in table], np.uint32) for at in (1, 3))
    before = time.perf_counter()
    made = generate_tokens(keys, starts, counts, 7)
    checked = checked_tokens(keys, starts, made.counts, 7)
    assert (checked.tokens == made.tokens).all()
    return seconds + time.perf_counter() - before


def test_a_list_takes_at_most_twice_its_parts(benchmark, devices, tmp_path):
    benchmark.group = f"the next tokens of {DEVICES} devices"
    order = Order(TokenType.ADD_TIME, 7)
    alone = []

    def measure_parts():
        """Before each round, so that both see the same load of the machine."""
        alone.append(parts(devices, tmp_path / "parts.csv"))
        return (devices, tmp_path / "tokens.csv", order), {}

    done = benchmark.pedantic(issue_list, setup=measure_parts, rounds=5)
    assert done.rows == DEVICES
    assert done.issued >= DEVICES - 3
    if benchmark.stats is not None:
        ratio = benchmark.stats.stats.min / min(alone)
        benchmark.extra_info["ratio"] = ratio
        print(f"\n{DEVICES} devices: {benchmark.stats.stats.min:.2f} s, parts {min(alone):.2f} s, ratio {ratio:.2f}")
        assert ratio <= BUDGET
