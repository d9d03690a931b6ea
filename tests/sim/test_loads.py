"""Loads: what homes of a kind use in a day, when, and that nobody's neighbours or the order of units change it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_sim.plant.battery_sheets import BATTERIES, LEAD_ACID
from firmware_sim.plant.catalogue import KITS, PANELS, kit
from firmware_sim.plant.chances import GOLDEN, MASK, mixed
from firmware_sim.plant.loads import (
    APPLIANCES,
    ARCHETYPES,
    FAN_HOME,
    LIGHTS_HOME,
    MODERATE,
    TELEVISION_HOME,
    Appliance,
    Homes,
    Household,
    Use,
    archetypes_of,
    demand,
    household,
    peaks,
)
from paygo_core import PaygoError

UNITS = np.arange(2000)


def daily_wh(watts: np.ndarray) -> np.ndarray:
    return watts.sum(axis=1, dtype=float) / 4


@pytest.mark.parametrize(
    ("home", "least", "most"), [(LIGHTS_HOME, 30, 60), (TELEVISION_HOME, 100, 180), (FAN_HOME, 200, 350)]
)
def test_a_kit_s_home_uses_what_such_homes_use(home: Household, least: float, most: float) -> None:
    of_days = np.stack([daily_wh(demand(home, UNITS, day, 1)) for day in range(5)])
    assert least < of_days.mean() < most
    assert least < home.daily_wh() < most
    by_unit = of_days.mean(axis=0)
    assert np.quantile(by_unit, 0.9) > 1.6 * np.quantile(by_unit, 0.1), "households differ"
    assert (of_days.std(axis=0) > 0).all(), "and so do days"


def test_a_unit_s_demand_depends_on_nothing_but_seed_unit_and_day() -> None:
    whole = demand(FAN_HOME, UNITS, 12, 5)
    shuffled = np.random.default_rng(1).permutation(UNITS)
    assert demand(FAN_HOME, shuffled, 12, 5).tobytes() == whole[shuffled].tobytes()
    chunks = [demand(FAN_HOME, UNITS[low : low + 333], 12, 5) for low in range(0, 2000, 333)]
    assert np.concatenate(chunks).tobytes() == whole.tobytes()
    alone = [demand(FAN_HOME, [unit], 12, 5)[0] for unit in (0, 7, 1999)]
    assert np.stack(alone).tobytes() == whole[[0, 7, 1999]].tobytes()
    mixed_days = demand(FAN_HOME, [3, 3, 4], [12, 13, 12], 5)
    assert mixed_days[0].tobytes() == whole[3].tobytes()
    assert mixed_days[1].tobytes() == demand(FAN_HOME, [3], 13, 5)[0].tobytes()
    homes = Homes(FAN_HOME, UNITS, 5)
    homes.day(11)
    assert homes.day(12)[0].tobytes() == whole.tobytes(), "nothing stays from the day before"
    most = homes.day(12)[1]
    assert Homes(FAN_HOME, shuffled, 5).day(12)[1].tobytes() == most[shuffled].tobytes()
    assert whole.dtype == most.dtype == np.float32
    assert whole.shape == (2000, 96)


@pytest.mark.parametrize("change", [{"day": 13}, {"seed": 6}, {"units": UNITS + 2000}])
def test_another_day_seed_or_unit_is_another_draw(change: dict[str, object]) -> None:
    arguments = {"home": LIGHTS_HOME, "units": UNITS, "day": 12, "seed": 5}
    one, other = demand(**arguments), demand(**(arguments | change))  # type: ignore[arg-type]
    assert abs(np.corrcoef(daily_wh(one), daily_wh(other))[0, 1]) < (0.06 if "day" not in change else 0.95)
    assert (one != other).any(axis=1).mean() > 0.99


def test_one_more_appliance_changes_nothing_of_the_others() -> None:
    more = Household("more", (*TELEVISION_HOME.appliances, APPLIANCES["water pump"]))
    added = demand(more, UNITS, 3, 9) - demand(TELEVISION_HOME, UNITS, 3, 9)
    assert added.min() >= -1e-4
    assert added.max() == pytest.approx(45, abs=1e-3)
    assert 0.85 < (added.max(axis=1) > 1).mean() < 0.95, "its chance of a day"


@pytest.mark.parametrize("name", APPLIANCES)
def test_the_mean_of_many_moderate_homes_is_the_profile(name: str) -> None:
    """On-time as drawn against the same integrated over the jitters, slot by slot."""
    item = APPLIANCES[name]
    home = household("one", name, archetype=MODERATE)
    mean = np.mean([demand(home, np.arange(4000), day, 2).mean(axis=0, dtype=float) for day in range(3)], axis=0)
    share, level = item.profile(), sum(item.levels) / len(item.levels)
    expected = share * item.watts * level + (1 - share) * item.standby_w
    assert mean == pytest.approx(expected, abs=0.06 * item.watts)
    assert mean.sum() == pytest.approx(expected.sum(), rel=0.025)


def test_evenings_are_highest_and_a_television_adds_a_peak_at_midday() -> None:
    lights, television = (demand(home, UNITS, 4, 3).mean(axis=0) for home in (LIGHTS_HOME, TELEVISION_HOME))
    for watts in (lights, television):
        assert 18 * 4 <= watts.argmax() < 22 * 4
    assert television[50:56].mean() > 2 * television[36:44].mean()


def test_night_people_are_up_late_and_those_of_a_single_peak_have_none_at_midday() -> None:
    homes = [Household("x", TELEVISION_HOME.appliances, kind) for kind in ARCHETYPES]
    of = {home.archetype.name: demand(home, UNITS, 4, 3).mean(axis=0) for home in homes if home.archetype}
    assert of["night"][92:].mean() > 2 * of["moderate"][92:].mean()
    assert of["single peak"][50:56].mean() < 0.4 * of["moderate"][50:56].mean()
    assert of["low"].sum() < of["moderate"].sum() < of["high"].sum()


def one_home(home: Household, unit: int, day: int, seed: int) -> tuple[list[float], list[float]]:
    """Mean and most watts in each slot, use by use, in numbers of Python's own. home: all of its people moderate."""
    life = mixed(mixed(seed + GOLDEN & MASK) + (unit + 1) * GOLDEN & MASK)
    today = mixed(life + (day + 1) * 0xD1B54A32D192ED03 & MASK)
    amount = MODERATE.amount * (0.8 + 0.4 * ((life >> 16 & 0xFFFF) + 0.5) / 65536)
    mean, most, inrush = [0] * 98, [0] * 98, [0.0] * 98
    for place, item in enumerate(home.appliances):
        for number, use in enumerate(item.uses):
            drawn = mixed(today + (place * 16 + number + 1) * 0x8CB92BA72F3D8DD7 & MASK)
            fields = [drawn >> bits & 0xFFFF for bits in (0, 16, 32, 48)]
            either_way = [(field + 0.5) / 32768 - 1 for field in fields]
            start = either_way[0] * 4 * use.start_jitter_h + 4 * use.start_h
            hours = (either_way[1] * use.hours_jitter + 1) * 4 * use.hours * (1 if use.steady else amount)
            end = min(start + (hours if fields[2] < round(use.chance * 65536) else 0), 96)
            start = max(start, 0)
            watts = item.watts * item.levels[fields[3] * len(item.levels) >> 16]
            more, whole = round((watts - item.standby_w) * 1000), round(watts * 1000) * (end > start)
            first, last = int(start), int(end)
            late, early = round(more * (start - first)), round(more * (end - last))
            for slot, change in (first, more - late), (first + 1, late), (last, early - more), (last + 1, -early):
                mean[slot] += change
            most[first] += whole
            most[math.ceil(end)] -= whole
            inrush[first] = max(inrush[first], whole * (item.inrush - 1))
    standby = round(sum(item.standby_w for item in home.appliances) * 1000)
    means = [(sum(mean[: slot + 1]) + standby) / 1000 for slot in range(96)]
    return means, [(sum(most[: slot + 1]) + inrush[slot] + standby) / 1000 for slot in range(96)]


def test_a_home_is_drawn_as_its_numbers_say() -> None:
    home = household("all", *(name for name in APPLIANCES if name != "decoder"), archetype=MODERATE)
    for unit, day, seed in [(0, 0, 0), (1, 0, 1), (77, 365, 2**63), *((unit, 9, 4) for unit in range(40))]:
        drawn = Homes(home, [unit], seed).day(day)
        for watts, expected in zip(drawn, one_home(home, unit, day, seed), strict=True):
            assert watts[0].tolist() == np.array(expected, np.float32).tolist()


def test_units_draw_their_kind_by_its_share_and_keep_it() -> None:
    kinds = archetypes_of(LIGHTS_HOME, np.arange(20_000), 4)
    shares = np.bincount(kinds, minlength=5) / 20_000
    assert shares == pytest.approx([kind.share for kind in ARCHETYPES], abs=0.012)
    assert sum(kind.share for kind in ARCHETYPES) == pytest.approx(1)
    assert (archetypes_of(household("x", "light", archetype=ARCHETYPES[3]), UNITS, 4) == 3).all()


def test_a_decoder_is_on_when_its_television_is() -> None:
    watts = [demand(household("x", *names), UNITS, 1, 8) for names in (["television 24"], ["television 24", "decoder"])]
    on = (watts[0] - 0.4) / (15 - 0.4)
    assert watts[1] - watts[0] == pytest.approx(7 * on, abs=2e-3)


def test_two_lights_are_not_switched_as_one() -> None:
    one, two = demand(household("x", "light"), UNITS, 1, 8), demand(household("x", "light", "light"), UNITS, 1, 8)
    assert np.corrcoef((two - one)[:, 70:80].ravel(), one[:, 70:80].ravel())[0, 1] < 0.9
    assert (two != 2 * one).any(axis=1).mean() > 0.9


def test_a_router_and_a_security_light_do_not_mind_who_lives_there() -> None:
    assert (demand(household("x", "router"), UNITS, 1, 8) == 6).all()
    nights = daily_wh(demand(household("x", "security light"), UNITS, 1, 8))
    assert nights == pytest.approx(0.5 * 11.75, abs=0.11)


@pytest.mark.parametrize("home", [LIGHTS_HOME, TELEVISION_HOME, FAN_HOME, household("all", *APPLIANCES)])
def test_demand_stays_within_what_is_plugged_in_and_below_the_peak(home: Household) -> None:
    watts, most = demand(home, UNITS, 6, 6), peaks(home, UNITS, 6, 6)
    assert watts.min() >= 0
    assert watts.max() <= sum(item.watts for item in home.appliances) + 1e-3
    assert (most >= watts - 0.002).all()


def test_a_pump_s_start_is_a_peak_of_five_times_its_power_once() -> None:
    _, most = Homes(household("x", "water pump", archetype=MODERATE), UNITS, 3).day(2)
    started = most.max(axis=1) > 0
    assert most[started].max(axis=1) == pytest.approx(225)
    assert ((most > 46).sum(axis=1) <= 1).all()
    assert 0.85 < started.mean() < 0.95


def test_a_dimmed_light_takes_its_level_s_share() -> None:
    home = household("x", "dimmable light", archetype=MODERATE)
    homes = Homes(home, UNITS, 3)
    levels, (watts, most) = homes.dim_levels(2), homes.day(2)
    assert set(np.unique(levels)) == {0, 0.25, 0.5, 1}
    whole = levels[:, 78]  # between its start and its end in every home that has it on
    assert watts[:, 78][whole > 0] == pytest.approx(3 * whole[whole > 0], abs=3 * 0.5)
    full = (levels[:, 77] == levels[:, 79]) & (watts[:, 78] > 0)
    assert watts[full, 78] == pytest.approx(3 * levels[full, 78], abs=1e-3)
    assert (most[levels > 0] > 0).all(), "who does not switch it on has no level"
    assert not Homes(LIGHTS_HOME, UNITS, 3).dim_levels(2).any()


def test_an_appliance_or_a_kit_that_is_not_there_is_told() -> None:
    with pytest.raises(PaygoError, match="toaster") as refused:
        household("x", "toaster")
    assert "router" in refused.value.hint
    with pytest.raises(PaygoError, match="home-9"):
        kit("home-9")


def test_kits_are_whole_and_their_homes_can_be_fed() -> None:
    """In the mean, with 4 hours of full sun, 75 % of it used, and a battery for most of a day."""
    for one in KITS.values():
        peak_w = one.panel.power_v * one.panel.power_a
        need = daily_wh(demand(one.home, UNITS, 0, 0)).mean()
        assert 4 * 0.75 * peak_w > 0.85 * need, one.model
        assert one.battery.capacity_ah * 12 > 0.8 * need, one.model
        assert one.panel.short_circuit_a <= one.battery.charge_a * 1.05, one.model
        assert one.board == "protected" or one.battery.chemistry in LEAD_ACID, one.model
    assert {one.battery.chemistry for one in KITS.values()} == {"flooded", "agm", "gel", "lfp"}


def test_panels_give_their_power_at_their_point() -> None:
    for name, panel in PANELS.items():
        warm = 25 - (panel.noct - 20) / 800 * 1000  # so that the cells are at 25 °C
        assert panel.current(panel.power_v, 1000, warm) * panel.power_v == pytest.approx(
            float(name.split()[0]), rel=0.02
        )
    assert PANELS["100 W, 24 V"].open_circuit_v > 40


def test_batteries_are_named_by_what_they_are() -> None:
    for name, sheet in BATTERIES.items():
        assert name == f"{sheet.chemistry} {sheet.capacity_ah:g} Ah"
        assert sheet.resistance_ohm * sheet.capacity_ah < (6 if sheet.chemistry == "lfp" else 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": (Use(math.nan, 4),)},
        {"uses": (Use(18, -4),)},
        {"uses": (Use(18, 4, chance=math.nan),)},
        {"watts": 5e6},
        {"watts": math.inf},
        {"levels": ()},
    ],
)
def test_an_appliance_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """In place of a crash or a wrong day: what is drawn in C takes numbers as they are."""
    parts: dict[str, object] = {"name": "odd", "kind": "odd", "watts": 5.0, "uses": (Use(18, 4),)} | wrong
    with pytest.raises(PaygoError, match="odd"):
        Homes(Household("odd", (Appliance(**parts),)), [1], 1)  # type: ignore[arg-type]


def test_levels_may_be_whole_numbers() -> None:
    item = Appliance("lamp", "light", 5.0, (Use(18, 4, 0, 0, steady=True),), levels=(1,))
    assert Homes(Household("lamp", (item,)), [1], 1).day(1)[0].max() == 5.0
