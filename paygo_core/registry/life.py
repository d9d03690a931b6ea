"""The states of a device's life: which may follow which, and what an issued token makes of them."""

from __future__ import annotations

from paygo_core.errors import PaygoError
from paygo_core.registry.schema import STATES, State
from paygo_core.tokens import Token, TokenType

_FOLLOWING: dict[str, tuple[State, ...]] = {
    "new": ("provisioned", "active", "unlocked", "repair", "retired"),
    "provisioned": ("active", "unlocked", "repair", "retired"),
    "active": ("provisioned", "unlocked", "repair", "retired"),
    "unlocked": ("provisioned", "active", "repair", "retired"),
    "repair": ("provisioned", "active", "unlocked", "retired"),
    "retired": ("repair",),
}
"""Nothing becomes new by being called so: a new key does that. What is retired comes back by way of the workshop."""


def check_change(serial: str, old: str, new: str) -> None:
    """Raises PaygoError when there is no state `new`, or a device that is `old` does not become it."""
    if new not in STATES:
        raise PaygoError(f"{new!r} is not a state", f"states are {', '.join(STATES)}")
    if new != old and new not in _FOLLOWING[old]:
        *most, last = _FOLLOWING[old]
        then = f"{', '.join(most)} or {last}" if most else last
        hint = f"what is {old} becomes {then}"
        if new == "new" and old != "retired":
            hint += "; a new key makes a device new: paygo device rekey"
        raise PaygoError(f"{serial} is {old} and cannot become {new}", hint)


def check_in_use(serial: str, state: str) -> None:
    """Raises PaygoError for a device that is retired: it gets no tokens and no keys."""
    if state == "retired":
        hint = f"if it comes back into use: paygo device state {serial} repair"
        raise PaygoError(f"{serial} is retired and gets nothing more", hint)


def state_after(state: str, token: Token, reason: str) -> str:
    """The state of a device once `token` was issued for it.

    The first time that is not a test makes a provisioned device active; the unlock makes it unlocked; setting the time
    of an unlocked one takes it back under PAYG (T29). Devices that are new, in repair or retired stay so.
    """
    if token.token_type is TokenType.DISABLE_PAYG and state in ("provisioned", "active"):
        return "unlocked"
    if token.token_type is TokenType.SET_TIME and state == "unlocked":
        return "active"
    if token.token_type in (TokenType.ADD_TIME, TokenType.SET_TIME) and token.value and reason != "test":
        return "active" if state == "provisioned" else state
    return state
