"""Protections and alerts: thresholds at their edges, events until they are acknowledged, restarts in between."""

from __future__ import annotations

import pytest
from sim_rig import UNLOCK_3, WEEK_2, ask, new_unit, ready_unit, restart

from firmware_sim._native import lib
from firmware_sim.unit import SimulatedUnit


def at_volts(unit: SimulatedUnit, volts: float, milliseconds: int = 0) -> bytes:
    """Lets the unit measure this battery voltage for so long (in steps of at most 10 s), and gives what it said."""
    while True:
        unit.home.set_fault("battery_sensor_offset_v", volts - unit.home.battery.voltage)
        unit.home.measured = unit.home._measure(panel_v=0.0, panel_a=0.0, load_a=0.0)
        step = min(milliseconds, 10_000)
        unit.home.battery.step = lambda *_: None  # a battery that keeps its voltage
        unit.pass_time(step, 0)
        milliseconds -= step
        if milliseconds <= 0:
            return unit.take()


def listening_unit(*tokens: str) -> SimulatedUnit:
    """A set-up unit whose host knows extended commands, at a battery voltage that is well."""
    unit = ready_unit(*tokens)
    ask(unit, b"#ALERTS;\n")
    assert at_volts(unit, 12.5, 1000) == b""
    return unit


def over(unit: SimulatedUnit) -> bytes:
    return at_volts(unit, 16.5, 1000)


def well(unit: SimulatedUnit) -> bytes:
    return at_volts(unit, 12.5, 60_000)


def test_overvoltage_begins_after_a_second_at_16_volts():
    """H20: not at 15.999 V, not after 999 ms, and not when it dips in between."""
    unit = listening_unit(WEEK_2)
    assert at_volts(unit, 15.999, 60_000) == b""
    assert at_volts(unit, 16.0, 999) == b""
    assert at_volts(unit, 15.999, 1) == b""
    assert at_volts(unit, 16.0, 999) == b""
    assert (unit.output, unit.charge) == (True, True)
    assert at_volts(unit, 16.0, 1) == b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16000;mV;1;1\r\n"
    assert (unit.output, unit.charge) == (False, False)


def test_overvoltage_ends_after_30_seconds_at_15_volts():
    """H26: output and panel come back."""
    unit = listening_unit(WEEK_2)
    over(unit)
    assert ask(unit, b"#ACK;1;1\n") == b"#ACK;1;1\r\n"
    assert at_volts(unit, 15.001, 300_000) == b""
    assert at_volts(unit, 15.0, 29_999) == b""
    assert at_volts(unit, 15.001, 1) == b""
    assert at_volts(unit, 15.0, 29_999) == b""
    assert not unit.output
    assert at_volts(unit, 15.0, 1) == b"#ALERT;BATTERY_OVERVOLTAGE;CLEARED;15000;mV;1;2\r\n"
    assert (unit.output, unit.charge) == (True, True)


def test_undervoltage_disconnects_after_a_minute_at_11_1_volts_and_reconnects_at_12_6():
    """H26."""
    unit = listening_unit(WEEK_2)
    assert at_volts(unit, 11.101, 60_000) == b""
    assert at_volts(unit, 11.1, 59_999) == b""
    assert unit.output
    assert at_volts(unit, 11.1, 1) == b"#ALERT;BATTERY_UNDERVOLTAGE;RAISED;11100;mV;1;1\r\n"
    assert (unit.output, unit.charge) == (False, True)
    ask(unit, b"#ACK;1;1\n")
    assert at_volts(unit, 12.599, 600_000) == b""
    assert at_volts(unit, 12.6, 299_999) == b""
    assert not unit.output
    assert at_volts(unit, 12.6, 1) == b"#ALERT;BATTERY_UNDERVOLTAGE;CLEARED;12600;mV;1;2\r\n"
    assert unit.output


@pytest.mark.parametrize("token", [WEEK_2, UNLOCK_3])
def test_no_credit_and_no_switch_overrules_a_protection(token):
    """H16, T29: not even the unlock."""
    unit = listening_unit(token)
    over(unit)
    assert ask(unit, b"#LOAD;ON\n") == b"#LOAD;ON;OFF\r\n"
    assert not unit.output


def test_alerts_tell_what_is_active_now():
    """H17: with the voltage of now."""
    unit = listening_unit()
    over(unit)
    at_volts(unit, 16.123)
    assert ask(unit, b"#ALERTS;\n") == b"#ALERTS;1;BATTERY_OVERVOLTAGE,16123,mV\r\n"
    at_volts(unit, 3.0, 60_000)
    assert ask(unit, b"#ALERTS;\n") == b"#ALERTS;1;BATTERY_UNDERVOLTAGE,3000,mV\r\n"
    at_volts(unit, -3.0, 5_000)
    expected = b"#ALERTS;3;BATTERY_UNDERVOLTAGE,-3000,mV;BATTERY_DISCONNECTED,0,mV;SENSOR_FAULT,-3000,mV\r\n"
    assert ask(unit, b"#ALERTS;\n") == expected


def test_the_log_has_the_last_events_oldest_first():
    """H18."""
    unit = listening_unit()
    over(unit)
    well(unit)
    restart(unit)
    at_volts(unit, 10.0, 60_000)
    assert ask(unit, b"#LOG;\n") == (
        b"#LOG;3;1,BATTERY_OVERVOLTAGE,RAISED,16500,mV,1;2,BATTERY_OVERVOLTAGE,CLEARED,12500,mV,1;"
        b"3,BATTERY_UNDERVOLTAGE,RAISED,10000,mV,2\r\n"
        b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16500;mV;1;1\r\n"
    )


def test_an_event_is_repeated_every_3_seconds_of_wire_time():
    """H20: not after 2999 ms, and never by world time."""
    unit = listening_unit()
    line = b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16500;mV;1;1\r\n"
    assert over(unit) == line
    for _ in range(5):
        at_volts(unit, 16.5, 100_000)
        unit.pass_time(0, 2999)
        assert unit.take() == b""
        assert unit.wire_due_ms == 1
        unit.pass_time(0, 1)
        assert unit.take() == line
    assert unit.wire_due_ms == 3000


def test_events_are_sent_one_at_a_time_oldest_first():
    """H20, H21: the next one right behind the acknowledgement."""
    unit = listening_unit()
    raised = over(unit)
    assert well(unit) == b""
    unit.pass_time(0, 3000)
    assert unit.take() == raised
    assert ask(unit, b"#ACK;1;1\n") == b"#ACK;1;1\r\n#ALERT;BATTERY_OVERVOLTAGE;CLEARED;12500;mV;1;2\r\n"
    unit.pass_time(0, 2999)
    assert unit.take() == b""
    assert ask(unit, b"#ACK;1;2\n") == b"#ACK;1;2\r\n"
    unit.pass_time(0, 60_000)
    assert unit.take() == b""


def test_an_event_survives_restarts_until_it_is_acknowledged():
    """H20: with the start during which it happened; an acknowledged one does not come back."""
    unit = listening_unit()
    over(unit)
    for _ in range(3):
        restart(unit)
        assert ask(unit, b"#ALERTS;\n").endswith(b"\r\n#ALERT;BATTERY_OVERVOLTAGE;RAISED;16500;mV;1;1\r\n")
    assert ask(unit, b"#ACK;1;1\n") == b"#ACK;1;1\r\n"
    restart(unit)
    assert ask(unit, b"#ALERTS;\n") == b"#ALERTS;1;BATTERY_OVERVOLTAGE,16500,mV\r\n"


def test_a_restart_ends_no_alert_and_lifts_no_protection():
    """H20: the same alert is neither cleared nor raised again, and switching off and on does not give light."""
    unit = listening_unit(WEEK_2)
    over(unit)
    ask(unit, b"#ACK;1;1\n")
    at_volts(unit, 15.5)
    restart(unit)
    assert (unit.output, unit.charge) == (False, False)
    assert ask(unit, b"#ALERTS;\n") == b"#ALERTS;1;BATTERY_OVERVOLTAGE,15500,mV\r\n"
    assert at_volts(unit, 15.5, 600_000) == b""
    assert at_volts(unit, 15.0, 30_000) == b"#ALERT;BATTERY_OVERVOLTAGE;CLEARED;15000;mV;2;2\r\n"
    assert unit.output
    ask(unit, b"#ACK;2;2\n")
    at_volts(unit, 11.0, 60_000)
    ask(unit, b"#ACK;2;3\n")
    at_volts(unit, 12.0)
    restart(unit)
    assert not unit.output
    at_volts(unit, 12.6, 300_000)
    assert unit.output


def test_an_acknowledgement_is_answered_once_it_is_stored():
    """H21: the supply fails in its write: nothing is answered, and the event comes again."""
    unit = listening_unit()
    line = over(unit)
    unit.cut_power(40)
    assert ask(unit, b"#ACK;1;1\n") == b""
    unit.power_on()
    assert ask(unit, b"#ALERTS;\n").endswith(line)


@pytest.mark.parametrize(
    ("ack", "answer"),
    [
        (b"1;1", b"#ACK;1;1"), (b"1;2", b"#ACK;1;2"), (b"2;3", b"#ACK;2;3"), (b"2;4", b"#ACK;UNKNOWN"),
        (b"3;3", b"#ACK;UNKNOWN"), (b"1;3", b"#ACK;UNKNOWN"), (b"2;1", b"#ACK;UNKNOWN"), (b"0;0", b"#ACK;UNKNOWN"),
        (b"1;0", b"#ACK;UNKNOWN"), (b"0;1", b"#ACK;UNKNOWN"), (b"2;5", b"#ACK;UNKNOWN"),
        (b"2;4294967295", b"#ACK;UNKNOWN"),
    ],
)  # fmt: skip
def test_which_acknowledgements_are_known(ack, answer):
    """H21: events 1 and 2 of start 1 are acknowledged, 3 of start 2 is being sent, 4 waits behind it."""
    unit = listening_unit()
    over(unit)
    ask(unit, b"#ACK;1;1\n")
    well(unit)
    ask(unit, b"#ACK;1;2\n")
    restart(unit)
    over(unit)
    well(unit)
    ask(unit, b"#ALERTS;\n")
    writes = unit.storage.writes
    assert ask(unit, b"#ACK;" + ack + b"\n").split(b"\r\n")[0] == answer
    assert unit.storage.writes == writes + (ack == b"2;3")


def test_acknowledgements_of_events_that_left_the_log_are_known():
    """H21: a host that lost the answer asks again, much later."""
    unit = listening_unit()
    for seq in range(1, 24):
        over(unit) if seq % 2 else well(unit)
        assert ask(unit, b"#ACK;1;%d\n" % seq) == b"#ACK;1;%d\r\n" % seq
    assert ask(unit, b"#ACK;1;1\n") == b"#ACK;1;1\r\n"
    assert ask(unit, b"#ACK;7;1\n") == b"#ACK;UNKNOWN\r\n"
    assert ask(unit, b"#ACK;1;24\n") == b"#ACK;UNKNOWN\r\n"
    assert ask(unit, b"#LOG;\n").startswith(b"#LOG;10;14,BATTERY_OVERVOLTAGE,CLEARED,")


def test_more_alerts_than_the_log_holds_are_told_in_their_end_state():
    """H20: ten wait for a host; what begins and ends meanwhile is told once there is room; nothing is overwritten."""
    unit = listening_unit()
    for _ in range(5):
        over(unit)
        well(unit)
    before = ask(unit, b"#LOG;\n")
    for _ in range(3):
        over(unit)
        well(unit)
    at_volts(unit, 11.0, 60_000)
    assert ask(unit, b"#LOG;\n") == before
    told = []
    for seq in range(1, 14):
        answer = ask(unit, b"#ACK;1;%d\n" % seq)
        assert answer.startswith(b"#ACK;1;%d\r\n" % seq), (seq, answer)
        told += [line.split(b";")[1:4] for line in answer.split(b"\r\n") if line.startswith(b"#ALERT")]
    assert told[-3:] == [
        [b"BATTERY_OVERVOLTAGE", b"RAISED", b"16500"],
        [b"BATTERY_OVERVOLTAGE", b"CLEARED", b"11000"],
        [b"BATTERY_UNDERVOLTAGE", b"RAISED", b"11000"],
    ]
    assert ask(unit, b"#ACK;1;14\n") == b"#ACK;UNKNOWN\r\n"


def test_numbers_of_events_go_on_over_restarts():
    """H20: `seq` for the life of the unit, `boot` by start."""
    unit = ready_unit()
    for boot in range(1, 4):
        ask(unit, b"#ALERTS;\n")
        assert over(unit) == b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16500;mV;%d;%d\r\n" % (boot, 2 * boot - 1)
        ask(unit, b"#ACK;%d;%d\n" % (boot, 2 * boot - 1))
        assert well(unit) == b"#ALERT;BATTERY_OVERVOLTAGE;CLEARED;12500;mV;%d;%d\r\n" % (boot, 2 * boot)
        ask(unit, b"#ACK;%d;%d\n" % (boot, 2 * boot))
        restart(unit)


def test_a_unit_that_is_not_set_up_protects_but_records_nothing():
    """H9: its charge switch opens all the same."""
    unit = new_unit()
    ask(unit, b"#INFO;\n")
    assert over(unit) == b""
    assert not unit.charge
    assert unit.storage.writes == 0


def test_events_that_cannot_be_read_any_more_make_room_for_new_ones():
    """H20, H27: ten are kept; were those lost with their cells, an eleventh would otherwise never be told."""
    unit = listening_unit(WEEK_2)
    for _ in range(5):
        over(unit)
        well(unit)
    begin = lib.PAYGO_EVENTS_AT
    unit._cells[begin:] = bytes(len(unit._cells) - begin)
    over(unit)
    unit.pass_time(0, 3000)
    assert unit.take() == b"#ALERT;BATTERY_OVERVOLTAGE;RAISED;16500;mV;1;11\r\n"
