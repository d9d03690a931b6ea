"""`paygo doctor`: each thing that hinders is found on a machine that has it, and said with what to do."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import pty
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw_bridge import doctor
from paygo_core.cli import root
from paygo_core.shell import run


@pytest.fixture
def port() -> Iterator[str]:
    """A pty that nobody but this test holds."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield name
    os.close(master)


@pytest.fixture
def paygo(capfd, tmp_path, monkeypatch):
    """Runs `paygo doctor` in an empty directory; gives the exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("PAYGO_PORT", "PAYGO_REGISTRY"):
        monkeypatch.delenv(name, raising=False)

    def paygo(*arguments: str) -> tuple[int, str]:
        status = run(root, ["doctor", *arguments])
        return status, capfd.readouterr().out

    return paygo


def machine(path: Path, *running: str) -> Path:
    """A root directory on which these programs run."""
    for number, name in enumerate(running, 1):
        (path / "proc" / str(number)).mkdir(parents=True)
        (path / "proc" / str(number) / "comm").write_text(name + "\n")
    return path


def test_a_free_port_is_fine(paygo, port):
    status, out = paygo(port)
    assert status == 0
    assert f"port {port}: you may open it, and nobody holds it" in out


def test_a_busy_port_is_named_with_its_holder(paygo, port):
    with open(port, "rb", buffering=0) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        status, out = paygo(port)
    assert status == 3
    assert f"problem port {port}: this program (process {os.getpid()}) holds it" in out
    assert "close that program" in out


def test_a_busy_port_that_nobody_asked_for_is_only_noted(port):
    with open(port, "rb", buffering=0):
        assert doctor.local_port(port, wanted=False).state == "note"


@pytest.mark.parametrize(
    ("name", "found"),
    [("/dev/ttyUSB_none", "there is no such port"), ("file", "it is not a serial port"), ("x://y", "it is no port")],
)
def test_what_is_no_port_is_said_to_be_none(paygo, tmp_path, name, found):
    (tmp_path / "file").touch()
    status, out = paygo(name)
    assert status == 3
    assert found in out


def test_a_remote_port_is_there_or_not(paygo):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        assert paygo(url)[0] == 0
    status, out = paygo(url)
    assert status == 3
    assert "nobody answers there" in out


def denied(mode: int, monkeypatch: pytest.MonkeyPatch, members: list[str], groups: list[int]) -> doctor.Finding:
    """What is said of a port of group 4242 that this user may not open."""
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name="dialout", gr_mem=members))
    monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="ana"))
    monkeypatch.setattr("os.getgroups", lambda: groups)
    monkeypatch.setattr("os.access", lambda *_: False)
    look = os.stat_result((stat.S_IFCHR | mode, 0, 0, 1, 0, 4242, 0, 0, 0, 0))
    monkeypatch.setattr(Path, "stat", lambda _: look)
    return doctor.local_port("/dev/ttyUSB0", wanted=True)


@pytest.mark.parametrize(
    ("mode", "members", "groups", "advice"),
    [
        (0o660, [], [], "sudo usermod -aG dialout ana, then log in again"),
        (0o660, ["ana"], [], "log out and in again"),
        (0o600, [], [], "set a udev rule for it"),
    ],
)
def test_who_may_not_open_a_port_is_told_what_to_do(monkeypatch, mode, members, groups, advice):
    finding = denied(mode, monkeypatch, members, groups)
    assert (finding.state, finding.advice) == ("problem", advice)


@pytest.mark.parametrize("name", ["ModemManager", "brltty"])
@pytest.mark.parametrize(("has_usb_port", "state"), [(True, "problem"), (False, "note")])
def test_programs_that_grab_ports_are_found_where_they_run(tmp_path, name, has_usb_port, state):
    here = machine(tmp_path, "bash", name)
    states = {finding.name: finding.state for finding in doctor.services(here, has_usb_port)}
    assert states == {"ModemManager": "ok", "brltty": "ok"} | {name: state}


@pytest.mark.parametrize(("mode", "status"), [(0o644, 1), (0o600, 0)])
def test_a_registry_that_others_may_read_is_a_problem(paygo, tmp_path, port, mode, status, monkeypatch):
    registry = tmp_path / "fleet.db"
    registry.touch()
    registry.chmod(mode)
    monkeypatch.setenv("PAYGO_REGISTRY", str(registry))
    found, out = paygo(port)
    assert found == status
    assert ("chmod 600" in out) == bool(status)


def test_a_missing_extra_is_told_with_its_command(monkeypatch):
    def version(name: str) -> str:
        if name == "numpy":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr("importlib.metadata.version", version)
    found = {finding.name: finding for finding in doctor.extras()}
    assert (found["batch"].state, found["batch"].advice) == ("note", "pip install 'paygo-solar[batch]'")
    assert found["postgresql"].state == "ok"
    assert not {"test", "check"} & set(found)


def test_a_missing_program_is_told_with_its_package(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert {finding.state for finding in doctor.programs()} == {"note"}
    assert any("apt-get install qemu-system-arm" in finding.advice for finding in doctor.programs())


def test_machines_read_one_object_a_finding(paygo, port):
    status, out = paygo(port, "--json")
    findings = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [(one["name"], one["state"]) for one in findings if one["topic"] == "port"] == [(port, "ok")]
    assert {finding["topic"] for finding in findings} >= {"version", "port", "service", "extra", "program"}
