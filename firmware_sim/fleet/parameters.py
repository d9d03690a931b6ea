"""The numbers that the engine steps a kit's panel, battery and board with.

The formulas and their sources are in docs/plant.md. The battery's are those of `firmware_sim.plant.battery`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from firmware_sim._fleet import ffi, lib
from firmware_sim.plant.battery import FAR_UP, MONTH_S, cells_of
from firmware_sim.plant.battery_sheets import CHEMISTRIES, LEAD_ACID, BatterySheet
from firmware_sim.plant.catalogue import Kit
from firmware_sim.plant.panel import Panel
from paygo_core.errors import PaygoError

UNIT_W = 0.1


@dataclass(frozen=True)
class Hardware:
    """What a board revision stands: V at which a clamp holds battery and output, J that it takes, V at which another
    holds the input, V and °C that break.

    opens_s: how long its output takes to open when it is shorted.
    """

    clamp_v: float
    clamp_j: float
    input_clamp_v: float
    input_max_v: float
    output_max_v: float
    opens_s: float
    board_max_c: float = 125.0


HARDWARE = {
    "legacy": Hardware(FAR_UP, FAR_UP, FAR_UP, 30.0, 18.0, 1.0),
    "protected": Hardware(17.0, 20.0, 53.0, 60.0, 40.0, 0.001),
}
"""legacy: regulators of 30 V at the input, lamps and converters of 18 V behind an output without a clamp. protected: an
SMCJ clamp at 17 V, parts of 40 V behind it, an SMBJ33A (53 V) before an input of 60 V."""


def native(kit: Kit) -> Any:
    """The kit as the engine takes it, a fleet_kit. Raises PaygoError for a lithium battery on a legacy board."""
    if kit.board == "legacy" and kit.battery.chemistry not in LEAD_ACID:
        raise PaygoError(f"a legacy board cannot charge {kit.battery.name}", "take a protected board or a lead battery")
    made = ffi.new("fleet_kit *")
    lib.fleet_preset(made, CHEMISTRIES.index(kit.battery.chemistry), kit.board == "protected")
    made.capacity_ah = round(kit.battery.capacity_ah)
    made.board.charge_ma = min(made.board.charge_ma, round(1000 * kit.battery.charge_a))
    made.board.derate_ma_per_dc = made.board.charge_ma // 100
    _panel(made.model, kit.panel)
    _battery(made.model, kit.battery)
    model, hardware = made.model, HARDWARE[kit.board]
    model.mppt = kit.mppt
    model.unit_w = UNIT_W
    model.switch_ohm = 0.02
    model.board_k_per_w = 15.0
    model.board_follow_s = 120.0
    for name in ("clamp_v", "clamp_j", "input_clamp_v", "input_max_v", "output_max_v", "opens_s", "board_max_c"):
        setattr(model, name, getattr(hardware, name))
    return made


def _panel(model: Any, panel: Panel) -> None:
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
    model.converter = 0.97 * 0.97
    model.path_drop_v = 0.4


def _battery(model: Any, battery: BatterySheet) -> None:
    for name, value in asdict(cells_of(battery)).items():
        setattr(model, name, value)
    model.capacity_as = battery.capacity_ah * 3600.0
    model.ohm = battery.resistance_ohm
    model.leak_per_s = battery.self_discharge / MONTH_S
    # 3 K/W of a 6 kg block; time constants of hours follow from 950 J/kg/K.
    model.battery_k_per_w = 3.0
    model.battery_follow_s = 3.0 * 950.0 * battery.mass_kg
