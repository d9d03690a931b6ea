"""One simulated control unit: the firmware in C, its storage, its plant. No clock is read here; time is given."""

from __future__ import annotations

import re
from typing import Any

from firmware_sim._native import ffi, lib
from firmware_sim.control_unit import ControlUnit
from firmware_sim.plant.board import BOARDS, Board
from firmware_sim.plant.home import Measured, SolarHome
from firmware_sim.sabotage import Sabotage
from firmware_sim.sleep import NEVER_DUE_MS
from firmware_sim.storage import Storage


class SimulatedUnit(ControlUnit):
    """The unit in this process. It starts with power.

    board: its revision. first_boot: what its first start is called, 1 … 2^31 (H19).
    """

    def __init__(
        self,
        storage: Storage,
        home: SolarHome,
        sabotage: Sabotage = Sabotage.NONE,
        *,
        board: Board = "legacy",
        first_boot: int = 1,
    ) -> None:
        super().__init__(storage, home)
        self.sabotage = sabotage
        self._board = BOARDS.index(board)
        self._first_boot = first_boot
        self._firmware = ffi.new("paygo_firmware *")
        self._inputs = ffi.new("paygo_inputs *")
        self._outputs = ffi.new("paygo_outputs *")
        self._cells = bytearray(len(storage.image))
        self._view = ffi.from_buffer(self._cells)
        lib.paygo_read_from_image(ffi.addressof(self._inputs, "storage"), self._view)
        self.power_on()

    def power_on(self) -> None:
        """Starts the firmware from what is stored."""
        if self.powered:
            return
        self._cells[:] = self.storage.image
        reader = ffi.addressof(self._inputs, "storage")
        lib.paygo_firmware_boot(self._firmware, self._board, reader, self._first_boot)
        self.powered = True
        self._run(0, 0)

    def take(self) -> bytes:
        """What the unit has said since the last call."""
        said = super().take()
        if self.sabotage is Sabotage.MUTE:
            return b""
        if self.sabotage is Sabotage.ALERT:
            return re.sub(rb"#ALERT;[^\r]*\r\n", b"", said)
        return said

    def _run(self, world_ms: int, wire_ms: int, key: str = "", measured: Measured | None = None) -> None:
        if not self.powered:
            return
        inputs, outputs = self._inputs, self._outputs
        self.told = measured or self.home.measured
        measured = self.told if world_ms else self.told.again()
        inputs.measured = measured.numbers()
        inputs.rtc_s = measured.rtc_s
        inputs.world_ms = world_ms
        inputs.wire_ms = wire_ms
        inputs.key = key.encode() or b"\0"
        inputs.write_done = False
        while True:
            if self.sabotage is Sabotage.REPLAY:
                self._forget_tokens()
            rx = ffi.from_buffer("char[]", bytes(self._rx))
            inputs.rx = rx
            inputs.rx_length = len(self._rx)
            lib.paygo_firmware_step(self._firmware, inputs, outputs)
            del self._rx[: outputs.rx_taken]
            self._tx += ffi.buffer(outputs.tx, outputs.tx_length)[:]
            self._act(outputs)
            inputs.write_done = outputs.write.length > 0
            if inputs.write_done and not self._store():
                self.power_off()
                return
            inputs.world_ms = inputs.wire_ms = 0
            inputs.key = b"\0"
            inputs.measured.battery_peak_mv = inputs.measured.panel_peak_mv = 0
            inputs.measured.output_peak_mv = inputs.measured.load_peak_ma = 0
            if not outputs.busy and not outputs.walking and (not self._rx or outputs.rx_taken == 0):
                break
        due = outputs.wire_due_ms
        self.wire_due_ms = None if due == NEVER_DUE_MS else int(due)
        self.world_due_ms = int(outputs.world_due_ms)

    def _act(self, now: Any) -> None:
        super()._act(now)
        self.output = self.output and self.sabotage is not Sabotage.OUTPUT

    def _store(self) -> bool:
        """Writes the piece of a record that the firmware asked for. False: the supply failed in it.

        A record counts as one write. What the firmware reads back are its cells, which are the image unless sabotaged.
        """
        write = self._outputs.write
        data = bytes(ffi.buffer(write.bytes, write.length))
        offset, last = int(write.offset), write.rest == 0
        self.storage.writes += write.at == 0
        cut = self._cut
        if cut is not None and cut.after_writes == 0:
            left = max(0, cut.at_byte - write.at)
            if left <= len(data) or last:
                self._cut = None
                self.storage.write(offset, data[:left])
                cut.end_process()
                return False
        elif cut is not None:
            cut.after_writes -= last
        set_up = self._firmware.storage == lib.PAYGO_STORAGE_READY
        if self.sabotage is Sabotage.COUNT and set_up:
            self._cells[offset : offset + len(data)] = data
        else:
            self.storage.write(offset, data)
            self._cells[offset : offset + len(data)] = self.storage.image[offset : offset + len(data)]
        return True

    def _forget_tokens(self) -> None:
        count = self._firmware.factory.count
        window = self._firmware.live.unit.window
        window.count = window.floor = count
        window.used = 0
