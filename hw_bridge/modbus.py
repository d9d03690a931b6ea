"""Modbus RTU by pymodbus, which keeps to itself what it logs: whoever asks says what went wrong."""

from __future__ import annotations

import logging

from paygo_core.errors import PaygoError

try:
    from pymodbus.client import ModbusSerialClient
    from pymodbus.exceptions import ModbusException
    from pymodbus.pdu import ExceptionResponse
except ModuleNotFoundError:
    raise PaygoError("Modbus is spoken with pymodbus", "pip install 'paygo-solar[modbus]'") from None

__all__ = ["ExceptionResponse", "ModbusException", "ModbusSerialClient"]

logging.getLogger("pymodbus").addHandler(logging.NullHandler())
