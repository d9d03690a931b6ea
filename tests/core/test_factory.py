"""Stations that claim serials at once get different ones, on a file and on a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from servers import postgresql_server

from paygo_core import PaygoError
from paygo_core.registry import Factory, Registry


@pytest.fixture(params=["file", "server"])
def registry(request, tmp_path) -> Iterator[Registry]:
    if request.param == "file":
        with Registry.open(tmp_path / "paygo.db", passphrase="horse") as opened:
            yield opened
    else:
        with postgresql_server() as url, Registry.open(url, passphrase="horse") as opened:
            yield opened


def test_stations_at_once_never_claim_the_same_serial(registry):
    serials = registry.make(60, "SLT")
    registry.add_plain("PLAIN")
    claimed: list[str] = []
    ended: list[str] = []

    def work(number: int) -> None:
        factory = Factory(registry, f"line-{number}")
        try:
            while True:
                claimed.append(factory.claim().serial)
        except PaygoError as error:
            ended.append(error.cause)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == serials
    assert ended == ["no new device is left"] * 6
    assert [claim.serial for claim in Factory(registry, "x").open_claims()] == serials


def test_the_next_one_is_none_that_a_unit_may_have(registry):
    """Of an imported fleet, or where tokens were made already: only by name."""
    used, fresh = registry.make(2, "SLT")
    registry.issue(used, days=7)
    line = Factory(registry, "line-1")
    assert line.claim().serial == fresh
    with pytest.raises(PaygoError, match="no new device is left"):
        line.claim()
    assert line.claim(used).serial == used


def test_a_claim_ends_by_a_proof_or_a_release(registry):
    first, second = registry.make(2, "SLT")
    line, other = Factory(registry, "line-1"), Factory(registry, "line-2")
    assert line.claim() == registry.device(first)
    with pytest.raises(PaygoError, match=f"{first} was begun at line-1 and never proved"):
        other.claim(first)
    assert other.claim().serial == second
    line.prove(first, "M B", "amina")
    assert registry.entry(first).state == "provisioned"
    other.release(second, "no unit has it", "ben")
    assert [(note.text, note.noted_by) for note in registry.notes(second)] == [
        ("provisioning at line-2 came to nothing: no unit has it", "ben")
    ]
    assert line.claim(second).serial == second
    for wrong in (lambda: line.prove(first, ""), lambda: line.release("GONE", ""), lambda: line.claim(first)):
        with pytest.raises(PaygoError):
            wrong()
    registry.rekey(first)
    assert line.claim(first).serial == first, "a new key makes it new"
    with pytest.raises(PaygoError, match="needs a name"):
        Factory(registry, "")
