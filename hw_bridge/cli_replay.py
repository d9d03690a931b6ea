"""The command `paygo bridge replay`: a unit that says again what it said while a transcript was made."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from paygo_core.errors import PaygoError
from paygo_core.shell import FiniteFloat, emit, note, output_options


@click.command()
@click.argument("transcript", metavar="FILE")
@click.option("--link", type=click.Path(path_type=Path), help="Make this path a link to the unit's pty.")
@click.option(
    "--speed",
    type=FiniteFloat(0.001, 1_000_000),
    default=1.0,
    show_default=True,
    help="How many times faster than recorded.",
)
@click.option(
    "--patience",
    type=FiniteFloat(0, 86_400, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the host may be silent where it spoke.",
)
@output_options
def replay(transcript: str, link: Path | None, speed: float, patience: float, as_json: bool) -> None:
    """Play the unit's side of a transcript back on a pty.

    A transcript is what --transcript of the other commands writes. The unit answers as it did then, as long as the host
    sends what it sent then; where the host sends something else, this ends with status 1 and says what. Keys are masked
    in a transcript: where one stands, any is taken.

    \b
    Example, in two terminals:
      paygo bridge status /dev/ttyUSB0 --transcript status.txt
      paygo bridge replay status.txt --link /tmp/unit
      paygo bridge status /tmp/unit
    """
    from hw_bridge.transcript import Replay, records

    with ExitStack() as owner:
        try:
            file = owner.enter_context(open(transcript, encoding="ascii", errors="surrogateescape", newline="\n"))
        except OSError as error:
            raise PaygoError(f"{transcript} cannot be read: {error.strerror}", "name a transcript's file") from None
        if not sum(1 for _ in records(file, transcript)):  # what is wrong is said before anybody opens the port
            raise PaygoError(f"{transcript} has nothing to play", "make a transcript with --transcript FILE")
        file.seek(0)
        unit = owner.enter_context(Replay(link, speed=speed, patience=patience))
        if as_json:
            emit({"event": "ready", "port": unit.port})
        else:
            note(f"the unit is on {unit.port}")
        count = unit.play(records(file, transcript))
    if as_json:
        emit({"event": "played", "records": count})
    else:
        note(f"played {count} records to their end")
