"""Plants the defects of token_rules.toml one by one, in copies of the tree, and runs the tests that must then fail."""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paygo_core.toml import loads

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("token_rules.toml")
RULES = ROOT / "docs" / "token-rules.md"
NEEDED = ("paygo_core", "firmware_sim", "tests", "docs")
FLAGS = ("-std=c99", "-O1", "-w", "-fPIC", "-Ipaygo_core/csrc", "-Ifirmware_sim/csrc")
COPIES = 2
LONGEST_RUN_S = 120

ASSERTED = ("assert ", "AssertionError", "Failed: DID NOT RAISE", "paygo_core.errors.PaygoError")
"""How the message of a test begins that found something wrong; the last: the library refuses what it must do."""
KILLED, SURVIVED, BROKEN = "killed", "SURVIVED", "BROKEN"
"""BROKEN: the mutant did not build, or a test ended in another way than by an assertion."""


@dataclass(frozen=True)
class Mutant:
    """A planted defect: `find`, which `file` has exactly once, becomes `replace`; each of `tests` must fail of it."""

    rule: str
    file: str
    find: str
    replace: str
    breaks: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of a mutant; `said` tells of each named test how it ended."""

    mutant: Mutant
    verdict: str
    said: dict[str, str]


def load() -> list[Mutant]:
    """The mutants of the data file, in its order."""
    entries = loads(DATA.read_text("utf-8"))["mutant"]
    return [Mutant(**entry | {"tests": tuple(entry["tests"])}) for entry in entries]


def rules() -> list[str]:
    """The rules that the page numbers, T1 first."""
    return re.findall(r"^## (T\d+) ", RULES.read_text("utf-8"), re.MULTILINE)


def stale(mutants: Iterable[Mutant]) -> list[str]:
    """The mutants whose source text is not there exactly once, or that change nothing."""
    found = []
    for mutant in mutants:
        times = (ROOT / mutant.file).read_text("utf-8").count(mutant.find)
        if times != 1:
            found.append(f"{mutant.rule} ({mutant.breaks}): its text is {times} times in {mutant.file}")
        if mutant.find == mutant.replace:
            found.append(f"{mutant.rule} ({mutant.breaks}): it changes nothing")
    return found


def c_functions(test: Path) -> dict[str, range]:
    """The test functions of a C test, each with the lines that it has."""
    text = test.read_text("utf-8")
    return {
        match[1]: range(text.count("\n", 0, match.start()) + 1, text.count("\n", 0, match.end()) + 2)
        for match in re.finditer(r"^static void (\w+)\([^)]*\)\n\{\n.*?^\}", text, re.MULTILINE | re.DOTALL)
    }


class Copy:
    """A copy of the tree, built and tested by itself: no defect is ever in the tree that people work in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, str] = {}

    @classmethod
    def of_the_tree(cls, folder: Path) -> Copy:
        """A fresh copy, built."""
        made = shutil.ignore_patterns("*.so", "_native.c", "__pycache__")
        for name in NEEDED:
            shutil.copytree(ROOT / name, folder / name, ignore=made)
        (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
        copy = cls(folder)
        write = "from runpy import run_path; run_path('paygo_core/_native_build.py')['ffibuilder'].emit_c_code('{}')"
        copy.run(sys.executable, "-c", write.format("paygo_core/_native.c"), check=True)
        rooms = (folder / "paygo_core" / "csrc", folder / "firmware_sim" / "csrc")
        sources = [folder / "paygo_core" / "_native.c", *sorted(path for room in rooms for path in room.rglob("*.c"))]
        for path in sources:
            copy.compile(path.relative_to(folder).as_posix())
        copy.link()
        where = copy.run(sys.executable, "-c", "import paygo_core; print(paygo_core.__file__)", check=True).stdout
        assert Path(where.strip()).is_relative_to(folder.resolve()), f"the tests would test {where}"
        return copy

    def again(self, folder: Path) -> Copy:
        """Another copy, without building again."""
        shutil.copytree(self.folder, folder)
        copy = Copy(folder)
        copy.objects = dict(self.objects)
        return copy

    def run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """A command in the copy, on the copy's packages. No bytecode: mutants come faster than time stamps tell."""
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": LONGEST_RUN_S}
        return subprocess.run(command, cwd=self.folder, env=environment, check=check, **options)

    def compile(self, source: str, planted: bool = False) -> None:
        """Compiles a C file; with a defect planted in it, beside the sound object, which is not lost."""
        target = "planted.o" if planted else source.replace("/", "-") + ".o"
        python = [f"-I{sysconfig.get_path('include')}"] if source.endswith("_native.c") else []
        self.run("gcc", *FLAGS, *python, "-c", source, "-o", target, check=True)
        self.objects[source] = target

    def link(self) -> None:
        """The extension, of the objects that there are now."""
        parts = [target for source, target in self.objects.items() if source.startswith("paygo_core/")]
        self.run("gcc", "-shared", *parts, "-o", "paygo_core/_native.abi3.so", check=True)

    def plant(self, mutant: Mutant) -> Callable[[], None]:
        """Plants a mutant, and gives what takes it out again."""
        path, objects = self.folder / mutant.file, dict(self.objects)
        original = path.read_text("utf-8")

        def restore() -> None:
            path.write_text(original, "utf-8")
            if self.objects != objects:
                self.objects = objects
                self.link()

        path.write_text(original.replace(mutant.find, mutant.replace), "utf-8")
        if mutant.file.endswith(".c"):
            try:
                self.compile(mutant.file, planted=True)
                self.link()
            except subprocess.CalledProcessError:
                restore()
                raise
        return restore

    def outcomes(self, tests: Iterable[str]) -> dict[str, str]:
        """How each test ended: "passed", "failed" by an assertion, or what else it was."""
        names = list(dict.fromkeys(tests))
        ended: dict[str, str] = {}
        for file in dict.fromkeys(name.partition("::")[0] for name in names if ".c::" in name):
            ended |= self.c_outcomes(file, [name for name in names if name.startswith(f"{file}::")])
        return ended | self.pytest_outcomes([name for name in names if name not in ended])

    def pytest_outcomes(self, names: list[str]) -> dict[str, str]:
        """The same of tests of pytest. A test with parameters failed when one of them did."""
        if not names:
            return {}
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        plain = ("-p", "no:cacheprovider", "-q", f"--junit-xml={report}")
        done = self.run(sys.executable, "-m", "pytest", *plain, *names)
        if not report.exists():
            return dict.fromkeys(names, f"pytest said: {(done.stdout + done.stderr).strip()[-300:]}")
        cases: dict[str, list[str]] = {name: [] for name in names}
        for case in ET.parse(report).iter("testcase"):
            full = f"{case.get('classname')}.{case.get('name')}"
            for name in names:
                dotted = name.replace(".py::", ".").replace("::", ".").replace("/", ".")
                if full == dotted or full.startswith(f"{dotted}["):
                    cases[name].append(how_it_ended(case))
        return {name: one_word(ends) for name, ends in cases.items()}

    def c_outcomes(self, file: str, names: list[str]) -> dict[str, str]:
        """The same of functions of a C test."""
        program = str(self.folder / "c-test")
        parts = [target for source, target in self.objects.items() if not source.endswith("_native.c")]
        self.run("gcc", *FLAGS, file, *parts, "-o", program, check=True)
        done = self.run(program)
        lines = [int(line) for line in re.findall(rf"^{re.escape(file)}:(\d+): ", done.stderr, re.MULTILINE)]
        crashed = done.returncode != 0 and not lines
        functions = c_functions(self.folder / file)
        ended = {}
        for name in names:
            own = functions.get(name.rpartition("::")[2])
            if own is None or crashed:
                ended[name] = "no such function" if own is None else f"crashed with {done.returncode}"
            else:
                ended[name] = "failed" if any(line in own for line in lines) else "passed"
        return ended


def how_it_ended(case: ET.Element) -> str:
    """One case of the report in a few words."""
    for kind in ("error", "failure", "skipped"):
        part = case.find(kind)
        if part is not None:
            said = (part.get("message") or "").splitlines()[0]
            asserted = said.startswith(ASSERTED)
            return "failed" if kind == "failure" and asserted else f"{kind}: {said[:120]}"
    return "passed"


def one_word(ends: list[str]) -> str:
    """How a test with parameters ended."""
    if "failed" in ends:
        return "failed"
    return next((end for end in ends if end != "passed"), "passed" if ends else "no such test")


def judge(mutant: Mutant, copies: queue.Queue[Copy]) -> Result:
    """Plants one mutant, runs its tests and takes it out again."""
    copy = copies.get()
    try:
        restore = copy.plant(mutant)
        try:
            said = copy.outcomes(mutant.tests)
        finally:
            restore()
    except subprocess.CalledProcessError as error:
        said = dict.fromkeys(mutant.tests, f"it does not build: {error.stderr.strip()[:300]}")
    except subprocess.TimeoutExpired:
        said = dict.fromkeys(mutant.tests, f"no end within {LONGEST_RUN_S} s")
    finally:
        copies.put(copy)
    ends = set(said.values())
    return Result(mutant, KILLED if ends == {"failed"} else SURVIVED if ends <= {"failed", "passed"} else BROKEN, said)


def results(mutants: list[Mutant]) -> Iterator[Result]:
    """Each mutant judged, after all the named tests have passed without any."""
    with tempfile.TemporaryDirectory(prefix="paygo-mutants-") as folder:
        first = Copy.of_the_tree(Path(folder, "0"))
        sound = first.outcomes(name for mutant in mutants for name in mutant.tests)
        wrong = {name: end for name, end in sound.items() if end != "passed"}
        if wrong:
            sys.exit("these do not pass without a defect:\n" + "\n".join(f"{n}: {end}" for n, end in wrong.items()))
        copies: queue.Queue[Copy] = queue.Queue()
        copies.put(first)
        for number in range(1, COPIES):
            copies.put(first.again(Path(folder, str(number))))
        with ThreadPoolExecutor(COPIES) as pool:
            yield from pool.map(lambda mutant: judge(mutant, copies), mutants)


def row(result: Result) -> str:
    """A line for the mutant, and one for each test that did not do what it must."""
    mutant = result.mutant
    tests = ", ".join(name.rpartition("/")[2] for name in mutant.tests)
    lines = [f"{mutant.rule:<4} {result.verdict:<8} {mutant.breaks:<88} {tests}"]
    if result.verdict != KILLED:
        lines += [f"     {name}: {end}" for name, end in result.said.items() if end != "failed"]
    return "\n".join(lines)


def main() -> int:
    """The exit status: 0 when every mutant was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rule", nargs="?", help="only this rule, as in T14")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    arguments = parser.parse_args()
    mutants = [mutant for mutant in load() if arguments.rule in (None, mutant.rule)]
    if not mutants:
        parser.error(f"no rule {arguments.rule}")
    if said := stale(mutants):
        sys.exit("\n".join(said))
    judged = []
    for result in results(mutants):
        judged.append(result)
        if not arguments.json:
            print(row(result), flush=True)
    counts = {verdict: sum(result.verdict == verdict for result in judged) for verdict in (KILLED, SURVIVED, BROKEN)}
    if arguments.json:
        rows = [asdict(r.mutant) | {"verdict": r.verdict, "tests": r.said} for r in judged]
        print(json.dumps({"mutants": rows, "counts": counts}, indent=1))
    else:
        told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        print(f"{len(judged)} defects in {len({mutant.rule for mutant in mutants})} rules: {told}")
    return 0 if counts[KILLED] == len(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
