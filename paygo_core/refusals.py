"""Tells whoever waits of the rows that were refused: the first of them, and then how many more there were."""

from __future__ import annotations

from types import TracebackType

from paygo_core.shell import note


class Refusals:
    """Is told each refused row, shows the first `most`, and at the end of its `with` block counts the others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._told = 0

    def __call__(self, problem: object) -> None:
        self._told += 1
        if self._told <= self._most:
            note(f"paygo: {problem}")

    def __enter__(self) -> Refusals:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._told > self._most:
            note(f"paygo: {self._told - self._most} more rows were refused")
