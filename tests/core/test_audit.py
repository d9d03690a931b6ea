"""What guessing costs: the arithmetic against the decoder, by enumeration and by chance, and the page about windows."""

from __future__ import annotations

import json
import math
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from paygo_core import DecoderState, DeviceConfig, PaygUnit, TokenType, decode_token
from paygo_core._native import ffi, lib
from paygo_core.audit import (
    YEAR,
    Odds,
    Windows,
    admitted_counts,
    chance_of_repetition,
    expected_replays,
    guesses_a_year,
    guesses_within,
    measure_recovery,
    odds,
    seconds_before,
    wait_minutes,
    years_to_half,
)
from paygo_core.cli import root
from paygo_core.errors import PaygoError
from paygo_core.shell import run
from paygo_core.tokens import token_at

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
PAGE = Path(__file__).parents[2] / "docs" / "choosing-windows.md"


def one(goal: str, informed: bool, windows: Windows, **more: int) -> Odds:
    (found,) = [found for found in odds(windows, **more) if (found.goal, found.informed) == (goal, informed)]
    return found


STATES = [
    DecoderState(1), DecoderState(21, 0), DecoderState(20, 0), DecoderState(21, 15), DecoderState(21, 0, (18, 14)),
    DecoderState(60, 0, (60, 58)), DecoderState(64),
]  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("windows", [Windows(), Windows(5, 9, 6), Windows(6, 1, 0), Windows(7, 30, 31)])
@pytest.mark.parametrize("max_count", [65535, 64])
def test_the_admitted_counts_are_those_that_the_decoder_admits(state, windows, max_count):
    """T8, T9, T12 to T14: every count from 1 to beyond the windows, for each kind of value."""
    config = DeviceConfig(
        KEY,
        123456789,
        max_jump=windows.max_jump,
        max_sync_jump=windows.max_sync_jump,
        older_window=windows.older_window,
        max_count=max_count,
    )
    answers = {
        value: [
            answer.token_type
            for n in range(1, state.count + 110)
            if (answer := decode_token(config, token_at(config, n, value), state)).accepted and answer.count == n
        ]
        for value in (0, 7, 995, 998, 999)
    }
    counted = admitted_counts(windows, state, max_count)
    for value in (0, 7, 995):
        assert answers[value].count(TokenType.ADD_TIME) == counted.add
        assert answers[value].count(TokenType.SET_TIME) == counted.set
    assert (len(answers[998]), len(answers[999])) == (counted.unlock, counted.sync)
    for value in (996, 997):
        digits = f"{lib.paygo_encode(config.native, lib.PAYGO_STANDARD, state.count + 1, value):09d}"
        assert not decode_token(config, digits, state).accepted


def reachable(windows: Windows) -> set[tuple[int, int, tuple[int, ...]]]:
    """What devices remember after any row of tokens: whether L is odd, how far below it F is, and the used counts."""
    window = windows.older_window
    begin = [(parity, 0, ()) for parity in (0, 1)]
    found, left = set(begin), begin
    while left:
        parity, floor, used = left.pop()
        for ahead in range(1, windows.max_jump + 1):
            if (parity + ahead) % 2:
                after = (1, 0, ())  # T17
            else:
                back = tuple(n + ahead for n in used if n + ahead < window)
                after = (0, min(floor + ahead, window), (0, *back))
            if after not in found:
                found.add(after)
                left.append(after)
    return found


NARROW = [(jump, 16) for jump in range(1, 20)]
OTHERS = [(1, 31), (2, 31), (3, 9), (5, 31), (64, 16), (64, 0), (64, 1), (64, 2), (64, 15), (4, 2), (16, 8), (64, 31)]


@pytest.mark.parametrize(("jump", "older"), NARROW + OTHERS)
def test_without_a_state_the_one_that_admits_the_most_is_counted(jump, older):
    """T11, T14, T17: of all the states that tokens lead to. At an odd count nothing late is open."""
    windows = Windows(jump, 100, older)
    most = admitted_counts(windows)
    sums = set()
    for parity, floor, used in reachable(windows):
        last = 200 + parity
        counted = admitted_counts(windows, DecoderState(last, last - floor, tuple(last - n for n in used)))
        sums.add(counted.add + counted.set)
        assert counted.unlock == most.unlock == jump
    assert most.add + most.set == max(sums)
    assert admitted_counts(windows, DecoderState(200, 200)).set == most.set


def test_of_the_standard_windows_seven_late_tokens_are_open_at_most():
    """T14: those with the counts L - 2, L - 4, to L - 14."""
    most = admitted_counts(Windows())
    assert most == admitted_counts(Windows(), DecoderState(200, 0, (200,)))
    assert (most.add, most.set, most.unlock, most.sync) == (39, 32, 64, 100)


def test_the_chance_of_a_blind_guess_is_pairs_over_numbers():
    """T12 to T16: 996 values at 64 counts ahead and 7 late ones, 64 unlocks, 100 syncs, of 10^9 numbers."""
    any_token = one("any token", False, Windows())
    assert any_token.pairs == 996 * (64 + 7) + 64 + 100
    assert any_token.chance == pytest.approx(any_token.pairs / 1e9, rel=1e-4)
    assert one("any token", False, Windows(sync=False)).pairs == 996 * 71 + 64
    assert one("any token", False, Windows(extended=True)).chance == pytest.approx(
        (999_996 * 71 + 164) / 1e12, rel=1e-4
    )
    assert one("unlock", False, Windows(restricted=True)).chance == pytest.approx(64 / 4**15)
    assert one("unlock", False, Windows(restricted=True, extended=True)).chance == pytest.approx(64 / 4**20)
    assert one("sync", False, Windows(sync=False)).chance == 0
    assert one("sync", False, Windows(sync=False)).half_guesses == math.inf


def test_time_of_at_least_so_many_days_counts_the_values_that_give_it():
    """T7, T25."""
    assert one("7 days or more", False, Windows()).pairs == (995 - 7 + 1) * 71
    assert one("30 days or more", False, Windows(time_divider=24), days=30).pairs == (995 - 720 + 1) * 71
    assert one("42 days or more", False, Windows(time_divider=24), days=42).pairs == 0
    assert not [found for found in odds(Windows(extended=True)) if "days" in found.goal]


WIDE = {"max_jump": 5000, "max_sync_jump": 5000, "older_window": 30}


def guess(drawn: random.Random, guesses: int, state: DecoderState, digits_of: Callable[[int], str]) -> list[TokenType]:
    """What devices of all kinds of keys accepted; `digits_of` a starting code is the guess."""
    accepted = []
    for at in range(guesses):
        if at % 20 == 0:
            config = DeviceConfig(drawn.randbytes(16), drawn.randrange(1, 10**9), **WIDE)
        answer = decode_token(config, digits_of(config.starting_code), state)
        if answer.accepted:
            accepted.append(answer.token_type)
    return accepted


def test_random_digits_are_accepted_as_often_as_the_arithmetic_says():
    """T12 to T16: windows so wide that guessing pays, and the hits within four standard deviations."""
    chance = one("any token", False, Windows(**WIDE)).chance
    drawn, guesses = random.Random(20), 24_000
    accepted = guess(drawn, guesses, DecoderState(501, 0), lambda _: f"{drawn.randrange(10**9):09d}")
    assert guesses * chance == pytest.approx(120, abs=2)
    assert abs(len(accepted) - guesses * chance) < 4 * math.sqrt(guesses * chance)
    assert abs(accepted.count(TokenType.SET_TIME) - len(accepted) / 2) < 4 * math.sqrt(len(accepted)) / 2


def test_who_knows_the_starting_code_unlocks_as_often_as_the_arithmetic_says():
    """T2, T9: the value is chosen, and digits among the codes that the folding makes twice as likely."""
    chance = one("unlock", True, Windows(**WIDE)).chance
    drawn, guesses = random.Random(21), 12_000
    accepted = guess(
        drawn,
        guesses,
        DecoderState(1),
        lambda start: f"{drawn.randrange(926_259, 999_998)}{(start + 998) % 1000:03d}",
    )
    assert guesses * chance == pytest.approx(111, abs=2)
    assert abs(len(accepted) - guesses * chance) < 4 * math.sqrt(guesses * chance)
    assert set(accepted) == {TokenType.DISABLE_PAYG}


@pytest.mark.parametrize(
    ("form", "folded", "share"),
    [
        (lib.PAYGO_STANDARD, 926_258_175, 2 * 73_741_824 / 2**30),
        (lib.PAYGO_EXTENDED, 900_488_372_223, 2 * 99_511_627_776 / 2**40),
    ],
)
def test_the_codes_that_are_folded_upon_are_twice_as_likely(form, folded, share):
    """T2, T24."""
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, KEY)
    drawn, steps = random.Random(22), 100_000
    codes = (lib.paygo_chain_next(key, form, drawn.randrange(10 ** int(form))) for _ in range(steps))
    hits = sum(code >= folded for code in codes)
    assert abs(hits - steps * share) < 4 * math.sqrt(steps * share * (1 - share))


def cycles_within(start: int, steps: int) -> bool:
    """Whether the chain comes back to a code that it had."""
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, KEY)
    seen = set()
    code = start
    for _ in range(steps):
        code = lib.paygo_chain_next(key, lib.PAYGO_STANDARD, code)
        if code in seen:
            return True
        seen.add(code)
    return False


def test_long_chains_run_into_themselves_as_often_as_random_ones():
    """T2, T3: of chains of 20 000 codes one in five repeats itself, and with it every later token."""
    drawn, chains = random.Random(23), 120
    share = chance_of_repetition(20_000)
    assert share == pytest.approx(0.191, abs=0.001)
    found = sum(cycles_within(drawn.randrange(10**9), 20_000) for _ in range(chains))
    assert abs(found - chains * share) < 4 * math.sqrt(chains * share * (1 - share))
    assert chance_of_repetition(20_000, extended=True) < 0.0003


def test_used_tokens_work_again_as_often_as_the_arithmetic_says():
    """T12, T34: the even counts up to 4 000 against all later ones, on chains that do not repeat themselves."""
    key = ffi.new("paygo_key *")
    lib.paygo_key_load(key, KEY)
    drawn, replays, chains = random.Random(24), 0, 0
    while chains < 25:
        code, leading = drawn.randrange(10**9), []
        for _ in range(4000):
            code = lib.paygo_chain_next(key, lib.PAYGO_STANDARD, code)
            leading.append(code // 1000)
        if cycles_within(code, 8000):
            continue
        chains += 1
        later: dict[int, int] = {}
        for count in range(4000, 0, -1):
            replays += later.get(leading[count - 1], 0) if count % 2 == 0 else 0
            later[leading[count - 1]] = later.get(leading[count - 1], 0) + 1
    expected = chains * expected_replays(2000)
    assert abs(replays - expected) < 4 * math.sqrt(expected)


def test_a_used_token_is_another_count_s_too_once_its_chain_repeats_itself():
    """T12, T13: this device's chain of 7 days has a period of 577 from count 55 on, so that an ADD becomes a SET."""
    config = DeviceConfig(KEY, 196001377)
    used = token_at(config, 56, 7)
    assert token_at(config, 56 + 577, 7) == used
    answer = decode_token(config, used, DecoderState(600, 1))
    assert (answer.token_type, answer.count) == (TokenType.SET_TIME, 633)


def test_many_guesses():
    """Half the chance is reached where it says, and the mean is the sum of what is still missed."""
    for found in (Odds("", False, 50, 1e-4), Odds("", True, 1, 1e-3)):
        assert found.chance_after(found.half_guesses) == pytest.approx(0.5)
        missed = sum(1 - found.chance_after(m) for m in range(round(1 / found.weight)))
        assert found.expected_guesses == pytest.approx(missed, rel=0.01)
        assert found.chance_after(2 / found.weight) == 1.0


@pytest.mark.parametrize("strict", [False, True])
def test_the_waits_are_the_unit_s_own(strict):
    """T32, T33, T35: guesses entered as soon as a unit looks at them."""
    unit = PaygUnit(DeviceConfig(KEY, 123456789), strict_waits=strict)
    now = 0
    for guess in range(1, 16):
        assert seconds_before(guess, strict) == now
        assert guesses_within(now, strict) == guess if wait_minutes(guess, strict) else True
        assert guesses_within(max(now - 1, 0), strict) < guess or wait_minutes(guess - 1, strict) == 0
        wait = unit.enter("123456789", now).wait_seconds
        assert wait == 60 * wait_minutes(guess, strict)
        now += wait


def test_guesses_a_year():
    """T32 to T34: 512 minutes between guesses, and a bought token ends the row."""
    assert guesses_a_year() == 11 + (365 * 1440 - 510) // 512
    assert guesses_a_year(strict=True) == 10 + (365 * 1440 - 511) // 512
    assert guesses_a_year(bought=51) == 52 * guesses_within(YEAR / 52)
    assert guesses_a_year(bought=364) > 3 * guesses_a_year()
    found = one("unlock", True, Windows())
    assert years_to_half(found, bought=364) < years_to_half(found) / 3


def test_a_starting_code_is_no_secret_from_who_has_the_key():
    """T5: a million chains for 10^9 starting codes, told apart by two tokens."""
    pytest.importorskip("numpy")
    measured = measure_recovery(count=4, candidates=20_000)
    assert measured.found
    assert measured.candidates == 20_000
    assert measured.seconds_for_all_starting_codes == pytest.approx(1000 * measured.seconds)


def test_wrong_windows_are_named():
    """T12."""
    with pytest.raises(PaygoError, match="older window 32 is out of range"):
        Windows(older_window=32)


@pytest.fixture
def paygo(capsys, monkeypatch, tmp_path):
    """Runs a command line and gives its standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(line: str) -> str:
        name, *words = shlex.split(line)
        assert name == "paygo"
        assert run(root, words) == 0
        return capsys.readouterr().out

    return call


def test_the_audit_as_json(paygo):
    """T32: what the table shows, with full digits."""
    found = json.loads(paygo("paygo token audit --json --no-sync --bought 12"))
    assert found["guesses_a_year"] == guesses_a_year(bought=12)
    assert found["replays_in_ten_years"] == pytest.approx(120 * 119e-6, rel=0.1)
    assert found["windows"]["sync"] is False
    assert found["measured"] is None
    by_goal = {(entry["goal"], entry["knows_starting_code"]): entry for entry in found["odds"]}
    assert len(by_goal) == 8
    assert by_goal["sync", True]["half_guesses"] is None
    unlock = by_goal["unlock", False]
    assert (unlock["pairs"], unlock["half_seconds_without_waits"]) == (64, unlock["half_guesses"] / 20)
    assert unlock["chance_in_a_year"] == pytest.approx(64e-9 * found["guesses_a_year"], rel=1e-3)


def test_more_tokens_than_there_are_counts_are_not_bought(paygo):
    """T10: 32 767 even counts."""
    assert "of 32760 tokens in ten years" in paygo("paygo token audit --bought 3276")
    out = paygo("paygo token audit --bought 10000")
    assert "the counts end after 32767 tokens, in 3.28 years" in out
    assert json.loads(paygo("paygo token audit --bought 10000 --json"))["replays_in_ten_years"] == expected_replays(
        32_767
    )


def test_the_measurement_is_part_of_the_audit_when_it_is_asked_for(paygo):
    """T5."""
    pytest.importorskip("numpy")
    assert json.loads(paygo("paygo token audit --measure --json"))["measured"]["found"] is True
    assert "who has the key and two tokens finds the starting code in" in paygo("paygo token audit --measure")


@pytest.mark.parametrize("seed", [22, 23])
def test_a_starting_code_is_found_also_when_another_one_runs_into_its_chain(seed, monkeypatch):
    """T5. Of the device of seed 23, two starting codes make the same tokens from count 40 on."""
    pytest.importorskip("numpy")
    chance = random.Random(seed)
    monkeypatch.setattr("secrets.randbelow", chance.randrange)
    monkeypatch.setattr("secrets.token_bytes", chance.randbytes)
    assert measure_recovery().found


def test_every_command_of_the_page_prints_what_it_shows(paygo):
    text = PAGE.read_text("utf-8")
    shown = re.findall(r"^\$ (paygo .*)\n((?:.*\n)*?)(?=\$ |```)", text, re.MULTILINE)
    assert len(shown) >= 3
    for line, output in shown:
        if "--measure" not in line:
            assert paygo(line) == output, line
