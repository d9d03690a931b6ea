"""OpenPAYGO Metrics over HTTP: readings go to a server, its tokens to the journal, its settings are applied.

One request a unit and batch: the newest reading as `data`, the earlier ones as `historical_data`. Counts and times of
requests are on the disk before they are sent. What was sent counts as delivered when the server has answered. Readings
that it refuses for good lie in a file beside the state, as JSON lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hw_bridge.sinks import BATCH, Record
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.http_post import post
from paygo_core.wire.metrics_request import DataFormat, MetricsResponse, decode_response, encode_request

TOO_LARGE = 413
REFUSALS = frozenset({400, 401, 403, 404, TOO_LARGE, 422})
"""HTTP statuses that say no to this request for good; one that is too large is first cut in halves."""
LARGEST_QUARANTINE = 2**20
"""Bytes."""
ORDER = (
    "battery_voltage",
    "battery_current",
    "panel_voltage",
    "panel_current",
    "panel_power",
    "load_voltage",
    "load_current",
    "load_power",
    "temperature",
    "state_of_charge",
    "output",
    "token_count",
    "tampered",
    "firmware_version",
)
"""Of values in a condensed request; historical readings have `timestamp` before them."""


class Metrics:
    """Posts to `url`.

    key_of: the 16 bytes of a unit's secret key, None for a unit that has none: its requests are not authenticated.
    on_response: gets serial and response. state: file for counts and for a base_url that the server set. every:
    seconds between requests.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        state: Path,
        key_of: Callable[[str], bytes | None],
        on_response: Callable[[str, MetricsResponse], None],
        condensed: bool = False,
        format_id: int | None = None,
        every: float = 60.0,
        report: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.name, self.every, self.url = name, every, url
        self._configured = url
        self._state, self._key_of, self._on_response, self._report = state, key_of, on_response, report
        self._format = DataFormat(ORDER, ("timestamp", *ORDER), format_id) if condensed else None
        self._most = BATCH
        self._done: dict[str, int] = {}
        """The number of each serial's last record that is taken or refused, of a batch that is not yet through."""
        self._last: dict[str, tuple[int, int]] = {}
        if state.exists():
            kept = json.loads(state.read_text("utf-8"))
            self._last = {serial: (count, at) for serial, (count, at) in kept["last"].items()}
            if kept["configured"] == url:
                self.url = kept["url"]

    async def write(self, records: Sequence[Record]) -> None:
        by_serial: dict[str, list[Record]] = {}
        for record in records:
            if record.kind == "telemetry":
                by_serial.setdefault(record.serial, []).append(record)
        for serial, found in by_serial.items():
            done = self._done.get(serial, -1)
            await asyncio.to_thread(self._deliver, serial, [record for record in found if record.number > done])
        self._done.clear()

    async def close(self) -> None:
        """Nothing is held between writes."""

    def _deliver(self, serial: str, records: list[Record]) -> None:
        """All of them in order, as many in a request as the server takes."""
        while records:
            part = records[: self._most]
            status = self._send(serial, part)
            if status == TOO_LARGE and len(part) > 1:
                self._most = len(part) // 2
                continue
            if status in REFUSALS:
                self._refused(serial, part, status)
                self._most = BATCH  # it was the reading, and not how many they were
            self._done[serial] = part[-1].number
            records = records[len(part) :]

    def _refused(self, serial: str, records: Sequence[Record], status: int) -> None:
        """Quarantines them, as far as there is room."""
        place = self._state.with_suffix(".refused")
        lines = "".join(json.dumps({"status": status, **record.to_json()}, default=str) + "\n" for record in records)
        try:
            with place.open("a", encoding="utf-8") as file:
                room = file.tell() + len(lines) <= LARGEST_QUARANTINE
                file.write(lines if room else "")
        except OSError as error:
            raise NoAnswerError(f"{place.name} takes nothing: {error.strerror}") from None
        kept = f"they are in {place.name}" if room else f"{place.name} is full, and they are dropped"
        self._report(f"{self.name} refused {len(records)} readings of {serial}: it answered {status}; {kept}")

    def _send(self, serial: str, records: Sequence[Record]) -> int:
        """One request. Returns what the server answered, if it is taken or refused for good."""
        key = self._key_of(serial)
        count, last_at = self._last.get(serial, (0, 0))
        count, at = count + 1, max(last_at + 1, int(time.time()))
        self._last[serial] = count, at
        self._keep()
        *earlier, newest = records
        body = encode_request(
            serial,
            key,
            timestamp=at,
            request_count=count,
            collected_at=_seconds(newest.at),
            data=_named(newest.said),
            historical=[{"timestamp": _seconds(record.at), **_named(record.said)} for record in earlier],
            data_format=self._format,
        )
        status, answer = post(self.url, body, {"Content-Type": "application/json"})
        if status in REFUSALS:
            return status
        if not 200 <= status < 300:
            raise NoAnswerError(f"the server answered {status}")
        try:
            response = decode_response(answer, serial, key, timestamp=at, request_count=count)
        except DeviceError as problem:
            self._report(f"{self.name}, {serial}: {problem.cause}")
            return status
        self._apply(response)
        self._on_response(serial, response)
        return status

    def _apply(self, response: MetricsResponse) -> None:
        base = response.settings.get("base_url")
        if base is None or base == self.url:
            return
        safe = "https://" if self.url.startswith("https://") else ("https://", "http://")
        if not isinstance(base, str) or not base.startswith(safe) or not base.isascii() or not base.isprintable():
            self._report(f"{self.name}: the server's new base_url is no URL of the same safety, and is not used")
            return
        self.url = base
        with contextlib.suppress(NoAnswerError):  # the next request keeps it; this one was taken
            self._keep()
        self._report(f"{self.name}: the server moves this gateway to another base_url")

    def _keep(self) -> None:
        new = self._state.with_suffix(".new")
        kept = {"configured": self._configured, "url": self.url, "last": self._last}
        try:
            new.write_text(json.dumps(kept), "utf-8")
            new.replace(self._state)
        except OSError as error:
            raise NoAnswerError(f"{self._state.name} cannot be written: {error.strerror}") from None


def _seconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


def _named(said: dict[str, Any]) -> dict[str, Any]:
    """A reading under the names of Metrics, where a current that charges is negative."""
    values = {name: said[name] for name in ORDER if name in said}
    if "battery_current" in values:
        values["battery_current"] = 0.0 - values["battery_current"]
    return values
