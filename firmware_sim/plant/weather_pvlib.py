"""Weather from pvlib (the extra `solar`): days without a cloud at a place, and typical meteorological years."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.plant.sites import Climate
from firmware_sim.plant.sun import GROUND, Numbers
from firmware_sim.plant.weather import Weather, ambient_of, blocks, midnight, steps_of, tilt_of
from paygo_core.errors import PaygoError, brief


def clear_sky(
    latitude: float,
    longitude: float,
    days: int,
    step_s: int,
    *,
    altitude: float = 0.0,
    tilt: float | None = None,
    climate: Climate | None = None,
    first_day: date = date(2026, 1, 1),
) -> Weather:
    """Days without a cloud, by pvlib's Ineichen model with its map of turbidity. Raises PaygoError.

    altitude: m. tilt and climate as for `synthetic`. Needs the extra `solar`.
    """
    steps = steps_of(days, step_s, latitude)
    if not -180 <= longitude <= 180 or not -500 <= altitude <= 9000:
        raise PaygoError(
            f"longitude {brief(longitude)} and altitude {brief(altitude)} are no place on land",
            "longitude is -180 to 180, altitude -500 to 9000 m",
        )
    pvlib, pandas = _pvlib()
    start = midnight(first_day, longitude)
    light, warmth = np.empty(steps, np.float32), np.empty(steps, np.float32)
    location = pvlib.location.Location(latitude, longitude, "UTC", altitude)
    for low, block in blocks(days, step_s):
        moments = start + pandas.to_timedelta(block.ravel(), unit="s")
        angles = location.get_solarposition(moments)
        sky = location.get_clearsky(moments, solar_position=angles)
        place = slice(low * block.shape[1], (low + block.shape[0]) * block.shape[1])
        light[place] = _on_plane(pvlib, tilt_of(tilt, latitude), latitude, angles, sky)
        warmth[place] = ambient_of(climate or Climate(), first_day, block, 1.0).ravel()
    return Weather(start, step_s, light, warmth)


def from_tmy(path: Path | str, step_s: int = 60, *, tilt: float | None = None) -> Weather:
    """A typical meteorological year from a TMY3 file, or TMY2 where the name ends in .tm2, as one calendar year.

    Hours become steps on straight lines between their middles. Needs the extra `solar`. Raises PaygoError.
    """
    pvlib, pandas = _pvlib()
    path = Path(path)
    kind = "TMY2" if path.suffix.lower() == ".tm2" else "TMY3"
    try:
        if kind == "TMY2":
            table, about = pvlib.iotools.read_tmy2(str(path))
            hours = table[["GHI", "DNI", "DHI", "DryBulb"]].astype(float)
            hours["DryBulb"] /= 10  # pvlib leaves tenths
        else:
            table, about = pvlib.iotools.read_tmy3(str(path), map_variables=True)
            hours = table[["ghi", "dni", "dhi", "temp_air"]].astype(float)
        hours.columns = ["ghi", "dni", "dhi", "temp_air"]
        latitude, longitude, zone = (float(about[name]) for name in ("latitude", "longitude", "TZ"))
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror}", "name a TMY3 or TMY2 file") from None
    except Exception as error:  # whatever pvlib and pandas say of a file that is something else
        raise PaygoError(f"{path} is no {kind} file: {type(error).__name__}", _TMY_HINT) from None
    if len(hours) != 8760 or not np.isfinite(hours.to_numpy()).all():
        raise PaygoError(f"{path} has {len(hours)} hours, or some without a number", _TMY_HINT)
    lowest, highest = hours.min(), hours.max()
    if min(lowest[:3]) < 0 or max(highest[:3]) > 1500 or lowest["temp_air"] < -60 or highest["temp_air"] > 60:
        raise PaygoError(f"{path} has light below 0 or above 1500 W/m², or air beyond 60 °C", _TMY_HINT)
    if not (-14 <= zone <= 14 and -180 <= longitude <= 180):
        raise PaygoError(f"{path} is of longitude {longitude:g} and time zone {zone:g}, which is nowhere", _TMY_HINT)
    steps = steps_of(365, step_s, latitude)
    start = datetime(2025, 1, 1, tzinfo=timezone.utc) - timedelta(hours=zone)
    light, warmth = np.empty(steps, np.float32), np.empty(steps, np.float32)
    location = pvlib.location.Location(latitude, longitude, "UTC", float(about.get("altitude", 0)))
    for low, block in blocks(365, step_s):
        moments = start + pandas.to_timedelta(block.ravel(), unit="s")
        angles = location.get_solarposition(moments)
        now = {
            name: np.interp(block.ravel() / 3600, np.arange(0.5, 8760), hours[name].to_numpy(), period=8760)
            for name in hours
        }
        for name in ("ghi", "dni", "dhi"):
            now[name] *= angles["apparent_elevation"].to_numpy() > 0
        place = slice(low * block.shape[1], (low + block.shape[0]) * block.shape[1])
        light[place] = _on_plane(pvlib, tilt_of(tilt, latitude), latitude, angles, now)
        warmth[place] = now["temp_air"]
    return Weather(start, step_s, light, warmth)


_TMY_HINT = "a year has 8760 hours with GHI, DNI, DHI in W/m² and air temperature in °C"


def _pvlib() -> tuple[Any, Any]:
    try:
        import pandas
        import pvlib
    except ModuleNotFoundError:
        raise PaygoError("this weather needs pvlib", "pip install 'paygo-solar[solar]'") from None
    return pvlib, pandas


def _on_plane(pvlib: Any, tilt: float, latitude: float, angles: Any, sky: Any) -> Numbers:
    """W/m² on the panel, from pvlib's angles and the sky's ghi, dni and dhi."""
    light = pvlib.irradiance.get_total_irradiance(
        tilt,
        180 if latitude >= 0 else 0,
        angles["apparent_zenith"],
        angles["azimuth"],
        sky["dni"],
        sky["ghi"],
        sky["dhi"],
        albedo=GROUND,
        model="isotropic",
    )
    rounded: Numbers = np.round(np.clip(np.nan_to_num(light["poa_global"].to_numpy()), 0, 1600), 1)
    return rounded
