"""Scenarios: those that ship keep what they promise and only through their events; wrong files are told by line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.cli import sim
from firmware_sim.fleet.engine import DAY_S, DEEDS, EVENT, Fleet, sky
from firmware_sim.plant.catalogue import KITS
from firmware_sim.plant.loads import Homes
from firmware_sim.scenario.expectations import check
from firmware_sim.scenario.holder import Holder
from firmware_sim.scenario.page import scenario_page
from firmware_sim.scenario.play import Outcome, Pace, play, weather_of
from firmware_sim.scenario.reading import open_scenario, read, shipped
from paygo_core.errors import PaygoError
from paygo_core.report import render

NAMES = list(shipped())
HEAD = 'title = "x"\ndays = 2\n[weather]\nsite = "nairobi"\nclear = true\n[[units]]\nname = "home"\n'


def made(text: str) -> Outcome:
    return play(read(HEAD + text, "mine.toml", Path()))


def kept(outcome: Outcome) -> list[bool]:
    return [each.kept for each in check(outcome)]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_keeps_all_that_it_promises(name: str) -> None:
    outcome = play(open_scenario(name))
    assert [(each.words, each.seen) for each in check(outcome) if not each.kept] == []
    assert outcome.scenario.expectations


@pytest.mark.parametrize("name", [name for name in NAMES if name != "token-campaign"])
def test_without_any_one_of_its_events_a_shipped_scenario_fails(name: str) -> None:
    scenario = open_scenario(name)
    wholes = [(each.what, each.name, each.units, each.at_s * (not each.name)) for each in scenario.events]
    assert wholes
    for whole in set(wholes):  # what begins and ends is left out with its end
        left = [each for each, of in zip(scenario.events, wholes, strict=True) if of != whole]
        assert not all(kept(play(replace(scenario, events=tuple(left))))), whole


def test_without_its_tokens_the_campaign_fails() -> None:
    outcome = play(replace(open_scenario("token-campaign"), events=()))
    assert sum(kept(outcome)) < len(outcome.scenario.expectations) / 2


def test_the_example_of_the_docs_is_a_scenario_that_keeps_what_it_expects() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text("utf-8")
    text = page.partition("```toml\n")[2].partition("```")[0]
    outcome = play(read(text, "scenarios.md", Path()))
    assert [(each.words, each.seen) for each in check(outcome) if not each.kept] == []
    assert {each.kind for each in outcome.scenario.expectations} == {"alert", "output", "measure", "broken", "verdict"}


def test_the_legacy_board_breaks_of_a_load_dump_and_the_protected_one_of_none() -> None:
    outcome = play(open_scenario("load-dump"))
    labels = outcome.scenario.labels
    assert [(labels[each.unit], each.part, each.cause) for each in outcome.failures] == [
        ("legacy", "output", "battery disconnected")
    ]


NOT_SO = [
    'unit = "protected"\nalert = "BATTERY_DISCONNECTED"\nraised = ["day 1 12:02", "day 1 13:00"]',
    'unit = "protected"\nalert = "BATTERY_DISCONNECTED"\ncleared = ["day 1 12:02", "day 1 13:00"]',
    'unit = "protected"\nalert = "BATTERY_DISCONNECTED"\ncleared = false',
    'unit = "legacy"\nalert = "BATTERY_UNDERVOLTAGE"\ncleared = true',
    'alert = "BATTERY_DISCONNECTED"\ncount = 1',
    'alert = "BATTERY_DISCONNECTED"\nmost = 1',
    'alert = "SHORT_CIRCUIT"',
    'output = "on"\nat = "day 1 13:00"',
    'output = "off"\nat = "day 1 11:00"',
    'output = "on"\nat = "day 2 20:00"',
    'measure = "charge"\nmost = 0.5',
    'measure = "charge"\nleast = 0.9',
    'measure = "battery_v"\nat = "day 1 13:00"\nleast = 1',
    'measure = "credit_d"\nmost = 1000',
    'measure = "load_wh"\ndays = [0, 0]\nmost = 10',
    'measure = "load_wh"\nleast = 400',
    'measure = "load_wh"\nacross = "sum"\nmost = 200',
    'measure = "load_wh"\nacross = "mean"\nleast = 400',
    'measure = "battery_max_mv"\ndays = [1, 1]\nmost = 18000',
    'measure = "battery_min_mv"\ndays = [1, 1]\nleast = 1',
    "broken = false",
    "broken = true",
    'unit = "legacy"\nbroken = true\npart = "input"',
    'unit = "legacy"\nbroken = true\nwithin = ["day 1 13:00", "day 2 12:00"]',
    'verdict = "accepted"\ncount = 1',
    'verdict = "accepted"\ntoken = "add"',
    'verdict = "accepted"\nwithin = ["day 1 00:00", "day 2 00:00"]',
    'verdict = "invalid"',
]


def test_an_expectation_of_what_is_not_so_is_not_kept() -> None:
    text = shipped()["load-dump"].partition("[[expect]]")[0]
    text += "".join(f"[[expect]]\n{expected}\n" for expected in NOT_SO)
    checks = check(play(read(text, "mine.toml", Path())))
    assert [each.words for each in checks if each.kept] == []


def test_what_starts_an_appliance_can_be_a_short_circuit() -> None:
    pumps = 'appliances = ["water pump", "water pump", "water pump", "water pump"]\n'
    outcome = made(pumps + '[[events]]\nat = "day 0 06:00"\ntoken = "unlock"\n')
    assert "SHORT_CIRCUIT" in {each.code for each in outcome.alerts}


def test_a_scenario_raises_the_alerts_that_a_fleet_day_does() -> None:
    scenario = open_scenario("load-dump")
    outcome = play(replace(scenario, events=tuple(each for each in scenario.events if each.what == "deed")))
    group = scenario.groups[1]
    weather = weather_of(scenario)
    moments = sky(weather.irradiance, weather.ambient)
    moments["log_irradiance"] = weather.log_irradiance
    fleet = Fleet(group.kit, 1, charge=group.charge, ambient=float(weather.ambient[0]), threads=1)
    homes = Homes(group.kit.home, [group.first], scenario.seed)
    times = []
    for day in range(scenario.days):
        events = [
            (each.at_s % DAY_S // 60, 0, DEEDS[each.deed], each.value)
            for each in scenario.events
            if each.what == "deed" and each.at_s // DAY_S == day
        ]
        span = slice(day * fleet.steps, (day + 1) * fleet.steps)
        found = fleet.day(moments[span], *homes.day(day), events=np.array(events, EVENT))
        times += [day * DAY_S + int(step) * 60 for step in found["step"]]
    told = {each.raised_s for each in outcome.alerts if each.unit == 1}
    told |= {each.cleared_s for each in outcome.alerts if each.unit == 1 and each.cleared_s is not None}
    assert sorted(set(times)) == sorted(told) != []


def test_the_same_file_gives_the_same_run() -> None:
    scenario = open_scenario("load-dump")
    first, second = play(scenario), play(scenario)
    assert first.happenings == second.happenings
    assert first.traces == second.traces


def test_what_happens_is_told_in_the_order_of_time() -> None:
    times = [each.at_s for each in play(open_scenario("load-dump")).happenings]
    assert times == sorted(times)


TOKENS = """
[[events]]
at = "day 0 08:00"
token = "add"
days = 3
times = 2
[[events]]
at = "day 0 09:00"
token = "add"
days = 2
skip = 3
[[events]]
at = "day 0 09:30"
issue = "add"
days = 4
slip = "A"
[[events]]
at = "day 0 10:00"
token = "add"
days = 1
[[events]]
at = "day 0 11:00"
token = "slip"
slip = "A"
[[events]]
at = "day 0 12:00"
token = "mistyped"
"""


def test_tokens_are_judged_as_units_judge_them() -> None:
    outcome = made(TOKENS)
    assert [(entry.kind, entry.verdict) for _, entry in outcome.tokens] == [
        ("add", "accepted"),
        ("replay", "already used"),
        ("add", "accepted"),
        ("add", "accepted"),
        ("out-of-order", "accepted"),
        ("mistyped", "invalid"),
    ]
    used = made(TOKENS + '[[expect]]\nmeasure = "credit_d"\nat = "day 0 12:00"\nleast = 9.8\nmost = 9.9\n')
    assert kept(used) == [True]


def test_three_wrong_entries_make_the_unit_wait_and_it_looks_at_nothing_then() -> None:
    wrong = '[[events]]\nat = "day 0 08:00"\ntoken = "mistyped"\ntimes = 3\n'
    right = '[[events]]\nat = "day 0 08:02:30"\ntoken = "add"\ndays = 1\n'
    outcome = made(wrong + right)
    assert [entry.verdict for _, entry in outcome.tokens] == ["invalid"] * 3 + ["waiting"]


def test_lock_takes_credit_and_unlock_gives_it_for_ever() -> None:
    lock = '[[events]]\nat = "day 0 08:00"\ntoken = "add"\ndays = 9\n[[events]]\nat = "day 0 18:00"\ntoken = "lock"\n'
    unlock = '[[events]]\nat = "day 1 12:00"\ntoken = "unlock"\n'
    wanted = "".join(
        f'[[expect]]\noutput = "{state}"\nat = "{at}"\n'
        for state, at in (("on", "day 0 17:00"), ("off", "day 1 11:00"), ("on", "day 1 13:00"))
    )
    assert kept(made(lock + unlock + wanted)) == [True] * 3
    assert kept(made(lock + wanted)) == [True, True, False]


def test_a_restart_costs_up_to_five_minutes_of_credit_and_ends_no_alert() -> None:
    add = '[[events]]\nat = "day 0 08:00"\ntoken = "add"\ndays = 1\n'
    restart = '[[events]]\nat = "day 0 10:01"\nrestart = true\n'
    add += '[[events]]\nat = "day 0 11:00"\ntoken = "again"\n'
    bounds = '[[expect]]\nmeasure = "credit_d"\nat = "day 0 11:01"\nleast = 0\n'
    without, with_ = (made(add + extra + bounds) for extra in ("", restart))
    ((key, then),) = without.moments.items()
    cost_s = (then["credit_d"] - with_.moments[key]["credit_d"]) * DAY_S
    assert 0 < cost_s <= 300
    gone = '[[events]]\nat = "day 0 10:00"\nfault = "battery-disconnected"\n'
    outcome = made(add + gone + restart)
    raised = [(each.code, each.raised_s) for each in outcome.alerts if each.code == "BATTERY_DISCONNECTED"]
    assert len(raised) == 1
    flips = [each.text for each in outcome.happenings if each.kind == "output"]
    assert flips[0] == "output on"


def test_active_time_counts_for_what_it_was_given_for_also_on_the_day_of_a_set_time_token() -> None:
    paid = '[[events]]\nat = "day 0 08:00"\ntoken = "add"\ndays = 9\n'
    given_ = '[[events]]\nat = "day 1 10:00"\ntoken = "set"\ndays = 9\nreason = "manual"\n'
    days = made(paid + given_).days
    assert days["payment_h"][:, 0].tolist() == pytest.approx([16, 10], abs=0.05)
    assert days["manual_h"][:, 0].tolist() == pytest.approx([0, 14], abs=0.05)


def test_a_restart_begins_the_charge_anew_and_keeps_alerts_and_neighbours() -> None:
    fleet = Fleet(KITS["home-50"], 2, threads=1)
    fleet.put("law.stage", 2)
    fleet.put("law.alerts", 1 << 6)
    fleet.do(1, "restart", 1)
    assert fleet.get("law.stage").tolist() == [2, 0]
    assert fleet.get("law.alerts").tolist() == [64, 64]


def test_weather_events_take_light_and_change_the_air() -> None:
    event = '[[events]]\nat = "day 1 00:00"\nweather = { light = 0.1, ambient = 3 }\nfor_h = 24\n'
    outcome = made(event)
    bright, dark = outcome.days["panel_wh"][:, 0]
    assert dark < bright / 4
    assert weather_of(outcome.scenario).ambient[DAY_S // 60 :].tolist() == [3.0] * (DAY_S // 60)


def test_weather_may_be_a_file_or_constant(tmp_path: Path) -> None:
    rows = [
        "time,irradiance,ambient",
        *(f"2026-05-0{day}T{hour:02}:00Z,500,20" for day in (1, 2, 3) for hour in range(24)),
    ]
    (tmp_path / "sun.csv").write_text("\n".join(rows) + "\n")
    text = 'title = "x"\ndays = {}\n[weather]\n{}\n[[units]]\n'
    by_file = play(read(text.format(2, 'csv = "sun.csv"'), "mine.toml", tmp_path))
    constant = play(read(text.format(2, "irradiance = 500\nambient = 20"), "mine.toml", tmp_path))
    assert by_file.days["panel_wh"].tolist() == constant.days["panel_wh"].tolist()
    with pytest.raises(PaygoError, match="3 whole days"):
        play(read(text.format(4, 'csv = "sun.csv"'), "mine.toml", tmp_path))


class Clock:
    """A clock that moves when somebody waits on it, a little further than asked, and by what work takes."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wait(self, seconds: float) -> None:
        self.now += seconds + 0.0002


@pytest.mark.parametrize("speed", [1, 60, 3600])
def test_a_paced_scenario_follows_its_clock(speed: float) -> None:
    clock = Clock()
    pace = Pace(speed, lambda: clock.now, clock.wait)
    for step in range(1, 1441):
        clock.now += 0.001  # the work of a step
        pace.until(step * 60)
        if step >= 60:
            assert clock.now - 1000 == pytest.approx(step * 60 / speed, rel=0.01)


def test_the_player_waits_at_every_step() -> None:
    clock = Clock()
    play(read(HEAD.replace("days = 2", "days = 1"), "x", Path()), pace=Pace(86_400, lambda: clock.now, clock.wait))
    assert clock.now - 1000 == pytest.approx(1, rel=0.01)


WRONG = [
    ("days = 0", "line 2: days is 0", "1 to 3660"),
    ("", "mine.toml: days is missing", "whole number"),
    ('days = "two"', "days is 'two'", "whole number"),
    ("days = nan", "days is nan", "whole number"),
    ("days = 2\nstep = 7", "line 3: step is 7", "divisor of 900"),
    ("days = 2\ncolour = 1\n[weather]\nsite = \"dhaka\"\n[[units]]", "line 3: nothing in the file is called", "title"),
    ("days = 2\nunits = 3\n[weather]\nsite = \"dhaka\"", "line 3: units is 3", "[[units]]"),
    ("days = 2\n[weather]\nsite = \"atlantis\"", "line 4: site is 'atlantis'", "nairobi"),
    ("days = 2\n[weather]\nsite = \"dhaka\"\ncsv = \"x\"", "the weather has site and csv", "one of"),
    ("days = 2\n[weather]\nirradiance = 1e9", "line 4: irradiance is", "0 to 1600"),
    ("days = 2\n[weather", "is no TOML", "toml.io"),
    ("days = 2\nx = " + "[" * 5000, "nested too deeply", "tables"),
    ("days = 2\nx = " + "9" * 5000, "is no TOML", "toml.io"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "cause", "hint"), WRONG)
def test_a_wrong_file_is_told_by_its_line(text: str, cause: str, hint: str) -> None:
    with pytest.raises(PaygoError) as wrong:
        read(f'title = "x"\n{text}\n', "mine.toml", Path())
    assert "mine.toml" in wrong.value.cause
    assert cause in wrong.value.cause
    assert hint in wrong.value.hint
    assert len(wrong.value.cause) < 400


WRONG_PARTS = [
    ('board = "legacy"\nbattery = "lfp 20 Ah"', "line 8: a legacy board cannot charge", "protected"),
    (
        'count = 9999\n[[events]]\nat = "day 0 08:00"\ntoken = "add"\ndays = 1\ntimes = 99',
        "line 9: with this more than 200000",
        "fewer",
    ),
    ("charge = 1.5", "line 8: charge is 1.5", "0 to 1"),
    ("count = 200000", "line 8: count", "10000"),
    ("count = 9999\n[[units]]\nname='b'\ncount = 9999", "line 11: these are 19998 units", "10000"),
    ('appliances = ["rocket"]', "line 8: appliances", "light"),
    ("faults = { rain = 1 }", "line 8: faults", "surge"),
    ('[[units]]\nname = "home"', "line 9: there are units called 'home' already", "own name"),
    ('[[events]]\nat = "noon"\ntoken = "unlock"', "line 9: at is 'noon'", "day 2 18:30"),
    ('[[events]]\nat = "day 2 00:00"\ntoken = "unlock"', "line 9: at is day 2 00:00, after the end", "day 1 23:59"),
    ('[[events]]\nat = "day 0 25:00"\ntoken = "unlock"', "line 9", "24:00"),
    ('[[events]]\nat = "day 0 08:00"', "line 8: it is not said what the event is", "token"),
    ('[[events]]\nat = "day 0 08:00"\ntoken = "add"', "line 8: days is missing", "1 to 995"),
    ('[[events]]\nat = "day 0 08:00"\nfault = "meteor"', "line 10: fault is 'meteor'", "surge"),
    ('[[events]]\nat = "day 0 08:00"\nfault = "cell-imbalance"', "line 10: cell-imbalance cannot", "lithium"),
    ('[[events]]\nat = "day 0 08:00"\ndeed = "panels"\nvalue = 0', "line 11: value is 0", "1 to 2"),
    ('[[events]]\nat = "day 0 08:00"\ndeed = "set-credit"\nvalue = 9', "line 10: deed is", "soiling"),
    ('[[events]]\nat = "day 0 08:00"\ntoken = "slip"\nslip = "A"', "line 11: home has no slip 'A'", "issue"),
    ('[[events]]\nat = "day 1 23:50"\ntoken = "unlock"\ntimes = 99', "line 11", "fewer"),
    ('[[events]]\nat = "day 0 08:00"\nunit = "away"\ntoken = "unlock"', "line 10: no unit is called 'away'", "home"),
    ('payments = "drawn"\n[[events]]\nat = "day 0 08:00"\ntoken = "unlock"', "line 11: what the customers", "drawn"),
    ('[[expect]]\nalert = "FIRE"', "line 9: alert is 'FIRE'", "SHORT_CIRCUIT"),
    ('[[expect]]\nmeasure = "charge"', "line 9: nothing is expected of charge", "least"),
    ('[[expect]]\nmeasure = "load_wh"\nleast = 1\ndays = [0, 9]', "line 11: days is no span", "[0, 1]"),
    ('[[expect]]\nalert = "SHORT_CIRCUIT"\nraised = ["day 1 08:00", "day 0 08:00"]', "line 10: raised ends", "earlier"),
    ('[[expect]]\nverdict = "accepted"\ncount = 1\nmost = 2', "line 10: count stands beside", "exact"),
    ('[[expect]]\noutput = "on"\nalert = "SHORT_CIRCUIT"\nat = "day 0 08:00"', "has alert and output", "one of"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "cause", "hint"), WRONG_PARTS)
def test_a_wrong_table_is_told_by_its_line(text: str, cause: str, hint: str) -> None:
    with pytest.raises(PaygoError) as wrong:
        read(HEAD + text + "\n", "mine.toml", Path())
    assert cause in wrong.value.cause
    assert hint in wrong.value.hint


SPOILT = ["-1", "1e308", "nan", "[]", "{}", '""', "true", "2026-01-01", "[[1]]", "x", '"\\u0000"']


def refused(text: str) -> PaygoError | None:
    try:
        read(text, "mine.toml", Path())
    except PaygoError as error:
        return error
    return None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_spoilt_file_is_read_or_refused_in_one_sentence(data: st.DataObject) -> None:
    lines = shipped()[data.draw(st.sampled_from(NAMES))].splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        changed = f"{lines[place].partition('=')[0]} = {data.draw(st.sampled_from(SPOILT))}"
        lines[place] = data.draw(st.sampled_from([changed, lines[place][::-1], "", "[[units]]", "[[expect]]"]))
    error = refused("\n".join(lines))
    if error is not None:
        assert error.hint
        assert "\n" not in error.cause
        assert error.cause.startswith("mine.toml")


def run(*words: str) -> Any:
    return CliRunner().invoke(sim, ["run", *words], standalone_mode=False)


def test_the_command_prints_what_happened_and_leaves_tables_and_a_page(tmp_path: Path) -> None:
    directory, page = tmp_path / "run", tmp_path / "page.html"
    done = run("load-dump", "-o", str(directory), "--report", str(page))
    assert done.exception is None
    assert done.return_value == 0
    assert "day 1 12:00   legacy     battery-disconnected" in done.output
    assert "kept      legacy: broken at its output" in done.output
    assert "6 of 6 expectations kept" in done.output
    assert "Unit protected" in page.read_text("utf-8")
    assert 'src="http' not in page.read_text("utf-8")
    days = pyarrow.parquet.read_table(directory / "days-00000.parquet").to_pylist()
    played = play(open_scenario("load-dump")).days
    for row in days:
        assert row["load_wh"] == played["load_wh"][row["day"], row["unit"]]
        assert row["battery_max_mv"] == int(played["battery_max_mv"][row["day"], row["unit"]])
    assert [(row["unit"], row["day"]) for row in days] == [(unit, day) for unit in (0, 1) for day in range(3)]
    reported = CliRunner().invoke(sim, ["report", str(directory), "--json"], standalone_mode=False)
    assert reported.exception is None
    assert json.loads(reported.output)["units"] == 2


def test_an_expectation_that_is_not_kept_is_status_1_and_says_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + '[[expect]]\noutput = "on"\nat = "day 0 20:00"\n')
    done = run(str(path), "--json", "-q")
    assert done.return_value == 1
    expectation, end = map(json.loads, done.output.splitlines())
    assert (expectation["kept"], expectation["seen"]) == (False, "off")
    assert (end["kept"], end["expected"]) == (0, 1)


def test_no_key_and_no_token_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + TOKENS)
    outcome = play(open_scenario(str(path)))
    told = run(str(path), "--json").output + render(scenario_page(outcome, []))
    holder = Holder(1, 0)
    assert holder._config.secret_key.hex() not in told
    assert holder._issue(outcome.scenario.events[0]) not in told


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ((), "no scenario was named"),
        (("nothing.toml",), "nothing.toml"),
        (("sunny-week", "--speed", "0"), "0"),
        (("sunny-week", "-o", "."), "not empty"),
        (("nothing", "--show"), "sunny-week"),
    ],
)
def test_misuse_is_status_2(tmp_path: Path, words: tuple[str, ...], about: str) -> None:
    (tmp_path / "something").touch()
    program = [sys.executable, "-c", "from paygo_core.cli import main; main()", "sim", "run", *words]
    done = subprocess.run(program, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert about in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_shipped_scenario_can_be_shown_and_played_as_a_file(tmp_path: Path) -> None:
    shown = run("load-dump", "--show").output
    path = tmp_path / "load-dump.toml"
    path.write_text(shown)
    assert run(str(path), "-q").output == run("load-dump", "-q").output
    listed = run("--list").output
    assert all(name in listed for name in NAMES)
