"""What a test can do to a unit and see of it: its driver, the line, the control socket, and whoever switches it off."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hw_bridge.drivers import Entry, UnitStatus, capabilities, identify, load_driver, require
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import ControlClient
from hw_bridge.transport import Transport
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError
from paygo_core.redact import key_forms, mask_secrets
from paygo_core.telemetry import Telemetry
from paygo_core.wire.crc import crc16_ccitt_false
from paygo_core.wire.hdk import Alert

QUIET_S = 0.15
LINE_S = 6.0
ALERT_S = 4.5
"""An event is repeated every 3 s (H20)."""
TRANSCRIPT_LINES = 4000
LEAK_A = 0.05
"""What an output that is off may leak, or a unit may mismeasure."""
SETTLE_S = 2.0
LAMP_W, LAMP_A = 6.0, 0.2
EVENING_S, DAY_S = 19 * 3600, 86_400
MOST_EVENTS = 30
"""A unit keeps ten (H20); one that goes on and on is let be."""

LIGHTS = {
    "accepted": ("green", 2),
    "sync": ("green", 3),
    "unlock": ("green", 5),
    "already_used": ("green", 1),
    "invalid": ("red", 10),
    "wait": ("red", 1),
}
"""How the keypad's light answers an entry: colour and blinks."""


class Power(Protocol):
    """Who switches the unit's supply off and on."""

    def check(self) -> None:
        """Raises PortError when it cannot switch."""
        ...

    def cycle(self) -> None:
        """Takes the supply away, and gives it back. Raises PortError when it cannot."""
        ...


class Blocked(Exception):
    """The rig does not do its part, which says nothing about the unit."""


class ControlPower:
    """The supply of a simulated unit."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    def check(self) -> None:
        """Its socket is open."""

    def cycle(self) -> None:
        self._control.power(False)
        self._control.power(True)


@dataclass
class Wire:
    """What went over the line, for the transcript, with keys masked; and whether the key was ever in it."""

    secret_key: bytes = b""
    lines: list[str] = field(default_factory=list)
    key_said: bool = False
    _tail: str = ""

    def trace(self, direction: str, data: bytes) -> None:
        """A Transport's trace."""
        if direction == "<":
            heard = self._tail + data.decode("latin-1")
            self._tail = heard[-200:]
            if self.secret_key and any(form.lower() in heard.lower() for form in key_forms(self.secret_key)):
                self.key_said = True
        self.note(f"{direction} {data.decode('latin-1').encode('unicode_escape').decode('ascii')}")

    def note(self, text: str) -> None:
        """A line for the transcript."""
        if len(self.lines) < TRANSCRIPT_LINES:
            self.lines.append(mask_secrets(text[:2000], self.secret_key) if self.secret_key else text[:2000])

    def take(self) -> list[str]:
        """The lines since the last call."""
        taken, self.lines = self.lines, []
        return taken


class Hands:
    """One unit on its rig.

    control: the socket of a simulated unit. power: who switches its supply, the control socket by default.
    longest_wait: how many seconds of real time one test may let pass, where no clock can be advanced. timeout: of one
    command, what is usual for it by default. as_unit: makes a PAYG unit of what a driver drives, where that is none.
    load_amperes: what the load on its output draws at least, 0 where none is known to be there.
    """

    def __init__(
        self,
        device: Device,
        transport: Transport,
        wire: Wire,
        *,
        control: ControlClient | None = None,
        power: Power | None = None,
        longest_wait: float = 0,
        timeout: float | None = None,
        driver: str = "hdk",
        as_unit: Callable[[Any], Any] = lambda driver: driver,
        load_amperes: float = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.device = device
        self.transport = transport
        self.wire = wire
        self.driver: Any = as_unit(load_driver(driver)(transport, timeout=timeout))
        for capability in ("enter", "status"):
            require(self.driver, capability)
        self.control = control
        self.power = power or (ControlPower(control) if control is not None else None)
        self.longest_wait = longest_wait
        self.load_amperes = load_amperes or (LAMP_A if control is not None else 0)
        self._sleep = sleep
        self.last_seq: int | None = None

    def has(self, allow_unlock: bool) -> set[str]:
        """Which of the catalogue's needs this unit and its rig meet."""
        able = capabilities(self.driver)
        on_hdk_line = isinstance(self.driver, HdkDriver)
        config = self.device.config
        simulated = self.control is not None
        reading = self.driver.telemetry() if "telemetry" in able else None
        met = {
            "clock": simulated or self.longest_wait > 0,
            "console": on_hdk_line,
            "checks": self.extended,
            "extended": self.extended or getattr(self.driver, "takes_extended", False),
            "cut": simulated and on_hdk_line,
            "keypad": self._has_keypad(),
            "load": simulated or (self.load_amperes > 0 and reading is not None and reading.load_current is not None),
            "log": self.extended,
            "plant": simulated,
            "power": self.power is not None,
            "output": simulated or (reading is not None and reading.output is not None),
            "telemetry": "telemetry" in able,
            "switch": "switch_load" in able,
            "alerts": "alerts" in able,
            "events": "poll" in able,
            "count": self._tells_count(),
            "unlock": allow_unlock,
            "restricted": config.restricted_digit_set,
            "ten digits": not config.restricted_digit_set,
            "divider": config.time_divider > 1,
        }
        return {need for need, is_met in met.items() if is_met}

    @property
    def extended(self) -> bool:
        """Whether the unit speaks hdk+."""
        return bool(getattr(self.driver, "extended", False))

    def _has_keypad(self) -> bool:
        if self.control is None:
            return False
        try:
            self.control.request("press", keys="")
        except DeviceError:
            return False
        return True

    def _tells_count(self) -> bool:
        """Asks the unit who it is, which a unit of ours needs after each start too."""
        info = identify(self.driver)
        return info is not None and info.last_count > 0

    # Tokens and credit

    def enter(self, digits: str) -> Entry:
        """Enters a token over the line. Digits that cannot be a token are sent all the same."""
        try:
            entry: Entry = self.driver.enter(digits)
            return entry
        except PaygoError:
            said = self.line(f"TOKEN;{digits}")
            if re.fullmatch("TOKEN;INVALID|INVALID", said):
                return Entry("invalid")
            if said == "TOKEN;ALREADY_USED":
                return Entry("already_used")
            return Entry("accepted")

    def enter_on_keypad(self, digits: str) -> tuple[str, int]:
        """Types a token, and returns how the light answered."""
        control = self._simulated()
        control.request("press", keys="#")
        control.request("press", keys=f"*{digits}")
        return self.light()

    def press(self, keys: str) -> None:
        """Presses keys."""
        self._simulated().request("press", keys=keys)

    def light(self) -> tuple[str, int]:
        """The last blinks: colour and number."""
        colour, blinks = self._simulated().read()["last_blink"]
        return str(colour), int(blinks)

    def status(self) -> UnitStatus:
        """What the customer may use."""
        status: UnitStatus = self.driver.status()
        return status

    def last_count(self) -> int:
        """The last count that the unit tells."""
        info = self.driver.identify()
        if info is None:
            raise DeviceError("the unit tells no count", "an HDK has none to tell")
        return int(info.last_count)

    # Time and power

    def pass_time(self, seconds: float) -> None:
        """Lets time pass for the unit."""
        if self.control is not None:
            self.control.advance(seconds)
        else:
            self._sleep(seconds)

    def cycle(self) -> None:
        """Takes the supply away and gives it back; the line then speaks without checks until it is asked again.

        Raises Blocked when it cannot be switched, and is not tried again.
        """
        assert self.power is not None, "a test that needs it does not run without"
        try:
            self.power.cycle()
        except PortError as problem:
            self.power = None
            raise Blocked(f"{problem.cause} ({problem.hint})") from None
        if forget := getattr(self.driver, "after_power_cut", None):
            forget()
        if "poll" in capabilities(self.driver):
            self.driver.poll(0)  # what was said before is no sign of what is still known
        self._tells_count()

    def enter_torn(self, digits: str, after_writes: int) -> str:
        """Enters a token while the supply fails in the write after so many others, and once more when it is back.

        Returns the verdict of the second entry: accepted or already_used are both right, as long as the credit is.
        """
        control = self._simulated()
        control.request("cut_power", at_byte=16, after_writes=after_writes)  # our unit: credit is there, its count not
        self.transport.write(f"#{self._checked(f'TOKEN;{digits}')}\n".encode())
        self._hear(QUIET_S)
        for _ in range(after_writes + 2):  # each start writes once: a cut that is still planned strikes there
            control.power(False)
            control.power(True)
        self.driver.identify()
        return str(self.driver.enter(digits).verdict)

    def plant(self, name: str, value: float | None) -> None:
        """Sets a value of the simulated plant."""
        self.wire.note(f"-- {name} becomes {value}")
        self._simulated().request("plant", **{name: value})

    def fault(self, name: str, value: float) -> None:
        """Plants a fault, or takes it away with 0."""
        self.wire.note(f"-- the fault {name} becomes {value}")
        self._simulated().request("fault", name=name, value=value)

    # The line

    def send(self, data: bytes) -> None:
        """Sends bytes as they are, and listens until the line is quiet."""
        for start in range(0, len(data), 1024):
            self.transport.write(data[start : start + 1024])
            self._hear(0)
        self._hear(QUIET_S)

    def line(self, body: str, check: str = "right") -> str:
        """Sends one command and returns the reply without `#`, check and line end. check: right, wrong or none."""
        if not self.extended:
            text = body
        else:
            text = {"right": self._checked(body), "none": body}.get(check, f"{body}*{_crc(body) ^ 0x55:04X}")
        self._hear(0)
        self.transport.write(f"#{text}\n".encode("latin-1"))
        heard = b""
        until = time.monotonic() + LINE_S
        while time.monotonic() < until:
            part = self.transport.read(QUIET_S)
            heard += part
            replies = [said for said in re.findall(rb"#([^\r\n#]+)[\r\n]", heard) if not said.startswith(b"ALERT;")]
            glued = b"" if part or self.extended else heard.rpartition(b"#")[2].strip()
            if replies or glued:
                return (replies[0] if replies else glued).decode("latin-1").partition("*")[0]
        raise NoAnswerError(f"no answer to #{body.partition(';')[0]} within {LINE_S:g} s", "is the unit powered?")

    def _checked(self, body: str) -> str:
        return f"{body}*{_crc(body):04X}" if self.extended else body

    def _hear(self, quiet: float) -> None:
        until = time.monotonic() + LINE_S
        while self.transport.read(quiet) and time.monotonic() < until:
            pass

    # Output, alerts, telemetry

    def output(self) -> bool:
        """Whether the customer's output is on: what the unit says, which must be what is measured where it can be.

        No current flows out of an output that is off.
        """
        reading = self._measured()
        said = reading.output if reading is not None else None
        is_on = bool(self.control.read()["output"]) if self.control is not None else said
        if said is not None and said is not is_on:
            raise DeviceError(f"the unit says that its output is {_word(said)}, but it is {_word(is_on)}")
        if is_on is None:
            raise DeviceError("the unit does not tell its output")
        if not is_on and reading is not None and (reading.load_current or 0) > LEAK_A:
            self._sleep(SETTLE_S)  # a reading may be of the moment in which it was switched
            reading = self._measured()
            if reading is not None and (reading.load_current or 0) > LEAK_A:
                raise DeviceError(f"the unit says that its output is off, but {reading.load_current:g} A flow there")
        return is_on

    def load_runs(self) -> bool:
        """Whether the load draws current, as the unit measures it and, where it is simulated, as it is."""
        if self.control is not None:
            self.control.advance(0.2)  # what was switched flows, and then is measured
            self.control.advance(0.2)
        reading = self._measured()
        said = reading.load_current if reading is not None else None
        flows: float | None = self.control.read()["load_current"] if self.control is not None else said
        if flows is None:
            raise DeviceError("the unit does not tell its load current")
        if said is not None and abs(said - flows) > LEAK_A:
            raise DeviceError(f"the unit tells a load current of {said:g} A, but {flows:g} A flow")
        if LEAK_A < flows < self.load_amperes:
            raise DeviceError(f"the load draws {flows:g} A, and not {self.load_amperes:g} A or nothing")
        return flows > LEAK_A

    def _measured(self) -> Telemetry | None:
        reading: Telemetry | None = self.driver.telemetry() if "telemetry" in capabilities(self.driver) else None
        return reading

    def next_alert(self, timeout: float = ALERT_S) -> Alert | None:
        """The next event that the unit sends, None when none comes."""
        found = self.driver.poll(timeout)
        return found[0] if found else None

    def acknowledge(self, alert: Alert) -> None:
        """Tells the unit that it may forget an event."""
        self.driver.acknowledge(alert)
        self.last_seq = alert.seq

    def clear_alerts(self, patience: float) -> None:
        """Acknowledges every event until none comes for so many seconds."""
        for _ in range(MOST_EVENTS if self.extended else 0):
            alert = self.next_alert(patience)
            if alert is None or alert.seq == self.last_seq:  # nothing more, or one that it does not forget
                return
            self.acknowledge(alert)

    def telemetry(self) -> dict[str, Any]:
        """What the unit measures, in SI units, by name."""
        said = self.driver.telemetry().to_json()
        return {**said, **said.pop("extra", {})}

    def _simulated(self) -> ControlClient:
        assert self.control is not None, "a test that needs it does not run without"
        return self.control

    def connect_load(self) -> None:
        """A simulated home's lamp: on, as it is in the evening."""
        if self.control is not None:
            self.control.request("plant", lamp_w=LAMP_W)
            self.control.advance((EVENING_S - self.control.read()["time"]) % DAY_S)

    def reset_plant(self) -> None:
        """A half full battery in the dark, no lamp, no fault: nothing happens by itself while time passes."""
        if self.control is not None:
            self.control.request("fault", name="battery_sensor_offset_v", value=0)
            self.control.request("plant", irradiance=0, lamp_w=0, state_of_charge=0.6)


def _crc(body: str) -> int:
    return crc16_ccitt_false(body.encode("latin-1"))


def _word(on: bool | None) -> str:
    return {True: "on", False: "off", None: "not told"}[on]
