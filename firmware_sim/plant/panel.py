"""A photovoltaic panel as a current source: the explicit single-curve model fitted to four datasheet values."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """A 36-cell panel by its datasheet at 1000 W/m² and 25 °C.

    open_circuit_v, power_v: V. power_a, short_circuit_a: A. noct: °C. alpha and beta: relative change of current and
    voltage per K. The curve is I = Isc (1 − C1 (exp(V / (C2 Voc)) − 1)), moved with irradiance and cell temperature.
    """

    open_circuit_v: float = 22.1
    power_v: float = 17.6
    power_a: float = 2.84
    short_circuit_a: float = 3.05
    noct: float = 46.7
    alpha: float = 0.0005
    beta: float = -0.0033

    def current(self, voltage: float, irradiance: float, ambient: float) -> float:
        """A, at `voltage` V, `irradiance` W/m² and `ambient` °C. Never negative."""
        if irradiance <= 0:
            return 0.0
        warming = ambient + (self.noct - 20) / 800 * irradiance - 25
        c2 = (self.power_v / self.open_circuit_v - 1) / math.log(1 - self.power_a / self.short_circuit_a)
        c1 = (1 - self.power_a / self.short_circuit_a) * math.exp(-self.power_v / (c2 * self.open_circuit_v))
        light = self.short_circuit_a * (1 + self.alpha * warming) * irradiance / 1000
        shift = self._shift(irradiance, warming)
        return max(0.0, light * (1 - c1 * math.expm1((voltage - shift) / (c2 * self.open_circuit_v))))

    def open_voltage(self, irradiance: float, ambient: float) -> float:
        """V at the open terminals."""
        if irradiance <= 0:
            return 0.0
        warming = ambient + (self.noct - 20) / 800 * irradiance - 25
        return max(0.0, self.open_circuit_v + self._shift(irradiance, warming))

    def _shift(self, irradiance: float, warming: float) -> float:
        return self.beta * self.open_circuit_v * warming + 0.95 * math.log(irradiance / 1000)
