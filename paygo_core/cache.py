"""Checkpoints of chains, so that making and judging tokens costs the window instead of the count."""

from __future__ import annotations

import secrets
import threading
from typing import Any, NoReturn

from paygo_core._native import ffi, lib
from paygo_core.errors import PaygoError
from paygo_core.tokens import DeviceConfig, checked_int

LARGEST_CACHE = 1 << 24


class ChainCache:
    """A bounded table of checkpoints, for the `cache` of generate_token and decode_token.

    max_entries: chains remembered, one for each value of each device; a slot takes 32 bytes. It changes no verdict. It
    may be shared by threads: walks run outside its lock. It is not copied or pickled. Chains are named by a hash under
    a key of this object's own. Raises PaygoError when max_entries is not 1 … 2^24. len() tells how many checkpoints
    are held.
    """

    def __init__(self, max_entries: int = 4096) -> None:
        self.max_entries = checked_int("max entries", max_entries, 1, LARGEST_CACHE)
        self._slots = ffi.new("paygo_cache_slot[]", self.max_entries)
        self._cache = ffi.new("paygo_cache *", {"slots": self._slots, "size": self.max_entries})
        self._key = ffi.new("paygo_key *")
        lib.paygo_key_load(self._key, secrets.token_bytes(16))
        self._lock = threading.Lock()
        self._held = 0

    def __len__(self) -> int:
        """How many checkpoints are held."""
        return self._held

    def __reduce__(self) -> NoReturn:
        raise PaygoError("a cache cannot be copied or pickled", "share it, or make a new one")

    def chain(self, config: DeviceConfig, form: int, value: int) -> int:
        """The name of the chain of a value of a device, for this package alone."""
        words = (config.starting_code << 36 | value << 4 | form).to_bytes(16, "little")
        return int(lib.paygo_siphash24(self._key, config.secret_key + words, 32))

    def find(self, chain: int) -> Any:
        """A checkpoint of the chain, for this package alone; its count is 0 when there is none."""
        point = ffi.new("paygo_checkpoint *")
        with self._lock:
            point[0] = lib.paygo_cache_find(self._cache, chain)
        return point

    def keep(self, chain: int, point: Any) -> None:
        """Remembers a checkpoint, for this package alone."""
        with self._lock:
            self._held += lib.paygo_cache_keep(self._cache, chain, point)
