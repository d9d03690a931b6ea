"""`paygo device import` of a million devices against reading the same file with Python's csv module."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

import pytest

from paygo_core.device_list import TEMPLATE_HEADER
from paygo_core.moving import import_list, open_source
from paygo_core.registry import Registry

DEVICES = 1_000_000


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    draw = random.Random(6)
    path = tmp_path_factory.mktemp("moving") / "devices.csv"
    with path.open("w") as file:
        file.write(",".join(TEMPLATE_HEADER) + "\n")
        for n in range(DEVICES):
            start, key, count = draw.randrange(1, 10**9), draw.getrandbits(128), draw.randrange(1, 200)
            file.write(f"SLT{n:09d},{start},{key:032x},{count},1,0,SLT-50,1.2,\n")
    return path


def nothing_there(place: Path) -> Path:
    for end in ("", "-wal", "-shm"):
        place.with_name(place.name + end).unlink(missing_ok=True)
    return place


def test_read_the_list(benchmark, fleet):
    benchmark.group = f"{DEVICES} devices move in"

    def read():
        with fleet.open(encoding="utf-8", newline="") as source:
            return sum(1 for _ in csv.reader(source))

    assert benchmark.pedantic(read, rounds=5) == DEVICES + 1


@pytest.mark.parametrize("passphrase", [None, "horse battery"], ids=["plain", "encrypted"])
def test_import_the_list(benchmark, fleet, tmp_path, passphrase):
    benchmark.group = f"{DEVICES} devices move in"
    place = tmp_path / "fleet.db"

    def empty():
        return (Registry.open(nothing_there(place), passphrase=passphrase),), {}

    def move(registry):
        with registry:
            return import_list(registry, open_source(fleet)).added

    assert benchmark.pedantic(move, setup=empty, rounds=3 if passphrase is None else 1) == DEVICES
    if passphrase is None:
        benchmark.extra_info["megabytes"] = memory_of_the_command(fleet, nothing_there(place))


def memory_of_the_command(fleet, place):
    """The most that it takes, in a process of its own."""
    code = (
        "from paygo_core.cli import root\n"
        "import re, sys\n"
        "root.main(sys.argv[1:], standalone_mode=False)\n"
        "print(re.search('VmHWM:\\\\s+([0-9]+) kB', open('/proc/self/status').read())[1])\n"
    )
    words = ["device", "import", str(fleet), "--registry", str(place)]
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) / 1024
