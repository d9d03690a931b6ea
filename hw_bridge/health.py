"""How a unit does, as people and sinks are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Health:
    """How a unit does. state: connecting, online or offline; reason: why. Times are of the monotonic clock, seconds."""

    port: str
    serial: str = ""
    state: str = "connecting"
    reason: str = ""
    readings: int = 0
    failures: int = 0
    last_at: float | None = None
    last: dict[str, Any] = field(default_factory=dict)
