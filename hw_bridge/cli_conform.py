"""The command group `paygo conform`: certifies a control unit over its cable."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import click

from paygo_core.cli_options import device_config, device_options, last_count
from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.shell import FiniteFloat, Status, emit, note, output_options

if TYPE_CHECKING:
    from hw_bridge.conformance.catalogue import Test
    from hw_bridge.conformance.results import Result, Run
    from hw_bridge.conformance.rig import Place
    from paygo_core.device import Device

_NEW_SERIAL = "990000001"
"""Of a unit that nobody named: decimal, since an HDK keeps nothing else."""


@click.group()
def conform() -> None:
    """Certify a control unit: the official procedure, and what it misses.

    \b
      paygo conform list
      paygo conform run /dev/ttyUSB0 --serial SLT220000001 --device-list devices.csv
    """


@conform.command("list")
@click.argument("tests", nargs=-1, metavar="[ID]...")
@output_options
def list_(tests: tuple[str, ...], as_json: bool) -> None:
    """Print the catalogue: each test, the rule that it proves, what it needs, what it spends, how long it takes.

    \b
      paygo conform list
      paygo conform list X1 P5 --json
    """
    from hw_bridge.conformance.catalogue import choose, load
    from hw_bridge.conformance.costs import costs

    chosen = choose(load(), tests)
    for row in costs(chosen):
        if as_json:
            emit(row)
            continue
        needs = f"  needs {', '.join(row['needs'])}" if row["needs"] else ""
        minutes = f", {row['world_seconds'] / 60:.0f} min of its time" if row["world_seconds"] else ""
        click.echo(f"{row['id']:<10} {row['rule']:<4} {row['title']}  ({row['counts']} counts{minutes}){needs}")
    if not as_json:
        click.echo(f"{len(chosen)} tests")


def _choices(command: Callable[..., Any]) -> Callable[..., Any]:
    """What to run, and how far it may go."""
    options = [
        click.option("--only", multiple=True, metavar="ID", help="Only this test or group; may be repeated."),
        click.option(
            "--spend-counts",
            type=click.IntRange(0, 65_535),
            default=300,
            show_default=True,
            metavar="N",
            help="How many counts of the device the run may spend; what does not fit is not run.",
        ),
        click.option(
            "--allow-unlock",
            is_flag=True,
            help="Run the tests that unlock the unit for a moment. Should it then fail to lock again, it stays free.",
        ),
        click.option(
            "--wait",
            type=FiniteFloat(0, 100_000),
            default=0.0,
            metavar="MINUTES",
            help="How long one test may let time pass where no clock can be advanced.",
        ),
        click.option(
            "--leave",
            default="locked",
            show_default=True,
            metavar="STATE",
            help="How the unit is left: locked, unlocked, or units of credit (0 to 995).",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="FOLDER",
            help="Where results and the device's row go.  [default: conform-SERIAL]",
        ),
        click.option("--resume", is_flag=True, help="Go on with the results that are in the folder."),
        click.option(
            "--sign-key",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            envvar="PAYGO_SIGN_KEY",
            show_envvar=True,
            help="Sign the results and reports with this key, which 'paygo conform keygen' makes.",
        ),
        click.option("--yes", is_flag=True, help="Do not ask before the unit is unlocked."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@conform.command()
@click.argument("port", nargs=-1, envvar="PAYGO_PORT")
@click.option("-d", "--driver", default="hdk", show_default=True, metavar="NAME", help="What kind of unit it is.")
@click.option("-b", "--baud", type=click.IntRange(50, 2**31 - 1), help="Speed.  [default: the driver's]")
@click.option(
    "--rig",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="A rig file; all its units are tested at once, or those whose names are given in place of PORT.",
)
@click.option("--operator", is_flag=True, help="Ask whoever is at the terminal to switch the unit off and on.")
@click.option("--power-off", metavar="COMMAND", default="", help="Shell command that takes the supply away.")
@click.option("--power-on", metavar="COMMAND", default="", help="Shell command that gives it back.")
@click.option(
    "--timeout",
    type=FiniteFloat(min=0, min_open=True),
    metavar="SECONDS",
    help="Deadline of one command.  [default: what is usual for it]",
)
@click.option("--control", metavar="PATH|HOST:PORT", help="The control socket of a simulated unit.")
@click.option(
    "--payg",
    metavar="FILE",
    default="",
    help="A charger that knows no tokens: this program runs it, from its state in FILE, a registry or a new file.",
)
@click.option(
    "--load-amperes",
    type=FiniteFloat(min=0),
    default=0.0,
    metavar="A",
    help="What the load on the output draws at least; its current then has to follow the credit.",
)
@click.option("--serial", metavar="SERIAL", help="The device that the unit is, or becomes if it is not set up.")
@click.option("--device-list", metavar="FILE", help="Take the device from a device list (CSV).")
@click.option(
    "--count", type=last_count, metavar="N", default=1, show_default=True, help="With a key: the device's last count."
)
@device_options
@_choices
@registry_options
@output_options
def run(port: tuple[str, ...], as_json: bool, **given: Any) -> Status:
    """Run the tests on the unit at PORT, or on those of a rig, and say what came of it.

    The exit status is 0 only if none failed.

    The device comes from the registry (--serial, whose count then moves with every token), from a device list, or from
    a key and a count. A unit that is not set up yet becomes that device; with none named it gets a key of its own,
    which is in the folder's device.csv. At the end, also on Ctrl-C, the unit is left as asked, and device.csv has its
    count.

    \b
      paygo conform run /dev/ttyUSB0 --serial SLT220000001 --registry fleet.db
      paygo conform run --rig rig.toml --registry fleet.db --spend-counts 1500
      paygo conform run /dev/ttyUSB0 --driver vedirect --payg bench.db
      paygo conform run /tmp/unit --control /tmp/unit.control --spend-counts 3000 --allow-unlock --yes
    """
    from concurrent.futures import ThreadPoolExecutor

    from hw_bridge.conformance.catalogue import choose, load

    leave = _checked_leave(given["leave"], given["allow_unlock"])
    tests = choose(load(), given["only"])
    given["allow_unlock"] = given["allow_unlock"] and _confirmed(given["yes"], any(test.unlocks for test in tests))
    places = _places(port, given)
    if given["operator"] and not (sys.stdin is not None and sys.stdin.isatty()):
        raise click.UsageError("--operator asks at a terminal, and there is none")
    context = click.get_current_context()

    def certify(place: Place) -> bool:
        with context.scope(cleanup=False):
            return _certify(place, tests, leave, given, place.name if given["rig"] else "", as_json)

    if len(places) == 1:
        return Status.PASSED if certify(places[0]) else Status.FAILED
    with ThreadPoolExecutor(len(places)) as pool:
        passed = list(pool.map(certify, places))
    return Status.PASSED if all(passed) else Status.FAILED


def _places(port: tuple[str, ...], given: dict[str, Any]) -> list[Place]:
    """Where the units are: at PORT, or at the places of a rig file."""
    from hw_bridge.conformance.rig import Place, read

    if given["rig"] is None:
        if len(port) != 1:
            raise click.UsageError("give one PORT, or several units in a rig file (--rig)")
        if bool(given["power_off"]) != bool(given["power_on"]):
            raise click.UsageError("--power-off and --power-on belong together")
        names = ("driver", "baud", "serial", "control", "power_off", "power_on", "payg", "load_amperes")
        return [Place("", port[0], wait_minutes=given["wait"], **{name: given[name] for name in names})]
    places = {place.name: place for place in read(given["rig"])}
    for name in port:
        if name not in places:
            raise click.UsageError(f"{given['rig']} has no unit {name!r}, it has {', '.join(places)}")
    chosen = [places[name] for name in dict.fromkeys(port or places)]
    if any(place.serial is None for place in chosen) and (len(chosen) > 1 or given["serial"] is None):
        raise click.UsageError("each unit of a rig needs its serial, in the rig file or, for one, by --serial")
    return [replace(place, serial=place.serial or given["serial"]) for place in chosen]


def _certify(place: Place, tests: list[Test], leave: str, given: dict[str, Any], name: str, as_json: bool) -> bool:
    """One unit from its port to its certificate; whether it has passed and was left as it should be."""
    from hw_bridge.conformance import kit
    from hw_bridge.conformance.rig import Operator

    with ExitStack() as owner:
        device, record, own_key = _device(owner, {**given, "serial": place.serial})
        folder = given["output"] or Path(f"conform-{device.serial.replace('/', '_')}")
        orders = kit.Orders(
            tests,
            folder / name.replace(" ", "_").replace("/", "_") if given["output"] and name else folder,
            budget=given["spend_counts"],
            allow_unlock=given["allow_unlock"],
            leave=leave,
            resume=given["resume"],
            own_key=own_key,
            record=record,
            announce=note,
        )
        rig = kit.Rig.at(place, Operator(_ask, name) if given["operator"] else None, given["timeout"])
        outcome = kit.run(rig, device, orders, lambda result: _tell(result, name, as_json))
    _publish(outcome, orders.output, given["sign_key"])
    prefix = f"{name}: " if name else ""
    if as_json:
        emit({"unit": name, **{key: value for key, value in outcome.to_json().items() if key != "results"}})
    else:
        click.echo(f"{prefix}{outcome.summary}")
        click.echo(
            f"{prefix}the unit is left {leave}" if outcome.closed else f"{prefix}the unit could NOT be left {leave}"
        )
        click.echo(f"{prefix}its row is in {orders.output / 'device.csv'}, see {orders.output / 'certificate.html'}")
    return outcome.passed and outcome.closed


_ASKING = Lock()


def _ask(text: str) -> None:
    with _ASKING:
        click.prompt(f"{text} [Enter]", default="", show_default=False, prompt_suffix=" ", err=True)


def _publish(outcome: Run, folder: Path, sign_key: Path | None) -> None:
    from hw_bridge.conformance import certificate, signing

    certificate.write(outcome, folder)
    (folder / signing.SIGNATURE).unlink(missing_ok=True)
    if sign_key is not None:
        signing.sign(folder, sign_key)


@conform.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="PAYGO_SIGN_KEY",
    show_envvar=True,
    help="Sign the results and reports with this key.",
)
@output_options
def report(folder: Path, sign_key: Path | None, as_json: bool) -> None:
    """Make the certificate and the JUnit file of a run once more from its results.json, also of one that was stopped.

    \b
      paygo conform report conform-SLT220000001
      paygo conform report conform-SLT220000001 --sign-key maker.key
    """
    from hw_bridge.conformance.certificate import HTML, JUNIT
    from hw_bridge.conformance.results import read

    outcome = read(folder / "results.json")
    _publish(outcome, folder, sign_key)
    if as_json:
        emit({"certificate": str(folder / HTML), "junit": str(folder / JUNIT), "signed": sign_key is not None})
    else:
        click.echo(f"{outcome.summary}; see {folder / HTML}")


@conform.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@output_options
def keygen(file: Path, as_json: bool) -> None:
    """Make a key that signs certificates: FILE is private, FILE.pub is for everybody who checks them.

    \b
      paygo conform keygen maker.key
    """
    from hw_bridge.conformance.signing import keygen as make

    public = make(file)
    if as_json:
        emit({"private": str(file), "public": str(public)})
    else:
        click.echo(f"{file} signs, and must stay yours; give {public} to whoever checks certificates")


@conform.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    metavar="FILE",
    help="The .pub file of whoever signed.",
)
@output_options
def verify(folder: Path, public_key: Path, as_json: bool) -> None:
    """Check that the results and reports in FOLDER are as they were signed. It does not say that the unit passed.

    \b
      paygo conform verify conform-SLT220000001 --public-key maker.key.pub
    """
    from hw_bridge.conformance.results import read
    from hw_bridge.conformance.signing import verify as check

    covered = check(folder, public_key)
    outcome = read(folder / "results.json")
    if as_json:
        emit({"signed": covered, "serial": outcome.serial, "passed": outcome.passed})
    else:
        click.echo(f"signed and unchanged: {', '.join(covered)}")
        click.echo(outcome.summary)


def _checked_leave(leave: str, allow_unlock: bool) -> str:
    if leave == "unlocked" and not allow_unlock:
        raise click.UsageError("--leave unlocked unlocks the unit: it needs --allow-unlock")
    if leave in ("locked", "unlocked") or (leave.isascii() and leave.isdigit() and int(leave[:4]) <= 995):
        return leave
    raise click.UsageError(f"--leave {leave!r} is none of locked, unlocked and 0 to 995")


def _confirmed(yes: bool, any_unlocks: bool) -> bool:
    """Whether the unit may be unlocked: who sits at a terminal is asked."""
    if yes or not any_unlocks or not (sys.stdin is not None and sys.stdin.isatty()):
        return True
    question = "Some tests unlock the unit, and lock it again afterwards. A unit that fails them may stay free. Go on?"
    return click.confirm(question, err=True)


def _device(owner: ExitStack, given: dict[str, Any]) -> tuple[Device, Callable[[int], object], bool]:
    """The device that the options name, what records a count of it, and whether its key was made for this run."""
    from hw_bridge.cli_provision import listed_device
    from paygo_core.device import Device
    from paygo_core.tokens import DeviceConfig

    serial = given["serial"]
    if given["device_list"] is not None:
        if serial is None:
            raise click.UsageError("--device-list needs --serial")
        return listed_device(given["device_list"], serial), lambda _count: None, False
    if given["key"] or given["key_file"]:
        names = ("key", "key_file", "starting_code", "divider", "restricted", "max_count")
        config = device_config({name: given[name] for name in names})
        return Device(serial or _NEW_SERIAL, config, given["count"]), lambda _count: None, False
    if serial is not None:
        registry = owner.enter_context(open_registry(given["registry_path"]))
        return registry.device(serial), lambda count: registry.advance(serial, count, "paygo conform"), False
    kept = (given["output"] or Path(f"conform-{_NEW_SERIAL}")) / "device.csv"
    if given["resume"] and kept.exists():
        return listed_device(str(kept), _NEW_SERIAL), lambda _count: None, False
    config = DeviceConfig(secrets.token_bytes(16), 1 + secrets.randbelow(999_999_999))
    config = replace(config, time_divider=given["divider"], restricted_digit_set=given["restricted"])
    return Device(_NEW_SERIAL, config), lambda _count: None, True


def _tell(result: Result, name: str, as_json: bool) -> None:
    from hw_bridge.conformance.kit import as_record

    if as_json:
        emit({"unit": name, **as_record(result)})
        return
    word = {"passed": "ok", "failed": "FAIL", "not run": "-"}[result.verdict]
    reason = f": {result.reason}" if result.reason else ""
    click.echo(f"{name + ': ' if name else ''}{word:<5}{result.id:<10} {result.title}{reason}")
