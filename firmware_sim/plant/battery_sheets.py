"""12 V batteries by name, as their datasheets have them.

Lead-acid batteries follow Vinachem's 12V-40Ah sheet (0.32 Ω·Ah, charge at up to 0.3 C); where a size has no sheet its
resistance is typical. Lithium packs follow the sheets of UPower's UE-12Li series and of machineu, with twice the 1 kHz
resistance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from paygo_core.errors import PaygoError, brief

Chemistry = Literal["flooded", "agm", "gel", "lfp"]
CHEMISTRIES: tuple[Chemistry, ...] = ("flooded", "agm", "gel", "lfp")
"""In the order of `paygo_chemistry`."""
LEAD_ACID: tuple[Chemistry, ...] = CHEMISTRIES[:3]
CAPACITY_AH = (1.0, 500.0)
"""From the smallest to the largest that `battery_sheet` makes."""


@dataclass(frozen=True)
class BatterySheet:
    """A 12 V battery. capacity_ah: in 10 h for lead-acid. resistance_ohm: charged, 25 °C, of the pack. charge_a: the
    most that its maker allows. self_discharge: share a month at 25 °C. cycles: to 80 % when emptied each time."""

    name: str
    chemistry: Chemistry
    capacity_ah: float
    resistance_ohm: float
    charge_a: float
    mass_kg: float
    self_discharge: float
    cycles: int

    def sized(self, capacity_ah: float) -> BatterySheet:
        """The same battery larger or smaller: resistance falls, current and mass rise with the capacity."""
        share = capacity_ah / self.capacity_ah
        return replace(
            self, name=f"{self.chemistry} {capacity_ah:g} Ah", capacity_ah=capacity_ah,
            resistance_ohm=self.resistance_ohm / share, charge_a=self.charge_a * share, mass_kg=self.mass_kg * share,
        )  # fmt: skip


def _lead(chemistry: Chemistry, capacity_ah: float, resistance_ohm: float, mass_kg: float) -> BatterySheet:
    lost = {"flooded": 0.08, "agm": 0.03, "gel": 0.02}[chemistry]
    name = f"{chemistry} {capacity_ah:g} Ah"
    return BatterySheet(name, chemistry, capacity_ah, resistance_ohm, 0.3 * capacity_ah, mass_kg, lost, 200)


def _lithium(capacity_ah: float, resistance_ohm: float, mass_kg: float) -> BatterySheet:
    name = f"lfp {capacity_ah:g} Ah"
    return BatterySheet(name, "lfp", capacity_ah, resistance_ohm, 0.5 * capacity_ah, mass_kg, 0.03, 2000)


BATTERIES = {
    sheet.name: sheet
    for sheet in (
        _lead("flooded", 40, 0.008, 14.0),
        _lead("flooded", 70, 0.006, 20.0),
        _lead("agm", 7, 0.022, 2.2),
        _lead("agm", 12, 0.015, 3.8),
        _lead("agm", 20, 0.011, 6.0),
        _lead("agm", 40, 0.008, 16.0),
        _lead("gel", 40, 0.009, 14.0),
        _lead("gel", 65, 0.007, 21.0),
        _lithium(6, 0.090, 0.9),
        _lithium(12, 0.080, 1.5),
        _lithium(20, 0.080, 2.4),
        _lithium(30, 0.080, 3.6),
        _lithium(50, 0.100, 5.8),
    )
}
"""By chemistry and capacity."""


def battery_sheet(chemistry: object, capacity_ah: object) -> BatterySheet:
    """The battery of this chemistry (flooded, agm, gel, lfp) and capacity, 1 … 500 Ah: that of BATTERIES which is
    nearest in size, made larger or smaller. Raises PaygoError for another chemistry or capacity."""
    if chemistry not in CHEMISTRIES:
        raise PaygoError(f"a battery cannot be {brief(str(chemistry))}", f"it is {', '.join(CHEMISTRIES)}")
    least, most = CAPACITY_AH
    if isinstance(capacity_ah, bool) or not isinstance(capacity_ah, (int, float)) or not least <= capacity_ah <= most:
        raise PaygoError(f"a battery cannot have {brief(str(capacity_ah))} Ah", f"it has {least:g} to {most:g} Ah")
    wanted = float(capacity_ah)
    alike = [sheet for sheet in BATTERIES.values() if sheet.chemistry == chemistry]
    nearest = min(alike, key=lambda sheet: max(sheet.capacity_ah / wanted, wanted / sheet.capacity_ah))
    return nearest if nearest.capacity_ah == wanted else nearest.sized(wanted)
