"""`paygo sim run`: a scenario played, checked and told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paygo_core.errors import PaygoError
from paygo_core.shell import FiniteFloat, Status, emit, note, output_options

if TYPE_CHECKING:
    from firmware_sim.scenario.expectations import Check
    from firmware_sim.scenario.play import Happening, Outcome


@click.command("run")
@click.argument("scenario", required=False)
@click.option("--list", "listing", is_flag=True, help="List the scenarios that come with paygo.")
@click.option("--show", is_flag=True, help="Print the scenario's TOML, to begin your own with.")
@click.option(
    "--speed", type=FiniteFloat(0.1, 100_000), help="Scenario seconds in a second; default: as fast as it goes."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Leave Parquet files in this new directory.")
@click.option("--report", "page", type=click.Path(path_type=Path), help="Write a page of what happened, HTML.")
@click.option("-q", "--quiet", is_flag=True, help="Tell the expectations only, not what happened.")
@output_options
def run(
    scenario: str | None,
    listing: bool,
    show: bool,
    speed: float | None,
    output: Path | None,
    page: Path | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Play a scenario and check what it expects.

    SCENARIO is a TOML file, or the name of one that comes with paygo. Exit status 1 where an expectation was not kept.
    `paygo sim report DIRECTORY` reads what -o leaves. Needs the extra `fleet`.

    \b
    Example:
      paygo sim run --list
      paygo sim run sunny-week --report week.html
      paygo sim run my-scenario.toml --speed 3600 -o run
    """
    try:
        import pyarrow  # noqa: F401

        from firmware_sim.scenario.expectations import check
        from firmware_sim.scenario.play import Pace, play
        from firmware_sim.scenario.reading import open_scenario, shipped
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("numpy", "pyarrow"):
            raise
        raise PaygoError(f"a scenario needs {error.name}", "pip install 'paygo-solar[fleet]'") from None
    if listing:
        _list(list(shipped()), as_json)
        return Status.PASSED
    if scenario is None:
        raise PaygoError("no scenario was named", f"name a TOML file, or one of {', '.join(shipped())}")
    if show:
        if scenario not in shipped():
            raise PaygoError(f"{scenario!r} does not come with paygo", f"--show prints {', '.join(shipped())}")
        click.echo(shipped()[scenario], nl=False)
        return Status.PASSED
    chosen = open_scenario(scenario)
    if output is not None:
        from firmware_sim.scenario.parquet import claim

        claim(output)

    def tell(happening: Happening) -> None:
        if as_json:
            emit(_record(happening, chosen.labels))
        else:
            click.echo(_line(happening, chosen.labels))

    outcome = play(
        chosen, None if quiet else tell, Pace(speed, time.monotonic, time.sleep) if speed is not None else None
    )
    checks = check(outcome)
    _leave(outcome, checks, output, page)
    return _judge(chosen.title, checks, as_json)


def _judge(title: str, checks: Sequence[Check], as_json: bool) -> int:
    """Tells each expectation and returns the exit status."""
    kept = sum(each.kept for each in checks)
    for each in checks:
        if as_json:
            emit({"event": "expectation", "expected": each.words, "kept": each.kept, "seen": each.seen})
        else:
            click.echo(f"{'kept    ' if each.kept else 'NOT KEPT'}  {each.words}; seen: {each.seen}")
    if as_json:
        emit({"event": "done", "scenario": title, "kept": kept, "expected": len(checks)})
    else:
        click.echo(f"{title}: {kept} of {len(checks)} expectations kept")
    return Status.PASSED if kept == len(checks) else Status.FAILED


def _leave(outcome: Outcome, checks: Sequence[Check], output: Path | None, page: Path | None) -> None:
    """Writes the tables and the page."""
    if output is not None:
        from firmware_sim.scenario.parquet import write_tables

        write_tables(outcome, output)
        note(f"the tables are in {output}: paygo sim report {output}")
    if page is not None:
        from firmware_sim.scenario.page import scenario_page
        from paygo_core.report import write

        write(scenario_page(outcome, checks), page)
        note(f"the report is {page}")


def _list(names: Sequence[str], as_json: bool) -> None:
    from firmware_sim.scenario.reading import open_scenario

    for name in names:
        each = open_scenario(name)
        if as_json:
            emit({"name": name, "title": each.title, "units": each.units, "days": each.days})
        else:
            click.echo(f"{name:<16} {each.title} ({each.units} units, {each.days} days)")


def _record(happening: Happening, labels: Sequence[str]) -> dict[str, object]:
    return {
        "event": happening.kind, "day": happening.at_s // 86_400, "hour": round(happening.at_s % 86_400 / 3600, 4),
        "unit": labels[happening.unit] if happening.unit >= 0 else None, "text": happening.text,
    }  # fmt: skip


def _line(happening: Happening, labels: Sequence[str]) -> str:
    from firmware_sim.scenario.tables import moment

    unit = labels[happening.unit] if happening.unit >= 0 else "all"
    return f"{moment(happening.at_s):<13} {unit:<10} {happening.text}"
