"""A bridge that dies at a counted step: for each line on standard input forks, carries a command out, tells the end.

Usage: killed_bridge.py PORT REGISTRY; a line is JSON: {"steps": N, "kind": KIND, "token": DIGITS or null}. Steps are
bytes written or read, and transactions before and after their commit.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager

from bad_line import Countdown, KillingLine

from hw_bridge.carry_out import carry_out
from hw_bridge.commands import CommandJournal
from hw_bridge.drivers.hdk import HdkDriver


def dying_journal(countdown: Countdown) -> type[CommandJournal]:
    class DyingJournal(CommandJournal):
        @contextmanager
        def _transaction(self):
            with super()._transaction() as session:
                yield session
                countdown.step()
            countdown.step()

    return DyingJournal


def run(port: str, registry: str, job: dict) -> None:
    countdown = Countdown(job["steps"])
    with dying_journal(countdown).open(registry) as journal, KillingLine(port, countdown) as line:
        unit = HdkDriver(line)
        info = unit.identify()
        serial = info.serial if info is not None else None
        command = journal.record(job["kind"], serial=serial, port=port, token=job["token"], by="test")
        carry_out(journal, command.id, unit)


for text in sys.stdin:
    child = os.fork()
    if child == 0:
        run(sys.argv[1], sys.argv[2], json.loads(text))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
