"""The report of a fleet as a page: what an operations manager asks first, then the plots and tables behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from firmware_sim.report.estimates import Curve, Rate, ratio
from firmware_sim.report.numbers import CHARGE_BINS, OVERVOLTAGES, PILOT_DAYS, SOURCES, Summary
from firmware_sim.report.reading import Fleet, day_of
from paygo_core.report import Page, Section

SOURCE_WORDS = {"payment": "paid", "bonus": "bonus", "manual": "given by hand", "enable": "unlocked"}
SOURCE_INK = {"payment": "#1a7f4b", "bonus": "#8fbf9f", "manual": "#d08700", "enable": "#7d8b99"}
BOARD_INK = {"legacy": "#b3261e", "protected": "#1f5fa8"}
PILOT_COLUMNS = (
    "Unit",
    "Site",
    "Model",
    "Days used",
    "Panel Wh/day",
    "Used Wh/day",
    "Served",
    "Autonomy",
    "Lowest",
    "Alerts",
    "Open",
    "Failed",
)
OTHER_INK = ("#1a7f4b", "#d08700", "#5b6675")
EMPTY_BINS = 2
"""Tenths of the state of charge that count as nearly empty."""


def report_page(fleet: Fleet, summary: Summary) -> Page:
    """The page of a run."""
    whole = summary.reported == summary.units
    answers = in_short(summary)
    failed = sum(rate.failed for rate in summary.failures.rates.values())
    open_ = sum(_overvoltages(summary, "open"))
    return Page(
        title="How the fleet is doing",
        lead=f"{summary.units:,} simulated solar home systems from {day_of(fleet, 0)} to "
        f"{day_of(fleet, fleet.days - 1)}, seed {fleet.seed}, steps of {fleet.step_s} s.",
        verdict="every unit ran to the end"
        if whole
        else f"unfinished: {summary.reported:,} of {summary.units:,} units",
        passed=whole,
        facts=[
            ("Units", f"{summary.units:,}"),
            ("Days", f"{summary.days:,}"),
            ("In the pilot", str(len(summary.pilot_units))),
            ("Control units failed", f"{failed:,}"),
            ("Over-voltages open", f"{open_:,}"),
            ("Active time", percent(_active(summary))),
        ],
        sections=[
            Section("In short", columns=("Question", "Answer"), rows=answers),
            _pilot(fleet, summary),
            _failures(summary),
            _alerts(fleet, summary),
            _charge(fleet, summary),
            _utilisation(fleet, summary),
            _models(summary),
            _tokens(summary),
            _pilot_units(fleet, summary),
        ],
    )


def in_short(summary: Summary) -> list[tuple[str, str]]:
    """Questions and answers."""
    return [
        ("Do the pilot's homes have power?", _power(summary)),
        ("Do batteries last the night?", _batteries(summary)),
        ("Do control units fail?", _boards(summary)),
        ("Is over-voltage under control?", _overvoltage_words(summary)),
        ("Are units in use?", _use_words(summary)),
    ]


def percent(share: float) -> str:
    """With a decimal where it is small."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def rough(number: float) -> str:
    """Two digits, or the whole number where it has more."""
    return f"{number:.2g}" if number < 100 else f"{number:,.0f}"


def count(number: int, singular: str, plural: str) -> str:
    """A number and what it counts."""
    return f"{number:,} {singular if number == 1 else plural}"


def _overvoltages(summary: Summary, what: str) -> list[int]:
    return [int(getattr(summary.alerts[code], what)) for code in OVERVOLTAGES if code in summary.alerts]


def _active(summary: Summary) -> float:
    return sum(summary.active_h.values()) / summary.hours


def _power(summary: Summary) -> str:
    units = summary.pilot_units
    if not units:
        return f"No unit was used on more than {PILOT_DAYS} days yet."
    failed = sum(unit.failed_day is not None for unit in units)
    use = summary.pilot
    code, most = max(summary.pilot_alerts.items(), key=lambda item: item[1], default=("", 0))
    mostly = f", most often {code} ({most:,})" if most else ""
    return (
        f"{count(len(units), 'home', 'homes')} with over two weeks of use had {use.load_wh:.0f} Wh a day each, of "
        f"{use.panel_wh:.0f} Wh that came from the panel, and {percent(use.served)} of what they wanted in paid time. "
        f"{count(failed, 'control unit', 'control units')} failed and "
        f"{count(sum(summary.pilot_alerts.values()), 'alert was', 'alerts were')} raised among them{mostly}."
    )


def _batteries(summary: Summary) -> str:
    empty = [sum(shares[:EMPTY_BINS]) for shares in summary.periods.lowest]
    weights = summary.periods.hours
    share = sum(e * w for e, w in zip(empty, weights, strict=True)) / max(sum(weights), 1)
    words = f"On {percent(share)} of all days a battery went below {100 * EMPTY_BINS // CHARGE_BINS} %."
    if summary.pilot_units:
        autonomy = median(unit.autonomy for unit in summary.pilot_units)
        words = (
            f"A full battery carries a pilot home for {autonomy:.1f} days without sun (the median); low "
            f"voltage kept them off for {summary.pilot.low_h_month:.1f} hours a month. {words}"
        )
    return words


def _boards(summary: Summary) -> str:
    failures = summary.failures
    words = []
    for board, rate in failures.rates.items():
        main = max(failures.causes[board].items(), key=lambda item: item[1].failed, default=None)
        why = f", most often of: {main[0]} ({main[1].failed})" if main and main[1].failed else ""
        words.append(
            f"{rate.failed:,} of {failures.units[board]:,} {board} boards failed, {rough(rate.per_100)} in 100 "
            f"unit-years (95 %: {rough(rate.low)} to {rough(rate.high)}){why}."
        )
    boards = sorted(failures.rates.items(), key=lambda item: -item[1].per_100)
    if len(boards) > 1:
        times = ratio(boards[0][1], boards[-1][1])
        if times is not None:
            sure = "which chance does not explain" if times[1] > 1 else "which may be chance"
            known = f"{times[0]:.1f} times as often as" if math.isfinite(times[0]) else "more often than"
            limits = f"{times[1]:.1f} to {times[2]:.1f}" if math.isfinite(times[0]) else f"{times[1]:.1f} times or more"
            who, whom = boards[0][0].capitalize(), boards[-1][0]
            words.append(f"{who} boards fail {known} {whom} ones (95 %: {limits}), {sure}.")
    return " ".join(words)


def _overvoltage_words(summary: Summary) -> str:
    raised, cleared, open_ = (sum(_overvoltages(summary, what)) for what in ("raised", "cleared", "open"))
    if not raised:
        return "No over-voltage was raised."
    took = sum(summary.alerts[code].clamp_j for code in OVERVOLTAGES if code in summary.alerts)
    return f"{raised:,} raised, {cleared:,} cleared, {open_:,} open at the end; the clamps took {took / 1000:,.1f} kJ."


def _use_words(summary: Summary) -> str:
    parts = [f"{percent(summary.active_h[source] / summary.hours)} {SOURCE_WORDS[source]}" for source in SOURCES]
    return f"Units were active {percent(_active(summary))} of the time: {', '.join(parts)}."


def _dates(fleet: Fleet, summary: Summary) -> list[str]:
    return [day_of(fleet, day) for day in summary.periods.first_days]


def _layout(figure: Any, height: int, **more: Any) -> Any:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 56, "r": 16, "t": 64, "b": 40},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        **more,
    )
    return figure


def _pilot(fleet: Fleet, summary: Summary) -> Section:
    from plotly import graph_objects as go

    alerts = ", ".join(f"{code} {number:,}" for code, number in summary.pilot_alerts.items()) or "none"
    text = (
        f"The first {len(summary.pilot_units)} units that were used on more than {PILOT_DAYS} days; a day of use has "
        f"light or another load on. Means per unit and day, {_every(summary)}. Alerts raised: {alerts}."
    )
    figure = go.Figure()
    for name, label, ink in (
        ("panel_wh", "came from the panel", "#d08700"),
        ("load_wh", "was used", "#1a7f4b"),
        ("unserved_wh", "was wanted in paid time, and not had", "#b3261e"),
    ):
        values = summary.periods.pilot_energy[name]
        figure.add_trace(
            go.Scatter(x=_dates(fleet, summary), y=values, name=label, mode="lines", line={"color": ink, "width": 2})
        )
    figure.update_yaxes(title_text="Wh a day", rangemode="tozero")
    return Section("The pilot", text, plot=_layout(figure, 340, hovermode="x unified"))


def _every(summary: Summary) -> str:
    length = summary.periods.length
    last = summary.days - summary.periods.first_days[-1]
    shorter = f", the last of {last}" if last < length else ""
    return "day by day" if length == 1 else f"in steps of {length} days{shorter}"


def _failures(summary: Summary) -> Section:
    failures = summary.failures
    rows = []
    for board, rate in failures.rates.items():
        rows.append((board, "every cause", *_rate_cells(rate)))
        rows += [(board, cause, *_rate_cells(one)) for cause, one in failures.causes[board].items()]
    return Section(
        "Control units that failed",
        "The share that has failed by a day (Kaplan and Meier), with its 95 % band (Greenwood); in the plot of one "
        "cause, a unit that failed of another leaves the count on that day. Rates have exact Poisson limits.",
        plot=_failure_figure(summary) if any(rate.failed for rate in failures.rates.values()) else None,
        columns=("Board", "Cause", "Failed", "Unit-years", "In 100 unit-years", "95 % from", "to"),
        rows=rows,
    )


def _rate_cells(rate: Rate) -> tuple[str, ...]:
    rates = (f"{number:.2f}" for number in (rate.per_100, rate.low, rate.high))
    return (f"{rate.failed:,}", f"{rate.unit_years:,.1f}", *rates)


def _failure_figure(summary: Summary) -> Any:
    from plotly.subplots import make_subplots

    failures = summary.failures
    causes = list(next(iter(failures.causes.values())))
    columns = 3 if len(causes) > 1 else 2
    rows = -(-(len(causes) + 1) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=["every cause", *causes],
        vertical_spacing=0.34 / rows,
        horizontal_spacing=0.06,
    )
    inks = dict(zip([board for board in failures.units if board not in BOARD_INK], OTHER_INK * 9, strict=False))
    inks.update(BOARD_INK)
    top = max((max(curve.high) for of in failures.cause_curves.values() for curve in of.values()), default=0)
    for place, cause in enumerate([None, *causes]):
        row, column = place // columns + 1, place % columns + 1
        for board in failures.units:
            curve = failures.curves[board] if cause is None else failures.cause_curves[board][cause]
            _add_curve(figure, curve, board, inks[board], first=cause is None, row=row, col=column)
        if cause is not None:
            figure.update_yaxes(range=[0, 105 * top], row=row, col=column)
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %")
    figure.update_xaxes(title_text="day", title_standoff=2)
    _layout(figure, 90 + 250 * rows)
    figure.update_layout(legend={"y": 1 + 0.16 / rows}, margin={"t": 90})
    return figure


def _add_curve(figure: Any, curve: Curve, board: str, ink: str, *, first: bool, row: int, col: int) -> None:
    from plotly import graph_objects as go

    def trace(values: Sequence[float], **style: Any) -> None:
        percents = [100 * value for value in values]
        figure.add_trace(go.Scatter(x=curve.days, y=percents, mode="lines", **style), row=row, col=col)

    hidden: Mapping[str, Any] = {"width": 0, "shape": "hv"}
    red, green, blue = (int(ink[index : index + 2], 16) for index in (1, 3, 5))
    trace(curve.high, line=hidden, hoverinfo="skip", showlegend=False, legendgroup=board)
    trace(
        curve.low,
        line=hidden,
        fill="tonexty",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.15)",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=board,
    )
    trace(curve.share, line={"color": ink, "width": 2, "shape": "hv"}, name=board, legendgroup=board, showlegend=first)


def _alerts(fleet: Fleet, summary: Summary) -> Section:
    from plotly import graph_objects as go

    dates, counts = _dates(fleet, summary), summary.periods.overvoltage
    figure = go.Figure()
    figure.add_trace(go.Bar(x=dates, y=counts["raised"], name="raised", marker_color="#d9837d"))
    figure.add_trace(go.Bar(x=dates, y=counts["cleared"], name="cleared", marker_color="#8fbf9f"))
    line = {"color": "#b3261e", "width": 2, "shape": "hv"}
    figure.add_trace(go.Scatter(x=dates, y=counts["open"], name="open at its end", mode="lines", line=line))
    figure.update_yaxes(title_text="alerts", rangemode="tozero")
    return Section(
        "Over-voltage and other alerts",
        f"Over-voltages of battery, panel and output, {_every(summary)}; the table has every alert. Durations are "
        "of those that were cleared.",
        plot=_layout(figure, 320, hovermode="x unified", bargap=0.15) if any(counts["raised"]) else None,
        columns=("Alert", "Raised", "Cleared", "Open", "Units", "Mean h", "Longest h", "Clamp kJ"),
        rows=[
            (
                code,
                f"{one.raised:,}",
                f"{one.cleared:,}",
                f"{one.open:,}",
                f"{one.units:,}",
                f"{one.mean_h:.1f}",
                f"{one.longest_h:.1f}",
                f"{one.clamp_j / 1000:.1f}" if code in OVERVOLTAGES else "",
            )
            for code, one in summary.alerts.items()
        ],
    )


def _charge(fleet: Fleet, summary: Summary) -> Section:
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=["lowest of the day", "highest of the day"],
        shared_yaxes=True,
        horizontal_spacing=0.08,
    )
    levels = [f"{10 * level}-{10 * level + 10} %" for level in range(CHARGE_BINS)]
    for column, shares in ((1, summary.periods.lowest), (2, summary.periods.highest)):
        figure.add_trace(
            go.Heatmap(
                x=_dates(fleet, summary),
                y=levels,
                z=[[100 * shares_of[level] for shares_of in shares] for level in range(CHARGE_BINS)],
                zmin=0,
                zmax=100,
                colorscale=[[0, "#ffffff"], [0.05, "#dbe7f3"], [0.4, "#6f9fcf"], [1, "#12365f"]],
                colorbar={"title": "% of units", "thickness": 12},
                hovertemplate="%{x}: %{z:.1f} % of units at %{y}<extra></extra>",
            ),
            row=1,
            col=column,
        )
    figure.update_xaxes(nticks=5)
    text = (
        "How many units had their lowest and highest state of charge of the day in each tenth. Dark rows at the top on "
        "the right: batteries get full; colour at the bottom on the left: they run empty."
    )
    return Section("State of charge", text, plot=_layout(figure, 340))


def _utilisation(fleet: Fleet, summary: Summary) -> Section:
    from plotly import graph_objects as go

    figure = go.Figure()
    for source in SOURCES:
        shares = [
            100 * hours / max(observed, 1)
            for hours, observed in zip(summary.periods.active_h[source], summary.periods.hours, strict=True)
        ]
        name, ink = SOURCE_WORDS[source], SOURCE_INK[source]
        figure.add_trace(go.Bar(x=_dates(fleet, summary), y=shares, name=name, marker_color=ink))
    figure.update_yaxes(title_text="of all hours", range=[0, 100], ticksuffix=" %")
    rows = [
        (payer, *(percent(of[source] / of["hours"]) for source in SOURCES), percent(1 - _sum(of) / of["hours"]))
        for payer, of in summary.active_by_payer.items()
    ]
    everyone = {**summary.active_h, "hours": summary.hours}
    rows.append(
        (
            "all",
            *(percent(everyone[source] / summary.hours) for source in SOURCES),
            percent(1 - _sum(everyone) / summary.hours),
        )
    )
    return Section(
        "Utilisation",
        f"Where active time came from, {_every(summary)}; what is missing to 100 % was locked.",
        plot=_layout(figure, 320, barmode="stack", bargap=0, hovermode="x unified"),
        columns=("Customers", *(SOURCE_WORDS[source].capitalize() for source in SOURCES), "Locked"),
        rows=rows,
    )


def _sum(of: Mapping[str, float]) -> float:
    return sum(of[source] for source in SOURCES)


def _models(summary: Summary) -> Section:
    return Section(
        "Models",
        "All units, all days. Served: of what was wanted in paid time. Off: by low voltage. Health: at the end.",
        columns=("Model", "Units", "Panel Wh/day", "Used Wh/day", "Served", "Off h a month", "Health"),
        rows=[
            (
                model,
                f"{use.units:,}",
                f"{use.panel_wh:.0f}",
                f"{use.load_wh:.0f}",
                percent(use.served),
                f"{use.low_h_month:.1f}",
                percent(use.health),
            )
            for model, use in summary.models.items()
        ],
    )


def _tokens(summary: Summary) -> Section:
    verdicts = sorted({verdict for of in summary.tokens.values() for verdict in of})
    days = ", ".join(f"{reason} {days:,.0f}" for reason, days in summary.token_reasons.items()) or "none"
    return Section(
        "Tokens",
        f"What was entered, and what units said. Days of accepted tokens by reason: {days}.",
        columns=("Entered", *(verdict.capitalize() for verdict in verdicts)),
        rows=[(kind, *(f"{of.get(verdict, 0):,}" for verdict in verdicts)) for kind, of in summary.tokens.items()],
    )


def _pilot_units(fleet: Fleet, summary: Summary) -> Section:
    return Section(
        "The pilot, unit by unit",
        "Autonomy: days that a full battery carries the unit's mean use.",
        columns=PILOT_COLUMNS,
        rows=[
            (
                str(unit.unit),
                unit.site,
                unit.model,
                str(unit.days),
                f"{unit.panel_wh:.0f}",
                f"{unit.load_wh:.0f}",
                percent(unit.served),
                f"{unit.autonomy:.1f}",
                percent(unit.lowest),
                f"{unit.alerts:,}",
                f"{unit.open_alerts:,}",
                "" if unit.failed_day is None else f"{day_of(fleet, unit.failed_day)}: {unit.cause}",
            )
            for unit in summary.pilot_units
        ],
    )
