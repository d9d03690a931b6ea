"""The README's tutorial, typed in two terminals as it stands there; its Python example; its words about commands."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def command(line: str, directory: Path) -> list[str]:
    """A `paygo …` line of the tutorial with its scratch files in `directory`."""
    name, *words = shlex.split(line.replace("/tmp/", f"{directory}/"))
    assert name == "paygo"
    return PAYGO + words


def run(line: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(line, directory), cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)


def start_unit(line: str, directory: Path) -> "subprocess.Popen[str]":
    unit = subprocess.Popen(command(line, directory), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert unit.stderr is not None
    assert str(directory) in unit.stderr.readline()  # it is ready when it says where it is
    return unit


def stop_unit(unit: "subprocess.Popen[str]", directory: Path) -> None:
    unit.send_signal(signal.SIGINT)
    assert unit.stderr is not None
    with unit.stderr:
        assert unit.wait(30) == 130
    assert not (directory / "unit").is_symlink()
    assert not (directory / "unit.control").exists()


def test_the_tutorial_works_in_two_terminals(tmp_path: Path) -> None:
    first, second, third = blocks("console")
    serve = re.search(r"^\(unit\) \$ (.*)$", first, flags=re.MULTILINE)
    assert serve is not None
    steps = re.findall(r"^\$ (.*)$", second, flags=re.MULTILINE)
    token = ""
    unit = start_unit(serve[1], tmp_path)
    try:
        for step in steps:
            done = run(step.replace("<the token>", token), tmp_path)
            assert done.returncode == 0, (step, done.stderr)
            if "device token" in step:
                token = done.stdout.strip().splitlines()[0]
        assert token
    finally:
        stop_unit(unit, tmp_path)

    unit = start_unit(serve[1], tmp_path)
    try:
        status = run("paygo bridge status /tmp/unit", tmp_path)
        assert status.returncode == 0
        assert "active" in status.stdout
        replay = run(f'paygo bridge enter /tmp/unit "{token}" --registry /tmp/fleet.db', tmp_path)
        assert replay.returncode == 1
        assert "used" in replay.stdout + replay.stderr
    finally:
        stop_unit(unit, tmp_path)

    serve = re.search(r"^\(unit\) \$ (.*)$", third, flags=re.MULTILINE)
    assert serve is not None
    (certify,) = re.findall(r"^\$ (.*)$", third, flags=re.MULTILINE)
    unit = start_unit(serve[1], tmp_path)
    try:
        certified = run(certify, tmp_path)
        assert certified.returncode == 0, certified.stdout + certified.stderr
        assert "passed, 0 failed" in certified.stdout
        assert (tmp_path / "conform" / "certificate.html").exists()
    finally:
        stop_unit(unit, tmp_path)


def test_the_python_example_is_true() -> None:
    (example,) = blocks("python")
    exec(example, {})


def test_the_documents_that_are_linked_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_command_teaches_with_an_example() -> None:
    shown = subprocess.run([*PAYGO, "--help"], check=True, capture_output=True, text=True).stdout
    groups = re.findall(r"^  ([a-z]+) ", shown.partition("Commands:\n")[2], flags=re.MULTILINE)
    assert {"bridge", "demo", "device", "doctor", "sim", "token"} <= set(groups)
    for group in groups:
        shown = subprocess.run([*PAYGO, group, "--help"], check=True, capture_output=True, text=True).stdout
        names = re.findall(r"^  ([a-z]+) ", shown.partition("Commands:\n")[2], flags=re.MULTILINE)
        for words in [[group, name] for name in names] or [[group]]:
            text = subprocess.run([*PAYGO, *words, "--help"], check=True, capture_output=True, text=True).stdout
            assert f"paygo {' '.join(words)}" in text.partition("Options:")[0].partition("\n")[2], words
            assert "--json" in text
            assert "--debug" in text
