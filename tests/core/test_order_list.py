"""`paygo device issue`: a list of orders is carried out once, whatever interrupts it, and broken rows are kept."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from paygo_core import DeviceConfig, PaygoError, generate_token
from paygo_core.cli_device import device as group
from paygo_core.device import Device
from paygo_core.order_list import Given, carry_out_list
from paygo_core.registry import ISSUE_REASONS, Registry

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
FLEET = [Device(f"SLT{n}", DeviceConfig(KEY, 100 + n, 1 + 23 * (n == 2)), n) for n in range(1, 9)]


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Registry.open("paygo.db") as opened:
        opened.import_devices(FLEET)
        yield opened


def write(*rows: str) -> None:
    Path("orders.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def rows(path: str = "tokens.csv") -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def carry_out(registry, **facts):
    options = {name: facts.pop(name) for name in ("dry_run", "issued_by") if name in facts}
    problems: list[str] = []
    tell = lambda problem: problems.append(str(problem))  # noqa: E731
    return carry_out_list(registry, "orders.csv", "tokens.csv", Given(**facts), on_problem=tell, **options), problems


def test_every_kind_of_order_is_carried_out_in_the_order_of_the_list(registry):
    write(
        "\ufeffreference,Serial Number,Amount paid,Type,Days,Value,Reason",
        "p-1,SLT1,12.50,,7,,",
        "p-2,SLT2,1,SET,0.5,,bonus",
        "",
        'p-3," SLT3 ",1,set_time,,0,manual',
        "p-4,SLT4,900,UNLOCK,,,",
        "p-5,SLT5,1,sync,,,",
        "p-6,SLT6,1,ADD_TIME,,2000,",
        "p-7,SLT1,1,,7,,",
    )
    done, problems = carry_out(registry, issued_by="amina")
    assert (done.orders, done.tokens, done.repeated, done.refused, problems) == (7, 9, 0, 0, [])
    assert done.unused == ("'Amount paid'",)
    out = rows()
    assert [(row["Line"], row["Serial Number"], row["Type"], row["Value"], row["Reference"]) for row in out] == [
        ("2", "SLT1", "ADD_TIME", "7", "p-1"),
        ("3", "SLT2", "SET_TIME", "12", "p-2"),
        ("5", "SLT3", "SET_TIME", "0", "p-3"),
        ("6", "SLT4", "DISABLE_PAYG", "998", "p-4"),
        ("7", "SLT5", "COUNTER_SYNC", "999", "p-5"),
        ("8", "SLT6", "ADD_TIME", "995", "p-6"),
        ("8", "SLT6", "ADD_TIME", "995", "p-6"),
        ("8", "SLT6", "ADD_TIME", "10", "p-6"),
        ("9", "SLT1", "ADD_TIME", "7", "p-7"),
    ]
    assert out[0]["Token"] == generate_token(FLEET[0].config, 1, 7).digits == out[0]["Grouped"].replace(" ", "")
    assert [one.reason for one in registry.tokens("SLT2")] == ["bonus"]
    assert {one.issued_by for one in registry.tokens("SLT6")} == {"amina"}
    assert stat.S_IMODE(os.stat("tokens.csv").st_mode) == 0o600


def test_a_list_that_is_given_again_comes_out_the_same_and_only_what_is_new_is_issued(registry):
    write("Serial Number", "SLT1", "SLT2", "SLT1")
    assert carry_out(registry, days=7, batch="december")[0].repeated == 0
    first = rows()
    assert [row["Reference"] for row in first] == ["december/SLT1", "december/SLT2", "december/SLT1/2"]
    write("Serial Number", "SLT3", "SLT2", "SLT1", "SLT1")
    done, _ = carry_out(registry, days=7, batch="december")
    assert (done.orders, done.repeated) == (4, 3)
    tokens = {row["Reference"]: row["Token"] for row in rows()}
    assert {row["Reference"]: row["Token"] for row in first}.items() <= tokens.items()
    assert len(registry.tokens("SLT1")) == 2
    assert carry_out(registry, days=7, batch="january")[0].repeated == 0
    assert len(registry.tokens("SLT1")) == 4
    done, problems = carry_out(registry, days=8, batch="january")
    assert (done.orders, done.refused) == (0, 4)
    assert "got another order, ADD_TIME 7" in problems[0]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (",ADD,7,,,r", "the serial is missing"),
        ("GONE,ADD,7,,,r", "no device 'GONE'"),
        ("SLT1,GIVE,7,,,r", "'GIVE' is no type"),
        ("SLT1,ADD,seven,,,r", "'seven' is not a number of days"),
        ("SLT1,ADD,-7,,,r", "'-7' is not a number of days"),
        ("SLT1,ADD,1e3,,,r", "'1e3' is not a number of days"),
        ("SLT1,ADD,,19901,,r", "'19901' is not a whole number"),
        ("SLT1,ADD,19901,,,r", "would take 21 tokens"),
        ("SLT1,ADD,0.0001,,,r", "0.0001 days"),
        ("SLT1,ADD,7,7,,r", "both are filled in"),
        ("SLT1,ADD,,,,r", "needs an amount"),
        ("SLT1,UNLOCK,7,,,r", "has no amount"),
        ("SLT1,ADD,7,,gift,r", "'gift' is no reason"),
        ("SLT1,ADD,7,,,", "the reference is missing"),
        (f"SLT1,ADD,7,,,{'r' * 201}", "the reference cannot be used"),
        ("SLT1,ADD,7,,", "the row has 5 columns"),
        ('SLT1,"ADD,7,,,r', "not CSV"),
        ("SLT7,ADD,7,,,r", "SLT7 is retired"),
        (f"{KEY.hex()},ADD,7,,,r", "looks like a secret key"),
    ],
)
def test_a_broken_row_is_told_and_kept_and_the_rest_goes_on(registry, row, says):
    registry.set_state("SLT7", "retired")
    write("Serial Number,Type,Days,Value,Reason,Reference", row, "SLT2,ADD,7,,,good")
    done, problems = carry_out(registry)
    assert (done.orders, done.refused) == (1, 1)
    assert "line 2" in problems[0]
    assert says in problems[0]
    assert KEY.hex() not in problems[0]
    kept = Path("orders.csv.quarantine.csv")
    assert done.quarantine == kept
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert row in kept.read_text("utf-8").replace('""', '"')
    assert [r["Reference"] for r in rows()] == ["good"]
    assert registry.tokens("SLT1") == []


@pytest.mark.parametrize(
    ("header", "facts", "says"),
    [
        ("Serial,Days,Reference", {}, "no column Serial Number"),
        ("Serial Number,Reference", {}, "neither the list nor an option"),
        ("Serial Number,Days,Reference", {"days": 7}, "options say what to issue"),
        ("Serial Number,Days", {}, "carried out twice"),
        ("Serial Number,Days,Days,Reference", {}, "Days is repeated"),
        ('Serial Number,"Days', {}, "not CSV"),
        ("", {}, "no column Serial Number"),
    ],
)
def test_a_header_that_cannot_be_used_issues_nothing(registry, header, facts, says):
    write(header, "SLT1,7,r")
    with pytest.raises(PaygoError, match=says):
        carry_out(registry, **facts)
    assert not Path("tokens.csv").exists()
    assert registry.tokens("SLT1") == []


def test_a_dry_run_records_nothing_and_tells_the_same_tokens(registry):
    write("Serial Number,Days,Reference", "SLT1,7,a", "SLT1,7,b", "SLT3,2000,c", "GONE,7,d")
    dry, _ = carry_out(registry, dry_run=True)
    shown = rows()
    assert registry.device("SLT1").count == 1
    assert registry.tokens("SLT1") == registry.tokens("SLT3") == []
    wet, _ = carry_out(registry)
    assert rows() == shown
    assert (dry.orders, dry.tokens, dry.refused) == (wet.orders, wet.tokens, wet.refused) == (3, 5, 1)


def test_the_shell_issues_a_list_and_says_how_it_went(registry):
    def run(*words: str):
        return CliRunner().invoke(group, ["issue", "orders.csv", *words], catch_exceptions=False)

    write("Serial Number,note", "SLT1,x", "GONE,y")
    words = ["-o", "tokens.csv", "--add", "7", "--batch", "week"]
    first = run(*words, "--json", "--by", "amina")
    facts = json.loads(first.stdout)
    assert (facts["orders"], facts["refused"], facts["repeated"]) == (1, 1, 0)
    assert "Columns that were not looked at: 'note'" in first.stderr
    again = run(*words)
    assert again.stdout == "1 orders carried out with 1 tokens, 1 of them as they were before; 1 refused\n"
    assert "progress" not in again.stderr
    for wrong in (["-o", "tokens.csv", "--add", "7", "--set", "7"], ["-o", "-", "--add", "7"]):
        assert CliRunner().invoke(group, ["issue", "orders.csv", *wrong]).exit_code == 2
    [option] = [found for found in group.commands["issue"].params if found.name == "reason"]
    assert tuple(option.type.choices) == ISSUE_REASONS


def test_files_that_cannot_be_used_are_one_sentence(registry, tmp_path):
    write("Serial Number,Days,Reference", "SLT1,7,a")
    for source, target in (
        ("gone.csv", "tokens.csv"),
        ("orders.csv", "orders.csv"),
        ("orders.csv", "."),
        ("orders.csv", "no/tokens.csv"),
        (".", "tokens.csv"),
        ("orders.csv", "orders.csv.quarantine.csv"),
    ):
        with pytest.raises(PaygoError):
            carry_out_list(registry, source, target, Given())
    assert registry.tokens("SLT1") == []


# Issues the list in children that kill themselves one call into the database later each time, until one comes through.
ISSUER = """
import os, signal
from sqlalchemy import event
from sqlalchemy.engine import Engine
from paygo_core.order_list import Given, carry_out_list
from paygo_core.registry import Registry, store
store._SET = 50
left = 0
def count_down(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
for name in ("begin", "before_cursor_execute", "after_cursor_execute", "commit"):
    event.listen(Engine, name, count_down)
killed = 0
while True:
    child = os.fork()
    if child == 0:
        with Registry.open("paygo.db") as registry:
            left = killed + 1
            carry_out_list(registry, "orders.csv", "tokens.csv", Given())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    killed += 1
print(killed)
"""


def test_a_list_that_is_interrupted_again_and_again_issues_each_order_once(registry):
    serials = registry.make(195, "N")
    orders = [f"{serial},{7 + n % 3},pay-{n}" for n, serial in enumerate([*serials, *serials[:5]])]
    write("Serial Number,Days,Reference", *orders)
    done = subprocess.run([sys.executable, "-c", ISSUER], check=True, capture_output=True, text=True, timeout=100)
    assert int(done.stdout) > 20
    out = rows()
    assert sorted(row["Reference"] for row in out) == sorted(f"pay-{n}" for n in range(200))
    recorded = [one for serial in serials for one in registry.tokens(serial)]
    assert len(recorded) == 200, "no order was carried out twice"
    assert {(one.reference, one.token.digits) for one in recorded} == {(r["Reference"], r["Token"]) for r in out}
