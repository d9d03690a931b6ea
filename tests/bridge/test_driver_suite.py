"""Our own drivers under the suite that every driver has to pass."""

from __future__ import annotations

from contextlib import contextmanager

from fake_hdk import KEY, FakeHdk

from hw_bridge.drivers.epever import EpeverDriver
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.drivers.keypad import TerminalDriver
from hw_bridge.drivers.testing import DriverSuite
from hw_bridge.drivers.vedirect import VeDirectDriver
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device

CONFIG = DeviceConfig.from_hex(KEY, starting_code=123456789)


class TestHdkPlus(DriverSuite):
    driver = HdkDriver

    @contextmanager
    def unit(self, directory):
        with simulated_unit(directory) as unit:
            with Transport(unit.port) as transport:
                HdkDriver(transport).provision(Device("SLT1", CONFIG))
            yield unit.port


class TestUnExtendedHdk(DriverSuite):
    driver = HdkDriver

    @contextmanager
    def unit(self, directory):
        with FakeHdk(CONFIG) as unit:
            yield unit.port


class TestTerminalKeypad(DriverSuite):
    driver = TerminalDriver

    @contextmanager
    def unit(self, directory):
        with simulated_unit(directory, "--protocol", "keypad") as unit:
            yield unit.port


class TestEpever(DriverSuite):
    driver = EpeverDriver

    @contextmanager
    def unit(self, directory):
        with simulated_unit(directory, "--protocol", "epever") as unit:
            yield unit.port


class TestVeDirect(DriverSuite):
    driver = VeDirectDriver

    @contextmanager
    def unit(self, directory):
        with simulated_unit(directory, "--protocol", "vedirect") as unit:
            yield unit.port
