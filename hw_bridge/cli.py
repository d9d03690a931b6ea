"""The command group `paygo bridge`: drives a unit on a cable."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hw_bridge.cli_alerts import alerts
from hw_bridge.cli_battery import battery
from hw_bridge.cli_commands import commands, disable, enable, enter
from hw_bridge.cli_gateway import gateway
from hw_bridge.cli_port import Connect, credit, port_options
from hw_bridge.cli_provision import provision
from hw_bridge.cli_reconcile import reconcile
from hw_bridge.cli_replay import replay
from hw_bridge.cli_scan import scan
from hw_bridge.drivers import active_alerts, capabilities, identify, require
from paygo_core.cli_registry import registry_options
from paygo_core.errors import DeviceError
from paygo_core.shell import FiniteFloat, emit, note, output_options
from paygo_core.telemetry import QUANTITIES, Telemetry

if TYPE_CHECKING:
    from hw_bridge.actions import Action, ActionStore
    from paygo_core.wire.hdk import Alert


@click.group()
def bridge() -> None:
    """Drive a unit on a cable.

    A PORT is anything that pyserial opens: a device, a pty path, socket://host:port or rfc2217://host:port. It can
    also come from the environment, PAYGO_PORT. What kind of unit is on it says --driver.

    \b
      paygo bridge status /dev/ttyUSB0
      paygo bridge enter /dev/ttyUSB0 "016 609 796"
    """


@bridge.command()
@port_options
@output_options
def status(connect: Connect, as_json: bool) -> None:
    """Say what the customer may use, and who the unit is, as far as it knows.

    \b
      paygo bridge status /dev/ttyUSB0
      paygo bridge status socket://rig.local:4000 --json
    """
    with connect() as driver:
        able = capabilities(driver)
        info = identify(driver)
        now = driver.status() if "status" in able else None
    if as_json:
        left = asdict(now) if now else {"state": None, "seconds_left": None}
        emit({"extended": getattr(driver, "extended", None), "info": asdict(info) if info else None, **left})
        return
    if info is not None:
        shown = [f"{info.model} {info.board}".strip()] if info.model or info.board else []
        shown += [f"firmware {info.firmware}"] if info.firmware else []
        shown += [f"count {info.last_count}"] if now else []
        click.echo(f"{info.serial or 'no serial'}: {', '.join(shown)}")
    click.echo(credit(now) if now else "it knows no tokens: what the customer may use is up to who switches it")


@bridge.command()
@port_options
@output_options
def telemetry(connect: Connect, as_json: bool) -> None:
    """Show what the unit measures. Not for an un-extended HDK.

    battery_current is positive while the battery charges; state_of_charge lies between 0 and 1.

    \b
      paygo bridge telemetry /dev/ttyUSB0
      paygo bridge telemetry /dev/ttyUSB0 --json | jq .battery_voltage
      paygo bridge telemetry /dev/ttyUSB1 --driver epever
    """
    with connect() as driver:
        require(driver, "telemetry")
        reading = driver.telemetry()
    if as_json:
        emit(reading.to_json())
        return
    said = reading.to_json()
    extra = said.pop("extra")
    for name, value in {**said, **extra}.items():
        click.echo(f"{name:<20} {value} {QUANTITIES.get(name, '')}".rstrip())


@bridge.command()
@port_options
@click.option(
    "--interval",
    type=FiniteFloat(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between readings.",
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many readings.  [default: run until Ctrl-C]")
@registry_options
@output_options
def watch(connect: Connect, interval: float, count: int | None, registry_path: str, as_json: bool) -> None:
    """Show readings and alerts as they come: a table on a terminal, else a line each. Not for an un-extended HDK.

    Every alert is stored as an action in the registry's file before the unit is told that it may forget it. A unit that
    numbers no events, such as a plain charger, is asked with each reading what is wrong with it.

    \b
      paygo bridge watch /dev/ttyUSB0 --interval 10 --registry fleet.db
      paygo bridge watch /dev/ttyUSB0 --json --count 1
    """
    from hw_bridge.actions import ActionStore
    from hw_bridge.live_table import LiveUnit

    with ExitStack() as owner:
        driver = owner.enter_context(connect())
        store = owner.enter_context(ActionStore.open(registry_path))
        require(driver, "telemetry")
        table = None
        if sys.stdout.isatty() and not as_json:
            table = owner.enter_context(LiveUnit(connect.args[0]))  # type: ignore[attr-defined]
        for taken in itertools.count(1):
            due = time.monotonic() + interval
            reading = driver.telemetry()
            serial = reading.serial or Path(connect.args[0]).name  # type: ignore[attr-defined]
            if table is not None:
                table.show(reading, serial)
            else:
                emit({"kind": "telemetry", **reading.to_json()}) if as_json else click.echo(
                    _reading_line(reading, serial)
                )
            last = taken == count
            say = None if as_json else click.echo if table is None else table.say
            if (active := active_alerts(driver)) is not None:
                for action in store.observe(serial, active):
                    _show_action(action, say)
            _take_alerts(driver, store, serial, 0.0 if last else due, say)
            if last:
                return


def _take_alerts(driver: Any, store: ActionStore, serial: str, until: float, say: Callable[[str], None] | None) -> None:
    """Stores and acknowledges alerts as they come. say: None for JSON on standard output."""
    while True:
        left = max(0.0, until - time.monotonic())
        if "poll" not in capabilities(driver):
            time.sleep(left)
            return
        for alert in driver.poll(left):
            try:
                action = store.record(serial, alert)
                _show_alert(action, alert, serial, say)
                driver.acknowledge(alert)
            except DeviceError as problem:
                note(f"paygo: {problem.cause} ({problem.hint})")
        if not left:
            return


def _show_alert(action: Action | None, alert: Alert, serial: str, say: Callable[[str], None] | None) -> None:
    if say is None:
        emit({"kind": "alert", "serial": serial, **asdict(alert), "action": asdict(action) if action else None})
        return
    change = "raised" if alert.raised else "cleared"
    became = f"action {action.id} is {action.state}" if action else "known already"
    say(f"{serial} alert {alert.code} {change}{_value(alert)}: {became}")


def _show_action(action: Action, say: Callable[[str], None] | None) -> None:
    """An action that what is active now has changed."""
    if say is None:
        emit({"kind": "action", **action.to_json()})
        return
    change = "cleared" if action.state == "resolved" else f"raised{_value(action)}"
    say(f"{action.serial} alert {action.code} {change}: action {action.id} is {action.state}")


def _value(about: Alert | Action) -> str:
    return "" if about.unit in ("1", "none") else f" {about.value} {about.unit}"


def _reading_line(reading: Telemetry, serial: str) -> str:
    said = reading.to_json()
    shown = [f"{name} {said[name]:g} {unit}" for name, unit in QUANTITIES.items() if unit and name in said]
    if reading.state_of_charge is not None:
        shown.append(f"state_of_charge {reading.state_of_charge:.0%}")
    if reading.output is not None:
        shown.append(f"output {'on' if reading.output else 'off'}")
    return f"{serial} " + ", ".join(shown)


for command in (alerts, battery, commands, disable, enable, enter, gateway, provision, reconcile, replay, scan):
    bridge.add_command(command)
