"""A unit's tokens, credit and waits: stated one by one, then driven at random against the reference model."""

from __future__ import annotations

import model
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from paygo_core import DecoderState, DeviceConfig, PaygoError, PaygUnit, Reason, TokenType, decode_token, generate_token

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
DAY = 86_400
CONFIG = DeviceConfig(KEY, 123456789)
DEVICE = model.Device(KEY, 123456789)
WRONG = "123456789"  # lies on no chain of this device within its windows


def token_at(count: int, value: int, form: int = model.STANDARD, device: model.Device = DEVICE) -> str:
    """The token of a value at exactly this count, of either parity, from the model."""
    number = model.encode(device.key, device.starting_code, form, count, value)
    return model.write(form, device.restricted, number)


def stored_credit(unit: PaygUnit) -> int:
    """Seconds of credit, also while it is unlocked."""
    stored = unit.to_bytes()
    return int.from_bytes(stored[20:28], "little") - int.from_bytes(stored[12:20], "little")


def after_wrong_entries(number: int, *, strict: bool = False) -> tuple[PaygUnit, int]:
    """A unit that took so many wrong entries in a row, each as soon as it would look, and the time of the last."""
    unit = PaygUnit(CONFIG, strict_waits=strict)
    now = 1000
    for _ in range(number):
        now += unit.wait_left
        assert unit.enter(WRONG, now).reason is Reason.NO_MATCH
    return unit, now


def test_a_new_unit_is_inactive_and_holds_the_count_it_was_provisioned_at():
    """T11."""
    unit = PaygUnit(CONFIG, count=7)
    assert unit.state == DecoderState(count=7, floor=7)
    assert (unit.active, unit.seconds_left, unit.wait_left, unit.wrong_entries) == (False, 0, 0, 0)


def test_an_add_time_token_adds_to_what_is_left():
    """T26."""
    unit = PaygUnit(CONFIG)
    assert unit.enter(token_at(2, 7), 100).seconds_left == 7 * DAY
    assert unit.enter(token_at(4, 3), 100 + DAY).seconds_left == 9 * DAY
    assert unit.active


def test_late_days_are_never_charged():
    """T26, T31: after the credit ran out, ADD_TIME starts from now."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 1), 0)
    assert unit.enter(token_at(4, 2), 500 * DAY).seconds_left == 2 * DAY


def test_a_set_time_token_replaces_what_is_left():
    """T27."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 100), 0)
    assert unit.enter(token_at(3, 5), 0).seconds_left == 5 * DAY
    answer = unit.enter(token_at(5, 0), 0)
    assert (answer.token_type, answer.reason, answer.seconds_left) == (TokenType.SET_TIME, Reason.ACCEPTED, 0)
    assert not unit.active


def test_a_set_time_token_counts_from_now():
    """T27: on a unit without credit, and on one with some."""
    unit = PaygUnit(CONFIG)
    assert unit.enter(token_at(3, 5), 9 * DAY).seconds_left == 5 * DAY
    assert unit.enter(token_at(5, 2), 10 * DAY).seconds_left == 2 * DAY


def test_a_set_time_token_puts_an_unlocked_unit_back_on_payg():
    """T27."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(3, 998), 0)
    assert unit.unlocked
    assert unit.enter(token_at(5, 2), 0).seconds_left == 2 * DAY
    assert not unit.unlocked


def test_add_time_on_an_unlocked_unit_is_consumed_and_kept_as_credit():
    """T28."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(3, 998), 0)
    answer = unit.enter(token_at(4, 7), 0)
    assert (answer.token_type, answer.seconds_left) == (TokenType.ADD_TIME, None)
    assert unit.unlocked
    assert unit.state.count == 4
    assert stored_credit(unit) == 7 * DAY


@pytest.mark.parametrize("count", [2, 3])
def test_the_unlock_is_obeyed_at_either_parity_and_lasts_for_ever(count):
    """T9, T29."""
    unit = PaygUnit(CONFIG)
    answer = unit.enter(token_at(count, 998), 0)
    assert (answer.token_type, answer.seconds_left) == (TokenType.DISABLE_PAYG, None)
    unit.tick(2**32 - 1)
    assert unit.active
    assert PaygUnit.from_bytes(CONFIG, unit.to_bytes()).active


@pytest.mark.parametrize("count", [100, 101])
def test_a_sync_moves_the_count_and_the_floor_and_nothing_else(count):
    """T9, T12, T30."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 7), 0)
    answer = unit.enter(token_at(count, 999), DAY)
    assert (answer.token_type, answer.seconds_left) == (TokenType.COUNTER_SYNC, 6 * DAY)
    assert (unit.state.count, unit.state.floor) == (count, count)


def test_a_sync_leaves_an_unlocked_unit_unlocked():
    """T30."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(3, 998), 0)
    assert unit.enter(token_at(101, 999), 0).token_type is TokenType.COUNTER_SYNC
    assert unit.unlocked


def test_the_divider_makes_days_of_units_and_drops_the_fraction_of_a_second():
    """T7, T26, T27."""
    unit = PaygUnit(DeviceConfig(KEY, 123456789, time_divider=7))
    assert unit.enter(token_at(2, 1), 0).seconds_left == 86_400 // 7
    assert unit.enter(token_at(3, 995), 0).seconds_left == 995 * 86_400 // 7


def test_the_largest_credit_of_every_count_adds_up_without_overflow():
    """T37: sixty tokens pass 32 bits of seconds; all that a unit can take in its life fit 48."""
    unit = PaygUnit(CONFIG)
    for count in range(2, 122, 2):
        answer = unit.enter(token_at(count, 995), 0)
    assert answer.seconds_left == 60 * 995 * DAY > 2**32
    assert PaygUnit.from_bytes(CONFIG, unit.to_bytes()).seconds_left == 60 * 995 * DAY
    unit.tick(900_000_000)
    assert unit.seconds_left == 60 * 995 * DAY - 900_000_000 < 2**32
    assert PaygUnit.from_bytes(CONFIG, unit.to_bytes()).seconds_left == unit.seconds_left
    stored = bytearray(unit.to_bytes())
    stored[20:28] = (unit.clock + 32_766 * 995 * DAY).to_bytes(8, "little")
    unit = PaygUnit.from_bytes(CONFIG, bytes(stored))
    assert unit.enter(token_at(122, 995), unit.clock).seconds_left == 32_767 * 995 * DAY


@pytest.mark.parametrize(
    ("strict", "minutes"),
    [
        (False, [0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]),
        (True, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512]),
    ],
    ids=["T32 lenient", "T33 strict"],
)
def test_the_waits_double_up_to_512_minutes(strict, minutes):
    """T32, T33."""
    unit = PaygUnit(CONFIG, strict_waits=strict)
    now = 0
    for expected in minutes:
        assert unit.enter(WRONG, now).wait_seconds == expected * 60
        now += expected * 60


def test_a_wait_begins_at_its_entry_however_long_ago_the_last_one_was():
    """T32."""
    unit, now = after_wrong_entries(3)
    assert unit.enter(WRONG, now + 7 * DAY).wait_seconds == 240


def test_300_wrong_entries_in_a_row_still_wait_512_minutes():
    """T32: k is held at 255, it does not come round to 0."""
    unit, _ = after_wrong_entries(300)
    assert unit.wait_left == 512 * 60
    assert unit.wrong_entries == 255


def test_an_accepted_token_ends_the_row_of_wrong_entries():
    """T34."""
    unit, now = after_wrong_entries(5)
    now += unit.wait_left
    assert unit.enter(token_at(2, 1), now).reason is Reason.ACCEPTED
    assert unit.wrong_entries == 0
    assert unit.enter(WRONG, now).wait_seconds == 0


def test_a_used_token_neither_ends_nor_lengthens_the_row():
    """T34."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 1), 0)
    for _ in range(3):
        unit.enter(WRONG, 0)
    for now in (120, 121):
        assert unit.enter(token_at(2, 1), now).token_type is TokenType.ALREADY_USED
        assert (unit.wrong_entries, unit.wait_left) == (3, 0)


def test_an_entry_during_the_wait_is_not_looked_at():
    """T35: neither a good nor a wrong one, and the seconds left are told."""
    unit, now = after_wrong_entries(3)
    good = unit.enter(token_at(2, 7), now + 50)
    assert (good.token_type, good.reason, good.wait_seconds) == (TokenType.INVALID, Reason.WAITING, 70)
    assert unit.enter(WRONG, now + 60).wait_seconds == 60
    assert unit.wrong_entries == 3
    assert unit.enter(token_at(2, 7), now + 119).wait_seconds == 1
    assert unit.enter(token_at(2, 7), now + 120).reason is Reason.ACCEPTED


def test_what_is_no_entry_is_none_during_a_wait_either():
    """T22, T35: it is told what is wrong with it, and how long the wait is."""
    unit, now = after_wrong_entries(3)
    for text, reason in (("1234", Reason.LENGTH), ("12345678a", Reason.DIGITS)):
        answer = unit.enter(text, now + 50)
        assert (answer.token_type, answer.reason, answer.wait_seconds) == (TokenType.INVALID, reason, 70)
    assert (unit.wrong_entries, unit.wait_left) == (3, 70)


def test_the_wait_survives_a_power_cut_unshortened():
    """T36: also when the clock wakes up ahead."""
    unit, now = after_wrong_entries(4)
    unit.tick(now + 40)
    woken = PaygUnit.from_bytes(CONFIG, unit.to_bytes(ahead=300))
    assert (woken.wrong_entries, woken.wait_left) == (4, 200)
    assert woken.enter(WRONG, now + 340).reason is Reason.WAITING


def test_the_row_of_wrong_entries_survives_a_power_cut():
    """T36."""
    unit, now = after_wrong_entries(2)
    woken = PaygUnit.from_bytes(CONFIG, unit.to_bytes())
    assert woken.enter(WRONG, now).wait_seconds == 120


def test_a_clock_set_back_neither_shortens_a_wait_nor_gives_credit():
    """T36."""
    unit, now = after_wrong_entries(3)
    assert unit.enter(WRONG, now - 900).wait_seconds == 120
    unit.tick(now + 120)
    unit.enter(token_at(2, 1), now + 120)
    unit.tick(now + 120 + DAY // 2)
    unit.tick(0)
    assert unit.seconds_left == DAY // 2


def test_a_clock_stored_ahead_costs_credit_and_gains_none():
    """T36."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 1), 0)
    assert PaygUnit.from_bytes(CONFIG, unit.to_bytes(ahead=300)).seconds_left == DAY - 300


def test_a_clock_stored_ahead_of_the_last_credit_leaves_none():
    """T36: the credit ends during the minutes ahead."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 1), 0)
    unit.tick(DAY - 100)
    woken = PaygUnit.from_bytes(CONFIG, unit.to_bytes(ahead=300))
    assert (woken.seconds_left, woken.active) == (0, False)


def test_at_the_end_of_its_clock_a_unit_holds_the_clock_its_credit_and_its_wait():
    """T36, T37: after 136 years, also ahead of a power cut."""
    unit = PaygUnit(CONFIG)
    unit.enter(token_at(2, 995), 2**32 - 1000)
    for _ in range(3):
        unit.enter(WRONG, 2**32 - 1)
    woken = PaygUnit.from_bytes(CONFIG, unit.to_bytes(ahead=300))
    assert (woken.clock, woken.wait_left, woken.seconds_left) == (2**32 - 1, 120, 995 * DAY - 999)
    assert woken.enter(WRONG, 2**32 - 1).reason is Reason.WAITING


@pytest.mark.parametrize(
    ("at", "number"),
    [(12, 2**32), (20, 2**47), (28, 512 * 60 + 1)],
    ids=["the clock", "the credit", "the wait"],
)
def test_stored_bytes_beyond_what_a_unit_counts_are_refused(at, number):
    """T36, T37: none of them is cut to what fits; the largest of each is taken."""
    stored = bytearray(PaygUnit(CONFIG).to_bytes())
    stored[at : at + 8] = (number - 1).to_bytes(8, "little")
    PaygUnit.from_bytes(CONFIG, bytes(stored))
    stored[at : at + 8] = number.to_bytes(8, "little")
    with pytest.raises(PaygoError, match="not a stored unit"):
        PaygUnit.from_bytes(CONFIG, bytes(stored))


def test_what_was_used_stays_used_through_a_power_cut():
    """T36, T11: to the end of the window."""
    unit = PaygUnit(CONFIG)
    for count in (4, 20):
        unit.enter(token_at(count, 1), 0)
    assert PaygUnit.from_bytes(CONFIG, unit.to_bytes()).state == DecoderState(20, 1, (4, 20))


@pytest.mark.parametrize(
    "text",
    ["", "1", "12345678", "1234567890", "12345678901", "1234567890123", "12345678a", "123 45678", "12345678*",
     " 12345678", "123456789\n", "\uff1123456789", "123-456-789", "111111111111111", "1" * 20],
)  # fmt: skip
def test_what_has_not_the_digits_of_a_token_is_no_entry(text):
    """T22: INVALID, nothing changes, and it is no wrong entry."""
    unit, now = after_wrong_entries(2)
    before = unit.to_bytes()
    answer = unit.enter(text, now)
    assert answer.token_type is TokenType.INVALID
    assert answer.reason in (Reason.LENGTH, Reason.DIGITS)
    assert unit.to_bytes() == before


@pytest.mark.parametrize("text", ["662486790", "111111111111119", "11111111111111a", "0" * 15, "1" * 14, "1" * 12])
def test_on_four_keys_only_15_or_20_of_the_digits_1_to_4_are_an_entry(text):
    """T21, T22."""
    unit = PaygUnit(DeviceConfig(KEY, 123456789, restricted_digit_set=True))
    before = unit.to_bytes()
    assert unit.enter(text, 0).reason in (Reason.LENGTH, Reason.DIGITS)
    assert unit.to_bytes() == before


@pytest.mark.parametrize(
    ("restricted", "text"),
    [
        (False, "123456789"),
        (False, "123456789012"),
        (True, "1" * 15),
        (True, "4" * 15),
        (True, "1" * 20),
        (True, "4" * 20),
    ],
)
def test_all_the_digits_of_a_token_are_an_entry_also_of_an_extended_one(restricted, text):
    """T22: wrong ones count. Fifteen or twenty fours lie beyond the largest code (T21)."""
    unit = PaygUnit(DeviceConfig(KEY, 123456789, restricted_digit_set=restricted))
    answer = unit.enter(text, 0)
    assert answer.reason is (Reason.RANGE if text[0] == "4" else Reason.NO_MATCH)
    assert unit.wrong_entries == 1


def test_an_extended_token_moves_the_count_but_is_never_time():
    """T25: what its value means is the manufacturer's affair."""
    unit = PaygUnit(CONFIG)
    answer = unit.enter(token_at(2, 7, model.EXTENDED), 0)
    assert (answer.token_type, answer.value, answer.seconds_left) == (TokenType.ADD_TIME, 7, 0)
    assert unit.state == DecoderState(2, 1, (2,))
    assert unit.enter(token_at(2, 7), 0).token_type is TokenType.ALREADY_USED
    unit.enter(token_at(3, 998, model.EXTENDED), 0)
    assert unit.unlocked
    unit.enter(token_at(5, 123_456, model.EXTENDED), 0)
    assert unit.unlocked
    assert unit.enter(token_at(101, 999, model.EXTENDED), 0).token_type is TokenType.COUNTER_SYNC
    assert unit.state.count == 101


def test_bytes_that_are_no_stored_unit_are_refused():
    """T36: too short, another layout, a flag that is none, a floor above the count."""
    good = PaygUnit(CONFIG, count=5).to_bytes()
    assert PaygUnit.from_bytes(CONFIG, good).to_bytes() == good
    for at, byte in ((0, 2), (1, 2), (3, 1), (6, 6)):
        bad = bytearray(good)
        bad[at] = byte
        with pytest.raises(PaygoError, match="not a stored unit"):
            PaygUnit.from_bytes(CONFIG, bytes(bad))
    with pytest.raises(PaygoError):
        PaygUnit.from_bytes(CONFIG, good[:-1])


def test_the_stored_unit_has_this_layout():
    """T36: the bytes are a contract with the units in the field."""
    unit = PaygUnit(CONFIG, count=0x0102)
    unit.enter(generate_token(CONFIG, 0x0102, 1).digits, 0x11223344)
    for _ in range(3):
        unit.enter(WRONG, 0x11223344)
    assert unit.to_bytes(ahead=0x10).hex() == (
        "01 00 03 00 0401 0201 01000000 5433221100000000 c484231100000000 cc33221100000000".replace(" ", "")
    )


def kind_of(answer) -> str:
    """A verdict of ours in the model's words."""
    if answer.reason is Reason.WAITING:
        return model.WAITING
    if answer.reason in (Reason.LENGTH, Reason.DIGITS):
        return model.NOT_AN_ENTRY
    names = {
        TokenType.ADD_TIME: model.ADD, TokenType.SET_TIME: model.SET, TokenType.DISABLE_PAYG: model.UNLOCK,
        TokenType.COUNTER_SYNC: model.SYNC, TokenType.ALREADY_USED: model.ALREADY_USED, TokenType.INVALID: model.WRONG,
    }  # fmt: skip
    return names[answer.token_type]


VALUES = st.one_of(st.integers(0, 995), st.sampled_from([0, 1, 7, 995, 996, 997, 998, 999]))


class UnitAgainstModel(RuleBasedStateMachine):
    """One unit and its model, given the same entries, clocks and power cuts (T11 to T17, T21, T22, T25 to T36)."""

    @initialize(
        key=st.binary(min_size=16, max_size=16),
        starting_code=st.one_of(st.integers(1, 999_999_999), st.sampled_from([1, 999, 1000, 999_999_999])),
        divider=st.sampled_from([1, 1, 2, 7, 24, 255]),
        restricted=st.booleans(),
        strict=st.booleans(),
        windows=st.sampled_from([(64, 100, 16), (64, 100, 16), (30, 30, 10), (5, 3, 0), (9, 20, 31), (64, 100, 1)]),
        max_count=st.sampled_from([65_535, 65_535, 40]),
        count=st.sampled_from([0, 1, 1, 2, 17, 30]),
    )
    def provision(self, key, starting_code, divider, restricted, strict, windows, max_count, count):
        jump, sync_jump, older = windows
        self.device = model.Device(key, starting_code, divider, restricted, jump, sync_jump, older, max_count, strict)
        self.config = DeviceConfig(key, starting_code, divider, restricted, jump, sync_jump, older, max_count)
        self.unit = PaygUnit(self.config, count, strict_waits=strict)
        self.model = model.Unit(self.device, count)
        self.now = 0
        self.history = []
        self.accepted = set()
        self.highest = count

    def enter(self, text: str) -> None:
        before = self.unit.state
        kind, value, count = self.model.enter(text, self.now)
        answer = self.unit.enter(text, self.now)
        assert (kind_of(answer), answer.value, answer.count) == (kind, value, count)
        assert answer.seconds_left == self.model.seconds_left
        assert answer.wait_seconds == self.model.wait_left
        if kind != model.WAITING:
            decoded = decode_token(self.config, text, before)
            assert (kind_of(decoded), decoded.value, decoded.count) == (kind, value, count)
            assert decoded.state == self.unit.state
        if answer.reason is Reason.ACCEPTED:
            assert count not in self.accepted, "nothing is accepted twice"
            self.accepted.add(count)
        self.history.append(text)

    def enter_count(self, count: int, value: int, form: int = model.STANDARD) -> None:
        self.enter(token_at(count, value, form, self.device))

    @rule(units=st.integers(0, 995), kind=st.sampled_from([model.ADD, model.ADD, model.SET]), skip=st.integers(0, 4))
    def the_next_or_one_of_the_next(self, units, kind, skip):
        self.enter_count(model.next_count(self.model.window.highest, kind) + 2 * skip, units)

    @rule(back=st.integers(1, 40), units=st.integers(0, 995))
    def an_older_add_time(self, back, units):
        count = self.model.window.highest - back
        self.enter_count(max(count - count % 2, 0), units)

    @rule(count=st.integers(0, 6), value=VALUES)
    def anything_near_the_last_count(self, count, value):
        self.enter_count(max(self.model.window.highest + count - 3, 0), value)

    @rule(beyond=st.integers(-2, 2), value=VALUES)
    def anything_at_the_edge_of_the_windows(self, beyond, value):
        jump = self.device.sync_jump if value == 999 else self.device.jump
        self.enter_count(self.model.window.highest + jump + beyond, value)

    @rule(beyond=st.integers(-2, 2), units=st.integers(0, 995))
    def anything_at_the_edge_of_the_older_window(self, beyond, units):
        self.enter_count(max(self.model.window.highest - self.device.older + beyond, 0), units)

    @rule(beyond=st.integers(-2, 2), units=st.integers(0, 995))
    def anything_at_the_floor(self, beyond, units):
        self.enter_count(max(self.model.window.floor + beyond, 0), units)

    @rule(count=st.integers(-12, 12), value=st.sampled_from([998, 999]))
    def an_unlock_or_a_sync(self, count, value):
        self.enter_count(max(self.model.window.highest + count, 0), value)

    @rule(value=VALUES)
    def a_number_of_count_0(self, value):
        self.enter_count(0, value)

    @rule(count=st.integers(-6, 6), value=st.one_of(VALUES, st.integers(1000, 999_999)))
    def an_extended_token(self, count, value):
        self.enter_count(max(self.model.window.highest + count, 0), value, model.EXTENDED)

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def something_entered_before(self, data):
        self.enter(data.draw(st.sampled_from(self.history)))

    @rule(number=st.integers(0, 999_999_999))
    def any_number(self, number):
        self.enter(model.write(model.STANDARD, self.device.restricted, number))

    @rule(
        text=st.one_of(
            st.text("1234", min_size=15, max_size=15),
            st.sampled_from(["4" * 15, "4" * 20]),
            st.text("0123456789 -a", max_size=21),
        )
    )
    def any_text(self, text):
        # decode_token takes a token as people write it (T23); a device sees digits only (T22).
        self.enter(text.replace(" ", "b").replace("-", "c"))

    @rule(seconds=st.one_of(st.integers(0, 300), st.integers(0, 40 * DAY)))
    def time_passes(self, seconds):
        self.now = max(self.now, self.model.clock) + seconds
        self.tick()

    @rule()
    def the_wait_ends(self):
        self.now = self.model.clock + self.model.wait_left
        self.tick()

    @rule(seconds=st.integers(1, 10 * DAY))
    def the_clock_is_set_back(self, seconds):
        self.now = max(0, self.now - seconds)
        self.tick()

    @rule(ahead=st.integers(0, 600))
    def power_is_cut(self, ahead):
        stored = self.unit.to_bytes(ahead)
        self.unit = PaygUnit.from_bytes(self.config, stored, strict_waits=self.device.strict)
        self.model.sleep(ahead)

    def tick(self) -> None:
        self.model.tick(self.now)
        self.unit.tick(self.now)

    @invariant()
    def unit_and_model_agree(self):
        if not hasattr(self, "unit"):
            return
        state, window = self.unit.state, self.model.window
        assert (state.count, state.floor, set(state.used_counts)) == (window.highest, window.floor, window.used)
        assert self.unit.seconds_left == self.model.seconds_left
        left = self.model.active_until - self.model.clock
        assert stored_credit(self.unit) == max(0, left), "also while unlocked (T28)"
        assert self.unit.wait_left == self.model.wait_left
        assert self.unit.wrong_entries == self.model.wrong
        assert self.unit.unlocked == self.model.unlocked
        assert state.count >= self.highest, "L never goes down (T17)"
        self.highest = state.count


TestUnitAgainstModel = UnitAgainstModel.TestCase
TestUnitAgainstModel.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
