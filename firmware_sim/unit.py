"""One simulated control unit: the firmware in C, its storage, its plant. No clock is read here; time is given."""

from __future__ import annotations

import re

from firmware_sim._native import ffi, lib
from firmware_sim.plant.board import BOARDS, Board
from firmware_sim.plant.home import Measured, SolarHome
from firmware_sim.power_cut import PowerCut
from firmware_sim.sabotage import Sabotage
from firmware_sim.sleep import NEVER_DUE_MS, wakes
from firmware_sim.storage import Storage
from paygo_core.errors import PaygoError

KEYS = "0123456789*#"
LONGEST_BACKLOG = 4096
"""Console bytes that wait for the unit; what comes beyond is lost, as in a UART."""

COLOURS = {lib.PAYGO_DARK: "dark", lib.PAYGO_GREEN: "green", lib.PAYGO_RED: "red"}


class SimulatedUnit:
    """The unit on its plant. Feed it bytes and time, take what it says.

    It starts with power. board: its revision. first_boot: what its first start is called, 1 … 2^31 (H19). What can be
    seen of it: powered, output (the customer's), charge (the switch to the panel), target_v (what the battery is kept
    at meanwhile), light (dark, green, red), last_blink (colour and how often);
    wire_due_ms: after how many ms of wire time it wants to run, None: never;
    world_due_ms: how long it can sleep through world time if the readings stay as those that it was told.
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
        self.storage = storage
        self.home = home
        self.sabotage = sabotage
        self.powered = False
        self.output = False
        self.charge = True
        self.target_v = 0.0
        self.light = "dark"
        self.last_blink: tuple[str, int] = ("dark", 0)
        self.wire_due_ms: int | None = None
        self.world_due_ms = NEVER_DUE_MS
        self.told = home.measured
        self._board = BOARDS.index(board)
        self._first_boot = first_boot
        self._firmware = ffi.new("paygo_firmware *")
        self._inputs = ffi.new("paygo_inputs *")
        self._outputs = ffi.new("paygo_outputs *")
        self._cells = bytearray(len(storage.image))
        self._view = ffi.from_buffer(self._cells)
        lib.paygo_read_from_image(ffi.addressof(self._inputs, "storage"), self._view)
        self._rx = bytearray()
        self._tx = bytearray()
        self._cut: PowerCut | None = None
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

    def power_off(self) -> None:
        """Cuts the supply: everything that is not stored is gone. The panel still charges the battery."""
        self.powered = False
        self.output = False
        self.light = "dark"
        self.wire_due_ms = None
        self.world_due_ms = NEVER_DUE_MS
        self._rx.clear()
        self._tx.clear()

    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None:
        """Plans a cut inside a write to storage: after `at_byte` bytes of the write that follows `after_writes` others.

        With `kill` the process dies there, as if by SIGKILL. Raises PaygoError for numbers below 0.
        """
        self._cut = PowerCut(at_byte, after_writes, kill)

    def feed(self, data: bytes) -> None:
        """Bytes on the console's wire. A unit without power does not hear them."""
        if self.powered:
            self._rx += data[: LONGEST_BACKLOG - len(self._rx)]

    def press(self, keys: str) -> None:
        """Presses keys: 0 to 9, * to begin an entry, # to ask for the state. Raises PaygoError for others."""
        if any(key not in KEYS for key in keys):
            raise PaygoError("the keypad has no such key", f"its keys are {KEYS}")
        for key in keys:
            self._run(0, 0, key)

    def pass_time(self, world_ms: int, wire_ms: int = 0) -> None:
        """Lets time pass, in ms. The plant goes on in steps of at most 10 s; the firmware sleeps while nothing changes.

        Wire time passes with the firmware's first step.
        """
        for step, measured in wakes(self, world_ms):
            self._run(step, wire_ms, measured=measured)
            wire_ms = 0

    def take(self) -> bytes:
        """What the unit has said since the last call."""
        said = bytes(self._tx)
        self._tx.clear()
        if self.sabotage is Sabotage.MUTE:
            return b""
        if self.sabotage is Sabotage.ALERT:
            return re.sub(rb"#ALERT;[^\r]*\r\n", b"", said)
        return said

    def _run(self, world_ms: int, wire_ms: int, key: str = "", measured: Measured | None = None) -> None:
        """Steps the firmware until it has taken in what there is. measured: None is what the plant has now."""
        if not self.powered:
            return
        inputs, outputs = self._inputs, self._outputs
        self.told = measured or self.home.measured
        _put_measured(inputs.measured, self.told if world_ms else self.told.again())
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
            self._act()
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

    def _act(self) -> None:
        outputs = self._outputs
        self.output = bool(outputs.output) and self.sabotage is not Sabotage.OUTPUT
        self.charge = bool(outputs.charge)
        self.target_v = outputs.target_mv / 1000
        self.light = COLOURS[outputs.light]
        if outputs.blinks:
            self.last_blink = (COLOURS[outputs.blinking], int(outputs.blinks))

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


def _put_measured(told: object, measured: Measured) -> None:
    told.battery_mv = round(measured.battery_v * 1000)  # type: ignore[attr-defined]
    told.battery_ma = round(measured.battery_a * 1000)  # type: ignore[attr-defined]
    told.panel_mv = round(measured.panel_v * 1000)  # type: ignore[attr-defined]
    told.panel_ma = round(measured.panel_a * 1000)  # type: ignore[attr-defined]
    told.load_ma = round(measured.load_a * 1000)  # type: ignore[attr-defined]
    told.temperature_dc = round(measured.temperature * 10)  # type: ignore[attr-defined]
    told.rtc_s = measured.rtc_s  # type: ignore[attr-defined]
    told.board_dc = round(measured.board_temperature * 10)  # type: ignore[attr-defined]
    told.battery_peak_mv = round(measured.battery_peak_v * 1000)  # type: ignore[attr-defined]
    told.panel_peak_mv = round(measured.panel_peak_v * 1000)  # type: ignore[attr-defined]
    told.output_peak_mv = round(measured.output_peak_v * 1000)  # type: ignore[attr-defined]
    told.load_peak_ma = round(measured.load_peak_a * 1000)  # type: ignore[attr-defined]
