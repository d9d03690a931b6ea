"""Ctrl-C and a killed parent: no process, no link, no half-written file stays."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]

# The console script, interrupted when it comes to import the given module.
LOADING = """
import os, signal, sys
from importlib.metadata import entry_points
(script,) = entry_points(group="console_scripts", name="paygo")
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == at:
            os.kill(os.getpid(), signal.SIGINT)
at = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupting())
script.load()()
"""


def processes_below(directory: Path) -> list[int]:
    """Processes whose command line names the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(directory).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_gone(pid: int) -> None:
    """Waits until a process that is not our child has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 30)[0], "the process is still there"
    finally:
        os.close(handle)


def start_demo(scratch: Path) -> "subprocess.Popen[str]":
    """A demo in mid-story: its first steps are told."""
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    demo = subprocess.Popen(
        [*PAYGO, "demo", "-o", str(scratch / "out")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert demo.stdout is not None
    for _ in range(3):
        assert "ok" in demo.stdout.readline()
    return demo


def test_ctrl_c_in_mid_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    units = [pid for pid in processes_below(tmp_path) if pid != demo.pid]
    assert units
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=30)
    assert demo.returncode == 130
    for pid in units:
        wait_gone(pid)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "registry.db"]


def test_a_killed_demo_takes_its_unit_with_it(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    units = [pid for pid in processes_below(tmp_path) if pid != demo.pid]
    assert units
    demo.kill()
    demo.communicate(timeout=30)
    for pid in units:
        wait_gone(pid)
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink() or path.is_socket()]


@pytest.mark.parametrize(
    ("at", "status", "said"),
    [
        ("paygo_core", -signal.SIGINT, ""),
        ("click", -signal.SIGINT, ""),
        ("paygo_core.shell", -signal.SIGINT, ""),
        ("paygo_core.cli_token", 130, "paygo: interrupted\n"),
    ],
)
def test_ctrl_c_while_a_command_is_loaded_gives_no_traceback(at: str, status: int, said: str) -> None:
    words = [sys.executable, "-c", LOADING, at, "token", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", said)


@pytest.mark.parametrize("at", ["click", "paygo_core.cli_token"])
def test_where_ctrl_c_is_ignored_it_stays_so(at: str) -> None:
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    words = [*ignoring, sys.executable, "-c", LOADING, at, "token", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
