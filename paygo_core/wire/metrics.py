"""OpenPAYGO Metrics: what a simple telemetry payload says, in SI units and with our signs."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

from paygo_core.errors import DeviceError
from paygo_core.telemetry import QUANTITIES, Telemetry

LARGEST_PAYLOAD = 4096
"""Characters."""

_SHORT = {"sn": "serial_number", "ts": "timestamp", "rc": "request_count", "d": "data", "tc": "token_count"}


def decode_payload(text: str) -> Telemetry:
    """A simple payload (named data, full or short names). Raises DeviceError for anything that is not one."""
    if len(text) > LARGEST_PAYLOAD:
        raise _wrong(f"it has {len(text)} characters, more than {LARGEST_PAYLOAD}")
    try:
        payload = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _wrong("it is not JSON") from None
    if not isinstance(payload, dict):
        raise _wrong("it is not an object")
    said = _long_names(payload)
    data = said.pop("data", None) or {}
    if not isinstance(data, dict):
        raise _wrong("its data has no names")
    said.update(_long_names(data))

    known: dict[str, Any] = {name: _number(name, said.pop(name, None)) for name in QUANTITIES}
    if known["battery_current"] is not None:
        known["battery_current"] = 0.0 - known["battery_current"]  # Metrics: negative charges (H15)
    return Telemetry(
        serial=_typed("serial_number", said.pop("serial_number", None), str) or "",
        taken_at=_time(said.pop("timestamp", None)),
        request_count=_typed("request_count", said.pop("request_count", None), int),
        token_count=_typed("token_count", said.pop("token_count", None), int),
        output=_typed("output", said.pop("output", None), bool),
        tampered=_typed("tampered", said.pop("tampered", None), bool),
        firmware_version=_typed("firmware_version", said.pop("firmware_version", None), str),
        extra=said,
        **known,
    )


def _long_names(said: dict[str, Any]) -> dict[str, Any]:
    return {_SHORT.get(name, name): value for name, value in said.items()}


def _wrong(why: str) -> DeviceError:
    return DeviceError(f"the unit's telemetry is not a Metrics payload: {why}", "ask again, or look at the cable")


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _typed(name: str, value: Any, kind: type) -> Any:
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    raise _wrong(f"{name} is a {type(value).__name__}")


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(f"{name} is a {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(f"{name} is not finite")
    return number


def _time(value: Any) -> datetime | None:
    seconds = _number("timestamp", value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise _wrong("its timestamp is out of range") from None
