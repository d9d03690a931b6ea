"""Telemetry of a unit, as Metrics has it and as we have it (H15)."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpaygo import MetricsRequestHandler

from paygo_core.errors import DeviceError
from paygo_core.telemetry import Telemetry
from paygo_core.wire.metrics import LARGEST_PAYLOAD, decode_payload


def test_a_simple_payload_made_by_the_reference_implementation():
    handler = MetricsRequestHandler(serial_number="SLT1")
    handler.set_timestamp(1700000000)
    handler.set_data(
        {"battery_voltage": 12.5, "battery_current": -1.5, "token_count": 3, "tampered": False, "lux": [1]}
    )
    assert decode_payload(handler.get_simple_request_payload()) == Telemetry(
        serial="SLT1",
        taken_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc),
        battery_voltage=12.5,
        battery_current=1.5,
        token_count=3,
        tampered=False,
        extra={"historical_data": {}, "lux": [1]},
    )


def test_short_names_and_a_timestamp_of_zero():
    read = decode_payload('{"sn":"A","ts":0,"rc":0,"d":{"tc":2,"battery_current":0}}')
    assert (read.serial, read.request_count, read.token_count) == ("A", 0, 2)
    assert read.taken_at == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert str(read.battery_current) == "0.0"


def test_what_was_not_said_is_not_in_the_json():
    said = decode_payload('{"sn":"A","ts":1,"d":{"panel_power":null,"state_of_charge":0.5}}').to_json()
    assert said == {"serial": "A", "taken_at": "1970-01-01T00:00:01+00:00", "state_of_charge": 0.5, "extra": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 4000,
        '{"a":' * 800,
        '{"d":[12.5]}',
        '{"d":{"battery_voltage":NaN}}',
        '{"d":{"battery_voltage":1e999}}',
        '{"d":{"battery_voltage":%s}}' % ("9" * 400),
        '{"d":{"battery_voltage":true}}',
        '{"d":{"battery_voltage":"12"}}',
        '{"d":{"tampered":1}}',
        '{"d":{"token_count":true}}',
        '{"sn":1}',
        '{"ts":1e18}',
        '{"ts":-1e300}',
        '{"a":"%s"}' % ("a" * LARGEST_PAYLOAD),
    ],
)
def test_hostile_json_is_refused_in_one_sentence(text):
    with pytest.raises(DeviceError, match="not a Metrics payload"):
        decode_payload(text)


@settings(deadline=None)
@given(st.text(max_size=100) | st.dictionaries(st.text(), st.integers() | st.text()).map(str))
def test_any_text_is_telemetry_or_a_device_error(text):
    with contextlib.suppress(DeviceError):
        assert isinstance(decode_payload(text), Telemetry)
