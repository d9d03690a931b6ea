"""The command `paygo bridge scan`: which ports there are, and what is on them."""

from __future__ import annotations

from dataclasses import asdict

import click

from paygo_core.errors import PaygoError
from paygo_core.shell import FiniteFloat, Status, emit, output_options


@click.command()
@click.argument("ports", nargs=-1, metavar="[PORT]...")
@click.option(
    "--ask",
    multiple=True,
    metavar="DRIVER",
    help="Ask on silent lines whether such a unit is there; `all` for every driver. May be given again.",
)
@click.option(
    "--seconds",
    type=FiniteFloat(min=0, min_open=True),
    default=2.5,
    show_default=True,
    help="How long to listen at each speed.",
)
@output_options
def scan(ports: tuple[str, ...], ask: tuple[str, ...], seconds: float, as_json: bool) -> int:
    """Find ports, and say what is on them. Nothing is sent unless --ask allows it.

    Without a PORT it looks at all serial ports that the system knows. Opening a port resets many boards with an USB
    connector of their own. A question changes nothing on a unit that a driver here knows; on anything else it is a few
    bytes at a speed that may not be its own. The exit status is 3 when a PORT that you named cannot be opened.

    \b
    Example:
      paygo bridge scan
      paygo bridge scan /dev/ttyUSB0 --ask hdk
      paygo bridge scan --json
    """
    from serial.tools.list_ports import comports

    from hw_bridge.scan import installed_drivers, scan_port

    drivers = installed_drivers()
    if unknown := set(ask) - {"all"} - set(drivers):
        raise PaygoError(f"there is no driver {min(unknown)!r}", f"drivers here: {', '.join(drivers)}")
    asking = drivers if "all" in ask else {name: drivers[name] for name in ask}
    adapters = {str(found.device): str(found.description or "") for found in comports()}
    status = Status.PASSED
    for port in ports or sorted(adapters):
        found = scan_port(port, drivers, seconds=seconds, ask=asking)
        adapter = adapters.get(port, "")
        if found.state == "blocked" and ports:
            status = Status.BLOCKED
        if as_json:
            emit({**asdict(found), "adapter": adapter})
            continue
        reached = f" (--driver {found.driver}, {found.baud} baud)" if found.driver else ""
        click.echo(f"{port}: {found.what}{reached}" + (f"; {adapter}" if adapter not in ("", "n/a") else ""))
    if not ports and not adapters and not as_json:
        click.echo("no serial port is here; plug the adapter in, or name a port")
    return status
