"""MQTT: retained state and availability of each unit, a last will, Home Assistant discovery, events and commands.

Topics: `paygo/<serial>/state`, one JSON, retained; `paygo/<serial>/availability`, online or offline, retained;
`paygo/<serial>/event`, changes of actions and ends of commands; `paygo/<serial>/cmd/load` (auto or off) and
`/cmd/enter` (a token), if commands are allowed; `paygo/gateway/<name>/availability`, whose last will is offline. Keys
are never published, tokens neither. Everything goes at QoS 1: at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote

from hw_bridge.sinks import Record
from hw_bridge.sinks.home_assistant import discovery
from paygo_core.errors import NoAnswerError, PaygoError

try:
    import aiomqtt
except ImportError:
    raise PaygoError("MQTT needs aiomqtt", "pip install 'paygo-solar[gateway]'") from None

_SILENT = logging.getLogger("paygo.mqtt")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

CONNECT_SECONDS = 10.0
LONGEST_DELAY = 30.0
LONGEST_PAYLOAD = 256
"""Characters of a command."""

OnCommand = Callable[[str, str, str], Awaitable[None]]
"""Serial, name of the command, payload."""


class Mqtt:
    """A connection to a broker that is made again whenever it is lost. Start it before it is written to.

    on_command: None when the broker may give no commands.
    """

    every = 0.0

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        gateway: str,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        home_assistant: bool = True,
        on_command: OnCommand | None = None,
        report: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.name = name
        self.destination = f"mqtt://{host}:{port}"
        self._gateway = f"paygo/gateway/{quote(gateway, safe='')}/availability"
        self._options: dict[str, Any] = {
            "hostname": host,
            "port": port,
            "username": username,
            "password": password,
            "identifier": f"paygo-{gateway}",
            "timeout": CONNECT_SECONDS,
            "will": aiomqtt.Will(self._gateway, "offline", qos=1, retain=True),
            "logger": _SILENT,
            "max_inflight_messages": 200,
            "max_concurrent_outgoing_calls": 1000,
        }
        if tls:
            self._options["tls_params"] = aiomqtt.TLSParameters()
        self._home_assistant, self._on_command, self._report = home_assistant, on_command, report
        self._client: aiomqtt.Client | None = None
        self._why = "not connected yet"
        self._announced: set[str] = set()
        self._known: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    def start(self) -> None:
        """Begins to connect."""
        self._task = asyncio.create_task(self._run())

    async def connected(self) -> None:
        """Waits until there is a connection."""
        await self._connected.wait()

    async def write(self, records: Sequence[Record]) -> None:
        client = self._require()
        sends = []
        for record in records:
            prefix = self._prefix(record.serial)
            if record.serial not in self._announced:
                self._announced.add(record.serial)
                self._known.add(record.serial)
                sends += self._announcement(client, record.serial)
            if record.kind == "health":
                sends.append(
                    client.publish(
                        f"{prefix}/availability", "online" if record.said["online"] else "offline", qos=1, retain=True
                    )
                )
            else:
                said = json.dumps({"at": record.at, **record.said}, separators=(",", ":"))
                sends.append(client.publish(f"{prefix}/state", said, qos=1, retain=True))
        await self._all(sends)

    async def event(self, serial: str, said: dict[str, Any]) -> None:
        """Publishes an event of a unit. Raises NoAnswerError when the broker does not take it."""
        text = json.dumps(said, separators=(",", ":"), default=str)
        await self._all([self._require().publish(f"{self._prefix(serial)}/event", text, qos=1)])

    async def close(self) -> None:
        """Says offline, and disconnects."""
        if self._client is not None:
            with contextlib.suppress(NoAnswerError):
                await self._all([self._client.publish(self._gateway, "offline", qos=1, retain=True)])
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _require(self) -> aiomqtt.Client:
        if self._client is None:
            raise NoAnswerError(f"{self.destination}: {self._why}")
        return self._client

    async def _all(self, sends: Sequence[Any]) -> None:
        results = await asyncio.gather(*sends, return_exceptions=True)
        for result in results:
            if isinstance(result, (aiomqtt.MqttError, OSError, TimeoutError)):
                raise NoAnswerError(f"{self.destination}: {result}")
            if isinstance(result, BaseException):
                raise result

    def _prefix(self, serial: str) -> str:
        return f"paygo/{quote(serial, safe='')}"

    def _announcement(self, client: aiomqtt.Client, serial: str) -> list[Any]:
        if not self._home_assistant:
            return []
        topic, payload = discovery(serial, self._prefix(serial), self._gateway, self._on_command is not None)
        return [client.publish(topic, json.dumps(payload), qos=1, retain=True)]

    async def _run(self) -> None:
        delay = 1.0
        while True:
            try:
                async with aiomqtt.Client(**self._options) as client:
                    if self._home_assistant:
                        await client.subscribe("homeassistant/status", qos=1)
                    if self._on_command is not None:
                        await client.subscribe("paygo/+/cmd/+", qos=1)
                    await client.publish(self._gateway, "online", qos=1, retain=True)
                    self._client, delay = client, 1.0
                    self._connected.set()
                    async for message in client.messages:
                        await self._take(client, message)
            except (aiomqtt.MqttError, OSError, NoAnswerError, ValueError) as error:  # the last for no host's name
                self._why = str(error)
            finally:
                self._client = None
                self._connected.clear()
                self._announced.clear()
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _take(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        payload = message.payload if isinstance(message.payload, (bytes, bytearray)) else b""
        text = bytes(payload[:LONGEST_PAYLOAD]).decode("utf-8", "replace").strip()
        if topic == "homeassistant/status":
            if text == "online":  # it has just started, and knows nothing
                for serial in sorted(self._known):
                    await self._all(self._announcement(client, serial))
        elif self._on_command is not None and not message.retain:  # a kept command would be given at each start
            _, serial, _, name = topic.split("/", 3)
            await self._on_command(unquote(serial), name, text)
