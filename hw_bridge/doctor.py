"""What hinders a bridge on this machine: ports, rights, programs that grab ports, missing extras; with what to do."""

from __future__ import annotations

import grp
import importlib.metadata
import os
import platform
import pwd
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click

from hw_bridge.transport import REMOTE_SCHEMES, port_holders
from paygo_core._version import __version__

OK: Literal["ok"] = "ok"
NOTE: Literal["note"] = "note"
PROBLEM: Literal["problem"] = "problem"

DISTRIBUTION = "paygo-solar"
DEVELOPERS_EXTRAS = ("test", "check")
PROGRAMS = {
    "avr-gcc": ("gcc-avr avr-libc simavr libsimavr-dev libelf-dev", "units on an emulated AVR"),
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi libnewlib-arm-none-eabi", "units on an emulated Cortex-M3"),
    "qemu-system-arm": ("qemu-system-arm", "units on an emulated Cortex-M3"),
}
GRABBERS = {
    "ModemManager": (
        "sends modem commands to new serial ports and holds them for some seconds",
        "sudo systemctl mask --now ModemManager, or a udev rule with ENV{ID_MM_DEVICE_IGNORE}=1 for your adapters",
    ),
    "brltty": (
        "takes CH340 and CP210x adapters for braille displays, so that their ports vanish",
        "sudo apt-get remove brltty, or mask its units and udev rule",
    ),
}
USB_PORTS = ("ttyUSB", "ttyACM")
REMOTE_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    topic: "version", "port", "service", "registry", "configuration", "extra" or "program". state: "ok", "note" (works
    without, but look) or "problem". found: what is so. advice: what to do about it, or empty.
    """

    topic: str
    name: str
    state: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""


def examine(ports: Sequence[str] = (), root: Path = Path("/")) -> Iterator[Finding]:
    """Everything, in the order in which it should be put right. No port is opened: that resets many boards.

    ports: those that somebody wants to use; with none, all that the system knows. root: where /proc is found.
    """
    yield from versions()
    named = list(ports) or known_ports()
    if not named:
        yield Finding("port", "any", NOTE, "no serial port is here", "plug the adapter in, and look at `dmesg`")
    for port in named:
        yield remote_port(port) if "://" in port else local_port(port, wanted=port in ports)
    yield from services(root, any(part in port for port in named for part in USB_PORTS))
    yield from registry(os.environ.get("PAYGO_REGISTRY", "paygo.db"))
    yield from configuration()
    yield from extras()
    yield from programs()


def known_ports() -> list[str]:
    """The serial ports that the system knows."""
    from serial.tools.list_ports import comports

    return sorted(str(found.device) for found in comports())


def versions() -> Iterator[Finding]:
    """What to write into a bug report."""
    yield Finding("version", "paygo", OK, __version__)
    yield Finding("version", "Python", OK, f"{platform.python_version()} on {platform.platform()}")
    yield Finding("version", "pyserial", OK, importlib.metadata.version("pyserial"))
    try:
        from paygo_core._native import lib

        assert lib
    except ImportError as error:
        yield Finding(
            "version",
            "C core",
            PROBLEM,
            f"it does not load: {error}",
            "pip install --force-reinstall paygo-solar, with gcc and Python's headers where there is no wheel",
        )
        return
    from paygo_core.simd import chosen_simd

    yield Finding("version", "C core", OK, f"loads, batches run with {chosen_simd()}")


def local_port(port: str, wanted: bool) -> Finding:
    """Whether a local port can be used now. One that another program holds is a problem only where it is wanted."""
    path = Path(port)
    try:
        status = path.stat()
    except FileNotFoundError:
        here = ", ".join(known_ports()) or "none"
        return Finding("port", port, PROBLEM, "there is no such port", f"ports here: {here}; look at cable and `dmesg`")
    except OSError as error:
        return Finding("port", port, PROBLEM, f"it cannot be looked at: {error.strerror}")
    if not stat.S_ISCHR(status.st_mode):
        return Finding("port", port, PROBLEM, "it is not a serial port", "a port is a device such as /dev/ttyUSB0")
    if not os.access(path, os.R_OK | os.W_OK):
        return _denied(port, status)
    if holders := port_holders(port):
        verb = "holds" if len(holders) == 1 else "hold"
        advice = "close that program, or use another port"
        return Finding("port", port, PROBLEM if wanted else NOTE, f"{' and '.join(holders)} {verb} it", advice)
    return Finding("port", port, OK, "you may open it, and nobody holds it")


def _denied(port: str, status: os.stat_result) -> Finding:
    try:
        group = grp.getgrgid(status.st_gid)
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return Finding("port", port, PROBLEM, "you may not open it", f"look at its owner: ls -l {port}")
    if not status.st_mode & stat.S_IRGRP or not status.st_mode & stat.S_IWGRP:
        return Finding("port", port, PROBLEM, f"its group {group.gr_name} may not open it", "set a udev rule for it")
    if user in group.gr_mem and status.st_gid not in os.getgroups():
        found = f"you are in its group {group.gr_name}, but this login began before that"
        return Finding("port", port, PROBLEM, found, "log out and in again")
    advice = f"sudo usermod -aG {group.gr_name} {user}, then log in again"
    return Finding("port", port, PROBLEM, f"you are not in its group {group.gr_name}", advice)


def remote_port(port: str) -> Finding:
    """Whether something listens behind socket:// or rfc2217://."""
    try:
        url = urlsplit(port)
        host, number = url.hostname, url.port
    except ValueError:
        host = number = None
    if host is None or number is None or url.scheme not in REMOTE_SCHEMES:
        advice = "a remote port is socket://HOST:PORT or rfc2217://HOST:PORT"
        return Finding("port", port[:80], PROBLEM, "it is no port", advice)
    try:
        socket.create_connection((host, number), timeout=REMOTE_SECONDS).close()
    except (OSError, ValueError) as error:  # UnicodeError, where no name of a host can be so
        why = getattr(error, "strerror", None) or str(error)
        return Finding(
            "port", port, PROBLEM, f"nobody answers there: {why}", "is the server running, the address right?"
        )
    return Finding("port", port, OK, "something listens there")


def services(root: Path, has_usb_port: bool) -> Iterator[Finding]:
    """Programs that run here and are known to grab serial ports; a problem where there are USB ports to grab."""
    running = set()
    for comm in root.glob("proc/[0-9]*/comm"):
        try:
            running.add(comm.read_text("utf-8", "replace").strip())
        except OSError:
            continue  # it ended meanwhile
    for name, (harm, advice) in GRABBERS.items():
        if name in running:
            yield Finding("service", name, PROBLEM if has_usb_port else NOTE, f"it runs; it {harm}", advice)
        else:
            yield Finding("service", name, OK, "does not run")


def registry(path: str) -> Iterator[Finding]:
    """Whether others may read the registry's file; nothing where there is none."""
    if "://" in path or not Path(path).exists():
        return
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & 0o077:
        found = f"others may read it, and the keys in it (mode {mode:04o})"
        yield Finding("registry", path, PROBLEM, found, f"chmod 600 {path}")
    else:
        yield Finding("registry", path, OK, "only you may read it")


def configuration() -> Iterator[Finding]:
    """The configuration files that are in force."""
    for path in (Path("paygo.toml"), Path(click.get_app_dir("paygo")) / "paygo.toml"):
        if path.exists():
            yield Finding("configuration", str(path), OK, "is read")


def extras() -> Iterator[Finding]:
    """The optional parts of this package, and what they lack here."""
    needed: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires(DISTRIBUTION) or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        if name and extra and extra[1] not in DEVELOPERS_EXTRAS:
            needed.setdefault(extra[1], []).append(name[0])
    for part, names in sorted(needed.items()):
        missing = [name for name in names if not _installed(name)]
        if missing:
            advice = f"pip install '{DISTRIBUTION}[{part}]'"
            yield Finding("extra", part, NOTE, f"without {', '.join(missing)}", advice)
        else:
            yield Finding("extra", part, OK, "is installed")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def programs() -> Iterator[Finding]:
    """Programs of the system that some commands start."""
    for program, (packages, purpose) in PROGRAMS.items():
        where = shutil.which(program)
        if where is None:
            yield Finding("program", program, NOTE, f"is missing: no {purpose}", f"sudo apt-get install {packages}")
        else:
            yield Finding("program", program, OK, where)
