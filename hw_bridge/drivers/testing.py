"""The tests that every driver has to pass, ours and those of others: subclass DriverSuite and run pytest.

They drive a unit, real or simulated, through what the driver says that it can do, and put the driver on lines that are
silent, noisy, endless, cut or pulled out. docs/drivers.md has an example.
"""

from __future__ import annotations

import json
import os
import random
import select
import threading
import tracemalloc
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import serial

from hw_bridge.drivers import ActiveAlert, Capability, Entry, Info, Load, UnitStatus, capabilities, usual_baud
from hw_bridge.transport import Transport
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError, Problem
from paygo_core.telemetry import ALERT_CODES, Telemetry
from paygo_core.tokens import DeviceConfig

MOST_MEMORY = 4 << 20
"""Bytes that a driver may take on a line that never stops talking."""
PLAUSIBLE = {
    "battery_voltage": (0, 120),
    "battery_current": (-1000, 1000),
    "panel_voltage": (0, 1000),
    "panel_current": (0, 1000),
    "panel_power": (0, 50_000),
    "load_voltage": (0, 120),
    "load_current": (-1, 1000),
    "load_power": (-1, 50_000),
    "temperature": (-60, 150),
    "state_of_charge": (0, 1),
}
"""What lies outside was not converted: mV for V, ‰ for a share."""
KEY = "0f9ab80edc05fbbc41ec9530f6da0ab1"
QUESTIONS: tuple[Capability, ...] = ("identify", "status", "telemetry", "alerts")
"""What changes nothing on a unit."""
NOISES = {
    "binary noise": random.Random(1).randbytes(4096),  # noqa: S311  # the same at every run
    "an endless line": b"A" * 4096,
    "line ends only": b"\r\n" * 2048,
    "beginnings of frames": b"#TELEMETRY;{\r\nV\t12:7\x01\x04" * 170,
}


class Line:
    """A pty with the driver on one end and the test on the other. Use it with `with`.

    answer: gets what the driver sent, returns what the line says to it. flood: is said over and over.
    """

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _sent: b"", *, flood: bytes = b"") -> None:
        self.received = b""
        self._answer = answer
        self._flood = flood
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._stopped, self._stop = os.pipe()
        self._plugged = True
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()
        for descriptor in (self._slave, self._stop, self._stopped):
            os.close(descriptor)

    def say(self, data: bytes) -> None:
        """Says something unasked. What nobody reads is lost, as on a wire."""
        with suppress(BlockingIOError):
            os.write(self._master, data)

    def vanish(self) -> None:
        """Pulls the plug."""
        if self._plugged:
            self._plugged = False
            os.write(self._stop, b"x")
            self._thread.join()
            os.close(self._master)

    def _run(self) -> None:
        while True:
            writing = [self._master] if self._flood else []
            ready, free, _ = select.select([self._master, self._stopped], writing, [])
            if self._stopped in ready:
                return
            if self._master in ready:
                data = os.read(self._master, 4096)
                self.received = (self.received + data)[-65_536:]
                self.say(self._answer(data))
            elif free:
                self.say(self._flood)


class Spliced(AbstractContextManager["Spliced"]):
    """A line that is spliced into a unit's cable. say() comes to the driver as if the unit had said it.

    cut_next: only so many bytes of what the unit says next arrive; the rest of it is lost.
    """

    def __init__(self, port: str, baud: int) -> None:
        self._unit = serial.serial_for_url(port, baud, timeout=0.02)
        self._line = Line(self._on)
        self.port = self._line.port
        self.say = self._line.say
        self.cut_next: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._back)

    def __enter__(self) -> Spliced:
        self._line.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._line.__exit__()
        self._unit.close()

    def _on(self, sent: bytes) -> bytes:
        self._unit.write(sent)
        return b""

    def _back(self) -> None:
        while not self._ended.is_set():
            if said := self._unit.read(1) + self._unit.read(self._unit.in_waiting):
                if self.cut_next is not None:
                    said, self.cut_next = said[: self.cut_next], None
                self._line.say(said)


class DriverSuite:
    """What every driver has to do. A subclass names the driver class and gives a unit's port.

    driver: the class. timeout: the deadline, in seconds, that it gets on lines where no good answer comes.
    """

    driver: ClassVar[Callable[..., Any]]
    timeout: ClassVar[float] = 1.5

    @contextmanager
    def unit(self, directory: Path) -> Iterator[str]:  # noqa: ARG002
        """The port of a unit in working order, for one test; `directory` is empty and the test's own."""
        raise NotImplementedError
        yield ""

    # What a subclass has, put to use

    def _open(self, port: str, **options: Any) -> Transport:
        return Transport(port, usual_baud(type(self).driver), **options)

    def _make(self, transport: Transport, **options: Any) -> Any:
        return type(self).driver(transport, **options)

    @contextmanager
    def _on_unit(self, directory: Path, sent: bytearray | None = None) -> Iterator[Any]:
        def trace(direction: str, data: bytes) -> None:
            if sent is not None and direction == ">":
                sent.extend(data)

        with self.unit(directory) as port, self._open(port, trace=trace) as transport:
            yield self._make(transport)

    def _questions(self, driver: object) -> list[Capability]:
        able = capabilities(driver)
        return [name for name in QUESTIONS if name in able]

    def _asked(self, driver: Any) -> frozenset[Capability]:
        """What the unit can do, after a question that may have shown it."""
        for name in self._questions(driver)[:1]:
            getattr(driver, name)()
        return capabilities(driver)

    # A unit in working order

    def test_it_can_do_something(self, tmp_path: Path) -> None:
        with self._on_unit(tmp_path) as driver:
            assert capabilities(driver)

    def test_its_answers_are_of_the_right_kind(self, tmp_path: Path) -> None:
        with self._on_unit(tmp_path) as driver:
            for name in self._questions(driver):
                if name in capabilities(driver):  # asking may have shown that the unit lacks it
                    check_answer(name, getattr(driver, name)())

    def test_its_telemetry_is_in_si_units(self, tmp_path: Path) -> None:
        with self._on_unit(tmp_path) as driver:
            if "telemetry" not in self._asked(driver):
                pytest.skip("it measures nothing")
            check_units(driver.telemetry())

    def test_a_token_with_a_typing_error_is_not_sent(self, tmp_path: Path) -> None:
        sent = bytearray()
        with self._on_unit(tmp_path, sent) as driver:
            if "enter" not in capabilities(driver):
                pytest.skip("it takes no tokens")
            before = len(sent)
            with pytest.raises(PaygoError):
                driver.enter("12345678x")
            assert sent[before:] == b""

    def test_its_switch_moves(self, tmp_path: Path) -> None:
        sent = bytearray()
        with self._on_unit(tmp_path, sent) as driver:
            if "switch_load" not in self._asked(driver):
                pytest.skip("it has no switch")
            off = driver.switch_load("off")
            assert isinstance(off, Load)
            assert not off.output
            assert isinstance(driver.switch_load("auto"), Load)
            before = len(sent)
            with pytest.raises(PaygoError):
                driver.switch_load("sideways")
            assert sent[before:] == b""

    # Lines that are not in order

    def test_a_silent_line_is_no_answer(self) -> None:
        with Line() as line, self._open(line.port) as transport:
            for name in self._questions(self._make(transport)):
                driver = self._make(transport, timeout=self.timeout)
                assert unanswered(getattr(driver, name), NoAnswerError), name

    @pytest.mark.parametrize("noise", NOISES)
    def test_a_line_that_never_stops_is_no_answer_and_takes_no_memory(self, noise: str) -> None:
        with Line(flood=NOISES[noise]) as line, self._open(line.port) as transport:
            tracemalloc.start()
            try:
                for name in self._questions(self._make(transport))[:2]:
                    driver = self._make(transport, timeout=self.timeout)
                    assert unanswered(getattr(driver, name), NoAnswerError, DeviceError), name
                assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
            finally:
                tracemalloc.stop()

    def test_a_port_that_vanishes_is_said_to_have_vanished(self) -> None:
        with Line() as line, self._open(line.port) as transport:
            driver = self._make(transport, timeout=self.timeout)
            line.vanish()
            for name in self._questions(driver)[:1]:
                with pytest.raises(PortError):
                    getattr(driver, name)()

    @pytest.mark.parametrize("noise", NOISES)
    def test_it_goes_on_after_noise(self, noise: str, tmp_path: Path) -> None:
        baud = usual_baud(type(self).driver)
        with self.unit(tmp_path) as port, Spliced(port, baud) as splice, self._open(splice.port) as transport:
            driver = self._make(transport)
            for name in self._questions(driver)[:2]:
                splice.say(NOISES[noise][:1000])
                with suppress(NoAnswerError, DeviceError):  # the noise may have taken the first answer with it
                    getattr(driver, name)()
                check_answer(name, getattr(driver, name)())

    @pytest.mark.parametrize("arriving", [1, 5])
    def test_it_goes_on_after_half_an_answer(self, arriving: int, tmp_path: Path) -> None:
        baud = usual_baud(type(self).driver)
        with self.unit(tmp_path) as port, Spliced(port, baud) as splice, self._open(splice.port) as transport:
            driver = self._make(transport)
            for name in self._questions(driver)[:1]:
                splice.cut_next = arriving
                with suppress(NoAnswerError, DeviceError):
                    getattr(driver, name)()
                check_answer(name, getattr(driver, name)())

    def test_a_key_shows_nowhere(self) -> None:
        shown: list[str] = []
        config = DeviceConfig.from_hex(KEY, starting_code=123456789)
        with Line(lambda sent: b"echo " + sent) as line, self._open(line.port) as transport:
            driver = self._make(transport, timeout=self.timeout, log=shown.append)
            if "provision" not in capabilities(driver):
                pytest.skip("it is not set up by its line")
            with suppress(Problem):
                driver.provision(Device("1234", config))
            try:
                driver.provision(Device("1234", config))
            except Problem as problem:
                shown += [problem.cause, problem.hint]
        text = " ".join(shown).lower()
        assert KEY not in text
        assert "".join(f"{byte:x}" for byte in bytes.fromhex(KEY)) not in text

    def test_it_recognises_nothing_in_noise(self) -> None:
        heard = getattr(type(self).driver, "heard", None)
        if heard is None:
            pytest.skip("its unit says nothing unasked")
        for said in (b"", b"\xff", *NOISES.values()):
            assert heard(said) is None


def unanswered(question: Callable[[], object], *errors: type[Problem]) -> bool:
    """Whether a question ended in one of these errors; None as an answer says as much."""
    try:
        return question() is None
    except errors:
        return True


def check_answer(name: str, answer: object) -> None:
    """Fails when an answer is not of the kind that the protocol of this name promises."""
    if name == "identify":
        assert answer is None or isinstance(answer, Info)
    elif name == "status":
        assert isinstance(answer, UnitStatus)
        assert (answer.seconds_left is None) == (answer.state == "unlocked")
        assert answer.seconds_left is None or (answer.seconds_left > 0) == (answer.state == "active")
    elif name == "telemetry":
        assert isinstance(answer, Telemetry)
    elif name == "enter":
        assert isinstance(answer, Entry)
    else:
        assert isinstance(answer, list)
        for alert in answer:
            assert isinstance(alert, ActiveAlert)
            assert alert.code in ALERT_CODES or alert.native, f"{alert.code} is none of ours: keep its native code"


def check_units(reading: Telemetry) -> None:
    """Fails when a value cannot be in the unit that Telemetry has it in."""
    json.dumps(reading.to_json(), allow_nan=False)
    for name, (least, most) in PLAUSIBLE.items():
        value = getattr(reading, name)
        assert value is None or least <= value <= most, f"{name} is {value}"
    assert reading.taken_at is None or reading.taken_at.tzinfo is not None
