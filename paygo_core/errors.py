"""What can go wrong, and the exit status that the shell makes of it."""

from __future__ import annotations

from decimal import Decimal


class Problem(Exception):
    """Anything that we foresaw.

    cause: one sentence that says what and where. hint: one that says what would be right, or empty. exit_status: what
    the shell makes of it.
    """

    exit_status = 1

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


def brief(value: object) -> str:
    """A wrong argument for an error: as it is when it is short, else only what it is, since it may be a secret key."""
    if isinstance(value, (str, bytes, bytearray)) and len(value) > 12:
        return f"a {type(value).__name__} of {len(value)} characters"
    if isinstance(value, int) and not -(10**12) < value < 10**12:
        return "an integer of more than twelve digits"
    if isinstance(value, (str, bytes)):
        return repr(value)
    if isinstance(value, (int, float)) or (isinstance(value, Decimal) and len(str(value)) <= 24):
        return str(value)
    return f"a {type(value).__name__}"


class PaygoError(Problem, ValueError):
    """A wrong argument, file or configuration. Exit status 2. It is a ValueError too."""

    exit_status = 2


class DeviceError(Problem):
    """The unit refused, answered nonsense, or failed a check. Exit status 1."""

    exit_status = 1


class PortError(Problem):
    """The port is missing, busy, denied, or vanished. Exit status 3."""

    exit_status = 3


class NoAnswerError(Problem):
    """The unit did not answer in time. Exit status 4."""

    exit_status = 4
