"""The command `paygo bridge provision`: one unit, or one after another as a factory does."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hw_bridge.cli_port import Connect, credit, port_options
from hw_bridge.drivers import require
from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.errors import PaygoError, Problem
from paygo_core.shell import FiniteFloat, Status, emit, note, output_options

if TYPE_CHECKING:
    from paygo_core.device import Device
    from paygo_core.registry import Factory, Registry

_LONGEST_LABEL = 200


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--release", metavar="SERIAL", help="Say that no unit has a serial that was begun; nothing else."),
        click.option("--next", "next_", is_flag=True, help="One unit after another, as the registry's new devices."),
        click.option("--device-list", metavar="FILE", help="Take the device from a device list (CSV)."),
        click.option("--serial", metavar="SERIAL", help="The serial number of the device that the unit becomes."),
    ):
        command = option(command)
    return command


@click.command()
@port_options
@_which
@click.option("--test-token", is_flag=True, help="With --next: each unit has to take a token, and one that ends it.")
@click.option(
    "--restart-timeout",
    type=FiniteFloat(min=0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="With --next: how long to wait for each unit to be switched off and on; 0 for no restart.",
)
@click.option("--log-dir", metavar="DIR", default="provisioned", show_default=True, help="With --next: a log per unit.")
@click.option("--station", metavar="NAME", help="With --next: who claims serials.  [default: this machine's name]")
@click.option("--by", "noted_by", default="", metavar="NAME", help="Who does it, for the record.")
@registry_options
@output_options
@click.pass_context
def provision(
    ctx: click.Context,
    *,
    connect: Connect,
    serial: str | None,
    device_list: str | None,
    next_: bool,
    release: str | None,
    test_token: bool,
    restart_timeout: float,
    log_dir: str,
    station: str | None,
    noted_by: str,
    registry_path: str,
    as_json: bool,
) -> int:
    """Set a unit up with serial, starting code and key, and prove it by its status.

    The device comes from the registry, which then notes that it is provisioned, or from a device list. A unit is set
    up once in its life.

    With --next it is a factory's station: connect a unit, scan the serial on its label, or press Enter for the next
    new device; q ends. Each unit is set up, switched off and on, and has to answer; a log of it stays. After an
    interruption connect the same unit again. A serial that was begun and not proved is given to no other unit.

    \b
      paygo bridge provision /dev/ttyUSB0 --serial SLT220000001 --registry fleet.db
      paygo bridge provision /dev/ttyUSB0 --next --test-token --station line-2
    """
    if sum((serial is not None, next_, release is not None)) != 1:
        raise click.UsageError("give one of --serial, --next and --release")
    if device_list is not None:
        if serial is None:
            raise click.UsageError("--device-list goes with --serial")
        if ctx.get_parameter_source("registry_path") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("give --device-list or --registry, not both")
        _set_up(connect, listed_device(device_list, serial), as_json)
        return Status.PASSED
    with open_registry(registry_path) as registry:
        if serial is not None:
            _from_registry(registry, connect, serial, noted_by, as_json)
            return Status.PASSED
        from paygo_core.registry import Factory

        factory = Factory(registry, station or socket.gethostname())
        if release is not None:
            factory.release(release, "no unit has it", noted_by)
            click.echo(f"{release} may be given to a unit again")
            return Status.PASSED
        from hw_bridge.factory_line import FactoryLine, Proof
        from hw_bridge.factory_log import FactoryLog

        log = FactoryLog(log_dir)
        line = FactoryLine(registry, factory, connect, log, Proof(restart_timeout, test_token), note, noted_by)
        return _one_after_another(line.provision, factory, as_json)


def _one_after_another(provision: Callable[[str | None], Any], factory: Factory, as_json: bool) -> int:
    for claim in factory.open_claims():
        note(f"{claim.serial} was begun at {claim.station} and never proved: connect the unit that has it")
    done = failed = already = 0
    while (label := _scanned(done)) is not None:
        try:
            unit = provision(label or None)
        except Problem as problem:
            failed += 1
            if as_json:
                emit({"serial": label or None, "provisioned": False, "error": problem.cause, "hint": problem.hint})
            note(f"paygo: {problem}")
            continue
        done += not unit.already
        already += unit.already
        if as_json:
            facts = {"serial": unit.serial, "provisioned": True, "resumed": unit.resumed, "already": unit.already}
            emit({**facts, "info": asdict(unit.info) if unit.info else None, **asdict(unit.status)})
        else:
            said = "was provisioned here already" if unit.already else "is set up"
            click.echo(f"{unit.serial} {said}; {credit(unit.status)}")
    open_claims = factory.open_claims()
    note(f"{done} provisioned, {failed} failed" + f", {already} provisioned already" * bool(already))
    for claim in open_claims:
        note(f"{claim.serial} is in doubt: a unit may have it, and none has proved it")
    return Status.FAILED if failed or open_claims else Status.PASSED


def _scanned(done: int) -> str | None:
    """A line from the scanner or the keyboard; None when there is no more to do."""
    note(f"[{done + 1}] Connect a unit; scan its label, or press Enter for the next serial (q ends)")
    line = sys.stdin.readline(_LONGEST_LABEL)
    text = line.strip()
    return None if not line or text in ("q", "Q") else text


def _from_registry(registry: Registry, connect: Connect, serial: str, by: str, as_json: bool) -> None:
    device = registry.device(serial)
    if registry.entry(serial).state == "retired":
        raise PaygoError(f"{serial} is retired", f"if it comes back: paygo device state {serial} repair")
    _set_up(connect, device, as_json, lambda: registry.set_state(serial, "provisioned", noted_by=by))


def _set_up(connect: Connect, device: Device, as_json: bool, then: Callable[[], Any] = lambda: None) -> None:
    with connect() as driver:
        require(driver, "provision")
        status = driver.provision(device)
    then()
    if as_json:
        emit(
            {
                "serial": device.serial,
                "provisioned": True,
                "extended": getattr(driver, "extended", None),
                **asdict(status),
            }
        )
    else:
        click.echo(f"{device.serial} is set up; {credit(status)}")


def listed_device(path: str, serial: str) -> Device:
    """The device with this serial in a device list. Raises PaygoError when it has none, or a broken row."""
    from paygo_core.device_list import read_device_list

    listed = read_device_list(path)
    for device in listed.devices:
        if device.serial == serial:
            return device
    for problem in listed.problems:
        if problem.serial == serial:
            place = f"{problem.file}, line {problem.line}, {problem.column}"
            raise PaygoError(f"{place}: {problem.cause}", problem.hint)
    raise PaygoError(f"{path} has no device {serial!r}", "the serial has to be as it stands in the list")
