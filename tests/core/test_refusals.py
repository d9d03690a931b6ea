"""Refused rows as they are told: the first ones, and how many more."""

from __future__ import annotations

import pytest

from paygo_core.refusals import Refusals


def test_the_first_rows_are_shown_and_the_others_counted(capsys):
    with Refusals(2) as tell:
        for row in "abcde":
            tell(row)
    assert capsys.readouterr().err.splitlines() == ["paygo: a", "paygo: b", "paygo: 3 more rows were refused"]


def test_where_none_is_left_out_none_is_counted(capsys):
    with Refusals(2) as tell:
        tell("a")
        tell("b")
    assert capsys.readouterr().err.splitlines() == ["paygo: a", "paygo: b"]


def test_what_failed_as_a_whole_is_not_summed_up(capsys):
    def fail() -> None:
        with Refusals(0) as tell:
            tell("a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert capsys.readouterr().err == ""
