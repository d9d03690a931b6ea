"""Keys at rest: encrypted under a passphrase, bound to their serials, refused with a wrong one, and nowhere else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from servers import postgresql_server
from sqlalchemy import text

from paygo_core import DeviceConfig, PaygoError, generate_token
from paygo_core.cli import root
from paygo_core.device import Device
from paygo_core.registry import Registry
from paygo_core.registry.engine import open_engine
from paygo_core.registry.keys import KeyFile
from paygo_core.shell import run

KEY = bytes.fromhex("0f9ab80edc05fbbc41ec9530f6da0ab1")
DEVICE = Device("SLT1", DeviceConfig(KEY, 123456789), 1, "Model", "1.0", "")
OTHER = Device("SLT2", DeviceConfig(KEY[::-1], 5), 7)
RIGHT, WRONG = "horse battery", "horse batterie"


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "paygo.db"


@pytest.fixture
def sealed(path) -> Path:
    with Registry.open(path, passphrase=RIGHT) as registry:
        registry.import_devices([DEVICE, OTHER])
    return path


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_registry_made_with_a_passphrase_never_holds_a_plain_key(sealed):
    assert KEY not in bytes_on_disk(sealed)
    assert KEY[::-1] not in bytes_on_disk(sealed)
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    with Registry.open(sealed, passphrase=RIGHT) as registry:
        assert registry.encrypted
        assert list(registry.devices()) == [DEVICE, OTHER]
        assert registry.issue("SLT1", value=7) == generate_token(DEVICE.config, 1, 7)


def test_a_wrong_passphrase_is_refused_in_one_sentence_and_changes_nothing(sealed):
    before = sealed.read_bytes()
    with Registry.open(sealed, passphrase=WRONG) as registry:
        for use in (
            lambda: registry.device("SLT1"),
            lambda: registry.issue("SLT1", value=7),
            lambda: list(registry.devices()),
            lambda: registry.import_devices([DEVICE]),
            lambda: registry.change_passphrase("another"),
        ):
            with pytest.raises(PaygoError, match="passphrase is not this registry's"):
                use()
    assert sealed.read_bytes() == before


def test_without_a_passphrase_what_needs_no_key_still_works(sealed):
    with Registry.open(sealed) as registry:
        assert [entry.serial for entry in registry.entries()] == ["SLT1", "SLT2"]
        assert registry.entry("SLT1").count == 1
        registry.set_state("SLT1", "repair")
        assert registry.tokens("SLT1") == []
        with pytest.raises(PaygoError, match="no passphrase was given"):
            registry.issue("SLT1", value=7)


def test_who_asks_for_the_passphrase_is_asked_once_and_only_when_a_key_is_needed(sealed):
    asked = []

    def ask() -> str:
        asked.append(1)
        return RIGHT

    with Registry.open(sealed, passphrase=ask) as registry:
        registry.entry("SLT1")
        assert not asked
        registry.issue("SLT1", value=7)
        registry.issue("SLT2", value=7)
        registry.device("SLT1")
    assert asked == [1]


def test_a_plain_registry_is_encrypted_later_and_keeps_nothing_of_the_plain_keys(path):
    with Registry.open(path) as registry:
        registry.import_devices([DEVICE, OTHER])
        assert KEY in bytes_on_disk(path)
        assert registry.change_passphrase(RIGHT) == 2
        assert registry.encrypted
        assert list(registry.devices()) == [DEVICE, OTHER]
    assert KEY not in bytes_on_disk(path)


def test_rekeying_makes_the_old_passphrase_useless(sealed):
    before = sealed.read_bytes()
    with Registry.open(sealed, passphrase=RIGHT) as registry:
        assert registry.change_passphrase("another") == 2
        registry.issue("SLT1", value=7)
    with Registry.open(sealed, passphrase="another") as registry:
        assert registry.device("SLT1").config == DEVICE.config
        registry.change_passphrase(None)
        assert not registry.encrypted
    with Registry.open(sealed) as registry:
        assert registry.device("SLT2") == OTHER
    assert before != sealed.read_bytes()


def test_a_program_that_is_running_notices_that_another_one_rekeyed(sealed):
    with Registry.open(sealed, passphrase=RIGHT) as running:
        running.issue("SLT1", value=7)
        with Registry.open(sealed, passphrase=RIGHT) as other:
            other.change_passphrase("another")
        with pytest.raises(PaygoError, match="passphrase is not this registry's"):
            running.issue("SLT1", value=7)


def test_a_key_moved_to_another_serial_does_not_open(sealed):
    _, engine = open_engine(sealed)
    with engine.begin() as connection:
        blob = connection.scalar(text("SELECT key_blob FROM devices WHERE serial = 'SLT1'"))
        connection.execute(text("UPDATE devices SET key_blob = :blob WHERE serial = 'SLT2'"), {"blob": blob})
    with Registry.open(sealed, passphrase=RIGHT) as registry:
        assert registry.device("SLT1") == DEVICE
        with pytest.raises(PaygoError, match="key of SLT2 is damaged, or was another device's"):
            registry.device("SLT2")


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"kdf":"scrypt","n":1073741824,"r":8,"p":1,"salt":"","check":""}'])
def test_a_damaged_record_of_the_encryption_is_one_sentence(sealed, damage):
    _, engine = open_engine(sealed)
    with engine.begin() as connection:
        connection.execute(text("UPDATE registry_meta SET value = :v WHERE name = 'encryption'"), {"v": damage})
    with Registry.open(sealed, passphrase=RIGHT) as registry, pytest.raises(PaygoError, match=r"damaged|stored as"):
        registry.device("SLT1")


def test_an_empty_passphrase_is_no_passphrase(path):
    with Registry.open(path) as registry, pytest.raises(PaygoError, match="protects nothing"):
        registry.change_passphrase("")


class TestPlainDevices:
    def test_a_device_without_a_key_is_listed_and_takes_no_tokens(self, path):
        with Registry.open(path) as registry:
            assert registry.add_plain("MPPT1", "BlueSolar", "1.39")
            assert not registry.add_plain("MPPT1", "BlueSolar", "1.39")
            registry.add(DEVICE)
            assert [(e.serial, e.takes_tokens) for e in registry.entries()] == [("MPPT1", False), ("SLT1", True)]
            assert [device.serial for device in registry.devices()] == ["SLT1"]
            with pytest.raises(PaygoError, match="MPPT1 takes no tokens"):
                registry.issue("MPPT1", value=7)
            with pytest.raises(PaygoError, match="no key"):
                registry.add(Device("MPPT1", DEVICE.config))
            with pytest.raises(PaygoError, match="with a key"):
                registry.add_plain("SLT1")


class TestNotes:
    def test_notes_are_kept_in_order(self, path):
        with Registry.open(path) as registry:
            registry.add(DEVICE)
            registry.add_note("SLT1", "battery swapped in 2024")
            registry.add_note("SLT1", "board 7 replaced by board 9", "swap", "amina")
            assert [(n.kind, n.text, n.noted_by) for n in registry.notes("SLT1")] == [
                ("note", "battery swapped in 2024", ""),
                ("swap", "board 7 replaced by board 9", "amina"),
            ]
            for wrong in (("SLT9", "x", "note"), ("SLT1", "a\nb", "note"), ("SLT1", "x", "gossip")):
                with pytest.raises(PaygoError):
                    registry.add_note(*wrong)


PAYGO = [sys.executable, "-c", "from paygo_core.cli import main; main()"]


def paygo(cwd: Path, *words: str, passphrase: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **({"PAYGO_PASSPHRASE": passphrase} if passphrase else {})}
    return subprocess.run(
        [*PAYGO, *words], cwd=cwd, env=environment, input=stdin, check=False, capture_output=True, text=True
    )


def test_the_shell_encrypts_rekeys_and_issues(tmp_path):
    header = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code"
    (tmp_path / "list.csv").write_text(f"{header}\nSLT1,123456789,{KEY.hex()},1,1,0,,,\n")
    (tmp_path / "old").write_text(RIGHT + "\n")
    (tmp_path / "new").write_text("another\n")
    assert paygo(tmp_path, "device", "import", "list.csv").returncode == 0
    done = paygo(tmp_path, "device", "passphrase", "--new", "old")
    assert (done.returncode, done.stdout) == (0, "1 key encrypted\n")
    assert KEY not in (tmp_path / "paygo.db").read_bytes()
    refused = paygo(tmp_path, "device", "token", "SLT1", "--add", "7")
    assert refused.returncode == 2
    assert "no passphrase was given (set PAYGO_PASSPHRASE" in refused.stderr
    assert paygo(tmp_path, "device", "token", "SLT1", "--add", "7", passphrase=WRONG).returncode == 2
    assert paygo(tmp_path, "device", "list").returncode == 0
    token = generate_token(DEVICE.config, 1, 7)
    assert paygo(tmp_path, "device", "token", "SLT1", "--add", "7", passphrase=RIGHT).stdout == f"{token.grouped()}\n"
    by_file = paygo(tmp_path, "device", "passphrase", "--new", "new", "--passphrase-file", "old", "--json")
    assert json.loads(by_file.stdout) == {"keys": 1, "encrypted": True}
    piped = paygo(tmp_path, "device", "token", "SLT1", "--add", "7", "--passphrase-file", "-", stdin="another\n")
    assert piped.returncode == 0
    assert paygo(tmp_path, "device", "passphrase", "--remove", passphrase="another").stdout == "1 key stored plain\n"
    assert paygo(tmp_path, "device", "passphrase").returncode == 2
    missing = paygo(tmp_path, "device", "passphrase", "--new", "nowhere")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


class TestKeyFile:
    def test_a_registry_made_with_a_key_file_opens_with_it_alone(self, path, tmp_path):
        file = tmp_path / "registry.key"
        KeyFile(str(file)).make()
        assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_size) == (0o600, 32)
        with Registry.open(path, key_file=file) as registry:
            registry.import_devices([DEVICE, OTHER])
            assert registry.encrypted
        assert KEY not in path.read_bytes()
        with Registry.open(path, key_file=file, passphrase="unused") as registry:
            assert registry.issue("SLT1", value=7) == generate_token(DEVICE.config, 1, 7)
        with Registry.open(path, passphrase=RIGHT) as registry, pytest.raises(PaygoError, match="with a key file, and"):
            registry.device("SLT1")
        other = tmp_path / "other.key"
        other.write_bytes(file.read_bytes()[::-1])
        with Registry.open(path, key_file=other) as registry, pytest.raises(PaygoError, match="key file is not this"):
            registry.device("SLT1")

    @pytest.mark.parametrize("content", [None, b"", b"x" * 15, b"x" * 4097])
    def test_a_file_that_cannot_be_a_key_file_is_one_sentence(self, path, tmp_path, content):
        file = tmp_path / "registry.key"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(PaygoError, match=r"registry\.key (cannot be read|has)"):
            Registry.open(path, key_file=file)

    def test_a_passphrase_becomes_a_key_file_and_back(self, sealed, tmp_path):
        file = tmp_path / "registry.key"
        with (
            Registry.open(sealed, passphrase=WRONG) as registry,
            pytest.raises(PaygoError, match="not this registry's"),
        ):
            registry.change_key_file(file)
        assert not file.exists()
        with Registry.open(sealed, passphrase=RIGHT) as registry:
            assert registry.change_key_file(file) == 2
            assert registry.device("SLT1") == DEVICE
        with Registry.open(sealed, key_file=file) as registry:
            assert registry.device("SLT2") == OTHER
            assert registry.change_key_file(file) == 2, "the same file may be given again"
            registry.change_passphrase(RIGHT)
        with Registry.open(sealed, key_file=file) as registry, pytest.raises(PaygoError, match="a key file was given"):
            registry.device("SLT2")
        with Registry.open(sealed, passphrase=RIGHT) as registry:
            assert registry.device("SLT2") == OTHER

    def test_the_shell_makes_uses_and_names_key_files(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("PAYGO_REGISTRY", "PAYGO_REGISTRY_KEY_FILE", "PAYGO_PASSPHRASE", "PAYGO_PASSPHRASE_FILE"):
            monkeypatch.delenv(name, raising=False)

        def shell(*words: str, passphrase: str = "") -> tuple[int, str, str]:
            monkeypatch.setenv("PAYGO_PASSPHRASE", passphrase)
            status = run(root, ["device", *words])
            return (int(status), *capsys.readouterr())

        option = ["--registry-key-file", "registry.key"]
        token = ["token", "SLT0000001", "--add", "7"]
        assert shell("new", "--prefix", "SLT", passphrase=RIGHT)[0] == 0
        assert "no passphrase was given" in shell(*token)[2], "a new registry was encrypted from the start"
        made = shell("passphrase", "--new-key-file", "registry.key", passphrase=RIGHT)
        assert made[:2] == (0, "1 key encrypted\n")
        assert "with a key file, and none" in shell(*token)[2]
        assert shell(*token, *option)[0] == 0
        assert shell("passphrase", "--new-key-file", "a", "--remove", *option)[0] == 2
        Path("empty").write_text("\n")
        assert "is empty" in shell("passphrase", "--new", "empty", *option)[2]
        assert shell("new", "--prefix", "SLT", "--registry", "other.db", *option)[0] == 0
        with Registry.open("other.db") as registry:
            assert registry.encrypted


def test_a_copied_registry_is_closed_to_others_again(sealed):
    sealed.chmod(0o644)
    with Registry.open(sealed, create=False) as registry:
        assert registry.entry("SLT1").count == 1
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600


# Encrypts a copy of a registry anew again and again, each time in a child that kills itself one call later than the
# last, until one lives through it. Weak keys from the passphrase: they are not what is tested.
REKEYER = """
import os, shutil, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from paygo_core.registry import Registry, keys
keys.SCRYPT_N = 1 << 4
path, to = sys.argv[1:]
with Registry.open(path, passphrase="old") as registry:
    registry.make(1100, "S")
    registry.add_plain("PLAIN")
left = 0
def count_down(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
for name in ("begin", "before_cursor_execute", "after_cursor_execute", "commit"):
    event.listen(Engine, name, count_down)
killed = 0
while True:
    shutil.copy(path, f"{path}.{killed}")
    child = os.fork()
    if child == 0:
        with Registry.open(f"{path}.{killed}", passphrase="old") as registry:
            left = killed + 1
            registry.change_key_file(to)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    killed += 1
print(killed)
"""


def test_who_dies_while_encrypting_anew_leaves_the_old_or_the_new_never_a_mix(path, tmp_path):
    file = str(tmp_path / "registry.key")
    done = subprocess.run(
        [sys.executable, "-c", REKEYER, str(path), file], check=True, capture_output=True, text=True, timeout=100
    )
    killed = int(done.stdout)
    assert killed > 15
    opened = []
    for number in range(killed + 1):
        place = f"{path}.{number}"
        with Registry.open(place, passphrase="old") as old:
            expected = 1100
            try:
                opened.append("old" if len(list(old.devices())) == expected else "mix")
                continue
            except PaygoError as error:
                assert "with a key file" in error.cause  # noqa: PT017
        with Registry.open(place, key_file=file) as new:
            opened.append("new" if len(list(new.devices())) == expected else "mix")
    assert opened == ["old"] * opened.count("old") + ["new"] * opened.count("new")
    assert "old" in opened
    assert opened[-1] == "new"


def test_a_device_that_gets_a_new_key_while_all_are_encrypted_anew_keeps_it(tmp_path):
    with postgresql_server() as url, Registry.open(url, passphrase=RIGHT) as one:
        serials = one.make(40, "S")
        got: dict[str, DeviceConfig] = {}

        def change(serial: str) -> None:
            with suppress(PaygoError):  # its passphrase is another one now
                got[serial] = one.rekey(serial).config

        changes = [threading.Thread(target=change, args=(serial,)) for serial in serials]
        with Registry.open(url, passphrase=RIGHT) as other:
            for number, thread in enumerate(changes):
                thread.start()
                if number == 20:
                    other.change_passphrase("another")
            for thread in changes:
                thread.join()
            keys = {device.serial: device.config for device in other.devices()}
            assert len({config.secret_key for config in keys.values()}) == 40
            assert got.items() <= keys.items()
            assert got


def test_a_passphrase_that_a_terminal_of_ascii_gave_is_the_same(tmp_path):
    """Python has its bytes as surrogates then. Those of no UTF-8 are another passphrase, and no damage."""
    path = tmp_path / "r.db"
    with Registry.open(path, passphrase="héllo pass") as registry:
        registry.add(DEVICE)
    with Registry.open(path, passphrase="h\udcc3\udca9llo pass") as registry:
        assert registry.device("SLT1") == DEVICE
    with (
        Registry.open(path, passphrase="\udcff") as registry,
        pytest.raises(PaygoError, match="is not this registry's"),
    ):
        registry.device("SLT1")
