"""Power is cut at every byte of the write of a token, on a chip: it counts once, and its credit comes once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sim_rig import WEEK_2, checked, ready_unit
from test_procedure import CONFIG, provisioned

from hw_bridge.drivers.hdk import HdkDriver
from paygo_core import generate_token

WEEK_S = 7 * 86_400
RESTART_COSTS_S = 300


def writes_of_a_token() -> list[int]:
    """How long the records are that store an accepted token, on the PC; each is written in pieces."""
    unit = ready_unit()
    lengths: list[int] = []
    write = unit.storage.write

    def record(offset: int, data: bytes) -> None:
        if unit._outputs.write.at == 0:
            lengths.append(0)
        lengths[-1] += len(data)
        write(offset, data)

    unit.storage.write = record  # type: ignore[method-assign]
    unit.feed(b"#TOKEN;" + WEEK_2.encode() + b"\n")
    unit.pass_time(0)
    assert unit.take().startswith(b"#TOKEN;VALID")
    return lengths


def credit(unit: HdkDriver) -> int:
    seconds = unit.status().seconds_left
    assert seconds is not None
    return seconds


@pytest.mark.timeout(280)
def test_every_byte_of_the_write_of_a_token(tmp_path: Path, mcu: str) -> None:
    """T36, H12: the unit wakes without the token or with it, and the token is worth its week exactly once."""
    lengths = writes_of_a_token()
    assert sum(lengths) > 20
    count = 1
    before, after = 0, 0
    with provisioned(tmp_path, "--mcu", mcu) as (unit, control):
        for which, length in enumerate(lengths):
            for at_byte in range(length + 1):
                token = generate_token(CONFIG, count, 7)
                count = token.count
                had = credit(unit)
                writes = control.read()["writes"]
                control.request("cut_power", at_byte=at_byte, after_writes=which)
                unit._transport.write(checked(b"TOKEN;" + token.digits.encode()) + b"\n")
                deadline = time.monotonic() + 20
                while control.read()["powered"]:
                    assert time.monotonic() < deadline
                assert control.read()["writes"] == writes + which + 1
                assert unit._transport.read(0) == b""  # durable before it is said
                control.power(True)
                woke = credit(unit)
                assert had - RESTART_COSTS_S <= woke <= had or had + WEEK_S - RESTART_COSTS_S <= woke <= had + WEEK_S
                taken = woke > had
                before, after = before + (not taken), after + taken
                assert unit.enter(token.digits).verdict == ("already_used" if taken else "accepted")
                assert unit.enter(token.digits).verdict == "already_used"
                assert had + WEEK_S - 2 * RESTART_COSTS_S <= credit(unit) <= had + WEEK_S
    assert before >= sum(lengths)
    assert after >= 1
