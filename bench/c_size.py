"""What the C costs on a microcontroller: flash, RAM and the deepest stack, a table for docs/c-guide.md (make c-size).

Flash is what a linked program grows by when the functions of a part are kept in it, with all that they need of the
compiler's libraries. RAM is the size of the structs that the caller owns. The stack is that of the deepest path of
calls: each function's own bytes are the larger of what the compiler says (-fstack-usage, with the return address on
an AVR) and of what its instructions push, for the compiler's library functions the latter; who calls whom is read from
the disassembled program. No function of ours calls itself, and none but the reading of storage at a start goes through
a pointer, which is the port's own; both are checked here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = ROOT / "paygo_core" / "csrc"
FIRMWARE = ROOT / "firmware_sim" / "csrc"
PAGE = ROOT / "docs" / "c-guide.md"
MAIN, SLICED = "main.c", "sliced.c"
OPTIONS = ["-std=c99", "-Os", "-ffunction-sections", "-fdata-sections", f"-I{CORE}", f"-I{FIRMWARE}"]


@dataclass(frozen=True)
class Target:
    """A microcontroller: how to compile and link for it, how its calls look, what a call itself puts on the stack."""

    name: str
    prefix: str
    machine: list[str]
    link: list[str]
    calls: re.Pattern[str]
    indirect: re.Pattern[str]
    return_bytes: int

    @property
    def compiler(self) -> str:
        return f"{self.prefix}gcc"

    def version(self) -> str:
        """Its compiler, as the page names it: avr-gcc 5.4.0."""
        said = run(self.compiler, "-dumpfullversion", "-dumpversion").split()
        return f"{self.compiler} {said[0]}"


TARGETS = [
    Target(
        "ATmega328P",
        "avr-",
        ["-mmcu=atmega328p"],
        ["-Wl,--defsym=__TEXT_REGION_LENGTH__=128K"],  # what does not fit shall be measured too
        re.compile(r"\b(?:call|rcall|jmp|rjmp)\b.*<(\w[\w.]*)(\+0x[0-9a-f]+)?>"),
        re.compile(r"\b(?:icall|eicall|ijmp|eijmp)\b"),
        2,
    ),
    Target(
        "Cortex-M3",
        "arm-none-eabi-",
        ["-mcpu=cortex-m3", "-mthumb"],
        ["--specs=nano.specs", "-nostartfiles", "-Wl,-e,main"],
        re.compile(r"\b(?:bl|blx|b|b\w\w|b\.\w|b\w\w\.\w|cbn?z)\b.*<(\w[\w.]*)(\+0x[0-9a-f]+)?>"),
        re.compile(r"\b(?:blx\s+r\d|bx\s+r\d)"),
        0,
    ),
]


@dataclass(frozen=True)
class Part:
    """Something that one may put into a product: its functions, what its caller keeps, where entries into it begin."""

    name: str
    sources: list[Path]
    functions: list[str]
    structs: list[str]
    stack_of: list[str]
    through_pointers: set[str] = field(default_factory=set)
    with_sliced: bool = False
    """The page's own program is a source too."""


def _sources(room: Path, *names: str) -> list[Path]:
    return [room / f"{name}.c" for name in names]


_UNIT = [
    f"paygo_unit_{name}" for name in ("init", "load", "store", "tick", "enter", "active", "seconds_left", "wait_left")
]
_TOKENS = _sources(CORE, "siphash", "siphash_8", "chain", "digits", "codec")
PARTS = [
    Part(
        "tokens, waits, credit (`unit.h`)",
        [*_TOKENS, *_sources(CORE, "unit")],
        _UNIT,
        ["paygo_config", "paygo_unit"],
        ["paygo_unit_enter"],
    ),
    Part(
        "the same in slices (`sliced.c`, 4 slots)",
        [*_TOKENS, *_sources(CORE, "unit", "slots")],
        [*(name for name in _UNIT if name != "paygo_unit_enter"), "sliced_begin", "sliced_run", "sliced_idle"],
        ["paygo_config", "paygo_unit", "sliced"],
        ["sliced_begin", "sliced_run", "sliced_idle"],
        with_sliced=True,
    ),
    Part("of it a slot", [], [], ["paygo_slot"], []),
    Part(
        "the whole unit (`firmware.h`)",
        [*_TOKENS, *_sources(CORE, "unit", "slots"), *sorted(FIRMWARE.glob("*.c"))],
        ["paygo_firmware_boot", "paygo_firmware_step"],
        ["paygo_firmware", "paygo_inputs", "paygo_outputs"],
        ["paygo_firmware_boot", "paygo_firmware_step"],
        {"pass_byte"},
    ),
]


@dataclass(frozen=True)
class Cost:
    """Bytes. flash and stack are None for what has no code."""

    flash: int | None
    ram: int
    stack: int | None
    path: tuple[str, ...] = ()


def page_program(name: str) -> str:
    """One of the two programs that the page shows."""
    programs = re.findall(r"^```c\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(programs) == 2
    return str(programs[(MAIN, SLICED).index(name)])


def run(*command: str | Path) -> str:
    """What a command prints; what a compiler complains about goes to our own standard error."""
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(target: Target, part: Part) -> Cost:
    """Compiles, links and takes apart."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        (directory / SLICED).write_text(page_program(SLICED), "utf-8")
        ram = _ram(target, part, directory)
        if not part.sources:
            return Cost(None, ram, None)
        objects = []
        for source in [*part.sources, *([directory / SLICED] if part.with_sliced else [])]:
            compiled = directory / f"{source.stem}.o"
            run(target.compiler, *target.machine, *OPTIONS, "-fstack-usage", "-c", source, "-o", compiled)
            objects.append(compiled)
        program = _linked(target, directory, objects, part.functions)
        flash = _flash(target, program) - _flash(target, _linked(target, directory, [], []))
        own = _own_bytes(directory)
        graph = _graph(target, program, own, part.through_pointers)
        stack, path = max(_deepest(graph, name) for name in part.stack_of)
        return Cost(flash, ram, stack, path)


def _ram(target: Target, part: Part, directory: Path) -> int:
    """Written by the compiler, as the lengths of arrays: nothing has to run."""
    probe = directory / "probe.c"
    kept = "".join(f"char kept_{name}[sizeof({name})];\n" for name in part.structs)
    probe.write_text(f'#include "firmware.h"\n#include "slots.h"\n#include "{SLICED}"\n{kept}')
    run(target.compiler, *target.machine, *OPTIONS, "-c", probe, "-o", directory / "probe.o")
    listed = run(f"{target.prefix}nm", "-S", directory / "probe.o")
    sizes = re.findall(r"^[0-9a-f]+ ([0-9a-f]+) \w kept_", listed, flags=re.MULTILINE)
    assert len(sizes) == len(part.structs), listed
    return sum(int(size, 16) for size in sizes)


def _linked(target: Target, directory: Path, objects: list[Path], roots: list[str]) -> Path:
    empty = directory / "empty.c"
    empty.write_text("int main(void) { for (;;) { } }\n")
    program = directory / f"program-{len(objects)}.elf"
    keep = [f"-Wl,-u,{root}" for root in roots]
    link = [*target.link, "-Wl,--gc-sections", *keep]
    run(target.compiler, *target.machine, *OPTIONS, empty, *objects, *link, "-o", program)
    return program


def _flash(target: Target, program: Path) -> int:
    """Code, constants, and the initial values of variables."""
    text, data = run(f"{target.prefix}size", program).splitlines()[1].split()[:2]
    return int(text) + int(data)


def _own_bytes(directory: Path) -> dict[str, int]:
    """What the compiler says that each function needs, the most where two files have one of the same name."""
    own: dict[str, int] = {}
    for listed in directory.glob("*.su"):
        for line in listed.read_text().splitlines():
            where, size, kind = line.split("\t")
            assert kind == "static", f"{where} has a stack of {kind} size"
            name = where.rsplit(":", 1)[1]
            own[name] = max(own.get(name, 0), int(size))
    return own


@dataclass(frozen=True)
class _Function:
    own: int
    calls: frozenset[str]


def _graph(target: Target, program: Path, said: dict[str, int], through_pointers: set[str]) -> dict[str, _Function]:
    graph: dict[str, _Function] = {}
    blocks = re.split(r"^[0-9a-f]+ <([\w.]+)>:$", run(f"{target.prefix}objdump", "-d", program), flags=re.MULTILINE)
    names = set(blocks[1::2])
    for name, body in zip(blocks[1::2], blocks[2::2], strict=True):
        plain = re.sub(r"\.(isra|part|constprop|cold)\.?\d*", "", name)
        if target.indirect.search(body) and plain in said:
            assert plain in through_pointers, f"{name} calls through a pointer"
        pushed = _pushed(body) + target.return_bytes
        called = {callee for callee, offset in target.calls.findall(body) if callee != name or not offset}
        unknown = called - names  # a jump within the function, which an absolute symbol of the linker gives its name
        assert all(callee.startswith("__") for callee in unknown), unknown
        called -= unknown
        if plain in said:  # its own bytes are those that these save for it
            called -= _SAVING
        graph[name] = _Function(max(pushed, said.get(plain, 0)), frozenset(called - {name}))
        itself = re.search(rf"\b(?:r?call|blx?)\b.*<{re.escape(name)}>", body)  # a jump to its beginning is a loop
        assert not itself or plain not in said, f"{name} calls itself"
    return graph


_SAVING = {"__prologue_saves__", "__epilogue_restores__"}
"""Of an AVR's library: what functions that are compiled with -mcall-prologues begin and end with."""

_SAVES = re.compile(r"(?:push|stmdb\s+sp!,)\s+\{(.*)\}")
_SAVES_ONE = re.compile(r"push\s+r\d")
_MAKES_ROOM = re.compile(r"sub(?:\.w)?\s+sp, (?:sp, )?#(\d+)|strd?(?:\.w)?\s+.*\[sp, #-(\d+)\]!")


def _pushed(body: str) -> int:
    """What the instructions of a function put on the stack, if each of them is executed once."""
    size = 0
    for line in body.splitlines():
        instruction = line.split("\t", 2)[-1]
        if found := _SAVES.match(instruction):
            size += 4 * sum(_registers(part.strip()) for part in found[1].split(","))
        elif found := _MAKES_ROOM.match(instruction):
            size += int(found[1] or found[2])
        elif _SAVES_ONE.match(instruction):
            size += 1
    return size


def _registers(part: str) -> int:
    low, _, high = part.partition("-")
    return int(high[1:]) - int(low[1:]) + 1 if high else 1


def _deepest(graph: dict[str, _Function], root: str) -> tuple[int, tuple[str, ...]]:
    @cache
    def below(name: str) -> tuple[int, tuple[str, ...]]:
        function = graph[name]
        deeper = max((below(callee) for callee in function.calls), default=(0, ()))
        return function.own + deeper[0], (name, *deeper[1])

    return below(root)  # a circle of calls ends in a RecursionError


def installed() -> list[Target]:
    """The targets whose compiler is here."""
    return [target for target in TARGETS if shutil.which(target.compiler)]


def table(targets: list[Target]) -> list[str]:
    """The lines of a Markdown table, bytes."""
    lines = ["| bytes | " + " | ".join(f"{target.name}, {target.version()}" for target in targets) + " |"]
    lines.append("| --- |" + " ---: |" * len(targets))
    for part in PARTS:
        costs = [measure(target, part) for target in targets]
        for what in ("flash", "RAM", "stack"):
            numbers = [getattr(cost, what.lower()) for cost in costs]
            if None not in numbers:
                lines.append(f"| {part.name}: {what} | " + " | ".join(map(str, numbers)) + " |")
    return lines


def main() -> None:
    """Prints the table; with --write puts it into the page, with --paths tells the deepest path behind each stack."""
    targets = installed()
    for missing in (target for target in TARGETS if target not in targets):
        print(f"{missing.compiler} is not installed: not measured with it", file=sys.stderr)
    if not targets:
        sys.exit(1)
    lines = table(targets)
    print("\n".join(lines))
    if "--write" in sys.argv and len(targets) == len(TARGETS):
        table_on_page = re.compile(r"^\| bytes \|.*\n(\|.*\n)*", flags=re.MULTILINE)
        text, found = table_on_page.subn("\n".join(lines) + "\n", PAGE.read_text("utf-8"))
        assert found == 1
        PAGE.write_text(text, "utf-8")
    if "--paths" in sys.argv:
        for target in targets:
            for part in PARTS:
                print(f"{target.name}, {part.name}: {' > '.join(measure(target, part).path)}")


if __name__ == "__main__":
    main()
