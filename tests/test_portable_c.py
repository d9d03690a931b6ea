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
    allowed = {"<stdbool.h>", "<stddef.h>", "<stdint.h>", "<string.h>"}
    for room in ROOMS:
        for source in room.glob("*.[ch]"):
            on_avr = {"<avr/pgmspace.h>"} if source.name == "flash.h" else set()
            for line in source.read_text("utf-8").splitlines():
                if line.startswith("#include <"):
                    assert line.split()[1] in allowed | on_avr, f"{source.name}: {line}"
