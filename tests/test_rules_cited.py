"""Every numbered rule is cited by a test and by the code that keeps it, and nothing cites a rule that is not there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEFINITIONS = {
    "T": (ROOT / "docs" / "token-rules.md", re.compile(r"^## T(\d+) ", re.MULTILINE)),
    "H": (ROOT / "docs" / "hdk-plus.md", re.compile(r"^\| \*\*H(\d+)\*\* \|", re.MULTILINE)),
}
CODE = ("paygo_core", "firmware_sim", "hw_bridge")
SOURCES = CODE[:2]
"""Where the code that keeps the rules is; the bridge only relies on them."""

_CITATION = re.compile(r"(?<![A-Za-z0-9_.#;%&\\-])([TH])([1-9]\d?)(?![A-Za-z0-9_])(?!\.\d)")
_RANGE = re.compile(r"(?<![A-Za-z0-9_.#;%&\\-])([TH])(\d+)(?: to | *(?:…|\.\.\.|-|–) *)\1(\d+)(?![A-Za-z0-9_])")  # noqa: RUF001


def defined() -> list[str]:
    """All rules, T1 first."""
    rules = []
    for letter, (page, pattern) in DEFINITIONS.items():
        rules += [f"{letter}{number}" for number in pattern.findall(page.read_text("utf-8"))]
    return rules


def citations(text: str) -> set[str]:
    """The rules that a text cites; a range such as `T26 to T30` or `T1 … T4` stands for all of its rules."""
    cited = {letter + number for letter, number in _CITATION.findall(text)}
    for letter, first, last in _RANGE.findall(text):
        cited |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return cited


@cache
def citing(*folders: str) -> dict[str, set[str]]:
    """Which files in these folders cite which rule."""
    files: dict[str, set[str]] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix not in (".py", ".c", ".h") or path == Path(__file__) or path.name == "_native.c":
                continue
            for rule in citations(path.read_text("utf-8")):
                files.setdefault(rule, set()).add(name)
    return files


RULES = defined()


def test_both_pages_define_their_rules_without_a_gap():
    for letter, at_least in (("T", 37), ("H", 21)):
        numbers = [int(rule[1:]) for rule in RULES if rule[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter
        assert len(numbers) >= at_least


@pytest.mark.parametrize("rule", RULES)
def test_a_test_cites_the_rule(rule):
    assert citing("tests").get(rule), f"no test says that it checks {rule}"


@pytest.mark.parametrize("rule", RULES)
def test_the_code_cites_the_rule(rule):
    assert citing(*SOURCES).get(rule), f"no source file says that it keeps {rule}"


def test_nothing_cites_a_rule_that_no_page_defines():
    unknown = {rule: files for rule, files in citing(*CODE, "tests", "bench").items() if rule not in RULES}
    assert not unknown


def test_the_pages_cite_only_rules_that_exist():
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert citations(page.read_text("utf-8")) <= set(RULES), page.name


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("(T5)", {"T5"}), ("T26 to T30", {"T26", "T27", "T28", "T29", "T30"}), ("T1 … T3", {"T1", "T2", "T3"}),
        ("H1 ... H3", {"H1", "H2", "H3"}), ("T32, T33.", {"T32", "T33"}), ("H2-H4", {"H2", "H3", "H4"}),
        ("rules T22 and T26 to T27", {"T22", "T26", "T27"}), ("RST12 T0 UINT8 T5x", set()),
        ("2026-11-05T12:34:56", set()), ("#SETUP;T1;5", set()),
    ],
)  # fmt: skip
def test_a_citation_is_read_as_people_write_it(text, rules):
    assert citations(text) == rules
