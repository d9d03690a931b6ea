"""A device list is read as it is: good rows become devices, broken rows become sentences and are kept."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest

from paygo_core import DeviceConfig, PaygoError
from paygo_core.device_list import DeviceList, read_device_list, write_quarantine

KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
HEADER = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code"
GENERATOR = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Firmware Version"
GOOD = f"SLT1,123456789,{KEY},1,1,0,Model,1.0,"
EXAMPLES = Path(__file__).parents[2] / "examples"


def listed(tmp_path: Path, *rows: str | bytes, header: str = HEADER, end: str = "\n") -> DeviceList:
    lines = [row if isinstance(row, bytes) else row.encode() for row in (header, *rows)]
    path = tmp_path / "list.csv"
    path.write_bytes(b"".join(line + end.encode() for line in lines))
    return read_device_list(path)


def row(serial="SLT9", code="123456789", key=KEY, count="1", divider="1", restricted="0", test_code="") -> str:
    return f"{serial},{code},{key},{count},{divider},{restricted},Model,1.0,{test_code}"


def test_every_column_of_the_template_reaches_the_device(tmp_path):
    [device] = listed(tmp_path, f'SLT1,005169590,{KEY.upper()},7,24,1,"Model, large",1.0,4711').devices
    assert (device.serial, device.count, device.line) == ("SLT1", 7, 2)
    assert device.config == DeviceConfig.from_hex(KEY, 5169590, time_divider=24, restricted_digit_set=True)
    assert (device.hardware_model, device.version, device.test_code) == ("Model, large", "1.0", "4711")


def test_empty_cells_take_the_defaults_and_the_starting_code_comes_from_the_key(tmp_path):
    [device] = listed(tmp_path, f"SLT1,,{KEY},,,,,,").devices
    assert device.count == 1
    assert device.config == DeviceConfig.from_hex(KEY)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path, end, mark):
    found = listed(tmp_path, GOOD, "", header=mark + HEADER, end=end)
    assert [device.serial for device in found.devices] == ["SLT1"]
    assert found.problems == []


def test_a_last_line_without_an_end_counts(tmp_path):
    (tmp_path / "list.csv").write_text(f"{HEADER}\n{GOOD}")
    assert len(read_device_list(tmp_path / "list.csv").devices) == 1


def test_the_header_may_differ_in_case_and_in_spaces_around_names(tmp_path):
    assert listed(tmp_path, GOOD, header=HEADER.upper().replace(",", " , ")).devices


def test_both_public_variants_are_read_from_the_examples():
    template = read_device_list(EXAMPLES / "device-list.csv")
    generated = read_device_list(EXAMPLES / "device-list-8-columns.csv")
    assert not template.problems
    assert not generated.problems
    assert any(device.config.restricted_digit_set for device in template.devices)
    assert any(device.config.time_divider == 24 for device in template.devices)
    assert all(device.version and not device.test_code for device in generated.devices)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (HEADER.replace("Key", "Secret"), "missing Key; unknown 'Secret'"),
        (HEADER.replace(",Test Code", ""), "missing Test Code"),
        (GENERATOR + ",Extra", "unknown 'Extra'"),
        (HEADER.replace("Key,Count", "Count,Key"), "another order"),
        (HEADER.replace(",", ";"), "semicolons"),
        ("", "missing Serial Number"),
        ('"Serial', "not CSV"),
        (GOOD, "missing Serial Number"),
    ],
)
def test_another_header_is_refused_with_the_line_and_the_right_one(tmp_path, header, says):
    with pytest.raises(PaygoError) as error:
        listed(tmp_path, header=header)
    assert says in error.value.cause
    assert "line 1" in error.value.cause
    assert KEY not in f"{error.value.cause} {error.value.hint}"


BROKEN = [
    (row(key=KEY[1:]), "Key", "31 characters"),
    (row(key=""), "Key", "missing"),
    (row(key=KEY[:8] + " " + KEY[8:]), "Key", "spaces"),
    (row(key=" " + KEY), "Key", "spaces"),
    (row(key="g" + KEY[1:]), "Key", "not hexadecimal"),
    (row(key="٣" * 32), "Key", "not hexadecimal"),
    (row(code="0"), "Starting Code", "'0' is not a whole number from 1 to 999999999"),
    (row(code="1234567890"), "Starting Code", "'1234567890'"),
    (row(code="5.17E+08"), "Starting Code", "'5.17E+08'"),
    (row(code=" 5"), "Starting Code", "' 5'"),
    (row(code="٣"), "Starting Code", "not a whole number"),
    (row(count="70000"), "Count", "'70000' is not a whole number from 0 to 65535"),
    (row(count="-1"), "Count", "'-1'"),
    (row(divider="0"), "Time Divider", "'0' is not a whole number from 1 to 255"),
    (row(divider="256"), "Time Divider", "'256'"),
    (row(restricted="yes"), "Restricted Digit Mode", "'yes' is neither 1 nor 0"),
    (row(test_code="12a"), "Test Code", "'12a' is not 1 to 20 digits"),
    (row(serial=""), "Serial Number", "missing"),
    (row(serial="SLT9 "), "Serial Number", "cannot be used"),
    (row(serial="S" * 65), "Serial Number", "cannot be used"),
    (row(serial="SLT\x1b[2J"), "Serial Number", "cannot be used"),
    (row().replace("Model", "Mod\x07el"), "Hardware Model", "control characters"),
    (row() + ",more", "", "10 columns"),
    (row()[:-1], "", "8 columns"),
    (KEY, "", "1 columns"),
    (row().replace("Model", '"Model'), "", "not CSV"),
    (row().replace("Model", "Mo\rdel"), "", "not CSV"),
    (row().replace("Model", "Mo\0del"), "", "NUL"),
    (row().replace("Model", "M" * 10_000), "", "characters"),
    (row().encode().replace(b"Model", b"Mod\xe9l"), "", "byte 58 is not UTF-8"),
]


@pytest.mark.parametrize(("broken", "column", "says"), BROKEN, ids=[f"{c or 'row'}: {s}" for _, c, s in BROKEN])
def test_a_broken_row_is_one_sentence_and_the_good_rows_go_on(tmp_path, broken, column, says):
    found = listed(tmp_path, GOOD, broken, row(serial="SLT3"))
    assert [device.serial for device in found.devices] == ["SLT1", "SLT3"]
    [problem] = found.problems
    assert (problem.file, problem.line, problem.column) == (str(tmp_path / "list.csv"), 3, column)
    assert says in problem.cause
    assert problem.hint
    assert "\n" not in str(problem)
    assert str(problem).startswith(f"{tmp_path}/list.csv, line 3: ")


@pytest.mark.parametrize(
    "cells",
    [
        ["SLT9", KEY, "123456789", "1", "1", "0", "M", "V", ""],
        [KEY, "123456789", "", "1", "1", "0", "M", "V", ""],
        ["SLT9", "123456789", KEY[1:], "1", "1", "0", "M", "V", ""],
        ["SLT9", "123456789", f"0x{KEY}", "1", "1", "0", "M", "V", ""],
        ["SLT9", "123456789", KEY, KEY, "1", "0", "M", "V", ""],
        ["SLT9", "123456789", KEY, "1", "1", KEY, "M", "V", ""],
        ["SLT9", "123456789", KEY, "1", "1", "0", "M", "V", KEY],
        ["SLT9", "123456789", KEY, "1", "1", "0", "M", "V"],
    ],
)
def test_a_key_in_any_column_is_never_shown(tmp_path, cells):
    found = listed(tmp_path, ",".join(cells))
    assert len(found.problems) == 1
    shown = f"{found.problems[0]} {found!r}"
    assert KEY[1:] not in shown
    assert bytes.fromhex(KEY) not in shown.encode("latin-1", "replace")


def test_a_serial_that_stands_twice_names_its_first_line(tmp_path):
    found = listed(tmp_path, row(serial="SLT1", key="bad"), row(serial="SLT2"), row(serial="SLT1"), row(serial="SLT2"))
    assert [device.line for device in found.devices] == [3]
    assert [(p.line, p.cause) for p in found.problems[1:]] == [
        (4, "the serial stands on line 2 already"),
        (5, "the serial stands on line 3 already"),
    ]


def test_a_file_without_line_ends_is_not_read_to_its_end():
    with pytest.raises(PaygoError, match="no end within"):
        read_device_list("/dev/zero")


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_what_is_no_file_is_one_sentence(tmp_path, name):
    with pytest.raises(PaygoError, match=str(tmp_path)):
        read_device_list(tmp_path / name)


def quarantined(tmp_path: Path, found: DeviceList) -> Path:
    return write_quarantine(tmp_path / "bad.csv", found.header, found.problems)


def test_refused_rows_are_kept_as_they_were_and_the_quarantine_is_private(tmp_path):
    broken = [row() + ",more", row(count="x"), row(serial='"a,b"', divider="0"), row().replace("Model", '"Model')]
    found = listed(tmp_path, GOOD, *broken, b"\xff\xfe,", end="\r\n")
    path = quarantined(tmp_path, found)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["Line", "Reason", *HEADER.split(",")]
    assert [line for line, *_ in rows[1:]] == ["3", "4", "5", "6", "7"]
    assert [reason for _, reason, *_ in rows[1:]] == [problem.reason for problem in found.problems]
    assert rows[2][2:] == row(count="x").split(",")
    assert rows[3][2] == "a,b"
    assert rows[4][2] == broken[3], "a row that is no CSV is one cell"
    content = path.read_bytes()
    assert all(line.encode() in content for line in broken[:3])
    assert b"\xff\xfe," in content


def test_a_quarantine_file_is_never_overwritten(tmp_path):
    found = listed(tmp_path, row(count="x"))
    first = quarantined(tmp_path, found)
    assert quarantined(tmp_path, found) == first, "the same rows are there already"
    first.write_text("edited by hand")
    second = quarantined(tmp_path, found)
    assert second.name == "bad-2.csv"
    assert first.read_text() == "edited by hand"
    assert write_quarantine(first, found.header, found.problems) == second


def test_a_quarantine_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(PaygoError, match="missing"):
        write_quarantine(tmp_path / "missing" / "bad.csv", ["Key"], [])
