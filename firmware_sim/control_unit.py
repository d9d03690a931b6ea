"""What the simulated control unit and the one on an emulated chip share: power, wire, keys and time on their plant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from firmware_sim._native import lib
from firmware_sim.plant.home import Measured, SolarHome
from firmware_sim.power_cut import PowerCut
from firmware_sim.sleep import NEVER_DUE_MS, wakes
from firmware_sim.storage import Storage
from paygo_core.errors import PaygoError

KEYS = "0123456789*#"
LONGEST_BACKLOG = 4096
"""Console bytes that wait for the unit; what comes beyond is lost, as in a UART."""

COLOURS = {lib.PAYGO_DARK: "dark", lib.PAYGO_GREEN: "green", lib.PAYGO_RED: "red"}


class ControlUnit(ABC):
    """The unit on its plant. Feed it bytes and time, take what it says.

    What can be seen of it: powered, output (the customer's), charge (the switch to the panel), target_v (what the
    battery is kept at meanwhile), light (dark, green, red), last_blink (colour and how often);
    wire_due_ms: after how many ms of wire time it wants to run, None: never;
    world_due_ms: how long it can sleep through world time if the readings stay as told, which are those that its
    firmware saw last.
    """

    def __init__(self, storage: Storage, home: SolarHome) -> None:
        self.storage = storage
        self.home = home
        self.powered = False
        self.output = False
        self.charge = True
        self.target_v = 0.0
        self.light = "dark"
        self.last_blink: tuple[str, int] = ("dark", 0)
        self.wire_due_ms: int | None = None
        self.world_due_ms = NEVER_DUE_MS
        self.told = home.measured
        self._rx = bytearray()
        self._tx = bytearray()
        self._cut: PowerCut | None = None

    @abstractmethod
    def power_on(self) -> None:
        """Starts the firmware from what is stored."""

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

        With `kill` this process dies there, as if by SIGKILL. Raises PaygoError for numbers below 0.
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
        return said

    @abstractmethod
    def _run(self, world_ms: int, wire_ms: int, key: str = "", measured: Measured | None = None) -> None:
        """Steps the firmware until it has taken in what there is. measured: None is what the plant has now."""

    def _act(self, now: Any) -> None:
        """Does what the firmware's outputs say, or a chip's answer, whose fields have the same names."""
        self.output = bool(now.output)
        self.charge = bool(now.charge)
        self.target_v = now.target_mv / 1000
        self.light = COLOURS[now.light]
        if now.blinks:
            self.last_blink = (COLOURS[now.blinking], int(now.blinks))
