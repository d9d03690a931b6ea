"""The keypad typist: its C against a keypad unit in virtual time, its sketch under the compiler, and its driver."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from cffi import FFI
from fake_hdk import PtyUnit

from hw_bridge.drivers import Entry, capabilities
from hw_bridge.drivers.keypad import TypistDriver
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, PaygoError, PaygUnit, Reason, TokenType, generate_token
from paygo_core.errors import DeviceError, NoAnswerError

SKETCH = Path(__file__).parents[2] / "contrib" / "keypad_typist"
STUB = Path(__file__).with_name("Arduino.h")
CONFIG = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
STEP_MS = 5


# The C


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """typist.c, as Python sees C."""
    folder = tmp_path_factory.mktemp("typist")
    header = ["gcc", "-E", "-P", SKETCH / "typist.h"]
    declared = subprocess.run(header, check=True, capture_output=True, text=True).stdout
    ffi = FFI()
    ffi.cdef(declared[declared.index("typedef struct {\n    _Bool lit") :])
    ffi.set_source("_typist", '#include "typist.h"', sources=[str(SKETCH / "typist.c")], include_dirs=[str(SKETCH)])
    built = ffi.compile(tmpdir=str(folder))
    found = importlib.util.spec_from_file_location("_typist", built)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class KeypadUnit:
    """A unit as its keypad and its lights show it: a contact counts after 20 ms, a blink is 250 ms on and 250 off."""

    def __init__(self) -> None:
        self.brain = PaygUnit(CONFIG, 1)
        self.typed = ""
        self._key, self._since, self._taken = "", 0, True
        self._pattern: list[tuple[str, int, int]] = []

    def step(self, now: int, held: str) -> None:
        if held != self._key:
            self._key, self._since, self._taken = held, now, not held
        if not self._taken and now - self._since >= 20:
            self._taken = True
            self.typed += held
            entry = self.typed.rpartition("*")[2]
            if "*" in self.typed and len(entry) == 9:
                self.typed = ""
                said = self.brain.enter(entry, 0)
                colour, blinks = "red", 10
                if said.reason is Reason.ACCEPTED:
                    colour, blinks = "green", 5 if said.token_type is TokenType.DISABLE_PAYG else 2
                elif said.token_type is TokenType.ALREADY_USED:
                    colour, blinks = "green", 1
                self._pattern = [(colour, now + 500 * at, now + 500 * at + 250) for at in range(blinks)]

    def lit(self, now: int, colour: str) -> bool:
        return any(name == colour and begins <= now < ends for name, begins, ends in self._pattern)


class Bench:
    """The typist's C on a keypad unit; time passes in steps of 5 ms, on a clock that wraps soon."""

    def __init__(self, native) -> None:
        self.lib, self.ffi = native.lib, native.ffi
        self.typist = self.ffi.new("typist *")
        self.lib.typist_init(self.typist)
        self.unit = KeypadUnit()
        self.now = 0
        self.glitch = False
        self.held: list[tuple[str, int]] = []

    def hear(self, keys: bytes) -> None:
        for key in keys:
            self.lib.typist_hear(self.typist, bytes([key]))

    def run(self, seconds: float) -> list[str]:
        """What it says meanwhile."""
        said = []
        for _ in range(round(seconds * 1000 / STEP_MS)):
            self.now += STEP_MS
            green, red = (self.unit.lit(self.now, colour) for colour in ("green", "red"))
            noise = self.glitch and self.now % 100 == 0
            clock = (2**32 - 3000 + self.now) % 2**32
            key = self.lib.typist_step(self.typist, clock, green ^ noise, red).decode("ascii").strip("\0")
            if key:
                self.held.append((key, self.now))
            self.unit.step(self.now, key)
            if (line := self.lib.typist_line(self.typist)) != self.ffi.NULL:
                said.append(self.ffi.string(line).decode("ascii"))
        return said


@pytest.fixture
def bench(native):
    bench = Bench(native)
    assert bench.run(0.1) == ["keypad typist 1"]
    return bench


def test_tokens_are_typed_and_the_lights_answers_told(bench):
    token = generate_token(CONFIG, 1, 7)
    unlock = generate_token(CONFIG, token.count, token_type=TokenType.DISABLE_PAYG)
    for digits, said in (
        (token.digits, "Green LED Blinked 2 times!"),
        (token.digits, "Green LED Blinked 1 times!"),
        ("111111111", "Red LED Blinked 10 times!"),
        (unlock.digits, "Green LED Blinked 5 times!"),
    ):
        bench.hear(b"*" + digits.encode())
        assert bench.run(12) == [said]
    assert bench.unit.brain.unlocked


def test_a_key_is_held_for_120_ms_and_let_go_for_180(bench):
    bench.hear(b"77#")
    bench.run(2)
    assert bench.unit.typed == "77#"
    begun = [at for (_, before), (_, at) in pairwise([("", -1000), *bench.held]) if at - before > STEP_MS]
    assert [later - earlier for earlier, later in pairwise(begun)] == [300, 300]
    assert len(bench.held) == 3 * 120 // STEP_MS


def test_what_is_no_key_is_not_typed_and_more_than_32_keys_are_dropped(bench):
    bench.hear(b"a1\r\n\x00\xff 2ABCD")
    bench.run(1)
    assert bench.unit.typed == "12"
    bench.unit.typed = ""
    bench.hear(b"#" * 100)
    bench.run(40)
    assert bench.unit.typed == "#" * 32


def test_a_flicker_is_no_blink(bench):
    bench.glitch = True
    bench.hear(b"*" + generate_token(CONFIG, 1, 1).digits.encode())
    bench.run(6)
    bench.glitch = False
    assert bench.run(2) == ["Green LED Blinked 2 times!"]


def test_it_says_who_it_is_when_it_is_asked(bench):
    bench.hear(b"?")
    assert bench.run(0.1) == ["keypad typist 1"]
    assert bench.unit.typed == ""


@pytest.mark.parametrize("compiler", ["gcc", "clang", "avr-gcc -mmcu=atmega328p", "arm-none-eabi-gcc -mcpu=cortex-m3"])
def test_the_c_compiles_without_a_warning(tmp_path, compiler):
    name, *options = compiler.split()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-Os"]
    subprocess.run([name, *options, *strict, "-c", SKETCH / "typist.c", "-o", tmp_path / "typist.o"], check=True)


def test_the_sketch_compiles_for_an_arduino(tmp_path):
    if shutil.which("avr-g++") is None:
        pytest.skip("avr-g++ is not installed")
    command = ["avr-g++", "-mmcu=atmega328p", "-std=gnu++11", "-Wall", "-Wextra", "-Werror", "-Os", "-x", "c++"]
    command += ["-include", STUB, "-I", SKETCH, "-c", SKETCH / "keypad_typist.ino", "-o", tmp_path / "sketch.o"]
    subprocess.run(command, check=True)


# The driver


class FakeTypist(PtyUnit):
    """What a typist says, after it was deaf for so many questions, as an Arduino is while it starts."""

    def __init__(self, answer: bytes, deaf: int = 0) -> None:
        super().__init__()
        self._said, self._deaf, self.keys = answer, deaf, b""

    def take(self, data: bytes) -> bytes:
        said = b""
        for byte in data:
            if self._deaf:
                self._deaf -= 1
            elif byte == ord("?"):
                said += b"keypad typist 1\r\n"
            else:
                self.keys += bytes([byte])
                said += self._said if len(self.keys) == 10 else b""
        return said


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (b"Green LED Blinked 2 times!\r\n", Entry("accepted")),
        (b"Green LED Blinked 3 times!\r\n", Entry("accepted")),
        (b"Green LED Blinked 5 times!\r\n", Entry("accepted", unlocked=True)),
        (b"Green LED Blinked 1 times!\r\n", Entry("already_used")),
        (b"Red LED Blinked 10 times!\r\n", Entry("invalid")),
        (b"Red LED Blinked 1 times!\r\n", Entry("wait")),
    ],
)
def test_what_the_light_says_is_the_verdict(line, entry):
    with FakeTypist(line) as unit, Transport(unit.port, TypistDriver.BAUD) as transport:
        driver = TypistDriver(transport)
        assert driver.enter("016 609 796") == entry
        assert unit.keys == b"*016609796"
        assert capabilities(driver) == {"enter"}


def test_a_typist_that_starts_is_waited_for():
    with FakeTypist(b"Green LED Blinked 2 times!\r\n", deaf=2) as unit, Transport(unit.port, 9600) as transport:
        assert TypistDriver(transport).enter("016609796").verdict == "accepted"


def test_a_light_that_does_not_answer_and_a_line_without_a_typist():
    with FakeTypist(b"") as unit, Transport(unit.port, 9600) as transport:
        with pytest.raises(NoAnswerError, match="light did not answer"):
            TypistDriver(transport, timeout=0.5).enter("016609796")
        with pytest.raises(PaygoError, match="1 digits"):
            TypistDriver(transport).enter("1")
    with FakeTypist(b"", deaf=1000) as unit, Transport(unit.port, 9600) as transport:
        with pytest.raises(NoAnswerError, match="no keypad typist"):
            TypistDriver(transport, timeout=0.5).enter("016609796")
        assert unit.keys == b""


def test_a_pattern_that_no_token_has_is_no_verdict():
    with (
        FakeTypist(b"Green LED Blinked 40 times!\r\n") as unit,
        Transport(unit.port, 9600) as transport,
        pytest.raises(DeviceError, match="40 times"),
    ):
        TypistDriver(transport).enter("016609796")


def test_a_typist_is_found_by_what_it_says_at_its_start():
    assert TypistDriver.heard(b"\r\nkeypad typist 1\r\n") == "keypad typist"
    assert TypistDriver.heard(b"Green LED Blinked 2 times!") is None
