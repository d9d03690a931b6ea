"""The driver against an un-extended HDK with its quirks, and against an hdk+ line that loses and damages answers."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest
from fake_hdk import KEY, FakeHdk, PlusUnit, ScriptedUnit, checked, serial_forms

from hw_bridge.drivers import ActiveAlert, Entry, Info, Load, UnitStatus
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, PaygoError, TokenType, generate_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.wire.hdk import Alert

CONFIG = DeviceConfig.from_hex(KEY, 123456789)
DEVICE = Device("220000001", CONFIG)
ALERT = Alert("BATTERY_OVERVOLTAGE", True, 16012, "mV", 1, 9)
ALERT_LINE = checked("ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;1;9")
ACTIVE = checked("STATUS;ACTIVE;604800")
FAST = 0.6


@contextmanager
def driving(unit, **options):
    with unit, Transport(unit.port) as transport:
        yield HdkDriver(transport, **options)


def days(number: int, token_type: TokenType = TokenType.ADD_TIME, count: int = 1) -> str:
    return generate_token(CONFIG, count, number, token_type).digits


# An un-extended HDK


@pytest.mark.parametrize("config", [None, CONFIG])
def test_an_hdk_is_known_by_its_answer_invalid(config):
    with driving(FakeHdk(config)) as driver:
        assert driver.identify() is None
        assert driver.extended is False


def test_an_hdk_is_set_up_and_proven_by_its_status():
    lines: list[str] = []
    unit = FakeHdk()
    with driving(unit, log=lines.append) as driver:
        assert driver.provision(DEVICE) == UnitStatus("inactive", 0)
        assert unit.stored == CONFIG.secret_key
    assert "INFO: SN: 220000001, SC: 123456789, KEY: [secret]" in lines
    assert not any(form.decode("latin-1") in line for form in serial_forms(KEY) for line in lines)


def test_an_hdk_is_set_up_only_once():
    unit = FakeHdk(CONFIG)
    with driving(unit) as driver, pytest.raises(DeviceError, match="set up already"):
        driver.provision(DEVICE)
    assert b"#SETUP" not in unit.received


def test_an_hdk_that_does_not_take_its_set_up_is_not_called_set_up():
    unit = ScriptedUnit(lambda line: b"" if line.startswith(b"#SETUP") else b"#INVALID\r\n")
    with driving(unit) as driver, pytest.raises(DeviceError, match="did not take"):
        driver.provision(DEVICE)
    assert sum(line.startswith(b"#SETUP") for line in unit.lines) == 1


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (Device("SLT220000001", CONFIG), "not decimal"),
        (Device("4294967296", CONFIG), "32 bits"),
        (Device("1", CONFIG, count=2), "every token up to count 2 would work again"),
        (Device("1", DeviceConfig.from_hex(KEY, 1, time_divider=2)), "divide"),
        (Device("1", DeviceConfig.from_hex(KEY, 1, restricted_digit_set=True)), "restricted"),
        (Device("1", DeviceConfig.from_hex(KEY, 1, max_jump=30)), "windows"),
        (Device("1", CONFIG, test_code="12"), "test code"),
    ],
)
def test_what_an_hdk_cannot_do_is_refused_before_the_key_is_sent(device, why):
    unit = FakeHdk()
    with driving(unit) as driver, pytest.raises(DeviceError, match=why):
        driver.provision(device)
    assert b"#SETUP" not in unit.received


def test_tokens_on_an_hdk():
    with driving(FakeHdk(CONFIG)) as driver:
        token = days(1)
        assert driver.enter(token) == Entry("accepted", seconds_left=86399)
        assert driver.enter(f"{token[:3]} {token[3:6]}-{token[6:]}") == Entry("already_used")
        assert driver.status() == UnitStatus("active", 86400)
        assert driver.enter("123456789") == Entry("invalid")
        unlock = generate_token(CONFIG, 2, token_type=TokenType.DISABLE_PAYG)
        assert driver.enter(unlock.digits) == Entry("accepted", unlocked=True)
        assert driver.status() == UnitStatus("unlocked", None)


def test_an_hdk_calls_an_accepted_set_0_invalid_and_the_status_tells_the_truth():
    with driving(FakeHdk(CONFIG)) as driver:
        driver.enter(days(1))
        assert driver.enter(days(0, TokenType.SET_TIME, 2)) == Entry("invalid")
        assert driver.status() == UnitStatus("inactive", 0)


def test_answers_without_line_ends_and_without_log_lines():
    with driving(FakeHdk(CONFIG, debug=False)) as driver:
        assert driver.status() == UnitStatus("inactive", 0)
        assert driver.enter(days(1)) == Entry("accepted", seconds_left=86399)


@pytest.mark.parametrize(("seconds", "state"), [(2_685_508_000, "inactive"), (257_903_995, "active")])
def test_seconds_of_an_hdk_that_have_wrapped_are_none(seconds, state):
    unit = FakeHdk(CONFIG, debug=False)
    unit.seconds_left = seconds
    with driving(unit) as driver:
        assert driver.status() == UnitStatus(state, seconds if state == "active" else 0)


def test_an_answer_that_comes_after_the_blinks_is_waited_for():
    unit = FakeHdk(CONFIG)
    with driving(unit) as driver:
        driver.identify()
        unit.gate = threading.Event()
        reading, empty = driver._transport.read, []

        def read(timeout: float) -> bytes:
            data = reading(timeout)
            if timeout and not data:
                empty.append(timeout)
                unit.gate.set()
            return data

        driver._transport.read = read
        assert driver.enter(days(1)) == Entry("accepted", seconds_left=86399)
        assert empty


def test_a_lost_answer_of_an_hdk_is_not_asked_for_with_the_token():
    """The reference firmware takes some used tokens again."""
    unit = FakeHdk(CONFIG)
    with driving(unit, timeout=FAST) as driver:
        driver.identify()
        unit.transmit = lambda said: b""
        with pytest.raises(NoAnswerError):
            driver.enter(days(1))
    assert unit.received.count(b"#TOKEN") == 1


@pytest.mark.parametrize("token", ["", "12345678", "12345678a", "0x3456789"])
def test_a_typing_error_is_refused_before_anything_is_sent(token):
    unit = FakeHdk(CONFIG)
    with driving(unit) as driver, pytest.raises(PaygoError):
        driver.enter(token)
    assert unit.received == b""


def test_an_hdk_takes_nine_digits_only():
    unit = FakeHdk(CONFIG)
    with driving(unit) as driver, pytest.raises(DeviceError, match="9 digits"):
        driver.enter("123456789012")
    assert b"#TOKEN" not in unit.received


@pytest.mark.parametrize("ask", ["telemetry", "alerts", "log"])
def test_what_an_hdk_does_not_have_is_said(ask):
    with driving(FakeHdk(CONFIG)) as driver, pytest.raises(DeviceError, match="is an HDK"):
        getattr(driver, ask)()


def test_noise_that_ends_in_a_reply_does_not_hide_it():
    unit = FakeHdk(CONFIG)
    unit.transmit = lambda said: b"\xff\x00#STA\xfe" + said
    with driving(unit) as driver:
        assert driver.status() == UnitStatus("inactive", 0)


# A unit that says nothing, or too much


def test_a_mute_unit_is_reported_with_what_was_sent():
    unit = ScriptedUnit(lambda line: b"")
    with (
        driving(unit, timeout=FAST) as driver,
        pytest.raises(NoAnswerError, match=r"no answer to #INFO;.* nothing came"),
    ):
        driver.identify()
    assert len(unit.lines) == 3


def test_a_unit_that_floods_still_meets_the_deadline():
    class Flood:
        def write(self, data: bytes) -> None: ...

        def read(self, timeout: float) -> bytes:
            return b"\xfe#\r\n" * 100

    with pytest.raises(NoAnswerError, match="bytes came that are no answer"):
        HdkDriver(Flood(), timeout=0.1).identify()


# hdk+


def test_an_extended_unit_is_known_by_info_and_then_spoken_to_with_checks():
    """H6, H19."""
    unit = PlusUnit(STATUS=[ACTIVE])
    with driving(unit) as driver:
        assert driver.identify() == Info("A1", "M", "B", "0.1", 3, 1)
        assert driver.extended is True
        assert driver.status() == UnitStatus("active", 604800)
    assert unit.lines == [checked("INFO;").rstrip(), checked("STATUS;").rstrip()]


@pytest.mark.parametrize("bad", [b"#STATUS;ACTIVE;604801*0000\r\n", b"#STATUS;ACTIVE;1\r\n", checked("INVALID")])
def test_a_query_with_a_damaged_answer_is_asked_again_at_once(bad):
    """H6: its check is wrong or missing, or the query was damaged on its way."""
    start = time.monotonic()
    with driving(PlusUnit(STATUS=[bad, bad, ACTIVE]), timeout=180) as driver:
        assert driver.status() == UnitStatus("active", 604800)
    assert time.monotonic() - start < 60


def test_a_query_whose_answer_is_lost_is_asked_again():
    with driving(PlusUnit(STATUS=[b"", ACTIVE]), timeout=1.5) as driver:
        assert driver.status() == UnitStatus("active", 604800)


def test_an_answer_that_came_too_late_is_not_taken_for_the_next():
    unit = PlusUnit(STATUS=[ACTIVE])
    with driving(unit) as driver:
        driver.identify()
        unit.say(checked("STATUS;INACTIVE"))
        while not driver._transport._serial.in_waiting:
            pass
        assert driver.status() == UnitStatus("active", 604800)


def test_a_query_is_asked_three_times_within_one_deadline():
    unit = PlusUnit(STATUS=[b""])
    with driving(unit, timeout=FAST) as driver, pytest.raises(NoAnswerError, match="#STATUS"):
        driver.status()
    assert unit.names() == ["INFO", "STATUS", "STATUS", "STATUS"]


def test_a_unit_that_waits_is_not_asked_twice():
    """H11."""
    unit = PlusUnit(TOKEN=[checked("TOKEN;WAIT;120")])
    with driving(unit) as driver:
        assert driver.enter("123456789") == Entry("wait", wait_seconds=120)
    assert unit.names().count("TOKEN") == 1


def test_after_a_lost_answer_the_same_token_is_sent_again_and_the_count_decides():
    """ALREADY_USED after a lost answer means: ask."""
    info = [checked("INFO;A1;M;B;0.1;3;1"), checked("INFO;A1;M;B;0.1;3;1"), checked("INFO;A1;M;B;0.1;4;1")]
    unit = PlusUnit(INFO=info, TOKEN=[b"", checked("TOKEN;ALREADY_USED")], STATUS=[ACTIVE])
    with driving(unit, timeout=FAST) as driver:
        assert driver.enter("016609796") == Entry("accepted", seconds_left=604800, resent=True)
    tokens = [line for line in unit.lines if line.startswith(b"#TOKEN")]
    assert len(tokens) == 2
    assert tokens[0] == tokens[1]


def test_after_a_lost_answer_a_token_that_moved_no_count_stays_already_used():
    unit = PlusUnit(TOKEN=[b"#TOK\xff", checked("TOKEN;ALREADY_USED")], STATUS=[ACTIVE])
    with driving(unit, timeout=FAST) as driver:
        assert driver.enter("016609796") == Entry("already_used", seconds_left=604800, resent=True)


def test_an_extended_unit_is_set_up_with_its_count():
    """H14."""
    blank, done = checked("INFO;;M;B;0.1;0;1"), checked("SETUP+;OK")
    unit = PlusUnit(INFO=[blank], SETUP_PLUS=[done], STATUS=[checked("STATUS;INACTIVE")])
    device = Device("SLT1", CONFIG, count=7)
    with driving(unit) as driver:
        assert driver.provision(device) == UnitStatus("inactive", 0)
    assert checked(f"SETUP+;SLT1;123456789;{KEY};7;1;0;;").rstrip() in unit.lines


def test_a_unit_that_is_set_up_is_never_sent_the_key():
    unit = PlusUnit()
    with driving(unit) as driver, pytest.raises(DeviceError, match="already, as A1"):
        driver.provision(DEVICE)
    assert KEY.encode() not in unit.received


def test_a_set_up_whose_answer_is_lost_is_asked_for_and_not_repeated():
    """H14, H19."""
    blank, done = checked("INFO;;M;B;0.1;0;1"), checked("INFO;220000001;M;B;0.1;1;1")
    unit = PlusUnit(INFO=[blank, blank, done], SETUP_PLUS=[b""], STATUS=[checked("STATUS;INACTIVE")])
    with driving(unit, timeout=FAST) as driver:
        assert driver.provision(DEVICE) == UnitStatus("inactive", 0)
    assert unit.names().count("SETUP+") == 1


def test_a_set_up_that_did_not_arrive_is_repeated_once():
    unit = PlusUnit(INFO=[checked("INFO;;M;B;0.1;0;1")], SETUP_PLUS=[b""])
    with driving(unit, timeout=FAST) as driver, pytest.raises(NoAnswerError, match=r"\[secret\]") as error:
        driver.provision(DEVICE)
    assert unit.names().count("SETUP+") == 2
    assert KEY not in str(error.value)


@pytest.mark.parametrize("field", ["serial", "storage", "provisioned"])
def test_a_set_up_that_is_refused_names_the_field(field):
    """H14."""
    unit = PlusUnit(INFO=[checked("INFO;;M;B;0.1;0;1")], SETUP_PLUS=[checked(f"SETUP+;ERROR;{field}")])
    with driving(unit) as driver, pytest.raises(DeviceError, match=field):
        driver.provision(DEVICE)


def test_a_unit_that_is_not_set_up_says_so():
    """H9."""
    with (
        driving(PlusUnit(INFO=[checked("INFO;;M;B;0.1;0;1")])) as driver,
        pytest.raises(DeviceError, match="not set up yet"),
    ):
        driver.status()


def test_alerts_that_come_while_a_reply_is_awaited_are_kept():
    """H20: and a repetition is not a second alert."""
    with driving(PlusUnit(STATUS=[ALERT_LINE + ACTIVE + ALERT_LINE])) as driver:
        driver.status()
        assert driver.poll(5) == [ALERT]
        assert driver.poll(0) == []


def test_alerts_come_unasked_and_are_acknowledged():
    """H20, H21."""
    unit = PlusUnit(ACK=[checked("ACK;1;9"), checked("ACK;UNKNOWN")])
    with driving(unit) as driver:
        driver.identify()
        unit.say(ALERT_LINE)
        (alert,) = driver.poll(5)
        driver.acknowledge(alert)
        with pytest.raises(DeviceError, match="does not know the event 9"):
            driver.acknowledge(alert)
    assert unit.lines[1] == checked("ACK;1;9").rstrip()


def test_a_damaged_alert_is_dropped_since_it_comes_again():
    """H6, H20."""
    unit = PlusUnit()
    with driving(unit) as driver:
        driver.identify()
        unit.say(ALERT_LINE.replace(b"16012", b"16013") + ALERT_LINE)
        assert driver.poll(5) == [ALERT]


def test_what_only_an_extended_unit_has():
    """H15 to H18."""
    unit = PlusUnit(
        TELEMETRY=[checked('TELEMETRY;{"serial_number":"A1","data":{"battery_voltage":12.5,"battery_current":-2}}')],
        LOAD=[checked("LOAD;OFF;OFF"), checked("LOAD;AUTO;ON")],
        ALERTS=[checked("ALERTS;1;STORAGE_FAULT,0,1"), checked("ALERTS;2;STORAGE_FAULT,0,1")],
        LOG=[checked("LOG;1;9,BATTERY_OVERVOLTAGE,RAISED,16012,mV,1")],
    )
    with driving(unit) as driver:
        reading = driver.telemetry()
        assert (reading.serial, reading.battery_voltage, reading.battery_current) == ("A1", 12.5, 2.0)
        assert driver.switch_load("off") == Load("off", False)
        assert driver.switch_load("auto") == Load("auto", True)
        assert driver.alerts() == [ActiveAlert("STORAGE_FAULT", 0, "1")]
        assert driver.log() == [ALERT]
        with pytest.raises(DeviceError, match="announced 2 events and sent 1"):
            driver.alerts()
