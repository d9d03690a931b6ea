"""The control law in the unit: stages of a charge, protections from peaks and faults, another battery (H26, H28)."""

from __future__ import annotations

import json

import pytest
from sim_rig import SETUP, WEEK_2, ask, enter, ready_unit, restart

from firmware_sim.plant.board import Board
from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit

HOUR_MS = 3_600_000


def lit_unit(board: Board = "legacy", *, hour: float = 12.0, charge: float = 0.5) -> SimulatedUnit:
    """A set-up unit with credit, in the sun, whose host knows events."""
    unit = SimulatedUnit(Storage(), SolarHome(start_hour=hour, state_of_charge=charge), board=board)
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    assert enter(unit, WEEK_2).startswith(b"VALID")
    return unit


def reply(unit: SimulatedUnit, query: str) -> list[str]:
    """The fields of what it answers, which events may come before or after."""
    lines = ask(unit, f"#{query};\n".encode()).decode().split("\r\n")
    found = next(line for line in lines if line.startswith(f"#{query};"))
    return found.split(";", 1)[1].split("\n")[0].split(";")


def alerts(unit: SimulatedUnit) -> dict[str, str]:
    """The active ones, each with its value and unit."""
    told = (each.split(",") for each in reply(unit, "ALERTS")[1:])
    return {code: f"{value} {unit_}" for code, value, unit_ in told}


def log(unit: SimulatedUnit) -> list[str]:
    return [",".join(each.split(",")[1:5]) for each in reply(unit, "LOG")[1:]]


def data(unit: SimulatedUnit) -> dict[str, object]:
    found = json.loads(";".join(reply(unit, "TELEMETRY")))["data"]
    assert isinstance(found, dict)
    return found


def test_a_charge_goes_through_its_stages():
    """Bulk, absorption at 14.6 V for two hours, float at 13.8 V; the next morning begins a new one."""
    unit = lit_unit(hour=7.0)
    seen = []
    for _ in range(26 * 60):
        unit.pass_time(60_000)
        now = data(unit)["charge_stage"]
        if not seen or seen[-1] != now:
            seen.append(now)
        if now == "ABSORPTION" and unit.home.measured.battery_v > 14.58:
            assert unit.home.measured.battery_v < 14.65
    assert seen[:4] == ["BULK", "ABSORPTION", "FLOAT", "BULK"]


def test_the_target_follows_the_temperature():
    """18 mV less for each degree above 25, and no more than the ceiling in the cold."""
    unit = lit_unit()
    targets = {}
    for ambient in (-5, 25, 35):
        unit.home.set_value("ambient", ambient)
        unit.pass_time(60_000)
        targets[ambient] = unit.target_v
    assert targets[25] == 14.6
    assert targets[35] == pytest.approx(14.42, abs=0.005)
    assert targets[-5] == 15.0


@pytest.mark.parametrize(
    ("fault", "value", "told", "output", "charge"),
    [
        ("short_circuit", 1, {"SHORT_CIRCUIT": "60000,mA"}, False, True),
        ("board_heat", 70, {"OVERTEMPERATURE": "95,C"}, False, False),
        ("surge_v", 80, {"PANEL_OVERVOLTAGE": ""}, True, False),
        ("battery_disconnected", 1, {"BATTERY_DISCONNECTED": "", "OUTPUT_OVERVOLTAGE": ""}, False, False),
        ("panels_in_series", 1, {"PANEL_OVERVOLTAGE": ""}, True, False),
    ],
)
def test_each_protection_takes_what_it_must(fault, value, told, output, charge):
    """H26, docs/control-law.md: raised with what was measured, cleared when it is over, each once."""
    unit = lit_unit("protected")
    unit.pass_time(60_000)
    assert (alerts(unit), unit.output, unit.charge) == ({}, True, True)
    if fault == "panels_in_series":
        unit.home.set_value("state_of_charge", 1.0)  # the panel is seen open only when nothing is charged
        unit.home.set_value("ambient", -15)
        unit.pass_time(60_000)
        assert "UNDERTEMPERATURE" in alerts(unit)
        told = {**told, "UNDERTEMPERATURE": "-15,C"}
    unit.home.set_fault(fault, value)
    unit.pass_time(11_000)
    assert set(alerts(unit)) == set(told)
    for code, value in told.items():
        assert any(each.startswith(f"{code},RAISED,{value}") for each in log(unit))
    assert (unit.output, unit.charge) == (output, charge and "UNDERTEMPERATURE" not in told)
    unit.home.set_fault(fault, 0)
    unit.home.set_value("ambient", 25)
    unit.pass_time(10 * 60_000)
    assert (alerts(unit), unit.output, unit.charge) == ({}, True, True)
    assert sorted(log(unit)) == sorted(set(log(unit))), "each began and ended once"


def test_current_through_an_open_switch_is_a_fault_of_the_charger():
    unit = lit_unit()
    unit.home.set_value("ambient", -15)
    unit.pass_time(60_000)
    unit.home.set_fault("charge_switch_stuck_on", 1)
    unit.pass_time(30_000)
    assert set(alerts(unit)) == {"UNDERTEMPERATURE", "CHARGER_FAULT"}


def test_a_peak_between_two_steps_of_the_law_is_not_lost():
    """H26: 30 A for a tenth of a second, in a second of which the law sees only the end."""
    unit = lit_unit()
    unit.pass_time(1000)
    unit.home.set_fault("short_circuit", 1)
    unit.pass_time(100)
    assert alerts(unit) == {}
    unit.home.set_fault("short_circuit", 0)
    unit.pass_time(900)
    assert alerts(unit) == {"SHORT_CIRCUIT": "0 mA"}
    assert log(unit) == ["SHORT_CIRCUIT,RAISED,60000,mA"]


def test_a_peak_is_told_once_whatever_is_asked_in_its_moment():
    """What the law has seen of a moment it does not see again, when bytes and keys come without time in between."""
    unit = lit_unit()
    unit.pass_time(1000)
    unit.home.set_fault("surge_v", 3)
    unit.pass_time(1000)
    due_ms = unit.world_due_ms
    assert due_ms > 1000, "seen, and no alert"
    for _ in range(2):
        assert reply(unit, "STATUS")[0] == "ACTIVE"
        unit.press("#")
    assert unit.world_due_ms == due_ms


def test_a_restart_does_not_try_a_shorted_output_at_once():
    """H20: the protection is active from the first moment on."""
    unit = lit_unit()
    unit.home.set_fault("short_circuit", 1)
    unit.pass_time(1000)
    assert not unit.output
    restart(unit)
    assert not unit.output
    assert set(alerts(unit)) == {"SHORT_CIRCUIT"}


def test_a_battery_is_replaced_on_the_record():
    """H28: answered once it is stored, kept over restarts, and an event that ends by itself."""
    unit = lit_unit()
    assert ask(unit, b"#BATTERY;\n") == b"#BATTERY;FLOODED;18\r\n"
    answered = ask(unit, b"#BATTERY;GEL;40\n").split(b"\r\n")
    assert answered[0] == b"#BATTERY;GEL;40"
    assert answered[1] == b"#ALERT;BATTERY_REPLACED;RAISED;40;Ah;1;1"
    unit.pass_time(60_000)
    assert log(unit) == ["BATTERY_REPLACED,RAISED,40,Ah", "BATTERY_REPLACED,CLEARED,40,Ah"]
    assert alerts(unit) == {}
    assert unit.target_v == 14.2
    restart(unit)
    unit.pass_time(60_000)
    assert ask(unit, b"#BATTERY;\n").startswith(b"#BATTERY;GEL;40\r\n")
    assert unit.target_v == 14.2


@pytest.mark.parametrize("at", range(0, 80, 3))
@pytest.mark.parametrize("writes", [0, 1])
def test_a_cut_while_a_battery_is_replaced_leaves_the_one_or_the_other(at, writes):
    """H12, H28: the battery and its event are there together, or neither is."""
    unit = lit_unit()
    unit.pass_time(0, 0)
    unit.cut_power(at, writes)
    ask(unit, b"#BATTERY;GEL;40\n")
    unit.power_off()
    unit.power_on()
    unit.pass_time(10_000)
    gel = ask(unit, b"#BATTERY;\n").startswith(b"#BATTERY;GEL;40")
    assert log(unit) == (["BATTERY_REPLACED,RAISED,40,Ah", "BATTERY_REPLACED,CLEARED,40,Ah"] if gel else [])


def test_lithium_is_refused_on_a_legacy_board_and_that_is_logged():
    """H28: the board could not protect it."""
    unit = lit_unit()
    assert ask(unit, b"#BATTERY;LFP;30\n").split(b"\r\n")[0] == b"#BATTERY;ERROR;board"
    unit.pass_time(60_000)
    assert log(unit) == ["BATTERY_REFUSED,RAISED,30,Ah", "BATTERY_REFUSED,CLEARED,30,Ah"]
    assert ask(unit, b"#BATTERY;\n").startswith(b"#BATTERY;FLOODED;18\r\n")
    protected = lit_unit("protected")
    assert ask(protected, b"#BATTERY;LFP;30\n").startswith(b"#BATTERY;LFP;30\r\n")
    protected.home.set_value("ambient", -1)
    protected.pass_time(60_000)
    assert "UNDERTEMPERATURE" in alerts(protected), "lithium is not charged below 0 degrees"


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        (b"NICD;18", b"#BATTERY;ERROR;chemistry"), (b"gel;18", b"#BATTERY;ERROR;chemistry"),
        (b";18", b"#BATTERY;ERROR;chemistry"), (b"GEL;0", b"#BATTERY;ERROR;capacity"),
        (b"GEL;501", b"#BATTERY;ERROR;capacity"), (b"GEL;-1", b"#BATTERY;ERROR;capacity"),
        (b"GEL;", b"#BATTERY;ERROR;capacity"), (b"GEL;99999999999", b"#BATTERY;ERROR;capacity"),
        (b"GEL", b"#INVALID"), (b"GEL;18;1", b"#INVALID"),
    ],
)  # fmt: skip
def test_what_is_no_battery_is_refused_by_the_name_of_the_field(fields, answer):
    """H28: and nothing is stored."""
    unit = lit_unit()
    unit.pass_time(0, 0)
    writes = unit.storage.writes
    assert ask(unit, b"#BATTERY;" + fields + b"\n").split(b"\r\n")[0] == answer
    assert unit.storage.writes == writes
    assert ask(unit, b"#BATTERY;\n").startswith(b"#BATTERY;FLOODED;18\r\n")


def test_a_full_log_refuses_a_battery_rather_than_forgetting_one():
    """H28: ten events wait for a host."""
    unit = ready_unit(WEEK_2)
    for capacity in range(10, 15):
        ask(unit, b"#BATTERY;AGM;%d\n" % capacity)
        unit.pass_time(1000)
    assert ask(unit, b"#BATTERY;AGM;20\n").split(b"\r\n")[0] == b"#BATTERY;ERROR;log"
    for seq in range(1, 3):
        assert ask(unit, b"#ACK;1;%d\n" % seq).startswith(b"#ACK;1;%d" % seq)
    assert ask(unit, b"#BATTERY;AGM;20\n").split(b"\r\n")[0] == b"#BATTERY;AGM;20"


def test_the_estimate_of_the_charge_is_scaled_by_the_battery():
    """H15: what one battery loses in an evening is a small part of one ten times its size."""
    shares = []
    for capacity in (b"18", b"180"):
        unit = lit_unit(hour=18.5, charge=0.9)
        ask(unit, b"#BATTERY;FLOODED;" + capacity + b"\n")
        unit.pass_time(1000)
        told = []
        for _ in range(2):
            told.append(float(str(data(unit)["state_of_charge"])))
            unit.pass_time(3 * HOUR_MS)
        shares.append(told[0] - told[1])
    assert shares[0] == pytest.approx(10 * shares[1], rel=0.2)


def test_the_board_is_told():
    """H19."""
    assert b";legacy;" in ask(lit_unit(), b"#INFO;\n")
    assert b";protected;" in ask(lit_unit("protected"), b"#INFO;\n")


def test_telling_of_a_battery_stops_no_protection():
    """H28: neither an alert nor the delay until one."""
    unit = ready_unit(WEEK_2)
    unit.pass_time(1000)
    unit.home.set_fault("battery_sensor_offset_v", -2)
    for capacity in (18, 20):
        ask(unit, b"#BATTERY;FLOODED;%d\n" % capacity)
        unit.pass_time(30_000)
    assert set(alerts(unit)) == {"BATTERY_UNDERVOLTAGE"}
    ask(unit, b"#BATTERY;AGM;18\n")
    unit.pass_time(1000)
    assert set(alerts(unit)) == {"BATTERY_UNDERVOLTAGE"}
    assert not unit.output


def test_another_chemistry_does_not_lift_what_is_wrong_with_this_one():
    """H28: lithium at -1 degree is not charged, whatever the console says."""
    unit = lit_unit("protected")
    ask(unit, b"#BATTERY;LFP;30\n")
    unit.home.set_value("ambient", -1)
    unit.pass_time(60_000)
    lines = ask(unit, b"#BATTERY;FLOODED;30\n").split(b"\r\n")
    assert b"#BATTERY;ERROR;alert" in lines
    unit.pass_time(60_000)
    assert not unit.charge


def test_a_restart_ends_no_alert_that_a_full_log_could_not_take():
    """H20: ten events wait for a host, and then the battery is empty."""
    unit = ready_unit(WEEK_2)
    for capacity in range(10, 15):
        ask(unit, b"#BATTERY;AGM;%d\n" % capacity)
        unit.pass_time(1000)
    unit.home.set_fault("battery_sensor_offset_v", -2)
    unit.pass_time(70_000)
    assert len(log(unit)) == 10
    assert set(alerts(unit)) == {"BATTERY_UNDERVOLTAGE"}
    restart(unit)
    assert not unit.output
    assert set(alerts(unit)) == {"BATTERY_UNDERVOLTAGE"}


def test_alerts_of_one_step_are_told_with_what_was_measured_then():
    """H20: a surge and a short circuit at once, of which one is recorded after the other."""
    unit = lit_unit("protected")
    unit.pass_time(60_000)
    unit.home.set_fault("short_circuit", 1)
    unit.home.set_fault("surge_v", 80)
    unit.pass_time(1000)
    raised = [each for each in log(unit) if "RAISED" in each]
    assert "SHORT_CIRCUIT,RAISED,60000,mA" in raised
    assert any(each.startswith("PANEL_OVERVOLTAGE,RAISED,6") for each in raised)


def test_a_unit_that_cannot_know_its_battery_charges_it_mildly():
    """H28: no cell is harmed: lithium is not charged below 0 degrees, and lead comes to 14.2 V at 25."""
    unit = lit_unit("protected")
    for place in range(len(unit.storage.image)):
        unit.storage.image[place] = 0
    restart(unit)
    unit.pass_time(60_000)
    assert alerts(unit) == {"STORAGE_FAULT": "1 1"}
    assert unit.target_v == 14.2
    unit.home.set_value("ambient", -1)
    unit.pass_time(60_000)
    assert not unit.charge
    assert ask(unit, b"#BATTERY;\n") == b"#INVALID\r\n"
