"""The control socket's codec, and how the server takes requests that nobody should send."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_rig import ready_unit

from firmware_sim.serve import Server
from paygo_core.wire.control import LONGEST_LINE, BadLine, ControlReader, encode

messages = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2),
)


def test_a_message_is_one_line_of_json():
    assert encode({"op": "advance", "seconds": 60}) == b'{"op":"advance","seconds":60}\n'
    assert ControlReader().feed(b'{"op":"read"}\n{"ok":true}\r\n') == [{"op": "read"}, {"ok": True}]


@settings(max_examples=100, deadline=None)
@given(st.lists(messages, max_size=4), st.integers(1, 40))
def test_messages_arrive_however_they_are_cut(sent, piece):
    stream = b"".join(encode(message) for message in sent)
    reader, found = ControlReader(), []
    for at in range(0, len(stream), piece):
        found += reader.feed(stream[at : at + piece])
    assert found == sent


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_give_one_answer_a_line(chunks):
    """Nothing is raised, nothing piles up, and the next good line is read."""
    reader, found = ControlReader(), []
    for chunk in chunks:
        found += reader.feed(chunk)
    assert len(found) == b"".join(chunks).count(b"\n")
    reader.feed(b"\n")
    assert reader.feed(b'{"op":"read"}\n') == [{"op": "read"}]


@pytest.mark.parametrize("piece", [1, 4096, LONGEST_LINE, 3 * LONGEST_LINE])
def test_a_line_without_an_end_is_bounded(piece):
    """It is told once, holds no more than the longest line, and ends at the next line end."""
    reader, found = ControlReader(), []
    for _ in range(0, 3 * LONGEST_LINE, piece):
        found += reader.feed(b"a" * piece)
        assert len(reader._pending) <= LONGEST_LINE
    assert found == [BadLine("a line is longer than 65536 bytes")]
    assert reader.feed(b'a\n{"op":"read"}\n') == [{"op": "read"}]
    longest = b'"' + b"a" * (LONGEST_LINE - 2) + b'"'
    assert reader.feed(longest + b"\n") == [BadLine("a line is not a JSON object")]
    assert reader.feed(longest + b" \n") == [BadLine("a line is longer than 65536 bytes")]


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"null", b"[]", b"1", b'"op"', b"\xff\xfe", b"\x00", b"{'op': 'read'}", b"[" * 60_000,
        b'{"a":' * 10_000, b"1" * 10_000, b'{"op":"read"}{', b'{"op":\x80}',
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_a_bad_line(line):
    assert [type(found) for found in ControlReader().feed(line + b"\n")] == [BadLine]


HOSTILE = [
    "{}", '{"op":null}', '{"op":[]}', '{"op":{"op":1}}', '{"op":"\\ud800"}', '{"op":"nothing"}', '{"op":"ADVANCE"}',
    '{"op":"advance"}', '{"op":"advance","seconds":1e999}', '{"op":"advance","seconds":-1e999}',
    '{"op":"advance","seconds":NaN}', '{"op":"advance","seconds":-1}', '{"op":"advance","seconds":"60"}',
    '{"op":"advance","seconds":true}', '{"op":"advance","seconds":[1]}', '{"op":"advance","seconds":' + "9" * 400 + "}",
    '{"op":"advance","seconds":31622401}', '{"op":"power"}', '{"op":"power","on":1}', '{"op":"power","on":"no"}',
    '{"op":"cut_power"}', '{"op":"cut_power","at_byte":-1}', '{"op":"cut_power","at_byte":null}',
    '{"op":"cut_power","at_byte":1e300}', '{"op":"cut_power","at_byte":1,"after_writes":-1}',
    '{"op":"cut_power","at_byte":1,"kill":"yes"}', '{"op":"cut_power","at_byte":1,"kill":1}', '{"op":"press"}',
    '{"op":"press","keys":12}', '{"op":"press","keys":["1"]}', '{"op":"press","keys":"12a"}',
    '{"op":"press","keys":"\\u0661"}', '{"op":"plant","lamp_w":NaN}', '{"op":"plant","lamp_w":"6"}',
    '{"op":"plant","lamp_w":-Infinity}', '{"op":"plant","nothing":1}', '{"op":"plant","state_of_charge":null}',
    '{"op":"battery"}', '{"op":"battery","chemistry":"lfp"}', '{"op":"battery","chemistry":"nimh","capacity_ah":7}',
    '{"op":"battery","chemistry":"lfp","capacity_ah":12,"state_of_charge":null}',
    '{"op":"battery","chemistry":["lfp"],"capacity_ah":12}', '{"op":"battery","chemistry":"lfp","capacity_ah":1e300}',
    '{"op":"fault"}', '{"op":"fault","name":"battery_sensor_offset_v"}', '{"op":"fault","name":["x"],"value":1}',
    '{"op":"fault","name":"battery_sensor_offset_v","value":21}',
    '{"op":"fault","name":"battery_sensor_offset_v","value":{}}',
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE)
def test_a_request_that_makes_no_sense_gets_an_error(line):
    """In one sentence; the unit is as before."""
    unit = ready_unit()
    image = bytes(unit.storage.image)
    with Server(unit) as server:
        [message] = ControlReader().feed(line.encode() + b"\n")
        answer = json.loads(encode(server._answer(message)))
    assert answer["ok"] is False
    assert len(answer["error"]) > 10
    assert unit.powered
    assert unit._cut is None
    assert bytes(unit.storage.image) == image


names = st.sampled_from(
    ["op", "seconds", "on", "at_byte", "after_writes", "keys", "name", "value", "lamp_w", "ambient", "capacity_ah"]
)
values = st.none() | st.booleans() | st.floats() | st.integers(-1, 70_000) | st.text(max_size=5) | st.lists(st.none())
ops = st.sampled_from(["advance", "power", "cut_power", "press", "read", "plant", "battery", "fault"])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(names, values), ops)
def test_any_request_gets_an_answer(request, op):
    """Also one whose arguments are of other operations or of no type that was asked for."""
    if op == "advance" and isinstance(request.get("seconds"), (int, float)):
        request["seconds"] = request["seconds"] / 100
    with Server(ready_unit()) as server:
        answer = server._answer({**request, "op": op})
        assert isinstance(answer["ok"], bool)
        encode(answer)
        assert server._answer({"op": "power", "on": True})["powered"] is True
        assert server._answer({"op": "read"})["ok"] is True
