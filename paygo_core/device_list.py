"""Reads device lists (CSV): good rows become devices, broken rows become sentences and go to a quarantine file."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.redact import mask_secrets
from paygo_core.tokens import LARGEST_COUNT, LARGEST_STARTING_CODE, DeviceConfig

_COMMON = ("Serial Number", "Starting Code", "Key", "Count", "Time Divider", "Restricted Digit Mode", "Hardware Model")
TEMPLATE_HEADER = (*_COMMON, "Version", "Test Code")
GENERATOR_HEADER = (*_COMMON, "Firmware Version")
"""What the public batch generator writes."""

LONGEST_LINE = 10_000
"""Characters; longer lines are refused."""
_MOST_BYTES = 1_000_000
"""Beyond this a line is not read to its end: the file is no device list."""


@dataclass(frozen=True)
class ListedDevice(Device):
    """A device with the line it stood on. `raw` is the line as it was, with the key, and never shown."""

    line: int = field(default=0, compare=False)
    raw: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class RowProblem:
    """Why a row was refused: where, what is wrong and what would be right, never with the key.

    serial: the row's serial as far as it can be read, else empty. raw: the line as it was, never shown.
    """

    file: str
    line: int
    column: str
    cause: str
    hint: str
    serial: str = ""
    raw: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"

    @property
    def reason(self) -> str:
        """The sentence without file and line."""
        who = f"{self.serial}, " if self.serial else ""
        where = f"{self.column}: " if self.column else ""
        return f"{who}{where}{self.cause} ({self.hint})"


@dataclass(frozen=True)
class DeviceList:
    """What a device list holds. `devices` and `problems` keep the order of the file."""

    file: str
    header: tuple[str, ...]
    devices: list[ListedDevice]
    problems: list[RowProblem]


class _WrongCell(Exception):
    def __init__(self, column: str, cause: str, hint: str) -> None:
        super().__init__(cause)
        self.column, self.cause, self.hint = column, cause, hint


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
            header = _header(file, _next_line(file, stream, 1).removeprefix(b"\xef\xbb\xbf"))
            number = 1
            while line := _next_line(file, stream, number := number + 1):
                raw = line.rstrip(b"\r\n")
                if not raw.strip():
                    continue
                serial = ""
                try:
                    cells = _cells(raw)
                    serial = _shown_serial(cells[0])
                    devices.append(_device(header, cells, number, raw, first_lines))
                except _WrongCell as wrong:
                    problems.append(RowProblem(file, number, wrong.column, wrong.cause, wrong.hint, serial, raw))
    except OSError as error:
        raise PaygoError(f"{file}: {error.strerror}", "name a device list, a CSV file") from None
    return DeviceList(file, header, devices, problems)


def write_quarantine(path: str | os.PathLike[str], header: Sequence[str], problems: Iterable[RowProblem]) -> Path:
    """Writes the refused rows as they were, each behind its line number and reason, and returns the file's path.

    The file holds keys: its mode is 0600. A file that is there already is never changed: when it holds the same rows
    it is the answer, else the next free name is (list.quarantine-2.csv). Raises PaygoError when it cannot be written.
    """
    lines = [_csv_line("Line", "Reason", *header)]
    for problem in problems:
        # A row that is no CSV would swallow the rows after it, so it becomes one cell.
        row = problem.raw if _is_csv(problem.raw) else b'"' + problem.raw.replace(b'"', b'""') + b'"'
        lines.append(_csv_line(str(problem.line), problem.reason) + b"," + row)
    content = b"\n".join(lines) + b"\n"
    first = Path(path)
    target = first
    for attempt in range(2, 1000):
        try:
            with open(target, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
                stream.write(content)
            return target
        except FileExistsError:
            if target.is_file() and target.read_bytes() == content:
                return target
            target = first.with_name(f"{first.stem}-{attempt}{first.suffix}")
        except OSError as error:
            raise PaygoError(f"{target}: {error.strerror}", "the refused rows are still in the list itself") from None
    raise PaygoError(f"{first}: too many quarantine files", "move the old ones away")


def _next_line(file: str, stream: io.BufferedReader, number: int) -> bytes:
    line = stream.readline(_MOST_BYTES)
    if len(line) == _MOST_BYTES:
        raise PaygoError(f"{file}, line {number} has no end within {_MOST_BYTES} bytes", "this is not a device list")
    return line


def _cells(raw: bytes) -> list[str]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _WrongCell("", f"byte {error.start + 1} is not UTF-8", "save the list as CSV in UTF-8") from None
    if len(text) > LONGEST_LINE:
        raise _WrongCell("", f"the line has {len(text)} characters", f"a row has {LONGEST_LINE} at most")
    if "\0" in text:
        raise _WrongCell("", "the line has a NUL character", "save the list as CSV in UTF-8")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        hint = "a cell in quotes is closed on its own line, and lines end with LF or CRLF"
        raise _WrongCell("", "the line is not CSV", hint) from None


def _is_csv(raw: bytes) -> bool:
    try:
        return bool(_cells(raw))
    except _WrongCell:
        return False


def _csv_line(*cells: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue().encode("utf-8")


def _header(file: str, line: bytes) -> tuple[str, ...]:
    where = f"{file}, line 1"
    try:
        cells = _cells(line.rstrip(b"\r\n")) if line.strip() else []
    except _WrongCell as wrong:
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
    unknown = [_shown_name(cell.strip()) for cell in cells if cell.strip().casefold() not in known]
    faults = [f"{what} {', '.join(names[:9])}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
    raise PaygoError(
        f"{where}: wrong header: {'; '.join(faults) or 'the columns are in another order or repeated'}", right
    )


def _shown_name(name: str) -> str:
    """A column's name, unless it may be data: a list without a header has a key there."""
    if re.fullmatch(r"[\w .()/-]{1,24}", name) and mask_secrets(name) == name:
        return repr(name)
    return f"a column of {len(name)} characters"


def _shown_serial(cell: str) -> str:
    """A row's serial, unless it may be a key that slipped into the first column."""
    return mask_secrets(cell) if len(cell) <= 64 and cell.isprintable() else ""


def _shown(cell: str) -> str:
    """A wrong cell, unless it may be a key that slipped into another column."""
    return repr(cell) if len(cell) <= 12 else f"a text of {len(cell)} characters"


def _device(
    header: tuple[str, ...], cells: list[str], line: int, raw: bytes, first_lines: dict[str, int]
) -> ListedDevice:
    first_line = first_lines.setdefault(cells[0], line)
    if len(cells) != len(header):
        raise _WrongCell("", f"the row has {len(cells)} columns", f"the header has {len(header)}")
    serial, starting_code, key, count, divider, restricted, model, version = cells[:8]
    test_code = cells[8] if len(cells) > 8 else ""
    if not serial:
        raise _WrongCell("Serial Number", "the serial is missing", "every device has one")
    if len(serial) > 64 or not serial.isprintable() or serial != serial.strip():
        hint = "a serial is 1 to 64 printable characters without a space at either end"
        raise _WrongCell("Serial Number", "the serial cannot be used", hint)
    if first_line != line:
        raise _WrongCell("Serial Number", f"the serial stands on line {first_line} already", "each serial stands once")
    secret_key = _key(key)
    code = _number("Starting Code", starting_code, 1, LARGEST_STARTING_CODE, "take all digits from the original list")
    count_number = _number("Count", count, 0, LARGEST_COUNT, "the last count that the server used; empty means 1")
    divider_number = _number("Time Divider", divider, 1, 255, "units a day; empty means 1")
    if restricted not in ("", "0", "1"):
        raise _WrongCell("Restricted Digit Mode", f"{_shown(restricted)} is neither 1 nor 0", "empty means 0")
    for column, text in ((header[6], model), (header[7], version)):
        if not text.isprintable():
            raise _WrongCell(column, "the text has control characters", "write it as plain text")
        if mask_secrets(text) != text:
            raise _WrongCell(column, "the text looks like a secret key", "are the cells in the right columns?")
    if re.fullmatch(r"[0-9]{0,20}", test_code) is None:
        raise _WrongCell("Test Code", f"{_shown(test_code)} is not 1 to 20 digits", "empty means that there is none")
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
    raise _WrongCell("Key", cause, "a key is 32 hexadecimal characters, 0-9 and a-f, without spaces")


def _number(column: str, cell: str, low: int, high: int, hint: str) -> int | None:
    """The number, None for an empty cell. Padding zeros are allowed up to nine digits."""
    if not cell:
        return None
    if re.fullmatch(r"[0-9]{1,9}", cell) and low <= int(cell) <= high:
        return int(cell)
    raise _WrongCell(column, f"{_shown(cell)} is not a whole number from {low} to {high}", hint)
