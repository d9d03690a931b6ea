"""The command `paygo bridge battery`: which battery a unit charges, and that it was replaced."""

from __future__ import annotations

from dataclasses import asdict

import click

from hw_bridge.cli_port import Connect, port_options
from paygo_core.errors import DeviceError, PaygoError
from paygo_core.shell import emit, output_options
from paygo_core.wire.hdk import CHEMISTRIES, LARGEST_BATTERY_AH


@click.command()
@port_options
@click.option(
    "--replace",
    type=click.Choice([name.lower() for name in CHEMISTRIES], case_sensitive=False),
    help="It has another battery now, of this chemistry.",
)
@click.option(
    "--capacity", type=click.IntRange(1, LARGEST_BATTERY_AH), metavar="AH", help="Its capacity, with --replace."
)
@output_options
def battery(connect: Connect, replace: str | None, capacity: int | None, as_json: bool) -> None:
    """Say which battery a unit charges, or tell it of another.

    The unit keeps voltages and temperatures of that chemistry from then on, and records the replacement as an event. A
    board that cannot protect lithium refuses it. Only hdk+ units have it.

    \b
    Example, a gel battery of 40 Ah was put in:
      paygo bridge battery /dev/ttyUSB0 --replace gel --capacity 40
      paygo bridge battery /dev/ttyUSB0
    """
    if (replace is None) != (capacity is None):
        raise PaygoError("a battery has a chemistry and a capacity", "give --replace and --capacity together")
    with connect() as driver:
        if not hasattr(driver, "replace_battery"):
            raise DeviceError("this kind of unit knows nothing of its battery", "hdk+ units do")
        found = driver.battery() if replace is None else driver.replace_battery(replace, capacity)
    if as_json:
        emit(asdict(found))
        return
    click.echo(f"{found.chemistry}, {found.capacity_ah} Ah")
