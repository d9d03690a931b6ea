"""docs/conformance.md is what the catalogue and the last `make matrix` say."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_catalogue_says() -> None:
    made = run_path(str(ROOT / "docs" / "make_conformance.py"))["page"]()
    assert (ROOT / "docs" / "conformance.md").read_text("utf-8") == made, "run `make conformance-page`"


def test_our_firmware_has_passed_wherever_it_was_run() -> None:
    said = json.loads((ROOT / "docs" / "matrix.json").read_text("utf-8"))
    ours = ("pc", "avr", "cortex-m3", "vedirect", "epever")
    assert {name: said[name]["failed"] for name in ours} == {name: {} for name in ours}
    assert min(len(said[name]["passed"]) for name in ours) > 100
    assert said["hdk"]["failed"], "a decoder that is known to be broken is found broken"
