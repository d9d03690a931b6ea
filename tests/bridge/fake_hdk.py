"""Units on a pty that are not ours: an un-extended HDK with its quirks, and one whose answers a test writes."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable
from types import TracebackType

from paygo_core import DeviceConfig, PaygUnit, Reason, TokenType

KEY = "0f9ab80edc05fbbc41ec9530f6da0ab1"
"""With bytes below 16, which an HDK prints as one character."""


def check_of(body: str) -> str:
    """CRC-16/CCITT-FALSE, bit by bit, independent of the code under test."""
    crc = 0xFFFF
    for byte in body.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return f"{crc:04X}"


def checked(body: str) -> bytes:
    """A line as an `hdk+` unit sends it once the host has used the check."""
    return f"#{body}*{check_of(body)}\r\n".encode()


def serial_forms(key: str) -> list[bytes]:
    """How a key can leak: hex, upper, spaced, unpadded, base64, raw."""
    import base64

    raw = bytes.fromhex(key)
    unpadded = [f"{byte:x}" for byte in raw]
    texts = [key, " ".join(f"{byte:02x}" for byte in raw), "".join(unpadded), " ".join(unpadded)]
    return [form.encode() for text in texts for form in (text, text.upper())] + [base64.b64encode(raw), raw]


class PtyUnit:
    """Bytes in, bytes out, on a pty in a thread of its own. A context manager; `vanish()` pulls the plug."""

    def __init__(self) -> None:
        self.received = b""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._plugged = True

    def take(self, data: bytes) -> bytes:
        """What the unit says to these bytes."""
        raise NotImplementedError

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def vanish(self) -> None:
        self._plugged = False

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.write(self._wake, b"x")
        self._thread.join()
        for descriptor in (self._slave, self._stop, self._wake):
            os.close(descriptor)

    def _run(self) -> None:
        while self._plugged:
            ready, _, _ = select.select([self._master, self._stop], [], [])
            if self._stop in ready:
                break
            data = os.read(self._master, 4096)
            self.received += data
            answer = self.take(data)
            if self._plugged and answer:
                self.say(answer)
        os.close(self._master)


class ScriptedUnit(PtyUnit):
    """Gives every line to `answer`, which returns what the unit sends."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self._answer = answer
        self._pending = b""

    def take(self, data: bytes) -> bytes:
        *lines, self._pending = (self._pending + data).split(b"\n")
        self.lines += lines
        return b"".join(self._answer(line) for line in lines)


class FakeHdk(PtyUnit):
    """The public HDK firmware on an ESP32, debug build: one character at a time, log lines, missing line ends.

    gate: nothing is answered before it is set, as while the LED blinks. transmit: changes what goes over the wire.
    """

    def __init__(self, config: DeviceConfig | None = None, *, debug: bool = True) -> None:
        super().__init__()
        self.unit = PaygUnit(config) if config else None
        self.stored = b""
        self.gate: threading.Event | None = None
        self.seconds_left: int | None = None
        self.transmit: Callable[[bytes], bytes] = lambda said: said
        self._debug = debug
        self._buffer = b""

    def take(self, data: bytes) -> bytes:
        self._buffer += data
        said = b""
        while True:
            answer, rest = self._command(self._buffer)
            if answer is None:
                break
            said += answer
            self._buffer = rest
        if said and self.gate is not None:
            self.gate.wait(60)
        return self.transmit(said)

    def _command(self, line: bytes) -> tuple[bytes | None, bytes]:
        _, mark, line = line.partition(b"#")  # what stands outside a command is dropped silently
        name, end, rest = line.partition(b";")
        if not mark or not end:
            return None, line
        log = self._log(f"Received Command: {name.decode('latin-1')}") if self.unit else b""
        if self.unit is None and name == b"SETUP":
            fields, end, rest = rest.partition(b"\n")
            return (self._set_up(fields), rest) if end else (None, line)
        if self.unit is not None and name == b"TOKEN":
            token, end, rest = rest.partition(b"\n")
            return (log + self._enter(token), rest) if end else (None, line)
        if self.unit is not None and name == b"STATUS":
            return log + self._status(), rest
        return log + b"#INVALID\r\n", rest

    def _log(self, text: str) -> bytes:
        return f"INFO: {text}\r\n".encode() if self._debug else b""

    def _set_up(self, fields: bytes) -> bytes:
        serial, code, key = fields.decode().split(";")
        self.stored = bytes.fromhex(key)
        self.unit = PaygUnit(DeviceConfig(self.stored, int(code)))
        shown = "".join(f"{byte:X}" for byte in self.stored)
        return self._log("Setup Data Received") + self._log(f"SN: {serial}, SC: {code}, KEY: {shown}")

    def _enter(self, token: bytes) -> bytes:
        assert self.unit is not None
        answer = self.unit.enter(token.decode(), 0)
        if answer.token_type is TokenType.INVALID:
            return b"#TOKEN;INVALID\r\n"
        if answer.reason is not Reason.ACCEPTED:
            return b"#TOKEN;ALREADY_USED\r\n"
        if answer.seconds_left is None:
            return b"#TOKEN;PAYG_DISABLED\r\n"
        if answer.seconds_left == 0:  # -1 by the time it is read, which is its error code
            return b"#TOKEN;INVALID\r\n"
        return b"#TOKEN;VALID;%d" % (answer.seconds_left - 1) + self._log("LED off")

    def _status(self) -> bytes:
        assert self.unit is not None
        if self.unit.unlocked:
            return b"#STATUS;PAYG_DISABLED\r\n"
        seconds = self.unit.seconds_left if self.seconds_left is None else self.seconds_left
        return b"#STATUS;ACTIVE;%d\r\n" % seconds if seconds else b"#STATUS;INACTIVE"


class PlusUnit(ScriptedUnit):
    """An `hdk+` unit that takes its answers from a script, the last one for ever; b"" is an answer that got lost."""

    def __init__(self, **script: list[bytes]) -> None:
        super().__init__(self._scripted)
        self.script = {"INFO": [checked("INFO;A1;M;B;0.1;3;1")], **script}

    def _scripted(self, line: bytes) -> bytes:
        body, _, check = line.decode().removeprefix("#").partition("*")
        if check != check_of(body):
            return b"#INVALID\r\n"
        answers = self.script.get(body.split(";")[0].replace("+", "_PLUS"), [checked("INVALID")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def names(self) -> list[str]:
        return [line.decode().removeprefix("#").split(";")[0] for line in self.lines]
