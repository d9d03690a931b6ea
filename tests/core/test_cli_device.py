"""`paygo device`: devices go in, tokens come out, keys never do."""

from __future__ import annotations

import base64
import json
import sqlite3
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from paygo_core import DecoderState, DeviceConfig, PaygUnit, TokenType, decode_token, generate_token
from paygo_core.cli import root
from paygo_core.cli_device import device as group
from paygo_core.registry import ISSUE_REASONS, STATES, Registry
from paygo_core.shell import Status, run

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
HEADER = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code"
CONFIG = DeviceConfig(KEY, 123456789)
GOOD = f"SLT1,123456789,{KEY.hex()},1,1,0,Model,1.0,"
HOURLY = f"SLT24,123456789,{KEY.hex().upper()},1,24,1,Model,1.0,"
PAYGO = str(Path(sys.executable).parent / "paygo")


@pytest.fixture(autouse=True)
def station(tmp_path, monkeypatch):
    """A directory of its own to work in, with a device list and no configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PAYGO_REGISTRY", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    write_list(GOOD, HOURLY)


def write_list(*rows: str) -> None:
    Path("list.csv").write_text("\n".join((HEADER, *rows)) + "\n")


@pytest.fixture
def paygo(capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(root, ["device", *arguments])
        out, err = capsys.readouterr()
        return int(status), out, err

    return call


@pytest.fixture
def stocked(paygo):
    assert paygo("import", "list.csv")[0] == 0
    return paygo


def test_an_imported_list_is_listed(paygo):
    shared = "The same key: SLT1, SLT24; a token of one works on the others\n"
    assert paygo("import", "list.csv") == (0, "2 added, 0 already there, 0 refused\n", shared)
    status, out, _ = paygo("list")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["serial", "state", "count", "model"],
        ["SLT1", "new", "1", "Model", "1.0"],
        ["SLT24", "new", "1", "Model", "1.0"],
    ]


def test_a_list_can_be_imported_again(stocked):
    stocked("token", "SLT1", "--add", "7")
    assert stocked("import", "list.csv")[:2] == (0, "0 added, 2 already there, 0 refused\n")


def test_broken_and_conflicting_rows_are_said_and_kept_and_the_good_ones_go_in(stocked):
    write_list(GOOD.replace("Model", "Other"), f"SLT2,5.17E+08,{KEY.hex()},1,1,0,,,", GOOD.replace("SLT1", "SLT3"))
    status, out, err = stocked("import", "list.csv")
    assert (status, out) == (1, "1 added, 0 already there, 2 refused\n")
    assert [line.split(": ")[1] for line in err.splitlines()[:2]] == ["list.csv, line 2", "list.csv, line 3"]
    assert "the registry holds SLT1 with another hardware model" in err
    assert "SLT2, Starting Code: '5.17E+08' has lost digits" in err
    quarantine = Path("list.csv.quarantine.csv")
    assert str(quarantine) in err
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o600
    kept = quarantine.read_text().splitlines()
    assert kept[0] == f"Line,Reason,{HEADER}"
    assert kept[1].startswith("2,")
    assert kept[1].endswith("," + GOOD.replace("Model", "Other"))
    assert kept[2].startswith("3,")
    assert len(kept) == 3
    assert "SLT3" in stocked("list")[1]
    assert json.loads(stocked("show", "SLT1", "--json")[1])["hardware_model"] == "Model"


def test_an_import_in_json_tells_every_refused_row(paygo):
    write_list(GOOD, f"SLT2,1,{KEY.hex()[1:]},1,1,0,,,")
    status, out, _ = paygo("import", "list.csv", "--json")
    assert status == 1
    answer = json.loads(out)
    assert (answer["added"], answer["unchanged"], answer["quarantine"]) == (1, 0, "list.csv.quarantine.csv")
    assert [(row["line"], row["serial"], row["column"]) for row in answer["refused"]] == [(3, "SLT2", "Key")]


def test_a_list_that_cannot_be_read_makes_no_registry(paygo):
    Path("list.csv").write_text("nothing\n")
    status, out, err = paygo("import", "list.csv")
    assert (status, out) == (2, "")
    assert "line 1" in err
    assert not Path("paygo.db").exists()


@pytest.mark.parametrize(
    ("options", "token_type", "value", "effect"),
    [
        (["--add", "7"], TokenType.ADD_TIME, 7, "adds 7 days"),
        (["--add", "1"], TokenType.ADD_TIME, 1, "adds 1 day"),
        (["--set", "30"], TokenType.SET_TIME, 30, "sets the time left to 30 days; older tokens stop working"),
        (["--lock"], TokenType.SET_TIME, 0, "locks the unit"),
        (["--set", "0"], TokenType.SET_TIME, 0, "locks the unit"),
        (["--unlock"], TokenType.DISABLE_PAYG, 998, "unlocks the unit for good"),
        (["--sync"], TokenType.COUNTER_SYNC, 999, "moves the unit's count to 3; older tokens stop working"),
    ],
)
def test_a_token_does_what_was_said_before_it(stocked, options, token_type, value, effect):
    status, out, err = stocked("token", "SLT1", *options)
    assert status == 0
    assert err == f"SLT1: {effect}\n"
    decoded = decode_token(CONFIG, out.strip(), DecoderState(count=1))
    assert (decoded.token_type, decoded.value, decoded.accepted) == (token_type, value, True)


@pytest.mark.parametrize(
    ("options", "value", "effect"),
    [
        (["--add", "0.5"], 12, "0.5 days"),
        (["--add", "12", "--units"], 12, "0.5 days"),
        (["--add", "0.03"], 1, "0.0416667 days"),
    ],
)
def test_days_and_units_follow_the_time_divider_and_the_effect_says_what_is_left_of_them(
    stocked, options, value, effect
):
    """T7."""
    status, out, err = stocked("token", "SLT24", *options)
    assert (status, err) == (0, f"SLT24: adds {effect}\n")
    assert set(out) <= set("1234 \n"), "a keypad with four keys"
    config = DeviceConfig(KEY, 123456789, 24, True)
    assert decode_token(config, out.strip(), DecoderState(count=1)).value == value


@pytest.mark.parametrize(
    ("options", "types", "values", "units"),
    [
        (["--add", "2000"], [TokenType.ADD_TIME] * 3, [995, 995, 10], 2000),
        (["--set", "996"], [TokenType.SET_TIME, TokenType.ADD_TIME], [995, 1], 996),
        (["--add", "995"], [TokenType.ADD_TIME], [995], 995),
    ],
)
def test_more_than_a_token_holds_comes_as_several_in_their_order(stocked, options, types, values, units):
    """T7, T10."""
    unit = PaygUnit(CONFIG)
    status, out, err = stocked("token", "SLT1", *options)
    assert status == 0
    assert err.count("\n") == len(types)
    answers = [unit.enter(line.replace(" ", ""), 0) for line in out.splitlines()]
    assert [(answer.token_type, answer.value) for answer in answers] == list(zip(types, values, strict=True))
    assert unit.seconds_left == units * 86_400


def test_until_a_day_is_the_end_of_that_day(stocked):
    day = datetime.now(timezone.utc) + timedelta(days=30)
    _, out, _ = stocked("token", "SLT24", "--until", f"{day:%Y-%m-%d}", "--json")
    answer = json.loads(out)
    assert answer["type"] == "SET_TIME"
    assert 30 * 24 <= answer["value"] <= 31 * 24


def test_a_sync_of_a_registry_that_is_behind_goes_98_counts_ahead(stocked):
    """T19."""
    _, out, _ = stocked("token", "SLT1", "--sync", "--behind", "--json")
    answer = json.loads(out)
    assert (answer["type"], answer["count"]) == ("COUNTER_SYNC", 99)
    assert decode_token(CONFIG, answer["token"], DecoderState(count=1)).accepted
    assert json.loads(stocked("token", "SLT1", "--add", "7", "--json")[1])["count"] == 100


def test_a_lost_count_is_found_from_tokens_that_the_unit_accepted(stocked):
    """T12."""
    accepted = [generate_token(CONFIG, count, 7) for count in (40, 20, 60)]
    status, out, err = stocked("reconcile", "SLT1", *(token.grouped() for token in accepted), "--by", "amina")
    assert (status, out) == (0, "SLT1: the unit's count is 62 or more; the registry had 1, and has 62 now\n")
    assert "paygo device token SLT1 --sync --behind" in err
    assert json.loads(stocked("token", "SLT1", "--add", "7", "--json")[1])["count"] == 64
    status, out, _ = stocked("reconcile", "SLT1", accepted[0].digits)
    assert (status, out) == (0, "SLT1: the tokens lead to count 42; the registry is not behind, at 64\n")
    for wrong, says in (("123456789", "no matching count"), ("12", "wrong length"), ("01660979x", "wrong")):
        status, out, err = stocked("reconcile", "SLT1", wrong)
        assert (status, out) == (Status.WRONG_USE, "")
        assert f"is no token of SLT1: {says}" in err


def test_a_token_in_json(stocked):
    status, out, _ = stocked("token", "SLT1", "--add", "7", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer == {
        "serial": "SLT1", "token": "016609796", "grouped": "016 609 796", "count": 2, "type": "ADD_TIME", "value": 7,
        "effect": "adds 7 days", "dry_run": False,
    }  # fmt: skip


def test_a_dry_run_shows_the_next_token_and_records_nothing(stocked):
    _, planned, err = stocked("token", "SLT1", "--add", "7", "--dry-run")
    assert "not recorded" in err
    assert json.loads(stocked("show", "SLT1", "--json")[1])["tokens"] == []
    assert stocked("token", "SLT1", "--add", "7")[1] == planned


def test_a_device_is_shown_with_its_tokens(stocked):
    stocked("token", "SLT1", "--add", "7", "--reason", "bonus", "--by", "amina")
    status, out, _ = stocked("show", "SLT1")
    assert status == 0
    assert "016 609 796  adds 7 days (bonus by amina)" in out
    for _ in range(21):
        stocked("token", "SLT1", "--add", "1")
    assert "22, the last 20" in stocked("show", "SLT1")[1]
    answer = json.loads(stocked("show", "SLT1", "--json")[1])
    assert (answer["count"], len(answer["tokens"])) == (44, 22)
    assert answer["tokens"][0]["issued_by"] == "amina"


def test_devices_in_json_are_one_object_a_line(stocked):
    rows = [json.loads(line) for line in stocked("list", "--json")[1].splitlines()]
    assert [(row["serial"], row["time_divider"], row["state"]) for row in rows] == [
        ("SLT1", 1, "new"),
        ("SLT24", 24, "new"),
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give one of --add, --set, --until, --unlock, --lock and --sync"),
        (["--add", "7", "--unlock"], "not --add and --unlock"),
        (["--set", "0", "--lock"], "not --set and --lock"),
        (["--add", "-7"], "a number of days is 0 or more"),
        (["--add", "1e9999999"], "a number of days is 0 or more"),
        (["--add", "nan"], "a number of days is 0 or more"),
        (["--add", "7", "--behind"], "--behind goes with --sync"),
        (["--until", "2026-13-01"], "does not match the format"),
        (["--until", "2020-01-01"], "2020-01-01 is over"),
        (["--add", "19901"], "19901 units would take 21 tokens"),
        (["--unlock", "--units"], "--units goes with --add or --set"),
        (["--add", "0.5", "--units"], "a whole number"),
        (["--add", "7", "--reason", "gift"], "gift"),
        (["--add", "7", "--by", "\x1b[2J"], "control characters"),
    ],
)
def test_wrong_use_is_one_sentence_and_spends_no_count(stocked, options, says):
    status, out, err = stocked("token", "SLT1", *options)
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert json.loads(stocked("show", "SLT1", "--json")[1])["count"] == 1


def test_the_reasons_and_states_offered_are_those_of_the_registry():
    [option] = [found for found in group.commands["token"].params if found.name == "reason"]
    assert tuple(option.type.choices) == ISSUE_REASONS
    for command in ("list", "state"):
        [option] = [found for found in group.commands[command].params if found.name == "state"]
        assert tuple(option.type.choices) == STATES


def test_the_registry_is_found_by_option_before_environment_before_configuration(stocked, monkeypatch):
    for name in ("configured", "environment", "option"):
        write_list(GOOD.replace("SLT1", name))
        assert stocked("import", "list.csv", "--registry", f"{name}.db")[0] == 0
    Path("paygo.toml").write_text('[device.list]\nregistry_path = "configured.db"\n')
    assert "configured" in stocked("list")[1]
    monkeypatch.setenv("PAYGO_REGISTRY", "environment.db")
    assert "environment" in stocked("list")[1]
    assert "option" in stocked("list", "--registry", "option.db")[1]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["show", "SLT1"], 0),
        (["import", "broken.csv"], 1),
        (["show", "SLT9"], 2),
        (["list", "--registry", "missing.db"], 2),
    ],
)
def test_exit_statuses(stocked, arguments, status):
    Path("broken.csv").write_text(f"{HEADER}\nSLT9\n")
    done = subprocess.run([PAYGO, "device", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_a_locked_registry_is_blocked(stocked, monkeypatch):
    opened = Registry.open
    monkeypatch.setattr(
        Registry, "open", lambda path, create, **options: opened(path, create, busy_seconds=0, **options)
    )
    other = sqlite3.connect("paygo.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        status, out, err = stocked("token", "SLT1", "--add", "7")
    finally:
        other.close()
    assert (status, out) == (Status.BLOCKED, "")
    assert "another program is writing" in err


@pytest.mark.parametrize("command", ["import", "list", "show", "token"])
def test_every_command_teaches_with_an_example(paygo, command):
    status, out, _ = paygo(command, "--help")
    assert status == 0
    assert f"\n    paygo device {command} " in out or f"\n    paygo device {command}\n" in out
    assert {"--json", "--debug", "--registry"} <= set(out.split())


FORMS = [
    KEY.hex(), KEY.hex().upper(), KEY.hex(" "), KEY.hex(" ").upper(), KEY.hex(":"), KEY.hex()[1:], KEY.hex()[:-1],
    base64.b64encode(KEY).decode(), KEY.decode("latin-1"), repr(KEY)[2:-1],
]  # fmt: skip


@pytest.mark.parametrize("extra", [[], ["--json"], ["--debug"], ["--json", "--debug"]])
def test_no_command_ever_shows_a_key(stocked, extra):
    def break_writing(_connection, _cursor, statement, *_):
        if statement.startswith(("INSERT", "UPDATE")):
            raise RuntimeError("forced")

    shown = ""

    def call(*arguments: str) -> int:
        nonlocal shown
        status, out, err = stocked(*arguments, *extra)
        shown += out + err
        return status

    for arguments in (["list"], ["show", "SLT1"], ["token", "SLT1", "--add", "7"], ["token", "SLT24", "--unlock"]):
        assert call(*arguments) == 0
    assert call("show", KEY.hex()) == 2, "a key where a serial belongs"
    assert call("token", "SLT1", "--add", KEY.hex()) == 2
    write_list(
        GOOD.replace("123456789", "5"),
        f"{KEY.hex()},5,,1,1,0,,,",
        f"SLT5,{KEY.hex()},5,1,1,0,,,",
        f"SLT6,5,{KEY.hex(' ')},1,1,0,,,",
        f"SLT7,5,{KEY.hex()[1:]},1,1,0,,,",
        f"SLT8,5,{KEY.hex()},1,1,{KEY.hex()},,,",
        f"SLT9,5,{KEY.hex()}",
        KEY.hex(),
    )
    assert call("import", "list.csv") == 1
    Path("headless.csv").write_text(",".join(reversed(GOOD.split(","))) + "\n")
    assert call("import", "headless.csv") == 2

    write_list(GOOD.replace("SLT1", "SLT10"))
    event.listen(Engine, "before_cursor_execute", break_writing)
    try:
        assert call("import", "list.csv") == Status.DEFECT
        assert call("token", "SLT1", "--add", "7") == Status.DEFECT
    finally:
        event.remove(Engine, "before_cursor_execute", break_writing)
    with sqlite3.connect("paygo.db") as other:
        other.execute("CREATE TRIGGER no BEFORE INSERT ON devices BEGIN SELECT RAISE(ABORT, 'no'); END")
    other.close()
    assert call("import", "list.csv") == Status.DEFECT
    with Path("paygo.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100_000)
    assert call("import", "list.csv") == Status.BLOCKED
    assert call("token", "SLT1", "--add", "7") == Status.BLOCKED

    assert ("Traceback" in shown) == ("--debug" in extra)
    assert [form for form in FORMS if form in shown] == []


def test_an_order_with_a_reference_gets_its_token_again(stocked):
    first = stocked("token", "SLT1", "--add", "7", "--reference", "QK7", "--by", "amina")[1]
    assert stocked("token", "SLT1", "--add", "7", "--reference", "QK7")[:2] == (0, first)
    status, _, err = stocked("token", "SLT1", "--add", "8", "--reference", "QK7")
    assert status == 2
    assert "got another order" in err
    assert stocked("token", "SLT1", "--add", "7")[1] != first
    assert "(payment QK7 by amina)" in stocked("show", "SLT1")[1]
    assert [one["reference"] for one in json.loads(stocked("show", "SLT1", "--json")[1])["tokens"]] == ["QK7", ""]


def test_who_adds_time_to_an_unlocked_unit_is_told_that_it_stays_unlocked(stocked):
    """T28, T29."""
    with Registry.open("paygo.db") as registry:
        registry.set_state("SLT1", "unlocked")
    assert "SLT1 is unlocked and stays so" in stocked("token", "SLT1", "--add", "7")[2]
    assert "stays so" not in stocked("token", "SLT1", "--set", "7")[2]
    assert "stays so" not in stocked("token", "SLT1", "--add", "7")[2], "the set took it back under PAYG"
