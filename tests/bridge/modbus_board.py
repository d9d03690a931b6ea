"""A relay board that speaks Modbus RTU: pymodbus's server on one pty, joined to the one that a host opens."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import tty
from collections.abc import Callable
from typing import Any

from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

UNIT = 1
COILS = 16
WRITE_COIL = 5


class ModbusBoard:
    """A board with sixteen coils, as unit 1. A context manager; `port` is what a host opens.

    switched: is called with each coil that is written, and what it becomes; `written` keeps them. dies_after: so many
    writes are obeyed, the last of them without an answer, as when the board loses its own supply.
    """

    def __init__(
        self, switched: Callable[[int, bool], None] = lambda _coil, _on: None, *, dies_after: int | None = None
    ) -> None:
        self.written: list[tuple[int, bool]] = []
        self._switched = switched
        self._dies_after = dies_after
        self._pairs = [os.openpty() for _ in range(2)]
        for _, slave in self._pairs:
            tty.setraw(slave)
        self.port, self._inside = (os.ttyname(slave) for _, slave in self._pairs)
        self._stop, self._wake = os.pipe()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._join, self._serve)]

    def __enter__(self) -> ModbusBoard:
        for thread in self._threads:
            thread.start()
        assert self._listening.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        os.write(self._wake, b"x")
        for thread in self._threads:
            thread.join()
        for descriptor in (*self._pairs[0], *self._pairs[1], self._stop, self._wake):
            os.close(descriptor)

    def _join(self) -> None:
        """The wire between the two ptys."""
        ends = [master for master, _ in self._pairs]
        while True:
            ready = select.select([*ends, self._stop], [], [])[0]
            if self._stop in ready:
                return
            for master in ready:
                said = os.read(master, 4096)
                if not self._dead and said[:1] == bytes([UNIT]):  # pymodbus's server answers for units that it has not
                    os.write(ends[master == ends[0]], said)

    def _serve(self) -> None:
        self._loop.run_until_complete(self._answer())
        self._loop.close()

    async def _answer(self) -> None:
        self._end = asyncio.Event()
        coils = [SimData(0, count=COILS, values=True, datatype=DataType.BITS)]
        other_bits, registers = [SimData(0, values=False, datatype=DataType.BITS)], [SimData(0)]
        server = ModbusSerialServer(
            SimDevice(UNIT, simdata=(coils, other_bits, registers, registers)),
            port=self._inside,
            baudrate=9600,
            trace_pdu=self._seen,
        )
        await server.serve_forever(background=True)
        self._listening.set()
        await self._end.wait()
        await server.shutdown()

    def _seen(self, sending: bool, pdu: Any) -> Any:
        if not sending and pdu.function_code == WRITE_COIL and pdu.address < COILS and not self._dead:
            self.written.append((pdu.address, bool(pdu.bits[0])))
            self._switched(*self.written[-1])
        return pdu

    @property
    def _dead(self) -> bool:
        return len(self.written) == self._dies_after
