"""Runs the conformance kit against every unit that can be run here, for docs/conformance.md (make matrix)."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "bridge"))

from fake_hdk import FakeHdk  # noqa: E402

from hw_bridge.conformance import kit  # noqa: E402
from hw_bridge.conformance.catalogue import load  # noqa: E402
from hw_bridge.simulated import simulated_unit  # noqa: E402
from paygo_core import Dialect, ReferenceState, TokenType, decode_token  # noqa: E402
from paygo_core.device import Device  # noqa: E402
from paygo_core.tokens import DeviceConfig  # noqa: E402

DATA = ROOT / "docs" / "matrix.json"
KEY = "bc41ec9530f6dac86b1a29ab82edc5fb"
STARTING_CODE = 516959010
DAY_S = 86_400
COUNTS = {"pc": 8000}
USUAL_COUNTS = 2700
"""All but the walk to count 5000, which takes an emulated chip long."""

Judged = tuple[TokenType, int | None]


class MemoryHdk(FakeHdk):
    """A unit on the HDK's line whose tokens a decoder of others judges. forgets: credit is in memory, as in the HDK."""

    def __init__(self, make: Callable[[bytes, int], Callable[[str], Judged]], forgets: bool) -> None:
        super().__init__(debug=False)
        self._make = make
        self._forgets = forgets
        self._judge: Callable[[str], Judged] | None = None
        self.active_until = 0.0
        self.unlocked = False

    def check(self) -> None:
        """It can be cut at any time."""

    def cycle(self) -> None:
        """A power cut: counts are stored; credit and unlock are not, on a unit that forgets."""
        if self._forgets:
            self.active_until, self.unlocked = 0.0, False

    def _set_up(self, fields: bytes) -> bytes:
        _, code, key = fields.decode().split(";")
        said = super()._set_up(fields)
        self._judge = self._make(bytes.fromhex(key), int(code))
        return said

    def _enter(self, token: bytes) -> bytes:
        assert self._judge is not None
        kind, days = self._judge(token.decode())
        now = time.monotonic()
        if kind is TokenType.INVALID:
            return b"#TOKEN;INVALID\r\n"
        if kind is TokenType.ALREADY_USED:
            return b"#TOKEN;ALREADY_USED\r\n"
        if kind is TokenType.DISABLE_PAYG:
            self.unlocked = True
        elif kind is TokenType.SET_TIME:
            self.active_until, self.unlocked = now + (days or 0) * DAY_S, False
        elif kind is TokenType.ADD_TIME:
            self.active_until = max(now, self.active_until) + (days or 0) * DAY_S
        left = self.active_until - now
        if self.unlocked:
            return b"#TOKEN;PAYG_DISABLED\r\n"
        return b"#TOKEN;VALID;%d\r\n" % left if left > 0 else b"#TOKEN;INVALID\r\n"

    def _status(self) -> bytes:
        left = self.active_until - time.monotonic()
        if self.unlocked:
            return b"#STATUS;PAYG_DISABLED\r\n"
        return b"#STATUS;ACTIVE;%d\r\n" % left if left > 0 else b"#STATUS;INACTIVE\r\n"


def reference_c(key: bytes, starting_code: int) -> Callable[[str], Judged]:
    """The decoder of the public firmware in C, to the bit (docs/token-rules.md)."""
    config = DeviceConfig(key, starting_code)
    state = ReferenceState(0, 0)

    def judge(token: str) -> Judged:
        nonlocal state
        if not token.isdigit() or len(token) > 9:
            return TokenType.INVALID, None
        decoded = decode_token(config, token.zfill(9), state, dialect=Dialect.REFERENCE_C)
        state = decoded.state
        return decoded.token_type, decoded.value

    return judge


def openpaygo(key: bytes, starting_code: int) -> Callable[[str], Judged]:
    """The decoder of the public package, with its returned count and used counts kept as its readme says."""
    import openpaygo as public

    count, used = 1, []  # type: int, list[int]

    def judge(token: str) -> Judged:
        nonlocal count, used
        try:
            value, kind, new_count, new_used = public.decode_token(
                token=token, secret_key=key.hex(), count=count, used_counts=used, starting_code=starting_code
            )
        except (ValueError, UnboundLocalError, TypeError):
            return TokenType.INVALID, None
        if new_count is not None:
            count, used = new_count, new_used or []
        return TokenType(int(kind)), int(value) if value is not None else None

    return judge


@contextmanager
def target(name: str, folder: Path) -> Iterator[kit.Rig]:
    """A unit of this name, and the rig that it is on."""
    if name in ("pc", "avr", "cortex-m3"):
        with simulated_unit(folder, "--mcu", name) as unit:
            yield kit.Rig(unit.port, control=unit.control)
    elif name in ("vedirect", "epever"):
        with simulated_unit(folder, "--protocol", name) as unit:
            yield kit.Rig(unit.port, driver=name, control=unit.control, payg=str(folder / "brain.db"))
    else:
        with MemoryHdk({"hdk": reference_c, "openpaygo": openpaygo}[name], name == "hdk") as unit:
            yield kit.Rig(unit.port, power=unit)


def certify(name: str) -> dict[str, Any]:
    """One unit's verdicts, by test."""
    began = time.monotonic()
    serial = "990000001"
    with tempfile.TemporaryDirectory() as folder, target(name, Path(folder)) as rig:
        orders = kit.Orders(load(), Path(folder, "out"), COUNTS.get(name, USUAL_COUNTS), allow_unlock=True)
        outcome = kit.run(rig, Device(serial, DeviceConfig.from_hex(KEY, STARTING_CODE)), orders)
    seconds = round(time.monotonic() - began)
    for result in outcome.results:
        if result.verdict == "failed":
            print(f"  {name} {result.id}: {result.reason}", flush=True)
    print(f"{name}: {outcome.summary} ({seconds} s)", flush=True)
    return {
        "passed": [result.id for result in outcome.results if result.verdict == "passed"],
        "failed": {result.id: result.reason for result in outcome.results if result.verdict == "failed"},
        "not run": {result.id: result.reason for result in outcome.results if result.verdict == "not run"},
    }


TARGETS = ("pc", "avr", "cortex-m3", "vedirect", "epever", "hdk", "openpaygo")
OURS = TARGETS[:5]


def main() -> int:
    """The exit status: 0 when our own firmware, and our brain for chargers, passed everywhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="only these")
    chosen = parser.parse_args().targets or TARGETS
    said = json.loads(DATA.read_text("utf-8")) if DATA.exists() else {}
    for name in chosen:
        said[name] = certify(name)
        DATA.write_text(json.dumps({name: said[name] for name in TARGETS if name in said}, indent=1) + "\n", "utf-8")
    return 1 if any(said[name]["failed"] for name in OURS if name in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
