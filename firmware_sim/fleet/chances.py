"""Numbers drawn for one unit by a hash, so that neither the order of units nor how they are cut into chunks matters."""

from __future__ import annotations

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _mixed(state: int) -> int:
    """SplitMix64's output function (Steele, Lea and Flood 2014)."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
    return state ^ state >> 31


class Chances:
    """A sequence of its own for each seed, unit and purpose."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, unit: int, purpose: int) -> None:
        self._state = _mixed(_mixed(_mixed(seed + _GOLDEN & _MASK) + unit & _MASK) + purpose & _MASK)

    def next(self) -> float:
        """0 ≤ it < 1."""
        self._state = self._state + _GOLDEN & _MASK
        return (_mixed(self._state) >> 11) / (1 << 53)

    def between(self, low: float, high: float) -> float:
        """low ≤ it < high."""
        return low + (high - low) * self.next()

    def happens(self, chance: float) -> bool:
        """With this chance."""
        return self.next() < chance

    def bytes(self, count: int) -> bytes:
        """So many random bytes, for the keys of simulated units."""
        return bytes(int(256 * self.next()) for _ in range(count))
