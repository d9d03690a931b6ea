"""The panel, the battery and the house around a unit: datasheet points, bookkeeping, a day, extremes."""

from __future__ import annotations

import itertools
import math

import pytest
from sim_rig import LARGEST_2, ready_unit

from firmware_sim.plant.battery import LFP_REST_V, REST_V, Battery
from firmware_sim.plant.battery_sheets import battery_sheet
from firmware_sim.plant.home import FAULTS, PLANT_RANGES, UNIT_DRAW_A, USUAL_BATTERY, SolarHome
from firmware_sim.plant.panel import Panel
from paygo_core import PaygoError

PANEL = Panel()
CELL_25 = 25 - (46.7 - 20) / 800 * 1000
"""The ambient temperature at which the cells have 25 °C at 1000 W/m²."""


def test_the_panel_meets_its_datasheet():
    """Short circuit, maximum power and open circuit at 1000 W/m² and 25 °C."""
    assert PANEL.current(0.0, 1000, CELL_25) == pytest.approx(3.05, rel=1e-3)
    assert PANEL.current(17.6, 1000, CELL_25) == pytest.approx(2.84, rel=1e-3)
    assert PANEL.current(22.1, 1000, CELL_25) == pytest.approx(0.0, abs=0.01)
    assert PANEL.open_voltage(1000, CELL_25) == 22.1


def test_maximum_power_lies_at_its_point():
    """Within half a volt and 2 % of the 50 W of the datasheet."""
    power, volts = max((volts / 100 * PANEL.current(volts / 100, 1000, CELL_25), volts / 100) for volts in range(2211))
    assert volts == pytest.approx(17.6, abs=0.5)
    assert power == pytest.approx(17.6 * 2.84, rel=0.02)


def test_light_makes_current_and_heat_takes_voltage():
    """Temperature coefficients of the datasheet: +0.05 %/K of the current, -0.33 %/K of the voltage."""
    assert PANEL.current(0.0, 500, CELL_25) == pytest.approx(1.525, rel=0.02)
    assert PANEL.current(0.0, 0, 25) == PANEL.open_voltage(0, 25) == 0.0
    hot = PANEL.open_voltage(1000, CELL_25 + 10)
    assert hot == pytest.approx(22.1 * (1 - 0.033), rel=1e-6)
    assert PANEL.current(0.0, 1000, CELL_25 + 10) > PANEL.current(0.0, 1000, CELL_25)
    currents = [PANEL.current(volts / 10, 800, 25) for volts in range(300)]
    assert currents == sorted(currents, reverse=True)
    assert min(currents) == 0.0


@pytest.mark.parametrize(("percent", "volts"), [*zip(range(0, 101, 10), REST_V, strict=True), (5, 10.905), (95, 12.6)])
def test_the_rest_voltage_follows_its_table(percent, volts):
    assert Battery(USUAL_BATTERY, percent / 100).rest_v == pytest.approx(volts)
    assert Battery(USUAL_BATTERY, percent / 100).voltage == pytest.approx(volts)


@pytest.mark.parametrize(("percent", "volts"), [*zip(range(0, 101, 10), LFP_REST_V, strict=True)])
def test_lithium_rests_at_its_own_table(percent, volts):
    assert Battery(battery_sheet("lfp", 12), percent / 100).rest_v == pytest.approx(volts)


def test_what_flows_out_is_missing():
    """A discharge takes its charge, and an hour 0.01 % of its own; a charge gives less, and never more than full."""
    battery = Battery(USUAL_BATTERY, 0.8)
    for _ in range(3600):
        battery.step(1, -1.8)
    assert battery.state_of_charge == pytest.approx(0.7 - 0.08 / 720)
    for _ in range(3600):
        battery.step(1, 1.8)
    assert 0.75 < battery.state_of_charge < 0.8
    for _ in range(100_000):
        battery.step(10, 3.0)
    assert battery.state_of_charge <= 1.0


def test_a_current_moves_the_voltage_at_once_and_then_slowly():
    battery = Battery(USUAL_BATTERY, 0.5)
    rest = battery.voltage
    battery.step(0.001, -2.0)
    at_once = battery.voltage
    assert rest - at_once == pytest.approx(2.0 * 0.32 / 18 * 1.3, rel=0.01), "more when half empty"
    for _ in range(60):
        battery.step(60, -2.0)
    assert battery.voltage < at_once - 0.1
    for _ in range(240):
        battery.step(60, 0.0)
    assert battery.voltage == pytest.approx(battery.rest_v, abs=0.01)


@pytest.mark.parametrize("step_s", [1, 10, 60])
def test_the_step_does_not_change_the_result(step_s):
    """An hour of sun in steps of any length."""
    home = SolarHome(start_hour=12)
    for _ in range(3600 // step_s):
        home.step(step_s, output=True, charge=True)
    fine = SolarHome(start_hour=12)
    for _ in range(3600):
        fine.step(1, output=True, charge=True)
    assert home.battery.state_of_charge == pytest.approx(fine.battery.state_of_charge, abs=0.002)
    assert home.battery.voltage == pytest.approx(fine.battery.voltage, abs=0.03)
    assert home.time_s == fine.time_s


def test_currents_meet_at_the_battery():
    """Kirchhoff: what the panel gives goes into the battery, the lamp and the unit."""
    for hour in (5.5, 12.0, 20.0):
        home = SolarHome(start_hour=hour)
        for _ in range(100):
            measured = home.step(10, output=True, charge=True)
            assert measured.battery_a == pytest.approx(measured.panel_a - measured.load_a - UNIT_DRAW_A)
        assert (measured.load_a > 0) == (hour != 12.0)
        assert (measured.panel_a > 0) == (hour == 12.0)


def test_a_switch_that_is_open_carries_nothing():
    home = SolarHome(start_hour=12)
    dark = home.step(10, output=False, charge=False)
    assert dark.panel_a == dark.load_a == 0.0
    assert dark.panel_v == pytest.approx(PANEL.open_voltage(home.irradiance, 25), abs=0.1)
    home.set_fault("charge_switch_stuck_on", 1)
    assert home.step(10, output=False, charge=False).panel_a > 1


def test_a_day_in_the_life_of_the_home():
    """It charges by day and lights the lamp in the evening; the unit keeps the battery within its protections."""
    unit = ready_unit(LARGEST_2)
    unit.home.time_s = 6 * 3600
    hours = {}
    for hour in range(6, 31):
        hours[hour] = (unit.home.battery.state_of_charge, unit.home.measured)
        unit.pass_time(3_600_000)
        assert 10.5 < unit.home.battery.voltage < 16.2
    assert hours[12][0] > hours[7][0] + 0.2
    assert hours[17][0] > 0.9
    assert hours[23][0] < hours[18][0] - 0.08
    assert hours[13][1].battery_v == pytest.approx(13.8, abs=0.01)
    assert 0 < hours[13][1].panel_a < 1, "it floats"
    assert hours[8][1].battery_a > 0 > hours[20][1].battery_a
    assert hours[20][1].load_a == pytest.approx(6 / hours[20][1].battery_v, rel=0.01)
    assert hours[14][1].load_a == hours[2 + 24][1].load_a == 0


def test_extremes_stay_numbers():
    """Every corner of the plant's ranges, for two days of overcharge or discharge, with either switch either way."""
    names = sorted(set(PLANT_RANGES) - {"state_of_charge", "clearness"})
    corners = itertools.product(*(PLANT_RANGES[name] for name in names), (0.0, 1.0), (False, True), (False, True))
    sheets = (USUAL_BATTERY, battery_sheet("lfp", 12))
    for (*values, full, output, charge), sheet in itertools.product(corners, sheets):
        home = SolarHome(start_hour=18, state_of_charge=full, battery=sheet)
        for name, value in zip(names, values, strict=True):
            home.set_value(name, value)
        for _ in range(300):
            measured = home.step(600, output=output, charge=charge)
            assert all(math.isfinite(value) for value in vars(measured).values())
            assert 0 <= home.battery.state_of_charge <= 1
            assert 0 <= measured.battery_v < 20
            assert 0 <= measured.panel_a < 6
            assert 0 <= measured.load_a < 40


@pytest.mark.parametrize("name", [*PLANT_RANGES])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, [1], {}, -1e300])
def test_plant_values_out_of_range_are_refused(name, value):
    home = SolarHome()
    if name == "irradiance" and value is None:
        return
    with pytest.raises(PaygoError, match=name):
        home.set_value(name, value)
    assert home.values == SolarHome().values


@pytest.mark.parametrize("name", [*FAULTS])
def test_faults_out_of_range_are_refused(name):
    home = SolarHome()
    for value in (math.nan, 1e9, -1e9, "1", None, False):
        with pytest.raises(PaygoError, match=name):
            home.set_fault(name, value)
    with pytest.raises(PaygoError, match="no fault"):
        home.set_fault("nothing", 1)
    with pytest.raises(PaygoError, match="no plant value"):
        home.set_value("nothing", 1)


def test_a_sensor_fault_is_seen_by_the_unit_alone():
    home = SolarHome(state_of_charge=0.5)
    home.set_fault("battery_sensor_offset_v", 5.0)
    measured = home.step(1, output=False, charge=True)
    assert measured.battery_v == pytest.approx(home.battery.voltage + 5.0)
    assert home.battery.voltage < 13
