"""When the firmware sleeps through world time and what wakes it: the same for the PC's unit and those on chips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from firmware_sim.plant.home import Measured, SolarHome

STEP_MS = 10_000
"""The plant's step."""

NEVER_DUE_MS = 0xFFFFFFFF
WAKE_V = 0.025
WAKE_A = 0.02
WAKE_C = 1.0
"""Less than what the ADC of our board (ports/atmega328p) tells apart. Readings that are nearer than this to those that
the firmware saw last are the same: nothing changes before `world_due_ms`."""


class Sleeper(Protocol):
    """A unit, as far as its sleep goes. told: what its firmware saw last. world_due_ms: its output of that name."""

    home: SolarHome
    output: bool
    charge: bool
    target_v: float
    told: Measured
    world_due_ms: int


def wakes(unit: Sleeper, world_ms: int) -> Iterator[tuple[int, Measured]]:
    """Lets the plant go on, and yields what to step the firmware with: world time in ms, and readings.

    What was slept comes with the readings of before, in which nothing can have changed; the plant's step in which
    something did comes after it. The last one ends with `world_ms`.
    """
    slept = 0
    while True:
        step = min(world_ms, STEP_MS)
        if step:
            unit.home.step(step / 1000, output=unit.output, charge=unit.charge, target_v=unit.target_v)
        world_ms -= step
        longest = unit.world_due_ms
        if world_ms > 0 and slept + step < longest and _stays(unit.home.measured, unit.told):
            slept += step
            continue
        if slept:
            yield slept, unit.told
            slept = 0
        yield step, unit.home.measured
        if world_ms <= 0:
            return


def _stays(now: Measured, told: Measured) -> bool:
    return (
        abs(now.battery_v - told.battery_v) < WAKE_V
        and abs(now.panel_v - told.panel_v) < WAKE_V
        and abs(now.battery_a - told.battery_a) < WAKE_A
        and abs(now.panel_a - told.panel_a) < WAKE_A
        and abs(now.load_a - told.load_a) < WAKE_A
        and abs(now.temperature - told.temperature) < WAKE_C
        and abs(now.board_temperature - told.board_temperature) < WAKE_C
        and abs(now.battery_peak_v - told.battery_peak_v) < WAKE_V
        and abs(now.panel_peak_v - told.panel_peak_v) < WAKE_V
        and abs(now.output_peak_v - told.output_peak_v) < WAKE_V
        and abs(now.load_peak_a - told.load_peak_a) < WAKE_A
    )
