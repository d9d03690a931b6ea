"""One reading of any control unit, in SI units and with our signs, whatever protocol it came by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

QUANTITIES = {
    "battery_voltage": "V",
    "battery_current": "A",
    "panel_voltage": "V",
    "panel_current": "A",
    "panel_power": "W",
    "load_voltage": "V",
    "load_current": "A",
    "load_power": "W",
    "temperature": "°C",
    "state_of_charge": "",
}
"""What is measured, and in which unit."""

ALERT_CODES = frozenset(
    (
        "BATTERY_OVERVOLTAGE",
        "PANEL_OVERVOLTAGE",
        "OUTPUT_OVERVOLTAGE",
        "BATTERY_UNDERVOLTAGE",
        "BATTERY_DISCONNECTED",
        "OVERCURRENT",
        "SHORT_CIRCUIT",
        "OVERTEMPERATURE",
        "UNDERTEMPERATURE",
        "CHARGER_FAULT",
        "SENSOR_FAULT",
        "CLOCK_TAMPER",
        "STORAGE_FAULT",
    )
)
"""What units of every kind raise alerts about."""


@dataclass(frozen=True)
class Telemetry:
    """One reading of a unit.

    Voltages V, currents A (battery_current is positive while the battery charges), powers W; temperature: the
    battery's, °C, or the unit's where nothing is closer to it; state_of_charge 0 … 1; output: the customer has power.
    None: the unit did not say. extra: all else that it said, under the unit's own names.
    """

    serial: str = ""
    taken_at: datetime | None = None
    request_count: int | None = None
    battery_voltage: float | None = None
    battery_current: float | None = None
    panel_voltage: float | None = None
    panel_current: float | None = None
    panel_power: float | None = None
    load_voltage: float | None = None
    load_current: float | None = None
    load_power: float | None = None
    temperature: float | None = None
    state_of_charge: float | None = None
    output: bool | None = None
    token_count: int | None = None
    tampered: bool | None = None
    firmware_version: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What the unit said, for machines: `taken_at` in ISO 8601, nothing that is None."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        if self.taken_at is not None:
            said["taken_at"] = self.taken_at.isoformat()
        return said
