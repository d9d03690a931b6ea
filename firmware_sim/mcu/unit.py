"""One control unit whose firmware runs on an emulated chip; its plant is the same as that of the PC's unit."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.control_unit import ControlUnit
from firmware_sim.mcu.chip import Chip, Exchange
from firmware_sim.mcu.frames import CONSOLE_BYTES, frame
from firmware_sim.plant.board import Board
from firmware_sim.plant.home import Measured, SolarHome
from firmware_sim.sleep import NEVER_DUE_MS
from firmware_sim.storage import Storage
from paygo_core.errors import Problem


class EmulatedUnit(ControlUnit):
    """What SimulatedUnit is, on a chip: feed it bytes and time, take what it says. Close it, or use `with`.

    start: makes a chip with power from the stored bytes. board: its revision. first_boot: what the unit's
    first start is called (H19).
    """

    def __init__(
        self,
        storage: Storage,
        home: SolarHome,
        start: Callable[[bytes], Chip],
        *,
        board: Board = "legacy",
        first_boot: int = 1,
    ) -> None:
        super().__init__(storage, home)
        self._start = start
        self._board = board
        self._first_boot = first_boot
        self._chip: Chip | None = None
        self.power_on()

    def __enter__(self) -> EmulatedUnit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the chip."""
        self.power_off()

    def power_on(self) -> None:
        """Starts the chip from what is stored."""
        if self.powered:
            return
        self._chip = self._start(bytes(self.storage.image))
        self.powered = True
        try:
            self._chip.plan(self._first_boot, self._board, self._cut)
            self._run(0, 0)
        except BaseException:
            self.power_off()
            raise

    def power_off(self) -> None:
        """Cuts the supply: everything that is not stored is gone. The panel still charges the battery."""
        if self._chip is not None:
            self._chip.close()
            self._chip = None
        super().power_off()

    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None:
        """Plans a cut inside a write to storage, which the chip is told."""
        super().cut_power(at_byte, after_writes, kill=kill)
        if self._chip is not None:
            self._chip.plan(self._first_boot, self._board, self._cut)

    def _run(self, world_ms: int, wire_ms: int, key: str = "", measured: Measured | None = None) -> None:
        """Frames to the chip until it has taken in what there is. A chip that fails is switched off."""
        self.told = measured or self.home.measured
        while self._chip is not None:
            console = bytes(self._rx[:CONSOLE_BYTES])
            del self._rx[:CONSOLE_BYTES]
            readings = self.told if world_ms else self.told.again()
            asked = frame(readings, console=len(console), key=key, world_ms=world_ms, wire_ms=wire_ms)
            try:
                self._take(self._chip.exchange(asked, console))
            except Problem:
                self.power_off()
                raise
            world_ms = wire_ms = 0
            key = ""
            if not self._rx and self.wire_due_ms != 0:
                return

    def _take(self, exchange: Exchange) -> None:
        """What is stored comes first: what the unit says may depend on it (H12)."""
        if exchange.image is not None:
            self.storage.replace(exchange.image)
        for answer in exchange.answers:
            self._act(answer)
        if exchange.failed:
            cut, self._cut = self._cut, None
            assert cut is not None
            self.storage.writes += cut.after_writes + 1
            cut.end_process()
            self.power_off()
            return
        last = exchange.answers[-1]
        self.storage.writes += last.writes
        if self._cut is not None:
            self._cut.after_writes -= last.writes
        self.wire_due_ms = None if last.wire_due_ms == NEVER_DUE_MS else last.wire_due_ms
        self.world_due_ms = last.world_due_ms
        self._tx += exchange.said
