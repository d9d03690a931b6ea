"""Which devices exist, their keys and their counts."""

from paygo_core.registry.factory import Claim, Factory
from paygo_core.registry.issuing import find_count, next_sync, next_token, next_tokens
from paygo_core.registry.schema import ISSUE_REASONS, NOTE_KINDS, STATES, IssueReason, NoteKind, State
from paygo_core.registry.spending import Order, Refused
from paygo_core.registry.store import (
    Conflict,
    ImportResult,
    IssuedBatch,
    IssuedToken,
    Note,
    RegisteredDevice,
    Registry,
)
from paygo_core.registry.trouble import RegistryUnavailableError

__all__ = [
    "ISSUE_REASONS",
    "NOTE_KINDS",
    "STATES",
    "Claim",
    "Conflict",
    "Factory",
    "ImportResult",
    "IssueReason",
    "IssuedBatch",
    "IssuedToken",
    "Note",
    "NoteKind",
    "Order",
    "Refused",
    "RegisteredDevice",
    "Registry",
    "RegistryUnavailableError",
    "State",
    "find_count",
    "next_sync",
    "next_token",
    "next_tokens",
]
