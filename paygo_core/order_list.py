"""Carries out a list of orders (CSV) from the registry: tokens to a file, broken rows to a quarantine file.

Every order has a reference, from its row or from the batch's name and its serial, and the registry carries out a
reference once. So a list that was interrupted, or is given again, comes out with the same tokens.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from paygo_core.csv_rows import (
    RowProblem,
    WrongCell,
    csv_line,
    next_line,
    read_cells,
    read_number,
    shown,
    shown_name,
    shown_serial,
)
from paygo_core.device_list import write_quarantine
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError
from paygo_core.redact import mask_secrets
from paygo_core.tokens import TokenType

if TYPE_CHECKING:
    from paygo_core.registry import Order, Registry

COLUMNS = ("Serial Number", "Type", "Value", "Days", "Reason", "Reference")
"""Of a list, in any order; only the serial has to be there. Others are not looked at."""
HEADER = ("Line", "Serial Number", "Token", "Grouped", "Count", "Type", "Value", "Reference")
"""What is written, one row a token; those of one order in the order in which they are to be entered."""

_TYPES = {kind.name: kind for kind in TokenType if kind <= TokenType.COUNTER_SYNC}
_SHORT = {"ADD": "ADD_TIME", "SET": "SET_TIME", "UNLOCK": "DISABLE_PAYG", "SYNC": "COUNTER_SYNC"}
_LARGEST_VALUE = 19_900
"""20 tokens of 995 units."""
_REASONS = ("payment", "bonus", "manual", "test")
_LONGEST_REFERENCE = 200


@dataclass(frozen=True)
class Given:
    """What holds for the orders of a list whose rows do not say it themselves. days, value: one of them or neither."""

    token_type: TokenType = TokenType.ADD_TIME
    value: int | None = None
    days: Decimal | None = None
    reason: str = "payment"
    batch: str = ""
    """The list's name, such as 2026-12: what makes an order of a row without a reference another than last month's."""


@dataclass
class Done:
    """How it went. repeated: orders that had been carried out before. quarantine: the refused rows."""

    orders: int = 0
    tokens: int = 0
    repeated: int = 0
    refused: int = 0
    unused: tuple[str, ...] = field(default_factory=tuple)
    quarantine: Path | None = None


def _nothing(*_: Any) -> None:
    pass


def carry_out_list(
    registry: Registry,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    given: Given,
    *,
    issued_by: str = "",
    dry_run: bool = False,
    quarantine: str | os.PathLike[str] | None = None,
    on_problem: Callable[[RowProblem], None] = _nothing,
    on_progress: Callable[[int], None] = _nothing,
) -> Done:
    """Issues what the list says and writes the tokens to `target`, in the order of the list.

    Both files have mode 0600 and appear whole or not at all. A broken row, or an order that the registry refuses, goes
    to `quarantine` (by default SOURCE.quarantine.csv, or the next free name) and the rest goes on. dry_run: the same,
    but nothing is recorded and the tokens must not be handed out. on_progress is told bytes read. Raises PaygoError
    when a file or the header cannot be used.
    """
    read_from, write_to = Path(source), Path(os.path.realpath(target))
    refused_to = Path(quarantine) if quarantine is not None else Path(f"{read_from}.quarantine.csv")
    if write_to.exists() and not write_to.is_file():
        raise PaygoError(f"{write_to} is no regular file", "name another file for the tokens")
    if str(write_to) in (os.path.realpath(read_from), os.path.realpath(refused_to)):
        raise PaygoError(f"{write_to} is the list itself, or where refused rows go", "name another file for the tokens")
    from paygo_core.registry import Refused

    with ExitStack() as files:
        try:
            stream = files.enter_context(open(read_from, "rb"))
        except OSError as error:
            raise PaygoError(f"{read_from}: {error.strerror}", "name a list of orders, a CSV file") from None
        listed = _OrderList(os.fspath(source), stream, given, on_progress)
        done = Done(unused=listed.unused)
        tokens = files.enter_context(Draft(write_to))
        tokens.write(csv_line(*HEADER) + b"\n")
        for answer in registry.issue_many(listed.orders(), issued_by=issued_by, dry_run=dry_run):
            row = listed.answered()
            if isinstance(answer, Refused):
                listed.problems.append(row.problem(listed.file, WrongCell("", answer.cause, answer.hint)))
            else:
                done.orders, done.repeated = done.orders + 1, done.repeated + answer.repeated
                for token in answer.tokens:
                    facts = (str(token.count), token.token_type.name, str(token.value), answer.reference)
                    tokens.write(csv_line(str(row.line), answer.serial, token.digits, token.grouped(), *facts) + b"\n")
                    done.tokens += 1
        listed.problems.sort(key=lambda problem: problem.line)
        for problem in listed.problems:
            on_problem(problem)
        done.refused = len(listed.problems)
        if listed.problems:
            done.quarantine = write_quarantine(refused_to, listed.header, listed.problems)
        tokens.publish()
    return done


@dataclass(frozen=True)
class _Row:
    line: int
    raw: bytes
    serial: str = ""

    def problem(self, file: str, wrong: WrongCell) -> RowProblem:
        return RowProblem(file, self.line, wrong.column, wrong.cause, wrong.hint, self.serial, self.raw)


class _OrderList:
    """The rows of a list as orders. `problems`: the broken ones so far."""

    def __init__(self, file: str, stream: BinaryIO, given: Given, on_progress: Callable[[int], None]) -> None:
        self.file, self._stream, self._given, self._on_progress = file, stream, given, on_progress
        self.problems: list[RowProblem] = []
        self._waiting: deque[_Row] = deque()
        self._times: dict[str, int] = {}
        line = self._next_line(1).removeprefix(b"\xef\xbb\xbf")
        try:
            self.header = tuple(read_cells(line.rstrip(b"\r\n"))) if line.strip() else ()
        except WrongCell as wrong:
            raise PaygoError(f"{file}, line 1: {wrong.cause}", wrong.hint) from None
        known = {name.casefold(): name for name in COLUMNS}
        self._places: dict[str, int] = {}
        unused = []
        for place, cell in enumerate(self.header):
            name = known.get(cell.strip().casefold())
            if name is None:
                unused.append(shown_name(cell.strip()))
            elif name in self._places:
                raise PaygoError(f"{file}, line 1: the column {name} is repeated", "each column stands once")
            else:
                self._places[name] = place
        self.unused = tuple(unused)
        self._check_header()

    def _check_header(self) -> None:
        right = f"the header has Serial Number and what is needed of {', '.join(COLUMNS[1:])}"
        if "Serial Number" not in self._places:
            raise PaygoError(f"{self.file}, line 1: there is no column Serial Number", right)
        amounts = {"Type", "Value", "Days"} & self._places.keys()
        said = self._given.days is not None or self._given.value is not None or not self._timed(self._given.token_type)
        if amounts and said:
            names = ", ".join(sorted(amounts))
            raise PaygoError(
                f"{self.file} has a column {names}, and options say what to issue", "leave out one of both"
            )
        if not amounts and not said:
            raise PaygoError(
                f"{self.file}: neither the list nor an option says what to issue",
                "give --add or --set, or a list with the columns Type and Value or Days",
            )
        if "Reference" not in self._places and not self._given.batch:
            raise PaygoError(
                f"{self.file} has no column Reference, so that it could be carried out twice",
                "give the list such a column, or a name of its own: --batch 2026-12",
            )

    @staticmethod
    def _timed(kind: TokenType) -> bool:
        return kind in (TokenType.ADD_TIME, TokenType.SET_TIME)

    def _next_line(self, number: int) -> bytes:
        try:
            line = next_line(self.file, self._stream, number)
        except OSError as error:
            raise PaygoError(f"{self.file}: {error.strerror}", "name a list of orders, a CSV file") from None
        self._on_progress(len(line))
        return line

    def orders(self) -> Iterator[Order]:
        """The orders of good rows. Each is to be taken back by `answered`, in the same order."""
        number = 1
        while line := self._next_line(number := number + 1):
            raw = line.rstrip(b"\r\n")
            if not raw.strip():
                continue
            serial = ""
            try:
                cells = read_cells(raw)
                if len(cells) != len(self.header):
                    raise WrongCell("", f"the row has {len(cells)} columns", f"the header has {len(self.header)}")
                serial = shown_serial(cells[self._places["Serial Number"]])
                order = self._order(cells)
            except WrongCell as wrong:
                self.problems.append(_Row(number, raw, serial).problem(self.file, wrong))
                continue
            self._waiting.append(_Row(number, raw, serial))
            yield order

    def answered(self) -> _Row:
        """The row of the next order that was carried out or refused."""
        return self._waiting.popleft()

    def _order(self, cells: list[str]) -> Order:
        from paygo_core.registry import Order

        given = self._given
        serial, name, value, days, reason, reference = (
            cells[self._places[column]].strip() if column in self._places else "" for column in COLUMNS
        )
        if not serial:
            raise WrongCell("Serial Number", "the serial is missing", "every order has one")
        if mask_secrets(serial) != serial:
            raise WrongCell(
                "Serial Number", "the serial looks like a secret key", "are the cells in the right columns?"
            )
        kind = given.token_type
        if name:
            found = _TYPES.get(_SHORT.get(name.upper(), name.upper()))
            if found is None:
                raise WrongCell("Type", f"{shown(name)} is no type", f"{', '.join(_SHORT)}; empty means ADD")
            kind = found
        if days and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", days) is None:
            hint = "days are 0 or more, with at most six digits on either side of a point"
            raise WrongCell("Days", f"{shown(days)} is not a number of days", hint)
        units = read_number("Value", value, 0, _LARGEST_VALUE, "raw units")
        if value and days:
            raise WrongCell("Value and Days", "both are filled in", "raw units or days, one of the two")
        amount: dict[str, Any] = {"value": given.value, "days": given.days}
        if value or days:
            amount = {"value": units, "days": Decimal(days) if days else None}
        if self._timed(kind) and amount == {"value": None, "days": None}:
            raise WrongCell("Value or Days", f"{kind.name} needs an amount, and there is none", "fill in one of both")
        if not self._timed(kind) and (value or days):
            raise WrongCell("Value or Days", f"{kind.name} has no amount", "leave the cell empty")
        if reason and reason not in _REASONS:
            raise WrongCell("Reason", f"{shown(reason)} is no reason", f"{', '.join(_REASONS)}; empty means the option")
        why: Any = reason or given.reason
        return Order(serial, kind, reason=why, reference=self._reference(serial, reference), **amount)

    def _reference(self, serial: str, cell: str) -> str:
        if not cell and not self._given.batch:
            raise WrongCell("Reference", "the reference is missing", "every order has one, or give the list a --batch")
        times = 0 if cell else self._times.get(serial, 0) + 1
        if times:
            self._times[serial] = times
        reference = cell or f"{self._given.batch}/{serial}" + (f"/{times}" if times > 1 else "")
        if len(reference) > _LONGEST_REFERENCE or not reference.isprintable():
            hint = f"a reference is up to {_LONGEST_REFERENCE} printable characters"
            raise WrongCell("Reference", "the reference cannot be used", hint)
        return reference
