"""Actions leave by webhook: one POST a change, signed, in order, delivered until the other side has taken it.

Headers of a delivery: `X-Paygo-Delivery`, the change's key, the same at every attempt, for the receiver to know a
repetition; `X-Paygo-Timestamp`, seconds since 1970; `X-Paygo-Signature`, `sha256=` and the HMAC-SHA256 in hexadecimal,
under the shared secret, of the timestamp, a full stop and the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hw_bridge.actions import ActionStore, Change
from paygo_core.errors import NoAnswerError, PaygoError
from paygo_core.http_post import checked_host, post

SHORTEST_SECRET = 16
"""Characters."""
REFUSALS = frozenset({400, 404, 405, 409, 410, 413, 415, 422})
"""HTTP statuses that another attempt would not change."""


@dataclass(frozen=True)
class Webhook:
    """Where actions go. secret: shared with the receiver, at least 16 characters, or None for no signature."""

    url: str
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        checked_host(self.url)
        if self.secret is not None and len(self.secret) < SHORTEST_SECRET:
            raise PaygoError(
                f"the webhook's secret has {len(self.secret)} characters", f"it needs at least {SHORTEST_SECRET}"
            )

    @property
    def destination(self) -> str:
        """Its name where deliveries are tracked: the URL without user, password and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def send(self, change: Change) -> tuple[bool, bool, str]:
        """One attempt. Returns whether it was taken, whether it was refused for good, and a sentence."""
        body = json.dumps(change.to_json(), separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "X-Paygo-Delivery": change.key}
        headers["X-Paygo-Timestamp"] = timestamp = str(int(time.time()))
        if self.secret is not None:
            headers["X-Paygo-Signature"] = f"sha256={sign(self.secret, timestamp, body)}"
        try:
            status, _ = post(self.url, body, headers)
        except NoAnswerError as problem:
            return False, False, problem.cause
        return 200 <= status < 300, status in REFUSALS, f"answered {status}"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a delivery, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def deliver(store: ActionStore, webhook: Webhook) -> tuple[int, str]:
    """Delivers what is due, in order, up to the first that is not taken. Returns how many were, and why it stopped."""
    taken = 0
    while changes := store.undelivered(webhook.destination):
        for change in changes:
            delivered, refused, detail = webhook.send(change)
            store.note_delivery(change, webhook.destination, delivered=delivered, refused=refused, detail=detail)
            taken += delivered
            if not (delivered or refused):
                return taken, detail
    return taken, ""
