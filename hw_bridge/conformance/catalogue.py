"""The catalogue of tests as data: what a test is, which steps it has, what it needs and what it spends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from paygo_core.errors import PaygoError
from paygo_core.toml import loads

FILES = ("official", "own")
UNLOCK, SYNC = 998, 999

NEEDS = {
    "alerts": "a unit that tells its alerts",
    "checks": "a line with checks (hdk+)",
    "clock": "a clock that can be advanced (--control), or time (--wait)",
    "console": "a unit on a hdk line",
    "count": "a unit that tells its last count",
    "cut": "a supply that can be cut within a write (--control)",
    "divider": "a unit with a time divider above 1",
    "events": "a unit that sends its alerts",
    "extended": "a unit that takes extended tokens",
    "keypad": "a keypad that can be pressed (--control)",
    "load": "a load whose current the unit tells (--control, or --load-amperes)",
    "log": "a unit that keeps a log of its alerts (hdk+)",
    "output": "a unit that tells its output",
    "plant": "a battery that can be driven (--control)",
    "power": "a power switch (--control, a rig file or --operator)",
    "restricted": "a unit whose keypad has only the keys 1 to 4",
    "switch": "a unit with an operator's switch",
    "telemetry": "a unit that tells what it measures",
    "ten digits": "a unit that takes all ten digits",
    "unlock": "leave to unlock the unit for a moment (--allow-unlock)",
}
"""What a test can need, and how to give it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that is done to the unit, or seen of it.

    A token to be made and entered: `add`, `set` (units), `unlock`, `sync`, `value` (raw, at exactly this count),
    `code_plus` (the number of count 0 of this value, which follows from the starting code), `foreign` (another unit's
    ADD_TIME), `literal` digits, or one that was made before: `again` its name. `ahead` and `back`: at exactly so many
    counts from the unit's last one. `skip`: the server is so far ahead. `even`: at an even count. `extended`: twelve
    digits. `zero`: an ADD_TIME that begins with a 0. `change`: what is done to its digits (plan.CHANGES). `name`:
    remembers it. `hold`: makes it only. `by`: console or keypad. `torn`: the supply fails in the write that follows so
    many others, and the token is entered once more. `times`: the same so often.

    What has to come of it: `says`, the verdict (or any); `units` of credit in all, or `unlimited`; `within` seconds.

    Anything else: `advance` (seconds) or `advance_units`, `cycle` the power, `send` bytes so often (`repeat`),
    `line` to the console with the `reply` that is right (regular expression) and its `check` (right, wrong or
    none), `keys` to press and the `light` that answers, `switch` the operator's, `output` on or off, `load`:
    whether its current flows, `plant` and `fault` values, `alert` events that must come in order (CODE raised or
    cleared), the first so often (`repeat`), `quiet`: none comes in so many seconds, `active` codes, `logged`: the
    last events, `tells`: telemetry values, `counts`: the unit tells its true count, `silent_key`: the key was never
    on the line.
    """

    add: int | None = None
    set: int | None = None
    unlock: bool = False
    sync: bool = False
    value: int | None = None
    code_plus: int | None = None
    foreign: bool = False
    literal: str = ""
    again: str = ""
    ahead: int | None = None
    back: int | None = None
    zero: bool = False
    times: int = 1
    skip: int = 0
    even: bool = False
    extended: bool = False
    change: str = ""
    name: str = ""
    hold: bool = False
    by: str = "console"
    torn: int | None = None
    says: str = "accepted"
    units: float | None = None
    unlimited: bool = False
    within: float | None = None
    advance: float | None = None
    advance_units: float | None = None
    cycle: bool = False
    send: str = ""
    repeat: int = 1
    line: str = ""
    reply: str = ""
    check: str = ""
    keys: str = ""
    light: Sequence[Any] = ()
    switch: str = ""
    output: bool | None = None
    load: bool | None = None
    plant: Mapping[str, float | None] = field(default_factory=dict)
    fault: Mapping[str, float] = field(default_factory=dict)
    alert: Sequence[str] = ()
    quiet: float | None = None
    active: Sequence[str] | None = None
    logged: Sequence[str] = ()
    tells: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = False
    silent_key: bool = False

    def __str__(self) -> str:
        """What it does, in a few words."""
        for name in ("add", "set", "value", "code_plus"):
            if (number := getattr(self, name)) is not None:
                where = (
                    f" at {self.ahead} counts ahead" if self.ahead else f" after {self.skip} more" if self.skip else ""
                )
                return f"{name.replace('_', ' ')} {number}{where}{' extended' * self.extended}"
        for name, words in (("unlock", "unlock"), ("sync", "sync"), ("foreign", "a token of another unit")):
            if getattr(self, name):
                return words
        if self.again:
            return f"the token {self.again!r} again"
        return self.literal or ("power off and on" if self.cycle else "after a time" if self.advance else "a step")

    @property
    def makes(self) -> bool:
        """Whether it is about a token."""
        numbers = (self.add, self.set, self.value, self.code_plus)
        flags = (self.unlock, self.sync, self.foreign, self.zero, bool(self.literal), bool(self.again))
        return any(number is not None for number in numbers) or any(flags)

    def needs(self) -> list[str]:
        """What it takes to do it."""
        found = {
            "clock": self.advance is not None or self.advance_units is not None,
            "power": self.cycle,
            "cut": self.torn is not None,
            "keypad": self.by == "keypad" or bool(self.keys),
            "console": bool(self.send or self.line or (self.change and self.by == "console") or self.silent_key),
            "checks": bool(self.check),
            "extended": self.extended,
            "unlock": self.unlock or self.value == UNLOCK or self.unlimited,
            "output": self.output is not None,
            "load": self.load is not None,
            "switch": bool(self.switch),
            "plant": bool(self.plant or self.fault),
            "events": bool(self.alert) or self.quiet is not None,
            "alerts": self.active is not None,
            "log": bool(self.logged),
            "telemetry": bool(self.tells),
            "count": self.counts,
        }
        return [need for need, is_so in found.items() if is_so]


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test. rule: the rule that it proves (T1 … of docs/token-rules.md, H1 … of docs/hdk-plus.md).

    group: tests of one group follow each other on one unit; each other test begins from the known state by itself.
    official: it is one of the public procedure. catches: the defect in the field that it finds, if there is one.
    """

    id: str
    title: str
    rule: str
    steps: tuple[Step, ...]
    group: str = ""
    official: bool = False
    more_needs: tuple[str, ...] = ()
    catches: str = ""

    __test__ = False  # not one for pytest to collect

    @property
    def needs(self) -> tuple[str, ...]:
        """What it takes to run it, in words of NEEDS."""
        return tuple(sorted(set(self.more_needs).union(*(step.needs() for step in self.steps))))

    @property
    def unlocks(self) -> bool:
        """Whether it makes the unit free, for as long as it runs."""
        return "unlock" in self.needs

    def world_seconds(self, seconds_per_unit: float) -> float:
        """How much of the unit's time has to pass in it."""
        return sum((step.advance or 0) + (step.advance_units or 0) * seconds_per_unit for step in self.steps)


def load() -> list[Test]:
    """Every test, in the order in which a run goes through them."""
    tests = []
    for name in FILES:
        table = loads(files("hw_bridge.conformance").joinpath(f"{name}.toml").read_text("utf-8"))
        for row in table["test"]:
            steps = tuple(part for step in row.pop("steps") for part in _expanded(Step(**step)))
            needs = tuple(row.pop("needs", ()))
            tests.append(Test(steps=steps, more_needs=needs, official=name == "official", **row))
    return sorted(tests, key=lambda test: (not test.id.startswith(FIRST), test.id.startswith(LAST)))


FIRST = ("Z",)
"""Some decoders take the numbers of count 0 only while a unit is young."""
LAST = ("G8", "V")
"""What spends most counts comes last, so that a small budget goes furthest."""


def _expanded(step: Step) -> list[Step]:
    """A step so often as it says; the credit is that after the last."""
    return [replace(step, times=1, units=None)] * (step.times - 1) + [replace(step, times=1)]


def choose(tests: Sequence[Test], wanted: Sequence[str]) -> list[Test]:
    """The tests with these ids or groups, with those of their groups that come before. Raises PaygoError for others."""
    if not wanted:
        return list(tests)
    known = {test.id for test in tests} | {test.group for test in tests if test.group}
    for name in wanted:
        if name not in known:
            raise PaygoError(f"there is no test {name[:20]!r}", "'paygo conform list' prints them")
    chosen = []
    for at, test in enumerate(tests):
        later = [other for other in tests[at:] if other.group == test.group] if test.group else [test]
        if test.group in wanted or any(other.id in wanted for other in later):
            chosen.append(test)
    return chosen
