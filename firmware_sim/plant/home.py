"""A small solar home: panel, charge switch, battery, the unit's output and a lamp on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_sim.plant.battery import Battery
from firmware_sim.plant.panel import Panel
from paygo_core.errors import PaygoError

DAY_S = 86_400
CHARGE_PATH_DROP_V = 0.4
UNIT_DRAW_A = 0.008
RTC_AT_START = 1_767_225_600
"""What the unit's clock chip says at midnight of the first day, in seconds; it counts world time."""
LAMP_CUT_OUT_V = 6.0

PLANT_RANGES = {
    "state_of_charge": (0.0, 1.0),
    "ambient": (-20.0, 60.0),
    "clearness": (0.0, 1.2),
    "irradiance": (0.0, 1400.0),
    "lamp_w": (0.0, 200.0),
}
"""What the control socket's `plant` sets: 0 … 1, °C, share of a clear sky, W/m² (null: from the sun), W."""

FAULTS = {
    "battery_sensor_offset_v": (-20.0, 20.0),
    "charge_switch_stuck_on": (0.0, 1.0),
    "clock_offset_s": (-9e8, 9e8),
    "clock_stopped": (0.0, 1.0),
}
"""What `fault` plants: volts added to the measured battery voltage; a charge switch that no longer opens; seconds by
which somebody turned the clock chip; a clock chip that stands still. 0 removes."""


@dataclass(frozen=True)
class Measured:
    """What the unit's sensors see: V, A (a battery current that charges is positive), °C, and the clock chip's s."""

    battery_v: float
    battery_a: float
    panel_v: float
    panel_a: float
    load_a: float
    temperature: float
    rtc_s: int = 0


class SolarHome:
    """The plant around one unit.

    start_hour: when it begins, hours since midnight. state_of_charge: of the battery, 0 … 1. `time_s` is world time in
    seconds since midnight of the first day.
    """

    def __init__(self, *, start_hour: float = 6.0, state_of_charge: float = 0.7) -> None:
        self.time_s = start_hour * 3600
        self.battery = Battery(state_of_charge=state_of_charge)
        self.panel = Panel()
        self.values: dict[str, float | None] = {
            "ambient": 25.0,
            "clearness": 1.0,
            "irradiance": None,
            "lamp_w": 6.0,
        }
        self.faults = dict.fromkeys(FAULTS, 0.0)
        self.output_on = False
        self._stopped_at: int | None = None
        self.measured = self._measure(panel_v=0.0, panel_a=0.0, load_a=0.0)

    @property
    def irradiance(self) -> float:
        """W/m² now: as set, or a clear equatorial day from 6 to 18 h dimmed by `clearness`."""
        fixed = self.values["irradiance"]
        if fixed is not None:
            return fixed
        return 1000.0 * self._value("clearness") * max(0.0, math.sin(math.pi * (self.time_s % DAY_S - 21_600) / 43_200))

    @property
    def lamp_wanted(self) -> bool:
        """People switch the lamp on from 18 to 23 h, and in the morning from 5 to 6 h."""
        hour = self.time_s % DAY_S / 3600
        return (hour >= 18 and hour < 23) or 5 <= hour < 6

    def set_value(self, name: str, value: object) -> None:
        """Sets state_of_charge (0 … 1), ambient (°C), clearness (of a clear sky), irradiance (W/m²) or lamp_w (W).

        An irradiance of None is the sun's again. Raises PaygoError for an unknown name or a value out of range.
        """
        if name not in PLANT_RANGES:
            raise PaygoError(f"there is no plant value {name!r}", f"plant values are {', '.join(PLANT_RANGES)}")
        if name == "irradiance" and value is None:
            self.values[name] = None
            return
        number = _checked(name, value, PLANT_RANGES[name])
        if name == "state_of_charge":
            self.battery = Battery(self.battery.capacity_ah, number)
            self.measured = self._measure(panel_v=0.0, panel_a=0.0, load_a=0.0)
        else:
            self.values[name] = number

    def set_fault(self, name: str, value: object) -> None:
        """Plants a fault, or removes it with 0.

        battery_sensor_offset_v (V), charge_switch_stuck_on (1), clock_offset_s (s by which the clock chip is turned on
        or back), clock_stopped (1).

        Raises PaygoError for an unknown name or a value out of range.
        """
        if name not in FAULTS:
            raise PaygoError(f"there is no fault {name!r}", f"faults are {', '.join(FAULTS)}")
        self.faults[name] = _checked(name, value, FAULTS[name])
        if name == "clock_stopped":
            self._stopped_at = self._clock_chip() if self.faults[name] else None

    def step(self, seconds: float, *, output: bool, charge: bool) -> Measured:
        """Lets `seconds` pass with the unit's two switches as given."""
        ambient = self._value("ambient")
        irradiance = self.irradiance
        battery_v = self.battery.voltage
        self.output_on = output
        if charge or self.faults["charge_switch_stuck_on"] > 0:
            panel_v = battery_v + CHARGE_PATH_DROP_V if irradiance > 0 else 0.0
            panel_a = self.panel.current(panel_v, irradiance, ambient)
        else:
            panel_v = self.panel.open_voltage(irradiance, ambient)
            panel_a = 0.0
        lit = output and self.lamp_wanted and battery_v > LAMP_CUT_OUT_V
        load_a = self._value("lamp_w") / battery_v if lit else 0.0
        self.battery.step(seconds, panel_a - load_a - UNIT_DRAW_A)
        self.time_s += seconds
        self.measured = self._measure(panel_v, panel_a, load_a)
        return self.measured

    def _value(self, name: str) -> float:
        value = self.values[name]
        assert value is not None, f"{name} is always a number"
        return value

    def _clock_chip(self) -> int:
        return int(RTC_AT_START + self.time_s + self.faults["clock_offset_s"])

    def _measure(self, panel_v: float, panel_a: float, load_a: float) -> Measured:
        return Measured(
            battery_v=self.battery.voltage + self.faults["battery_sensor_offset_v"],
            battery_a=self.battery.current_a,
            panel_v=panel_v,
            panel_a=panel_a,
            load_a=load_a,
            temperature=self._value("ambient"),
            rtc_s=self._clock_chip() if self._stopped_at is None else self._stopped_at,
        )


def _checked(name: str, value: object, limits: tuple[float, float]) -> float:
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise PaygoError(f"{name} cannot be {value!r}", f"{name} lies between {low:g} and {high:g}")
    return float(value)
