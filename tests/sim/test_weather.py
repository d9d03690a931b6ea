"""Weather: the same seed the same light, the sun where pvlib has it, clouds that take their share, files."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.plant.sites import SITES, Climate, site
from firmware_sim.plant.weather import Weather, at_site, synthetic
from firmware_sim.plant.weather_csv import from_csv, read_csv
from firmware_sim.plant.weather_pvlib import clear_sky, from_tmy
from paygo_core import PaygoError

PVLIB_DATA = Path(pvlib.__file__).parent / "data"
GREENSBORO = PVLIB_DATA / "723170TYA.CSV"


def energy(weather: Weather) -> float:
    """kWh/m²/day."""
    return float(weather.irradiance.sum(dtype=float)) * weather.step_s / 3.6e6 / weather.days


def by_day(weather: Weather) -> np.ndarray:
    return weather.irradiance.reshape(weather.days, -1).astype(float)


def test_a_seed_gives_the_same_bytes_and_another_one_others() -> None:
    one, again, other = (at_site("nairobi", 30, 60, seed) for seed in (7, 7, 8))
    for name in ("irradiance", "ambient", "log_irradiance"):
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()
        assert getattr(one, name).dtype == np.float32
    assert one.irradiance.tobytes() != other.irradiance.tobytes()


def test_a_long_run_in_pieces_is_the_long_run() -> None:
    """Over the ends of blocks and months, for light and temperature alike."""
    whole = at_site("lusaka", 100, 300, 5)
    first, second = at_site("lusaka", 37, 300, 5), at_site("lusaka", 63, 300, 5, skip_days=37)
    for name in ("irradiance", "ambient"):
        joined = np.concatenate([getattr(first, name), getattr(second, name)])
        assert joined.tobytes() == getattr(whole, name).tobytes()
    assert second.start == whole.start + timedelta(days=37)


def test_the_step_changes_how_fine_the_weather_is_told_and_not_what_it_is() -> None:
    minutes, quarters = synthetic(20, 60, 6.0, 3), synthetic(20, 900, 6.0, 3)
    assert by_day(quarters).sum(axis=1) * 900 == pytest.approx(by_day(minutes).sum(axis=1) * 60, rel=0.05)
    assert energy(quarters) == pytest.approx(energy(minutes), rel=0.005)


@pytest.mark.parametrize("name", ["nairobi", "dhaka", "lusaka"])
def test_the_sun_stands_where_pvlib_has_it(name: str) -> None:
    place = SITES[name]
    ours = synthetic(365, 900, place.latitude, 0, cloudiness=0, longitude=place.longitude, tilt=0)
    moments = ours.start + pd.to_timedelta((np.arange(len(ours.irradiance)) + 0.5) * 900, unit="s")
    angles = pvlib.location.Location(place.latitude, place.longitude, "UTC").get_solarposition(moments)
    theirs = pvlib.clearsky.haurwitz(angles["zenith"])["ghi"].to_numpy()
    assert np.abs(ours.irradiance - theirs).max() < 6


def test_a_clear_sky_is_pvlib_s_within_a_fifth_and_one_at_a_height_is_brighter() -> None:
    """What differs is haze and height, which Haurwitz's model has not."""
    for name in ("lagos", "nairobi"):
        place = SITES[name]
        theirs = clear_sky(
            place.latitude, place.longitude, 12, 1800, altitude=place.altitude, first_day=date(2026, 3, 1)
        )
        ours = synthetic(12, 1800, place.latitude, 0, cloudiness=0, first_day=date(2026, 3, 1))
        assert energy(ours) == pytest.approx(energy(theirs), rel=0.2)
        assert theirs.start.hour == {"lagos": 23, "nairobi": 21}[name]
    low, high = (clear_sky(0, 0, 1, 1800, altitude=height) for height in (0, 3000))
    assert energy(high) > energy(low)


@pytest.mark.parametrize("cloudiness", [0.1, 0.25, 0.5])
def test_clouds_take_their_share_in_the_mean_and_days_differ(cloudiness: float) -> None:
    clear, cloudy = (synthetic(730, 900, 5.0, 11, cloudiness=share, tilt=0) for share in (0.0, cloudiness))
    shares = by_day(cloudy).sum(axis=1) / by_day(clear).sum(axis=1)
    assert shares.mean() == pytest.approx(1 - cloudiness, abs=0.03)
    assert shares.std() > 0.08
    together = np.corrcoef(shares[:-1], shares[1:])[0, 1]
    assert 0.2 < together < 0.55


def test_light_goes_up_and_down_within_a_day_of_broken_clouds_and_hardly_under_a_clear_sky() -> None:
    clear, broken = (synthetic(60, 300, 0.0, 2, cloudiness=share) for share in (0.0, 0.45))
    restless = [np.abs(np.diff(by_day(weather)[:, 120:168], axis=1)).mean() for weather in (clear, broken)]
    assert restless[0] < 8
    assert restless[1] > 30


def test_cloudy_months_are_darker() -> None:
    by_month = [0.0] * 3 + [0.8] + [0.0] * 8
    year = by_day(synthetic(365, 900, 0.0, 1, cloudiness=by_month)).sum(axis=1)
    assert year[90:120].mean() < 0.35 * year[60:90].mean()


@pytest.mark.parametrize("latitude", [23.8, -15.4])
def test_a_panel_that_leans_to_the_equator_gets_more_in_winter(latitude: float) -> None:
    winter = date(2026, 12, 15) if latitude > 0 else date(2026, 6, 15)
    level, leaning = (synthetic(5, 300, latitude, 0, cloudiness=0, tilt=tilt, first_day=winter) for tilt in (0, None))
    assert energy(leaning) > 1.12 * energy(level)


def test_noon_is_at_twelve_and_night_is_dark() -> None:
    weather = synthetic(30, 60, 0.0, 0, cloudiness=0, longitude=90)
    assert weather.start == datetime(2025, 12, 31, 18, tzinfo=timezone.utc)
    days = by_day(weather)
    assert np.abs(days.argmax(axis=1) - 720).max() < 20
    assert not days[:, : 5 * 60].any()
    assert not days[:, 19 * 60 :].any()


def test_the_afternoon_is_warm_and_so_is_the_warmest_month() -> None:
    climate = Climate(mean=20, season=4, day=10, warmest_month=7)
    warmth = synthetic(365, 900, 20.0, 0, cloudiness=0, climate=climate).ambient.reshape(365, 96)
    assert np.ptp(warmth[10]) == pytest.approx(10, abs=0.2)
    assert warmth[10].argmax() in (59, 60)
    assert warmth.mean() == pytest.approx(20, abs=0.05)
    assert warmth.mean(axis=1).argmax() in range(190, 205)
    cloudy = synthetic(365, 900, 20.0, 0, cloudiness=0.6, climate=climate).ambient.reshape(365, 96)
    assert np.ptp(cloudy, axis=1).mean() < 8


def test_the_logarithm_is_that_of_the_light_and_stops_in_the_dark() -> None:
    weather = synthetic(1, 60, 0.0, 0)
    light = weather.irradiance.astype(float)
    assert weather.log_irradiance == pytest.approx(np.log(np.maximum(light, 1) / 1000), abs=6e-5)
    assert weather.log_irradiance.min() == pytest.approx(math.log(1e-3), abs=1e-4)
    assert np.isfinite(weather.log_irradiance).all()


def test_what_a_weather_says_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        synthetic(1, 60, 0.0, 0).irradiance[0] = 1


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        ({"days": 0}, "1 to"),
        ({"days": 10**9}, "1 to"),
        ({"days": True}, "1 to"),
        ({"step_s": 7}, "a step of 7 s"),
        ({"step_s": 7200}, "a step of 7200 s"),
        ({"latitude": 91}, "latitude"),
        ({"latitude": math.nan}, "latitude"),
        ({"longitude": math.inf}, "longitude"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"cloudiness": 0.9}, "cloudiness"),
        ({"cloudiness": [0.1] * 11}, "cloudiness"),
        ({"cloudiness": math.nan}, "cloudiness"),
        ({"tilt": -1}, "tilt"),
        ({"skip_days": -1}, "skipped"),
    ],
)
def test_a_wrong_argument_is_one_sentence(wrong: dict[str, object], about: str) -> None:
    arguments: dict[str, object] = {"days": 1, "step_s": 60, "latitude": 0.0, "seed": 0}
    with pytest.raises(PaygoError) as refused:
        synthetic(**(arguments | wrong))  # type: ignore[arg-type]
    assert about in f"{refused.value.cause} {refused.value.hint}"


def test_sites_are_found_by_name_and_lie_where_the_sun_rises_for_them() -> None:
    assert site(" Dar es Salaam ").latitude < 0
    with pytest.raises(PaygoError, match="atlantis") as refused:
        site("atlantis")
    assert "nairobi" in refused.value.hint
    for name in SITES:
        assert 3.5 < energy(at_site(name, 365, 3600, 1)) < 6.5, name


# pvlib's years


def test_a_typical_year_is_the_file_s() -> None:
    weather = from_tmy(GREENSBORO, 3600, tilt=0)
    table, _ = pvlib.iotools.read_tmy3(GREENSBORO, map_variables=True)
    assert weather.days == 365
    assert weather.start == datetime(2025, 1, 1, 5, tzinfo=timezone.utc)
    assert energy(weather) == pytest.approx(table["ghi"].sum() / 1000 / 365, rel=0.02)
    assert weather.ambient == pytest.approx(table["temp_air"].to_numpy(), abs=1e-3)
    tilted = from_tmy(GREENSBORO, 900)
    assert 1.05 < energy(tilted) / energy(weather) < 1.25
    assert not by_day(tilted)[:, :16].any()


def test_a_tmy2_file_is_read_too() -> None:
    weather = from_tmy(PVLIB_DATA / "12839.tm2", 3600)
    assert 4.5 < energy(weather) < 6.0
    assert 22 < weather.ambient.mean() < 27


@pytest.mark.parametrize("name", ["x.csv", "x.tm2"])
@pytest.mark.parametrize("content", [b"", b"\0\xff" * 400, b"a,b\n1,2\n", b"1\n" * 9000])
def test_a_file_that_is_no_typical_year_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PaygoError, match="is no TMY"):
        from_tmy(path)
    with pytest.raises(PaygoError, match="No such file"):
        from_tmy(tmp_path / "missing")


def test_a_typical_year_cut_short_or_with_light_from_nowhere_is_refused(tmp_path: Path) -> None:
    lines = GREENSBORO.read_text("utf-8").splitlines(keepends=True)
    path = tmp_path / "year.csv"
    path.write_text("".join(lines[:5000]), "utf-8")
    with pytest.raises(PaygoError, match="has 4998 hours"):
        from_tmy(path)
    cells = lines[5000].split(",")
    cells[4] = "99999"  # GHI
    path.write_text("".join([*lines[:5000], ",".join(cells), *lines[5001:]]), "utf-8")
    with pytest.raises(PaygoError, match="above 1500"):
        from_tmy(path)


def test_without_pvlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pvlib", None)
    for call in (lambda: clear_sky(0, 0, 1, 60), lambda: from_tmy(GREENSBORO)):
        with pytest.raises(PaygoError, match="needs pvlib") as refused:
            call()
        assert "paygo-solar[solar]" in refused.value.hint


def test_drawing_weather_loads_no_pvlib() -> None:
    script = (
        "import sys, firmware_sim.unit; assert 'numpy' not in sys.modules;"
        "from firmware_sim.plant.weather import at_site; at_site('lagos', 1, 60, 1);"
        "assert not {'pvlib', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# Files


def table(rows: list[str], header: str = "time,irradiance,ambient") -> io.BytesIO:
    return io.BytesIO("\n".join([header, *rows, ""]).encode())


def hourly(days: int = 1, offset: str = "+03:00") -> list[str]:
    return [
        f"2026-03-{1 + day:02d}T{hour:02d}:00{offset},{max(0, 800 - 133 * abs(hour - 12))},{20 + hour}"
        for day in range(days)
        for hour in range(24)
    ]


def test_a_file_becomes_steps_on_straight_lines_between_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "sun.csv"
    path.write_bytes(table(hourly(2)).getvalue())
    weather = from_csv(path, 1800)
    assert weather.start == datetime(2026, 2, 28, 21, tzinfo=timezone.utc)
    assert weather.days == 2
    day = by_day(weather)[0]
    assert day[23] == pytest.approx(800 - 133 * 0.25)
    assert day[24] == pytest.approx(800 - 133 * 0.25)
    assert weather.ambient[1] == pytest.approx(20.75)
    assert not day[:10].any()


def test_columns_in_any_order_an_empty_cell_and_no_ambient() -> None:
    rows = hourly()
    swapped = [f"x,{rows[hour].split(',')[1] if hour != 12 else ''},{rows[hour].split(',')[0]}" for hour in range(24)]
    weather = read_csv(table(swapped, "note, Irradiance ,TIME"), "sun.csv", 3600, ambient=31)
    assert weather.ambient.tolist() == [31] * 24
    assert weather.irradiance[11] == pytest.approx(667 - 0)  # noon is missing: a line from 667 to 667


def test_times_without_an_offset_are_of_the_clock_that_is_named() -> None:
    weather = read_csv(table(hourly(offset="")), "sun.csv", 3600, utc_offset_h=-5)
    assert weather.start == datetime(2026, 3, 1, 5, tzinfo=timezone.utc)
    assert read_csv(table(hourly(offset="Z")), "sun.csv").start == datetime(2026, 3, 1, tzinfo=timezone.utc)


def test_days_without_beginning_or_end_are_left_out() -> None:
    assert read_csv(table(hourly(3)[8:]), "sun.csv").start == datetime(2026, 3, 1, 21, tzinfo=timezone.utc)
    assert read_csv(table(hourly(3)[:-8]), "sun.csv").days == 2
    with pytest.raises(PaygoError, match="covers no day"):
        read_csv(table(hourly()[8:]), "sun.csv")


def test_night_values_a_little_below_zero_are_dark() -> None:
    rows = [row.replace(",0,", ",-3.5,") for row in hourly()]
    assert read_csv(table(rows), "sun.csv").irradiance.min() == 0


@pytest.mark.parametrize(
    ("line", "row", "about"),
    [
        (9, "2026-03-01T07:00+03:00,12", "line 9: 2 cells under 3 names"),
        (9, "2026-03-01T07:00+03:00,nan,20", "line 9, irradiance: 'nan' is not a number from -20 to 1600 W/m²"),
        (9, '2026-03-01T07:00+03:00,"1,5",20', "line 9, irradiance: '1,5' is not a number"),
        (9, "2026-03-01T07:00+03:00,1e3,20", "line 9, irradiance"),
        (9, "2026-03-01T07:00+03:00,2000,20", "line 9, irradiance: '2000' is not"),
        (9, "2026-03-01T07:00+03:00,٣,20", "line 9, irradiance"),
        (9, "2026-03-01T07:00+03:00,0,99", "line 9, ambient: '99' is not a number from -60 to 60 °C"),
        (9, "7 o'clock,0,20", 'line 9, time: "7 o\'clock" is no time'),
        (9, "2026-02-30T07:00+03:00,0,20", "line 9, time: '2026-02-30T07:00+03:00' is on no calendar"),
        (9, "0001-01-01T00:00+14:00,0,20", "line 9, time: '0001-01-01T00:00+14:00' is on no calendar"),
        (9, "2026-03-01T06:00+03:00,0,20", "line 9, time: it is not after the row before"),
        (9, "2036-03-01T06:00+03:00,0,20", "line 9, time: it is more than a year after the row before"),
        (9, "2026-03-01T07:00+03:00,0,20\0", "line 9: the line has a NUL character"),
        (9, '2026-03-01T07:00+03:00,"0,20', "line 9: the line is not CSV"),
        (1, "when,irradiance", "line 1, time: the header does not name it"),
        (1, "time,irradiance,irradiance", "line 1, irradiance: the header names it twice"),
    ],
)
def test_a_wrong_row_is_told_with_its_place(line: int, row: str, about: str) -> None:
    lines = table(hourly()).getvalue().decode().splitlines()
    lines[line - 1] = row
    with pytest.raises(PaygoError) as refused:
        read_csv(io.BytesIO("\n".join(lines).encode()), "sun.csv")
    assert refused.value.cause.startswith(f"sun.csv, {about}")
    assert refused.value.hint


def test_a_long_gap_is_refused_with_its_line_and_a_short_one_bridged() -> None:
    rows = hourly(2)
    with pytest.raises(PaygoError, match=r"line 12, irradiance: there is no value in the 4\.0 h before it"):
        read_csv(table(rows[:10] + rows[13:]), "sun.csv")
    assert read_csv(table(rows[:10] + rows[12:]), "sun.csv").days == 2
    assert read_csv(table(rows[:10] + rows[13:]), "sun.csv", longest_gap_s=4 * 3600).days == 2
    empty = [row.split(",")[0] + ",," if 10 <= hour < 14 else row for hour, row in enumerate(rows)]
    with pytest.raises(PaygoError, match=r"line 16, irradiance: there is no value in the 5\.0 h"):
        read_csv(table(empty), "sun.csv")


def test_an_empty_file_a_missing_one_and_one_without_ends_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PaygoError, match="is empty"):
        read_csv(io.BytesIO(b""), "sun.csv")
    with pytest.raises(PaygoError, match="No such file"):
        from_csv(tmp_path / "missing.csv")
    with pytest.raises(PaygoError, match="no end within"):
        read_csv(io.BytesIO(b"x" * 2_000_000), "sun.csv")


LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([row.encode() for row in hourly(2)]),
        st.from_regex(rb"20[23][0-9]-0[1-9]-[0-3][0-9]T[0-2][0-9]:[0-6]0(Z|[+-]0[0-9]:30)?,-?[0-9]{0,4},[0-9.]{0,3}"),
    ),
    max_size=30,
)


@given(LINES, st.sampled_from([b"time,irradiance,ambient", b"time,irradiance", b"\xef\xbb\xbfTIME;irradiance", b""]))
def test_any_file_is_weather_or_a_sentence(lines: list[bytes], header: bytes) -> None:
    file = io.BytesIO(b"\n".join([header, *lines]))
    try:
        weather = read_csv(file, "sun.csv", 3600)
    except PaygoError:
        return
    assert np.isfinite(weather.irradiance).all()
    assert 0 <= weather.irradiance.min() <= weather.irradiance.max() <= 1600
