"""A question and its answer on a pty, to a simulated unit: the driver against bare pyserial with the same bytes."""

from __future__ import annotations

import pytest
from serial import Serial

from hw_bridge.drivers import UnitStatus
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.wire.hdk import HdkReader, Reply, encode_status

CONFIG = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
ROUNDS = 500


@pytest.fixture
def unit(tmp_path):
    """A unit that is set up and keeps to checks."""
    with simulated_unit(tmp_path) as running:
        with Transport(running.port) as transport:
            HdkDriver(transport).provision(Device("SLT1", CONFIG))
        yield running


def test_status_by_bare_pyserial(benchmark, unit):
    benchmark.group = "status round trip on a pty"
    question = encode_status(with_check=True)
    with Serial(unit.port, 115_200, timeout=5) as port:
        port.write(question)
        length = len(port.read_until(b"\n"))

        def ask() -> bytes:
            port.write(question)
            return bytes(port.read(length))

        answer = benchmark.pedantic(ask, rounds=ROUNDS, warmup_rounds=20)
    assert HdkReader().feed(answer) == [Reply("STATUS", ("INACTIVE",))]


def test_status_by_the_driver(benchmark, unit):
    benchmark.group = "status round trip on a pty"
    with Transport(unit.port) as transport:
        driver = HdkDriver(transport)
        driver.identify()
        assert benchmark.pedantic(driver.status, rounds=ROUNDS, warmup_rounds=20) == UnitStatus("inactive", 0)
