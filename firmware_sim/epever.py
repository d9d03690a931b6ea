"""A simulated EPEVER Tracer: a solar charger without tokens that answers Modbus RTU, on the plant of other units."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from firmware_sim.plant.home import DAY_S, SolarHome
from firmware_sim.power_cut import PowerCut
from firmware_sim.storage import Storage
from paygo_core.errors import PaygoError
from paygo_core.wire.crc import crc16_ccitt_false

try:
    from pymodbus.exceptions import ModbusException
    from pymodbus.framer.rtu import FramerRTU
    from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
    from pymodbus.pdu.bit_message import ReadCoilsResponse, ReadDiscreteInputsResponse, WriteSingleCoilResponse
    from pymodbus.pdu.register_message import (
        ReadHoldingRegistersResponse,
        ReadInputRegistersResponse,
        WriteMultipleRegistersResponse,
    )
except ModuleNotFoundError:
    raise PaygoError("a simulated EPEVER needs pymodbus", "pip install 'paygo-solar[modbus]'") from None

UNIT = 1
"""The charger's address on the bus, as delivered."""

STEP_MS = 10_000
"""The longest step in world time."""

FRAME_GAP_MS = 50
"""Silence after which half a request is forgotten. On a real line it is 2 ms; what runs a simulated one may be late."""

LONGEST_REQUEST = 264
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
LOAD_COIL = 2
BATTERY_TYPE, CAPACITY, COMPENSATION, VOLTAGES, LOAD_MODE, LOAD_AT_START = (
    0x9000,
    0x9001,
    0x9002,
    0x9003,
    0x903D,
    0x906A,
)
FACTORY = {
    BATTERY_TYPE: 1,
    CAPACITY: 18,
    COMPENSATION: 300,
    **dict(
        zip(
            range(VOLTAGES, VOLTAGES + 12),
            (1600, 1500, 1500, 1460, 1440, 1380, 1320, 1260, 1220, 1200, 1110, 1060),
            strict=True,
        )
    ),
    LOAD_MODE: 0,
    LOAD_AT_START: 1,
}
"""The holding registers of a new 12 V charger: sealed battery, Ah, 0.01 mV/°C/cell, the twelve voltages in 0.01 V, the
load switched by hand, and on after a start."""
OVER_VOLTAGE, LIMIT, OVER_VOLTAGE_END, EQUALISE, BOOST, FLOAT, BOOST_AGAIN = range(VOLTAGES, VOLTAGES + 7)
LOW_END, _WARNING_END, WARNING, LOW, LOWEST = range(VOLTAGES + 7, VOLTAGES + 12)

_RECORD = struct.Struct(f">I{len(FACTORY)}H")
_SLOT = _RECORD.size + 2


class EpeverUnit:
    """The charger on its plant. Feed it bytes and time, take what it says; `ControlUnit` tells what its parts mean.

    What is set (holding registers) is kept over power cuts, in two slots by turns. The load is switched by coil 2 and
    is as register 0x906A says after a start.
    """

    light = "dark"
    last_blink: tuple[str, int] = ("dark", 0)

    def __init__(self, storage: Storage, home: SolarHome) -> None:
        self.storage = storage
        self.home = home
        self.powered = False
        self.output = False
        self.charge = True
        self.wire_due_ms: int | None = None
        self._framer = FramerRTU(DecodePDU(is_server=True))
        self._rx = b""
        self._tx = bytearray()
        self._cut: PowerCut | None = None
        self._settings = dict(FACTORY)
        self._sequence = 0
        self._load_wanted = False
        self._low = self._over = self._boosted = False
        self._highest = self._lowest = 0.0
        self._day = -1
        self.power_on()

    def power_on(self) -> None:
        """Starts with the settings that are stored, or those of a new charger."""
        if self.powered:
            return
        self.powered = True
        self._settings, self._sequence = dict(FACTORY), 0
        for slot in range(2):
            stored = bytes(self.storage.image[slot * _SLOT : (slot + 1) * _SLOT])
            record, check = stored[:-2], int.from_bytes(stored[-2:], "big")
            sequence, *values = _RECORD.unpack(record)
            if crc16_ccitt_false(record) == check and sequence > self._sequence:
                self._settings, self._sequence = dict(zip(FACTORY, values, strict=True)), sequence
        self._load_wanted = bool(self._settings[LOAD_AT_START])
        self._low = self._over = self._boosted = False
        self._control()

    def power_off(self) -> None:
        """Cuts the supply."""
        self.powered = self.output = False
        self.wire_due_ms = None
        self._rx = b""
        self._tx.clear()

    def cut_power(self, at_byte: int, after_writes: int = 0, *, kill: bool = False) -> None:
        """Plans a cut after `at_byte` bytes of the write to storage that follows `after_writes` others."""
        self._cut = PowerCut(at_byte, after_writes, kill)

    def press(self, keys: str) -> None:
        """It has no keypad. Raises PaygoError."""
        raise PaygoError(f"keys {keys!r} cannot be pressed", "this charger has no keypad")

    def feed(self, data: bytes) -> None:
        """Bytes on the bus. A charger without power does not hear them."""
        if not self.powered:
            return
        self._rx = (self._rx + data)[-LONGEST_REQUEST:]
        while self._rx and self.powered:
            try:
                used, request = self._framer.handleFrame(self._rx, 0, 0)
            except (ModbusException, struct.error, IndexError, ValueError):
                self._rx = b""
                break
            if not used:
                break
            self._rx = self._rx[used:]
            if request is not None and request.dev_id in (0, UNIT):
                response = self._answer(request)
                response.dev_id = UNIT
                if request.dev_id == UNIT and self.powered:  # nobody answers a broadcast
                    self._tx += self._framer.buildFrame(response)
        self.wire_due_ms = FRAME_GAP_MS if self._rx else None

    def take(self) -> bytes:
        """What it has said since the last call."""
        said = bytes(self._tx)
        self._tx.clear()
        return said

    def pass_time(self, world_ms: int, wire_ms: int = 0) -> None:
        """Lets time pass, in ms, world time in steps of at most 10 s."""
        if self.wire_due_ms is not None:
            self.wire_due_ms -= wire_ms
            if self.wire_due_ms <= 0:
                self.wire_due_ms = None
                self._rx = b""
        while world_ms > 0:
            step = min(world_ms, STEP_MS)
            self.home.step(step / 1000, output=self.output, charge=self.charge)
            self._control()
            world_ms -= step

    def _control(self) -> None:
        """Charges to the boost voltage, then holds the float voltage; protects the battery both ways."""
        if not self.powered:
            return
        volts = self.home.measured.battery_v
        day = int(self.home.time_s // DAY_S)
        if day != self._day:
            self._day, self._highest, self._lowest = day, volts, volts
        self._highest, self._lowest = max(self._highest, volts), min(self._lowest, volts)
        self._over = volts >= self._volts(OVER_VOLTAGE if not self._over else OVER_VOLTAGE_END)
        self._low = volts <= self._volts(LOW if not self._low else LOW_END)
        if volts >= self._volts(BOOST):
            self._boosted = True
        elif volts < self._volts(BOOST_AGAIN):
            self._boosted = False
        self.charge = not self._over and volts < self._volts(FLOAT if self._boosted else LIMIT)
        self.output = self._load_wanted and not self._low and not self._over

    def _volts(self, register: int) -> float:
        return self._settings[register] / 100

    def _answer(self, request: ModbusPDU) -> ModbusPDU:
        function = request.function_code
        if function in (3, 4):
            table = self._settings if function == 3 else self._measurements()
            asked = range(request.address, request.address + request.count)
            if any(register not in table for register in asked):
                return ExceptionResponse(function, ILLEGAL_ADDRESS)
            kind = ReadHoldingRegistersResponse if function == 3 else ReadInputRegistersResponse
            return kind(registers=[table[register] for register in asked])
        if function in (1, 2):
            bits = (
                {LOAD_COIL: self._load_wanted} if function == 1 else {0x2000: False, 0x200C: not self.home.irradiance}
            )
            asked = range(request.address, request.address + request.count)
            if any(bit not in bits for bit in asked):
                return ExceptionResponse(function, ILLEGAL_ADDRESS)
            kind_of_bits = ReadCoilsResponse if function == 1 else ReadDiscreteInputsResponse
            return kind_of_bits(bits=[bits[bit] for bit in asked])
        if function == 5:
            if request.address != LOAD_COIL:
                return ExceptionResponse(function, ILLEGAL_ADDRESS)
            if self._settings[LOAD_MODE] == 0:  # it is by hand only that the coil switches
                self._load_wanted = bool(request.bits[0])
                self._control()
            return WriteSingleCoilResponse(address=request.address, bits=request.bits)
        if function == 16:
            return self._set(request.address, request.registers)
        return ExceptionResponse(function, ILLEGAL_FUNCTION)

    def _set(self, address: int, values: Sequence[int]) -> ModbusPDU:
        changed = dict(zip(range(address, address + len(values)), values, strict=True))
        if not changed.keys() <= self._settings.keys():
            return ExceptionResponse(16, ILLEGAL_ADDRESS)
        settings = {**self._settings, **changed}
        if not _plausible(settings):
            return ExceptionResponse(16, ILLEGAL_VALUE)
        if settings != self._settings:
            record = _RECORD.pack(self._sequence + 1, *settings.values())
            offset = (self._sequence + 1) % 2 * _SLOT
            data = record + crc16_ccitt_false(record).to_bytes(2, "big")
            self.storage.writes += 1
            if self._cut is not None and self._cut.strikes(self.storage, offset, data):
                self._cut = None
                self.power_off()
            else:
                self.storage.write(offset, data)
                self._settings, self._sequence = settings, self._sequence + 1
                self._control()
        return WriteMultipleRegistersResponse(address=address, count=len(values))

    def _measurements(self) -> dict[int, int]:
        """The input registers: in 0.01 of V, A, W and °C where nothing else is said."""
        home, measured = self.home, self.home.measured
        panel_w = measured.panel_v * measured.panel_a
        charge_a = measured.battery_a + measured.load_a
        load_v = measured.battery_v if self.output else 0.0
        temperature = _signed(measured.temperature)
        over, low, warning = self._over, self._low, measured.battery_v <= self._volts(WARNING)
        charging = 0 if not home.irradiance or not self.charge else (1 if self._boosted else 2)
        return {
            0x3000: 10_000,
            0x3001: 1000,
            **_long(0x3002, 130.0),
            0x3004: 1200,
            0x3005: 1000,
            **_long(0x3006, 130.0),
            0x3008: 2,
            0x300E: 1000,
            0x3100: _unsigned(measured.panel_v),
            0x3101: _unsigned(measured.panel_a),
            **_long(0x3102, panel_w),
            0x3104: _unsigned(measured.battery_v),
            0x3105: _unsigned(max(charge_a, 0.0)),
            **_long(0x3106, measured.battery_v * max(charge_a, 0.0)),
            0x310C: _unsigned(load_v),
            0x310D: _unsigned(measured.load_a),
            **_long(0x310E, load_v * measured.load_a),
            0x3110: temperature,
            0x3111: temperature,
            0x311A: round(home.battery.state_of_charge * 100),
            0x311B: temperature,
            0x311D: 1200,
            0x3200: 1 if over else 3 if low else 2 if warning else 0,
            0x3201: (1 if charging else 0) | charging << 2,
            0x3202: 1 if self.output else 0,
            0x3302: _unsigned(self._highest),
            0x3303: _unsigned(self._lowest),
            0x331A: _unsigned(measured.battery_v),
            **_long(0x331B, measured.battery_a),
        }


def _unsigned(value: float) -> int:
    return min(max(round(value * 100), 0), 0xFFFF)


def _signed(value: float) -> int:
    return min(max(round(value * 100), -0x8000), 0x7FFF) & 0xFFFF


def _long(register: int, value: float) -> dict[int, int]:
    """Two registers, the low word first."""
    number = round(value * 100) & 0xFFFFFFFF
    return {register: number & 0xFFFF, register + 1: number >> 16}


def _plausible(settings: dict[int, int]) -> bool:
    """The order of the twelve voltages that the charger insists on, and its switches."""
    down = [OVER_VOLTAGE, LIMIT, EQUALISE, BOOST, FLOAT, BOOST_AGAIN]
    charge = all(settings[high] >= settings[low] for high, low in itertools.pairwise(down))
    over = settings[OVER_VOLTAGE] > settings[OVER_VOLTAGE_END]
    discharge = settings[BOOST_AGAIN] > settings[LOW_END] > settings[LOW] >= settings[LOWEST]
    return charge and over and discharge and settings[LOAD_AT_START] in (0, 1) and settings[LOAD_MODE] in range(4)
