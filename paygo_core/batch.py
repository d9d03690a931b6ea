"""Many tokens at once, from numpy arrays: one path an instruction set, chosen at run time, and threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paygo_core._native import ffi, lib
from paygo_core.errors import PaygoError
from paygo_core.tokens import (
    COMMAND_VALUES,
    LARGEST_COUNT,
    LARGEST_EXTENDED_VALUE,
    LARGEST_STARTING_CODE,
    LARGEST_UNITS,
    TokenType,
)

SIMD = {"scalar": 0, "neon": 1, "avx2": 2, "avx512": 3}
"""What PAYGO_SIMD may name, best last."""

SLICE = 16_384
"""Jobs a thread takes at a time."""


@dataclass(frozen=True)
class TokenBatch:
    """tokens: uint64, as numbers; counts: uint32, the tokens' own counts. Both of shape (N,)."""

    tokens: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint32]


def available_simd() -> list[str]:
    """The paths that this machine and this build have, best last."""
    return [name for name, number in SIMD.items() if lib.paygo_simd_available(number)]


def chosen_simd() -> str:
    """The path that is taken: what PAYGO_SIMD names, or the best. Raises PaygoError when it names none we have."""
    available = available_simd()
    forced = os.environ.get("PAYGO_SIMD")
    if not forced:
        return available[-1]
    if forced not in available:
        raise PaygoError(f"PAYGO_SIMD names {forced!r}", f"this machine has {', '.join(available)}")
    return forced


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
    Contiguous uint8 keys and uint32 columns are not copied. threads: 0 takes every core; the interpreter lock is free
    meanwhile. Raises PaygoError for the first job that cannot be made, by its number.
    """
    keys = _keys(secret_keys)
    columns = {
        "starting code": _column("starting codes", starting_codes),
        "count": _column("counts", counts),
        "value": _column("values", values),
        "token type": _column("token types", token_types),
    }
    sizes = {len(column) for column in columns.values() if column.ndim}
    sizes |= {len(keys)} if keys.ndim == 2 else set()
    if len(sizes) > 1:
        raise PaygoError(f"the columns have {sorted(sizes)} rows", "every column has N rows or is one value for all")
    size = sizes.pop() if sizes else 1
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
    _run(keys, starts, new_counts, carried, tokens, extended, threads)
    return TokenBatch(tokens, new_counts)


def _keys(secret_keys: Any) -> npt.NDArray[np.uint8]:
    if isinstance(secret_keys, (bytes, bytearray)):
        secret_keys = np.frombuffer(secret_keys, np.uint8)
    keys = np.asarray(secret_keys)
    if keys.dtype != np.uint8 or keys.shape[-1:] != (16,) or keys.ndim not in (1, 2):
        raise PaygoError(
            f"the secret keys are {keys.dtype} of shape {keys.shape}", "secret keys are uint8 of shape (N, 16) or (16,)"
        )
    return np.ascontiguousarray(keys)


def _column(name: str, values: Any) -> npt.NDArray[np.uint32]:
    column = np.asarray(values)
    if column.dtype.kind not in "iu" or column.ndim > 1:
        raise PaygoError(f"the {name} are {column.dtype} of shape {column.shape}", f"{name} are integers of shape (N,)")
    outside = (column < 0) | (column > 0xFFFFFFFF)
    if outside.any():
        row = int(np.argmax(outside))
        raise PaygoError(f"row {row} of the {name} is out of range", "numbers of jobs begin at 0")
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


def _run(
    keys: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.uint32],
    counts: npt.NDArray[np.uint32],
    values: npt.NDArray[np.uint32],
    tokens: npt.NDArray[np.uint64],
    extended: bool,
    threads: int,
) -> None:
    batch = ffi.new("paygo_batch *")
    batch.form = lib.PAYGO_EXTENDED if extended else lib.PAYGO_STANDARD
    held = [ffi.from_buffer("uint32_t[]", np.atleast_1d(column)) for column in (starts, counts, values)]
    held += [ffi.from_buffer("uint8_t[]", keys), ffi.from_buffer("uint64_t[]", tokens, require_writable=True)]
    batch.starting_codes, batch.counts, batch.values, batch.keys, batch.tokens = held
    batch.starting_code_stride = starts.ndim
    batch.count_stride = 1
    batch.value_stride = values.ndim
    batch.key_stride = 16 if keys.ndim == 2 else 0
    simd = SIMD[chosen_simd()]
    workers = threads or os.cpu_count() or 1
    if workers == 1 or len(tokens) <= SLICE // workers:
        lib.paygo_batch_run(batch, simd, 0, len(tokens))
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda part: lib.paygo_batch_run(batch, simd, *part), _slices(len(tokens), workers)))


def _slices(size: int, workers: int) -> Iterator[tuple[int, int]]:
    step = max(1, min(SLICE, -(-size // (4 * workers))))
    return ((at, min(at + step, size)) for at in range(0, size, step))
