"""What is on a port: by listening, and only where somebody allows it by a question that changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hw_bridge.drivers import driver_names, load_driver, usual_baud
from hw_bridge.transport import Transport
from paygo_core.errors import PaygoError, PortError

LISTEN_SECONDS = 2.5
"""At each speed: what speaks unasked does so about once a second."""
MOST_BYTES = 8192
"""What is kept of a line that never stops."""

Drivers = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Found:
    """What is on a port.

    state: recognised; unknown (something speaks that no driver knows); silent; blocked (it cannot be opened). driver
    and baud: how to reach it, if recognised. what: a sentence.
    """

    port: str
    state: Literal["recognised", "unknown", "silent", "blocked"]
    what: str
    driver: str | None = None
    baud: int | None = None


def installed_drivers() -> dict[str, Callable[..., Any]]:
    """The drivers here, without those whose library is missing."""
    drivers: dict[str, Callable[..., Any]] = {}
    for name in driver_names():
        try:
            drivers[name] = load_driver(name)
        except PaygoError:
            continue
    return drivers


def scan_port(port: str, drivers: Drivers, *, seconds: float = LISTEN_SECONDS, ask: Drivers | None = None) -> Found:
    """Listens at the speed of each driver that knows what its unit says unasked, for so many seconds each.

    Nothing is sent, unless `ask` names drivers and the line was silent. A port that cannot be opened is an answer too.
    """
    noisy = False
    try:
        with Transport(port) as transport:
            for baud, listening in _by_speed(drivers, "heard"):
                transport.set_line(baud)
                for said in _listen(transport, seconds):
                    noisy = True
                    for name, driver in listening.items():
                        if what := driver.heard(said):  # type: ignore[attr-defined]
                            return Found(port, "recognised", what, name, baud)
            if noisy:
                return Found(port, "unknown", "something speaks that no driver knows")
            for baud, asking in _by_speed(ask or {}, "ask"):
                transport.set_line(baud)
                for name, driver in asking.items():
                    if what := driver.ask(transport):  # type: ignore[attr-defined]
                        return Found(port, "recognised", what, name, baud)
    except PortError as problem:
        return Found(port, "blocked", f"{problem.cause} ({problem.hint})")
    return Found(port, "silent", "nothing answers" if ask else "nothing speaks unasked")


def _by_speed(drivers: Drivers, method: str) -> Iterator[tuple[int, dict[str, Callable[..., Any]]]]:
    able = {name: driver for name, driver in drivers.items() if hasattr(driver, method)}
    for baud in sorted({usual_baud(driver) for driver in able.values()}):
        yield baud, {name: driver for name, driver in able.items() if usual_baud(driver) == baud}


def _listen(transport: Transport, seconds: float) -> Iterator[bytes]:
    """All that was said so far, whenever something came."""
    until = time.monotonic() + seconds
    said = b""
    while (left := until - time.monotonic()) > 0:
        if data := transport.read(left):
            said = (said + data)[-MOST_BYTES:]
            yield said
