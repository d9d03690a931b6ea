"""Alerts become actions, exactly once."""

from __future__ import annotations

import dataclasses
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from hw_bridge.actions import ActionStore
from hw_bridge.drivers import ActiveAlert
from paygo_core import PaygoError
from paygo_core.errors import DeviceError
from paygo_core.registry import Registry
from paygo_core.wire.hdk import Alert

RAISED = Alert("BATTERY_OVERVOLTAGE", True, 16012, "mV", 1, 1)
CLEARED = Alert("BATTERY_OVERVOLTAGE", False, 13800, "mV", 1, 2)
AGAIN = dataclasses.replace(RAISED, seq=3, value=16100)


@pytest.fixture
def store(tmp_path):
    with ActionStore.open(tmp_path / "fleet.db") as store:
        yield store


def test_a_raised_alert_opens_an_action_and_its_end_resolves_it(store):
    opened = store.record("A1", RAISED)
    assert (opened.state, opened.times, opened.value, opened.unit) == ("open", 1, 16012, "mV")
    assert opened.resolved_at is None
    assert store.open_actions() == [opened]
    resolved = store.record("A1", CLEARED)
    assert (resolved.id, resolved.state, resolved.value) == (opened.id, "resolved", 16012)
    assert resolved.resolved_at >= resolved.opened_at
    assert resolved.opened_at.utcoffset().total_seconds() == 0
    assert store.open_actions() == []
    assert store.actions() == [resolved]


def test_a_transaction_that_fails_leaves_nothing_behind(store):
    """One that began takes the write lock at once, and is undone as a whole."""

    def half() -> None:
        with store._transaction() as session:
            connection = session.connection()
            assert connection.connection.driver_connection.in_transaction
            connection.exec_driver_sql("CREATE TABLE half (a INTEGER)")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        half()
    with store._transaction() as session:
        found = session.connection().exec_driver_sql("SELECT name FROM sqlite_master WHERE name = 'half'")
        assert found.fetchall() == []


def test_a_repetition_changes_nothing(store):
    """H20: at least once on the wire."""
    first = store.record("A1", RAISED)
    for _ in range(3):
        assert store.record("A1", RAISED) is None
    store.record("A1", CLEARED)
    assert store.record("A1", RAISED) is None
    assert [action.times for action in store.actions()] == [first.times]


def test_another_unit_boot_or_sequence_is_another_event(store):
    store.record("A1", RAISED)
    assert store.record("A2", RAISED).id == 2
    assert store.record("A1", dataclasses.replace(RAISED, boot=2)).times == 2
    assert store.record("A1", AGAIN).times == 3


def test_an_alert_raised_again_counts_into_the_open_action(store):
    first = store.record("A1", RAISED)
    again = store.record("A1", AGAIN)
    assert (again.id, again.times, again.value) == (first.id, 2, 16100)


def test_an_alert_that_returns_within_a_day_reopens_its_action(store):
    first = store.record("A1", RAISED)
    store.acknowledge(first.id, "anna")
    store.record("A1", CLEARED)
    again = store.record("A1", AGAIN)
    assert (again.id, again.state, again.times, again.acknowledged_by) == (first.id, "open", 2, None)
    assert [change.what for change in store.changes(first.id)] == ["opened", "acknowledged", "resolved", "reopened"]


def test_an_alert_that_returns_later_opens_a_new_action(store):
    first = store.record("A1", RAISED)
    store.record("A1", CLEARED)
    assert store.record("A1", AGAIN, reopen_within=timedelta(0)).id != first.id


def test_a_person_resolves_what_the_unit_does_not_end_and_the_unit_may_open_it_again(store):
    first = store.record("A1", RAISED)
    resolved = store.resolve(first.id, "anna", "battery replaced")
    assert (resolved.state, resolved.resolved_by) == ("resolved", "anna")
    assert store.changes(first.id)[-1].note == "battery replaced"
    with pytest.raises(PaygoError):
        store.resolve(first.id, "anna")
    assert store.record("A1", CLEARED) is None
    assert store.record("A1", AGAIN).state == "open"


def test_a_repetition_is_known_by_serial_start_and_number_alone(store):
    store.record("A1", RAISED)
    assert store.record("A1", dataclasses.replace(RAISED, value=1)) is None


def test_a_unit_that_numbers_no_events_raises_what_is_new_and_clears_what_is_gone(store):
    hot = ActiveAlert("OVERTEMPERATURE", 17, "1")
    (opened,) = store.observe("V1", [hot])
    assert (opened.state, opened.value) == ("open", 17)
    assert store.observe("V1", [hot]) == []
    (resolved,) = store.observe("V1", [])
    assert (resolved.id, resolved.state, resolved.times) == (opened.id, "resolved", 1)
    assert store.observe("V2", []) == []


def test_a_file_of_an_earlier_version_gets_its_new_columns(tmp_path):
    path = tmp_path / "fleet.db"
    ActionStore.open(path).close()
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("ALTER TABLE actions DROP COLUMN acknowledged_by")
        old.execute("ALTER TABLE alert_events DROP COLUMN action_id")
        old.execute("INSERT INTO actions VALUES (1, 'A1', 'X', 'open', 1, '1', 1, '2026-01-01', NULL, NULL, NULL)")
    with ActionStore.open(path) as store:
        assert store.acknowledge(1, "anna").acknowledged_by == "anna"


def test_an_end_without_a_beginning_is_stored_and_opens_nothing(store):
    assert store.record("A1", CLEARED) is None
    assert store.actions() == []


def test_an_acknowledged_action_stays_open_until_the_unit_says_otherwise(store):
    opened = store.record("A1", RAISED)
    assert store.acknowledge(opened.id).state == "acknowledged"
    assert [action.state for action in store.open_actions()] == ["acknowledged"]
    assert store.record("A1", AGAIN).state == "acknowledged"
    assert store.record("A1", CLEARED).state == "resolved"
    with pytest.raises(PaygoError):
        store.acknowledge(opened.id)


def test_a_number_beyond_the_database_is_a_fault_of_the_unit(store):
    with pytest.raises(DeviceError):
        store.record("A1", dataclasses.replace(RAISED, seq=10**19))


def test_the_file_is_private_and_is_the_registrys_too(tmp_path):
    path = tmp_path / "fleet.db"
    for place in (path, f"sqlite:///{path}"):
        with ActionStore.open(place) as store:
            store.record("A1", RAISED)
            assert len(store.actions()) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Registry.open(path, create=False) as registry:
        assert list(registry.devices()) == []


def test_of_two_programs_that_record_the_same_events_each_event_counts_once(tmp_path):
    path = tmp_path / "fleet.db"
    ActionStore.open(path).close()
    together = threading.Barrier(2)

    def record(_: int) -> int:
        changed = 0
        with ActionStore.open(path) as store:
            for seq in range(1, 21):
                together.wait(60)
                changed += store.record("A1", dataclasses.replace(RAISED, seq=seq)) is not None
        return changed

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(record, range(2))) == 20
    with ActionStore.open(path) as store:
        assert [action.times for action in store.actions()] == [20]
