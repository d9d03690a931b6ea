"""`paygo token batch` of a million devices against its parts: the same CSV read and written, and the bare batch."""

from __future__ import annotations

import csv
import random
import subprocess
import sys

import numpy as np
import pytest

from paygo_core import generate_tokens
from paygo_core.batch import checked_tokens
from paygo_core.device_list import TEMPLATE_HEADER
from paygo_core.token_batch import HEADER, issue_list
from paygo_core.token_rows import Order
from paygo_core.tokens import TokenType

DEVICES = 1_000_000


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


@pytest.fixture(scope="module")
def columns(devices):
    with devices.open(newline="") as source:
        table = list(csv.reader(source))[1:]
    keys = np.frombuffer(bytes.fromhex("".join(row[2] for row in table)), np.uint8).reshape(-1, 16)
    starts, counts = (np.array([int(row[at]) for row in table], np.uint32) for at in (1, 3))
    return keys, starts, counts


def test_read_and_write_the_csv(benchmark, devices, tmp_path):
    benchmark.group = f"the next tokens of {DEVICES} devices"

    def copy():
        with devices.open(newline="") as source, (tmp_path / "copy.csv").open("w", newline="") as result:
            rows = csv.reader(source)
            next(rows)
            written = csv.writer(result)
            written.writerow(HEADER)
            for row in rows:
                written.writerow((row[0], "016609796", "016 609 796", row[3], "ADD_TIME", "7"))

    benchmark.pedantic(copy, rounds=3)


def test_bare_batch(benchmark, columns):
    """The tokens, and that no other count gives them."""
    benchmark.group = f"the next tokens of {DEVICES} devices"

    def bare():
        made = generate_tokens(*columns, 7)
        return checked_tokens(*columns[:2], made.counts, 7)

    assert benchmark.pedantic(bare, rounds=3).tokens.all()


def test_token_batch(benchmark, devices, tmp_path):
    benchmark.group = f"the next tokens of {DEVICES} devices"
    done = benchmark.pedantic(issue_list, (devices, tmp_path / "tokens.csv", Order(TokenType.ADD_TIME, 7)), rounds=3)
    assert done.issued >= DEVICES - 30
    benchmark.extra_info["megabytes"] = memory_of_the_command(devices, tmp_path)


def memory_of_the_command(devices, tmp_path):
    """The most that it takes, in a process of its own."""
    code = (
        "from paygo_core.cli import root\n"
        "import re, sys\n"
        "root.main(sys.argv[1:], standalone_mode=False)\n"
        "print(re.search('VmHWM:\\\\s+([0-9]+) kB', open('/proc/self/status').read())[1])\n"
    )
    words = ["token", "batch", str(devices), "-o", str(tmp_path / "again.csv"), "--add", "7"]
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) / 1024
