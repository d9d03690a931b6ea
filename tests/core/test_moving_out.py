"""`paygo device export`: a fleet goes out and comes back as it was, and its keys only when they are asked for."""

from __future__ import annotations

import csv
import io
import json
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paygo_core import DeviceConfig, PaygUnit, TokenType
from paygo_core.cli import root
from paygo_core.device import Device
from paygo_core.device_list import GENERATOR_HEADER, TEMPLATE_HEADER
from paygo_core.moving import export_list, import_list, open_source
from paygo_core.redact import mask_secrets
from paygo_core.registry import Registry
from paygo_core.shell import run

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
FLEET = [
    Device("SLT1", DeviceConfig(KEY, 123456789), 7, "SLT-50", "1.2", "4711"),
    Device("SLT2", DeviceConfig(KEY[::-1], 5, 24, True), 40, 'Größe, 5 "', "2", ""),
]


@pytest.fixture
def paygo(tmp_path, monkeypatch, capsysbinary):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PAYGO_REGISTRY", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with Registry.open("paygo.db") as registry:
        registry.import_devices(FLEET)
        registry.add_plain("MPPT1", "100/20")

    def call(*arguments: str) -> tuple[int, str, str]:
        capsysbinary.readouterr()
        status = run(root, ["device", *arguments])
        out, err = capsysbinary.readouterr()
        return int(status), out.decode(), err.decode()

    return call


def test_the_public_template_and_the_generators_variant(paygo):
    for form, header, width in (("template", TEMPLATE_HEADER, 9), ("generator", GENERATOR_HEADER, 8)):
        status, out, err = paygo("export", "--form", form)
        first, *rows = csv.reader(io.StringIO(out, newline=""))
        assert (status, tuple(first)) == (0, header)
        assert rows == [
            ["SLT1", "123456789", "", "7", "1", "0", "SLT-50", "1.2", "4711"][:width],
            ["SLT2", "000000005", "", "40", "24", "1", 'Größe, 5 "', "2", ""][:width],
        ]
        assert "devices without a key: 1 device;" in err
        assert ("test codes: 1 device;" in err) == (form == "generator")


def test_json_tells_everything_but_the_keys(paygo):
    for words in (["--json"], ["--form", "json"]):
        status, out, _ = paygo("export", *words)
        rows = [json.loads(line) for line in out.splitlines()]
        assert (status, [row["serial"] for row in rows]) == (0, ["MPPT1", "SLT1", "SLT2"])
        assert rows[1]["max_count"] == 65_535
        assert "count" not in rows[0]
        assert "key" not in " ".join(rows[1])


def test_keys_go_out_only_when_they_are_asked_for_and_only_into_a_file(paygo):
    for form in ("template", "generator", "json"):
        assert KEY.hex() not in "".join(map(str, paygo("export", "--form", form)))
        assert paygo("export", "--form", form, "-o", "list")[0] == 0
        assert KEY.hex() not in Path("list").read_text()
        for words in ([], ["-o", "-"]):
            status, out, err = paygo("export", "--form", form, "--with-keys", *words)
            assert (status, out) == (2, "")
            assert "--with-keys goes with --output" in err
        assert KEY.hex() not in "".join(map(str, paygo("export", "--form", form, "--with-keys", "-o", "list")))
        assert KEY.hex() in Path("list").read_text()
        assert stat.S_IMODE(Path("list").stat().st_mode) == 0o600


def test_keys_of_an_encrypted_registry_need_its_passphrase(paygo, monkeypatch):
    with Registry.open("paygo.db") as registry:
        registry.change_passphrase("horse battery")
    assert paygo("export")[0] == 0
    status, _, err = paygo("export", "--with-keys", "-o", "list.csv")
    assert status == 2
    assert "no passphrase" in err
    assert not Path("list.csv").exists()
    monkeypatch.setenv("PAYGO_PASSPHRASE", "horse battery")
    assert paygo("export", "--with-keys", "-o", "list.csv")[0] == 0
    assert KEY.hex() in Path("list.csv").read_text()


def test_a_fleet_that_moves_house_goes_on_with_the_next_token(paygo):
    """T10: on the units themselves; also a fleet that moves on once more."""
    units = {device.serial: PaygUnit(device.config, count=device.count) for device in FLEET}
    for house in ("paygo.db", "second.db", "third.db"):
        with Registry.open(house) as registry:
            for serial, unit in units.items():
                for token_type_days in (1, 2):
                    token = registry.issue(serial, days=token_type_days)
                    assert unit.enter(token.digits, 0).token_type is TokenType.ADD_TIME, (house, serial)
        assert paygo("export", "--registry", house, "--with-keys", "-o", "moving.csv")[0] == 0
        following = {"paygo.db": "second.db", "second.db": "third.db"}.get(house)
        if following:
            assert paygo("import", "--registry", following, "moving.csv")[0] == 0


def test_what_a_spreadsheet_would_run_is_text_in_a_list(paygo):
    serials = ["=1+1", "+1", "-1", "@SUM(A1)", "'=x", "=cmd|' /C calc'!A0"]
    with Registry.open("other.db") as registry:
        for number, serial in enumerate(serials):
            registry.add(Device(serial, DeviceConfig(bytes([number] * 16), 5), 1, serial, serial))
        text = b"".join(line for line, _ in export_list(registry, "template", with_keys=True)).decode()
        for row in csv.reader(io.StringIO(text, newline="")):
            assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@")]
        Path("moving.csv").write_text(text, newline="")
        with Registry.open("again.db") as again:
            assert import_list(again, open_source("moving.csv")).added == len(serials)
            assert list(again.devices()) == list(registry.devices())


ODD = [
    "null",
    "N/A",
    "Jan-22",
    "2022-01-05",
    "1.0",
    "5E+08",
    "#REF!",
    "'x",
    "x'",
    "'x'",
    "''",
    "'",
    '="x"',
    "=x'",
    "'-'",
]
ODD += ["-", 'a"b', '"', ",", ";", "a  b", " a", "a ", "0001", "é", "日本", "sep=,"]
TEXTS = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), max_size=12),
    st.text("'= -@+#/0a\"", max_size=6),
).filter(lambda text: text.isprintable() and mask_secrets(text) == text)
DEVICES = st.builds(
    Device,
    TEXTS.filter(lambda text: text and text == text.strip()),
    st.builds(
        DeviceConfig,
        st.binary(min_size=16, max_size=16),
        st.integers(1, 999_999_999),
        st.integers(1, 255),
        st.booleans(),
    ),
    st.integers(0, 65_535),
    TEXTS,
    TEXTS,
    st.from_regex("[0-9]{0,20}", fullmatch=True),
)


def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        Registry.open(Path(scratch) / "paygo.db").close()
        return (Path(scratch) / "paygo.db").read_bytes()


EMPTY = _empty()
"""A registry without devices; a new one for each example takes long to make."""


@given(st.lists(DEVICES, max_size=6, unique_by=lambda device: device.serial))
@settings(max_examples=40, deadline=None)
def test_what_goes_out_comes_in_as_it_was(devices):
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        for name in ("one.db", "two.db"):
            (here / name).write_bytes(EMPTY)
        with Registry.open(here / "one.db") as one, Registry.open(here / "two.db") as two:
            one.import_devices(devices)
            text = b"".join(line for line, _ in export_list(one, "template", with_keys=True))
            (here / "moving.csv").write_bytes(text)
            report = import_list(two, open_source(here / "moving.csv"))
            assert not report.refusals
            assert list(two.devices()) == list(one.devices())
            assert import_list(one, open_source(here / "moving.csv")).unchanged == len(devices)
