"""What a run of the tests says of this machine."""

from __future__ import annotations


def pytest_report_header() -> str:
    from paygo_core.batch import SIMD, available_simd

    paths = available_simd()
    missing = [name for name in SIMD if name not in paths]
    return f"batch paths tested here: {', '.join(paths)}; not on this machine: {', '.join(missing)}"
