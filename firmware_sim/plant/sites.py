"""Places where solar homes are sold: where they lie, how warm they are, how much light clouds take by month."""

from __future__ import annotations

from dataclasses import dataclass

from paygo_core.errors import PaygoError, brief


@dataclass(frozen=True)
class Climate:
    """How warm it is, in °C.

    mean: of the year. season: how far the warmest month's mean lies above it. day: from the coolest to the warmest hour
    of a clear day. warmest_month: 1 … 12.
    """

    mean: float = 25.0
    season: float = 0.0
    day: float = 10.0
    warmest_month: int = 3


@dataclass(frozen=True)
class Site:
    """A place: degrees (north and east positive), metres above the sea, climate, and the share of a clear sky's light
    that clouds take in each month from January on, 0 … 0.85."""

    name: str
    latitude: float
    longitude: float
    altitude: float
    climate: Climate
    cloudiness: tuple[float, ...]


def _months(dry: float, wet: float, *wet_months: int) -> tuple[float, ...]:
    return tuple(wet if month in wet_months else dry for month in range(1, 13))


SITES = {
    site.name: site
    for site in (
        Site("dar-es-salaam", -6.82, 39.27, 20, Climate(26.0, 2.3, 8, 2), _months(0.27, 0.40, 3, 4, 5, 11)),
        Site("dhaka", 23.81, 90.41, 8, Climate(26.0, 4.5, 9, 6), _months(0.25, 0.50, 6, 7, 8, 9)),
        Site("kampala", 0.32, 32.58, 1190, Climate(22.0, 1.0, 10, 2), _months(0.30, 0.40, 3, 4, 5, 9, 10, 11)),
        Site("kano", 12.00, 8.52, 480, Climate(26.5, 4.5, 14, 5), _months(0.18, 0.36, 6, 7, 8, 9)),
        Site("kinshasa", -4.33, 15.31, 280, Climate(25.5, 1.8, 9, 3), _months(0.36, 0.45, 6, 7, 8, 9)),
        Site("lagos", 6.45, 3.39, 10, Climate(27.0, 1.7, 7, 3), _months(0.33, 0.52, 6, 7, 8, 9, 10)),
        Site("lusaka", -15.42, 28.28, 1280, Climate(20.5, 3.5, 12, 10), _months(0.15, 0.40, 1, 2, 3, 12)),
        Site("monrovia", 6.30, -10.80, 10, Climate(26.0, 1.5, 7, 3), _months(0.33, 0.58, 5, 6, 7, 8, 9, 10)),
        Site("nairobi", -1.29, 36.82, 1706, Climate(19.0, 1.5, 11, 3), _months(0.18, 0.38, 4, 5, 7, 8, 11)),
        Site("patna", 25.59, 85.14, 55, Climate(25.5, 7.0, 10, 6), _months(0.25, 0.48, 6, 7, 8, 9)),
    )
}
"""By name. Coordinates are those of the cities; temperatures and clouds are typical values, rounded, of no one year."""


def site(name: str) -> Site:
    """The site of a name, which may be in capitals. Raises PaygoError."""
    found = SITES.get(name.strip().lower().replace(" ", "-"))
    if found is None:
        raise PaygoError(f"no site is called {brief(name)}", f"sites are {', '.join(SITES)}")
    return found
