"""Serves many simulated units, set up, on ptys of one process. Usage: gateway_units.py DIRECTORY COUNT.

Their ports are DIRECTORY/unit000 and so on. It says so in one line when they are ready, and ends with its standard
input.
World time passes as it is, wire time too.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
import tty
from contextlib import suppress
from pathlib import Path

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from paygo_core import DeviceConfig
from paygo_core.device import Device
from paygo_core.wire.hdk import encode_setup_plus

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
TICK_S = 0.5


def unit_on_pty(directory: Path, number: int) -> tuple[SimulatedUnit, int, int]:
    """A unit that is set up, its end of the wire, and the other end, which stays open for clients to come and go."""
    unit = SimulatedUnit(Storage(), SolarHome(start_hour=9.0), first_boot=number + 1)
    unit.feed(encode_setup_plus(Device(f"SLT{number:09}", DeviceConfig.from_hex(KEY, 123456789))))
    unit.pass_time(0)
    unit.take()
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    (directory / f"unit{number:03}").symlink_to(os.ttyname(slave))
    return unit, master, slave


def serve(directory: Path, count: int) -> None:
    """Until standard input ends."""
    units = [unit_on_pty(directory, number) for number in range(count)]
    print(f"{count} units in {directory}", flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        for unit, master, _ in units:
            selector.register(master, selectors.EVENT_READ, unit)
        last = time.monotonic()
        while True:
            for key, _ in selector.select(TICK_S):
                if key.data is None:
                    return
                key.data.feed(os.read(key.fd, 4096))
                key.data.pass_time(0)
                _say(key.data, key.fd)
            if (passed := time.monotonic() - last) >= TICK_S:
                last += passed
                for unit, master, _ in units:
                    unit.pass_time(round(passed * 1000), round(passed * 1000))
                    _say(unit, master)


def _say(unit: SimulatedUnit, master: int) -> None:
    if said := unit.take():
        with suppress(BlockingIOError):
            os.write(master, said)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
