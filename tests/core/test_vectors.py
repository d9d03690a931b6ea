"""Every example of docs/token-rules.md is executed, and every rule has one."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "token-rules.md"
INTRODUCTION = "introduction"
_HEADING = re.compile(r"^## (?:(T\d+) )?", re.MULTILINE)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, str]:
    """The text under each heading, by rule; everything before T1 is the introduction."""
    text = PAGE.read_text("utf-8")
    found = {INTRODUCTION: text[: text.index("## T1 ")]}
    headings = list(_HEADING.finditer(text))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        if heading[1]:
            assert heading[1] not in found, f"{heading[1]} is there twice"
            found[heading[1]] = text[heading.end() : following.start() if following else None]
    return found


SECTIONS = sections()


def run(section: str, names: dict[str, object]) -> tuple[int, str]:
    """Runs the examples of a section with and into `names`; returns how many there were, and what failed."""
    code = "\n".join(_BLOCK.findall(SECTIONS[section]))
    examples = doctest.DocTestParser().get_doctest(code, names, section, str(PAGE), 0)
    examples.globs = names  # get_doctest works on a copy
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    said: list[str] = []
    runner.run(examples, out=said.append, clear_globs=False)
    return len(examples.examples), "".join(said)


@pytest.fixture(scope="module")
def introduced() -> dict[str, object]:
    """The names that the introduction defines."""
    names: dict[str, object] = {}
    number, failed = run(INTRODUCTION, names)
    assert number > 10
    assert not failed, failed
    return names


def test_the_rules_are_numbered_without_a_gap():
    """All that the page numbers, from the first to the thirty-seventh."""
    assert list(SECTIONS) == [INTRODUCTION, *(f"T{number}" for number in range(1, 38))]


@pytest.mark.parametrize("rule", [rule for rule in SECTIONS if rule != INTRODUCTION])
def test_the_vectors_of_each_rule_hold(rule, introduced):
    """An example that gives something else fails here, and so does a rule without one."""
    names = dict(introduced)
    for earlier in list(SECTIONS)[1 : list(SECTIONS).index(rule)]:  # a section may use the names above it
        names.update(defined_in(earlier, names))
    number, failed = run(rule, names)
    assert number >= 1
    assert not failed, failed


_DEFINED: dict[str, dict[str, object]] = {}


def defined_in(section: str, names: dict[str, object]) -> dict[str, object]:
    """What the examples of a section define, computed once."""
    if section not in _DEFINED:
        after = dict(names)
        run(section, after)
        _DEFINED[section] = {name: value for name, value in after.items() if names.get(name) is not value}
    return _DEFINED[section]


@pytest.mark.parametrize(
    "vector",
    [
        "662486790", "927706818", "942433796", "650975787", "592185789", "016609796", "152198176", "568012501",
        "588224011", "314114432231134", "247264959011", "14323213131442331314", "324244134441123",
    ],
)  # fmt: skip
def test_every_published_vector_is_on_the_page(vector):
    """T3, T5, T20, T21, T24."""
    assert vector in PAGE.read_text("utf-8")


def test_the_walk_that_is_too_long_for_python_is_done_in_c():
    """T3: 20 000 000 steps."""
    assert "568012501" in (PAGE.parents[1] / "tests" / "c" / "test_core.c").read_text("utf-8")
