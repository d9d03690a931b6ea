"""A small solar home: panel, charge switch, battery, the unit's output and a lamp on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from firmware_sim.plant.battery import Battery
from firmware_sim.plant.battery_sheets import BatterySheet, battery_sheet
from firmware_sim.plant.panel import Panel
from paygo_core.errors import PaygoError

DAY_S = 86_400
CHARGE_PATH_DROP_V = 0.4
UNIT_DRAW_A = 0.008
RTC_AT_START = 1_767_225_600
"""What the unit's clock chip says at midnight of the first day, in seconds; it counts world time."""
LAMP_CUT_OUT_V = 6.0
USUAL_BATTERY = battery_sheet("flooded", 18)
"""What a unit has when nobody has told it another (H28)."""
SHORTED_A = 60.0
"""What flows into a short circuit until the hardware opens the output."""

PLANT_RANGES = {
    "state_of_charge": (0.0, 1.0),
    "ambient": (-20.0, 60.0),
    "clearness": (0.0, 1.2),
    "irradiance": (0.0, 1400.0),
    "lamp_w": (0.0, 200.0),
}
"""What the control socket's `plant` sets: 0 … 1, °C, share of a clear sky, W/m² (null: from the sun), W."""

FAULTS = {
    "battery_disconnected": (0.0, 1.0),
    "battery_sensor_offset_v": (-20.0, 20.0),
    "board_heat": (0.0, 200.0),
    "cell_imbalance_v": (0.0, 3.0),
    "charge_switch_stuck_on": (0.0, 1.0),
    "clock_offset_s": (-9e8, 9e8),
    "clock_stopped": (0.0, 1.0),
    "panels_in_series": (0.0, 1.0),
    "short_circuit": (0.0, 1.0),
    "surge_v": (0.0, 500.0),
}
"""What `fault` plants: a battery that nobody connected; volts added to its measured voltage; degrees by which the board
is warmer than the battery; volts by which the fullest cell of a lithium battery is above the others; a charge switch
that no longer opens; seconds by which somebody turned the clock chip; a clock chip that stands still; two panels in
series, which give twice the voltage; a short circuit at the output; volts of a surge on the panel's wires, in each
step. 0 removes."""


@dataclass(frozen=True)
class Measured:
    """What the unit's sensors see: V, A (a battery current that charges is positive), °C, and the clock chip's s.

    The peaks are the highest since the last step.
    """

    battery_v: float
    battery_a: float
    panel_v: float
    panel_a: float
    load_a: float
    temperature: float
    rtc_s: int = 0
    board_temperature: float = 25.0
    battery_peak_v: float = 0.0
    panel_peak_v: float = 0.0
    output_peak_v: float = 0.0
    load_peak_a: float = 0.0

    def again(self) -> Measured:
        """The same at the same moment: a peak is told once."""
        return replace(self, battery_peak_v=0.0, panel_peak_v=0.0, output_peak_v=0.0, load_peak_a=0.0)

    def numbers(self) -> tuple[int, ...]:
        """All but the clock chip's, as firmware takes them (`paygo_measured`): mV, mA and 0.1 °C in 16 bits."""
        now = (self.battery_v, self.battery_a, self.panel_v, self.panel_a, self.load_a)
        peaks = (self.battery_peak_v, self.panel_peak_v, self.output_peak_v, self.load_peak_a)
        told = (
            *(number * 1000 for number in now),
            *(number * 10 for number in (self.temperature, self.board_temperature)),
            *(number * 1000 for number in peaks),
        )
        return tuple(
            max(least, min(round(number), most)) for number, (least, most) in zip(told, _SIXTEEN_BITS, strict=True)
        )


_SIGNED, _UNSIGNED = (-0x8000, 0x7FFF), (0, 0xFFFF)
_SIXTEEN_BITS = (_SIGNED, _SIGNED, _UNSIGNED, *(4 * (_SIGNED,)), *(4 * (_UNSIGNED,)))
"""What each of the numbers holds."""


class SolarHome:
    """The plant around one unit.

    start_hour: when it begins, hours since midnight. state_of_charge: of the battery, 0 … 1. battery: see
    `battery_sheet`; a unit that has another than the usual is told so on its console (H28). `time_s` is world time in
    seconds since midnight of the first day.
    """

    def __init__(
        self, *, start_hour: float = 6.0, state_of_charge: float = 0.7, battery: BatterySheet = USUAL_BATTERY
    ) -> None:
        self.time_s = start_hour * 3600
        self.battery = Battery(battery, state_of_charge)
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

    def put_in(self, battery: BatterySheet, state_of_charge: object = 0.7) -> None:
        """Another battery, charged so far (0 … 1), takes the place of the one that is there. The unit is not told.

        Raises PaygoError for a state of charge out of range.
        """
        charged = _checked("state_of_charge", state_of_charge, PLANT_RANGES["state_of_charge"])
        self.battery = Battery(battery, charged)
        self.battery.temperature = self._value("ambient")
        self.measured = self._measure(panel_v=0.0, panel_a=0.0, load_a=0.0)

    def set_value(self, name: str, value: object) -> None:
        """Sets state_of_charge (0 … 1), ambient (°C), clearness (of a clear sky), irradiance (W/m²) or lamp_w (W).

        An irradiance of None is the sun's again. Raises PaygoError for an unknown name or a value out of range.
        """
        if name not in PLANT_RANGES:
            raise PaygoError(f"there is no plant value {name!r}", f"plant values are {', '.join(PLANT_RANGES)}")
        if name == "irradiance" and value is None:
            self.values[name] = None
            return
        if name == "state_of_charge":
            self.put_in(self.battery.sheet, value)
        else:
            self.values[name] = _checked(name, value, PLANT_RANGES[name])

    def set_fault(self, name: str, value: object) -> None:
        """Plants a fault of FAULTS, or removes it with 0.

        Raises PaygoError for an unknown name or a value out of range.
        """
        if name not in FAULTS:
            raise PaygoError(f"there is no fault {name!r}", f"faults are {', '.join(FAULTS)}")
        self.faults[name] = _checked(name, value, FAULTS[name])
        if name == "clock_stopped":
            self._stopped_at = self._clock_chip() if self.faults[name] else None

    def step(self, seconds: float, *, output: bool, charge: bool, target_v: float | None = None) -> Measured:
        """Lets `seconds` pass with the unit's two switches as given.

        target_v: what the unit keeps the battery at while it charges, in V; None: it does not.
        """
        ambient = self._value("ambient")
        irradiance = self.irradiance
        strings = 2.0 if self.faults["panels_in_series"] else 1.0
        stuck = self.faults["charge_switch_stuck_on"] > 0
        open_v = strings * self.panel.open_voltage(irradiance, ambient)
        self.battery.temperature = ambient
        self.battery.imbalance_v = self.faults["cell_imbalance_v"]
        there = not (self.faults["battery_disconnected"] or self.battery.bms_open)
        battery_v = self.battery.voltage if there else 0.0
        self.output_on = output
        lit = output and self.lamp_wanted and battery_v > LAMP_CUT_OUT_V
        load_a = self._value("lamp_w") / battery_v if lit else 0.0
        panel_v, panel_a, peak_v = open_v, 0.0, battery_v
        if (charge or stuck) and there:
            panel_v = battery_v + CHARGE_PATH_DROP_V if irradiance > 0 else 0.0
            panel_a = self.panel.current(panel_v / strings, irradiance, ambient)
            if target_v is not None and not stuck:
                own_a = load_a + UNIT_DRAW_A
                panel_a = own_a + self.battery.most_current(seconds, panel_a - own_a, target_v)
        elif charge or stuck:
            peak_v = max(open_v - CHARGE_PATH_DROP_V, 0.0)
            battery_v = peak_v if stuck else 0.0
        self.battery.step(seconds, panel_a - load_a - UNIT_DRAW_A if there else 0.0)
        self.time_s += seconds
        self.measured = self._measure(
            panel_v, panel_a, load_a,
            battery_v=self.battery.voltage if there else battery_v,
            peak_v=self.battery.voltage if there else peak_v,
        )  # fmt: skip
        return self.measured

    def _value(self, name: str) -> float:
        value = self.values[name]
        assert value is not None, f"{name} is always a number"
        return value

    def _clock_chip(self) -> int:
        return int(RTC_AT_START + self.time_s + self.faults["clock_offset_s"])

    def _measure(
        self, panel_v: float, panel_a: float, load_a: float, *, battery_v: float | None = None, peak_v: float = 0.0
    ) -> Measured:
        offset_v = self.faults["battery_sensor_offset_v"]
        read_v = (self.battery.voltage if battery_v is None else battery_v) + offset_v
        warmth = self._value("ambient")
        return Measured(
            battery_v=read_v,
            battery_a=self.battery.current_a,
            panel_v=panel_v,
            panel_a=panel_a,
            load_a=load_a,
            temperature=warmth,
            rtc_s=self._clock_chip() if self._stopped_at is None else self._stopped_at,
            board_temperature=warmth + self.faults["board_heat"],
            battery_peak_v=max(peak_v + offset_v, read_v),
            panel_peak_v=panel_v + self.faults["surge_v"],
            output_peak_v=max(peak_v, 0.0) if self.output_on else 0.0,
            load_peak_a=SHORTED_A if self.faults["short_circuit"] and self.output_on else load_a,
        )


def _checked(name: str, value: object, limits: tuple[float, float]) -> float:
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise PaygoError(f"{name} cannot be {value!r}", f"{name} lies between {low:g} and {high:g}")
    return float(value)
