"""Many tokens made or judged at once, in numpy arrays: one path an instruction set, chosen at run time, and threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paygo_core._native import ffi, lib
from paygo_core.decoding import strip_token
from paygo_core.errors import PaygoError
from paygo_core.simd import SIMD, chosen_simd
from paygo_core.tokens import (
    COMMAND_VALUES,
    LARGEST_COUNT,
    LARGEST_EXTENDED_VALUE,
    LARGEST_STARTING_CODE,
    LARGEST_UNITS,
    DeviceConfig,
    TokenType,
    checked_flag,
    checked_int,
    form_of,
)

SLICE = 16_384
"""Jobs a thread takes at a time, at most."""
WORTH_A_THREAD = 1 << 18
"""Steps of chains: less work than this is done before a thread has started."""
WORTH_A_SLICE = 1 << 23
"""Steps of chains: less than a second, after which Ctrl-C is heard."""
MOST_THREADS = 1024

_RIGHT = {
    "starting codes": "1 to 999 999 999",
    "counts": f"0 to {LARGEST_COUNT}",
    "values": f"0 to {LARGEST_UNITS}, or to {LARGEST_EXTENDED_VALUE} where they are extended",
    "token types": "1 to 4",
    "floors": "0 to their counts",
    "used masks": "0 to 4294967295",
}


@dataclass(frozen=True)
class TokenBatch:
    """N tokens. tokens: uint64, as numbers; counts: uint32, the tokens' own counts (T10). Both of shape (N,)."""

    tokens: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class CheckedTokens:
    """tokens: uint64, as numbers; collides: whether another count within 80 gives the same one (T18). Shape (N,)."""

    tokens: npt.NDArray[np.uint64]
    collides: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DecodedBatch:
    """What N devices make of N tokens, each array of shape (N,), and their states afterwards.

    types: uint8, TokenType numbers. reasons: uint8, places in paygo_core.decoding.REASONS, 0 accepted. values (raw
    units, 998, 999) and counts: uint32, 0 where a token is INVALID. last_counts, floors, used_masks: uint32.
    """

    types: npt.NDArray[np.uint8]
    values: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    reasons: npt.NDArray[np.uint8]
    last_counts: npt.NDArray[np.uint32]
    floors: npt.NDArray[np.uint32]
    used_masks: npt.NDArray[np.uint32]

    @property
    def accepted(self) -> npt.NDArray[np.bool_]:
        """Which devices took their tokens, bool of shape (N,)."""
        return np.equal(self.reasons, 0)


def generate_tokens(
    secret_keys: Any,
    starting_codes: Any,
    counts: Any,
    values: Any,
    token_types: Any = TokenType.ADD_TIME,
    extended: bool = False,
    threads: int = 0,
) -> TokenBatch:
    """The tokens after N servers' counts, as generate_token makes them one by one.

    secret_keys: uint8 of shape (N, 16) or (16,). starting_codes, counts (the last used, 0 … 65 535), values (raw
    units) and token_types: integers of shape (N,), or scalars for all. values of unlock and sync are not looked at.
    Contiguous uint8 keys and uint32 columns are not copied. threads: up to 1024, 0 takes every core; the interpreter
    lock is free meanwhile. Raises PaygoError for the first job that cannot be made, by its number.
    """
    extended = checked_flag("extended", extended)
    keys = _keys(secret_keys)
    columns = {
        "starting code": _column("starting codes", starting_codes),
        "count": _column("counts", counts),
        "value": _column("values", values),
        "token type": _column("token types", token_types),
    }
    size = _size(keys, columns.values())
    starts, start, types = columns["starting code"], columns["count"], columns["token type"]
    largest = LARGEST_EXTENDED_VALUE if extended else LARGEST_UNITS
    _require("starting code", starts, (starts >= 1) & (starts <= LARGEST_STARTING_CODE), "1 to 999 999 999")
    _require("count", start, start <= LARGEST_COUNT, f"0 to {LARGEST_COUNT}")
    _require("token type", types, (types >= TokenType.ADD_TIME) & (types <= TokenType.COUNTER_SYNC), "1 to 4")
    carried = _carried_values(columns["value"], types)
    timed = types <= TokenType.SET_TIME
    allowed = (carried <= largest) & ~np.isin(carried, list(COMMAND_VALUES))
    _require("value", columns["value"], allowed | ~timed, f"0 to {largest}, but not 996 to 999")
    parity = (types != TokenType.ADD_TIME).astype(np.uint32)
    new_counts = np.broadcast_to(start + np.where(start % 2 == parity, 2, 1), (size,)).astype(np.uint32)
    _require("count", start, np.broadcast_to(new_counts <= LARGEST_COUNT, (size,)), "low enough for another token")
    tokens = np.empty(size, np.uint64)
    _run(keys, starts, new_counts, carried, tokens, None, extended, threads)
    return TokenBatch(tokens, new_counts)


def checked_tokens(
    secret_keys: Any, starting_codes: Any, counts: Any, values: Any, extended: bool = False, threads: int = 0
) -> CheckedTokens:
    """The tokens at exactly these counts, and whether each must not be issued, since another count gives it too (T18).

    Columns as for generate_tokens, but counts, 1 … 65 535, are the tokens' own, and values are what they carry: 998
    for an unlock, 999 for a sync. A job costs 160 steps more than its token. Raises PaygoError for the first job that
    cannot be made.
    """
    extended = checked_flag("extended", extended)
    keys = _keys(secret_keys)
    starts, own, carried = (
        _column(*named) for named in (("starting codes", starting_codes), ("counts", counts), ("values", values))
    )
    size = _size(keys, (starts, own, carried))
    largest = LARGEST_EXTENDED_VALUE if extended else 999
    _require("starting code", starts, (starts >= 1) & (starts <= LARGEST_STARTING_CODE), "1 to 999 999 999")
    _require("count", own, (own >= 1) & (own <= LARGEST_COUNT), f"1 to {LARGEST_COUNT}")
    allowed = (carried <= largest) & (carried != 996) & (carried != 997)
    _require("value", carried, allowed, f"0 to {largest}, but not 996 or 997")
    tokens, collides = np.empty(size, np.uint64), np.empty(size, np.bool_)
    # Chains of like length keep each other company: no lane waits for a longer one.
    order = np.argsort(np.broadcast_to(own, (size,)), kind="stable")
    keys = keys[order] if keys.ndim == 2 else keys
    starts, carried = (column[order] if column.ndim else column for column in (starts, carried))
    _run(keys, starts, np.broadcast_to(own, (size,))[order], carried, tokens, collides, extended, threads)
    back = np.empty_like(order)
    back[order] = np.arange(size)
    return CheckedTokens(tokens[back], collides[back])


def decode_tokens(
    secret_keys: Any,
    starting_codes: Any,
    tokens: Any,
    counts: Any,
    floors: Any = None,
    used_masks: Any = None,
    extended: bool = False,
    restricted_digit_sets: Any = False,
    max_jump: int = 64,
    max_sync_jump: int = 100,
    older_window: int = 16,
    max_count: int = LARGEST_COUNT,
    threads: int = 0,
) -> DecodedBatch:
    """What N devices make of N tokens, as decode_token tells it one by one.

    secret_keys, starting_codes: as for generate_tokens. tokens: texts, judged like any text, in a list or an array, or
    integers of shape (N,) whose form `extended` tells. counts, floors, used_masks: the states (T11), columns or one for
    all; floors None means the counts; bit i of a mask is the even count L - i, and others are cleared.
    restricted_digit_sets: bool, a column or one for all. The windows hold for all. threads: up to 1024, 0 takes every
    core; the interpreter lock is free meanwhile. Each job walks its chain alone. Raises PaygoError for columns that
    cannot be used.
    """
    extended = checked_flag("extended", extended)
    keys = _keys(secret_keys)
    starts, last = _column("starting codes", starting_codes), _column("counts", counts)
    floor = last if floors is None else _column("floors", floors)
    used = _column("used masks", 0 if used_masks is None else used_masks)
    restricted = _flags("restricted digit sets", restricted_digit_sets)
    judging = ffi.new("paygo_judging *")
    entered = _entries(judging, tokens, extended)
    size = _size(keys, (starts, last, floor, used, restricted, entered[0]))
    _require("starting code", starts, (starts >= 1) & (starts <= LARGEST_STARTING_CODE), "1 to 999 999 999")
    _require("count", last, last <= LARGEST_COUNT, f"0 to {LARGEST_COUNT}")
    _require("floor", floor, floor <= last, "0 to its count")
    judging.config = DeviceConfig(
        bytes(16),
        1,
        max_jump=max_jump,
        max_sync_jump=max_sync_jump,
        older_window=older_window,
        max_count=max_count,
    ).native[0]
    judged = DecodedBatch(
        types=np.empty(size, np.uint8),
        values=np.empty(size, np.uint32),
        counts=np.empty(size, np.uint32),
        reasons=np.empty(size, np.uint8),
        last_counts=np.array(np.broadcast_to(last, (size,))),
        floors=np.array(np.broadcast_to(floor, (size,))),
        used_masks=np.array(np.broadcast_to(used & _possible(last), (size,)), np.uint32),
    )
    held: list[Any] = list(entered)
    for name, column in (("keys", keys), ("starting_codes", starts), ("restricted", restricted.view(np.uint8))):
        held.append(_c_array(column))
        setattr(judging, name, held[-1])
    judging.key_stride = 16 if keys.ndim == 2 else 0
    judging.starting_code_stride, judging.restricted_stride = starts.ndim, restricted.ndim
    for name in ("types", "values", "counts", "reasons", "last_counts", "floors"):
        held.append(_c_array(getattr(judged, name)))
        setattr(judging, name, held[-1])
    judging.used = _c_array(judged.used_masks)
    steps = int(np.broadcast_to(last, (size,)).sum()) + size * int(judging.config.max_jump)
    _in_threads(lambda start, stop: lib.paygo_judge_run(judging, start, stop), size, steps, threads)
    return judged


def _entries(judging: Any, tokens: Any, extended: bool) -> tuple[Any, ...]:
    """Puts the tokens into `judging`. The first of what is returned has their number; all of it has to be kept."""
    width = int(lib.PAYGO_TEXT_WIDTH)
    judging.form = form_of(extended)
    listed = _texts(tokens)
    if listed is None:
        column = _array("tokens", tokens)
        if column.ndim != 1 or column.dtype.kind not in "iu":
            raise PaygoError(f"the tokens are {column.dtype} of shape {column.shape}", "tokens are texts or integers")
        if (column < 0).any():
            job = int(np.argmax(column < 0))
            raise PaygoError(f"the token of job {job} is below 0", "tokens are texts or integers")
        numbers = np.ascontiguousarray(column, np.uint64)
        judging.tokens = _c_array(numbers)
        return numbers, judging.tokens
    texts = [strip_token(token).encode("ascii", "replace")[:width] for token in listed]
    lengths = np.fromiter(map(len, texts), np.uint8, len(texts))
    padded = np.frombuffer(b"".join(text.ljust(width) for text in texts) or bytes(1), np.uint8)
    judging.texts, judging.lengths = ffi.cast("char *", _c_array(padded)), _c_array(lengths)
    return lengths, padded, judging.lengths


def _texts(tokens: Any) -> list[str] | None:
    """The tokens when they are texts, None when they are integers. Raises PaygoError that names the first wrong one."""
    if isinstance(tokens, np.ndarray):
        if np.ma.isMaskedArray(tokens) or tokens.ndim != 1 or tokens.dtype.kind not in "UO":
            return None
        tokens = tokens.tolist()
    elif isinstance(tokens, (str, bytes)) or not isinstance(tokens, Iterable):
        return None
    listed = list(tokens)
    of_text = any(isinstance(token, str) for token in listed)
    for job, token in enumerate(listed):
        good = isinstance(token, str) if of_text else hasattr(token, "__index__") and not isinstance(token, bool)
        if not good:
            hint = "tokens are texts or integers, all of the same kind"
            raise PaygoError(f"the token of job {job} is of type {type(token).__name__}", hint)
    return listed if of_text or not listed else None


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    """`values` as an array. A masked one is refused, since what is behind the mask would be taken."""
    if np.ma.isMaskedArray(values):
        raise PaygoError(f"the {name} are a masked array", "leave the masked jobs out of every column")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        raise PaygoError(f"the {name} cannot be made a column", f"{name} are one value for each job") from None


def _flags(name: str, values: Any) -> npt.NDArray[np.bool_]:
    column = _array(name, values)
    if column.dtype.kind not in "biu" or column.ndim > 1 or not np.isin(column, (0, 1)).all():
        raise PaygoError(f"the {name} are {column.dtype} of shape {column.shape}", f"{name} are bool of shape (N,)")
    return np.array(column, np.bool_, order="C")


def _possible(last: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """The bits of a used mask that can be set: the even counts from 1 to the last one (T11)."""
    even = np.where(last % 2, np.uint64(0xAAAAAAAA), np.uint64(0x55555555))
    below = (np.uint64(1) << np.minimum(last, 32).astype(np.uint64)) - np.uint64(1)
    possible: npt.NDArray[np.uint64] = even & below
    return possible


def _size(keys: npt.NDArray[np.uint8], columns: Iterable[npt.NDArray[Any]]) -> int:
    """The number of jobs: the rows of the columns, or one where every column is a value for all."""
    sizes = {len(column) for column in columns if column.ndim} | ({len(keys)} if keys.ndim == 2 else set())
    if len(sizes) > 1:
        raise PaygoError(f"the columns have {sorted(sizes)} rows", "every column has N rows or is one value for all")
    return sizes.pop() if sizes else 1


def _keys(secret_keys: Any) -> npt.NDArray[np.uint8]:
    if isinstance(secret_keys, (bytes, bytearray)):
        secret_keys = np.frombuffer(secret_keys, np.uint8)
    keys = _array("secret keys", secret_keys)
    if keys.dtype != np.uint8 or keys.shape[-1:] != (16,) or keys.ndim not in (1, 2):
        raise PaygoError(
            f"the secret keys are {keys.dtype} of shape {keys.shape}", "secret keys are uint8 of shape (N, 16) or (16,)"
        )
    return np.ascontiguousarray(keys)


def _column(name: str, values: Any) -> npt.NDArray[np.uint32]:
    column = _array(name, values)
    if column.dtype.kind not in "iu" or column.ndim > 1:
        raise PaygoError(f"the {name} are {column.dtype} of shape {column.shape}", f"{name} are integers of shape (N,)")
    outside = (column < 0) | (column > 0xFFFFFFFF)
    if outside.any():
        row = int(np.argmax(outside))
        raise PaygoError(f"row {row} of the {name} is out of range", f"{name} are {_RIGHT[name]}")
    return np.ascontiguousarray(column, np.uint32) if column.ndim else column.astype(np.uint32)


def _require(name: str, column: npt.NDArray[Any], good: Any, right: str) -> None:
    good = np.atleast_1d(good)
    if not good.all():
        row = int(np.argmin(good))
        value = int(np.broadcast_to(column, good.shape)[row])
        raise PaygoError(f"the {name} {value} of job {row} cannot be used", f"a {name} is {right}")


def _carried_values(values: npt.NDArray[np.uint32], types: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The values that the tokens carry: those of unlock and sync are their type's (T9)."""
    if (types <= TokenType.SET_TIME).all():
        return values
    carried = np.where(types == TokenType.DISABLE_PAYG, 998, np.where(types == TokenType.COUNTER_SYNC, 999, values))
    return np.ascontiguousarray(carried, np.uint32)


_C_TYPES = {1: "uint8_t[]", 4: "uint32_t[]", 8: "uint64_t[]"}


def _c_array(column: npt.NDArray[Any]) -> Any:
    """A contiguous column as C sees it, of unsigned integers of its width."""
    return ffi.from_buffer(_C_TYPES[column.itemsize], np.atleast_1d(column))


def _run(
    keys: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.uint32],
    counts: npt.NDArray[np.uint32],
    values: npt.NDArray[np.uint32],
    tokens: npt.NDArray[np.uint64],
    collides: npt.NDArray[np.bool_] | None,
    extended: bool,
    threads: int,
) -> None:
    """Fills `tokens`, and `collides` where it is wanted."""
    batch = ffi.new("paygo_batch *")
    batch.form = form_of(extended)
    held = [_c_array(column) for column in (starts, counts, values, keys, tokens)]
    batch.starting_codes, batch.counts, batch.values, batch.keys, batch.tokens = held
    batch.starting_code_stride = starts.ndim
    batch.count_stride = 1
    batch.value_stride = values.ndim
    batch.key_stride = 16 if keys.ndim == 2 else 0
    simd = SIMD[chosen_simd()]
    walk = lib.paygo_batch_run
    if collides is not None:
        walk = lib.paygo_batch_check
        batch.collides = ffi.from_buffer("bool[]", collides, require_writable=True)
        held.append(batch.collides)
    _in_threads(lambda start, stop: walk(batch, simd, start, stop), len(tokens), int(counts.sum()), threads)


def _in_threads(run: Callable[[int, int], None], size: int, steps: int, threads: int) -> None:
    """Runs jobs start … stop - 1 for all slices of 0 … size - 1, which walk `steps` in all."""
    wanted = checked_int("threads", threads, 0, MOST_THREADS) or os.cpu_count() or 1
    workers = min(wanted, size, max(1, steps // WORTH_A_THREAD))
    if workers <= 1:
        for start, stop in _slices(size, 1, steps):
            run(start, stop)
        return
    parts = iter(list(_slices(size, workers, steps)))

    def work() -> None:
        for start, stop in parts:
            run(start, stop)

    pool = ThreadPoolExecutor(workers)
    try:
        for future in [pool.submit(work) for _ in range(workers)]:
            future.result()
    finally:
        list(parts)  # after Ctrl-C nobody begins another part
        pool.shutdown()


def _slices(size: int, workers: int, steps: int) -> Iterator[tuple[int, int]]:
    """Parts for each worker several times, none so long that nobody could interrupt it."""
    step = min(SLICE, -(-size // (4 * workers)) if workers > 1 else size, size * WORTH_A_SLICE // max(1, steps))
    step = max(64, step) if workers == 1 else max(1, step)
    return ((at, min(at + step, size)) for at in range(0, size, step))
