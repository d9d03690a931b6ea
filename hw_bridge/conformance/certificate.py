"""What a run leaves for people and for machines: an HTML certificate and JUnit XML."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hw_bridge.conformance.catalogue import load
from hw_bridge.conformance.results import Result, Run, Verdict
from paygo_core import report
from paygo_core.draft import Draft
from paygo_core.report import Page, Section

GRID = "#dde3ea"
INK = {"passed": "#1a7f4b", "failed": "#b3261e"}
ALLOWED_S = 5.0
"""What the official procedure allows for an entry."""
HTML, JUNIT = "certificate.html", "junit.xml"


def write(run: Run, folder: Path) -> None:
    """Writes both into a folder, each whole or not at all."""
    report.write(page(run), folder / HTML)
    with Draft(folder / JUNIT) as draft:
        draft.write(junit(run))
        draft.publish()


def junit(run: Run) -> bytes:
    """JUnit XML: a test case for each test, with its transcript as its output."""
    suite = ET.Element(
        "testsuite",
        name=f"paygo conform {run.serial}",
        tests=str(len(run.results)),
        failures=str(run.number("failed")),
        skipped=str(run.number("not run")),
        errors="0",
        time=f"{sum(result.seconds for result in run.results):.3f}",
        timestamp=run.started,
    )
    properties = ET.SubElement(suite, "properties")
    for name in ("serial", "model", "firmware", "driver", "kit", "first_count", "last_count"):
        ET.SubElement(properties, "property", name=name, value=str(getattr(run, name)))
    for result in run.results:
        name = f"{result.id}: {result.title}"
        case = ET.SubElement(suite, "testcase", classname=result.rule, name=name, time=f"{result.seconds:.3f}")
        if result.verdict == "failed":
            ET.SubElement(case, "failure", message=result.reason)
        elif result.verdict == "not run":
            ET.SubElement(case, "skipped", message=result.reason)
        if result.transcript:
            ET.SubElement(case, "system-out").text = "\n".join(result.transcript)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def page(run: Run) -> Page:
    """The certificate: who the unit is, the verdict per rule, timings, what was not run, transcripts."""
    facts = [
        ("Serial number", run.serial),
        ("Model", run.model or "not told"),
        ("Firmware", run.firmware or "not told"),
        ("Driver", run.driver),
        ("Kit", run.kit),
        ("Date", run.started[:16].replace("T", " ") + " UTC"),
        ("Passed", str(run.number("passed"))),
        ("Failed", str(run.number("failed"))),
        ("Not run", str(run.number("not run"))),
        ("Counts", f"{run.first_count} to {run.last_count}"),
        ("Left", run.leave if run.closed else f"NOT {run.leave}"),
    ]
    return Page(
        title=f"Conformance of {run.serial}",
        lead="An OpenPAYGO control unit, tested over its cable. A test that was not run says nothing about the unit.",
        verdict=_verdict(run),
        passed=run.passed,
        facts=facts,
        sections=[section for section in _sections(run) if section.rows or section.plot or section.folds],
    )


def _verdict(run: Run) -> str:
    missing = run.number("not run")
    return ("passed" if run.passed else "failed") + (f", {missing} tests not run" if missing else "")


def _sections(run: Run) -> Iterator[Section]:
    columns = ("Test", "Rule", "What it shows", "Why")
    yield Section("What failed", columns=columns, rows=_rows(run, "failed"))
    yield Section(
        "Rule by rule",
        "Rules T1 to T37 are those of token-rules.md, H1 and on those of hdk-plus.md.",
        columns=("Rule", "Verdict", "Passed", "Failed", "Not run"),
        rows=rules(run),
    )
    yield Section("How long the unit takes for a token", plot=_timings(run))
    yield Section("What was not run", columns=columns, rows=_rows(run, "not run"))
    defects = {test.id: test.catches for test in load() if test.catches}
    yield Section(
        "Defects known from the field",
        columns=("Defect", "Test", "Verdict"),
        rows=[(defects[result.id], result.id, result.verdict) for result in run.results if result.id in defects],
    )
    yield Section(
        "Transcripts",
        "What was done and what went over the line, in its order; > to the unit, < from it. Keys are masked.",
        folds=[
            (f"{result.id}: {result.title}: {result.verdict}", "\n".join(result.transcript))
            for result in run.results
            if result.transcript
        ],
    )


def _rows(run: Run, verdict: Verdict) -> list[tuple[str, str, str, str]]:
    return [(r.id, r.rule, r.title, r.reason) for r in run.results if r.verdict == verdict]


def rules(run: Run) -> list[tuple[str, str, str, str, str]]:
    """Each rule with its tests and its verdict: failed as soon as one of them is, passed in part if one did not run."""
    by_rule: dict[str, list[Result]] = {}
    for result in run.results:
        by_rule.setdefault(result.rule, []).append(result)
    rows = []
    for rule in sorted(by_rule, key=lambda name: (name[0] != "T", int(name[1:]))):
        ids = {
            verdict: ", ".join(result.id for result in by_rule[rule] if result.verdict == verdict)
            for verdict in ("passed", "failed", "not run")
        }
        verdict = next((name for name in ("failed", "passed") if ids[name]), "not run")
        if verdict == "passed" and ids["not run"]:
            verdict = "passed in part"
        rows.append((rule, verdict, ids["passed"], ids["failed"], ids["not run"]))
    return rows


def _timings(run: Run) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure()
    for verdict, ink in INK.items():
        points = [
            (number, seconds, result.id)
            for number, (result, seconds) in enumerate((r, s) for r in run.results for s in r.entries)
            if result.verdict == verdict
        ]
        if points:
            numbers, seconds, names = zip(*points, strict=True)
            figure.add_scatter(x=numbers, y=seconds, text=names, mode="markers", marker_color=ink, name=verdict)
    if not figure.data:
        return None
    figure.add_hline(y=ALLOWED_S, line_dash="dot", line_color="#5b6675")
    figure.add_annotation(  # on a logarithmic axis an annotation is placed by its logarithm
        x=0, xref="paper", y=math.log10(ALLOWED_S), yanchor="bottom", showarrow=False, text=f"allowed: {ALLOWED_S:g} s"
    )
    figure.update_yaxes(title="seconds", type="log", dtick=1, tickformat="~g", gridcolor=GRID)
    figure.update_xaxes(title="token entries, in their order", gridcolor=GRID, zeroline=False)
    figure.update_layout(
        height=380,
        margin={"t": 40, "b": 60, "l": 70, "r": 20},
        plot_bgcolor="#fff",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    return figure
