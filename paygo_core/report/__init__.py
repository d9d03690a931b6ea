"""Self-contained HTML pages with plots, for every package: they open without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from paygo_core._version import __version__
from paygo_core.draft import Draft
from paygo_core.redact import mask_secrets


@dataclass(frozen=True)
class Section:
    """A heading with a text, a plotly figure, a table, texts that are folded in, or any of them.

    A cell `confirmed`, `passed` or `failed` is coloured. folds: a line that is shown, and the text under it; a
    line that ends in `: failed` is coloured too.
    """

    title: str
    text: str = ""
    plot: Any = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    folds: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Page:
    """A report: what it is about, its verdict, a few facts, sections."""

    title: str
    lead: str
    verdict: str
    passed: bool
    facts: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    footer: str = field(default=f"Made by paygo {__version__}. This page loads nothing from a network.")


def render(page: Page) -> str:
    """The page as HTML. Text is escaped, and whatever looks like a secret key is masked."""
    import jinja2
    from plotly import io

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_masked)
    template = environment.from_string(files("paygo_core.report").joinpath("page.html.j2").read_text("utf-8"))
    plots: dict[str, Markup] = {}
    for section in page.sections:
        if section.plot is not None:
            html = io.to_html(
                section.plot,
                full_html=False,
                include_plotlyjs=not plots,
                config={"displaylogo": False, "responsive": True},
            )
            plots[section.title] = Markup(html)
    return template.render(page=page, plots=plots)


class Markup(str):
    """HTML that is ours, and is neither escaped nor masked."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _masked(cell: object) -> object:
    return mask_secrets(cell) if isinstance(cell, str) and not isinstance(cell, Markup) else cell


def write(page: Page, path: Path) -> None:
    """Renders to a file, which is there whole or not at all. Raises PaygoError when it cannot be written."""
    text = render(page)
    with Draft(path) as draft:
        draft.write(text.encode("utf-8"))
        draft.publish()
