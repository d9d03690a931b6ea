"""The planted defects of the firmware fit its sources and the kit as these are now; `make kit-mutants` plants them."""

from __future__ import annotations

import kit

from hw_bridge.conformance.catalogue import load

MUTANTS = kit.mutants()
IDS = {test.id: test for test in load()}


def test_there_are_at_least_40_and_each_is_another() -> None:
    assert len({mutant.edits for mutant in MUTANTS}) == len(MUTANTS) >= 40


def test_every_defect_finds_its_source_text_exactly_once() -> None:
    assert kit.stale(MUTANTS) == []


def test_a_defect_whose_text_is_gone_is_told() -> None:
    gone = kit.Mutant("T1", (kit.Edit("paygo_core/csrc/unit.c", "no such text", ""),), "nothing", ("Z1",))
    assert "0 times" in kit.stale([gone])[0]


def test_every_defect_names_tests_that_prove_its_rule_or_what_follows_from_it() -> None:
    for mutant in MUTANTS:
        assert mutant.breaks, mutant
        assert mutant.tests, mutant
        assert set(mutant.tests) | set(mutant.spares) <= set(IDS), mutant
        assert not set(mutant.tests) & set(mutant.spares), mutant


def test_nearly_every_kind_of_test_is_needed_for_some_defect() -> None:
    families = {test.id.rstrip("0123456789") for test in IDS.values() if not test.official}
    heard = {name.rstrip("0123456789") for mutant in MUTANTS for name in mutant.tests}
    assert families - heard <= {"V"}, "validation time is measured, not mutated"
