"""What Home Assistant is told of a unit: device-based MQTT discovery, one table of quantities."""

from __future__ import annotations

import re
from typing import Any

from paygo_core._version import __version__

QUANTITIES: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "battery_voltage": ("Battery voltage", "voltage", "measurement", "V"),
    "battery_current": ("Battery current", "current", "measurement", "A"),
    "panel_voltage": ("Panel voltage", "voltage", "measurement", "V"),
    "panel_current": ("Panel current", "current", "measurement", "A"),
    "panel_power": ("Panel power", "power", "measurement", "W"),
    "load_voltage": ("Load voltage", "voltage", "measurement", "V"),
    "load_power": ("Load power", "power", "measurement", "W"),
    "load_current": ("Load current", "current", "measurement", "A"),
    "temperature": ("Temperature", "temperature", "measurement", "°C"),
    "state_of_charge": ("State of charge", "battery", "measurement", "%"),
    "token_count": ("Token count", None, "total_increasing", None),
}
"""Name of the quantity: what people read, device_class, state_class, unit of measurement."""

_IF_SAID = "{%% if value_json.%s is defined %%}{{ value_json.%s }}{%% endif %%}"
_SWITCH = "{{ 'off' if (value_json.extra.load_switch | default('auto')) | lower == 'off' else 'auto' }}"


def discovery(serial: str, prefix: str, gateway: str, commands: bool) -> tuple[str, dict[str, Any]]:
    """Topic and payload. prefix: of the unit's topics; gateway: the topic of the gateway's availability."""
    name = f"paygo_{re.sub('[^A-Za-z0-9_-]', '_', serial)}"
    components: dict[str, dict[str, Any]] = {}
    for quantity, (label, device_class, state_class, unit) in QUANTITIES.items():
        scale = " * 100" if unit == "%" else ""
        components[quantity] = {
            "platform": "sensor",
            "unique_id": f"{name}_{quantity}",
            "name": label,
            "value_template": _IF_SAID % (quantity, quantity + scale),
            **({"device_class": device_class} if device_class else {}),
            **({"state_class": state_class} if state_class else {}),
            **({"unit_of_measurement": unit} if unit else {}),
        }
    components["output"] = {
        "platform": "binary_sensor",
        "unique_id": f"{name}_output",
        "name": "Output",
        "device_class": "power",
        "value_template": "{{ 'ON' if value_json.output | default(false) else 'OFF' }}",
    }
    if commands:
        components["switch"] = {
            "platform": "switch",
            "unique_id": f"{name}_switch",
            "name": "Operator's switch",
            "command_topic": f"{prefix}/cmd/load",
            "payload_on": "auto",
            "payload_off": "off",
            "state_on": "auto",
            "state_off": "off",
            "value_template": _SWITCH,
        }
    payload = {
        "device": {"identifiers": [name], "name": serial, "serial_number": serial, "manufacturer": "paygo"},
        "origin": {"name": "paygo", "sw_version": __version__},
        "availability": [{"topic": gateway}, {"topic": f"{prefix}/availability"}],
        "availability_mode": "all",
        "state_topic": f"{prefix}/state",
        "qos": 1,
        "components": components,
    }
    return f"homeassistant/device/{name}/config", payload
