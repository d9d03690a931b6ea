"""Units broken on purpose, to show that whoever tests units notices."""

from __future__ import annotations

from enum import Enum


class Sabotage(str, Enum):
    """What is broken about the unit."""

    NONE = "none"
    REPLAY = "replay"
    """Forgets which tokens it took: replays are accepted."""
    OUTPUT = "output"
    """The output switch never closes."""
    ALERT = "alert"
    """Alerts are raised but never sent."""
    COUNT = "count"
    """Nothing is stored after the setup: a power cut brings everything back."""
    MUTE = "mute"
    """Hears everything and says nothing."""
