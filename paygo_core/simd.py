"""Which instruction set the batch takes: the machine's best, or what PAYGO_SIMD names."""

from __future__ import annotations

import os
from collections.abc import Iterable

from paygo_core._native import lib
from paygo_core.errors import PaygoError

SIMD = {"scalar": 0, "neon": 1, "avx2": 2, "avx512": 3}
"""What PAYGO_SIMD may name, best last."""


def available_simd() -> list[str]:
    """The paths that this machine and this build have, best last."""
    return [name for name, number in SIMD.items() if lib.paygo_simd_available(number)]


def chosen_simd() -> str:
    """The path that is taken: what PAYGO_SIMD names, or the best. Raises PaygoError when it names none we have."""
    available = available_simd()
    return forced_simd(available) or available[-1]


def forced_simd(available: Iterable[str]) -> str:
    """What PAYGO_SIMD names, empty when it does not. Raises PaygoError when that is not available."""
    forced = os.environ.get("PAYGO_SIMD", "")
    if forced and forced not in available:
        raise PaygoError(f"PAYGO_SIMD names {forced!r}", f"this machine has {', '.join(available)}")
    return forced
