"""The pytest plugin, as a manufacturer uses it: in a process of its own, on a simulated unit and on a port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hw_bridge.simulated import simulated_unit
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.registry import Registry

TESTS = """
import pytest

def test_my_thing(paygo_unit):
    assert paygo_unit.enter(paygo_unit.server.add(days=7)).verdict == "accepted"
    assert paygo_unit.driver.status().seconds_left > 6 * 86400
    assert paygo_unit.enter(paygo_unit.server.set(units=0)).verdict == "accepted"
    assert paygo_unit.driver.status().state == "inactive"

def test_it_stays_off(paygo_unit):
    assert paygo_unit.driver.status().state == "active"

@pytest.mark.paygo_needs("power", "clock")
def test_power(paygo_unit, paygo_server):
    paygo_unit.enter(paygo_server.add(2))
    paygo_unit.power_cycle()
    paygo_unit.control.advance(86400)
    assert paygo_unit.driver.status().seconds_left < 86400

@pytest.mark.paygo_needs("restricted")
def test_four_keys(paygo_unit):
    raise AssertionError("it has ten keys")
"""


def run(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_unit.py").write_text(TESTS)
    (directory / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=100)


def test_without_a_port_the_unit_is_a_simulated_one(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert "1 failed, 2 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "test_it_stays_off" in done.stdout
    assert "the unit lacks restricted" in done.stdout


def test_a_unit_on_a_port_has_its_counts_from_the_registry(tmp_path: Path) -> None:
    device = Device("SLT1", DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010))
    database = tmp_path / "fleet.db"
    with Registry.open(str(database), create=True) as registry:
        registry.add(device)
    with simulated_unit(tmp_path) as unit:
        rig = tmp_path / "rig.toml"
        rig.write_text(f'[[unit]]\nname = "one"\nport = "{unit.port}"\nserial = "SLT1"\n')
        setup = [sys.executable, "-c", "from paygo_core.cli import main; main()", "bridge", "provision", unit.port]
        subprocess.run([*setup, "--serial", "SLT1", "--registry", str(database)], check=True, capture_output=True)
        done = run(tmp_path, "--paygo-rig", f"{rig}:one", "--paygo-registry", str(database), "-k", "my_thing or power")
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "the unit lacks clock, power" in done.stdout
    with Registry.open(str(database)) as registry:
        assert [token.reason for token in registry.tokens("SLT1")] == ["test", "test"]
        assert registry.device("SLT1").count > 2


def test_a_port_without_a_registry_is_wrong_use(tmp_path: Path) -> None:
    done = run(tmp_path, "--paygo-port", str(tmp_path / "none"))
    assert done.returncode != 0
    assert "--paygo-serial and --paygo-registry" in done.stdout + done.stderr
