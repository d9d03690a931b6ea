"""docs/bridge.md: its sessions, typed as they stand there against a simulated unit, print what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.gateway_config import read_config
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device

PAGE = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def sessions() -> list[tuple[str, str]]:
    """Each command of the page's console blocks, and what it prints there."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


def test_the_sessions_of_the_page_are_true(tmp_path):
    config = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
    assert len(sessions()) > 6
    with simulated_unit(tmp_path) as unit:
        with Transport(unit.port) as transport:
            HdkDriver(transport).provision(Device("SLT220000001", config))
        for command, printed in sessions():
            name, *words = shlex.split(command.replace("/tmp/", f"{tmp_path}/"))
            assert name == "paygo"
            done = subprocess.run(
                [*PAYGO, *words], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, (command, done.stderr)
            if printed:
                assert done.stdout == printed


def test_the_configuration_of_the_page_is_one(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("".join(re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)))
    config = read_config(path)
    assert {options["kind"] for options in config.sinks.values()} == {
        "sqlite",
        "jsonl",
        "mqtt",
        "metrics",
        "prometheus",
    }
    assert (config.units[0].interval, config.hotplug[0].interval) == (10, 60)
    assert [unit.payg for unit in config.units] == [False, True]
    assert config.registry == str(tmp_path / "fleet.db")
