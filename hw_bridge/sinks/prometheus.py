"""Prometheus: the newest readings as a text endpoint, in base units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hw_bridge.sinks import Record
from paygo_core._version import __version__
from paygo_core.errors import PaygoError, PortError

try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError:
    raise PaygoError("a Prometheus endpoint needs prometheus-client", "pip install 'paygo-solar[gateway]'") from None

GAUGES = {
    "battery_voltage": ("paygo_battery_volts", "Voltage of the battery."),
    "battery_current": ("paygo_battery_amperes", "Current into the battery, negative while it discharges."),
    "panel_voltage": ("paygo_panel_volts", "Voltage of the panel."),
    "panel_current": ("paygo_panel_amperes", "Current of the panel."),
    "panel_power": ("paygo_panel_watts", "Power of the panel."),
    "load_voltage": ("paygo_load_volts", "Voltage of the load."),
    "load_current": ("paygo_load_amperes", "Current of the load."),
    "load_power": ("paygo_load_watts", "Power of the load."),
    "temperature": ("paygo_temperature_celsius", "Temperature."),
    "state_of_charge": ("paygo_state_of_charge_ratio", "State of charge, 0 to 1."),
    "output": ("paygo_output", "Whether the customer has power."),
    "token_count": ("paygo_token_count", "Count of the last accepted token."),
}
"""Quantity of a reading: name of the metric and what it is."""

Numbers = Callable[[], dict[str, tuple[str, str, dict[str, float]]]]
"""The gateway's own: name of the metric, to help text, name of the label, and values by label."""


class Prometheus(Collector):
    """Serves http://host:port/metrics until it is closed. port 0: a free one, which `port` then tells.

    numbers: what the gateway adds. Raises PortError when the address is taken.
    """

    every = 0.0

    def __init__(self, name: str, host: str, port: int, numbers: Numbers = dict) -> None:
        self.name = name
        self._numbers = numbers
        self._newest: dict[str, dict[str, Any]] = {}
        self._online: dict[str, bool] = {}
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", error)
            hint = "name an address of this machine and a free port"
            raise PortError(f"cannot serve metrics on {host}:{port}: {why}", hint) from None
        self.port = self._server.server_port

    async def write(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.kind == "telemetry":
                self._newest[record.serial] = record.said
            else:
                self._online[record.serial] = bool(record.said["online"])

    async def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterable[Metric]:
        """The newest of each unit, for a scrape."""
        yield InfoMetricFamily("paygo_build", "What runs here.", {"version": __version__})
        newest = dict(self._newest)
        for quantity, (name, text) in GAUGES.items():
            family = GaugeMetricFamily(name, text, labels=["serial"])
            for serial, said in newest.items():
                if isinstance(said.get(quantity), (int, float)):
                    family.add_metric([serial], float(said[quantity]))
            yield family
        up = GaugeMetricFamily("paygo_unit_up", "Whether the unit answers.", labels=["serial"])
        for serial, online in dict(self._online).items():
            up.add_metric([serial], float(online))
        yield up
        for name, (text, label, values) in self._numbers().items():
            family = GaugeMetricFamily(name, text, labels=[label])
            for at, value in values.items():
                family.add_metric([at], value)
            yield family
