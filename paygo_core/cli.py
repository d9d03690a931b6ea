"""The root command `paygo`; its groups come from the entry point `paygo.commands`."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import click

from paygo_core._version import __version__
from paygo_core.shell import run


class EntryPointGroup(click.Group):
    """A group whose commands are entry points, loaded only when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group="paygo.commands").names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group="paygo.commands", name=cmd_name):
            command = entry.load()
            assert isinstance(command, click.Command), f"{entry.value} is not a command"
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def root() -> None:
    """Tokens, simulated units and real units of pay-as-you-go solar.

    Exit status: 0 passed, 1 the device or a check failed, 2 wrong use, 3 port missing, busy or denied, 4 no answer in
    time, 70 a defect of ours, 130 interrupted, 143 terminated.
    """


def main() -> None:
    """The console script."""
    sys.exit(run(root))
