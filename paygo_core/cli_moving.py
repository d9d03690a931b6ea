"""`paygo device import` and `paygo device export`: whole fleets move into the registry, and out of it."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.draft import Draft
from paygo_core.moving import ACCEPTABLE, export_list, import_list, load_mapping, open_source
from paygo_core.moving.exporting import Form
from paygo_core.progress import progress_of
from paygo_core.refusals import Refusals
from paygo_core.shell import Status, emit, note, output_options, put_out

if TYPE_CHECKING:
    from paygo_core.moving import Report, Source

_SHOWN_PROBLEMS = 100
_SHOWN_SHARED = 5


def _asked(source: Source, accepted: frozenset[str]) -> frozenset[str]:
    """What whoever sits at the terminal accepts besides."""
    with progress_of(source.path, "devices") as progress:
        unsure = import_list(None, source, accept=accepted, on_progress=progress)
    for kind, rows in sorted(unsure.unsure.items()):
        examples = [problem for problem in unsure.refusals if problem.accept == kind][:3]
        for problem in examples:
            note(f"  line {problem.line}: {problem.reason}")
        if click.confirm(f"{rows} row{'s' * (rows != 1)}: {ACCEPTABLE[kind]}. Accept?", default=False, err=True):
            accepted |= {kind}
    return accepted


@click.command("import")
@click.argument("file", type=click.Path())
@click.option("--mapping", metavar="FILE", type=click.Path(), help="Which column is what, as --save-mapping wrote it.")
@click.option("--save-mapping", metavar="FILE", type=click.Path(), help="Write down which column was taken for what.")
@click.option(
    "--accept",
    metavar="KIND",
    type=click.Choice(sorted(ACCEPTABLE)),
    multiple=True,
    help=f"Do a repair that is not certain: {', '.join(sorted(ACCEPTABLE))}. May be repeated.",
)
@click.option("--encoding", metavar="NAME", help="Of a CSV file, where it is not found right: cp1252, utf-16 …")
@click.option("--delimiter", metavar="CHAR", help="Of a CSV file, where it is not found right.")
@click.option("--sheet", metavar="NAME", help="Of an XLSX workbook, where it is not found right.")
@click.option("--quarantine", metavar="FILE", type=click.Path(), help="Where refused rows go.")
@click.option("--by", "noted_by", default="", metavar="NAME", help="Who imports, for the notes that come along.")
@click.option("--dry-run", is_flag=True, help="Say what would come in; write nothing.")
@registry_options
@output_options
def import_(
    file: str,
    *,
    mapping: str | None,
    save_mapping: str | None,
    accept: tuple[str, ...],
    encoding: str | None,
    delimiter: str | None,
    sheet: str | None,
    quarantine: str | None,
    noted_by: str,
    dry_run: bool,
    registry_path: str,
    as_json: bool,
) -> int:
    """Take the devices of a device list (CSV or XLSX) into the registry.

    Encoding, delimiter and columns are found out, and shown where the list is not in one of the public forms. What a
    spreadsheet did to a row is repaired where that is certain; what is not certain is asked at a terminal, or done with
    --accept. Good rows go in, all together. A broken row, or a device that the registry knows with other data, is
    refused with a reason and copied to FILE.quarantine.csv; nothing is overwritten, so the same list can be imported
    again. The exit status is 1 when a row was refused. The quarantine file holds keys: delete it when it is dealt with.

    \b
      paygo device import devices.csv
      paygo device import parc.xlsx --save-mapping parc.toml --dry-run
      paygo device import suite.csv --mapping parc.toml --accept thousands
    """
    if delimiter is not None and (delimiter := delimiter.replace("\\t", "\t")) in ('"', "\n", "\r", " ", ""):
        raise click.UsageError("--delimiter is one character, and no quote or space")
    if delimiter is not None and len(delimiter) != 1:
        raise click.UsageError("--delimiter is one character")
    saved = None if mapping is None else load_mapping(mapping)
    source = open_source(file, saved=saved, encoding=encoding, delimiter=delimiter, sheet=sheet)
    columns = source.columns
    if not columns.plain:
        note(f"{file}: {columns.sentence()}")
    if "count" not in columns.places:
        note(f"{file}: no column is the count, so that each is taken for 1; a unit further on needs a sync")
    if save_mapping is not None:
        columns.save(save_mapping)
    accepted = frozenset(accept)
    if sys.stdin.isatty() and sys.stderr.isatty() and not as_json:
        accepted = _asked(source, accepted)
    with Refusals(_SHOWN_PROBLEMS) as tell, progress_of(source.path, "devices") as progress, ExitStack() as stack:
        place = registry_path
        if dry_run and "://" not in place and not Path(place).exists():
            place = str(Path(stack.enter_context(TemporaryDirectory()), "paygo.db"))  # as a new one would take it
        registry = stack.enter_context(open_registry(place, create=True))
        report = import_list(
            registry,
            source,
            accept=accepted,
            quarantine=Path(quarantine or f"{file}.quarantine.csv"),
            noted_by=noted_by,
            dry_run=dry_run,
            on_problem=tell,
            on_progress=progress,
        )
    _tell(report, source, dry_run, as_json)
    return Status.FAILED if report.refused else Status.PASSED


def _tell(report: Report, source: Source, dry_run: bool, as_json: bool) -> None:
    """The report, for people or for machines."""
    quarantine = None if report.quarantine is None else str(report.quarantine)
    if as_json:
        emit(
            {
                "added": report.added,
                "unchanged": report.unchanged,
                "repeated": report.repeated,
                "notes": report.notes,
                "repaired": {what: {"rows": n, "first": report.first[what]} for what, n in report.repaired.items()},
                "refused_rows": report.refused,
                "refused": [problem.facts() for problem in report.refusals],
                "shared_keys": report.shared,
                "columns": source.columns.facts(),
                "file": source.facts(),
                "lines_above": source.first - 1,
                "quarantine": quarantine,
                "dry_run": dry_run,
            }
        )
    else:
        counts = f"{report.added} added, {report.unchanged} already there, {report.refused} refused"
        counts += f", {report.repeated} repeated" if report.repeated else ""
        counts += f", {report.notes} note{'s' * (report.notes != 1)}" if report.notes else ""
        click.echo(counts + (" (dry run: nothing was written)" if dry_run else ""))
        for what, rows in sorted(report.repaired.items()):
            click.echo(f"  {what}: {rows} row{'s' * (rows != 1)}, first on line {report.first[what]}")
    for serials in report.shared[:_SHOWN_SHARED]:
        more = f" and {len(serials) - 5} more" if len(serials) > 5 else ""
        note(f"The same key: {', '.join(serials[:5])}{more}; a token of one works on the others")
    if len(report.shared) > _SHOWN_SHARED:
        note(f"{len(report.shared) - _SHOWN_SHARED} more keys stand at several serials")
    if quarantine:
        note(f"The refused rows, with their keys, are in {quarantine}")


@click.command()
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(), help="Where the list goes, in place of standard output."
)
@click.option(
    "--form",
    type=click.Choice(["template", "generator", "json"]),
    default="template",
    show_default=True,
    help="The public template, the batch generator's eight columns, or JSON, one object a line.",
)
@click.option("--with-keys", is_flag=True, help="With the secret keys; needs --output, and the file has mode 0600.")
@registry_options
@output_options
def export(output: str | None, *, form: Form, with_keys: bool, registry_path: str, as_json: bool) -> None:
    """Write the devices of the registry as a device list.

    Without --with-keys its column of keys is empty: such a list tells what there is, and cannot be imported. With them
    it moves the fleet elsewhere: whoever imports it goes on with the next token of each device. --json is --form json.

    \b
      paygo device export -o devices.csv
      paygo device export --with-keys -o moving.csv
      paygo device export --form json | jq -r .serial
    """
    if with_keys and output in (None, "-"):
        raise click.UsageError("--with-keys goes with --output FILE, so that keys stand in no terminal and no log")
    lost: Counter[str] = Counter()
    lines = 0
    with open_registry(registry_path) as registry, ExitStack() as stack:
        draft = None if output in (None, "-") else stack.enter_context(Draft(Path(str(output))))
        for line, missing in export_list(registry, "json" if as_json else form, with_keys):
            lost += missing
            lines += bool(line)
            if draft is not None:
                draft.write(line)
            else:
                put_out(line)
        if draft is not None:
            draft.publish()
    for what, rows in lost.items():
        note(f"The list does not tell {what}: {rows} device{'s' * (rows != 1)}; --form json does")
    if output not in (None, "-"):
        devices = lines - (0 if as_json or form == "json" else 1)
        keys = ", with their keys" if with_keys else ""
        note(f"{devices} device{'s' * (devices != 1)}{keys} in {output}")
