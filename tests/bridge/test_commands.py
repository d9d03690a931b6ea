"""A command is recorded before it is sent, counts at most once, and ends with what the unit itself says."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from bad_line import BadLine
from fake_hdk import KEY, FakeHdk, PlusUnit, checked

from hw_bridge.carry_out import carry_out
from hw_bridge.commands import CommandJournal
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, PaygoError, TokenType, generate_token
from paygo_core.cli import root
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PortError, Problem
from paygo_core.shell import run

CONFIG = DeviceConfig.from_hex(KEY, 123456789)
DEVICE = Device("SLT220000001", CONFIG)
DAY = 86_400
ACTIVE = checked("STATUS;ACTIVE;60")


def info(count: int) -> bytes:
    return checked(f"INFO;A1;M;B;0.1;{count};1")


@pytest.fixture
def journal(tmp_path):
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        yield journal


@contextmanager
def driven(unit, timeout=0.4):
    with unit, Transport(unit.port) as transport:
        yield HdkDriver(transport, timeout=timeout)


def entered(journal, unit, token="123456789", serial: str | None = "A1"):
    command = journal.record("enter", serial=serial, port=unit.port, token=token, by="test")
    with driven(unit) as driver:
        return carry_out(journal, command.id, driver)


# The life of a command


def test_an_entry_is_recorded_sent_acknowledged_and_confirmed(journal):
    states = []

    def answer(line: bytes) -> bytes:
        states.append((line.split(b";")[0], journal.commands()[0].state))
        return unit._scripted(line)

    unit = PlusUnit(TOKEN=[checked("TOKEN;VALID;60")], STATUS=[ACTIVE])
    unit._answer = answer
    done = entered(journal, unit)
    assert done.state == "confirmed"
    assert done.reason == "the unit's status: 60 s of credit left"
    assert (b"#TOKEN", "sent") in states
    assert states[-1] == (b"#STATUS", "acknowledged")
    assert [(attempt.sent, attempt.outcome, attempt.detail) for attempt in done.attempts] == [
        (True, "answered", "accepted")
    ]
    assert journal.commands(open_only=True) == []


def test_a_refusal_has_its_reason(journal):
    for said, reason in (("ALREADY_USED", "the token was used before"), ("INVALID", "the unit does not know")):
        done = entered(journal, PlusUnit(TOKEN=[checked(f"TOKEN;{said}")], STATUS=[ACTIVE]))
        assert (done.state, done.attempts[-1].outcome) == ("refused", "answered")
        assert done.reason.startswith(reason)


def test_a_wait_sets_the_time_of_the_next_attempt(journal):
    waiting = entered(journal, PlusUnit(TOKEN=[checked("TOKEN;WAIT;3600")], STATUS=[ACTIVE]))
    assert waiting.open
    assert 3590 < (waiting.next_try_at - waiting.attempts[-1].ended_at).total_seconds() < 3610
    assert journal.due("A1") == []


def test_after_a_lost_answer_the_same_token_is_sent_again_and_already_used_means_ask_the_status(journal):
    lost = PlusUnit(TOKEN=[b""], STATUS=[ACTIVE], INFO=[info(3)])
    with pytest.raises(NoAnswerError):
        entered(journal, lost)
    (command,) = journal.commands(open_only=True)
    assert (command.state, command.in_doubt, command.attempts[-1].outcome) == ("sent", True, "no answer")
    again = entered(journal, PlusUnit(TOKEN=[checked("TOKEN;ALREADY_USED")], STATUS=[ACTIVE], INFO=[info(4)]))
    assert (again.id, again.state) == (command.id, "confirmed")
    assert len(again.attempts) == 2


def test_already_used_after_a_lost_answer_is_refused_when_nothing_moved(journal):
    with pytest.raises(NoAnswerError):
        entered(journal, PlusUnit(TOKEN=[b""], STATUS=[ACTIVE]))
    again = entered(journal, PlusUnit(TOKEN=[checked("TOKEN;ALREADY_USED")], STATUS=[ACTIVE]))
    assert again.state == "refused"
    assert "neither count nor credit grew" in again.reason


def test_what_the_unit_accepted_but_its_status_denies_stays_open(journal):
    said = entered(journal, PlusUnit(TOKEN=[checked("TOKEN;VALID;60")], STATUS=[checked("STATUS;INACTIVE")]))
    assert said.state == "acknowledged"
    assert said.reason == "the unit accepted it, but its status is inactive"
    journal.retry(said.id, "test")
    unit = PlusUnit(STATUS=[ACTIVE])
    assert entered(journal, unit).state == "confirmed"
    assert "TOKEN" not in unit.names()


def test_an_unlock_is_confirmed_by_the_status_only(journal):
    unlocked = checked("TOKEN;PAYG_DISABLED")
    denied = entered(journal, PlusUnit(TOKEN=[unlocked], STATUS=[ACTIVE]))
    assert denied.state == "acknowledged"
    unit = PlusUnit(TOKEN=[unlocked], STATUS=[ACTIVE, checked("STATUS;PAYG_DISABLED")])
    assert entered(journal, unit, token="987654321").reason == "the unit's status: unlocked"


def test_a_switch_that_the_telemetry_denies_is_moved_again(journal):
    def at(switch):
        return checked(f'TELEMETRY;{{"serial_number":"A1","data":{{"load_switch":"{switch}"}}}}')

    unit = PlusUnit(LOAD=[checked("LOAD;OFF;OFF")], TELEMETRY=[at("AUTO"), at("OFF")])
    command = journal.record("disable", serial="A1", by="test")
    with driven(unit) as driver:
        assert carry_out(journal, command.id, driver).state == "sent"
        assert carry_out(journal, command.id, driver).state == "confirmed"
    assert unit.names().count("LOAD") == 2


def test_attempts_back_off_up_to_ten_minutes(journal):
    command = journal.record("disable", serial="A1", by="test")
    delays = []
    for _ in range(12):
        failed = journal.fail(command.id, "not sent", "there is no port")
        delays.append(round((failed.next_try_at - failed.attempts[-1].ended_at).total_seconds()))
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]


def test_a_command_expires_with_what_was_last_known(journal):
    command = journal.record("disable", serial="A1", by="test", lifetime=timedelta(0))
    assert journal.due("A1") == []
    (expired,) = journal.commands()
    assert (expired.id, expired.state) == (command.id, "expired")
    assert expired.reason.endswith("last: it was not sent yet")
    with pytest.raises(PaygoError, match="is expired"):
        journal.retry(command.id, "test")


def test_the_same_command_while_open_is_one_and_a_later_switch_replaces_an_earlier(journal):
    first = journal.record("disable", serial="A1", by="anna")
    assert journal.record("disable", serial="A1", by="ben").id == first.id
    assert journal.record("disable", serial="A2", by="ben").id != first.id
    later = journal.record("enable", serial="A1", by="ben")
    assert journal.command(first.id).state == "cancelled"
    assert journal.command(first.id).reason == "a later command of ben replaces it: enable"
    assert [command.id for command in journal.due("A1")] == [later.id]


def test_tokens_of_a_unit_keep_their_order_and_its_switch_does_not_wait_for_them(journal):
    first = journal.record("enter", serial="A1", token="123456789", by="test")
    journal.record("enter", serial="A1", token="123456780", by="test")
    journal.fail(first.id, "answered", "it waits", after=3600)
    assert journal.due("A1") == []
    switch = journal.record("disable", serial="A1", by="test")
    assert [command.id for command in journal.due("A1")] == [switch.id]
    assert journal.due_serials() == {"A1"}


def test_another_unit_on_the_port_gets_nothing(journal):
    unit = PlusUnit(STATUS=[ACTIVE])
    command = journal.record("enter", serial="B2", token="123456789", by="test")
    with driven(unit) as driver, pytest.raises(DeviceError, match="is for B2, and on this port is A1"):
        carry_out(journal, command.id, driver)
    assert "TOKEN" not in unit.names()
    assert journal.command(command.id).state == "recorded"


def test_the_journal_is_private_and_hides_tokens(journal, tmp_path):
    command = journal.record("enter", serial="A1", token="123456789", by="test")
    assert stat.S_IMODE((tmp_path / "paygo.db").stat().st_mode) == 0o600
    assert command.to_json()["token"] == "******789"


# An un-extended HDK takes some used tokens once more


def lost_on_hdk(journal, unit, *, arrives: bool):
    """The answer to a token is lost, or the token itself."""

    def lose(said: bytes) -> bytes:
        return b"" if b"TOKEN" in said else said

    token = generate_token(CONFIG, 1, 1).digits
    if not arrives:
        real = unit._enter
        unit._enter = lambda _token: b"#TOKEN;LOST"
    unit.transmit = lose
    command = journal.record("enter", port=unit.port, token=token, by="test")
    with Transport(unit.port) as transport:
        with pytest.raises(NoAnswerError):
            carry_out(journal, command.id, HdkDriver(transport, timeout=0.4))
        unit.transmit = lambda said: said
        if not arrives:
            unit._enter = real
        return carry_out(journal, command.id, HdkDriver(transport, timeout=0.4))


def test_on_an_hdk_a_lost_answer_is_settled_by_the_credit(journal):
    with FakeHdk(CONFIG) as unit:
        done = lost_on_hdk(journal, unit, arrives=True)
        assert done.state == "confirmed"
        assert (
            "the credit shows" in done.attempts[-1].detail + journal.command(done.id).attempts[-1].detail or done.reason
        )
        assert unit.received.count(b"#TOKEN") == 1


def test_on_an_hdk_a_token_in_doubt_is_held_until_an_operator_lets_it_go(journal):
    with FakeHdk(CONFIG) as unit:
        held = lost_on_hdk(journal, unit, arrives=False)
        assert (held.state, held.next_try_at) == ("sent", None)
        assert "so it is held" in held.reason
        assert f"commands retry {held.id}" in held.what_to_do()
        assert journal.due(port=unit.port) == []
        journal.retry(held.id, "test")
        with Transport(unit.port) as transport:
            assert carry_out(journal, held.id, HdkDriver(transport)).state == "confirmed"
        assert unit.unit.seconds_left == DAY


def test_on_an_hdk_an_invalid_token_that_ended_the_credit_was_accepted(journal):
    with FakeHdk(CONFIG) as unit, Transport(unit.port) as transport:
        driver = HdkDriver(transport)
        for count, token_type, days in ((1, TokenType.ADD_TIME, 1), (2, TokenType.SET_TIME, 0)):
            token = generate_token(CONFIG, count, days, token_type).digits
            command = journal.record("enter", port=unit.port, token=token, by="test")
            done = carry_out(journal, command.id, driver)
            assert done.state == "confirmed", done.reason


# The bridge is killed at every step; bad lines


@pytest.fixture
def unit(tmp_path):
    """Our firmware in a process of its own, set up, in a world that stands still."""
    with simulated_unit(tmp_path) as running:
        with Transport(running.port) as transport:
            HdkDriver(transport).provision(DEVICE)
        yield running


def now_at(port: str):
    with Transport(port) as transport:
        driver = HdkDriver(transport)
        return driver.status().seconds_left or 0, driver.telemetry().extra["load_switch"]


@contextmanager
def dying_bridge(port: str, registry: Path):
    """Gives `carry(steps, kind, token)`: a bridge that dies at that step, 0: never; it tells how it ended."""
    CommandJournal.open(registry).close()
    script = Path(__file__).with_name("killed_bridge.py")
    with subprocess.Popen(
        [sys.executable, str(script), port, str(registry)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as bridge:

        def carry(steps: int, kind: str, token: str | None) -> int:
            bridge.stdin.write(json.dumps({"steps": steps, "kind": kind, "token": token}) + "\n")
            bridge.stdin.flush()
            return int(bridge.stdout.readline())

        yield carry


@pytest.mark.parametrize("kind", ["enter", "disable"])
def test_a_bridge_killed_at_any_step_leaves_the_state_right(tmp_path, unit, kind):
    """The same command again, with nothing known but the journal, is one command that happened once."""
    registry = tmp_path / "paygo.db"

    def finished() -> int:
        """How many commands are confirmed; no other may be there."""
        with CommandJournal.open(registry) as journal:
            states = [command.state for command in journal.commands() if command.kind == kind]
        assert set(states) <= {"confirmed", "sent", "acknowledged", "recorded"}, states
        return states.count("confirmed")

    steps, ended = 0, -signal.SIGKILL
    with dying_bridge(unit.port, registry) as carry:
        while ended == -signal.SIGKILL:
            steps += 1
            token = generate_token(CONFIG, 2 * steps, 1).digits if kind == "enter" else None
            credit, _ = now_at(unit.port)
            ended = carry(steps, kind, token)
            if finished() != steps:  # the command is open, or was not recorded
                assert carry(0, kind, token) == 0
                assert finished() == steps, f"killed at step {steps}"
            left, switch = now_at(unit.port)
            if kind == "enter":
                assert left == credit + DAY, f"killed at step {steps}"
            else:
                assert switch == "OFF"
                assert carry(0, "enable", None) == 0
    assert steps > 20


def test_a_bridge_killed_at_any_step_sends_an_hdk_no_token_twice_by_itself(tmp_path):
    """An HDK takes some used tokens once more, so a token in doubt is settled by the credit, or held."""
    registry = tmp_path / "paygo.db"
    steps, ended, held = 0, -signal.SIGKILL, 0  # at every other step, since each silence takes its time
    with FakeHdk(CONFIG) as hdk, dying_bridge(hdk.port, registry) as carry:
        while ended == -signal.SIGKILL:
            steps += 1
            token = generate_token(CONFIG, 2 * steps, 1).digits
            credit, before = hdk.unit.seconds_left, hdk.received.count(b"#TOKEN")
            ended = carry(2 * steps, "enter", token)
            with CommandJournal.open(registry) as journal:
                (command,) = journal.commands()[steps - 1 :] or [None]
            if command is None or command.open:
                assert carry(0, "enter", token) == 0
            with CommandJournal.open(registry) as journal:
                command = journal.commands()[-1]
                assert hdk.received.count(b"#TOKEN") <= before + 1, f"killed at step {steps}"
                if command.open:
                    held += 1
                    assert "so it is held" in command.reason
                    assert hdk.unit.seconds_left == credit
                    journal.retry(command.id, "test")
            if command.open:
                assert carry(0, "enter", token) == 0
            with CommandJournal.open(registry) as journal:
                assert [command.state for command in journal.commands()] == ["confirmed"] * steps
            assert hdk.unit.seconds_left == credit + DAY, f"killed at step {2 * steps}"
    assert steps > 10
    assert held > 0


@pytest.mark.parametrize(
    "quality", [{"lose": 0.15}, {"damage": 0.004}, {"slow": True}, {"lose": 0.1, "damage": 0.002}], ids=str
)
def test_on_a_bad_line_a_token_counts_once_whatever_was_lost(tmp_path, unit, quality):
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        for count in range(1, 6):
            token = generate_token(CONFIG, 2 * count, 1).digits
            command = journal.record("enter", serial=DEVICE.serial, token=token, by="test")
            for seed in range(20):
                try:
                    with BadLine(unit.port, seed=100 * count + seed, **quality) as line:
                        command = carry_out(journal, command.id, HdkDriver(line, timeout=0.6))
                except Problem:
                    command = journal.command(command.id)
                if not command.open:
                    break
            assert command.state == "confirmed", command
            assert now_at(unit.port)[0] == count * DAY


def test_a_port_that_vanishes_leaves_the_command_open(journal):
    command = journal.record("disable", serial="A1", by="test")
    unit = PlusUnit()
    script = unit._answer
    unit._answer = lambda line: unit.vanish() or b"" if b"LOAD" in line else script(line)
    with driven(unit) as driver, pytest.raises(PortError):
        carry_out(journal, command.id, driver)
    left = journal.command(command.id)
    assert (left.state, left.attempts[-1].outcome) == ("sent", "no answer")
    assert "vanished" in left.reason


# The shell


@pytest.fixture
def bridge(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PAYGO_PORT", "PAYGO_REGISTRY"):
        monkeypatch.delenv(name, raising=False)

    def bridge(*arguments: str) -> tuple[int, str, str]:
        status = run(root, ["bridge", *arguments])
        return (status, *capfd.readouterr())

    return bridge


def test_the_shell_shows_what_is_open_and_what_to_do(bridge):
    assert bridge("commands") == (0, "no command is open\n", "")
    assert bridge("commands", "add", "A1", "disable")[0] == 0
    status, out, _ = bridge("commands")
    assert status == 0
    assert out.startswith("1 A1 disable recorded: it was not sent yet\n  'commands run PORT' or a gateway")
    assert bridge("commands", "--registry", "paygo.db", "list")[1] == out
    assert json.loads(bridge("commands", "--json")[1])["state"] == "recorded"
    assert bridge("commands", "--registry", "other.db", "list")[1] == "no command is open\n"
    assert bridge("commands", "cancel", "1")[0] == 0
    assert bridge("commands")[1] == "no command is open\n"
    assert "cancelled it before it was sent" in bridge("commands", "list", "--all")[1]
    assert bridge("commands", "cancel", "1")[0] == 2
    assert bridge("commands", "show", "9")[0] == 2
    assert bridge("commands", "add", "A1", "enter")[0] == 2
    assert bridge("commands", "add", "A1", "enter", "12")[0] == 2


def test_the_shell_carries_out_what_is_due(bridge):
    bridge("commands", "add", "A1", "enter", "123 456 789")
    with PlusUnit(TOKEN=[checked("TOKEN;VALID;60")], STATUS=[ACTIVE]) as unit:
        status, out, _ = bridge("commands", "run", unit.port)
        assert (status, out) == (0, "1 A1 enter confirmed (1 attempts): the unit's status: 60 s of credit left\n")
        assert bridge("commands", "run", unit.port)[1] == "nothing is due for A1\n"
    assert "sent, answered: accepted" in bridge("commands", "show", "1")[1]
    said = json.loads(bridge("commands", "show", "1", "--json")[1])
    assert (said["token"], said["state"], len(said["attempts"])) == ("******789", "confirmed", 1)


def test_an_entry_without_an_answer_stays_open_and_goes_on_with_the_same_token(bridge):
    with PlusUnit(TOKEN=[b""], STATUS=[ACTIVE]) as unit:
        status, _, err = bridge("enter", unit.port, "123456789", "--timeout", "0.4")
        assert status == 4
        assert "command 1 stays open" in err
        unit.script["TOKEN"] = [checked("TOKEN;VALID;60")]
        assert bridge("enter", unit.port, "123456789")[:2] == (0, "accepted; 1 min of credit left\n")
    assert len(json.loads(bridge("commands", "show", "1", "--json")[1])["attempts"]) == 2


def test_a_switch_command_keeps_trying_as_long_as_it_is_told(bridge):
    telemetry = checked('TELEMETRY;{"serial_number":"A1","data":{"load_switch":"OFF"}}')
    with PlusUnit(LOAD=[b"", b"", b"", checked("LOAD;OFF;OFF")], TELEMETRY=[telemetry]) as unit:
        status, out, err = bridge("disable", unit.port, "--timeout", "0.3", "--wait", "30")
    assert (status, out) == (0, "the switch is at off, the output is off\n")
    assert "again in 2 s" in err


@pytest.mark.parametrize("command", ["list", "show", "add", "run", "retry", "cancel"])
def test_help_of_each_word_has_an_example(bridge, command):
    status, out, _ = bridge("commands", command, "--help")
    assert status == 0
    assert f"  paygo bridge commands {command}" in out
