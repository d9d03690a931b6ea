"""Storage that cannot tear and wears out late: cuts through a whole life, stuck bits, and the sum of its years."""

from __future__ import annotations

import random
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sim_rig import DAY, KEY, SETUP, WEEK_2, ask, enter, new_unit, ready_unit

from firmware_sim._native import ffi, lib
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from hw_bridge.conformance.catalogue import load
from hw_bridge.conformance.plan import Model, plan
from paygo_core import DeviceConfig, generate_token

ROOT = Path(__file__).parents[2]
CONFIG = DeviceConfig.from_hex(KEY, 123456789)
AHEAD_S = 300


def left_of(inside: Any) -> int:
    """Seconds of credit of a firmware's unit; more than any, when it is unlocked."""
    return 1 << 40 if inside.unlocked else (inside.credit.high << 32) + inside.credit.low


def credit(unit: SimulatedUnit) -> int:
    return left_of(unit._firmware.live.unit)


def window(unit: SimulatedUnit) -> tuple[int, int, int]:
    found = unit._firmware.live.unit.window
    return found.count, found.floor, found.used


class Cutter:
    """Wakes a second unit from what each byte of each write of the first one leaves."""

    def __init__(self, unit: SimulatedUnit) -> None:
        self.unit = unit
        self.firmware = ffi.new("paygo_firmware *")
        self.reader = ffi.new("paygo_reader *")
        self.cuts = 0
        self._write = unit.storage.write
        self._before = self._woken(unit.storage.image)
        self._at_begin = bytes(unit.storage.image)
        unit.storage.write = self.write  # type: ignore[method-assign]

    def _woken(self, image: bytearray) -> tuple[int, tuple[int, int, int], int]:
        """Storage state, window and credit of a unit that starts from this image."""
        lib.paygo_read_from_image(self.reader, ffi.from_buffer(image))
        lib.paygo_firmware_boot(self.firmware, lib.PAYGO_BOARD_LEGACY, self.reader, 1)
        inside = self.firmware.live.unit
        return self.firmware.storage, (inside.window.count, inside.window.floor, inside.window.used), left_of(inside)

    def write(self, offset: int, data: bytes) -> None:
        image = bytearray(self.unit.storage.image)
        had = credit(self.unit)
        woken = []
        for at, byte in enumerate(data):
            image[offset + at] = byte
            woken.append(self._woken(image))
            self.cuts += 1
        self._write(offset, data)
        after = woken[-1]
        for state, tokens, left in woken:
            assert state == lib.PAYGO_STORAGE_READY or state == self._before[0] == lib.PAYGO_STORAGE_BLANK
            assert tokens in (self._before[1], after[1])
            if tokens == window(self.unit):  # no token came or goes: at most 300 s are lost, and nothing is gained
                assert had - AHEAD_S <= left <= had
            else:
                assert left in (self._before[2], after[2])
        self._before = after


def test_a_cut_at_every_byte_of_the_official_procedure():
    """T36, H12, H27: before or after, at most 300 s lost, none gained."""
    unit = new_unit()
    cutter = Cutter(unit)
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    model = Model.at(CONFIG, 1)
    for test in load():
        if test.official:
            planned = plan(test, model, False)
            for move in planned.moves:
                unit.pass_time((move.step.advance or 120) * 1000)
                if move.verdict:
                    ask(unit, b"#TOKEN;" + move.digits.encode() + b"\n")
            model = planned.after
    assert cutter.cuts > 3000


def test_a_cut_at_every_byte_of_a_random_month():
    """T36: tokens old and new, wrong ones, alerts, acknowledgements, the operator, restarts."""
    rng = random.Random(44)
    unit = ready_unit()
    cutter = Cutter(unit)
    count, old = 1, [WEEK_2]
    for _ in range(30):
        for _ in range(rng.randrange(1, 6)):
            kind = rng.randrange(7)
            if kind < 2:
                token = generate_token(CONFIG, count, rng.randrange(1, 4))
                count = token.count
                old.append(token.digits)
                ask(unit, b"#TOKEN;" + token.digits.encode() + b"\n")
            elif kind == 2:
                unit.press("*" + rng.choice(old))
            elif kind == 3:
                unit.press(f"*{rng.randrange(10**9):09d}")
            elif kind == 4:
                ask(unit, rng.choice([b"#LOAD;OFF\n", b"#LOAD;AUTO\n", b"#ACK;1;%d\n" % rng.randrange(1, 9)]))
            elif kind == 5:
                unit.home.set_fault("battery_sensor_offset_v", rng.choice([0, 0, 5, -4]))
            else:
                before = credit(unit)
                unit.power_off()
                unit.power_on()
                assert before - AHEAD_S <= credit(unit) <= before
            unit.pass_time(rng.randrange(3_600_000))
        unit.pass_time(12 * 3_600_000)
        for token_digits in rng.sample(old[:-1], min(2, len(old) - 1)):
            had = credit(unit)
            unit.feed(b"#TOKEN;" + token_digits.encode() + b"\n")
            unit.pass_time(0)
            if b"ALREADY_USED" in unit.take():
                assert credit(unit) <= had
    assert cutter.cuts > 20_000


@pytest.mark.parametrize("part", ["clock", "state", "events"])
def test_worn_cells_move_records_to_the_next_place(part):
    """H27: two bad places in each ring; everything goes on, over restarts, and nothing is lost or gained."""
    at, size = {
        "clock": (lib.PAYGO_CLOCKS_AT, lib.PAYGO_CLOCK_BYTES),
        "state": (lib.PAYGO_SLOTS_AT, lib.PAYGO_SLOT_BYTES),
        "events": (lib.PAYGO_EVENTS_AT, lib.PAYGO_EVENT_BYTES),
    }[part]
    rng = random.Random(part)
    storage = Storage()
    storage.stuck = {at + place * size + rng.randrange(size): (0x5A, rng.choice([0, 0x5A])) for place in (1, 2)}
    unit = new_unit(storage)
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    assert enter(unit, WEEK_2) == b"VALID;604800"
    passed = 0
    for turn in range(60):
        unit.home.set_fault("battery_sensor_offset_v", 6 * (turn % 2))
        unit.pass_time(300_000)
        passed += 300
        ask(unit, b"#ACK;1;%d\n" % (turn + 1))
        assert credit(unit) == 7 * DAY - passed
    unit.power_off()
    unit.power_on()
    assert 7 * DAY - passed - AHEAD_S <= credit(unit) <= 7 * DAY - passed
    assert enter(unit, WEEK_2) == b"ALREADY_USED"
    assert ask(unit, b"#ALERTS;\n").startswith(b"#ALERTS;")
    assert unit._firmware.storage == lib.PAYGO_STORAGE_READY


def test_a_cut_at_every_byte_with_worn_cells():
    """H27, T36: as without them."""
    storage = Storage()
    storage.stuck = {
        lib.PAYGO_CLOCKS_AT + 3 * lib.PAYGO_CLOCK_BYTES + 1: (1, 1),
        lib.PAYGO_SLOTS_AT + 2 * lib.PAYGO_SLOT_BYTES + 9: (0x80, 0),
        lib.PAYGO_SLOTS_AT + 3 * lib.PAYGO_SLOT_BYTES + 56: (0x10, 0x10),
    }
    unit = new_unit(storage)
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    cutter = Cutter(unit)
    count = 1
    for _ in range(12):
        token = generate_token(CONFIG, count, 1)
        count = token.count
        assert enter(unit, token.digits).startswith(b"VALID")
        unit.pass_time(600_000)
    assert cutter.cuts > 900


@pytest.mark.parametrize("by_keypad", [False, True])
def test_a_token_whose_count_cannot_be_stored_gives_nothing(by_keypad):
    """H12, H27: every place is worn; it is answered, the light says wrong, and there is no light to use."""
    storage = Storage()
    unit = new_unit(storage)
    assert ask(unit, SETUP) == b"#SETUP+;OK\r\n"
    rings = range(lib.PAYGO_CLOCKS_AT, len(storage.image))
    storage.stuck = {at: (0xFF, storage.image[at] ^ 0x55) for at in rings}
    if by_keypad:
        unit.press("*" + WEEK_2)
        unit.pass_time(0)
    else:
        assert enter(unit, WEEK_2) == b"INVALID"
    assert unit.last_blink == ("red", 10)
    assert unit.output is False
    assert credit(unit) == 0


def test_damaged_clocks_give_no_credit():
    """H27: however many of the newest clocks are gone, the unit wakes with no more than ten minutes too much."""
    unit = ready_unit(WEEK_2)
    for _ in range(20):
        unit.pass_time(270_000)
    had = credit(unit)
    ring = range(lib.PAYGO_CLOCKS)
    newest = max(ring, key=lambda place: clock_of(unit.storage.image, place))
    for damaged in range(1, newest):
        image = bytearray(unit.storage.image)
        for place in range(newest - damaged + 1, newest + 1):
            image[lib.PAYGO_CLOCKS_AT + place * lib.PAYGO_CLOCK_BYTES + 5] ^= 0xFF
        storage = Storage()
        storage.image[:] = image
        assert credit(new_unit(storage)) <= had + 2 * AHEAD_S, damaged


def clock_of(image: bytearray, place: int) -> int:
    at = lib.PAYGO_CLOCKS_AT + place * lib.PAYGO_CLOCK_BYTES
    clock = int.from_bytes(image[at : at + 4], "little")
    return 0 if clock == 0xFFFFFFFF else clock


def test_the_eeprom_lasts_ten_years():
    """H27: the sum in docs/storage.md is what the command prints, and what a unit's cells see in a day."""
    sum_of_years = runpy.run_path(str(ROOT / "bench" / "storage_wear.py"))
    page = (ROOT / "docs" / "storage.md").read_text("utf-8")
    assert "\n".join(sum_of_years["lines"]()) in page
    for _, a_day, places in sum_of_years["rows"]():
        assert a_day * 3652.5 / places < 100_000
    unit = ready_unit(WEEK_2)
    worn: Counter[int] = Counter()
    write = unit.storage.write

    def count(offset: int, data: bytes) -> None:
        worn.update(range(offset, offset + len(data)))
        write(offset, data)

    unit.storage.write = count  # type: ignore[method-assign]
    unit.pass_time(DAY * 1000)
    clocks = range(lib.PAYGO_CLOCKS_AT, lib.PAYGO_CLOCKS_AT + lib.PAYGO_CLOCKS * lib.PAYGO_CLOCK_BYTES)
    assert 0 < max(worn[at] for at in clocks) * 3652.5 < 100_000
    assert max(worn[at] for at in range(lib.PAYGO_STORAGE_BYTES) if at not in clocks) * 3652.5 < 100_000
    assert all(worn[at] == 0 for at in range(lib.PAYGO_FACTORY_BYTES))
