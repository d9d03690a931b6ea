"""The same script on the PC and on a chip: the same outputs, words and stored bytes after each input."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from zlib import crc32

import pytest
from sim_rig import KEY, WRONG, checked

from firmware_sim.mcu.build import starter
from firmware_sim.mcu.frames import CONSOLE_BYTES
from firmware_sim.mcu.unit import EmulatedUnit
from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from paygo_core import DeviceConfig, TokenType, generate_token

SEED = 20260105
INPUTS = 3000
TEST_CODE = "4711"
CONFIG = DeviceConfig.from_hex(KEY, 123456789)
SETUP = f"#SETUP+;SLT220000001;123456789;{KEY};1;1;0;{TEST_CODE};\n".encode()
QUERIES = [b"STATUS;", b"TELEMETRY;", b"ALERTS;", b"LOG;", b"INFO;", b"LOAD;OFF", b"LOAD;AUTO", b"NONSENSE", b"ACK;1;1"]

Unit: TypeAlias = "SimulatedUnit | EmulatedUnit"
Input: TypeAlias = "tuple[str, Any]"


def tokens(chance: random.Random) -> Iterator[str]:
    """What a customer enters: the next token, an old one, a wrong one."""
    count, old = 1, [WRONG]
    while True:
        kind = chance.random()
        if kind < 0.5:
            type_ = chance.choice([TokenType.ADD_TIME, TokenType.ADD_TIME, TokenType.SET_TIME, TokenType.DISABLE_PAYG])
            token = generate_token(CONFIG, count, None if type_ is TokenType.DISABLE_PAYG else 7, type_)
            count = token.count
            old.append(token.digits)
            yield token.digits
        elif kind < 0.75:
            yield chance.choice(old[-20:])
        elif kind < 0.85:
            yield TEST_CODE
        else:
            yield f"{chance.randrange(10**9):09d}"


def pieces(line: bytes) -> Iterator[Input]:
    """As the wire brings them: what goes with one frame."""
    for at in range(0, len(line), CONSOLE_BYTES):
        yield "console", line[at : at + CONSOLE_BYTES]


def script() -> list[Input]:
    """A unit's life: set up early, then everything at random."""
    chance = random.Random(SEED)
    entries = tokens(chance)
    made: list[Input] = [("time", (1000, 1000)), *pieces(b"#INFO;\n"), ("keys", "#"), *pieces(SETUP)]
    made += [("time", (60_000, 0)), *pieces(b"#INFO;\n")]
    made += [piece for entry in (TEST_CODE, *[WRONG] * 4) for piece in pieces(b"#TOKEN;" + entry.encode() + b"\n")]
    while len(made) < INPUTS:
        kind = chance.randrange(100)
        if kind < 20:
            body = chance.choice(QUERIES)
            body = b"ACK;1;%d" % chance.randrange(1, 30) if body.startswith(b"ACK") else body
            made += pieces(b"#" + body + b"\n" if chance.random() < 0.7 else checked(body) + b"\r\n")
        elif kind < 32:
            made += pieces(b"#TOKEN;" + next(entries).encode() + b"\n")
        elif kind < 42:
            made += [("keys", "*" + next(entries) + chance.choice(["", "", "#", "*12"]))]
        elif kind < 50:
            made += pieces(bytes(chance.choices(b"#;*\r\n\xff\x00A1", k=chance.randrange(1, 30))))
        elif kind < 85:
            world = chance.choice([0, 1, 250, 999, 5_000, 10_000, 10_000, 20_000, 120_000])
            made.append(("time", (world, chance.choice([0, 0, 60, 250, 1_000, 3_000, 25_000]))))
        elif kind < 86:
            made.append(("time", (chance.choice([600_000, 3_600_000]), 0)))
        elif kind < 94:
            made.append(("volts", chance.choice([0, 0, 0, 4, 8, -3, -20])))
        elif kind < 96:
            made.append(("power", chance.random() < 0.5))
        elif kind < 97:
            made.append(("clock", chance.choice([-7200, 0, 0, 3600])))
        elif kind < 98:
            made.append(("cut", (chance.randrange(0, 80), chance.randrange(0, 4))))
        else:
            made.append(("charge", chance.random()))
    return made


def act(unit: Unit, kind: str, value: Any) -> None:
    if kind == "console":
        unit.feed(value)
        unit.pass_time(0, 0)
    elif kind == "keys":
        unit.press(value)
    elif kind == "time":
        unit.pass_time(*value)
    elif kind == "volts":
        unit.home.set_fault("battery_sensor_offset_v", value)
    elif kind == "clock":
        unit.home.set_fault("clock_offset_s", value)
    elif kind == "charge":
        unit.home.set_value("state_of_charge", value)
    elif kind == "cut":
        unit.cut_power(*value)
    elif value:
        unit.power_off()
        unit.power_on()
    if not unit.powered:
        unit.power_on()  # which may meet a further cut


def seen(unit: Unit) -> tuple[Any, ...]:
    """All that a unit shows of itself."""
    return (
        unit.powered,
        unit.output,
        unit.charge,
        unit.light,
        unit.last_blink,
        unit.wire_due_ms,
        unit.storage.writes,
        crc32(unit.storage.image),
        unit.take(),
    )


def lived(unit: Unit) -> Iterator[tuple[Any, ...]]:
    for kind, value in script():
        act(unit, kind, value)
        yield seen(unit)


def home() -> SolarHome:
    return SolarHome(start_hour=5.0, state_of_charge=0.6)


@pytest.fixture(scope="module")
def on_the_pc() -> list[tuple[Any, ...]]:
    return list(lived(SimulatedUnit(Storage(), home())))


@pytest.mark.timeout(280)
def test_a_chip_does_what_the_pc_does(mcu: str, on_the_pc: list[tuple[Any, ...]]) -> None:
    with EmulatedUnit(Storage(), home(), starter(mcu)) as unit:
        for number, (input_, expected, found) in enumerate(zip(script(), on_the_pc, lived(unit), strict=True)):
            assert found == expected, f"input {number}: {input_}"


def test_the_script_reaches_what_matters(on_the_pc: list[tuple[Any, ...]]) -> None:
    """Every verdict, alerts, both switches, and cuts inside writes."""
    said = b"".join(row[-1] for row in on_the_pc)
    for word in (
        b"VALID;",
        b"ALREADY_USED",
        b"TOKEN;INVALID",
        b"PAYG_DISABLED",
        b"WAIT;",
        b"RAISED",
        b"CLEARED",
        b"CLOCK_TAMPER",
        b"VALID;60\r",
        b"*",
    ):
        assert word in said, word
    assert {row[1] for row in on_the_pc} == {row[2] for row in on_the_pc} == {False, True}
    assert sum(kind == "cut" for kind, _ in script()) > 20
    assert on_the_pc[-1][6] > 300


@pytest.mark.timeout(280)
def test_a_cut_leaves_the_bytes_before_it_and_no_more(mcu: str) -> None:
    """At the first bytes, the last ones and beyond the end, of the first write and of the one after the next."""
    make: list[Callable[[], Unit]] = [
        lambda: SimulatedUnit(Storage(), home()),
        lambda: EmulatedUnit(Storage(), home(), starter(mcu)),
    ]
    for at_byte in (0, 1, 15, 16, 17, 71, 72, 73, 75, 76, 77, 70_000):
        for after in (0, 2):
            images = []
            for made in make:
                unit = made()
                try:
                    unit.cut_power(at_byte, after)
                    for _, piece in pieces(SETUP):
                        unit.feed(piece)
                        unit.pass_time(0, 0)
                    assert not unit.powered
                    assert unit.storage.writes == after + 1
                    images.append(bytes(unit.storage.image))
                finally:
                    unit.power_off()
            assert images[0] == images[1], (at_byte, after)
