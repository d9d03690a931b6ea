"""`paygo bridge provision --next`: never two units with one serial, and no serial lost without a word."""

from __future__ import annotations

import io
import json
import random
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_hdk import FakeHdk, ScriptedUnit, check_of, checked

from hw_bridge.cli import bridge as group
from hw_bridge.simulated import ControlClient, simulated_unit
from paygo_core import DecoderState, DeviceConfig, TokenType, decode_token
from paygo_core.cli import root
from paygo_core.registry import Factory, Registry
from paygo_core.shell import run


class Unit(ScriptedUnit):
    """An `hdk+` unit that keeps what it is told; `restart()` switches it off and on."""

    def __init__(self) -> None:
        super().__init__(self._answered)
        self.serial = ""
        self.boot = 0
        self.setups: list[str] = []
        self.config: DeviceConfig | None = None
        self.left = 0
        self.on_setup = lambda: None
        self.forgetful = self.deaf = False

    def _answered(self, line: bytes) -> bytes:
        body, _, check = line.decode().strip().removeprefix("#").partition("*")
        if check != check_of(body):
            return b"#INVALID\r\n"
        name, *fields = body.split(";")
        if name == "INFO":
            return checked(f"INFO;{self.serial};M;B;0.1;1;{self.boot}")
        if name == "SETUP+":
            if self.serial:
                return checked("SETUP+;ERROR;provisioned")
            self.setups.append(fields[0])
            self.on_setup()
            if self.deaf:
                return b""
            self.serial, self.boot = fields[0], 1
            self.config = DeviceConfig(bytes.fromhex(fields[2]), int(fields[1]))
            self.state = DecoderState(int(fields[3]))
            return checked("SETUP+;OK")
        if self.config is None:
            return checked("INVALID")
        if name == "STATUS":
            return checked(f"STATUS;ACTIVE;{self.left}" if self.left else "STATUS;INACTIVE")
        decoded = decode_token(self.config, fields[0], self.state)
        if not decoded.accepted:
            return checked("TOKEN;INVALID")
        self.state = decoded.state
        self.left = decoded.value * 86_400 + (self.left if decoded.token_type is TokenType.ADD_TIME else 0)
        return checked(f"TOKEN;VALID;{self.left}")

    def restart(self) -> None:
        self.boot += 1
        if self.forgetful:
            self.serial, self.boot = "", 0


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Registry.open(tmp_path / "paygo.db") as opened:
        opened.make(5, "SLT", digits=4)
        yield opened


@pytest.fixture
def station(registry, capsys, monkeypatch):
    def call(port: str, typed: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        status = run(root, ["bridge", "provision", port, "--next", "--station", "line-1", *words])
        return (int(status), *capsys.readouterr())

    return call


NO_RESTART = ("--restart-timeout", "0")


def states(registry) -> dict[str, str]:
    return {entry.serial: entry.state for entry in registry.entries()}


def steps(serial: str) -> list[str]:
    return [json.loads(line)["step"] for line in Path("provisioned", f"{serial}.jsonl").read_text().splitlines()]


def test_units_get_the_next_serial_or_the_scanned_one(registry, station):
    with Unit() as first:
        status, out, err = station(first.port, "\n", *NO_RESTART, "--by", "amina")
    assert (status, out) == (0, "SLT0001 is set up; inactive; 0 s of credit left\n")
    assert "[1] Connect a unit" in err
    assert "1 provisioned, 0 failed" in err
    with Unit() as second:
        status, out, _ = station(second.port, "SLT0003\nq\n", *NO_RESTART, "--json")
    facts = json.loads(out)
    assert (status, facts["serial"], facts["provisioned"], facts["resumed"]) == (0, "SLT0003", True, False)
    assert states(registry) == {
        "SLT0001": "provisioned", "SLT0002": "new", "SLT0003": "provisioned", "SLT0004": "new", "SLT0005": "new",
    }  # fmt: skip
    [note] = registry.notes("SLT0001")
    assert (note.text, note.noted_by) == ("new became provisioned: at line-1, M B, firmware 0.1", "amina")
    assert steps("SLT0001") == ["begun", "set up", "proved"]
    assert stat.S_IMODE(Path("provisioned").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("provisioned/SLT0001.jsonl").stat().st_mode) == 0o600


def test_a_key_stands_in_no_log_and_no_output(registry, station):
    with Unit() as unit:
        _, out, err = station(unit.port, "\n", *NO_RESTART, "--debug")
    key = registry.device("SLT0001").config.secret_key.hex()
    shown = (out + err + Path("provisioned/SLT0001.jsonl").read_text()).lower()
    assert key not in shown


def test_a_label_that_cannot_be_used_is_said_and_the_next_unit_comes(registry, station):
    registry.set_state("SLT0002", "retired")
    with Unit() as unit:
        status, out, err = station(unit.port, "GONE\nSLT0002\n\n", *NO_RESTART)
    assert status == 1
    assert "has no device 'GONE' with a key" in err
    assert "SLT0002 is retired already" in err
    assert out == "SLT0001 is set up; inactive; 0 s of credit left\n"
    assert unit.setups == ["SLT0001"]


def test_a_unit_that_is_left_connected_is_not_set_up_twice(registry, station):
    with Unit() as unit:
        status, out, err = station(unit.port, "\n\nSLT0001\n", *NO_RESTART)
        assert status == 0
        assert out.splitlines()[1:] == ["SLT0001 was provisioned here already; inactive; 0 s of credit left"] * 2
        assert err.endswith("1 provisioned, 0 failed, 2 provisioned already\n")
        assert json.loads(station(unit.port, "\n", *NO_RESTART, "--json")[1])["already"] is True
    assert unit.setups == ["SLT0001"]
    assert steps("SLT0001") == ["begun", "set up", "proved"]
    assert Factory(registry, "x").open_claims() == []


def test_a_unit_that_was_set_up_elsewhere_or_has_another_label_fails(registry, station):
    with Unit() as unit:
        station(unit.port, "\n", *NO_RESTART)
        for typed, words in (("SLT0002\n", ()), ("\n", ("--station", "line-2"))):
            status, out, err = station(unit.port, typed, *NO_RESTART, *words)
            assert (status, out) == (1, "")
            assert "this unit is SLT0001 already" in err
        registry.set_state("SLT0001", "active")
        assert station(unit.port, "\n", *NO_RESTART)[0] == 1
    assert Factory(registry, "x").open_claims() == []


def test_each_unit_has_to_live_through_a_restart(registry, station):
    with Unit() as unit:
        unit.on_setup = threading.Timer(0.1, unit.restart).start
        status, _, err = station(unit.port, "\n")
    assert status == 0
    assert "SLT0001: switch the unit off and on" in err
    assert steps("SLT0001") == ["begun", "set up", "restarted", "proved"]


def test_a_unit_that_nobody_restarts_stays_in_doubt_and_goes_on_later(registry, station):
    with Unit() as unit:
        status, _, err = station(unit.port, "\n", "--restart-timeout", "0.3")
        assert status == 1
        assert "SLT0001 was not switched off and on within 0.3 s" in err
        assert "SLT0001 is in doubt" in err
        assert states(registry)["SLT0001"] == "new"
        status, out, err = station(unit.port, "SLT0002\n\n", *NO_RESTART)
    assert "SLT0001 was begun at line-1 and never proved" in err
    assert "this unit is SLT0001, and SLT0002 was asked for" in err
    assert out == "SLT0001 is set up; inactive; 0 s of credit left\n"
    assert steps("SLT0001") == ["begun", "set up", "found again", "proved"]
    assert unit.setups == ["SLT0001"]


def test_a_unit_that_forgets_is_not_provisioned_and_its_serial_is_not_given_again(registry, station):
    with Unit() as unit:
        unit.forgetful = True
        unit.on_setup = threading.Timer(0.1, unit.restart).start
        status, _, err = station(unit.port, "\n")
    assert status == 1
    assert "SLT0001 was set up, and now the unit says nothing" in err
    with Unit() as other:
        _, out, _ = station(other.port, "SLT0001\n\n", *NO_RESTART)
        assert out.startswith("SLT0002 is set up")


def test_a_unit_that_answers_that_it_is_blank_frees_its_serial(registry, station):
    with Unit() as unit:
        unit.deaf = True
        status, _, _ = station(unit.port, "\n", *NO_RESTART, "--timeout", "0.6")
        assert status == 1
        assert Factory(registry, "x").open_claims() == []
        unit.deaf = False
        assert station(unit.port, "\n", *NO_RESTART)[1].startswith("SLT0001 is set up")
    assert "came to nothing" in registry.notes("SLT0001")[0].text


def test_who_knows_that_no_unit_has_a_serial_releases_it(registry, station, capsys):
    Factory(registry, "line-2").claim("SLT0001")
    assert run(root, ["bridge", "provision", "none", "--release", "SLT0001", "--by", "ben"]) == 0
    assert run(root, ["bridge", "provision", "none", "--release", "SLT0001"]) == 2
    assert Factory(registry, "x").claim().serial == "SLT0001"


def test_a_test_token_is_taken_and_taken_back(registry, station):
    with Unit() as unit:
        status, out, _ = station(unit.port, "\n", *NO_RESTART, "--test-token")
    assert (status, out) == (0, "SLT0001 is set up; inactive; 0 s of credit left\n")
    assert [(one.token.token_type, one.reason) for one in registry.tokens("SLT0001")] == [
        (TokenType.ADD_TIME, "test"),
        (TokenType.SET_TIME, "test"),
    ]
    assert states(registry)["SLT0001"] == "provisioned"
    assert "took a token" in steps("SLT0001")


def test_an_hdk_is_provisioned_with_its_test_token(registry, station):
    registry.make(1, "7", digits=8)
    with FakeHdk() as unit:
        status, out, _ = station(unit.port, "700000001\n\n", *NO_RESTART, "--test-token")
    assert out == "700000001 is set up; inactive; 0 s of credit left\n"
    assert status == 1, "the second time the unit is set up already"
    assert Factory(registry, "x").open_claims() == []


def test_our_firmware_on_the_line(registry, station, tmp_path):
    with simulated_unit(tmp_path) as running, ControlClient(running.control) as control:
        done = threading.Event()

        def restart() -> None:
            log = Path("provisioned/SLT0001.jsonl")
            while not done.wait(0.05):
                if log.exists() and "set up" in log.read_text():
                    control.request("power", on=False)
                    control.request("power", on=True)
                    return

        person = threading.Thread(target=restart)
        person.start()
        try:
            status, out, _ = station(running.port, "\n", "--test-token")
        finally:
            done.set()
            person.join()
    assert (status, out) == (0, "SLT0001 is set up; inactive; 0 s of credit left\n")


def test_wrong_use_is_refused(registry, capsys):
    for words in (
        [],
        ["--next", "--serial", "A"],
        ["--next", "--device-list", "x"],
        ["--serial", "A", "--release", "A"],
    ):
        assert run(root, ["bridge", "provision", "port", *words]) == 2
    assert "--next" in group.commands["provision"].get_help(group.make_context("bridge", ["status"]))


# A station that kills itself at the given call, into the database, into the log or onto the line, or before it tells of
# a unit that it has proved ("output").
STATION = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from hw_bridge import cli_provision, factory_log, transport
from paygo_core.cli import root
from paygo_core.shell import run
left = 0 if sys.argv[2] == "output" else int(sys.argv[2])
def count_down(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "output":
    cli_provision.credit = lambda _: os.kill(os.getpid(), signal.SIGKILL)
def counted(owner, name):
    inner = getattr(owner, name)
    def call(*arguments, **named):
        count_down()
        answer = inner(*arguments, **named)
        count_down()
        return answer
    setattr(owner, name, call)
counted(transport.Transport, "write")
counted(factory_log.FactoryLog, "step")
for name in ("before_cursor_execute", "commit"):
    event.listen(Engine, name, count_down)
words = ["bridge", "provision", sys.argv[1], "--next", "--restart-timeout", "0", "--test-token", "--station", "s"]
sys.exit(run(root, words))
"""


@pytest.mark.timeout(240)
def test_a_station_that_is_killed_anywhere_gives_no_serial_twice(registry):
    draw = random.Random(3)
    registry.make(40, "SLT", digits=4)
    units: list[Unit] = []
    killed = 0
    for at in sorted(draw.sample(range(1, 90), 8)):
        with Unit() as unit:
            units.append(unit)
            words = [sys.executable, "-c", STATION, unit.port, str(at)]
            done = subprocess.run(words, input=b"\n", capture_output=True, check=False)
            killed += done.returncode == -signal.SIGKILL
            if draw.random() < 0.5 and done.returncode == -signal.SIGKILL:  # the same unit is connected again
                subprocess.run([*words[:-1], "0"], input=b"\n", capture_output=True, check=False)
    assert killed > 3
    have = [unit.serial for unit in units if unit.serial]
    assert len(have) == len(set(have)), "two units have one serial"
    known = states(registry)
    claims = {claim.serial for claim in Factory(registry, "x").open_claims()}
    assert {serial for serial, state in known.items() if state == "provisioned"} <= set(have)
    assert {serial for serial in have if known[serial] != "provisioned"} <= claims, "a serial is lost"
    for serial in have:
        assert Path("provisioned", f"{serial}.jsonl").exists()


def test_a_unit_is_good_though_its_station_died_before_it_said_so(registry):
    with Unit() as unit:
        words = [sys.executable, "-c", STATION, unit.port]
        killed = subprocess.run([*words, "output"], input=b"\n", capture_output=True, check=False)
        assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b"")
        assert steps("SLT0001")[-1] == "proved"
        again = subprocess.run([*words, "0"], input=b"\n", capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout == b"SLT0001 was provisioned here already; inactive; 0 s of credit left\n"
    assert again.stderr.endswith(b"0 provisioned, 0 failed, 1 provisioned already\n")
    assert unit.setups == ["SLT0001"]
