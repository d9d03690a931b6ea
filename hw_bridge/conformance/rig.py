"""Rig files (TOML): which port, driver and power switch belong together; and operators where there is no relay."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hw_bridge.conformance.hands import Power
from paygo_core.errors import PaygoError, PortError
from paygo_core.toml import TOMLDecodeError, loads

COMMAND_S = 30.0
OFF_S = 2.0
"""Until what a unit's capacitors hold is gone."""
RELAY_S = 1.0


@dataclass(frozen=True)
class Place:
    """One place of a rig, a `[[unit]]` of the file.

    name: what it is called. port, driver, baud: of its unit. serial: of the device that sits there, if it is always
    the same. control: the socket of a simulated unit. power_off and power_on: shell commands that switch its
    supply. relay: a coil that does, "PORT:UNIT:COIL" on Modbus RTU. off_seconds: how long the supply then stays
    away. wait_minutes: how long a test may let time pass there. payg: a registry's file, for a charger that the
    bridge runs as a PAYG unit. load_amperes: what the load on its output draws at least.
    """

    name: str
    port: str
    driver: str = "hdk"
    baud: int | None = None
    serial: str | None = None
    control: str | None = None
    power_off: str = ""
    power_on: str = ""
    relay: str = ""
    wait_minutes: float = 0
    payg: str = ""
    load_amperes: float = 0
    off_seconds: float = OFF_S

    def power(self) -> Power | None:
        """Who switches its supply, None for a simulated unit or where nobody does."""
        if self.relay:
            return ModbusRelay(self.relay, self.off_seconds)
        return ShellRelay(self.power_off, self.power_on, self.off_seconds) if self.power_off else None


def read(path: Path) -> list[Place]:
    """The places of a rig file. Raises PaygoError that says what is wrong in it."""
    right = 'a rig file has tables [[unit]] with name and port, and "paygo conform run --help" tells the rest'
    try:
        table = loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, TOMLDecodeError) as error:
        raise PaygoError(f"{path}: {error}", right) from None
    rows = table.get("unit")
    if not isinstance(rows, list) or not rows or set(table) != {"unit"}:
        raise PaygoError(f"{path} has no tables [[unit]], or others beside them", right)
    places = [_place(path, number, row) for number, row in enumerate(rows, 1)]
    for what in ("name", "port"):
        values = [getattr(place, what) for place in places]
        if len(set(values)) != len(values):
            raise PaygoError(f"{path}: two units have the same {what}", "each has its own")
    return places


def _place(path: Path, number: int, row: Any) -> Place:
    where = f"{path}, unit {number}"
    kinds = {item.name: str(item.type) for item in fields(Place)}
    if not isinstance(row, dict):
        raise PaygoError(f"{where} is no table", "write [[unit]] over it")
    for name, value in row.items():
        kind = kinds.get(name)
        if kind is None:
            raise PaygoError(f"{where} has {name!r}, which is nothing", f"it may have {', '.join(kinds)}")
        wanted = (int, float) if "float" in kind else int if "int" in kind else str
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise PaygoError(
                f"{where}: {name} cannot be {value!r}", f"{name} is a {'text' if wanted is str else 'number'}"
            )
    if not row.get("name") or not row.get("port"):
        raise PaygoError(f"{where} lacks its name or its port", "both are needed")
    if bool(row.get("power_off")) != bool(row.get("power_on")):
        raise PaygoError(f"{where} has one of power_off and power_on", "both are needed")
    return Place(**row)


class ShellRelay:
    """A supply that two shell commands switch. off_seconds: how long it stays away."""

    def __init__(self, off: str, on: str, off_seconds: float = OFF_S) -> None:
        self._off = off
        self._on = on
        self._off_seconds = off_seconds

    def check(self) -> None:
        """A command shows only when it is run whether it works."""

    def cycle(self) -> None:
        """Raises PortError when a command fails."""
        self._run(self._off)
        time.sleep(self._off_seconds)
        self._run(self._on)

    def _run(self, command: str) -> None:
        try:
            subprocess.run(command, shell=True, check=True, capture_output=True, timeout=COMMAND_S)  # noqa: S602
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            raise PortError(f"the power command {command!r} failed", "run it by hand to see why") from None


class ModbusRelay:
    """A supply on a coil of a relay board that speaks Modbus RTU: "PORT:UNIT:COIL", on while the coil is.

    off_seconds: how long it stays away. Raises PaygoError for another address.
    """

    def __init__(self, address: str, off_seconds: float = OFF_S, *, timeout: float = RELAY_S) -> None:
        port, unit, coil = [*address.rsplit(":", 2), "", ""][:3]
        if not port or not unit.isdigit() or not coil.isdigit():
            raise PaygoError(f"the relay {address!r} cannot be used", "it is PORT:UNIT:COIL, such as /dev/ttyUSB1:1:0")
        self._port, self._unit, self._coil = port, int(unit), int(coil)
        self._off_seconds = off_seconds
        self._timeout = timeout

    def check(self) -> None:
        """Asks for the coil. Raises PortError when the board cannot be reached, or has no such coil."""
        with self._board() as board:
            self._ask(lambda: board.read_coils(self._coil, count=1, device_id=self._unit))

    def cycle(self) -> None:
        """Raises PortError when the board does not do it."""
        with self._board() as board:
            self._ask(lambda: board.write_coil(self._coil, False, device_id=self._unit))
            time.sleep(self._off_seconds)
            self._ask(lambda: board.write_coil(self._coil, True, device_id=self._unit))

    @contextmanager
    def _board(self) -> Iterator[Any]:
        from hw_bridge.modbus import ModbusSerialClient

        board = ModbusSerialClient(self._port, baudrate=9600, timeout=self._timeout, retries=2)
        try:
            if not board.connect():
                raise PortError(f"the relay's port {self._port} cannot be opened", "is it plugged in, and free?")
            yield board
        finally:
            board.close()  # type: ignore[no-untyped-call]

    def _ask(self, request: Callable[[], Any]) -> None:
        from hw_bridge.modbus import ModbusException

        try:
            answer = request()
        except ModbusException:
            raise PortError(
                f"the relay on {self._port} does not answer as unit {self._unit}",
                "has it power, and is that its number?",
            ) from None
        if answer.isError():
            raise PortError(f"the relay on {self._port} has no coil {self._coil}", "its coils are counted from 0")


@dataclass
class Operator:
    """Somebody at the bench, who switches the supply when asked."""

    ask: Callable[[str], None]
    name: str = ""
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        """They are there, or they would not have been named."""

    def cycle(self) -> None:
        """Asks for the supply to be switched off and on."""
        for text in (
            "switch the unit OFF: take away its supply and its battery until its lights are dark",
            "switch the unit ON again, and wait until it blinks",
        ):
            self.asked.append(text)
            self.ask(f"{self.name}: {text}" if self.name else text)
