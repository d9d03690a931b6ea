"""docs/registry.md: its commands say what stands there, its Python runs, its table of states is the program's."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paygo_core import DecoderState, decode_token
from paygo_core.cli import root
from paygo_core.registry import STATES, Registry
from paygo_core.registry.life import check_change
from paygo_core.shell import run

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "registry.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def steps() -> list[tuple[str, str]]:
    """Each command with the output that stands below it."""
    found: list[tuple[str, str]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, output = found.pop()
            found.append((command, f"{output}{line}\n"))
    return found


def pattern(shown: str) -> str:
    return re.escape(shown).replace("…\n", ".*\n").replace("…", ".*?")


def test_the_page_says_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PAYGO_REGISTRY", "PAYGO_REGISTRY_KEY_FILE", "PAYGO_PASSPHRASE", "PAYGO_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    Path("examples").mkdir()
    shutil.copy(ROOT / "examples" / "device-list.csv", "examples")
    [listed] = blocks("csv")
    Path("payments.csv").write_text(listed)
    for command, shown in steps():
        name, *words = shlex.split(command)
        assert name == "paygo"
        status = run(root, words)
        out, err = capsys.readouterr()
        assert status == 0, (command, err)
        assert re.fullmatch(pattern(shown), out, flags=re.DOTALL), (command, out)
    [code] = blocks("python")
    exec(compile(code, "docs/registry.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["SLT230000001", "SLT230000002"]


def test_the_table_of_states_is_the_programs() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| [^|]+ \| ([\w, ]+) \|$", PAGE, flags=re.MULTILINE))
    del rows["state"]  # the heading
    assert rows.keys() == set(STATES)
    for state, following in rows.items():
        allowed = []
        for other in STATES:
            try:
                check_change("X", state, other)
            except ValueError:
                continue
            allowed.append(other)
        assert [other for other in allowed if other != state] == following.split(", ")


@contextmanager
def token_server(registry: Path) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "examples" / "token_server.py"), "0"]
    environment = {"PATH": "/usr/bin:/bin", "PAYGO_REGISTRY": str(registry)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/tokens"
        finally:
            server.terminate()


def post(url: str, order: object) -> tuple[int, dict[str, object]]:
    body = order if isinstance(order, bytes) else json.dumps(order).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    with Registry.open(tmp_path / "paygo.db") as registry:
        registry.make(2, "SLT", digits=1)
    return tmp_path / "paygo.db"


def test_web_servers_that_share_a_registry_carry_each_payment_out_once(stock: Path) -> None:
    """Two processes with eight requests at a time, of which half are sent twice."""
    answers: list[tuple[str, object]] = []
    with token_server(stock) as one, token_server(stock) as other:

        def pay(first: int) -> None:
            for number in range(first, first + 12):
                order = {"serial": f"SLT{1 + number % 2}", "days": 1 + number % 3, "payment": f"pay-{number}"}
                for url in (one, other)[: 1 + number % 2] if number % 4 else (other,):
                    status, answer = post(url, order)
                    assert status == 200, answer
                    answers.append((f"pay-{number}", str(answer["tokens"])))

        payers = [threading.Thread(target=pay, args=(6 * n,)) for n in range(8)]
        for payer in payers:
            payer.start()
        for payer in payers:
            payer.join()
        assert len(answers) > 100
    with Registry.open(stock) as registry:
        issued = [one for serial in ("SLT1", "SLT2") for one in registry.tokens(serial)]
        assert {one.reference for one in issued} == {f"pay-{n}" for n in range(54)}
        assert len(issued) == 54
        assert len(set(answers)) == 54, "every answer to a payment is the same"
        for serial in ("SLT1", "SLT2"):
            config, state = registry.device(serial).config, DecoderState(1)
            for token in (one.token for one in registry.tokens(serial)):
                decoded = decode_token(config, token.digits, state)
                assert decoded.accepted
                state = decoded.state


def test_a_wrong_request_is_one_sentence_and_the_server_lives(stock: Path) -> None:
    good = {"serial": "SLT1", "days": 7, "payment": "p"}
    with token_server(stock) as url:
        for order in (
            b"", b"{", b"[]", {}, {**good, "serial": "GONE"}, {**good, "days": "7"}, {**good, "days": -1},
            {**good, "days": float("nan")}, {**good, "payment": ""}, {**good, "payment": "x" * 300}, b"x" * 20_000,
            {**good, "serial": "a\0b"},
        ):  # fmt: skip
            status, answer = post(url, order)
            assert (status, set(answer)) == (400, {"error", "hint"}), order
        assert post(url.replace("/tokens", "/else"), good)[0] == 400
        assert post(url, good)[0] == 200
        assert post(url, {**good, "days": 8})[0] == 400
