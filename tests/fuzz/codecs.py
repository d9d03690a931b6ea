"""Fuzzes what reads bytes in Python: the codecs of paygo_core.wire (make fuzz-python).

python tests/fuzz/codecs.py --seeds FOLDER NAME
python tests/fuzz/codecs.py NAME [libFuzzer's options]

The first byte of an input tells where the rest is cut into reads. However it is cut, a codec says the same; it raises
nothing but problems, and keeps no more than it says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from paygo_core.errors import Problem

if __name__ == "__main__" and "--seeds" not in sys.argv:
    import atheris

    watched = atheris.instrument_imports(include=["paygo_core.wire", "paygo_core.redact"])
else:
    watched = nullcontext()
with watched:
    from paygo_core.wire.control import ControlReader
    from paygo_core.wire.hdk import HdkReader
    from paygo_core.wire.keypad import KeypadReader
    from paygo_core.wire.metrics import decode_payload
    from paygo_core.wire.metrics_request import decode_response
    from paygo_core.wire.oplink import OplinkReader, decode_message
    from paygo_core.wire.vedirect import Block, VeDirectReader, alerts, telemetry

KEY = bytes.fromhex("0f9ab80edc05fbbc41ec9530f6da0ab1")
MOST_KEPT = 70_000


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """The input, whole and in pieces."""
    step = 1 + data[0] % 32 if data else 1
    rest = data[1:]
    return rest, [rest[at : at + step] for at in range(0, len(rest), step)]


def read(make: Callable[[], Any], data: bytes) -> list[Any]:
    """What a reader says of it, the same however it is cut."""
    whole, pieces = cut(data)
    reader, other = make(), make()
    said = list(reader.feed(whole))
    assert [event for piece in pieces for event in other.feed(piece)] == said
    kept = sum(len(value) for value in vars(reader).values() if isinstance(value, (bytes, bytearray)))
    assert kept <= MOST_KEPT
    if silence := getattr(reader, "silence", None):
        end = silence()
        assert end == other.silence()
        said += end
    return said


def hdk(data: bytes) -> None:
    for require_check in (False, True):
        said = read(lambda check=require_check: HdkReader(require_check=check, secrets=(KEY,)), data)
        assert KEY.hex() not in repr(said).lower()


def vedirect(data: bytes) -> None:
    for event in read(VeDirectReader, data):
        if isinstance(event, Block):
            telemetry(event)
            alerts(event)


def keypad(data: bytes) -> None:
    read(KeypadReader, data)


def control(data: bytes) -> None:
    read(ControlReader, data)


def oplink(data: bytes) -> None:
    for frame in read(OplinkReader, data):
        refused(decode_message, frame.payload)
    refused(decode_message, data[1:])


def metrics(data: bytes) -> None:
    refused(decode_payload, data.decode("latin-1"))
    refused(decode_payload, data.decode("utf-8", "replace"))


def response(data: bytes) -> None:
    for key in (None, KEY):
        refused(decode_response, data, "SLT1", key, timestamp=1, request_count=1)


def refused(work: Callable[..., object], *arguments: object, **options: object) -> None:
    """Decodes, or refuses with a problem."""
    with suppress(Problem):
        work(*arguments, **options)


CODECS: dict[str, Callable[[bytes], None]] = {
    codec.__name__: codec for codec in (hdk, vedirect, keypad, control, oplink, metrics, response)
}
SEEDS: dict[str, tuple[bytes, ...]] = {
    "hdk": (
        b"\x00#STATUS;INACTIVE#TOKEN;VALID;86399KEY: f 9a b8\r\n",
        b"\x04#INFO;SLT1;M;B;0.1;3;2*0000\r\n#ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;1;9\r\n",
        b'\x07#TELEMETRY;{"serial_number":"A1","data":{"battery_voltage":12.5}}\r\n#ALERTS;1;SENSOR_FAULT,1,1\r\n',
    ),
    "vedirect": (
        b"\x03\r\nPID\t0xA053\r\nV\t12800\r\nI\t-150\r\nERR\t2\r\nLOAD\tON\r\nChecksum\t\x7d",
        b"\x0c:7ABED0004B2\n\r\nH1\t-100\r\n:A8ED000162\nChecksum\t:",
    ),
    "keypad": (b"\x01(Token entered: 16609796)\r\nGreen LED Blinked 2 times!", b"\x09SK: f 9a b8 e\r\ncode = 1\r\n"),
    "control": (b'\x05{"op":"advance","seconds":60}\n{"ok":true}\nnone\n',),
    "oplink": (
        b"\x02\x00\x55\x0f\x86\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x00\x60\x45\x00\x01\xc1\x3c\xff\xa2\x62vb\x19\x32\x00\x62cp\x18\x50",
    ),
    "metrics": (
        b'{"sn":"A1","ts":1611583070,"d":{"battery_voltage":12.5,"output":true,"tc":3}}',
        b'{"serial_number":"A1","data":{"battery_current":-2.5e1,"x":null}}',
    ),
    "response": (b'{"tkl":[16609796,"016609796"],"st":{"base_url":"http://x"},"a":"da0123456789abcdef"}', b"{}"),
}


def main() -> None:
    """Never ends, unless something is found or libFuzzer's options say when."""
    name, *options = sys.argv[1:]
    if name == "--seeds":
        folder = Path(options[0])
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS[options[1]]):
            (folder / f"seed{number}").write_bytes(seed)
        return
    atheris.Setup([sys.argv[0], *options], CODECS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
