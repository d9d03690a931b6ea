"""A whole run: who the unit is, its counts, its results on disk as they come, and its end whatever happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hw_bridge.charger_payg import BrainStore, ChargerPayg
from hw_bridge.conformance import results
from hw_bridge.conformance.catalogue import Test
from hw_bridge.conformance.hands import Hands, Power, Wire
from hw_bridge.conformance.results import Result, Run
from hw_bridge.conformance.rig import Place
from hw_bridge.conformance.runner import BUDGET, Counts, Runner
from hw_bridge.drivers import Info, capabilities, load_driver, usual_baud
from hw_bridge.simulated import ControlClient
from hw_bridge.transport import Transport
from paygo_core.csv_rows import csv_line
from paygo_core.device import Device
from paygo_core.device_list import TEMPLATE_HEADER
from paygo_core.draft import Draft
from paygo_core.errors import DeviceError, PaygoError


@dataclass(frozen=True)
class Rig:
    """What belongs together on the bench.

    port; baud, the driver's by default; driver. control: the socket of a simulated unit. power: who switches the
    supply. longest_wait: how many seconds of real time a test may let pass where no clock can be advanced. timeout: of
    one command. payg: a registry's file, for a charger that knows no tokens: the bridge runs it, from its state there.
    load_amperes: what the load on its output draws at least, 0 where none is known to be there.
    """

    port: str
    baud: int | None = None
    driver: str = "hdk"
    control: str | None = None
    power: Power | None = None
    longest_wait: float = 0
    timeout: float | None = None
    payg: str = ""
    load_amperes: float = 0

    @classmethod
    def at(cls, place: Place, power: Power | None = None, timeout: float | None = None) -> Rig:
        """A place of a rig file; power: who switches it if the file names nobody."""
        return cls(
            place.port,
            place.baud,
            place.driver,
            place.control,
            place.power() or (power if place.control is None else None),
            place.wait_minutes * 60,
            timeout,
            place.payg,
            place.load_amperes,
        )


@dataclass(frozen=True)
class Orders:
    """What a run shall do. tests: which. budget: counts. leave: locked, unlocked, or units of credit. output: a folder
    for what it writes. resume: go on with the results that are there. own_key: nobody named the device, and its key was
    made for this run. record: makes a count durable."""

    tests: Sequence[Test]
    output: Path
    budget: int = BUDGET
    allow_unlock: bool = False
    leave: str = "locked"
    resume: bool = False
    own_key: bool = False
    record: Callable[[int], object] = lambda _count: None
    announce: Callable[[str], None] = lambda _text: None


@contextmanager
def hands_on(rig: Rig, device: Device) -> Iterator[Hands]:
    """Opens what a rig names. Raises PaygoError for a simulated unit whose time runs faster or slower than its line."""
    wire = Wire(device.config.secret_key)
    with ExitStack() as owner:
        control = owner.enter_context(ControlClient(rig.control)) if rig.control else None
        if control is not None and (speed := control.read().get("speed", 1)) not in (0, 1):
            raise PaygoError(
                f"the simulated unit's time runs at {speed:g} times the speed of its line, so no credit can be checked",
                "serve it with --speed 1",
            )
        baud = rig.baud or usual_baud(load_driver(rig.driver))
        transport = owner.enter_context(Transport(rig.port, baud, trace=wire.trace))
        yield Hands(
            device,
            transport,
            wire,
            control=control,
            power=rig.power,
            longest_wait=rig.longest_wait,
            timeout=rig.timeout,
            driver=rig.driver,
            as_unit=_brain(rig, device, control, owner) if rig.payg else lambda driver: driver,
            load_amperes=rig.load_amperes,
        )


def _brain(rig: Rig, device: Device, control: ControlClient | None, owner: ExitStack) -> Callable[[Any], ChargerPayg]:
    """Makes a PAYG unit of a charger, in the time of the world that it is in."""
    store = owner.enter_context(BrainStore.open(rig.payg))
    now: Callable[[], float] = time.time
    if control is not None:
        began = time.time() - float(control.read()["time"])

        def now() -> float:
            assert control is not None
            return began + float(control.read()["time"])

    return lambda charger: ChargerPayg(charger, store, device, now)


def write_row(device: Device, count: int, path: Path) -> None:
    """The device as a list of one row, readable by its owner alone: it holds the key."""
    config = device.config
    row = csv_line(
        device.serial,
        str(config.starting_code),
        config.secret_key.hex(),
        str(count),
        str(config.time_divider),
        "1" if config.restricted_digit_set else "0",
        device.hardware_model,
        device.version,
        device.test_code,
    )
    with Draft(path) as draft:
        draft.write(csv_line(*TEMPLATE_HEADER) + b"\n" + row + b"\n")
        draft.publish()


def run(rig: Rig, device: Device, orders: Orders, told: Callable[[Result], None] = lambda _result: None) -> Run:
    """Runs the tests on the unit of a rig, set up as `device` if it is not set up yet.

    Results and the device's row are on disk after each test; the unit is left as ordered, also on Ctrl-C. Raises
    PortError and NoAnswerError when the unit, or who switches its supply, cannot be reached at the start, DeviceError
    when it is another one.
    """
    if rig.power is not None:
        rig.power.check()
    earlier = _earlier(orders, device)
    path = orders.output / "results.json"
    with hands_on(rig, device) as hands:
        device = _met(hands, device, orders)
        done = list(earlier.results) if earlier is not None else []
        record = Run(
            device.serial,
            rig.port,
            "hdk+" if hands.extended else rig.driver + (", PAYG by the bridge" if rig.payg else ""),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            first_count=device.count,
            last_count=device.count,
            leave=orders.leave,
        )
        if (info := _identity(hands)) is not None:
            record.model, record.firmware = f"{info.model} {info.board}".strip(), info.firmware

        def spent(count: int) -> None:
            orders.record(count)
            record.last_count = count
            write_row(device, count, orders.output / "device.csv")

        counts = Counts(device.count, orders.budget, record=spent)
        runner = Runner(hands, counts, allow_unlock=orders.allow_unlock, announce=orders.announce)
        try:
            for result in runner.run(orders.tests, _whole(orders.tests, done)):
                record.results.append(result)
                told(result)
        finally:
            record.closed = runner.close(orders.leave)
            hands.wire.take()
            results.write(record, path)
    return record


def _earlier(orders: Orders, device: Device) -> Run | None:
    orders.output.mkdir(parents=True, exist_ok=True)
    path = orders.output / "results.json"
    if not orders.resume or not path.exists():
        return None
    earlier = results.read(path)
    if earlier.serial != device.serial:
        raise PaygoError(f"{path} is of the unit {earlier.serial}", "name another folder, or leave --resume out")
    return earlier


def _whole(tests: Sequence[Test], done: Sequence[Result]) -> list[Result]:
    """The results that need no second run: of tests that ran, in groups of which all ran."""
    ran = {result.id for result in done if result.verdict != "not run"}
    torn = {test.group for test in tests if test.group and test.id not in ran}
    groups = {test.id: test.group for test in tests}
    return [result for result in done if result.id in ran and groups.get(result.id) not in torn]


def _identity(hands: Hands) -> Info | None:
    """Who the unit says that it is, None when it does not."""
    info: Info | None = hands.driver.identify() if "identify" in capabilities(hands.driver) else None
    return info


_NAME_IT = "name its key, or --resume in the folder of the run that set it up, whose device.csv has it"


def _met(hands: Hands, device: Device, orders: Orders) -> Device:
    """Finds out who the unit is, sets it up if it is new, and takes its own word for its count if that is higher."""
    info = _identity(hands)
    if info is not None and info.serial and info.serial != device.serial:
        raise DeviceError(f"the unit is {info.serial}, not {device.serial}", "name the device that it is")
    if info is not None and info.serial and orders.own_key:
        raise DeviceError("the unit is set up already", _NAME_IT)
    write_row(device, device.count, orders.output / "device.csv")  # before the unit has the key: it must not be lost
    if info is not None and info.serial:
        return replace(device, count=max(device.count, info.last_count))
    try:
        hands.driver.provision(device)
    except DeviceError:
        if info is not None:
            raise
        with contextlib.suppress(DeviceError):
            hands.driver.status()
            if not orders.own_key:
                return device  # an HDK that is set up already
        raise
    _identity(hands)
    return device


def as_record(result: Result) -> dict[str, Any]:
    """A result for machines, without its transcript."""
    return {
        "id": result.id,
        "verdict": result.verdict,
        "reason": result.reason,
        "title": result.title,
        "rule": result.rule,
        "seconds": result.seconds,
    }
