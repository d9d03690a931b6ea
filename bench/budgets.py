"""Reads what pytest-benchmark saved: prints each budget with what was measured, and draws time against count.

It reports and does not fail of a missed budget: machines differ.

python bench/budgets.py build/bench/results.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as graphs

from paygo_core.report import Page, Section, write


@dataclass(frozen=True)
class Budget:
    """measured is None where this machine cannot measure it."""

    what: str
    measured: float | None
    limit: float
    at_most: bool = False
    unit: str = "x"

    @property
    def kept(self) -> bool:
        assert self.measured is not None
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """The row of the table."""
        bound = f"{'≤' if self.at_most else '≥'} {self.limit:g} {self.unit}"
        if self.measured is None:
            return self.what, bound, "-", "not on this machine"
        return self.what, bound, f"{self.measured:.2f} {self.unit}", "kept" if self.kept else "MISSED"


class Results:
    """The fastest round of each benchmark, in seconds, by its name."""

    def __init__(self, saved: dict[str, Any]) -> None:
        self._runs = {run["name"]: run for run in saved["benchmarks"]}

    def seconds(self, name: str) -> float | None:
        return float(self._runs[name]["stats"]["min"]) if name in self._runs else None

    def quarter(self, name: str) -> float | None:
        """What a quarter of the rounds stay below, in seconds: a disk's best sync is luck, its worst another's."""
        return float(self._runs[name]["stats"]["q1"]) if name in self._runs else None

    def info(self, name: str, key: str) -> float | None:
        return float(self._runs[name]["extra_info"][key]) if name in self._runs else None

    def ratio(self, slower: str, faster: str) -> float | None:
        """How many times faster."""
        one, other = self.seconds(slower), self.seconds(faster)
        return one / other if one is not None and other is not None else None

    def rate(self, name: str) -> float | None:
        """Steps of chains a second."""
        seconds, steps = self.seconds(name), self.info(name, "steps")
        return steps / seconds if seconds is not None and steps is not None else None

    def faster(self, name: str, than: str) -> float | None:
        """How many times the rate."""
        one, other = self.rate(name), self.rate(than)
        return one / other if one is not None and other is not None else None


def budgets(results: Results) -> list[Budget]:
    """The table: every budget."""
    table = [
        Budget(
            "a chain step, of 8 bare SipHash rounds", results.ratio("test_chain_steps", "test_bare_rounds"), 1.1, True
        )
    ]
    for verb, count, limit in (("generate", 1, 12), ("decode", 1, 8), ("generate", 1000, 400), ("decode", 1000, 400)):
        measured = results.ratio(f"test_{verb}_openpaygo[{count}]", f"test_{verb}_paygo_solar[{count}]")
        table.append(Budget(f"{verb} at count {count}, faster than openpaygo", measured, limit))
    warm = "test_decode_with_a_warm_cache"
    table.append(
        Budget(
            "decode with a warm cache, count 60 000 of 100", results.ratio(f"{warm}[60000]", f"{warm}[100]"), 3, True
        )
    )
    for path, limit in (("avx512", 6.5), ("avx2", 3.3), ("neon", 1.4), ("scalar", 1.4)):
        equal, unequal, two = (f"test_batch[{path}-{rest}]" for rest in ("1-equal", "1-unequal", "2-equal"))
        table += [
            Budget(f"{path}: equal counts, faster than one chain", results.faster(equal, "test_one_chain"), limit),
            Budget(f"{path}: unequal counts, of the equal ones' rate", results.faster(unequal, equal), 0.85),
            Budget(f"{path}: two threads, faster than one", results.faster(two, equal), 1.8),
        ]
    copy, bare, batch = (
        results.seconds(f"test_{name}") for name in ("read_and_write_the_csv", "bare_batch", "token_batch")
    )
    share = batch / (copy + bare) if copy and bare and batch else None
    table.append(Budget("paygo token batch, 1 000 000 devices, of CSV and bare batch", share, 2, True))
    memory = results.info("test_token_batch", "megabytes")
    table.append(Budget("paygo token batch, 1 000 000 devices, memory", memory, 300, True, "MB"))
    table += registry_budgets(results)
    table += moving_budgets(results)
    faster = results.ratio("test_vedirect_of_pypi", "test_vedirect_of_ours")
    table.append(Budget("VE.Direct to typed values, faster per byte than vedirect", faster, 4))
    asked, bare = results.quarter("test_status_round_trip"), results.info("test_status_round_trip", "bare")
    share = asked / bare if asked and bare else None
    table.append(Budget("status round trip on a pty, of bare pyserial's", share, 2, True))
    return table + fleet_budgets(results)


def fleet_budgets(results: Results) -> list[Budget]:
    """The rows of simulated fleets: time a unit and step, which is absolute, and what vectors bring."""
    table = []
    for path, limit, times in (("plain", 25.0, 1.5), ("avx2", 12.0, 3.0), ("avx512", 12.0, 3.0)):
        name = f"test_fleet_day[{path}]"
        rate = results.rate(name)
        table += [
            Budget(f"fleet, {path}: a unit's step", 1e9 / rate if rate else None, limit, True, "ns"),
            Budget(f"fleet, {path}: faster than scalar", results.ratio("test_fleet_day[scalar]", name), times),
        ]
    share = results.ratio("test_fleet_year", "test_engine_year")
    table.append(Budget("fleet: a year of 1000 units with its files, of the engine alone", share, 2, True))
    return table


def registry_budgets(results: Results) -> list[Budget]:
    """The rows of the registry."""
    bare, one, batch = (results.quarter(f"test_{name}") for name in ("bare_write_and_sync", "issue_one", "issue_batch"))
    tokens = results.info("test_issue_batch", "tokens")
    few, many = (results.quarter(f"test_open_and_issue[{number}]") for number in (1000, 1_000_000))
    return [
        Budget("one durable token, of a bare write and fsync", one / bare if one and bare else None, 4, True),
        Budget("a token of a batch, faster than one", one * tokens / batch if one and tokens and batch else None, 100),
        Budget("open and issue, 1 000 000 devices of 1 000", many / few if many and few else None, 1.2, True),
    ]


def moving_budgets(results: Results) -> list[Budget]:
    """The rows of fleets that move house."""
    plain, encrypted = (
        results.ratio(f"test_import_the_list[{how}]", "test_read_the_list") for how in ("plain", "encrypted")
    )
    memory = results.info("test_import_the_list[plain]", "megabytes")
    return [
        Budget("import of 1 000 000 devices, of reading the CSV", plain, 10, True),
        Budget("import of 1 000 000 devices, memory", memory, 300, True, "MB"),
        Budget("the same under a passphrase, of reading the CSV", encrypted, 20, True),
    ]


def time_against_count(results: Results) -> Any:
    """One line a way to compute, both axes logarithmic."""
    figure = graphs.Figure()
    for label, name in (
        ("openpaygo, generate", "test_generate_openpaygo"),
        ("openpaygo, decode", "test_decode_openpaygo"),
        ("generate", "test_generate_paygo_solar"),
        ("decode", "test_decode_paygo_solar"),
        ("decode, warm cache", "test_decode_with_a_warm_cache"),
    ):
        points = [(count, results.seconds(f"{name}[{count}]")) for count in (1, 100, 1000, 10_000, 60_000)]
        measured = [(count, seconds * 1e6) for count, seconds in points if seconds is not None]
        figure.add_scatter(x=[x for x, _ in measured], y=[y for _, y in measured], name=label, mode="lines+markers")
    figure.update_xaxes(title="count", type="log")
    figure.update_yaxes(title="microseconds", type="log")
    return figure


def main(path: str) -> None:
    """Prints the table and writes the page beside the results."""
    saved = json.loads(Path(path).read_text("utf-8"))
    results = Results(saved)
    rows = [budget.cells() for budget in budgets(results)]
    header = ("what", "budget", "measured", "")
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(4)]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    missed = [row[0] for row in rows if row[3] == "MISSED"]
    verdict = f"{len(missed)} budgets missed: {'; '.join(missed)}" if missed else "all budgets kept"
    cpu = saved["machine_info"]["cpu"].get("brand_raw", "unknown processor")
    page = Page(
        "The budgets",
        "Ratios of one run, of the fastest rounds or, for the registry, of first quartiles; make bench repeats it.",
        verdict,
        not missed,
        [("processor", cpu), ("Python", saved["machine_info"]["python_version"]), ("measured", saved["datetime"][:16])],
        [
            Section("Time against count", plot=time_against_count(results)),
            Section("Budgets", columns=header, rows=rows),
        ],
    )
    target = Path(path).with_suffix(".html")
    write(page, target)
    print(f"{verdict}; drawn in {target}")


if __name__ == "__main__":
    main(sys.argv[1])
