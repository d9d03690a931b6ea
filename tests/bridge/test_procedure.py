"""The official test procedure, over the wire, against our unit and against units broken on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hw_bridge.conformance.procedure import TokenServer, load, run_step
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.errors import DeviceError

CONFIG = DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010)


@contextmanager
def provisioned(
    directory: Path, *options: str, config: DeviceConfig = CONFIG
) -> Iterator[tuple[HdkDriver, ControlClient]]:
    """A unit set up at count 1, on its port and its control socket."""
    with (
        simulated_unit(directory, *options) as running,
        ControlClient(running.control) as control,
        Transport(running.port) as transport,
    ):
        unit = HdkDriver(transport)
        unit.provision(Device("SLT220000001", config))
        yield unit, control


def run_procedure(unit: HdkDriver, control: ControlClient, config: DeviceConfig = CONFIG) -> list[str]:
    """Runs every step; returns the ids of those that passed."""
    server = TokenServer(config, 1)
    passed = []
    for step in load():
        run_step(step, unit, server.token_for(step))
        control.advance(step.then_hours * 3600)
        passed.append(step.id)
    return passed


def test_the_procedure_has_every_step_of_the_official_one() -> None:
    ids = [step.id for step in load()]
    assert len(ids) == len(set(ids))
    official = ["G1", "G2", "G3", "G4A", "G4B", "G5", "G6", "G7A", "G7B", "G7C"]
    official += [f"G8{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTU"]
    official += ["G9", "G10", "G11A", "G11B", "G12A", "G12B", "U1A", "U1B", "U1C", "U1D", "U2A", "U2B", "U2C"]
    official += ["U3A-even", "U3B-even", "U3A-odd", "U3B-odd"]
    assert [id_ for id_ in ids if id_ in official] == official
    assert {"X1A-again", "X1E-again", "X2"} <= set(ids)


def test_our_unit_passes_the_official_procedure(tmp_path: Path) -> None:
    with provisioned(tmp_path) as (unit, control):
        assert run_procedure(unit, control) == [step.id for step in load()]


def test_a_restricted_unit_passes_it_too(tmp_path: Path) -> None:
    config = DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010, restricted_digit_set=True)
    with provisioned(tmp_path, config=config) as (unit, control):
        server = TokenServer(config, 1)
        for step in load()[1:]:  # the literal of G1 is a number that this keypad cannot type
            run_step(step, unit, server.token_for(step))
            control.advance(step.then_hours * 3600)


def test_a_unit_that_takes_replays_fails_at_the_first_replay(tmp_path: Path) -> None:
    with provisioned(tmp_path, "--sabotage", "replay") as (unit, control), pytest.raises(DeviceError, match=r"^G4A: "):
        run_procedure(unit, control)


def test_a_unit_that_is_cut_off_after_every_step_still_passes(tmp_path: Path) -> None:
    with provisioned(tmp_path) as (unit, control):
        server = TokenServer(CONFIG, 1)
        for step in load():
            run_step(step, unit, server.token_for(step))
            control.advance(step.then_hours * 3600)
            control.power(False)
            control.power(True)
            unit.identify()
