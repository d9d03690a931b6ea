"""The gateway runs many units at once: readings, alerts and commands, ports that come and go, and a graceful end."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from broker import Broker
from fake_hdk import KEY, FakeHdk, PlusUnit, ScriptedUnit, checked
from full_disk import full_disk
from receiver import Receiver

import hw_bridge.gateway as gateway_module
from hw_bridge.actions import ActionStore
from hw_bridge.commands import CommandJournal
from hw_bridge.drivers import ActiveAlert
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.gateway import Gateway
from hw_bridge.gateway_config import read_config
from hw_bridge.green import GreenPort, in_greenlet
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, PaygoError, generate_token
from paygo_core.device import Device
from paygo_core.errors import NoAnswerError, PortError
from paygo_core.registry import Registry
from paygo_core.telemetry import Telemetry

CONFIG = DeviceConfig.from_hex(KEY, 123456789)
PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]
TELEMETRY = checked('TELEMETRY;{"serial_number":"A1","data":{"battery_voltage":12.5,"load_switch":"OFF"}}')

ALERT_LINE = checked("ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;1;9")
ACK_LINE = checked("ACK;1;9")


def configured(directory: Path, text: str) -> Path:
    path = directory / "gateway.toml"
    path.write_text('[gateway]\nname = "test"\ninterval = 0.05\n' + text)
    return path


def encrypted_registry(directory: Path, opens: str) -> None:
    """With SLT1, opened by registry.key or by the passphrase in secret; another.key and wrong open it not."""
    (directory / "registry.key").write_bytes(bytes(range(32)))
    (directory / "another.key").write_bytes(bytes(32))
    (directory / "secret").write_text("correct horse\n")
    (directory / "wrong").write_text("battery staple\n")
    given = {"key_file": directory / "registry.key"} if opens == "key" else {"passphrase": "correct horse"}
    with Registry.open(directory / "paygo.db", **given) as registry:
        registry.add(Device("SLT1", CONFIG))


class Running:
    """A gateway in this process, and what it reports."""

    def __init__(self, path: Path) -> None:
        self.reports: asyncio.Queue[dict] = asyncio.Queue()
        self.gateway = Gateway(read_config(path), lambda _text, said: self.reports.put_nowait(said))

    async def told(self, **wanted: object) -> dict:
        """The next report with these values."""

        async def find() -> dict:
            while True:
                said = await self.reports.get()
                if all(said.get(name) == value for name, value in wanted.items()):
                    return said

        return await asyncio.wait_for(find(), 60)

    async def confirmed(self) -> dict:
        """The next command that is confirmed."""
        while (said := (await self.told(kind="command"))["command"])["state"] != "confirmed":
            pass
        return said

    async def readings(self, port: str, more: int) -> None:
        """Waits until a unit has brought so many more."""
        goal = self.gateway.runners[port].health.readings + more
        while self.gateway.runners[port].health.readings < goal:
            await asyncio.sleep(0)


def run(path: Path, scenario) -> None:
    """Runs a gateway while `scenario` watches it, then stops it."""

    async def both() -> None:
        running = Running(path)
        task = asyncio.create_task(running.gateway.run())
        watching = asyncio.create_task(scenario(running))
        await asyncio.wait([task, watching], return_when=asyncio.FIRST_COMPLETED)
        running.gateway.stop()
        await task
        await watching

    asyncio.run(both())


@contextmanager
def another_writer(registry: Path):
    """Another program that holds the registry."""
    with closing(sqlite3.connect(registry, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def units(directory: Path, count: int):
    """Simulated units in processes of their own, set up as SLT1, SLT2, …"""
    with ExitStack() as stack:
        found = []
        for number in range(1, count + 1):
            place = directory / f"u{number}"
            place.mkdir()
            unit = stack.enter_context(simulated_unit(place))
            with Transport(unit.port) as transport:
                HdkDriver(transport).provision(Device(f"SLT{number}", CONFIG))
            found.append(unit)
        yield found


def test_the_keys_of_units_cost_one_opening_of_the_registry(tmp_path, monkeypatch):
    """Deriving its key from a passphrase is slow on purpose, and a Metrics sink asks for keys all the time."""
    monkeypatch.setenv("PAYGO_PASSPHRASE", "correct horse")
    with Registry.open(tmp_path / "paygo.db", passphrase="correct horse") as registry:
        for serial in ("SLT1", "SLT2"):
            registry.add(Device(serial, CONFIG if serial == "SLT1" else DeviceConfig.from_hex(KEY[::-1], 123456789)))
    opened = []
    monkeypatch.setattr(
        gateway_module,
        "open_registry",
        lambda path, original=gateway_module.open_registry, **files: opened.append(path) or original(path, **files),
    )

    async def scenario(running: Running) -> None:
        for _ in range(3):
            assert running.gateway.device("SLT1").config == CONFIG
            assert await asyncio.to_thread(running.gateway._registry_key, "SLT2") == bytes.fromhex(KEY[::-1])
        assert running.gateway._registry_key("SLT3") is None

    run(configured(tmp_path, f'[[unit]]\nport = "{tmp_path}/none"\n'), scenario)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("opens", "said", "options", "environment"),
    [
        ("key", 'registry_key_file = "registry.key"', [], {}),
        ("key", 'registry_key_file = "another.key"', ["--registry-key-file", "registry.key"], {}),
        ("key", "", [], {"PAYGO_REGISTRY_KEY_FILE": "registry.key"}),
        ("passphrase", 'passphrase_file = "secret"', [], {}),
        ("passphrase", 'passphrase_file = "no-such-file"', ["--passphrase-file", "secret"], {}),
        ("passphrase", 'passphrase_file = "no-such-file"', [], {"PAYGO_PASSPHRASE": "correct horse"}),
    ],
)
def test_what_opens_the_keys_of_an_encrypted_registry(tmp_path, opens, said, options, environment):
    """An option goes before the environment, and that before the configuration."""
    encrypted_registry(tmp_path, opens)
    configured(tmp_path, f'{said}\n[[unit]]\nport = "charger"\nserial = "SLT1"\npayg = true\n')
    command = [*PAYGO, "bridge", "gateway", "gateway.toml", *options]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as gateway:
        assert b"there is no port charger" in gateway.stdout.readline()
        gateway.send_signal(signal.SIGTERM)
        assert (gateway.communicate(timeout=60), gateway.returncode) == ((b"", b""), 143)


@pytest.mark.parametrize(
    ("opens", "said", "why"),
    [
        ("key", "", "encrypted with a key file, and none was given (set PAYGO_REGISTRY_KEY_FILE,"),
        ("key", 'registry_key_file = "another.key"', "the key file is not this registry's ("),
        ("key", 'registry_key_file = "no-such-file"', "no-such-file cannot be read: No such file"),
        ("passphrase", 'registry_key_file = "registry.key"', "are encrypted, and no passphrase was given"),
        ("passphrase", 'passphrase_file = "wrong"', "the passphrase is not this registry's ("),
        ("passphrase", "", "are encrypted, and no passphrase was given"),
    ],
)
def test_a_gateway_that_cannot_open_the_keys_that_it_needs_does_not_start(tmp_path, opens, said, why):
    encrypted_registry(tmp_path, opens)
    needs = '[sink.cloud]\nkind = "metrics"\nurl = "http://127.0.0.1:9/"\n'
    configured(tmp_path, f'{said}\n[[unit]]\nport = "unit"\n{needs}')
    command = [*PAYGO, "bridge", "gateway", "gateway.toml"]
    done = subprocess.run(
        command, cwd=tmp_path, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert why in done.stderr


def test_keys_that_nothing_needs_are_not_opened(tmp_path):
    encrypted_registry(tmp_path, "key")

    async def scenario(running: Running) -> None:
        await running.told(state="offline")

    run(configured(tmp_path, '[[unit]]\nport = "unit"\n'), scenario)


def test_readings_alerts_and_commands_of_two_units_with_a_broker_a_webhook_and_files(tmp_path):
    import aiomqtt

    with Broker(tmp_path) as broker, Receiver() as receiver, units(tmp_path, 2) as (one, other):
        path = configured(
            tmp_path,
            f'[[unit]]\nport = "{one.port}"\nserial = "SLT1"\n[[unit]]\nport = "{other.port}"\n'
            '[sink.db]\nkind = "sqlite"\npath = "readings.db"\n[sink.lines]\nkind = "jsonl"\npath = "out.jsonl"\n'
            f'[sink.mqtt]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\ncommands = true\n'
            f'[webhook.ops]\nurl = "{receiver.url}"\n',
        )

        async def scenario(running: Running) -> None:
            assert {(await running.told(state="online"))["serial"] for _ in range(2)} == {"SLT1", "SLT2"}
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.subscribe("paygo/gateway/test/availability", qos=1)
                assert (await anext(client.messages)).payload == b"online"
                await client.subscribe("paygo/SLT1/event", qos=1)
                await client.publish("paygo/SLT1/cmd/load", "off", qos=1)
                assert (await running.confirmed())["kind"] == "disable"
                token = generate_token(CONFIG, 1, 1).digits
                await client.publish("paygo/SLT1/cmd/enter", token, qos=1)
                entered = await running.confirmed()
                assert (entered["serial"], token in json.dumps(entered)) == ("SLT1", False)
                await client.publish("paygo/SLT1/cmd/load", "perhaps", qos=1)
                assert "is wrong" in (await running.told(kind="gateway"))["text"]
                with ControlClient(one.control) as control:
                    control.request("fault", name="battery_sensor_offset_v", value=6)
                    await asyncio.to_thread(control.advance, 120)
                assert (await running.told(kind="alert"))["action"]["serial"] == "SLT1"
                events = [json.loads((await anext(client.messages)).payload) for _ in range(3)]
            assert [event["kind"] for event in events] == ["command", "command", "action"]
            while not receiver.posts:
                await asyncio.sleep(0.01)
            await running.readings(other.port, 3)

        run(path, scenario)
        assert json.loads(receiver.posts[0][1])["what"] == "opened"
    with ActionStore.open(tmp_path / "paygo.db") as store:
        assert store.audit().actions == ()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    readings = [line["n"] for line in lines if line["kind"] == "telemetry"]
    with closing(sqlite3.connect(tmp_path / "readings.db")) as database:
        assert [number for (number,) in database.execute("SELECT number FROM telemetry")] == readings
    assert {line["serial"] for line in lines} == {"SLT1", "SLT2"}


def test_one_mute_and_one_endless_unit_hold_up_no_other(tmp_path):
    def endless(line: bytes) -> bytes:
        return b"x" * 3000

    with (
        PlusUnit(TELEMETRY=[TELEMETRY]) as good,
        ScriptedUnit(lambda line: b"") as mute,
        ScriptedUnit(endless) as noisy,
    ):
        ports = "".join(f'[[unit]]\nport = "{unit.port}"\n' for unit in (mute, noisy, good))

        async def scenario(running: Running) -> None:
            await running.told(state="online", serial="A1")
            await running.readings(good.port, 20)
            assert running.gateway.runners[mute.port].health.readings == 0

        run(configured(tmp_path, ports), scenario)


def test_a_unit_that_vanishes_and_returns_on_the_same_link_goes_on(tmp_path):
    link = tmp_path / "unit"
    path = configured(tmp_path, f'[[unit]]\nport = "{link}"\n[sink.lines]\nkind = "jsonl"\npath = "out.jsonl"\n')

    async def scenario(running: Running) -> None:
        assert "there is no port" in (await running.told(state="offline"))["reason"]
        for _ in range(2):
            with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
                link.symlink_to(unit.port)
                await running.told(state="online")
                await running.readings(str(link), 2)
                unit.script["TELEMETRY"] = [b""]
                answer, unit._answer = unit._answer, lambda line: unit.vanish() or b""
                gone = await running.told(state="offline")
                unit._answer = answer
            link.unlink()
            assert "vanished" in gone["reason"]

    run(path, scenario)
    health = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["online"] for line in health if line["kind"] == "health"] == [True, False, True, False]


def test_ports_that_appear_are_run(tmp_path):
    path = configured(tmp_path, f'[[hotplug]]\nports = "{tmp_path}/tty*"\n')

    async def scenario(running: Running) -> None:
        with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
            (tmp_path / "tty1").symlink_to(unit.port)
            assert (await running.told(state="online"))["port"] == f"{tmp_path}/tty1"

    run(path, scenario)


def test_an_un_extended_hdk_brings_what_its_customer_may_use(tmp_path):
    with FakeHdk(CONFIG) as unit:
        path = configured(
            tmp_path, f'[[unit]]\nport = "{unit.port}"\nserial = "220000001"\n[sink.j]\nkind = "jsonl"\npath = "o"\n'
        )

        async def scenario(running: Running) -> None:
            await running.told(state="online", serial="220000001")
            await running.readings(unit.port, 1)

        run(path, scenario)
    said = json.loads((tmp_path / "o").read_text().splitlines()[-1])
    assert said["extra"]["state"] == "inactive"


def test_another_unit_than_the_one_that_is_named_is_not_run(tmp_path):
    with PlusUnit() as unit:
        path = configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\nserial = "B2"\n')

        async def scenario(running: Running) -> None:
            assert "is A1, not B2" in (await running.told(state="offline"))["reason"]

        run(path, scenario)
    assert unit.names() == ["INFO"]


def test_a_command_under_way_is_finished_when_the_gateway_is_stopped(tmp_path):
    asked = []

    def answer(line: bytes) -> bytes:
        if b"LOAD" in line:
            loop.call_soon_threadsafe(stop)
            asked.append(line)
        return unit._scripted(line)

    unit = PlusUnit(TELEMETRY=[TELEMETRY], LOAD=[checked("LOAD;OFF;OFF")])
    unit._answer = answer
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        journal.record("disable", serial="A1", by="test")
    with unit:
        path = configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n')

        async def scenario(running: Running) -> None:
            nonlocal loop, stop
            loop, stop = asyncio.get_running_loop(), running.gateway.stop
            await running.gateway._stop.wait()

        loop = stop = None
        run(path, scenario)
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        assert journal.command(1).state == "confirmed"
    assert len(asked) == 1


def test_tokens_of_a_metrics_server_are_entered_once(tmp_path):
    token = generate_token(CONFIG, 1, 1).digits
    with Registry.open(tmp_path / "paygo.db") as registry:
        registry.add(Device("SLT1", CONFIG))

    def server(body: bytes) -> bytes:
        from openpaygo import MetricsResponseHandler

        handler = MetricsResponseHandler(body.decode(), secret_key=KEY)
        assert handler.is_auth_valid()
        handler.add_tokens_to_answer([token])
        handler.add_settings_to_answer({"interval": 5})
        return handler.get_answer_payload().encode()

    with Receiver(answer=server) as receiver, units(tmp_path, 1) as (unit,):
        path = configured(
            tmp_path,
            f'[[unit]]\nport = "{unit.port}"\n[sink.cloud]\nkind = "metrics"\nurl = "{receiver.url}"\nevery = 0.1\n',
        )

        async def scenario(running: Running) -> None:
            confirmed = await running.confirmed()
            assert confirmed["created_by"] == "Metrics server"
            goal = len(receiver.posts) + 3
            while len(receiver.posts) < goal:
                await asyncio.sleep(0.01)

        run(path, scenario)
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        assert [command.kind for command in journal.commands()] == ["enter"]


@pytest.mark.parametrize("most", [2, gateway_module.LONGEST_BACKLOG])
def test_a_spool_on_a_full_disk_is_told_once_and_again_when_it_has_room(tmp_path, monkeypatch, most):
    """And how many records were lost, those included that still wait when the gateway stops."""
    monkeypatch.setattr(gateway_module, "LONGEST_BACKLOG", most)
    monkeypatch.setattr(gateway_module, "FLUSH_SECONDS", 0.01)
    texts: list[str] = []

    async def scenario(running: Running) -> None:
        ended.append(running)
        await running.told(state="online")
        while running.gateway.spool.next < 3:
            await asyncio.sleep(0)
        with full_disk():
            await running.readings(unit.port, 20)
        while not texts or "again" not in texts[-1]:
            texts.append((await running.told(kind="gateway"))["text"])
        held.enter_context(full_disk())
        await running.readings(unit.port, 1)

    ended: list[Running] = []
    with PlusUnit(TELEMETRY=[TELEMETRY]) as unit, ExitStack() as held:
        run(configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n'), scenario)
    *told, again = texts
    assert len(set(told)) == len(told) > 0
    assert told[-1].endswith("the oldest records are lost" if most == 2 else "what comes waits in memory")
    lost = int(again.removeprefix("the spool takes records again, ").removesuffix(" were lost"))
    assert (lost > 0) == (most == 2)
    while not ended[0].reports.empty():
        texts.append(ended[0].reports.get_nowait().get("text", ""))
    assert texts[-1].endswith("records are lost: the spool took none before the gateway stopped")


def by_mqtt(directory: Path, broker: Broker, port: str) -> Path:
    """A unit, and a broker that may give commands."""
    sink = f'[sink.mqtt]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\ncommands = true\n'
    return configured(directory, f'[[unit]]\nport = "{port}"\n{sink}')


async def publish(broker: Broker, *commands: tuple[str, str]) -> None:
    """To B7, once the gateway listens."""
    import aiomqtt

    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("paygo/gateway/test/availability", qos=1)
        assert (await anext(client.messages)).payload == b"online"
        for name, payload in commands:
            await client.publish(f"paygo/B7/cmd/{name}", payload, qos=1)


def test_commands_by_mqtt_wait_for_a_registry_that_another_program_holds(tmp_path, monkeypatch):
    """They are recorded in their order, each once; only what is none is called wrong."""
    monkeypatch.setattr(gateway_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(gateway_module, "LOOK_SECONDS", 0.05)
    token = generate_token(CONFIG, 1, 1).digits

    async def scenario(running: Running) -> None:
        await running.told(state="online")
        texts = []
        with another_writer(tmp_path / "paygo.db"):
            await publish(broker, ("load", "off"), ("enter", token), ("load", "perhaps"), ("load", "auto"))
            while not any("is wrong" in text for text in texts) or not any("MQTT wait" in text for text in texts):
                texts.append((await running.told(kind="gateway"))["text"])
            await running.readings(unit.port, 20)
        recorded = [(await running.told(kind="command"))["command"] for _ in range(3)]
        assert [command["kind"] for command in recorded] == ["disable", "enter", "enable"]
        assert [text for text in texts if "wrong" in text] == [
            "a command for B7 by MQTT is wrong: there is no command 'load' with that value"
        ]
        assert len(set(texts)) == len(texts), "each is said once"

    with Broker(tmp_path) as broker, PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        run(by_mqtt(tmp_path, broker, unit.port), scenario)
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        assert [(command.kind, command.open) for command in journal.commands()] == [
            ("disable", False),
            ("enter", True),
            ("enable", True),
        ]


def test_units_are_read_while_another_program_holds_the_registry(tmp_path, monkeypatch):
    """It lets go of it only when they were: who waits for it in the loop waits in vain."""
    monkeypatch.setattr(gateway_module, "BUSY_SECONDS", 60.0)

    async def scenario(running: Running) -> None:
        await running.told(state="online")
        with another_writer(tmp_path / "paygo.db"):
            await publish(broker, ("load", "off"))
            await running.readings(unit.port, 30)
        assert (await running.told(kind="command"))["command"]["kind"] == "disable"

    with Broker(tmp_path) as broker, PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        run(by_mqtt(tmp_path, broker, unit.port), scenario)


def test_an_alert_waits_for_a_registry_that_is_held_and_holds_up_no_other_unit(tmp_path, monkeypatch):
    """As above: the other program lets go only when the other unit was read."""
    monkeypatch.setattr(gateway_module, "BUSY_SECONDS", 60.0)

    async def scenario(running: Running) -> None:
        await running.readings(unit.port, 1)
        await running.readings(other.port, 1)
        with another_writer(tmp_path / "paygo.db"):
            unit.say(ALERT_LINE)
            await running.readings(other.port, 30)
            assert "ACK" not in unit.names()
        assert (await running.told(kind="alert"))["action"]["serial"] == "A1"

    with PlusUnit(TELEMETRY=[TELEMETRY], ACK=[ACK_LINE]) as unit, PlusUnit(TELEMETRY=[TELEMETRY]) as other:
        run(configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n[[unit]]\nport = "{other.port}"\n'), scenario)


def test_a_unit_whose_alert_the_registry_does_not_take_stays_online_and_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway_module, "BUSY_SECONDS", 0.05)

    async def scenario(running: Running) -> None:
        await running.told(state="online")
        with another_writer(tmp_path / "paygo.db"):
            unit.say(ALERT_LINE)
            await running.readings(unit.port, 20)
        assert "ACK" not in unit.names()
        unit.say(ALERT_LINE)
        assert (await running.told(kind="alert"))["action"]["serial"] == "A1"
        while "ACK" not in unit.names():
            await asyncio.sleep(0.01)
        assert running.gateway.runners[unit.port].health.failures == 0

    with PlusUnit(TELEMETRY=[TELEMETRY], ACK=[ACK_LINE]) as unit:
        run(configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n'), scenario)


def test_commands_that_the_registry_did_not_take_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(gateway_module, "MOST_WANTED", 2)
    texts = []

    async def scenario(running: Running) -> None:
        await running.told(state="online")
        held.enter_context(another_writer(tmp_path / "paygo.db"))
        await publish(broker, ("load", "off"), ("enter", "123456789"), ("load", "auto"))
        while not any("is dropped" in text for text in texts):
            texts.append((await running.told(kind="gateway"))["text"])
        ended.append(running)

    ended: list[Running] = []
    with Broker(tmp_path) as broker, PlusUnit(TELEMETRY=[TELEMETRY]) as unit, ExitStack() as held:
        run(by_mqtt(tmp_path, broker, unit.port), scenario)
    while not ended[0].reports.empty():
        texts.append(ended[0].reports.get_nowait().get("text", ""))
    assert "a command for B7 by MQTT is dropped: 2 wait for the registry already" in texts
    for kind in ("disable", "enter"):
        told = f"B7: {kind}, which came by MQTT, is not recorded, give it again: {tmp_path}/paygo.db: another program"
        assert sum(text.startswith(told) for text in texts) == 1
    assert not any("123456789" in text for text in texts)
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        assert journal.commands() == []


def test_tokens_of_a_metrics_server_wait_for_a_registry_that_another_program_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(gateway_module, "LOOK_SECONDS", 0.05)

    def server(body: bytes) -> bytes:
        if len(receiver.posts) == 1:
            held.enter_context(another_writer(tmp_path / "paygo.db"))
        return b'{"token_list":["123456789"]}'

    async def scenario(running: Running) -> None:
        while not receiver.posts:
            await asyncio.sleep(0.01)
        await running.readings(unit.port, 20)
        assert len(receiver.posts) == 1
        held.close()
        while "came from the Metrics server" not in (await running.told(kind="gateway"))["text"]:
            pass

    with Receiver(answer=server) as receiver, PlusUnit(TELEMETRY=[TELEMETRY]) as unit, ExitStack() as held:
        sink = f'[sink.cloud]\nkind = "metrics"\nurl = "{receiver.url}"\nevery = 0.1\n'
        run(configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n{sink}'), scenario)
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        assert [(command.kind, command.token) for command in journal.commands()] == [("enter", "123456789")]


def test_two_gateways_do_not_run_on_one_spool(tmp_path):
    path = configured(tmp_path, '[[unit]]\nport = "/dev/nowhere"\n')

    async def scenario(running: Running) -> None:
        await running.told(state="offline")
        with pytest.raises(PortError, match="used by another gateway"):
            await Gateway(read_config(path), lambda *_: None).run()

    run(path, scenario)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_lines_and_ends_with_the_status_of_its_signal(tmp_path, number):
    with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n[sink.j]\nkind = "jsonl"\npath = "out.jsonl"\n')
        command = [*PAYGO, "bridge", "gateway", "gateway.toml"]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as gateway:
            assert gateway.stdout.readline() == f"A1 on {unit.port} is online\n"
            gateway.send_signal(number)
            gateway.communicate(timeout=60)
        assert gateway.returncode == 128 + number
    assert '"online":true' in (tmp_path / "out.jsonl").read_text()


def test_on_a_terminal_it_shows_a_table(tmp_path):
    with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        configured(tmp_path, f'[[unit]]\nport = "{unit.port}"\n')
        terminal, inside = pty.openpty()
        command = [*PAYGO, "bridge", "gateway", "gateway.toml"]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140"}
        with subprocess.Popen(
            command, cwd=tmp_path, stdin=inside, stdout=inside, stderr=inside, env=environment
        ) as gateway:
            os.close(inside)
            shown = b""
            while b"12.50 V" not in shown:
                shown += os.read(terminal, 4096)
            gateway.send_signal(signal.SIGTERM)
            try:
                while os.read(terminal, 4096):
                    pass
            except OSError:
                pass
        os.close(terminal)
    assert b"1 of 1 units online" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no unit is named"),
        ("[[unit]]\n", "[[unit]] has no port"),
        ('[[unit]]\nport = "/dev/a"\nbaud = "fast"\n', "[[unit]] baud is wrong"),
        ('[[unit]]\nport = "/dev/a"\n[[unit]]\nport = "/dev/a"\n', "named twice"),
        ('[[unit]]\nport = "/dev/a"\ninterval = 0\n', "[[unit]] interval is 0"),
        ('[[unit]]\nport = "/dev/a"\n[sink.x]\nkind = "fax"\n', "[sink.x] has no kind"),
        ('[[unit]]\nport = "/dev/a"\n[sink.x]\nkind = "mqtt"\n', "[sink.x] has no host"),
        ('[[unit]]\nport = "/dev/a"\n[sink.x]\nkind = "mqtt"\nhost = " "\n', "[sink.x] host is empty"),
        ('[[unit]]\nport = "/dev/a"\n[sink.x]\nkind = "prometheus"\nport = 70000\n', "[sink.x] port is 70000"),
        ('[[unit]]\nport = "/dev/a"\n[webhook.x]\n', "[webhook.x] has no url"),
        ('[[unit]]\nport = "/dev/a"\ncolour = 1\n', "'colour', which is not known"),
        ('[[unit]]\nport = "/dev/a"\npayg = true\n', "[[unit]] has payg and no serial"),
        ("[unit]\n", "unit is wrong"),
        ("[[unit]\n", "gateway.toml:"),
    ],
)
def test_a_wrong_configuration_is_told_by_place(tmp_path, text, said):
    with pytest.raises(PaygoError) as caught:
        read_config(configured(tmp_path, text))
    assert said in caught.value.cause


def test_an_unknown_driver_and_a_missing_secret_are_wrong_use(tmp_path):
    for text, said in (
        ('[[unit]]\nport = "/dev/a"\ndriver = "fax"\n', "no driver 'fax'"),
        ('[[unit]]\nport = "/dev/a"\n[webhook.x]\nurl = "http://x/"\nsecret_file = "no"\n', "no cannot be read"),
    ):
        with pytest.raises(PaygoError, match=said):
            asyncio.run(Gateway(read_config(configured(tmp_path, text)), lambda *_: None).run())


def test_a_gateway_that_is_killed_goes_on_where_each_sink_stands(tmp_path):
    lines = tmp_path / "out.jsonl"
    configured(
        tmp_path,
        f'[[unit]]\nport = "{tmp_path}/unit"\n[sink.j]\nkind = "jsonl"\npath = "out.jsonl"\n'
        '[sink.db]\nkind = "sqlite"\npath = "readings.db"\n',
    )
    lines.touch()
    with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        (tmp_path / "unit").symlink_to(unit.port)
        for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
            goal = lines.read_bytes().count(b"\n") + 15
            command = [*PAYGO, "bridge", "gateway", "gateway.toml"]
            with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as gateway:
                while lines.read_bytes().count(b"\n") < goal:
                    assert gateway.poll() is None
                gateway.send_signal(number)
    said = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["n"] for line in said] == list(range(1, len(said) + 1))
    with closing(sqlite3.connect(tmp_path / "readings.db")) as database:
        stored = [number for (number,) in database.execute("SELECT number FROM telemetry ORDER BY number")]
    assert stored == [line["n"] for line in said if line["kind"] == "telemetry"]


class PlainCharger:
    """A driver for a charger on a line: L0 and L1 switch its load, ? asks for it."""

    BAUD = 19200

    def __init__(self, transport, **_options):
        self._transport = transport

    def _ask(self, line: bytes) -> str:
        self._transport.write(line + b"\n")
        if not (said := self._transport.read(1.0)):
            raise NoAnswerError("no answer of the charger")
        return said.decode().strip()

    def switch_load(self, mode):
        self._ask(b"L0" if mode == "off" else b"L1")

    def telemetry(self):
        return Telemetry("HQ1", battery_voltage=12.5, output=self._ask(b"?") == "on")

    def alerts(self):
        return [ActiveAlert("OVERTEMPERATURE", 17, "1")] if self._ask(b"?") == "on" else []


def test_a_plain_charger_is_a_unit_of_its_own_through_restarts_of_both_sides(tmp_path, monkeypatch):
    load = [True]

    def answer(line: bytes) -> bytes:
        if line != b"?":
            load[0] = line == b"L1"
        return b"on\n" if load[0] else b"off\n"

    monkeypatch.setattr(gateway_module, "load_driver", lambda name: PlainCharger)
    with Registry.open(tmp_path / "paygo.db") as registry:
        registry.add(Device("SLT1", CONFIG))
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        journal.record("enter", serial="SLT1", token=generate_token(CONFIG, 1, 1).digits, by="test")
    link = tmp_path / "charger"
    path = configured(tmp_path, f'[[unit]]\nport = "{link}"\nserial = "SLT1"\npayg = true\n')

    async def first(running: Running) -> None:
        assert (await running.confirmed())["serial"] == "SLT1"
        assert load == [True]
        assert (await running.told(kind="alert"))["action"]["code"] == "OVERTEMPERATURE"

    async def second(running: Running) -> None:
        await running.told(state="online")
        await running.readings(str(link), 2)
        health = running.gateway.runners[str(link)].health
        assert health.last["token_count"] == 2
        assert 0 < health.last["extra"]["active_seconds_left"] <= 86_400

    for scenario in (first, second):
        with ScriptedUnit(answer) as charger:
            load[0] = False  # as a charger that was without power
            link.symlink_to(charger.port)
            run(path, scenario)
            link.unlink()
        assert load == [True]


def test_an_epever_is_a_payg_unit_through_restarts_of_both_sides(tmp_path):
    """The simulated charger forgets its load at a start, as the real one does."""
    pytest.importorskip("pymodbus")
    with Registry.open(tmp_path / "paygo.db") as registry:
        registry.add(Device("SLT1", CONFIG))
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        journal.record("enter", serial="SLT1", token=generate_token(CONFIG, 1, 1).digits, by="test")
    port = tmp_path / "unit"
    path = configured(tmp_path, f'[[unit]]\nport = "{port}"\ndriver = "epever"\nserial = "SLT1"\npayg = true\n')

    async def load_is(running: Running, wanted: bool, control: str) -> None:
        with ControlClient(control) as client:
            while client.read()["output"] is not wanted:
                await running.readings(str(port), 1)

    async def first(running: Running) -> None:
        assert (await running.confirmed())["serial"] == "SLT1"
        await load_is(running, True, control)
        running.gateway.journal.record("disable", serial="SLT1", by="test")
        assert (await running.confirmed())["kind"] == "disable"
        await load_is(running, False, control)
        running.gateway.journal.record("enable", serial="SLT1", by="test")
        assert (await running.confirmed())["kind"] == "enable"
        await load_is(running, True, control)

    async def second(running: Running) -> None:
        await running.told(state="online")
        await running.readings(str(port), 1)
        await load_is(running, True, control)
        assert running.gateway.runners[str(port)].health.last["token_count"] == 2

    for scenario in (first, second):
        with simulated_unit(tmp_path, "--protocol", "epever") as unit:
            control = unit.control
            run(path, scenario)


# A driver in a greenlet


def test_a_driver_waits_without_holding_up_the_loop():
    async def scenario(port: str) -> int:
        opened = await GreenPort.open(port)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        busy = asyncio.create_task(others())
        try:
            with pytest.raises(NoAnswerError):
                await in_greenlet(HdkDriver(opened, timeout=0.2).status)
        finally:
            busy.cancel()
            opened.close()
        return turns

    with ScriptedUnit(lambda line: b"") as unit:
        assert asyncio.run(scenario(unit.port)) > 100


def test_a_cancelled_driver_ends_where_it_waits_and_its_port_is_free_again():
    async def scenario(port: str) -> None:
        opened = await GreenPort.open(port)
        task = asyncio.create_task(in_greenlet(opened.read, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        opened.close()
        Transport(port).close()

    with ScriptedUnit(lambda line: b"") as unit:
        asyncio.run(scenario(unit.port))


def test_a_flood_is_left_in_the_port_until_the_driver_takes_it():
    flood = 200_000

    def say_all(unit: ScriptedUnit) -> None:
        for _ in range(flood // 4000):
            unit.say(b"x" * 4000)

    async def scenario(unit: ScriptedUnit) -> None:
        opened = await GreenPort.open(unit.port)
        saying = asyncio.create_task(asyncio.to_thread(say_all, unit))
        total = 0
        while total < flood:
            total += len(await in_greenlet(opened.read, 5))
            assert len(opened._came) <= 70_000
        await saying
        opened.close()

    with ScriptedUnit(lambda line: b"") as unit:
        asyncio.run(scenario(unit))
