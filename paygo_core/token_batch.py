"""Issues the next token of every device of a list, from file to file, with the collision rule and little memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paygo_core._native import ffi, lib
from paygo_core.batch import checked_tokens
from paygo_core.csv_rows import RowProblem, csv_line, quarantine_line, shown_serial
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError
from paygo_core.token_rows import Block, Order, Rows, TokenList, open_list
from paygo_core.tokens import COMMAND_VALUES, LARGEST_COUNT, DeviceConfig, TokenType, checked_int, token_value

HEADER = ("Serial Number", "Token", "Grouped", "Count", "Type", "Value")
"""What is written. Value: raw units, 998 or 999. The grouped digits keep their zeros in a spreadsheet."""

_SPAN = 80
_WORKERS = os.cpu_count() or 1
_NAMES = [""] + [kind.name for kind in TokenType if kind <= TokenType.COUNTER_SYNC]


@dataclass(frozen=True)
class Summary:
    """How it went. moved: tokens that took a later count by the collision rule (T18). quarantine: the refused rows."""

    rows: int
    issued: int
    refused: int
    moved: int
    quarantine: Path | None


def _nothing(*_: Any) -> None:
    pass


def issue_list(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    order: Order | None = None,
    *,
    quarantine: str | os.PathLike[str] | None = None,
    max_count: int = LARGEST_COUNT,
    on_problem: Callable[[RowProblem], None] = _nothing,
    on_progress: Callable[[int], None] = _nothing,
) -> Summary:
    """Writes the next token of every device of the list `source` to `target`, in the same order.

    order: the same for every device; None where the list has the columns Type, Value or Days. No token is issued at a
    count where another count within 80 gives it too: the next of its parity is taken (T18). Refused rows go to
    `quarantine` (by default SOURCE.quarantine.csv, or the next free name), each with its line and the reason, and the
    rest goes on. Both files have mode 0600 and appear whole or not at all. on_progress is told bytes read. Of each row
    about 110 bytes stay in memory, to know a serial that stands twice.
    Raises PaygoError when a file or the header cannot be used.
    """
    read_from, write_to = Path(source), Path(os.path.realpath(target))
    refused_to = Path(quarantine) if quarantine is not None else Path(f"{read_from}.quarantine.csv")
    limit = checked_int("max count", max_count, 1, LARGEST_COUNT)
    if order is not None and order.days is None:
        token_value(DeviceConfig(bytes(16), 1), order.token_type, order.value, None)
    try:
        other = write_to.exists() and not write_to.is_file()
    except OSError as error:
        raise PaygoError(f"{write_to}: {error.strerror}", "name a file that can be written") from None
    if other:
        raise PaygoError(f"{write_to} is no regular file", "name another file for the tokens")
    if str(write_to) in (os.path.realpath(read_from), os.path.realpath(refused_to)):
        raise PaygoError(f"{write_to} is the list itself, or where refused rows go", "name another file for the tokens")
    issued = refused = moved = 0
    with ExitStack() as files:
        listed = TokenList(os.fspath(source), files.enter_context(open_list(read_from)), order)
        tokens = files.enter_context(Draft(write_to))
        tokens.write(csv_line(*HEADER) + b"\n")
        broken: Draft | None = None
        pool = files.enter_context(ThreadPoolExecutor(_WORKERS))
        for block, issuing in _ahead(pool, listed.blocks(), limit):
            problems = block.problems
            for rows, made in zip(block.rows, (future.result() for future in issuing), strict=True):
                tokens.write(_written(rows, made).encode("utf-8"))
                issued += int(made.good.sum())
                moved += made.moved
                problems += _without_count(listed.file, rows, made, limit)
            problems.sort(key=lambda problem: problem.line)
            for problem in problems:
                if broken is None:
                    broken = files.enter_context(Draft(refused_to))
                    broken.write(csv_line("Line", "Reason", *listed.header) + b"\n")
                broken.write(quarantine_line(problem))
                on_problem(problem)
            refused += len(problems)
            on_progress(block.size)
        kept = broken.publish_beside() if broken is not None else None
        tokens.publish()
    return Summary(issued + refused, issued, refused, moved, kept)


def _ahead(
    pool: ThreadPoolExecutor, blocks: Iterator[Block], max_count: int
) -> Iterator[tuple[Block, list[Future[_Issued]]]]:
    """The blocks in their order, with the chains of some walked while the next are read and the last are written."""
    waiting: deque[tuple[Block, list[Future[_Issued]]]] = deque()
    for block in blocks:
        waiting.append((block, [pool.submit(_issue, rows, max_count) for rows in block.rows]))
        if len(waiting) > 2 * _WORKERS:
            yield waiting.popleft()
    yield from waiting


@dataclass(frozen=True)
class _Issued:
    """tokens and counts of the rows, which have one at all, and which have none because their chain repeats itself."""

    tokens: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint32]
    good: npt.NDArray[np.bool_]
    repeating: npt.NDArray[np.bool_]
    moved: int


def _issue(rows: Rows, max_count: int) -> _Issued:
    """T10, T18. As by the registry, a unit's test code is never issued either."""
    odd = rows.types != TokenType.ADD_TIME
    counts = rows.counts + np.where(rows.counts % 2 == odd, np.uint32(2), np.uint32(1))
    tokens = np.zeros(len(counts), np.uint64)
    good = counts <= max_count
    left = np.flatnonzero(good)
    repeating = np.zeros(len(counts), np.bool_)
    first = counts.copy()
    while len(left):
        checked = checked_tokens(rows.keys[left], rows.starting_codes[left], counts[left], rows.values[left], threads=1)
        tokens[left] = checked.tokens
        left = left[checked.collides | _are_test_codes(rows, left, checked.tokens)]
        repeating[left] = [_repeats(rows, at, int(counts[at])) for at in left.tolist()]
        counts[left] += 2
        good[left] = (counts[left] <= max_count) & ~repeating[left]
        left = left[good[left]]
    return _Issued(tokens, counts, good, repeating, int(((counts != first) & good).sum()))


def _are_test_codes(rows: Rows, places: npt.NDArray[np.intp], tokens: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    same = np.zeros(len(places), np.bool_)
    if any(rows.test_codes):
        for restricted in (False, True):
            those = np.flatnonzero(rows.restricted[places] == restricted)
            if len(those):
                codes = [rows.test_codes[at].encode() for at in places[those].tolist()]
                digits = _digits(tokens[those], restricted)
                same[those] = digits.view(f"S{digits.shape[1]}").ravel() == np.array(codes)
    return same


def _repeats(rows: Rows, at: int, count: int) -> bool:
    """Whether the chain is in a circle of at most 80 codes, so that every later count collides too."""
    start, value = int(rows.starting_codes[at]), int(rows.values[at])
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, bytes(rows.keys[at]))
    code = start - start % 1000 + (start + value) % 1000
    for _ in range(count):
        code = lib.paygo_chain_next(key, lib.PAYGO_STANDARD, code)
    later = code
    for _ in range(_SPAN):
        later = lib.paygo_chain_next(key, lib.PAYGO_STANDARD, later)
        if later == code:
            return True
    return False


def _without_count(file: str, rows: Rows, made: _Issued, max_count: int) -> list[RowProblem]:
    problems = []
    for at in np.flatnonzero(~made.good).tolist():
        name, value, count = _NAMES[int(rows.types[at])], int(rows.values[at]), int(rows.counts[at])
        cause = f"no {name} count is left after {count}"
        hint = f"the last usable count is {max_count}; the device has to be given a new key"
        if made.repeating[at]:
            cause = f"after count {count} the tokens of the value {value} repeat themselves, so that none may be issued"
            hint = "another value has other tokens: take one more or less"
            if value in COMMAND_VALUES:
                hint = "the device has to be given a new key"
        serial = shown_serial(rows.serials[at])
        problems.append(RowProblem(file, rows.lines[at], "Count", cause, hint, serial, rows.raws[at].rstrip(b"\r\n")))
    return problems


def _written(rows: Rows, made: _Issued) -> str:
    """The rows of the result, as CSV."""
    cells = _token_cells(made.tokens, False)
    for at, cell in _restricted_cells(rows, made):
        cells[at] = cell
    serials = rows.serials
    joined = "".join(serials)
    if "," in joined or '"' in joined:
        serials = [csv_line(serial).decode("utf-8") for serial in serials]
    table = zip(serials, cells, made.counts.tolist(), rows.types.tolist(), rows.values.tolist(), strict=True)
    lines = [f"{serial},{cell},{count},{_NAMES[kind]},{value}\n" for serial, cell, count, kind, value in table]
    if not made.good.all():
        lines = [line for line, good in zip(lines, made.good.tolist(), strict=True) if good]
    return "".join(lines)


def _restricted_cells(rows: Rows, made: _Issued) -> Iterable[tuple[int, str]]:
    those = np.flatnonzero(rows.restricted)
    return zip(those.tolist(), _token_cells(made.tokens[those], True), strict=True)


def _token_cells(tokens: npt.NDArray[np.uint64], restricted: bool) -> list[str]:
    """The cells of each token, as digits and grouped by threes: 016609796,016 609 796 (T20, T21)."""
    plain = _digits(tokens, restricted)
    size = plain.shape[1]
    spaced = np.insert(plain, range(3, size, 3), ord(" "), axis=1)
    comma = np.full((len(plain), 1), ord(","), np.uint8)
    text = np.hstack((plain, comma, spaced)).tobytes().decode("ascii")
    width = size + 1 + spaced.shape[1]
    return [text[at : at + width] for at in range(0, len(text), width)]


def _digits(tokens: npt.NDArray[np.uint64], restricted: bool) -> npt.NDArray[np.uint8]:
    """Tokens as characters, of shape (N, 9) or (N, 15)."""
    numbers = tokens.astype(np.uint32)[:, None]
    if restricted:
        return ((numbers >> np.arange(28, -1, -2, dtype=np.uint32) & 3) + ord("1")).astype(np.uint8)
    tens = np.array([10**place for place in range(8, -1, -1)], np.uint32)
    return (numbers // tens % 10 + ord("0")).astype(np.uint8)
