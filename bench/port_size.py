"""What each port costs on its chip: the flash and RAM of the whole program and its deepest stack (make firmware)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import c_size

from firmware_sim.mcu.build import ALL, Port, program
from paygo_core.errors import PaygoError

HANDLERS = re.compile(r"__vector_\d+|\w+_handler")
"""The interrupts, whose stack comes on top; the reset's own is none of them."""

READS = "pass_byte"
"""It reads storage through a pointer, which is hal_read."""


def stack(target: c_size.Target, elf: Path) -> int:
    """Of main's deepest path and, on top, the deepest interrupt; interrupts do not nest."""
    own = c_size._own_bytes(elf.parent)
    graph = c_size._graph(target, elf, own, {READS})
    graph = {name: c_size._Function(each.own, each.calls & graph.keys()) for name, each in graph.items()}
    graph[READS] = c_size._Function(graph[READS].own, graph[READS].calls | {"hal_read"})
    handlers = [name for name in graph if HANDLERS.fullmatch(name) and name != "reset_handler"]
    return int(
        c_size._deepest(graph, "main")[0] + max((c_size._deepest(graph, name)[0] for name in handlers), default=0)
    )


def line(port: Port) -> str:
    """The port's name, its program's file and its bytes."""
    elf = program(port)
    target = next(target for target in c_size.TARGETS if target.compiler == port.compiler)
    text, data, bss = map(int, c_size.run(f"{target.prefix}size", elf).splitlines()[1].split()[:3])
    return f"{port.name:<10} {port.machine[0]:<18} {text + data:>7} {data + bss:>6} {stack(target, elf):>6}  {elf}"


def main() -> None:
    """Builds all ports; those without a compiler here are named."""
    missing = False
    print(f"{'port':<10} {'chip':<18} {'flash':>7} {'RAM':>6} {'stack':>6}  program")
    for port in ALL:
        try:
            print(line(port))
        except PaygoError as error:
            missing = True
            print(f"{port.name:<10} not built: {error.cause} ({error.hint})", file=sys.stderr)
    sys.exit(missing)


if __name__ == "__main__":
    main()
