"""Drives one appliance on an OpenPAYGO Link as the bus's master, with the ninth bit made of mark and space parity.

An appliance joins when it signals itself; one that another master left answers at its old address. It needs a ping
within 60 s: where the bridge asks less often, it has reset itself, and joins anew at the next question.

A master hears its own frames on the one wire. The time for an answer counts from then on, since a port behind a network
puts a frame there late. Where a port does not echo, it counts from the last byte that was written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from hw_bridge.drivers import ActiveAlert, Info, UnitStatus
from hw_bridge.transport import Transport
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError
from paygo_core.telemetry import Telemetry
from paygo_core.wire import oplink
from paygo_core.wire.oplink import MASTER, UNASSIGNED, Command, Frame, Message, OplinkReader

ANSWER_SECONDS = 0.15
ECHO_SECONDS = 3.0
"""For a frame to be heard back, on a port that echoes."""
SLICE_SECONDS = 0.02
"""Of the last look at a port whose time is over: what came may not have been taken in yet."""
TRIES = 3
JOIN_SECONDS = 8.0
BREAK_SECONDS = 0.001
"""13 bits at least; half a second of it would reset every appliance."""
SECONDS_UNIT = 1


class OplinkDriver:
    """The first appliance that answers or signals itself. `timeout`: how long to wait for it, 8 s if none is given."""

    BAUD = 19_200

    def __init__(
        self, transport: Transport, *, log: Callable[[str], None] | None = None, timeout: float | None = None
    ) -> None:
        self._transport = transport
        self._log = log or (lambda _text: None)
        self._seconds = timeout or JOIN_SECONDS
        self._reader = OplinkReader()
        self._echoes: bool | None = None
        self._address: int | None = None
        self._uid = b""
        self._message = 0
        transport.set_line(self.BAUD, "S")

    def identify(self) -> Info:
        """The appliance's unique number, in hexadecimal."""
        self._reach()
        return Info(self._uid.hex(), model="OpenPAYGO Link")

    def status(self) -> UnitStatus:
        """The credit that the appliance has, from its resource /nx/pc. Raises DeviceError when it has none."""
        values = self._get(oplink.CREDIT)
        left = _number(values, "re")
        if left == oplink.UNLOCKED:
            return UnitStatus("unlocked", None)
        if left is None or values.get("un", SECONDS_UNIT) != SECONDS_UNIT:
            raise DeviceError("the appliance does not tell its credit in seconds", "it has a unit that we do not know")
        return UnitStatus("active" if left else "inactive", int(left))

    def give_credit(self, seconds: int | None) -> UnitStatus:
        """Sets the appliance's credit, as the master of a link does; None unlocks it. Returns what it then says."""
        if seconds is not None and not 0 <= seconds < oplink.UNLOCKED:
            raise PaygoError(f"{seconds} s are no credit", f"it goes from 0 to {oplink.UNLOCKED - 1} s, or is None")
        left = oplink.UNLOCKED if seconds is None else seconds
        self._request(oplink.PUT, oplink.CREDIT, {"re": left, "un": SECONDS_UNIT})
        return self.status()

    def telemetry(self) -> Telemetry:
        """What the battery's resource /batt says; what has no name with us stays in `extra`."""
        values = dict(self._get(oplink.BATTERY))
        millivolts, percent = _number(values, "vb"), _number(values, "cp")
        values.pop("vb", None)
        values.pop("cp", None)
        return Telemetry(
            serial=self._uid.hex(),
            taken_at=datetime.now(timezone.utc),
            battery_voltage=None if millivolts is None else millivolts / 1000,
            state_of_charge=None if percent is None else min(max(percent, 0), 100) / 100,
            extra={name: value for name, value in values.items() if isinstance(value, (bool, int, str))},
        )

    def alerts(self) -> list[ActiveAlert]:
        """A low battery and a fault, as /batt has them."""
        values = self._get(oplink.BATTERY)
        found = []
        if values.get("lb"):
            found.append(ActiveAlert("BATTERY_UNDERVOLTAGE", int(_number(values, "vb") or 0), "mV", "lb"))
        if values.get("ft"):
            found.append(ActiveAlert("CHARGER_FAULT", 1, "1", f"ft {values['ft']}"[:20]))
        return found

    # Resources

    def _get(self, path: str) -> Mapping[str, Any]:
        return self._request(oplink.GET, path).values or {}

    def _request(self, code: int, path: str, values: Mapping[str, Any] | None = None) -> Message:
        self._reach()
        assert self._address is not None
        self._message = self._message % 0xFFFF + 1
        request = Message(code, self._message, path, values).to_bytes()
        for _ in range(TRIES):
            answer = self._exchange(Frame(MASTER, self._address, request), lambda frame: not frame.command)
            if answer is None:
                continue
            said = oplink.decode_message(answer.payload)
            if said.id != self._message:
                continue  # it came too late for an earlier question
            if said.code not in (oplink.CONTENT, oplink.CHANGED):
                raise DeviceError(
                    f"the appliance refuses /{path}: {said.code >> 5}.{said.code & 31:02}", "it has other resources"
                )
            return said
        raise NoAnswerError(f"the appliance does not answer for /{path}", "it is on the link, but busy or disturbed")

    # The link

    def _reach(self) -> None:
        """Makes sure that the appliance is on the link. Raises NoAnswerError."""
        if self._address is not None and self._command(Command.PING) is not None:
            return
        for address in (1, 2, 3, 4, 5):
            self._address = address
            if self._command(Command.PING, tries=1) is not None and self._named():
                return
        self._address = None
        until = time.monotonic() + self._seconds
        while (left := until - time.monotonic()) > 0:
            signal = self._await(_is_signal, left)
            if signal is not None and self._join(signal.payload[2:6]):
                return
        raise NoAnswerError(
            "no appliance signals itself on the link", "is it powered, and does the port carry parity and break?"
        )

    def _join(self, nonce: bytes) -> bool:
        self._address = 1
        found = bytes([Command.FIND]) + nonce + bytes([self._address])
        if self._command(found, to=UNASSIGNED) is None or not self._named():
            self._address = None
            return False
        return self._command(Command.PING) is not None

    def _named(self) -> bool:
        answer = self._command(Command.GET_UID)
        if answer is None:
            return False
        self._uid = answer[1 : 1 + oplink.LONGEST_UID]
        return True

    def _command(self, command: Command | bytes, *, to: int | None = None, tries: int = TRIES) -> bytes | None:
        """The payload of the ACK, None when none comes."""
        payload = bytes([command]) if isinstance(command, Command) else command
        destination = self._address if to is None else to
        assert destination is not None
        for _ in range(tries):
            answer = self._exchange(
                Frame(MASTER, destination, payload, command=True),
                lambda frame: frame.command and frame.payload[:1] == bytes([Command.ACK]),
            )
            if answer is not None:
                return answer.payload
        return None

    def _send(self, frame: Frame) -> None:
        data = frame.to_bytes()
        for _ in range(16):  # what came too late; a line that never stops must not hold us here
            if not self._transport.read(0):
                break
        self._reader = OplinkReader()
        self._transport.send_break(BREAK_SECONDS)
        self._transport.write(data[:1])
        self._transport.set_line(self.BAUD, "M")
        self._transport.write(data[1:2])
        self._transport.set_line(self.BAUD, "S")
        self._transport.write(data[2:])

    def _exchange(self, frame: Frame, wanted: Callable[[Frame], bool]) -> Frame | None:
        """Sends a frame. The first such frame of an appliance in time."""
        self._send(frame)
        seconds = ANSWER_SECONDS if self._echoes is False else max(ANSWER_SECONDS, min(ECHO_SECONDS, self._seconds))
        echoed, self._echoes = self._echoes, None
        answer = self._await(wanted, seconds, sent=frame)
        if self._echoes is None:
            self._echoes = echoed if answer is not None else None if echoed else False  # one frame may be lost
        return answer

    def _await(self, wanted: Callable[[Frame], bool], seconds: float, sent: Frame | None = None) -> Frame | None:
        """The first such frame of an appliance. Its own frames, which it hears too, a master passes over.

        sent: when it is heard, ANSWER_SECONDS are left.
        """
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            data = self._transport.read(min(max(left, SLICE_SECONDS), ANSWER_SECONDS))
            quiet = not data and (sent is None or left <= 0)
            for frame in self._reader.silence() if quiet else self._reader.feed(data):
                if frame.source == MASTER:
                    if frame == sent:
                        self._echoes, sent = True, None
                        until = time.monotonic() + ANSWER_SECONDS
                elif frame.command and frame.payload[:1] == bytes([Command.ALERT]):
                    self._log(f"the appliance alerts: {frame.payload[1:].hex()}")
                elif wanted(frame):
                    return frame
            if left <= 0 and time.monotonic() >= until:
                return None


def _is_signal(frame: Frame) -> bool:
    return frame.command and frame.payload[:2] == bytes([Command.SIGNAL, oplink.VERSION]) and len(frame.payload) == 6


def _number(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**32:
        raise DeviceError(f"the appliance says something for {name!r} that is no number", "ask again")
    return value
