"""The options that name a port, for every command of `paygo bridge`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from paygo_core.shell import FiniteFloat, note

if TYPE_CHECKING:
    from hw_bridge.drivers import UnitStatus


def port_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds PORT and what describes it. The command gets `connect`, which opens the port and gives a driver."""

    @click.argument("port", envvar="PAYGO_PORT")
    @click.option("-d", "--driver", default="hdk", show_default=True, metavar="NAME", help="What kind of unit it is.")
    @click.option("-b", "--baud", type=click.IntRange(50, 2**31 - 1), help="Speed.  [default: the driver's]")
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
    def wrapped(
        *args: Any,
        port: str,
        driver: str,
        baud: int | None,
        timeout: float | None,
        transcript: str | None,
        **kwargs: Any,
    ) -> Any:
        connect = functools.partial(connect_to, port, baud, timeout, transcript, driver)
        return command(*args, connect=connect, **kwargs)

    return wrapped


@contextmanager
def connect_to(
    port: str, baud: int | None, timeout: float | None, transcript: str | None = None, driver: str = "hdk"
) -> Iterator[Any]:
    """A driver on an open port; `transcript` names the file that every byte goes to."""
    from hw_bridge.drivers import load_driver, usual_baud
    from hw_bridge.transcript import Transcript
    from hw_bridge.transport import Transport

    make = load_driver(driver)
    baud = baud or usual_baud(make)
    debug = click.get_current_context().find_root().meta.get("paygo.debug")
    with ExitStack() as owner:
        trace = None
        if transcript is not None:
            trace = owner.enter_context(Transcript(transcript, f"{port}, {baud} baud")).trace
        transport = owner.enter_context(Transport(port, baud, trace=trace))
        yield make(transport, log=(lambda text: note(f"unit: {text}")) if debug else None, timeout=timeout)


Connect = Callable[[], Any]


def duration(seconds: int) -> str:
    """Seconds in words: 1 d 2 h."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def credit(status: UnitStatus) -> str:
    """What the customer may use, in words."""
    if status.state == "unlocked":
        return "unlocked for good"
    return f"{status.state}; {duration(status.seconds_left or 0)} of credit left"
