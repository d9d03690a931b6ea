"""Which lines of the C the tests run, and why the others cannot be run: `make coverage`.

In a copy of the tree, the C tests and the Python tests that drive the C run on a build that counts lines. Fails when a
line was never run that uncovered.toml does not explain, when an explanation there has become stale, or when the fuzz
targets' seeds do not enter a public function.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any

from paygo_core.simd import available_simd
from paygo_core.toml import loads

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "coverage"
TREE = OUTPUT / "tree"
ROOMS = ("paygo_core/csrc", "paygo_core/csrc/batch", "firmware_sim/csrc")
INCLUDES = ("-Ipaygo_core/csrc", "-Ifirmware_sim/csrc", "-Ifirmware_sim/ports")

COUNTING = ("-O0", "--coverage", "-fprofile-update=atomic", "-frandom-seed=1")
"""The seed lets two extensions that hold the same file count into the same place."""

UNCOUNTED = "test_a_denied_registry_is_one_sentence"
"""It reads the stderr of a process that gave up its rights, to which gcov writes that it cannot write its counts."""

MISSING = {"neon", "avx2", "avx512"} - set(available_simd())
"""The instructions that this machine has not: nothing can run the files and the cases that are for them."""


@dataclass(frozen=True)
class Line:
    """A line of C that the compiler counts, and how often it was run."""

    file: str
    number: int
    function: str
    text: str
    count: int


def run(*command: str | Path, quiet: bool = False, **environment: str) -> None:
    """A command in the copy, which imports the copy's packages."""
    variables = os.environ | {"PYTHONPATH": str(TREE)} | environment
    words = [str(word) for word in command]
    subprocess.run(words, cwd=TREE, check=True, env=variables, stdout=subprocess.DEVNULL if quiet else None)


def copy_tree() -> None:
    """What git knows or would know, without what was built."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in names:
        if name and (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, TREE / name)


def compile_objects(folder: str) -> list[str]:
    """All C files, counting in `folder`."""
    objects = []
    (TREE / folder).mkdir(parents=True)
    for room in ROOMS:
        for source in sorted((TREE / room).glob("*.c")):
            objects.append(f"{folder}/{source.stem}.o")
            run("gcc", "-std=c99", *COUNTING, *INCLUDES, "-c", source.relative_to(TREE), "-o", objects[-1])
    return objects


def run_c_tests() -> None:
    objects = compile_objects("build/c")
    for test in sorted((TREE / "tests" / "c").glob("test_*.c")):
        run("gcc", "-std=c99", "-O1", *INCLUDES, test, *objects, "--coverage", "-o", "build/c/test")
        run("build/c/test", quiet=True)


def run_seeds() -> None:
    objects = compile_objects("build/fuzz")
    for target in sorted((TREE / "tests" / "fuzz").glob("fuzz_*.c")):
        program = f"build/fuzz/{target.stem}"
        run("gcc", "-std=c99", "-O1", *INCLUDES, target, "tests/c/replay.c", *objects, "--coverage", "-o", program)
        run(program, *sorted((TREE / "tests" / "fuzz" / "corpus" / target.stem).iterdir()), quiet=True)


def run_python_tests() -> None:
    """Two runs side by side. No xdist: its workers end without writing their counts."""
    compiler = TREE / "build" / "counting-gcc"
    compiler.write_text(f'#!/bin/sh\nexec gcc "$@" {" ".join(COUNTING)}\n', "utf-8")
    compiler.chmod(0o755)
    build = ("setup.py", "-q", "build_ext", "--inplace", "--build-temp", "build/python")
    run(sys.executable, *build, quiet=True, CC=str(compiler))
    always_the_same = ("-p", "no:cacheprovider", "--hypothesis-seed=0")
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *always_the_same, "-k", f"not {UNCOUNTED}"]
    variables = os.environ | {"PYTHONPATH": str(TREE)}
    running = [subprocess.Popen([*test, room], cwd=TREE, env=variables) for room in ("tests/core", "tests/sim")]
    ended = [process.wait() for process in running]
    if any(ended):
        sys.exit("the Python tests fail on the counting build")


def counted(*folders: str, pages: bool = False) -> list[dict[str, Any]]:
    """What gcovr says of each of our C files, from the counts in these folders of the copy."""
    report = OUTPUT / "counts.json"
    filters = [word for room in ROOMS for word in ("--filter", f"{room}/[^/]*$")]
    html = ["--html-nested", OUTPUT / "index.html"] if pages else []
    gcovr = (sys.executable, "-m", "gcovr", "--root", TREE, "--merge-mode-functions", "separate", *filters)
    run(*gcovr, "--json", report, *html, *(TREE / folder for folder in folders))
    files: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["files"]
    return sorted(files, key=lambda file: str(file["file"]))


def lines_of(file: dict[str, Any]) -> list[Line]:
    """A file's lines; one that is compiled into several functions is run when any of these runs it."""
    text = (TREE / file["file"]).read_text("utf-8").splitlines()
    counts: dict[int, int] = defaultdict(int)
    functions: dict[int, str] = {}
    for line in file["lines"]:
        counts[line["line_number"]] += line["count"]
        functions[line["line_number"]] = line.get("function_name", "")
    return [Line(file["file"], n, functions[n], text[n - 1].strip(), count) for n, count in sorted(counts.items())]


def of_another_machine(line: Line, lines: list[Line]) -> bool:
    """Whether it, or the lines around it that were not run either, are for instructions that are missing here."""
    around = {other.number: other for other in lines if other.count == 0}
    block = [line.file]
    for step in (-1, 1):
        number = line.number
        while number in around:
            block.append(around[number].text.lower())
            number += step
    return any(f"_{name}" in text for name in MISSING for text in block)


def report(files: list[dict[str, Any]]) -> list[str]:
    """Prints the table; returns what is wrong."""
    entries = loads((TREE / "tests" / "c" / "uncovered.toml").read_text("utf-8")).get("uncovered", [])
    explained = {(entry["file"], entry["function"], entry["line"]) for entry in entries if entry["why"]}
    used = set()
    wrong = []
    total = [0, 0, 0, 0]
    row = "{:40}{:>8}{:>8}{:>11}{:>6}"
    print(row.format("file", "lines", "run", "explained", "open"))
    for file in files:
        lines = lines_of(file)
        missed = [line for line in lines if line.count == 0]
        here = [line for line in missed if not of_another_machine(line, lines)]
        unexplained = [line for line in here if (line.file, line.function, line.text) not in explained]
        used |= {(line.file, line.function, line.text) for line in here}
        wrong += [f"{x.file}:{x.number}: no test runs it, and nothing explains it: {x.text}" for x in unexplained]
        counts = [len(lines), len(lines) - len(missed), len(missed) - len(unexplained), len(unexplained)]
        total = [whole + part for whole, part in zip(total, counts, strict=True)]
        print(row.format(file["file"], *counts))
    print(row.format("all", *total))
    return wrong + [f"uncovered.toml: this line is run, or gone: {' '.join(key)}" for key in sorted(explained - used)]


def unreached(files: list[dict[str, Any]]) -> list[str]:
    """Public functions that no seed enters."""
    names = run_path(str(TREE / "tests" / "test_fuzz_targets.py"))["declared"]()
    entered = {f["name"] for file in files for f in file["functions"] if f.get("execution_count", 0) > 0}
    absent = sorted(name for name in names - entered if not any(f"_{machine}" in name for machine in MISSING))
    return [f"{name}: no fuzz seed enters it" for name in absent]


def main() -> None:
    copy_tree()
    run_c_tests()
    run_seeds()
    run_python_tests()
    wrong = unreached(counted("build/fuzz")) + report(counted("build/c", "build/python", pages=True))
    print(f"line by line: {OUTPUT / 'index.html'}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
