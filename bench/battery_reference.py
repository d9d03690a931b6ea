"""A 12 V lead-acid battery in the powers of Copetti, Lorenzo and Chenlo (1993), for which the plant has quotients."""

from __future__ import annotations

import math
from bisect import bisect_right

from firmware_sim.plant.battery import DISCHARGE_EDGE, DISCHARGE_FAR, REFERENCE_AH, REST_V

OHMIC_OHM_AH = 0.32
"""Ohmic resistance times capacity (Vinachem 12V-40Ah sheet)."""

POLARISATION_S = 600.0


class ReferenceBattery:
    """State of charge and terminal voltage under a current.

    25 °C; no self-discharge, no ageing; its resistance is that of a charged battery. docs/plant.md says what differs.
    """

    def __init__(self, capacity_ah: float = 18.0, state_of_charge: float = 0.7) -> None:
        self.capacity_ah = capacity_ah
        self.state_of_charge = state_of_charge
        self.current_a = 0.0
        self._polarisation_v = 0.0

    @property
    def rest_v(self) -> float:
        """V without a current, long after the last one."""
        place = min(max(self.state_of_charge, 0.0), 1.0) * 10
        low = min(bisect_right(range(1, 10), place), 9)
        return REST_V[low] + (REST_V[low + 1] - REST_V[low]) * (place - low)

    @property
    def voltage(self) -> float:
        """V at the terminals."""
        return self.rest_v + self._polarisation_v + self.current_a * OHMIC_OHM_AH / self.capacity_ah

    def step(self, seconds: float, current_a: float) -> None:
        """Lets `current_a` (positive charges) flow."""
        self.current_a = current_a
        efficiency = self._efficiency(current_a) if current_a > 0 else 1.0
        charge = self.state_of_charge + current_a * efficiency * seconds / 3600 / self.capacity_ah
        self.state_of_charge = min(max(charge, 0.0), 1.0)
        target = self._over_v(current_a)
        self._polarisation_v += (target - self._polarisation_v) * -math.expm1(-seconds / POLARISATION_S)

    def _over_v(self, current_a: float) -> float:
        rate = abs(current_a) / self.capacity_ah
        amperes = rate * REFERENCE_AH
        if current_a > 0:
            distance = max(1 - self.state_of_charge, 1e-3)
            over: float = rate * (6 / (1 + amperes**0.86) + 0.48 / distance**1.2 + 0.036)
            return min(6 * over, max(6 * (2.45 + 2.011 * math.log1p(rate)) - self.rest_v, 0.0))
        under: float = rate * (4 / (1 + amperes**1.3) + DISCHARGE_FAR / (self.state_of_charge + DISCHARGE_EDGE))
        return -6 * under

    def _efficiency(self, current_a: float) -> float:
        slope = 20.73 / (current_a / (self.capacity_ah / 10) + 0.55)
        return -math.expm1(slope * (self.state_of_charge - 1))
