"""`paygo device import`: whole fleets move into the registry."""

from __future__ import annotations

import click

from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.csv_rows import RowProblem
from paygo_core.device_list import read_device_list, write_quarantine
from paygo_core.shell import Status, emit, note, output_options


@click.command("import")
@click.argument("file", type=click.Path())
@registry_options
@output_options
def import_(file: str, registry_path: str, as_json: bool) -> int:
    """Take the devices of a device list (CSV) into the registry.

    Good rows go in, all together. A broken row, or a device that the registry knows with other data, is refused with
    a reason and copied to FILE.quarantine.csv; nothing is overwritten, so the same list can be imported again. The
    exit status is 1 when a row was refused. The quarantine file holds keys: delete it when it is dealt with.

    \b
      paygo device import devices.csv
      paygo device import --registry fleet.db devices.csv
    """
    listed = read_device_list(file)
    with open_registry(registry_path, create=True) as registry:
        result = registry.import_devices(listed.devices)
    conflicts = {conflict.serial: conflict for conflict in result.conflicts}
    problems = listed.problems + [
        RowProblem(file, row.line, "", str(conflicts[row.serial]), "nothing is overwritten", raw=row.raw)
        for row in listed.devices
        if row.serial in conflicts
    ]
    problems.sort(key=lambda problem: problem.line)
    for problem in problems:
        note(f"paygo: {problem}")
    quarantine = str(write_quarantine(f"{file}.quarantine.csv", listed.header, problems)) if problems else None
    if as_json:
        refused = [{name: getattr(p, name) for name in ("line", "serial", "column", "cause", "hint")} for p in problems]
        emit({"added": result.added, "unchanged": result.unchanged, "refused": refused, "quarantine": quarantine})
    else:
        click.echo(f"{result.added} added, {result.unchanged} already there, {len(problems)} refused")
    if quarantine:
        note(f"The refused rows, with their keys, are in {quarantine}")
    return Status.FAILED if problems else Status.PASSED
