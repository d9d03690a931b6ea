"""Looking for units: listen first, ask only where it is allowed, and harm nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading

import pytest
from fake_hdk import FakeHdk, ScriptedUnit

from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.scan import MOST_BYTES, installed_drivers, scan_port
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport

HDK = {"hdk": HdkDriver}


class Talking:
    """Says something over and over, until the block ends."""

    def __init__(self, unit: ScriptedUnit, said: bytes) -> None:
        self._unit, self._said = unit, said
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def _talk(self) -> None:
        while not self._ended.wait(0.02):
            self._unit.say(self._said)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def silent() -> ScriptedUnit:
    return ScriptedUnit(lambda line: b"")


def test_a_silent_line_gets_no_byte_unless_asking_is_allowed():
    with silent() as unit:
        assert scan_port(unit.port, installed_drivers(), seconds=0.05).state == "silent"
        assert unit.received == b""


def test_what_speaks_unasked_is_recognised_without_a_question():
    with silent() as unit, Talking(unit, b"#ALERT;OVERCURRENT;RAISED;1;1;7;1*DB7A\r\n"):
        found = scan_port(unit.port, HDK, seconds=10, ask=HDK)
        assert (found.state, found.driver, found.baud) == ("recognised", "hdk", 115_200)
        assert unit.received == b""


def test_what_no_driver_knows_is_not_asked_anything():
    with silent() as unit, Talking(unit, b"\x00temperature 12 C\xff"):
        found = scan_port(unit.port, HDK, seconds=0.3, ask=HDK)
        assert (found.state, found.driver) == ("unknown", None)
        assert unit.received == b""


def test_a_flood_of_noise_is_heard_in_bounded_memory():
    longest = 0

    class Nosy:
        @staticmethod
        def heard(said: bytes) -> None:
            nonlocal longest
            longest = max(longest, len(said))

    noise = random.Random(6).randbytes(3000)
    with silent() as unit, Talking(unit, noise):
        assert scan_port(unit.port, {"nosy": Nosy}, seconds=0.5).state == "unknown"
    assert 3000 < longest <= MOST_BYTES


@pytest.mark.parametrize("extended", [True, False])
def test_a_unit_that_waits_for_questions_is_found_by_one(extended, tmp_path):
    if extended:
        with simulated_unit(tmp_path) as unit:
            assert scan_port(unit.port, HDK, seconds=0.05, ask=HDK).what == "hdk+ unit, not set up yet"
    else:
        with FakeHdk() as unit:
            assert scan_port(unit.port, HDK, seconds=0.05, ask=HDK).what == "OpenPAYGO HDK, not set up yet"


def test_the_question_for_an_hdk_holds_no_key_that_begins_an_entry_on_a_keypad():
    """`*` would make the next nine bytes a wrong token."""
    with silent() as unit:
        assert scan_port(unit.port, HDK, seconds=0.05, ask=HDK).state == "silent"
        assert unit.received == b"#STATUS;\n"


def test_a_port_that_is_held_or_not_there_is_said_to_be_blocked():
    with silent() as unit, Transport(unit.port):
        found = scan_port(unit.port, HDK)
        assert found.state == "blocked"
        assert "this program" in found.what
    assert scan_port("/dev/nowhere", HDK).state == "blocked"


def paygo(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from paygo_core.cli import main; main()", "bridge", "scan", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_shell_names_driver_and_speed():
    with FakeHdk() as unit:
        shown = paygo(unit.port, "--seconds", "0.05", "--ask", "hdk", "--json")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert json.loads(shown.stdout) == {
            "port": unit.port,
            "state": "recognised",
            "what": "OpenPAYGO HDK, not set up yet",
            "driver": "hdk",
            "baud": 115_200,
            "adapter": "",
        }


def test_the_shell_says_which_named_port_is_blocked():
    shown = paygo("/dev/nowhere", "--seconds", "0.05")
    assert shown.returncode == 3
    assert shown.stdout.startswith("/dev/nowhere: there is no port /dev/nowhere")


def test_a_driver_that_nobody_has_cannot_ask():
    shown = paygo(os.devnull, "--ask", "nobodys")
    assert shown.returncode == 2
    assert "there is no driver 'nobodys'" in shown.stderr
