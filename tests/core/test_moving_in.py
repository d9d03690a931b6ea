"""`paygo device import`: lists of any origin come in; what is certain is repaired, and nothing else is."""

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

from paygo_core import DeviceConfig, PaygoError
from paygo_core.cli import root
from paygo_core.csv_rows import WrongCell
from paygo_core.device import Device
from paygo_core.device_list import TEMPLATE_HEADER
from paygo_core.moving import ACCEPTABLE, Report, import_list, load_mapping, open_source
from paygo_core.moving.cells import Judge, group_order, plain_rows, template_order
from paygo_core.moving.columns import Columns
from paygo_core.moving.words import FIELDS, field_of
from paygo_core.redact import mask_secrets
from paygo_core.registry import Registry
from paygo_core.shell import run

KEY = "0fb82edc5fbbc41ec9530f6dac86b1a2"
DERIVED = DeviceConfig.from_hex(KEY).starting_code
CONFIG = DeviceConfig.from_hex(KEY, 123456789)
HEADER = ",".join(TEMPLATE_HEADER)
ROW = ["SLT1", "123456789", KEY, "7", "24", "1", "SLT-50", "1.2", "4711"]
DEVICE = Device(
    "SLT1",
    DeviceConfig.from_hex(KEY, 123456789, time_divider=24, restricted_digit_set=True),
    7,
    "SLT-50",
    "1.2",
    "4711",
)


def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        Registry.open(Path(scratch) / "paygo.db").close()
        return (Path(scratch) / "paygo.db").read_bytes()


EMPTY = _empty()
"""A registry without devices, since to make one takes longer than most tests here."""


def key(number: int) -> str:
    """A key of its own for each device, and the same in every run."""
    return f"{number:x}".rjust(4, "b") * 8


@pytest.fixture(autouse=True)
def station(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PAYGO_REGISTRY", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def bring(content: bytes | str, accept=(), registry="paygo.db", **how) -> tuple[list[Device], Report]:
    """What is in the registry once a file with this content was imported, and the report."""
    Path("list.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    source = open_source("list.csv", **how)
    if not Path(registry).exists():
        Path(registry).write_bytes(EMPTY)
    with Registry.open(registry) as opened:
        report = import_list(opened, source, accept=frozenset(accept), quarantine=Path("refused.csv"))
        return list(opened.devices()), report


def row_with(field: str, cell: str) -> str:
    cells = list(ROW)
    cells[FIELDS.index(field)] = cell
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return f"{HEADER}\n{text.getvalue()}"


@pytest.mark.parametrize(
    ("encoding", "delimiter", "end", "quoted"),
    [
        ("utf-8", ",", "\n", False),
        ("utf-8-sig", ";", "\r\n", False),
        ("utf-16", "\t", "\r\n", False),
        ("utf-16-le", ",", "\n", True),
        ("utf-16-be", "|", "\n", False),
        ("utf-32", ",", "\n", False),
        ("cp1252", ";", "\r", True),
        ("utf-8", "^", "\r", True),
    ],
)
def test_a_list_is_read_in_any_encoding_with_any_delimiter_quotes_and_line_ends(encoding, delimiter, end, quoted):
    rows = [list(TEMPLATE_HEADER), ["Größe1", *ROW[1:]], ["SLT2", "5", key(2), "", "", "", "Modèle", "", ""]]
    form = '"{}"' if quoted else "{}"
    text = "".join(delimiter.join(form.format(cell) for cell in row) + end for row in rows)
    devices, report = bring(text.encode(encoding))
    assert [(device.serial, device.hardware_model) for device in devices] == [("Größe1", "SLT-50"), ("SLT2", "Modèle")]
    assert devices[0].config == DEVICE.config
    assert (report.added, report.refused, report.repaired) == (2, 0, {})


@pytest.mark.parametrize(
    "header",
    [
        "Numéro de série;Code de départ;Clé secrète;Compteur;Diviseur;Chiffres restreints;Modèle;Version;Code de test",
        "Número de serie;Código inicial;Clave;Contador;Divisor;Dígitos restringidos;Modelo;Versión;Código de prueba",
        "Nº de série;Código de início;Chave;Contagem;Divisor de tempo;Modo restrito;Modelo;Versão;Código de teste",
        "Namba ya serial;Msimbo wa kuanzia;Ufunguo;Hesabu;Kigawanyo;Tarakimu chache;Mfano;Toleo;Msimbo wa jaribio",
        "Seriennummer;Startcode;Schlüssel;Zähler;Zeitteiler;Eingeschränkte Ziffern;Modell;Firmware;Testcode",
        "serial_no;STARTING CODE (9 digits);secret-key;Last Count;units per day;restricted;Model;fw version;test code",
        "Serail Number;Starting Code;Key;Count;Time Divder;Restricted Digit Mode;Hardware Model;Firmware;Test Code",
    ],
)
def test_a_header_is_understood_in_six_languages_and_in_any_order(header):
    names = header.split(";")
    assert [field_of(name) for name in names] == list(FIELDS)
    order = [2, 8, 0, 3, 7, 1, 6, 4, 5]
    lines = [";".join(cells[at] for at in order) for cells in (names, ROW)]
    devices, report = bring("\n".join(lines))
    assert devices == [DEVICE]
    assert not report.refusals


def test_titles_stand_above_the_header_and_other_columns_beside_it():
    rows = [
        "Solar Co.;;;",
        "Export of;2026-11-27;;",
        ";;;",
        "Customer;Serial Number;Town;Key",
        f"Amina;SLT1;Kisumu;{KEY}",
    ]
    devices, report = bring("\n".join(rows))
    assert [(device.serial, device.config.starting_code) for device in devices] == [("SLT1", DERIVED)]
    assert open_source("list.csv").columns.unused == ["'Customer'", "'Town'"]
    assert report.refused == 0


def test_a_list_without_header_is_taken_in_the_public_order_only():
    assert bring(",".join(ROW))[0] == [DEVICE]
    with pytest.raises(PaygoError, match="no header of a device list"):
        bring(",".join(reversed(ROW)), registry="other.db")
    assert not Path("other.db").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the list is empty"),
        ("nothing\n", "no header"),
        ("Serial Number,Count\nSLT1,1\n", "no column is the Key"),
        (f"Serial Number,Device ID,Key\nSLT1,2,{KEY}\n", "columns 1 and 2 could both be the Serial Number"),
        (f"Serial Number,Key,Key\nSLT1,{KEY},{KEY}\n", "columns 2 and 3 could both be the Key"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "an old Excel workbook"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x1f\x8b\x08", "a compressed file"),
        ("x" * 1_300_000, "no header"),
        (b"\0" * 70_000, "no header"),
        (f"{HEADER}\n{'x' * 1_600_000}", "has no end within 1000000 characters"),
    ],
)
def test_what_is_no_list_is_one_sentence_and_makes_no_registry(content, says):
    with pytest.raises(PaygoError, match=says) as error:
        bring(content)
    assert KEY not in str(error.value) + error.value.hint
    if Path("paygo.db").exists():
        with Registry.open("paygo.db") as registry:
            assert not list(registry.devices())


CERTAIN = [
    ("serial", " SLT1 "),
    ("serial", "\u00a0SLT1\u200b"),
    ("serial", '="SLT1"'),
    ("serial", "'SLT1"),
    ("starting_code", "123456789.0"),
    ("starting_code", "123,456,789"),
    ("starting_code", "123.456.789"),
    ("starting_code", "123 456 789"),
    ("starting_code", "123\u202f456\u202f789"),
    ("starting_code", "123'456'789"),
    ("starting_code", "1.23456789E+08"),
    ("starting_code", "'123456789"),
    ("starting_code", "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669"),
    ("key", KEY.upper()),
    ("key", f" {KEY}"),
    ("key", bytes.fromhex(KEY).hex(" ")),
    ("key", bytes.fromhex(KEY).hex(":").upper()),
    ("key", f"0x{KEY}"),
    ("key", " ".join(f"0x{byte:02x}" for byte in bytes.fromhex(KEY))),
    ("key", f"{{{KEY[:8]}-{KEY[8:12]}-{KEY[12:16]}-{KEY[16:20]}-{KEY[20:]}}}"),
    ("key", "D7gu3F+7xB7JUw9trIaxog=="),
    ("count", "7.0"),
    ("count", "7,00"),
    ("count", "\uff17"),
    ("time_divider", "24.0"),
    ("restricted", "yes"),
    ("restricted", "VRAI"),
    ("restricted", "Sí"),
    ("restricted", "ndiyo"),
    ("restricted", "1.0"),
    ("model", " SLT-50\u00a0"),
    ("test_code", "4711.0"),
]


@pytest.mark.parametrize(("field", "cell"), CERTAIN)
def test_damage_is_repaired_where_it_is_certain(field, cell):
    devices, report = bring(row_with(field, cell))
    assert devices == [DEVICE]
    assert (report.added, report.refused) == (1, 0)
    assert bool(report.repaired) == (cell != KEY.upper())
    assert bring(row_with(field, cell))[1].unchanged == 1


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("count", ""),
        ("count", "NULL"),
        ("time_divider", "n/a"),
        ("restricted", "-"),
        ("model", "None"),
        ("test_code", "nan"),
    ],
)
def test_words_for_nothing_are_empty_cells(field, cell):
    ((device,), report) = bring(row_with(field, cell))
    (default,) = bring(row_with(field, ""), registry="other.db")[0]
    assert device == default
    assert report.refused == 0


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (KEY[1:], DERIVED),
        (KEY[:9] + KEY[10:], DERIVED),
        (KEY.replace("0", "O", 1), DERIVED),
        (KEY[:5] + "?" + KEY[6:], None),
        (KEY[:5] + "x" + KEY[6:], DERIVED),
        ("x" + KEY[1:], DERIVED),
    ],
)
def test_a_lost_digit_of_a_key_is_found_where_the_starting_code_follows_from_it(cell, code):
    devices, report = bring(f"{HEADER}\nSLT1,{DERIVED},{cell},1,1,0,,,")
    assert [device.config.secret_key.hex() for device in devices] == ([KEY] if code else [])
    assert report.refused == (code is None)


def test_a_rounded_starting_code_is_found_where_it_follows_from_the_key():
    rounded = f"{DERIVED:.2E}"
    devices, report = bring(f"{HEADER}\nSLT1,{rounded},{KEY},1,1,0,,,\nSLT2,5.17E+08,{key(2)},1,1,0,,,")
    assert [(device.serial, device.config.starting_code) for device in devices] == [("SLT1", DERIVED)]
    assert [problem.serial for problem in report.refusals] == ["SLT2"]


UNSURE = [
    ("thousands", "count", "1.000", {"count": 1000}),
    ("thousands", "starting_code", "516.000", {"starting_code": 516_000}),
    ("dates", "count", "1900-01-07", {"count": 7}),
    ("dates", "time_divider", "1900-01-24 00:00:00", {"time_divider": 24}),
    ("dates", "count", "1900-03-01", {"count": 61}),
    ("decimals", "serial", "220000001.0", {"serial": "220000001"}),
    ("lookalikes", "key", KEY.replace("0", "O"), {"key": KEY}),
    ("lookalikes", "key", KEY.replace("1", "l"), {"key": KEY}),
    ("short-keys", "key", KEY[1:], {"key": KEY}),
]


@pytest.mark.parametrize(("kind", "field", "cell", "becomes"), UNSURE)
def test_what_is_not_certain_is_refused_until_it_is_accepted_by_name(kind, field, cell, becomes):
    devices, report = bring(row_with(field, cell))
    assert not devices
    assert [problem.accept for problem in report.refusals] == [kind]
    assert f"--accept {kind}" in str(report.refusals[0])
    assert report.unsure == {kind: 1}
    others = set(ACCEPTABLE) - {kind}
    assert bring(row_with(field, cell), others)[1].refused == 1
    ((device,), report) = bring(row_with(field, cell), {kind})
    config = device.config
    found = {"count": device.count, "serial": device.serial, "key": config.secret_key.hex()}
    found |= {"starting_code": config.starting_code, "time_divider": config.time_divider}
    assert {name: found[name] for name in becomes} == becomes
    assert sum(report.repaired.values()) == 1


@pytest.mark.parametrize(
    ("field", "cell", "says"),
    [
        ("serial", "", "the serial is missing"),
        ("serial", "2.2E+08", "has lost digits"),
        ("serial", "2022-01-05", "became a date"),
        ("serial", "05/01/22", "became a date"),
        ("serial", "1-May", "became a date"),
        ("serial", "Jan-22", "became a date"),
        ("serial", "#NAME?", "spreadsheet shows"),
        ("serial", "########", "spreadsheet shows"),
        ("serial", "x" * 65, "cannot be used"),
        ("serial", "SLT\x1b1", "cannot be used"),
        ("serial", KEY, "looks like a secret key"),
        ("starting_code", "0", "not a whole number"),
        ("starting_code", "1000000000", "not a whole number"),
        ("starting_code", "-5", "not a whole number"),
        ("starting_code", "5.17E+08", "has lost digits"),
        ("starting_code", "12.5", "not a whole number"),
        ("starting_code", "9" * 5000, "not a whole number"),
        ("starting_code", KEY, "not a whole number"),
        ("starting_code", "12,34,567", "not a whole number"),
        ("key", "", "the key is missing"),
        ("key", KEY + "0", "33 characters"),
        ("key", KEY[:30], "30 characters"),
        ("key", "1.23E+31", "rounded number"),
        ("key", "g" * 32, "not hexadecimal"),
        ("count", "65536", "not a whole number"),
        ("count", "07/01/1900", "became a date"),
        ("time_divider", "0", "not a whole number"),
        ("time_divider", "256", "not a whole number"),
        ("restricted", "2", "neither 1 nor 0"),
        ("restricted", "maybe", "neither 1 nor 0"),
        ("model", KEY, "looks like a secret key"),
        ("model", "\x1b[2J", "control characters"),
        ("model", "M" * 300, "300 characters"),
        ("test_code", "12a", "not 1 to 20 digits"),
    ],
)
def test_what_cannot_be_repaired_is_refused_with_line_column_and_reason(field, cell, says):
    content = row_with(field, cell)
    devices, report = bring(content, ACCEPTABLE)
    assert not devices
    (problem,) = report.refusals
    assert (problem.line, problem.column) == (2, TEMPLATE_HEADER[FIELDS.index(field)])
    assert says in problem.cause
    assert KEY not in str(problem)
    kept = Path("refused.csv")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [row[2:] for row in csv.reader(io.StringIO(kept.read_text()))][1] == [*csv.reader(io.StringIO(content))][1]


def test_a_legitimate_serial_is_not_taken_for_damage():
    serials = [
        "2022-01-0001",
        "12E45",
        "SLT-2022-01",
        "0001",
        "1.2.3-4",
        "Mai-22",
        "E+1",
        "A 1",
        "5-Maybe",
        "-1x",
        "@home",
    ]
    devices, report = bring("\n".join([HEADER, *(f"{name},5,{key(at)},,,,,," for at, name in enumerate(serials))]))
    assert sorted(device.serial for device in devices) == sorted(serials)
    assert not report.refused


def test_rows_of_other_widths():
    """Empty cells at the end are nothing; what is missing there is accepted; what is too much is refused."""
    rows = [
        f"SLT1,5,{key(1)},1,1,0,,,,,,",
        f"SLT2,5,{key(2)},1,1",
        f"SLT3,516,959,010,{key(3)},1,1,0,,,",
        "SLT4,5",
        "",
        ",,,",
    ]
    devices, report = bring("\n".join([HEADER, *rows]))
    assert [device.serial for device in devices] == ["SLT1"]
    assert [(p.line, p.serial, p.accept) for p in report.refusals] == [
        (3, "SLT2", "short-rows"),
        (4, "SLT3", ""),
        (5, "SLT4", ""),
    ]
    assert len(bring("\n".join([HEADER, *rows]), {"short-rows"})[0]) == 2


def test_quotes_that_do_not_close_spoil_their_own_line_only():
    rows = [
        f'SLT1,5,{key(1)},1,1,0,"A ""big"" one",,',
        f'SLT2,5,{key(2)},1,1,0,"open,,',
        f"SLT3,5,{key(3)},1,1,0,,,",
        f'SLT4,5,{key(4)},1,1,0,"two\nlines",,',
        f'SLT5,5,{key(5)},1,1,0,5" pipe,,',
        f'"SLT6",5,{key(6)},1,1,0,,,"',
        f"SLT7,5,{key(7)},1,1,0,,,",
    ]
    devices, report = bring("\n".join([HEADER, *rows]))
    assert [(d.serial, d.hardware_model) for d in devices] == [
        ("SLT1", 'A "big" one'), ("SLT3", ""), ("SLT4", "two lines"), ("SLT5", '5" pipe'), ("SLT7", ""),
    ]  # fmt: skip
    assert [(problem.line, problem.cause) for problem in report.refusals] == [
        (3, "the line is not CSV"),
        (8, "the line is not CSV"),
    ]


def test_a_row_within_a_quoted_cell_is_no_row():
    rows = [f'SLT1,5,{key(1)},1,1,0,"text', f"SLT2,5,{key(2)},1,1,0,,,", '",,']
    devices, report = bring("\n".join([HEADER, *rows]))
    assert "SLT2" not in [device.serial for device in devices]
    assert report.refused == 1 or not devices


@pytest.mark.parametrize("cut", [*range(0, 40, 3)])
def test_a_quoted_cell_is_whole_wherever_the_file_is_cut_into_chunks(monkeypatch, cut):
    monkeypatch.setattr("paygo_core.moving.text.CHUNK", 210 + cut)
    rows = [f'SLT{n},5,{key(n)},1,1,0,"a\nb{n}",,' if n % 2 else f"SLT{n},5,{key(n)},1,1,0,x,," for n in range(1, 30)]
    devices, report = bring("\n".join([HEADER, *rows]))
    assert not report.refusals
    assert {d.serial: d.hardware_model for d in devices} == {
        f"SLT{n}": f"a b{n}" if n % 2 else "x" for n in range(1, 30)
    }


def test_a_file_that_cannot_be_read_twice_is_refused(tmp_path):
    for name, says in (
        ("/dev/zero", "no regular file"),
        (tmp_path, "no regular file"),
        ("nothing.csv", "No such file"),
    ):
        with pytest.raises(PaygoError, match=says):
            open_source(name)


def test_bytes_that_are_no_text_spoil_their_own_line_only():
    rows = [HEADER, f"SLT1,5,{key(1)},1,1,0,Größe,,", f"SLT2,5,{key(2)},1,1,0,\0,,", f"SLT3,5,{key(3)},1,1,0,,,"]
    content = "\n".join(rows).encode() + f"\nSLT4,5,{key(4)},1,1,0,".encode() + b"\xff,,\n"
    devices, report = bring(content)
    assert [device.serial for device in devices] == ["SLT1", "SLT3"]
    assert [problem.line for problem in report.refusals] == [3, 5]
    assert b"\xff" in Path("refused.csv").read_bytes()


def test_a_serial_that_stands_twice():
    """The same row again is nothing new; rows that disagree are all refused, since nobody knows which is right."""
    rows = [
        f"SLT1,5,{key(1)},1,1,0,,,",
        f"SLT2,5,{key(2)},1,1,0,,,",
        f"SLT1,5,{key(1)},1,1,0,,,",
        f"SLT2,6,{key(2)},1,1,0,,,",
        f"SLT2,5,{key(2)},1,1,0,,,",
        f"SLT3,5,{key(3)},1,1,0,,,",
    ]
    devices, report = bring("\n".join([HEADER, *rows]))
    assert [device.serial for device in devices] == ["SLT1", "SLT3"]
    assert sorted(problem.line for problem in report.refusals) == [3, 5, 6]
    assert (report.added, report.repeated, report.refused, report.rows) == (2, 1, 3, 6)
    assert bring("\n".join([HEADER, *rows]))[1].unchanged == 3


def test_serials_that_share_a_key_are_told():
    rows = [f"SLT{n},5,{key(n // 2)},1,1,0,,," for n in range(2, 6)]
    report = bring("\n".join([HEADER, *rows]))[1]
    assert report.added == 4
    assert report.shared == [["SLT2", "SLT3"], ["SLT4", "SLT5"]]


def test_conflicts_are_shown_and_not_overwritten():
    bring(f"{HEADER}\nSLT1,5,{key(1)},1,1,0,A,1,\nSLT2,5,{key(2)},9,1,0,,,")
    with Registry.open("paygo.db") as registry:
        registry.add_plain("MPPT1")
        registry.issue("SLT2", days=1)
    rows = [f"SLT1,6,{key(3)},1,2,1,B,2,1", f"SLT2,5,{key(2)},11,1,0,,,", f"MPPT1,5,{key(4)},1,1,0,,,"]
    devices, report = bring("\n".join([HEADER, *rows]))
    assert [device.config.secret_key.hex() for device in devices] == [key(1), key(2)]
    assert [problem.cause for problem in report.refusals] == [
        "the registry holds SLT1 with another starting code and another secret key and another time divider"
        " and another restricted digit set and another hardware model and another version and another test code",
        "the registry holds SLT2 with a lower count",
        "the registry holds MPPT1 with no key",
    ]


def test_a_column_that_a_list_lacks_is_no_conflict():
    bring(f"{HEADER}\nSLT1,5,{key(1)},9,24,1,A,1,77")
    devices, report = bring(f"Serial Number,Starting Code,Key\nSLT1,5,{key(1)}")
    assert (report.unchanged, devices[0].count, devices[0].test_code) == (1, 9, "77")


def test_history_comes_along_as_notes_once_and_without_keys():
    header = "Serial Number,Key,Battery swaps,Notes de réparation,Town"
    rows = [f'SLT1,{key(1)},2024-03-01,"wire\nbroken",X', f"SLT2,{key(2)},,key was {key(9)},X", "SLT3,short,2023,,X"]
    for expected in (3, 0):
        report = bring("\n".join([header, *rows]))[1]
        assert report.notes == expected
    with Registry.open("paygo.db") as registry:
        assert [note.text for note in registry.notes("SLT1")] == [
            "Battery swaps: 2024-03-01", "Notes de réparation: wire broken",
        ]  # fmt: skip
        assert [note.text for note in registry.notes("SLT2")] == ["Notes de réparation: key was [secret]"]


@pytest.mark.parametrize("passphrase", [None, "horse battery"])
def test_the_same_list_comes_in_as_with_the_api(passphrase):
    """Also under a passphrase, and SQLite finds every row within its checks."""
    listed = [
        Device(f"SLT{n}", DeviceConfig.from_hex(key(n), n + 1, time_divider=n % 255 + 1), n, "M", "1", "5" * (n % 3))
        for n in range(700)
    ]
    rows = [
        f"{d.serial},{d.config.starting_code},{d.config.secret_key.hex()},{d.count},{d.config.time_divider},0,M,1,{d.test_code}"
        for d in listed
    ]
    Path("list.csv").write_text("\n".join([HEADER, *rows]))
    with Registry.open("one.db", passphrase=passphrase) as one, Registry.open("two.db", passphrase=passphrase) as two:
        assert import_list(one, open_source("list.csv")).added == 700
        two.import_devices(listed)
        assert sorted(one.devices(), key=str) == sorted(two.devices(), key=str)
        facts = [[(e.serial, e.state, e.takes_tokens) for e in registry.entries()] for registry in (one, two)]
        assert facts[0] == facts[1]
        with one.moving_in() as (connection, _):
            assert connection.exec_driver_sql("PRAGMA ignore_check_constraints").scalar_one() == 0
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert import_list(one, open_source("list.csv")).unchanged == 700


def test_a_mapping_is_saved_and_used_again(capsys):
    Path("list.csv").write_text(f"Appareil n°;Secret;Dépannage;Clé;Nombre\nSLT1;x;vis;{KEY};9\n")
    Path("map.toml").write_text('[columns]\nserial = "Appareil n°"\nkey = 4\ncount = "nombre"\nnotes = ["Dépannage"]\n')
    assert run(root, ["device", "import", "list.csv"]) == 2
    assert "could both be the Key" in capsys.readouterr().err
    assert run(root, ["device", "import", "list.csv", "--mapping", "map.toml", "--save-mapping", "again.toml"]) == 0
    assert "count from 'Nombre'" in capsys.readouterr().err
    assert load_mapping("again.toml") == {
        "serial": "Appareil n°", "key": "Clé", "count": "Nombre", "notes": ["Dépannage"],
    }  # fmt: skip
    assert run(root, ["device", "import", "list.csv", "--mapping", "again.toml"]) == 0
    assert "0 added, 1 already there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no table"),
        ("[columns", "is no mapping"),
        ("[columns]\nserial = 1", "no column is the Key"),
        ("[columns]\nserial = 1\nkey = true", "names no column"),
        ("[columns]\nserial = 1\nkey = 2\nowner = 3", "is no field"),
        ("[columns]\nserial = 1\nkey = 1", "one column for two things"),
        ("[columns]\nserial = 1\nkey = 12", "names column 12"),
        ('[columns]\nserial = "Nothing"\nkey = "Key"', "not all in one"),
    ],
)
def test_a_mapping_that_is_wrong_is_one_sentence(text, says):
    Path("map.toml").write_text(text)
    Path("list.csv").write_text(row_with("count", "1"))
    with pytest.raises(PaygoError, match=says):
        open_source("list.csv", saved=load_mapping("map.toml"))


def test_a_headless_list_in_another_order_comes_in_by_numbers():
    Path("map.toml").write_text("[columns]\nkey = 1\nserial = 3\ncount = 2\n")
    devices, report = bring(f"Clef\n{KEY[3:]};4;SLT0\n{KEY};5;SLT1\n{key(2)};6;SLT2\n", saved=load_mapping("map.toml"))
    assert [(device.serial, device.count) for device in devices] == [("SLT1", 5), ("SLT2", 6)]
    assert [problem.line for problem in report.refusals] == [2], "no row is passed over without a word"
    report = bring(f"SLT0,5,{KEY[3:]},,,,,,\n{','.join(ROW)}", registry="other.db")[1]
    assert [problem.line for problem in report.refusals] == [1]


def test_the_quarantine_can_be_put_right_and_imported(capsys):
    Path("list.csv").write_text(f"{HEADER}\nSLT1,5,{KEY},1,1,0,,,\n=SLT2,5,{key(2)[1:]},1,1,0,,,\n".replace(",", ";"))
    assert run(root, ["device", "import", "list.csv"]) == 1
    kept = Path("list.csv.quarantine.csv")
    assert "3;'=SLT2, Key" in kept.read_text()
    kept.write_text(kept.read_text().replace(key(2)[1:], key(2)))
    assert run(root, ["device", "import", str(kept)]) == 0
    assert "1 added" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(capsys):
    Path("list.csv").write_text(f"{HEADER}\nSLT1,5,{KEY},1,1,0,,,\nSLT2,5,,1,1,0,,,\n")
    assert run(root, ["device", "import", "list.csv", "--dry-run", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["added"], answer["refused_rows"], answer["dry_run"]) == (1, 1, True)
    assert [path.name for path in Path().iterdir()] == ["list.csv"]
    with Registry.open("paygo.db"):
        pass
    assert run(root, ["device", "import", "list.csv", "--dry-run"]) == 1
    assert "1 added" in capsys.readouterr().out
    with Registry.open("paygo.db") as registry:
        assert not list(registry.devices())


CELLS = st.one_of(
    st.sampled_from(
        [
            *ROW,
            KEY.upper(),
            "",
            "1.000",
            "null",
            "n/a",
            "Jan-22",
            "2E+05",
            "1.0",
            "'x",
            "=x",
            "SLT 50",
            "#N/A",
            "x" * 16,
        ]
    ),
    st.text(alphabet="01.,-+E' =Aafg#/:é\u00a0", max_size=8),
)


@given(st.lists(CELLS, min_size=9, max_size=9), st.integers(0, 511))
@settings(max_examples=300)
def test_a_row_that_needs_no_judging_is_judged_the_same(cells, kept):
    """The fast way takes only what the careful way takes unchanged; keys among the serials are sorted out later."""
    cells = [ROW[at] if kept >> at & 1 else cell for at, cell in enumerate(cells)]
    columns = Columns({name: at for at, name in enumerate(FIELDS)}, width=9)
    for delimiter in (",", ";"):
        found = plain_rows(columns, delimiter).fullmatch(delimiter.join(cells))
        if found is not None and mask_secrets(cells[0]) == cells[0] and all(delimiter not in cell for cell in cells):
            judge = Judge(columns)
            careful = template_order(judge.row(cells, 1), group_order(columns))
            assert not judge.repaired
            numbers = {FIELDS.index(name) for name in ("starting_code", "count", "time_divider")}
            for at, (one, other) in enumerate(zip(careful, found.groups(), strict=True)):
                assert int(one or 0) == int(other or 0) if at in numbers else one == other


@given(st.lists(st.one_of(CELLS, st.text(max_size=12)), min_size=1, max_size=12))
@settings(max_examples=300)
def test_any_row_is_a_device_or_a_sentence_and_never_shows_a_key(cells):
    columns = Columns({name: at for at, name in enumerate(FIELDS)}, width=9)
    judge = Judge(columns, frozenset(ACCEPTABLE))
    said = ""
    try:
        values = judge.row(cells, 1)
    except WrongCell as wrong:
        said = wrong.cause + wrong.hint
    assert KEY not in said.lower()
    if said:
        return
    serial, code, secret, count, divider, restricted, *texts = values
    Device(serial, DeviceConfig.from_hex(secret, int(code), time_divider=int(divider or 1)), int(count or 1), *texts)
    assert restricted in ("", "0", "1")


@given(st.binary(max_size=400))
@settings(max_examples=150)
def test_any_file_is_read_to_its_end_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "list.csv"
    path.write_bytes(HEADER.encode() + b"\n" + content)
    try:
        report = import_list(None, open_source(path))
    except PaygoError:
        return
    assert report.rows >= 0
