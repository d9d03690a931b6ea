"""The panel against pvlib's single-diode model, over every 36-cell module of the CEC's list."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from panel_error import errors, modules, month_errors


def test_a_panel_made_of_a_datasheet_gives_what_the_single_diode_model_gives() -> None:
    """Medians and 95th percentiles of 205 modules; at 14.4 V the knee is near and the curve counts most."""
    assert len(modules()) > 200
    for (light, volts), error in errors().items():
        size = np.abs(error)
        assert np.median(size) < (0.035 if volts > 14 else 0.015), (light, volts)
        assert np.quantile(size, 0.95) < (0.08 if volts > 14 else 0.05), (light, volts)


def test_a_month_s_charge_is_within_some_percent() -> None:
    error = month_errors()
    assert np.median(error) == pytest.approx(0, abs=0.01)
    assert np.quantile(np.abs(error), 0.95) < 0.04
