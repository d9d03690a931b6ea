"""The options that the commands of `paygo token` share: the device, what it remembers, a token as typed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from paygo_core.decoding import DecoderState, strip_token
from paygo_core.errors import PaygoError
from paygo_core.tokens import LARGEST_COUNT, LARGEST_OLDER_WINDOW, LARGEST_STARTING_CODE, DeviceConfig, TokenType

Command = Callable[..., Any]

_KEY_FILE_LIMIT = 4096


def whole(low: int, high: int) -> Callable[[object], int]:
    """The type of an option that is a whole number in plain digits, within bounds."""

    def convert(value: object) -> int:
        text = str(value)
        if re.fullmatch(rf"[0-9]{{1,{len(str(high))}}}", text) is None or not low <= int(text) <= high:
            raise click.BadParameter(f"'{text}' is not a whole number from {low} to {high}")
        return int(text)

    return convert


def amount(value: object) -> Decimal:
    """Days or units: a number of 0 or more with at most six digits on either side of the point."""
    text = str(value)
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) is None:
        raise click.BadParameter(f"'{text}' is not a number of 0 or more, such as 7 or 0.5")
    return Decimal(text)


def counts(text: str) -> tuple[int, ...]:
    """Counts between commas: 4,8."""
    if re.fullmatch(r"([0-9]{1,5}(, *[0-9]{1,5})*)?", text) is None:
        raise click.BadParameter(f"'{text}' is not a list of counts such as 4,8")
    return tuple(int(part) for part in text.split(",") if part)


last_count = whole(0, LARGEST_COUNT)


def device_options(command: Command) -> Command:
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
            type=whole(1, LARGEST_STARTING_CODE),
            help="The device's starting code; without it, the one that follows from the key.",
        ),
        click.option("--divider", metavar="N", type=whole(1, 255), default=1, show_default=True, help="Units a day."),
        click.option("--restricted", is_flag=True, help="The device's keypad has only the keys 1 to 4."),
        click.option(
            "--max-count",
            metavar="N",
            type=whole(1, LARGEST_COUNT),
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
            if sys.stdin is None:
                raise PaygoError("standard input is closed", "it holds the key as 32 hexadecimal characters")
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


def device_config(given: dict[str, Any], **windows: int) -> DeviceConfig:
    """The device that the options of device_options describe; takes them out of `given`."""
    return DeviceConfig.from_hex(
        _secret_key(given.pop("key"), given.pop("key_file")),
        given.pop("starting_code"),
        time_divider=given.pop("divider"),
        restricted_digit_set=given.pop("restricted"),
        max_count=given.pop("max_count"),
        **windows,
    )


def window_options(command: Command) -> Command:
    """How far around its last count the device looks (T12, T14)."""
    options = [
        click.option(
            "--max-jump",
            metavar="N",
            type=whole(1, LARGEST_COUNT),
            default=64,
            show_default=True,
            help="How far ahead it looks.",
        ),
        click.option(
            "--max-sync-jump",
            metavar="N",
            type=whole(1, LARGEST_COUNT),
            default=100,
            show_default=True,
            help="The same for a sync.",
        ),
        click.option(
            "--older-window",
            metavar="N",
            type=whole(0, LARGEST_OLDER_WINDOW),
            default=16,
            show_default=True,
            help="How far back it takes an unused add-time token.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def state_options(command: Command) -> Command:
    """What the device remembers, and how far it looks (T11)."""
    command = window_options(command)
    options = [
        click.option(
            "--count", metavar="N", type=last_count, required=True, help="The highest count that the device accepted."
        ),
        click.option(
            "--floor",
            metavar="N",
            type=last_count,
            help="Nothing at or below it is admitted any more; without it, --count.",
        ),
        click.option(
            "--used",
            metavar="N,N",
            type=counts,
            default="",
            help="The even counts accepted near the last one, such as 4,8.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def typed_token(words: tuple[str, ...]) -> str:
    """The digits of a token that was typed in groups (T23)."""
    text = strip_token("".join(words))
    if re.fullmatch(r"[0-9]*", text) is None:
        raise PaygoError(
            "the token has characters that are not digits",
            "a token is 9, 12, 15 or 20 digits; spaces and hyphens between them do not matter",
        )
    return text


def token_kind(add: Decimal | None, set_: Decimal | None, unlock: bool, sync: bool) -> TokenType:
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


def state_for_people(state: DecoderState) -> str:
    used = ", ".join(str(n) for n in state.used_counts) or "none"
    return f"count {state.count}, floor {state.floor}, used {used}"
