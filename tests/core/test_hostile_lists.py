"""Device lists of any bytes: no crash, every row accounted for, and the quick reader agrees with the careful one."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import PaygoError, TokenType
from paygo_core.device_list import GENERATOR_HEADER, TEMPLATE_HEADER, read_device_list
from paygo_core.token_batch import issue_list
from paygo_core.token_rows import Order

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
GOOD = f"SLT1,123456789,{KEY},1,1,0,Model,1.0,"

cells = st.one_of(
    st.sampled_from(["", "0", "1", "24", "255", "256", "65535", "65536", "123456789", "0012", "1e3", KEY, KEY.upper()]),
    st.sampled_from([KEY[:31], KEY + "0", " ", "-1", "٣", "Ⅷ", "é", "\x00", "\x1b[2J", '"', '""', '"a,b"', "a\r", "ﬁ"]),
    st.sampled_from(
        ['5"', '"5', 'a"b', '"a"b', '"a""b"', ' "a"', '"a" ', '"a\n5"', '"""', '""""', KEY[:16], "ab:" * 12]
    ),
    st.text(max_size=8),
    st.integers(0, 10**10).map(str),
)
rows = st.one_of(
    st.just(GOOD),
    st.integers(0, 30).map(lambda n: GOOD.replace("SLT1", f"SLT{n}")),
    st.lists(cells, min_size=7, max_size=11).map(",".join),
    st.text(max_size=40),
)
lines = st.one_of(rows.map(lambda row: row.encode("utf-8", "surrogatepass")), st.binary(max_size=40))
lists = st.builds(
    lambda header, body, end, last: end.join([",".join(header).encode(), *body]) + last,
    st.sampled_from([TEMPLATE_HEADER, GENERATOR_HEADER]),
    st.lists(lines, max_size=40),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n"]),
)


def judged_alike(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path, out = Path(scratch) / "list.csv", Path(scratch) / "out.csv"
        path.write_bytes(content)
        try:
            listed = read_device_list(path)
        except PaygoError:
            listed = None
        told = []
        try:
            done = issue_list(path, out, Order(TokenType.ADD_TIME, days=Decimal(1)), on_problem=told.append)
        except PaygoError:
            assert listed is None
            assert not out.exists()
            return
        assert listed is not None
        beyond = [problem for problem in told if "count is left" in problem.cause or "repeat" in problem.cause]
        assert done.issued + len(beyond) == len(listed.devices)
        assert [str(problem) for problem in told if problem not in beyond] == [str(p) for p in listed.problems]
        assert not any(KEY in str(problem).lower() for problem in told)


@settings(max_examples=300, deadline=None)
@given(lists)
def test_damaged_lists_are_judged_alike_by_both_readers(content):
    judged_alike(content)


@pytest.mark.parametrize("more", [0, 40])
@pytest.mark.parametrize("cell", ['"Model, 5\n', '"\n', '"a ""b""\n'])
def test_the_second_half_of_a_cell_with_a_line_break_is_no_device(tmp_path, cell, more):
    """Both halves are refused: the second one would be a device that does not exist."""
    halves = f'SLT1,123456789,{KEY},1,1,0,{cell}5",123456789,{KEY},1,1,0,Model,1.0,'
    others = [f"SLT{n},123456789,{KEY},1,1,0,,," for n in range(100, 100 + more)]
    content = "\n".join([",".join(TEMPLATE_HEADER), halves, *others]) + "\n"
    (tmp_path / "list.csv").write_text(content)
    listed = read_device_list(tmp_path / "list.csv")
    assert [problem.line for problem in listed.problems] == [2, 3]
    assert all("the line is not CSV" in str(problem) for problem in listed.problems)
    assert len(listed.devices) == more
    judged_alike(content.encode())


@pytest.mark.parametrize("serial", [KEY, KEY.upper(), "9" * 32, f"0x{KEY}", KEY[:16], "oim4LtxfvEHslTD22sasRg=="])
@pytest.mark.parametrize("more", [0, 40])
def test_a_serial_that_looks_like_a_key_is_refused_and_not_shown(tmp_path, serial, more):
    """T1: the output and the registry show serials."""
    rows = [f"{serial},123456789,{KEY},1,1,0,,,", *(f"SLT{n},1,{KEY},1,1,0,,," for n in range(more))]
    content = "\n".join([",".join(TEMPLATE_HEADER), *rows]) + "\n"
    (tmp_path / "list.csv").write_text(content)
    (problem,) = read_device_list(tmp_path / "list.csv").problems
    assert "Serial Number: the serial looks like a secret key" in str(problem)
    assert serial not in str(problem)
    judged_alike(content.encode())


def test_long_serials_that_are_no_keys_are_taken(tmp_path):
    serials = ["SLT-2026-000000000001", "PAYGO UNIT 1234567890123", "123456789012345678"]
    rows = [f"{serial},123456789,{KEY},1,1,0,,," for serial in serials]
    content = "\n".join([",".join(TEMPLATE_HEADER), *rows]) + "\n"
    (tmp_path / "list.csv").write_text(content)
    assert [device.serial for device in read_device_list(tmp_path / "list.csv").devices] == serials
    judged_alike(content.encode())


def test_a_row_of_another_width_takes_no_serial_from_a_later_one():
    judged_alike(",".join(TEMPLATE_HEADER).encode() + b"\n0,,,,,,,\n0,,,,,,,,\n")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_sentence(content):
    judged_alike(content)
