"""The official test procedure on emulated chips, over the pty and the control socket, as on the PC's unit."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_procedure import CONFIG, provisioned, run_procedure

from hw_bridge.conformance.procedure import TokenServer, load, run_step


@pytest.mark.timeout(280)
def test_our_firmware_passes_on_the_chip(tmp_path: Path, mcu: str) -> None:
    with provisioned(tmp_path, "--mcu", mcu) as (unit, control):
        assert run_procedure(unit, control) == [step.id for step in load()]


@pytest.mark.timeout(280)
def test_a_chip_that_is_cut_off_after_every_step_still_passes(tmp_path: Path, mcu: str) -> None:
    with provisioned(tmp_path, "--mcu", mcu) as (unit, control):
        server = TokenServer(CONFIG, 1)
        for step in load():
            run_step(step, unit, server.token_for(step))
            control.advance(step.then_hours * 3600)
            control.power(False)
            control.power(True)
            unit.identify()
