"""Device lists of any bytes: no crash, every row accounted for, and the quick reader agrees with the careful one."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

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


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_sentence(content):
    judged_alike(content)
