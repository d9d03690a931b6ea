"""How far the weather drawn without pvlib is from pvlib's: the sun's height, a clear sky, light on a tilted panel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pvlib

from firmware_sim.plant.sites import SITES
from firmware_sim.plant.weather import synthetic
from firmware_sim.plant.weather_pvlib import clear_sky

STEP_S = 300
DAYS = 365
COLUMNS = ("site", "Haurwitz W/m²", "Ineichen kWh/m²/day", "ours kWh/m²/day", "difference", "with clouds")


def errors(name: str) -> tuple[float, float, float, float]:
    """Largest difference from pvlib's Haurwitz in W/m²; kWh/m²/day on the panel: Ineichen's, ours, ours with clouds."""
    site = SITES[name]
    level = synthetic(DAYS, STEP_S, site.latitude, 0, cloudiness=0, longitude=site.longitude, tilt=0)
    moments = level.start + pd.to_timedelta((np.arange(len(level.irradiance)) + 0.5) * STEP_S, unit="s")
    place = pvlib.location.Location(site.latitude, site.longitude, "UTC", site.altitude)
    theirs = pvlib.clearsky.haurwitz(place.get_solarposition(moments)["zenith"])["ghi"].to_numpy()
    ours = synthetic(DAYS, STEP_S, site.latitude, 0, cloudiness=0, longitude=site.longitude)
    cloudy = synthetic(DAYS, STEP_S, site.latitude, 0, cloudiness=site.cloudiness, longitude=site.longitude)
    reference = clear_sky(site.latitude, site.longitude, DAYS, STEP_S, altitude=site.altitude)
    sums = [float(weather.irradiance.sum(dtype=float)) * STEP_S / 3.6e6 / DAYS for weather in (reference, ours, cloudy)]
    return float(np.abs(level.irradiance - theirs).max()), *sums


def main() -> None:
    """Prints one row a site."""
    print("| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
    for name in SITES:
        largest, reference, ours, cloudy = errors(name)
        print(f"| {name} | {largest:.1f} | {reference:.2f} | {ours:.2f} | {ours / reference - 1:+.1%} | {cloudy:.2f} |")


if __name__ == "__main__":
    main()
