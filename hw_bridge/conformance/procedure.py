"""A test procedure as data, and what it takes to run a step of it against a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from hw_bridge.drivers import UnitDriver
from paygo_core.errors import DeviceError
from paygo_core.tokens import DeviceConfig, TokenType, generate_token, token_at
from paygo_core.toml import loads

SECONDS_PER_DAY = 86_400
UNLOCK_VALUE = 998


@dataclass(frozen=True)
class Step:
    """One entry and what the unit has to make of it. days: credit afterwards, None for unlimited."""

    id: str
    title: str
    enter: Mapping[str, Any]
    expect: str
    days: int | None
    make: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    then_hours: int = 0


def load(name: str = "official") -> list[Step]:
    """The steps of a procedure that ships with this package."""
    table = loads(files("hw_bridge.conformance").joinpath(f"{name}.toml").read_text("utf-8"))
    return [Step(days=None if row.pop("unlimited", False) else row.pop("days"), **row) for row in table["step"]]


class TokenServer:
    """Makes the procedure's tokens with a running count, and remembers them."""

    def __init__(self, config: DeviceConfig, count: int) -> None:
        self.config = config
        self.count = count
        self._made: dict[str, str] = {}
        self._entered: dict[str, str] = {}

    def token_for(self, step: Step) -> str:
        """The digits to enter in a step, which is remembered under its id."""
        for name, recipe in step.make.items():
            self._made[name] = self._make(recipe)
        recipe = step.enter
        if "literal" in recipe:
            digits = str(recipe["literal"])
        elif "again" in recipe:
            digits = self._entered[recipe["again"]]
        elif "made" in recipe:
            digits = self._made[recipe["made"]]
        else:
            digits = self._make(recipe)
        self._entered[step.id] = digits
        return digits

    def _make(self, recipe: Mapping[str, Any]) -> str:
        self.count += recipe.get("skip", 0)
        if recipe.get("even"):
            self.count += 2 - self.count % 2
            return token_at(self.config, self.count, UNLOCK_VALUE)
        if "unlock" in recipe:
            token = generate_token(self.config, self.count, token_type=TokenType.DISABLE_PAYG)
        elif "set" in recipe:
            token = generate_token(self.config, self.count, recipe["set"], TokenType.SET_TIME)
        else:
            token = generate_token(self.config, self.count, recipe["add"], TokenType.ADD_TIME)
        self.count = token.count
        return token.digits


def run_step(step: Step, unit: UnitDriver, digits: str) -> None:
    """Enters the digits and judges the unit by its verdict and its status. Raises DeviceError when it is wrong."""
    entry = unit.enter(digits)
    if entry.verdict != step.expect:
        raise DeviceError(f"{step.id}: the unit said {entry.verdict}, {step.expect} is right ({step.title})")
    status = unit.status()
    days = None if status.seconds_left is None else round(status.seconds_left / SECONDS_PER_DAY)
    if days != step.days:
        has, right = ("unlimited" if number is None else f"{number} days" for number in (days, step.days))
        raise DeviceError(f"{step.id}: the unit has {has} of credit, {right} is right ({step.title})")
