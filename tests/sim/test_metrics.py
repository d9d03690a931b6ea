"""Simulated days as OpenPAYGO Metrics: openpaygo finds the very numbers, and no day is lost on the way to a server."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner
from openpaygo import MetricsRequestHandler, MetricsResponseHandler
from receiver import Receiver

from firmware_sim.cli import sim
from firmware_sim.fleet import run as running
from firmware_sim.fleet.chunk import Plan
from firmware_sim.fleet.metrics import DAILY, MOST_DAYS, Courier, Style, days_of, requests, serial_of
from firmware_sim.report.reading import open_fleet
from paygo_core.errors import NoAnswerError, PaygoError
from paygo_core.shell import run as shell
from paygo_core.wire.metrics_request import AUTH_METHODS

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
DAYS = 70
START = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("metrics") / "run"
    running.run(Plan(3, DAYS), directory, workers=1)
    (directory.parent / "unit.key").write_text(KEY + "\n")
    return directory


def rows(directory: Path, unit: int) -> list[dict[str, Any]]:
    (file,) = directory.glob("days-*.parquet")
    return [row for row in pyarrow.parquet.read_table(file).to_pylist() if row["unit"] == unit]


def as_said(row: dict[str, Any]) -> dict[str, float]:
    """A row of days.parquet under the names, in the units and with the decimals of a request."""
    return {named: round(row[name] * times, decimals) for name, (named, times, decimals) in DAILY.items()}


def printed(fleet: Path, *options: str) -> list[bytes]:
    result = CliRunner().invoke(sim, ["metrics", str(fleet), *options])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.splitlines()


def handler_of(body: bytes, key: str = KEY) -> Any:
    """openpaygo's of a request; it wants an order of historical data even for those that have names."""
    return MetricsResponseHandler(
        body.decode(), secret_key=key, data_format=None if b'"dfo":' in body else {"historical_data_order": []}
    )


def judged(body: bytes, form: str, **known: Any) -> dict[str, Any]:
    """What openpaygo reads of a request that it accepts."""
    handler = handler_of(body)
    handler.set_device_parameters(**known)
    assert handler.is_auth_valid()
    assert form == ("condensed" if b'"sn":' in body else "simple")
    return handler.get_simple_metrics()


@pytest.mark.parametrize("form", ["simple", "condensed"])
@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_openpaygo_accepts_every_request_and_reads_the_very_numbers(fleet: Path, form: str, auth: str) -> None:
    options = ("--unit", "1", "--format", form, "--auth", auth, "--key-file", str(fleet.parent / "unit.key"))
    bodies = printed(fleet, *options, "--every", "7")
    assert len(bodies) == DAYS // 7
    table, serial = rows(fleet, 1), serial_of(open_fleet(fleet), 1)
    panel_wh, found = 0.0, []
    last: dict[str, Any] = {}
    for count, body in enumerate(bodies, 1):
        said = judged(body, form, **last)
        last = {"last_request_count": said["request_count"], "last_request_timestamp": said["timestamp"]}
        assert (said["serial_number"], said["request_count"]) == (serial, count)
        assert said["timestamp"] == START + count * 7 * 86_400
        week = table[count * 7 - 7 : count * 7]
        panel_wh += sum(row["panel_wh"] for row in week)
        assert said["data"]["lifetime_panel_energy"] == pytest.approx(panel_wh, abs=0.51)
        assert said["data"]["lifetime_days"] == count * 7
        for day, step in enumerate(said["historical_data"], count * 7 - 7):
            assert step.pop("timestamp") == START + (day + 1) * 86_400
            found.append(step)
        found.append({name: said["data"][name] for name in as_said(table[0])})
        assert body != bodies[count - 2]
        assert not handler_of(body.replace(serial.encode(), serial[:-1].encode() + b"2")).is_auth_valid()
    assert found == [as_said(row) for row in table]
    assert len({round(day["daily_panel_energy"]) for day in found}) > 20


@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_our_signature_is_that_of_openpaygo(fleet: Path, auth: str) -> None:
    """Of the same simple request, made by openpaygo's MetricsRequestHandler."""
    (ours,) = requests("SIM2", days_of(open_fleet(fleet), 2)[:3], bytes.fromhex(KEY), Style(auth=auth), 3)
    said = json.loads(ours)
    theirs = MetricsRequestHandler(said["serial_number"], data_format={"id": 1}, secret_key=KEY, auth_method=auth)
    theirs.set_timestamp(said["timestamp"])
    theirs.set_request_count(said["request_count"])
    theirs.set_data(said["data"])
    theirs.set_historical_data(said["historical_data"])
    made = theirs.get_simple_request_dict()
    assert made["auth"] == said["auth"]
    assert {name: made[name] for name in said if name != "data_collection_timestamp"} == {
        name: value for name, value in said.items() if name != "data_collection_timestamp"
    }


def test_a_request_can_name_its_format_and_do_without_a_key(fleet: Path) -> None:
    body = printed(fleet, "--unit", "0", "--format", "condensed", "--format-id", "9", "--auth", "none")[0]
    said = json.loads(body)
    assert said["df"] == 9
    assert not {"dfo", "a"} & set(said)


class Server:
    """What a Metrics server keeps of what it accepts; it answers as its plan says, and then always."""

    def __init__(self, *plan: str) -> None:
        self.plan = list(plan)
        self.days: list[tuple[float, dict[str, Any]]] = []
        self.count = 0

    def answer(self, body: bytes) -> bytes:
        what = self.plan.pop(0) if self.plan else "answer"
        handler = handler_of(body, KEY if what != "forge" else KEY[::-1])
        if what == "forge":
            return handler.get_answer_payload().encode()
        handler.set_device_parameters(last_request_count=self.count or None)
        assert handler.is_auth_valid()
        self.count = handler.get_request_count()
        said = handler.get_simple_metrics()
        days = [(step.pop("timestamp"), step) for step in said["historical_data"]]
        assert len(days) < MOST_DAYS
        collected = said.get("data_collection_timestamp", said.get("dct"))  # openpaygo calls the short one dtc
        days.append((collected, {named: said["data"][named] for named, _, _ in DAILY.values()}))
        self.days += days
        return handler.get_answer_payload().encode()


@pytest.mark.parametrize("form", ["simple", "condensed"])
def test_days_wait_until_a_server_answers_for_them(fleet: Path, tmp_path: Path, form: str) -> None:
    """It fails, refuses and answers as somebody else in between; a second run brings what was left."""
    server = Server("forge")
    command = ["metrics", str(fleet), "--unit", "1", "--format", form, "--key-file", str(fleet.parent / "unit.key"),
               "--every", "2", "--json", "--post"]  # fmt: skip
    state = fleet / "metrics-1.json"
    state.unlink(missing_ok=True)
    with Receiver(500, 200, 200, 404, 200, 200, 503, 503, 503, 200, answer=server.answer) as receiver:
        first = CliRunner().invoke(sim, [*command, receiver.url], standalone_mode=False)
        assert first.return_value == NoAnswerError.exit_status
        said = json.loads(first.stdout)
        assert 0 < said["waiting"] < DAYS
        assert KEY not in first.output + state.read_text()
        assert [at for at, _ in server.days] == [START + (day + 1) * 86_400 for day in range(DAYS - said["waiting"])]
        second = CliRunner().invoke(sim, [*command, receiver.url], standalone_mode=False)
    assert second.return_value == 0, second.output
    assert json.loads(second.stdout)["waiting"] == 0
    assert [at for at, _ in server.days] == [START + (day + 1) * 86_400 for day in range(DAYS)], "each once, in order"
    assert [day for _, day in server.days] == [as_said(row) for row in rows(fleet, 1)]


def test_many_days_that_wait_are_several_requests(fleet: Path) -> None:
    server = Server()
    state = fleet / "metrics-2.json"
    state.unlink(missing_ok=True)
    with Receiver(answer=server.answer) as receiver:
        result = CliRunner().invoke(
            sim,
            ["metrics", str(fleet), "--unit", "2", "--key-file", str(fleet.parent / "unit.key"), "--every", "70",
             "--post", receiver.url],
            standalone_mode=False,
        )  # fmt: skip
        assert result.return_value == 0, result.output
        assert len(receiver.posts) == 2
    assert len(server.days) == DAYS


def test_what_is_too_large_for_a_server_is_cut_in_halves_down_to_a_day(fleet: Path, tmp_path: Path) -> None:
    """Each day once and in order; one that is too large alone is passed over, said and kept by its number."""
    days = days_of(open_fleet(fleet), 0)
    days[20] = replace(days[20], data={**days[20].data, **{f"more_{n}": 0.25 for n in range(400)}})
    server = Server()
    state = tmp_path / "state.json"
    with Receiver(answer=server.answer, longest=6000) as receiver:
        courier = Courier(receiver.url, "SIM0", bytes.fromhex(KEY), Style(), state)
        assert courier.deliver(days, DAYS) == 0
        assert max(len(body) for _, body in receiver.posts) > 6000
        again = Courier(receiver.url, "SIM0", bytes.fromhex(KEY), Style(), state)
        assert again.deliver(days, DAYS) == 0
        assert again.sent.refused == {receiver.url: [20]}
    assert [at for at, _ in server.days] == [day.at for day in days if day.number != 20]
    assert (courier.refused, again.refused) == ([20], [])


def test_a_server_that_takes_no_size_gets_each_day_alone_and_none_twice(fleet: Path) -> None:
    (fleet / "metrics-2.json").unlink(missing_ok=True)
    command = ["metrics", str(fleet), "--unit", "2", "--auth", "none", "--every", "7", "--json", "--post"]
    with Receiver(longest=100) as receiver:
        result = CliRunner().invoke(sim, [*command, receiver.url], standalone_mode=False)
        posts = len(receiver.posts)
        assert CliRunner().invoke(sim, [*command, receiver.url], standalone_mode=False).return_value == 0
        assert len(receiver.posts) == posts
    assert result.return_value == NoAnswerError.exit_status
    assert json.loads(result.stdout.splitlines()[0])["refused"] == list(range(DAYS))


def test_units_of_another_run_have_other_serials(tmp_path: Path) -> None:
    """So that no server takes two of them for one; the same run again has the same."""
    serials = []
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        running.run(Plan(2, 1, seed=seed), tmp_path / name, workers=1)
        fleet = open_fleet(tmp_path / name)
        serials.append([serial_of(fleet, unit) for unit in (0, 1)])
    assert len({*serials[0], *serials[1]}) == 4
    assert serials[0] == serials[2]


def test_what_a_scenario_left_can_be_told_too(tmp_path: Path) -> None:
    output = tmp_path / "week"
    assert CliRunner().invoke(sim, ["run", "sunny-week", "-q", "-o", str(output)]).exit_code == 0
    bodies = printed(output, "--unit", "0", "--auth", "none")
    assert [json.loads(body)["request_count"] for body in bodies] == list(range(1, 8))
    assert json.loads(bodies[-1])["data"]["daily_light_hours"] > 10


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--unit", "3"], "no unit 3"),
        (["--unit", "0"], "authenticated with a key"),
        (["--unit", "0", "--key-file", "nowhere"], "nowhere cannot be read"),
        (["--unit", "0", "--auth", "none", "--post", "ftp://x"], "no URL"),
    ],
)
def test_what_may_not_be(fleet: Path, options: list[str], why: str) -> None:
    result = CliRunner().invoke(sim, ["metrics", str(fleet), *options])
    if options == ["--unit", "3"]:
        result = CliRunner().invoke(sim, ["metrics", str(fleet), *options, "--auth", "none"])
    assert isinstance(result.exception, PaygoError)
    assert why in str(result.exception)


def test_a_state_that_cannot_be_read_is_said(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / "metrics-0.json").write_text('{"url": 1')
    assert shell(sim, ["metrics", str(fleet), "--unit", "0", "--auth", "none", "--post", "http://127.0.0.1:9/"]) == 2
    assert "metrics-0.json does not tell what was sent" in capsys.readouterr().err


def test_what_was_sent_for_another_serial_counts_for_nothing(tmp_path: Path) -> None:
    """As in the state of a version that called this unit otherwise: the server would never get the earlier days."""
    state = tmp_path / "state.json"
    state.write_text('{"count": 5, "at": 9, "answered": {"http://a": 3}}')
    courier = Courier("http://a", "SIM1", None, Style(), state)
    assert (courier.sent.count, courier.sent.answered, courier.sent.serial) == (0, {}, "SIM1")
