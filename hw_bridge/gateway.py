"""The gateway: many units in one process, their readings to sinks, their alerts to actions, their commands carried out.

Each unit has a task of its own that opens its port, asks it in turn for readings, alerts and open commands, and begins
anew with back-off when the port vanishes or nothing answers: one dead unit holds up no other.
"""

from __future__ import annotations

import asyncio
import glob
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hw_bridge.actions import ActionStore
from hw_bridge.carry_out import carry_out
from hw_bridge.charger_payg import BrainStore, ChargerPayg
from hw_bridge.commands import CommandJournal, Kind
from hw_bridge.drivers import ActiveAlert, active_alerts, capabilities, identify, load_driver, usual_baud
from hw_bridge.gateway_config import GatewayConfig, UnitConfig
from hw_bridge.green import GreenPort, in_greenlet, wait
from hw_bridge.health import Health
from hw_bridge.sinks import Pump, Sink, encode
from hw_bridge.spool import Spool
from hw_bridge.webhook import Webhook, deliver
from paygo_core.cli_registry import open_registry
from paygo_core.decoding import strip_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, Problem
from paygo_core.registry import Registry, RegistryUnavailableError
from paygo_core.registry.schema import utc_now
from paygo_core.secret_file import first_line
from paygo_core.wire.hdk import encode_token
from paygo_core.wire.metrics_request import MetricsResponse

FLUSH_SECONDS = 0.5
LOOK_SECONDS = 1.0
"""How often the journal, new ports and deliveries are looked at."""
BUSY_SECONDS = 2.0
"""How long the registry may be written by another program before what needs it is tried again later."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
STOP_SECONDS = 15.0
"""How long a command under way may take at a graceful stop."""
LONGEST_BACKLOG = 100_000
"""Records kept in memory while the disk of the spool is full."""
MOST_WANTED = 1000
"""Commands that came by MQTT, kept in memory while the registry takes none."""

Report = Callable[[str, dict[str, Any]], None]
"""Gets a sentence for people, and the same for machines."""


@dataclass(frozen=True)
class _Wanted:
    """A command that came by MQTT, and is not in the journal yet."""

    serial: str
    kind: Kind
    token: str | None = field(default=None, repr=False)


class UnitRunner:
    """One unit's task. idle: it waits for its next reading, and may be stopped at once."""

    def __init__(self, gateway: Gateway, config: UnitConfig) -> None:
        self.config = config
        self.health = Health(config.port)
        self.idle = True
        self._gateway = gateway
        self._make = load_driver(config.driver)

    async def run(self) -> None:
        """Until it is cancelled, or the gateway stops."""
        delay = FIRST_DELAY
        while not self._gateway.stopping:
            readings = self.health.readings
            try:
                port = await GreenPort.open(self.config.port, self.config.baud or usual_baud(self._make))
                try:
                    await in_greenlet(self._session, port)
                finally:
                    port.close()
            except Problem as problem:
                self._offline(problem.cause)
            except Exception as error:  # a defect in one driver holds up no other unit
                self._offline(f"a defect: {type(error).__name__}: {error}")
            delay = FIRST_DELAY if self.health.readings > readings else min(2 * delay, LONGEST_DELAY)
            self.idle = True
            await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        """Waits, but no longer than until the port is there again."""
        local = "://" not in self.config.port
        until = time.monotonic() + seconds
        missing = local and not Path(self.config.port).exists()
        while time.monotonic() < until and not self._gateway.stopping:
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
            if missing and Path(self.config.port).exists():
                return

    def _session(self, port: GreenPort) -> None:
        """Talks to the unit until something fails; in a greenlet."""
        self.idle = False
        unit: Any = self._make(port)
        if self.config.payg:
            unit = ChargerPayg(unit, self._gateway.brains, self._gateway.device(self.config.serial or ""))
        try:
            self._converse(unit)
        finally:
            if isinstance(unit, ChargerPayg):
                unit.close()

    def _converse(self, unit: Any) -> None:
        serial = self._serial(unit)
        self._online(serial)
        due = time.monotonic() + random.random() * min(self.config.interval, 1.0)  # noqa: S311  # spreads the load
        while not self._gateway.stopping:
            self._attend(unit, serial, due)
            self._gateway.take_reading(self, _read(unit, serial))
            if (active := active_alerts(unit)) is not None:
                with suppress(RegistryUnavailableError):  # they are compared anew with the next reading
                    self._gateway.take_active(serial, active)
            due = max(due + self.config.interval, time.monotonic())

    def _serial(self, unit: Any) -> str:
        """What the unit is called: as it says itself, else by the configuration, else by its port."""
        info = identify(unit)
        if info is not None and not info.serial and "provision" in capabilities(unit):
            raise DeviceError("the unit is not set up yet", "'paygo bridge provision' sets a new unit up")
        told = info.serial if info is not None else ""
        if told and self.config.serial is not None and told != self.config.serial:
            raise DeviceError(f"on {self.config.port} is {told}, not {self.config.serial}", "look at the cables")
        return told or self.config.serial or Path(self.config.port).name

    def _attend(self, unit: Any, serial: str, until: float) -> None:
        """Commands and alerts, until the next reading is due."""
        while not self._gateway.stopping:
            self._carry_out(unit, serial)
            if isinstance(unit, ChargerPayg):
                unit.expire()
            left = until - time.monotonic()
            pause = max(0.0, min(left, LOOK_SECONDS))
            if "poll" in capabilities(unit):
                self.idle = True
                alerts = unit.poll(pause)
                self.idle = False
                for alert in alerts:
                    with suppress(RegistryUnavailableError):  # what is not acknowledged it sends again
                        self._gateway.take_alert(serial, alert)
                        with suppress(DeviceError):  # what it does not know it sends again
                            unit.acknowledge(alert)
            else:
                self.idle = True
                wait(asyncio.sleep(pause))
                self.idle = False
            if left <= 0:
                return

    def _carry_out(self, unit: Any, serial: str) -> None:
        if serial not in self._gateway.due_serials:
            return
        self._gateway.due_serials.discard(serial)
        try:
            due = wait(asyncio.to_thread(self._gateway.journal.due, serial))
        except RegistryUnavailableError:  # it is looked at anew
            return
        for command in due:
            try:
                with suppress(DeviceError):  # it is in the journal
                    carry_out(self._gateway.journal, command.id, unit)
            finally:
                self._gateway.tell_command(serial, command.id)

    def _online(self, serial: str) -> None:
        self.health.serial, self.health.state, self.health.reason = serial, "online", ""
        self._gateway.take_health(self.health)

    def _offline(self, reason: str) -> None:
        self.health.failures += 1
        if (self.health.state, self.health.reason) != ("offline", reason):
            self.health.state, self.health.reason = "offline", reason
            self._gateway.take_health(self.health)


def _read(unit: Any, serial: str) -> dict[str, Any]:
    """What the unit measures, or at least what the customer may use."""
    if "telemetry" in capabilities(unit):
        said: dict[str, Any] = unit.telemetry().to_json()
        return {**said, "serial": serial}
    status = unit.status()
    return {"serial": serial, "extra": {"state": status.state, "seconds_left": status.seconds_left}}


class Gateway:
    """Runs what a configuration says. Use `await gateway.run()`, and `stop()` to end it."""

    def __init__(self, config: GatewayConfig, report: Report, *, key_of: Callable[[str], bytes | None] | None = None):
        self.config = config
        self.report = report
        self.stopping = False
        self.due_serials: set[str] = set()
        self.runners: dict[str, UnitRunner] = {}
        self.pumps: list[Pump] = []
        self.started_at = time.monotonic()
        self._key_of = key_of or self._registry_key
        self._batch: list[bytes] = []
        self._dropped = 0
        """Of the batch, while the spool cannot be written."""
        self._spool_said = ""
        self._stop = asyncio.Event()
        self._new_changes = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._mqtt: list[Any] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._unknown_settings: set[str] = set()
        self._wanted: deque[_Wanted] = deque()
        self._new_wanted = asyncio.Event()
        self._registry: Registry

    def stop(self) -> None:
        """Lets it end, with the command under way finished and what was read in the spool."""
        self.stopping = True
        self._stop.set()

    async def run(self) -> None:
        """Until `stop`. Raises a Problem when it cannot begin."""
        async with AsyncExitStack() as stack:
            self.journal = stack.enter_context(CommandJournal.open(self.config.registry, BUSY_SECONDS))
            self.actions = stack.enter_context(ActionStore.open(self.config.registry, BUSY_SECONDS))
            self.brains = stack.enter_context(BrainStore.open(self.config.registry, BUSY_SECONDS))
            self._registry = stack.enter_context(self._open_registry())
            self.spool = stack.enter_context(Spool(self.config.spool, self.config.spool_bytes))
            recording = asyncio.create_task(self._record_always())
            stack.push_async_callback(self._record_rest, recording)
            webhooks = [self._webhook(options) for options in self.config.webhooks.values()]
            for name, options in self.config.sinks.items():
                sink = self._sink(name, options)
                stack.push_async_callback(sink.close)
                self.pumps.append(Pump(self.spool.cursor(name), sink, self._say))
            for unit in self.config.units:
                self._add(unit)
            background = [asyncio.create_task(self._flush_always()), asyncio.create_task(self._look_always())]
            background += [asyncio.create_task(pump.run()) for pump in self.pumps]
            background += [asyncio.create_task(self._deliver_always(webhook)) for webhook in webhooks]
            background += [asyncio.create_task(self._publish_always(sink)) for sink in self._mqtt]
            stopped = asyncio.create_task(self._stop.wait())
            try:
                done, _ = await asyncio.wait([stopped, recording, *background], return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stopped}:
                    task.result()  # a defect of ours ends the gateway, and is shown
            finally:
                self.stopping = True
                await self._end(list(self._tasks.values()))
                for task in (stopped, *background):
                    task.cancel()
                await asyncio.gather(stopped, *background, return_exceptions=True)
                self._flush()
                if self._batch:
                    self._say(f"{len(self._batch)} records are lost: the spool took none before the gateway stopped")
                for pump in self.pumps:
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(pump.flush(), STOP_SECONDS)

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for port, runner in self.runners.items():
            if runner.idle:
                self._tasks[port].cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # What units bring

    def take_reading(self, runner: UnitRunner, said: dict[str, Any]) -> None:
        """A reading, on its way to every sink."""
        health = runner.health
        health.readings, health.last_at, health.last = health.readings + 1, time.monotonic(), said
        self._batch.append(encode("telemetry", health.serial, _now(), said))

    def take_health(self, health: Health) -> None:
        """A unit came or went."""
        online = health.state == "online"
        if health.serial:
            self._batch.append(encode("health", health.serial, _now(), {"online": online, "reason": health.reason}))
        shown = f"{health.serial or 'unit'} on {health.port} is {health.state}"
        said = {"kind": "health", "serial": health.serial, "port": health.port, "state": health.state}
        self.report(shown + (f": {health.reason}" if health.reason else ""), {**said, "reason": health.reason})

    def take_alert(self, serial: str, alert: Any) -> None:
        """An alert, which is an action when this returns. In a greenlet."""
        action = wait(asyncio.to_thread(self.actions.record, serial, alert))
        if action is not None:
            what = (
                f"{serial} {alert.code} {'raised' if alert.raised else 'cleared'}: action {action.id} is {action.state}"
            )
            self.report(what, {"kind": "alert", "action": action.to_json()})
            self._new_changes.set()

    def take_active(self, serial: str, active: Iterable[ActiveAlert]) -> None:
        """The alerts that are active at a unit which numbers no events. In a greenlet."""
        for action in wait(asyncio.to_thread(self.actions.observe, serial, active)):
            what = f"{serial} {action.code}: action {action.id} is {action.state}"
            self.report(what, {"kind": "alert", "action": action.to_json()})
            self._new_changes.set()

    def tell_command(self, serial: str, command_id: int) -> None:
        """How a command stands after an attempt."""
        command = self.journal.command(command_id)
        shown = f"{serial} command {command.id}, {command.kind}, is {command.state}: {command.reason}"
        said = {"kind": "command", "command": command.to_json()}
        self.report(shown, said)
        for sink in self._mqtt:
            task = asyncio.get_running_loop().create_task(_tell(sink, serial, said))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    # Background

    async def _flush_always(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._flush()

    def _flush(self) -> None:
        if not self._batch:
            return
        try:
            self.spool.append(self._batch)
        except OSError as error:
            dropped = max(0, len(self._batch) - LONGEST_BACKLOG)
            del self._batch[:dropped]
            self._dropped += dropped
            said = f"the spool cannot be written: {error.strerror}; "
            said += "the oldest records are lost" if self._dropped else "what comes waits in memory"
            if said != self._spool_said:
                self._say(said)
            self._spool_said = said
            return
        if self._spool_said:
            self._say(f"the spool takes records again, {self._dropped} were lost")
            self._spool_said, self._dropped = "", 0
        self._batch = []
        for pump in self.pumps:
            pump.wake()

    async def _look_always(self) -> None:
        said = ""
        while True:
            try:
                due = await asyncio.to_thread(self.journal.due_serials)
            except Problem as problem:
                if problem.cause != said:
                    self._say(problem.cause)
                said = problem.cause
            else:
                self.due_serials |= due
                said = ""
            for pattern in self.config.hotplug:
                for port in sorted(glob.glob(pattern.port)):
                    if port not in self.runners:
                        self._add(replace(pattern, port=port))
            await asyncio.sleep(LOOK_SECONDS)

    def _add(self, unit: UnitConfig) -> None:
        runner = self.runners[unit.port] = UnitRunner(self, unit)
        self._tasks[unit.port] = asyncio.create_task(runner.run())

    async def _deliver_always(self, webhook: Webhook) -> None:
        delay = FIRST_DELAY
        while True:
            try:
                _, why = await asyncio.to_thread(deliver, self.actions, webhook)
            except Problem as problem:
                why = problem.cause
            if why and delay == FIRST_DELAY:
                self._say(f"{webhook.destination} takes no actions: {why}; they are kept for later")
            delay = min(2 * delay, 60.0) if why else FIRST_DELAY
            await asyncio.sleep(delay)

    async def _publish_always(self, sink: Any) -> None:
        while True:
            self._new_changes.clear()
            try:
                await self._publish(sink)
            except Problem:  # the broker or the registry; what was not published is so later
                await asyncio.sleep(5 * LOOK_SECONDS)
            else:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._new_changes.wait(), 10 * LOOK_SECONDS)

    async def _publish(self, sink: Any) -> None:
        for change in await asyncio.to_thread(self.actions.undelivered, sink.destination):
            try:
                await sink.event(change.action.serial, {"kind": "action", **change.to_json()})
            except NoAnswerError as problem:
                self.actions.note_delivery(
                    change, sink.destination, delivered=False, refused=False, detail=problem.cause
                )
                raise
            self.actions.note_delivery(change, sink.destination, delivered=True, refused=False, detail="published")

    def _say(self, text: str) -> None:
        self.report(text, {"kind": "gateway", "text": text})

    # Sinks

    def _webhook(self, options: Any) -> Webhook:
        secret = options.get("secret_file")
        return Webhook(options["url"], first_line(secret, "secret of the webhook") if secret else None)

    def _sink(self, name: str, options: Any) -> Sink:
        kind = options["kind"]
        if kind in ("jsonl", "sqlite"):
            from hw_bridge.sinks.files import JsonLines, Sqlite

            return (JsonLines if kind == "jsonl" else Sqlite)(name, Path(options["path"]), self.spool.id)
        if kind == "prometheus":
            from hw_bridge.sinks.prometheus import Prometheus

            return Prometheus(name, options.get("host", "127.0.0.1"), options["port"], self._numbers)
        if kind == "metrics":
            from hw_bridge.sinks.metrics import Metrics

            return Metrics(
                name,
                options["url"],
                state=self.config.spool / f"{name}.metrics",
                key_of=self._key_of,
                on_response=self._take_response,
                condensed=options.get("condensed", False),
                format_id=options.get("format_id"),
                every=options.get("every", 60.0),
                report=self._say,
            )
        return self._connect_mqtt(name, options)

    def _connect_mqtt(self, name: str, options: Any) -> Sink:
        from hw_bridge.sinks.mqtt import Mqtt

        password = options.get("password_file")
        sink = Mqtt(
            name,
            options["host"],
            options.get("port", 8883 if options.get("tls") else 1883),
            gateway=self.config.name,
            username=options.get("username"),
            password=first_line(password, "password for the broker") if password else None,
            tls=options.get("tls", False),
            home_assistant=options.get("home_assistant", True),
            on_command=self._take_command if options.get("commands") else None,
            report=self._say,
        )
        sink.start()
        self._mqtt.append(sink)
        return sink

    async def _take_command(self, serial: str, name: str, payload: str) -> None:
        """A command that came by MQTT: load (auto or off), or enter. It waits for its turn to be recorded."""
        try:
            if name == "load" and payload in ("auto", "off"):
                wanted = _Wanted(serial, "enable" if payload == "auto" else "disable")
            elif name == "enter":
                encode_token(payload)
                wanted = _Wanted(serial, "enter", strip_token(payload))
            else:
                raise PaygoError(f"there is no command {name[:20]!r} with that value", "load takes auto or off")
        except PaygoError as problem:
            self._say_wrong(serial, problem)
            return
        if len(self._wanted) >= MOST_WANTED:
            self._say(f"a command for {serial[:40]} by MQTT is dropped: {MOST_WANTED} wait for the registry already")
            return
        self._wanted.append(wanted)
        self._new_wanted.set()

    def _say_wrong(self, serial: str, problem: PaygoError) -> None:
        self._say(f"a command for {serial[:40]} by MQTT is wrong: {problem.cause}")

    async def _record_always(self) -> None:
        """Records what came by MQTT, until the gateway stops. While the registry takes nothing, it waits."""
        said = ""
        while not self.stopping:
            self._new_wanted.clear()
            why = await self._record_wanted()
            if why and why != said:
                self._say(f"commands by MQTT wait: {why}")
            said = why
            if why:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                await self._new_wanted.wait()

    async def _record_wanted(self) -> str:
        """Records what came by MQTT, in its order. Returns why the registry took no more, empty when it took all."""
        while self._wanted:
            wanted = self._wanted[0]
            try:
                command = await asyncio.to_thread(
                    self.journal.record, wanted.kind, serial=wanted.serial, token=wanted.token, by="MQTT"
                )
            except RegistryUnavailableError as problem:
                return problem.cause
            except PaygoError as problem:
                self._say_wrong(wanted.serial, problem)
            else:
                self.due_serials.add(wanted.serial)
                self.report(
                    f"{wanted.serial} command {command.id}, {command.kind}, came by MQTT",
                    {"kind": "command", "command": command.to_json()},
                )
            self._wanted.popleft()
        return ""

    async def _record_rest(self, recording: asyncio.Task[None]) -> None:
        """Ends the recording. What the registry does not take now is told, for nobody else knows of it."""
        self.stopping = True
        self._new_wanted.set()
        await asyncio.gather(recording, return_exceptions=True)
        why = await self._record_wanted()
        for wanted in self._wanted:
            self._say(f"{wanted.serial[:40]}: {wanted.kind}, which came by MQTT, is not recorded, give it again: {why}")

    def _take_response(self, serial: str, response: MetricsResponse) -> None:
        """Tokens that a Metrics server gives are entered, each once; what else it says is reported. In a thread. Raises
        NoAnswerError when the gateway stops before they are recorded: its readings are then sent again.
        """
        while True:
            try:
                self._record_tokens(serial, response)
                break
            except RegistryUnavailableError as problem:
                if self.stopping:
                    raise NoAnswerError(f"its tokens are not recorded: {problem.cause}") from None
                time.sleep(LOOK_SECONDS)
        for name in sorted(set(response.settings) - {"base_url"} - self._unknown_settings):
            self._unknown_settings.add(name)
            self._say(f"{serial}: the Metrics server sets {name!r}, which this gateway does not know")

    def _record_tokens(self, serial: str, response: MetricsResponse) -> None:
        given = {command.token for command in self.journal.commands(serial=serial)}
        for token in response.tokens:
            if token not in given:
                command = self.journal.record("enter", serial=serial, token=token, by="Metrics server")
                self._say(f"{serial} command {command.id}, enter, came from the Metrics server")

    def device(self, serial: str) -> Device:
        """The device with this serial. Raises PaygoError when the registry has none, or not its key."""
        return self._registry.device(serial)

    def _open_registry(self) -> Registry:
        """It stays open, since what opens its keys is slow on purpose. Keys that are needed are opened here, so that a
        wrong passphrase ends the gateway and not its units.
        """
        config = self.config
        registry = open_registry(
            config.registry, key_file=config.registry_key_file, passphrase_file=config.passphrase_file
        )
        try:
            if config.needs_keys:
                registry.open_keys()
        except BaseException:
            registry.close()
            raise
        return registry

    def _registry_key(self, serial: str) -> bytes | None:
        try:
            return self.device(serial).config.secret_key
        except Problem:
            return None

    def _numbers(self) -> dict[str, tuple[str, str, dict[str, float]]]:
        pumps = {pump.sink.name: pump for pump in self.pumps}
        return {
            "paygo_spool_pending": (
                "Records that wait.",
                "sink",
                {at: float(p.cursor.pending) for at, p in pumps.items()},
            ),
            "paygo_spool_lost": (
                "Records that a sink never got.",
                "sink",
                {at: float(p.cursor.lost) for at, p in pumps.items()},
            ),
            "paygo_actions": (
                "Events and actions.",
                "state",
                {at: float(n) for at, n in self.actions.counts().items()},
            ),
        }


async def _tell(sink: Any, serial: str, said: dict[str, Any]) -> None:
    with suppress(NoAnswerError):
        await sink.event(serial, said)


def _now() -> str:
    return utc_now().isoformat()
