"""What guessing a token costs, from the windows and waits of a device. Rules: docs/token-rules.md.

One guess. A guess is a number; its base fixes the value v, and so the chain (T5). For a state with last count L a
device admits the pairs (v, n)

    v in 0 … 995:  n in L + 1 … L + max_jump, odd as SET_TIME and even as ADD_TIME (T12, T13), and the unused even n
                   with max(F, L - older_window) < n < L (T14): of the standard 16 at most seven
    v = 996, 997:  none (T8)
    v = 998:       n in L + 1 … L + max_jump, either parity (T9)
    v = 999:       n in L + 1 … L + max_sync_jump, either parity (T9), unless the device takes no sync

T6, T15 and T16 admit nothing more. For an extended token there are 10^6 values, 0 … 995 and 1000 … 999 999 in the
first row (T25). Without the key the code at each pair is a random one, so that a guess with the value's base hits a
pair with the probability that the code has the guess's leading digits. The codes are not uniform: T2 folds the upper
73 741 824 of 2^30 values onto 926 258 175 … 999 999 998, which therefore are twice as likely as other codes (T24:
99 511 627 776 of 2^40). Two guessers follow:

    blind     types digits at random: 10^9 or 10^12 numbers, with four keys 4^15 or 4^20 (T21). The folding averages
              out, and each pair is hit with the chance w = 1/10^9, 1/10^12, 1/4^15 or 1/4^20.
    informed  knows the starting code, which is on labels and in device lists, and these rules: picks the value and
              stays among the doubled codes, so that each pair of that value is hit with w = 2 * 1000 / 2^30, or
              2 * 10^6 / 2^40: some 1 900 times more often for the same pair, if nine digits are typed.

Many guesses. A wrong entry changes no state, so that m different guesses hit a given pair with m * w and any of k pairs
with 1 - (1 - m * w)^k. Half of that chance is reached at m = (1 - 2^(-1/k)) / w; on average 1 / (w * (k + 1)) guesses
are needed. An entry is either looked at or not at all during a wait (T35), which power cuts do not shorten (T36), so
that waits bound the guesses a year (T32, T33).
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from paygo_core.decoding import DecoderState
from paygo_core.errors import PaygoError
from paygo_core.simd import chosen_simd
from paygo_core.tokens import (
    LARGEST_COUNT,
    LARGEST_OLDER_WINDOW,
    LARGEST_UNITS,
    DeviceConfig,
    TokenType,
    checked_int,
    token_at,
    units_of_days,
)

YEAR = 365 * 86_400
"""Seconds."""
LONGEST_WAIT = 512
"""Minutes."""
WAITS = ("lenient", "strict")


@dataclass(frozen=True)
class Windows:
    """What a device takes, as far as it matters to guessers.

    max_jump, max_sync_jump, older_window: as in DeviceConfig (T12, T14). sync: whether 999 is taken at all.
    extended: the guesses are extended tokens. restricted: they are typed on four keys. time_divider: units a day.
    """

    max_jump: int = 64
    max_sync_jump: int = 100
    older_window: int = 16
    sync: bool = True
    extended: bool = False
    restricted: bool = False
    time_divider: int = 1

    def __post_init__(self) -> None:
        checked_int("max jump", self.max_jump, 1, LARGEST_COUNT)
        checked_int("max sync jump", self.max_sync_jump, 1, LARGEST_COUNT)
        checked_int("older window", self.older_window, 0, LARGEST_OLDER_WINDOW)
        checked_int("time divider", self.time_divider, 1, 255)

    @property
    def values(self) -> int:
        """How many values a token can have: 1 000 or 10^6."""
        return 1_000_000 if self.extended else 1_000

    @property
    def entries(self) -> int:
        """How many entries a blind guesser chooses from."""
        if self.restricted:
            return 4**20 if self.extended else 4**15  # T21
        return 10**12 if self.extended else 10**9


@dataclass(frozen=True)
class AdmittedCounts:
    """How many counts a device admits: for an ADD_TIME value (new and late), a SET_TIME value, the unlock, the sync."""

    add: int
    set: int
    unlock: int
    sync: int


def admitted_counts(
    windows: Windows, state: DecoderState | None = None, max_count: int = LARGEST_COUNT
) -> AdmittedCounts:
    """The counts that a device in `state` admits; without a state, those of one that admits the most.

    That is a device with an even last count L and all counts ahead of it. With an odd one it has the floor F = L and
    admits no late token: only a SET_TIME, an unlock, a sync or the provisioning brings it there (T11, T17).
    """
    if state is None:
        even = windows.max_jump // 2
        sync = windows.max_sync_jump if windows.sync else 0
        return AdmittedCounts(even + _most_late(windows), windows.max_jump - even, windows.max_jump, sync)
    last = min(state.count + windows.max_jump, max_count)
    ahead = range(state.count + 1, last + 1)
    even = sum(n % 2 == 0 for n in ahead)
    oldest = max(state.floor, state.count - windows.older_window)
    late = sum(n % 2 == 0 and n not in state.used_counts for n in range(oldest + 1, state.count))
    sync = min(state.count + windows.max_sync_jump, max_count) - state.count
    return AdmittedCounts(even + late, len(ahead) - even, len(ahead), max(0, sync) if windows.sync else 0)


def _most_late(windows: Windows) -> int:
    """How many late tokens can be open at once (T14).

    The device came to L by add-time tokens, each as far above the last as max_jump lets it, and to the first of them
    from the floor, an odd count. Each of those is used itself, so that narrow windows leave few that are not.
    """
    jump = windows.max_jump
    step, first = jump // 2 * 2, jump - 1 + jump % 2
    inside = max(0, (windows.older_window - 1) // 2)
    return max(min(inside, (used * step + first - 1) // 2) - used for used in range(inside + 1))


@dataclass(frozen=True)
class Odds:
    """A guesser's chances for a goal.

    pairs: the k pairs of value and count that a guess can hit. weight: w, the chance of each.
    """

    goal: str
    informed: bool
    pairs: int
    weight: float

    @property
    def chance(self) -> float:
        """That one guess does it."""
        return self.chance_after(1)

    def chance_after(self, guesses: float) -> float:
        """That one of so many different guesses does it."""
        tried = guesses * self.weight
        if tried >= 1:
            return 1.0 if self.pairs else 0.0
        return -math.expm1(self.pairs * math.log1p(-tried))

    @property
    def expected_guesses(self) -> float:
        """On average until it is done; infinite when nothing does it."""
        return 1 / (self.weight * (self.pairs + 1)) if self.pairs else math.inf

    @property
    def half_guesses(self) -> float:
        """For an even chance."""
        return -math.expm1(-math.log(2) / self.pairs) / self.weight if self.pairs else math.inf


def odds(windows: Windows, days: int = 7, counts: AdmittedCounts | None = None) -> list[Odds]:
    """The chances of both guessers for each goal: any token, at least `days` days (T7), the unlock, the sync.

    Extended tokens give no time (T25), so that they have no goal of days.
    """
    counts = admitted_counts(windows) if counts is None else counts
    per_value = counts.add + counts.set
    goals = [
        (
            "any token",
            (windows.values - 4) * per_value + counts.unlock + counts.sync,
            max(per_value, counts.unlock, counts.sync),
        )
    ]
    if not windows.extended:
        enough = max(0, LARGEST_UNITS + 1 - units_of_days(days, windows.time_divider))
        goals.append((f"{days} days or more", enough * per_value, per_value if enough else 0))
    goals += [("unlock", counts.unlock, counts.unlock), ("sync", counts.sync, counts.sync)]
    doubled = 2 * windows.values / (2**40 if windows.extended else 2**30)
    return [Odds(goal, False, blind, 1 / windows.entries) for goal, blind, _ in goals] + [
        Odds(goal, True, informed, doubled) for goal, _, informed in goals
    ]


def _agreement(extended: bool = False) -> float:
    """The chance that two random codes are equal: the sum of squares, which the folding raises (T2, T24)."""
    bits, codes = (40, 10**12) if extended else (30, 10**9)
    doubled = 2**bits - codes
    return float((codes - doubled + 4 * doubled) / 4**bits)


def chance_of_repetition(count: int, extended: bool = False) -> float:
    """That the chain of a value has run into itself by `count`, so that a token that was used is another count's too.

    A chain is the orbit of a random mapping and meets itself as birthdays do.
    """
    return -math.expm1(-(count**2) / 2 * _agreement(extended))


def expected_replays(tokens: int) -> float:
    """How many of so many add-time tokens of nine digits, entered one after another, work once more later, by chance.

    The leading digits of a used token are those of each later code of its chain with the chance of about 10^-6, and
    then it is admitted there (T12, T13); trying it costs no wait (T34). The i-th has 2 * (tokens - i) counts after it.
    Chains that repeat themselves come on top (chance_of_repetition).
    """
    return tokens * (tokens - 1) * 1000 * _agreement()


def wait_minutes(wrong_entries: int, strict: bool = False) -> int:
    """The wait after so many wrong entries in a row (T32, T33)."""
    doublings = wrong_entries - (1 if strict else 2)
    if doublings < (0 if strict else 1):
        return 0
    return min(1 << min(doublings, 9), LONGEST_WAIT)


def seconds_before(guess: float, strict: bool = False) -> float:
    """When guess number `guess` (the first is 1) can be entered, after the first one, when every one is wrong."""
    seconds, before = 0.0, 1
    while before < guess and (minutes := wait_minutes(before, strict)) < LONGEST_WAIT:
        seconds += 60.0 * minutes
        before += 1
    return seconds + max(0.0, guess - before) * 60 * LONGEST_WAIT


def guesses_within(seconds: float, strict: bool = False) -> int:
    """How many guesses can be entered in so many seconds."""
    guesses, spent = 1, 0
    while (minutes := wait_minutes(guesses, strict)) < LONGEST_WAIT:
        spent += 60 * minutes
        if spent > seconds:
            return guesses
        guesses += 1
    return guesses + int((seconds - spent) // (60 * LONGEST_WAIT))


def guesses_a_year(strict: bool = False, bought: int = 0) -> int:
    """The guesses of a year. bought: valid tokens entered in it, evenly, since each ends the row of waits (T34)."""
    return (bought + 1) * guesses_within(YEAR / (bought + 1), strict)


def years_to_half(one: Odds, strict: bool = False, bought: int = 0) -> float:
    """Until the chance is even, when the waits are kept."""
    if not one.pairs:
        return math.inf
    if bought:
        return one.half_guesses / guesses_a_year(strict, bought)
    return seconds_before(one.half_guesses, strict) / YEAR


@dataclass(frozen=True)
class Recovery:
    """A starting code found again from the key and two tokens.

    candidates: chains tried, all that there are. count: of the first token; each chain is walked so far. seconds: what
    it took. found: whether the right one is among those that came out; any other one that did runs in the same chain
    since some step before the first token (4 % of the devices have one) and makes the same tokens from there on.
    """

    candidates: int
    count: int
    simd: str
    threads: int
    seconds: float
    found: bool

    @property
    def steps_per_second(self) -> float:
        """Codes computed in a second."""
        return self.candidates * self.count / self.seconds

    @property
    def seconds_for_all_starting_codes(self) -> float:
        """The same for 10^9 candidates: for somebody who does not see that a thousand of them share a chain."""
        return self.seconds * 1000


def measure_recovery(count: int = 40, candidates: int = 1_000_000) -> Recovery:
    """How long this machine takes to find a starting code that only its owner knew, given the key and two tokens.

    A chain begins at the starting code with the token's base in it (T5), so that there are 10^6 chains for 10^9
    starting codes. The first token (at a known even `count`) leaves one wrong candidate on average, the second one
    none but those whose chain ran into the right one by then; and the value that was paid for gives the last three
    digits. The key is random and leaves with the call. Needs numpy (the extra `batch`).
    """
    try:
        from paygo_core.batch import generate_tokens
    except ModuleNotFoundError:
        raise PaygoError("the measurement needs numpy", "install paygo-solar[batch]") from None
    import numpy as np

    value = 7
    thousands = secrets.randbelow(candidates)
    device = DeviceConfig(secrets.token_bytes(16), thousands * 1000 + 1 + secrets.randbelow(900))
    first, second = (int(token_at(device, n, value)) for n in (count, count + 2))
    begun = time.perf_counter()
    base = first % 1000
    starts = np.arange(candidates, dtype=np.uint32) * 1000 + np.uint32(base)
    made = generate_tokens(device.secret_key, starts, count - 2, 0, TokenType.ADD_TIME)
    likely = [int(start) - value for start in starts[made.tokens == first]]
    found = [
        start
        for start in likely
        if start > 0 and int(token_at(DeviceConfig(device.secret_key, start), count + 2, value)) == second
    ]
    seconds = time.perf_counter() - begun
    right = device.starting_code in found
    return Recovery(candidates, count, chosen_simd(), os.cpu_count() or 1, seconds, right)


def _duration(seconds: float) -> str:
    """Seconds with three significant digits in the largest unit that fits, for people."""
    if math.isinf(seconds):
        return "never"
    for name, size in (("years", YEAR), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{_rounded(seconds / size)} {name}"
    return f"{_rounded(seconds)} s"


def _rounded(number: float) -> str:
    """Three significant digits, in groups: 15 600."""
    if math.isinf(number):
        return "-"
    if number >= 1e15:
        return f"{number:.2e}"
    digits = max(0, 2 - math.floor(math.log10(number))) if number > 0 else 0
    shown = round(number, 2 - math.floor(math.log10(number))) if number > 0 else 0.0
    return f"{shown:,.{digits}f}".replace(",", " ")


def table(all_odds: list[Odds], strict: bool, bought: int, rate: float) -> Iterator[str]:
    """Lines for people."""
    head = ("goal", "one guess in", "even chance after", "waits kept", f"{rate:g} entries/s")
    yield f"{head[0]:<20}{head[1]:>20}{head[2]:>26}{head[3]:>18}{head[4]:>18}"
    for informed in (False, True):
        yield "who knows the starting code:" if informed else "who types digits at random:"
        for one in all_odds:
            if one.informed is informed:
                one_in = _rounded(1 / one.chance) if one.pairs else "-"
                guesses = f"{_rounded(one.half_guesses)} guesses" if one.pairs else "-"
                waiting = _duration(years_to_half(one, strict, bought) * YEAR)
                console = _duration(one.half_guesses / rate)
                yield f"  {one.goal:<18}{one_in:>20}{guesses:>26}{waiting:>18}{console:>18}"
