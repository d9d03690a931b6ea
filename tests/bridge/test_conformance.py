"""The conformance kit: its catalogue keeps the rules, our unit passes it, and nothing passes for lack of an answer."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hdk import PtyUnit

from hw_bridge.conformance import kit
from hw_bridge.conformance.catalogue import NEEDS, Test, choose, load
from hw_bridge.conformance.hands import Hands, Wire
from hw_bridge.conformance.plan import Model, plan
from hw_bridge.conformance.results import Run, read
from hw_bridge.conformance.runner import Counts, Runner
from hw_bridge.simulated import ControlClient, RunningUnit, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.device_list import read_device_list
from paygo_core.errors import NoAnswerError, PaygoError, PortError

KEY = "bc41ec9530f6dac86b1a29ab82edc5fb"
CONFIG = DeviceConfig.from_hex(KEY, 516959010)
OTHERS = (
    DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789, time_divider=24),
    DeviceConfig.from_hex(KEY, 516959010, time_divider=255, restricted_digit_set=True),
    DeviceConfig.from_hex("0f9ab80edc05fbbc41ec9530f6da0ab1", 999999999, restricted_digit_set=True),
)
EVERYTHING = 8000
PAYGO = "from paygo_core.cli import main; main()"
DOCS = Path(__file__).parents[2] / "docs"


def kit_on_simulator(
    directory: Path, *options: str, config: DeviceConfig = CONFIG, budget: int = EVERYTHING, only_official: bool = False
) -> Run:
    """A whole run on a simulated unit that was never set up."""
    with simulated_unit(directory, *options) as unit:
        orders = kit.Orders(
            [test for test in load() if test.official or not only_official],
            directory / "out",
            budget=budget,
            allow_unlock=True,
        )
        rig = kit.Rig(unit.port, control=unit.control)
        return kit.run(rig, Device("SLT220000001", config), orders)


def verdicts(outcome: Run, verdict: str) -> dict[str, str]:
    """The tests with a verdict, and why."""
    return {result.id: result.reason for result in outcome.results if result.verdict == verdict}


# The catalogue


def test_the_catalogue_has_every_step_of_the_official_procedure() -> None:
    ids = [test.id for test in load()]
    assert len(ids) == len(set(ids))
    official = ["G1", "G2", "G3", "G4A", "G4B", "G5", "G6", "G7A", "G7B", "G7C"]
    official += [f"G8{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTU"]
    official += ["G9", "G10", "G11A", "G11B", "G12A", "G12B", "U1A", "U1B", "U1C", "U1D", "U2A", "U2B", "U2C"]
    official += ["U3A-even", "U3B-even", "U3A-odd", "U3B-odd", "X1A-again", "X1E-again", "X2"]
    assert set(official) <= {test.id for test in load() if test.official}


def test_every_test_proves_a_rule_that_there_is() -> None:
    rules = set(re.findall(r"^## (T\d+) ", (DOCS / "token-rules.md").read_text("utf-8"), re.MULTILINE))
    rules |= set(re.findall(r"^\| \*\*(H\d+)\*\* ", (DOCS / "hdk-plus.md").read_text("utf-8"), re.MULTILINE))
    assert {test.rule for test in load()} <= rules
    assert {need for test in load() for need in test.needs} <= set(NEEDS)


@pytest.mark.parametrize("config", [CONFIG, *OTHERS])
def test_every_expectation_is_what_the_rules_say(config: DeviceConfig) -> None:
    model, group = Model.at(config, 1), ""
    lacking = "ten digits" if config.restricted_digit_set else "restricted"
    for test in load():
        if lacking in test.needs or ("divider" in test.needs and config.time_divider == 1):
            continue
        planned = plan(test, model, not (test.group and test.group == group))
        assert planned.after.unit.wait_left == 0, f"{test.id} leaves the unit waiting"
        model, group = planned.after, test.group


def test_a_test_that_contradicts_the_rules_is_told() -> None:
    replay = next(test for test in load() if test.id == "W10")
    wrong = Test(id="W", title="", rule="T15", steps=(*replay.steps[:1], replay.steps[0].__class__(again="1")))
    with pytest.raises(PaygoError, match="contradicts the rules"):
        plan(wrong, Model.at(CONFIG, 1), True)


def test_every_test_refuses_something_or_tells_amounts_apart() -> None:
    """What begins every test: an accepted lock, whose replay must be refused."""
    planned = plan(load()[0], Model.at(CONFIG, 1), True)
    assert [move.verdict for move in planned.moves[:2]] == ["accepted", "already_used"]
    assert [move.credit for move in planned.moves[:2]] == [0, 0]


def test_a_test_is_chosen_with_those_that_it_follows() -> None:
    assert [test.id for test in choose(load(), ["G4A"])] == ["G2", "G3", "G4A"]
    with pytest.raises(PaygoError, match="no test 'G99'"):
        choose(load(), ["G99"])


# Our unit


def test_our_unit_passes_the_whole_kit(tmp_path: Path) -> None:
    outcome = kit_on_simulator(tmp_path)
    assert verdicts(outcome, "failed") == {}
    assert set(verdicts(outcome, "not run")) == {"F5", "L10"}
    assert outcome.passed
    assert outcome.closed
    assert KEY not in json.dumps(outcome.to_json()).lower()


def test_a_unit_with_four_keys_and_hours_passes_it_too(tmp_path: Path) -> None:
    config = DeviceConfig.from_hex(KEY, 516959010, time_divider=24, restricted_digit_set=True)
    outcome = kit_on_simulator(tmp_path, config=config, budget=2000)
    assert verdicts(outcome, "failed") == {}
    assert {"G1", "F3"} <= set(verdicts(outcome, "not run"))
    assert {"F5", "L10"} <= set(verdicts(outcome, "passed"))


@pytest.mark.parametrize(
    ("sabotage", "caught"),
    [("replay", {"X1A-again"}), ("output", {"O1"}), ("alert", {"A1"}), ("count", {"P1", "P2"})],
)
def test_a_broken_unit_fails_the_test_of_what_is_broken(tmp_path: Path, sabotage: str, caught: set[str]) -> None:
    with simulated_unit(tmp_path, "--sabotage", sabotage) as unit:
        orders = kit.Orders(choose(load(), sorted(caught)), tmp_path / "out", allow_unlock=True)
        outcome = kit.run(kit.Rig(unit.port, control=unit.control), Device("1", CONFIG), orders)
    failed = verdicts(outcome, "failed")
    assert failed or not outcome.passed
    if sabotage != "replay":  # it fails before, at the replay of the lock that every test begins with
        assert set(failed) == caught


# Nothing passes for lack of an answer


class YesUnit(PtyUnit):
    """Says yes to everything, in one of the ways in which an HDK says it."""

    def __init__(self, token: bytes, status: bytes) -> None:
        super().__init__()
        self._said = {b"#TOKEN": token, b"#STATUS": status}

    def take(self, data: bytes) -> bytes:
        return self._said.get(data.partition(b";")[0], b"#INVALID") + b"\r\n"


class NoiseUnit(PtyUnit):
    """Answers whatever it hears with bytes that are no answer."""

    def take(self, data: bytes) -> bytes:
        return b"\x00\xff#TOK;;;*\r\n#####\r\n" + data[::-1]


def yes_units() -> Iterator[YesUnit]:
    for token in (b"#TOKEN;VALID;86400", b"#TOKEN;VALID;0", b"#TOKEN;PAYG_DISABLED", b"#TOKEN;ALREADY_USED"):
        for status in (b"#STATUS;ACTIVE;86400", b"#STATUS;INACTIVE", b"#STATUS;PAYG_DISABLED"):
            yield YesUnit(token, status)


@pytest.mark.parametrize("number", range(12))
def test_a_unit_that_always_says_the_same_passes_nothing(tmp_path: Path, number: int) -> None:
    with list(yes_units())[number] as unit:
        orders = kit.Orders(load()[:40], tmp_path, budget=EVERYTHING, allow_unlock=True)
        outcome = kit.run(kit.Rig(unit.port, timeout=0.5), Device("1", CONFIG), orders)
    assert outcome.number("passed") == 0
    assert not outcome.passed
    assert not outcome.closed


def test_a_unit_that_says_only_noise_is_not_even_tested(tmp_path: Path) -> None:
    with NoiseUnit() as unit, pytest.raises(NoAnswerError):
        kit.run(kit.Rig(unit.port, timeout=0.3), Device("1", CONFIG), kit.Orders(load(), tmp_path))


def test_a_port_that_is_not_there_is_not_tested(tmp_path: Path) -> None:
    with pytest.raises(PortError):
        kit.run(kit.Rig(str(tmp_path / "no port")), Device("1", CONFIG), kit.Orders(load(), tmp_path))


def hands_on(unit: RunningUnit, control: ControlClient, transport: Transport) -> Hands:
    hands = Hands(Device("1", CONFIG), transport, Wire(CONFIG.secret_key), control=control, timeout=0.3)
    hands.driver.provision(hands.device)
    return hands


def test_when_the_unit_falls_silent_nothing_more_passes(tmp_path: Path) -> None:
    with (
        simulated_unit(tmp_path) as unit,
        ControlClient(unit.control) as control,
        Transport(unit.port) as transport,
    ):
        runner = Runner(hands_on(unit, control, transport), Counts(1, EVERYTHING), allow_unlock=True)
        results = runner.run([test for test in load() if test.id[0] in "ZWS"])
        assert next(results).verdict == "passed"
        control.power(False)
        later = list(results)
    assert {result.verdict for result in later} == {"failed", "not run"}
    assert [result.verdict for result in later].count("failed") in (1, 2)
    assert re.search("answers no more|cannot be asked", later[-1].reason)


def test_when_the_port_goes_away_nothing_more_passes(tmp_path: Path) -> None:
    with simulated_unit(tmp_path) as unit, ControlClient(unit.control) as control, Transport(unit.port) as transport:
        runner = Runner(hands_on(unit, control, transport), Counts(1, EVERYTHING))
        results = runner.run([test for test in load() if test.id[0] in "ZWS"])
        assert next(results).verdict == "passed"
        unit.process.kill()
        unit.process.wait()
        later = list(results)
        assert not runner.close("locked")
    assert "passed" not in {result.verdict for result in later}


# The command


def conform(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PAYGO, "conform", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def last_count(unit: RunningUnit) -> int:
    with Transport(unit.port) as transport:
        hands = Hands(Device("1", CONFIG), transport, Wire())
        return hands.last_count()


def test_a_run_spends_no_more_than_its_budget_and_can_be_taken_up_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with simulated_unit(tmp_path) as unit:
        start = ("run", unit.port, "--control", unit.control, "--output", str(out), "--json", "--yes")
        first = conform(*start, "--spend-counts", "40")
        assert first.returncode == 0, first.stderr
        rows = [json.loads(line) for line in first.stdout.splitlines()]
        ran = [row["id"] for row in rows[:-1] if row["verdict"] == "passed"]
        assert ran[:2] == ["Z1", "Z2"]
        unlocks = {test.id: test.needs for test in load() if test.unlocks}
        assert all(
            "unlock" in row["reason"] or "did not run" in row["reason"] for row in rows[:-1] if row["id"] in unlocks
        )
        assert any("--spend-counts" in row["reason"] for row in rows[:-1])
        (listed,) = read_device_list(out / "device.csv").devices
        assert listed.count == rows[-1]["last_count"] == last_count(unit) <= 1 + 40 + 3
        assert (out / "device.csv").stat().st_mode & 0o777 == 0o600
        first_run = read(out / "results.json")
        key = listed.config.secret_key.hex()
        again = conform(
            *start,
            "--resume",
            "--spend-counts",
            "60",
            "--device-list",
            str(out / "device.csv"),
            "--serial",
            listed.serial,
        )
        assert again.returncode == 0, again.stderr
        whole = read(out / "results.json")
        assert len(whole.results) == len(load())
        first_results = {result.id: result for result in first_run.results}
        second_results = {result.id: result for result in whole.results}
        assert second_results["Z1"] == first_results["Z1"]
        assert whole.number("passed") > len(ran)
        for text in (first.stdout, first.stderr, again.stdout, (out / "results.json").read_text()):
            assert key not in text.lower()


def test_an_interrupted_run_leaves_the_unit_locked_and_its_count_on_record(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with simulated_unit(tmp_path) as unit:
        command = [sys.executable, "-c", PAYGO, "conform", "run", unit.port, "--control", unit.control]
        command += ["--output", str(out), "--json", "--yes", "--allow-unlock", "--spend-counts", str(EVERYTHING)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(30):
                assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        assert process.returncode == 130
        (listed,) = read_device_list(out / "device.csv").devices
        assert listed.count == last_count(unit)
        with Transport(unit.port) as transport:
            assert Hands(listed, transport, Wire()).status().state == "inactive"
        record = read(out / "results.json")
        assert record.closed
        assert record.last_count == listed.count
        assert len(record.results) >= 30


def test_a_unit_with_the_kits_own_key_is_taken_up_again_and_its_key_is_never_lost(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with simulated_unit(tmp_path) as unit:
        words = ("run", unit.port, "--control", unit.control, "--output", str(out), "--json", "--yes")
        assert conform(*words, "--spend-counts", "30").returncode == 0
        (listed,) = read_device_list(out / "device.csv").devices
        refused = conform(*words, "--spend-counts", "30")
        assert refused.returncode == 1
        assert "the unit is set up already" in refused.stderr
        assert "device.csv" in refused.stderr
        assert list(read_device_list(out / "device.csv").devices) == [listed]
        again = conform(*words, "--resume", "--spend-counts", "60")
        assert again.returncode == 0, again.stderr
        (later,) = read_device_list(out / "device.csv").devices
        assert later.config == listed.config
        assert later.count == last_count(unit) > listed.count


def test_a_run_with_a_failure_has_exit_status_1(tmp_path: Path) -> None:
    with simulated_unit(tmp_path, "--sabotage", "output") as unit:
        done = conform(
            "run",
            unit.port,
            "--control",
            unit.control,
            "--output",
            str(tmp_path / "out"),
            "--only",
            "O1",
            "--only",
            "Z1",
        )
    assert done.returncode == 1
    assert "FAIL O1" in done.stdout
    assert "ok   Z1" in done.stdout


def test_a_unit_that_is_another_one_is_not_tested(tmp_path: Path) -> None:
    with simulated_unit(tmp_path) as unit:
        start = ("run", unit.port, "--control", unit.control, "--output", str(tmp_path / "out"), "--only", "Z1")
        assert conform(*start).returncode == 0
        key = tmp_path / "key"
        key.write_text(KEY)
        other = conform(*start, "--serial", "2", "--key-file", str(key))
    assert other.returncode == 1
    assert "the unit is 990000001, not 2" in other.stderr


@pytest.mark.parametrize(("speed", "status"), [("60", 2), ("0.5", 2), ("1", 0)])
def test_a_simulated_unit_whose_time_runs_apart_from_its_line_is_not_judged(
    tmp_path: Path, speed: str, status: int
) -> None:
    out = tmp_path / "out"
    with simulated_unit(tmp_path, "--speed", speed) as unit:
        done = conform("run", unit.port, "--control", unit.control, "--output", str(out), "--only", "G3")
    assert done.returncode == status, done.stdout + done.stderr
    if status:
        assert f"runs at {speed} times the speed of its line" in done.stderr
        assert "serve it with --speed 1" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (out / "certificate.html").exists()


def test_a_simulator_that_does_not_tell_its_speed_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ControlClient.read

    def told_of_old(control: ControlClient) -> dict[str, Any]:
        return {name: value for name, value in told(control).items() if name != "speed"}

    monkeypatch.setattr(ControlClient, "read", told_of_old)
    with simulated_unit(tmp_path) as unit:
        orders = kit.Orders(choose(load(), ["G3"]), tmp_path / "out")
        assert kit.run(kit.Rig(unit.port, control=unit.control), Device("1", CONFIG), orders).passed


def test_leaving_a_unit_unlocked_has_to_be_allowed() -> None:
    done = conform("run", "/dev/null", "--leave", "unlocked")
    assert done.returncode == 2
    assert "--allow-unlock" in done.stderr


def test_the_list_tells_needs_and_costs() -> None:
    done = conform("list", "P5", "--json")
    assert done.returncode == 0
    row = json.loads(done.stdout)
    assert row["needs"] == ["power", "unlock"]
    assert row["counts"] > 0
    assert "restart" in row["catches"]
