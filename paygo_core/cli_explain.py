"""The command `paygo token explain`: why a token was refused, and what to issue instead."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from paygo_core.cli_options import (
    device_config,
    device_options,
    last_count,
    state_for_people,
    state_options,
    typed_token,
)
from paygo_core.cli_registry import open_registry
from paygo_core.decoding import DecoderState
from paygo_core.shell import Status, emit, note, output_options
from paygo_core.tokens import LARGEST_COUNT, DeviceConfig, TokenType

if TYPE_CHECKING:
    from paygo_core.device import Device
    from paygo_core.explain import Explanation, Remedy


def _device_words(config: DeviceConfig, key_file: str | None) -> list[str]:
    """The options that name the device again, without its key."""
    words = ["--key-file", key_file] if key_file else []
    words += ["--starting-code", str(config.starting_code)]
    words += ["--divider", str(config.time_divider)] if config.time_divider != 1 else []
    words += ["--restricted"] if config.restricted_digit_set else []
    return words + (["--max-count", str(config.max_count)] if config.max_count != LARGEST_COUNT else [])


def _command_for(remedy: Remedy, device: list[str]) -> str:
    """The command that makes the token."""
    amount = [] if remedy.value is None else [str(remedy.value), "--extended" if remedy.extended else "--units"]
    name = {
        TokenType.ADD_TIME: "--add",
        TokenType.SET_TIME: "--set",
        TokenType.DISABLE_PAYG: "--unlock",
        TokenType.COUNTER_SYNC: "--sync",
    }[remedy.token_type]
    return shlex.join(["paygo", "token", "generate", *device, "--count", str(remedy.after), name, *amount])


def _known_devices(files: tuple[str, ...], registry_path: str | None) -> list[Device]:
    """The devices of lists and of a registry. A list's broken rows are told and passed over."""
    devices: list[Device] = []
    for file in files:
        from paygo_core.device_list import read_device_list

        listed = read_device_list(file)
        for problem in listed.problems:
            note(f"paygo: {problem}")
        devices += listed.devices
    if registry_path is not None:
        with open_registry(registry_path) as registry:
            devices += registry.devices()
    return devices


def _state_facts(state: DecoderState) -> dict[str, Any]:
    return {"count": state.count, "floor": state.floor, "used_counts": list(state.used_counts)}


def _show_explanation(found: Explanation, before: DecoderState, commands: list[str]) -> None:
    decoded = found.decoded
    headline = "accepted" if decoded.accepted else f"refused, {found.verdict.value}"
    click.echo(f"{decoded.token_type.name}: {headline}")
    click.echo(f"  why      {found.cause}")
    click.echo(f"  do       {found.advice}")
    for command in commands[:4]:
        click.echo(f"  run      {command}")
    if len(commands) > 4:
        click.echo(f"           and {len(commands) - 4} more (--json shows all)")
    click.echo(f"  before   {state_for_people(before)}")
    if decoded.accepted:
        click.echo(f"  after    {state_for_people(decoded.state)}")
    for answer in found.dialects:
        if answer.differs:
            what = (
                f"takes it as {answer.token_type.name} at count {answer.count}"
                if answer.accepted
                else f"answers {answer.token_type.name}"
            )
            click.echo(f"  deployed firmware ({answer.dialect.value}) {what}")


@click.command()
@click.argument("digits", metavar="TOKEN...", nargs=-1, required=True)
@device_options
@state_options
@click.option(
    "--issued", metavar="N", type=last_count, help="The last count that the server used: a token above it is not ours."
)
@click.option("--other", "others", metavar="FILE", multiple=True, help="A device list whose devices it may be for.")
@click.option("--registry", "registry_path", metavar="FILE", help="A registry whose devices it may be for.")
@output_options
def explain(
    *,
    digits: tuple[str, ...],
    count: int,
    floor: int | None,
    used: tuple[int, ...],
    max_jump: int,
    max_sync_jump: int,
    older_window: int,
    issued: int | None,
    others: tuple[str, ...],
    registry_path: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Tell why a device accepts or refuses TOKEN, and what to issue instead.

    Also finds a token beyond the windows, with lost zeros, in the other digit set, with one typing mistake, or of
    another device. A command that is printed makes the token to issue; it holds no key. With --issued a number that
    somebody made up is known as such, however well it fits. The exit status is 0 when the device accepts TOKEN and 1
    when it does not.

    \b
      paygo token explain 016609796 --key-file key.txt --starting-code 123456789 --count 8
      paygo token explain 016609796 --key-file key.txt --count 8 --floor 1 --used 4,8 --other devices.csv
      paygo token explain 016609796 --key-file key.txt --count 8 --issued 10
    """
    from paygo_core.explain import explain_token

    text = typed_token(digits)
    key_file = given["key_file"]
    config = device_config(given, max_jump=max_jump, max_sync_jump=max_sync_jump, older_window=older_window)
    state = DecoderState(count, floor, used)  # type: ignore[arg-type]  # None makes the floor the count
    found = explain_token(config, text, state, _known_devices(others, registry_path), issued)
    device = _device_words(config, key_file)
    commands = [_command_for(remedy, device) for remedy in found.remedies]
    decoded = found.decoded
    if as_json:
        emit(
            {
                "verdict": found.verdict.value,
                "type": decoded.token_type.name,
                "reason": decoded.reason.value,
                "cause": found.cause,
                "advice": found.advice,
                "commands": commands,
                "value": decoded.value,
                "days": decoded.days,
                "count": decoded.count,
                "found_at": found.found_at,
                "read_as": found.read_as,
                "mistake": found.mistake,
                "coincidence": found.coincidence,
                "others": [asdict(seen) for seen in found.others],
                "before": _state_facts(state),
                "after": _state_facts(decoded.state),
                "deployed": [
                    {
                        "dialect": answer.dialect.value,
                        "type": answer.token_type.name,
                        "count": answer.count,
                        "accepted": answer.accepted,
                        "differs": answer.differs,
                    }
                    for answer in found.dialects
                ],
            }
        )
    else:
        _show_explanation(found, state, commands)
    return Status.PASSED if decoded.accepted else Status.FAILED
