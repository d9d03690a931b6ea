"""A file that appears whole or not at all, readable by its owner alone."""

from __future__ import annotations

import filecmp
import os
import tempfile
from pathlib import Path
from types import TracebackType

from paygo_core.errors import PaygoError

PREFIX = ".paygo-"
"""Of a draft's own name, by which it is known when its program was killed."""


class Draft:
    """A file, mode 0600, that appears under its name only when it is published, and else not at all."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> Draft:
        try:
            handle, self._name = tempfile.mkstemp(prefix=PREFIX, dir=self._target.parent)
        except OSError as error:
            raise self._failed(error) from None
        self._stream = open(handle, "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()
        except OSError:
            assert kind is not None, "publishing has written everything"
        finally:
            Path(self._name).unlink(missing_ok=True)

    def _failed(self, error: OSError) -> PaygoError:
        return PaygoError(f"{self._target}: {error.strerror}", "nothing was written; name a file that can be written")

    def write(self, content: bytes) -> None:
        """Appends."""
        try:
            self._stream.write(content)
        except OSError as error:
            raise self._failed(error) from None

    def publish(self) -> None:
        """Puts it where it belongs, in place of what was there."""
        try:
            self._finish()
            os.replace(self._name, self._target)
        except OSError as error:
            raise self._failed(error) from None

    def publish_beside(self) -> Path:
        """Puts it under the next free name (list.quarantine-2.csv) unless a file with the same content is there."""
        first = target = self._target
        try:
            self._finish()
            for attempt in range(2, 1000):
                try:
                    os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))
                except FileExistsError:
                    if target.is_file() and filecmp.cmp(self._name, target, shallow=False):
                        return target
                    target = first.with_name(f"{first.stem}-{attempt}{first.suffix}")
                else:
                    os.replace(self._name, target)
                    return target
        except OSError as error:
            raise self._failed(error) from None
        raise PaygoError(f"{first}: too many quarantine files", "move the old ones away")

    def _finish(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())


def write_whole(target: Path, content: bytes) -> None:
    """Writes a file, or leaves what was there. Raises PaygoError when it cannot be written."""
    with Draft(target) as draft:
        draft.write(content)
        draft.publish()
