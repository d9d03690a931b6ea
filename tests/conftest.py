"""What a run of the tests says of this machine, and which tests run only when they are named."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)  # also for the processes of a run in the background

NEEDS_EMULATORS = Path(__file__).with_name("mcu")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test-mcu` names the tests on emulated chips; `make test` does without."""
    named = any(NEEDS_EMULATORS.name in Path(argument.split("::")[0]).parts for argument in config.args)
    return True if collection_path == NEEDS_EMULATORS and not named else None


def pytest_report_header() -> str:
    from paygo_core.simd import SIMD, available_simd

    paths = available_simd()
    missing = [name for name in SIMD if name not in paths]
    return f"batch paths tested here: {', '.join(paths)}; not on this machine: {', '.join(missing)}"
