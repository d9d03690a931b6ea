"""The PAYG brain of a control unit, the same C that runs in firmware: waits, counts, credit and unlock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from paygo_core._native import ffi, lib
from paygo_core.decoding import REASONS, DecoderState, Reason
from paygo_core.errors import PaygoError
from paygo_core.tokens import LARGEST_COUNT, DeviceConfig, TokenType, checked_config, checked_flag, checked_int

STORED_BYTES = 36
LARGEST_TIME = 2**32 - 1
"""Seconds."""
LARGEST_AHEAD = 2**32 - 1
"""Seconds."""


@dataclass(frozen=True)
class Answer:
    """What a unit says to an entry.

    token_type, reason, value and count as in Decoded; reason WAITING means that the entry was not looked at (T35).
    wait_seconds: until the next entry is, 0 when no wait runs (T32, T33). seconds_left: credit afterwards, None when
    the unit is unlocked for good (T29).
    """

    token_type: TokenType
    reason: Reason
    value: int | None
    count: int | None
    wait_seconds: int
    seconds_left: int | None


class PaygUnit:
    """A unit's credit and what it remembers of tokens.

    count: the one that the unit is provisioned at, 0 … 65 535 (T11). strict_waits: a wait from the first wrong entry on
    (T33) instead of the third (T32). `now` is in whole seconds, 0 … 2^32 - 1, of a clock that never goes back; a value
    below an earlier one counts as that one (T36). A unit is not copied or pickled: to_bytes and from_bytes do it.
    Raises PaygoError for wrong arguments.
    """

    def __init__(self, config: DeviceConfig, count: int = 1, *, strict_waits: bool = False) -> None:
        first = checked_int("count", count, 0, LARGEST_COUNT)
        self._config = ffi.new("paygo_config *", checked_config(config).native[0])
        self._config.strict_waits = checked_flag("strict waits", strict_waits)
        self._unit = ffi.new("paygo_unit *")
        lib.paygo_unit_init(self._unit, first)

    def __reduce__(self) -> NoReturn:
        raise PaygoError(
            "a unit cannot be copied or pickled", "keep its to_bytes(); PaygUnit.from_bytes makes another one of them"
        )

    def enter(self, token: str, now: int) -> Answer:
        """Judges an entry at `now` and applies it (T22, T26 to T35).

        token: exactly the digits of the unit's own digit set; any other text is an answer too. Store the unit before
        acting on the answer.
        """
        if not isinstance(token, str):
            raise PaygoError(
                f"the token is of type {type(token).__name__}", "a token is text, since its leading zeros count"
            )
        text = token.encode("ascii", "replace")
        at = checked_int("now", now, 0, LARGEST_TIME)
        answer = lib.paygo_unit_enter(self._unit, self._config, at, text, len(text))
        verdict = answer.verdict
        token_type = TokenType(verdict.type)
        known = token_type is not TokenType.INVALID
        return Answer(
            token_type,
            REASONS[verdict.reason],
            int(verdict.value) if known else None,
            int(verdict.count) if known else None,
            int(answer.wait_seconds),
            self.seconds_left,
        )

    def tick(self, now: int) -> None:
        """Moves the clock on to `now`."""
        lib.paygo_unit_tick(self._unit, checked_int("now", now, 0, LARGEST_TIME))

    @property
    def active(self) -> bool:
        """Whether the customer may have light, by credit or unlock alone (T26 to T31)."""
        return bool(lib.paygo_unit_active(self._unit))

    @property
    def unlocked(self) -> bool:
        """Whether PAYG is disabled for good (T29)."""
        return bool(self._unit.unlocked)

    @property
    def seconds_left(self) -> int | None:
        """Credit in seconds, None when unlocked."""
        return None if self.unlocked else int(lib.paygo_unit_seconds_left(self._unit))

    @property
    def wait_left(self) -> int:
        """Seconds until an entry is looked at again, 0 when no wait runs."""
        return int(lib.paygo_unit_wait_left(self._unit))

    @property
    def clock(self) -> int:
        """The latest time that it was told, or the one that it woke up at, in seconds."""
        return int(self._unit.clock)

    @property
    def wrong_entries(self) -> int:
        """INVALID entries in a row, held at 255 (T32, T34)."""
        return int(self._unit.wrong_entries)

    @property
    def state(self) -> DecoderState:
        """What the unit remembers of tokens (T11)."""
        window = self._unit.window
        return DecoderState.from_native(window.count, window.floor, window.used)

    def to_bytes(self, ahead: int = 0) -> bytes:
        """The unit as it shall wake up, in 36 bytes.

        Its clock is `ahead` seconds on (0 … 2^32 - 1), what is left of a wait unshortened (T36).
        """
        stored = ffi.new(f"uint8_t[{STORED_BYTES}]")
        lib.paygo_unit_store(self._unit, checked_int("ahead", ahead, 0, LARGEST_AHEAD), stored)
        return bytes(ffi.buffer(stored))

    @classmethod
    def from_bytes(cls, config: DeviceConfig, stored: bytes, *, strict_waits: bool = False) -> PaygUnit:
        """A unit from the 36 bytes of to_bytes. Raises PaygoError when they cannot be one."""
        unit = cls(config, strict_waits=strict_waits)
        kept = bytes(stored) if isinstance(stored, (bytes, bytearray, memoryview)) else b""
        if len(kept) != STORED_BYTES or not lib.paygo_unit_load(unit._unit, kept):
            raise PaygoError("these bytes are not a stored unit", f"PaygUnit.to_bytes gives {STORED_BYTES} bytes")
        return unit
