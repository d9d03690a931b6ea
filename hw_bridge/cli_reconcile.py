"""The command `paygo bridge reconcile`: the registry's count against the unit's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from hw_bridge.cli_port import Connect, port_options
from hw_bridge.drivers import require
from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.errors import DeviceError
from paygo_core.shell import emit, output_options

if TYPE_CHECKING:
    from paygo_core.registry import Registry


@dataclass(frozen=True)
class Comparison:
    """unit, registry: last counts, before anything was done. advice: what to do, in words; command: as a command."""

    serial: str
    unit: int
    registry: int
    moved: bool
    advice: str
    command: str


def compare(registry: Registry, serial: str, unit: int, by: str = "") -> Comparison:
    """Takes note of a unit's last count, and says what makes its next token work.

    The registry's count goes up to the unit's, never down. Raises PaygoError for an unknown serial.
    """
    device = registry.device(serial)
    windows = device.config
    moved = registry.advance(serial, unit, by)
    sync = f"paygo device token {serial} --sync"
    ahead = device.count - unit
    if moved:
        advice, command = (
            "the next token works; to be sure of one that was lost, enter a sync first",
            f"{sync} --behind",
        )
    elif ahead < windows.max_jump - 1:
        advice, command = "the next token works", ""
    elif ahead < windows.max_sync_jump - 1:
        advice, command = "the next token is too far ahead for the unit: enter a sync first", sync
    else:
        advice = "no token reaches the unit any more: enter those that it did not get, or give it a new key"
        command = f"paygo device show {serial}"
    return Comparison(serial, unit, device.count, moved, advice, command)


@click.command()
@port_options
@click.option("--sync", is_flag=True, help="Issue the sync and enter it, where one is advised.")
@click.option("--by", "noted_by", default="", metavar="NAME", help="Who does it, for the record.")
@registry_options
@output_options
def reconcile(*, connect: Connect, sync: bool, noted_by: str, registry_path: str, as_json: bool) -> None:
    """Compare the registry's count with the unit's own, and say what makes its next token work.

    Where the unit is ahead, the registry's count goes up to it, on the record. Where the registry is too far ahead, a
    sync brings the unit along. A unit that cannot tell its count is reconciled from tokens that it accepted: paygo
    device reconcile.

    \b
      paygo bridge reconcile /dev/ttyUSB0
      paygo bridge reconcile /dev/ttyUSB0 --sync --by amina
    """
    with open_registry(registry_path) as registry, connect() as driver:
        require(driver, "identify")
        info = driver.identify()
        if info is None or not info.serial:
            raise DeviceError(
                "the unit does not tell its serial and count",
                "take tokens that it accepted: paygo device reconcile SERIAL TOKEN...",
            )
        found = compare(registry, info.serial, info.last_count, noted_by)
        token = None
        if sync and "--sync" in found.command:
            require(driver, "enter")
            issued = registry.issue_sync(info.serial, behind=found.moved, issued_by=noted_by)
            entry = driver.enter(issued.digits)
            if entry.verdict != "accepted":
                raise DeviceError(f"the unit answers {entry.verdict} to the sync {issued.grouped()}", "try it by hand")
            token = issued
    if as_json:
        emit({**asdict(found), "entered": token and {"token": token.digits, "count": token.count}})
        return
    then = f", and has {found.unit} now" if found.moved else ""
    click.echo(f"{found.serial}: the unit's count is {found.unit}, the registry had {found.registry}{then}")
    if token is not None:
        click.echo(f"the unit took the sync {token.grouped()}; its count is {token.count}")
    else:
        click.echo(found.advice + (f": {found.command}" if found.command else ""))
