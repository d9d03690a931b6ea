"""A device as the device list and the registry know it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paygo_core.errors import PaygoError
from paygo_core.tokens import DeviceConfig


@dataclass(frozen=True)
class Device:
    """One control unit: who it is, its configuration and the last count that its server used.

    serial: 1 to 64 printable characters without a space at either end. count: 0 … config.max_count (T10). test_code: 1
    to 20 digits of a short-activation code that is not a token, or empty. The repr never shows the key. Raises
    PaygoError for anything else.
    """

    serial: str
    config: DeviceConfig
    count: int = 1
    hardware_model: str = ""
    version: str = ""
    test_code: str = ""

    def __post_init__(self) -> None:
        serial = self.serial
        if not 1 <= len(serial) <= 64 or not serial.isprintable() or serial != serial.strip():
            raise PaygoError(f"the serial number {serial!r} cannot be used", "a serial is 1 to 64 printable characters")
        if not 0 <= self.count <= self.config.max_count:
            raise PaygoError(
                f"the count {self.count} is out of range", f"a count lies between 0 and {self.config.max_count}"
            )
        if self.test_code and re.fullmatch(r"[0-9]{1,20}", self.test_code) is None:
            raise PaygoError("the test code is not 1 to 20 digits", "leave it empty when the device has none")
