"""Looks for an order of linking in which more calls in an AVR's program are near, and each of them a word shorter.

It prints every order that is better than those before, for AVR_ORDER in firmware_sim/mcu/build.py. Its argument is how
many seconds it looks: link_order.py 60.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import c_size

from firmware_sim.mcu.build import AVR_STANDARD, in_order, linking, program

WARM = 6.0
"""So many bytes more are taken for a while at the beginning."""


def plain(name: str) -> str:
    """As the order names it."""
    return name.partition("-")[2].removesuffix(".o") if name.endswith(".o") else name


def moved(order: Sequence[str]) -> list[str]:
    """The same with one or two of them elsewhere."""
    changed = list(order)
    for _ in range(random.choice((1, 1, 2))):
        name = changed.pop(random.randrange(len(changed)))
        changed.insert(random.randrange(len(changed) + 1), name)
    return changed


def main() -> None:
    """From the order that there is."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    made = program(AVR_STANDARD).parent
    files = in_order(AVR_STANDARD, sorted(path.name for path in made.glob("*.o")))
    with tempfile.TemporaryDirectory() as directory:
        elf = Path(directory) / "program.elf"

        def size(order: Sequence[str]) -> int:
            subprocess.run([*linking(AVR_STANDARD, order), "-o", elf], cwd=made, check=True)
            text, data = c_size.run("avr-size", elf).splitlines()[1].split()[:2]
            return int(text) + int(data)

        order, taken = list(files), size(files)
        best = taken
        print(best)
        begin = time.monotonic()
        while (left := 1 - (time.monotonic() - begin) / seconds) > 0:
            other = moved(order)
            bytes_taken = size(other)
            if bytes_taken <= taken or random.random() < math.exp((taken - bytes_taken) / (WARM * left)):
                order, taken = other, bytes_taken
            if taken < best:
                best = taken
                print(best, *map(plain, order))


if __name__ == "__main__":
    main()
