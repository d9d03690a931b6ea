"""VE.Direct blocks from memory to typed values, ours against the `vedirect` package of PyPI (`make bench`)."""

from __future__ import annotations

import itertools
import random

import pytest
from vedirect import VEDirect

from paygo_core.wire.vedirect import Block, VeDirectReader

BLOCKS = 2000
READ_BYTES = 4096


@pytest.fixture(scope="module")
def capture() -> bytes:
    """A charger at work: what it measures wanders, and is never the same in two blocks on end."""
    rng = random.Random(1)
    volts, amps, panel = 12800, 2000, 18500
    blocks: list[bytes] = []
    while len(blocks) < BLOCKS:
        volts += rng.choice([-10, 10])
        amps += rng.choice([-40, -10, 10, 40])
        panel += rng.choice([-50, -10, 10, 50])
        block = (
            f"\r\nPID\t0xA053\r\nFW\t139\r\nSER#\tHQ1539P6MRC\r\nV\t{volts}\r\nI\t{amps}\r\nVPV\t{panel}"
            f"\r\nPPV\t{volts * amps // 1_000_000}\r\nCS\t3\r\nMPPT\t2\r\nOR\t0x00000000\r\nERR\t0\r\nLOAD\tON"
            f"\r\nIL\t{rng.choice([400, 500, 600])}\r\nH19\t{1234 + len(blocks) // 100}"
            "\r\nH20\t12\r\nH21\t45\r\nH22\t98\r\nH23\t120\r\nHSDS\t17\r\nChecksum\t"
        ).encode()
        check = -sum(block) % 256
        if check not in b"\r\n":  # their reader splits at those
            blocks.append(block + bytes([check]))
    return b"".join(blocks)


def test_vedirect_of_ours(benchmark, capture):
    def read():
        reader = VeDirectReader()
        blocks = 0
        for at in range(0, len(capture), READ_BYTES):
            for event in reader.feed(capture[at : at + READ_BYTES]):
                assert type(event) is Block
                seen = event["V"], event["VPV"], event["PPV"], event["MPPT"]
                blocks += 1
        return blocks, seen

    blocks, seen = benchmark(read)
    assert blocks == BLOCKS
    assert seen[0] > 10


def test_vedirect_of_pypi(benchmark, capture):
    """Its lines are split beforehand; its block goes from after a product id to the next one."""
    lines = (capture + b"\r\nPID\t0xA053\r\n").splitlines(keepends=True)
    starts = [at + 1 for at, line in enumerate(lines) if line.startswith(b"PID")]
    blocks = [lines[start:end] for start, end in itertools.pairwise(starts)]
    assert len(blocks) == BLOCKS
    reader = object.__new__(VEDirect)
    reader._data = {}

    def parse():
        for block in blocks:
            assert VEDirect.check_frame_checksum(block)
            reader.parse_pdu(block)
            seen = reader.battery_volts, reader.solar_volts, reader.solar_power, reader.device_MPPT_state
        return seen

    assert benchmark(parse)[0] > 10
