"""The revisions of the control board, by the name that a unit tells (law.h)."""

from __future__ import annotations

from typing import Literal

Board = Literal["legacy", "protected"]
BOARDS: tuple[Board, ...] = ("legacy", "protected")
"""In the order of `paygo_board`."""
