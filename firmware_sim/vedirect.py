"""A simulated Victron solar charger on the plant: VE.Direct text each second, hex commands, and no PAYG brain."""

from __future__ import annotations

from firmware_sim.plant.home import DAY_S, SolarHome
from firmware_sim.power_cut import PowerCut
from firmware_sim.storage import ERASED, Storage
from paygo_core.errors import PaygoError
from paygo_core.wire import vedirect
from paygo_core.wire.vedirect import Damaged, HexMessage, VeDirectReader

STEP_MS = 10_000
"""The longest step in world time."""
BLOCK_MS = 1000
LONGEST_BACKLOG = 4096
"""Bytes that wait for the wire; a block that finds no room is lost, as in a UART."""

PRODUCT = 0xA053
FIRMWARE = 159
"""From 1.53 on text goes on while a host asks in hex."""
MAX_CURRENT = 0xEDF0
MAX_CURRENT_DA = 150

ABSORPTION_V, FLOAT_V, TOO_HIGH_V = 14.4, 13.8, 15.6
HYSTERESIS_V = 0.2
ABSORPTION_S = 3600.0
LOAD_LOW_V, LOAD_BACK_V = 11.1, 12.6

MAGIC = b"VED1"
"""Begins the storage of a charger; a byte for each setting follows."""
SETTINGS = {
    vedirect.LOAD_CONTROL: (len(MAGIC), vedirect.LOAD_ON, (vedirect.LOAD_OFF, vedirect.LOAD_ON)),
    vedirect.DEVICE_MODE: (len(MAGIC) + 1, vedirect.MODE_ON, (vedirect.MODE_ON, vedirect.MODE_OFF)),
}
"""Where in storage, as made, and what may be set."""


class VeDirectCharger:
    """The charger on its plant. Feed it bytes and time, take what it says. It starts with power.

    Load and mode are settings, kept over power cuts; the yields that it counts are not. Raises PaygoError for a storage
    that is none of a charger. Its attributes are those that ControlUnit has.
    """

    def __init__(self, storage: Storage, home: SolarHome, *, serial: str = "HQ2146SIM01") -> None:
        begin = bytes(storage.image[: len(MAGIC)])
        if any(byte not in (right, ERASED) for byte, right in zip(begin, MAGIC, strict=True)):
            raise PaygoError("the state file is none of a charger with VE.Direct", "name a new one")
        self.storage = storage
        self.home = home
        self.serial = serial
        self.powered = False
        self.output = False
        self.charge = False
        self.light = "dark"
        self.last_blink: tuple[str, int] = ("dark", 0)
        self.wire_due_ms: int | None = None
        self._cut: PowerCut | None = None
        self._tx = bytearray()
        self.power_on()

    def power_on(self) -> None:
        """Starts it from its settings."""
        if self.powered:
            return
        self.powered = True
        self._reader = VeDirectReader()
        self._silent_ms = 0
        self._stage = "bulk"
        self._absorbed_s = 0.0
        self._load_low = False
        self._error = 0
        self._day = int(self.home.time_s // DAY_S)
        self._yield_wh = [0.0, 0.0, 0.0]  # total, today, yesterday
        self._most_w = [0.0, 0.0]  # today, yesterday
        self._regulate(0.0)
        self._reported = self._reports()
        self.wire_due_ms = BLOCK_MS

    def power_off(self) -> None:
        """Cuts the supply: output and charging are off, and everything that is no setting is gone."""
        self.powered = self.output = self.charge = False
        self.light = "dark"
        self.wire_due_ms = None
        self._tx.clear()

    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None:
        """Plans a cut inside a write to storage, as ControlUnit.cut_power."""
        self._cut = PowerCut(at_byte, after_writes, kill)

    def press(self, keys: str) -> None:
        """Raises PaygoError: it has no keypad."""
        raise PaygoError(f"there is no key to press in {keys[:20]!r}", "a VE.Direct charger has no keypad")

    def feed(self, data: bytes) -> None:
        """Bytes from the host. A charger without power does not hear them."""
        if not self.powered:
            return
        for event in self._reader.feed(data):
            if isinstance(event, HexMessage):
                self._answer(event)
            elif isinstance(event, Damaged) and event.text.startswith(":"):
                self._say(vedirect.encode_hex(vedirect.ERROR, b"\xaa\xaa"))
            if not self.powered:  # its supply failed in a write
                return

    def pass_time(self, world_ms: int, wire_ms: int = 0) -> None:
        """Lets time pass, in ms. World time is cut into steps of at most 10 s; text comes each second of wire time."""
        while world_ms > 0:
            step = min(world_ms, STEP_MS)
            self.home.step(step / 1000, output=self.output, charge=self.charge)
            world_ms -= step
            if self.powered:
                self._regulate(step / 1000)
        if not self.powered:
            return
        self._regulate(0.0)
        self._report_changes()
        self._silent_ms += wire_ms
        while self._silent_ms >= BLOCK_MS:
            self._silent_ms -= BLOCK_MS
            self._say(self._block())
        self.wire_due_ms = BLOCK_MS - self._silent_ms

    def take(self) -> bytes:
        """What the charger has said since the last call."""
        said = bytes(self._tx)
        self._tx.clear()
        return said

    def _say(self, message: bytes) -> None:
        if len(self._tx) + len(message) <= LONGEST_BACKLOG:
            self._tx += message

    # Charging

    def _regulate(self, seconds: float) -> None:
        """Three stages by two-point regulation, the load's low-voltage cut-out, and yields."""
        home = self.home
        volts, panel_w = home.measured.battery_v, home.measured.panel_v * home.measured.panel_a
        self._count_yield(panel_w, seconds)
        self._error = 2 if volts > TOO_HIGH_V else 0
        sun = home.irradiance > 0
        if not sun:
            self._stage, self._absorbed_s = "bulk", 0.0
        elif self._stage == "bulk" and volts >= ABSORPTION_V:
            self._stage = "absorption"
        elif self._stage == "absorption":
            self._absorbed_s += seconds
            if self._absorbed_s >= ABSORPTION_S:
                self._stage = "float"
        limit = FLOAT_V if self._stage == "float" else ABSORPTION_V
        if volts >= limit:
            self.charge = False
        elif volts < limit - HYSTERESIS_V:
            self.charge = True
        self.charge = self.charge and sun and self._on
        self._load_low = volts < (LOAD_BACK_V if self._load_low else LOAD_LOW_V)
        self.output = self._setting(vedirect.LOAD_CONTROL) == vedirect.LOAD_ON and not self._load_low
        self.light = "red" if self._error else "green" if sun and self._on else "dark"

    def _count_yield(self, watts: float, seconds: float) -> None:
        day = int(self.home.time_s // DAY_S)
        if day != self._day:
            self._day = day
            self._yield_wh[1:] = 0.0, self._yield_wh[1]
            self._most_w = [0.0, self._most_w[0]]
        for at in (0, 1):
            self._yield_wh[at] += watts * seconds / 3600
        self._most_w[0] = max(self._most_w[0], watts)

    @property
    def _on(self) -> bool:
        return self._setting(vedirect.DEVICE_MODE) == vedirect.MODE_ON

    # Text

    def _block(self) -> bytes:
        measured = self.home.measured
        sun = self.home.irradiance > 0
        stages = {name: number for number, name in vedirect.CHARGER_STATES.items()}
        state = 2 if self._error else stages[self._stage] if sun and self._on else 0
        tracker = 0 if state in (0, 2) else 2 if self._stage == "bulk" else 1
        off_reason = (0 if sun else 0x1) | (0 if self._on else 0x4)
        total, today, yesterday = (round(watt_hours / 10) for watt_hours in self._yield_wh)
        fields = {
            "PID": f"0x{PRODUCT:04X}",
            "FW": str(FIRMWARE),
            "SER#": self.serial,
            "V": round(measured.battery_v * 1000),
            "I": round(measured.battery_a * 1000),
            "VPV": round(measured.panel_v * 1000),
            "PPV": round(measured.panel_v * measured.panel_a),
            "CS": state,
            "MPPT": tracker,
            "OR": f"0x{off_reason:08X}",
            "ERR": self._error,
            "LOAD": "ON" if self.output else "OFF",
            "IL": round(measured.load_a * 1000),
            "H19": total,
            "H20": today,
            "H21": round(self._most_w[0]),
            "H22": yesterday,
            "H23": round(self._most_w[1]),
            "HSDS": self._day % 365,
        }
        text = "".join(f"\r\n{label}\t{value}" for label, value in fields.items()) + "\r\nChecksum\t"
        body = text.encode("ascii")
        return body + bytes([-sum(body) % 256])

    # Hex

    def _answer(self, asked: HexMessage) -> None:
        version = FIRMWARE.to_bytes(2, "little")
        if asked.command == vedirect.PING:
            reply = vedirect.encode_hex(vedirect.PING_REPLY, version)
        elif asked.command == vedirect.VERSION:
            reply = vedirect.encode_hex(vedirect.DONE, version)
        elif asked.command == vedirect.PRODUCT:
            reply = vedirect.encode_hex(vedirect.DONE, PRODUCT.to_bytes(2, "little"))
        elif asked.command == vedirect.GET and asked.register is not None:
            reply = self._get(asked.register)
        elif asked.command == vedirect.SET and asked.register is not None and asked.value is not None:
            reply = self._set(asked.register, asked.value)
        else:
            reply = vedirect.encode_hex(vedirect.UNKNOWN, bytes([asked.command]))
        self._say(reply)

    def _values(self) -> dict[int, bytes]:
        return {
            vedirect.LOAD_STATE: bytes([self.output]),
            vedirect.ERROR_CODE: bytes([self._error]),
            MAX_CURRENT: MAX_CURRENT_DA.to_bytes(2, "little"),
            **{register: bytes([self._setting(register)]) for register in SETTINGS},
        }

    def _get(self, register: int) -> bytes:
        values = self._values()
        if register not in values:
            return _reply(vedirect.GET, register, vedirect.UNKNOWN_ID)
        return _reply(vedirect.GET, register, vedirect.OK, values[register])

    def _set(self, register: int, value: bytes) -> bytes:
        if register not in SETTINGS:
            known = register in self._values()
            return _reply(vedirect.SET, register, vedirect.NOT_SUPPORTED if known else vedirect.UNKNOWN_ID, value)
        if len(value) != 1 or value[0] not in SETTINGS[register][2]:
            return _reply(vedirect.SET, register, vedirect.PARAMETER_ERROR, value)
        if not self._store(register, value[0]):
            self.power_off()
            return b""
        self._regulate(0.0)
        return _reply(vedirect.SET, register, vedirect.OK, value)

    def _reports(self) -> dict[int, bytes]:
        return {register: self._values()[register] for register in (vedirect.LOAD_STATE, vedirect.ERROR_CODE)}

    def _report_changes(self) -> None:
        """What changes is told at once, unasked."""
        reports = self._reports()
        for register, value in reports.items():
            if value != self._reported[register]:
                self._say(_reply(vedirect.ASYNC, register, vedirect.OK, value))
        self._reported = reports

    # Settings

    def _setting(self, register: int) -> int:
        at, made, _ = SETTINGS[register]
        stored = self.storage.image[at]
        return made if stored == ERASED else stored

    def _store(self, register: int, value: int) -> bool:
        """Writes a setting, also one that it has already, as the device does. False: the supply failed in it."""
        image = bytearray(self.storage.image[: len(MAGIC) + len(SETTINGS)])
        image[: len(MAGIC)] = MAGIC
        image[SETTINGS[register][0]] = value
        self.storage.writes += 1
        if self._cut is not None and self._cut.strikes(self.storage, 0, bytes(image)):
            self._cut = None
            return False
        self.storage.write(0, bytes(image))
        return True


def _reply(command: int, register: int, flags: int, value: bytes = b"") -> bytes:
    return vedirect.encode_hex(command, register.to_bytes(2, "little") + bytes([flags]) + value)
