"""One HTTP POST: a deadline, a bounded answer, no redirect followed, and nothing of the URL's secrets in an error."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from paygo_core.errors import NoAnswerError, PaygoError

SECONDS = 10.0
LONGEST_ANSWER = 65_536
"""Bytes; what comes beyond is not read."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def post(url: str, body: bytes, headers: dict[str, str], seconds: float = SECONDS) -> tuple[int, bytes]:
    """Status and answer. Raises NoAnswerError when there is none in time, PaygoError when the URL is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PaygoError("the address to post to is no URL", "it is http://host/path or https://host/path")
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            return answer.status, answer.read(LONGEST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(LONGEST_ANSWER)
    except (OSError, HTTPException) as error:  # URLError is an OSError
        why = getattr(error, "reason", error)
        raise NoAnswerError(f"{parts.hostname} does not answer: {why}", "is it up, and is the address right?") from None
