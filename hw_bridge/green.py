"""Lets drivers that wait for their unit share one thread: each runs in a greenlet, and asyncio does the waiting.

A driver calls `read` and `write` of its port and knows of nothing. In a greenlet these switch to the event loop until
the bytes are there, so a hundred units cost neither a thread each nor a wake-up for each time-out slice.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hw_bridge.transport import DEFAULT_BAUD, WRITE_SECONDS, Transport
from paygo_core.errors import NoAnswerError, PaygoError, PortError

try:
    from greenlet import getcurrent, greenlet
except ImportError:
    raise PaygoError("a gateway needs greenlet", "pip install 'paygo-solar[gateway]'") from None

Result = TypeVar("Result")

READ_BYTES = 4096
LONGEST_BACKLOG = 65_536
"""Bytes that wait for the driver; beyond them the port is left unread until it has taken some."""


async def in_greenlet(work: Callable[..., Result], *arguments: Any) -> Result:
    """Runs `work`, which may call `wait`, and returns what it returns. Cancelling raises in it where it waits."""
    runner = greenlet(work)
    result = runner.switch(*arguments)
    while not runner.dead:
        try:
            value = await result
        except BaseException as error:
            result = runner.throw(error)
        else:
            result = runner.switch(value)
    return result  # type: ignore[no-any-return]


def wait(awaitable: Awaitable[Result]) -> Result:
    """In a greenlet of `in_greenlet`: lets the loop go on until this is done, and gives its result."""
    parent = getcurrent().parent
    assert parent is not None, "wait() is for work that in_greenlet() runs"
    return parent.switch(awaitable)  # type: ignore[no-any-return]


class GreenPort:
    """A port as drivers know it (Transport), for use in a greenlet. Open it with `await GreenPort.open(…)`."""

    def __init__(self, transport: Transport) -> None:
        self.port = transport.port
        self._transport = transport
        self._fd = transport.fileno()
        self._loop = asyncio.get_running_loop()
        self._came = bytearray()
        self._gone = False
        self._reading = False
        self._waiter: asyncio.Future[None] | None = None
        self._poll = select.poll()
        if self._fd is not None:
            os.set_blocking(self._fd, False)
            self._poll.register(self._fd, select.POLLIN)
            self._watch()

    @classmethod
    async def open(cls, port: str, baud: int = DEFAULT_BAUD) -> GreenPort:
        """Opens a port as Transport does, without holding up the loop meanwhile."""
        return cls(await asyncio.to_thread(Transport, port, baud))

    def read(self, timeout: float) -> bytes:
        """What has come, at most 4096 bytes; b"" when nothing comes within `timeout` seconds."""
        if self._fd is None:
            return wait(asyncio.to_thread(self._transport.read, timeout))
        if not self._came:
            self._take()
        if not self._came and not self._gone and timeout > 0:
            wait(self._until_ready(timeout))
        if self._came:
            taken = bytes(self._came[:READ_BYTES])
            del self._came[:READ_BYTES]
            self._watch()
            return taken
        if self._gone:
            raise self._vanished()
        return b""

    def write(self, data: bytes) -> None:
        """Sends all of `data`. Raises NoAnswerError when the other side takes no bytes for 2 s."""
        if self._fd is None:
            wait(asyncio.to_thread(self._transport.write, data))
            return
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                wait(self._until_writable())
            except OSError:
                raise self._vanished() from None

    def set_line(self, baud: int, parity: str = "N") -> None:
        """Goes on at another speed and parity, as Transport does."""
        self._transport.set_line(baud, parity)

    def close(self) -> None:
        """Gives the port back; also one that has vanished, also twice."""
        self._unwatch()
        self._transport.close()
        self._gone = True

    def _vanished(self) -> PortError:
        return PortError(f"{self.port} vanished", "look at the cable and the power, then try again")

    def _watch(self) -> None:
        if not self._reading and not self._gone and self._fd is not None and len(self._came) < LONGEST_BACKLOG:
            self._loop.add_reader(self._fd, self._take)
            self._reading = True

    def _unwatch(self) -> None:
        if self._reading and self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def _take(self) -> None:
        """Reads what the port has now."""
        if self._gone or self._fd is None:
            return
        try:
            data = os.read(self._fd, READ_BYTES) or self._read_again()
        except BlockingIOError:
            return
        except OSError:
            data = b""
            self._gone = True
            self._unwatch()
        if not data and not self._gone:
            return
        self._came += data
        if len(self._came) >= LONGEST_BACKLOG:
            self._unwatch()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_again(self) -> bytes:
        """A terminal gives no bytes when it has none; when its other side is gone too, but then it is readable."""
        assert self._fd is not None
        if not self._poll.poll(0):
            return b""
        data = os.read(self._fd, READ_BYTES)
        if not data:
            raise OSError("readable, and nothing comes")
        return data

    async def _until_ready(self, timeout: float) -> None:
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout, _give_up, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def _until_writable(self) -> None:
        assert self._fd is not None
        ready = self._loop.create_future()
        self._loop.add_writer(self._fd, _give_up, ready)
        try:
            await asyncio.wait_for(ready, WRITE_SECONDS)
        except asyncio.TimeoutError:
            raise NoAnswerError(
                f"{self.port} takes no bytes since {WRITE_SECONDS:g} s", "the unit hangs, or its flow control is on"
            ) from None
        finally:
            self._loop.remove_writer(self._fd)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
