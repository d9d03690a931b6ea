"""What drivers can do, how they are found by name, and what the shell does with one that can do little."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fake_hdk import FakeHdk

from hw_bridge.drivers import CAPABILITIES, capabilities, driver_names, load_driver, require, usual_baud
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, PaygoError


def test_an_hdk_plus_unit_can_do_everything(tmp_path):
    with simulated_unit(tmp_path) as unit, Transport(unit.port) as transport:
        driver = HdkDriver(transport)
        driver.identify()
        assert capabilities(driver) == set(CAPABILITIES)


def test_what_an_un_extended_hdk_lacks_shows_once_it_was_asked():
    with FakeHdk() as unit, Transport(unit.port) as transport:
        driver = HdkDriver(transport)
        driver.identify()
        assert capabilities(driver) == {"identify", "provision", "enter", "status"}


def test_a_driver_does_what_its_class_has_and_no_more():
    class Meter:
        def telemetry(self):
            raise NotImplementedError

    assert capabilities(Meter()) == {"telemetry"}
    require(Meter(), "telemetry")
    with pytest.raises(DeviceError, match="this kind of unit has no token entry") as error:
        require(Meter(), "enter")
    assert error.value.hint == "it can: telemetry"


def test_our_drivers_are_found_by_name():
    assert "hdk" in driver_names()
    for name in driver_names():
        assert usual_baud(load_driver(name)) >= 300


def test_a_driver_that_nobody_has_installed():
    with pytest.raises(PaygoError, match="there is no driver 'nobodys'") as error:
        load_driver("nobodys")
    assert "hdk" in error.value.hint


@pytest.fixture
def third_party(tmp_path, monkeypatch) -> Path:
    """An installed package with drivers of its own."""
    (tmp_path / "lamp_driver.py").write_text(
        textwrap.dedent("""
        from paygo_core.telemetry import Telemetry

        class LampDriver:
            BAUD = 300

            def __init__(self, transport, *, log=None, timeout=None):
                self.transport = transport

            def telemetry(self):
                return Telemetry("LAMP1", battery_voltage=12.5)
        """)
    )
    (tmp_path / "needy_driver.py").write_text("import nobodys_library\n")
    about = tmp_path / "lamp-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lamp\nVersion: 1.0\n")
    points = "[paygo.drivers]\nlamp = lamp_driver:LampDriver\nneedy = needy_driver:NeedyDriver\n"
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_third_partys_driver_is_found_by_its_entry_point(third_party):
    assert usual_baud(load_driver("lamp")) == 300


def test_a_driver_whose_library_is_missing_says_which(third_party):
    with pytest.raises(PaygoError, match="the driver needy needs nobodys_library") as error:
        load_driver("needy")
    assert error.value.hint == "pip install nobodys_library"


def paygo(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from paygo_core.cli import main; main()", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_shell_drives_a_third_partys_unit_as_far_as_it_goes(third_party):
    with FakeHdk() as unit:
        shown = paygo("bridge", "telemetry", unit.port, "--driver", "lamp")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "battery_voltage      12.5 V" in shown.stdout
        shown = paygo("bridge", "status", unit.port, "--driver", "lamp")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith("it knows no tokens")
    assert unit.received == b""
