"""A simulated unit in the test's own process: bytes and time go in, lines come out."""

from __future__ import annotations

from binascii import crc_hqx

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
SETUP = b"#SETUP+;SLT220000001;123456789;a29ab82edc5fbbc41ec9530f6dac86b1;1;1;0;;\n"

HDK_SETUP = b"#SETUP;SLT220000001;123456789;a29ab82edc5fbbc41ec9530f6dac86b1\n"

# Tokens of that unit: what they are worth, at the counts that their names end in. The first is in docs/token-rules.md.
WEEK_2 = "016609796"
LARGEST_2, LARGEST_4, LARGEST_6 = "891799784", "245757784", "755849784"
ZERO_3 = "552995789"
UNLOCK_3, UNLOCK_5 = "312690787", "129635787"
SYNC_3, SYNC_5 = "074712788", "343571788"
WRONG = "123456789"

DAY = 86_400


def new_unit(storage: Storage | None = None, *, hour: float = 0.0, charge: float = 0.5) -> SimulatedUnit:
    """A unit in the dark, on a battery that needs nothing, from this storage or from an empty one."""
    return SimulatedUnit(storage or Storage(), SolarHome(start_hour=hour, state_of_charge=charge))


def ready_unit(*tokens: str) -> SimulatedUnit:
    """A unit that is set up and has taken these tokens, from a host that knows only the HDK."""
    unit = new_unit()
    assert ask(unit, HDK_SETUP) == b"#SETUP;OK\r\n"
    for token in tokens:
        assert enter(unit, token).startswith((b"VALID", b"PAYG_DISABLED"))
    return unit


def ask(unit: SimulatedUnit, line: bytes) -> bytes:
    """Feeds the bytes and gives what the unit says at once."""
    unit.feed(line)
    unit.pass_time(0, 0)
    return unit.take()


def enter(unit: SimulatedUnit, token: str) -> bytes:
    """The verdict on a token, without the frame around it."""
    answer = ask(unit, b"#TOKEN;" + token.encode() + b"\n")
    assert answer.startswith(b"#TOKEN;"), answer
    assert answer.endswith(b"\r\n")
    return answer[7:-2]


def status(unit: SimulatedUnit) -> bytes:
    """What `#STATUS;` is answered, without the frame."""
    answer = ask(unit, b"#STATUS;\n")
    assert answer.startswith(b"#STATUS;"), answer
    return answer[8:-2]


def restart(unit: SimulatedUnit) -> None:
    """Cuts the supply and gives it back."""
    unit.power_off()
    unit.power_on()


def checked(body: bytes) -> bytes:
    """The body with `#` and the check around it (H6), as the standard library computes it."""
    return b"#%s*%04X" % (body, crc_hqx(body, 0xFFFF))
