"""Defects planted in the control law, one at a time: its test fails of each, and each changes what a fleet comes to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFECTS = {
    "an over-voltage does not stop the charge": (
        "stops = (paygo_law_flag)law->overvoltage.active | (paygo_law_flag)law->panel.active",
        "stops = (paygo_law_flag)law->panel.active",
    ),
    "a protection trips beyond its threshold only": (
        "law_reaches(reading, threshold)",
        "law_not(law_reaches(threshold, reading))",
    ),
    "a protection forgets its delay": (
        "PAYGO_LAW_IF((paygo_law_int)held >= delay_s)",
        "PAYGO_LAW_IF((paygo_law_int)held >= delay_s - delay_s)",
    ),
    "there is no hysteresis": (
        "paygo_law_int threshold = law_choose(was, law_all(clear)",
        "paygo_law_int threshold = law_choose(was, law_all(trip)",
    ),
    "a load's sag counts as low": ("battery_mv + sag_mv, &battery->undervoltage", "battery_mv, &battery->undervoltage"),
    "temperature does not compensate": (
        "law_scaled(law_all(250), compensation) -",
        "law_scaled(compensated_dc, compensation) -",
    ),
    "absorption never ends": (
        "to_float = (in_absorption & absorbed & law_not(equalise_due)) | equalised;",
        "to_float = equalised;",
    ),
    "float never falls back to bulk": ("to_bulk = dawn | (in_float", "to_bulk = dawn & (in_float"),
    "a short circuit is tried for ever": (
        "law_choose(given_up, law_all(PAYGO_LAW_NEVER)",
        "law_choose(given_up, law_all(5)",
    ),
    "the output is on without credit": ("readings->wanted &", "~law_only(0 & readings->wanted, law_all(1)) &"),
}


def built(tree: Path, program: str, *sources: str) -> subprocess.CompletedProcess[str]:
    flags = ["-std=c99", "-O1", "-w", "-ffp-contract=off"]
    rooms = ["-Ifirmware_sim/fleet/csrc", "-Ifirmware_sim/csrc", "-Ipaygo_core/csrc"]
    subprocess.run(["gcc", *flags, *rooms, *sources, "-o", program], cwd=tree, check=True)
    return subprocess.run([f"./{program}"], cwd=tree, check=False, capture_output=True, text=True)


def tree_with(directory: Path, before: str, after: str) -> Path:
    for room in ("firmware_sim/fleet/csrc", "firmware_sim/csrc", "paygo_core/csrc", "tests/c"):
        shutil.copytree(ROOT / room, directory / room)
    law = directory / "firmware_sim/csrc/law_step.h"
    text = law.read_text("utf-8")
    assert text.count(before) == 1, before
    law.write_text(text.replace(before, after), "utf-8")
    return directory


def fleet(tree: Path) -> str:
    sources = [str(path.relative_to(tree)) for path in sorted((tree / "firmware_sim/fleet/csrc").glob("*.c"))]
    ended = built(tree, "fleet", *sources, "firmware_sim/csrc/law.c", "tests/c/fleet.c")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fleet(
        tree_with(tmp_path_factory.mktemp("sound") / "tree", "#ifndef PAYGO_LAW_STEP_H", "#ifndef PAYGO_LAW_STEP_H")
    )


@pytest.mark.parametrize(("before", "after"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_in_the_law_is_noticed(tmp_path: Path, sound: str, before: str, after: str) -> None:
    tree = tree_with(tmp_path / "tree", before, after)
    assert built(tree, "law", "firmware_sim/csrc/law.c", "tests/c/test_law.c").returncode == 1
    assert fleet(tree) != sound


NOISY = {
    "nothing": ("#ifndef PAYGO_LAW_STEP_H", "#ifndef PAYGO_LAW_STEP_H"),
    "a protection trips beyond its threshold only": DEFECTS["a protection trips beyond its threshold only"],
    "a protection forgets its delay": DEFECTS["a protection forgets its delay"],
    "there is no hysteresis": DEFECTS["there is no hysteresis"],
    "an overload is over at once": ("law_all(PAYGO_LAW_GOOD_S)", "law_all(PAYGO_LAW_TRIES)"),
    "heat has no hysteresis": ("law_hot PAYGO_FLASH = {0, -100, 0, 0}", "law_hot PAYGO_FLASH = {0, -1, 0, 0}"),
}


@pytest.mark.parametrize(("before", "after"), NOISY.values(), ids=NOISY)
def test_no_alert_flaps_or_is_lost_under_noise(tmp_path: Path, before: str, after: str) -> None:
    """tests/c/test_law_noise.c: nothing to complain of, but where a defect is planted."""
    tree = tree_with(tmp_path / "tree", before, after)
    ended = built(tree, "noise", "firmware_sim/csrc/law.c", "tests/c/test_law_noise.c")
    assert ended.returncode == (before != after), ended.stderr
