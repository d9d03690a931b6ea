"""What a unit of a fleet consists of: the numbers that the engine steps a panel, a battery and a board with.

The formulas and their sources are in docs/plant.md. The battery's are those of `firmware_sim.plant.battery` (Copetti,
Lorenzo and Chenlo 1993) with their powers replaced by quotients that a vector divides quickly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware_sim._fleet import ffi, lib
from firmware_sim.plant.panel import Panel
from paygo_core.errors import PaygoError

FAR_UP = 1e6
"""A voltage or an energy that nothing reaches."""
SLOTS = lib.FLEET_SLOTS
CHEMISTRIES = ("flooded", "agm", "gel", "lfp")
BOARDS = ("legacy", "protected")

LEAD_REST_V = (10.50, 11.31, 11.58, 11.75, 11.90, 12.06, 12.20, 12.32, 12.42, 12.50, 12.70)
"""At 0, 10, … 100 % and 25 °C (Renogy PWM20 manual, p. 26)."""
LFP_REST_V = (8.05, 12.27, 12.64, 12.78, 12.84, 12.88, 12.92, 12.98, 13.02, 13.05, 13.39)
"""Of four cells (IFR18650 data sheet, times four)."""
MONTH_S = 30 * 86_400

LEAD = {
    "ohm_ah": 0.32, "cells": 6.0, "rest_v": LEAD_REST_V,
    "charge_near": 6.0, "charge_far": 0.62, "charge_edge": 1.01,
    "discharge_near": 4.0, "discharge_far": 0.33, "discharge_edge": 0.02,
    "final_v": 2.45, "follow_s": 600.0, "efficiency_slope": 20.73,
    "bms_open_v": FAR_UP, "bms_close_v": FAR_UP,
}  # fmt: skip
LFP = {
    "ohm_ah": 0.6, "cells": 4.0, "rest_v": LFP_REST_V,
    "charge_near": 0.02, "charge_far": 0.006, "charge_edge": 1.06,
    "discharge_near": 0.02, "discharge_far": 0.006, "discharge_edge": 0.08,
    "final_v": 3.9, "follow_s": 300.0, "efficiency_slope": 400.0,
    "bms_open_v": 15.2, "bms_close_v": 14.4,
}  # fmt: skip
LEAK_A_MONTH = {"flooded": 0.05, "agm": 0.03, "gel": 0.02, "lfp": 0.02}
"""Share of the capacity that a full battery loses in a month at 20 … 25 °C."""


@dataclass(frozen=True)
class Hardware:
    """What a board revision stands: V at which a clamp holds battery and output, J that it takes, V and °C that break.

    opens_s: how long its output takes to open when it is shorted.

    legacy: no clamp; regulators and lamps behind it break above 18 V, the input above 30 V. protected: a clamp at 17 V
    and parts of 40 V behind it, an input of 60 V.
    """

    clamp_v: float
    clamp_j: float
    input_max_v: float
    output_max_v: float
    opens_s: float
    board_max_c: float = 125.0


HARDWARE = {
    "legacy": Hardware(FAR_UP, FAR_UP, 30.0, 18.0, 1.0),
    "protected": Hardware(17.0, 20.0, 60.0, 40.0, 0.001),
}


@dataclass(frozen=True)
class Appliance:
    """One of a household's: W when on and when not, share late at night, and for 96 slots of a day how likely it is on.

    `likely` has 96 values of 0 … 1.
    """

    watts: float
    likely: Sequence[float]
    standby_w: float = 0.0
    dimmed: float = 1.0


@dataclass(frozen=True)
class Kit:
    """One model of a solar home system. battery: a chemistry and Ah; board: legacy or protected; mppt: not by PWM.

    Raises PaygoError for what the board is not made for.
    """

    panel: Panel = field(default_factory=Panel)
    chemistry: str = "flooded"
    capacity_ah: int = 20
    board: str = "legacy"
    mppt: bool = False
    appliances: Sequence[Appliance] = ()

    def __post_init__(self) -> None:
        if self.chemistry not in CHEMISTRIES:
            raise PaygoError(f"there is no chemistry {self.chemistry!r}", f"chemistries are {', '.join(CHEMISTRIES)}")
        if self.board not in BOARDS:
            raise PaygoError(f"there is no board {self.board!r}", f"boards are {', '.join(BOARDS)}")
        if not 1 <= self.capacity_ah <= 1000:
            raise PaygoError(f"a battery cannot have {self.capacity_ah} Ah", "capacities lie between 1 and 1000 Ah")
        if len(self.appliances) > lib.FLEET_APPLIANCES:
            raise PaygoError("a household has too many appliances", f"at most {lib.FLEET_APPLIANCES} are simulated")
        if self.chemistry == "lfp" and self.board == "legacy":
            raise PaygoError("a legacy board cannot charge a lithium battery", "take a protected board")

    def native(self) -> Any:
        """The kit as the engine takes it."""
        kit = ffi.new("fleet_kit *")
        lib.fleet_preset(kit, CHEMISTRIES.index(self.chemistry), BOARDS.index(self.board))
        kit.capacity_ah = self.capacity_ah
        self._panel(kit.model)
        self._battery(kit.model)
        self._board(kit.model)
        kit.appliances = len(self.appliances)
        for place, appliance in enumerate(self.appliances):
            each = kit.appliance[place]
            each.watts, each.standby_w, each.dimmed = appliance.watts, appliance.standby_w, appliance.dimmed
            assert len(appliance.likely) == SLOTS, "a day has 96 slots"
            for slot, likely in enumerate(appliance.likely):
                each.likely[slot] = round(255 * likely)
        return kit

    def _panel(self, model: Any) -> None:
        panel = self.panel
        c2 = (panel.power_v / panel.open_circuit_v - 1) / math.log(1 - panel.power_a / panel.short_circuit_a)
        model.short_a = panel.short_circuit_a
        model.open_v = panel.open_circuit_v
        model.c1 = (1 - panel.power_a / panel.short_circuit_a) * math.exp(-panel.power_v / (c2 * panel.open_circuit_v))
        model.per_c2_open = 1 / (c2 * panel.open_circuit_v)
        model.short_per_k = panel.alpha
        model.open_v_per_k = panel.beta * panel.open_circuit_v
        model.open_v_per_log = 0.95
        model.warming = (panel.noct - 20) / 800
        model.power_w = panel.power_v * panel.power_a
        model.power_per_k = -0.0047
        model.mppt = self.mppt
        model.converter = 0.97 * 0.97
        model.path_drop_v = 0.4

    def _battery(self, model: Any) -> None:
        values = LFP if self.chemistry == "lfp" else LEAD
        for name, value in values.items():
            if name == "rest_v":
                for place, volts in enumerate(value):  # type: ignore[var-annotated, arg-type]
                    model.rest_v[place] = volts
            elif name != "ohm_ah":
                setattr(model, name, value)
        model.capacity_as = self.capacity_ah * 3600.0
        model.ohm = values["ohm_ah"] / self.capacity_ah  # type: ignore[operator]
        model.leak_per_s = LEAK_A_MONTH[self.chemistry] / MONTH_S
        model.battery_k_per_w = 3.0
        model.battery_follow_s = 2 * 3600.0

    def _board(self, model: Any) -> None:
        hardware = HARDWARE[self.board]
        model.unit_w = 0.1
        model.switch_ohm = 0.02
        model.board_k_per_w = 15.0
        model.board_follow_s = 120.0
        model.clamp_v, model.clamp_j = hardware.clamp_v, hardware.clamp_j
        model.input_max_v, model.output_max_v = hardware.input_max_v, hardware.output_max_v
        model.board_max_c = hardware.board_max_c
        model.opens_s = hardware.opens_s
