"""The chip sleeps through the same world time as the PC's firmware: two days in less than half of the frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sim_rig import HDK_SETUP, WEEK_2, ask, enter

from firmware_sim.mcu.build import starter
from firmware_sim.mcu.chip import Chip, Exchange
from firmware_sim.mcu.unit import EmulatedUnit
from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit

TWO_DAYS_MS = 48 * 3_600_000
FRAMES_AWAKE = TWO_DAYS_MS // 10_000


def counting(start: Callable[[bytes], Chip], frames: list[int]) -> Callable[[bytes], Chip]:
    """The same chips; `frames` gets the length of each frame's console bytes."""

    def started(image: bytes) -> Chip:
        chip = start(image)
        exchange = chip.exchange

        def counted(frame: bytes, console: bytes) -> Exchange:
            frames.append(len(console))
            return exchange(frame, console)

        chip.exchange = counted  # type: ignore[method-assign]
        return chip

    return started


def two_days(unit: SimulatedUnit | EmulatedUnit) -> bytes:
    assert ask(unit, HDK_SETUP[:40]) + ask(unit, HDK_SETUP[40:]) == b"#SETUP;OK\r\n"
    assert enter(unit, WEEK_2) == b"VALID;604800"
    unit.pass_time(TWO_DAYS_MS)
    return ask(unit, b"#TELEMETRY;\n") + ask(unit, b"#LOG;\n")


@pytest.mark.timeout(280)
def test_two_days_take_less_than_half_of_the_frames_and_end_as_on_the_pc(mcu: str) -> None:
    frames: list[int] = []
    on_the_pc = SimulatedUnit(Storage(), SolarHome())
    expected = two_days(on_the_pc)
    with EmulatedUnit(Storage(), SolarHome(), counting(starter(mcu), frames)) as unit:
        assert two_days(unit) == expected
        assert unit.storage.image == on_the_pc.storage.image
    assert len(frames) * 2 < FRAMES_AWAKE
