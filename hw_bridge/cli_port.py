"""The options that name a port, for every command of `paygo bridge`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from paygo_core.shell import FiniteFloat, note

if TYPE_CHECKING:
    from hw_bridge.drivers.hdk import HdkDriver


def port_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds PORT, --baud and --timeout. The command gets `connect`, which opens the port and gives a driver."""

    @click.argument("port", envvar="PAYGO_PORT")
    @click.option("-b", "--baud", type=click.IntRange(50, 2**31 - 1), default=115200, show_default=True, help="Speed.")
    @click.option(
        "--timeout",
        type=FiniteFloat(min=0, min_open=True),
        metavar="SECONDS",
        help="Deadline of one command.  [default: what is usual for it]",
    )
    @click.option(
        "--transcript", metavar="FILE", help="Write every byte with time and direction there; keys are masked."
    )
    @functools.wraps(command)
    def wrapped(*args: Any, port: str, baud: int, timeout: float | None, transcript: str | None, **kwargs: Any) -> Any:
        return command(*args, connect=functools.partial(connect_to, port, baud, timeout, transcript), **kwargs)

    return wrapped


@contextmanager
def connect_to(port: str, baud: int, timeout: float | None, transcript: str | None = None) -> Iterator[HdkDriver]:
    """A driver on an open port; `transcript` names the file that every byte goes to."""
    from hw_bridge.drivers.hdk import HdkDriver
    from hw_bridge.transcript import Transcript
    from hw_bridge.transport import Transport

    debug = click.get_current_context().find_root().meta.get("paygo.debug")
    with ExitStack() as owner:
        trace = None
        if transcript is not None:
            trace = owner.enter_context(Transcript(transcript, f"{port}, {baud} baud")).trace
        transport = owner.enter_context(Transport(port, baud, trace=trace))
        yield HdkDriver(transport, log=(lambda text: note(f"unit: {text}")) if debug else None, timeout=timeout)


Connect = Callable[[], Any]


def duration(seconds: int) -> str:
    """Seconds in words: 1 d 2 h."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
