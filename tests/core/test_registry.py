"""The registry: a count is on the disk before its token is shown, and two processes never issue one count."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from paygo_core import DecoderState, DeviceConfig, PaygoError, TokenType, decode_token, generate_token
from paygo_core.device import Device
from paygo_core.registry import STATES, Registry, RegistryUnavailableError, next_token
from paygo_core.registry.trouble import explained
from paygo_core.tokens import collides

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
CONFIG = DeviceConfig(KEY, 123456789)
DEVICE = Device("SLT1", CONFIG, 1, "Model", "1.0", "")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "paygo.db"


@pytest.fixture
def registry(path):
    with Registry.open(path) as opened:
        opened.add(DEVICE)
        yield opened


def sql(path: Path, statement: str, *values: object) -> list[tuple]:
    """What another program sees or does, straight through SQLite."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


class TestDevices:
    def test_a_device_comes_back_as_it_was(self, registry):
        full = Device("SLT2", DeviceConfig(KEY[::-1], 5, 24, True, 30, 98, 10, 32_600), 77, "Größe", "2", "4711")
        assert registry.add(full)
        assert registry.device("SLT2") == full

    def test_an_identical_device_changes_nothing(self, registry):
        assert registry.add(DEVICE) is False
        assert list(registry.devices()) == [DEVICE]

    def test_a_known_device_whose_count_went_on_since_is_unchanged(self, registry):
        registry.issue("SLT1", days=7)
        assert registry.add(DEVICE) is False
        assert registry.device("SLT1").count == 2

    @pytest.mark.parametrize(
        ("other", "says"),
        [
            (Device("SLT1", DeviceConfig(KEY[::-1], 123456789), 1, "Model", "1.0"), "another secret key"),
            (Device("SLT1", DeviceConfig(KEY, 5, 24), 1, "Model", "1.0"), "another starting code and another time div"),
            (Device("SLT1", CONFIG, 1, "Other", "1.0"), "another hardware model"),
            (Device("SLT1", CONFIG, 5, "Model", "1.0"), "a lower count"),
        ],
    )
    def test_other_data_for_a_serial_is_refused_and_changes_nothing(self, registry, other, says):
        with pytest.raises(PaygoError, match=says):
            registry.add(other)
        assert registry.device("SLT1") == DEVICE

    def test_an_import_adds_what_is_new_and_reports_what_differs(self, registry):
        changed = Device("SLT1", CONFIG, 1, "Other", "1.0")
        many = [Device(f"U{n:04}", DeviceConfig(n.to_bytes(16, "big"))) for n in range(1201)]
        result = registry.import_devices([DEVICE, *many, many[0], changed])
        assert (result.added, result.unchanged) == (1201, 2)
        assert [(c.serial, c.differs) for c in result.conflicts] == [("SLT1", ("another hardware model",))]
        assert list(registry.devices()) == [DEVICE, *many], "all pages, by serial"

    def test_an_import_that_fails_on_the_way_adds_nothing(self, registry):
        def devices():
            yield from (Device(f"U{n}", CONFIG) for n in range(600))
            raise PaygoError("the list broke off")

        with pytest.raises(PaygoError, match="broke off"):
            registry.import_devices(devices())
        assert list(registry.devices()) == [DEVICE]

    def test_text_that_would_play_with_a_terminal_is_refused(self, registry):
        for odd in (Device("SLT2", CONFIG, 1, "\x1b[2J"), Device("SLT2", CONFIG, 1, "", "\udcff")):
            with pytest.raises(PaygoError, match="control characters"):
                registry.add(odd)

    def test_tokens_can_be_issued_while_devices_are_iterated(self, registry):
        registry.import_devices(Device(f"U{n:04}", CONFIG) for n in range(600))
        for device in registry.devices():
            if device.serial.endswith("0"):
                registry.issue(device.serial, days=1)

    @pytest.mark.parametrize(("typed", "meant"), [("SLT2200001", "SLT220001"), ("slt220001", "SLT220001")])
    def test_an_unknown_serial_hints_at_the_nearest(self, registry, typed, meant):
        registry.import_devices(Device(serial, CONFIG) for serial in ("SLT220001", "SLT9", "ABC5"))
        with pytest.raises(PaygoError, match=f"no device '{typed}'") as error:
            registry.device(typed)
        assert error.value.hint == f"did you mean {meant}?"

    def test_the_nearest_serial_is_found_among_many(self, registry):
        registry.import_devices(Device(f"U{n:04}", CONFIG) for n in range(3000))
        for typed, meant in (("u1500", "U1500"), ("U15000", "U1500")):
            with pytest.raises(PaygoError) as error:
                registry.device(typed)
            assert error.value.hint == f"did you mean {meant}?"

    @pytest.mark.parametrize("typed", ["zzzzz", "", "\udcff", "a\0b", "x" * 100_000, "'; DROP TABLE devices; --"])
    def test_a_serial_of_any_kind_is_only_unknown(self, registry, typed):
        with pytest.raises(PaygoError, match="no device"):
            registry.issue(typed, days=1)
        assert list(registry.devices()) == [DEVICE]

    def test_a_state_is_noted_with_an_aware_time(self, registry):
        before = datetime.now(timezone.utc)
        for state in STATES:
            registry.set_state("SLT1", state)
            assert registry.entry("SLT1").state == state
        entry = registry.entry("SLT1")
        assert entry.created_at <= before <= entry.updated_at
        assert entry.updated_at.utcoffset() == timedelta(0)
        with pytest.raises(PaygoError, match="not a state"):
            registry.set_state("SLT1", "stolen")


class TestIssuing:
    def test_tokens_are_the_generators_and_their_counts_follow(self, registry):
        issued = [
            registry.issue("SLT1", value=7),
            registry.issue("SLT1", TokenType.SET_TIME, days=30, reason="bonus", issued_by="amina"),
            registry.issue("SLT1", TokenType.DISABLE_PAYG),
            registry.issue("SLT1", TokenType.COUNTER_SYNC),
            registry.issue("SLT1", value=123_456, extended=True),
        ]
        assert issued[0] == generate_token(CONFIG, 1, 7)
        assert [token.count for token in issued] == [2, 3, 5, 7, 8]
        assert registry.device("SLT1").count == 8
        recorded = registry.tokens("SLT1")
        assert [one.token for one in recorded] == issued
        assert [one.extended for one in recorded] == [False] * 4 + [True]
        assert (recorded[1].reason, recorded[1].issued_by) == ("bonus", "amina")
        assert recorded[1].issued_at.tzinfo is not None

    def test_days_become_units_of_the_device(self, registry):
        """T7."""
        registry.add(Device("SLT24", DeviceConfig(KEY, 5, 24)))
        assert registry.issue("SLT24", days=0.5).value == 12

    def test_a_dry_run_commits_nothing(self, registry, path):
        before = [file.read_bytes() for file in sorted(path.parent.iterdir()) if file.suffix != ".db-shm"]
        token = registry.issue("SLT1", days=7, dry_run=True)
        assert before == [file.read_bytes() for file in sorted(path.parent.iterdir()) if file.suffix != ".db-shm"]
        assert registry.issue("SLT1", days=7) == token

    @pytest.mark.parametrize(
        "wrong",
        [
            {"days": -1}, {"days": 996}, {"value": 998}, {"value": 7, "days": 7}, {}, {"days": 7, "reason": "gift"},
            {"days": 7, "issued_by": "\x1b"}, {"token_type": TokenType.INVALID},
            {"token_type": TokenType.COUNTER_SYNC, "days": 1},
        ],
    )  # fmt: skip
    def test_wrong_arguments_spend_no_count(self, registry, wrong):
        with pytest.raises(PaygoError):
            registry.issue("SLT1", **wrong)
        assert registry.device("SLT1").count == 1
        assert registry.tokens("SLT1") == []

    @pytest.mark.parametrize("last", [65_535, 32_600, 32_601])
    def test_counts_end_with_an_error_and_never_wrap(self, registry, last):
        """T10."""
        registry.add(Device("OLD", DeviceConfig(KEY, 5, max_count=last), last - 3))
        for even in (n for n in range(last - 2, last + 1) if n % 2 == 0):
            assert registry.issue("OLD", days=1).count == even
        with pytest.raises(PaygoError, match=r"no ADD_TIME count is left"):
            registry.issue("OLD", days=1)
        assert registry.device("OLD").count == even

    def test_a_count_whose_digits_another_count_gives_too_is_skipped(self, registry):
        """T18."""
        keys = (DeviceConfig(bytes([n]) * 16, 123456789) for n in range(1, 255))
        config, count, value = next(found for found in product(keys, range(82, 140, 2), range(20)) if collides(*found))
        registry.add(Device("TWIN", config, count - 1))
        token = registry.issue("TWIN", value=value)
        assert token.count == count + 2
        assert not collides(config, token.count, value)
        assert registry.device("TWIN").count == count + 2

    def test_a_token_that_equals_the_test_code_is_skipped(self, registry):
        test_code = generate_token(CONFIG, 1, 7).digits
        registry.add(Device("TESTED", CONFIG, 1, test_code=test_code))
        assert registry.issue("TESTED", value=7) == generate_token(CONFIG, 2, 7)

    def test_the_next_token_leaves_the_device_alone(self):
        assert next_token(DEVICE, value=7) == generate_token(CONFIG, 1, 7)
        assert DEVICE.count == 1


ISSUER = """
import json, sys
from paygo_core import TokenType
from paygo_core.registry import Registry
registry = Registry.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
kinds = [TokenType.ADD_TIME, TokenType.ADD_TIME, TokenType.SET_TIME]
for n in range(int(sys.argv[2])):
    token = registry.issue("SLT1", kinds[n % 3], days=n)
    print(json.dumps([token.count, token.digits]), flush=True)
"""


def test_four_processes_never_issue_one_count_twice(registry, path):
    command = [sys.executable, "-c", ISSUER, str(path), "25"]
    issuers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for issuer in issuers:
        assert issuer.stdout.readline() == "ready\n"
    for issuer in issuers:
        issuer.stdin.write("go\n")
        issuer.stdin.flush()
    shown = [json.loads(line) for issuer in issuers for line in issuer.communicate()[0].splitlines()]
    assert [issuer.returncode for issuer in issuers] == [0] * 4
    assert len(shown) == 100
    assert len({count for count, _ in shown}) == 100
    state = DecoderState(count=1)
    for count, digits in sorted(shown):
        decoded = decode_token(CONFIG, digits, state)
        assert decoded.accepted
        assert decoded.count == count
        state = decoded.state
    assert registry.device("SLT1").count == max(shown)[0]
    assert sorted(shown) == [[one.token.count, one.token.digits] for one in registry.tokens("SLT1")]


def test_threads_share_a_registry(registry):
    threads = [threading.Thread(target=lambda: [registry.issue("SLT1", days=1) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.token.count for one in registry.tokens("SLT1")] == list(range(2, 42, 2))


# Forks a child for every point of the first tokens' way to the disk; the child kills itself there. Prints for each
# point what its child showed and whether it was killed, until a child lives.
CRASHER = """
import itertools, json, os, shutil, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool
from paygo_core.registry import Registry

base = sys.argv[1]
for point in itertools.count(1):
    path = f"{base}-{point}"
    shutil.copyfile(base, path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        left = point
        def count_down(*_):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        registry = Registry.open(path)
        for owner, name in [(Engine, "begin"), (Engine, "before_cursor_execute"), (Engine, "after_cursor_execute"),
                            (Engine, "commit"), (Pool, "checkin")]:
            event.listen(owner, name, count_down)
        for n in range(2):
            os.write(write, b"%d " % registry.issue("SLT1", days=n).count)
        os._exit(0)
    os.close(write)
    with open(read) as shown:
        counts = [int(count) for count in shown.read().split()]
    status = os.waitpid(child, 0)[1]
    print(json.dumps([path, counts, status]), flush=True)
    if status == 0:
        break
"""


def test_a_count_that_was_shown_is_never_issued_again_wherever_the_process_dies(registry, path):
    registry.close()  # what its log holds is in the file then
    result = subprocess.run([sys.executable, "-c", CRASHER, str(path)], capture_output=True, text=True, check=True)
    runs = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(runs) > 15
    assert {status for *_, status in runs[:-1]} == {signal.SIGKILL}
    assert runs[-1][1:] == [[2, 4], 0]
    spent_unseen = 0
    for copy, shown, _ in runs:
        with Registry.open(copy) as after:
            spent = [one.token.count for one in after.tokens("SLT1")]
            assert spent[: len(shown)] == shown
            assert after.device("SLT1").count == max(spent, default=1), "count and token are recorded together"
            assert after.issue("SLT1", days=7).count == max([1, *spent]) // 2 * 2 + 2
            spent_unseen += len(spent) - len(shown)
    assert spent_unseen, "a process also died between the commit and showing the token"


class TestTheFile:
    def test_a_new_registry_and_its_journal_are_private_from_the_first_instant(self, path):
        modes = set()

        def look(*_):
            modes.update(stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir())

        before = os.umask(0)
        event.listen(Engine, "before_cursor_execute", look)
        event.listen(Engine, "commit", look)
        try:
            with Registry.open(path) as registry:
                registry.add(DEVICE)
        finally:
            os.umask(before)
            event.remove(Engine, "before_cursor_execute", look)
            event.remove(Engine, "commit", look)
        assert modes == {0o600}

    def test_a_copy_by_sqlite_has_all_and_one_of_the_first_file_alone_lacks_the_newest(self, registry, path, tmp_path):
        """docs/registry.md, Copies."""
        registry.add(DEVICE)
        shown = [registry.issue("SLT1", value=7).digits for _ in range(3)]
        shutil.copy(path, tmp_path / "first-file.db")
        source, copy = sqlite3.connect(path), sqlite3.connect(tmp_path / "copy.db")
        source.backup(copy)
        source.close()
        copy.close()
        with Registry.open(tmp_path / "copy.db", create=False) as whole:
            assert [one.token.digits for one in whole.tokens("SLT1")] == shown
        with Registry.open(tmp_path / "first-file.db", create=False) as part:
            assert "SLT1" not in [entry.serial for entry in part.entries()]

    def test_a_commit_is_synced_and_foreign_keys_are_checked(self, registry):
        pragmas = ("synchronous", "journal_mode", "foreign_keys")
        with registry._engine.connect() as connection:
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
        assert found == [3, "wal", 1]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE devices SET count = -1", "UPDATE devices SET count = 65536", "UPDATE devices SET max_count = 65536",
            "UPDATE devices SET state = 'lost'", "UPDATE devices SET starting_code = 0",
            "UPDATE devices SET time_divider = 256", "UPDATE devices SET key_blob = x'00'",
            "UPDATE devices SET key_blob = NULL", "UPDATE issues SET reason = 'gift'", "UPDATE tokens SET count = 0",
            "UPDATE tokens SET count = 2", "UPDATE tokens SET token_type = 10",
        ],
    )  # fmt: skip
    def test_the_database_itself_refuses_what_must_not_be(self, registry, path, statement):
        registry.issue("SLT1", days=1)
        registry.issue("SLT1", days=1)
        with pytest.raises(sqlite3.IntegrityError):
            sql(path, statement)

    @pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "sqlite+pysqlite:///{}"])
    def test_a_path_and_a_url_name_the_same_file(self, registry, path, form):
        with Registry.open(form.format(path), create=False) as again:
            assert again.device("SLT1") == DEVICE

    @pytest.mark.parametrize(
        "place",
        [
            "", ":memory:", "sqlite://", "sqlite:///", "mysql://u:hunter2@h/d", "://", "a\0b", "sqlite:///x.db?mode=ro",
            "sqlite://host/x.db",
        ],
    )  # fmt: skip
    def test_what_is_no_file_is_refused_without_showing_a_password(self, place):
        with pytest.raises(PaygoError) as error:
            Registry.open(place)
        assert "hunter2" not in error.value.cause + error.value.hint

    def test_a_missing_registry_is_made_only_when_asked(self, path):
        with pytest.raises(PaygoError, match="there is no registry"):
            Registry.open(path, create=False)
        assert not path.exists()
        path.touch()
        with pytest.raises(PaygoError, match="holds no registry"):
            Registry.open(path, create=False)
        Registry.open(path).close()
        Registry.open(path, create=False).close()

    def test_a_missing_directory_is_one_sentence(self, tmp_path):
        with pytest.raises(PaygoError, match="directory does not exist"):
            Registry.open(tmp_path / "missing" / "paygo.db")
        with pytest.raises(PaygoError, match="not a regular file"):
            Registry.open(tmp_path)

    def test_another_file_is_not_touched(self, path):
        path.write_text("a letter to a friend, long enough for a page of a database" * 99)
        before = path.read_bytes()
        with pytest.raises(PaygoError, match="not a registry"):
            Registry.open(path)
        assert path.read_bytes() == before

    def test_another_database_is_not_touched(self, path):
        sql(path, "CREATE TABLE songs (name)")
        with pytest.raises(PaygoError, match="not a registry"):
            Registry.open(path)
        assert sql(path, "SELECT name FROM sqlite_master") == [("songs",)]

    def test_a_newer_registry_is_left_to_newer_programs(self, registry, path):
        sql(path, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(PaygoError, match="schema version 9999, this program knows 0004"):
            Registry.open(path)

    def test_a_key_in_another_format_is_left_to_newer_programs(self, registry, path):
        sql(path, "UPDATE devices SET key_format = 'sealed', key_blob = NULL")
        with pytest.raises(PaygoError, match="stored as 'sealed'"):
            registry.issue("SLT1", days=1)

    def test_a_registry_that_stays_locked_is_one_sentence(self, registry, path):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with Registry.open(path, busy_seconds=0) as waiting:
                assert waiting.device("SLT1") == DEVICE, "readers go on"
                assert waiting.issue("SLT1", days=1, dry_run=True).count == 2
                with pytest.raises(RegistryUnavailableError, match="another program"):
                    waiting.issue("SLT1", days=1)
        finally:
            other.close()

    def test_a_full_disk_is_one_sentence_and_loses_nothing(self, registry, path):
        def fill(connection, _record):
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

        registry.close()
        event.listen(registry._engine, "connect", fill)
        with pytest.raises(RegistryUnavailableError, match="the disk is full"):
            registry.import_devices(Device(f"U{n}", CONFIG, 1, "M" * 200) for n in range(500))
        assert list(registry.devices()) == [DEVICE]

    def test_a_damaged_registry_is_one_sentence(self, registry, path):
        registry.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        with pytest.raises(RegistryUnavailableError, match="damaged"):
            registry.issue("SLT1", days=1)

    @pytest.mark.parametrize("create", [True, False])
    def test_a_denied_registry_is_one_sentence(self, registry, path, create):
        script = (
            "import os, sys\n"
            "from paygo_core.registry import Registry\n"
            "os.geteuid() or os.setuid(65534)\n"  # root is denied nothing
            f"registry = Registry.open(sys.argv[1], {create})\n"
            "registry.issue('SLT1', days=1)\n"
        )
        path.chmod(0)
        path.parent.chmod(0o500)
        try:
            done = subprocess.run(
                [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
            )
        finally:
            path.parent.chmod(0o700)
            path.chmod(0o600)
        assert done.stderr.splitlines()[-1].startswith("paygo_core.registry.trouble.RegistryUnavailableError: ")

    def test_a_registry_that_may_only_be_read_is_read(self, registry, path):
        def only_read(connection, _record):
            connection.execute("PRAGMA query_only=ON")

        registry.close()
        event.listen(registry._engine, "connect", only_read)
        assert registry.device("SLT1") == DEVICE
        with pytest.raises(RegistryUnavailableError, match="may not be written"):
            registry.set_state("SLT1", "active")


def test_no_error_and_no_repr_shows_a_key(registry, path):
    sql(path, "CREATE TRIGGER no BEFORE INSERT ON devices BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(DBAPIError) as error:
        registry.add(Device("SLT2", CONFIG))
    assert "parameters hidden" in str(error.value)
    shown = f"{error.value} {error.value!r} {registry!r} {registry.entry('SLT1')!r} {registry.device('SLT1')!r}"
    for form in (KEY.hex(), KEY.hex().upper(), KEY.hex(" "), base64.b64encode(KEY).decode(), repr(KEY)[2:-1]):
        assert form not in shown


def test_importing_the_package_does_not_load_the_database_library():
    script = "import sys, paygo_core, paygo_core.device_list, paygo_core.cli_device; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(("free", "says"), [(3, "the disk is full"), (10**6, "the disk failed")])
def test_sqlite_s_failed_disk_that_has_no_room_is_a_full_one(monkeypatch, tmp_path, free, says):
    """It opens a file beside the registry first, and says the same of both."""
    monkeypatch.setattr(os, "statvfs", lambda _directory: SimpleNamespace(f_bavail=free, f_frsize=4096))
    with pytest.raises(RegistryUnavailableError, match=says), explained(str(tmp_path / "r.db")):
        raise sqlite3.OperationalError("disk I/O error")
