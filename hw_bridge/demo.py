"""`paygo demo`: a unit's whole life, from its key to its unlock, each step confirmed by the unit itself."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from hw_bridge.actions import Action, ActionStore
from hw_bridge.drivers import Entry
from hw_bridge.drivers.hdk import HdkDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.story_page import Entered, Sample, StoryStep, story_page
from hw_bridge.transport import Transport
from paygo_core import report
from paygo_core.decoding import DecoderState, decode_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, Problem
from paygo_core.registry import Registry
from paygo_core.shell import emit, note, output_options
from paygo_core.tokens import DeviceConfig, Token, TokenType

SABOTAGE = ("none", "replay", "output", "alert", "count", "mute")
DAY_S = 86_400
SAMPLE_S = 180
PAUSE_S = 900
"""World time between two entries, so that the report shows them apart."""
CUT_COSTS_S = 300
"""What a power cut may cost of the credit, at most."""
COMMAND_SECONDS = 4.0
FULL_CHARGE = 0.95
ALERT_CODE = "BATTERY_OVERVOLTAGE"


@dataclass
class Story:
    """Who takes part, and what has happened so far."""

    device: Device
    registry: Registry
    actions: ActionStore
    unit: HdkDriver
    control: ControlClient
    as_json: bool
    steps: list[StoryStep] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    changes: list[tuple[float, Action]] = field(default_factory=list)
    entered: list[Entered] = field(default_factory=list)

    @property
    def serial(self) -> str:
        return self.device.serial

    def now(self) -> float:
        """World time in seconds since the first midnight."""
        return float(self.control.read()["time"])

    @contextmanager
    def step(self, title: str) -> Iterator[StoryStep]:
        """One step: confirmed when its block ends, failed when a check in it does."""
        step = StoryStep(at_s=self.now(), title=title)
        self.steps.append(step)
        try:
            yield step
        except Problem as problem:
            step.saw = problem.cause
            self._tell(step)
            raise
        step.confirmed = True
        self._tell(step)

    def _tell(self, step: StoryStep) -> None:
        if self.as_json:
            emit({"step": step.title, "at": step.clock, "confirmed": step.confirmed, "saw": step.saw})
        else:
            click.echo(f"  {'ok  ' if step.confirmed else 'FAIL'} {step.clock}  {step.title}: {step.saw}")

    def issue(self, token_type: TokenType, days: int | None = None) -> Token:
        """A token from the registry, whose count is stored before we see it."""
        return self.registry.issue(self.serial, token_type, days=days, reason="test", issued_by="paygo demo")

    def enter(self, digits: str, expect: str) -> Entry:
        """Enters a token and requires a verdict."""
        entry = self.unit.enter(digits)
        self.entered.append(Entered(self.now(), digits, entry.verdict))
        require(entry.verdict == expect, f"the unit said {entry.verdict}, {expect} is right")
        return entry

    def require_output(self, on: bool) -> None:
        """Requires the unit's own word and the plant to agree that the output is on, or off."""
        said = self.unit.telemetry().output
        is_on = self.control.read()["output"]
        require(said is on, f"the unit says that its output is {_word(said)}, {_word(on)} is right")
        require(is_on is on, f"the unit says that its output is {_word(said)}, but it is {_word(is_on)}")

    def power_cycle(self) -> None:
        """Takes the unit's supply away and gives it back."""
        self.control.power(False)
        self.control.power(True)
        self.unit.identify()

    def own_actions(self) -> list[Action]:
        """The actions of this unit; the store also has those of earlier demos."""
        return [action for action in self.actions.actions() if action.serial == self.serial]

    def pass_time(self, seconds: int) -> None:
        """Lets world time pass, with telemetry every three minutes of it."""
        for _ in range(seconds // SAMPLE_S):
            self.control.advance(SAMPLE_S)
            self.sample()

    def sample(self) -> Sample:
        """Telemetry now, and every alert that came with it, stored as an action before the unit is told so."""
        telemetry = self.unit.telemetry()
        plant = self.control.read()
        sample = Sample(float(plant["time"]), telemetry, float(plant["state_of_charge"]))
        self.samples.append(sample)
        while alerts := self.unit.poll(0):
            for alert in alerts:
                action = self.actions.record(self.serial, alert)
                if action is not None:
                    self.changes.append((sample.at_s, action))
                self.unit.acknowledge(alert)
        return sample


def require(condition: bool, complaint: str) -> None:
    """A check of the demo. Raises DeviceError."""
    if not condition:
        raise DeviceError(complaint)


def _word(on: bool | None) -> str:
    return "on" if on else "off"


def _days(seconds: int | None) -> str:
    return "for ever" if seconds is None else f"{seconds / DAY_S:.3f} days"


def tell(story: Story) -> None:
    """The story, step by step. Raises Problem at the first step that the unit does not confirm."""
    _tokens(story)
    _power_cut(story)
    _operator(story)
    _bright_day(story)
    _evening(story)
    _unlock(story)


def _tokens(story: Story) -> None:
    unit = story.unit
    with story.step("provision over the line") as step:
        status = unit.provision(story.device)
        require(status.state == "inactive", f"a new unit says {status.state}, inactive is right")
        story.require_output(False)
        info = unit.info
        assert info is not None  # provision() asked
        step.saw = f"{info.model} {info.board}, firmware {info.firmware}, is {story.serial}, inactive, output off"
    with story.step("add 7 days") as step:
        added = story.issue(TokenType.ADD_TIME, 7)
        entry = story.enter(added.digits, "accepted")
        require(entry.seconds_left == 7 * DAY_S, f"the credit is {_days(entry.seconds_left)}, 7 days is right")
        story.require_output(True)
        step.saw = f"{added.grouped()} gives {_days(entry.seconds_left)}, output on"
    story.pass_time(PAUSE_S)
    with story.step("the same token again is refused") as step:
        story.enter(added.digits, "already_used")
        left = unit.status().seconds_left
        require(left == 7 * DAY_S - PAUSE_S, f"after a replay the credit is {_days(left)}")
        step.saw = f"already used, still {_days(left)}"
    story.pass_time(PAUSE_S)
    with story.step("a wrong token is refused") as step:
        story.enter(_wrong_token(story, added), "invalid")
        left = unit.status().seconds_left
        require(left == 7 * DAY_S - 2 * PAUSE_S, f"after a wrong token the credit is {_days(left)}")
        step.saw = f"invalid, still {_days(left)}"
    story.pass_time(PAUSE_S)
    with story.step("set 0 days ends the credit") as step:
        ended = story.issue(TokenType.SET_TIME, 0)
        story.enter(ended.digits, "accepted")
        state = unit.status().state
        require(state == "inactive", f"the unit says {state} after the credit was set to 0")
        story.require_output(False)
        step.saw = f"{ended.grouped()} accepted, inactive, output off"
    story.pass_time(PAUSE_S)


def _wrong_token(story: Story, near: Token) -> str:
    """Digits beside a real token that no count of the device gives."""
    number = int(near.digits)
    state = DecoderState(near.count)
    for other in range(number + 1, number + 1000):
        digits = f"{other % 10**9:09d}"
        if decode_token(story.device.config, digits, state).token_type is TokenType.INVALID:
            return digits
    raise AssertionError("a thousand numbers in a row cannot all be tokens")


def _power_cut(story: Story) -> None:
    unit = story.unit
    with story.step("a power cut costs neither credit nor counts") as step:
        token = story.issue(TokenType.ADD_TIME, 2)
        story.enter(token.digits, "accepted")
        story.power_cycle()
        left = unit.status().seconds_left or 0
        lost = 2 * DAY_S - left
        require(0 <= lost <= CUT_COSTS_S, f"after a power cut the credit is {_days(left)}, 2 days is right")
        story.enter(token.digits, "already_used")
        story.require_output(True)
        step.saw = f"{_days(left)} left, the token is still used, output on"
    story.pass_time(PAUSE_S)


def _operator(story: Story) -> None:
    with story.step("the operator disables and enables the output") as step:
        load = story.unit.switch_load("off")
        require(not load.output, "the unit says that its output is on while the operator has it off")
        story.require_output(False)
        story.pass_time(PAUSE_S)
        load = story.unit.switch_load("auto")
        require(load.output, "the unit says that its output is off although there is credit")
        story.require_output(True)
        step.saw = "off, then on again"


def _bright_day(story: Story) -> None:
    with story.step("the charge switch sticks on a bright day: the over-voltage alert becomes an action") as step:
        story.control.request("plant", clearness=1.05)
        story.control.request("fault", name="charge_switch_stuck_on", value=1)
        highest = 0.0
        opened: Action | None = None
        while opened is None and story.now() < 18 * 3600:
            story.pass_time(SAMPLE_S)
            highest = max(highest, story.samples[-1].telemetry.battery_voltage or 0.0)
            opened = next((action for action in story.own_actions() if action.code == ALERT_CODE), None)
        active = [alert.code for alert in story.unit.alerts()]
        require(
            opened is not None,
            f"the battery reached {highest:.2f} V and no action came up"
            + (f", although the unit's fault log has {len(story.unit.log())} events" if story.unit.log() else ""),
        )
        require(ALERT_CODE in active, f"the unit lists no {ALERT_CODE} among its active alerts")
        story.require_output(False)
        assert opened is not None
        step.saw = f"action {opened.id} open at {opened.value} {opened.unit}, the output is protected"
    with story.step("the switch is mended: the alert clears, and its action is resolved") as step:
        story.control.request("fault", name="charge_switch_stuck_on", value=0)
        while story.now() < 18 * 3600 and not _resolved(story, opened.id):
            story.pass_time(SAMPLE_S)
        require(_resolved(story, opened.id), "the alert did not clear before sunset")
        story.require_output(True)
        step.saw = f"action {opened.id} resolved, output on"


def _resolved(story: Story, action_id: int) -> bool:
    return any(action.id == action_id and action.state == "resolved" for action in story.own_actions())


def _evening(story: Story) -> None:
    with story.step("in the evening the customer has light") as step:
        while story.now() < 20 * 3600:
            story.pass_time(SAMPLE_S)
        sample = story.samples[-1]
        current = sample.telemetry.load_current or 0.0
        require(current > 0, "the lamp draws no current although there is credit")
        step.saw = f"the lamp draws {current:.2f} A at {sample.telemetry.battery_voltage:.2f} V"


def _unlock(story: Story) -> None:
    unit = story.unit
    with story.step("unlock for good") as step:
        token = story.issue(TokenType.DISABLE_PAYG)
        entry = story.enter(token.digits, "accepted")
        require(entry.unlocked, "the unit accepted the unlock and is not unlocked")
        step.saw = f"{token.grouped()} accepted"
    with story.step("the unlock survives a power cut and its token does not replay") as step:
        story.power_cycle()
        state = unit.status().state
        require(state == "unlocked", f"after a power cut the unit says {state}, unlocked is right")
        story.enter(token.digits, "already_used")
        story.control.advance(3 * DAY_S)
        require(unit.status().state == "unlocked", "the unlock ended within 3 days")
        step.saw = "still unlocked 3 days later"


def new_device() -> Device:
    """A device of our own making, its secrets drawn from the operating system."""
    config = DeviceConfig(secrets.token_bytes(16), 1 + secrets.randbelow(999_999_999))
    return Device(f"DEMO{secrets.token_hex(4).upper()}", config, hardware_model="PAYGO-SIM", version="legacy")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("paygo-demo"),
    show_default=True,
    help="Directory for the report and the registry; it is made.",
)
@click.option(
    "--sabotage",
    type=click.Choice(SABOTAGE),
    default="none",
    help="Break the unit on purpose, to see that the demo notices.",
)
@output_options
def demo(output: Path, sabotage: str, as_json: bool) -> None:
    """Show a unit's whole life, each step confirmed by the unit.

    Makes a device, starts a simulated unit as another process, provisions it over its serial line, issues tokens from a
    registry and enters them, lets a bright day pass, and leaves a report. Exit status 0 only if the unit confirmed
    every step.

    \b
    Example:
      paygo demo --output demo
      paygo demo --sabotage replay     # a unit that forgets its counts: must fail
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PaygoError(f"the directory {output} cannot be made: {error.strerror}") from None
    device = new_device()
    failure: Problem | None = None
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paygo-demo-")))
        registry_path = output / "registry.db"
        registry = stack.enter_context(Registry.open(registry_path))
        registry.add(device)
        actions = stack.enter_context(ActionStore.open(registry_path))
        running = stack.enter_context(
            simulated_unit(
                scratch, "--sabotage", sabotage, "--state", str(scratch / "unit.eeprom"), "--charge", str(FULL_CHARGE)
            )
        )
        control = stack.enter_context(ControlClient(running.control))
        transport = stack.enter_context(Transport(running.port))
        driver = HdkDriver(transport, timeout=COMMAND_SECONDS)
        story = Story(device, registry, actions, driver, control, as_json)
        if not as_json:
            note(f"{device.serial} on {running.port}, a simulated unit in process {running.process.pid}")
        try:
            tell(story)
        except (DeviceError, NoAnswerError) as problem:
            failure = problem
        path = output / "report.html"
        report.write(_page(story, failure), path)
    if as_json:
        emit({"report": str(path), "confirmed": failure is None, "steps": len(story.steps)})
    else:
        click.echo(f"report: {path}")
    if failure is not None:
        raise type(failure)(f"the demo failed at '{story.steps[-1].title}': {failure.cause}", failure.hint)
    if not as_json:
        click.echo(f"all {len(story.steps)} steps were confirmed by the unit")


def _page(story: Story, failure: Problem | None) -> Any:
    return story_page(
        serial=story.serial,
        steps=story.steps,
        samples=story.samples,
        changes=story.changes,
        entered=story.entered,
        tokens=story.registry.tokens(story.serial),
        actions=story.own_actions(),
        failure=failure.cause if failure else None,
    )
