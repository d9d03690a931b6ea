"""Drives EPEVER Tracer solar chargers over Modbus RTU. They know no tokens; they measure, protect and switch a load."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from hw_bridge.drivers import ActiveAlert, Load
from hw_bridge.modbus import ExceptionResponse, ModbusException, ModbusSerialClient
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError
from paygo_core.telemetry import Telemetry

ANSWER_SECONDS = 1.0
RETRIES = 2
MOST_NOISE = 4096
"""Bytes that may come in place of one answer."""

LOAD_COIL = 2
LOAD_AT_START = 0x906A
_REFUSALS = {1: "it has no such function", 2: "it has no such register", 3: "it does not take this value"}
_BATTERY = {1: "BATTERY_OVERVOLTAGE", 2: "BATTERY_UNDERVOLTAGE", 3: "BATTERY_UNDERVOLTAGE", 4: "CHARGER_FAULT"}
_BATTERY_TEMPERATURE = {1: "OVERTEMPERATURE", 2: "UNDERTEMPERATURE"}


class EpeverDriver:
    """One charger on a transport. `unit`: its address on the bus, 1 … 247. `timeout`: seconds for one answer.

    Every read is asked three times. Methods raise DeviceError when the charger refuses or answers nonsense,
    NoAnswerError when no answer comes, PortError when the port vanishes.
    """

    BAUD = 115_200

    def __init__(
        self,
        transport: Transport,
        *,
        log: Callable[[str], None] | None = None,  # noqa: ARG002  # it prints nothing beside its answers
        timeout: float | None = None,
        unit: int = 1,
    ) -> None:
        if not 1 <= unit <= 247:
            raise PaygoError(f"{unit} is no address on a Modbus", "addresses go from 1 to 247")
        self._unit = unit
        self._client = _Client(transport, timeout or ANSWER_SECONDS)

    def telemetry(self) -> Telemetry:
        """What the charger measures now; under `extra` the load's switch and voltage and the day's extremes."""
        panel = self._inputs(0x3100, 8)
        load = self._inputs(0x310C, 4)
        temperatures = self._inputs(0x3110, 2)
        charge = self._inputs(0x311A, 1)[0]
        highest, lowest = self._inputs(0x3302, 2)
        battery = self._inputs(0x331A, 3)
        if charge > 100:
            raise DeviceError(
                f"the charger says that its battery is charged to {charge} %", "ask again, check the cable"
            )
        return Telemetry(
            taken_at=datetime.now(timezone.utc),
            battery_voltage=battery[0] / 100,
            battery_current=_signed(battery[1] | battery[2] << 16, 32) / 100,
            panel_voltage=panel[0] / 100,
            panel_current=panel[1] / 100,
            panel_power=(panel[2] | panel[3] << 16) / 100,
            load_current=load[1] / 100,
            temperature=_signed(temperatures[0], 16) / 100,
            state_of_charge=charge / 100,
            output=self.load_output(),
            extra={
                "load_switch": "AUTO" if self.load_wanted() else "OFF",
                "load_voltage": load[0] / 100,
                "controller_temperature": _signed(temperatures[1], 16) / 100,
                "highest_battery_voltage_today": highest / 100,
                "lowest_battery_voltage_today": lowest / 100,
            },
        )

    def alerts(self) -> list[ActiveAlert]:
        """What is wrong now: voltages in mV. The fault bit of the charging status is known to lie and is left out."""
        battery, charging, discharging = self._inputs(0x3200, 3)
        millivolts = self._inputs(0x331A, 1)[0] * 10
        found = []
        if code := _BATTERY.get(battery & 0x0F):
            found.append(ActiveAlert(code, millivolts, "mV") if "VOLTAGE" in code else ActiveAlert(code, 1, "none"))
        if code := _BATTERY_TEMPERATURE.get(battery >> 4 & 0x0F):
            found.append(ActiveAlert(code, 1, "none"))
        if charging >> 14 == 2:
            found.append(ActiveAlert("PANEL_OVERVOLTAGE", self._inputs(0x3100, 1)[0] * 10, "mV"))
        if discharging >> 4 & 1:
            found.append(ActiveAlert("OUTPUT_OVERVOLTAGE", self._inputs(0x310C, 1)[0] * 10, "mV"))
        if discharging >> 11 & 1:
            found.append(ActiveAlert("SHORT_CIRCUIT", 1, "none"))
        return found

    def load_wanted(self) -> bool:
        """Whether the load is switched on by hand; a protection may hold it off all the same."""
        answer = self._ask(
            lambda: self._client.read_coils(LOAD_COIL, count=1, device_id=self._unit), "the load's switch"
        )
        return bool(answer.bits[0])

    def switch_load(self, mode: str) -> Load:
        """Switches the load, and proves it; "auto" is on, as nothing but a protection holds it off here.

        After a start of the charger the load is off until it is switched again. Nothing is written that is so already:
        the charger's memory wears. Raises PaygoError for a position that a switch has not.
        """
        if mode not in ("on", "off", "auto"):
            raise PaygoError(f"the load's switch has no position {mode[:20]!r}", "its positions are on, off and auto")
        on = mode != "off"
        if self._holdings(LOAD_AT_START, 1)[0] != 0:
            self._ask(
                lambda: self._client.write_registers(LOAD_AT_START, [0], device_id=self._unit), "the load after a start"
            )
        if self.load_wanted() is not on:
            self._ask(lambda: self._client.write_coil(LOAD_COIL, on, device_id=self._unit), "the load's switch")
            if self.load_wanted() is not on:
                raise DeviceError(
                    f"the charger does not switch its load {'on' if on else 'off'}",
                    "set its load mode to manual (register 0x903D to 0)",
                )
        return Load("auto" if on else "off", self.load_output())

    def load_output(self) -> bool:
        """Whether the load output is on."""
        return bool(self._inputs(0x3202, 1)[0] & 1)

    def _inputs(self, register: int, count: int) -> list[int]:
        answer = self._ask(
            lambda: self._client.read_input_registers(register, count=count, device_id=self._unit),
            f"input register {register:#06x}",
        )
        return self._words(answer, register, count)

    def _holdings(self, register: int, count: int) -> list[int]:
        answer = self._ask(
            lambda: self._client.read_holding_registers(register, count=count, device_id=self._unit),
            f"register {register:#06x}",
        )
        return self._words(answer, register, count)

    def _words(self, answer: Any, register: int, count: int) -> list[int]:
        words: list[int] = answer.registers
        if len(words) != count:
            raise DeviceError(
                f"the charger answered {len(words)} registers from {register:#06x}, not {count}", "ask again"
            )
        return words

    def _ask(self, request: Callable[[], Any], what: str) -> Any:
        try:
            answer = request()
        except ModbusException:
            raise NoAnswerError(
                f"no charger answers at address {self._unit}",
                "look at A and B, the speed (115200) and the charger's address",
            ) from None
        if isinstance(answer, ExceptionResponse):
            why = _REFUSALS.get(answer.exception_code, f"Modbus exception {answer.exception_code}")
            raise DeviceError(f"the charger refuses {what}: {why}", "is it a Tracer? others have other registers")
        return answer


class _Client(ModbusSerialClient):
    """pymodbus's client on a port that somebody else owns."""

    def __init__(self, transport: Transport, seconds: float) -> None:
        super().__init__(transport.port, baudrate=EpeverDriver.BAUD, timeout=seconds, retries=RETRIES)
        self._transport = transport
        self._seconds = seconds
        self._came = 0

    @property
    def connected(self) -> bool:
        return True

    def connect(self) -> bool:
        return True

    def close(self) -> None:
        """The port's owner closes it."""

    def is_socket_open(self) -> bool:
        return True

    def send(self, request: bytes, addr: tuple[Any, ...] | None = None) -> int:  # noqa: ARG002
        for _ in range(16):  # what came too late for the last request
            if not self._transport.read(0):
                break
        self._came = 0
        self._transport.write(request)
        return len(request)

    def recv(self, size: int | None) -> bytes:  # noqa: ARG002
        data = self._transport.read(self._seconds)
        self._came += len(data)
        return data if self._came <= MOST_NOISE else b""


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number
