"""The conformance kit on plain chargers, which the bridge runs as PAYG units, and on their load's current."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hw_bridge.conformance import kit
from hw_bridge.conformance.catalogue import choose, load
from hw_bridge.conformance.hands import Hands, Wire
from hw_bridge.conformance.results import Result
from hw_bridge.conformance.runner import Counts, Runner
from hw_bridge.drivers import Entry, Info, Load, UnitStatus
from hw_bridge.simulated import simulated_unit
from paygo_core import DeviceConfig, PaygUnit, Reason, TokenType
from paygo_core.device import Device
from paygo_core.errors import DeviceError
from paygo_core.telemetry import Telemetry

CONFIG = DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010)
DEVICE = Device("SLT220000001", CONFIG)
CHOSEN = {
    "epever": {"G1", "W20", "P1", "P7", "L1", "E1", "EX1", "O1", "O2", "O4", "O6", "O8", "A8", "M1", "M2"},
    "vedirect": {"P7", "O8", "A8"},  # its text takes a second each
}
LACKING = {
    "C1": "needs a unit on a hdk line",
    "K1": "needs a keypad that can be pressed (--control)",
    "A1": "needs a unit that sends its alerts, a unit that keeps a log of its alerts (hdk+)",
}


@pytest.mark.parametrize("driver", sorted(CHOSEN))
def test_a_plain_charger_passes_what_it_can_do_and_the_rest_is_not_run(tmp_path: Path, driver: str) -> None:
    if driver == "epever":
        pytest.importorskip("pymodbus")
    with simulated_unit(tmp_path, "--protocol", driver) as unit:
        rig = kit.Rig(unit.port, driver=driver, control=unit.control, payg=str(tmp_path / "brain.db"))
        tests = choose(load(), [*CHOSEN[driver], *LACKING])
        outcome = kit.run(rig, DEVICE, kit.Orders(tests, tmp_path / "out", allow_unlock=True))
    assert {result.id: result.reason for result in outcome.results if result.verdict == "failed"} == {}
    assert {result.id: result.reason for result in outcome.results if result.verdict == "not run"} == LACKING
    assert CHOSEN[driver] <= {result.id for result in outcome.results if result.verdict == "passed"}
    assert outcome.closed
    assert outcome.driver == f"{driver}, PAYG by the bridge"


def test_the_command_certifies_a_charger_over_two_runs(tmp_path: Path) -> None:
    """The second goes on at the counts that the first has spent, which are in the same file."""
    pytest.importorskip("pymodbus")
    counts = []
    with simulated_unit(tmp_path, "--protocol", "epever") as unit:
        for _ in range(2):
            command = [sys.executable, "-c", "from paygo_core.cli import main; main()", "conform", "run", unit.port]
            command += ["--driver", "epever", "--payg", str(tmp_path / "brain.db"), "--control", unit.control]
            command += ["--serial", "1", "--only", "O1", "--output", str(tmp_path / "out"), "--json"]
            done = subprocess.run(
                [*command, *key_options(tmp_path)], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            counts.append(json.loads(done.stdout.splitlines()[-1])["last_count"])
    assert counts[1] > counts[0] > 1


def key_options(directory: Path) -> list[str]:
    path = directory / "key"
    path.write_text(CONFIG.secret_key.hex() + "\n")
    return ["--key-file", str(path), "--starting-code", str(CONFIG.starting_code)]


def test_a_charger_without_a_brain_is_told_what_it_lacks(tmp_path: Path) -> None:
    with simulated_unit(tmp_path, "--protocol", "vedirect") as unit, pytest.raises(DeviceError, match="no token entry"):
        kit.run(kit.Rig(unit.port, driver="vedirect"), DEVICE, kit.Orders(load(), tmp_path))


# The load's current on a unit without a control socket


class Bench:
    """A unit with a lamp on its output, as a driver sees it. switches: its relay works; tells: so does its meter."""

    takes_extended = True

    def __init__(self, *, switches: bool = True, tells: bool = True, ampere: float = 0.5) -> None:
        self._brain = PaygUnit(CONFIG, 1)
        self._switches, self._tells, self._ampere = switches, tells, ampere

    def identify(self) -> Info:
        return Info(DEVICE.serial, last_count=self._brain.state.count)

    def enter(self, token: str) -> Entry:
        said = self._brain.enter(token, 0)
        if said.reason is Reason.ACCEPTED:
            return Entry("accepted", self._brain.unlocked, self._brain.seconds_left)
        return Entry("already_used" if said.token_type is TokenType.ALREADY_USED else "invalid")

    def status(self) -> UnitStatus:
        return UnitStatus("active" if self._brain.active else "inactive", self._brain.seconds_left)

    def telemetry(self) -> Telemetry:
        on = self._brain.active
        current = self._ampere if on or not self._switches else 0.0
        return Telemetry(DEVICE.serial, output=on, load_current=current if self._tells else None)

    def switch_load(self, mode: str) -> Load:
        return Load("auto", self._brain.active)


def judged(bench: Bench, monkeypatch: pytest.MonkeyPatch, *ids: str, load_amperes: float = 0.4) -> dict[str, Result]:
    import hw_bridge.conformance.hands as module

    slept: list[float] = []
    driver: Any = lambda _transport, **_options: bench  # noqa: E731
    monkeypatch.setattr(module, "load_driver", lambda _name: driver)
    line: Any = None
    hands = Hands(DEVICE, line, Wire(), load_amperes=load_amperes, sleep=slept.append)
    runner = Runner(hands, Counts(1, 300))
    return {result.id: result for result in runner.run(choose(load(), ids))}


def test_current_that_follows_the_credit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(Bench(), monkeypatch, "O1", "O8")
    assert [found[name].verdict for name in ("O1", "O8")] == ["passed", "passed"]


def test_an_output_that_only_says_that_it_is_off_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(Bench(switches=False), monkeypatch, "O1", "O8")
    assert found["O1"].reason == "the unit says that its output is off, but 0.5 A flow there"
    assert found["O8"].reason == "current flows to the load, the reverse is right"


def test_an_output_that_only_says_that_it_is_on_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(Bench(ampere=0.0), monkeypatch, "O8")
    assert found["O8"].reason == "current does not flow to the load, the reverse is right"


def test_less_current_than_the_load_draws_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(Bench(ampere=0.2), monkeypatch, "O8")["O8"].reason == "the load draws 0.2 A, and not 0.4 A or nothing"


@pytest.mark.parametrize(("bench", "amperes"), [(Bench(), 0.0), (Bench(tells=False), 0.4)])
def test_without_a_load_or_a_meter_it_is_not_run(bench: Bench, amperes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(bench, monkeypatch, "O1", "O8", load_amperes=amperes)["O8"]
    assert (found.verdict, found.reason) == (
        "not run",
        "needs a load whose current the unit tells (--control, or --load-amperes)",
    )
