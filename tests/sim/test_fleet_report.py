"""The fleet report: a run with planted answers, bands against textbooks and scipy, spoilt files."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy.stats import beta, chi2

from firmware_sim.cli import sim
from firmware_sim.report.estimates import Rate, failed_by, rate, ratio
from firmware_sim.report.numbers import Summary, summarize
from firmware_sim.report.page import in_short, report_page
from firmware_sim.report.reading import open_fleet
from paygo_core import PaygoError
from paygo_core.report import render

UNITS, DAYS = 60, 42
CHUNK = 25
"""Units in a file."""
DAY_S = 86_400
HOURLESS = ("panel_wh", "load_wh", "unserved_wh", "light_h", "on_h", "low_h")

# unit: day and cause. Odd units have a protected board.
FAILED = {0: (10, "24 V panel"), 2: (20, "24 V panel"), 4: (30, "surge"), 1: (20, "surge")}


def used(unit: int, day: int) -> bool:
    """Unit 3 was used on 14 days, which is not over two weeks; unit 5 on 15, which is."""
    return day < {3: 14, 5: 15}.get(unit, DAYS)


def day_row(unit: int, day: int) -> dict[str, Any]:
    on = used(unit, day)
    odd = unit % 2
    return {
        "unit": unit,
        "day": day,
        "panel_wh": 100.0,
        "load_wh": (60.0 + 20 * odd) * on,
        "unserved_wh": 5.0 * on * odd,
        "charge_min": 0.15 if day < DAYS // 2 else 0.55,
        "charge_max": 0.95,
        "charge_end": 0.6,
        "battery_min_mv": 12_000,
        "battery_max_mv": 14_400,
        "light_h": 4.0 * on,
        "on_h": 18.0,
        "payment_h": 12.0,
        "bonus_h": 3.0 * (1 - odd),
        "manual_h": 1.5,
        "enable_h": 0.0 if unit else 7.5,
        "low_h": 0.5 * odd,
        "battery_max_c": 30.0,
        "health": 1.0 - day / 1000,
    }


ALERTS = [
    # raised on day, lasted hours (None: open), clamp J
    *[(unit, "BATTERY_OVERVOLTAGE", 5 + unit, 2.0, 0.0) for unit in range(8)],
    (8, "BATTERY_OVERVOLTAGE", 40, None, 0.0),
    (8, "OUTPUT_OVERVOLTAGE", 40, None, 250.0),
    (9, "PANEL_OVERVOLTAGE", 3, 26.0, 1250.0),
    (59, "OVERCURRENT", 7, 0.5, None),
]
TOKENS = [
    *[(unit, "add", "payment", 7.0, "accepted") for unit in range(10)],
    (1, "replay", "payment", 7.0, "already used"),
    (1, "replay", "payment", 7.0, "already used"),
    (2, "add", "bonus", 2.5, "accepted"),
    (2, "mistyped", "", 0.0, "invalid"),
]


def write_run(directory: Path, chunk: int = CHUNK) -> Path:
    directory.mkdir(exist_ok=True)
    about = {
        "version": 1, "kit": "0.1.0", "units": UNITS, "days": DAYS, "step_s": 60, "seed": 7,
        "start": "2026-01-01T00:00:00+00:00", "sites": ["nairobi"], "models": ["home-20", "home-50-lfp"],
    }  # fmt: skip
    (directory / "fleet.json").write_text(json.dumps(about))
    units = [
        {
            "unit": unit,
            "site": "nairobi",
            "model": "home-50-lfp" if unit % 2 else "home-20",
            "board": "protected" if unit % 2 else "legacy",
            "chemistry": "lfp" if unit % 2 else "agm",
            "capacity_ah": 20.0 if unit % 2 else 12.0,
            "panel_w": 20.0,
            "mppt": False,
            "payer": "late" if unit % 2 else "on-time",
        }
        for unit in range(UNITS)
    ]
    write_table(directory / "units.parquet", units)
    alerts = [
        {
            "unit": unit,
            "code": code,
            "raised_s": day * DAY_S,
            "cleared_s": None if hours is None else int(day * DAY_S + hours * 3600),
            "value": 16_100,
            "threshold": 16_000,
            "clamp_j": joules,
        }
        for unit, code, day, hours, joules in ALERTS
    ]
    failures = [
        {"unit": unit, "at_s": day * DAY_S, "part": "input", "cause": cause} for unit, (day, cause) in FAILED.items()
    ]
    failures.append({"unit": 0, "at_s": 35 * DAY_S, "part": "board", "cause": "surge"})  # again: it counts once
    names = ("unit", "kind", "reason", "days", "verdict")
    tokens = [dict(zip(names, row, strict=True)) | {"at_s": 60} for row in TOKENS]
    for low in range(0, UNITS, chunk):
        mine = range(low, min(low + chunk, UNITS))
        days = [day_row(unit, day) for unit in mine for day in range(DAYS)]
        write_table(directory / f"days-{low:06}.parquet", days, row_group_size=10 * DAYS)
        for name, rows in (("alerts", alerts), ("failures", failures), ("tokens", tokens)):
            chosen = [row for row in rows if row["unit"] in mine]
            if chosen:
                write_table(directory / f"{name}-{low:06}.parquet", chosen)
    return directory


TYPES = {
    "unit": pa.int32(),
    "day": pa.int32(),
    "cleared_s": pa.int64(),
    "clamp_j": pa.float32(),
    "health": pa.float32(),
}


def write_table(path: Path, rows: list[dict[str, Any]], **options: Any) -> None:
    columns = {name: pa.array([row[name] for row in rows], TYPES.get(name)) for name in rows[0]}
    pq.write_table(pa.table(columns), path, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("fleet") / "run")


@pytest.fixture(scope="module")
def told(run: Path) -> dict[str, Any]:
    """What the command prints with --json."""
    done = CliRunner().invoke(sim, ["report", str(run), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_pilot_is_the_first_fifty_units_with_over_two_weeks_of_use(told: dict[str, Any]) -> None:
    numbers = [unit["unit"] for unit in told["pilot_units"]]
    assert numbers == [unit for unit in range(51) if unit != 3]
    by_unit = {unit["unit"]: unit for unit in told["pilot_units"]}
    assert by_unit[5]["days"] == 15
    assert by_unit[0]["days"] == 42
    assert told["pilot"]["units"] == 50


def test_the_pilot_s_energy_is_what_was_planted(told: dict[str, Any]) -> None:
    """26 even units with 60 Wh; 23 odd ones with 80 and 5 missed on all days, and unit 5 on 15 days."""
    odd_days = 23 * 42 + 15
    days = 50 * 42
    assert told["pilot"]["panel_wh"] == pytest.approx(100)
    assert told["pilot"]["load_wh"] == pytest.approx((26 * 42 * 60 + odd_days * 80) / days)
    assert told["pilot"]["unserved_wh"] == pytest.approx(odd_days * 5 / days)
    assert told["pilot"]["low_h_month"] == pytest.approx(30 * 0.5 * 24 / 50)
    odd = next(unit for unit in told["pilot_units"] if unit["unit"] == 7)
    assert odd["served"] == pytest.approx(80 / 85)
    assert odd["autonomy"] == pytest.approx(20 * 12.8 * 0.959 / 80, rel=1e-6)
    assert odd["lowest"] == pytest.approx(0.15)
    energy = told["periods"]["pilot_energy"]
    assert energy["load_wh"][0] == pytest.approx((26 * 60 + 24 * 80) / 50)
    assert energy["load_wh"][41] == pytest.approx((26 * 60 + 23 * 80) / 50)


def test_the_pilot_s_alerts_and_failures_are_its_own(told: dict[str, Any]) -> None:
    """Unit 3 is not in it, and its alert is not; nor is that of unit 59."""
    assert told["pilot_alerts"] == {"BATTERY_OVERVOLTAGE": 8, "OUTPUT_OVERVOLTAGE": 1, "PANEL_OVERVOLTAGE": 1}
    eight = next(unit for unit in told["pilot_units"] if unit["unit"] == 8)
    assert (eight["alerts"], eight["open_alerts"]) == (2, 2)
    failed = {u["unit"]: (u["failed_day"], u["cause"]) for u in told["pilot_units"] if u["failed_day"] is not None}
    assert failed == {unit: (day, cause) for unit, (day, cause) in FAILED.items()}


def test_failures_are_counted_once_by_board_and_cause_over_the_time_at_risk(told: dict[str, Any]) -> None:
    failures = told["failures"]
    assert failures["units"] == {"legacy": 30, "protected": 30}
    legacy, protected = failures["rates"]["legacy"], failures["rates"]["protected"]
    assert (legacy["failed"], protected["failed"]) == (3, 1)
    years = (27 * 42 + 10 + 20 + 30) / 365.25
    assert legacy["unit_years"] == pytest.approx(years)
    assert legacy["per_100"] == pytest.approx(300 / years)
    assert legacy["low"] == pytest.approx(100 * chi2.ppf(0.025, 6) / 2 / years)
    assert legacy["high"] == pytest.approx(100 * chi2.ppf(0.975, 8) / 2 / years)
    of = {board: {cause: one["failed"] for cause, one in by.items()} for board, by in failures["causes"].items()}
    assert of == {"legacy": {"24 V panel": 2, "surge": 1}, "protected": {"24 V panel": 0, "surge": 1}}
    curve = failures["curves"]["legacy"]
    assert curve["days"] == [0, 10, 20, 30, 42]
    assert curve["share"] == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30, 3 / 30])
    surge = failures["cause_curves"]["legacy"]["surge"]
    assert surge["days"] == [0, 30, 42]
    assert surge["share"] == pytest.approx([0, 1 / 28, 1 / 28]), "two had left by then"


def test_overvoltages_are_raised_cleared_and_open(told: dict[str, Any]) -> None:
    alerts = told["alerts"]
    battery = alerts["BATTERY_OVERVOLTAGE"]
    assert (battery["raised"], battery["cleared"], battery["open"], battery["units"]) == (9, 8, 1, 9)
    assert (battery["mean_h"], battery["longest_h"]) == (2, 2)
    assert (alerts["PANEL_OVERVOLTAGE"]["clamp_j"], alerts["PANEL_OVERVOLTAGE"]["longest_h"]) == (1250, 26)
    assert alerts["OUTPUT_OVERVOLTAGE"]["open"] == 1
    assert alerts["OVERCURRENT"] == {
        "raised": 1, "cleared": 1, "open": 0, "units": 1, "mean_h": 0.5, "longest_h": 0.5, "clamp_j": 0,
    }  # fmt: skip
    by_day = told["periods"]["overvoltage"]
    assert sum(by_day["raised"]) == 11
    assert by_day["raised"][40] == 2
    assert [by_day["open"][day] for day in (2, 3, 4, 12, 40, 41)] == [0, 1, 0, 0, 2, 2]


def test_the_heat_map_has_the_shares_of_units_by_tenth_of_charge(told: dict[str, Any]) -> None:
    periods = told["periods"]
    assert periods["length"] == 1
    assert periods["lowest"][0] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert periods["lowest"][41] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert periods["highest"][7][9] == 1


def test_utilisation_is_split_by_where_time_came_from(told: dict[str, Any]) -> None:
    assert told["hours"] == UNITS * DAYS * 24
    assert told["active_h"] == {
        "payment": 12 * UNITS * DAYS, "bonus": 3 * 30 * DAYS, "manual": 1.5 * UNITS * DAYS, "enable": 7.5 * DAYS,
    }  # fmt: skip
    late = told["active_by_payer"]["late"]
    assert (late["hours"], late["bonus"], late["payment"]) == (30 * DAYS * 24, 0, 12 * 30 * DAYS)
    assert told["periods"]["active_h"]["bonus"] == [90] * DAYS


def test_tokens_are_counted_by_verdict_and_reason(told: dict[str, Any]) -> None:
    assert told["tokens"] == {
        "add": {"accepted": 11}, "mistyped": {"invalid": 1}, "replay": {"already used": 2},
    }  # fmt: skip
    assert told["token_reasons"] == {"bonus": 2.5, "payment": 70}


def test_models_are_told_apart(told: dict[str, Any]) -> None:
    assert told["models"]["home-20"]["load_wh"] == pytest.approx(60)
    assert told["models"]["home-20"]["served"] == 1
    assert told["models"]["home-50-lfp"]["units"] == 30
    assert told["models"]["home-50-lfp"]["health"] == pytest.approx(0.959, rel=1e-6)


def test_how_units_are_cut_into_files_changes_nothing(told: dict[str, Any], tmp_path: Path) -> None:
    summary = summarize(open_fleet(write_run(tmp_path / "other", chunk=7)))
    again = json.loads(json.dumps(told | {"pilot": vars(summary.pilot), "active_h": summary.active_h}))
    assert again == told
    assert [unit.unit for unit in summary.pilot_units] == [unit["unit"] for unit in told["pilot_units"]]
    assert summary.periods.lowest == told["periods"]["lowest"]


def test_a_long_run_is_told_by_periods(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    about = json.loads((directory / "fleet.json").read_text())
    (directory / "fleet.json").write_text(json.dumps(about | {"days": 365}))
    summary = summarize(open_fleet(directory))
    assert summary.periods.length == 7
    assert len(summary.periods.first_days) == 53
    assert summary.periods.pilot_energy["panel_wh"][:6] == pytest.approx([100] * 6)
    assert summary.periods.pilot_energy["panel_wh"][6:] == [0] * 47
    assert summary.periods.active_h["payment"][:7] == [12 * 7 * UNITS] * 6 + [0]


def test_only_the_row_groups_of_the_pilot_are_read_again(run: Path) -> None:
    fleet = open_fleet(run)
    units = [rows["unit"] for _, rows in fleet.rows("days", "unit", only=np.array([30, 31]))]
    assert set(np.concatenate(units)) == set(range(25, 35))


def test_the_page_answers_first_and_loads_nothing(run: Path, told: dict[str, Any]) -> None:
    html = (run / "report.html").read_text("utf-8")
    assert told["page"] == str(run / "report.html")
    assert html.index("In short") < html.index("The pilot") < html.index("Utilisation")
    for words in (
        "50 homes with over two weeks of use had 69 Wh a day each, of 100 Wh that came from the panel",
        "3 of 30 legacy boards failed",
        "most often of: 24 V panel (2)",
        "92 in 100 unit-years (95 %: 19 to 268)",
        "10 alerts were raised among them, most often BATTERY_OVERVOLTAGE (8).",
        "Legacy boards fail 3.1 times as often as protected ones (95 %: 0.3 to 29.9), which may be chance.",
        "11 raised, 9 cleared, 2 open at the end; the clamps took 1.5 kJ.",
        "Units were active 63 % of the time: 50 % paid, 6.2 % bonus, 6.2 % given by hand, 0.5 % unlocked.",
        "On 50 % of all days a battery went below 20 %.",
        "2026-01-11: 24 V panel",
    ):
        assert words in html, words
    for tag in ("<script src", "<link", "<img", "@import"):
        assert tag not in html


def test_the_command_says_the_same_in_words(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(sim, ["report", str(run), "-o", str(page)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Are units in use? Units were active 63 %" in done.stdout
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert "Example" in CliRunner().invoke(sim, ["report", "--help"]).stdout


def test_a_run_that_is_not_finished_is_said_to_be(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    (directory / "days-000050.parquet").unlink()
    fleet = open_fleet(directory)
    page = report_page(fleet, summarize(fleet))
    assert not page.passed
    assert page.verdict == "unfinished: 50 of 60 units"
    done = CliRunner().invoke(sim, ["report", str(directory)], catch_exceptions=False)
    assert done.stderr.endswith("report.html: unfinished: 50 of 60 units\n")
    for path in directory.glob("days-*"):
        path.unlink()
    with pytest.raises(PaygoError, match="no day of any unit"):
        summarize(fleet)


def quiet_run(directory: Path) -> Summary:
    write_run(directory)
    for kind in ("alerts", "failures", "tokens"):
        for path in directory.glob(f"{kind}-*"):
            path.unlink()
    fleet = open_fleet(directory)
    summary = summarize(fleet)
    assert "No over-voltage was raised." in render(report_page(fleet, summary))
    return summary


def test_a_run_without_failures_alerts_or_tokens_is_a_page_too(tmp_path: Path) -> None:
    summary = quiet_run(tmp_path / "run")
    years = 30 * 42 / 365.25
    assert summary.failures.rates["legacy"].high == pytest.approx(100 * -math.log(0.025) / years)
    assert summary.failures.curves["legacy"].share == [0, 0]
    answers = dict(in_short(summary))
    assert "0 of 30 legacy boards failed" in answers["Do control units fail?"]
    assert "times as often" not in answers["Do control units fail?"]


# Bands


def test_the_share_that_failed_is_the_textbook_s() -> None:
    """Remission on 6-MP (Freireich 1963), with the log-log limits that statistics packages print for it."""
    failed, left = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    curve = failed_by(failed, 21, 35, left)
    assert curve.days == [0, 6, 7, 10, 13, 16, 22, 23, 35]
    left_alive = [1 - share for share in curve.share]
    assert left_alive == pytest.approx([1, 0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482, 0.4482], abs=5e-5)
    assert [1 - high for high in curve.high][1::6] == pytest.approx([0.6197, 0.1881], abs=5e-5)
    assert [1 - low for low in curve.low][1::6] == pytest.approx([0.9516, 0.6801], abs=5e-5)


def test_a_curve_ends_when_all_have_failed_and_stays_short_when_many_have() -> None:
    everyone = failed_by([1, 2, 3], 3, 10)
    assert everyone.share[-2:] == [1, 1]
    assert everyone.high[-1] == 1
    many = failed_by(list(np.linspace(1, 300, 5000)), 10_000, 365)
    assert len(many.days) <= 402
    assert many.share[-1] == pytest.approx(0.5)
    assert many.low[-1] == pytest.approx(0.5 - 1.96 * 0.005, abs=2e-4)


@pytest.mark.parametrize("failed", [0, 1, 2, 7, 100, 20_000])
def test_limits_of_a_rate_are_exact(failed: int) -> None:
    found = rate(failed, 50.0)
    assert found.per_100 == 2 * failed
    assert found.high == pytest.approx(chi2.ppf(0.975, 2 * failed + 2), rel=1e-6)
    assert found.low == pytest.approx(chi2.ppf(0.025, 2 * failed) if failed else 0, rel=1e-6)


def test_boards_are_compared_where_one_has_failed() -> None:
    times = ratio(rate(40, 100), rate(10, 100))
    assert times is not None
    assert times[0] == pytest.approx(4)
    assert times[1] > 1.9
    assert ratio(rate(0, 100), rate(0, 100)) is None
    alone = ratio(rate(18, 300), rate(0, 300))
    assert alone is not None
    assert alone[0] == math.inf
    assert alone[1] == pytest.approx(beta.ppf(0.025, 18, 1) / (1 - beta.ppf(0.025, 18, 1)))
    alone = ratio(rate(2, 300), rate(0, 300))
    assert alone is not None
    assert alone[1] < 1
    assert rate(0, 0) == Rate(0, 0, 0, 0, 0)


# Files that are not what they should be


def spoil_json(text: str) -> Any:
    return lambda directory: (directory / "fleet.json").write_text(text)


def spoil_days(column: str, value: Any) -> Any:
    def spoil(directory: Path) -> None:
        rows = [day_row(0, day) for day in range(DAYS)]
        rows[3] = rows[3] | {column: value}
        write_table(directory / "days-000000.parquet", rows)

    return spoil


def cut(directory: Path) -> None:
    path = directory / "days-000000.parquet"
    path.write_bytes(path.read_bytes()[:5000])


def drop(directory: Path) -> None:
    path = directory / "days-000025.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["light_h"]), path)


def words_for_numbers(directory: Path) -> None:
    path = directory / "days-000025.parquet"
    whole = pq.read_table(path)
    pq.write_table(whole.set_column(2, "panel_wh", pa.array(["much"] * len(whole))), path)


def clear_before(directory: Path) -> None:
    row = {"unit": 1, "code": "OVERCURRENT", "raised_s": 500, "cleared_s": 499, "clamp_j": 0.0}
    write_table(directory / "alerts-000000.parquet", [row])


def fail_late(directory: Path) -> None:
    write_table(directory / "failures-000000.parquet", [{"unit": 1, "at_s": 43 * DAY_S, "part": "x", "cause": "y"}])


def twice(directory: Path) -> None:
    path = directory / "units.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), path)


@pytest.mark.parametrize(
    ("spoil", "about"),
    [
        (spoil_json("{"), "fleet.json does not tell of a fleet"),
        (spoil_json("[1]"), "fleet.json does not tell of a fleet"),
        (spoil_json("[" * 100_000), "fleet.json does not tell of a fleet"),
        (spoil_json('{"version":2,"days":1,"step_s":60,"seed":1,"start":"2026-01-01T00:00:00Z"}'), "is of version 2"),
        (spoil_json('{"version":1,"days":0,"step_s":60,"seed":1,"start":"2026-01-01T00:00:00Z"}'), "out of range"),
        (spoil_json('{"version":1,"days":1,"step_s":60,"seed":1,"start":"2026-01-01"}'), "out of range"),
        (spoil_json('{"version":1,"days":NaN,"step_s":60,"seed":1,"start":"2026-01-01"}'), "does not tell"),
        (lambda directory: (directory / "units.parquet").write_bytes(b"no"), "units.parquet"),
        (lambda directory: (directory / "units.parquet").unlink(), "No such file"),
        (twice, "names a unit twice"),
        (cut, "days-000000.parquet"),
        (drop, "days-000025.parquet has no column light_h"),
        (words_for_numbers, "days-000025.parquet is no Parquet file of a fleet"),
        (spoil_days("unit", 60), "a row of unit 60, which units.parquet has not"),
        (spoil_days("unit", -1), "a row of unit -1"),
        (spoil_days("unit", None), "column unit has a row without a value"),
        (spoil_days("day", 43), "a day that the run of 42 days has not"),
        (spoil_days("day", -1), "a day that the run"),
        (spoil_days("load_wh", math.nan), "column load_wh has a value that is no number"),
        (spoil_days("charge_min", None), "column charge_min has a value that is no number"),
        (clear_before, "cleared before it was raised"),
        (fail_late, "a day that the run"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_one_sentence(tmp_path: Path, spoil: Any, about: str) -> None:
    directory = write_run(tmp_path / "run")
    spoil(directory)
    done = subprocess.run(
        [sys.executable, "-c", "from paygo_core.cli import main; main()", "sim", "report", str(directory)],
        capture_output=True, text=True, timeout=60, check=False,
    ) if about == "out of range" else None  # fmt: skip
    with pytest.raises(PaygoError) as refused:
        summarize(open_fleet(directory))
    assert about in refused.value.cause
    assert refused.value.hint
    if done is not None:
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert not (directory / "report.html").exists()


def test_without_pyarrow_the_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PaygoError, match="need pyarrow") as refused:
        open_fleet(run)
    assert "paygo-solar[fleet]" in refused.value.hint
