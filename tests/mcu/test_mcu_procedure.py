"""The conformance kit on emulated chips, over the pty and the control socket, as on the PC's unit."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_conformance import kit_on_simulator, verdicts
from test_procedure import procedure_with_cuts, provisioned

OFFICIAL_COUNTS = 900


@pytest.mark.timeout(280)
def test_our_firmware_passes_the_official_procedure_on_the_chip(tmp_path: Path, mcu: str) -> None:
    outcome = kit_on_simulator(tmp_path, "--mcu", mcu, budget=OFFICIAL_COUNTS, only_official=True)
    assert verdicts(outcome, "failed") == {}
    assert verdicts(outcome, "not run") == {}


@pytest.mark.timeout(280)
def test_a_chip_that_is_cut_off_after_every_step_still_passes(tmp_path: Path, mcu: str) -> None:
    with provisioned(tmp_path, "--mcu", mcu) as (unit, control):
        assert procedure_with_cuts(unit, control) > 60
