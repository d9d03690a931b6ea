"""Many orders at once get what they would get one by one; an order with a reference is carried out once."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from servers import postgresql_server
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from paygo_core import DeviceConfig, PaygoError, TokenType, generate_token
from paygo_core.device import Device
from paygo_core.registry import Order, Refused, Registry, RegistryUnavailableError
from paygo_core.registry.engine import open_engine
from paygo_core.tokens import collides

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
TEST_CODE = generate_token(DeviceConfig(KEY, 77), 1, 7).digits


def colliding() -> Device:
    """A device whose next count for 7 units may not be issued (T18)."""
    for start in range(1, 200_000):
        config = DeviceConfig(KEY, start)
        if collides(config, 2, 7):
            return Device("COLLIDES", config, 1)
    raise AssertionError


FLEET = [
    *(Device(f"SLT{n:02}", DeviceConfig(KEY[n:] + KEY[:n], 1000 + n, 1 + n % 3), n) for n in range(16)),
    Device("RESTRICTED", DeviceConfig(KEY, 5, 24, True), 3),
    Device("TESTED", DeviceConfig(KEY, 77), 1, test_code=TEST_CODE),
    Device("LAST", DeviceConfig(KEY, 9, max_count=100), 98),
    Device("SPENT", DeviceConfig(KEY, 9, max_count=100), 100),
    colliding(),
]
SERIALS = [device.serial for device in FLEET]


def stocked(place) -> Registry:
    registry = Registry.open(place)
    registry.import_devices(FLEET)
    registry.add_plain("PLAIN")
    for serial in ("SLT01", "SLT02", "SLT03"):
        registry.set_state(serial, "provisioned")
    registry.set_state("SLT04", "retired")
    registry.set_state("SLT05", "unlocked")
    return registry


def one_by_one(registry: Registry, orders: list[Order]) -> list:
    """What issue_time makes of the same orders: digits, or the error."""
    answers = []
    for order in orders:
        facts = {"value": order.value, "days": order.days, "reason": order.reason, "reference": order.reference}
        try:
            answers.append([t.digits for t in registry.issue_time(order.serial, order.token_type, **facts)])
        except PaygoError as error:
            answers.append(error.cause)
    return answers


def at_once(registry: Registry, orders: list[Order]) -> list:
    return [
        one.cause if isinstance(one, Refused) else [token.digits for token in one.tokens]
        for one in registry.issue_many(orders, issued_by="amina")
    ]


def everything(registry: Registry) -> list:
    return [
        (
            (entry.serial, entry.state, entry.count),
            [(one.token, one.reason, one.reference) for one in registry.tokens(entry.serial)],
            [note.text for note in registry.notes(entry.serial)],
        )
        for entry in registry.entries()
    ]


def drawn(draw: random.Random, number: int) -> list[Order]:
    """Orders of every kind, each device about as often as the other, wrong ones among them."""
    orders = []
    for n in range(number):
        serial = draw.choice([*SERIALS, "PLAIN", "GONE", "bad\0serial"])
        kind = draw.choice([TokenType.ADD_TIME] * 4 + [TokenType.SET_TIME] * 2 + [TokenType.DISABLE_PAYG])
        amount = draw.choice([{"value": 7}, {"value": 0}, {"value": 995}, {"value": 996}, {"days": 7}, {"days": 0.5}])
        amount = draw.choice([amount, {"days": 2000}, {"value": 100_000}, {"days": -1}, {"days": 0.001}, {}])
        if kind is TokenType.DISABLE_PAYG:
            amount = {}
        reason = draw.choice(["payment", "payment", "bonus", "test", "gift"])
        reference = draw.choice(["", "", f"ref-{n}", f"ref-{n}", f"ref-{n - 3}", "x" * 201])
        orders.append(Order(serial, kind, reason=reason, reference=reference, **amount))
    return orders


@pytest.mark.parametrize("seed", range(6))
def test_orders_at_once_get_what_they_get_one_by_one(tmp_path, seed):
    orders = drawn(random.Random(seed), 60)
    # Those of one device in one batch keep their order; a set goes first, so only one order a device is comparable.
    single = list({order.serial: order for order in orders}.values())
    with stocked(tmp_path / "a.db") as one, stocked(tmp_path / "b.db") as many:
        for batch in (single, drawn(random.Random(-seed), 40)):
            unique = list({order.serial: order for order in batch}.values())
            expected, got = one_by_one(one, unique), at_once(many, unique)
            assert [x for x, order in zip(got, unique, strict=True) if order.serial != "GONE"] == [
                x for x, order in zip(expected, unique, strict=True) if order.serial != "GONE"
            ]
        assert everything(one) == everything(many)


def test_a_device_that_stands_twice_is_served_twice(tmp_path):
    with stocked(tmp_path / "a.db") as registry:
        answers = list(registry.issue_many([Order("SLT06", value=7)] * 3))
        counts = [token.count for one in answers for token in one.tokens]
        assert sorted(counts) == [one.token.count for one in registry.tokens("SLT06")] == [8, 10, 12]
        batch = registry.issue_batch(["SLT06", "SLT07", "SLT06"], value=7)
        assert [len(digits) for _, digits in batch] == [1, 1, 1]
        assert len(registry.tokens("SLT06")) == 5


@pytest.mark.parametrize("kind", [TokenType.ADD_TIME, TokenType.SET_TIME, TokenType.DISABLE_PAYG])
@pytest.mark.parametrize(
    "amount", [{"value": 7}, {"days": 0.5}, {"days": 1200}, {"value": -1}, {"value": 7, "days": 1}]
)
def test_a_batch_of_like_orders_gets_what_each_gets_alone(tmp_path, kind, amount):
    amount = {} if kind is TokenType.DISABLE_PAYG else amount
    serials = [*SERIALS[::-1], "PLAIN", "GONE", "bad\0serial", "x" * 1000]
    with stocked(tmp_path / "a.db") as one, stocked(tmp_path / "b.db") as many:
        expected = one_by_one(one, [Order(serial, kind, **amount) for serial in serials])
        batch = many.issue_batch(serials, kind, **amount)
        got = [digits or batch.refused[at].cause for at, (_, digits) in enumerate(batch)]
        assert got == expected
        assert everything(one) == everything(many)
        for at, serial in enumerate(serials):
            if batch.digits[at]:
                assert many.device(serial).count == batch.counts[at]


def test_a_batch_refers_only_to_what_is_there_and_all_else_is_checked(tmp_path):
    """Sets are written without SQLite's look at each reference; whoever comes next on the connection has it again."""
    with stocked(tmp_path / "a.db") as registry:
        for _ in range(2):
            assert not registry.issue_batch(["SLT06", "SLT07"], value=7).refused
            list(registry.issue_many([Order("SLT08", value=7, reference="r"), Order("SLT09", value=7)]))
            with pytest.raises(IntegrityError, match="FOREIGN KEY"), registry._transaction(write=True) as session:
                session.execute(text("INSERT INTO notes VALUES (999, 999, 'note', '', '', '2026-01-01')"))
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_a_batch_is_encrypted_as_the_rest(tmp_path):
    with Registry.open(tmp_path / "a.db", passphrase="horse") as registry:
        registry.import_devices(FLEET)
        [(_, digits)] = registry.issue_batch(["SLT06"], value=7)
        assert digits == [generate_token(FLEET[6].config, 6, 7).digits]


def test_a_damaged_key_is_refused_and_the_others_go_on(tmp_path):
    with Registry.open(tmp_path / "a.db", passphrase="horse") as registry:
        registry.import_devices(FLEET)
        connection = sqlite3.connect(tmp_path / "a.db")
        with connection:
            connection.execute("UPDATE devices SET key_blob = x'00' WHERE serial = 'SLT06'")
        connection.close()
        batch = registry.issue_batch(["SLT06", "SLT07"], value=7)
        assert "SLT06 is damaged" in batch.refused[0].cause
        assert batch.digits[1]
        [refused, issued] = registry.issue_many([Order("SLT06", value=7), Order("SLT07", value=7)])
        assert "SLT06 is damaged" in refused.cause
        assert issued.tokens


def test_sets_are_few_statements_and_one_sync_each(tmp_path):
    statements = []
    with Registry.open(tmp_path / "a.db") as registry:
        serials = registry.make(600, "S")

        def note(_connection, _cursor, statement, *_):
            statements.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            registry.issue_batch(serials, value=7)
            assert len(statements) <= 13
            statements.clear()
            list(registry.issue_many([Order(s, value=7, reference=s) for s in serials]))
            assert len(statements) <= 20
        finally:
            event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


def test_a_server_carries_out_sets_too(tmp_path, server):
    orders = list({order.serial: order for order in drawn(random.Random(1), 80)}.values())
    with stocked(tmp_path / "a.db") as file, stocked(server) as registry:
        assert at_once(registry, orders) == at_once(file, orders)
        serials = [*SERIALS, "GONE"]
        assert list(registry.issue_batch(serials, value=7)) == list(file.issue_batch(serials, value=7))
        assert everything(registry) == everything(file)
        again = [order for order in orders if order.reference]
        assert at_once(registry, again) == at_once(file, again)


class TestReferences:
    @pytest.mark.parametrize("many", [False, True])
    def test_an_order_given_again_gets_the_same_tokens(self, tmp_path, many):
        def issue(registry, kind=TokenType.ADD_TIME, **facts):
            if many:
                return at_once(registry, [Order("SLT06", kind, reference="pay-1", **facts)])[0]
            return one_by_one(registry, [Order("SLT06", kind, reference="pay-1", **facts)])[0]

        with stocked(tmp_path / "a.db") as registry:
            first = issue(registry, value=2000)
            assert len(first) == 3
            after = everything(registry)
            assert issue(registry, value=2000) == first
            registry.set_state("SLT06", "retired")
            assert issue(registry, value=2000) == first, "it was paid, and is shown again"
            assert "got another order, ADD_TIME 2000" in issue(registry, value=1999)
            assert "got another order" in issue(registry, TokenType.SET_TIME, value=2000)
            registry.set_state("SLT06", "repair")
            assert len(registry.tokens("SLT06")) == 3
            assert [one.reference for one in registry.tokens("SLT06")] == ["pay-1"] * 3
            assert after != everything(registry)

    def test_a_reference_is_one_device_s(self, tmp_path):
        with stocked(tmp_path / "a.db") as registry:
            registry.issue("SLT06", value=7, reference="pay-1")
            with pytest.raises(PaygoError, match="another device's order"):
                registry.issue("SLT07", value=7, reference="pay-1")
            [one, other] = registry.issue_many([Order(s, value=7, reference="pay-2") for s in ("SLT06", "SLT07")])
            assert one.tokens
            assert "another device's order" in other.cause
            for wrong in ("x" * 201, "a\nb", "a\0"):
                with pytest.raises(PaygoError, match="reference cannot be used"):
                    registry.issue("SLT06", value=7, reference=wrong)

    @pytest.mark.parametrize("kind", ["file", "server"])
    def test_of_many_who_give_an_order_at_once_all_get_the_same_token(self, request, tmp_path, kind):
        place = (
            tmp_path / "a.db"
            if kind == "file"
            else request.getfixturevalue("server").replace("/postgres?", "/template1?")
        )
        with Registry.open(place) as registry:
            registry.import_devices(FLEET)
            before = len(registry.tokens("SLT06")) + len(registry.tokens("SLT07"))
            got: list[str] = []
            failed: list[str] = []
            ready = threading.Barrier(8)

            def work(serial: str) -> None:
                ready.wait()
                for n in range(10):
                    try:
                        got.append(f"{n} {registry.issue(serial, value=7, reference=f'pay-{n}')}")
                    except PaygoError as error:
                        failed.append(error.cause)

            threads = [threading.Thread(target=work, args=(serial,)) for serial in ("SLT06", "SLT07") * 4]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (len(set(got)), len(got), len(failed)) == (10, 40, 40)
            assert all("another device's order" in cause for cause in failed)
            assert len(registry.tokens("SLT06")) + len(registry.tokens("SLT07")) == before + 10


# Issues one lock token to each of the serials, and prints count and digits of each; with "hold" it stops behind the
# first device that it has moved on, until it is told to go on.
SET_ISSUER = """
import sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from paygo_core import TokenType
from paygo_core.registry import Registry
place, hold, *serials = sys.argv[1:]
moved = []
def stop(_connection, _cursor, statement, *_):
    if statement.startswith("UPDATE devices") and not moved:
        moved.append(1)
        print("holding", flush=True)
        sys.stdin.readline()
with Registry.open(place, create=False) as registry:
    if hold == "hold":
        event.listen(Engine, "after_cursor_execute", stop)
    batch = registry.issue_batch(serials, TokenType.DISABLE_PAYG)
    assert not batch.refused
    for serial, digits in batch:
        print(serial, *digits)
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'sets' AND wait_event_type = 'Lock'"


def test_two_processes_issue_untimed_sets_for_the_same_devices(server):
    """The second one, whose set has them the other way round, waits before its first token; both go through."""
    admin = open_engine(server)[1]
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE sets TEMPLATE template0"))
    place = server.replace("/postgres?", "/sets?")
    serials = SERIALS[6:16]
    with Registry.open(place) as registry:
        registry.import_devices(FLEET)
        before = {serial: registry.device(serial).count for serial in serials}
        command = [sys.executable, "-c", SET_ISSUER, place]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([*command, "hold", *serials], **pipes) as first:
            assert first.stdout.readline() == "holding\n"
            with subprocess.Popen([*command, "go", *reversed(serials)], **pipes) as second:
                with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    while second.poll() is None and not connection.scalar(text(WAITING)):
                        pass
                shown = [first.communicate("go on\n")[0], second.communicate()[0]]
        assert (first.returncode, second.returncode) == (0, 0)
        for serial in serials:
            tokens = [one.token for one in registry.tokens(serial)]
            assert [token.count for token in tokens] == [
                before[serial] + 1 + before[serial] % 2 + 2 * n for n in (0, 1)
            ]
            assert [f"{serial} {token.digits}" in lines for token, lines in zip(tokens, shown, strict=True)] == [
                True
            ] * 2
    admin.dispose()


def test_a_server_that_is_set_to_give_up_rather_than_wait_does_neither(server):
    place = server.replace("/postgres?", "/template1?")
    with Registry.open(place) as registry:
        registry.import_devices(FLEET)
    engine = open_engine(place)[1]
    with engine.begin() as connection:
        connection.execute(text("ALTER DATABASE template1 SET default_transaction_isolation = 'serializable'"))
    engine.dispose()
    with Registry.open(place) as registry:
        before = len(registry.tokens("SLT08"))
        threads = [threading.Thread(target=lambda: registry.issue("SLT08", value=1)) for _ in range(24)]
        sets = [
            threading.Thread(target=registry.issue_batch, args=(SERIALS[::way],), kwargs={"value": 1})
            for way in (1, -1) * 4
        ]
        for thread in threads + sets:
            thread.start()
        for thread in threads + sets:
            thread.join()
        counts = [one.token.count for one in registry.tokens("SLT08")]
        assert len(counts) == len(set(counts)) == before + 24 + 8


def test_a_server_that_drops_its_connections_is_connected_to_again(server):
    place = server.replace("/postgres?", "/template1?")
    others = "pid <> pg_backend_pid() AND datname = 'template1'"
    drop = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    engine = open_engine(place)[1]
    cuts = []

    def cut(*_: object) -> None:
        if not cuts:
            cuts.append(1)
            with engine.begin() as connection:
                connection.execute(drop)

    with Registry.open(place) as registry:
        registry.import_devices(FLEET)
        before = registry.issue("SLT09", value=1).count
        cut()
        assert registry.issue("SLT09", value=1).count == before + 2
        cuts.clear()
        event.listen(Engine, "commit", cut)
        try:
            with pytest.raises(RegistryUnavailableError):
                registry.issue("SLT09", value=1, reference="cut off")
        finally:
            event.remove(Engine, "commit", cut)
        token = registry.issue("SLT09", value=1, reference="cut off")
        assert registry.issue("SLT09", value=1, reference="cut off") == token
        assert [one.reference for one in registry.tokens("SLT09")].count("cut off") == 1
    engine.dispose()
