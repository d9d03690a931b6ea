"""Labels: the code says the serial and nothing else, whatever the size, and what cannot be drawn is said."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
import segno
from click.testing import CliRunner

from paygo_core import PaygoError
from paygo_core.cli import root
from paygo_core.cli_device import device as group
from paygo_core.labels import QUIET_MODULES, Label, Size, pdf, svg
from paygo_core.registry import Registry
from paygo_core.shell import run

SVG = "{http://www.w3.org/2000/svg}"
LONG = Label("S" * 64, "a model with a long name " * 4)
STRANGE = Label('<&> "Größe', "é")


def drawn(content: bytes) -> list[tuple[str, list[tuple[float, ...]], list[xml.Element]]]:
    """Each label of an SVG: its title, its bars and its texts."""
    labels = []
    for node in xml.fromstring(content).iter(f"{SVG}g"):
        path = node.find(f"{SVG}path").get("d")
        bars = [tuple(map(float, bar)) for bar in re.findall(r"M(\S+) (\S+?)h(\S+?)v(\S+?)h-\S+?z", path)]
        labels.append((node.find(f"{SVG}title").text, bars, node.findall(f"{SVG}text")))
    return labels


@pytest.mark.parametrize("size", [Size(), Size(40, 20), Size(25, 40, True), Size(15, 15), Size(194, 200, True)])
@pytest.mark.parametrize("label", [Label("A"), Label("SLT220000001", "SLT-50"), LONG, STRANGE])
def test_the_code_says_the_serial_and_all_of_it_fits(label, size):
    [(title, bars, texts)] = drawn(svg([label], size))
    assert title == label.serial
    expected = segno.make_qr(label.serial, error="m").matrix
    module = bars[0][3]
    left, top = min(bar[0] for bar in bars), min(bar[1] for bar in bars)
    grid = [[0] * len(expected) for _ in expected]
    for x, y, width, _ in bars:
        row, first = round((y - top) / module), round((x - left) / module)
        for place in range(first, first + round(width / module)):
            grid[row][place] = 1
    assert grid == [list(row) for row in expected]
    quiet = QUIET_MODULES * module - 0.01
    assert left >= quiet
    assert top >= quiet
    assert max(bar[0] + bar[2] for bar in bars) <= size.width - quiet
    assert max(bar[1] for bar in bars) <= size.height
    shown = "".join(text.text for text in texts if text.get("font-weight") == "bold")
    assert shown == label.serial
    for text in texts:
        x, y, high = (float(text.get(name)) for name in ("x", "y", "font-size"))
        assert x >= max(bar[0] + bar[2] for bar in bars) or y - high >= max(bar[1] for bar in bars)
        assert x + 0.6 * high * len(text.text) <= size.width
        assert 0 < y <= size.height


def test_labels_go_on_on_the_next_sheet():
    labels = [Label(f"SLT{n}") for n in range(67)]
    places = len(Size().places)
    assert places == 33
    root = xml.fromstring(svg(labels, Size()))
    assert (root.get("width"), root.get("height")) == ("210mm", "891mm")
    corners = {node.get("transform") for node in root.iter(f"{SVG}g")}
    assert len(corners) == 67
    for size, pages in ((Size(), 3), (Size(alone=True), 67)):
        assert pdf(labels, size).count(b"/Type /Page\n") == pages


@pytest.mark.parametrize("size", [(14, 25), (50, 14), (195, 25), (50, 201)])
def test_a_size_that_no_label_has_is_refused(size):
    with pytest.raises(PaygoError, match="cannot be drawn"):
        Size(*size)


def test_a_text_that_a_pdf_has_no_letters_for_is_refused():
    with pytest.raises(PaygoError, match="cannot stand in a PDF"):
        pdf([STRANGE], Size())


@pytest.fixture
def labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Registry.open("paygo.db") as registry:
        registry.make(3, "SLT", digits=2, hardware_model="M<1>")
        registry.make(2, "ABC", digits=2)
        registry.set_state("SLT02", "provisioned")
        keys = [device.config.secret_key.hex() for device in registry.devices()]

    def run(*words: str):
        result = CliRunner().invoke(group, ["labels", *words], catch_exceptions=False, standalone_mode=False)
        for name in ("l.svg", "l.pdf"):
            if Path(name).exists():
                assert not [key for key in keys if key.encode() in Path(name).read_bytes().lower()]
        return result

    return run


def test_the_shell_draws_the_devices_that_are_named_or_meant(labels):
    def titles() -> list[str]:
        return [title for title, _, _ in drawn(Path("l.svg").read_bytes())]

    assert labels("SLT03", "ABC01", "-o", "l.svg").output == "2 labels in l.svg\n"
    assert titles() == ["SLT03", "ABC01"]
    labels("--prefix", "SLT", "--state", "new", "-o", "l.svg")
    assert titles() == ["SLT01", "SLT03"]
    assert json.loads(labels("--state", "new", "-o", "l.pdf", "--one-per-page", "--json").output)["labels"] == 4
    assert Path("l.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "l.svg"], ["SLT01", "--prefix", "S", "-o", "l.svg"], ["SLT01", "-o", "l.png"], ["SLT09", "-o", "l.svg"],
        ["--prefix", "X", "-o", "l.svg"], ["SLT01", "-o", "no/l.svg"], ["SLT01", "-o", "l.svg", "--size", "5x5"],
        ["SLT01", "-o", "l.svg", "--size", "50"],
    ],
)  # fmt: skip
@pytest.mark.usefixtures("labels")
def test_wrong_use_draws_nothing(words):
    assert run(root, ["device", "labels", *words]) == 2
    assert not list(Path().glob("l.*"))


def test_without_the_library_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(PaygoError, match="need segno"):
        svg([Label("A")], Size())
