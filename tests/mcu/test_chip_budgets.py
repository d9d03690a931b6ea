"""The token core on emulated chips: what a step and a token take. The whole firmware: whether it fits into its RAM."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import pytest

from firmware_sim.mcu.build import AVR_STANDARD


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


def test_a_unit_of_standard_tokens_fits_into_1_kb_with_its_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("avr-gcc") is None:
        assert not os.environ.get("CI"), "avr-gcc is missing"
        pytest.skip("avr-gcc is not installed")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "bench")
    name, _, flash, ram, stack, *_ = importlib.import_module("port_size").line(AVR_STANDARD).split()
    assert name == "avr-standard"
    assert int(ram) + int(stack) <= 1024
    assert 0 < int(flash) <= 20_480
