"""Starts a simulated unit as another process and speaks to its control socket."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paygo_core.errors import DeviceError, NoAnswerError, PortError
from paygo_core.wire.control import BadLine, ControlReader, encode

START_SECONDS = 30.0
ANSWER_SECONDS = 120.0
"""Wire time; a month of world time takes some seconds to compute."""


class ControlClient:
    """A connection to the control socket of a simulated unit. Use it with `with`.

    address: a path or HOST:PORT. Raises PortError when nothing answers there; methods raise DeviceError when the unit
    refuses, PortError when it is gone, NoAnswerError when no answer comes within 120 s of wire time.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            if host and "/" not in address:
                self._socket = socket.create_connection((host, int(port)))
            else:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.connect(address)
        except OSError as error:
            raise PortError(f"no control socket answers on {address}: {error.strerror}") from None
        self._socket.settimeout(ANSWER_SECONDS)
        self._reader = ControlReader()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        """One operation and its answer.

        op: advance, power, cut_power, press, read, plant or fault.
        """
        try:
            self._socket.sendall(encode({"op": op, **arguments}))
            while True:
                data = self._socket.recv(65_536)
                if not data:
                    raise PortError(f"the simulated unit ended during {op!r}")
                for answer in self._reader.feed(data):
                    if isinstance(answer, BadLine) or not answer.pop("ok", False):
                        cause = answer.cause if isinstance(answer, BadLine) else answer.get("error", "no reason given")
                        raise DeviceError(f"the simulated unit refuses {op!r}: {cause}")
                    return answer
        except TimeoutError:
            raise NoAnswerError(f"the simulated unit does not answer {op!r} within {ANSWER_SECONDS:g} s") from None
        except OSError as error:
            raise PortError(f"the simulated unit ended during {op!r}: {error.strerror}") from None

    def advance(self, seconds: float) -> None:
        """Lets so many seconds of world time pass at once, at most 366 days."""
        self.request("advance", seconds=seconds)

    def power(self, on: bool) -> None:
        """Switches the unit's supply."""
        self.request("power", on=on)

    def read(self) -> dict[str, Any]:
        """What the plant and the unit's outputs are: V, A (a battery current that charges is positive), W/m², s.

        speed: world seconds that pass in a second by themselves; an older simulator does not tell it.
        """
        return self.request("read")


@dataclass(frozen=True)
class RunningUnit:
    """A simulated unit's process: its port, for a Transport, and its control socket's address, for a ControlClient."""

    process: subprocess.Popen[bytes]
    port: str
    control: str


@contextmanager
def simulated_unit(directory: Path, *options: str, tree: Path | None = None) -> Iterator[RunningUnit]:
    """A unit on a pty in `directory`, or where options of `paygo sim serve` say. Its control socket moves its world.

    tree: a folder with a simulator of its own, to be run in place of the installed one.

    It ends with the block, and also when this process is killed, since its standard input ends then.
    """
    command = [sys.executable, "-m", "firmware_sim", "serve", "--json", "--attached", "--speed", "0"]
    command += ["--control", str(directory / "unit.control"), *options]
    if not {"--tcp", "--rfc2217"} & set(options):
        command += ["--link", str(directory / "unit")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=tree
    ) as process:
        try:
            ready = _wait_ready(process)
            yield RunningUnit(process, ready["port"], ready["control"])
        finally:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_ready(process: subprocess.Popen[bytes]) -> dict[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    if not select.select([process.stdout], [], [], START_SECONDS)[0]:
        raise NoAnswerError(f"the simulated unit did not start within {START_SECONDS:g} s")
    line = process.stdout.readline()
    if not line:
        cause = process.stderr.read(2000).decode("utf-8", "replace").strip()
        raise PortError(f"the simulated unit did not start: {cause}")
    ready: dict[str, str] = json.loads(line)
    return ready
