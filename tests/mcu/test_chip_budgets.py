"""The token core on emulated chips: what a step and a token take, with the codes and verdicts of the PC."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import pytest


def test_the_token_core_keeps_its_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("avr-gcc", "arm-none-eabi-gcc", "qemu-system-arm", "cc"):
        if shutil.which(command) is None:
            assert not os.environ.get("CI"), f"{command} is missing"
            pytest.skip(f"{command} is not installed")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "bench")
    rows = importlib.import_module("chip_budgets").rows()
    assert len(rows) == 18
    for row in rows:
        assert 0 <= row.measured <= row.budget, row.line()
