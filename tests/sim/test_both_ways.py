"""A thousand random units for a month, in the fleet's engine and in the whole firmware: the same states and alerts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("firmware_sim/fleet/csrc", "firmware_sim/csrc", "paygo_core/csrc", "tests/c")

DEFECTS = {
    "the output is wanted without credit": ("wanted ? -1 : 0", "-1"),
    "every battery has 18 Ah": ("(int32_t)charger->capacity_ah);", "18);"),
    "a restart lifts the protections": ("board_of(charger), alerts);", "board_of(charger), 0);"),
    "a peak is counted twice": ("if (changes || judged) {", "if (changes) {"),
}


def both_ways(tree: Path, *, blocks: int, days: int) -> subprocess.CompletedProcess[str]:
    """Builds and runs tests/c/both_ways.c: blocks of 64 units."""
    sources = [
        *sorted((tree / "firmware_sim/fleet/csrc").glob("*.c")),
        *sorted((tree / "firmware_sim/csrc").glob("*.c")),
        *sorted((tree / "paygo_core/csrc").glob("*.c")),
        *sorted((tree / "tests/c").glob("both_ways*.c")),
    ]
    flags = ["-std=c99", "-O2", "-w", "-ffp-contract=off", *(f"-I{tree / room}" for room in ROOMS)]
    program = tree / "both_ways"
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(program)], check=True)
    ran = [str(program), str(blocks), str(days), "20260105"]
    return subprocess.run(ran, check=False, capture_output=True, text=True)


def copied(directory: Path) -> Path:
    for room in ROOMS:
        shutil.copytree(ROOT / room, directory / room)
    return directory


def test_the_law_is_in_the_same_state_both_ways_at_every_step(tmp_path: Path) -> None:
    """Tokens over the console, troubles, restarts; each alert begins and ends as often in the one as in the other."""
    ended = both_ways(copied(tmp_path), blocks=16, days=30)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("1024 units, 30 days: 44236800 steps the same")


@pytest.mark.parametrize(("before", "after"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_between_firmware_and_law_is_noticed(tmp_path: Path, before: str, after: str) -> None:
    """One that only the firmware has, since a defect of the law itself is in both."""
    tree = copied(tmp_path)
    charger = tree / "firmware_sim/csrc/charger.c"
    text = charger.read_text("utf-8")
    assert text.count(before) == 1
    charger.write_text(text.replace(before, after), "utf-8")
    ended = both_ways(tree, blocks=4, days=6)
    assert ended.returncode == 1
    assert "in the engine" in ended.stderr
