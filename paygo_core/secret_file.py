"""Secrets from files: the first line, of a bounded length."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from paygo_core.errors import PaygoError

LONGEST = 4096
"""Characters."""


def first_line(name: str, what: str, shown: str | None = None, *, stdin: bool = False) -> str:
    """The first line of a file, which is a `what`. Raises PaygoError when it cannot be read or is empty.

    shown: what the file is called in an error, its name if not given. stdin: - is standard input.
    """
    shown = shown or name
    try:
        with nullcontext(sys.stdin) if stdin and name == "-" else Path(name).open(encoding="utf-8") as file:
            text = file.readline(LONGEST).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PaygoError(f"{shown} cannot be read: {why}", f"its first line is the {what}") from None
    if not text:
        raise PaygoError(f"{shown} is empty", f"its first line is the {what}")
    return text
