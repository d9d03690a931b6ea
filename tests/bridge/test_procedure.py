"""A provisioned unit for the tests of the bridge, and the official procedure with power cut all the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw_bridge.conformance.catalogue import load
from hw_bridge.conformance.plan import Model, plan
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig
from paygo_core.device import Device

CONFIG = DeviceConfig.from_hex("bc41ec9530f6dac86b1a29ab82edc5fb", 516959010)
CUT_COSTS_S = 300


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


def procedure_with_cuts(unit: HdkDriver, control: ControlClient) -> int:
    """Goes through the official procedure with the power cut after every step; returns how many steps there were."""
    model = Model.at(CONFIG, 1)
    steps = 0
    for test in load():
        if not test.official:
            continue
        planned = plan(test, model, False)
        for move in planned.moves:
            control.advance(move.step.advance or 0)
            if move.verdict:
                assert unit.enter(move.digits).verdict == move.verdict, (test.id, move.step)
                steps += 1
            status = unit.status()
            if move.credit is None:
                assert status.seconds_left is None, test.id
            elif move.verdict == "accepted" and move.step.set is not None:
                assert status.seconds_left == move.credit, test.id
            control.power(False)
            control.power(True)
            unit.identify()
        model = planned.after
    return steps


def test_a_unit_that_is_cut_off_after_every_step_still_passes(tmp_path: Path) -> None:
    with provisioned(tmp_path) as (unit, control):
        assert procedure_with_cuts(unit, control) > 60
