"""Builds the ports' programs and the AVR's emulator, once for each state of their sources, into a cache directory."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.mcu.chip import Chip
from firmware_sim.mcu.qemu import QemuChip
from firmware_sim.mcu.simavr import SimavrChip
from paygo_core.errors import PaygoError

FIRMWARE = Path(__file__).parents[1]
CORE = FIRMWARE.parent / "paygo_core" / "csrc"
PORTS = FIRMWARE / "ports"
HOST = Path(__file__).with_name("simavr_host.c")

AVR_MCU = os.environ.get("PAYGO_AVR_MCU", "atmega328p")
"""Of the simulator too; an atmega1284p has the same registers and more memory."""

AVR_RAM = {"atmega328p": 2048, "atmega1284p": 16_384}
AVR_STACK = 672
"""What the linker keeps free for it; `make firmware` tells what it needs."""

AVR_SMALL = (
    *("-mrelax", "-mcall-prologues", "-mstrict-X", "-fshort-enums"),
    *("-fno-tree-switch-conversion", "-fno-move-loop-invariants", "-fno-inline-functions-called-once"),
    *("-fira-algorithm=priority", "-fno-tree-vrp", "-fno-tree-dominator-opts", "-fno-ipa-sra"),
    *("-fno-ssa-phiopt", "-fno-tree-reassoc"),
    *("--param", "large-stack-frame=24", "--param", "large-stack-frame-growth=50"),
)
"""What makes its programs smaller."""

AVR_ORDER = (
    *("chain", "siphash_8", "law", "slots", "codec", "charger", "replies", "gauge", "unit", "-lgcc", "siphash"),
    *("digits", "text", "reference", "storage", "firmware", "panel", "-lc", "commands", "main", "crc", "cache"),
    *("witness", "console", "hal"),
)
"""A call that is near takes a word less: bench/link_order.py finds such an order."""

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
OPTIONS = ["-std=c99", "-Os", "-ffunction-sections", "-fdata-sections", "-fstack-usage"]


@dataclass(frozen=True)
class Port:
    """How the firmware becomes a program for a chip.

    packages: of Debian, for each command that is needed. order: in which its files and libraries are linked.
    """

    name: str
    compiler: str
    machine: tuple[str, ...]
    link: tuple[str, ...]
    sources: tuple[Path, ...]
    packages: dict[str, str]
    order: tuple[str, ...] = ()

    def inputs(self) -> list[Path]:
        """Every file that the program depends on."""
        rooms = [CORE, FIRMWARE / "csrc", PORTS, *{source.parent for source in self.sources}]
        return sorted({file for room in rooms for file in room.iterdir() if file.suffix in (".c", ".h", ".ld")})

    def firmware(self) -> list[Path]:
        """The portable files, of which the linker leaves out what no unit calls, and those of the port."""
        portable = [file for room in (CORE, FIRMWARE / "csrc") for file in sorted(room.glob("*.c"))]
        return [*portable, PORTS / "main.c", *self.sources]


def _avr(name: str, *options: str, rig: bool) -> Port:
    room = AVR_RAM.get(AVR_MCU, 2048) - AVR_STACK
    return Port(
        name,
        "avr-gcc",
        (f"-mmcu={AVR_MCU}", *AVR_SMALL, *options),
        (f"-Wl,--defsym=__DATA_REGION_LENGTH__={room}",),
        (*([PORTS / "rig.c"] if rig else []), PORTS / "atmega328p" / "hal.c"),
        {"avr-gcc": "gcc-avr avr-libc"},
        AVR_ORDER,
    )


AVR = _avr("avr", "-DPAYGO_RIG", rig=True)
AVR_BOARD = _avr("avr-board", rig=False)
"""Without a rig: the timer is its clock."""
AVR_STANDARD = _avr("avr-standard", "-DPAYGO_NO_EXTENDED", rig=False)
"""The same for units that take standard tokens only."""

CORTEX_M3 = Port(
    "cortex-m3",
    "arm-none-eabi-gcc",
    ("-mcpu=cortex-m3", "-mthumb"),
    ("--specs=nano.specs", "-nostartfiles", "-T", str(PORTS / "cortex_m3" / "lm3s6965.ld")),
    (PORTS / "rig.c", PORTS / "cortex_m3" / "start.c", PORTS / "cortex_m3" / "hal.c"),
    {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi"},
)

ALL = (AVR, AVR_BOARD, AVR_STANDARD, CORTEX_M3)


def linking(port: Port, files: Sequence[str]) -> list[str]:
    """The command that links object files, to which "-o" is to be added."""
    return [port.compiler, *port.machine, "-Wl,--gc-sections", *port.link, *files]


def in_order(port: Port, objects: Sequence[str]) -> list[str]:
    """Object files (`number-source.o`) and libraries in the port's order; those that it does not name come last."""
    named = {name.partition("-")[2].removesuffix(".o"): name for name in objects}
    first = [named.pop(name, name) for name in port.order if name in named or name.startswith("-l")]
    return [*first, *named.values()]


def program(port: Port) -> Path:
    """The port's program, built if it is not there. The compiler's stack figures lie beside it."""
    for command, packages in port.packages.items():
        _need(command, packages)
    includes = [f"-I{room}" for room in (CORE, FIRMWARE / "csrc", PORTS)]
    compiling = [port.compiler, *port.machine, *OPTIONS, *WARNINGS, *includes]

    def build(directory: Path) -> None:
        objects = []
        for number, source in enumerate(port.firmware()):
            objects.append(f"{number}-{source.stem}.o")
            _run([*compiling, "-c", str(source), "-o", objects[-1]], directory)
        _run([*linking(port, in_order(port, objects)), "-o", "program.elf"], directory)

    return _cached(port.name, [*compiling, *port.link, *port.order], port.inputs(), build) / "program.elf"


def simavr_host() -> Path:
    """The program that runs libsimavr, built if it is not there."""
    _need("cc", "gcc libc6-dev")
    command = ["cc", "-std=gnu99", "-O2", "-Wall", "-Wextra", str(HOST), "-lsimavr", "-lelf", "-o", "simavr_host"]

    def build(directory: Path) -> None:
        missing = [name for name in ("simavr/sim_avr.h", "libelf.h") if not _has_header(name)]
        if missing:
            raise PaygoError(f"{missing[0]} is missing", "on Debian: apt-get install libsimavr-dev libelf-dev")
        _run(command, directory)

    return _cached("simavr-host", command, [HOST], build) / "simavr_host"


def starter(name: str) -> Callable[[bytes], Chip]:
    """What starts a chip from the stored bytes. Raises PaygoError in one sentence when a tool is missing."""
    if name == CORTEX_M3.name:
        _need("qemu-system-arm", "qemu-system-arm")
        cortex = program(CORTEX_M3)
        return lambda image: _listening(QemuChip(cortex, image))
    host, avr = simavr_host(), program(AVR)
    return lambda image: _listening(SimavrChip(host, avr, AVR_MCU, image))


def _listening(chip: QemuChip | SimavrChip) -> Chip:
    try:
        chip.listen()
    except BaseException:
        chip.close()
        raise
    return chip


def _need(command: str, packages: str) -> None:
    if shutil.which(command) is None:
        raise PaygoError(f"{command} is missing", f"on Debian: apt-get install {packages}")


def _has_header(name: str) -> bool:
    asked = subprocess.run(["cc", "-E", "-"], input=f"#include <{name}>\n".encode(), capture_output=True, check=False)
    return asked.returncode == 0


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        reason = next((line for line in said if re.search(r"error|overflow", line)), said[-1])
        raise PaygoError(f"{command[0]} fails: {reason}", "the sources and the chip or the compiler do not fit")


def _cached(name: str, command: Sequence[str], inputs: Sequence[Path], build: Callable[[Path], None]) -> Path:
    """A directory that `build` has filled, made once for a command and its inputs; several processes may want it."""
    digest = hashlib.sha256("\0".join(command).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paygo"
    made = cache / f"{name}-{digest.hexdigest()[:16]}"
    if made.is_dir():
        return made
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}-") as directory:
            os.mkdir(Path(directory) / "made")
            build(Path(directory) / "made")
            try:
                os.rename(Path(directory) / "made", made)
            except OSError:
                if not made.is_dir():  # else another process was faster
                    raise
    except OSError as error:
        raise PaygoError(f"nothing can be built in {cache}: {error.strerror}", "XDG_CACHE_HOME names a place") from None
    return made
