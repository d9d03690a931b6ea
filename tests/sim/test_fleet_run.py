"""A fleet's run: the same files by any number of workers and after a kill, tokens judged as units judge them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from firmware_sim.cli import sim
from firmware_sim.fleet import run as running
from firmware_sim.fleet.chances import Chances
from firmware_sim.fleet.chunk import CODES, Chunk, Plan
from firmware_sim.fleet.engine import ALWAYS, DAY_S
from firmware_sim.fleet.faults import KINDS, plan
from firmware_sim.fleet.payments import PAYERS, UNLOCK_AFTER_D, Customer
from firmware_sim.plant.catalogue import KITS
from firmware_sim.plant.chances import GOLDEN, MASK, mixed
from firmware_sim.plant.loads import household
from paygo_core.draft import PREFIX
from paygo_core.errors import NoAnswerError, PaygoError, PortError

SMALL = Plan(150, 12, models=("home-50", "home-50-lfp"), sites=("nairobi",), rates={"battery-disconnected": 8.0})


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def table(directory: Path, name: str) -> list[dict[str, Any]]:
    return [
        row
        for path in sorted(directory.glob(f"{name}-*.parquet"))
        for row in pyarrow.parquet.read_table(path).to_pylist()
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fleet") / "run"
    assert running.run(SMALL, directory, workers=1) == 2
    return directory


def test_two_processes_write_the_same_bytes_as_one(small: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    running.run(SMALL, tmp_path / "two", workers=2, progress=lambda done, of: seen.append((done, of)))
    assert files(tmp_path / "two") == files(small)
    assert seen == [(1, 2), (2, 2)]


def test_a_killed_run_goes_on_where_it_was(small: Path, tmp_path: Path) -> None:
    """Killed right after the first chunk's tables are complete, at a write that is counted."""
    code = f"""
import os, signal
from pathlib import Path
from firmware_sim.fleet import run
from firmware_sim.fleet.chunk import Plan
whole, writes = run.write_whole, []
def write(path, content):
    whole(path, content)
    writes.append(path.name)
    if len(writes) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
run.write_whole = write
run.run({SMALL!r}, Path({str(tmp_path / "killed")!r}), workers=1)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=100)
    assert ended.returncode == -signal.SIGKILL
    left = files(tmp_path / "killed")
    assert "days-00000.parquet" in left
    assert "days-00001.parquet" not in left
    assert running.run(SMALL, tmp_path / "killed", workers=1) == 1
    assert files(tmp_path / "killed") == files(small)
    assert running.run(SMALL, tmp_path / "killed", workers=1) == 0


SIX = Plan(400, 12, models=("home-50", "home-50-lfp"), sites=("nairobi", "dhaka", "lagos"), seed=4)


def test_a_run_whose_workers_are_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """As a system does that is short of memory."""

    def progress(done: int, _of: int) -> None:
        for worker in active_children() if done == 1 else ():
            worker.kill()

    with pytest.raises(NoAnswerError, match="a worker process was killed"):
        running.run(SIX, tmp_path / "run", workers=2, progress=progress)
    assert 1 <= running.run(SIX, tmp_path / "run", workers=1) <= 5
    running.run(SIX, tmp_path / "other", workers=1)
    assert files(tmp_path / "run") == files(tmp_path / "other")


def test_ctrl_c_while_workers_start_is_told_once(tmp_path: Path) -> None:
    """A terminal sends it to all of them, and they are importing then."""
    command = [sys.executable, "-c", "from paygo_core.cli import main; main()", "sim", "fleet"]
    options = ["--units", "400", "--days", "400", "--workers", "2", "-o", str(tmp_path / "run")]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, start_new_session=True) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        while run.poll() is None and len(children.read_text("ascii").split()) < 3:  # two, and what cleans up after them
            pass
        os.killpg(run.pid, signal.SIGINT)
        assert run.communicate(timeout=60)[1] == b"\npaygo: interrupted\n"
    assert run.returncode == 130


def test_a_cluster_that_loses_a_worker_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two worker processes of a real dask scheduler; one is killed when the first chunk has come back.

    Before they come, and when the scheduler is lost, there is an error.
    """
    four = Plan(400, 20, models=("home-50", "home-50-lfp"), sites=("nairobi", "dhaka"), seed=4)
    assert len(four.chunks()) == 4
    running.run(four, tmp_path / "here", workers=1)
    dask = (sys.executable, "-W", "ignore", "-m", "dask")
    local = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[str]:
            process = subprocess.Popen([*dask, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        scheduler = start("scheduler", "--port", "0", *local)
        assert scheduler.stderr is not None
        address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
        worker = ("worker", address, "--nthreads", "1", "--no-nanny", *local, "--local-directory")
        monkeypatch.setattr(running, "WORKER_S", 1)
        with pytest.raises(NoAnswerError, match=r"no worker has come to tcp://127.0.0.1:[0-9]+ in 1 s"):
            running.run(four, tmp_path / "there", cluster=address)
        monkeypatch.undo()
        workers = [start(*worker, str(tmp_path / name)) for name in ("one", "two")]
        told: list[int] = []

        def progress(done: int, of: int) -> None:
            told.append(done)
            assert of == len(four.chunks())
            if done == 1:
                workers[0].kill()

        running.run(four, tmp_path / "there", progress=progress, cluster=address)
        with pytest.raises(NoAnswerError, match=r"the scheduler at tcp://127.0.0.1:[0-9]+ was lost"):
            running.run(four, tmp_path / "lost", progress=lambda *_: scheduler.kill(), cluster=address)
    assert told == list(range(1, len(four.chunks()) + 1))
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_a_second_run_is_kept_out_and_takes_nothing_from_the_first(tmp_path: Path) -> None:
    """Started in the first one's progress, beside a draft that it has begun."""
    two = Plan(70, 1, models=("home-50", "home-50-lfp"))
    draft, refused = tmp_path / "run" / f"{PREFIX}half", []

    def progress(_done: int, _of: int) -> None:
        draft.write_bytes(b"half a table")
        with pytest.raises(PortError, match="another run writes to") as caught:
            running.run(two, tmp_path / "run", workers=1)
        refused.append(caught.value)
        assert draft.exists()

    running.run(two, tmp_path / "run", workers=1, progress=progress)
    assert len(refused) == 2
    assert running.run(two, tmp_path / "run", workers=1) == 0, "and let in afterwards"


def test_a_worker_with_other_versions_is_refused() -> None:
    running.check_alike({"tcp://127.0.0.1:1": running.versions()})
    for there in ("paygo-solar 0.0.1 and numpy 1.0", ModuleNotFoundError("No module named 'firmware_sim'")):
        with pytest.raises(
            PaygoError, match=r"the worker tcp://127.0.0.1:2 has (paygo-solar 0.0.1|No module).* and this machine"
        ):
            running.check_alike({"tcp://127.0.0.1:1": running.versions(), "tcp://127.0.0.1:2": there})


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PaygoError, match="no scheduler answers at nowhere"):
        running.run(SMALL, tmp_path / "run", cluster="nowhere://1")


def test_another_run_or_strange_files_are_not_overwritten(small: Path, tmp_path: Path) -> None:
    with pytest.raises(PaygoError, match="another run"):
        running.run(Plan(150, 13), small)
    (tmp_path / "letter.txt").write_text("dear", "utf-8")
    with pytest.raises(PaygoError, match="not empty"):
        running.run(SMALL, tmp_path)
    with pytest.raises(PaygoError, match="cannot be used"):
        running.run(SMALL, tmp_path / "letter.txt")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/fleet.json").write_text("{", "utf-8")
    with pytest.raises(PaygoError, match="damaged holds another run"):
        running.run(SMALL, tmp_path / "damaged")


def test_what_the_tables_hold(small: Path) -> None:
    units = pyarrow.parquet.read_table(small / "units.parquet").to_pylist()
    assert [unit["unit"] for unit in units] == list(range(150))
    assert {unit["chemistry"] for unit in units} == {"flooded", "lfp"}
    days = table(small, "days")
    assert Counter((row["unit"], row["day"]) for row in days) == {(u, d): 1 for u in range(150) for d in range(12)}
    for row in days:
        active = row["payment_h"] + row["bonus_h"] + row["manual_h"] + row["enable_h"]
        assert row["on_h"] <= active + 2 / 60
        assert row["light_h"] <= row["on_h"] + 1e-3
        assert 0 <= row["charge_min"] <= row["charge_end"] <= row["charge_max"] <= 1
        assert row["battery_min_mv"] <= row["battery_max_mv"]
    assert sum(row["load_wh"] for row in days) > 0.5 * sum(row["panel_wh"] for row in days)
    alerts = table(small, "alerts")
    codes = Counter(row["code"] for row in alerts)
    assert codes["BATTERY_DISCONNECTED"] > 10
    assert set(codes) <= set(CODES)
    last: dict[tuple[int, str], int] = {}
    for row in alerts:
        key = (row["unit"], row["code"])
        assert key not in last or last[key] <= row["raised_s"], "an alert was raised while it lasted"
        assert row["cleared_s"] is None or row["cleared_s"] > row["raised_s"]
        last[key] = 12 * DAY_S if row["cleared_s"] is None else row["cleared_s"]
    failures = table(small, "failures")
    boards = {unit["unit"]: unit["board"] for unit in units}
    assert failures
    assert {boards[row["unit"]] for row in failures} == {"legacy"}, "a protected board outlives a lost battery"
    assert {row["cause"] for row in failures} >= {"battery disconnected"}


def test_the_model_of_payments(small: Path) -> None:
    tokens = table(small, "tokens")
    verdicts = Counter((row["kind"], row["verdict"]) for row in tokens)
    assert {kind for kind, verdict in verdicts if verdict == "accepted"} <= {"add", "unlock", "out-of-order"}
    assert verdicts["add", "accepted"] > 100
    assert not any(verdicts[kind, "accepted"] for kind in ("replay", "mistyped"))
    assert {row["reason"] for row in tokens if row["verdict"] != "accepted"} == {""}


def test_a_customer_is_active_for_what_was_paid_and_unlocks_in_the_end() -> None:
    """Over four years: active seconds come from grants first, and after the unlock from `enable`."""
    kinds = set()
    for unit in range(40):
        customer = Customer(3, unit)
        assert customer.payer in PAYERS
        granted = used = 0.0
        for day in range(4 * 365):
            before = customer.credit_s(day * DAY_S)
            entries = customer.entries_of(day)
            kinds |= {entry.kind for entry in entries}
            granted += sum(entry.days for entry in entries if entry.verdict == "accepted" and entry.kind != "unlock")
            if before < ALWAYS and not entries:
                used += sum(customer.use(min(before, DAY_S)).values()) / DAY_S
        assert used <= granted + 1e-6
        if customer.payer in ("early", "on-time"):
            assert customer.credit_s(5 * 365 * DAY_S) == ALWAYS
            while customer.grants:
                customer.use(DAY_S)
            assert customer.use(3600) == {"enable": 3600}
    assert kinds == {"add", "unlock", "replay", "out-of-order", "mistyped"}
    assert UNLOCK_AFTER_D == 540


def test_faults_are_drawn_by_their_rates() -> None:
    kit = KITS["home-50-lfp"]
    surges = sum(len(plan(1, unit, kit, 365, dict.fromkeys(KINDS, 0.0) | {"surge": 2.0})) for unit in range(400))
    assert surges == pytest.approx(800, abs=100)
    assert plan(1, 0, KITS["home-50"], 3650, dict.fromkeys(KINDS, 0.0) | {"cell-imbalance": 9.0}) == []
    deeds = plan(1, 7, kit, 3650, {})
    assert deeds == plan(1, 7, kit, 3650, {})
    assert [deed.at_s for deed in deeds] == sorted(deed.at_s for deed in deeds)


def test_what_starts_together_reaches_the_protection_against_short_circuits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pumps take 11 A, below the over-current limit of 12.5 A, and 26 A for a moment as the last one starts."""
    pumps = replace(KITS["home-100-lfp"], home=household("pumps", *3 * ["water pump"]))
    monkeypatch.setattr("firmware_sim.fleet.chunk.kit", lambda _: pumps)
    ran = Chunk(Plan(64, 4, rates=dict.fromkeys(KINDS, 0.0)), np.arange(64)).run()
    codes = Counter(pyarrow.parquet.read_table(io.BytesIO(ran["alerts"])).column("code").to_pylist())
    assert codes["SHORT_CIRCUIT"] > 5
    assert "OVERCURRENT" not in codes


def test_a_run_that_was_killed_in_the_middle_of_a_file_leaves_none_of_it(tmp_path: Path) -> None:
    for killed in (tmp_path / "new", tmp_path / "begun"):
        if killed.name == "begun":
            running.run(Plan(2, 1), killed, workers=1)
        killed.mkdir(exist_ok=True)
        (killed / f"{PREFIX}half").write_bytes(b"half a table")
        running.run(Plan(2, 1), killed, workers=1)
        assert not [path for path in killed.iterdir() if path.name.startswith(".")]


def test_a_chunk_does_without_pandas() -> None:
    """It would take a worker as long to start as a month of a hundred units takes."""
    code = """
import sys
from firmware_sim.fleet.chunk import Plan, run_chunk
run_chunk(Plan(2, 1), 0)
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=100).returncode == 0


def test_chances_are_of_their_own() -> None:
    state = mixed(mixed(mixed(1 + GOLDEN & MASK) + 2) + 3 & MASK)
    assert Chances(1, 2, 3).next() == (mixed(state + GOLDEN & MASK) >> 11) / 2**53
    first = [Chances(1, 2, 3).next() for _ in range(2)]
    assert first[0] == first[1]
    lots = [Chances(seed, unit, purpose).next() for seed in range(5) for unit in range(50) for purpose in range(3)]
    assert len(set(lots)) == len(lots)
    assert sum(lots) / len(lots) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--units", "0"], "0 units"),
        (["--days", "99999"], "99999 days"),
        (["--step", "7"], "7 s"),
        (["--model", "castle"], "castle"),
        (["--site", "moon"], "moon"),
        (["--rate", "surge"], "surge"),
        (["--rate", "rain=1"], "rain"),
        (["--rate", "surge=-1"], "-1 times"),
        (["--seed", "-1"], "-1"),
        (["--workers", "-1"], "-1 workers"),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path: Path, options: list[str], cause: str) -> None:
    words = ["fleet", "--units", "2", "--days", "1", "-o", str(tmp_path / "run"), *options]
    result = CliRunner().invoke(sim, words)
    assert isinstance(result.exception, PaygoError)
    assert cause in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_the_command_and_the_report_of_it(tmp_path: Path) -> None:
    words = ["fleet", "--units", "70", "--days", "2", "--workers", "1", "-o", str(tmp_path / "run"), "--json"]
    done = CliRunner().invoke(sim, words, catch_exceptions=False)
    assert json.loads(done.output) == {
        "directory": str(tmp_path / "run"), "units": 70, "days": 2, "chunks": 2, "run_now": 2,
    }  # fmt: skip
    again = CliRunner().invoke(sim, words[:-1], catch_exceptions=False)
    assert "2 of 2 chunks were there already" in again.output
    report = CliRunner().invoke(sim, ["report", str(tmp_path / "run"), "--json"], catch_exceptions=False)
    assert report.exit_code == 0
    assert (tmp_path / "run" / "report.html").exists()
    assert not [path for path in os.listdir(tmp_path / "run") if path.startswith(".")]
