"""What was expected against what came: each expectation kept or not, with what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firmware_sim.scenario.play import AlertTime, Outcome
from firmware_sim.scenario.reading import Expectation
from firmware_sim.scenario.tables import moment

SHOWN = 3
"""Sightings that are told of each expectation."""


@dataclass(frozen=True)
class Check:
    """An expectation in words, whether it was kept, and what was seen."""

    words: str
    kept: bool
    seen: str


def check(outcome: Outcome) -> list[Check]:
    """All expectations of the scenario, in its order."""
    checks = {"alert": _alert, "output": _output, "measure": _measure, "broken": _broken, "verdict": _verdict}
    return [checks[each.kind](outcome, each) for each in outcome.scenario.expectations]


def _alert(outcome: Outcome, wanted: Expectation) -> Check:
    of_code = [each for each in outcome.alerts if each.code == wanted.name and each.unit in wanted.units]
    found = [each for each in of_code if _within(each.raised_s, wanted.window) and _cleared(each, wanted.cleared)]
    words = f"{wanted.subject}: {_counted(wanted)} {wanted.name}{_span(wanted.window, 'raised')}"
    if wanted.cleared is not None:
        cleared = wanted.cleared
        ends = "still open at the end" if cleared is False else "cleared at some time" if cleared is True else ""
        words += f", {ends}" if ends else _span(cleared if isinstance(cleared, tuple) else None, ", cleared")
    others = "" if found or not of_code else f"none that fits; {_list(outcome, of_code)}"
    seen = f"{len(found)}: {_list(outcome, found)}" if found else others or "none"
    return Check(words, wanted.least <= len(found) <= wanted.most, seen)


def _output(outcome: Outcome, wanted: Expectation) -> Check:
    assert wanted.at_s is not None
    step = wanted.at_s // outcome.scenario.step_s
    states = {unit: bool(outcome.moments[unit, step]["output"]) for unit in wanted.units}
    on = sum(states.values())
    words = f"{wanted.subject}: output {'on' if wanted.wanted else 'off'} on {moment(wanted.at_s)}"
    seen = f"on at {on} of {len(states)}" if len(states) > 1 else "on" if on else "off"
    return Check(words, all(state == wanted.wanted for state in states.values()), seen)


def _measure(outcome: Outcome, wanted: Expectation) -> Check:
    if wanted.at_s is not None:
        step = wanted.at_s // outcome.scenario.step_s
        values = np.array([outcome.moments[unit, step][wanted.name] for unit in wanted.units])
        when = f"on {moment(wanted.at_s)}"
    else:
        first, last = wanted.days
        days = outcome.days[wanted.name][first : last + 1, list(wanted.units)].astype(np.float64)
        kind = wanted.name
        values = days.min(axis=0) if "_min" in kind else days.max(axis=0) if "_max" in kind else days.sum(axis=0)
        when = f"on day {first}" if first == last else f"on days {first} to {last}"
    if wanted.across != "each":
        values = np.array([values.mean() if wanted.across == "mean" else values.sum()])
    low, high = float(values.min()), float(values.max())
    across = f" ({wanted.across})" if wanted.across != "each" and len(wanted.units) > 1 else ""
    words = f"{wanted.subject}: {wanted.name}{across} {_bounds(wanted)} {when}"
    seen = f"{_number(low)}" if len(values) == 1 else f"{_number(low)} to {_number(high)}"
    return Check(words, wanted.least <= low and high <= wanted.most, seen)


def _broken(outcome: Outcome, wanted: Expectation) -> Check:
    found = [
        each
        for each in outcome.failures
        if each.unit in wanted.units and wanted.name in ("", each.part) and _within(each.at_s, wanted.window)
    ]
    broken = {each.unit for each in found}
    part = f" at its {wanted.name}" if wanted.name else ""
    words = f"{wanted.subject}: {'broken' if wanted.wanted else 'not broken'}{part}{_span(wanted.window, '')}"
    labels = outcome.scenario.labels
    told = [f"{labels[each.unit]} on {moment(each.at_s)}: {each.part}, of {each.cause}" for each in found[:SHOWN]]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Check(words, len(broken) == (len(wanted.units) if wanted.wanted else 0), "; ".join(told) + more or "sound")


def _verdict(outcome: Outcome, wanted: Expectation) -> Check:
    found = [
        (unit, entry)
        for unit, entry in outcome.tokens
        if unit in wanted.units
        and entry.verdict == wanted.name
        and wanted.token in ("", entry.kind)
        and _within(entry.at_s, wanted.window)
    ]
    token = f"{wanted.token} tokens" if wanted.token else "tokens"
    words = f"{wanted.subject}: {_counted(wanted)} {token} {wanted.name}{_span(wanted.window, 'typed')}"
    labels = outcome.scenario.labels
    told = [f"{labels[unit]} {entry.kind} on {moment(entry.at_s)}" for unit, entry in found[:SHOWN]]
    more = " …" if len(found) > SHOWN else ""
    seen = f"{len(found)}: {'; '.join(told)}{more}" if found else "none"
    return Check(words, wanted.least <= len(found) <= wanted.most, seen)


def _within(at_s: int, window: tuple[int, int] | None) -> bool:
    return window is None or window[0] <= at_s <= window[1]


def _cleared(alert: AlertTime, wanted: tuple[int, int] | bool | None) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, bool):
        return (alert.cleared_s is not None) == wanted
    return alert.cleared_s is not None and _within(alert.cleared_s, wanted)


def _list(outcome: Outcome, alerts: Sequence[AlertTime]) -> str:
    told = []
    for each in alerts[:SHOWN]:
        end = "open" if each.cleared_s is None else f"cleared {moment(each.cleared_s)}"
        told.append(f"{outcome.scenario.labels[each.unit]} raised {moment(each.raised_s)}, {end}")
    return "; ".join(told) + (" …" if len(alerts) > SHOWN else "")


def _span(window: tuple[int, int] | None, what: str) -> str:
    if window is None:
        return ""
    return f"{what if what.startswith(',') else f' {what}'.rstrip()} from {moment(window[0])} to {moment(window[1])}"


def _counted(wanted: Expectation) -> str:
    low, high = wanted.least, wanted.most
    if high == 0:
        return "no"
    if low == high:
        return f"{low:g}"
    return f"up to {high:g}" if low == 0 else f"{low:g} or more" if high >= 1e9 else f"{low:g} to {high:g}"


def _bounds(wanted: Expectation) -> str:
    low, high = wanted.least, wanted.most
    if low <= -1e9:
        return f"at most {high:g}"
    return f"at least {low:g}" if high >= 1e9 else f"between {low:g} and {high:g}"


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "without end"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
