"""Many tokens at exact counts, with the collision rule, by the C batch; without numpy, which no registry needs."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from paygo_core._native import ffi, lib
from paygo_core.simd import SIMD, chosen_simd
from paygo_core.tokens import form_of

_UINT32, _UINT64 = "I", "Q"
assert (array(_UINT32).itemsize, array(_UINT64).itemsize) == (4, 8)


def checked_digits(
    secret_keys: bytes,
    starting_codes: Sequence[int],
    counts: Sequence[int],
    values: Sequence[int],
    restricted: Sequence[bool],
) -> list[str]:
    """The digits of the token of each job, as generate_token makes them; empty where T18 forbids the count.

    secret_keys: 16 bytes a job. counts: the tokens' own. values: 0 … 995. All in range: this is not for callers' data.
    """
    size = len(counts)
    columns = [array(_UINT32, column) for column in (starting_codes, counts, values)]
    tokens, collides = array(_UINT64, bytes(8 * size)), bytearray(size)
    batch = ffi.new("paygo_batch *")
    batch.form = form_of(False)
    held = [ffi.from_buffer("uint32_t[]", column) for column in columns]
    held += [ffi.from_buffer("uint8_t[]", secret_keys), ffi.from_buffer("uint64_t[]", tokens)]
    held += [ffi.from_buffer("bool[]", collides)]
    batch.starting_codes, batch.counts, batch.values, batch.keys, batch.tokens, batch.collides = held
    batch.starting_code_stride = batch.count_stride = batch.value_stride = 1
    batch.key_stride = 16
    lib.paygo_batch_check(batch, SIMD[chosen_simd()], 0, size)
    digits = ["%09d" % token for token in tokens]  # noqa: UP031  # half of an f-string's time
    if any(restricted):
        digits = [_in_four(token) if few else text for token, few, text in zip(tokens, restricted, digits, strict=True)]
    if any(collides):
        digits = ["" if bad else text for bad, text in zip(collides, digits, strict=True)]
    return digits


def _in_four(token: int) -> str:
    """T21: two bits a digit, most significant first, plus one."""
    return "".join([str((token >> shift & 3) + 1) for shift in range(28, -1, -2)])
