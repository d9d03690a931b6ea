"""The planted defects fit the sources, the rules and the tests as these are now; `make mutants` plants them."""

from __future__ import annotations

import subprocess
import sys

import run

MUTANTS = run.load()
TESTS = sorted({test for mutant in MUTANTS for test in mutant.tests})


def test_every_rule_has_a_defect_and_every_defect_a_rule():
    assert list(dict.fromkeys(mutant.rule for mutant in MUTANTS)) == run.rules(), "in the order of the page"


def test_every_defect_finds_its_source_text_exactly_once():
    assert run.stale(MUTANTS) == []


def test_every_defect_says_what_breaks_and_names_a_test():
    for mutant in MUTANTS:
        assert mutant.breaks, mutant
        assert mutant.tests, mutant
        assert mutant.file.endswith((".c", ".py")), mutant
        assert len(set(mutant.tests)) == len(mutant.tests), mutant


def test_every_named_c_test_exists():
    for test in TESTS:
        file, _, function = test.partition("::")
        if file.endswith(".c"):
            assert function in run.c_functions(run.ROOT / file), test


def test_every_named_python_test_exists():
    named = [test for test in TESTS if ".py::" in test]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named]
    collected = subprocess.run(command, cwd=run.ROOT, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout + collected.stderr
