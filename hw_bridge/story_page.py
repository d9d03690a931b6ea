"""The demo's report: what was done, what the unit measured, which tokens and alerts there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw_bridge.actions import Action
from hw_bridge.drivers import Verdict
from paygo_core.registry import IssuedToken
from paygo_core.report import Page, Section
from paygo_core.telemetry import Telemetry

TRIP_V = 16.0
CLEAR_V = 15.0
INK = {"voltage": "#1f5fa8", "charge": "#1a7f4b", "plant": "#9bb8a7", "panel": "#d08700", "output": "#5b6675"}
VERDICT_INK = {"accepted": "#1a7f4b", "already_used": "#d08700", "invalid": "#b3261e"}
ALERT_FILL = "rgba(179, 38, 30, 0.14)"


@dataclass
class StoryStep:
    """One step of the story. at_s: world time in seconds since midnight. saw: what the unit answered."""

    at_s: float
    title: str
    saw: str = ""
    confirmed: bool = False

    @property
    def clock(self) -> str:
        """World time as hours and minutes."""
        return clock(self.at_s)


@dataclass(frozen=True)
class Sample:
    """Telemetry at a world time, and the state of charge that the plant really has."""

    at_s: float
    telemetry: Telemetry
    true_charge: float


@dataclass(frozen=True)
class Entered:
    """A token that was entered at a world time, and the unit's verdict."""

    at_s: float
    digits: str
    verdict: Verdict


def clock(seconds: float) -> str:
    """World time as hours and minutes of its day."""
    minutes = int(seconds // 60)
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def story_page(
    *,
    serial: str,
    steps: Sequence[StoryStep],
    samples: Sequence[Sample],
    changes: Sequence[tuple[float, Action]],
    entered: Sequence[Entered],
    tokens: Sequence[IssuedToken],
    actions: Sequence[Action],
    failure: str | None,
) -> Page:
    """The report of one run of the demo. changes: actions as they were opened and resolved, with world time."""
    confirmed = sum(step.confirmed for step in steps)
    voltages = [sample.telemetry.battery_voltage or 0.0 for sample in samples]
    facts = [
        ("Unit", serial),
        ("Steps confirmed", f"{confirmed} of {len(steps)}"),
        ("Tokens issued", str(len(tokens))),
        ("Over-voltage actions", str(len(actions))),
    ]
    if samples:
        facts.append(("Battery", f"{min(voltages):.2f} to {max(voltages):.2f} V"))
    sections = []
    if samples:
        sections.append(
            Section(
                "The day",
                "Measured by the unit every three minutes of world time. Shaded: an over-voltage action is "
                "open. Dotted: where the protection trips and clears.",
                plot=_figure(samples, entered, changes),
            )
        )
    sections += [
        Section(
            "Steps",
            columns=("World time", "Step", "What the unit said", ""),
            rows=[(step.clock, step.title, step.saw, "confirmed" if step.confirmed else "failed") for step in steps],
        ),
        Section(
            "Tokens",
            "From the registry, which stored each count before the token was shown.",
            columns=("Count", "Type", "Value", "Digits", "Reason", "Issued"),
            rows=[
                (
                    str(issued.token.count),
                    issued.token.token_type.name,
                    str(issued.token.value),
                    issued.token.grouped(),
                    issued.reason,
                    f"{issued.issued_at:%Y-%m-%d %H:%M:%S} UTC",
                )
                for issued in tokens
            ],
        ),
        Section(
            "Actions",
            "Each alert was stored before the unit was told so; a repetition never makes a second action.",
            columns=("Action", "Alert", "State", "Raised at", "Opened", "Resolved"),
            rows=_action_rows(changes),
        ),
    ]
    return Page(
        title="The life of a pay-as-you-go solar unit",
        lead=f"Unit {serial}, simulated, driven over its serial line.",
        verdict="every step confirmed by the unit" if failure is None else f"failed: {failure}",
        passed=failure is None,
        facts=facts,
        sections=sections,
    )


def _action_rows(changes: Sequence[tuple[float, Action]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for opened, closed, action in _spans(changes):
        value = f"{action.value} {action.unit}"
        rows.append((str(action.id), action.code, action.state, value, clock(opened), clock(closed) if closed else ""))
    return rows


def _spans(changes: Sequence[tuple[float, Action]]) -> list[tuple[float, float | None, Action]]:
    """From when to when each action was open, and the action as it was last."""
    spans: dict[int, tuple[float, float | None, Action]] = {}
    for at_s, action in changes:
        opened = spans[action.id][0] if action.id in spans else at_s
        spans[action.id] = (opened, at_s if action.state == "resolved" else None, action)
    return list(spans.values())


def _figure(samples: Sequence[Sample], entered: Sequence[Entered], changes: Sequence[tuple[float, Action]]) -> Any:
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    hours = [sample.at_s / 3600 for sample in samples]
    told = [sample.telemetry for sample in samples]
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.04,
        row_heights=[0.38, 0.24, 0.2, 0.18],
    )

    def line(row: int, name: str, values: list[Any], colour: str, **style: Any) -> None:
        trace = go.Scatter(x=hours, y=values, name=name, mode="lines", line={"color": colour, "width": 2, **style})
        figure.add_trace(trace, row=row, col=1)

    line(1, "battery voltage", [one.battery_voltage for one in told], INK["voltage"])
    line(2, "state of charge, the unit's estimate", [_percent(one.state_of_charge) for one in told], INK["charge"])
    line(2, "state of charge, true", [100 * sample.true_charge for sample in samples], INK["plant"], dash="dash")
    line(3, "panel power", [one.panel_power for one in told], INK["panel"])
    line(4, "output", [1 if one.output else 0 for one in told], INK["output"], shape="hv")
    for level in (TRIP_V, CLEAR_V):
        figure.add_hline(y=level, row=1, col=1, line={"dash": "dot", "color": "#b3261e", "width": 1})
    for opened, closed, _ in _spans(changes):
        end = (closed if closed is not None else samples[-1].at_s) / 3600
        figure.add_vrect(x0=opened / 3600, x1=end, fillcolor=ALERT_FILL, line_width=0, row="all", col=1)
    for verdict, colour in VERDICT_INK.items():
        of_verdict = [entry for entry in entered if entry.verdict == verdict and entry.at_s <= samples[-1].at_s]
        if of_verdict:
            trace = go.Scatter(
                x=[entry.at_s / 3600 for entry in of_verdict],
                y=[0.5] * len(of_verdict),
                text=[f"{clock(entry.at_s)} {entry.digits}" for entry in of_verdict],
                name=f"token {verdict.replace('_', ' ')}",
                mode="markers",
                marker={"color": colour, "symbol": "diamond", "size": 10},
            )
            figure.add_trace(trace, row=4, col=1)
    for row, title in ((1, "V"), (2, "%"), (3, "W")):
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(tickvals=[0, 1], ticktext=["off", "on"], range=[-0.15, 1.15], row=4, col=1)
    figure.update_xaxes(title_text="hour of the day", row=4, col=1)
    figure.update_layout(
        template="plotly_white",
        height=720,
        margin={"l": 56, "r": 16, "t": 96, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        hovermode="x unified",
    )
    return figure


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
