"""Reads device lists (CSV): good rows become devices, broken rows become sentences and go to a quarantine file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paygo_core.csv_rows import (
    RowProblem,
    WrongCell,
    csv_line,
    next_line,
    quarantine_line,
    read_cells,
    read_number,
    shown,
    shown_name,
    shown_serial,
)
from paygo_core.device import Device
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError
from paygo_core.redact import mask_secrets
from paygo_core.tokens import LARGEST_COUNT, LARGEST_STARTING_CODE, DeviceConfig

_COMMON = ("Serial Number", "Starting Code", "Key", "Count", "Time Divider", "Restricted Digit Mode", "Hardware Model")
TEMPLATE_HEADER = (*_COMMON, "Version", "Test Code")
GENERATOR_HEADER = (*_COMMON, "Firmware Version")
"""What the public batch generator writes."""


@dataclass(frozen=True)
class ListedDevice(Device):
    """A device with the line it stood on. `raw` is the line as it was, with the key, and never shown."""

    line: int = field(default=0, compare=False)
    raw: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class DeviceList:
    """What a device list holds. `devices` and `problems` keep the order of the file."""

    file: str
    header: tuple[str, ...]
    devices: list[ListedDevice]
    problems: list[RowProblem]


def read_device_list(path: str | os.PathLike[str]) -> DeviceList:
    """The devices of a list with one of the two public headers, in UTF-8 with LF or CRLF, one row a line.

    Nothing is repaired: a broken row becomes a RowProblem and the others go on. Raises PaygoError when the file
    cannot be read or its header is another one.
    """
    file = os.fspath(path)
    devices: list[ListedDevice] = []
    problems: list[RowProblem] = []
    first_lines: dict[str, int] = {}
    try:
        with open(path, "rb") as stream:
            header = read_header(file, next_line(file, stream, 1).removeprefix(b"\xef\xbb\xbf"))
            number = 1
            while line := next_line(file, stream, number := number + 1):
                raw = line.rstrip(b"\r\n")
                if not raw.strip():
                    continue
                serial = ""
                try:
                    cells = read_cells(raw)
                    serial = shown_serial(cells[0])
                    devices.append(read_device(header, cells, number, raw, first_lines))
                except WrongCell as wrong:
                    problems.append(RowProblem(file, number, wrong.column, wrong.cause, wrong.hint, serial, raw))
    except OSError as error:
        raise PaygoError(f"{file}: {error.strerror}", "name a device list, a CSV file") from None
    return DeviceList(file, header, devices, problems)


def write_quarantine(path: str | os.PathLike[str], header: Sequence[str], problems: Iterable[RowProblem]) -> Path:
    """Writes the refused rows as they were, each behind its line number and reason, and returns the file's path.

    The file holds keys: its mode is 0600. A file that is there already is never changed: when it holds the same rows
    it is the answer, else the next free name is (list.quarantine-2.csv). Raises PaygoError when it cannot be written.
    """
    with Draft(Path(path)) as draft:
        draft.write(csv_line("Line", "Reason", *header) + b"\n")
        for problem in problems:
            draft.write(quarantine_line(problem))
        return draft.publish_beside()


def read_header(file: str, line: bytes) -> tuple[str, ...]:
    """Which of the two headers the first line is. Raises PaygoError that says what is missing."""
    where = f"{file}, line 1"
    try:
        cells = read_cells(line.rstrip(b"\r\n")) if line.strip() else []
    except WrongCell as wrong:
        raise PaygoError(f"{where}: {wrong.cause}", wrong.hint) from None
    found = [cell.strip().casefold() for cell in cells]
    for header in (TEMPLATE_HEADER, GENERATOR_HEADER):
        if found == [name.casefold() for name in header]:
            return header
    meant = GENERATOR_HEADER if "firmware version" in found else TEMPLATE_HEADER
    right = "the header is " + ",".join(meant)
    if len(found) == 1 and found[0].count(";") >= len(GENERATOR_HEADER) - 1:
        raise PaygoError(f"{where}: the columns are separated by semicolons", f"separate them by commas: {right}")
    missing = [name for name in meant if name.casefold() not in found]
    known = [name.casefold() for name in meant]
    unknown = [shown_name(cell.strip()) for cell in cells if cell.strip().casefold() not in known]
    faults = [f"{what} {', '.join(names[:9])}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
    raise PaygoError(
        f"{where}: wrong header: {'; '.join(faults) or 'the columns are in another order or repeated'}", right
    )


def read_device(
    header: tuple[str, ...], cells: list[str], line: int, raw: bytes, first_lines: dict[str, int]
) -> ListedDevice:
    """The device of a row; notes in first_lines where its serial stood first. Raises WrongCell."""
    if len(cells) != len(header):
        raise WrongCell("", f"the row has {len(cells)} columns", f"the header has {len(header)}")
    first_line = first_lines.setdefault(cells[0], line)
    serial, starting_code, key, count, divider, restricted, model, version = cells[:8]
    test_code = cells[8] if len(cells) > 8 else ""
    if not serial:
        raise WrongCell("Serial Number", "the serial is missing", "every device has one")
    if len(serial) > 64 or not serial.isprintable() or serial != serial.strip():
        hint = "a serial is 1 to 64 printable characters without a space at either end"
        raise WrongCell("Serial Number", "the serial cannot be used", hint)
    if mask_secrets(serial) != serial:
        raise WrongCell("Serial Number", "the serial looks like a secret key", "are the cells in the right columns?")
    if first_line != line:
        raise WrongCell("Serial Number", f"the serial stands on line {first_line} already", "each serial stands once")
    secret_key = _key(key)
    code = read_number(
        "Starting Code", starting_code, 1, LARGEST_STARTING_CODE, "take all digits from the original list"
    )
    count_number = read_number("Count", count, 0, LARGEST_COUNT, "the last count that the server used; empty means 1")
    divider_number = read_number("Time Divider", divider, 1, 255, "units a day; empty means 1")
    if restricted not in ("", "0", "1"):
        raise WrongCell("Restricted Digit Mode", f"{shown(restricted)} is neither 1 nor 0", "empty means 0")
    for column, text in ((header[6], model), (header[7], version)):
        if not text.isprintable():
            raise WrongCell(column, "the text has control characters", "write it as plain text")
        if mask_secrets(text) != text:
            raise WrongCell(column, "the text looks like a secret key", "are the cells in the right columns?")
    if re.fullmatch(r"[0-9]{0,20}", test_code) is None:
        raise WrongCell("Test Code", f"{shown(test_code)} is not 1 to 20 digits", "empty means that there is none")
    config = DeviceConfig(
        secret_key,
        code,  # type: ignore[arg-type]  # None derives it from the key
        1 if divider_number is None else divider_number,
        restricted == "1",
    )
    return ListedDevice(
        serial, config, 1 if count_number is None else count_number, model, version, test_code, line, raw
    )


def _key(cell: str) -> bytes:
    if re.fullmatch(r"[0-9A-Fa-f]{32}", cell):
        return bytes.fromhex(cell)
    if not cell:
        cause = "the key is missing"
    elif re.search(r"\s", cell):
        cause = "the key has spaces in it"
    elif re.fullmatch(r"[0-9A-Fa-f]*", cell) is None:
        cause = "the key has characters that are not hexadecimal"
    else:
        cause = f"the key has {len(cell)} characters"
    raise WrongCell("Key", cause, "a key is 32 hexadecimal characters, 0-9 and a-f, without spaces")
