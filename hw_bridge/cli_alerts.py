"""`paygo bridge alerts`: the actions that alerts became, and whether they reached other systems."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from paygo_core.cli_registry import registry_options
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.shell import emit, output_options

if TYPE_CHECKING:
    from hw_bridge.actions import Action, ActionStore


@click.group(invoke_without_command=True)
@click.option("--audit", is_flag=True, help="As 'alerts audit'.")
@registry_options
@output_options
@click.pass_context
def alerts(ctx: click.Context, audit: bool, registry_path: str, as_json: bool) -> None:
    """What units raised, as actions for people: open, acknowledged, resolved. Without a word more: list.

    An alert is one action while it lasts, however often the unit says it; one that returns within a day opens its
    action again. 'bridge watch' and a gateway take alerts from units.

    \b
      paygo bridge alerts
      paygo bridge alerts ack 3 --note "driving there"
      paygo bridge alerts --audit
    """
    given = {"registry_path": registry_path, "as_json": as_json}
    if ctx.invoked_subcommand is not None:
        ctx.default_map = {ctx.invoked_subcommand: given}
    elif audit:
        ctx.invoke(audit_alerts, **given)
    else:
        ctx.invoke(list_actions, show_all=False, **given)


def _opened(path: str) -> ActionStore:
    from hw_bridge.actions import ActionStore

    return ActionStore.open(path)


@alerts.command("list")
@click.option("--all", "show_all", is_flag=True, help="Also what is resolved.")
@registry_options
@output_options
def list_actions(show_all: bool, registry_path: str, as_json: bool) -> None:
    """List what is not resolved, oldest first.

    \b
      paygo bridge alerts list
      paygo bridge alerts list --all --json
    """
    with _opened(registry_path) as store:
        found = store.actions() if show_all else store.open_actions()
    for action in found:
        emit(action.to_json()) if as_json else click.echo(_line(action))
    if not found and not as_json:
        click.echo("no action" if show_all else "no action is open")


def _line(action: Action) -> str:
    value = f" {action.value} {action.unit}" if action.unit not in ("1", "none") else ""
    who = ""
    if action.state == "acknowledged":
        who = f" by {action.acknowledged_by}"
    elif action.state == "resolved":
        who = f" by {action.resolved_by}"
    times = f", raised {action.times} times" if action.times > 1 else ""
    return f"{action.id} {action.serial} {action.code}{value}: {action.state}{who}, since {_at(action)}{times}"


def _at(action: Action) -> str:
    return f"{action.opened_at:%Y-%m-%d %H:%M:%S} UTC"


@alerts.command()
@click.argument("action_id", type=int)
@registry_options
@output_options
def show(action_id: int, registry_path: str, as_json: bool) -> None:
    """Show one action and everything that happened to it.

    \b
      paygo bridge alerts show 3
    """
    with _opened(registry_path) as store:
        changes = store.changes(action_id)
    action = changes[-1].action if changes else None
    if as_json:
        emit(
            {
                **(action.to_json() if action else {}),
                "changes": [_without_action(change.to_json()) for change in changes],
            }
        )
        return
    if action is not None:
        click.echo(_line(action))
    for change in changes:
        note = f": {change.note}" if change.note else ""
        click.echo(f"  {change.at:%Y-%m-%d %H:%M:%S} {change.what} by {change.who or 'somebody'}{note}")


def _without_action(said: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in said.items() if name != "action"}


@alerts.command()
@click.argument("action_id", type=int)
@click.option("--note", default="", help="For the record.")
@registry_options
@output_options
def ack(action_id: int, note: str, registry_path: str, as_json: bool) -> None:
    """Somebody is on it.

    \b
      paygo bridge alerts ack 3 --note "driving there"
    """
    from hw_bridge.store import operator

    with _opened(registry_path) as store:
        action = store.acknowledge(action_id, operator(), note)
    emit(action.to_json()) if as_json else click.echo(_line(action))


@alerts.command()
@click.argument("action_id", type=int)
@click.option("--note", default="", help="For the record.")
@registry_options
@output_options
def resolve(action_id: int, note: str, registry_path: str, as_json: bool) -> None:
    """Somebody has dealt with it, though the unit did not say that it ended.

    \b
      paygo bridge alerts resolve 3 --note "battery replaced"
    """
    from hw_bridge.store import operator

    with _opened(registry_path) as store:
        action = store.resolve(action_id, operator(), note)
    emit(action.to_json()) if as_json else click.echo(_line(action))


@alerts.command("audit")
@registry_options
@output_options
def audit_alerts(registry_path: str, as_json: bool) -> None:
    """List every alert that has no action, and every action that reached no outside system. Exit status 1 if any.

    \b
      paygo bridge alerts audit
      paygo bridge alerts --audit --json
    """
    with _opened(registry_path) as store:
        found = store.audit()
    for serial, boot, seq, code in found.alerts:
        if as_json:
            emit({"kind": "alert", "serial": serial, "boot": boot, "seq": seq, "code": code})
        else:
            click.echo(f"alert {seq} of {serial}, start {boot}, {code}: no action")
    for action, why in found.actions:
        if as_json:
            emit({"kind": "action", **action.to_json(), "why": why})
        else:
            click.echo(f"action {_line(action)}: reached no outside system; {why}")
    if found.alerts or found.actions:
        counts = f"{len(found.alerts)} alerts have no action, {len(found.actions)} actions reached no outside system"
        raise DeviceError(counts, "'paygo bridge alerts deliver' or a gateway delivers them")
    if not as_json:
        click.echo("every alert has its action, and every action reached an outside system")


@alerts.command()
@click.option("--webhook", "url", required=True, metavar="URL", help="Where to post every change of an action.")
@click.option(
    "--secret-file",
    metavar="FILE",
    help="First line: the secret, shared with the receiver, that signs deliveries; or set PAYGO_WEBHOOK_SECRET.",
)
@registry_options
@output_options
def deliver(url: str, secret_file: str | None, registry_path: str, as_json: bool) -> None:
    """Post what changed to a webhook, in order, what was posted before excepted. docs/bridge.md has the format.

    \b
      paygo bridge alerts deliver --webhook https://ops.example.org/paygo --secret-file hook.secret
    """
    from hw_bridge.webhook import Webhook
    from hw_bridge.webhook import deliver as deliver_all

    webhook = Webhook(url, _secret(secret_file))
    with _opened(registry_path) as store:
        taken, why = deliver_all(store, webhook)
    if as_json:
        emit({"destination": webhook.destination, "delivered": taken, "stopped": why or None})
    elif not why:
        click.echo(f"{taken} delivered to {webhook.destination}")
    if why:
        raise NoAnswerError(f"{webhook.destination}: {why}, after {taken} delivered", "the rest is delivered next time")


def _secret(name: str | None) -> str | None:
    from paygo_core.secret_file import first_line

    return os.environ.get("PAYGO_WEBHOOK_SECRET") if name is None else first_line(name, "secret of the webhook")
