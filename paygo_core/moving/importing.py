"""A list moves in: all of its good rows in one transaction, and of everything else a report."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paygo_core.csv_rows import RowProblem, WrongCell
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError
from paygo_core.moving.cells import Judge
from paygo_core.moving.quarantine import header_line, row_line
from paygo_core.moving.source import Batch, Refused, Source

if TYPE_CHECKING:
    from paygo_core.moving.landing import Landing
    from paygo_core.registry import Registry

MOST_TOLD = 10_000
"""Refused rows that a report names; all of them are in the quarantine file."""
_SHARED_TOLD = 20
_KEYS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Refusal(RowProblem):
    """Why a row was refused. accept: what --accept would have to name for it to come in, or empty."""

    accept: str = ""

    def facts(self) -> dict[str, Any]:
        """For a report."""
        facts = {name: getattr(self, name) for name in ("line", "serial", "column", "cause", "hint")}
        return {**facts, "accept": self.accept} if self.accept else facts


@dataclass
class Report:
    """What became of a list, in numbers of rows.

    added: devices that are new. unchanged: those that the registry held already. repeated: rows that stood in the list
    before. notes: of the history columns. repaired: kind of repair to its number; first: to its first line. unsure:
    kind to the number of rows that --accept would take. refusals: the first 10 000. shared: serials that have one key.
    """

    file: str
    added: int = 0
    unchanged: int = 0
    repeated: int = 0
    refused: int = 0
    notes: int = 0
    repaired: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    unsure: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    shared: list[list[str]] = field(default_factory=list)
    quarantine: Path | None = None

    @property
    def rows(self) -> int:
        """All that the list has."""
        return self.added + self.unchanged + self.repeated + self.refused


def _ignored(_: Any) -> None:
    """Where nobody listens."""


class _RolledBack(Exception):
    """Ends the transaction of a dry run."""


def import_list(
    registry: Registry | None,
    source: Source,
    *,
    accept: frozenset[str] = frozenset(),
    quarantine: Path | None = None,
    noted_by: str = "",
    dry_run: bool = False,
    on_problem: Callable[[Refusal], None] = _ignored,
    on_progress: Callable[[int], None] = _ignored,
) -> Report:
    """Brings a list into the registry, in one transaction that is on the disk when this returns.

    Nothing is overwritten, so that importing twice changes nothing. accept: repairs that are not certain (ACCEPTABLE).
    quarantine: where refused rows go, as they were, mode 0600; without it they are only told. dry_run, or no registry:
    nothing is written anywhere. on_progress is told bytes read. Raises PaygoError when the file breaks off.
    """
    if not noted_by.isprintable():
        raise PaygoError("the text of 'noted by' has control characters", "write it as plain text")
    move = _Move(source, accept, None if dry_run else quarantine, on_problem, on_progress)
    if registry is None:
        with move:
            move.through(None, "")
        return move.report
    from paygo_core.moving.landing import landing

    try:
        with move, registry.moving_in() as (connection, keys), landing(connection, keys, source.order) as land:
            move.through(land, noted_by)
            if dry_run:
                raise _RolledBack
            move.publish()
    except _RolledBack:
        pass
    return move.report


class _Move(ExitStack):
    """One import: what comes in, and what is told of the rest."""

    def __init__(
        self,
        source: Source,
        accept: frozenset[str],
        quarantine: Path | None,
        on_problem: Callable[[Refusal], None],
        on_progress: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.report = Report(source.path)
        self._source = source
        self._accept = accept
        self._quarantine = quarantine
        self._draft: Draft | None = None
        self._on_problem = on_problem
        self._on_progress = on_progress
        self._contested: set[str] = set()
        self._contested_lines: set[int] = set()
        self._keys = array("Q")

    def through(self, land: Landing | None, noted_by: str) -> None:
        """The whole list."""
        judge = Judge(self._source.columns, self._accept)
        serial, key = (self._source.order.index(name) for name in ("serial", "key"))
        for batch in self._source.batches(judge):
            refused = batch.refused
            if land is not None:
                refused = sorted([*refused, *self._land(land, batch, serial, noted_by)], key=lambda one: one.line)
            else:
                self.report.added += len(batch.rows)
            for one in refused:
                self._refuse(one)
            self._keys.frombytes(bytes.fromhex("".join([row[key][:16] for row in batch.rows])))
            self._on_progress(batch.size)
        self.report.repaired, self.report.first = judge.repaired, judge.first
        self._look_again(land, serial, key)

    def _land(self, land: Landing, batch: Batch, serial: int, noted_by: str) -> list[Refused]:
        report = self.report
        known = land.add(batch.rows)
        report.added += len(batch.rows) - len(known)
        refused = []
        for at, row in known.items():
            who = batch.rows[at][serial]
            if row.ours and row.differs:
                self._contested.add(who)
                self._contested_lines.add(batch.lines[at])
                refused.append(self._twice(batch, at, who))
            elif row.ours:
                report.repeated += 1
            elif row.differs:
                cause = f"the registry holds {who} with {' and '.join(row.differs)}"
                refused.append(
                    Refused(batch.lines[at], WrongCell("", cause, "nothing is overwritten"), who, batch.raws(at))
                )
            else:
                report.unchanged += 1
        gone = {one.line for one in refused}
        said = [(batch.rows[at][serial], text) for at, text in batch.notes if batch.lines[at] not in gone]
        report.notes += land.note(said, noted_by)
        return refused

    def _twice(self, batch: Batch, at: int, who: str) -> Refused:
        wrong = WrongCell(
            "serial", "the serial stands in the list more than once, with different data", "say which is right"
        )
        return Refused(batch.lines[at], wrong, who, batch.raws(at))

    def _refuse(self, one: Refused) -> None:
        column = self._source.columns.title(one.wrong.column) if one.wrong.column else ""
        told = Refusal(
            self._source.path, one.line, column, one.wrong.cause, one.wrong.hint, one.serial, accept=one.kind
        )
        self.report.refused += 1
        if one.kind:
            self.report.unsure[one.kind] += 1
        if len(self.report.refusals) < MOST_TOLD:
            self.report.refusals.append(told)
        self._on_problem(told)
        if self._quarantine is not None:
            if self._draft is None:
                self._draft = self.enter_context(Draft(self._quarantine))
                self._draft.write(header_line(self._source))
            self._draft.write(row_line(self._source, told, one.raw))

    def _look_again(self, land: Landing | None, serial: int, key: int) -> None:
        """Goes through the list again where a question is left: which rows disagree, whose keys are the same."""
        met = _repeated(self._keys)
        if not self._contested and not met:
            return
        by_key: dict[str, list[str]] = {}
        seen: set[str] = set()
        for batch in self._source.batches(Judge(self._source.columns, self._accept)):
            for at, row in enumerate(batch.rows):
                who = row[serial]
                if who in self._contested:
                    if batch.lines[at] not in self._contested_lines:
                        self.report.repeated -= who in seen
                        seen.add(who)
                        self._refuse(self._twice(batch, at, who))
                elif met and int(row[key][:16], 16) in met:
                    serials = by_key.setdefault(row[key].lower(), [])
                    if who not in serials:
                        serials.append(who)
        if land is not None and self._contested:
            self.report.added -= land.remove(self._contested)
        self.report.shared = [serials for serials in by_key.values() if len(serials) > 1]

    def publish(self) -> None:
        """Puts the refused rows where they belong, before what came in is committed."""
        if self._draft is not None:
            self.report.quarantine = self._draft.publish_beside()


def _repeated(keys: array[int]) -> set[int]:
    """Which first halves of keys stand there more than once, as numbers. In parts, so that it takes little memory."""
    parts = 1 + len(keys) // _KEYS_AT_ONCE
    found: set[int] = set()
    for part in range(parts):
        some = keys if parts == 1 else array("Q", (key for key in keys if key % parts == part))
        if len(set(some)) != len(some):
            found |= {key for key, times in Counter(some).items() if times > 1}
    swapped = array("Q", found)
    swapped.byteswap()
    return {*swapped} if array("Q", b"\1" + bytes(7))[0] == 1 else found
