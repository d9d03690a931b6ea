"""The simulated unit's EEPROM: an image in memory, kept in a file across restarts."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from firmware_sim._native import lib
from paygo_core.errors import PaygoError, PortError

IMAGE_BYTES: int = lib.PAYGO_STORAGE_BYTES
ERASED = 0xFF


class Storage:
    """Owns the file, which only one simulator may have open and which others may not read, since it holds the key.

    path: made with mode 0600 when it is not there; None keeps the image in memory. image: the bytes. writes: how many
    records were written. stuck: worn cells, by address: the bits that no longer change, and what they are. Raises
    PaygoError for a file that is none of this firmware or cannot be written, PortError when another simulator has it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.image = bytearray([ERASED]) * IMAGE_BYTES
        self.writes = 0
        self.stuck: dict[int, tuple[int, int]] = {}
        self._path = path
        self._file: int | None = None
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PaygoError(f"the state file {path} cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise PortError(f"the state file {path} is in use", "another simulated unit runs from it") from None
        regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        stored = os.pread(self._file, IMAGE_BYTES + 1, 0) if regular else b"?"
        if not stored:
            try:
                self._put(0, self.image)
            except PaygoError:
                os.ftruncate(self._file, 0)  # half a file would be none of this firmware
                self.close()
                raise
        elif len(stored) == IMAGE_BYTES:
            self.image[:] = stored
        else:
            self.close()
            raise PaygoError(
                f"{path} is not a state file of this firmware", f"a state file has {IMAGE_BYTES} bytes; name a new one"
            )

    def write(self, offset: int, data: bytes) -> None:
        """Writes through to the file. Raises PaygoError when it cannot be written."""
        if self.stuck:
            data = bytes(self._worn(at, byte) for at, byte in enumerate(data, offset))
        self.image[offset : offset + len(data)] = data
        if self._file is not None:
            self._put(offset, data)

    def _put(self, offset: int, data: bytes | bytearray) -> None:
        assert self._file is not None
        try:
            if os.pwrite(self._file, data, offset) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise PaygoError(f"the state file {self._path} cannot be written: {error.strerror}") from None

    def _worn(self, address: int, byte: int) -> int:
        mask, value = self.stuck.get(address, (0, 0))
        return byte & ~mask | value & mask

    def replace(self, image: bytes) -> None:
        """Writes what is different in this image, as a whole."""
        changed = [at for at, (old, new) in enumerate(zip(self.image, image, strict=True)) if old != new]
        if changed:
            first, last = changed[0], changed[-1] + 1
            self.write(first, image[first:last])

    def close(self) -> None:
        """Closes the file and gives up the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
