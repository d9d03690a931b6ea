"""Transcripts: nothing lost, no key in them, and a unit that can be played back from them."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_hdk import KEY, FakeHdk, ScriptedUnit, serial_forms
from hypothesis import given
from hypothesis import strategies as st

from hw_bridge.transcript import HEADER, MOST_HELD, Record, Replay, Transcript, records
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, PaygoError
from paygo_core.cli import root
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.shell import run

CONFIG = DeviceConfig.from_hex(KEY, 123456789)
PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def written(chunks: list[tuple[str, bytes]], path: Path) -> list[Record]:
    with Transcript(path, "a port") as transcript:
        for chunk in chunks:
            transcript.trace(*chunk)
    with path.open() as file:
        return list(records(file, "it"))


def one_way(played: list[Record], direction: str) -> bytes:
    return b"".join(record.data for record in played if record.direction == direction)


CHUNKS = st.lists(st.tuples(st.sampled_from("<>"), st.binary(min_size=1, max_size=40)), max_size=30)


@given(CHUNKS)
def test_every_byte_is_in_it_once_and_in_order(tmp_path_factory, chunks):
    played = written(chunks, tmp_path_factory.mktemp("transcript") / "t.txt")
    for direction in "<>":
        sent = b"".join(data for way, data in chunks if way == direction)
        assert one_way(played, direction) == sent
    assert [record.seconds for record in played] == sorted(record.seconds for record in played)


@given(st.data())
def test_no_key_is_in_it_however_its_bytes_came(tmp_path_factory, data):
    """In hex, as units print it, also in pieces while the host spoke between them."""
    form = data.draw(st.sampled_from([form for form in serial_forms(KEY) if len(form) >= 24 and form[-1:] != b"="]))
    line = b"INFO: key " + form + b" saved\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(line) - 1), max_size=4)))
    path = tmp_path_factory.mktemp("transcript") / "t.txt"
    chunks: list[tuple[str, bytes]] = []
    for begin, end in zip([0, *cuts], [*cuts, len(line)], strict=True):
        chunks.append(("<", line[begin:end]))
        if data.draw(st.booleans()):
            chunks.append((">", b"#STATUS;\n"))
    written(chunks, path)
    text = path.read_bytes()
    assert form not in text
    pieces = [form[begin : begin + 12] for begin in range(len(form) - 12)]
    assert not [piece for piece in pieces if piece in text]
    assert b"[secret]" in text


def test_an_answer_comes_after_its_question_also_without_a_line_end(tmp_path):
    """`#STATUS;INACTIVE` of an HDK has none, nor has a binary protocol."""
    chunks = [(">", b"#STATUS;"), ("<", b"#STATUS;INACTIVE"), (">", b"\x01\x04\x31"), ("<", b"\x01\x04\x02\x00")]
    assert [(record.direction, record.data) for record in written(chunks, tmp_path / "t.txt")] == chunks


def test_a_line_that_goes_on_after_a_key_is_written_once(tmp_path):
    chunks = [("<", f"key {KEY} sa".encode()), (">", b"?"), ("<", b"ved, "), (">", b"?"), ("<", b"done")]
    assert one_way(written(chunks, tmp_path / "t.txt"), "<") == b"key [secret] saved, done"


def test_what_never_ends_its_line_is_written_all_the_same(tmp_path):
    path = tmp_path / "t.txt"
    with Transcript(path, "a port") as transcript:
        for _ in range(100):
            transcript.trace("<", b"x" * 1000)
            assert transcript._held <= MOST_HELD
    with path.open() as file:
        assert one_way(list(records(file, "it")), "<") == b"x" * 100_000


def test_it_is_the_owners_alone(tmp_path):
    path = tmp_path / "t.txt"
    path.touch(0o644)
    with Transcript(path, "a port"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_device_keeps_its_mode():
    before = os.stat("/dev/null").st_mode
    with Transcript("/dev/null", "a port"):
        assert os.stat("/dev/null").st_mode == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("hello\n", "it is no transcript"),
        (f"{HEADER}: x\n0.1 < a\n", "it, line 2"),
        (f"{HEADER}: x\n0.100000 = a\n", "it, line 2"),
        (f"{HEADER}: x\n\n0.100000 < \\q\n", "it, line 3"),
        (f"{HEADER}: x\n0.100000 < é\n", "it, line 2"),
        (f"{HEADER}: x\n0.100000 < {'x' * 100_000}\n", "it, line 3"),
    ],
)
def test_a_file_that_is_no_transcript_is_refused_with_its_line(text, found):
    if found is None:
        assert list(records(io.StringIO(text), "it")) == []
        return
    with pytest.raises(PaygoError) as refused:
        list(records(io.StringIO(text), "it"))
    assert found in str(refused.value)


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text):
    with suppress(PaygoError):
        list(records(io.StringIO(f"{HEADER}: x\n" + text), "it"))


def test_a_masked_key_stands_for_any():
    with Replay() as unit:
        with Transport(unit.port) as host:
            host.write(b"#SETUP;1;2;" + KEY.encode() + b"\n")
        unit.play([Record(0, ">", b"#SETUP;1;2;[secret]\n")])


def test_another_question_ends_the_play():
    with Replay() as unit, Transport(unit.port) as host:
        host.write(b"#TOKEN;1\n")
        with pytest.raises(DeviceError) as ended:
            unit.play([Record(0.5, ">", b"#STATUS;\n")])
    assert ended.value.cause == r"at 0.500 s the host sent '#TOKEN;1\n'"
    assert ended.value.hint == r"in the transcript it sent '#STATUS;\n'"


def test_a_host_that_says_or_reads_nothing_is_not_waited_for_without_end():
    for record in (Record(0, ">", b"#STATUS;\n"), Record(0, "<", b"#INVALID\r\n")):
        with Replay(patience=0.2) as unit, pytest.raises(NoAnswerError):
            unit.play([record])


@pytest.fixture
def bridge(capfd, tmp_path, monkeypatch):
    """Runs `paygo bridge` in an empty directory; gives the exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def bridge(*arguments: str) -> tuple[int, str, str]:
        status = run(root, ["bridge", *arguments])
        return (status, *capfd.readouterr())

    return bridge


@contextmanager
def replaying(path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A process that plays a transcript: its port."""
    command = [*PAYGO, "bridge", "replay", str(path), "--speed", "100", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as unit:
        try:
            assert unit.stdout is not None
            yield json.loads(unit.stdout.readline())["port"], unit
        finally:
            unit.kill()


def test_a_command_is_recorded_and_the_unit_played_back(bridge, tmp_path):
    path = tmp_path / "status.txt"
    with FakeHdk(CONFIG) as unit:
        recorded = bridge("status", unit.port, "--transcript", str(path))
    assert recorded[0] == 0
    assert "> #STATUS;" in path.read_text()
    with replaying(path) as (port, unit):
        assert bridge("status", port) == recorded
        assert unit.wait(20) == 0
    with replaying(path) as (port, unit), Transport(port) as host:
        host.write(b"#TELEMETRY;\n")
        assert unit.wait(20) == 1
        assert "the host sent '#TELEMETRY" in unit.stderr.read()


def test_a_transcript_that_was_mailed_is_played_as_it_was(bridge, tmp_path):
    path = tmp_path / "status.txt"
    with FakeHdk(CONFIG) as unit:
        recorded = bridge("status", unit.port, "--transcript", str(path))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with replaying(path) as (port, unit):
        assert bridge("status", port) == recorded
        assert unit.wait(20) == 0


@pytest.mark.parametrize("text", ["", f"{HEADER}: nobody spoke\n"])
def test_a_transcript_without_a_record_is_not_played(bridge, tmp_path, text):
    path = tmp_path / "empty.txt"
    path.write_text(text)
    status, out, err = bridge("replay", str(path))
    assert (status, out) == (2, "")
    assert err == f"paygo: {path} has nothing to play (make a transcript with --transcript FILE)\n"


def test_a_transcript_of_provisioning_holds_no_key(bridge, tmp_path):
    devices = tmp_path / "devices.csv"
    devices.write_text(
        "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code\n"
        f"12345678,123456789,{KEY},1,1,0,,,\n"
    )
    path = tmp_path / "setup.txt"
    with FakeHdk() as unit:
        found = bridge(
            "provision", unit.port, "--serial", "12345678", "--device-list", str(devices), "--transcript", str(path)
        )
        assert found[0] == 0, found
        assert KEY.encode() in unit.received
    text = path.read_bytes()
    assert not [form for form in serial_forms(KEY) if form in text]
    assert text.count(b"[secret]") >= 1


def test_a_transcript_that_cannot_be_written_stops_before_the_port_is_used(bridge, tmp_path):
    with ScriptedUnit(lambda _: b"") as unit:
        status, _, error = bridge("status", unit.port, "--transcript", str(tmp_path / "none" / "t.txt"))
        assert unit.received == b""
    assert status == 2
    assert "the transcript" in error
    assert "cannot be written: No such file or directory" in error
