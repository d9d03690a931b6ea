"""The demo as a stranger runs it: it passes on a good unit and says where a broken one fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from paygo_core.registry import Registry


def run_demo(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from paygo_core.cli import main; main()", "demo", "-o", str(directory), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)


def test_every_step_is_confirmed_by_a_good_unit(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    *steps, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(steps) == 12
    assert all(step["confirmed"] for step in steps)
    assert last["confirmed"]
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "every step confirmed by the unit" in page
    assert not list(tmp_path.glob("*.part"))
    assert_opens_without_a_network(page)
    with Registry.open(tmp_path / "registry.db") as registry:
        (device,) = registry.devices()
        counts = [issued.token.count for issued in registry.tokens(device.serial)]
    assert counts == sorted(set(counts))
    for form in (device.config.secret_key.hex(), device.config.secret_key.hex().upper()):
        assert form not in page + done.stdout + done.stderr


def assert_opens_without_a_network(page: str) -> None:
    """No tag of the page loads anything; addresses inside the plotting library's code are not loaded by it."""
    markup = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=", markup)
    assert not re.findall(r"<script[^>]*\bsrc\b", page)
    assert "@import" not in markup


@pytest.mark.parametrize(
    ("sabotage", "status", "where"),
    [
        ("replay", 1, "the same token again is refused"),
        ("output", 1, "add 7 days"),
        ("alert", 1, "the over-voltage alert becomes an action"),
        ("count", 1, "a power cut costs neither credit nor counts"),
        ("mute", 4, "provision over the line"),
    ],
)
def test_a_broken_unit_fails_at_the_step_that_shows_it(tmp_path: Path, sabotage: str, status: int, where: str) -> None:
    done = run_demo(tmp_path, "--sabotage", sabotage)
    assert done.returncode == status, done.stderr
    assert where in done.stderr.splitlines()[-1]
    assert "FAIL" in done.stdout.splitlines()[-2]
    assert "failed" in (tmp_path / "report.html").read_text("utf-8")


def test_an_output_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_demo(tmp_path / "file" / "demo")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
