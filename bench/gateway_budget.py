"""The gateway's budget: 256 units, a reading a second each, to SQLite and MQTT.

Usage: gateway_budget.py [SECONDS] [UNITS].

Starts a broker, the units and the gateway as processes, subscribes to all states, and counts. Tells whether the gateway
keeps its budgets, half a core and 200 MB, and fails when a reading is missing anywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import aiomqtt

MOST_CPU = 0.5
MOST_MB = 200.0
PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def start_broker(directory: Path, stack: ExitStack) -> int:
    """A mosquitto of our own on a free port."""
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        sys.exit("mosquitto is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nmax_inflight_messages 0\n"
        "max_queued_messages 0\n"
    )
    broker = stack.enter_context(subprocess.Popen([program, "-c", str(config)], stderr=subprocess.PIPE, text=True))
    stack.callback(broker.kill)
    assert broker.stderr is not None
    while "running" not in broker.stderr.readline():
        pass
    return port


def start_units(directory: Path, count: int, stack: ExitStack) -> None:
    """All units in one process."""
    script = str(Path(__file__).with_name("gateway_units.py"))
    units = stack.enter_context(
        subprocess.Popen(
            [sys.executable, script, str(directory), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    assert units.stdin is not None
    assert units.stdout is not None
    stack.callback(units.stdin.close)
    assert units.stdout.readline().startswith(f"{count} units")


def used(process: int) -> tuple[float, float]:
    """CPU seconds so far, and the largest resident memory in MB."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    peak = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return ticks / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1024


async def count_states(port: int, ready: asyncio.Event, seen: dict[str, int]) -> None:
    """Counts what is published, by unit; a repetition (QoS 1) counts once, by the time it was taken."""
    last: dict[str, str] = {}
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=0) as client:
        await client.subscribe("paygo/+/state", qos=1)
        ready.set()
        async for message in client.messages:
            said = json.loads(message.payload)  # type: ignore[arg-type]
            if last.get(said["serial"]) != said["at"]:
                last[said["serial"]] = said["at"]
                seen[said["serial"]] = seen.get(said["serial"], 0) + 1


async def measure(seconds: float, count: int, directory: Path, stack: ExitStack) -> bool:
    """Runs it all, prints the figures beside their budgets, and says whether every reading reached both sinks."""
    port = start_broker(directory, stack)
    start_units(directory, count, stack)
    config = directory / "gateway.toml"
    config.write_text(
        '[gateway]\nname = "bench"\ninterval = 1.0\n'
        f'[[hotplug]]\nports = "{directory}/unit*"\n'
        '[sink.sqlite]\nkind = "sqlite"\npath = "readings.db"\n'
        f'[sink.mqtt]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {port}\n'
    )
    ready = asyncio.Event()
    seen: dict[str, int] = {}
    counting = asyncio.create_task(count_states(port, ready, seen))
    await ready.wait()
    log = stack.enter_context((directory / "gateway.log").open("w"))
    gateway = stack.enter_context(subprocess.Popen([*PAYGO, "bridge", "gateway", str(config)], stdout=log, stderr=log))
    stack.callback(gateway.kill)
    while len(seen) < count:
        if gateway.poll() is not None:
            sys.exit((directory / "gateway.log").read_text())
        await asyncio.sleep(0.1)
    cpu_before, began, had = used(gateway.pid)[0], time.monotonic(), sum(seen.values())
    await asyncio.sleep(seconds)
    passed, (cpu, peak), got = time.monotonic() - began, used(gateway.pid), sum(seen.values())
    gateway.send_signal(signal.SIGTERM)
    await asyncio.to_thread(gateway.wait, 60)
    with closing(sqlite3.connect(directory / "readings.db")) as database:
        stored = dict(database.execute("SELECT serial, count(*) FROM telemetry GROUP BY serial").fetchall())
    for _ in range(100):
        if sum(seen.values()) >= sum(stored.values()):
            break
        await asyncio.sleep(0.1)
    counting.cancel()
    expected = count * passed
    share = (cpu - cpu_before) / passed
    lost = sum(stored.values()) - sum(seen.values())
    print(
        f"{count} units for {passed:.0f} s: {got - had} readings, {100 * (got - had) / expected:.1f} % of one a second"
    )
    print(f"stored in SQLite {sum(stored.values())}, published by MQTT {sum(seen.values())}, missing {lost}")
    for name, kept in (
        (f"{100 * share:.1f} % of one core, budget 50", share <= MOST_CPU),
        (f"{peak:.0f} MB, budget 200", peak <= MOST_MB),
        ("a reading a second", got - had >= 0.99 * expected - count),
    ):
        print(f"gateway: {name}: {'kept' if kept else 'MISSED'}")
    return stored == seen


def main() -> None:
    """The command line."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not asyncio.run(measure(seconds, count, directory, stack)):
            sys.exit("readings were lost")


if __name__ == "__main__":
    main()
