"""No command lets a secret key out: not in hex, upper case, spaced, unpadded, base64 or raw; not under --debug."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from hw_bridge.simulated import simulated_unit

KEY = bytes.fromhex("0a29ab82ed050bbc41ec9530f60dac86")
"""With bytes below 16, which units print without their leading zero."""

PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def forms(key: bytes) -> list[bytes]:
    padded = [f"{byte:02x}" for byte in key]
    bare = [f"{byte:x}" for byte in key]
    texts = ["".join(padded), " ".join(padded), ":".join(padded), "".join(bare), " ".join(bare)]
    texts += [text.upper() for text in texts]
    encoded = [base64.b64encode(key).rstrip(b"="), base64.urlsafe_b64encode(key).rstrip(b"="), key]
    return [text.encode() for text in texts] + encoded + [repr(key)[2:-1].encode()]


@pytest.fixture
def said(tmp_path: Path) -> "list[bytes]":
    """Everything that a run of commands printed, good ones and failing ones."""
    key = KEY.hex()
    (tmp_path / "key").write_text(key)
    header = (
        "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code\n"
    )
    (tmp_path / "list.csv").write_text(f"{header}SLT1,123456789,{key},1,1,0,,,\nSLT2,123456789,{key[:31]},1,1,0,,,\n")
    (tmp_path / "shifted.csv").write_text(f"{header}{key},SLT1,123456789,1,1,0,,,\n")
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + KEY * 100)
    (tmp_path / "paygo.toml").write_text(f'[token.generate]\nkey = "{key}"\n')
    printed = []

    def run(*words: str, stdin: str = "", cwd: Path = tmp_path) -> None:
        for extra in ([], ["--debug"], ["--json", "--debug"]):
            done = subprocess.run(
                [*PAYGO, *words, *extra], cwd=cwd, input=stdin.encode(), check=False, capture_output=True, timeout=60
            )
            printed.append(done.stdout + done.stderr)

    with simulated_unit(tmp_path) as unit:
        registry = ["--registry", "fleet.db"]
        run("device", "import", "list.csv", *registry)
        run("device", "import", "shifted.csv", *registry)
        run("device", "list", *registry)
        run("device", "show", "SLT1", *registry)
        run("device", "token", "SLT1", "--add", "7", *registry)
        run("device", "list", "--registry", "broken.db")
        run("bridge", "provision", unit.port, "--serial", "SLT1", *registry)
        run("bridge", "provision", unit.port, "--serial", "SLT1", "--device-list", "list.csv")
        run("bridge", "provision", unit.port, "--serial", "SLT2", "--device-list", "list.csv")
        run("bridge", "status", unit.port)
        run("bridge", "telemetry", unit.port)
        run("bridge", "provision", str(tmp_path / "nothing"), "--serial", "SLT1", *registry)
        run("token", "generate", "--key-file", "key", "--count", "1", "--add", "7")
        run("token", "generate", "--key-file", "-", "--count", "1", "--add", "996", stdin=key)
        run("token", "generate", "--count", "1", "--add", "7")
        run("token", "generate", "--key", key[:31], "--count", "1", "--add", "7")
        run("token", "generate", "--key", key + "zz", "--count", "1", "--add", "7")
        run("token", "decode", "016609796", "--key-file", "key", "--count", "1")
        run("token", "decode", key, "--key-file", "key", "--count", "1")
        run("token", "explain", "016609796", "--key-file", "key", "--count", "9", "--other", "list.csv")
        run("token", "explain", key, "--key-file", "key", "--count", "9", *registry)
        run("token", "audit")
        run("token", "batch", "list.csv", "-o", "tokens.csv", "--add", "7")
        run("token", "batch", "shifted.csv", "-o", "tokens.csv", "--add", "7")
        printed.append((tmp_path / "tokens.csv").read_bytes())
    return printed


def test_the_key_is_in_nothing_that_was_printed(said: list[bytes]) -> None:
    printed = b"".join(said)
    assert b"SLT1" in printed
    assert b"Traceback" in printed  # --debug did show tracebacks
    for form in forms(KEY):
        assert form not in printed, form
    assert KEY.hex()[:31].encode() not in printed
