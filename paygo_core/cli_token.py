"""The command group `paygo token`: making and judging tokens from a key, without a registry."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from paygo_core.decoding import Decoded, DecoderState, Reason, decode_token, strip_token
from paygo_core.errors import PaygoError
from paygo_core.shell import Status, emit, note, output_options
from paygo_core.tokens import (
    LARGEST_COUNT,
    LARGEST_OLDER_WINDOW,
    LARGEST_STARTING_CODE,
    DeviceConfig,
    Token,
    TokenType,
    collides,
    generate_token,
    sync_count,
)

Command = Callable[..., Any]

_KEY_FILE_LIMIT = 4096


def _whole(low: int, high: int) -> Callable[[object], int]:
    """The type of an option that is a whole number in plain digits, within bounds."""

    def convert(value: object) -> int:
        text = str(value)
        if re.fullmatch(rf"[0-9]{{1,{len(str(high))}}}", text) is None or not low <= int(text) <= high:
            raise click.BadParameter(f"'{text}' is not a whole number from {low} to {high}")
        return int(text)

    return convert


def _amount(value: object) -> Decimal:
    """Days or units: a number of 0 or more with at most six digits on either side of the point."""
    text = str(value)
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) is None:
        raise click.BadParameter(f"'{text}' is not a number of 0 or more, such as 7 or 0.5")
    return Decimal(text)


def _counts(text: str) -> tuple[int, ...]:
    """Counts between commas: 4,8."""
    if re.fullmatch(r"([0-9]{1,5}(, *[0-9]{1,5})*)?", text) is None:
        raise click.BadParameter(f"'{text}' is not a list of counts such as 4,8")
    return tuple(int(part) for part in text.split(",") if part)


_count = _whole(0, LARGEST_COUNT)


def _device_options(command: Command) -> Command:
    """Who the device is: key, starting code, divider, digit set, last count."""
    options = [
        click.option("--key-file", metavar="FILE", help="File with the secret key, 32 hex characters; - is stdin."),
        click.option(
            "--key",
            metavar="HEX",
            envvar="PAYGO_KEY",
            show_envvar=True,
            help="The secret key itself. Visible in the process list: prefer the file or the environment.",
        ),
        click.option(
            "--starting-code",
            metavar="N",
            type=_whole(1, LARGEST_STARTING_CODE),
            help="The device's starting code; without it, the one that follows from the key.",
        ),
        click.option("--divider", metavar="N", type=_whole(1, 255), default=1, show_default=True, help="Units a day."),
        click.option("--restricted", is_flag=True, help="The device's keypad has only the keys 1 to 4."),
        click.option(
            "--max-count",
            metavar="N",
            type=_whole(1, LARGEST_COUNT),
            default=LARGEST_COUNT,
            show_default=True,
            help="The last count of the device's model.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _read_key_file(name: str) -> str:
    """The text of a key file. A key cannot be as long as the limit, so that nothing large is read whole."""
    try:
        if name == "-":
            return sys.stdin.read(_KEY_FILE_LIMIT)
        with Path(name).open(encoding="ascii", errors="replace") as file:
            return file.read(_KEY_FILE_LIMIT)
    except UnicodeDecodeError:
        raise PaygoError("standard input is not text", "it holds the key as 32 hexadecimal characters") from None
    except OSError as error:
        raise PaygoError(
            f"the key file {name} cannot be read: {error.strerror}", "it holds the key as 32 hexadecimal characters"
        ) from None


def _secret_key(key: str | None, key_file: str | None) -> str:
    """The key from the source that comes first: an option, the environment, a configuration file."""
    source = click.get_current_context().get_parameter_source
    key_from, file_from = source("key"), source("key_file")
    if key_from is ParameterSource.COMMANDLINE and file_from is ParameterSource.COMMANDLINE:
        raise click.UsageError("give one of --key and --key-file, not both")
    file_first = file_from is ParameterSource.COMMANDLINE or not key
    if key_file is not None and file_first:
        return _read_key_file(key_file)
    if not key:
        raise PaygoError(
            "no secret key was given", "use --key-file FILE, --key-file - for standard input, or the variable PAYGO_KEY"
        )
    return key


def _config(given: dict[str, Any], **windows: int) -> DeviceConfig:
    """The device that the options of _device_options describe; takes them out of `given`."""
    return DeviceConfig.from_hex(
        _secret_key(given.pop("key"), given.pop("key_file")),
        given.pop("starting_code"),
        time_divider=given.pop("divider"),
        restricted_digit_set=given.pop("restricted"),
        max_count=given.pop("max_count"),
        **windows,
    )


@click.group()
def token() -> None:
    """Tokens from a key and a count, and what a device makes of a token.

    These commands keep no account of counts; `paygo device token` does.

    \b
      paygo token generate --key-file key.txt --starting-code 123456789 --count 1 --add 7
      paygo token decode 016609796 --key-file key.txt --starting-code 123456789 --count 1
    """


def _kind(add: Decimal | None, set_: Decimal | None, unlock: bool, sync: bool) -> TokenType:
    kinds = {
        TokenType.ADD_TIME: add is not None,
        TokenType.SET_TIME: set_ is not None,
        TokenType.DISABLE_PAYG: unlock,
        TokenType.COUNTER_SYNC: sync,
    }
    chosen = [kind for kind, given in kinds.items() if given]
    if len(chosen) != 1:
        raise click.UsageError("give exactly one of --add, --set, --unlock and --sync")
    return chosen[0]


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
@_device_options
@click.option("--count", metavar="N", type=_count, required=True, help="The last count that was used for this device.")
@click.option("--add", metavar="N", type=_amount, help="Add N days.")
@click.option("--set", "set_", metavar="N", type=_amount, help="Set the credit to N days; 0 locks the unit.")
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
    kind = _kind(add, set_, unlock, sync)
    amount = add if add is not None else set_
    if behind and not sync:
        raise click.UsageError("--behind goes with --sync")
    if units and amount is None:
        raise click.UsageError("--units goes with --add and --set")
    raw = units or extended
    if raw and amount is not None and amount != int(amount):
        raise click.UsageError(f"{amount} is not a whole number of units")
    config = _config(given)
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


def _state_for_people(state: DecoderState) -> str:
    used = ", ".join(str(n) for n in state.used_counts) or "none"
    return f"count {state.count}, floor {state.floor}, used {used}"


def _show(decoded: Decoded[DecoderState], extended: bool) -> None:
    click.echo(decoded.token_type.name)
    if decoded.value is not None:
        command = decoded.value in (998, 999)
        days = "" if decoded.days is None else f" ({_plural(decoded.days, 'day')})"
        suffix = days or (" (extended)" if extended and not command else "")
        click.echo(f"  value   {decoded.value}{suffix}")
        click.echo(f"  count   {decoded.count}")
    click.echo(f"  reason  {decoded.reason.value}")
    click.echo(f"  state   {_state_for_people(decoded.state)}")


@token.command()
@click.argument("digits", metavar="TOKEN...", nargs=-1, required=True)
@_device_options
@click.option("--count", metavar="N", type=_count, required=True, help="The highest count that the device accepted.")
@click.option(
    "--floor", metavar="N", type=_count, help="Nothing at or below it is admitted any more; without it, --count."
)
@click.option(
    "--used", metavar="N,N", type=_counts, default="", help="The even counts accepted near the last one, such as 4,8."
)
@click.option(
    "--max-jump",
    metavar="N",
    type=_whole(1, LARGEST_COUNT),
    default=64,
    show_default=True,
    help="How far ahead it looks.",
)
@click.option(
    "--max-sync-jump",
    metavar="N",
    type=_whole(1, LARGEST_COUNT),
    default=100,
    show_default=True,
    help="The same for a sync.",
)
@click.option(
    "--older-window",
    metavar="N",
    type=_whole(0, LARGEST_OLDER_WINDOW),
    default=16,
    show_default=True,
    help="How far back it takes an unused add-time token.",
)
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
    text = strip_token("".join(digits))
    if re.fullmatch(r"[0-9]*", text) is None:
        raise PaygoError(
            "the token has characters that are not digits",
            "a token is 9, 12, 15 or 20 digits; spaces and hyphens between them do not matter",
        )
    config = _config(given, max_jump=max_jump, max_sync_jump=max_sync_jump, older_window=older_window)
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
