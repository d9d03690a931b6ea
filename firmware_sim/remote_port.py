"""The line to an RFC 2217 client: Telnet off its bytes and onto ours, and the speed, parity and breaks that it sets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from serial.rfc2217 import PortManager

LONGEST_OPTION = 64
"""Bytes of one Telnet option; those of RFC 2217 have at most 6."""


class RemotePort:
    """One client's line, to pyserial's PortManager a serial port. It keeps no byte and owns no socket.

    baudrate in bits a second, bytesize 5 to 8, parity "N", "E", "O", "M" or "S", stopbits 1, 1.5 or 2: as the client
    set them; a simulated unit understands every speed. breaks: how many the client has begun. Modem lines are up.
    """

    cts = dsr = cd = True
    ri = False

    def __init__(self, client: socket.socket) -> None:
        self.baudrate = 115_200
        self.bytesize = 8
        self.parity = "N"
        self.stopbits: float = 1
        self.xonxoff = self.rtscts = False
        self.dtr = self.rts = True
        self.breaks = 0
        self._client = client
        self._in_break = False
        self._manager = PortManager(self, self)  # type: ignore[arg-type]  # it asks for no more than is here

    @property
    def break_condition(self) -> bool:
        """Whether the client holds the line low."""
        return self._in_break

    @break_condition.setter
    def break_condition(self, on: bool) -> None:
        self.breaks += on and not self._in_break
        self._in_break = on

    def received(self, data: bytes) -> Iterator[bytes]:
        """The bytes of the line in what the client sent, one by one, each after the settings that came before it.

        A break is a zero byte, as a UART reads it. Raises ConnectionError when the client does not speak Telnet.
        """
        for byte in data:
            breaks = self.breaks
            try:
                came = b"".join(self._manager.filter(bytes([byte])))
            except (KeyError, TypeError, ValueError, struct.error):
                raise ConnectionError("no RFC 2217 client") from None
            if len(self._manager.suboption or b"") > LONGEST_OPTION:
                raise ConnectionError("no RFC 2217 client")
            if self.breaks > breaks:
                yield b"\0"
            if came:
                yield came

    def send(self, data: bytes) -> None:
        """Sends the bytes of the line. Raises ConnectionError when the client takes them no longer."""
        self.write(data.replace(b"\xff", b"\xff\xff"))

    def write(self, telnet: bytes) -> None:
        """Sends to the client: the PortManager's answers. Raises ConnectionError: half an answer cannot be mended."""
        try:
            sent = self._client.send(telnet)
        except BlockingIOError:
            sent = 0
        if sent < len(telnet):
            raise ConnectionError("the client does not read")

    def reset_input_buffer(self) -> None:
        """Nothing waits here: bytes go on as they come."""

    def reset_output_buffer(self) -> None:
        """Nothing waits here either."""
