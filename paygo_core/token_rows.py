"""Reads device lists that say what each device is to get: good rows as numpy columns, broken rows as sentences.

A block of well-formed rows is converted column by column. A block that is not is halved until the rows at fault stand
alone; those go through device_list, which says what is wrong with them.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from paygo_core._native import lib
from paygo_core.csv_rows import (
    LONGEST_LINE,
    MOST_BYTES,
    RowProblem,
    WrongCell,
    csv_line,
    next_line,
    quotes_are_whole,
    read_cells,
    read_number,
    shown,
    shown_serial,
)
from paygo_core.device_list import read_device, read_header
from paygo_core.errors import PaygoError
from paygo_core.redact import SHORTEST_SECRET, mask_secrets
from paygo_core.tokens import LARGEST_COUNT, LARGEST_STARTING_CODE, LARGEST_UNITS, TokenType, token_value

ORDER_COLUMNS = ("Type", "Value", "Days")
"""What a list may have besides the columns of a device list, anywhere in its header."""

BLOCK = 1 << 18
"""Bytes read at a time: some thousand rows, whose cells fit into a processor's cache."""
_FEW = 32
"""Rows that are looked at one by one, rather than halved again."""

_TYPES = {kind.name: kind for kind in TokenType if kind <= TokenType.COUNTER_SYNC}
_MILLION = 10**6
_NONE = -1


@dataclass(frozen=True)
class Order:
    """What a device is to get. value: raw units; days: at most six digits on either side of the point."""

    token_type: TokenType
    value: int | None = None
    days: Decimal | None = None


@dataclass(frozen=True)
class Rows:
    """The good rows of a block, in their order; arrays of shape (N,), keys (N, 16). raws: the lines, with the keys."""

    lines: Sequence[int]
    raws: list[bytes]
    serials: list[str]
    keys: npt.NDArray[np.uint8]
    starting_codes: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    restricted: npt.NDArray[np.bool_]
    types: npt.NDArray[np.uint32]
    values: npt.NDArray[np.uint32]
    test_codes: Sequence[str]

    def __repr__(self) -> str:
        return f"Rows({len(self.serials)})"


@dataclass(frozen=True)
class Block:
    """Some rows of a list. size: their bytes."""

    rows: list[Rows]
    problems: list[RowProblem]
    size: int


class _Row(NamedTuple):
    line: int
    raw: bytes
    serial: str
    key: bytes
    starting_code: int
    last_count: int
    restricted: bool
    token_type: int
    value: int
    test_code: str


class TokenList:
    """A device list with, for each row, what the device is to get: from an order for all, or from its columns.

    Raises PaygoError when its header is another one, or when columns and order contradict each other.
    """

    def __init__(self, file: str, stream: BinaryIO, order: Order | None) -> None:
        self.file, self._stream, self._order = file, stream, order
        line = next_line(file, stream, 1).removeprefix(b"\xef\xbb\xbf")
        self._places: dict[str, int] = {}
        self._device_places: list[int] = []
        names = self._split_header(line)
        self._device_header = read_header(file, csv_line(*names) if names else line)
        shown: list[str] = [""] * self._width
        for place, name in zip(self._device_places, self._device_header, strict=True):
            shown[place] = name
        for name, place in self._places.items():
            shown[place] = name
        self.header = tuple(shown)
        self._first_lines: dict[int, int] = {}
        if order is not None and self._places:
            found = ", ".join(self._places)
            raise PaygoError(
                f"{file}: the list has a column {found}, and options say what to issue", "leave out one of the two"
            )
        if order is None and not self._places:
            raise PaygoError(
                f"{file}: neither the list nor an option says what to issue",
                "give --add, --set, --unlock or --sync, or a list with the columns Type and Value or Days",
            )

    @property
    def _width(self) -> int:
        return len(self._device_places) + len(self._places)

    def _split_header(self, line: bytes) -> list[str]:
        """The names of the device list's columns; notes where they and the others are."""
        known = {name.casefold(): name for name in ORDER_COLUMNS}
        try:
            cells = read_cells(line.rstrip(b"\r\n")) if line.strip() else []
        except WrongCell:
            return []  # read_header says what is wrong
        for place, cell in enumerate(cells):
            name = known.get(cell.strip().casefold())
            if name is None:
                self._device_places.append(place)
            elif name in self._places:
                raise PaygoError(f"{self.file}, line 1: the column {name} is repeated", "each column stands once")
            else:
                self._places[name] = place
        return [cells[place] for place in self._device_places]

    def blocks(self) -> Iterator[Block]:
        """All rows, in the order of the file, with a bounded number of them in memory.

        What stays of each row is a hash of its serial, since a serial must not stand twice: about 110 bytes a row.
        """
        number, rest = 2, b""
        while read := self._read():
            data = rest + read
            end = data.rfind(b"\n")
            rest = data[end + 1 :]
            if len(rest) > MOST_BYTES:
                line = number + data.count(b"\n")
                raise PaygoError(
                    f"{self.file}, line {line} has no end within {MOST_BYTES} bytes", "this is not a device list"
                )
            if end >= 0:
                raws = data[:end].split(b"\n")
                yield self._block(number, raws, len(read))
                number += len(raws)
        if rest:
            yield self._block(number, [rest], 0)

    def _read(self) -> bytes:
        try:
            return self._stream.read(BLOCK)
        except OSError as error:
            raise PaygoError(f"{self.file}: {error.strerror}", "name a device list, a CSV file") from None

    def _block(self, number: int, raws: list[bytes], size: int) -> Block:
        block = Block([], [], size)
        lines: Sequence[int] = range(number, number + len(raws))
        if b"" in raws or b"\r" in raws:
            lines = [line for line, raw in zip(lines, raws, strict=True) if raw.strip()]
            raws = [raw for raw in raws if raw.strip()]
        self._divide(lines, raws, block)
        return block

    def _divide(self, lines: Sequence[int], raws: list[bytes], block: Block) -> None:
        if not raws:
            return
        rows = self._at_once(lines, raws)
        if rows is not None:
            block.rows.append(rows)
        elif len(raws) <= _FEW:
            self._one_by_one(lines, raws, block)
        else:
            half = len(raws) // 2
            self._divide(lines[:half], raws[:half], block)
            self._divide(lines[half:], raws[half:], block)

    def _one_by_one(self, lines: Sequence[int], raws: list[bytes], block: Block) -> None:
        rows: list[_Row] = []
        for line, full in zip(lines, raws, strict=True):
            raw = full.rstrip(b"\r\n")
            if not raw.strip():
                continue
            serial = ""
            try:
                cells = read_cells(raw)
                if len(cells) != self._width:
                    serial = shown_serial(cells[self._device_places[0]]) if len(cells) > self._device_places[0] else ""
                    raise WrongCell("", f"the row has {len(cells)} columns", f"the header has {self._width}")
                serial = shown_serial(cells[self._device_places[0]])
                rows.append(self._row(line, raw, cells))
            except WrongCell as wrong:
                block.problems.append(RowProblem(self.file, line, wrong.column, wrong.cause, wrong.hint, serial, raw))
        if rows:
            block.rows.append(_columns_of(rows))

    def _row(self, line: int, raw: bytes, cells: list[str]) -> _Row:
        own = [cells[place] for place in self._device_places]
        # The serials themselves would take too much memory: a million of them are remembered by their hashes.
        first_line = self._first_lines.setdefault(hash(own[0]), line)
        unit = read_device(self._device_header, own, line, raw, {own[0]: first_line})
        order = self._order or self._ordered(cells)
        config = unit.config
        try:
            value = token_value(config, order.token_type, order.value, order.days)
        except PaygoError as error:
            column = "Days" if order.days is not None else "Value"
            raise WrongCell(column if column in self._places else "", error.cause, error.hint) from None
        return _Row(
            line,
            raw,
            unit.serial,
            config.secret_key,
            config.starting_code,
            unit.count,
            config.restricted_digit_set,
            order.token_type,
            value,
            unit.test_code,
        )

    def _ordered(self, cells: list[str]) -> Order:
        """What the columns of a row say."""
        name, value, days = (cells[self._places[column]] if column in self._places else "" for column in ORDER_COLUMNS)
        if (name or "ADD_TIME") not in _TYPES:
            raise WrongCell("Type", f"{shown(name)} is not a token type", f"{', '.join(_TYPES)}; empty means ADD_TIME")
        if days and _micro_days(days) is None:
            hint = "days are 0 or more, with at most six digits on either side of a point"
            raise WrongCell("Days", f"{shown(days)} is not a number of days", hint)
        units = read_number("Value", value, 0, LARGEST_UNITS, "raw units")
        kind = _TYPES[name or "ADD_TIME"]
        amounts = [column for column in ("Value", "Days") if column in self._places]
        if kind <= TokenType.SET_TIME and not value and not days:
            cause = f"{kind.name} needs an amount, and there is none"
            hint = f"fill in {' or '.join(amounts)}" if amounts else "give the list a column Value (raw units) or Days"
            raise WrongCell(" and ".join(amounts) or "Type", cause, hint)
        if value and days:
            raise WrongCell("Value and Days", "both are filled in", "raw units or days, one of the two")
        return Order(kind, units, Decimal(days) if days else None)

    def _at_once(self, lines: Sequence[int], raws: list[bytes]) -> Rows | None:
        """The rows column by column, or None when any of them, or any two together, is not plainly good."""
        columns = _columns_of_text(raws, self._width)
        if columns is None:
            return None
        serial, code, key, count, divider, digit_set, *rest = (columns[place] for place in self._device_places)
        model, version, test_code = (*rest, ("",))[:3]
        if not _are_texts(serial, model, version) or not _are_digits(test_code, 20):
            return None
        keys = _keys(key)
        if keys is None:
            return None
        starts = _starting_codes(code, keys)
        counts = _by_text(count, lambda text: _small(text, 0, LARGEST_COUNT, 1))
        dividers = _by_text(divider, lambda text: _small(text, 1, 255, 1))
        restricted = _by_text(digit_set, {"": 0, "0": 0, "1": 1}.get)
        if starts is None or counts is None or dividers is None or restricted is None:
            return None
        ordered = self._orders(columns, dividers)
        if ordered is None or not self._are_new(serial, lines):
            return None
        return Rows(
            lines,
            raws,
            list(serial),
            keys,
            starts,
            counts.astype(np.uint32),
            restricted.astype(np.bool_),
            *ordered,
            test_code if test_code[0] or any(test_code) else [""] * len(raws),
        )

    def _orders(
        self, columns: Sequence[Sequence[str]], dividers: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]] | None:
        """The types, and the values that the tokens carry (T7 to T9)."""
        empty: Sequence[str] = ("",) * len(dividers)
        name, value, day = (columns[self._places[at]] if at in self._places else empty for at in ORDER_COLUMNS)
        size = len(dividers)
        if self._order is not None:
            types = np.full(size, int(self._order.token_type))
            units = np.full(size, _NONE if self._order.value is None else self._order.value)
            days = np.full(size, _NONE if self._order.days is None else int(self._order.days * _MILLION))
        else:
            named = _by_text(name, {"": TokenType.ADD_TIME, **_TYPES}.get)
            given = _by_text(value, lambda text: _small(text, 0, LARGEST_UNITS, _NONE))
            dated = _by_text(day, lambda text: _micro_days(text) if text else _NONE)
            if named is None or given is None or dated is None:
                return None
            types, units, days = named, given, dated
        commands = types >= TokenType.DISABLE_PAYG
        amounts = (units >= 0).astype(np.int64) + (days >= 0)
        if (amounts != np.where(commands, 0, 1)).any():
            return None
        units = np.where(days >= 0, (2 * days * dividers + _MILLION) // (2 * _MILLION), units)
        if (units > LARGEST_UNITS).any() or ((days > 0) & (units == 0)).any():
            return None
        values = np.where(commands, types + (998 - TokenType.DISABLE_PAYG), units)
        return types.astype(np.uint32), values.astype(np.uint32)

    def _are_new(self, serials: Sequence[str], lines: Sequence[int]) -> bool:
        """Notes the serials, unless one of them stood on an earlier line."""
        hashes = list(map(hash, serials))
        if len(set(hashes)) < len(hashes) or not self._first_lines.keys().isdisjoint(hashes):
            return False
        self._first_lines.update(zip(hashes, lines, strict=True))
        return True


def open_list(path: str | os.PathLike[str]) -> BinaryIO:
    """The file of a list, for reading. Raises PaygoError when it cannot be read."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise PaygoError(f"{os.fspath(path)}: {error.strerror}", "name a device list, a CSV file") from None


def _columns_of_text(raws: list[bytes], width: int) -> Sequence[Sequence[str]] | None:
    """The cells of rows by columns, or None when a row is not plainly one of `width` cells."""
    try:
        text = b"\n".join(raws).decode("utf-8")
    except UnicodeDecodeError:
        return None
    rows = text.split("\n")
    if max(map(len, rows)) > LONGEST_LINE or "\0" in text:
        return None
    if '"' not in text and "\r" not in text:  # then commas are all there is to it
        if set(map(str.count, rows, repeat(","))) != {width - 1}:
            return None
        cells = text.replace("\n", ",").split(",")
        return [cells[place::width] for place in range(width)]
    if not all(map(quotes_are_whole, rows)):
        return None
    try:
        table = list(csv.reader(rows, strict=True))
    except csv.Error:
        return None
    return list(zip(*table, strict=True)) if len(table) == len(raws) and set(map(len, table)) == {width} else None


def _columns_of(rows: list[_Row]) -> Rows:
    return Rows(
        [row.line for row in rows],
        [row.raw for row in rows],
        [row.serial for row in rows],
        np.frombuffer(b"".join(row.key for row in rows), np.uint8).reshape(-1, 16),
        np.array([row.starting_code for row in rows], np.uint32),
        np.array([row.last_count for row in rows], np.uint32),
        np.array([row.restricted for row in rows], np.bool_),
        np.array([row.token_type for row in rows], np.uint32),
        np.array([row.value for row in rows], np.uint32),
        [row.test_code for row in rows],
    )


def _are_texts(serials: Sequence[str], models: Sequence[str], versions: Sequence[str]) -> bool:
    """Whether serials are 1 to 64 printable characters, no space at either end, and no text looks secret."""
    joined = "".join(serials)
    longest = max(map(len, serials))
    if "" in serials or longest > 64 or (" " in joined and any(cell != cell.strip() for cell in serials)):
        return False
    others = {*models, *versions}
    if longest >= SHORTEST_SECRET:
        others.update(serials)
    return joined.isprintable() and all(text.isprintable() and mask_secrets(text) == text for text in others)


def _are_digits(cells: Sequence[str], most: int) -> bool:
    joined = "".join(cells)
    return not joined or (joined.isascii() and joined.isdecimal() and max(map(len, cells)) <= most)


def _keys(cells: Sequence[str]) -> npt.NDArray[np.uint8] | None:
    if set(map(len, cells)) != {32}:
        return None
    try:
        joined = bytes.fromhex("".join(cells))
    except ValueError:
        return None
    # Where spaces were skipped, bytes are missing.
    return np.frombuffer(joined, np.uint8).reshape(-1, 16) if len(joined) == 16 * len(cells) else None


def _starting_codes(cells: Sequence[str], keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32] | None:
    """An empty cell takes the code that follows from the key (T4)."""
    if not _are_digits(cells, 9):
        return None
    try:
        codes = np.array(list(map(int, cells)), np.uint32)
    except ValueError:
        own = (
            int(text) if text else lib.paygo_default_starting_code(bytes(key))
            for text, key in zip(cells, keys, strict=True)
        )
        codes = np.fromiter(own, np.uint32, len(cells))
    return codes if codes.min() >= 1 and codes.max() <= LARGEST_STARTING_CODE else None


def _by_text(cells: Sequence[str], convert: Any) -> npt.NDArray[np.int64] | None:
    """The numbers that cells stand for, each different text converted once; None when one stands for none."""
    numbers = {text: convert(text) for text in set(cells)}
    if None in numbers.values():
        return None
    if len(numbers) == 1:
        return np.full(len(cells), numbers[cells[0]], np.int64)
    return np.array(list(map(numbers.__getitem__, cells)), np.int64)


def _small(text: str, low: int, high: int, empty: int) -> int | None:
    """As device_list reads a number."""
    if not text:
        return empty
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and low <= int(text) <= high else None


def _micro_days(text: str) -> int | None:
    """Millionths of a day."""
    return int(Decimal(text) * _MILLION) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else None
