"""`paygo sim metrics`: what simulated units tell a server, as OpenPAYGO Metrics requests."""

from __future__ import annotations

from pathlib import Path

import click

from paygo_core.errors import PaygoError
from paygo_core.shell import Status, emit, note, output_options
from paygo_core.wire.metrics_request import AUTH_METHODS


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--unit", "units", type=int, multiple=True, required=True, help="Its number; again for more.")
@click.option(
    "--format", "form", type=click.Choice(["simple", "condensed"]), default="simple", show_default=True,
    help="Named values, or short names and values in order.",
)  # fmt: skip
@click.option("--format-id", type=int, help="How the server knows the order; by default each request has it.")
@click.option(
    "--auth", type=click.Choice([*AUTH_METHODS, "none"]), default="ra", show_default=True,
    help="Over what they are authenticated: " + "; ".join(f"{name}: {of}" for name, of in AUTH_METHODS.items()) + ".",
)  # fmt: skip
@click.option("--key-file", help="A file whose first line is the units' secret key, 32 hexadecimal digits.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Days between requests of a unit.")
@click.option("--post", "url", metavar="URL", help="Post them there, and keep what the server does not answer.")
@output_options
def metrics(
    directory: Path,
    units: tuple[int, ...],
    form: str,
    format_id: int | None,
    auth: str,
    key_file: str | None,
    every: int,
    url: str | None,
    as_json: bool,
) -> int:
    """Tell a server of units' days: daily aggregates and lifetime counters, as OpenPAYGO Metrics requests.

    DIRECTORY is what `paygo sim fleet -o` or `paygo sim run -o` wrote. Without --post the requests are printed, one a
    line. With it, days that the server does not answer go into the next request as historical data, and where a server
    stays away, into those of the next run; what is too large for it is cut in halves, down to a day, which is passed
    over. Exit status 4 if some are left. Needs the extra `fleet`.

    \b
    Example:
      paygo sim run sunny-week -o week
      paygo sim metrics week --unit 0 --auth none
      paygo sim metrics week --unit 0 --format condensed --key-file unit.key --post https://metrics.example.org/dd
    """
    try:
        from firmware_sim.fleet.metrics import Courier, Style, days_of, requests, serial_of
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "numpy":
            raise
        raise PaygoError("a fleet's days need numpy", "pip install 'paygo-solar[fleet]'") from None
    from firmware_sim.report.reading import open_fleet

    key = None if auth == "none" else _key(key_file)
    style = Style(form == "condensed", auth, format_id)
    fleet = open_fleet(directory)
    left = 0
    for unit in units:
        days, serial = days_of(fleet, unit), serial_of(fleet, unit)
        if url is None:
            for request in requests(serial, days, key, style, every):
                click.echo(request)
            continue
        courier = Courier(url, serial, key, style, directory / f"metrics-{unit}.json")
        waiting = courier.deliver(days, every)
        left += waiting + len(courier.refused)
        said = {"serial": serial, "days": len(days), "waiting": waiting, "requests": courier.sent.count}
        said["refused"] = courier.refused
        if as_json:
            emit(said)
        else:
            answered = len(days) - waiting - len(courier.sent.refused.get(url, []))
            click.echo(f"{serial}: {answered} of {len(days)} days answered")
        if waiting:
            note(f"{serial}: {courier.problem}; {waiting} days wait for the next run")
        for day in courier.refused:
            note(f"{serial}: day {day} is too large for the server (413), and is passed over")
    return Status.NO_ANSWER if left else Status.PASSED


def _key(file: str | None) -> bytes:
    from paygo_core.secret_file import first_line
    from paygo_core.tokens import parse_key

    if file is None:
        raise PaygoError("requests are authenticated with a key", "give --key-file, or --auth none")
    return parse_key(first_line(file, "secret key"))
