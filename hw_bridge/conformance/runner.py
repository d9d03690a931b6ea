"""Runs tests on a unit, within a budget of counts, and leaves the unit in a chosen state whatever happens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hw_bridge.conformance.catalogue import NEEDS, Step, Test
from hw_bridge.conformance.hands import LIGHTS, Blocked, Hands
from hw_bridge.conformance.plan import LOCK, SECONDS_PER_DAY, Model, Move, NoCounts, Plan, plan
from hw_bridge.conformance.results import Result, Verdict
from hw_bridge.drivers import Entry
from paygo_core.errors import NoAnswerError, PortError, Problem
from paygo_core.wire.hdk import Alert

BUDGET = 300
CUT_COSTS_S = 300
"""What a power cut may cost of the credit (T36)."""
CLOCK_S = 3
"""How far a unit's clock may be off in one test, beside the time that really passes."""
TOLD_AGAIN_S = 3.5
"""An event that is not acknowledged comes again after 3 s (H20)."""
MOST_SILENT = 2
"""So many tests in a row may end without an answer; then the unit is taken for lost."""
LONGEST_RECOVERY_WAIT = 512 * 60


class Failed(Exception):
    """The unit does not do what the test says."""


@dataclass
class Counts:
    """The counts of one device: what the run may spend, and what it has spent.

    last: the highest count of a token that was made. record: makes a count durable before its token is sent.
    """

    first: int
    budget: int = BUDGET
    last: int = 0
    record: Callable[[int], object] = lambda _count: None

    def __post_init__(self) -> None:
        self.last = max(self.last, self.first)

    def allows(self, count: int) -> bool:
        """Whether the budget reaches to this count."""
        return count - self.first <= self.budget

    def spend(self, count: int) -> None:
        """Records a count."""
        if count > self.last:
            self.record(count)
            self.last = count


class Runner:
    """One run on one unit.

    announce: is told of each test that unlocks the unit before it is run. done: results of an earlier part of the run,
    which are not run again.
    """

    def __init__(
        self,
        hands: Hands,
        counts: Counts,
        *,
        allow_unlock: bool = False,
        announce: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.hands = hands
        self.counts = counts
        self._allow_unlock = allow_unlock
        self._announce = announce
        self._model = Model.at(hands.device.config, counts.first)
        self._lost = ""
        self._silent = 0
        self._broken: dict[str, str] = {}
        self._group = ""
        self._sound = True
        self._has: set[str] | None = None

    @property
    def has(self) -> set[str]:
        """Which needs the unit and its rig meet."""
        if self._has is None:
            self._has = self.hands.has(self._allow_unlock)
        return self._has

    def run(self, tests: Sequence[Test], done: Sequence[Result] = ()) -> Iterator[Result]:
        """Runs the tests one after the other. Raises nothing that a unit can cause."""
        known = {result.id: result for result in done}
        for test in tests:
            earlier = known.get(test.id)
            yield self._one(test) if earlier is None else earlier

    def _one(self, test: Test) -> Result:
        try:
            why = self._why_not(test)
        except Problem as problem:
            why = self._lost = f"the unit cannot be asked: {problem.cause}"
        if why:
            if test.group:
                self._broken.setdefault(test.group, f"{test.id}, which did not run")
            return Result(test.id, test.title, test.rule, "not run", why)
        fresh = not (test.group and test.group == self._group)
        try:
            planned = self._plan(test, fresh)
        except NoCounts as problem:
            return Result(test.id, test.title, test.rule, "not run", f"needs counts: {problem.cause}")
        if planned is None:
            if test.group:
                self._broken.setdefault(test.group, f"{test.id}, which did not run")
            spent = self.counts.last - self.counts.first
            return Result(
                test.id, test.title, test.rule, "not run", f"needs more counts: {spent} are spent (--spend-counts)"
            )
        if test.unlocks:
            self._announce(f"{test.id} unlocks the unit, and locks it again: {test.title}")
        return self._judge(test, planned, fresh)

    def _why_not(self, test: Test) -> str:
        if self._lost:
            return self._lost
        if test.group in self._broken:
            return f"needs {self._broken[test.group]}"
        missing = [need for need in test.needs if need not in self.has]
        if missing:
            return "needs " + ", ".join(NEEDS[need] for need in missing)
        per_unit = SECONDS_PER_DAY / self.hands.device.config.time_divider
        wait = test.world_seconds(per_unit)
        if self.hands.control is None and wait > self.hands.longest_wait:
            return f"needs {wait / 60:.0f} minutes of waiting (--wait), or a clock that can be advanced"
        return ""

    def _plan(self, test: Test, fresh: bool) -> Plan | None:
        if fresh and not self._sound:
            self._recover()
        planned = plan(test, self._model, fresh)
        return planned if self.counts.allows(planned.highest) else None

    def _judge(self, test: Test, planned: Plan, fresh: bool) -> Result:
        hands = self.hands
        hands.wire.take()
        began = time.monotonic()
        judge = _Judge(hands, self.counts)
        verdict, reason = self._came(test, planned, fresh, judge)
        self._group = test.group
        self._sound = not reason
        if reason:
            if test.group:
                why = "which failed" if verdict == "failed" else "which did not run"
                self._broken.setdefault(test.group, f"{test.id}, {why}")
            hands.wire.note(f"{verdict.upper()}: {reason}")
            self._tidy(test)
        else:
            self._model = planned.after
        seconds = round(time.monotonic() - began, 3)
        return Result(
            test.id,
            test.title,
            test.rule,
            verdict,
            reason,
            seconds,
            tuple(judge.entries),
            tuple(hands.wire.take()),
        )

    def _came(self, test: Test, planned: Plan, fresh: bool, judge: _Judge) -> tuple[Verdict, str]:
        """Does what the test says. Returns what came of it, and why."""
        hands = self.hands
        try:
            if hands.last_seq is None and "events" in test.needs:
                hands.clear_alerts(TOLD_AGAIN_S)
                hands.last_seq = hands.last_seq or 0
            if fresh:
                hands.reset_plant()
                if "load" in test.needs:
                    hands.connect_load()
                hands.wire.note(f"== {test.id} begins with a lock")
            for move in planned.moves:
                judge.do(move)
        except Failed as failed:
            return "failed", str(failed)
        except Blocked as problem:
            self._after_block(f"blocked: {problem}")
            return "not run", f"blocked: {problem}"
        except PortError as problem:
            self._lost = f"the port is gone: {problem.cause}"
            return "failed", self._lost
        except NoAnswerError as problem:
            self._silent += 1
            if self._silent >= MOST_SILENT:
                self._lost = f"the unit answers no more: {problem.cause}"
            return "failed", problem.cause
        except Problem as problem:
            return "failed", problem.cause
        self._silent = 0
        return "passed", ""

    def _after_block(self, reason: str) -> None:
        """The supply can be switched no more: goes on without, if the unit still has it."""
        self._has = None
        try:
            self.hands.status()
        except Problem:
            self._lost = f"{reason}, and the unit has no supply since"

    def _tidy(self, test: Test) -> None:
        """After a failure: no later test inherits its faults, events and switch."""
        if self._lost:
            return
        try:
            self.hands.reset_plant()
            if self.hands.control is not None:
                self.hands.pass_time(120)
            if "switch" in test.needs:
                self.hands.driver.switch_load("auto")
            if {"events", "alerts", "plant"} & set(test.needs):
                self.hands.clear_alerts(TOLD_AGAIN_S)
        except PortError as problem:
            self._lost = f"the port is gone: {problem.cause}"
        except Problem as problem:
            self.hands.wire.note(f"not tidied up: {problem.cause}")

    # Where the unit is after a test that failed

    def _recover(self) -> None:
        """Finds a token that the unit takes, after a failure has left its count in doubt."""
        last = self._model.count
        highest = max(self.counts.last, last)
        for count in dict.fromkeys((last, highest, highest + 40, last + 40, max(0, last - 40))):
            try:
                if self._locks_from(count):
                    self._sound = True
                    return
            except PortError as problem:
                self._lost = f"the port is gone: {problem.cause}"
                return
            except (Problem, NoCounts):
                continue

    def _locks_from(self, count: int) -> bool:
        model = Model.at(self.hands.device.config, count)
        planned = plan(_LOCK, model, False)
        if not self.counts.allows(planned.highest):
            return False
        digits = planned.moves[0].digits
        self.counts.spend(planned.highest)
        said = self.hands.enter(digits)
        if said.verdict == "wait" and said.wait_seconds is not None:
            wait = min(said.wait_seconds + 1, LONGEST_RECOVERY_WAIT)
            if self.hands.control is None and wait > self.hands.longest_wait:
                return False
            self.hands.pass_time(wait)
            said = self.hands.enter(digits)
        taken = said.verdict == "accepted" or (
            said.verdict == "invalid" and self.hands.enter(digits).verdict == "already_used"  # an HDK's SET_TIME 0
        )
        if taken:
            self._model = planned.after
        return taken

    def close(self, leave: str) -> bool:
        """Leaves the unit locked, unlocked or with so many units of credit (a number), above every count that was made.

        So no token of a transcript works any more. False when the unit does not confirm it.
        """
        step = Step(unlock=True) if leave == "unlocked" else Step(set=0 if leave == "locked" else int(leave))
        if self._lost:
            return False
        try:
            if not self._sound:
                self._recover()
            model = self._model
            highest = max(self.counts.last, model.count)
            if highest - model.count > 60:  # beyond what the unit looks at
                moved = plan(Test(id="", title="", rule="", steps=(Step(sync=True, ahead=98),)), model, False)
                self.counts.spend(moved.highest)
                if self.hands.enter(moved.moves[0].digits).verdict != "accepted":
                    return False
                model = moved.after
            planned = plan(
                Test(id="", title="", rule="", steps=(replace(step, skip=max(0, highest - model.count)),)), model, False
            )
            self.counts.spend(planned.highest)
            digits = planned.moves[0].digits
            verdict = self.hands.enter(digits).verdict
            left, right = self.hands.status().seconds_left, planned.moves[-1].credit
            self._model = planned.after
            as_left = left == right or (left is not None and right is not None and 0 <= right - left <= CLOCK_S)
            replay = self.hands.enter(digits).verdict  # a unit that says yes to everything is not closed
            return verdict in ("accepted", "invalid") and as_left and replay == "already_used"
        except (Problem, Failed):
            return False


_LOCK = Test(id="lock", title="", rule="", steps=(LOCK,))


class _Judge:
    """Does one move after the other, and compares what the unit makes of it with what the rules say."""

    def __init__(self, hands: Hands, counts: Counts) -> None:
        self.entries: list[float] = []
        self._hands = hands
        self._counts = counts
        self._cuts = 0
        self._began = time.monotonic()
        self._names: dict[str, str] = {}

    def do(self, move: Move) -> None:
        """One move. Raises Failed when the unit does something else."""
        step = move.step
        if move.digits and step.name:
            self._names[step.name] = move.digits
        if move.count:
            self._counts.spend(move.count)
        if move.digits and step.hold:
            return
        if move.digits:
            self._entry(move)
        if move.seconds:
            self._hands.wire.note(f"-- {move.seconds:g} s pass")
            self._hands.pass_time(move.seconds)
        if step.cycle:
            self._hands.wire.note("-- power off and on")
            self._cuts += 1
            self._hands.cycle()
        if move.digits or move.seconds or step.cycle:
            self._credit(move)
        self._act(step)
        self._look(step)

    def _entry(self, move: Move) -> None:
        step, hands = move.step, self._hands
        hands.wire.note(f"-- {step}: {move.digits}, {move.verdict} is right")
        began = time.monotonic()
        if step.torn is not None:
            self._cuts += step.torn + 2
            verdict = hands.enter_torn(move.digits, step.torn)
            right = verdict in ("accepted", "already_used")
        elif step.by == "keypad":
            light = hands.enter_on_keypad(move.digits)
            kind = "sync" if step.sync else "unlock" if step.unlock else "accepted"
            expected = LIGHTS[kind if move.verdict == "accepted" else move.verdict]
            verdict, right = f"{light[0]} {light[1]} times", light == expected
            if not right:
                raise Failed(f"the light blinked {verdict}; {expected[0]} {expected[1]} times is right ({step})")
        else:
            verdict = self._entered(move)
            right = verdict == move.verdict
        took = time.monotonic() - began
        self.entries.append(round(took, 4))
        if not right:
            raise Failed(f"the unit said {verdict}, {move.verdict} is right ({step})")
        if step.within is not None and took > step.within:
            raise Failed(f"the entry took {took:.1f} s, {step.within:g} s is allowed ({step})")

    def _entered(self, move: Move) -> str:
        said: Entry = self._hands.enter(move.digits)
        if said.verdict == "invalid" and move.verdict == "accepted" and not self._hands.extended:
            again = self._hands.enter(move.digits).verdict
            if move.credit == 0 and again == "already_used":
                self._hands.wire.note(
                    "-- an HDK says INVALID to what leaves no credit; it was accepted, as the replay shows"
                )
                return "accepted"
        if said.verdict == "accepted" and said.unlocked != (move.credit is None):
            raise Failed(f"the unit said that it is {'' if said.unlocked else 'not '}unlocked ({move.step})")
        return said.verdict

    def _credit(self, move: Move) -> None:
        status = self._hands.status()
        right = move.credit
        if right is None or status.seconds_left is None:
            if status.seconds_left != right:
                has, should = (_amount(seconds) for seconds in (status.seconds_left, right))
                raise Failed(f"the unit has {has} of credit, {should} is right ({move.step})")
            return
        passed = time.monotonic() - self._began
        least = right - self._cuts * CUT_COSTS_S - CLOCK_S - passed * 1.1
        if not least <= status.seconds_left <= right + 1:
            raise Failed(f"the unit has {status.seconds_left} s of credit, {right} s is right ({move.step})")
        if status.state != ("active" if status.seconds_left else "inactive"):
            raise Failed(f"the unit is {status.state} with {status.seconds_left} s of credit")

    def _act(self, step: Step) -> None:
        """What is done to the unit beside tokens, time and power."""
        hands = self._hands
        if step.send:
            hands.send((step.send * step.repeat).encode("latin-1"))
        if step.line:
            self._line(step)
        if step.keys:
            hands.press(step.keys)
            if step.light and hands.light() != tuple(step.light):
                raise Failed(f"the light blinked {hands.light()}, {tuple(step.light)} is right")
        if step.switch:
            switch = hands.driver.switch_load(step.switch)
            if switch.switch != step.switch:
                raise Failed(f"the operator's switch is at {switch.switch}, {step.switch} is right")
        for name, value in step.plant.items():
            hands.plant(name, value)
        for name, number in step.fault.items():
            hands.fault(name, number)

    def _look(self, step: Step) -> None:
        """What has to be seen of the unit beside its verdict and its credit."""
        hands = self._hands
        if step.output is not None:
            hands.wire.note(f"-- the output has to be {'on' if step.output else 'off'}")
            if hands.output() is not step.output:
                raise Failed(f"the output is {'off' if step.output else 'on'}, the reverse is right")
        if step.load is not None:
            hands.wire.note(f"-- the load has to be {'on' if step.load else 'off'}")
            if hands.load_runs() is not step.load:
                raise Failed(f"current {'does not flow' if step.load else 'flows'} to the load, the reverse is right")
        if step.alert or step.quiet is not None:
            self._alerts(step)
        if step.active is not None:
            active = [alert.code for alert in hands.driver.alerts()]
            if active != list(step.active):
                raise Failed(f"active alerts are {active}, {list(step.active)} is right")
        if step.logged:
            last = [_event(alert) for alert in hands.driver.log()][-len(step.logged) :]
            if last != list(step.logged):
                raise Failed(f"the unit's log ends with {last}, {list(step.logged)} is right")
        for name, right in step.tells.items():
            _compare(name, hands.telemetry().get(name), right)
        if step.counts and hands.last_count() != self._counts.last:
            raise Failed(f"the unit tells the count {hands.last_count()}, {self._counts.last} is right")
        if step.silent_key and hands.wire.key_said:
            raise Failed("the unit has said its secret key on the line")

    def _line(self, step: Step) -> None:
        device = self._hands.device
        words = {
            "serial": device.serial,
            "starting_code": str(device.config.starting_code),
            "key": device.config.secret_key.hex(),
            **self._names,
        }
        said = self._hands.line(step.line.format(**words), step.check or "right")
        if re.fullmatch(step.reply, said) is None:
            raise Failed(f"the unit answered {said[:60]} to {step.line}, {step.reply} is right")

    def _alerts(self, step: Step) -> None:
        hands = self._hands
        if step.quiet is not None:
            alert = hands.next_alert(step.quiet)
            if alert is not None:
                raise Failed(f"the unit told of {_event(alert)}, nothing is right")
        for at, right in enumerate(step.alert):
            alert = self._awaited(right)
            if at == 0:
                for _ in range(step.repeat - 1):
                    if self._awaited(right) != alert:
                        raise Failed(f"{right} was repeated with other numbers")
            if hands.last_seq and alert.seq != hands.last_seq + 1:
                raise Failed(f"{right} is event {alert.seq}, after event {hands.last_seq}")
            hands.acknowledge(alert)

    def _awaited(self, right: str) -> Alert:
        alert = self._hands.next_alert()
        if alert is None:
            raise Failed(f"no alert came, {right} is right")
        if _event(alert) != right:
            raise Failed(f"the unit told of {_event(alert)}, {right} is right")
        return alert


def _event(alert: Alert) -> str:
    return f"{alert.code} {'raised' if alert.raised else 'cleared'}"


def _compare(name: str, said: object, right: str) -> None:
    if isinstance(said, bool) or said is None:
        good = str(said).lower() == right
    else:
        limit = float(right[1:])
        assert isinstance(said, (int, float))
        good = said > limit if right[0] == ">" else said < limit
    if not good:
        raise Failed(f"the unit tells {name} {said}, {right} is right")


def _amount(seconds: int | None) -> str:
    return "no end" if seconds is None else f"{seconds} s"
