"""The command `paygo device labels`: serials as text and QR code, for a sheet or a label printer."""

from __future__ import annotations

import re
from pathlib import Path

import click

from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError
from paygo_core.shell import emit, output_options

_MOST = 10_000


def _size(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9])?)x([0-9]{1,3}(?:\.[0-9])?)", text)
    if found is None:
        raise click.BadParameter("a size is width x height in mm, such as 50x25")
    return float(found[1]), float(found[2])


@click.command()
@click.argument("serials", metavar="[SERIAL]...", nargs=-1)
@click.option("-o", "--output", metavar="FILE", required=True, help="A file .svg or .pdf.")
@click.option("--prefix", metavar="TEXT", help="All devices whose serials begin with it.")
@click.option(
    "--state",
    type=click.Choice(["new", "provisioned", "active", "unlocked", "repair", "retired"]),
    help="All devices in this state.",
)
@click.option("--size", type=_size, metavar="WxH", default="50x25", show_default=True, help="Of a label, in mm.")
@click.option("--one-per-page", is_flag=True, help="For a label printer, in place of A4 sheets.")
@registry_options
@output_options
def labels(
    *,
    serials: tuple[str, ...],
    output: str,
    prefix: str | None,
    state: str | None,
    size: tuple[float, float],
    one_per_page: bool,
    registry_path: str,
    as_json: bool,
) -> None:
    """Draw labels: each device's serial as text and as QR code, and its model.

    The code holds the serial alone: `paygo bridge provision --next` takes it from the scanner. Keys are never drawn.

    \b
      paygo device labels SLT220000001 -o label.svg
      paygo device labels --prefix SLT22 --state new -o labels.pdf --size 40x20
    """
    from paygo_core.labels import Label, Size, pdf, svg

    if bool(serials) == (prefix is not None or state is not None):
        raise click.UsageError("name serials, or all of a --prefix or a --state")
    draw = {".svg": svg, ".pdf": pdf}.get(Path(output).suffix.lower())
    if draw is None:
        raise click.UsageError("the file's name ends with .svg or .pdf")
    drawn: list[Label] = []
    with open_registry(registry_path) as registry:
        entries = map(registry.entry, serials) if serials else registry.entries()
        for entry in entries:
            if not serials and not (entry.serial.startswith(prefix or "") and state in (None, entry.state)):
                continue
            drawn.append(Label(entry.serial, f"{entry.hardware_model} {entry.version}".strip()))
            if len(drawn) > _MOST:
                raise PaygoError(f"more than {_MOST} labels in one file", "take a longer --prefix")
    if not drawn:
        raise PaygoError("no device is so", "list the devices to see prefixes and states")
    content = draw(drawn, Size(*size, one_per_page))
    with Draft(Path(output)) as draft:
        draft.write(content)
        draft.publish()
    if as_json:
        emit({"labels": len(drawn), "output": output})
    else:
        click.echo(f"{len(drawn)} label{'' if len(drawn) == 1 else 's'} in {output}")
