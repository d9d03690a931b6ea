"""docs/token-scheme.md: every line of it is executed, and its drawing shows the numbers that are computed."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "token-scheme.md"
TEXT = PAGE.read_text("utf-8")


def run_page() -> dict[str, object]:
    """Runs all examples in their order; returns the names that they define."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
    names: dict[str, object] = {}
    examples = doctest.DocTestParser().get_doctest(code, names, "token-scheme", str(PAGE), 0)
    examples.globs = names  # get_doctest works on a copy
    assert len(examples.examples) > 40
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(examples, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    return names


def test_every_line_of_the_page_is_true() -> None:
    """T2, T3, T5, T9, T10, T12, T17, T18, T21."""
    run_page()


def test_the_drawing_of_the_chain_shows_its_codes_and_tokens() -> None:
    (drawing,) = re.findall(r"^```text\n(count.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    rows = {line.split()[0]: re.findall(r"\d{9}", line) for line in drawing.splitlines()}
    names = run_page()
    names["key"] = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")  # the page ends with another device
    codes, tokens = eval("[with_base(starting_code, 796)], [token(7, n) for n in (1, 2, 3)]", names)
    for _ in range(3):
        codes.append(eval("next_code", names)(codes[-1]))
    assert rows["code"] == [f"{code:09d}" for code in codes]
    assert rows["token"] == tokens


def test_every_example_is_in_a_block_that_is_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert sum(block.count(">>> ") for block in blocks) == TEXT.count(">>> ")
