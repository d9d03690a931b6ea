"""The page of a scenario: expectations, the course of its units over time, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firmware_sim.scenario.expectations import Check
from firmware_sim.scenario.play import Outcome
from firmware_sim.scenario.tables import DAY_S, moment
from paygo_core.report import Page, Section

MOST_LINES = 400
"""Of the story."""
MOST_MARKS = 300
"""In a plot."""
INK = {"battery_v": "#1f5fa8", "charge": "#1a7f4b", "panel_w": "#d08700", "load_w": "#5b6675", "output": "#1c2430"}
MARKS = {
    "token": ("triangle-down", "#1f5fa8"), "event": ("diamond", "#7a3fa0"), "broken": ("x", "#b3261e"),
}  # fmt: skip
ALERT_INK = "#b3261e"


def scenario_page(outcome: Outcome, checks: Sequence[Check]) -> Page:
    """The page."""
    scenario = outcome.scenario
    kept = sum(each.kept for each in checks)
    span = f"{scenario.units} unit{'s' * (scenario.units > 1)}, {scenario.days} day{'s' * (scenario.days > 1)}"
    story = [each for each in outcome.happenings if each.kind != "output"] or outcome.happenings
    shown = story[:MOST_LINES]
    rest = f" The first {MOST_LINES} of {len(story):,} lines." if len(story) > MOST_LINES else ""
    return Page(
        title=scenario.title,
        lead=f"{scenario.about} {span}, seed {scenario.seed}, steps of {scenario.step_s} s.".strip(),
        verdict=f"{kept} of {len(checks)} expectations kept",
        passed=kept == len(checks),
        facts=[
            ("Units", f"{scenario.units:,}"),
            ("Days", f"{scenario.days:,}"),
            ("Tokens typed", f"{len(outcome.tokens):,}"),
            ("Alerts", f"{len(outcome.alerts):,}"),
            ("Alerts open", f"{sum(each.cleared_s is None for each in outcome.alerts):,}"),
            ("Units broken", f"{len({each.unit for each in outcome.failures}):,}"),
        ],
        sections=[
            Section(
                "Expectations",
                columns=("Expected", "As expected", "Seen"),
                rows=[(each.words, "passed" if each.kept else "failed", each.seen) for each in checks],
            ),
            *(_course(outcome, unit) for unit in outcome.traces),
            Section(
                "What happened",
                text=f"Times are of the site's own sun; the first day is day 0.{rest}",
                columns=("Time", "Unit", "What"),
                rows=[
                    (moment(each.at_s), scenario.labels[each.unit] if each.unit >= 0 else "all", each.text)
                    for each in shown
                ],
            ),
        ],
    )


def _course(outcome: Outcome, unit: int) -> Section:
    scenario, trace = outcome.scenario, outcome.traces[unit]
    group = next(each for each in scenario.groups if each.first <= unit < each.first + each.count)
    kit = group.kit
    charging = "MPPT" if kit.mppt else "PWM"
    return Section(
        f"Unit {scenario.labels[unit]}",
        text=f"{kit.battery.name} on a {kit.board} board, {kit.panel.power_v * kit.panel.power_a:.0f} W panel, "
        f"{charging}. Marks: tokens (blue), events (violet), damage (cross); alerts are shaded.",
        plot=_plot(outcome, unit, trace),
    )


def _plot(outcome: Outcome, unit: int, trace: dict[str, list[float]]) -> Any:
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    days = [at_s / DAY_S for at_s in outcome.trace_s]
    figure = make_subplots(
        rows=4, cols=1, shared_xaxes=True, vertical_spacing=0.035, row_heights=[0.36, 0.24, 0.26, 0.14]
    )
    lines = (("battery_v", "battery V", 1), ("charge", "charge", 2), ("panel_w", "panel W", 3), ("load_w", "load W", 3))
    for name, words, row in lines:
        line = {"color": INK[name], "width": 1.5}
        figure.add_trace(go.Scatter(x=days, y=trace[name], name=words, line=line), row=row, col=1)
    figure.add_trace(
        go.Scatter(
            x=days,
            y=trace["output"],
            name="output",
            fill="tozeroy",
            fillcolor="#c9d1da",
            line={"color": INK["output"], "shape": "vh"},
        ),
        row=4,
        col=1,
    )
    _marks(figure, go, outcome, unit, max(trace["battery_v"], default=14.0))
    for alert in [each for each in outcome.alerts if each.unit == unit][:MOST_MARKS]:
        end = alert.cleared_s if alert.cleared_s is not None else outcome.scenario.days * DAY_S
        figure.add_vrect(
            x0=alert.raised_s / DAY_S, x1=end / DAY_S, fillcolor=ALERT_INK, opacity=0.12, line_width=0, layer="below"
        )
    for row, title in enumerate(("V", "charge", "W", "output"), 1):
        figure.update_yaxes(title_text=title, row=row, col=1, gridcolor="#e6eaf0", zeroline=False)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", row=2, col=1)
    figure.update_yaxes(range=[-0.05, 1.1], tickvals=[0, 1], ticktext=["off", "on"], row=4, col=1)
    figure.update_xaxes(range=[0, outcome.scenario.days], gridcolor="#e6eaf0", zeroline=False)
    figure.update_xaxes(title_text="day", row=4, col=1)
    figure.update_layout(
        height=640,
        margin={"l": 60, "r": 20, "t": 30, "b": 60},
        plot_bgcolor="#fff",
        hovermode="x",
        legend={"orientation": "h", "y": -0.1, "x": 0},
    )
    return figure


def _marks(figure: Any, go: Any, outcome: Outcome, unit: int, top: float) -> None:
    """Tokens, events, alerts and damages above the voltage."""
    own = [each for each in outcome.happenings if each.unit in (unit, -1)]
    kinds = {**MARKS, "alert": ("line-ns-open", ALERT_INK)}
    for kind, (symbol, ink) in kinds.items():
        found = [each for each in own if each.kind == kind][:MOST_MARKS]
        if found:
            figure.add_trace(
                go.Scatter(
                    x=[each.at_s / DAY_S for each in found],
                    y=[top + 0.4] * len(found),
                    mode="markers",
                    name=kind,
                    text=[f"{moment(each.at_s)}: {each.text}" for each in found],
                    hoverinfo="text",
                    marker={"symbol": symbol, "size": 10, "color": ink, "line": {"width": 2, "color": ink}},
                    cliponaxis=False,
                ),
                row=1,
                col=1,
            )
