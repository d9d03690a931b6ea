"""docs/c-guide.md: its programs compile without a warning and do what the page says, and its table is measured."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "c-guide.md"
TEXT = PAGE.read_text("utf-8")
CORE, FIRMWARE = ROOT / "paygo_core" / "csrc", ROOT / "firmware_sim" / "csrc"
INCLUDES = [f"-I{CORE}", f"-I{FIRMWARE}"]
COPIED = [
    *(CORE / f"{name}.c" for name in ("siphash", "siphash_8", "chain", "digits", "codec", "unit", "slots")),
    FIRMWARE / "crc.c",
]
CLANG, AVR, ARM = (
    ["clang", "-O2"],
    ["avr-gcc", "-mmcu=atmega328p", "-Os"],
    ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-Os"],
)
SAME_COMPILERS, OTHER_COMPILERS = 0.03, 0.15
"""What the table may be off by: a change of the C that moves a figure further has to be measured anew."""


def warnings() -> list[str]:
    """The project's own C_WARNINGS."""
    found = re.search(r"^C_WARNINGS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.fixture(scope="module")
def c_size() -> ModuleType:
    """bench/c_size.py, which is no package."""
    spec = importlib.util.spec_from_file_location("c_size", ROOT / "bench" / "c_size.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def programs(c_size: ModuleType, tmp_path: Path) -> Path:
    """A folder with the two programs of the page."""
    for name in (c_size.MAIN, c_size.SLICED):
        (tmp_path / name).write_text(c_size.page_program(name), "utf-8")
    return tmp_path


def need(compiler: str) -> None:
    if shutil.which(compiler) is None:
        assert not os.environ.get("CI"), f"{compiler} is missing"
        pytest.skip(f"{compiler} is not installed")


def build(source: Path, *more: Path) -> Path:
    program = source.with_suffix("")
    command = ["gcc", *warnings(), "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *INCLUDES]
    subprocess.run([*command, source, *more, *COPIED, "-o", program], check=True)
    return program


def test_the_program_prints_what_the_page_shows(programs: Path) -> None:
    shown, _ = re.findall(r"^```text\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    program = build(programs / "main.c")
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == shown


@pytest.mark.parametrize("compiler", [["gcc", "-O2"], CLANG, AVR, ARM], ids=lambda compiler: compiler[0])
@pytest.mark.parametrize("name", ["main.c", "sliced.c"])
def test_the_programs_compile_without_a_warning(programs: Path, name: str, compiler: list[str]) -> None:
    need(compiler[0])
    command = [*compiler, *warnings(), *INCLUDES, "-c", programs / name, "-o", programs / "compiled.o"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


BOTH_WAYS = """/* The same entries into paygo_unit_enter and into the page's slices: they store the same bytes. */
#include "sliced.c"

#include <stdio.h>
#include <string.h>

static uint32_t seed = SEED;

static uint32_t below(uint32_t most)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % most;
}

/* Good tokens near the last count, now and then of values that repeat; wrong and malformed entries. */
static uint8_t entry(const paygo_config *config, const paygo_unit *unit, char text[PAYGO_MAX_DIGITS + 1])
{
    static const uint32_t values[] = {0, 1, 7, 7, 7, 30, 995, 998, 999, 1234};
    const paygo_form form = below(5) == 0 ? PAYGO_EXTENDED : PAYGO_STANDARD;
    const uint32_t kind = below(10);
    uint32_t value = values[below(form == PAYGO_STANDARD ? 9 : 10)];
    uint32_t count = unit->window.count + below(120);
    uint8_t length;
    count = count > 50 ? count - 50 : 1;
    if (value >= 998 && below(8) > 0) {
        value = 7;
    }
    length = paygo_digits_write(form, config->restricted_digits,
                                paygo_encode(config, form, (uint16_t)count, value), text);
    if (kind == 0) {
        text[below(length)] = (char)('0' + (char)below(10));
    } else if (kind == 1) {
        length--;
    } else if (kind == 2) {
        memset(text, config->restricted_digits ? '4' : '9', length);
    }
    return length;
}

int main(void)
{
    static const uint8_t key[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    paygo_config config;
    paygo_unit whole;
    unsigned seen[12] = {0};
    uint32_t now = 0;
    unsigned round;
    static sliced s;
    memcpy(config.secret_key, key, 16);
    config.starting_code = 516959010;
    config.max_count = 65535;
    config.max_jump = 64;
    config.max_sync_jump = 100;
    config.older_window = 16;
    config.time_divider = SEED % 2 ? 1 : 24;
    config.restricted_digits = SEED % 3 == 0;
    config.strict_waits = SEED % 5 == 0;
    paygo_unit_init(&whole, (uint16_t)(SEED * 100U));
    for (round = 0; round < 1500; round++) {
        char text[PAYGO_MAX_DIGITS + 1];
        uint8_t expected[PAYGO_UNIT_BYTES], stored[PAYGO_UNIT_BYTES];
        paygo_unit in_slices = whole;
        const uint8_t length = entry(&config, &whole, text);
        const uint32_t steps = 1 + below(50);
        paygo_answer answer;
        const paygo_verdict *verdict = &s.entry.decoder.verdict;
        now += below(4) == 0 ? below(200000) : below(100);
        answer = paygo_unit_enter(&whole, &config, now, text, length);
        sliced_begin(&s, &in_slices, &config, now, text, length);
        while (!sliced_run(&s, &in_slices, steps)) {
        }
        (void)sliced_run(&s, &in_slices, steps); /* nothing is granted twice */
        paygo_unit_store(&whole, 300, expected);
        paygo_unit_store(&in_slices, 300, stored);
        if (memcmp(expected, stored, sizeof stored) != 0 || verdict->type != answer.verdict.type ||
            verdict->reason != answer.verdict.reason ||
            (verdict->type != PAYGO_INVALID && verdict->count != answer.verdict.count)) {
            (void)printf("round %u: %.*s reason %d, %d in slices\\n", round, (int)length, text,
                         (int)answer.verdict.reason, (int)verdict->reason);
            return 1;
        }
        (void)sliced_idle(&s, &in_slices, &config, (uint16_t)below(9));
        seen[verdict->reason]++;
    }
    for (round = 0; round < 11; round++) {
        (void)printf("%u ", seen[round]);
    }
    return 0;
}
"""


def test_the_slices_do_what_paygo_unit_enter_does(programs: Path) -> None:
    """T14 to T17, T22, T25 to T35: thousands of entries, with each reason among them but a reserved value."""
    seen = [0] * 11
    for seed in range(1, 7):
        source = programs / f"both_{seed}.c"
        source.write_text(f"#define SEED {seed}U\n{BOTH_WAYS}", "utf-8")
        done = subprocess.run([build(source)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        seen = [before + int(number) for before, number in zip(seen, done.stdout.split(), strict=True)]
    never = [reason for reason, times in enumerate(seen) if times == 0]
    assert never in ([], [4]), seen


def numbers_of(lines: list[str]) -> dict[str, list[int]]:
    """The rows of a table, by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: [int(cell) for cell in cells] for name, *cells in rows}


def test_the_table_is_what_the_command_prints(c_size: ModuleType) -> None:
    for target in c_size.TARGETS:
        need(target.compiler)
    shown = re.findall(r"^\|.*\|$", TEXT[TEXT.index("| bytes |") :], flags=re.MULTILINE)
    measured = c_size.table(c_size.TARGETS)
    tolerance = SAME_COMPILERS if shown[0] == measured[0] else OTHER_COMPILERS
    on_page, now = numbers_of(shown), numbers_of(measured)
    assert list(on_page) == list(now)
    for name, numbers in on_page.items():
        assert numbers == pytest.approx(now[name], rel=tolerance), (name, "python bench/c_size.py --write")


def test_the_stack_of_a_path_is_the_sum_of_its_functions(c_size: ModuleType) -> None:
    graph = {
        "a": c_size._Function(10, frozenset({"b", "c"})),
        "b": c_size._Function(5, frozenset({"d"})),
        "c": c_size._Function(14, frozenset()),
        "d": c_size._Function(20, frozenset()),
    }
    assert c_size._deepest(graph, "a") == (35, ("a", "b", "d"))
    pushes = "   0:\tcf 93\tpush\tr28\n   2:\tdf 93\tpush\tr29\n"
    assert c_size._pushed(pushes) == 2
    arm = "   0:\te92d 4ff0 \tstmdb\tsp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}\n   4:\tb087      \tsub\tsp, #28\n"
    assert c_size._pushed(arm) == 9 * 4 + 28


def test_what_the_page_says_of_the_table_is_true(c_size: ModuleType) -> None:
    """A whole unit fits into the small one; a walk in slices needs less stack."""
    rows = numbers_of(re.findall(r"^\|.*\|$", TEXT[TEXT.index("| bytes |") :], flags=re.MULTILINE))
    ram = {name.removesuffix(": RAM"): numbers[0] for name, numbers in rows.items() if name.endswith("RAM")}
    flash = {name.removesuffix(": flash"): numbers[0] for name, numbers in rows.items() if name.endswith("flash")}
    stack = {name.removesuffix(": stack"): numbers[0] for name, numbers in rows.items() if name.endswith("stack")}
    tokens, sliced, unit = stack
    assert ram[unit] + stack[unit] < 2048
    assert flash[unit] < 32_768
    assert stack[sliced] < stack[tokens]


def test_every_file_that_is_copied_is_on_the_page() -> None:
    named = re.findall(r"`([\w.\[\]]+)`", TEXT)
    listed = {name.replace("[ch]", end) for name in named for end in ("c", "h")}
    for path in (*CORE.glob("*.[ch]"), FIRMWARE / "crc.h", FIRMWARE / "firmware.h"):
        assert path.name in listed, path


def test_the_arithmetic_of_wear_is_right() -> None:
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(code, {}, "c-guide", str(PAGE), 0)
    assert len(test.examples) == 2
    assert doctest.DocTestRunner().run(test).failed == 0
    numbers = dict(re.findall(r"^#define (SLOTS|AHEAD_S) (\d+)U", TEXT, flags=re.MULTILINE))
    assert (
        f"= {numbers['SLOTS']}, 100_000, {numbers['AHEAD_S']}" in code
        or "slots, writes, ahead = 16, 100_000, 300" in code
    )


def test_the_shortest_port_is_a_unit_as_the_page_says(tmp_path: Path) -> None:
    """H10, T29: built by the page's own command, and kept over restarts and kills."""
    (commands,) = re.findall(r"^```sh\n(gcc .*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    build_it, start_it = commands.replace("\\\n", "").splitlines()
    program = tmp_path / "unit"
    build_it = build_it.replace("-o unit", f"{' '.join(warnings())} -fsanitize=address,undefined -o {program}")
    subprocess.run(build_it, shell=True, check=True, cwd=ROOT)
    assert start_it == "PAYGO_STORAGE=unit.storage ./unit"

    def say(lines: str) -> list[str]:
        return subprocess.run(
            ["./unit"], cwd=tmp_path, input=lines, check=True, capture_output=True, text=True
        ).stdout.splitlines()

    _, session = re.findall(r"^```text\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    setup, done, token, accepted = session.splitlines()
    assert say(f"{setup}\n{token}\n") == [done, accepted]
    with subprocess.Popen(["./unit"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        killed.stdin.write("#STATUS;\n")
        killed.stdin.flush()
        assert killed.stdout.readline().startswith("#STATUS;ACTIVE;")
        killed.kill()
    status, used = say(f"#STATUS;\n{token}\n")
    assert 604_800 - 2 * 300 - 60 <= int(status.removeprefix("#STATUS;ACTIVE;")) <= 604_800
    assert used == "#TOKEN;ALREADY_USED"
