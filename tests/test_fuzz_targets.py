"""Every public C function is fuzzed, from seeds that mean something."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FUZZ = ROOT / "tests" / "fuzz"
TARGETS = sorted(FUZZ.glob("fuzz_*.c"))
HEADERS = [
    header
    for room in ("paygo_core/csrc", "paygo_core/csrc/batch", "firmware_sim/csrc")
    for header in sorted((ROOT / room).glob("*.h"))
]
REACHED_THROUGH = {
    f"paygo_batch_{part}{path}": f"paygo_batch_{caller}"
    for path in ("avx2", "avx512", "neon")
    for part, caller in (("", "run"), ("match_", "check"))
}
"""One path's functions may only be called where its instructions are, which the function behind them knows."""


def without_comments(source: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", source.read_text("utf-8"), flags=re.DOTALL)


def declared() -> set[str]:
    """The functions that the headers declare, or define for all who include them."""
    return {
        name
        for header in HEADERS
        for name in re.findall(r"^\w[^#{};=()]*?\b(paygo_\w+)\(", without_comments(header), re.M)
    }


def test_every_codec_is_fuzzed_and_takes_its_seeds_cut_anywhere() -> None:
    """Without the fuzzer; it looks for what these do not show (make fuzz-python)."""
    fuzzed = runpy.run_path(str(FUZZ / "codecs.py"))
    modules = {path.stem for path in (ROOT / "paygo_core" / "wire").glob("*.py")} - {"__init__", "crc"}
    imported = set(re.findall(r"from paygo_core\.wire\.(\w+) import", (FUZZ / "codecs.py").read_text("utf-8")))
    assert imported == modules
    for name, check in fuzzed["CODECS"].items():
        assert fuzzed["SEEDS"][name]
        for seed in fuzzed["SEEDS"][name]:
            for step in range(32):
                check(bytes([step]) + seed[1:])


def called_in(source: Path) -> set[str]:
    return set(re.findall(r"\b(paygo_\w+)\(", without_comments(source)))


def test_every_public_c_function_is_called_by_a_fuzz_target() -> None:
    called = {name for target in TARGETS for name in called_in(target)}
    names = declared()
    assert len(names) > 70
    for name in names:
        by = REACHED_THROUGH.get(name, name)
        assert by in called, f"{name} is reached by no fuzz target"


def test_what_is_reached_through_another_function_is_named_where_that_one_is_defined() -> None:
    sources = [without_comments(source) for source in (ROOT / "paygo_core" / "csrc" / "batch").glob("*.c")]
    for name, by in REACHED_THROUGH.items():
        assert any(
            re.search(rf"\b{by}\([^;{{]*\)\s*{{", text) and re.search(rf"\b{name}\b", text) for text in sources
        ), name


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.stem)
def test_a_target_has_seeds_as_the_script_writes_them(tmp_path: Path, target: Path) -> None:
    runpy.run_path(str(FUZZ / "seeds.py"))["write"](tmp_path)
    kept = {seed.name: seed.read_bytes() for seed in (FUZZ / "corpus" / target.stem).iterdir()}
    assert kept
    assert kept == {seed.name: seed.read_bytes() for seed in (tmp_path / target.stem).iterdir()}
