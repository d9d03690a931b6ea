"""The VE.Direct driver: on a simulated charger, on literal bytes, and on lines that mean harm."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
from bad_line import BadLine
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_bridge.carry_out import carry_out
from hw_bridge.commands import CommandJournal
from hw_bridge.drivers import capabilities, load_driver, usual_baud
from hw_bridge.drivers import vedirect as driver_module
from hw_bridge.drivers.vedirect import VeDirectDriver
from hw_bridge.scan import scan_port
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError, Problem

MONITOR = (
    b"\r\nPID\t0x203\r\nV\t25994\r\nI\t-1512\r\nP\t-39\r\nCE\t-38432\r\nSOC\t876\r\nTTG\t2310\r\nT\t21\r\nAlarm\tON"
    b"\r\nRelay\tOFF\r\nAR\t1\r\nBMV\t700\r\nFW\t0308\r\nMON\t0\r\nChecksum\tu"
)
HISTORY = b"\r\nH1\t-102738\r\nH2\t-38432\r\nH17\t5230\r\nH18\t6110\r\nChecksum\t\xb4"
SHORT = b"\r\nPID\t0xA053\r\nV\t12800\r\nCS\t3\r\nH19\t1500\r\nChecksum\t="
NEXT = b"\r\nPID\t0xA053\r\nV\t12810\r\nCS\t3\r\nH19\t1500\r\nChecksum\t<"
GET, IS_ON, IS_OFF = b":7ABED00B6\n", b":7ABED0004B2\n", b":7ABED0000B6\n"
LOAD_ON = b"\r\nPID\t0xA053\r\nV\t12800\r\nLOAD\tON\r\nChecksum\t\xe1"
LOAD_OFF = b"\r\nPID\t0xA053\r\nV\t12800\r\nLOAD\tOFF\r\nChecksum\t\xa3"
SET_OFF = b":8ABED0000B5\n"
GET_STATE, STATE_OFF = b":7A8ED00B9\n", b":7A8ED0000B9\n"


class Line:
    """A transport in simulated time. answers: what follows each thing that is sent, in turn. unasked: what comes."""

    port = "line"

    def __init__(self, answers: dict[bytes, list[bytes]] | None = None, unasked: list[bytes] | None = None) -> None:
        self.answers = {sent: iter(said) for sent, said in (answers or {}).items()}
        self.unasked = iter(unasked or [])
        self.waiting = b""
        self.sent: list[bytes] = []
        self.now = 0.0

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.waiting += next(self.answers.get(data, iter(())), b"")

    def read(self, timeout: float) -> bytes:
        if not self.waiting and timeout:
            self.now += min(timeout, 1.0)
            self.waiting = next(self.unasked, b"")
        self.now += 0.001
        taken, self.waiting = self.waiting[:4096], self.waiting[4096:]
        return taken

    def driver(self, **options) -> VeDirectDriver:
        return VeDirectDriver(self, **options)


@pytest.fixture(autouse=True)
def line_time(monkeypatch):
    """Time passes on the line of the driver that is asked."""

    class Clock:
        line: Line | None = None

        def monotonic(self) -> float:
            return self.line.now if self.line else driver_module_time()

    import time

    driver_module_time = time.monotonic
    clock = Clock()
    monkeypatch.setattr(driver_module, "time", clock)
    original = Line.driver

    def driver(line: Line, **options):
        clock.line = line
        return original(line, **options)

    monkeypatch.setattr(Line, "driver", driver)


def test_a_charger_is_read_and_switched(tmp_path):
    options = ("--protocol", "vedirect", "--start-hour", "12", "--charge", "0.5")
    with simulated_unit(tmp_path, *options) as unit, ControlClient(unit.control) as control:
        control.advance(60)
        with Transport(unit.port, VeDirectDriver.BAUD) as transport:
            driver = VeDirectDriver(transport)
            assert driver.identify().serial == "HQ2146SIM01"
            reading, seen = driver.telemetry(), control.read()
            assert reading.battery_voltage == pytest.approx(seen["battery_voltage"], abs=0.001)
            assert reading.battery_current == pytest.approx(seen["battery_current"], abs=0.001)
            assert reading.battery_current > 0
            assert reading.extra["load_switch"] == "on"
            assert capabilities(driver) == {"identify", "switch_load", "telemetry", "alerts"}
            for mode, output in (("on", True), ("off", False), ("off", False), ("auto", True), ("on", True)):
                assert driver.switch_load(mode).output is output
                assert control.read()["output"] is output
            assert control.read()["writes"] == 2  # each wears the charger's storage
            assert driver.alerts() == []
            control.request("fault", name="battery_sensor_offset_v", value=4)
            control.advance(1)
            [alert] = driver.alerts()
            assert (alert.code, alert.native) == ("BATTERY_OVERVOLTAGE", "ERR 2")


def test_it_is_found_by_name():
    assert load_driver("vedirect") is VeDirectDriver
    assert usual_baud(VeDirectDriver) == 19_200


def test_a_charger_is_recognised_by_what_it_says_unasked():
    assert VeDirectDriver.heard(SHORT[30:] + NEXT) == "VE.Direct unit 0xA053"
    assert VeDirectDriver.heard(b"V\t12800\r\nChecksum\t=\r\nPID\t0xA053\r\nV") == "a VE.Direct unit"
    assert VeDirectDriver.heard(b"#ALERT;X;RAISED\r\nPID\r\n\x00\xff") is None


def test_a_scan_finds_a_charger_and_sends_it_nothing(tmp_path):
    with simulated_unit(tmp_path, "--protocol", "vedirect") as unit:
        found = scan_port(unit.port, {"vedirect": VeDirectDriver})
    assert (found.state, found.driver, found.baud) == ("recognised", "vedirect", 19_200)
    assert "VE.Direct unit" in found.what


def test_old_text_is_not_taken_for_the_present():
    line = Line(unasked=[NEXT])
    line.waiting = SHORT + SHORT
    assert line.driver().telemetry().battery_voltage == 12.81


def test_a_monitors_two_blocks_are_one_reading():
    line = Line(unasked=[HISTORY, MONITOR])
    driver = line.driver()
    reading = driver.telemetry()
    assert (reading.battery_voltage, reading.state_of_charge, reading.extra["H18"]) == (25.994, 0.876, 61.1)
    assert "switch_load" not in capabilities(driver)
    assert line.sent == []  # it has no load to ask for
    line.unasked = iter([MONITOR])
    assert [alert.code for alert in driver.alerts()] == ["BATTERY_UNDERVOLTAGE"]


def test_a_lost_answer_to_a_set_does_not_make_a_second_write():
    line = Line({GET: [IS_ON, IS_OFF], SET_OFF: [b""], GET_STATE: [STATE_OFF]})
    load = line.driver().switch_load("off")
    assert (load.switch, load.output) == ("off", False)
    assert line.sent.count(SET_OFF) == 1


def test_a_lost_set_is_sent_again():
    line = Line({GET: [IS_ON, IS_ON, IS_OFF], SET_OFF: [b"", SET_OFF], GET_STATE: [STATE_OFF]})
    assert line.driver().switch_load("off").output is False
    assert line.sent.count(SET_OFF) == 2


def test_text_and_damage_between_question_and_answer():
    line = Line({GET: [b"", SHORT + b":7ABED0004B3\n", SHORT[:20] + IS_OFF + SHORT[20:]], GET_STATE: [STATE_OFF]})
    log: list[str] = []
    assert line.driver(log=log.append).switch_load("off").output is False
    assert SET_OFF not in line.sent
    assert log == ["damaged (the check of a hex message is wrong): :7ABED0004B3"]


def test_a_charger_that_does_not_do_what_it_was_told():
    line = Line({GET: [IS_ON] * 4, SET_OFF: [SET_OFF] * 3})
    with pytest.raises(DeviceError, match="still reads 4"):
        line.driver().switch_load("off")
    assert line.sent.count(SET_OFF) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b":7ABED01B5\n", "no load output"),
        (b":7ABED02B4\n", "no load output"),
        (b":7ABED04B2\n", "flags 4"),
        (b":7ABED000102B3\n", "with 2 bytes"),
    ],
)
def test_a_unit_without_a_load_output(answer, said):
    line = Line({GET: [answer]})
    driver = line.driver()
    with pytest.raises(DeviceError, match=said):
        driver.switch_load("off")
    assert ("switch_load" in capabilities(driver)) == ("no load" not in said)


def test_a_command_for_a_load_that_is_not_there_is_refused_and_not_tried_for_ever(tmp_path):
    line = Line({GET: [b":7ABED01B5\n"]}, unasked=[MONITOR])
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        command = journal.record("disable", serial=None, port="line", token=None, by="test")
        command = carry_out(journal, command.id, line.driver())
    assert (command.state, command.reason) == ("refused", "this unit has no load output that can be switched")


def test_a_position_that_it_does_not_have():
    line = Line()
    with pytest.raises(PaygoError, match="'half'"):
        line.driver().switch_load("half")
    assert line.sent == []


def test_a_load_that_is_on_is_not_asked_about():
    """Older chargers send no text for seconds after each hex message."""
    line = Line(unasked=[LOAD_ON])
    reading = line.driver().telemetry()
    assert (reading.output, reading.extra["load_switch"]) == (True, "on")
    assert line.sent == []


@pytest.mark.parametrize(("answer", "switch"), [(IS_OFF, "off"), (IS_ON, "on")])
def test_why_a_load_is_off_is_asked_once_while_it_lasts(answer, switch):
    line = Line({GET: [answer, answer]}, unasked=[LOAD_OFF, LOAD_OFF, LOAD_ON, LOAD_OFF])
    driver = line.driver()
    assert [driver.telemetry().extra["load_switch"] for _ in range(4)] == [switch, switch, "on", switch]
    assert line.sent == [GET, GET]


def test_text_that_pauses_after_a_hex_message_is_waited_for():
    line = Line({GET: [IS_OFF], GET_STATE: [STATE_OFF]})
    driver = line.driver()
    driver.switch_load("off")
    line.unasked = iter([b""] * 9 + [SHORT])
    assert driver.telemetry().battery_voltage == 12.8
    line.unasked = iter([b""] * 9 + [SHORT])
    with pytest.raises(NoAnswerError):
        driver.telemetry()


def test_a_cable_without_a_sending_wire_still_measures():
    line = Line(unasked=[LOAD_OFF] + [b""] * 6 + [LOAD_OFF])
    driver = line.driver()
    for _ in range(2):
        reading = driver.telemetry()
        assert (reading.battery_voltage, reading.output) == (12.8, False)
        assert "load_switch" not in reading.extra
    assert line.sent == [GET] * 5


def test_a_line_that_loses_and_damages_what_it_carries(tmp_path):
    with (
        simulated_unit(tmp_path, "--protocol", "vedirect") as unit,
        ControlClient(unit.control) as control,
        BadLine(unit.port, seed=6, lose=0.1, damage=0.001) as transport,
    ):
        driver = VeDirectDriver(transport, timeout=2.0)
        for turn in range(10):
            mode = ("off", "on")[turn % 2]
            assert driver.switch_load(mode).output is (mode == "on")
            assert control.read()["output"] is (mode == "on")


@pytest.mark.parametrize(
    ("unasked", "said"),
    [
        ([], "nothing came"),
        ([b"x" * 4096] * 100, "bytes came that are none"),
        ([b"\r\n" * 2000] * 100, "bytes came that are none"),
        ([SHORT[:-5]] * 100, "bytes came that are none"),
        ([b"\r\nPID\t0xA053"] * 100, "bytes came that are none"),
    ],
)
def test_endless_lines_floods_and_half_blocks_end_at_the_deadline(unasked, said):
    line = Line(unasked=unasked)
    with pytest.raises(NoAnswerError, match=said):
        line.driver().telemetry()
    assert line.now < 8


def test_a_flood_without_a_pause_ends_at_the_deadline():
    class Flood(Line):
        def read(self, timeout: float) -> bytes:
            self.now += 0.001
            return b"\xff" * 4096

    line = Flood()
    with pytest.raises(NoAnswerError):
        line.driver(timeout=1.0).switch_load("off")
    assert line.now < 2


def test_a_port_that_vanishes(tmp_path):
    with (
        simulated_unit(tmp_path, "--protocol", "vedirect") as unit,
        Transport(unit.port, VeDirectDriver.BAUD) as transport,
    ):
        driver = VeDirectDriver(transport)
        assert driver.identify().serial
        unit.process.kill()
        unit.process.wait()
        with pytest.raises(PortError):
            driver.telemetry()


pieces = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([SHORT, MONITOR, HISTORY, IS_ON, IS_OFF, STATE_OFF, SET_OFF, b":" * 5000, b"\r\nChecksum\t" * 400]),
    st.integers(0, 15).flatmap(
        lambda command: st.binary(max_size=40).map(lambda data: driver_module.vedirect.encode_hex(command, data))
    ),
)
QUESTIONS = (
    lambda driver: driver.identify(),
    lambda driver: driver.telemetry(),
    lambda driver: driver.alerts(),
    lambda driver: driver.switch_load("off"),
    lambda driver: driver.switch_load("on"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=12), st.permutations(QUESTIONS))
def test_any_answer_ends_in_a_reading_or_a_problem(answers, questions):
    line = Line(unasked=answers)
    said: list[str] = []
    with mock.patch.object(driver_module, "time", SimpleNamespace(monotonic=lambda: line.now)):
        driver = VeDirectDriver(line, timeout=1.0)
        for question in itertools.islice(questions, 3):
            try:
                question(driver)
            except Problem as problem:
                said.append(str(problem))
    assert line.now < 60
    assert len(line.sent) < 60
    assert all(len(text) < 400 for text in said)


# The shell


def paygo(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from paygo_core.cli import main; main()", "bridge", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_shell_drives_a_charger(tmp_path):
    kind = ("--driver", "vedirect")
    store = ("--registry", str(tmp_path / "paygo.db"))
    with (
        simulated_unit(tmp_path, "--protocol", "vedirect") as unit,
        ControlClient(unit.control) as control,
    ):
        shown = paygo("telemetry", unit.port, *kind, "--json")
        assert json.loads(shown.stdout)["serial"] == "HQ2146SIM01"
        shown = paygo("status", unit.port, *kind)
        assert shown.stdout.startswith("HQ2146SIM01: 0xA053, firmware 1.59\nit knows no tokens")
        shown = paygo("disable", unit.port, *kind, *store)
        assert (shown.returncode, shown.stdout) == (0, "the switch is at off, the output is off\n")
        assert control.read()["output"] is False
        shown = paygo("enable", unit.port, *kind, *store)
        assert (shown.returncode, shown.stdout) == (0, "the switch is at on, the output is on\n")
        assert control.read()["output"] is True
        shown = paygo("enter", unit.port, "016609796", *kind, *store)
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr == (
            "paygo: this kind of unit has no token entry (it can: identify, switch_load, telemetry, alerts)\n"
        )
        shown = paygo("provision", unit.port, "--serial", "X", *kind, *store)
        assert shown.returncode != 0
        assert len(shown.stderr.splitlines()) == 1
