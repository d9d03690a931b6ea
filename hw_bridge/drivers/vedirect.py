"""Drives Victron solar chargers and battery monitors by VE.Direct: reads their text, asks and sets registers in hex.

They know no tokens. A charger stores every setting that it is told, so one is written only when it changes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Literal, TypeVar

from hw_bridge.drivers import ActiveAlert, Capability, Info, Load
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError
from paygo_core.telemetry import Telemetry
from paygo_core.wire import vedirect
from paygo_core.wire.vedirect import Block, Damaged, Event, HexMessage, Value, VeDirectReader

BLOCK_SECONDS = 6.0
"""Text comes once in one or two seconds; the first block that is heard may be half a one, and another damaged."""
AFTER_HEX_SECONDS = 14.0
"""A charger with firmware before 1.53 is in hex mode for several seconds after each hex message, and sends no text."""
ANSWER_SECONDS = 5.0
TRIES = 5
"""Chargers leave hex questions unanswered now and then."""
MOST_WRITES = 3
MOST_BACKLOG = 64
"""Reads of what came before a question; a line that never stops is not waited for."""
POSITIONS = {"off": vedirect.LOAD_OFF, "on": vedirect.LOAD_ON, "auto": vedirect.LOAD_ON}
_TEXT = re.compile(rb"\r\n(?:PID\t0x[0-9A-Fa-f]+|Checksum\t.)\r\n", re.DOTALL)
_Found = TypeVar("_Found")


class VeDirectDriver:
    """One charger or monitor on a transport.

    timeout: the deadline of one command, in seconds. log: gets what was damaged on the line. Methods raise DeviceError
    when the unit refuses, NoAnswerError at the deadline, PortError when the port vanishes.
    """

    BAUD = vedirect.BAUD

    def __init__(
        self, transport: Transport, *, log: Callable[[str], None] | None = None, timeout: float | None = None
    ) -> None:
        self._transport = transport
        self._log = log or (lambda _text: None)
        self._timeout = timeout
        self._reader = VeDirectReader()
        self._history: Mapping[str, Value] = {}
        self._has_load: bool | None = None
        self._position: str | None = None
        self._hex_mode = False
        self._seen = 0

    @staticmethod
    def heard(said: bytes) -> str | None:
        """What a line that says this unasked has on it, None if it is not for this driver."""
        for event in VeDirectReader().feed(said):
            if isinstance(event, Block) and "PID" in event:
                return f"VE.Direct unit {event.get('SER#') or event['PID']}"
        return "a VE.Direct unit" if _TEXT.search(said) else None

    @property
    def lacking(self) -> frozenset[Capability]:
        """What a unit without a load output, such as a battery monitor, has not."""
        return frozenset(("switch_load",)) if self._has_load is False else frozenset()

    def identify(self) -> Info:
        """Who the unit is. model: its product id; a battery monitor says no serial."""
        values = self._block()
        return Info(serial=str(values.get("SER#", "")), model=str(values["PID"]), firmware=str(values.get("FW", "")))

    def telemetry(self) -> Telemetry:
        """What the unit measures now, in SI units.

        extra: all else, under the unit's labels and in the units of paygo_core.wire.vedirect.Block; `load_switch` (off,
        on) where the unit has a load output; the history of a battery monitor as far as it was heard.
        """
        block = self._block()
        reading = replace(vedirect.telemetry({**self._history, **block}), taken_at=datetime.now(timezone.utc))
        if not self._has_load:
            return reading
        switch = self._switch_of(reading.output)
        return replace(reading, extra={**reading.extra, "load_switch": switch}) if switch else reading

    def alerts(self) -> list[ActiveAlert]:
        """What the unit says is wrong, each with the unit's own number."""
        return [
            ActiveAlert(code, number, "1", native=f"{label} {number}")
            for code, (number, label) in vedirect.alerts(self._block()).items()
        ]

    def switch_load(self, mode: str) -> Load:
        """Switches the load output off or on; auto is on, since the charger's own protection stays above either.

        It is written only when it is not so already, and read back. Raises PaygoError for another mode, DeviceError
        when the unit has no load output or does not keep to what it was told.
        """
        if mode not in POSITIONS:
            raise PaygoError(f"{mode!r} is not a position of the load output", "it is off, on or auto")
        wanted = POSITIONS[mode]
        for writes in range(MOST_WRITES + 1):
            control = self._get(vedirect.LOAD_CONTROL)
            if control == wanted:
                switch: Literal["off", "on"] = "off" if wanted == vedirect.LOAD_OFF else "on"
                self._position = switch
                return Load(switch, self.load_output())
            if writes < MOST_WRITES:
                self._set(vedirect.LOAD_CONTROL, wanted)
        raise DeviceError(
            f"the charger was told to switch its load {mode} and its load control still reads {control}",
            "is something else switching it?",
        )

    def load_output(self) -> bool:
        """Whether the load output is on: asked in hex, which is answered at once where text comes once a second."""
        return self._get(vedirect.LOAD_STATE) != 0

    # Text

    def _block(self) -> Block:
        """The first block that names the unit and is complete from now on."""
        self._skip_backlog()

        def named(event: Event) -> Block | None:
            if not isinstance(event, Block):
                return None
            if "PID" not in event:  # the second block of a battery monitor
                self._history = event
                return None
            return event

        usual = AFTER_HEX_SECONDS if self._hex_mode else BLOCK_SECONDS
        seconds = usual if self._timeout is None else self._timeout
        block = self._await(named, seconds)
        if block is None:
            raise self._silent("no VE.Direct text", seconds)
        self._has_load = "LOAD" in block
        self._hex_mode = False
        return block

    # Hex

    def _switch_of(self, output: bool | None) -> str:
        """Where the switch is; asked for once while the output is off, since a protection may hold it off, too."""
        if output:
            self._position = None
            return "on"
        if self._position is None:
            try:
                self._position = "off" if self._get(vedirect.LOAD_CONTROL) == vedirect.LOAD_OFF else "on"
            except (DeviceError, NoAnswerError):  # text alone comes over a cable without a sending wire
                self._position = ""
        return self._position

    def _get(self, register: int) -> int:
        reply = self._ask(vedirect.encode_get(register), vedirect.GET, register)
        self._refuse(reply, register)
        if reply.value is None or len(reply.value) != 1:
            raise DeviceError(
                f"the unit answers register 0x{register:04X} with {len(reply.value or b'')} bytes, not with one",
                "is it the right unit?",
            )
        return reply.value[0]

    def _set(self, register: int, value: int) -> None:
        """One byte. A lost answer is no error here: the register is read next."""
        try:
            reply = self._ask(vedirect.encode_set(register, bytes([value])), vedirect.SET, register, tries=1)
        except NoAnswerError:
            return
        self._refuse(reply, register)

    def _refuse(self, reply: HexMessage, register: int) -> None:
        if reply.flags == vedirect.OK:
            return
        if register in (vedirect.LOAD_CONTROL, vedirect.LOAD_STATE) and reply.flags != vedirect.PARAMETER_ERROR:
            self._has_load = False
            raise DeviceError("this unit has no load output that can be switched", "a charger with a load output has")
        raise DeviceError(
            f"the unit refuses register 0x{register:04X} with flags {reply.flags}", "is it the right unit?"
        )

    def _ask(self, line: bytes, command: int, register: int, *, tries: int = TRIES) -> HexMessage:
        self._skip_backlog()
        seconds = ANSWER_SECONDS if self._timeout is None else self._timeout

        def answer(event: Event) -> HexMessage | None:
            fits = isinstance(event, HexMessage) and (event.command, event.register) == (command, register)
            return event if fits and isinstance(event, HexMessage) else None

        self._hex_mode = True
        for _ in range(tries):
            self._transport.write(line)
            if reply := self._await(answer, seconds / TRIES):
                return reply
        raise self._silent(f"no answer to {line.decode('ascii').strip()}", seconds * tries / TRIES)

    # Bytes

    def _silent(self, what: str, seconds: float) -> NoAnswerError:
        came = f"{self._seen} bytes came that are none" if self._seen else "nothing came"
        hint = "is it a VE.Direct port, at 19200 baud?" if self._seen else "is the unit powered, and is this its port?"
        return NoAnswerError(f"{what} within {seconds:g} s: {came}", hint)

    def _skip_backlog(self) -> None:
        """Text that came while nobody read is old."""
        for _ in range(MOST_BACKLOG):
            data = self._transport.read(0)
            if not data:
                break
            self._feed(data)
        self._seen = 0

    def _await(self, wanted: Callable[[Event], _Found | None], seconds: float) -> _Found | None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            found = None
            for event in self._feed(self._transport.read(left)):
                found = found or wanted(event)
            if found is not None:
                return found
        return None

    def _feed(self, data: bytes) -> list[Event]:
        self._seen += len(data)
        events = self._reader.feed(data)
        for event in events:
            if isinstance(event, Damaged):
                self._log(f"damaged ({event.reason}): {event.text}")
        return events
