"""A charger that knows no tokens is a PAYG unit: credit, expiry and unlock survive restarts of bridge and charger."""

from __future__ import annotations

import pytest

from hw_bridge.carry_out import carry_out
from hw_bridge.charger_payg import BrainStore, ChargerPayg
from hw_bridge.commands import CommandJournal
from hw_bridge.drivers import Entry, UnitStatus
from paygo_core import DeviceConfig, TokenType, generate_token
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError
from paygo_core.telemetry import Telemetry

CONFIG = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
DEVICE = Device("SLT220000001", CONFIG)
DAY = 86_400
NOON = 1_800_000_000


class Charger:
    """A charger with a load output. tells: whether its readings say what the output is."""

    def __init__(self, *, output: bool = True, tells: bool = True) -> None:
        self.output, self.tells, self.writes = output, tells, []
        self.mute = self.protecting = False

    def switch_load(self, mode: str) -> None:
        if self.mute:
            raise NoAnswerError("the charger does not answer")
        self.writes.append(mode)
        self.output = mode == "auto" and not self.protecting

    def telemetry(self) -> Telemetry:
        if self.mute:
            raise NoAnswerError("the charger does not answer")
        return Telemetry("HQ1328Y6TF6", battery_voltage=12.5, output=self.output if self.tells else None)


class Clock:
    def __init__(self) -> None:
        self.now = float(NOON)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path):
    with BrainStore.open(tmp_path / "paygo.db") as store:
        yield store


def digits(count: int) -> str:
    return generate_token(CONFIG, count, 1).digits


def test_a_charger_without_credit_is_switched_off_and_on_by_a_token(store, clock):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    assert unit.status() == UnitStatus("inactive", 0)
    assert charger.output is False
    assert unit.enter(digits(1)) == Entry("accepted", seconds_left=DAY)
    assert charger.output is True
    assert unit.enter(digits(1)).verdict == "already_used"
    assert unit.enter("123456789").verdict == "invalid"
    assert unit.identify().last_count == 2


def test_credit_runs_out_and_the_output_goes_off_once(store, clock):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    charger.output = False
    unit.enter(digits(1))
    for _ in range(26):
        clock.now += 3600
        unit.tick()
    assert unit.status().state == "inactive"
    assert charger.writes == ["auto", "off"]


def test_the_output_goes_off_when_the_credit_ends_and_not_only_at_the_next_reading(store, clock):
    charger = Charger(output=False)
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.enter(digits(1))
    unit.expire()
    assert charger.output is True
    clock.now += DAY
    unit.expire()
    assert charger.output is False


def test_the_charger_is_written_to_only_on_a_change(store, clock):
    """Each write wears its storage."""
    for tells in (True, False):
        charger = Charger(tells=tells)
        unit = ChargerPayg(charger, store, DEVICE, clock)
        for _ in range(100):
            clock.now += 1
            unit.tick()
            unit.telemetry()
        assert charger.writes == ["off"]


def test_a_charger_whose_protection_holds_its_output_off_is_told_once(store, clock):
    charger = Charger()
    charger.protecting, charger.output = True, False
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.enter(digits(1))
    for _ in range(50):
        unit.tick()
    assert charger.writes == ["auto"]


def test_a_charger_that_forgot_its_output_is_put_right(store, clock):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.tick()
    unit.tick()
    charger.output = True  # as after its restart
    unit.tick()
    assert charger.output is False


def test_credit_count_and_unlock_survive_the_bridge(store, clock):
    charger = Charger()
    ChargerPayg(charger, store, DEVICE, clock).enter(digits(1))
    again = ChargerPayg(charger, store, DEVICE, clock)
    assert again.status().state == "active"
    assert DAY - 300 <= again.status().seconds_left <= DAY
    assert again.enter(digits(1)).verdict == "already_used"
    assert again.enter(generate_token(CONFIG, 2, token_type=TokenType.DISABLE_PAYG).digits).unlocked
    clock.now += 1000 * DAY
    assert ChargerPayg(charger, store, DEVICE, clock).status() == UnitStatus("unlocked", None)
    assert charger.output is True


def test_ending_the_bridge_or_setting_the_clock_back_gains_nothing(store, clock):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.enter(digits(1))
    for hour in range(20):
        clock.now = NOON + 3600 * hour
        unit.tick()
    left = unit.status().seconds_left
    clock.now = NOON - 1000 * DAY
    unit.tick()
    assert unit.status().seconds_left <= left
    for _ in range(5):
        assert ChargerPayg(charger, store, DEVICE, clock).status().seconds_left <= left


@pytest.mark.parametrize("wrong_before", [2, 3])
def test_a_wait_is_as_long_as_ever_though_the_brain_woke_ahead_of_the_world(store, clock, wrong_before):
    """T36: also one that begins only after the end of the bridge."""
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    for number in range(3):
        if number == wrong_before:
            unit = ChargerPayg(charger, store, DEVICE, clock)
        unit.enter(f"12345678{number}")
    unit.after_power_cut()
    assert unit.enter(digits(1)).wait_seconds == 120
    clock.now += 119
    assert unit.enter(digits(1)).verdict == "wait"
    clock.now += 1
    assert unit.enter(digits(1)).verdict == "accepted"


def test_a_bridge_that_is_killed_again_and_again_gives_no_credit_back_and_costs_five_minutes_at_most(store, clock):
    """T36."""
    charger = Charger()
    ChargerPayg(charger, store, DEVICE, clock).enter(digits(1))
    for kills in range(1, 9):
        clock.now += 100
        right = DAY - (clock.now - NOON)
        assert right - 300 * kills <= ChargerPayg(charger, store, DEVICE, clock).status().seconds_left <= right
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.enter(generate_token(CONFIG, 3, 1, token_type=TokenType.SET_TIME).digits)
    clock.now += 1000
    assert unit.status().seconds_left == DAY - 1000


def test_a_planned_end_costs_nothing(store, clock):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.enter(digits(1))
    for _ in range(5):
        clock.now += 100
        unit.close()
        unit = ChargerPayg(charger, store, DEVICE, clock)
    assert unit.status().seconds_left == DAY - 500


def test_a_clock_that_was_wrong_at_the_start_and_is_put_right_later_costs_five_minutes_at_most(store, clock):
    """A Raspberry Pi has no clock of its own: it wakes up in the past, and the network tells it better."""
    charger = Charger()
    ChargerPayg(charger, store, DEVICE, clock).enter(digits(1))
    clock.now = NOON - 3600
    unit = ChargerPayg(charger, store, DEVICE, clock)
    assert unit.status().seconds_left == DAY - 300
    clock.now = NOON + 60
    assert DAY - 60 - 300 <= unit.status().seconds_left <= DAY - 60


def test_time_passes_while_the_bridge_is_down(store, clock):
    charger = Charger()
    ChargerPayg(charger, store, DEVICE, clock).enter(digits(1))
    clock.now += 2 * DAY
    ChargerPayg(charger, store, DEVICE, clock).tick()
    assert charger.output is False


def test_the_operators_switch_takes_away_and_is_kept(store, clock):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.enter(digits(1))
    assert unit.switch_load("off").output is False
    assert ChargerPayg(charger, store, DEVICE, clock).telemetry().extra["load_switch"] == "off"
    assert charger.output is False
    assert unit.switch_load("auto").output is True
    assert charger.output is True


def test_a_token_counts_though_the_charger_hears_of_it_later(store, clock):
    """The count is durable before the credit is granted."""
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    unit.tick()
    charger.mute = True
    with pytest.raises(NoAnswerError):
        unit.enter(digits(1))
    charger.mute = False
    again = ChargerPayg(charger, store, DEVICE, clock)
    assert again.enter(digits(1)).verdict == "already_used"
    again.tick()
    assert charger.output is True


def test_commands_go_through_the_journal_as_to_any_unit(store, clock, tmp_path):
    charger = Charger()
    unit = ChargerPayg(charger, store, DEVICE, clock)
    with CommandJournal.open(tmp_path / "paygo.db") as journal:
        entered = journal.record("enter", serial=DEVICE.serial, token=digits(1), by="test")
        unit.tick()
        charger.mute = True
        with pytest.raises(NoAnswerError):
            carry_out(journal, entered.id, unit)
        charger.mute = False
        unit = ChargerPayg(charger, store, DEVICE, clock)
        assert carry_out(journal, entered.id, unit).state == "confirmed"
        switched = journal.record("disable", serial=DEVICE.serial, by="test")
        assert carry_out(journal, switched.id, unit).state == "confirmed"
    assert charger.output is False


def test_readings_are_the_devices_with_its_credit_beside(store, clock):
    unit = ChargerPayg(Charger(), store, DEVICE, clock)
    unit.enter(digits(1))
    said = unit.telemetry().to_json()
    assert (said["serial"], said["token_count"], said["battery_voltage"]) == ("SLT220000001", 2, 12.5)
    assert (said["extra"]["active_seconds_left"], said["extra"]["charger"]) == (DAY, "HQ1328Y6TF6")


def test_another_device_is_not_set_up_over_it(store, clock):
    unit = ChargerPayg(Charger(), store, DEVICE, clock)
    assert unit.provision(DEVICE).state == "inactive"
    with pytest.raises(DeviceError):
        unit.provision(Device("B2", CONFIG))
