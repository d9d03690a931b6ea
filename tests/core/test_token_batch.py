"""A list of devices gets the tokens that the registry would issue one by one; what is refused is kept and told."""

from __future__ import annotations

import csv
import os
import random
import signal
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from paygo_core import DeviceConfig, PaygoError, TokenType
from paygo_core.batch import checked_tokens
from paygo_core.device_list import GENERATOR_HEADER, TEMPLATE_HEADER, read_device_list
from paygo_core.registry.issuing import next_token
from paygo_core.simd import available_simd
from paygo_core.token_batch import HEADER, issue_list
from paygo_core.token_rows import BLOCK, Order
from paygo_core.tokens import collides, token_at

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
ADD_A_WEEK = Order(TokenType.ADD_TIME, days=Decimal(7))
ORDERED = (*TEMPLATE_HEADER, "Type", "Value", "Days")


def fleet(size: int, seed: int = 1, **fixed: str) -> list[list[str]]:
    """Rows of all the kinds that a list may have."""
    draw = random.Random(seed)
    rows = []
    for n in range(size):
        cells = {
            "serial": f"SLT{n:06d}",
            "code": str(draw.choice(["", f"{draw.randrange(1, 10**9):09d}", draw.randrange(1, 10**9)])),
            "key": draw.choice([str.upper, str.lower])(f"{draw.getrandbits(128):032x}"),
            "count": str(draw.choice(["", draw.randrange(0, 300), draw.randrange(0, 300)])),
            "divider": draw.choice(["", "1", "24"]),
            "restricted": draw.choice(["", "0", "1"]),
            "model": draw.choice(["", "SLT-50", "Model, large"]),
            "version": "1.0",
            "test_code": draw.choice(["", "", "4711"]),
        }
        rows.append([*(cells | fixed).values()])
    return rows


def write(path: Path, rows: list[list[str]], header: tuple[str, ...] = TEMPLATE_HEADER) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def issued_one_by_one(source: Path, kind: TokenType, value: int | None, days: int | None) -> list[dict[str, str]]:
    expected = []
    for device in read_device_list(source).devices:
        made = next_token(device, kind, value=value, days=days)
        words = (device.serial, made.digits, made.grouped(), str(made.count), kind.name)
        expected.append(dict(zip(HEADER, (*words, str(made.value)), strict=True)))
    return expected


@pytest.mark.parametrize(
    ("kind", "value", "days"),
    [
        (TokenType.ADD_TIME, 7, None),
        (TokenType.ADD_TIME, None, 30),
        (TokenType.SET_TIME, 0, None),
        (TokenType.DISABLE_PAYG, None, None),
        (TokenType.COUNTER_SYNC, None, None),
    ],
)
def test_every_device_gets_what_the_registry_would_issue(tmp_path, kind, value, days):
    """T2, T4, T7 to T10, T18, T20, T21."""
    source = write(tmp_path / "in.csv", fleet(1500))
    order = Order(kind, value, None if days is None else Decimal(days))
    done = issue_list(source, tmp_path / "out.csv", order)
    assert (done.rows, done.issued, done.refused, done.quarantine) == (1500, 1500, 0, None)
    assert read(tmp_path / "out.csv") == issued_one_by_one(source, kind, value, days)


def test_both_variants_of_a_list_are_taken(tmp_path):
    rows = [cells[:-1] for cells in fleet(20)]
    source = write(tmp_path / "in.csv", rows, GENERATOR_HEADER)
    assert issue_list(source, tmp_path / "out.csv", ADD_A_WEEK).issued == 20
    assert read(tmp_path / "out.csv") == issued_one_by_one(source, TokenType.ADD_TIME, None, 7)


def test_a_list_says_what_each_device_gets(tmp_path):
    orders = [("", "7", ""), ("ADD_TIME", "", "1.5"), ("SET_TIME", "0", ""), ("DISABLE_PAYG", "", "")]
    orders += [("COUNTER_SYNC", "", "")]
    rows = [
        cells + list(orders[n % 5]) for n, cells in enumerate(fleet(40, divider="24", restricted="0", test_code=""))
    ]
    source = write(tmp_path / "in.csv", rows, ORDERED)
    assert issue_list(source, tmp_path / "out.csv").issued == 40
    names = ["ADD_TIME", "ADD_TIME", "SET_TIME", "DISABLE_PAYG", "COUNTER_SYNC"]
    values = ["7", "36", "0", "998", "999"]
    assert [(row["Type"], row["Value"]) for row in read(tmp_path / "out.csv")] == list(
        zip(names, values, strict=True)
    ) * 8
    plain = write(tmp_path / "plain.csv", [cells[:-3] for cells in rows])
    for row, device in zip(read(tmp_path / "out.csv"), read_device_list(plain).devices, strict=True):
        assert row["Token"] == token_at(device.config, int(row["Count"]), int(row["Value"]))


@pytest.mark.parametrize("path", available_simd())
@pytest.mark.parametrize("extended", [False, True])
def test_every_lane_finds_the_collisions_that_single_devices_find(monkeypatch, path, extended):
    """T18, for every lane and remainder, on every instruction set that this machine has."""
    monkeypatch.setenv("PAYGO_SIMD", path)
    draw = np.random.default_rng(11)
    known = [
        ("5de70f4aba744b50f26b23f62869ea32", 306),
        ("a3dbcd9baeb6401757bee25940693cd2", 51),
        ("09d961a15ec380e562febac91e44f069", 110),
    ]
    found = 0
    for size in [*range(1, 36), 200]:
        keys = draw.integers(0, 256, (size, 16), dtype=np.uint8)
        starts = draw.integers(1, 10**9, size, dtype=np.uint32)
        counts = draw.integers(1, 400, size, dtype=np.uint32)
        values = draw.choice([7, 30, 998, 999], size).astype(np.uint32)
        for key, count in known:
            at = int(draw.integers(0, size))
            config = DeviceConfig.from_hex(key)
            keys[at] = np.frombuffer(config.secret_key, np.uint8)
            starts[at], counts[at], values[at] = 123456789, count, 7 if count == 306 else 30
        checked = checked_tokens(keys, starts, counts, values, extended)
        for n in range(size):
            config = DeviceConfig(keys[n].tobytes(), int(starts[n]))
            count, value = int(counts[n]), int(values[n])
            assert checked.tokens[n] == int(token_at(config, count, value, extended=extended))
            assert checked.collides[n] == collides(config, count, value, extended)
        found += int(checked.collides.sum())
    assert extended or found >= 36


@pytest.mark.parametrize("path", available_simd())
def test_every_path_sees_a_token_that_is_the_starting_code_with_a_base(monkeypatch, path):
    """T18: a collision with count 0, which 81 counts on is one no longer."""
    monkeypatch.setenv("PAYGO_SIMD", path)
    starts, counts = np.array([18_715, 2_051_376, 986_183], np.uint32), np.array([2, 80, 81], np.uint32)
    checked = checked_tokens(np.frombuffer(bytes.fromhex(KEY), np.uint8), starts, counts, np.uint32(7), False)
    assert (checked.tokens == starts - starts % 1000 + (starts % 1000 + 7) % 1000).all()
    assert checked.collides.tolist() == [True, True, False]


def test_a_token_that_two_counts_share_is_passed_over(tmp_path):
    """T18."""
    rows = [["A", "123456789", "5de70f4aba744b50f26b23f62869ea32", "304", "1", "0", "", "", ""]]
    source = write(tmp_path / "in.csv", rows)
    done = issue_list(source, tmp_path / "out.csv", Order(TokenType.ADD_TIME, 7))
    [row] = read(tmp_path / "out.csv")
    assert done.moved == 1
    assert int(row["Count"]) > 306
    assert row == issued_one_by_one(source, TokenType.ADD_TIME, 7, None)[0]


def test_a_units_test_code_is_passed_over(tmp_path):
    token = token_at(DeviceConfig.from_hex(KEY, 123456789), 2, 7)
    source = write(tmp_path / "in.csv", [["A", "123456789", KEY, "1", "1", "0", "", "", token]])
    assert issue_list(source, tmp_path / "out.csv", Order(TokenType.ADD_TIME, 7)).moved == 1
    assert read(tmp_path / "out.csv")[0]["Count"] == "4"


def test_the_last_count_is_the_last(tmp_path):
    """T10."""
    rows = [[f"S{count}", "1", KEY, str(count), "1", "0", "", "", ""] for count in (65_533, 65_534, 65_535)]
    source = write(tmp_path / "in.csv", rows)
    done = issue_list(source, tmp_path / "out.csv", Order(TokenType.ADD_TIME, 7))
    assert (done.issued, done.refused) == (1, 2)
    refused = read(done.quarantine)
    assert [row["Line"] for row in refused] == ["3", "4"]
    assert all("no ADD_TIME count is left" in row["Reason"] for row in refused)
    assert issue_list(source, tmp_path / "out.csv", Order(TokenType.SET_TIME, 7)).issued == 2
    assert issue_list(source, tmp_path / "out.csv", Order(TokenType.ADD_TIME, 7), max_count=300).issued == 0


BROKEN = [
    ["", "1", KEY, "1", "1", "0", "", "", ""],
    ["X", "1234567890", KEY, "1", "1", "0", "", "", ""],
    ["X", "0", KEY, "1", "1", "0", "", "", ""],
    ["X", "1", KEY[:31], "1", "1", "0", "", "", ""],
    ["X", "1", KEY[:31] + " ", "1", "1", "0", "", "", ""],
    ["X", "1", KEY[:30] + "zz", "1", "1", "0", "", "", ""],
    ["X", "1", KEY, "65536", "1", "0", "", "", ""],
    ["X", "1", KEY, "-1", "1", "0", "", "", ""],
    ["X", "1", KEY, "\u0661", "1", "0", "", "", ""],
    ["X", "1", KEY, "1", "256", "0", "", "", ""],
    ["X", "1", KEY, "1", "1", "2", "", "", ""],
    ["X", "1", KEY, "1", "1", "0", KEY, "", ""],
    ["X", "1", KEY, "1", "1", "0", "", "a\tb", ""],
    ["X", "1", KEY, "1", "1", "0", "", "", "1" * 21],
    ["X", "1", KEY, "1", "1", "0", "", ""],
    ["X", "1", KEY, "1", "1", "0", "", "", "", ""],
    [" X", "1", KEY, "1", "1", "0", "", "", ""],
    ["X" * 65, "1", KEY, "1", "1", "0", "", "", ""],
]


def test_a_broken_row_is_told_as_the_device_list_tells_it_and_the_rest_goes_on(tmp_path):
    """Each broken row stands alone among many good ones, so that the quick way has to find it."""
    rows = fleet(3000)
    for n, broken in enumerate(BROKEN):
        rows[100 + 150 * n] = [cell.replace("X", f"X{n}") if 0 < len(cell) < 3 else cell for cell in broken]
    source = write(tmp_path / "in.csv", rows)
    lines = source.read_bytes().split(b"\n")
    lines[50] = b'"never closed,1,2'
    lines[51] = b"SLT\xff,1,,,,,,,"
    lines[52] = b"A\0B" + lines[52]
    lines[53] = lines[53] + b"9" * 11_000
    lines[54] = b"\r"
    lines[56] = lines[55]
    source.write_bytes(b"\n".join(lines))
    listed = read_device_list(source)
    told = []
    done = issue_list(source, tmp_path / "out.csv", ADD_A_WEEK, on_problem=told.append)
    assert [str(problem) for problem in told] == [str(problem) for problem in listed.problems]
    assert len(told) == len(BROKEN) + 5
    assert [row["Serial Number"] for row in read(tmp_path / "out.csv")] == [device.serial for device in listed.devices]
    assert (done.issued, done.refused) == (len(listed.devices), len(told))
    kept = done.quarantine.read_bytes()
    for problem in listed.problems[1:]:
        assert problem.raw in kept.replace(b'""', b'"')
    assert not any(KEY in str(problem) for problem in told)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (("GIFT", "7", ""), "Type: 'GIFT' is not a token type (ADD_TIME, SET_TIME, DISABLE_PAYG, COUNTER_SYNC"),
        (("", "996", ""), "Value: '996' is not a whole number from 0 to 995"),
        (("", "", "1e3"), "Days: '1e3' is not a number of days"),
        (("", "", "0.1"), "Days: 0.1 days are less than half a unit"),
        (("", "", "996"), "the value 996 cannot be issued"),
        (("", "", "0.000001"), "Days: 0.000001 days are less than half a unit"),
        (("", "7", "7"), "Value and Days: both are filled in (raw units or days, one of the two)"),
        (("", "", ""), "Value and Days: ADD_TIME needs an amount, and there is none (fill in Value or Days)"),
        (("DISABLE_PAYG", "7", ""), "Value: a DISABLE_PAYG token carries no value"),
        (("COUNTER_SYNC", "", "7"), "Days: a COUNTER_SYNC token carries no value"),
    ],
)
def test_an_order_that_cannot_be_is_refused(tmp_path, cells, says):
    rows = fleet(60, divider="1")
    source = write(
        tmp_path / "in.csv", [row + (list(cells) if n == 40 else ["", "7", ""]) for n, row in enumerate(rows)], ORDERED
    )
    told = []
    done = issue_list(source, tmp_path / "out.csv", on_problem=told.append)
    assert (done.issued, done.refused) == (59, 1)
    assert told[0].line == 42
    assert says in str(told[0])


@pytest.mark.parametrize(
    ("column", "cells", "says"),
    [
        ("Type", ["SET_TIME"], "Type: SET_TIME needs an amount, and there is none (give the list a column Value"),
        ("Days", [""], "Days: ADD_TIME needs an amount, and there is none (fill in Days)"),
        ("Value", [""], "Value: ADD_TIME needs an amount, and there is none (fill in Value)"),
    ],
)
def test_an_amount_is_missed_in_the_column_that_the_list_has(tmp_path, column, cells, says):
    source = write(tmp_path / "in.csv", [fleet(1)[0] + cells], (*TEMPLATE_HEADER, column))
    told = []
    assert issue_list(source, tmp_path / "out.csv", on_problem=told.append).issued == 0
    assert says in str(told[0])


def test_rows_are_the_same_wherever_a_block_ends(tmp_path):
    """Lines that straddle two reads, and a last line without an end."""
    rows = fleet(3 * BLOCK // 60)
    source = write(tmp_path / "in.csv", rows)
    source.write_bytes(source.read_bytes().rstrip(b"\n"))
    assert source.stat().st_size > 2 * BLOCK
    assert issue_list(source, tmp_path / "out.csv", ADD_A_WEEK).issued == len(rows)
    assert [row["Serial Number"] for row in read(tmp_path / "out.csv")] == [row[0] for row in rows]


def test_a_serial_twice_in_different_blocks_is_refused_with_its_first_line(tmp_path):
    rows = fleet(3 * BLOCK // 60)
    rows[-1][0] = rows[5][0]
    told = []
    source = write(tmp_path / "in.csv", rows)
    issue_list(source, tmp_path / "out.csv", ADD_A_WEEK, on_problem=told.append)
    assert [str(problem) for problem in told] == [str(problem) for problem in read_device_list(source).problems]
    assert "stands on line 7 already" in str(told[0])


def test_files_are_for_their_owner_alone(tmp_path):
    source = write(tmp_path / "in.csv", [*fleet(3), BROKEN[3]])
    done = issue_list(source, tmp_path / "out.csv", ADD_A_WEEK)
    for path in (tmp_path / "out.csv", done.quarantine):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing.csv", "out.csv", ADD_A_WEEK), "nothing.csv: No such file"),
        ((".", "out.csv", ADD_A_WEEK), "Is a directory"),
        (("in.csv", "in.csv", ADD_A_WEEK), "is the list itself"),
        (("in.csv", "link.csv", ADD_A_WEEK), "is the list itself"),
        (("in.csv", "/dev/null", ADD_A_WEEK), "no regular file"),
        (("in.csv", "missing/out.csv", ADD_A_WEEK), "missing/out.csv: No such file"),
        (("in.csv", "out.csv", None), "neither the list nor an option"),
        (("ordered.csv", "out.csv", ADD_A_WEEK), "a column Type, Value, Days, and options"),
        (("in.csv", "out.csv", Order(TokenType.ADD_TIME, 996)), "the value 996"),
        (("endless.csv", "out.csv", ADD_A_WEEK), "line 2 has no end within"),
        (("twice.csv", "out.csv", None), "the column Type is repeated"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_file(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.csv", fleet(3))
    (tmp_path / "link.csv").symlink_to("in.csv")
    write(tmp_path / "ordered.csv", [], ORDERED)
    write(tmp_path / "twice.csv", [], (*ORDERED, "type"))
    (tmp_path / "endless.csv").write_bytes(",".join(TEMPLATE_HEADER).encode() + b"\n" + b"9" * 1_600_000)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PaygoError, match=says):
        issue_list(*arguments)
    assert sorted(tmp_path.iterdir()) == before


PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def test_ctrl_c_leaves_the_old_result_and_no_draft(tmp_path):
    """Interrupted in the middle: the list is a pipe that ends only after the signal, so that the moment is certain."""
    os.mkfifo(tmp_path / "in.csv")
    (tmp_path / "out.csv").write_text("of yesterday\n")
    words = ["token", "batch", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--add", "7"]
    with subprocess.Popen([*PAYGO, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        with (tmp_path / "in.csv").open("wb") as pipe:
            pipe.write(",".join(TEMPLATE_HEADER).encode() + b"\n")
            pipe.write(b"".join(f"S{n},1,{KEY},1,1,0,,,\n".encode() for n in range(2 * BLOCK // 40)))
            pipe.flush()
            assert list(tmp_path.glob(".paygo-*"))
            command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=60)
    assert command.returncode == 130
    assert b"Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_text() == "of yesterday\n"
