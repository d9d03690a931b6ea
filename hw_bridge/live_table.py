"""A table of units on a terminal, drawn anew as they change."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hw_bridge.health import Health

if TYPE_CHECKING:
    from rich.table import Table

    from paygo_core.telemetry import Telemetry

_STYLES = {"online": "green", "offline": "red", "connecting": "yellow"}
_SHOWN = {"battery_voltage": "V", "battery_current": "A", "panel_power": "W"}


def unit_table(units: Iterable[Health], title: str) -> Table:
    """The table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", expand=True)
    for column in ("unit", "port", "state", "age", "battery", "current", "panel", "charge", "output", "why"):
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    now = time.monotonic()
    for health in units:
        age = "" if health.last_at is None else f"{now - health.last_at:.0f} s"
        style = _STYLES.get(health.state, "")
        numbers = [_number(health.last.get(name), unit) for name, unit in _SHOWN.items()]
        table.add_row(
            Text(health.serial or "?"),  # what a unit says is no markup
            Text(health.port),
            Text(health.state, style),
            age,
            *numbers,
            _charge(health.last.get("state_of_charge")),
            {True: "on", False: "off"}.get(health.last.get("output"), ""),  # type: ignore[arg-type]
            Text(health.reason),
        )
    return table


class LiveUnit:
    """One unit's table and its last lines on this terminal. A context manager."""

    def __init__(self, port: str) -> None:
        from rich.live import Live

        self._health = Health(port)
        self._lines: list[str] = []
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> LiveUnit:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, reading: Telemetry, serial: str) -> None:
        """A new reading, of the unit that is called so."""
        self._health.serial, self._health.state = serial, "online"
        self._health.last_at, self._health.last = time.monotonic(), reading.to_json()
        self._health.readings += 1
        self._draw()

    def say(self, line: str) -> None:
        """Something that happened."""
        self._lines = [*self._lines, line][-8:]
        self._draw()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.text import Text

        table = unit_table([self._health], f"{self._health.readings} readings")
        self._live.update(Group(table, *map(Text, self._lines)), refresh=True)


def _number(value: Any, unit: str) -> str:
    return f"{value:.2f} {unit}" if isinstance(value, (int, float)) else ""


def _charge(value: Any) -> str:
    return f"{value:.0%}" if isinstance(value, (int, float)) else ""
