"""Plants the defects of firmware.toml one by one, in copies, and shows that the conformance kit finds each by name."""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_bridge.conformance import kit
from hw_bridge.conformance.catalogue import choose, load
from hw_bridge.conformance.results import Run
from hw_bridge.simulated import simulated_unit
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.errors import Problem
from paygo_core.toml import loads

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("firmware.toml")
FLAGS = ("-std=c99", "-O1", "-w", "-fPIC", "-Ipaygo_core/csrc", "-Ifirmware_sim/csrc", "-Ifirmware_sim/ports")
SPARED = ("Z1", "G3", "W20")
"""What a unit with one defect can still pass, unless its defect says otherwise."""
COUNTS = 2000
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"
"""BROKEN: the mutant did not build or did not start, or tests failed that have nothing to do with its defect."""


@dataclass(frozen=True)
class Edit:
    """`find`, which `file` has exactly once, becomes `replace`."""

    file: str
    find: str
    replace: str


@dataclass(frozen=True)
class Mutant:
    """A firmware with a defect: each of `tests` must fail of it, none of `spares` may."""

    rule: str
    edits: tuple[Edit, ...]
    breaks: str
    tests: tuple[str, ...]
    spares: tuple[str, ...] = SPARED
    divider: int = 1
    restricted: bool = False


def mutants() -> list[Mutant]:
    """The mutants of the data file, in its order."""
    found = []
    for row in loads(DATA.read_text("utf-8"))["mutant"]:
        first = Edit(row.pop("file"), row.pop("find"), row.pop("replace"))
        edits = (first, *(Edit(**edit) for edit in row.pop("also", ())))
        tests = tuple(row.pop("tests"))
        spares = tuple(row.pop("spares", SPARED))
        found.append(Mutant(edits=edits, tests=tests, spares=spares, **row))
    return found


def stale(found: Iterable[Mutant]) -> list[str]:
    """The mutants whose text is not there exactly once, or that change nothing."""
    said = []
    for mutant in found:
        for edit in mutant.edits:
            times = (ROOT / edit.file).read_text("utf-8").count(edit.find)
            if times != 1:
                said.append(f"{mutant.rule} ({mutant.breaks}): its text is {times} times in {edit.file}: {edit.find!r}")
            if edit.find == edit.replace:
                said.append(f"{mutant.rule} ({mutant.breaks}): it changes nothing")
    return said


class Tree:
    """A copy of the simulator with its firmware, built by itself: no defect is ever in the tree that people work in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("paygo_core", "firmware_sim"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "batch"))
        native = "firmware_sim/_native.c"
        emit = "from runpy import run_path; run_path('firmware_sim/_native_build.py')['ffibuilder'].emit_c_code('{}')"
        self._run(sys.executable, "-c", emit.format(native))
        rooms = (folder / "paygo_core" / "csrc", folder / "firmware_sim" / "csrc")
        sources = [
            native,
            "firmware_sim/ports/woken.c",
            *(path.relative_to(folder).as_posix() for room in rooms for path in sorted(room.glob("*.c"))),
        ]
        self._objects = {source: self._compile(source, source.replace("/", "-") + ".o") for source in sources}
        self._link(self._objects)

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True, timeout=120)

    def _compile(self, source: str, target: str) -> str:
        python = [f"-I{sysconfig.get_path('include')}"] if source.endswith("_native.c") else []
        self._run("gcc", *FLAGS, *python, "-c", source, "-o", target)
        return target

    def _link(self, objects: dict[str, str]) -> None:
        (self.folder / "firmware_sim" / "_native.abi3.so").unlink(missing_ok=True)
        self._run("gcc", "-shared", *objects.values(), "-o", "firmware_sim/_native.abi3.so")

    def plant(self, mutant: Mutant) -> None:
        """Builds the firmware with the defect; the sources stay sound."""
        objects = dict(self._objects)
        sound: dict[str, str] = {}
        try:
            for edit in mutant.edits:
                path = self.folder / edit.file
                text = path.read_text("utf-8")
                sound.setdefault(edit.file, text)
                path.write_text(text.replace(edit.find, edit.replace), "utf-8")
            for number, file in enumerate(sound):
                objects[file] = self._compile(file, f"planted-{number}.o")
        finally:
            for file, text in sound.items():
                (self.folder / file).write_text(text, "utf-8")
        self._link(objects)

    def certify(self, mutant: Mutant) -> Run:
        """Runs the tests that must fail and those that must not."""
        config = DeviceConfig.from_hex(
            "bc41ec9530f6dac86b1a29ab82edc5fb",
            516959010,
            time_divider=mutant.divider,
            restricted_digit_set=mutant.restricted,
        )
        with (
            tempfile.TemporaryDirectory(dir=self.folder) as folder,
            simulated_unit(Path(folder), tree=self.folder) as unit,
        ):
            tests = choose(load(), (*mutant.tests, *mutant.spares))
            orders = kit.Orders(tests, Path(folder, "out"), budget=COUNTS, allow_unlock=True)
            rig = kit.Rig(unit.port, control=unit.control, timeout=2)
            return kit.run(rig, Device("SLT220000001", config), orders)


def judge(mutant: Mutant, trees: queue.Queue[Tree]) -> tuple[str, str]:
    """What became of a mutant: the verdict, and why."""
    tree = trees.get()
    try:
        tree.plant(mutant)
        outcome = tree.certify(mutant)
    except subprocess.CalledProcessError as error:
        return BROKEN, f"it does not build: {error.stderr.strip()[:300]}"
    except Problem as problem:
        return BROKEN, f"it does not start: {problem.cause}"
    finally:
        trees.put(tree)
    ended = {result.id: result for result in outcome.results}
    unheard = [name for name in mutant.tests if ended[name].verdict != "failed"]
    if unheard:
        told = "; ".join(f"{name} {ended[name].verdict} {ended[name].reason}".strip() for name in unheard)
        return SURVIVED, told
    hurt = [
        f"{name} {ended[name].verdict}: {ended[name].reason}"
        for name in mutant.spares
        if ended[name].verdict != "passed"
    ]
    return (BROKEN, "; ".join(hurt)) if hurt else (CAUGHT, ended[mutant.tests[0]].reason)


def judged(found: list[Mutant], lanes: int) -> Iterator[tuple[Mutant, str, str]]:
    """Each mutant with its verdict, after the sound firmware has passed every named test."""
    with tempfile.TemporaryDirectory(prefix="paygo-kit-mutants-") as folder:
        trees: queue.Queue[Tree] = queue.Queue()
        with ThreadPoolExecutor(lanes) as pool:
            for tree in pool.map(Tree, [Path(folder, str(lane)) for lane in range(lanes)]):
                trees.put(tree)
            first = trees.get()
            wrong = []
            for divider, restricted in sorted({(mutant.divider, mutant.restricted) for mutant in found}):
                named = {t for m in found if (m.divider, m.restricted) == (divider, restricted) for t in m.tests}
                sound = Mutant("", (), "", tuple(sorted(named)), (), divider, restricted)
                outcome = first.certify(sound)
                wrong += [f"{r.id} {r.verdict}: {r.reason}" for r in outcome.results if r.verdict != "passed"]
            if wrong:
                sys.exit("these do not pass without a defect:\n" + "\n".join(wrong))
            trees.put(first)
            for mutant, (verdict, why) in zip(found, pool.map(lambda m: judge(m, trees), found), strict=True):
                yield mutant, verdict, why


def main() -> int:
    """The exit status: 0 when every mutant was caught by the tests that it names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "only", nargs="?", help="only mutants of this rule, as in T14, or with this word in what breaks"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--lanes", type=int, default=3, help="how many at once")
    arguments = parser.parse_args()
    only = arguments.only
    found = [mutant for mutant in mutants() if only is None or only == mutant.rule or only in mutant.breaks]
    if not found:
        parser.error(f"no mutant of {only}")
    if said := stale(found):
        sys.exit("\n".join(said))
    rows: list[dict[str, Any]] = []
    for mutant, verdict, why in judged(found, arguments.lanes):
        rows.append(
            {"rule": mutant.rule, "breaks": mutant.breaks, "verdict": verdict, "tests": mutant.tests, "why": why}
        )
        if not arguments.json:
            print(f"{mutant.rule:<4} {verdict:<8} {mutant.breaks:<80} {', '.join(mutant.tests)}", flush=True)
            if verdict != CAUGHT:
                print(f"     {why}", flush=True)
    caught = sum(row["verdict"] == CAUGHT for row in rows)
    if arguments.json:
        print(json.dumps({"mutants": rows, "caught": caught}, indent=1))
    else:
        print(f"{len(rows)} firmwares with a defect: {caught} caught by the tests that have to")
    return 0 if caught == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
