"""Carries a recorded command out on a unit, so that a crash at any point leaves the journal right.

A token is sent again only to a unit that would tell it is used. Then ALREADY_USED after a lost answer means: ask the
status, and compare with what the unit said before the first attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from hw_bridge.commands import Before, Command, CommandJournal
from hw_bridge.drivers import Entry, UnitStatus, identify
from paygo_core.errors import DeviceError, NoAnswerError, PortError
from paygo_core.registry.schema import utc_now

_POSITIONS: dict[str, Literal["auto", "off"]] = {"enable": "auto", "disable": "off"}


class Unit(Protocol):
    """What a command needs of a driver at least. Switch commands also need `switch_load` and `telemetry`."""

    def status(self) -> UnitStatus:
        """What the customer may use."""
        ...

    def enter(self, token: str) -> Entry:
        """Enters a token."""
        ...


Heard = Callable[[object], None]
"""Gets the driver's answer to a command: an Entry, or what it says of the switch."""


def carry_out(journal: CommandJournal, command_id: int, unit: Unit, heard: Heard = lambda _answer: None) -> Command:
    """One attempt at an open command; returns it as it then is: confirmed, refused, or open with the reason why.

    What fails is in the journal, with the time of the next attempt, before it is raised: NoAnswerError, PortError,
    DeviceError.
    """
    command = journal.resume(command_id)
    if not command.open:
        return command
    try:
        if command.state != "acknowledged":
            _recognise(command, unit)
            command = (_enter if command.kind == "enter" else _switch)(journal, command, unit, heard)
        if command.state == "acknowledged":
            command = _confirm(journal, command, unit)
    except (NoAnswerError, PortError) as problem:
        running = _attempt_runs(journal.command(command.id))
        journal.fail(command.id, "no answer" if running else "not sent", problem.cause)
        raise
    except DeviceError as problem:
        if command.kind != "enter" and "switch_load" in getattr(unit, "lacking", ()):  # it has no switch and gets none
            return journal.refuse(command.id, problem.cause)
        running = _attempt_runs(journal.command(command.id))
        journal.fail(command.id, "answered" if running else "not sent", problem.cause)
        raise
    return command


def _attempt_runs(command: Command) -> bool:
    return bool(command.attempts) and command.attempts[-1].ended_at is None


def _tells_used_tokens(unit: Unit) -> bool:
    """Whether a token may be sent again: an un-extended HDK takes some used tokens once more."""
    return bool(getattr(unit, "tells_used_tokens", getattr(unit, "extended", False)))


def _recognise(command: Command, unit: Unit) -> None:
    info = identify(unit)
    if command.serial and info is not None and info.serial != command.serial:
        found = info.serial or "a unit that is not set up"
        raise DeviceError(
            f"command {command.id} is for {command.serial}, and on this port is {found}", "connect the right unit"
        )


def _look(unit: Unit) -> Before:
    info, status = identify(unit), unit.status()
    return Before(None if info is None else info.last_count, status.state, status.seconds_left)


def _moved(before: Before, after: Before) -> bool:
    """Whether the unit took a token in between: its count went up, it was unlocked, or there is more credit."""
    if after.state == "unlocked":
        return before.state != "unlocked"
    if before.last_count is not None and after.last_count is not None and after.last_count > before.last_count:
        return True
    return (after.seconds_left or 0) > (before.seconds_left or 0)


def _enter(journal: CommandJournal, command: Command, unit: Unit, heard: Heard) -> Command:
    assert command.token is not None
    if not hasattr(unit, "enter"):
        return journal.refuse(command.id, "this kind of unit takes no tokens")
    now = _look(unit)
    before = command.before or now
    sure = _tells_used_tokens(unit)
    if command.in_doubt and not sure and not command.resend_allowed:
        if _moved(before, now):
            return journal.acknowledge(
                command.id, "its answer was lost; the credit shows that it was accepted", now.seconds_left
            )
        reason = (
            "its answer was lost and the credit did not grow; this unit takes some used tokens again, so it is held"
        )
        return journal.fail(command.id, "not sent", reason, again=False)
    journal.will_send(command.id, now)
    entry = unit.enter(command.token)
    heard(entry)
    if entry.verdict == "accepted":
        said = "accepted, unlocked" if entry.unlocked else "accepted"
        return journal.acknowledge(command.id, said, None if entry.unlocked else entry.seconds_left or 0)
    if entry.verdict == "wait":
        seconds = entry.wait_seconds or 0
        reason = f"the unit did not look at the token: it waits {seconds} s after wrong entries"
        return journal.fail(command.id, "answered", reason, after=seconds)
    doubt = command.in_doubt or entry.resent
    if doubt or not sure:
        after = _look(unit)
        if doubt and _moved(before, after):
            return journal.acknowledge(
                command.id, "accepted: an answer was lost, and count or credit grew since", after.seconds_left
            )
        if not sure and entry.verdict == "invalid" and (before.state, after.state) == ("active", "inactive"):
            return journal.acknowledge(command.id, "accepted: it set the credit to 0 days", 0)
    return journal.refuse(command.id, _refusal(entry, doubt))


def _refusal(entry: Entry, doubt: bool) -> str:
    if entry.verdict == "invalid":
        return "the unit does not know this token"
    if doubt:
        return "the token is used; the first answer was lost, and neither count nor credit grew since"
    return "the token was used before"


def _switch(journal: CommandJournal, command: Command, unit: Any, heard: Heard) -> Command:
    if not hasattr(unit, "switch_load"):
        return journal.refuse(command.id, "this unit has no switch that a bridge can move")
    journal.will_send(command.id, None)
    load = unit.switch_load(_POSITIONS[command.kind])
    heard(load)
    return journal.acknowledge(
        command.id, f"the switch is at {load.switch}, the output is {'on' if load.output else 'off'}"
    )


def _confirm(journal: CommandJournal, command: Command, unit: Any) -> Command:
    if command.kind != "enter":
        return _confirm_switch(journal, command, unit)
    status = unit.status()
    granted, age = command.acknowledged_seconds, utc_now() - (command.acknowledged_at or utc_now())
    used_up = granted is not None and granted <= age.total_seconds()
    if status.state == "unlocked" or (granted is not None and (status.state == "active" or used_up)):
        left = "unlocked" if status.state == "unlocked" else f"{status.seconds_left} s of credit left"
        return journal.confirm(command.id, f"the unit's status: {left}")
    return journal.fail(command.id, "answered", f"the unit accepted it, but its status is {status.state}")


def _confirm_switch(journal: CommandJournal, command: Command, unit: Any) -> Command:
    reading = unit.telemetry()
    switch = str(reading.extra.get("load_switch", "")).lower()
    is_off = switch == "off" if switch else reading.output is False
    if is_off == (command.kind == "disable"):
        shown = f"the switch is at {switch}" if switch else f"the output is {'on' if reading.output else 'off'}"
        return journal.confirm(command.id, f"the unit's telemetry: {shown}")
    return journal.send_again(
        command.id, f"the unit accepted it, but its telemetry shows the switch at {switch or 'its old place'}"
    )
