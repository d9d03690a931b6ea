"""A PostgreSQL server of the tests' own: in a scratch directory, on a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OWNER = "postgres"


def programs() -> Path | None:
    """The directory of PostgreSQL's programs, newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Starts one and yields its URL. It refuses root, so that root starts it as the user postgres."""
    binaries = programs()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed (Debian: postgresql)")
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    scratch = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path is short
    owner = {"user": OWNER} if os.getuid() == 0 else {}
    name = OWNER if owner else subprocess.check_output(["id", "-un"], text=True).strip()

    try:
        if owner:
            shutil.chown(scratch, OWNER)
        data = scratch / "data"
        words = [binaries / "initdb", "-D", data, "-A", "trust", "-U", name, "--no-sync"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=scratch, **owner)
        words = [binaries / "postgres", "-D", data, "-k", scratch, "-c", "listen_addresses="]
        with subprocess.Popen(words, stderr=subprocess.PIPE, cwd=scratch, **owner) as server:
            assert server.stderr is not None
            try:
                while b"ready to accept connections" not in server.stderr.readline():
                    assert server.poll() is None, "PostgreSQL did not start"
                rest = threading.Thread(target=server.stderr.read)
                rest.start()
                yield f"postgresql://{name}@/postgres?host={scratch}"
            finally:
                server.send_signal(signal.SIGQUIT)  # at once
                server.wait(30)
            rest.join()
    finally:
        shutil.rmtree(scratch)
