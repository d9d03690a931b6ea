"""Drives an OpenPAYGO HDK and our own `hdk+` units. Rules (H1 …): docs/hdk-plus.md.

An un-extended HDK loses its credit, and forgets an unlock, at a restart, and answers INVALID to an accepted token that
sets 0 days: a driver cannot tell, so judge such a token by `status()`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Literal, cast

from hw_bridge.drivers import ActiveAlert, Capability, Entry, Info, Load, UnitBattery, UnitStatus, Verdict
from hw_bridge.transport import Transport
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.redact import mask_secrets
from paygo_core.telemetry import Telemetry
from paygo_core.wire import hdk
from paygo_core.wire.hdk import Alert, Damaged, Event, HdkReader, LogLine, Reply
from paygo_core.wire.metrics import decode_payload

QUIET_SECONDS = 0.3
QUERY_SECONDS = 6.0
CHANGE_SECONDS = 10.0
"""For an entry and a set-up: an HDK blinks up to 2.5 s before it answers, and a long walk takes seconds."""
ASK_SECONDS = 2.0
QUERY_TRIES = 3
WRAPPED = 2**31
"""An HDK's credit counts down below zero; from here on its seconds are that."""
_UNASKED = re.compile(rb"#(?:ALERT|STATUS|TOKEN);[A-Z_]+[;\r\n*]")
BATTERY_REFUSALS = {
    "board": "its board cannot charge that chemistry safely",
    "log": "ten events wait in it to be acknowledged: take them with `paygo bridge watch`",
    "storage": "its storage does not work",
    "alert": "its battery is too full, hot or cold just now: wait until that alert has ended",
}
LACKING: frozenset[Capability] = frozenset(("switch_load", "telemetry", "alerts", "poll"))


class HdkDriver:
    """One unit on a transport. Every command has one deadline, `timeout` or what is usual for it, in seconds.

    log: gets what the unit prints beside its answers, with keys masked. Methods raise DeviceError when the unit
    refuses or answers nonsense, NoAnswerError at the deadline, PortError when the port vanishes.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        log: Callable[[str], None] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.extended: bool | None = None
        """Whether the unit speaks `hdk+`; None until it was asked."""
        self.info: Info | None = None
        """The last answer to INFO."""
        self._transport = transport
        self._log = log or (lambda _text: None)
        self._timeout = timeout
        self._reader = HdkReader()
        self._alerts: list[Alert] = []
        self._seen = 0

    @staticmethod
    def heard(said: bytes) -> str | None:
        """What a line that says this unasked has on it, None if it is not for this driver."""
        return "an HDK or hdk+ unit" if _UNASKED.search(said) else None

    @classmethod
    def ask(cls, transport: Transport) -> str | None:
        """What is on a line, by a question that changes nothing: `#STATUS;`, in which a keypad sees one key, `#`."""
        driver = cls(transport, timeout=ASK_SECONDS)
        try:
            set_up = driver._ask(hdk.encode_status(), tries=1).name == "STATUS"
            info = driver.identify()
        except NoAnswerError:
            return None
        if info is not None:
            return f"hdk+ unit {info.serial}" if info.serial else "hdk+ unit, not set up yet"
        return "OpenPAYGO HDK" if set_up else "OpenPAYGO HDK, not set up yet"

    @property
    def lacking(self) -> frozenset[Capability]:
        """What an un-extended HDK has not."""
        return frozenset() if self.extended is not False else LACKING

    def identify(self) -> Info | None:
        """Finds out what the unit is, by a question that both kinds answer; None for an un-extended HDK.

        The question carries a check, which an HDK drops with the line end; an `hdk+` unit then keeps to checks (H6).
        """
        for _ in range(2):  # one INVALID may be a damaged question
            reply = self._ask(hdk.encode_info(with_check=True))
            if reply.name == "INFO":
                self.extended = self._reader.require_check = True
                serial, model, board, firmware, count, boot = reply.fields
                self.info = Info(serial, model, board, firmware, int(count), int(boot))
                return self.info
        if self.extended:
            raise self._refused("INFO")
        self.extended = False
        return None

    def status(self) -> UnitStatus:
        """What the customer may use (H13). Seconds of an HDK that have wrapped are none."""
        reply = self._answer(hdk.encode_status(with_check=self._checks()))
        state = reply.fields[0]
        if state == "PAYG_DISABLED":
            return UnitStatus("unlocked", None)
        seconds = self._seconds(reply.fields[1]) if state == "ACTIVE" else 0
        return UnitStatus("active" if seconds else "inactive", seconds)

    def enter(self, token: str) -> Entry:
        """Enters a token, which may have spaces and hyphens. The verdict is the unit's own.

        When an `hdk+` unit's answer is lost, the same token is sent once more; if the unit then says ALREADY_USED, its
        count decides whether the first try was accepted. An HDK is not asked twice: it takes some used tokens again.
        """
        hdk.encode_token(token)  # a typing error is refused before anything is sent
        checks = self._checks()
        line = hdk.encode_token(token, with_check=checks)
        seconds = self._deadline(CHANGE_SECONDS)
        if not checks:
            if len(line) != len("#TOKEN;123456789\n"):
                raise DeviceError("an HDK takes tokens of 9 digits only", "issue a standard token for this unit")
            return self._entry(self._answer(line, tries=1, seconds=seconds))
        before = self._known_info().last_count
        try:
            return self._entry(self._answer(line, tries=1, seconds=seconds / 2))
        except NoAnswerError:
            entry = self._entry(self._answer(line, tries=1, seconds=seconds / 2), resent=True)
        self._settle(1.0)
        if entry.verdict != "already_used":
            return entry
        accepted = self._known_info().last_count > before
        status = self.status()
        verdict: Verdict = "accepted" if accepted else "already_used"
        return Entry(verdict, status.state == "unlocked", status.seconds_left, resent=True)

    def provision(self, device: Device) -> UnitStatus:
        """Sets up a unit that was not set up before, and proves it by its status.

        Refuses, before anything is sent, what the unit cannot do. The key is never sent twice without asking whether
        it has arrived.
        """
        self._reader.secrets = (device.config.secret_key,)
        if self._checks():
            self._set_up_extended(device)
        else:
            self._set_up_hdk(device)
        return self.status()

    def telemetry(self) -> Telemetry:
        """What the unit measures, in SI units (H15). Raises DeviceError for an un-extended HDK, which has none."""
        return decode_payload(self._extended_answer(hdk.encode_telemetry, "telemetry").fields[0])

    def switch_load(self, mode: str) -> Load:
        """Moves the operator's switch to off, on or auto (H16). Returns what the output then is.

        Raises PaygoError for another mode, DeviceError for an un-extended HDK.
        """
        reply = self._extended_answer(lambda *, with_check: hdk.encode_load(mode, with_check=with_check), "switch")
        switch, output = reply.fields
        return Load(cast(Literal["off", "on", "auto"], switch.lower()), output == "ON")

    def battery(self) -> UnitBattery:
        """Which battery the unit charges (H28). Raises DeviceError for an un-extended HDK."""
        return self._battery(self._extended_answer(hdk.encode_battery, "battery that it tells"))

    def replace_battery(self, chemistry: str, capacity_ah: int) -> UnitBattery:
        """Tells the unit of another battery: flooded, agm, gel or lfp, 1 … 500 Ah (H28). It records that as an event.

        Sent once, since each is a replacement of its own: after a NoAnswerError `battery()` tells whether it arrived.
        Raises PaygoError for a battery that is none, DeviceError when the unit refuses it.
        """
        hdk.encode_battery(chemistry, capacity_ah)  # refuses what is none before anything is sent
        if not self._checks():
            raise DeviceError("this unit is an HDK, which knows nothing of batteries", "only hdk+ units have it")
        asked = hdk.encode_battery(chemistry, capacity_ah, with_check=True)
        return self._battery(self._answer(asked, tries=1, seconds=self._deadline(CHANGE_SECONDS)))

    @staticmethod
    def _battery(reply: Reply) -> UnitBattery:
        first, second = reply.fields
        if first == "ERROR":
            raise DeviceError("the unit refuses the battery", BATTERY_REFUSALS.get(second, f"it names {second}"))
        return UnitBattery(first.lower(), int(second))

    def alerts(self) -> list[ActiveAlert]:
        """The alerts that are active now (H17). Raises DeviceError for an un-extended HDK."""
        rows = _rows(self._extended_answer(hdk.encode_alerts, "alerts"))
        return [ActiveAlert(code, int(value), unit) for code, value, unit in rows]

    def log(self) -> list[Alert]:
        """The unit's last events, at most ten, oldest first (H18). Raises DeviceError for an un-extended HDK."""
        rows = _rows(self._extended_answer(hdk.encode_log, "fault log"))
        return [
            Alert(code, change == "RAISED", int(value), unit, int(boot), int(seq))
            for seq, code, change, value, unit, boot in rows
        ]

    def poll(self, timeout: float) -> list[Alert]:
        """The alerts that came unasked, waiting up to `timeout` seconds for the first (H20).

        Alerts come only after an extended command (H7), `identify()` for one. The unit repeats each until
        `acknowledge()`.
        """
        until = time.monotonic() + timeout
        self._read(0)
        while not self._alerts and (left := until - time.monotonic()) > 0:
            self._read(left)
        taken, self._alerts = self._alerts, []
        return taken

    def acknowledge(self, alert: Alert) -> None:
        """Tells the unit that an alert was stored, so that it sends the next (H21).

        Raises DeviceError when the unit does not know the event.
        """
        reply = self._answer(hdk.encode_ack(alert.boot, alert.seq, with_check=self._checks()))
        if reply.fields != (str(alert.boot), str(alert.seq)):
            raise DeviceError(
                f"the unit does not know the event {alert.seq} of its start {alert.boot}", "it will send it again"
            )
        self._alerts = [waiting for waiting in self._alerts if waiting != alert]

    # Set-up

    def _set_up_extended(self, device: Device) -> None:
        line = hdk.encode_setup_plus(device, with_check=True)
        self._refuse_if_set_up(self._known_info())
        for last in (False, True):
            try:
                reply = self._answer(line, tries=1, seconds=self._deadline(CHANGE_SECONDS) / 2)
            except NoAnswerError:
                found = self._known_info()
                if found.serial == device.serial:
                    return
                self._refuse_if_set_up(found)
                if last:
                    raise
                continue
            if reply.fields[0] == "ERROR":
                raise DeviceError(
                    f"the unit refused the set-up because of its {reply.fields[1]}",
                    "correct the device list" if reply.fields[1] != "storage" else "the unit's storage is broken",
                )
            return

    def _refuse_if_set_up(self, info: Info) -> None:
        if info.serial:
            raise DeviceError(f"the unit is set up already, as {info.serial}", "a unit is set up once in its life")

    def _set_up_hdk(self, device: Device) -> None:
        _refuse_what_hdk_lacks(device)
        line = hdk.encode_setup(device)
        if self._ask(hdk.encode_status()).name == "STATUS":
            raise DeviceError("the unit is set up already", "a unit is set up once in its life")
        self._transport.write(line)  # it has no answer but log lines
        self._settle(self._deadline(CHANGE_SECONDS))
        for _ in range(QUERY_TRIES):
            if self._ask(hdk.encode_status()).name == "STATUS":
                return
        raise DeviceError("the unit did not take the set-up", "run it with --debug to see what the unit prints")

    # One command

    def _checks(self) -> bool:
        if self.extended is None:
            self.identify()
        return bool(self.extended)

    def _known_info(self) -> Info:
        info = self.identify()
        assert info is not None  # identify() raises when an extended unit stops being one
        return info

    def _extended_answer(self, encode: Callable[..., bytes], what: str) -> Reply:
        if not self._checks():
            raise DeviceError(f"this unit is an HDK, which has no {what}", "only hdk+ units have it")
        return self._answer(encode(with_check=True))

    def _answer(self, line: bytes, *, tries: int = QUERY_TRIES, seconds: float | None = None) -> Reply:
        """The reply, which is not INVALID."""
        reply = self._ask(line, tries=tries, seconds=seconds)
        if reply.name == "INVALID":
            raise self._refused(_name(line))
        return reply

    def _ask(self, line: bytes, *, tries: int = QUERY_TRIES, seconds: float | None = None) -> Reply:
        """The reply or INVALID. The line is sent up to `tries` times, should no good answer come, within one deadline.

        With checks INVALID may mean "damaged, no effect" (H6), so that anything may be said again.
        """
        seconds = seconds or self._deadline(QUERY_SECONDS)
        start = time.monotonic()
        self._seen = lost = refused = 0
        while lost < tries:
            self._read(0)  # what comes too late for an earlier command
            self._transport.write(line)
            reply = self._await((_name(line), "INVALID"), start + seconds * (lost + 1) / tries)
            if reply is None:
                lost += 1
            elif reply.name == "INVALID" and self.extended and refused < QUERY_TRIES - 1:
                refused += 1
            else:
                if lost:
                    self._settle(1.0)
                return reply
        came = f"{self._seen} bytes came that are no answer" if self._seen else "nothing came"
        shown = mask_secrets(line.decode("ascii").strip(), *self._reader.secrets)
        hint = "is the speed right?" if self._seen else "is the unit powered, and is this its port?"
        raise NoAnswerError(f"no answer to {shown} within {seconds:g} s: {came}", hint)

    def _refused(self, name: str) -> DeviceError:
        if self.info is not None and self.info.serial:
            return DeviceError(f"the unit answered INVALID to #{name}", "is the line disturbed?")
        known = "the unit is not set up yet" if self.info else f"the unit answered INVALID to #{name}"
        return DeviceError(known, "'paygo bridge provision' sets a new unit up")

    def _deadline(self, usual: float) -> float:
        return usual if self._timeout is None else self._timeout

    def _await(self, names: tuple[str, str], until: float) -> Reply | None:
        damaged = False
        while (left := until - time.monotonic()) > 0:
            seen = self._seen
            for event in self._read(min(left, QUIET_SECONDS)):
                if isinstance(event, Damaged):
                    damaged = True
                elif isinstance(event, Reply) and event.name in names:
                    return event
            if damaged and self._seen == seen:
                return None  # that was the reply, and the line is quiet
        return None

    def _settle(self, seconds: float) -> None:
        """Reads until the line is quiet, so that nothing late is taken for the next reply."""
        until = time.monotonic() + seconds
        seen = -1
        while seen != self._seen and time.monotonic() < until:
            seen = self._seen
            self._read(QUIET_SECONDS)

    def _read(self, timeout: float) -> Sequence[Event]:
        data = self._transport.read(timeout)
        self._seen += len(data)
        events = self._reader.feed(data)
        if not data and timeout >= QUIET_SECONDS and not self.extended:  # `hdk+` replies have a line end (H3)
            events = self._reader.silence()
        for event in events:
            # Before the unit keeps to checks, a damaged event may look whole; it comes again (H20).
            if isinstance(event, Alert) and self._reader.require_check and event not in self._alerts:
                self._alerts.append(event)
            elif isinstance(event, LogLine):
                self._log(event.text)
            elif isinstance(event, Damaged):
                self._log(f"damaged ({event.reason}): {event.text}")
        return events

    # Fields

    def _seconds(self, digits: str) -> int:
        seconds = int(digits)
        return 0 if not self.extended and seconds >= WRAPPED else seconds

    def _entry(self, reply: Reply, resent: bool = False) -> Entry:
        verdict, *number = reply.fields
        if verdict == "PAYG_DISABLED":
            return Entry("accepted", unlocked=True, resent=resent)
        if verdict == "VALID":
            return Entry("accepted", seconds_left=self._seconds(number[0]), resent=resent)
        if verdict == "WAIT":
            return Entry("wait", wait_seconds=int(number[0]), resent=resent)
        return Entry("already_used" if verdict == "ALREADY_USED" else "invalid", resent=resent)


def _name(line: bytes) -> str:
    return line[1:].split(b";")[0].decode("ascii")


def _rows(reply: Reply) -> list[list[str]]:
    number, *rows = reply.fields
    if int(number) != len(rows):
        raise DeviceError(f"the unit announced {number} events and sent {len(rows)}", "ask again")
    return [row.split(",") for row in rows]


def _refuse_what_hdk_lacks(device: Device) -> None:
    config = device.config
    windows = (config.max_jump, config.max_sync_jump, config.older_window)
    for lacking, why in (
        (
            not device.serial.isdecimal() or not device.serial.isascii(),
            "stores a serial number that is not decimal as 0",
        ),
        (device.serial.isdecimal() and int(device.serial) >= 2**32, "keeps a serial number in 32 bits"),
        (device.count > 1, f"starts at count 0: every token up to count {device.count} would work again"),
        (config.time_divider != 1, f"counts in days: it cannot divide time by {config.time_divider}"),
        (config.restricted_digit_set, "takes tokens of ten digits only, not of the restricted digit set"),
        (windows != hdk.STANDARD_WINDOWS, "has the standard windows only"),
        (bool(device.test_code), "has no test code"),
    ):
        if lacking:
            raise DeviceError(f"{device.serial} cannot be set up on an HDK, which {why}", "use an hdk+ unit for it")
