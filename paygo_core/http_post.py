"""One HTTP POST: a deadline, a bounded answer, no redirect followed, and nothing of the URL's secrets in an error."""

from __future__ import annotations

import time
import urllib.request
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from paygo_core.errors import NoAnswerError, PaygoError

SECONDS = 10.0
LONGEST_ANSWER = 65_536
"""Bytes; what comes beyond is not read."""


def _opener() -> urllib.request.OpenerDirector:
    """urllib's, but without what follows a redirect: it is an answer, whatever address it names."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _opener()


def post(url: str, body: bytes, headers: dict[str, str], seconds: float = SECONDS) -> tuple[int, bytes]:
    """Status and answer. Raises NoAnswerError when there is none in time, PaygoError when the URL is none.

    seconds: for the answer's body, and for each wait before it.
    """
    host = checked_host(url)
    until = time.monotonic() + seconds
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310
    try:
        try:
            answer: Any = _OPENER.open(request, timeout=seconds)
        except HTTPError as error:
            answer = error
        with answer:
            return answer.status, _read(answer, answer.headers.get("Content-Length", ""), until)
    except HTTPException as error:  # its text may have parts of the URL
        kind = type(error).__name__
        raise NoAnswerError(f"{host} does not answer in HTTP ({kind})", "is the address right?") from None
    except OSError as error:  # URLError is one
        why = getattr(error, "reason", error)
        raise NoAnswerError(f"{host} does not answer: {why}", "is it up, and is the address right?") from None


def checked_host(url: str) -> str:
    """The host of a URL that can be posted to. Raises PaygoError for any other."""
    hint = "it is http://host/path or https://host/path, without a name or password in it"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # as it is looked up: no part may be empty or too long
    except ValueError:
        raise PaygoError("the address to post to is no URL", hint) from None
    plain = url.isascii() and url.isprintable() and " " not in url and parts.username is None and parts.password is None
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise PaygoError("the address to post to is no URL", hint)
    return host


def _read(answer: IO[bytes], length: str, until: float) -> bytes:
    """All of it, up to LONGEST_ANSWER. Raises OSError when it ends too soon or takes too long."""
    data = b""
    while len(data) < LONGEST_ANSWER and (piece := answer.read1(LONGEST_ANSWER - len(data))):  # type: ignore[attr-defined]
        data += piece
        if time.monotonic() > until:
            raise TimeoutError("its answer takes too long")
    if length.isdecimal() and len(data) < min(int(length), LONGEST_ANSWER):
        raise ConnectionError("its answer is cut off")
    return data
