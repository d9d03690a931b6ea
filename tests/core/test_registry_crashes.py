"""Tokens from four processes that are killed at counted points, on SQLite and on PostgreSQL: no count twice, none lost.

`make test-crashes` does it with 10 000.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import postgresql_server

from paygo_core import DecoderState, DeviceConfig, PaygoError, TokenType, decode_token
from paygo_core.device import Device
from paygo_core.registry import Registry, RegistryUnavailableError

TOKENS = int(os.environ.get("PAYGO_CRASH_TOKENS", "400"))
PROCESSES = 4
KILLS = 12 if TOKENS < 10_000 else 40
CONFIG = DeviceConfig(bytes(range(16)), 123456789)
DEVICE = Device("SLT1", CONFIG, 1)

# Issues tokens and prints each; with a number it kills itself at that many calls into the database.
ISSUER = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool
from paygo_core.registry import Registry, RegistryUnavailableError
registry = Registry.open(sys.argv[1], create=False)
left = int(sys.argv[3])
def count_down(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
if left:
    for owner, name in [(Engine, "begin"), (Engine, "before_cursor_execute"), (Engine, "after_cursor_execute"),
                        (Engine, "commit"), (Pool, "checkin")]:
        event.listen(owner, name, count_down)
for _ in range(int(sys.argv[2])):
    token = registry.issue("SLT1", value=1)
    os.write(1, f"{token.count}:{token.digits}\\n".encode())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


def issue_under_fire(place: str, tokens: int, kills: int) -> list[str]:
    """What processes showed, of which `kills` died; they go on until `tokens` were shown."""
    draw = random.Random(5)
    shown: list[str] = []
    running: list[subprocess.Popen[bytes]] = []
    died = 0
    try:
        while len(shown) < tokens:
            while len(running) < PROCESSES:
                left = draw.randrange(1, 60) if died + len(running) < kills else 0
                share = -(-(tokens - len(shown)) // PROCESSES)
                words = [sys.executable, "-c", ISSUER, place, str(share), str(left)]
                running.append(subprocess.Popen(words, stdout=subprocess.PIPE))
            one = running.pop(0)
            shown += one.communicate()[0].decode().split()
            assert one.returncode in (0, -signal.SIGKILL)
            died += one.returncode != 0
    finally:
        for one in running:
            shown += one.communicate()[0].decode().split()
    assert died >= kills - PROCESSES
    return shown


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.timeout(600)
def test_no_count_is_shown_twice_and_every_token_is_taken(request, tmp_path, kind):
    place = str(tmp_path / "paygo.db") if kind == "sqlite" else request.getfixturevalue("server")
    with Registry.open(place) as registry:
        registry.add(DEVICE)
        shown = issue_under_fire(place, TOKENS, KILLS)
        recorded = [one.token for one in registry.tokens("SLT1")]
        device = registry.device("SLT1")
    assert len(shown) == len(set(shown)) >= TOKENS
    assert len({token.count for token in recorded}) == len(recorded)
    assert {f"{token.count}:{token.digits}" for token in recorded} >= set(shown)
    assert len(recorded) - len(shown) <= KILLS, "a crash wastes at most one count"
    assert device.count == recorded[-1].count
    given_out = set(shown)
    state = DecoderState(DEVICE.count)
    for token in recorded:
        if f"{token.count}:{token.digits}" in given_out:
            decoded = decode_token(CONFIG, token.digits, state)
            assert decoded.accepted, token
            state = decoded.state


class TestPostgresql:
    """What the file's tests say of a registry, on a server."""

    def test_a_registry_on_a_server_does_what_a_file_does(self, server):
        place = server.replace("/postgres?", "/template1?")
        with Registry.open(place, passphrase="horse battery") as registry:
            assert registry.add(Device("SLT1", CONFIG, 7, "Größe", "2", "4711"))
            assert not registry.add(Device("SLT1", CONFIG, 7, "Größe", "2", "4711"))
            with pytest.raises(PaygoError, match="another hardware model"):
                registry.add(Device("SLT1", CONFIG, 7, "Other", "2", "4711"))
            assert registry.issue("SLT1", TokenType.SET_TIME, days=30, reason="bonus", issued_by="amina").count == 9
            registry.add_plain("MPPT1")
            registry.add_note("SLT1", "came along")
            registry.set_state("SLT1", "repair")
            assert [entry.serial for entry in registry.entries()] == ["MPPT1", "SLT1"]
            assert registry.change_passphrase("another") == 1
            assert registry.device("SLT1").config == CONFIG
            with pytest.raises(PaygoError) as error:
                registry.device("slt1")
            assert error.value.hint == "did you mean SLT1?"
        with Registry.open(place, create=False) as again, pytest.raises(PaygoError, match="no passphrase"):
            again.device("SLT1")

    def test_a_server_that_is_not_there_is_one_sentence(self, tmp_path):
        for url in (f"postgresql://nobody:secret@/postgres?host={tmp_path}", "postgresql://127.0.0.1:1/x"):
            with pytest.raises(RegistryUnavailableError) as error:
                Registry.open(url, busy_seconds=1)
            assert "secret" not in str(error.value)
            assert "\n" not in str(error.value)

    def test_the_password_of_a_url_is_never_shown(self, server):
        place = server.replace("@/", ":secret@/")
        with Registry.open(place) as registry:
            assert "secret" not in repr(registry)


def test_the_scratch_server_leaves_nothing():
    with postgresql_server() as url:
        scratch = Path(url.partition("host=")[2])
        server = (scratch / "data" / "postmaster.pid").read_text().split()[0]
        assert Path("/proc", server).exists()
    assert not scratch.exists()
    assert not Path("/proc", server).exists()
