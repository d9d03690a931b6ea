"""A unit, or a cable, that says anything at all: the driver ends with an answer or one of its own errors, in time."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from unittest import mock

from fake_hdk import KEY, checked
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_bridge.drivers import hdk as driver_module
from hw_bridge.drivers.hdk import HdkDriver
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.errors import Problem
from paygo_core.wire.hdk import Alert

DEVICE = Device("220000001", DeviceConfig.from_hex(KEY, 123456789))
ALERT = Alert("BATTERY_OVERVOLTAGE", True, 16012, "mV", 1, 9)
LONGEST_READ = 4096


class Noise:
    """A transport that gives prepared bytes, a piece a read, and lets simulated time pass."""

    port = "noise"

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)
        self.now = 0.0

    def write(self, data: bytes) -> None:
        assert len(data) < 200

    def read(self, timeout: float) -> bytes:
        self.now += max(timeout, 0.001)
        return next(self._pieces, b"")[:LONGEST_READ]


WORDS = """INVALID TOKEN STATUS VALID ACTIVE INACTIVE INFO LOAD ON OFF AUTO ALERT RAISED ALERTS LOG TELEMETRY ACK OK
SETUP+ SETUP ERROR WAIT UNKNOWN PAYG_DISABLED mV 0 1 -1 2147483648 99999999999999999999 { {"data":{}} []
{"battery_voltage":1e999}"""
words = st.sampled_from(["", *WORDS.split()])
bodies = st.lists(st.one_of(words, st.text(max_size=6)), min_size=1, max_size=8).map(";".join)
pieces = st.one_of(
    bodies.map(checked),
    bodies.map(lambda body: f"#{body}\r\n".encode("utf-8", "surrogatepass")),
    bodies.map(lambda body: f"#{body}".encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
    st.sampled_from([b"INFO: KEY: " + KEY.encode() + b"\r\n", b"#" * 5000, b"\r\n" * 500]),
)
QUESTIONS = (
    lambda driver: driver.identify(),
    lambda driver: driver.status(),
    lambda driver: driver.enter("016609796"),
    lambda driver: driver.provision(DEVICE),
    lambda driver: driver.telemetry(),
    lambda driver: driver.switch_load("off"),
    lambda driver: driver.alerts(),
    lambda driver: driver.log(),
    lambda driver: driver.poll(1.0),
    lambda driver: driver.acknowledge(ALERT),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=12), st.permutations(QUESTIONS))
def test_any_answer_ends_in_a_verdict_or_a_problem(answers, questions):
    log: list[str] = []
    transport = Noise(answers)
    clock = SimpleNamespace(monotonic=lambda: transport.now)
    with mock.patch.object(driver_module, "time", clock):
        driver = HdkDriver(transport, log=log.append, timeout=1.0)
        for question in itertools.islice(questions, 3):
            try:
                question(driver)
            except Problem as problem:
                log.append(str(problem))
    assert not any(KEY in line for line in log)
    assert transport.now < 120
