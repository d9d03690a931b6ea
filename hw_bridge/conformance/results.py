"""What came of a run: a result for each test, and who the unit is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from paygo_core._version import __version__
from paygo_core.draft import Draft
from paygo_core.errors import PaygoError

Verdict = Literal["passed", "failed", "not run"]
FORMAT = 1
_LARGEST_FILE = 64 * 2**20


@dataclass(frozen=True)
class Result:
    """What came of one test.

    reason: why it failed or did not run. seconds: of real time. entries: how long the unit took for each token, in s.
    transcript: what was done and said, keys masked.
    """

    id: str
    title: str
    rule: str
    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0
    entries: tuple[float, ...] = ()
    transcript: tuple[str, ...] = ()


@dataclass
class Run:
    """A run: the unit, where it was met, and the results in the order of the run.

    started: ISO 8601, UTC. first_count, last_count: the device's counts before and after. closed: the unit was left in
    the chosen state.
    """

    serial: str
    port: str
    driver: str
    started: str = ""
    model: str = ""
    firmware: str = ""
    first_count: int = 0
    last_count: int = 0
    leave: str = ""
    closed: bool = False
    kit: str = __version__
    results: list[Result] = field(default_factory=list)

    def number(self, verdict: Verdict) -> int:
        """How many tests have this verdict."""
        return sum(result.verdict == verdict for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether something was run and nothing failed."""
        return self.number("passed") > 0 and self.number("failed") == 0

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        word = "passed" if self.passed else "failed"
        counts = f"{self.number('passed')} passed, {self.number('failed')} failed, {self.number('not run')} not run"
        return f"{self.serial} {word}: {counts}; its last count is {self.last_count}"

    def to_json(self) -> dict[str, Any]:
        """For machines, and to read it again."""
        return {"format": FORMAT, "passed": self.passed, **asdict(self)}

    @classmethod
    def from_json(cls, said: Any) -> Run:
        """The reverse of to_json. Raises PaygoError for anything else."""
        try:
            fields = dict(said)
            if fields.pop("format") != FORMAT:
                raise ValueError
            fields.pop("passed", None)
            rows = [
                Result(**{**row, "entries": tuple(row["entries"]), "transcript": tuple(row["transcript"])})
                for row in fields.pop("results")
            ]
            return cls(**fields, results=rows)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise PaygoError("these are no results of a run", "'paygo conform run' writes results.json") from None


def read(path: Path) -> Run:
    """The run in a results.json. Raises PaygoError when it is none."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise PaygoError(f"{path} is too large to be results", "name a results.json")
        said = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PaygoError(f"{path}: {error.strerror}", "name the results.json of a run") from None
    except (ValueError, RecursionError):
        raise PaygoError(f"{path} is not JSON", "name the results.json of a run") from None
    return Run.from_json(said)


def write(run: Run, path: Path) -> None:
    """Writes results.json, whole or not at all."""
    with Draft(path) as draft:
        draft.write(json.dumps(run.to_json(), indent=1).encode() + b"\n")
        draft.publish()
