"""A question and its answer on a pty, to a simulated unit: the driver against bare pyserial with the same bytes."""

from __future__ import annotations

import statistics
import time

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
ROUNDS = 1000


@pytest.fixture
def unit(tmp_path):
    """A unit that is set up and keeps to checks."""
    with simulated_unit(tmp_path) as running:
        with Transport(running.port) as transport:
            HdkDriver(transport).provision(Device("SLT1", CONFIG))
        yield running


def test_status_round_trip(benchmark, unit):
    """A round of bare pyserial before each of the driver, so that both meet the same machine."""
    question = encode_status(with_check=True)
    bare = []
    with Transport(unit.port) as transport, Serial(unit.port, 115_200, timeout=5) as port:
        driver = HdkDriver(transport)
        driver.identify()
        port.write(question)
        answer = port.read_until(b"\n")
        assert HdkReader().feed(answer) == [Reply("STATUS", ("INACTIVE",))]

        def ask_bare() -> None:
            began = time.perf_counter()
            port.write(question)
            port.read(len(answer))
            bare.append(time.perf_counter() - began)

        said = benchmark.pedantic(driver.status, setup=ask_bare, rounds=ROUNDS, warmup_rounds=20)
    assert said == UnitStatus("inactive", 0)
    benchmark.extra_info["bare"] = statistics.quantiles(bare)[0]
