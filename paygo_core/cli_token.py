"""The command group `paygo token`, and of it `generate` and `decode`: tokens from a key, without a registry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from paygo_core.cli_audit import audit
from paygo_core.cli_batch import batch
from paygo_core.cli_explain import explain
from paygo_core.cli_options import (
    amount,
    device_config,
    device_options,
    last_count,
    state_for_people,
    state_options,
    token_kind,
    typed_token,
)
from paygo_core.decoding import Decoded, DecoderState, Reason, decode_token
from paygo_core.shell import Status, emit, note, output_options
from paygo_core.tokens import Token, TokenType, collides, generate_token, sync_count


@click.group()
def token() -> None:
    """Tokens from a key and a count, and what a device makes of a token.

    These commands keep no account of counts; `paygo device token` does.

    \b
      paygo token generate --key-file key.txt --starting-code 123456789 --count 1 --add 7
      paygo token decode 016609796 --key-file key.txt --starting-code 123456789 --count 1
    """


def _plural(number: float, noun: str) -> str:
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def _effect(made: Token, divider: int, extended: bool) -> str:
    """What a token does, for people."""
    if made.token_type is TokenType.DISABLE_PAYG:
        what = " (unlock for good)"
    elif made.token_type is TokenType.COUNTER_SYNC:
        what = ""
    elif extended:
        what = f" value {made.value} (extended)"
    else:
        units = "" if divider == 1 else f" ({_plural(made.value, 'unit')})"
        what = f" {_plural(made.value / divider, 'day')}{units}"
    return f"{made.token_type.name}{what} at count {made.count}"


@token.command()
@device_options
@click.option("--count", metavar="N", type=last_count, required=True, help="The last count used for this device.")
@click.option("--add", metavar="N", type=amount, help="Add N days.")
@click.option("--set", "set_", metavar="N", type=amount, help="Set the credit to N days; 0 locks the unit.")
@click.option("--unlock", is_flag=True, help="Unlock for good (DISABLE_PAYG).")
@click.option("--sync", is_flag=True, help="Move the device's count forward (COUNTER_SYNC).")
@click.option("--behind", is_flag=True, help="With --sync: --count may be behind the device's; sync 98 counts on.")
@click.option("--units", is_flag=True, help="N is raw units, not days.")
@click.option("--extended", is_flag=True, help="Twelve digits (twenty restricted); N is the manufacturer's value.")
@output_options
def generate(
    *,
    count: int,
    add: Decimal | None,
    set_: Decimal | None,
    unlock: bool,
    sync: bool,
    behind: bool,
    units: bool,
    extended: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Make the token after a count.

    Prints the digits, and on standard error what they do. Next time --count is the count that was printed.

    \b
      paygo token generate --key-file key.txt --starting-code 123456789 --count 1 --add 7
      PAYGO_KEY=... paygo token generate --count 4 --set 0
      pass show unit7 | paygo token generate --key-file - --count 7 --unlock
    """
    kind = token_kind(add, set_, unlock, sync)
    amount = add if add is not None else set_
    if behind and not sync:
        raise click.UsageError("--behind goes with --sync")
    if units and amount is None:
        raise click.UsageError("--units goes with --add and --set")
    raw = units or extended
    if raw and amount is not None and amount != int(amount):
        raise click.UsageError(f"{amount} is not a whole number of units")
    config = device_config(given)
    if behind:
        count = sync_count(config, count) - 1  # T19
    if amount is None:
        made = generate_token(config, count, token_type=kind, extended=extended)
    elif raw:
        made = generate_token(config, count, int(amount), kind, extended)
    else:
        made = generate_token(config, count, token_type=kind, days=amount)
    doubtful = collides(config, made.count, made.value, extended)
    if as_json:
        emit(
            {
                "digits": made.digits,
                "grouped": made.grouped(),
                "count": made.count,
                "type": made.token_type.name,
                "value": made.value,
                "collides": doubtful,
            }
        )
    else:
        click.echo(made.digits)
    note(_effect(made, config.time_divider, extended))
    if doubtful:  # T18
        note(
            f"paygo: warning: a device may take this token for another count (do not issue it; make the next one, "
            f"with --count {made.count})"
        )


def _show(decoded: Decoded[DecoderState], extended: bool) -> None:
    click.echo(decoded.token_type.name)
    if decoded.value is not None:
        command = decoded.value in (998, 999)
        days = "" if decoded.days is None else f" ({_plural(decoded.days, 'day')})"
        suffix = days or (" (extended)" if extended and not command else "")
        click.echo(f"  value   {decoded.value}{suffix}")
        click.echo(f"  count   {decoded.count}")
    click.echo(f"  reason  {decoded.reason.value}")
    click.echo(f"  state   {state_for_people(decoded.state)}")


@token.command()
@click.argument("digits", metavar="TOKEN...", nargs=-1, required=True)
@device_options
@state_options
@output_options
def decode(
    *,
    digits: tuple[str, ...],
    count: int,
    floor: int | None,
    used: tuple[int, ...],
    max_jump: int,
    max_sync_jump: int,
    older_window: int,
    as_json: bool,
    **given: Any,
) -> int:
    """Tell what a device makes of TOKEN.

    Spaces and hyphens in the token do not matter. The exit status is 0 when the device accepts it and 1 when it does
    not; the reason says why.

    \b
      paygo token decode 016609796 --key-file key.txt --starting-code 123456789 --count 1
      paygo token decode 016 609 796 --key-file key.txt --starting-code 123456789 --count 9 --floor 1 --used 4,8
    """
    text = typed_token(digits)
    config = device_config(given, max_jump=max_jump, max_sync_jump=max_sync_jump, older_window=older_window)
    state = DecoderState(count, floor, used)  # type: ignore[arg-type]  # None makes the floor the count
    decoded = decode_token(config, text, state)
    if as_json:
        emit(
            {
                "type": decoded.token_type.name,
                "value": decoded.value,
                "days": decoded.days,
                "count": decoded.count,
                "reason": decoded.reason.value,
                "state": {
                    "count": decoded.state.count,
                    "floor": decoded.state.floor,
                    "used_counts": list(decoded.state.used_counts),
                },
            }
        )
    else:
        _show(decoded, extended=len(text) in (12, 20))
    return Status.PASSED if decoded.reason is Reason.ACCEPTED else Status.FAILED


for command in (explain, audit, batch):
    token.add_command(command)
