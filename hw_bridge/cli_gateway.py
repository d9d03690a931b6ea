"""`paygo bridge gateway`: runs many units at once, from a configuration file."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paygo_core.cli_registry import registry_key_options
from paygo_core.shell import emit, output_options

if TYPE_CHECKING:
    from hw_bridge.gateway import Gateway


@click.command()
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
@registry_key_options
@output_options
def gateway(config: Path, as_json: bool) -> None:
    """Run the units that CONFIG names: readings to sinks, alerts to actions, open commands carried out.

    On a terminal it shows a table, else a line for each thing that happens. It runs until Ctrl-C or SIGTERM, and
    finishes the command under way. Ports that are not there yet are waited for. docs/bridge.md has an example of
    CONFIG and a unit file for systemd.

    \b
      paygo bridge gateway gateway.toml
      paygo bridge gateway gateway.toml --registry-key-file registry.key
      paygo bridge gateway gateway.toml --json | jq 'select(.kind == "health")'
    """
    from hw_bridge.gateway_config import read_config

    signalled = asyncio.run(_run(read_config(config), as_json))
    if signalled == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signalled)


async def _run(config: Any, as_json: bool) -> int:
    from hw_bridge.gateway import Gateway

    live = sys.stdout.isatty() and not as_json
    recent: list[str] = []

    def report(text: str, said: dict[str, Any]) -> None:
        if as_json:
            emit(said)
        elif live:
            recent.append(text)
            del recent[:-8]
        else:
            click.echo(text)

    running = Gateway(config, report)
    signalled: list[int] = []

    def stop(number: int) -> None:
        signalled.append(number)
        running.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    table = asyncio.create_task(_show(running, recent)) if live else None
    try:
        await running.run()
    finally:
        if table is not None:
            table.cancel()
            await asyncio.gather(table, return_exceptions=True)
    return signalled[0]


async def _show(running: Gateway, recent: list[str]) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from hw_bridge.live_table import unit_table

    with Live(auto_refresh=False) as live:
        while True:
            units = [runner.health for runner in running.runners.values()]
            online = sum(health.state == "online" for health in units)
            title = f"{online} of {len(units)} units online"
            live.update(Group(unit_table(units, title), *map(Text, recent)), refresh=True)
            await asyncio.sleep(1)
