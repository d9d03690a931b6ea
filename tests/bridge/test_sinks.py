"""Readings reach every sink, in order, once where it can tell, and also after a sink or the gateway was down."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import urllib.request
from contextlib import closing

import pytest
from broker import Broker
from full_disk import full_disk
from openpaygo import MetricsResponseHandler
from receiver import Receiver

import hw_bridge.sinks.metrics as sinks_metrics
from hw_bridge.sinks import BATCH, Pump, Record, encode
from hw_bridge.sinks.files import JsonLines, Sqlite
from hw_bridge.sinks.home_assistant import QUANTITIES, discovery
from hw_bridge.sinks.metrics import ORDER, Metrics
from hw_bridge.sinks.mqtt import Mqtt
from hw_bridge.sinks.prometheus import Prometheus
from hw_bridge.spool import Spool
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError
from paygo_core.wire.metrics_request import DataFormat, decode_response, encode_request

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
AT = "2026-11-27T12:00:00+00:00"
SAID = {"serial": "A1", "battery_voltage": 12.5, "battery_current": 2.0, "output": True, "extra": {"lux": 3}}


NO_HOSTS = ["broker..example.org", "x" * 80]


def reading(number: int, serial: str = "A1", **said: object) -> Record:
    return Record(number, "telemetry", serial, AT, {**SAID, "serial": serial, **said})


def line(number: int) -> bytes:
    return encode("telemetry", "A1", AT, {**SAID, "token_count": number})


# The spool


def test_each_sink_reads_all_records_in_order_at_its_own_pace(tmp_path):
    with Spool(tmp_path / "spool") as spool:
        fast, slow = spool.cursor("fast"), spool.cursor("slow")
        spool.append([b"1", b"2"])
        assert [record.line for record in fast.read(10)] == [b"1", b"2"]
        assert [record.line for record in fast.read(10)] == [b"1", b"2"]
        fast.commit(2)
        spool.append([b"3"])
        assert [(record.number, record.line) for record in fast.read(10)] == [(3, b"3")]
        assert [record.line for record in slow.read(2)] == [b"1", b"2"]
        assert (fast.pending, slow.pending) == (1, 3)


def test_cursors_and_records_survive_the_process(tmp_path):
    with Spool(tmp_path / "spool") as spool:
        name = spool.id
        spool.append([b"1", b"2", b"3"])
        spool.cursor("a").commit(2)
    with Spool(tmp_path / "spool") as spool:
        assert spool.id == name
        assert [record.line for record in spool.cursor("a").read(10)] == [b"3"]
        spool.append([b"4"])
        assert [record.number for record in spool.cursor("a").read(10)] == [3, 4]
        assert [record.number for record in spool.cursor("new").read(10)] == [1, 2, 3, 4]
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_a_line_that_was_cut_at_any_byte_is_dropped_and_its_number_used_again(tmp_path):
    directory = tmp_path / "spool"
    with Spool(directory) as spool:
        spool.append([b"first", b"second"])
    (log,) = directory.glob("*.log")
    whole = log.read_bytes()
    for end in range(len(b"first\n"), len(whole)):
        log.write_bytes(whole[:end])
        with Spool(directory) as spool:
            assert spool.next == 2
            spool.append([b"again"])
            assert [record.line for record in spool.cursor(f"at{end}").read(10)] == [b"first", b"again"]


def test_the_spool_is_bounded_and_a_sink_that_is_down_knows_what_it_lost(tmp_path):
    with Spool(tmp_path / "spool", most_bytes=4000, segment_bytes=500) as spool:
        down = spool.cursor("down")
        for number in range(1, 501):
            spool.append([b"%090d" % number])
        size = sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.log"))
        assert size <= 4000 + 1000
        found = down.read(1000)
        assert int(found[0].line) == found[0].number == down.lost + 1
        assert down.lost > 400
        assert found[-1].number == 500


def test_what_every_sink_has_leaves_the_disk(tmp_path):
    with Spool(tmp_path / "spool", segment_bytes=500) as spool:
        cursor = spool.cursor("a")
        for number in range(100):
            spool.append([b"%090d" % number])
            cursor.commit(spool.next - 1)
        assert len(list((tmp_path / "spool").glob("*.log"))) <= 2
        assert cursor.lost == 0


def test_two_gateways_do_not_share_a_spool(tmp_path):
    with Spool(tmp_path / "spool"), pytest.raises(PortError, match="used by another gateway"):
        Spool(tmp_path / "spool")


def test_a_full_disk_takes_nothing_by_half(tmp_path, monkeypatch):
    with Spool(tmp_path / "spool") as spool:
        spool.append([b"1"])

        def full(_descriptor):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", full)
            with pytest.raises(OSError, match="No space"):
                spool.append([b"2", b"3"])
        spool.append([b"4"])
        assert [record.line for record in spool.cursor("a").read(10)] == [b"1", b"4"]


@pytest.mark.parametrize("kept", [b"", b"0f3a", b"x" * 32])
def test_a_name_that_is_none_is_made_anew_and_stays(tmp_path, kept):
    """Two spools with one name would take each other's readings for repetitions."""
    directory = tmp_path / "spool"
    directory.mkdir()
    (directory / "id").write_bytes(kept)
    with Spool(directory) as spool:
        name = spool.id
    assert len(bytes.fromhex(name)) == 16
    with Spool(directory) as spool:
        assert spool.id == name


def test_a_start_on_a_full_disk_is_told_and_leaves_no_name_by_half(tmp_path):
    with full_disk(), pytest.raises(PaygoError) as told:
        Spool(tmp_path / "spool")
    assert told.value.cause.startswith(f"{tmp_path}/spool")
    with Spool(tmp_path / "spool") as spool:
        assert len(bytes.fromhex(spool.id)) == 16


def test_a_cursor_that_cannot_be_noted_waits_and_nothing_is_lost_or_doubled(tmp_path):
    reports = []
    with Spool(tmp_path / "spool") as spool:
        sink = Flaky(0)
        pump = Pump(spool.cursor("flaky"), sink, reports.append)
        spool.append([line(number) for number in range(1, BATCH + 3)])
        with full_disk():
            assert [asyncio.run(pump.flush()) for _ in range(3)] == [False] * 3
        assert sink.got == list(range(1, BATCH + 1))
        assert asyncio.run(pump.flush()) is True
    assert sink.got == list(range(1, BATCH + 3))
    assert reports == [
        "flaky waits: the spool cannot be written: File too large; what comes is kept for later",
        "flaky takes records again",
    ]
    with Spool(tmp_path / "spool") as spool:
        assert spool.cursor("flaky").pending == 0


def test_what_was_lost_while_the_disk_was_full_is_counted_once(tmp_path, monkeypatch):
    """Counting it must not make the records that were just taken come again."""
    with Spool(tmp_path / "spool", most_bytes=4000, segment_bytes=500) as spool:
        down = spool.cursor("down")
        down.commit(0)
        with monkeypatch.context() as patch:
            patch.setattr(type(down), "_write", refusing(type(down)._write))
            for number in range(1, 201):
                spool.append([b"%090d" % number])
        assert [int(record.line) for record in down.read(1)] == [down.lost + 1]
        assert spool.next == 201
        lost = down.lost
    with Spool(tmp_path / "spool") as spool:
        assert spool.cursor("down").lost == lost > 100


def refusing(write):
    """A cursor's way of writing that meets a full disk."""

    def refuse(cursor):
        with full_disk():
            write(cursor)

    return refuse


class Flaky:
    """A sink that is down for its first attempts."""

    every = 0.0
    name = "flaky"

    def __init__(self, down: int) -> None:
        self.down, self.got = down, []

    async def write(self, records):
        if self.down:
            self.down -= 1
            raise NoAnswerError("it is down")
        self.got += [record.number for record in records]

    async def close(self):
        pass


def test_a_sink_that_was_down_gets_everything_later_in_order_and_says_so_once(tmp_path):
    reports = []
    with Spool(tmp_path / "spool") as spool:
        sink = Flaky(3)
        pump = Pump(spool.cursor("flaky"), sink, reports.append)
        for number in range(1, 4):
            spool.append([line(number)])
            assert asyncio.run(pump.flush()) is False
        assert (pump.down, sink.got) == ("it is down", [])
        assert asyncio.run(pump.flush()) is True
    assert sink.got == [1, 2, 3]
    assert reports == ["flaky takes nothing: it is down; it is kept for later", "flaky takes records again"]


# JSON lines and SQLite


def test_json_lines_hold_each_record_once_also_after_a_crash_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "out.jsonl"
    records = [reading(number) for number in (1, 2, 3)]
    asyncio.run(JsonLines("j", path, "s").write(records))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        asyncio.run(JsonLines("j", path, "s").write(records))
        assert path.read_bytes() == whole
    said = json.loads(whole.splitlines()[0])
    assert (said["n"], said["serial"], said["battery_voltage"], said["extra"]) == (1, "A1", 12.5, {"lux": 3})


def test_json_lines_that_cannot_be_written_are_a_sink_that_is_down(tmp_path):
    with pytest.raises(NoAnswerError):
        asyncio.run(JsonLines("j", tmp_path / "missing" / "out", "s").write([reading(1)]))


def test_sqlite_holds_each_record_once_and_what_has_no_column_as_json(tmp_path):
    path = tmp_path / "readings.db"

    async def write(*records):
        sink = Sqlite("s", path, "spool")
        await sink.write(records)
        await sink.close()

    asyncio.run(write(reading(1), reading(2)))
    asyncio.run(write(reading(2), reading(3, "B2", temperature=25)))
    asyncio.run(write(Record(4, "health", "B2", AT, {"online": False, "reason": "no answer"})))
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT number, serial, battery_voltage, temperature, extra FROM telemetry").fetchall()
        health = database.execute("SELECT number, serial, online, reason FROM health").fetchall()
    assert rows == [
        (1, "A1", 12.5, None, '{"lux":3}'),
        (2, "A1", 12.5, None, '{"lux":3}'),
        (3, "B2", 12.5, 25, '{"lux":3}'),
    ]
    assert health == [(4, "B2", 0, "no answer")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_locked_or_broken_database_is_a_sink_that_is_down(tmp_path):
    path = tmp_path / "readings.db"
    path.write_text("this is no database at all, whatever its name says")
    with pytest.raises(NoAnswerError):
        asyncio.run(Sqlite("s", path, "spool").write([reading(1)]))


def test_sqlite_in_a_directory_that_is_missing_is_a_sink_that_is_down(tmp_path):
    with pytest.raises(NoAnswerError, match=r"missing/readings.db: No such file or directory$"):
        asyncio.run(Sqlite("s", tmp_path / "missing" / "readings.db", "spool").write([reading(1)]))


@pytest.mark.parametrize("put", [None, "an older copy"])
def test_a_database_that_is_taken_away_is_made_anew(tmp_path, put):
    """What the sink has still open is nothing that anybody can read."""
    path = tmp_path / "readings.db"

    async def run():
        sink = Sqlite("s", path, "spool")
        await sink.write([reading(1)])
        if put is None:
            path.unlink()
        else:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "copy")) as copy:
                source.backup(copy)
            (tmp_path / "copy").replace(path)
        await sink.write([reading(2)])
        await sink.write([reading(3)])
        await sink.close()

    asyncio.run(run())
    with closing(sqlite3.connect(path)) as database:
        numbers = [number for (number,) in database.execute("SELECT number FROM telemetry")]
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert numbers == ([2, 3] if put is None else [1, 2, 3])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or put is not None


# Prometheus


def test_prometheus_serves_the_newest_reading_in_base_units():
    async def scrape():
        sink = Prometheus("p", "127.0.0.1", 0, lambda: {"paygo_spool_pending": ("Waiting.", "sink", {"mqtt": 7.0})})
        try:
            await sink.write([reading(1), reading(2, battery_voltage=13.0, state_of_charge=0.5)])
            await sink.write([Record(3, "health", "A1", AT, {"online": True, "reason": ""})])
            url = f"http://127.0.0.1:{sink.port}/metrics"
            with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
                return answer.read().decode().splitlines()
        finally:
            await sink.close()

    lines = asyncio.run(scrape())
    for expected in (
        'paygo_battery_volts{serial="A1"} 13.0',
        'paygo_battery_amperes{serial="A1"} 2.0',
        'paygo_state_of_charge_ratio{serial="A1"} 0.5',
        'paygo_output{serial="A1"} 1.0',
        'paygo_unit_up{serial="A1"} 1.0',
        'paygo_spool_pending{sink="mqtt"} 7.0',
    ):
        assert expected in lines
    assert any(line.startswith("paygo_build_info{") for line in lines)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_metrics_on_a_host_that_is_none_are_refused(host):
    with pytest.raises(PortError, match=r"^cannot serve metrics on .*: ."):
        Prometheus("p", host, 0)


# MQTT


@pytest.mark.parametrize("host", ["", *NO_HOSTS])
def test_a_broker_whose_name_is_none_is_a_sink_that_is_down_and_says_why(host):
    async def run():
        sink = Mqtt("m", host, 1883, gateway="g")
        sink.start()
        why = "not connected yet"
        while "not connected yet" in why and not sink._task.done():
            await asyncio.sleep(0)
            with pytest.raises(NoAnswerError) as told:
                await sink.write([reading(1)])
            why = told.value.cause
        assert not sink._task.done(), "it tries again"
        await sink.close()
        return why

    assert asyncio.run(run()).startswith(f"mqtt://{host}:1883: ")


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as broker:
        yield broker


async def collected(client, count):
    """The next messages: topic, text and whether it was retained."""

    async def collect():
        messages = [await anext(client.messages) for _ in range(count)]
        return [(message.topic.value, message.payload.decode(), message.retain) for message in messages]

    return await asyncio.wait_for(collect(), 30)


def test_mqtt_publishes_state_availability_and_discovery_retained(broker):
    import aiomqtt

    async def run():
        sink = Mqtt("m", "127.0.0.1", broker.port, gateway="attic")
        sink.start()
        await sink.connected()
        await sink.write([Record(1, "health", "A/1", AT, {"online": True, "reason": ""}), reading(2, "A/1")])
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("#")
            retained = await collected(client, 4)
            await client.publish("homeassistant/status", "online")
            again = await collected(client, 2)
            await sink.close()
            ended = await collected(client, 1)
        return {topic: text for topic, text, _ in retained}, [kept for *_, kept in retained], again, ended

    topics, kept, again, ended = asyncio.run(run())
    assert kept == [True] * 4
    assert topics["paygo/A%2F1/availability"] == "online"
    assert topics["paygo/gateway/attic/availability"] == "online"
    assert json.loads(topics["paygo/A%2F1/state"])["battery_voltage"] == 12.5
    config = json.loads(topics["homeassistant/device/paygo_A_1/config"])
    assert config["state_topic"] == "paygo/A%2F1/state"
    assert [topic for topic, *_ in again] == ["homeassistant/status", "homeassistant/device/paygo_A_1/config"]
    assert ended[0][:2] == ("paygo/gateway/attic/availability", "offline")


def test_mqtt_takes_commands_but_none_that_the_broker_kept(broker):
    import aiomqtt

    async def run():
        heard = asyncio.Queue()

        async def on_command(*said):
            await heard.put(said)

        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.publish("paygo/A1/cmd/load", "off", retain=True, qos=1)
            sink = Mqtt("m", "127.0.0.1", broker.port, gateway="g", on_command=on_command)
            sink.start()
            await sink.connected()
            await client.publish("paygo/A%2F1/cmd/enter", "016609796", qos=1)
            first = await asyncio.wait_for(heard.get(), 30)
            await sink.close()
            return first, heard.qsize()

    assert asyncio.run(run()) == (("A/1", "enter", "016609796"), 0)


def test_mqtt_says_offline_by_its_last_will_when_the_gateway_dies(broker):
    import aiomqtt

    async def run():
        sink = Mqtt("m", "127.0.0.1", broker.port, gateway="g")
        sink.start()
        await sink.connected()
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("paygo/gateway/g/availability")
            before = await collected(client, 1)
            sink._client._client._sock.shutdown(2)  # as a process that was killed leaves its connection
            after = await collected(client, 1)
            sink._task.cancel()
        return before[0][1], after[0][1]

    assert asyncio.run(run()) == ("online", "offline")


def test_a_broker_that_is_down_costs_nothing_and_gets_everything_later(broker, tmp_path):
    import aiomqtt

    async def run():
        reports = []
        with Spool(tmp_path / "spool") as spool:
            sink = Mqtt("mqtt", "127.0.0.1", broker.port, gateway="g", home_assistant=False)
            pump = Pump(spool.cursor("mqtt"), sink, reports.append)
            broker.stop()
            sink.start()
            spool.append([line(number) for number in range(1, 6)])
            assert await pump.flush() is False
            broker.start()
            await sink.connected()
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.subscribe("paygo/A1/state", qos=1)
                assert await pump.flush() is True
                got = await collected(client, 5)
            await sink.close()
        return [json.loads(text)["token_count"] for _, text, _ in got], reports[0]

    numbers, report = asyncio.run(run())
    assert numbers == [1, 2, 3, 4, 5]
    assert "it is kept for later" in report


def test_home_assistant_knows_each_quantity_by_its_class_and_unit():
    """Classes and units that Home Assistant allows together (developers.home-assistant.io, sensor entity)."""
    allowed = {"voltage": "V", "current": "A", "power": "W", "temperature": "°C", "battery": "%"}
    topic, payload = discovery("SLT220000001", "paygo/SLT220000001", "paygo/gateway/g/availability", True)
    assert topic == "homeassistant/device/paygo_SLT220000001/config"
    components = payload["components"]
    for quantity in QUANTITIES:
        component = components[quantity]
        if "device_class" in component:
            assert component["unit_of_measurement"] == allowed[component["device_class"]]
        assert quantity in component["value_template"]
    assert len({component["unique_id"] for component in components.values()}) == len(components)
    assert payload["availability_mode"] == "all"
    assert components["switch"]["command_topic"] == "paygo/SLT220000001/cmd/load"
    assert "switch" not in discovery("A", "paygo/A", "g", False)[1]["components"]


# OpenPAYGO Metrics


FORMAT = {"id": 7, "data_order": list(ORDER), "historical_data_order": ["timestamp", *ORDER]}


@pytest.mark.parametrize("condensed", [False, True])
def test_a_metrics_server_understands_and_authenticates_our_requests(tmp_path, condensed):
    """Judged by openpaygo's MetricsResponseHandler."""
    seen, responses = [], []

    def server(body: bytes) -> bytes:
        handler = MetricsResponseHandler(body.decode(), secret_key=KEY.hex(), data_format=FORMAT)
        handler.set_device_parameters(*(None, None), *(seen[-1][:2] if seen else (None, None)))
        assert handler.is_auth_valid()
        seen.append((handler.get_request_count(), handler.get_request_timestamp(), handler.get_simple_metrics()))
        handler.add_tokens_to_answer(["016609796", 5])
        handler.add_settings_to_answer({"interval": 60})
        return handler.get_answer_payload().encode()

    with Receiver(answer=server) as receiver:
        for _ in range(2):  # the second process goes on counting
            sink = Metrics(
                "metrics",
                receiver.url,
                state=tmp_path / "metrics.json",
                key_of=lambda serial: KEY,
                on_response=lambda serial, response: responses.append((serial, response)),
                condensed=condensed,
                format_id=7,
            )
            asyncio.run(sink.write([reading(1, battery_voltage=12.25), reading(2, token_count=4)]))
    assert [count for count, *_ in seen] == [1, 2]
    newest = seen[0][2]["data"]
    assert (newest["battery_voltage"], newest["battery_current"], newest["token_count"]) == (12.5, -2.0, 4)
    (earlier,) = seen[0][2]["historical_data"]
    assert (earlier["battery_voltage"], earlier["timestamp"]) == (12.25, 1795780800)
    assert responses[0][0] == "A1"
    assert responses[0][1].tokens == ("016609796", "000000005")
    assert responses[0][1].settings == {"interval": 60}
    assert KEY.hex() not in (tmp_path / "metrics.json").read_text()


def test_a_format_without_a_number_is_sent_along():
    request = json.loads(
        encode_request(
            "A1",
            None,
            timestamp=5,
            request_count=1,
            collected_at=4,
            data={"b": 2},
            data_format=DataFormat(("a", "b", "c"), ("timestamp",)),
        )
    )
    assert request["d"] == [None, 2]
    assert request["dfo"]["data_order"] == ["a", "b", "c"]
    assert "a" not in request


def answered(body: bytes, key: bytes | None = KEY):
    return decode_response(body, "A1", key, timestamp=5, request_count=1)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"tkl":["016609796"]}',
        b'{"tkl":["016609796"],"a":"da123"}',
        b'{"a":5}',
        b"[" * 50_000,
        b'{"a":"da\\ud800"}',  # half a character, which no encoding has
        b'{"asl":"\\ud800","a":"da123"}',
    ],
)
def test_a_response_that_is_not_authenticated_or_not_one_is_not_used(body):
    with pytest.raises(DeviceError):
        answered(body)


@pytest.mark.parametrize("token", ['"12"', "-1", "true", "null", '"01660979x"', "1e9", "1" * 30])
def test_a_token_of_a_wrong_form_is_refused(token):
    with pytest.raises(DeviceError, match="token"):
        answered(b'{"tkl":[%s]}' % token.encode(), None)


def test_an_empty_response_says_nothing():
    assert answered(b"").tokens == ()


def posting(url, directory, *, key=None, **more):
    """The sink to a server; its state is in the directory."""
    state = directory / "state.json"
    return Metrics("metrics", url, state=state, key_of=lambda serial: key, on_response=lambda *_: None, **more)


def test_the_server_may_move_the_gateway_to_another_address_of_the_same_safety(tmp_path):
    def sink(url):
        return posting(url, tmp_path, report=reports.append)

    reports = []
    with (
        Receiver() as there,
        Receiver(answer=lambda body: json.dumps({"st": {"base_url": there.url}}).encode()) as here,
    ):
        asyncio.run(sink(here.url).write([reading(1)]))
        asyncio.run(sink(here.url).write([reading(2)]))
        assert (len(here.posts), len(there.posts)) == (1, 1)
        assert sink("http://127.0.0.1:1/new").url == "http://127.0.0.1:1/new"
    for wrong in (b"file:///etc/passwd", b"httpx://a", b"http://\\ud800", b"http://a\\n"):
        reports.clear()
        with Receiver(answer=lambda body, url=wrong: b'{"st":{"base_url":"%s"}}' % url) as evil:
            asyncio.run(sink(evil.url).write([reading(3)]))
            assert "is not used" in reports[-1]


def test_counts_that_cannot_be_kept_are_not_sent(tmp_path):
    with Receiver() as receiver:
        sink = posting(receiver.url, tmp_path)
        with full_disk(), pytest.raises(NoAnswerError, match=r"^state.json cannot be written: "):
            asyncio.run(sink.write([reading(1)]))
        assert receiver.posts == []
        asyncio.run(sink.write([reading(1)]))
        assert len(receiver.posts) == 1


def test_a_server_that_is_down_gets_it_later_and_one_that_refuses_does_not(tmp_path):
    reports = []
    with Receiver(503, 401) as receiver:
        sink = posting(receiver.url, tmp_path, key=KEY, report=reports.append)
        with pytest.raises(NoAnswerError, match="503"):
            asyncio.run(sink.write([reading(1)]))
        asyncio.run(sink.write([reading(1)]))
    assert reports == ["metrics refused 1 readings of A1: it answered 401; they are in state.refused"]
    [kept] = (tmp_path / "state.refused").read_text().splitlines()
    assert json.loads(kept) == {"status": 401, **reading(1).to_json()}


def test_what_is_too_large_for_a_server_is_cut_in_halves_and_a_single_reading_is_kept_aside(tmp_path):
    """Each of forty once and in order, but the one that alone is too large."""
    sent = [reading(number, token_count=number) for number in range(1, 41)]
    sent[12] = reading(13, firmware_version="v" * 4000)
    reports = []
    with Receiver(longest=2500) as receiver:
        sink = posting(receiver.url, tmp_path, report=reports.append)
        asyncio.run(sink.write(sent))
        got = []
        for _, body in receiver.posts:
            if len(body) <= 2500:
                said = json.loads(body)
                got += [step["token_count"] for step in (*said.get("historical_data", []), said["data"])]
    assert got == [number for number in range(1, 41) if number != 13]
    [kept] = (tmp_path / "state.refused").read_text().splitlines()
    assert (json.loads(kept)["status"], json.loads(kept)["n"]) == (413, 13)
    assert [report for report in reports if "413" in report] == [
        "metrics refused 1 readings of A1: it answered 413; they are in state.refused"
    ]


def test_what_was_taken_of_a_batch_before_the_server_went_down_is_not_sent_again(tmp_path):
    """Forty readings in parts, an answer of 503 after some, a unit that is refused: each once."""
    sent = [reading(number, token_count=number) for number in range(1, 41)]
    statuses = (200, 200, 503, 200, 503, 404)
    with Receiver(*statuses, longest=1500) as receiver:
        sink = posting(receiver.url, tmp_path)
        for _ in range(2):
            with pytest.raises(NoAnswerError, match="503"):
                asyncio.run(sink.write(sent))
        asyncio.run(sink.write(sent))
        got = []
        answers = iter(statuses)
        for _, body in receiver.posts:
            if len(body) <= 1500 and next(answers, 404) == 200:
                said = json.loads(body)
                got += [step["token_count"] for step in (*said.get("historical_data", []), said["data"])]
    kept = [json.loads(line)["n"] for line in (tmp_path / "state.refused").read_text().splitlines()]
    assert len(got) >= 10
    assert got + kept == list(range(1, 41))


def test_the_quarantine_of_a_server_that_refuses_everything_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks_metrics, "LARGEST_QUARANTINE", 300)
    reports = []
    with Receiver(404) as receiver:
        sink = posting(receiver.url, tmp_path, report=reports.append)
        for number in range(1, 8):
            asyncio.run(sink.write([reading(number)]))
    assert 0 < (tmp_path / "state.refused").stat().st_size <= 300
    assert reports[-1].endswith("state.refused is full, and they are dropped")
