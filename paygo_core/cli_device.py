"""The command group `paygo device`: the devices of the registry and their tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from paygo_core.cli_moving import export, import_
from paygo_core.cli_registry import open_registry, read_passphrase, registry_options
from paygo_core.errors import PaygoError
from paygo_core.shell import emit, note, output_options
from paygo_core.tokens import Token, TokenType

if TYPE_CHECKING:
    from paygo_core.registry import RegisteredDevice

_SHOWN_TOKENS = 20
_STATE_WIDTH = len("provisioned")


def _days(text: str) -> Decimal:
    """A number as people type it, without anything that takes long to compute."""
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) is None:
        raise click.BadParameter("a number of days is 0 or more, such as 7 or 0.5")
    return Decimal(text)


@click.group()
def device() -> None:
    """The devices of the registry and the tokens issued for them.

    The registry is a file that holds each device's secret key and the last count used for it. Keys are never shown.

    \b
      paygo device import devices.csv
      paygo device token SLT220000001 --add 7
    """


device.add_command(import_)
device.add_command(export)


@device.command("new")
@click.option("--count", metavar="N", type=click.IntRange(1, 100_000), default=1, show_default=True, help="How many.")
@click.option("--prefix", metavar="TEXT", required=True, help="What their serials begin with, such as SLT22.")
@click.option(
    "--digits", metavar="N", type=click.IntRange(1, 18), default=7, show_default=True, help="Digits after it."
)
@click.option("--model", default="", metavar="TEXT", help="Their hardware model.")
@click.option("--version", default="", metavar="TEXT", help="Their version.")
@click.option("--divider", metavar="N", type=click.IntRange(1, 255), default=1, show_default=True, help="Units a day.")
@click.option("--restricted", is_flag=True, help="Their keypads have only the keys 1 to 4.")
@registry_options
@output_options
def new(
    *,
    count: int,
    prefix: str,
    digits: int,
    model: str,
    version: str,
    divider: int,
    restricted: bool,
    registry_path: str,
    as_json: bool,
) -> None:
    """Make new devices: serials that go on from the last, keys and starting codes at random.

    All or none are made. Their keys are in the registry alone; `paygo bridge provision` writes them into the units.

    \b
      paygo device new --count 500 --prefix SLT22 --model SLT-50
    """
    with open_registry(registry_path, create=True) as registry:
        serials = registry.make(
            count,
            prefix,
            digits=digits,
            hardware_model=model,
            version=version,
            time_divider=divider,
            restricted_digit_set=restricted,
        )
    if as_json:
        emit({"made": len(serials), "first": serials[0], "last": serials[-1]})
    else:
        click.echo(f"{len(serials)} made: {serials[0]} to {serials[-1]}" if count > 1 else f"1 made: {serials[0]}")


@device.command()
@click.argument("serial")
@click.option("--by", "noted_by", default="", metavar="NAME", help="Who does it, for the record.")
@registry_options
@output_options
def rekey(serial: str, *, noted_by: str, registry_path: str, as_json: bool) -> None:
    """Give a device a new key and starting code; it has to be provisioned again.

    \b
      paygo device rekey SLT220000001 --by amina
    """
    with open_registry(registry_path) as registry:
        unit = registry.rekey(serial, noted_by)
    if as_json:
        emit({"serial": serial, "count": unit.count, "state": "new"})
    else:
        click.echo(f"{serial} has a new key; provision it again. Its tokens go on after count {unit.count}")


@device.command()
@click.argument("old")
@click.argument("new_serial", metavar="NEW")
@click.option("--days", type=_days, metavar="DAYS", required=True, help="What is left of the old unit's credit.")
@click.option("--by", "issued_by", default="", metavar="NAME", help="Who does it, for the record.")
@registry_options
@output_options
def swap(old: str, new_serial: str, *, days: Decimal, issued_by: str, registry_path: str, as_json: bool) -> None:
    """Move what is left of a unit's credit to another unit, which takes its place.

    Issues a token that locks OLD, if it still works, and the tokens that set the time of NEW; both are recorded, and
    OLD's state becomes repair.

    \b
      paygo device swap SLT220000001 SLT220000002 --days 12.5 --by amina
    """
    with open_registry(registry_path) as registry:
        lock, moved = registry.swap(old, new_serial, days, issued_by=issued_by)
        divider = registry.entry(new_serial).time_divider
    for serial, issued in ((old, lock), *((new_serial, one) for one in moved)):
        effect = _effect(issued, divider)
        note(f"{serial}: {effect}")
        if as_json:
            emit({"serial": serial, **_token_facts(issued), "effect": effect})
        else:
            click.echo(issued.grouped())


_STATES = ("new", "provisioned", "active", "unlocked", "repair", "retired")


@device.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@registry_options
@output_options
def list_(state: str | None, registry_path: str, as_json: bool) -> None:
    """List the devices with state, count and model.

    \b
      paygo device list --state repair
      paygo device list --json | jq -r .serial
    """
    with open_registry(registry_path) as registry:
        if not as_json:
            click.echo(f"{'serial':<20} {'state':<{_STATE_WIDTH}} {'count':>5} model")
        for entry in registry.entries():
            if state is not None and entry.state != state:
                continue
            if as_json:
                emit(_facts(entry))
            else:
                model = f"{entry.hardware_model} {entry.version}".strip()
                count = entry.count if entry.takes_tokens else "-"
                click.echo(f"{entry.serial:<20} {entry.state:<{_STATE_WIDTH}} {count:>5} {model}".rstrip())


def _facts(entry: RegisteredDevice) -> dict[str, Any]:
    facts = asdict(entry)
    for name in ("created_at", "updated_at"):
        facts[name] = facts[name].isoformat()
    if not entry.takes_tokens:
        for name in ("count", "starting_code", "time_divider", "restricted_digit_set"):
            del facts[name]
    return facts


@device.command("state")
@click.argument("serial")
@click.argument("state", type=click.Choice(_STATES))
@click.option("--note", "text", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--by", "noted_by", default="", metavar="NAME", help="Who says so, for the record.")
@registry_options
@output_options
def state_(serial: str, state: Any, *, text: str, noted_by: str, registry_path: str, as_json: bool) -> None:
    """Say where a device is in its life: provisioned, active, unlocked, repair or retired.

    A device is new until it is set up, and active once time was issued for it; an unlock makes it unlocked. A retired
    device gets no more tokens until it is called back to repair. What it was before stays as a note.

    \b
      paygo device state SLT220000001 repair --note "water in the case" --by amina
      paygo device state SLT220000001 retired
    """
    with open_registry(registry_path) as registry:
        changed = registry.set_state(serial, state, text, noted_by)
    if as_json:
        emit({"serial": serial, "state": state, "changed": changed})
    else:
        click.echo(f"{serial} is {state}{'' if changed else ' already'}")


@device.command()
@click.argument("serial")
@registry_options
@output_options
def show(serial: str, registry_path: str, as_json: bool) -> None:
    """Show a device: its state, its last count, the tokens issued for it and what was noted of it.

    The count is the last one used; the next token has a higher one. The secret key is never shown.

    \b
      paygo device show SLT220000001
    """
    with open_registry(registry_path) as registry:
        entry, issued, notes = registry.entry(serial), registry.tokens(serial), registry.notes(serial)
    facts = _facts(entry)
    if as_json:
        tokens = [
            {
                **_token_facts(one.token),
                "reason": one.reason,
                "issued_by": one.issued_by,
                "reference": one.reference,
                "issued_at": one.issued_at.isoformat(),
            }
            for one in issued
        ]
        noted = [{**asdict(one), "noted_at": one.noted_at.isoformat()} for one in notes]
        emit({**facts, "tokens": tokens, "notes": noted})
        return
    for name, fact in facts.items():
        click.echo(f"{name.replace('_', ' ') + ':':<21} {fact}".rstrip())
    which = f", the last {_SHOWN_TOKENS}" if len(issued) > _SHOWN_TOKENS else ""
    click.echo(f"{'tokens issued:':<21} {len(issued)}{which}")
    for one in issued[-_SHOWN_TOKENS:]:
        effect = _effect(one.token, entry.time_divider, one.extended)
        who = (f" {one.reference}" if one.reference else "") + (f" by {one.issued_by}" if one.issued_by else "")
        click.echo(f"  {one.issued_at:%Y-%m-%d %H:%M} {one.token.grouped()}  {effect} ({one.reason}{who})")
    if notes:
        which = f", the last {_SHOWN_TOKENS}" if len(notes) > _SHOWN_TOKENS else ""
        click.echo(f"{'notes:':<21} {len(notes)}{which}")
    for told in notes[-_SHOWN_TOKENS:]:
        who = f" by {told.noted_by}" if told.noted_by else ""
        click.echo(f"  {told.noted_at:%Y-%m-%d %H:%M} {told.text} ({told.kind}{who})")


@device.command()
@click.option("--new", "new_file", metavar="FILE", help="First line: the new passphrase; - is standard input.")
@click.option("--new-key-file", metavar="FILE", help="Random bytes in place of a passphrase; made if it is not there.")
@click.option("--remove", is_flag=True, help="Store the keys plain.")
@registry_options
@output_options
def passphrase(
    *, new_file: str | None, new_key_file: str | None, remove: bool, registry_path: str, as_json: bool
) -> None:
    """Encrypt the registry's keys, change what opens them, or store them plain.

    Every key is encrypted anew, in one transaction: after a crash the old or the new passphrase opens all of them.
    What opens them now comes from --passphrase-file, PAYGO_PASSPHRASE or --registry-key-file. Without it an encrypted
    registry issues no token, and nobody can recover it: keep it apart from the registry's copies.

    \b
      paygo device passphrase --new new.txt
      paygo device passphrase --passphrase-file old.txt --new new.txt
      paygo device passphrase --new-key-file /etc/paygo/registry.key
    """
    if (new_file is not None) + (new_key_file is not None) + remove != 1:
        raise click.UsageError("give one of --new, --new-key-file and --remove")
    new = None if new_file is None else read_passphrase(new_file)
    with open_registry(registry_path) as registry:
        keys = registry.change_passphrase(new) if new_key_file is None else registry.change_key_file(new_key_file)
    if as_json:
        emit({"keys": keys, "encrypted": not remove})
    else:
        click.echo(f"{keys} key{'' if keys == 1 else 's'} {'stored plain' if remove else 'encrypted'}")


def _one_of_six(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--sync", is_flag=True, help="Move the unit's count forward to the registry's."),
        click.option(
            "--until",
            type=click.DateTime(["%Y-%m-%d"]),
            metavar="DATE",
            help="Set the time left to the end of DATE, UTC.",
        ),
        click.option("--lock", is_flag=True, help="Switch the unit off now; the same as --set 0."),
        click.option("--unlock", is_flag=True, help="Switch the unit on for ever: it is paid."),
        click.option("--set", "set_", type=_days, metavar="DAYS", help="Set the time left, from when it is entered."),
        click.option("--add", type=_days, metavar="DAYS", help="Add days to the time left."),
    ):
        command = option(command)
    return command


@device.command()
@click.argument("serial")
@_one_of_six
@click.option("--units", is_flag=True, help="The number of --add or --set is raw units instead of days.")
@click.option("--behind", is_flag=True, help="With --sync: the registry may be behind the unit; go 98 counts ahead.")
@click.option(
    "--reason",
    type=click.Choice(["payment", "bonus", "manual", "test"]),
    default="payment",
    show_default=True,
    help="Why it is issued, for the record.",
)
@click.option("--by", "issued_by", default="", metavar="NAME", help="Who issues it, for the record.")
@click.option("--reference", default="", metavar="TEXT", help="The order's name: with the same one, the same token.")
@click.option("--dry-run", is_flag=True, help="Show what would be issued; record nothing.")
@registry_options
@output_options
def token(
    serial: str,
    *,
    add: Decimal | None,
    set_: Decimal | None,
    until: datetime | None,
    unlock: bool,
    lock: bool,
    sync: bool,
    behind: bool,
    units: bool,
    reason: Any,
    issued_by: str,
    reference: str,
    dry_run: bool,
    registry_path: str,
    as_json: bool,
) -> None:
    """Issue the next token of a device.

    Its count is recorded before the token is shown, so a count is never used twice, whatever happens. The serial and
    what the token does are said first, on standard error; the digits alone go to standard output. Time for which one
    token is too small comes as several, to be entered in their order.

    A payment is added: that keeps what is left, and the token may be entered late. Setting replaces what is left and
    voids older tokens that were not entered: for corrections, a first activation, a new contract.

    \b
      paygo device token SLT220000001 --add 7
      paygo device token SLT220000001 --set 0.5 --reason bonus --by amina
      paygo device token SLT220000001 --until 2026-12-31
    """
    given = {"--add": add is not None, "--set": set_ is not None, "--until": until is not None}
    given |= {"--unlock": unlock, "--lock": lock, "--sync": sync}
    chosen = [name for name, used in given.items() if used]
    if len(chosen) != 1:
        what = f"not {' and '.join(chosen)}" if chosen else "to say what the token does"
        raise click.UsageError(f"give one of --add, --set, --until, --unlock, --lock and --sync, {what}")
    amount = add if add is not None else set_
    if units and (amount is None or amount != int(amount)):
        raise click.UsageError("--units goes with --add or --set and a whole number")
    if behind and not sync:
        raise click.UsageError("--behind goes with --sync")
    record: dict[str, Any] = {"reason": reason, "issued_by": issued_by, "reference": reference, "dry_run": dry_run}
    with open_registry(registry_path) as registry:
        entry = registry.entry(serial)
        divider = entry.time_divider
        if add is not None and entry.state == "unlocked":
            note(f"{serial} is unlocked and stays so whatever is added; --set takes it back under PAYG")
        if sync:
            tokens = [registry.issue_sync(serial, behind=behind, **record)]
        elif unlock:
            tokens = [registry.issue(serial, TokenType.DISABLE_PAYG, **record)]
        else:
            tokens = registry.issue_time(
                serial,
                TokenType.SET_TIME if add is None else TokenType.ADD_TIME,
                value=0 if lock else int(amount) if units and amount is not None else None,
                days=None if lock or units else _days_until(until) if until is not None else amount,
                **record,
            )
    for issued in tokens:
        effect = _effect(issued, divider)
        note(f"{serial}: {effect}{' (dry run: not recorded, not to be handed out)' if dry_run else ''}")
        if as_json:
            emit({"serial": serial, **_token_facts(issued), "effect": effect, "dry_run": dry_run})
        else:
            click.echo(issued.grouped())


def _days_until(day: datetime) -> Decimal:
    """Days from now to the end of a day in UTC."""
    end = day.replace(tzinfo=timezone.utc) + timedelta(days=1)
    left = (end - datetime.now(timezone.utc)).total_seconds()
    if left <= 0:
        raise PaygoError(f"{day:%Y-%m-%d} is over", "give a day that has not ended; --lock switches the unit off now")
    return Decimal(left / 86_400).quantize(Decimal("0.000001"))


@device.command()
@click.argument("serial")
@click.argument("tokens", metavar="TOKEN...", nargs=-1, required=True)
@click.option("--by", "noted_by", default="", metavar="NAME", help="Who found it, for the record.")
@registry_options
@output_options
def reconcile(serial: str, tokens: tuple[str, ...], *, noted_by: str, registry_path: str, as_json: bool) -> None:
    """Find a lost count again, from tokens that the unit accepted.

    The registry's count goes up to the found one, never down, and the note of it stays. The unit may have accepted
    more tokens than these, so a sync that goes ahead of it makes sure that the next tokens work.

    \b
      paygo device reconcile SLT220000001 "016 609 796" "662 486 790"
    """
    with open_registry(registry_path) as registry:
        from paygo_core.registry import find_count

        unit = registry.device(serial)
        found = find_count(unit, tokens)
        moved = registry.advance(serial, found, noted_by)
    advice = f"paygo device token {serial} --sync --behind"
    if as_json:
        emit({"serial": serial, "found": found, "registry": unit.count, "moved": moved, "advice": advice})
        return
    if moved:
        click.echo(f"{serial}: the unit's count is {found} or more; the registry had {unit.count}, and has {found} now")
    else:
        click.echo(f"{serial}: the tokens lead to count {found}; the registry is not behind, at {unit.count}")
    note(f"If the unit refuses the next token, enter a sync first: {advice}")


def _token_facts(issued: Token) -> dict[str, Any]:
    return {
        "token": issued.digits,
        "grouped": issued.grouped(),
        "count": issued.count,
        "type": issued.token_type.name,
        "value": issued.value,
    }


def _effect(issued: Token, time_divider: int, extended: bool = False) -> str:
    """What a token does to the unit, in words."""
    if issued.token_type is TokenType.DISABLE_PAYG:
        return "unlocks the unit for good"
    if issued.token_type is TokenType.COUNTER_SYNC:
        return f"moves the unit's count to {issued.count}; older tokens stop working"
    if extended:
        return f"carries the manufacturer's value {issued.value}"
    amount = issued.value / time_divider
    days = f"{amount:.6g} day{'' if amount == 1 else 's'}"
    if issued.token_type is TokenType.ADD_TIME:
        return f"adds {days}"
    if issued.value == 0:
        return "locks the unit"
    return f"sets the time left to {days}; older tokens stop working"


def _commands_of_other_files() -> tuple[click.Command, ...]:
    from paygo_core.cli_issue import issue
    from paygo_core.cli_labels import labels

    return issue, labels


for _command in _commands_of_other_files():
    device.add_command(_command)
