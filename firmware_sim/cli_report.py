"""`paygo sim report`: the page of a fleet's run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from paygo_core.errors import PaygoError
from paygo_core.shell import emit, note, output_options


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page; default: report.html in DIRECTORY.")
@output_options
def report(directory: Path, output: Path | None, as_json: bool) -> None:
    """Make a page of a fleet's run: pilot, failures, over-voltages, batteries, utilisation.

    DIRECTORY is what `paygo sim fleet -o` wrote. The page loads nothing from a network. With --json the numbers are
    printed too. Needs the extra `fleet`.

    \b
    Example:
      paygo sim fleet --units 1000 --days 365 -o run
      paygo sim report run
    """
    try:
        from firmware_sim.report.numbers import summarize
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "numpy":
            raise
        raise PaygoError("a report needs numpy", "pip install 'paygo-solar[fleet]'") from None
    from firmware_sim.report.page import in_short, report_page
    from firmware_sim.report.reading import open_fleet
    from paygo_core.report import write

    fleet = open_fleet(directory)
    summary = summarize(fleet)
    target = output if output is not None else directory / "report.html"
    page = report_page(fleet, summary)
    write(page, target)
    if as_json:
        emit({"page": str(target), **asdict(summary)})
        return
    for question, answer in in_short(summary):
        click.echo(f"{question} {answer}")
    note(f"the report is {target}: {page.verdict}")
