"""The command `paygo token audit`: what guessing tokens costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from paygo_core.cli_options import whole, window_options
from paygo_core.shell import emit, output_options
from paygo_core.tokens import LARGEST_COUNT

if TYPE_CHECKING:
    from paygo_core.audit import Odds, Recovery

_ALL_TOKENS = LARGEST_COUNT // 2
"""The add-time tokens of a device's whole life, one for each even count (T10)."""


def _finite(number: float) -> float | None:
    """A number for JSON, which has no infinity."""
    return None if number == float("inf") else number


def _odds_facts(one: Odds, strict: bool, bought: int, rate: float) -> dict[str, Any]:
    from paygo_core.audit import guesses_a_year, years_to_half

    return {
        "goal": one.goal,
        "knows_starting_code": one.informed,
        "pairs": one.pairs,
        "chance": one.chance,
        "expected_guesses": _finite(one.expected_guesses),
        "half_guesses": _finite(one.half_guesses),
        "chance_in_a_year": one.chance_after(guesses_a_year(strict, bought)),
        "half_years_with_waits": _finite(years_to_half(one, strict, bought)),
        "half_seconds_without_waits": _finite(one.half_guesses / rate),
    }


def _recovery_facts(measured: Recovery) -> dict[str, Any]:
    return {
        **asdict(measured),
        "steps_per_second": measured.steps_per_second,
        "seconds_for_all_starting_codes": measured.seconds_for_all_starting_codes,
    }


def _show_recovery(measured: Recovery) -> Iterable[str]:
    yield (
        f"measured here ({measured.simd}, {measured.threads} threads): who has the key and two tokens finds the "
        f"starting code in {measured.seconds:.2g} s"
    )
    yield (
        f"  {measured.candidates} chains of {measured.count} counts, {measured.steps_per_second:.2g} codes a second; "
        f"trying all 10^9 starting codes would take {measured.seconds_for_all_starting_codes:.2g} s"
    )


@click.command()
@window_options
@click.option("--no-sync", is_flag=True, help="The device takes no sync (value 999) at all.")
@click.option("--extended", is_flag=True, help="Guesses are extended tokens: twelve digits, or twenty restricted.")
@click.option("--restricted", is_flag=True, help="Guesses are typed on a keypad with the keys 1 to 4.")
@click.option("--divider", metavar="N", type=whole(1, 255), default=1, show_default=True, help="Units a day.")
@click.option(
    "--days",
    metavar="N",
    type=whole(0, 995),
    default=7,
    show_default=True,
    help="How much time a guess should win.",
)
@click.option(
    "--waits",
    type=click.Choice(["lenient", "strict"]),
    default="lenient",
    show_default=True,
    help="How the device waits after wrong entries.",
)
@click.option(
    "--bought",
    metavar="N",
    type=whole(0, 10_000),
    default=0,
    show_default=True,
    help="Valid tokens that the guesser enters in a year: each ends the row of waits.",
)
@click.option(
    "--rate",
    metavar="N",
    type=whole(1, 1_000_000),
    default=20,
    show_default=True,
    help="Entries a second at a console that does not wait.",
)
@click.option("--measure", is_flag=True, help="Also measure how fast a starting code is found by who has the key.")
@output_options
def audit(
    *,
    max_jump: int,
    max_sync_jump: int,
    older_window: int,
    no_sync: bool,
    extended: bool,
    restricted: bool,
    divider: int,
    days: int,
    waits: str,
    bought: int,
    rate: int,
    measure: bool,
    as_json: bool,
) -> None:
    """Tell what guessing tokens costs, for a device with these windows and waits.

    For two guessers: one types digits at random, the other knows the starting code (it is on labels and in lists) and
    the rules. "waits kept" is the time to an even chance when each wait after wrong entries is sat out; the last
    column is the same at a console that does not wait. No key is needed.

    \b
      paygo token audit
      paygo token audit --max-jump 16 --max-sync-jump 32 --older-window 8 --waits strict
      paygo token audit --measure --json
    """
    from paygo_core.audit import (
        Windows,
        chance_of_repetition,
        expected_replays,
        guesses_a_year,
        measure_recovery,
        odds,
        table,
    )

    windows = Windows(max_jump, max_sync_jump, older_window, not no_sync, extended, restricted, divider)
    strict = waits == "strict"
    found = odds(windows, days)
    yearly = guesses_a_year(strict, bought)
    repetition = {count: chance_of_repetition(count, extended) for count in (1_000, 10_000, LARGEST_COUNT)}
    measured = measure_recovery() if measure else None
    tokens = min(10 * bought, _ALL_TOKENS)
    replays = expected_replays(tokens)
    if as_json:
        emit(
            {
                "windows": asdict(windows),
                "waits": waits,
                "bought": bought,
                "rate": rate,
                "guesses_a_year": yearly,
                "odds": [_odds_facts(one, strict, bought, rate) for one in found],
                "chance_of_repetition": repetition,
                "replays_in_ten_years": replays,
                "measured": _recovery_facts(measured) if measured else None,
            }
        )
        return
    for line in table(found, strict, bought, rate):
        click.echo(line)
    click.echo(f"guesses a year when the waits are kept: {yearly}")
    shares = ", ".join(f"{chance:.2%} by count {count}" for count, chance in repetition.items())
    click.echo(f"chance that a value's tokens repeat themselves: {shares}")
    if 10 * bought > tokens:
        click.echo(
            f"the counts end after {tokens} tokens, in {tokens / bought:.3g} years; {replays:.2g} of those tokens work "
            "a second time by chance"
        )
    elif bought:
        click.echo(f"of {tokens} tokens in ten years, {replays:.2g} work a second time by chance")
    for line in _show_recovery(measured) if measured else ():
        click.echo(line)
