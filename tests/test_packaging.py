"""What is built: one wheel a platform, with the C headers and the data in it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import paygo_core._native

ROOT = Path(__file__).parent.parent


def test_the_extension_uses_the_stable_abi() -> None:
    assert paygo_core._native.__file__ is not None
    assert ".abi3." in paygo_core._native.__file__


def test_the_wheel_is_for_every_python_and_has_what_it_needs(tmp_path: Path) -> None:
    # A copy, since building writes into the tree, where other tests run.
    source = tmp_path / "source"
    made = shutil.ignore_patterns("*.so", "_native.c", "_fleet.c", "__pycache__")
    for room in ("paygo_core", "firmware_sim", "hw_bridge"):
        shutil.copytree(ROOT / room, source / room, ignore=made)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    built = tmp_path / "built"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(built), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = built.iterdir()
    assert "-cp310-abi3-" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "paygo_core/_native.abi3.so",
        "firmware_sim/_native.abi3.so",
        "firmware_sim/_fleet.abi3.so",
        "paygo_core/csrc/unit.h",
        "firmware_sim/csrc/firmware.h",
        "firmware_sim/mcu/simavr_host.c",
        "firmware_sim/scenario/shipped/sunny-week.toml",
        "firmware_sim/ports/hal.h",
        "firmware_sim/ports/main.c",
        "firmware_sim/ports/atmega328p/hal.c",
        "firmware_sim/ports/cortex_m3/hal.c",
        "firmware_sim/ports/cortex_m3/lm3s6965.ld",
        "paygo_core/report/page.html.j2",
        "hw_bridge/conformance/official.toml",
    } <= names
    assert not any(name.startswith(("tests/", "bench/")) for name in names)
