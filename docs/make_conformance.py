"""Makes docs/conformance.md from the kit's catalogue and docs/matrix.json (make matrix)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hw_bridge.conformance.catalogue import NEEDS, load
from hw_bridge.conformance.costs import costs

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
DATA = ROOT / "docs" / "matrix.json"
UNITS = {
    "pc": "our firmware on a PC",
    "avr": "on an ATmega328P (simavr)",
    "cortex-m3": "on a Cortex-M3 (QEMU)",
    "vedirect": "a VE.Direct charger, PAYG by the bridge",
    "epever": "an EPEVER charger, PAYG by the bridge",
    "hdk": "HDK: the reference C decoder, credit in memory",
    "openpaygo": "`openpaygo` 0.6.3 as a decoder",
}
HEAD = """# Conformance

`paygo conform run PORT` certifies a control unit over its cable: the official device test procedure (G1 to U3B),
and what it misses. It says of each test whether the unit passed, failed, or what it would have taken to run it. A
test that was not run is never counted as passed, and every test begins with a lock that must be accepted and whose
replay must be refused, so that none passes for lack of an answer or on a unit that says yes to everything.

```sh
paygo conform list
paygo conform run /dev/ttyUSB0 --serial SLT220000001 --registry fleet.db
paygo conform run /tmp/unit --control /tmp/unit.control --spend-counts 8000 --allow-unlock --yes
```

## What a run does to a unit

- It spends counts: at most 300, or `--spend-counts N`. What does not fit is not run. Each count is durable, in the
  registry where there is one and in `device.csv`, before its token is sent.
- At the end, also on Ctrl-C, it leaves the unit `--leave locked`, `unlocked` or with so many units of credit, by a
  token above every count that was made, so that no token of a transcript works any more. `device.csv` is then the
  device's row with its last count, for any platform's device list. It holds the key, and only its owner may read
  it.
- Tests that unlock the unit are run with `--allow-unlock` only, are announced, and lock it again. A unit that fails
  them may stay free.
- What needs time to pass runs where a clock can be advanced (`--control`, a simulated unit), or with `--wait
  MINUTES` in real time. A simulated unit is served with `--speed 1`, or 0: while a faster one is read, its credit
  runs away, and the run refuses it. What needs the power switched asks for `--power-off` and `--power-on` commands, a
  rig file, or `--operator`.
- `--resume` goes on where a run stopped; `paygo conform report FOLDER` makes the certificate of one that will not
  go on.

The folder then has `results.json`, `junit.xml` and `certificate.html`, one page with verdicts rule by rule, timings
and the transcript of each test. `paygo conform keygen maker.key` makes a key; with `--sign-key maker.key` a run
signs the three files, and `paygo conform verify FOLDER --public-key maker.key.pub` checks that they are as they
were signed.

## Rigs

A rig file says what belongs together; `paygo conform run --rig rig.toml` tests all its units at once.

```toml
[[unit]]
name = "place 1"
port = "/dev/ttyUSB0"
serial = "SLT220000001"
power_off = "usbrelay HURTM_1=0"
power_on = "usbrelay HURTM_1=1"
wait_minutes = 10

[[unit]]
name = "place 2"
port = "/dev/ttyUSB1"
serial = "SLT220000002"
relay = "/dev/ttyUSB2:1:0"   # a coil on Modbus RTU: port, unit, coil
```

A run begins only when the relay answers. One that stops answering blocks what needs it: such tests are not run, and say
why. The supply stays away for `off_seconds`, 2 if not given. `driver`, `baud` and `control` may be given too, and
`load_amperes`: what a load on the unit's output draws at least,
for the tests that see current flow.

A plain charger, which knows no tokens, is certified together with the bridge that runs it: `payg = "bench.db"`, or
`paygo conform run PORT --driver vedirect --payg bench.db`, keeps the bridge's PAYG state in that file, and a power cut
is one of both.

## In pytest

The package brings a pytest plugin. Without a port the unit is a simulated one.

```python
import pytest


def test_my_thing(paygo_unit):
    assert paygo_unit.enter(paygo_unit.server.add(days=7)).verdict == "accepted"


@pytest.mark.paygo_needs("power")
def test_power(paygo_unit, paygo_server):
    paygo_unit.enter(paygo_server.set(days=2))
    paygo_unit.power_cycle()
    assert paygo_unit.driver.status().state == "active"
```

```sh
pytest --paygo-port /dev/ttyUSB0 --paygo-serial SLT220000001 --paygo-registry fleet.db
pytest --paygo-rig "rig.toml:place 1" --paygo-registry fleet.db
```

## How the kit itself is tested

`make kit-mutants` breaks our firmware in nearly a hundred ways, one at a time: every defect known from the field,
each edge of each window, each stored field, each way in. The kit must fail each one, and the test that says so must
be the right one.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_matrix(), *_needs(), *_catalogue()]).rstrip() + "\n"


def _mark(said: dict[str, Any], test: str) -> str:
    return "failed" if test in said["failed"] else "passed" if test in said["passed"] else ""


def _matrix() -> list[str]:
    if not DATA.exists():
        return []
    said = json.loads(DATA.read_text("utf-8"))
    names = [name for name in UNITS if name in said]
    lines = [
        "## Who passes what",
        "",
        "`make matrix` runs the kit against each and writes this table; empty: not run there.",
        "",
    ]
    lines += ["| | " + " | ".join(UNITS[name] for name in names) + " |", "| --- |" + " --- |" * len(names)]
    totals = [f"{len(said[name]['passed'])} passed, {len(said[name]['failed'])} failed" for name in names]
    lines.append("| **all** | " + " | ".join(totals) + " |")
    for test in load():
        marks = [_mark(said[name], test.id) for name in names]
        if "failed" in marks:
            lines.append(f"| {test.id} {test.title} | " + " | ".join(marks) + " |")
    lines += ["", "Every test that is not in this table passed wherever it was run. What was not run, and why:", ""]
    for name in names:
        by_reason: dict[str, list[str]] = {}
        for test, reason in said[name].get("not run", {}).items():
            by_reason.setdefault(reason, []).append(test)
        for reason, tests in by_reason.items():
            lines.append(f"- {UNITS[name]}: {', '.join(tests)} {reason}")
    return [*lines, ""]


def _needs() -> list[str]:
    lines = ["## What a test can need", "", "| need | |", "| --- | --- |"]
    return [*lines, *(f"| {name} | {text} |" for name, text in NEEDS.items()), ""]


def _catalogue() -> list[str]:
    lines = [
        "## The catalogue",
        "",
        "Counts are those of an example device; time is the unit's own, which a simulated one lets pass at once.",
        "",
    ]
    lines += [
        "| test | rule | what it shows | needs | counts | time | finds in the field |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in costs(load()):
        minutes = f"{row['world_seconds'] / 60:.0f} min" if row["world_seconds"] else ""
        cells = (
            row["id"],
            row["rule"],
            row["title"],
            ", ".join(row["needs"]),
            str(row["counts"]),
            minutes,
            row["catches"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
