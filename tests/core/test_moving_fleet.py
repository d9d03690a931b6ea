"""Whole fleets move in: 100 000 devices with damage, processes killed on the way, PostgreSQL, workbooks, a terminal."""

from __future__ import annotations

import csv
import json
import os
import pty
import random
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from openpyxl import Workbook
from servers import postgresql_server

from paygo_core import DeviceConfig, PaygoError, PaygUnit, TokenType
from paygo_core.device_list import TEMPLATE_HEADER
from paygo_core.moving import import_list, open_source
from paygo_core.registry import Registry

FLEET = 100_000
PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def fleet(draw: random.Random, number: int) -> list[list[str]]:
    """Sound rows in the order of the template; each third starting code follows from its key."""
    rows = []
    for n in range(number):
        key = f"{draw.getrandbits(128):032x}"
        code = DeviceConfig.from_hex(key).starting_code if n % 3 == 0 else draw.randrange(100_000_000, 10**9)
        rows.append([f"SLT{n:09d}", str(code), key, str(draw.randrange(1, 200)), "24", "0", "SLT-50", "1.2", ""])
    return rows


def damaged(draw: random.Random, kind: str, row: list[str]) -> list[str]:
    """A row as a spreadsheet, or another platform, left it."""
    serial, code, key, count, *rest = row
    grouped = f"{int(code):,}"
    spaced = " ".join(key[at : at + 2] for at in range(0, 32, 2))
    lost = draw.randrange(32)
    return {
        "thousands": [serial, grouped.replace(",", draw.choice(".' ")), key, count, *rest],
        "decimal": [serial, f"{code}.0", key, f"{count}.0", *rest],
        "spaces": [f" {serial}\u00a0", code, f"{key} ", count, *rest],
        "separated": [serial, code, spaced, count, *rest],
        "scientific": [serial, f"{code[0]}.{code[1:]}E+{len(code) - 1:02d}", key, count, *rest],
        "words": [serial, code, key, count, "24", "FAUX", *rest[2:]],
        "trailing": [*row, "", ""],
        "again": row,
        "rounded": [serial, f"{int(code):.2E}", key, count, *rest],
        "short": [serial, code, key[:lost] + key[lost + 1 :], count, *rest],
        "missing": [serial, code, "", count, *rest],
        "range": [serial, code, key, "99999", *rest],
        "date": [serial, code, key, "07/01/1900", *rest],
        "shifted": [code, serial, key, count, *rest],
    }[kind]


REPAIRED = {
    "thousands": "thousands separators taken away",
    "decimal": "decimals of whole numbers dropped",
    "spaces": "spaces taken away",
    "separated": "separators in keys taken away",
    "scientific": "scientific numbers with all digits read",
    "words": "words for yes and no read",
    "trailing": "empty cells at the end of a row dropped",
}
KINDS = [*REPAIRED, "again", "rounded", "short", "missing", "range", "date", "shifted"]


def test_a_hundred_thousand_devices_with_three_percent_damage(tmp_path):
    """Every row's fate is known beforehand, and the units go on with their next token."""
    draw = random.Random(7)
    rows = fleet(draw, FLEET)
    harmed = sorted(draw.sample(range(1, FLEET), FLEET * 3 // 100))
    written: list[list[str]] = []
    lines: dict[int, int] = {}
    expected = {row[0]: row for row in rows}
    repaired: Counter[str] = Counter()
    refused: set[int] = set()
    repeated = 0
    kinds = {n: KINDS[at % len(KINDS)] for at, n in enumerate(harmed)}
    for n, row in enumerate(rows):
        kind = kinds.get(n)
        lines[n] = len(written) + 2
        written.append(damaged(draw, kind, row) if kind else row)
        follows = n % 3 == 0
        if kind in REPAIRED:
            repaired[REPAIRED[kind]] += 1
        elif kind == "again":
            written.append(row)
            repeated += 1
        elif kind == "rounded" and follows:
            repaired["starting codes that lost digits taken from the key"] += 1
        elif kind == "short" and follows:
            repaired["keys with a lost or mistaken digit, found by their starting code"] += 1
        elif (kind == "short" and not follows) or kind:
            refused.add(lines[n])
            del expected[row[0]]
    path = tmp_path / "fleet.csv"
    path.write_text("\n".join(";".join(cells) for cells in (TEMPLATE_HEADER, *written)), encoding="utf-16")
    with Registry.open(tmp_path / "fleet.db") as registry:
        report = import_list(registry, open_source(path), quarantine=tmp_path / "refused.csv")
        assert (report.added, report.repeated, report.refused) == (len(expected), repeated, len(refused))
        assert report.repaired == repaired
        assert {problem.line for problem in report.refusals} == refused
        assert sum(report.unsure.values()) == report.unsure["short-keys"] > 50
        with sqlite3.connect(tmp_path / "fleet.db") as database:
            query = "SELECT serial, starting_code, lower(hex(key_blob)), count, time_divider, restricted_digit_set,"
            found = database.execute(f"{query} hardware_model, version, test_code FROM devices")
            assert {row[0]: [str(cell) for cell in row] for row in found} == expected
            assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)], "every row is within its bounds"
        database.close()
        for n in [0, *[n for n, kind in kinds.items() if kind in REPAIRED][::20]]:
            serial, code, key, count, *_ = rows[n]
            unit = PaygUnit(DeviceConfig.from_hex(key, int(code), time_divider=24), count=int(count))
            assert unit.enter(registry.issue(serial, days=1).digits, 0).token_type is TokenType.ADD_TIME
        again = import_list(registry, open_source(path))
        assert (again.added, again.unchanged, again.refused) == (0, len(expected) + repeated, len(refused))
    with (tmp_path / "refused.csv").open(newline="") as stream:
        kept = list(csv.reader(stream, delimiter=";"))
    assert {int(row[0]) for row in kept[1:]} == refused
    assert all(row[2:] == written[int(row[0]) - 2] for row in kept[1:])


IMPORTER = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from paygo_core.moving import import_list, open_source
from paygo_core.registry import Registry
import paygo_core.moving.text as text
text.CHUNK = 2000
left = int(sys.argv[3])
def count_down(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
registry = Registry.open(sys.argv[1])
for name in ("begin", "before_cursor_execute", "after_cursor_execute", "commit"):
    event.listen(Engine, name, count_down)
import_list(registry, open_source(sys.argv[2]), quarantine=Path(sys.argv[2] + ".refused"))
print("done", left)
"""


def devices_in(place: str) -> int:
    with Registry.open(place) as registry:
        return sum(1 for _ in registry.entries())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_import_that_is_killed_at_any_write_leaves_nothing_or_all(tmp_path, request, kind):
    rows = fleet(random.Random(3), 200)
    lines = [
        [*TEMPLATE_HEADER, "Repair notes"],
        *([*row, "fuse" if at % 9 == 0 else ""] for at, row in enumerate(rows)),
    ]
    path = tmp_path / "fleet.csv"
    path.write_text("\n".join(",".join(line) for line in lines))
    killed_at = range(2, 400, 7 if kind == "sqlite" else 12)
    with postgresql_server() if kind == "postgresql" else open(os.devnull) as server:
        place = str(server) if kind == "postgresql" else str(tmp_path / "fleet.db")
        assert devices_in(place) == 0
        kills = 0
        for left in killed_at:
            words = [sys.executable, "-c", IMPORTER, place, str(path), str(left)]
            done = subprocess.run(words, capture_output=True, check=False)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            kills += 1
            assert devices_in(place) in (0, 200)
        assert kills >= 5
        assert devices_in(place) == 200
        with Registry.open(place) as registry:
            assert sum(len(registry.notes(row[0])) for row in rows) == 23


class TestPostgresql:
    @pytest.mark.parametrize("passphrase", [None, "horse battery"])
    def test_a_list_comes_into_a_server_as_into_a_file(self, tmp_path, passphrase):
        rows = fleet(random.Random(5), 3000)
        rows[5][1] = f"{int(rows[5][1]):,}".replace(",", ".")
        rows[7][5], rows[8][4], rows[9][3] = "1", "", ""
        path = tmp_path / "fleet.csv"
        text = "\n".join(
            ",".join(row) for row in (TEMPLATE_HEADER, *rows, rows[3], [*rows[4][:3], "250", *rows[4][4:]])
        )
        path.write_text(text)
        with (
            postgresql_server() as place,
            Registry.open(place, passphrase=passphrase) as server,
            Registry.open(tmp_path / "fleet.db", passphrase=passphrase) as file,
        ):
            for unchanged in (0, 3000):
                reports = [import_list(registry, open_source(path)) for registry in (server, file)]
                facts = [(r.added, r.unchanged, r.repeated, r.refused, r.repaired) for r in reports]
                assert facts[0] == facts[1]
                assert (reports[0].unchanged, reports[0].refused) == (unchanged, 2)
            assert list(server.devices()) == list(file.devices())


def workbook(path: Path, rows: list[list[object]], title: str = "Fleet") -> Path:
    book = Workbook()
    assert book.active is not None
    book.active.title = "Cover"
    book.active.append(["Our fleet"])
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"


class TestWorkbooks:
    def test_cells_are_what_they_hold_and_not_how_they_are_shown(self, tmp_path):
        rows = [
            ["Fleet of 2026"],
            [],
            list(TEMPLATE_HEADER),
            [220000001, 516959010.0, KEY, 7, 24.0, True, "SLT-50", 1.2, 4711],
            ["SLT2", "048213377", KEY.upper(), datetime(1900, 1, 7), None, False],
            ["SLT3", 5, datetime(2022, 1, 5), 1],
            [datetime(2022, 1, 5), 5, KEY[::-1], 1],
            ["#N/A", 5, KEY[::-1], 1],
            [None],
        ]
        path = workbook(tmp_path / "fleet.xlsx", rows)
        with Registry.open(tmp_path / "fleet.db") as registry:
            report = import_list(registry, open_source(path), quarantine=tmp_path / "refused.csv")
            one, two = registry.devices()
        assert (one.serial, one.count, one.version, one.test_code) == ("220000001", 7, "1.2", "4711")
        assert one.config == DeviceConfig.from_hex(KEY, 516959010, time_divider=24, restricted_digit_set=True)
        assert (two.serial, two.config.starting_code, two.count) == ("SLT2", 48213377, 7)
        assert [(problem.line, problem.column) for problem in report.refusals] == [
            (6, "Key"), (7, "Serial Number"), (8, "Serial Number"),
        ]  # fmt: skip
        assert KEY[::-1] in (tmp_path / "refused.csv").read_text()

    def test_the_sheet_is_found_or_named(self, tmp_path):
        path = workbook(tmp_path / "fleet.xlsx", [["Serial", "Key"], ["SLT1", KEY]])
        source = open_source(path)
        assert source.facts() == {"sheet": "Fleet"}
        with pytest.raises(PaygoError, match="no sheet 'Depot'"):
            open_source(path, sheet="Depot")
        with pytest.raises(PaygoError, match="no header"):
            open_source(path, sheet="Cover")

    @pytest.mark.parametrize(
        ("names", "says"),
        [
            ({"word/document.xml": b"<a/>"}, "is no XLSX workbook"),
            ({"[Content_Types].xml": b"nothing"}, "is no XLSX workbook"),
            ({"[Content_Types].xml": b"", "xl/a.xml": bytes(40 << 20)}, "would unfold to far more"),
            ({"[Content_Types].xml": b"<!DOCTYPE x [<!ENTITY a 'b'>]>"}, "has a document type"),
            ({"[Content_Types].xml": b"", **{f"{n}.xml": b"" for n in range(1001)}}, "would unfold to far more"),
        ],
    )
    def test_what_is_no_workbook_or_a_bomb_is_one_sentence(self, tmp_path, names, says):
        path = tmp_path / "fleet.xlsx"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in names.items():
                archive.writestr(name, content)
        with pytest.raises(PaygoError, match=says):
            open_source(path)

    def test_a_workbook_that_is_damaged_anywhere_is_one_sentence(self, tmp_path):
        sound = workbook(tmp_path / "fleet.xlsx", [["Serial", "Key"], ["SLT1", KEY]]).read_bytes()
        draw = random.Random(2)
        told = 0
        for _ in range(60):
            broken = bytearray(sound)
            for _ in range(draw.randrange(1, 6)):
                broken[draw.randrange(4, len(broken))] = draw.randrange(256)
            cut = draw.randrange(len(broken) // 2, len(broken)) if draw.random() < 0.3 else len(broken)
            (tmp_path / "broken.xlsx").write_bytes(broken[:cut])
            try:
                import_list(None, open_source(tmp_path / "broken.xlsx"))
            except PaygoError:
                told += 1
        assert told > 20


def at_a_terminal(answer: bytes, *words: str, cwd: Path) -> tuple[int, str]:
    """What a command says to whoever sits at a terminal and answers a question so."""
    main, end = pty.openpty()
    environment = {**os.environ, "HOME": str(cwd), "TERM": "dumb"}
    process = subprocess.Popen([*PAYGO, *words], cwd=cwd, stdin=end, stdout=end, stderr=end, env=environment)
    os.close(end)
    said = b""
    try:
        while True:
            try:
                said += os.read(main, 4096)
            except OSError:  # the other side is closed
                break
            if said.endswith(b"[y/N]: "):
                os.write(main, answer)
    finally:
        os.close(main)
        status = process.wait(30)
    return status, said.decode()


@pytest.mark.parametrize(("answer", "status", "added"), [(b"y\n", 0, 2), (b"n\n", 1, 1)])
def test_at_a_terminal_what_is_not_certain_is_asked(tmp_path, answer, status, added):
    rows = [f"SLT1,5,{KEY},1,1,0,,,", f"SLT2,5,{KEY[::-1]},1.000,1,0,,,"]
    (tmp_path / "list.csv").write_text("\n".join([",".join(TEMPLATE_HEADER), *rows]))
    found, said = at_a_terminal(answer, "device", "import", "list.csv", cwd=tmp_path)
    assert found == status, said
    assert "line 3: SLT2, Count: '1.000' may be 1 or 1000" in said
    assert f"{added} added" in said
    assert KEY not in said


def test_a_pipe_gets_no_question_and_no_progress(tmp_path):
    (tmp_path / "list.csv").write_text(f"{','.join(TEMPLATE_HEADER)}\nSLT2,5,{KEY},1.000,1,0,,,\n")
    words = [*PAYGO, "device", "import", "list.csv", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["refused"][0]["accept"] == "thousands"
    assert b"%" not in done.stderr
