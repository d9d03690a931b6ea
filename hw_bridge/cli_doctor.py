"""The command `paygo doctor`: what hinders a bridge on this machine, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import click

from paygo_core.shell import Status, emit, output_options

COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command()
@click.argument("ports", nargs=-1, metavar="[PORT]...", envvar="PAYGO_PORT")
@output_options
def doctor(ports: tuple[str, ...], as_json: bool) -> int:
    """Look at ports, rights, programs that grab ports, and what is missing.

    Without a PORT it looks at all serial ports. It opens none of them, as that resets many boards. The exit status is 0
    when nothing hinders, 3 when a PORT that you named cannot be used, and 1 at any other problem.

    \b
    Example:
      paygo doctor /dev/ttyUSB0
      paygo doctor --json
    """
    from hw_bridge.doctor import OK, PROBLEM, examine

    status = Status.PASSED
    for finding in examine(ports):
        if as_json:
            emit(asdict(finding))
        else:
            mark = click.style(f"{finding.state:8}", fg=COLOURS[finding.state])
            click.echo(f"{mark}{finding.topic} {finding.name}: {finding.found}")
            if finding.state != OK and finding.advice:
                click.echo(f"{'':8}{finding.advice}")
        if finding.state == PROBLEM and status != Status.BLOCKED:
            status = Status.BLOCKED if finding.topic == "port" and ports else Status.FAILED
    return status
