"""What firmware engineers copy: C without heap, without writable globals, without more of libc than <string.h>."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (ROOT / "paygo_core" / "csrc", ROOT / "firmware_sim" / "csrc")
SOURCES = [source for room in ROOMS for source in sorted(room.glob("*.c"))]
STRING_H = {"memchr", "memcmp", "memcpy", "memmove", "memset", "strchr", "strcmp", "strlen"}
COMPILED_IN = {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
"""What the PC's compiler adds of its own accord."""


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_file_needs_no_heap_and_has_no_writable_globals(tmp_path: Path, source: Path) -> None:
    compiled = tmp_path / "file.o"
    includes = [f"-I{room}" for room in ROOMS]
    subprocess.run(["gcc", "-std=c99", "-Os", *includes, "-c", str(source), "-o", str(compiled)], check=True)
    listed = subprocess.run(["nm", str(compiled)], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        *_, kind, name = line.split()
        if kind == "U":
            assert name.startswith("paygo_") or name in STRING_H | COMPILED_IN, f"{source.name} needs {name}"
        else:
            assert kind in "TtRr", f"{source.name} has the writable or odd symbol {name} ({kind})"


def test_the_portable_files_include_only_what_every_compiler_has() -> None:
    allowed = {"<limits.h>", "<stdbool.h>", "<stddef.h>", "<stdint.h>", "<string.h>"}
    for room in ROOMS:
        for source in room.glob("*.[ch]"):
            on_avr = {"<avr/pgmspace.h>"} if source.name == "flash.h" else set()
            for line in source.read_text("utf-8").splitlines():
                if line.startswith("#include <"):
                    assert line.split()[1] in allowed | on_avr, f"{source.name}: {line}"


def built(tmp_path: Path, *options: str) -> Path:
    """tests/c/chains.c with the portable core, compiled with these options."""
    program = tmp_path / f"chains{''.join(options)}"
    sources = [ROOT / "tests" / "c" / "chains.c", *sorted(ROOMS[0].glob("*.c"))]
    subprocess.run(["gcc", "-std=c99", *options, f"-I{ROOMS[0]}", *sources, "-o", program], check=True)
    return program


def test_every_core_walks_the_same_chains(tmp_path: Path) -> None:
    """T2, T3: of 8-bit machines, of 64-bit ones, and the one that is compiled for size, over thousands of keys."""
    said = {
        options: subprocess.run([built(tmp_path, *options)], check=True, capture_output=True, text=True).stdout
        for options in [("-O2",), ("-Os",), ("-O1", "-DPAYGO_CORE=8"), ("-O1", "-DPAYGO_NO_EXTENDED")]
    }
    first = said["-O2",].splitlines()
    assert len(first) == 4000
    assert all(lines.splitlines() == first for lines in said.values()), [len(lines) for lines in said.values()]
