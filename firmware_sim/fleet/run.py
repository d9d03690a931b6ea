"""Runs a fleet chunk by chunk, in processes, and writes its directory; what is there already is not run again."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures import as_completed as as_completed_here
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.fleet import tables
from firmware_sim.fleet.chunk import TABLES, Plan, run_chunk
from firmware_sim.fleet.engine import checked_step
from firmware_sim.fleet.faults import KINDS
from firmware_sim.plant.catalogue import kit
from firmware_sim.plant.sites import site
from paygo_core import __version__
from paygo_core.draft import PREFIX, write_whole
from paygo_core.errors import NoAnswerError, PaygoError, PortError

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
Chunked = tuple[dict[str, bytes], list[str]]
"""What run_chunk returns."""
MOST_UNITS, MOST_DAYS = 1_000_000, 36_500
WORKER_S = 30
"""How long a cluster may be without a worker at the start."""


def checked(plan: Plan) -> Plan:
    """The plan, if it can be run. Raises PaygoError."""
    for name, value, most in (("units", plan.units, MOST_UNITS), ("days", plan.days, MOST_DAYS)):
        if not 1 <= value <= most:
            raise PaygoError(f"a fleet cannot have {value} {name}", f"{name} lie between 1 and {most}")
    checked_step(plan.step_s)
    if not 0 <= plan.seed < 1 << 63:
        raise PaygoError(f"the seed cannot be {plan.seed}", "a seed is a whole number from 0 to 2**63 - 1")
    for model in plan.models:
        kit(model)
    for place in plan.sites:
        site(place)
    for name, rate in plan.rates.items():
        if name not in KINDS:
            raise PaygoError(f"there is no fault {name!r}", f"faults are {', '.join(KINDS)}")
        if not 0 <= rate <= 1000:
            raise PaygoError(f"{name} cannot happen {rate:g} times a year", "rates lie between 0 and 1000 a year")
    return plan


def run(
    plan: Plan,
    directory: Path,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    cluster: str | None = None,
) -> int:
    """Writes what is missing of the run and returns how many chunks that were.

    directory: empty, new, or of the same plan. workers: processes, 0 for one a core. progress: is told how many chunks
    of how many are done. cluster: a dask scheduler's address, tcp://HOST:PORT, whose workers run the chunks instead;
    the files are written here. The files' bytes depend on the plan alone. Raises PaygoError, PortError while another
    run writes there.
    """
    chunks = checked(plan).chunks()
    with _alone_in(directory):
        _claim(plan, directory)
        missing = [number for number in range(len(chunks)) if not _file(directory, "days", number).exists()]
        done = len(chunks) - len(missing)
        if cluster is None:
            results = _results(plan, missing, workers or os.cpu_count() or 1)
        else:
            results = _on_cluster(plan, missing, cluster)
        for number, (made, payers) in results:
            write_whole(directory / f"payers-{number:05}.json", json.dumps(payers).encode())
            for name in (*TABLES[1:], TABLES[0]):  # the days come last: they say that all is there
                write_whole(_file(directory, name, number), made[name])
            done += 1
            if progress is not None:
                progress(done, len(chunks))
        _write_units(plan, directory)
        return len(missing)


def _results(plan: Plan, missing: list[int], workers: int) -> Iterator[tuple[int, Chunked]]:
    if workers == 1 or len(missing) <= 1:
        for number in missing:
            yield number, run_chunk(plan, number)
        return
    most = min(workers, len(missing))
    with ProcessPoolExecutor(most, mp_context=get_context("spawn"), initializer=_end_at_interrupt) as pool:
        with _uninterrupted():
            running = {pool.submit(run_chunk, plan, number): number for number in missing}
        try:
            for future in as_completed_here(running):
                yield running.pop(future), future.result()
        except BrokenProcessPool:
            raise NoAnswerError(
                "a worker process was killed",
                "run it again, with fewer workers if memory is short: it goes on from here",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of this. Processes that are started meanwhile are not interrupted until they ask for it,
    and so never as they import."""
    held: list[int] = []
    resource_tracker.ensure_running()  # whose start would let interrupts through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    ours = threading.current_thread() is threading.main_thread()  # a thread of numpy's may still take it for this one
    handler = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number)) if ours else None
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if ours:
            signal.signal(signal.SIGINT, handler)
    if held:
        signal.raise_signal(signal.SIGINT)


def _end_at_interrupt() -> None:
    """Ctrl-C ends a worker without a word: it reaches the whole run, which says so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _on_cluster(plan: Plan, missing: list[int], address: str) -> Iterator[tuple[int, Chunked]]:
    """A chunk that a lost worker had is run again by another."""
    try:
        from distributed import Client, KilledWorker, as_completed
        from distributed.comm.core import CommClosedError
    except ModuleNotFoundError:
        raise PaygoError("a cluster needs dask.distributed", "pip install 'paygo-solar[cluster]'") from None
    try:
        client = Client(address, timeout="15s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise PaygoError(f"no scheduler answers at {address}: {error}", "start one with `dask scheduler`") from None
    again = "run it again: it goes on from here"
    with _silent("distributed.client"), client, client.as_current():
        try:
            client.wait_for_workers(1, timeout=WORKER_S)
            check_alike(client.run(versions, on_error="return"))
            running = {client.submit(_run_there, plan, number, pure=False): number for number in missing}
            for future in as_completed(list(running)):
                there, chunked = future.result()
                check_alike({"which came later": there})
                yield running.pop(future), chunked
        except asyncio.TimeoutError:
            raise NoAnswerError(
                f"no worker has come to {address} in {WORKER_S} s", f"start one with `dask worker {address}`"
            ) from None
        except (CancelledError, CommClosedError):
            raise NoAnswerError(f"the scheduler at {address} was lost", again) from None
        except KilledWorker:
            raise NoAnswerError(
                "several workers ended as they ran the same chunk", f"see to their memory; {again}"
            ) from None


def _run_there(plan: Plan, number: int) -> tuple[str, Chunked]:
    """On a worker: what it has, and its chunk."""
    return versions(), run_chunk(plan, number)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """A logger that would print its own view of what we say in a sentence."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def versions() -> str:
    """What the bytes of a chunk may depend on, as it is installed here."""
    return f"paygo-solar {__version__} and numpy {np.__version__}"


def check_alike(found: Mapping[str, object]) -> None:
    """Raises PaygoError if a worker has other versions than this machine. found: what `versions` gave, by address."""
    for address, there in found.items():
        if there != versions():
            raise PaygoError(
                f"the worker {address} has {there}, and this machine {versions()}",
                "install the same versions on each machine, since the files' bytes may depend on them",
            )


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Makes it, and keeps other runs out of it until the end, however this process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(directory, error) from None
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PortError(
                f"another run writes to {directory}", "wait for its end, or name another directory"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(held)


def _unusable(directory: Path, error: OSError) -> PaygoError:
    return PaygoError(f"{directory} cannot be used: {error}", "name a directory that can be written to")


def _about(plan: Plan) -> dict[str, Any]:
    chunks = len(plan.chunks())  # which units are in which file
    return {"version": 1, "kit": __version__, "start": START.isoformat(), "chunks": chunks, **asdict(plan)}


def _claim(plan: Plan, directory: Path) -> None:
    """Makes the directory this plan's, or says whose it is."""
    about = directory / "fleet.json"
    said = json.loads(json.dumps(_about(plan)))
    try:
        if about.exists():
            if _told(about) != said:
                raise PaygoError(f"{directory} holds another run", "name another directory, or remove that one")
        elif not all(path.name.startswith(PREFIX) for path in directory.iterdir()):
            raise PaygoError(f"{directory} is not empty", "name a new directory")
        else:
            write_whole(about, json.dumps(said, indent=2).encode())
        for left in directory.glob(f"{PREFIX}*"):  # by a run that was killed as it wrote
            left.unlink()
    except OSError as error:
        raise _unusable(directory, error) from None


def _told(about: Path) -> Any:
    """What the file says, None where it is no JSON."""
    try:
        return json.loads(about.read_text("utf-8"))
    except ValueError:
        return None


def _write_units(plan: Plan, directory: Path) -> None:
    """units.parquet, in the order of the units' numbers."""
    rows = []
    for number, units in enumerate(plan.chunks()):
        payers = json.loads((directory / f"payers-{number:05}.json").read_text("utf-8"))
        rows += [(unit, *plan.model_and_site(unit), payer) for unit, payer in zip(units.tolist(), payers, strict=True)]
    numbers, models, sites, payers = zip(*sorted(rows), strict=True)
    write_whole(directory / "units.parquet", tables.units(numbers, [kit(model) for model in models], sites, payers))


def _file(directory: Path, table: str, number: int) -> Path:
    return directory / f"{table}-{number:05}.parquet"
