"""The hash that all chances are drawn by, so that it does not matter what was drawn before, or by whom."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Words = TypeVar("Words", int, npt.NDArray[np.uint64])
"""64 bits, or an array of them."""

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def mixed(state: Words) -> Words:
    """SplitMix64's output function (Steele, Lea and Flood 2014)."""
    words: Any = state
    words = (words ^ words >> 30) * 0xBF58476D1CE4E5B9 & MASK
    words = (words ^ words >> 27) * 0x94D049BB133111EB & MASK
    done: Words = words ^ words >> 31
    return done
