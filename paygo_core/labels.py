"""Labels with a device's serial as text and as QR code, on sheets or one by one, as SVG or PDF. Never anything secret.

Lengths are millimetres.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from paygo_core.errors import PaygoError

if TYPE_CHECKING:
    from fpdf import FPDF

QUIET_MODULES = 4
"""The empty border of a QR code, without which scanners miss it (ISO/IEC 18004)."""
MARGIN = 1.5
_POINT = 25.4 / 72
_CHARACTER = 0.6
"""The width of a Courier character, of its size."""
_LARGEST, _SMALLEST = 12.0, 4.0
"""Points."""
_LINE = 1.15
PAGE_WIDTH, PAGE_HEIGHT, PAGE_MARGIN = 210.0, 297.0, 8.0
"""A4."""


@dataclass(frozen=True)
class Label:
    """serial: what the code says and the text shows. model: a second, smaller text, or empty."""

    serial: str
    model: str = ""


@dataclass(frozen=True)
class Size:
    """Of one label, 15 to 200 each way. alone: one label a page, for a label printer, instead of an A4 sheet."""

    width: float = 50.0
    height: float = 25.0
    alone: bool = False

    def __post_init__(self) -> None:
        if not (15 <= self.width <= 194 and 15 <= self.height <= 200):
            raise PaygoError(
                f"a label of {self.width:g} by {self.height:g} mm cannot be drawn", "15x15 to 194x200, such as 50x25"
            )

    @property
    def page(self) -> tuple[float, float]:
        """Width and height of a page."""
        return (self.width, self.height) if self.alone else (PAGE_WIDTH, PAGE_HEIGHT)

    @property
    def places(self) -> list[tuple[float, float]]:
        """The upper left corners of a page's labels, row by row."""
        if self.alone:
            return [(0.0, 0.0)]
        columns = int((PAGE_WIDTH - 2 * PAGE_MARGIN) // self.width)
        rows = int((PAGE_HEIGHT - 2 * PAGE_MARGIN) // self.height)
        left, top = (PAGE_WIDTH - columns * self.width) / 2, (PAGE_HEIGHT - rows * self.height) / 2
        return [(left + x * self.width, top + y * self.height) for y in range(rows) for x in range(columns)]


@dataclass(frozen=True)
class _Text:
    """A line of text, its left end on the base line. size: points."""

    x: float
    y: float
    size: float
    bold: bool
    text: str


@dataclass(frozen=True)
class _Drawing:
    """One label: black bars (x, y, width, height) and lines of text, from its upper left corner."""

    bars: list[tuple[float, float, float, float]]
    texts: list[_Text]


def svg(labels: Sequence[Label], size: Size) -> bytes:
    """All labels in one drawing: A4 sheets one below the other, or the labels themselves."""
    width, page_height = size.page
    pages = -(-len(labels) // len(size.places))
    height = page_height * pages
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm"'
        f' viewBox="0 0 {width:g} {height:g}" font-family="Courier, monospace">',
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
    ]
    for page, x, y, label in _placed(labels, size):
        drawing = _drawn(label, size)
        path = "".join(f"M{bx:.3f} {by:.3f}h{bw:.3f}v{bh:.3f}h-{bw:.3f}z" for bx, by, bw, bh in drawing.bars)
        lines.append(f'<g transform="translate({x:.3f} {page * page_height + y:.3f})">')
        lines.append(f"<title>{escape(label.serial)}</title>")
        lines.append(f'<path d="{path}" shape-rendering="crispEdges"/>')
        for text in drawing.texts:
            weight = ' font-weight="bold"' if text.bold else ""
            place = f'x="{text.x:.3f}" y="{text.y:.3f}" font-size="{text.size * _POINT:.3f}"{weight}'
            lines.append(f'<text {place} xml:space="preserve">{escape(text.text)}</text>')
        lines.append("</g>")
    return ("\n".join([*lines, "</svg>"]) + "\n").encode("utf-8")


def pdf(labels: Sequence[Label], size: Size) -> bytes:
    """The same on pages. Raises PaygoError for a serial that the fonts of a PDF do not have."""
    document = _new_document(size)
    last = -1
    for page, x, y, label in _placed(labels, size):
        if page != last:
            document.add_page()
            last = page
        drawing = _drawn(label, size)
        for bx, by, bw, bh in drawing.bars:
            document.rect(x + bx, y + by, bw, bh, style="F")
        for text in drawing.texts:
            if not text.text.isascii():
                raise PaygoError(f"the text {text.text!r} cannot stand in a PDF", "make the labels as SVG")
            document.set_font("Courier", "B" if text.bold else "", text.size)
            document.text(x + text.x, y + text.y, text.text)
    return bytes(document.output())


def _new_document(size: Size) -> FPDF:
    try:
        from fpdf import FPDF
    except ImportError:
        raise PaygoError("labels as PDF need fpdf2", "pip install 'paygo-solar[labels]'") from None
    document = FPDF(orientation="portrait", unit="mm", format=size.page)
    document.set_auto_page_break(False)
    document.set_margin(0)
    return document


def _placed(labels: Sequence[Label], size: Size) -> Iterator[tuple[int, float, float, Label]]:
    """Each label with its page and its corner."""
    places = size.places
    for number, label in enumerate(labels):
        page, place = divmod(number, len(places))
        yield page, *places[place], label


def _drawn(label: Label, size: Size) -> _Drawing:
    """The code at the left, as large as it can be, and the texts beside it, or below it where that is too narrow."""
    modules = _modules(label.serial)
    beside = size.width >= 1.5 * size.height
    across = size.height if beside else min(size.width, size.height * 0.75)
    module = across / (len(modules) + 2 * QUIET_MODULES)
    left = QUIET_MODULES * module if beside else (size.width - len(modules) * module) / 2
    bars = []
    for y, row in enumerate(modules):
        x = 0
        for dark, run in groupby(row):
            length = len(list(run))
            if dark:
                bars.append((left + x * module, (QUIET_MODULES + y) * module, length * module, module))
            x += length
    if beside:
        return _Drawing(bars, _texts(label, across, 0.0, size.width - across - MARGIN, size.height))
    return _Drawing(bars, _texts(label, MARGIN, across, size.width - 2 * MARGIN, size.height - across - MARGIN / 2))


def _texts(label: Label, x: float, y: float, width: float, height: float) -> list[_Text]:
    """The serial, in as few lines as it takes, and the model under it, in the middle of a box."""
    lines = [(line, True, size) for line, size in _lines(label.serial, width, _LARGEST)]
    if label.model:
        lines += [(line, False, size) for line, size in _lines(label.model, width, lines[0][2] * 0.8)[:1]]
    heights = [size * _POINT * _LINE for _, _, size in lines]
    if sum(heights) > height:
        shrink = height / sum(heights)
        lines = [(line, bold, size * shrink) for line, bold, size in lines]
        heights = [part * shrink for part in heights]
    base = y + (height - sum(heights)) / 2
    texts = []
    for (line, bold, size), part in zip(lines, heights, strict=True):
        base += part
        texts.append(_Text(x, base - part * 0.25, size, bold, line))
    return texts


def _lines(text: str, width: float, largest: float) -> list[tuple[str, float]]:
    """The text in lines that fit, each with its size in points."""
    size = min(largest, width / (len(text) * _CHARACTER * _POINT))
    if size >= _SMALLEST + 2:
        return [(text, size)]
    size = min(largest, _SMALLEST + 2)
    fits = max(1, int(width / (size * _CHARACTER * _POINT)))
    return [(text[at : at + fits], size) for at in range(0, len(text), fits)]


def _modules(text: str) -> list[list[bool]]:
    """The QR code, dark modules true; error correction M or better, as labels get scratched."""
    try:
        import segno
    except ImportError:
        raise PaygoError("labels need segno", "pip install 'paygo-solar[labels]'") from None
    code: Any = segno.make_qr(text, error="m")
    return [[bool(module) for module in row] for row in code.matrix]
