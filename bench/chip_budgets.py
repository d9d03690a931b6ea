"""Whether the token core keeps its budgets on microcontrollers (make chip-budgets): cycles in simavr, steps in QEMU.

The core is what judges a token's number: hash, chain, decoding, windows, of standard tokens (-DPAYGO_NO_EXTENDED), at
-Os. Its flash is what a linked program grows by, its stack that of the deepest path below paygo_decode_begin and
paygo_decode_run, as in c_size.py. The Cortex-M0's program runs on QEMU's Cortex-M3, which has all of its instructions.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import c_size

from paygo_core import DeviceConfig, TokenType, generate_token

BENCH = Path(__file__).parent
SOURCES = [c_size.CORE / f"{name}.c" for name in ("siphash", "siphash_8", "chain", "digits", "codec", "slots")]
OPTIONS = ["-std=c99", "-Os", "-DPAYGO_NO_EXTENDED", "-ffunction-sections", "-fdata-sections", f"-I{c_size.CORE}"]
CORE = ["paygo_decode_begin", "paygo_decode_run"]
SLOTS = ["paygo_slots_resume", "paygo_slots_keep", "paygo_slots_run"]
CONFIG = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", starting_code=123456789)
STEPS = 100
CLOCK_HZ = 16_000_000
RIGHT_COUNT, VALUE, WRONG_TOKEN = 20_000, 7, 123_456_005
LOOP = 2000
"""Instructions between the marks 3 and 4, by which those between the others are told."""

AVR, M3 = c_size.TARGETS
M0 = c_size.Target("Cortex-M0", M3.prefix, ["-mcpu=cortex-m0", "-mthumb"], M3.link, M3.calls, M3.indirect, 0)


@dataclass(frozen=True)
class Row:
    """A budget and what was measured."""

    what: str
    measured: float
    budget: float
    unit: str

    def line(self) -> str:
        kept = "kept" if self.measured <= self.budget else "MISSED"
        return f"{self.what:<66} {self.measured:>9.4g} {self.budget:>9.4g} {self.unit:<12} {kept}"


def _program(target: c_size.Target, directory: Path, *options: str) -> Path:
    program = directory / f"{target.name}.elf"
    sources = [BENCH / "chip_core.c", *SOURCES]
    compiling = [target.compiler, *target.machine, *OPTIONS, "-std=gnu99", *options]
    c_size.run(*compiling, *sources, "-Wl,--gc-sections", "-o", program)
    return program


def _right_tokens() -> list[str]:
    """Of one value: after RIGHT_COUNT, two counts on (as bought one by one), as far on as a unit looks."""
    counts = (RIGHT_COUNT + 2, RIGHT_COUNT + 4, RIGHT_COUNT + 4 + 64)
    tokens = [generate_token(CONFIG, count - 1, VALUE, TokenType.ADD_TIME) for count in counts]
    assert [token.count for token in tokens] == list(counts)
    return [token.digits for token in tokens]


def avr_cycles(directory: Path) -> dict[int, int]:
    """What each mark's cycles are, counted from the mark before it; the tokens' verdicts are checked."""
    host = directory / "chip_cycles"
    c_size.run("cc", "-O2", BENCH / "chip_cycles.c", "-lsimavr", "-lelf", "-o", host)
    tokens = ",".join(f"{int(token)}UL" for token in _right_tokens())
    defined = [f"-DRIGHT_TOKENS={tokens}", f"-DRIGHT_COUNT={RIGHT_COUNT}U", f"-DWRONG_TOKEN={WRONG_TOKEN}UL"]
    said = c_size.run(host, _program(AVR, directory, *AVR.link, *defined))
    marks = [(int(mark), int(cycle)) for mark, cycle in re.findall(r"^mark (\d+) (\d+)$", said, re.MULTILINE)]
    told = [int(byte) for byte in re.findall(r"^say (\d+)$", said, re.MULTILINE)]
    assert int.from_bytes(bytes(told[:4]), "big") == code_after(STEPS), told
    assert told[4:] == [TokenType.INVALID] * 3 + [TokenType.ADD_TIME] * 3, told
    return {mark: cycle - before for (_, before), (mark, cycle) in pairwise(marks)}


def arm_instructions(target: c_size.Target, directory: Path) -> float:
    """A chain step's; QEMU lets each instruction last 1 024 ns of the time that its SysTick counts."""
    layout = ["-Wl,--section-start=.vectors=0", "-Wl,-Ttext=0x100", "-Wl,-Tdata=0x20000000", "-Wl,-u,vectors"]
    program = _program(target, directory, *target.link, *layout)
    machine = ["qemu-system-arm", "-M", "lm3s6965evb", "-display", "none", "-monitor", "none", "-serial", "stdio"]
    command = [*machine, "-semihosting", "-icount", "shift=10", "-kernel", str(program)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    ticks = {int(mark): int(now, 16) for mark, now in re.findall(r"m(\w\w)(\w{6})$", done.stdout, re.MULTILINE)}
    code = re.findall(r"^(\w{8})(?=m|$)", done.stdout, re.MULTILINE)
    assert [int(said, 16) for said in code] == [code_after(STEPS)], done.stdout
    return (ticks[1] - ticks[2]) / (ticks[3] - ticks[4]) * LOOP / STEPS


def code_after(steps: int) -> int:
    """The code of the program's chain, from the library of the PC."""
    from paygo_core._native import ffi, lib

    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, CONFIG.secret_key)
    code = CONFIG.starting_code
    for _ in range(steps):
        code = lib.paygo_chain_next(key, lib.PAYGO_STANDARD, code)
    return int(code)


def sizes(target: c_size.Target, directory: Path, functions: list[str]) -> tuple[int, int, int]:
    """Flash, static RAM and stack of these functions with all that they need."""
    objects = []
    for source in SOURCES:
        compiled = directory / f"{source.stem}.o"
        c_size.run(target.compiler, *target.machine, *OPTIONS, "-fstack-usage", "-c", source, "-o", compiled)
        objects.append(compiled)
    program = c_size._linked(target, directory, objects, functions)
    bare = c_size._linked(target, directory, [], [])
    graph = c_size._graph(target, program, c_size._own_bytes(directory), set())
    stack = max(c_size._deepest(graph, name)[0] for name in functions)
    flash = c_size._flash(target, program) - c_size._flash(target, bare)
    return flash, max(0, _ram(target, program) - _ram(target, bare)), stack


def _ram(target: c_size.Target, program: Path) -> int:
    data, bss = c_size.run(f"{target.prefix}size", program).splitlines()[1].split()[1:3]
    return int(data) + int(bss)


def rows() -> list[Row]:
    """Every budget of the token core."""
    found = []
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        cycles = avr_cycles(directory)
        found.append(Row("chain step, ATmega328P", cycles[2] / STEPS, 3600, "cycles"))
        for target, budgets in ((AVR, (None, 2400, 160)), (M0, (800, 1200, 180)), (M3, (400, 800, 180))):
            steps, flash_budget, stack_budget = budgets
            if steps is not None:
                found.append(
                    Row(f"chain step, {target.name}", arm_instructions(target, directory), steps, "instructions")
                )
            flash, ram, stack = sizes(target, directory, CORE)
            found.append(Row(f"token core, {target.name}: flash", flash, flash_budget, "bytes"))
            found.append(Row(f"token core, {target.name}: stack", stack, stack_budget, "bytes"))
            found.append(Row(f"token core, {target.name}: static RAM", ram, 0, "bytes"))
            if target is AVR:
                more = sizes(target, directory, [*CORE, *SLOTS])[0] - flash
                found.append(Row(f"checkpoints, {target.name}: flash on top", more, 400, "bytes"))
        per_ms = CLOCK_HZ / 1000
        for mark, count, budget in ((11, 520, 135), (13, 1000, 240), (15, 5000, 1200)):
            found.append(Row(f"wrong token at count {count}, ATmega328P", cycles[mark] / per_ms, budget, "ms"))
        used = "right token of a value used before, 4 checkpoints"
        found.append(Row(f"{used}: typical", cycles[23] / per_ms, 5, "ms"))
        found.append(Row(f"{used}: worst", cycles[25] / per_ms, 20, "ms"))
    return found


def main() -> None:
    """Prints the budgets; the exit status is 1 when a tool is missing or one is missed."""
    needed = ["avr-gcc", "arm-none-eabi-gcc", "qemu-system-arm", "cc"]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        sys.exit(1)
    print(f"{AVR.version()}, {M3.version()}, -Os\n{'':<66} {'measured':>9} {'budget':>9}")
    found = rows()
    print("\n".join(row.line() for row in found))
    sys.exit(any(row.measured > row.budget for row in found))


if __name__ == "__main__":
    main()
