"""Numbers drawn for one unit by a hash, so that neither the order of units nor how they are cut into chunks matters."""

from __future__ import annotations

from firmware_sim._fleet import ffi, lib
from firmware_sim.plant.chances import GOLDEN, MASK, mixed


class Chances:
    """A sequence of its own for each seed, unit and purpose."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, unit: int, purpose: int) -> None:
        start = mixed(mixed(mixed(seed + GOLDEN & MASK) + unit & MASK) + purpose & MASK)
        self._state = ffi.new("uint64_t *", start)

    def next(self) -> float:
        """0 ≤ it < 1."""
        drawn: float = lib.fleet_chance(self._state)
        return drawn

    def between(self, low: float, high: float) -> float:
        """low ≤ it < high."""
        return low + (high - low) * self.next()

    def happens(self, chance: float) -> bool:
        """With this chance."""
        return self.next() < chance

    def bytes(self, count: int) -> bytes:
        """So many random bytes, for the keys of simulated units."""
        return bytes(int(256 * self.next()) for _ in range(count))
