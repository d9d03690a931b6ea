"""The emulated chips: which there are here, and what their tests share with those of the PC's unit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "sim"), str(TESTS / "bridge")]


@pytest.fixture(scope="session", params=["avr", "cortex-m3"])
def mcu(request: pytest.FixtureRequest) -> str:
    """A chip for `--mcu`, its programs built. Skipped where a tool is missing; CI must have them all."""
    from firmware_sim.mcu.build import starter
    from paygo_core.errors import PaygoError

    try:
        starter(request.param)
    except PaygoError as error:
        if os.environ.get("CI") or "missing" not in error.cause:
            raise
        pytest.skip(f"{error.cause} ({error.hint})")
    return str(request.param)
