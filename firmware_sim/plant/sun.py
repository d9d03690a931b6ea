"""Where the sun stands and what a clear sky sends, on the ground and on a tilted panel.

Sources: declination, equation of time and distance of the sun Spencer (1971); clear sky Haurwitz (1945); share of
diffuse light Erbs, Klein and Duffie (1982); isotropic sky. Panels face the equator.
"""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

DAY_S = 86_400
SOLAR_CONSTANT = 1361.0
GROUND = 0.2
"""Share of the light on the ground that it sends back."""


def year_angle(first_day: date, at_s: Numbers) -> Numbers:
    """How far the Earth is round the Sun since the year's beginning, in radians, at s since a first midnight."""
    since = first_day.toordinal() - date(first_day.year, 1, 1).toordinal()
    angle: Numbers = 2 * math.pi * (since + at_s / DAY_S) / 365.2425
    return angle


class Sun:
    """Where the sun stands, for days × steps of mean solar time (s since the first midnight)."""

    def __init__(self, latitude: float, tilt: float, first_day: date, at_s: Numbers) -> None:
        self._tilt = math.radians(tilt)
        year = year_angle(first_day, at_s)
        one, two, three = np.cos(year), np.cos(2 * year), np.cos(3 * year)
        sin_one, sin_two, sin_three = np.sin(year), np.sin(2 * year), np.sin(3 * year)
        declination = 0.006918 - 0.399912 * one + 0.070257 * sin_one - 0.006758 * two + 0.000907 * sin_two
        declination += 0.00148 * sin_three - 0.002697 * three
        late = 0.0000075 + 0.001868 * one - 0.032077 * sin_one - 0.014615 * two - 0.040849 * sin_two
        hour = 2 * math.pi * (at_s / DAY_S - 0.5) + late
        self._outside = SOLAR_CONSTANT * (
            1.00011 + 0.034221 * one + 0.00128 * sin_one + 0.000719 * two + 0.000077 * sin_two
        )

        up, out, round_ = np.sin(declination), np.cos(declination), np.cos(hour)

        def towards(place: float) -> Numbers:
            """Cosine of the sun's angle to a plane that is level at this latitude."""
            level: Numbers = up * math.sin(place) + out * math.cos(place) * round_
            return level

        here = math.radians(latitude)
        self.height = np.maximum(towards(here), 0)
        self._incidence = np.maximum(towards(here - math.copysign(self._tilt, latitude)), 0)

    @property
    def clear_sky(self) -> Numbers:
        """W/m² on the ground of a day without a cloud."""
        light: Numbers = 1098 * self.height * np.exp(-0.059 / np.maximum(self.height, 1e-3))
        return light

    def on_plane(self, ground: Numbers) -> Numbers:
        """W/m² on the panel, from those on level ground."""
        clearness = np.clip(ground / (self._outside * np.maximum(self.height, 0.065)), 0, 1)
        middle = 0.9511 + clearness * (-0.1604 + clearness * (4.388 + clearness * (-16.638 + clearness * 12.336)))
        share = np.where(clearness <= 0.22, 1 - 0.09 * clearness, np.where(clearness <= 0.8, middle, 0.165))
        # With the sun at the horizon a beam would be a small number over a smaller one.
        beam = np.where(self.height > 0.05, ground * (1 - share) / np.maximum(self.height, 0.05), 0)
        diffuse = ground - beam * self.height
        view = (1 + math.cos(self._tilt)) / 2
        total: Numbers = beam * self._incidence + diffuse * view + ground * GROUND * (1 - view)
        return total
