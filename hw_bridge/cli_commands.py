"""`paygo bridge enter, enable, disable, commands`: commands that are recorded first and confirmed by the unit."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from hw_bridge.cli_port import Connect, connect_to, duration, port_options
from paygo_core.cli_registry import registry_options
from paygo_core.decoding import strip_token
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError
from paygo_core.shell import FiniteFloat, emit, note, output_options

if TYPE_CHECKING:
    from hw_bridge.commands import Command, CommandJournal, Kind

_HINTS = {
    "used before": "issue a new token; entering this one again has no effect",
    "answer was lost": "compare 'paygo bridge status' with what is due before issuing another",
    "not know": "look at its digits, and whether it was issued for this unit; more wrong entries make the unit wait",
    "it waits": "'paygo bridge commands run PORT' enters it after that",
}


def _wait_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--wait",
        type=FiniteFloat(min=0),
        default=0.0,
        metavar="SECONDS",
        help="Keep trying so long when no answer comes.  [default: one attempt]",
    )(command)


@click.command()
@port_options
@click.argument("token", required=False)
@_wait_option
@registry_options
@output_options
def enter(connect: Connect, token: str | None, wait: float, registry_path: str, as_json: bool) -> None:
    """Enter TOKEN, spaces and hyphens allowed. The exit status is 0 only if the unit accepted it.

    The entry is recorded first, in the registry's file, and stays open until the unit's status confirms it: see 'paygo
    bridge commands'. The same token again goes on where an interrupted entry stopped.

    \b
      paygo bridge enter /dev/ttyUSB0 "016 609 796"
      PAYGO_PORT=/dev/ttyUSB0 paygo bridge enter 016609796
    """
    from paygo_core.wire.hdk import encode_token

    if token is None:  # the only argument was taken for the port
        place = os.environ.get("PAYGO_PORT")
        if place is None:
            raise click.UsageError("Missing argument 'TOKEN'.")
        token, connect = connect.args[0], functools.partial(connect_to, place, *connect.args[1:])  # type: ignore[attr-defined]
    assert token is not None
    encode_token(token)  # a typing error is refused before anything is recorded
    done, entry = _record_and_run("enter", connect, strip_token(token), wait, registry_path)
    if as_json:
        emit({**(asdict(entry) if entry else {}), "command": done.to_json()})
    _require_confirmed(done)
    if not as_json:
        left = done.acknowledged_seconds
        click.echo(f"accepted; {'unlocked for good' if left is None else f'{duration(left)} of credit left'}")


@click.command()
@port_options
@_wait_option
@registry_options
@output_options
def enable(connect: Connect, wait: float, registry_path: str, as_json: bool) -> None:
    """Give the output back to credit and protections, after 'disable'. Not for an un-extended HDK.

    \b
      paygo bridge enable /dev/ttyUSB0
    """
    _move_switch("enable", connect, wait, registry_path, as_json)


@click.command()
@port_options
@_wait_option
@registry_options
@output_options
def disable(connect: Connect, wait: float, registry_path: str, as_json: bool) -> None:
    """Switch the customer's output off, whatever the credit. Not for an un-extended HDK.

    Credit and tokens are untouched; 'enable' takes this back. To take PAYG off a unit for good, enter an unlock token.

    \b
      paygo bridge disable /dev/ttyUSB0
      paygo bridge disable /dev/ttyUSB0 --wait 3600
    """
    _move_switch("disable", connect, wait, registry_path, as_json)


def _move_switch(kind: Kind, connect: Connect, wait: float, registry_path: str, as_json: bool) -> None:
    done, load = _record_and_run(kind, connect, None, wait, registry_path)
    if as_json:
        emit({**(asdict(load) if load else {}), "command": done.to_json()})
    _require_confirmed(done)
    if not as_json:
        shown = (
            f"the switch is at {load.switch}, the output is {'on' if load.output else 'off'}" if load else done.reason
        )
        click.echo(shown)


def _require_confirmed(command: Command) -> None:
    if command.state == "confirmed":
        return
    hint = next((hint for words, hint in _HINTS.items() if words in command.reason), "")
    if command.open:
        hint = f"command {command.id} stays open: {command.what_to_do()}"
    raise DeviceError(command.reason, hint)


def _record_and_run(
    kind: Kind, connect: Connect, token: str | None, wait: float, registry_path: str
) -> tuple[Command, Any]:
    """The command as it then is, and the unit's answer to it, None when it was not sent."""
    from hw_bridge.commands import CommandJournal
    from hw_bridge.drivers import require
    from hw_bridge.store import operator

    port = connect.args[0]  # type: ignore[attr-defined]
    until = time.monotonic() + wait
    command: Command | None = None
    with CommandJournal.open(registry_path) as journal:
        while True:
            try:
                with connect() as unit:
                    require(unit, "enter" if kind == "enter" else "switch_load")
                    if command is None:
                        serial = _serial_of(unit)
                        command = journal.record(kind, serial=serial, port=port, token=token, by=operator())
                        _mention_others(journal, command)
                    return _run(journal, command.id, unit)
            except (NoAnswerError, PortError) as problem:
                delay = 2.0
                if command is not None:
                    command = journal.command(command.id)
                    problem.hint = f"command {command.id} stays open: {command.what_to_do()}"
                    if command.next_try_at is not None:
                        delay = (command.next_try_at - command.attempts[-1].started_at).total_seconds()
                if time.monotonic() + delay > until:
                    raise
                note(f"paygo: {problem.cause}; again in {delay:.0f} s")
                time.sleep(delay)


def _serial_of(unit: Any) -> str | None:
    from hw_bridge.drivers import identify

    info = identify(unit)
    return info.serial if info is not None and info.serial else None


def _run(journal: CommandJournal, command_id: int, unit: Any) -> tuple[Command, Any]:
    from hw_bridge.carry_out import carry_out

    answers: list[Any] = []
    done = carry_out(journal, command_id, unit, answers.append)
    return done, answers[-1] if answers else None


def _mention_others(journal: CommandJournal, command: Command) -> None:
    others = [other for other in journal.commands(open_only=True, serial=command.serial) if other.id != command.id]
    if others and command.serial:
        note(f"paygo: {len(others)} more open for {command.serial}: 'paygo bridge commands' lists them")


@click.group(invoke_without_command=True)
@registry_options
@output_options
@click.pass_context
def commands(ctx: click.Context, registry_path: str, as_json: bool) -> None:
    """Commands to units: what is open, why, and what can be done about it. Without a word more: list.

    A command is recorded before it is sent and stays open until the unit's own status confirms it, the unit refuses
    it, or it expires, after a day if nothing else is said.

    \b
      paygo bridge commands
      paygo bridge commands add SLT220000001 disable
      paygo bridge commands run /dev/ttyUSB0
    """
    given = {"registry_path": registry_path, "as_json": as_json}
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_commands, show_all=False, serial=None, **given)
    else:
        ctx.default_map = {ctx.invoked_subcommand: given}


def _opened(path: str) -> CommandJournal:
    from hw_bridge.commands import CommandJournal

    return CommandJournal.open(path)


@commands.command("list")
@click.option("--all", "show_all", is_flag=True, help="Also what is no longer open.")
@click.option("--serial", help="Of this unit only.")
@registry_options
@output_options
def list_commands(show_all: bool, serial: str | None, registry_path: str, as_json: bool) -> None:
    """List what is open, oldest first, each with its reason and what an operator can do.

    \b
      paygo bridge commands list
      paygo bridge commands list --all --serial SLT220000001 --json
    """
    with _opened(registry_path) as journal:
        found = journal.commands(open_only=not show_all, serial=serial)
    for command in found:
        if as_json:
            emit(command.to_json())
        else:
            click.echo(_line(command))
    if not found and not as_json:
        click.echo("no command" if show_all else "no command is open")


def _line(command: Command) -> str:
    unit = command.serial or command.port
    tries = f" ({len(command.attempts)} attempts)" if command.attempts else ""
    line = f"{command.id} {unit} {command.kind} {command.state}{tries}: {command.reason}"
    return line + (f"\n  {command.what_to_do()}" if command.what_to_do() else "")


@commands.command()
@click.argument("command_id", type=int)
@registry_options
@output_options
def show(command_id: int, registry_path: str, as_json: bool) -> None:
    """Show one command with every attempt.

    \b
      paygo bridge commands show 3
    """
    with _opened(registry_path) as journal:
        command = journal.command(command_id)
    if as_json:
        emit(command.to_json())
        return
    click.echo(_line(command))
    click.echo(f"  recorded {command.created_at:%Y-%m-%d %H:%M:%S} by {command.created_by}")
    for attempt in command.attempts:
        sent = "sent" if attempt.sent else "not sent"
        click.echo(f"  {attempt.started_at:%Y-%m-%d %H:%M:%S} {sent}, {attempt.outcome or 'running'}: {attempt.detail}")


@commands.command()
@click.argument("serial")
@click.argument("kind", type=click.Choice(["enable", "disable", "enter"]))
@click.argument("token", required=False)
@click.option(
    "--expires",
    type=FiniteFloat(min=0, min_open=True),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="When it is no longer wanted.",
)
@registry_options
@output_options
def add(serial: str, kind: Kind, token: str | None, expires: float, registry_path: str, as_json: bool) -> None:
    """Record a command for a unit that is not at hand; a gateway, or 'commands run', carries it out.

    \b
      paygo bridge commands add SLT220000001 disable
      paygo bridge commands add SLT220000001 enter "016 609 796" --expires 168
    """
    from hw_bridge.store import operator
    from paygo_core.wire.hdk import encode_token

    if (kind == "enter") != (token is not None):
        raise PaygoError("enter takes a token, enable and disable take none", "for example: enter 016609796")
    if token is not None:
        encode_token(token)
    with _opened(registry_path) as journal:
        digits = None if token is None else strip_token(token)
        lifetime = timedelta(hours=min(expires, 24.0 * 3660))
        command = journal.record(kind, serial=serial, token=digits, by=operator(), lifetime=lifetime)
    emit(command.to_json()) if as_json else click.echo(_line(command))


@commands.command("run")
@port_options
@registry_options
@output_options
def run_commands(connect: Connect, registry_path: str, as_json: bool) -> None:
    """Carry out now what is due for the unit on PORT.

    \b
      paygo bridge commands run /dev/ttyUSB0
    """
    from hw_bridge.carry_out import carry_out

    failed = 0
    with _opened(registry_path) as journal, connect() as unit:
        serial = _serial_of(unit)
        port = connect.args[0]  # type: ignore[attr-defined]
        tried: set[int] = set()
        while due := [command for command in journal.due(serial, port) if command.id not in tried]:
            for command in due:
                tried.add(command.id)
                try:
                    done = carry_out(journal, command.id, unit)
                except DeviceError:
                    done = journal.command(command.id)
                failed += done.state != "confirmed"
                emit(done.to_json()) if as_json else click.echo(_line(done))
        if not tried and not as_json:
            click.echo(f"nothing is due for {serial or port}")
    if failed:
        raise DeviceError(f"{failed} of {len(tried)} commands are not confirmed", "'paygo bridge commands' says why")


@commands.command()
@click.argument("command_id", type=int)
@registry_options
@output_options
def retry(command_id: int, registry_path: str, as_json: bool) -> None:
    """Let an open command be tried at once, also one that is held; the next 'run' or the gateway does it.

    A command is held when sending it again could count twice, as with an un-extended HDK. Look at the unit first.

    \b
      paygo bridge commands retry 3
    """
    from hw_bridge.store import operator

    with _opened(registry_path) as journal:
        command = journal.retry(command_id, operator())
    emit(command.to_json()) if as_json else click.echo(_line(command))


@commands.command()
@click.argument("command_id", type=int)
@registry_options
@output_options
def cancel(command_id: int, registry_path: str, as_json: bool) -> None:
    """End an open command. What was sent already may have had its effect.

    \b
      paygo bridge commands cancel 3
    """
    from hw_bridge.store import operator

    with _opened(registry_path) as journal:
        command = journal.cancel(command_id, operator())
    emit(command.to_json()) if as_json else click.echo(_line(command))
