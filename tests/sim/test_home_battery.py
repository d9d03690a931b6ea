"""The single home with another battery than the usual: lithium by day, in the cold, untold, put in as it runs."""

from __future__ import annotations

import json

import pytest
from sim_rig import LARGEST_2, SETUP, ask, enter

from firmware_sim.plant.battery import Battery
from firmware_sim.plant.battery_sheets import BATTERIES, battery_sheet
from firmware_sim.plant.board import Board
from firmware_sim.plant.home import SolarHome
from firmware_sim.serve import Server
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from paygo_core import PaygoError

LFP = battery_sheet("lfp", 12)
TOLD = b"#BATTERY;LFP;12\n"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def home_unit(*, told: bool, board: Board = "protected", hour: float = 6.0, charge: float = 0.5) -> SimulatedUnit:
    """A set-up unit with months of credit on a lithium battery, of which it was told or not."""
    unit = SimulatedUnit(Storage(), SolarHome(start_hour=hour, state_of_charge=charge, battery=LFP), board=board)
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    assert enter(unit, LARGEST_2).startswith(b"VALID")
    if told:
        assert ask(unit, TOLD).startswith(b"#BATTERY;LFP;12\r\n")
    return unit


def log(unit: SimulatedUnit) -> list[str]:
    """What was raised or cleared and not acknowledged, but for the replacement of a battery."""
    lines = ask(unit, b"#LOG;\n").decode().split("\r\n")
    found = next(line for line in lines if line.startswith("#LOG;"))
    events = (each.split(",") for each in found.split(";")[2:])
    return [" ".join(each[1:3]) for each in events if each[1] != "BATTERY_REPLACED"]


def told(unit: SimulatedUnit) -> dict[str, object]:
    lines = ask(unit, b"#TELEMETRY;\n").decode().split("\r\n")
    found = next(line for line in lines if line.startswith("#TELEMETRY;"))
    data = json.loads(found.split(";", 1)[1])["data"]
    assert isinstance(data, dict)
    return data


def test_lithium_lives_through_a_day_without_an_alarm():
    """Bulk, absorption at 14.2 V, then no charge; the lamp in the evening; no event but the battery (H26, H28)."""
    unit = home_unit(told=True)
    start = unit.home.battery.state_of_charge
    stages, most_v, evening_v = [], 0.0, 20.0
    for _ in range(24 * 60):
        unit.pass_time(MINUTE_MS)
        most_v = max(most_v, unit.home.battery.voltage)
        stages.append(told(unit)["charge_stage"])
        if unit.home.measured.load_a > 0:
            evening_v = min(evening_v, unit.home.measured.battery_v)
    assert log(unit) == []
    assert list(dict.fromkeys(stages)) == ["BULK", "ABSORPTION", "FLOAT"]
    assert 14.15 < most_v < 14.22
    assert 12.8 < evening_v < 13.2, "flat, as lithium is, and above what lead has"
    assert unit.home.battery.state_of_charge > start
    assert unit.output


def test_a_cold_morning_charges_no_lithium_until_it_is_above_zero():
    """UNDERTEMPERATURE begins and ends once; a lead battery would have been charged all the time (H26)."""
    unit = home_unit(told=True, hour=8.0)
    unit.pass_time(MINUTE_MS)
    assert unit.charge
    unit.home.set_value("ambient", -3)
    unit.pass_time(MINUTE_MS)
    charged = unit.home.battery.state_of_charge
    unit.pass_time(2 * HOUR_MS)
    assert (unit.charge, unit.output) == (False, True)
    assert log(unit) == ["UNDERTEMPERATURE RAISED"]
    assert unit.home.battery.state_of_charge < charged
    unit.home.set_value("ambient", 0.5)
    unit.pass_time(HOUR_MS)
    assert not unit.charge, "not before it is a degree above"
    unit.home.set_value("ambient", 4)
    unit.pass_time(HOUR_MS)
    assert unit.charge
    assert unit.home.battery.state_of_charge > charged
    assert log(unit) == ["UNDERTEMPERATURE RAISED", "UNDERTEMPERATURE CLEARED"]


def test_cells_that_are_apart_are_found_by_a_unit_that_was_not_told():
    """Charged like lead, a lithium battery disconnects itself in the sun, which is an alert; charged as it should be,
    the same battery does not."""
    for knows in (False, True):
        unit = home_unit(told=knows, hour=9.0, charge=0.8)
        unit.home.set_fault("cell_imbalance_v", 0.7)
        unit.home.set_value("lamp_w", 0)
        unit.pass_time(3 * HOUR_MS)
        codes = {event.split()[0] for event in log(unit)}
        if knows:
            assert codes == set()
            assert unit.home.battery.voltage < 14.25
        else:
            assert "BATTERY_DISCONNECTED" in codes


def test_a_unit_that_was_not_told_uses_lithium_up_to_the_limit_of_lead():
    """Its low voltage is an alert at 11.1 V, where little is left; lithium's own is 12.0 V (docs/control-law.md)."""
    left = {}
    for knows in (False, True):
        unit = home_unit(told=knows, hour=18.0, charge=0.3)
        unit.home.set_value("lamp_w", 10)
        unit.home.set_value("irradiance", 0)
        for _ in range(5 * 60):
            unit.pass_time(MINUTE_MS)
            if not unit.output:
                break
        assert log(unit) == ["BATTERY_UNDERVOLTAGE RAISED"]
        left[knows] = unit.home.battery.state_of_charge
    assert left[False] < left[True] < 0.12


def test_a_legacy_board_refuses_lithium_and_says_so():
    unit = home_unit(told=False, board="legacy")
    assert ask(unit, TOLD).split(b"\r\n")[0] == b"#BATTERY;ERROR;board"
    assert "BATTERY_REFUSED RAISED" in log(unit)


def test_lead_is_replaced_by_lithium_while_the_unit_runs():
    """Over the control socket the battery changes, and over the console the unit learns of it."""
    unit = SimulatedUnit(Storage(), SolarHome(start_hour=10.0), board="protected")
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    with Server(unit) as server:
        assert server._answer({"op": "read"})["battery"] == "flooded 18 Ah"
        server._answer({"op": "advance", "seconds": 600})
        assert unit.target_v == pytest.approx(14.6)
        request = {"op": "battery", "chemistry": "lfp", "capacity_ah": 12, "state_of_charge": 0.4}
        assert server._answer(request) == {"ok": True, "battery": "lfp 12 Ah"}
        reading = server._answer({"op": "read"})
        assert (reading["battery"], reading["state_of_charge"]) == ("lfp 12 Ah", 0.4)
        assert reading["battery_voltage"] == pytest.approx(12.84)
        server._answer({"op": "advance", "seconds": 600})
        assert unit.target_v == pytest.approx(14.6), "nobody has told it"
        assert ask(unit, TOLD).startswith(b"#BATTERY;LFP;12\r\n")
        server._answer({"op": "advance", "seconds": 600})
        assert unit.target_v == pytest.approx(14.2)
        assert unit.powered
        assert log(unit) == []


@pytest.mark.parametrize(
    ("chemistry", "capacity_ah"),
    [
        ("nimh", 12),
        (None, 12),
        (["lfp"], 12),
        ("lfp", 0),
        ("lfp", 501),
        ("lfp", True),
        ("lfp", "12"),
        ("lfp", float("nan")),
    ],
)
def test_what_is_no_battery_is_refused(chemistry, capacity_ah):
    with pytest.raises(PaygoError, match="a battery cannot"):
        battery_sheet(chemistry, capacity_ah)
    home = SolarHome()
    with pytest.raises(PaygoError, match="state_of_charge"):
        home.put_in(LFP, 1.5)
    assert home.battery.sheet.name == "flooded 18 Ah"


def test_a_size_without_a_sheet_is_the_nearest_made_larger_or_smaller():
    assert battery_sheet("agm", 12) is BATTERIES["agm 12 Ah"]
    assert battery_sheet("flooded", 18).resistance_ohm == pytest.approx(0.32 / 18)
    assert battery_sheet("lfp", 100).resistance_ohm == pytest.approx(0.05)


def test_the_batterys_own_protection_opens_and_closes_again():
    """15.2 and 14.4 V of the pack (docs/plant.md), the cells that are apart included."""
    battery = Battery(LFP, 1.0)
    battery.step(60, 3.0)
    assert not battery.bms_open
    battery.imbalance_v = 1.6
    battery.step(60, 3.0)
    assert battery.bms_open
    battery.imbalance_v = 0.6
    steps = 0
    while battery.bms_open:
        battery.step(60, 0.0)
        steps += 1
        assert steps < 60
    assert battery.voltage + 0.6 < 14.4
