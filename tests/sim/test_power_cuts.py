"""Power is cut at every byte of every write: the unit wakes in the state before it or after it, never in between."""

from __future__ import annotations

import copy
import json
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serial import Serial
from sim_rig import (
    DAY,
    HDK_SETUP,
    LARGEST_6,
    SETUP,
    SYNC_3,
    UNLOCK_5,
    WEEK_2,
    WRONG,
    ZERO_3,
    ask,
    enter,
    new_unit,
    ready_unit,
    restart,
)

from firmware_sim._native import ffi, lib
from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from hw_bridge.simulated import ControlClient, simulated_unit
from paygo_core import DeviceConfig, generate_token
from paygo_core.errors import PortError

AHEAD_S = 300
SLOT_BYTES = lib.PAYGO_SLOT_BYTES

Act = Callable[[SimulatedUnit], object]


def _say(line: bytes) -> Act:
    return lambda unit: ask(unit, line)


def _token(token: str) -> Act:
    return lambda unit: ask(unit, b"#TOKEN;" + token.encode() + b"\n")


def _keys(token: str) -> Act:
    return lambda unit: unit.press("*" + token)


def _minutes(number: int) -> Act:
    return lambda unit: unit.pass_time(number * 60_000)


def _volts(offset: float, seconds: int) -> Act:
    def act(unit: SimulatedUnit) -> None:
        unit.home.set_fault("battery_sensor_offset_v", offset)
        unit.pass_time(seconds * 1000)

    return act


LIFE: list[tuple[str, Act]] = [
    ("setup", _say(SETUP)),
    ("add", _token(WEEK_2)),
    ("replay", _token(WEEK_2)),
    ("minutes", _minutes(6)),
    ("wrong 1", _token(WRONG)),
    ("wrong 2", _keys(WRONG)),
    ("wrong 3", _token(WRONG)),
    ("in the wait", _token(LARGEST_6)),
    ("the wait", _minutes(3)),
    ("load off", _say(b"#LOAD;OFF\n")),
    ("alert begins", _volts(6.0, 10)),
    ("acknowledged", _say(b"#ACK;1;1\n")),
    ("load on", _say(b"#LOAD;AUTO\n")),
    ("alert ends", _volts(0.0, 60)),
    *[(f"hour {part}", _minutes(10)) for part in range(6)],
    ("set 0", _token(ZERO_3)),
    ("unlock", _keys(UNLOCK_5)),
    ("add when unlocked", _token(LARGEST_6)),
    ("unlocked minutes", _minutes(10)),
]


class Snapshot:
    """A running unit, to run on from as often as is wanted."""

    def __init__(self, unit: SimulatedUnit) -> None:
        self.image = bytes(unit.storage.image)
        self.firmware = bytes(ffi.buffer(unit._firmware))
        self.home = copy.deepcopy(unit.home)
        self.output, self.charge = unit.output, unit.charge
        self.told, self.world_due_ms = unit.told, unit.world_due_ms

    def run_on(self) -> SimulatedUnit:
        unit = new_unit()
        unit.storage.image[:] = unit._cells[:] = self.image
        ffi.buffer(unit._firmware)[:] = self.firmware
        unit.home = copy.deepcopy(self.home)
        unit.output, unit.charge = self.output, self.charge
        unit.told, unit.world_due_ms = self.told, self.world_due_ms
        unit.storage.writes = 0
        return unit


def woken(image: bytes, home: SolarHome | None = None) -> SimulatedUnit:
    """A unit that starts from this image, in a house like this one."""
    storage = Storage()
    storage.image[:] = image
    return SimulatedUnit(storage, copy.deepcopy(home or SolarHome()))


def credit(unit: SimulatedUnit) -> int:
    inside = unit._firmware.live.unit
    return int((inside.credit.high << 32) + inside.credit.low)


def wait(unit: SimulatedUnit) -> int:
    return int(unit._firmware.live.unit.wait)


def facts(unit: SimulatedUnit) -> dict[str, Any]:
    """All that a unit is after a start."""
    inside = unit._firmware.live.unit
    window = inside.window
    info, *event = ask(unit, b"#INFO;\n").split(b"\r\n")
    if info.startswith(b"#INFO;;"):
        return {"info": info}
    data = json.loads(ask(unit, b"#TELEMETRY;\n").split(b"\r\n")[0][11:])["data"]
    return {
        "info": info,
        "event": event,
        "window": (window.count, window.floor, window.used),
        "entries": (inside.wrong_entries, wait(unit)),
        "credit": (inside.unlocked, credit(unit)),
        "clock": inside.clock,
        "load": data["load_switch"],
        "log": ask(unit, b"#LOG;\n").split(b"\r\n")[0],
        "alerts": re.sub(rb",-?\d+,", b"", ask(unit, b"#ALERTS;\n").split(b"\r\n")[0]),
        "output": unit.output,
    }


def life() -> Iterator[tuple[str, Act, Snapshot, list[int], list[bytes]]]:
    """Each act: its name, the unit before it, how long its writes are, and the image before and after each write."""
    unit = new_unit()
    for name, act in LIFE:
        before = Snapshot(unit)
        images = [before.image]
        lengths: list[int] = []
        write = unit.storage.write

        def record(offset: int, data: bytes, write: Any = write, lengths: Any = lengths, images: Any = images) -> None:
            write(offset, data)
            if unit._outputs.write.at == 0:
                lengths.append(0)
                images.append(b"")
            lengths[-1] += len(data)
            images[-1] = bytes(unit.storage.image)

        unit.storage.write = record  # type: ignore[method-assign]
        act(unit)
        unit.take()
        unit.storage.write = write  # type: ignore[method-assign]
        yield name, act, before, lengths, images


ACTS = list(life())
NAMES = [act[0] for act in ACTS]


def test_the_scenario_writes_what_it_should():
    """The scenario has a write of every kind, or the tests below prove nothing."""
    writes = {name: len(lengths) for name, _, _, lengths, _ in ACTS}
    assert writes["setup"] == 3
    assert [name for name, number in writes.items() if number == 0] == [
        "replay", "in the wait", "the wait", "unlocked minutes"
    ]  # fmt: skip
    assert sum(writes[f"hour {part}"] for part in range(6)) >= 12


@pytest.mark.parametrize("name", [name for name, _, _, lengths, _ in ACTS if lengths])
def test_a_unit_wakes_before_or_after_the_write(name):
    """T36, H12: in everything it knows; a cut costs at most 300 s of credit, gains none and shortens no wait."""
    _, act, before, lengths, images = ACTS[NAMES.index(name)]
    through = before.run_on()
    act(through)
    for number, length in enumerate(lengths):
        allowed = [facts(woken(image, through.home)) for image in images[number : number + 2]]
        for at_byte in range(length + 1):
            unit = before.run_on()
            unit.cut_power(at_byte, number)
            act(unit)
            assert not unit.powered
            had, waited = credit(unit), wait(unit)
            unit.power_on()
            unit.take()
            assert unit.powered
            woke = facts(unit)
            assert woke in allowed, at_byte
            complete = woke == allowed[1]
            assert complete or at_byte < length
            assert not complete or at_byte > 0 or allowed[0] == allowed[1]
            if not complete:
                assert had - AHEAD_S <= credit(unit) <= had
                assert wait(unit) >= waited
            elif credit(through):
                assert credit(through) - AHEAD_S <= credit(unit) <= credit(through) + 600


@pytest.mark.parametrize("name", ["add", "set 0", "unlock", "add when unlocked"])
def test_an_interrupted_token_is_taken_once(name):
    """H12, T11: it is accepted now, or it was and is used; every token before it stays used."""
    _, act, before, lengths, _ = ACTS[NAMES.index(name)]
    token = {"add": WEEK_2, "set 0": ZERO_3, "unlock": UNLOCK_5, "add when unlocked": LARGEST_6}[name]
    taken = [WEEK_2, ZERO_3, UNLOCK_5, LARGEST_6]
    for at_byte in range(lengths[0] + 1):
        unit = before.run_on()
        unit.cut_power(at_byte)
        act(unit)
        unit.power_on()
        unit.take()
        complete = at_byte == lengths[0]
        assert (enter(unit, token).split(b"\r\n")[0] == b"ALREADY_USED") == complete
        assert enter(unit, token).startswith(b"ALREADY_USED")
        restart(unit)
        for used in taken[: taken.index(token) + 1]:
            assert enter(unit, used) == b"ALREADY_USED", (at_byte, used)


@pytest.mark.parametrize("line", [SETUP, HDK_SETUP])
def test_an_interrupted_setup_leaves_a_blank_unit_or_a_whole_one(line):
    """H10, H14: a blank one can be set up again, as somebody else; a whole one takes its first token."""
    for number, lengths in enumerate(ACTS[0][3]):
        for at_byte in range(lengths + 1):
            unit = new_unit()
            unit.cut_power(at_byte, number)
            said = ask(unit, line)
            assert said == b""  # a reply of the step in which the supply failed did not leave the unit
            unit.power_on()
            info = ask(unit, b"#INFO;\n")
            if number == 0 and at_byte < lengths:
                assert info == b"#INFO;;PAYGO-SIM;legacy;0.1.0;0;0\r\n"
                other = b"#SETUP+;OTHER;123456789;bc41ec9530f6dac86b1a29ab82edc5fb;5;1;0;;\n"
                assert ask(unit, other) == b"#SETUP+;OK\r\n"
                assert ask(unit, b"#INFO;\n").startswith(b"#INFO;OTHER;")
            else:
                assert info.startswith(b"#INFO;SLT220000001;PAYGO-SIM;legacy;0.1.0;1;"), at_byte
                assert ask(unit, line) in (b"#SETUP+;ERROR;provisioned\r\n", b"#INVALID\r\n")
                assert enter(unit, WEEK_2) == b"VALID;604800"
                restart(unit)
                assert enter(unit, WEEK_2) == b"ALREADY_USED"


def test_a_cut_inside_a_cut():
    """T36: the supply fails again in the write that counts the start, as often as it likes: nothing is gained."""
    unit = ready_unit(WEEK_2)
    cuts = 0
    for at_byte in range(0, SLOT_BYTES + 8, 2):
        for _ in range(2):
            before = credit(unit)
            unit.power_off()
            unit.cut_power(at_byte)
            unit.power_on()
            cuts += 1
            unit.power_on()
            assert before - AHEAD_S * 2 <= credit(unit) <= before
            assert enter(unit, WEEK_2) == b"ALREADY_USED"
    assert credit(unit) >= 7 * DAY - AHEAD_S * cuts * 2


def test_ten_thousand_cuts_give_no_light_for_nothing():
    """T36: seconds of light never exceed seconds charged, and each cut costs at most 300 s."""
    rng = random.Random(20_240_601)
    unit = ready_unit()
    unit.home.battery.step = lambda *_: None  # type: ignore[method-assign]  # a battery that never runs out
    config = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
    count, charged, light = 1, 0, 0
    for cuts in range(1, 10_001):
        if credit(unit) < DAY:
            unit._cut = None
            token = generate_token(config, count, 35)
            if enter(unit, token.digits).startswith(b"VALID"):
                charged += 35 * DAY
            count = token.count
        if rng.random() < 0.5:
            unit.cut_power(rng.randrange(SLOT_BYTES + 8), rng.randrange(2))
        for _ in range(rng.randrange(1, 5)):
            lit = unit.output
            unit.pass_time(10_000)
            light += 10 * lit
        unit.power_off()
        unit.power_on()
        unit.power_on()
        assert light + credit(unit) <= charged
        if cuts % 100 == 0:
            assert light + credit(unit) >= charged - cuts * 3 * AHEAD_S  # at most three starts and a save each
    assert light > DAY


# Damage


def damaged(image: bytes, rng: random.Random) -> bytes:
    """Some bits flipped, a run of bytes stuck, or a slot overwritten."""
    found = bytearray(image)
    kind = rng.randrange(3)
    if kind == 0:
        for _ in range(rng.randrange(1, 60)):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        start, value = rng.randrange(len(found)), rng.choice([0x00, 0x55])
        for at in range(start, min(len(found), start + rng.randrange(1, 400))):
            found[at] = value
    else:
        for at in range(0, len(found), rng.randrange(1, 40)):
            found[at] &= rng.randrange(256)
    return bytes(found)


def test_damage_never_gives_credit_and_a_unit_always_answers():
    """T36, H17: it wakes in a state that it once stored, or says STORAGE_FAULT and stays dark."""
    rng = random.Random(7)
    for name, _, _, _, images in ACTS[1:]:
        for _ in range(40):
            image = images[-1]
            unit = woken(damaged(image, rng))
            info = ask(unit, b"#INFO;\n").split(b"\r\n")[0]
            alerts = ask(unit, b"#ALERTS;\n").split(b"\r\n")[0]
            if info.startswith(b"#INFO;;"):
                assert alerts == b"#ALERTS;1;STORAGE_FAULT,1,1", name
                assert ask(unit, SETUP) == b"#SETUP+;ERROR;storage\r\n"
                assert ask(unit, b"#TOKEN;016609796\n") == b"#TOKEN;INVALID\r\n"
                assert ask(unit, b"#STATUS;\n") == b"#STATUS;INACTIVE\r\n"
                assert ask(unit, b"#LOAD;ON\n") == b"#INVALID\r\n"
                unit.press("*" + WEEK_2)
                assert not unit.output
                assert unit.storage.writes == 0
            else:
                assert info.startswith(b"#INFO;SLT220000001;")
                inside = unit._firmware.live.unit
                assert credit(unit) <= 7 * DAY + 995 * DAY * ("unlocked" in name or "add when" in name)
                assert not inside.unlocked or name in {"unlock", "add when unlocked", "unlocked minutes"}


@pytest.mark.parametrize("slot", range(lib.PAYGO_STATES))
def test_one_damaged_slot_never_loses_the_unit(slot):
    """T36: whichever slot it is, the unit wakes at most one write back, with its count."""
    unit = ready_unit(WEEK_2)
    for _ in range(lib.PAYGO_STATES):
        ask(unit, b"#LOAD;ON\n")
    image = bytearray(unit.storage.image)
    had = credit(unit)
    at = lib.PAYGO_SLOTS_AT + slot * SLOT_BYTES
    image[at + 20] ^= 0x10
    after = woken(bytes(image))
    assert ask(after, b"#INFO;\n").startswith(b"#INFO;SLT220000001;PAYGO-SIM;legacy;0.1.0;2;2\r\n")
    assert enter(after, WEEK_2) == b"ALREADY_USED"
    assert had - AHEAD_S <= credit(after) <= had + AHEAD_S


def test_a_unit_whose_journal_is_gone_does_not_begin_anew():
    """T11: else every token would work again."""
    unit = ready_unit(WEEK_2)
    image = bytearray(unit.storage.image)
    image[lib.PAYGO_SLOTS_AT : lib.PAYGO_EVENTS_AT] = bytes(lib.PAYGO_STATES * SLOT_BYTES)
    after = woken(bytes(image))
    assert ask(after, b"#ALERTS;\n") == b"#ALERTS;1;STORAGE_FAULT,1,1\r\n"
    assert ask(after, b"#TOKEN;016609796\n") == b"#TOKEN;INVALID\r\n"


# A real process


def _entered(port: str, token: str) -> bytes:
    """What a unit on a port answers within a second, empty when it is gone."""
    with Serial(port, 115_200, timeout=10) as line:
        line.write(b"#TOKEN;" + token.encode() + b"\n")
        return bytes(line.read_until(b"\n"))


@pytest.mark.parametrize("at_byte", [0, 40, SLOT_BYTES - 4, SLOT_BYTES])
def test_a_killed_process_keeps_what_it_answered(tmp_path: Path, at_byte: int):
    """H12: dead by SIGKILL in the write of the second token; it starts again on the same link, and nothing replays.

    All of the check or none: its last byte alone is one in 256 times what an erased cell has, and the record whole.
    """
    options = ("--state", str(tmp_path / "state"))
    with simulated_unit(tmp_path, *options) as running, ControlClient(running.control) as control:
        with Serial(running.port, 115_200, timeout=10) as line:
            line.write(SETUP)
            assert line.read_until(b"\n") == b"#SETUP+;OK\r\n"
            line.write(b"#TOKEN;" + WEEK_2.encode() + b"\n")
            assert line.read_until(b"\n") == b"#TOKEN;VALID;604800\r\n"
            control.request("cut_power", at_byte=at_byte, after_writes=0, kill=True)
            line.write(b"#TOKEN;" + SYNC_3.encode() + b"\n")
            running.process.wait(10)
        assert running.process.returncode == -signal.SIGKILL
        with pytest.raises(PortError):
            control.read()
    with simulated_unit(tmp_path, *options) as running:
        assert running.port == str(tmp_path / "unit")
        assert _entered(running.port, WEEK_2) == b"#TOKEN;ALREADY_USED\r\n"
        complete = at_byte == SLOT_BYTES
        assert _entered(running.port, SYNC_3) == (
            b"#TOKEN;ALREADY_USED\r\n" if complete else b"#TOKEN;VALID;604500\r\n"
        )
        assert _entered(running.port, SYNC_3) == b"#TOKEN;ALREADY_USED\r\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]
