"""The `paygo sim` commands."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, closing
from pathlib import Path

import click

from firmware_sim.cli_fleet import fleet
from firmware_sim.cli_metrics import metrics
from firmware_sim.cli_report import report
from firmware_sim.cli_scenario import run
from firmware_sim.plant.battery_sheets import CAPACITY_AH, CHEMISTRIES, Chemistry
from firmware_sim.plant.board import BOARDS, Board
from firmware_sim.protocols import OTHERS, OURS
from paygo_core.errors import PaygoError
from paygo_core.shell import FiniteFloat, emit, note, output_options


@click.group()
def sim() -> None:
    """Simulated control units: our firmware, a battery, a panel and a lamp."""


@sim.command()
@click.option("--link", type=click.Path(path_type=Path), help="Make this path a link to the unit's pty.")
@click.option("--tcp", metavar="HOST:PORT", help="Serve the console on a TCP port instead of a pty; port 0 picks one.")
@click.option(
    "--rfc2217", metavar="HOST:PORT", help="Serve it there as a serial port with its settings (RFC 2217); 0 picks one."
)
@click.option("--control", metavar="PATH|HOST:PORT", help="Serve the control socket here.")
@click.option(
    "--speed",
    type=FiniteFloat(0, 100_000),
    default=1.0,
    show_default=True,
    help="World seconds in a second; 0 stands still but for the control socket. Wire time is never scaled.",
)
@click.option("--state", type=click.Path(path_type=Path), help="Keep the unit's storage in this file across restarts.")
@click.option("--start-hour", type=FiniteFloat(0, 24), default=6.0, show_default=True, help="Hour of day at start.")
@click.option("--charge", type=FiniteFloat(0, 1), default=0.7, show_default=True, help="State of charge at start.")
@click.option(
    "--battery",
    type=click.Choice(CHEMISTRIES),
    default="flooded",
    show_default=True,
    help="The battery's chemistry. The unit takes it for flooded until 'paygo bridge battery' tells it.",
)
@click.option(
    "--capacity",
    type=FiniteFloat(*CAPACITY_AH),
    default=18,
    show_default=True,
    metavar="AH",
    help="Its capacity, of which a unit is told in whole Ah.",
)
@click.option(
    "--sabotage",
    type=click.Choice(["none", "replay", "output", "alert", "count", "mute"]),
    default="none",
    help="Break the unit on purpose, to see whether your tests notice.",
)
@click.option(
    "--mcu",
    type=click.Choice(["pc", "avr", "cortex-m3"]),
    default="pc",
    show_default=True,
    help="What the firmware runs on: this PC, or a chip that is emulated (by simavr or by QEMU).",
)
@click.option(
    "--board",
    type=click.Choice(BOARDS),
    default=BOARDS[0],
    show_default=True,
    help="The control board: legacy takes lead batteries only, protected lithium too.",
)
@click.option(
    "--protocol",
    type=click.Choice([OURS, *OTHERS]),
    default=OURS,
    show_default=True,
    help="What the unit speaks: our firmware's console, or what another maker's unit does.",
)
@click.option("--attached", is_flag=True, help="Stop when standard input ends: for programs that start a unit.")
@output_options
def serve(
    link: Path | None,
    tcp: str | None,
    rfc2217: str | None,
    control: str | None,
    speed: float,
    state: Path | None,
    start_hour: float,
    charge: float,
    battery: Chemistry,
    capacity: float,
    sabotage: str,
    mcu: str,
    board: Board,
    protocol: str,
    attached: bool,
    as_json: bool,
) -> None:
    """Serve one simulated unit until Ctrl-C.

    \b
    Example, a unit whose day passes in 24 minutes:
      paygo sim serve --link /tmp/unit --control /tmp/unit.ctl --speed 60 --state unit.eeprom
      paygo bridge status /tmp/unit

    \b
    Example, a unit with a lithium battery, which it is told of once it is set up:
      paygo sim serve --link /tmp/unit --board protected --battery lfp --capacity 12
      paygo bridge provision /tmp/unit --serial SLT220000001 --registry fleet.db
      paygo bridge battery /tmp/unit --replace lfp --capacity 12
    """
    from firmware_sim.plant.battery_sheets import battery_sheet
    from firmware_sim.plant.home import SolarHome
    from firmware_sim.sabotage import Sabotage
    from firmware_sim.serve import Address, Server, Unit
    from firmware_sim.storage import Storage
    from firmware_sim.unit import SimulatedUnit

    if mcu != "pc" and sabotage != "none":
        raise PaygoError("--sabotage breaks the PC's unit only", "leave --mcu or --sabotage out")
    if protocol != OURS and (mcu != "pc" or sabotage != "none" or board != BOARDS[0]):
        raise PaygoError(f"a {protocol} unit runs other firmware than ours", "leave --mcu, --board and --sabotage out")
    if protocol == "oplink" and rfc2217 is None:
        raise PaygoError("an OpenPAYGO Link needs parity and break, which only RFC 2217 carries", "give --rfc2217")
    consoles = [("--link", link), ("--tcp", tcp), ("--rfc2217", rfc2217)]
    named = [option for option, given in consoles if given is not None]
    if len(named) > 1:
        raise PaygoError(f"{' and '.join(named)} exclude each other", "a unit has one console: a pty or a TCP port")
    address = tcp if rfc2217 is None else rfc2217
    wire = Address.parse(address) if address is not None else None
    if wire is not None and wire.path is not None:
        raise PaygoError(f"{named[0]} {address!r} is no address", "it is HOST:PORT, with a port from 0 to 65535")
    if control == "":
        raise PaygoError("--control names no place", "it is a path, or HOST:PORT")
    with ExitStack() as owner:
        storage = owner.enter_context(closing(Storage(state)))
        home = SolarHome(start_hour=start_hour, state_of_charge=charge, battery=battery_sheet(battery, capacity))
        first_boot = 1 + secrets.randbelow(1 << 31)
        unit: Unit
        if protocol != OURS:
            unit = OTHERS[protocol](storage, home)
        elif mcu == "pc":
            unit = SimulatedUnit(storage, home, Sabotage(sabotage), board=board, first_boot=first_boot)
        else:
            from firmware_sim.mcu.build import starter
            from firmware_sim.mcu.unit import EmulatedUnit

            unit = owner.enter_context(EmulatedUnit(storage, home, starter(mcu), board=board, first_boot=first_boot))
        with Server(
            unit,
            link=link,
            tcp=wire,
            rfc2217=rfc2217 is not None,
            control=Address.parse(control) if control else None,
            speed=speed,
            attached=attached,
        ) as server:
            if as_json:
                emit({"event": "ready", "port": server.port, "control": server.control})
            else:
                note(f"the unit is on {server.port}" + (f", its control socket on {server.control}" * bool(control)))
                note("Ctrl-C stops it")
            server.run()


sim.add_command(fleet)
sim.add_command(metrics)
sim.add_command(report)
sim.add_command(run)
