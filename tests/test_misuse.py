"""Foreseeable misuse ends in one sentence and the right exit status, never in a defect of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw_bridge.actions import ActionStore
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device

PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]
KEY = "0a29ab82ed050bbc41ec9530f60dac86"
HEADER = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code\n"


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PAYGO, *words], cwd=directory, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "status", "about"),
    [
        (("bridge", "status", "spy:///dev/null"), 2, "spy:///dev/null"),
        (("bridge", "status", "hwgrep://("), 2, "hwgrep://("),
        (("bridge", "status", "socket://127.0.0.1:9?logging=debug"), 2, "socket://"),
        (("bridge", "status", ""), 3, "no port was named"),
        (("bridge", "status", "/dev/nothing", "--baud", "4294967296"), 2, "baud"),
        (("bridge", "status", "/dev/nothing", "--timeout", "nan"), 2, "nan"),
        (("sim", "serve", "--speed", "nan"), 2, "nan"),
        (("sim", "serve", "--charge", "nan"), 2, "nan"),
        (("sim", "serve", "--start-hour", "inf"), 2, "inf"),
        (("sim", "serve", "--tcp", "foo"), 2, "foo"),
        (("sim", "serve", "--tcp", "localhost:99999"), 2, "65535"),
        (("sim", "serve", "--control", "localhost:99999"), 2, "65535"),
        (("sim", "serve", "--control", ""), 2, "--control"),
        (("sim", "serve", "--link", "a", "--tcp", "localhost:0"), 2, "--tcp"),
    ],
)
def test_one_sentence_and_the_right_status(tmp_path: Path, words: tuple[str, ...], status: int, about: str) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == status, done.stderr
    assert about in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def shell(directory: Path, line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command line with redirections; `paygo` in it is ours."""
    program = 'paygo() { "$0" -c "from paygo_core.cli import main; main()" "$@"; }; '
    return subprocess.run(
        ["bash", "-c", program + line, sys.executable, *words],
        cwd=directory, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("configuration", "named"),
    [("token = 5\n", "token"), ("[token]\ngenerate = 5\n", "token.generate"), ("token = [1]\n", "token")],
)
def test_a_value_in_the_place_of_a_command_s_table_is_wrong_use(tmp_path: Path, configuration: str, named: str) -> None:
    (tmp_path / "paygo.toml").write_text(configuration)
    done = run(tmp_path, "token", "generate", "--key", KEY, "--count", "1", "--add", "7")
    assert done.returncode == 2, done.stderr
    assert f"paygo.toml has a value for {named}, which is a command (write a table [{named}]" in done.stderr
    assert run(tmp_path, "sim", "--help").returncode == 0


def test_a_configuration_for_another_command_is_passed_over(tmp_path: Path) -> None:
    """An option may have the name of a word that is typed."""
    (tmp_path / "paygo.toml").write_text('demo = 5\n[token.generate]\nadd = 7\ncount = "1"\n')
    done = run(tmp_path, "token", "generate", "--key", KEY, "--starting-code", "123456789")
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "demo").returncode == 2


@pytest.mark.parametrize("option", ["-o", "--quarantine"])
def test_a_name_that_no_file_can_have_is_wrong_use(tmp_path: Path, option: str) -> None:
    (tmp_path / "list.csv").write_text(f"{HEADER}SLT1,123456789,{KEY},1,1,0,,,\nSLT2,,,,,,,,\n")
    output = [] if option == "-o" else ["-o", "out.csv"]
    done = run(tmp_path, "token", "batch", "list.csv", "--add", "7", *output, option, "n" * 300)
    assert done.returncode == 2, done.stderr
    assert "File name too long" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


def test_a_key_from_a_closed_standard_input_is_wrong_use(tmp_path: Path) -> None:
    done = shell(tmp_path, "paygo token generate --key-file - --count 1 --add 7 <&-")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard input is closed" in done.stderr


@pytest.mark.parametrize("command", ["token generate --count 1 --add 7", "token audit", "--help"])
def test_a_full_standard_output_is_said_in_one_sentence(tmp_path: Path, command: str) -> None:
    done = shell(tmp_path, f"PAYGO_KEY={KEY} paygo {command} >/dev/full")
    said = [line for line in done.stderr.splitlines() if line.startswith("paygo: ")]
    assert done.returncode == 2, done.stderr
    assert said == [
        "paygo: standard output cannot be written: No space left on device "
        "(nothing is wrong with the device; look at where the output goes)"
    ]
    assert "Exception ignored" not in done.stderr


def test_a_full_standard_error_hides_no_result(tmp_path: Path) -> None:
    done = shell(tmp_path, f"PAYGO_KEY={KEY} paygo token generate --count 1 --add 7 2>/dev/full")
    assert done.returncode == 0
    assert len(done.stdout.strip()) == 9
    assert shell(tmp_path, "paygo token generate --count 1 2>/dev/full").returncode == 2


def test_a_closed_standard_output_is_no_defect(tmp_path: Path) -> None:
    done = shell(tmp_path, f"PAYGO_KEY={KEY} paygo token generate --count 1 --add 7 >&-")
    assert done.returncode == 0, done.stderr


def test_paygo_alone_shows_its_help(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: paygo")
    assert "Commands:" in done.stderr


def test_a_payment_for_less_than_a_unit_spends_no_count(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{HEADER}SLT1,123456789,{KEY},1,1,0,,,\n")
    assert run(tmp_path, "device", "import", "list.csv").returncode == 0
    done = run(tmp_path, "device", "token", "SLT1", "--add", "0.3")
    assert done.returncode == 2
    assert "0.3 days" in done.stderr
    assert run(tmp_path, "device", "token", "SLT1", "--add", "0.5", "--json").stdout.count('"count":2') == 1


def test_a_key_in_a_column_for_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{HEADER}SLT1,123456789,{KEY},1,1,0,{KEY},,\n")
    done = run(tmp_path, "device", "import", "list.csv")
    assert done.returncode == 1
    assert "Hardware Model" in done.stderr
    assert KEY not in done.stderr + done.stdout


def test_who_holds_a_port_is_the_program_and_not_the_unit(tmp_path: Path) -> None:
    with simulated_unit(tmp_path) as unit, Transport(unit.port):
        done = run(tmp_path, "bridge", "status", unit.port)
    assert done.returncode == 3
    assert f"(process {os.getpid()}) holds it" in done.stderr
    assert str(unit.process.pid) not in done.stderr


def test_an_alert_of_a_unit_whose_storage_was_replaced_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    """H19: the same serial number, a first start and a first event again, and yet another event."""
    device = Device("SLT1", DeviceConfig(bytes.fromhex(KEY), 123456789))
    with ActionStore.open(tmp_path / "fleet.db") as store:
        for life in range(2):
            room = tmp_path / str(life)
            room.mkdir()
            with (
                simulated_unit(room) as running,
                ControlClient(running.control) as control,
                Transport(running.port) as transport,
            ):
                unit = HdkDriver(transport)
                unit.provision(device)
                control.request("fault", name="battery_sensor_offset_v", value=6)
                control.advance(60)
                unit.telemetry()
                (alert,) = unit.poll(10)
                assert alert.raised
                assert store.record(device.serial, alert) is not None
                assert store.record(device.serial, alert) is None
                unit.acknowledge(alert)
        (action,) = store.open_actions()
        assert action.times == 2


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://paygo:p@ss:w0rd@db.example.org/fleet",
        "postgresql://127.0.0.1:543x/fleet",
        "postgresql://nobody@[::1/fleet",
        "sqlite://x:y/fleet",
    ],
)
def test_a_registry_s_url_that_cannot_be_read_is_wrong_use(tmp_path: Path, url: str) -> None:
    """And no part of a password is told."""
    done = run(tmp_path, "device", "list", "--registry", url)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "URL" in done.stderr
    assert "w0rd" not in done.stderr


def test_a_registry_whose_server_has_no_such_name_is_unavailable(tmp_path: Path) -> None:
    done = run(tmp_path, "device", "list", "--registry", "postgresql://paygo@registry.invalid/fleet")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "the server cannot be reached" in done.stderr


def test_a_full_disk_is_not_taken_for_a_full_standard_output(tmp_path: Path) -> None:
    code = "from paygo_core import cli, shell; import click, os; cli.root.add_command(click.Command('x', callback=f))"
    code = code.replace("callback=f", "callback=lambda: os.write(os.open('/dev/full', os.O_WRONLY), b'x')")
    done = shell(tmp_path, f"{sys.executable} -c \"{code}; raise SystemExit(shell.run(cli.root, ['x']))\"")
    assert (done.returncode, done.stderr) == (
        3,
        "paygo: a file cannot be written: No space left on device (make room on the disk)\n",
    )
