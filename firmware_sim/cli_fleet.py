"""`paygo sim fleet`: many units over years."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from paygo_core.errors import PaygoError
from paygo_core.shell import emit, note, output_options


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """A bar with the time left on a terminal, and nothing where the output goes elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("chunks of units"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("")
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _rates(texts: tuple[str, ...]) -> dict[str, float]:
    rates = {}
    for text in texts:
        name, _, rate = text.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise PaygoError(f"{text!r} is no rate", "write a fault and how often a year, as in surge=0.2") from None
    return rates


@click.command()
@click.option("--units", type=int, required=True, help="How many.")
@click.option("--days", type=int, required=True, help="How long.")
@click.option("--step", "step_s", type=int, default=60, show_default=True, help="Seconds of a step, a divisor of 900.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same files.")
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("home-50", "home-50-lfp"),
    show_default=True,
    help="A kit; again for more.",
)
@click.option(
    "--site", "sites", multiple=True, default=("nairobi",), show_default=True, help="A place; again for more."
)
@click.option(
    "--rate", "rates", multiple=True, metavar="FAULT=RATE", help="How often a year a fault happens; again for more."
)
@click.option("--workers", type=int, default=0, help="Processes; default: one a core.")
@click.option("--cluster", metavar="tcp://HOST:PORT", help="Let the workers of this dask scheduler run it instead.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new directory, or one of this run to go on with.",
)
@output_options
def fleet(
    units: int,
    days: int,
    step_s: int,
    seed: int,
    models: tuple[str, ...],
    sites: tuple[str, ...],
    rates: tuple[str, ...],
    workers: int,
    cluster: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """Simulate many units: panels, batteries, weather, people, payments and faults.

    Leaves Parquet files of days, alerts, failures and tokens. A run that was stopped goes on where it was when the same
    command is given again. The files do not depend on how many workers there are. Needs the extra `fleet`.

    \b
    Example:
      paygo sim fleet --units 1000 --days 365 --model home-50 --site dhaka -o run
      paygo sim report run
    """
    try:
        import pyarrow  # noqa: F401

        from firmware_sim.fleet.chunk import Plan
        from firmware_sim.fleet.run import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("numpy", "pyarrow"):
            raise
        raise PaygoError(f"a fleet needs {error.name}", "pip install 'paygo-solar[fleet]'") from None
    if workers < 0:
        raise PaygoError(f"there cannot be {workers} workers", "name 1 or more, or leave it out")
    plan = Plan(units, days, step_s, seed, models, sites, _rates(rates))
    with _bar() as progress:
        made = run(plan, output, workers, progress, cluster)
    chunks = len(plan.chunks())
    if as_json:
        emit({"directory": str(output), "units": units, "days": days, "chunks": chunks, "run_now": made})
        return
    click.echo(f"{units} units, {days} days: {output}")
    if made < chunks:
        note(f"{chunks - made} of {chunks} chunks were there already")
    note(f"look at it: paygo sim report {output}")
