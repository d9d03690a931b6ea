"""`paygo bridge reconcile`: the registry learns the unit's count, and is told what makes the next token work."""

from __future__ import annotations

import json

import pytest
from fake_hdk import FakeHdk, PlusUnit, checked

from hw_bridge.cli_reconcile import compare
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DecoderState, DeviceConfig, TokenType, decode_token
from paygo_core.cli import root
from paygo_core.device import Device
from paygo_core.registry import Registry
from paygo_core.shell import run

KEY = "0f9ab80edc05fbbc41ec9530f6da0ab1"
CONFIG = DeviceConfig.from_hex(KEY, 123456789)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Registry.open(tmp_path / "paygo.db") as opened:
        opened.add(Device("A1", CONFIG, 10))
        yield opened


def reaches(registry: Registry, unit: int, behind: bool | None) -> bool:
    """Whether a unit whose last count is `unit` takes what is advised, and then the next token."""
    state = DecoderState(unit)
    if behind is not None:
        sync = registry.issue_sync("A1", behind=behind)
        decoded = decode_token(CONFIG, sync.digits, state)
        if not decoded.accepted:
            return False
        state = decoded.state
    decoded = decode_token(CONFIG, registry.issue("A1", value=7).digits, state)
    return decoded.accepted and decoded.token_type is TokenType.ADD_TIME


@pytest.mark.parametrize("count", [10, 11, 72, 73, 74, 75, 100, 107, 108, 109, 110, 500])
@pytest.mark.parametrize("unit", [10, 11])
def test_what_is_advised_makes_the_next_token_work(registry, count, unit):
    registry.advance("A1", count)
    found = compare(registry, "A1", unit)
    assert found.moved == (unit > count)
    behind = None if not found.command or found.moved else "--behind" in found.command
    if found.command.startswith("paygo device show"):
        assert not reaches(registry, unit, None)
        assert count - unit > 90
    else:
        assert reaches(registry, unit, behind), found
        if behind is not None:
            assert count - unit > 60, "no sync where none is needed"


def test_a_registry_that_is_behind_goes_up_on_the_record(registry):
    found = compare(registry, "A1", 300, "amina")
    assert (found.moved, found.registry, found.unit) == (True, 10, 300)
    assert found.command == "paygo device token A1 --sync --behind"
    assert registry.device("A1").count == 300
    [note] = registry.notes("A1")
    assert (note.kind, note.text, note.noted_by) == ("sync", "the unit's count is 300, the registry's was 10", "amina")
    assert reaches(registry, 300, True)


def test_the_shell_compares_and_enters_the_sync(registry, tmp_path, capsys):
    with simulated_unit(tmp_path) as running:
        with Transport(running.port) as transport:
            HdkDriver(transport).provision(Device("A1", CONFIG, 200))
        assert run(root, ["bridge", "reconcile", running.port, "--by", "amina"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("A1: the unit's count is 200, the registry had 10, and has 200 now\n")
        registry.advance("A1", 285)
        assert run(root, ["bridge", "reconcile", running.port, "--sync", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["unit"], facts["registry"], facts["moved"]) == (200, 285, False)
        assert facts["entered"]["count"] == 287
        assert run(root, ["bridge", "reconcile", running.port]) == 0
        assert "count is 287, the registry had 287\nthe next token works\n" in capsys.readouterr().out


def test_a_unit_that_cannot_tell_is_one_sentence(registry, capsys):
    with FakeHdk(CONFIG) as unit:
        assert run(root, ["bridge", "reconcile", unit.port]) == 1
    assert "take tokens that it accepted: paygo device reconcile" in capsys.readouterr().err
    with PlusUnit(INFO=[checked("INFO;;M;B;0.1;0;0")]) as unit:
        assert run(root, ["bridge", "reconcile", unit.port]) == 1
    with PlusUnit(INFO=[checked("INFO;B2;M;B;0.1;3;1")]) as unit:
        assert run(root, ["bridge", "reconcile", unit.port]) == 2
    assert "no device 'B2'" in capsys.readouterr().err
