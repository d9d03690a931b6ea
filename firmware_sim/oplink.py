"""A simulated appliance on an OpenPAYGO Link: a battery with credit, as a slave of the bus.

It hears only what comes with a break and the right ninth bit, so it is served where those are: over RFC 2217.
"""

from __future__ import annotations

import secrets

from firmware_sim.plant.home import SolarHome
from firmware_sim.remote_port import RemotePort
from firmware_sim.storage import Storage
from paygo_core.errors import DeviceError, PaygoError
from paygo_core.wire import oplink
from paygo_core.wire.oplink import MASTER, SYNC, UNASSIGNED, Command, Frame, Message, OplinkReader, decode_message

SIGNAL_MS = 1000
"""Of idle line, before an appliance that nobody found signals itself."""
HANDSHAKE_MS = 2000
PING_MS = 60_000
LOW_MS = 500
STEP_MS = 10_000
UID = bytes.fromhex("504159474f0001")
LOW_BATTERY_V = 12.0


class OplinkUnit:
    """The appliance on its plant; `ControlUnit` tells what its parts mean. line: what RFC 2217 says of the line."""

    charge = True
    light = "dark"
    last_blink: tuple[str, int] = ("dark", 0)

    def __init__(self, storage: Storage, home: SolarHome) -> None:
        self.storage = storage
        self.home = home
        self.line: RemotePort | None = None
        self.powered = False
        self.output = False
        self.wire_due_ms: int | None = None
        self._tx = bytearray()
        self._credit_ms: int | None = 0
        self.power_on()

    def power_on(self) -> None:
        """Starts as an appliance that nobody has found; its credit is what its master said last."""
        if not self.powered:
            self.powered = True
            self._reset()
            self._switch()

    def power_off(self) -> None:
        """Cuts the supply."""
        self.powered = self.output = False
        self.wire_due_ms = None
        self._tx.clear()

    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None:  # noqa: ARG002
        """Raises PaygoError: it stores nothing."""
        raise PaygoError("this appliance writes nothing that could be cut", "cut its supply with power")

    def press(self, keys: str) -> None:
        """Raises PaygoError: it has no keys."""
        raise PaygoError(f"an appliance on a link has no key {keys[:1]!r}", "it is driven by its link")

    def feed(self, data: bytes) -> None:
        """Bytes on the wire, with the parity and the breaks of the line at their time. One wire: all is heard back."""
        if not self.powered:
            return
        self._tx += data
        for byte in data:
            self._idle_ms = 0
            self._hear(byte)

    def pass_time(self, world_ms: int, wire_ms: int = 0) -> None:
        """Lets time pass, in ms."""
        while world_ms > 0:
            step = min(world_ms, STEP_MS)
            self.home.step(step / 1000, output=self.output, charge=True)
            if self._credit_ms is not None:
                self._credit_ms = max(0, self._credit_ms - step)
            self._switch()
            world_ms -= step
        if self.powered:
            self._wait(wire_ms)

    def take(self) -> bytes:
        """What was on the wire since the last call."""
        said = bytes(self._tx)
        self._tx.clear()
        return said

    def _reset(self) -> None:
        self._address = UNASSIGNED
        self._nonce = secrets.token_bytes(4)
        self._frame = bytearray()
        self._breaks = self.line.breaks if self.line is not None else 0
        self._idle_ms = self._silent_ms = self._low_ms = 0
        self._deadline_ms = PING_MS
        self.wire_due_ms = SIGNAL_MS

    def _switch(self) -> None:
        self.output = self.powered and self._credit_ms != 0

    def _wait(self, wire_ms: int) -> None:
        self._idle_ms += wire_ms
        self._silent_ms += wire_ms
        low = self.line is not None and self.line.break_condition
        self._low_ms = self._low_ms + wire_ms if low else 0
        if self._low_ms >= LOW_MS or (self._address and self._silent_ms >= self._deadline_ms):
            self._reset()
        if self._address == UNASSIGNED and self._idle_ms >= SIGNAL_MS and not low:
            self._idle_ms = 0
            self._say(Frame(UNASSIGNED, MASTER, bytes([Command.SIGNAL, oplink.VERSION]) + self._nonce, command=True))
        self.wire_due_ms = SIGNAL_MS - self._idle_ms if self._address == UNASSIGNED else 500

    def _hear(self, byte: int) -> None:
        """One byte: a break begins a frame, then 0x55 and, as the only byte with the ninth bit set, the addresses."""
        if self.line is not None and self.line.breaks != self._breaks:
            self._breaks = self.line.breaks
            self._frame = bytearray(b"\0")
            return
        marked = self.line is not None and self.line.parity == "M"
        if not self._frame or marked != (len(self._frame) == 2) or (len(self._frame) == 1 and byte != SYNC):
            self._frame.clear()
            return
        self._frame.append(byte)
        if len(self._frame) >= 4 and len(self._frame) == 6 + (self._frame[3] & 0x7F):
            heard = OplinkReader().feed(bytes(self._frame[1:]))
            self._frame.clear()
            for frame in heard:
                if frame.destination in (self._address, UNASSIGNED) and frame.source == MASTER:
                    self._obey(frame)

    def _obey(self, frame: Frame) -> None:
        if not frame.command:
            if self._address:
                self._say(Frame(self._address, MASTER, self._resource(frame.payload).to_bytes()))
            return
        name, rest = frame.payload[:1], frame.payload[1:]
        if name == bytes([Command.FIND]) and self._address == UNASSIGNED:
            if rest[:4] == self._nonce and len(rest) == 5 and rest[4] in oplink.ADDRESSES:
                self._address = rest[4]
                self._silent_ms, self._deadline_ms = 0, HANDSHAKE_MS
                self._acknowledge()
        elif self._address and frame.destination == self._address:
            if name == bytes([Command.PING]):
                self._silent_ms, self._deadline_ms = 0, PING_MS
                self._acknowledge()
            elif name == bytes([Command.GET_UID]):
                self._acknowledge(UID)
            else:
                self._say(Frame(self._address, MASTER, bytes([Command.NACK]), command=True))

    def _acknowledge(self, data: bytes = b"") -> None:
        self._say(Frame(self._address, MASTER, bytes([Command.ACK]) + data, command=True))

    def _say(self, frame: Frame) -> None:
        self._tx += b"\0" + frame.to_bytes()  # a break is read as a zero byte

    def _resource(self, payload: bytes) -> Message:
        try:
            asked = decode_message(payload)
        except DeviceError:
            return Message(oplink.BAD_REQUEST, 0)
        if asked.path not in (oplink.BATTERY, oplink.CREDIT):
            return Message(oplink.NOT_FOUND, asked.id)
        if asked.code == oplink.GET:
            values = self._battery() if asked.path == oplink.BATTERY else self._credit()
            return Message(oplink.CONTENT, asked.id, values=values)
        if asked.code == oplink.PUT and asked.path == oplink.CREDIT:
            left = (asked.values or {}).get("re")
            if isinstance(left, bool) or not isinstance(left, int) or not 0 <= left <= oplink.UNLOCKED:
                return Message(oplink.BAD_REQUEST, asked.id)
            self._credit_ms = None if left == oplink.UNLOCKED else left * 1000
            self._switch()
            return Message(oplink.CHANGED, asked.id)
        return Message(oplink.NOT_ALLOWED, asked.id)

    def _battery(self) -> dict[str, int]:
        battery, current = self.home.battery, self.home.measured.battery_a
        return {
            "vb": round(battery.voltage * 1000),
            "cp": round(battery.state_of_charge * 100),
            "th": 100,
            "ca": round(battery.sheet.capacity_ah * 1000),
            "ds": int(current < 0),
            "cg": int(current > 0),
            "lb": int(battery.voltage < LOW_BATTERY_V),
            "ft": 0,
        }

    def _credit(self) -> dict[str, int]:
        left = oplink.UNLOCKED if self._credit_ms is None else -(-self._credit_ms // 1000)
        return {"re": left, "un": 1, "mo": 0}
