"""Explanations of tokens: the right reason for each way to fail, and advice that works on the device."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from paygo_core import DecoderState, DeviceConfig, Dialect, PaygoError, TokenType, decode_token, generate_token
from paygo_core.device import Device
from paygo_core.explain import Explanation, Verdict, explain_token, reference_state, syncs_to_reach
from paygo_core.tokens import collides, token_at

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
CONFIG = DeviceConfig(KEY, 123456789)
FOUR = replace(CONFIG, restricted_digit_set=True)


def enter_remedies(config: DeviceConfig, found: Explanation, state: DecoderState) -> DecoderState:
    """Issues what the explanation says and enters it; every one of them must be accepted."""
    for remedy in found.remedies:
        made = generate_token(config, remedy.after, remedy.value, remedy.token_type, remedy.extended)
        answer = decode_token(config, made.digits, state)
        assert answer.accepted, remedy
        assert answer.token_type is remedy.token_type
        state = answer.state
    return state


def test_an_accepted_token_needs_nothing():
    """T12, T13."""
    found = explain_token(CONFIG, "016 609-796", DecoderState(1))
    assert (found.verdict, found.found_at, found.remedies) == (Verdict.ACCEPTED, 2, ())
    assert "adds 7 days" in found.advice
    assert "add-time token of 7 days with count 2, new to the device" in found.cause


@pytest.mark.parametrize(
    ("count", "value", "extended", "effect"),
    [
        (3, 7, False, "sets the time left to 7 days"), (3, 0, False, "locks the device"),
        (3, 998, False, "unlocks the device for good"), (3, 999, False, "moves the device's count to 3"),
        (2, 5000, True, "carries the manufacturer's value 5000"),
    ],
)  # fmt: skip
def test_the_effect_of_each_type_is_told(count, value, extended, effect):
    """T25 to T30."""
    assert effect in explain_token(CONFIG, token_at(CONFIG, count, value, extended), DecoderState(1)).advice


def test_a_token_that_is_also_another_count_s_is_told():
    """T18: 7 days at 306 are a SET_TIME at 305."""
    clash = DeviceConfig.from_hex("5de70f4aba744b50f26b23f62869ea32", 123456789)
    found = explain_token(clash, "402344796", DecoderState(300))
    assert found.decoded.token_type is TokenType.SET_TIME
    assert "Another count gives the same digits" in found.cause


@pytest.mark.parametrize(
    ("count", "value", "state", "verdict", "said"),
    [
        (14, 7, DecoderState(20, 1, (14, 20)), Verdict.USED, "took a token with that count before"),
        (20, 7, DecoderState(20, 1, (14, 20)), Verdict.USED, "the device's last count, which is spent"),
        (8, 7, DecoderState(8), Verdict.USED, "or by the provisioning"),
        (4, 7, DecoderState(20, 9), Verdict.VOID, "at count 9 made everything up to that count void"),
        (4, 7, DecoderState(20, 1), Verdict.TOO_OLD, "takes unused add-time tokens from count 5 on"),
        (13, 7, DecoderState(20, 1), Verdict.OVERTAKEN, "below the device's last count 20"),
        (14, 998, DecoderState(20, 1), Verdict.OVERTAKEN, "an unlock with count 14"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("extended", [False, True])
def test_an_old_token_is_issued_again_after_the_device_s_count(count, value, state, verdict, said, extended):
    """T14, T15, T17."""
    found = explain_token(CONFIG, token_at(CONFIG, count, value, extended), state)
    assert (found.verdict, found.found_at, found.decoded.token_type) == (verdict, count, TokenType.ALREADY_USED)
    assert said in found.cause
    assert len(found.remedies) == 1
    assert enter_remedies(CONFIG, found, state).count > 20 if state.count == 20 else True
    if value == 7:
        made = generate_token(CONFIG, found.remedies[0].after, 7, found.remedies[0].token_type, extended)
        assert made.token_type is (TokenType.ADD_TIME if count % 2 == 0 else TokenType.SET_TIME)


def test_an_old_sync_needs_no_other_one():
    """T17."""
    found = explain_token(CONFIG, token_at(CONFIG, 13, 999), DecoderState(20))
    assert (found.verdict, found.remedies) == (Verdict.OVERTAKEN, ())
    assert "No sync is needed: the device is at 20 already" in found.advice


def test_at_the_last_count_only_a_new_key_helps():
    """T10."""
    short = replace(CONFIG, max_count=40)
    found = explain_token(short, token_at(short, 40, 7), DecoderState(40, 1, (40,)))
    assert found.remedies == ()
    assert "new key" in found.advice


@pytest.mark.parametrize(("count", "syncs"), [(66, 1), (67, 1), (164, 1), (165, 1), (166, 2), (400, 4)])
@pytest.mark.parametrize("value", [7, 998])
def test_a_token_too_far_ahead_works_after_the_syncs_that_are_advised(count, syncs, value):
    """T12, T19."""
    state = DecoderState(1)
    digits = token_at(CONFIG, count, value)
    found = explain_token(CONFIG, digits, state)
    assert (found.verdict, found.found_at, len(found.remedies)) == (Verdict.TOO_FAR, count, syncs)
    assert "looks no further than 65" in found.cause
    assert all((remedy.after + 1) % 2 == 1 for remedy in found.remedies)
    assert str(found.remedies[0].after + 1) in found.advice
    after = enter_remedies(CONFIG, found, state)
    assert count - 64 <= after.count <= count - 62
    assert decode_token(CONFIG, digits, after).accepted


def test_a_sync_too_far_ahead_is_reached_too():
    """T12: a device looks 100 counts ahead for it."""
    digits = token_at(CONFIG, 151, 999)
    found = explain_token(CONFIG, digits, DecoderState(50))
    assert found.verdict is Verdict.TOO_FAR
    assert found.remedies[0].after + 1 == 51
    assert decode_token(CONFIG, digits, enter_remedies(CONFIG, found, DecoderState(50))).accepted


@pytest.mark.parametrize("seed", range(6))
def test_the_syncs_lead_there_with_any_windows(seed):
    """T12, T17, T18."""
    drawn = random.Random(seed)
    jump, sync_jump = drawn.randint(1, 80), drawn.randint(2, 120)
    config = replace(CONFIG, max_jump=jump, max_sync_jump=sync_jump)
    start = drawn.randint(0, 300)
    count = start + jump + drawn.randint(1, 400)
    state = DecoderState(start)
    for sync in syncs_to_reach(config, start, count):
        assert not collides(config, sync, 999)
        answer = decode_token(config, token_at(config, sync, 999), state)
        assert answer.accepted
        state = answer.state
    assert state.count < count <= state.count + jump


def test_a_sync_that_is_advised_never_makes_the_token_void():
    """T17: with a window of 1 only a sync at 20 would do for 21, and syncs have odd counts."""
    assert syncs_to_reach(replace(CONFIG, max_jump=1), 5, 21) == ()
    assert syncs_to_reach(replace(CONFIG, max_jump=1), 5, 22) == (21,)


def test_where_no_sync_can_go_the_token_is_issued_nearer():
    """T12: from an odd count a sync window of 1 holds no odd count."""
    narrow = replace(CONFIG, max_sync_jump=1)
    found = explain_token(narrow, token_at(narrow, 76, 7), DecoderState(5))
    assert found.verdict is Verdict.TOO_FAR
    assert "No counter sync reaches it" in found.advice
    assert enter_remedies(narrow, found, DecoderState(5)).count == 6


def test_nobody_is_sent_to_enter_a_hundred_syncs():
    """T12."""
    found = explain_token(CONFIG, token_at(CONFIG, 2301, 7), DecoderState(1))
    assert "more than 20 counter syncs" in found.advice
    assert enter_remedies(CONFIG, found, DecoderState(1)).count == 3


def test_a_token_found_very_far_away_comes_with_the_chance_that_it_is_nothing():
    """T2, T12: of a million leading digits one matches at each count, or of the likelier ones two."""
    near = explain_token(CONFIG, token_at(CONFIG, 100, 7), DecoderState(1))
    far = explain_token(CONFIG, token_at(CONFIG, 2001, 7), DecoderState(1))
    assert near.coincidence == pytest.approx(70e-6, rel=0.01)
    assert "chance" not in near.cause
    assert (far.verdict, far.found_at) == (Verdict.TOO_FAR, 2001)
    assert far.coincidence == pytest.approx(0.0039, rel=0.02)
    assert "no meaning is found there or nearer is 0.0039" in far.cause


def test_a_token_beyond_the_model_s_last_count():
    """T10, T12."""
    avr = replace(CONFIG, max_count=3260)
    found = explain_token(avr, token_at(avr, 3290, 7), DecoderState(3250))
    assert (found.verdict, found.found_at) == (Verdict.BEYOND_LIMIT, 3290)
    assert "3260, the last count of the device's model" in found.cause
    assert enter_remedies(avr, found, DecoderState(3250)).count == 3252


@pytest.mark.parametrize("typed", ["16609796", "0016609796", "000016609796"])
def test_lost_or_added_zeros_are_seen(typed):
    """T20."""
    found = explain_token(CONFIG, typed, DecoderState(1))
    assert (found.verdict, found.read_as, found.found_at) == (Verdict.WRITTEN_OTHERWISE, "016609796", 2)
    assert "zeros" in found.cause
    assert not found.decoded.accepted
    assert found.remedies == ()
    assert "016609796" in found.advice


def test_lost_zeros_of_a_token_that_was_used_are_seen_and_lead_to_a_new_one():
    """T15, T20."""
    found = explain_token(CONFIG, "16609796", DecoderState(2, 1, (2,)))
    assert found.verdict is Verdict.WRITTEN_OTHERWISE
    assert "which is spent" in found.cause
    assert enter_remedies(CONFIG, found, DecoderState(2, 1, (2,))).count == 4


def test_a_token_in_the_other_digit_set_is_read_and_written_in_the_right_one():
    """T21, T23."""
    decimal, keys = token_at(CONFIG, 2, 7), token_at(FOUR, 2, 7)
    found = explain_token(CONFIG, keys, DecoderState(1))
    assert (found.verdict, found.read_as) == (Verdict.WRITTEN_OTHERWISE, decimal)
    assert "written for a keypad with the keys 1 to 4" in found.cause
    found = explain_token(FOUR, decimal, DecoderState(1))
    assert (found.verdict, found.read_as) == (Verdict.WRITTEN_OTHERWISE, keys)
    assert decode_token(FOUR, found.read_as, DecoderState(1)).accepted
    assert explain_token(FOUR, decimal.lstrip("0"), DecoderState(1)).read_as == keys
    extended = token_at(CONFIG, 2, 7, True)
    assert explain_token(FOUR, extended, DecoderState(1)).read_as == token_at(FOUR, 2, 7, True)


def test_the_label_is_not_a_token():
    """T6."""
    for typed in ("123456789", "123456784", "000123456789"):
        assert explain_token(CONFIG, typed, DecoderState(1)).verdict is Verdict.LABEL


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ("016609797", "digit 9 is wrong"), ("916609796", "digit 1 is wrong"),
        ("106609796", "digits 1 and 2 are swapped"), ("0166093796", "digit 7 is one too many"),
        ("01609796", "a digit is missing before digit 3"),
    ],
)  # fmt: skip
def test_one_typing_mistake_is_located_but_the_right_digits_are_not_told(typed, where):
    """T16, T22."""
    found = explain_token(CONFIG, typed, DecoderState(1))
    assert found.verdict is Verdict.MISTYPED
    assert found.mistake == where
    assert where in found.cause
    assert "016609796" not in f"{found.cause}{found.advice}{found.read_as}"
    assert found.coincidence is not None
    assert found.coincidence < 0.02


def test_a_foreign_digit_on_four_keys_is_a_typing_mistake():
    """T23."""
    good = token_at(FOUR, 2, 7)
    assert explain_token(FOUR, "7" + good[1:], DecoderState(1)).mistake == "digit 1 is wrong"


@pytest.mark.parametrize(
    ("config", "typed", "verdict", "said"),
    [
        (CONFIG, "1234", Verdict.NOT_AN_ENTRY, "It has 4 digits; a token of this device has 9 digits"),
        (CONFIG, "9" * 4000, Verdict.NOT_AN_ENTRY, "It has 4000 digits"),
        (CONFIG, "", Verdict.NOT_AN_ENTRY, "It has 0 digits"),
        (CONFIG, "12345678a", Verdict.NOT_AN_ENTRY, "It has characters that are not digits"),
        (CONFIG, "O16609796", Verdict.NOT_AN_ENTRY, "It has characters that are not digits"),
        (CONFIG, "abc", Verdict.NOT_AN_ENTRY, "It has characters that are not digits"),
        (CONFIG, "123\N{EN DASH}4", Verdict.NOT_AN_ENTRY, "It has 4 digits"),
        (FOUR, "777744134447777", Verdict.NOT_AN_ENTRY, "digits that the device's keypad does not"),
        (FOUR, "444444444444444", Verdict.UNKNOWN, "larger than any token"),
        (CONFIG, "555123785", Verdict.RESERVED, "996 and 997"),
        (CONFIG, "955512364", Verdict.UNKNOWN, "No count from 1 to 65535 gives it"),
    ],
)  # fmt: skip
def test_what_is_no_token_of_the_device_is_said_to_be_none(config, typed, verdict, said):
    """T8, T16, T21, T22."""
    found = explain_token(config, typed, DecoderState(1))
    assert (found.verdict, found.decoded.token_type, found.remedies) == (verdict, TokenType.INVALID, ())
    assert said in found.cause


def test_a_far_coincidence_leads_to_no_token():
    """T12: made-up digits are some count's in one of twenty cases."""
    found = explain_token(CONFIG, "930000787", DecoderState(20, 0))
    assert (found.verdict, found.remedies) == (Verdict.UNKNOWN, ())
    assert "it would be an unlock with count" in found.cause
    assert "this proves nothing" in found.cause
    assert found.advice.startswith("Issue nothing until the receipt is found")


def test_the_token_of_another_device_wins_over_a_far_coincidence():
    """T12: also in a fleet so large that one of its devices has it by chance more easily than a far count."""
    meant = next(
        device for device in devices(4000)
        if explain_token(CONFIG, token_at(device.config, device.count, 30), DecoderState(1)).found_at is not None
    )  # fmt: skip
    digits = token_at(meant.config, meant.count, 30)
    assert explain_token(CONFIG, digits, DecoderState(1)).verdict is Verdict.UNKNOWN
    found = explain_token(CONFIG, digits, DecoderState(1), [*devices(800), meant])
    assert found.verdict is Verdict.OTHER_DEVICE
    assert meant.serial in [seen.serial for seen in found.others]
    assert found.coincidence > 0.18


def test_a_token_above_what_the_server_issued_is_not_paid_again():
    """T12: however near it is."""
    digits = token_at(CONFIG, 100, 998)
    found = explain_token(CONFIG, digits, DecoderState(20, 0), issued_up_to=100)
    assert (found.verdict, len(found.remedies)) == (Verdict.TOO_FAR, 1)
    found = explain_token(CONFIG, digits, DecoderState(20, 0), issued_up_to=99)
    assert (found.verdict, found.remedies, found.found_at) == (Verdict.NEVER_ISSUED, (), 100)
    assert "The server has used no count above 99" in found.cause
    assert found.advice.startswith("Issue nothing")
    lost_zero = explain_token(CONFIG, "16609796", DecoderState(2, 1, (2,)), issued_up_to=1)
    assert (lost_zero.verdict, lost_zero.remedies) == (Verdict.NEVER_ISSUED, ())


def test_an_accepted_token_that_the_server_never_issued_is_told():
    """T12: a guess that hit, or a server whose counts were lost."""
    found = explain_token(CONFIG, "016609796", DecoderState(1), issued_up_to=1)
    assert found.verdict is Verdict.ACCEPTED
    assert "The server has used no count above 1" in found.advice
    assert "never" not in explain_token(CONFIG, "016609796", DecoderState(1), issued_up_to=2).advice


@pytest.mark.parametrize("issued", [-1, 65_536, True, "5"])
def test_what_the_server_issued_is_a_count(issued):
    """T10."""
    with pytest.raises(PaygoError, match="issued up to"):
        explain_token(CONFIG, "016609796", DecoderState(1), issued_up_to=issued)


@pytest.mark.parametrize(
    ("jump", "sync_jump", "count", "value", "state"),
    [
        (1, 100, 8, 7, DecoderState(20, 9)), (1, 100, 3, 7, DecoderState(21)), (1, 100, 3, 998, DecoderState(21)),
        (64, 1, 302, 999, DecoderState(15)), (1, 1, 300, 7, DecoderState(20)),
    ],
)  # fmt: skip
def test_what_the_windows_cannot_take_is_not_advised(jump, sync_jump, count, value, state):
    """T12: with a window of 1 the next count of the same parity is out of reach."""
    narrow = replace(CONFIG, max_jump=jump, max_sync_jump=sync_jump)
    found = explain_token(narrow, token_at(narrow, count, value), state)
    assert found.remedies == ()
    assert "These windows cannot take it" in found.advice


@pytest.mark.parametrize("seed", range(4))
def test_every_remedy_is_one_that_the_device_takes(seed):
    """T12 to T18: tokens near and far of devices with narrow windows."""
    drawn = random.Random(seed)
    for _ in range(60):
        windows = {"max_jump": drawn.choice([1, 2, 3, 64]), "max_sync_jump": drawn.choice([1, 2, 100])}
        config = DeviceConfig(
            drawn.randbytes(16), drawn.randrange(1, 10**9), max_count=drawn.choice([65_535, 150]), **windows
        )
        state = DecoderState(drawn.randrange(140), 0)
        typed = token_at(config, drawn.randrange(1, 400), drawn.choice([0, 7, 998, 999]))
        enter_remedies(config, explain_token(config, typed, state), state)


def devices(number: int) -> list[Device]:
    drawn = random.Random(1)
    return [
        Device(f"SLT{at}", DeviceConfig(drawn.randbytes(16), drawn.randrange(1, 10**9)), count=10 * at)
        for at in range(1, number + 1)
    ]


@pytest.mark.parametrize("ahead", [-60, -8, 0, 2, 60])
def test_another_device_s_token_is_found_near_its_count(ahead):
    """T12."""
    fleet = devices(20)
    meant = fleet[9]
    digits = token_at(meant.config, meant.count + ahead, 30)
    found = explain_token(CONFIG, digits, DecoderState(1), fleet)
    assert found.verdict is Verdict.OTHER_DEVICE
    assert [(seen.serial, seen.distance) for seen in found.others] == [("SLT10", ahead)]
    assert "SLT10 (at count" in found.cause
    assert all(meant.config.secret_key.hex() not in repr(part) for part in (found, found.cause, found.advice))
    assert explain_token(CONFIG, digits, DecoderState(1)).verdict is not Verdict.OTHER_DEVICE


def test_the_device_itself_among_the_others_is_passed_over():
    """T12: its token 100 counts ahead is too far ahead, not somebody else's."""
    digits = token_at(CONFIG, 100, 7)
    found = explain_token(CONFIG, digits, DecoderState(1), [Device("SELF", CONFIG, 100)])
    assert found.verdict is Verdict.TOO_FAR


def deployed(found: Explanation) -> dict[Dialect, tuple[TokenType, bool]]:
    return {answer.dialect: (answer.token_type, answer.differs) for answer in found.dialects}


def test_a_deployed_unit_s_answer_is_told_where_it_differs():
    """T6, T15, T22: the starting code lowered by one is a sync there; 7 reads as 3 with four keys."""
    assert not any(differs for _, differs in deployed(explain_token(CONFIG, "016609796", DecoderState(1))).values())
    label = deployed(explain_token(CONFIG, "123456788", DecoderState(1)))
    assert label[Dialect.REFERENCE_C] == (TokenType.COUNTER_SYNC, True)
    assert label[Dialect.REFERENCE_C_16][0] is TokenType.ALREADY_USED
    good = token_at(FOUR, 2, 7)
    foreign = good.replace("3", "7")
    assert foreign != good
    assert deployed(explain_token(FOUR, foreign, DecoderState(1)))[Dialect.REFERENCE_C] == (TokenType.ADD_TIME, True)
    assert explain_token(CONFIG, token_at(CONFIG, 2, 7, True), DecoderState(1)).dialects == ()


def test_a_deployed_unit_is_thought_to_remember_what_ours_does():
    """T11."""
    assert reference_state(DecoderState(20, 1, (14, 20))).used_mask == 1 << 5
    for state in (DecoderState(20, 1, (14, 20)), DecoderState(30, 21, (24, 30))):
        for count in range(state.count - 15, state.count + 5):
            found = explain_token(CONFIG, token_at(CONFIG, count, 7), state)
            assert deployed(found)[Dialect.REFERENCE_C] == (found.decoded.token_type, False), count
