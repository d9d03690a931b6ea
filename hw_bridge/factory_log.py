"""What a factory's station did to each unit: a file a serial, a JSON line a step, on the disk before the next step."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paygo_core.errors import PaygoError


class FactoryLog:
    """A directory of such files, made with mode 0700. The serial in a file's name is percent-encoded where it must be.

    Raises PaygoError when the directory or a file cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(self._directory, error) from None

    def path(self, serial: str) -> Path:
        """The file of a serial."""
        return self._directory / f"{quote(serial, safe=' ')}.jsonl"

    def step(self, serial: str, step: str, **facts: Any) -> None:
        """Appends a step with the time. facts: never keys."""
        line = json.dumps({"at": datetime.now(timezone.utc).isoformat(), "serial": serial, "step": step, **facts})
        path = self.path(serial)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line.encode("utf-8") + b"\n")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise self._failed(path, error) from None

    @staticmethod
    def _failed(path: Path, error: OSError) -> PaygoError:
        return PaygoError(f"{path} cannot be written: {error.strerror}", "name another directory with --log-dir")
