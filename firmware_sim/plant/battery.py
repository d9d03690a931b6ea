"""A 12 V battery, lead-acid or four cells of LiFePO4: rest voltage, resistance, over-voltages, efficiency, protection.

The fleet's engine steps the same formulas with the same numbers, many at a time (`firmware_sim/fleet/csrc`).
docs/plant.md has their sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_sim.plant.battery_sheets import LEAD_ACID, BatterySheet

MONTH_S = 30 * 86_400
FAR_UP = 1e6
"""A voltage or an energy that nothing reaches."""

REST_V = (10.50, 11.31, 11.58, 11.75, 11.90, 12.06, 12.20, 12.32, 12.42, 12.50, 12.70)
"""Of lead: rest voltage at 0, 10, … 100 % and 25 °C (Renogy PWM20 manual, p. 26)."""

LFP_REST_V = (8.05, 12.27, 12.64, 12.78, 12.84, 12.88, 12.92, 12.98, 13.02, 13.05, 13.39)
"""Of four cells of LiFePO4 (IFR18650 data sheet, times four)."""

REFERENCE_AH = 300.0
"""Of the stationary cells whose currents in A the formulas of lead take: another battery's are scaled to it. Anything
from 200 to 500 Ah moves a discharge at C/20 and faster by less than 0.05 V."""

DISCHARGE_FAR, DISCHARGE_EDGE = 0.13, 0.1
"""What a discharge of lead takes near empty, beyond the rest voltage, which itself falls to the cut-off: from the
capacities that data sheets promise in 20, 10 and 5 h."""


@dataclass(frozen=True)
class Cells:
    """What cells of one kind do, under a current of x times the capacity in an hour, charged to S (0 … 1), at 25 °C.

    rest_v: of all of them in series, V, at S = 0, 0.1, … 1. A charge lifts each by x (charge_near / (1 + charge_bend x)
    + charge_far / (charge_edge - S)) V, but to no more than final_v + 2 x / (1 + 0.45 x); a discharge takes from it
    x (discharge_near / (1 + discharge_bend x) + discharge_far / (S + discharge_edge)) V. follow_s: how fast they follow
    a current. Of a charge 1 - exp(efficiency_slope / (10 x + 0.55) (S - 1)) is kept. The battery's own protection opens
    at bms_open_v and closes at bms_close_v.
    """

    cells: float
    rest_v: tuple[float, ...]
    charge_near: float
    charge_bend: float
    charge_far: float
    charge_edge: float
    discharge_near: float
    discharge_bend: float
    discharge_far: float
    discharge_edge: float
    final_v: float
    follow_s: float
    efficiency_slope: float
    bms_open_v: float = FAR_UP
    bms_close_v: float = FAR_UP


LEAD = Cells(
    cells=6.0, rest_v=REST_V, charge_near=6.0, charge_bend=0.65 * REFERENCE_AH, charge_far=0.65, charge_edge=1.002,
    discharge_near=4.0, discharge_bend=2.2 * REFERENCE_AH, discharge_far=DISCHARGE_FAR,
    discharge_edge=DISCHARGE_EDGE, final_v=2.45, follow_s=600.0, efficiency_slope=20.73,
)  # fmt: skip
LFP = Cells(
    cells=4.0, rest_v=LFP_REST_V, charge_near=0.02, charge_bend=18.0, charge_far=0.004, charge_edge=1.0004,
    discharge_near=0.02, discharge_bend=20.0, discharge_far=0.006, discharge_edge=0.08, final_v=3.9,
    follow_s=300.0, efficiency_slope=400.0, bms_open_v=15.2, bms_close_v=14.4,
)  # fmt: skip


def cells_of(sheet: BatterySheet) -> Cells:
    """What the cells of a battery do."""
    return LEAD if sheet.chemistry in LEAD_ACID else LFP


class Battery:
    """State of charge (0 … 1) and terminal voltage under a current; no ageing.

    temperature: °C. imbalance_v: by how much its fullest cell is above the others. bms_open: its own protection has
    disconnected it, and whoever steps it lets no current flow then.
    """

    def __init__(self, sheet: BatterySheet, state_of_charge: float = 0.7) -> None:
        self.sheet = sheet
        self.cells = cells_of(sheet)
        self.state_of_charge = state_of_charge
        self.current_a = 0.0
        self.temperature = 25.0
        self.imbalance_v = 0.0
        self.bms_open = False
        self._follows_v = 0.0

    @property
    def rest_v(self) -> float:
        """V without a current, long after the last one."""
        table = self.cells.rest_v
        place = min(max(self.state_of_charge, 0.0), 1.0) * (len(table) - 1)
        low = min(int(place), len(table) - 2)
        return table[low] + (table[low + 1] - table[low]) * (place - low)

    @property
    def voltage(self) -> float:
        """V at the terminals."""
        return max(self.rest_v + self._follows_v + self.current_a * self._ohm, 0.0)

    def step(self, seconds: float, current_a: float) -> None:
        """Lets `current_a` (positive charges) flow."""
        over_v = self._over_v(current_a)
        kept = self._efficiency(current_a) if current_a > 0 else 1.0
        stored = current_a * kept / 3600 / self.sheet.capacity_ah - self.sheet.self_discharge / MONTH_S
        self.current_a = current_a
        self.state_of_charge = min(max(self.state_of_charge + stored * seconds, 0.0), 1.0)
        self._follows_v += (over_v - self._follows_v) * self._followed(seconds)
        still_v = self.rest_v + self._follows_v + self.imbalance_v
        if self.bms_open:
            self.bms_open = still_v > self.cells.bms_close_v
        else:
            self.bms_open = still_v + current_a * self._ohm > self.cells.bms_open_v

    def most_current(self, seconds: float, offered_a: float, target_v: float) -> float:
        """How much of `offered_a` leaves the terminals at `target_v` or below it after so many seconds, in A."""
        if self._voltage_after(seconds, offered_a) <= target_v:
            return offered_a
        low, high = 0.0, offered_a
        for _ in range(16):
            middle = (low + high) / 2
            low, high = (middle, high) if self._voltage_after(seconds, middle) <= target_v else (low, middle)
        return low

    @property
    def _ohm(self) -> float:
        cold = max(25.0 - self.temperature, 0.0)
        return self.sheet.resistance_ohm * (1.6 - 0.6 * self.state_of_charge) * (1 + 0.01 * cold)

    def _followed(self, seconds: float) -> float:
        return -math.expm1(-seconds / self.cells.follow_s)

    def _voltage_after(self, seconds: float, current_a: float) -> float:
        moved = (self._over_v(current_a) - self._follows_v) * self._followed(seconds)
        return self.rest_v + self._follows_v + moved + current_a * self._ohm

    def _over_v(self, current_a: float) -> float:
        cells, full = self.cells, self.state_of_charge
        colder = 1 - 0.02 * min(max(self.temperature - 25, -40.0), 20.0)
        x = abs(current_a) / self.sheet.capacity_ah
        if current_a > 0:
            over = x * (cells.charge_near / (1 + cells.charge_bend * x) + cells.charge_far / (cells.charge_edge - full))
            most = cells.cells * (cells.final_v + 2 * x / (1 + 0.45 * x)) - self.rest_v
            return min(cells.cells * colder * over, max(most, 0.0))
        under = cells.discharge_near / (1 + cells.discharge_bend * x) + cells.discharge_far / (
            full + cells.discharge_edge
        )
        return -cells.cells * colder * x * under

    def _efficiency(self, current_a: float) -> float:
        slope = self.cells.efficiency_slope / (current_a / self.sheet.capacity_ah * 10 + 0.55)
        return -math.expm1(slope * (self.state_of_charge - 1))
