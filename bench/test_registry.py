"""What the registry costs: one durable token, many at once, and a registry of a million devices (`make bench`)."""

from __future__ import annotations

import os
import shutil

import pytest

from paygo_core.registry import Registry

FEW, MANY = 1000, 1_000_000
SET = 20_000


@pytest.fixture
def registry(tmp_path):
    with Registry.open(tmp_path / "paygo.db") as opened:
        opened.make(SET, "SLT")
        yield opened


def serials(registry: Registry) -> list[str]:
    return [entry.serial for entry in registry.entries()]


def test_bare_write_and_sync(benchmark, tmp_path):
    benchmark.group = "one durable token"
    file = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def write() -> None:
        os.write(file, b"x" * 100)
        os.fsync(file)

    benchmark.pedantic(write, rounds=1500, warmup_rounds=20)
    os.close(file)


def test_issue_one(benchmark, registry):
    benchmark.group = "one durable token"
    names = iter(serials(registry))
    issued = benchmark.pedantic(lambda: registry.issue(next(names), value=7), rounds=1500, warmup_rounds=20)
    assert issued.count == 2


def test_issue_batch(benchmark, registry):
    benchmark.group = "many tokens at once"
    benchmark.extra_info["tokens"] = SET
    names = serials(registry)
    batch = benchmark.pedantic(lambda: registry.issue_batch(names, value=7), rounds=9, warmup_rounds=1)
    assert len(batch.refused) < 20  # a chain that ran into a circle
    assert sum(map(bool, batch.digits)) > SET - 20  # the others took a later count (T18)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Registries of both sizes. The large one is made once."""
    directory = tmp_path_factory.mktemp("registries")
    for number in (FEW, MANY):
        with Registry.open(directory / f"{number}.db") as registry:
            for start in range(0, number, 100_000):
                registry.make(min(number - start, 100_000), "SLT")
    yield {number: directory / f"{number}.db" for number in (FEW, MANY)}
    shutil.rmtree(directory)


@pytest.mark.parametrize("number", [FEW, MANY])
def test_open_and_issue(benchmark, places, number):
    benchmark.group = "opening a registry and issuing one token"
    serial = f"SLT{number // 2:09}"

    def once() -> None:
        with Registry.open(places[number], create=False) as registry:
            registry.issue(serial, value=7)

    benchmark.pedantic(once, rounds=60, warmup_rounds=3)
