"""`paygo token` from the shell: what it prints, its exit statuses, and the key that never comes out."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
import subprocess
import sys

import pytest

from paygo_core.cli import root
from paygo_core.device_list import read_device_list
from paygo_core.registry import Registry
from paygo_core.shell import run

HEX = "a29ab82edc5fbbc41ec9530f6dac86b1"
KEY = bytes.fromhex(HEX)
START = ["--starting-code", "123456789"]


@pytest.fixture(autouse=True)
def somewhere_else(monkeypatch, tmp_path):
    """No key, no configuration file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PAYGO_KEY", raising=False)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.txt"
    path.write_text(HEX + "\n")
    return ["--key-file", str(path)]


@pytest.fixture
def paygo(capsys):
    """Runs a command; gives exit status, standard output and standard error, none of which holds the key."""

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(root, ["token", *arguments])
        out, err = capsys.readouterr()
        shows_no_key(out + err)
        return status, out, err

    return call


def shows_no_key(text: str) -> None:
    lower = text.lower()
    for form in (HEX, HEX[:31], " ".join(f"{b:02x}" for b in KEY), "".join(f"{b:x}" for b in KEY),
                 " ".join(f"{b:x}" for b in KEY), KEY.hex(":")):  # fmt: skip
        assert form.lower() not in lower
    for form in (base64.b64encode(KEY).decode().rstrip("="), KEY.decode("latin-1"), repr(KEY)[2:-1]):
        assert form not in text


@pytest.mark.parametrize(
    ("arguments", "digits", "said"),
    [
        (["--count", "1", "--add", "7"], "016609796", "ADD_TIME 7 days at count 2"),
        (["--count", "0", "--add", "1"], "662486790", "ADD_TIME 1 day at count 2"),
        (["--count", "2", "--add", "29", "--units"], "927706818", "ADD_TIME 29 days at count 4"),
        (["--count", "4", "--set", "7"], "942433796", "SET_TIME 7 days at count 5"),
        (["--count", "5", "--unlock"], "650975787", "DISABLE_PAYG (unlock for good) at count 7"),
        (["--count", "7", "--set", "0"], "592185789", "SET_TIME 0 days at count 9"),
        (["--count", "0", "--add", "1", "--restricted"], "324244134441123", "ADD_TIME 1 day at count 2"),
        (["--count", "1", "--add", "0.5", "--divider", "14"], "016609796", "ADD_TIME 0.5 days (7 units) at count 2"),
        (["--count", "0", "--sync", "--behind"], None, "COUNTER_SYNC at count 99"),
        (["--count", "1", "--add", "1", "--units", "--divider", "2"], None, "ADD_TIME 0.5 days (1 unit) at count 2"),
        (["--count", "1", "--add", "5000", "--extended"], None, "ADD_TIME value 5000 (extended) at count 2"),
    ],
)
def test_generate_prints_the_digits_and_says_what_they_do(paygo, key_file, arguments, digits, said):
    """T5, T7, T10, T19 to T21, T25."""
    status, out, err = paygo("generate", *key_file, *START, *arguments)
    assert (status, err) == (0, said + "\n")
    assert out == f"{digits}\n" if digits else out.strip().isdecimal()


def test_generate_as_json(paygo, key_file):
    """T20."""
    status, out, _ = paygo("generate", *key_file, *START, "--count", "1", "--add", "7", "--json")
    assert status == 0
    assert json.loads(out) == {
        "digits": "016609796", "grouped": "016 609 796", "count": 2, "type": "ADD_TIME", "value": 7, "collides": False,
    }  # fmt: skip


def test_generate_warns_of_a_count_that_must_not_be_issued(paygo, tmp_path):
    """T18: with this key 7 days at count 306 are also a SET_TIME at 305."""
    (tmp_path / "other").write_text("5de70f4aba744b50f26b23f62869ea32")
    key = ["--key-file", str(tmp_path / "other")]
    status, out, err = paygo("generate", *key, *START, "--count", "305", "--add", "7")
    assert (status, out) == (0, "402344796\n")
    assert "warning" in err
    assert "--count 306" in err
    _, _, err = paygo("generate", *key, *START, "--count", "306", "--add", "7")
    assert "warning" not in err


def test_the_key_comes_from_an_option_before_the_environment_before_the_configuration(
    paygo, key_file, monkeypatch, tmp_path
):
    """T1."""
    last = ["generate", *START, "--count", "1", "--add", "7"]
    other = "00112233445566778899aabbccddeeff"
    (tmp_path / "paygo.toml").write_text(f'[token.generate]\nkey_file = "{key_file[1]}"\n')
    assert paygo(*last)[1] == "016609796\n"
    monkeypatch.setenv("PAYGO_KEY", other)
    from_environment = paygo(*last)[1]
    assert from_environment != "016609796\n"
    assert paygo(*last, *key_file)[1] == "016609796\n"
    assert paygo(*last, "--key", HEX)[1] == "016609796\n"
    monkeypatch.setenv("PAYGO_KEY", "")
    assert paygo(*last)[1] == "016609796\n"


def test_a_key_file_of_a_hyphen_is_standard_input(paygo, monkeypatch):
    """T1."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(HEX.upper() + "\r\n"))
    assert paygo("generate", "--key-file", "-", *START, "--count", "1", "--add", "7")[1] == "016609796\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff" * 16), "utf-8"))
    status, _, err = paygo("generate", "--key-file", "-", "--count", "1", "--add", "7")
    assert status == 2
    assert "not text" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "1"], "give exactly one of --add, --set, --unlock and --sync"),
        (["--count", "1", "--add", "1", "--unlock"], "give exactly one of --add, --set, --unlock and --sync"),
        (["--count", "1", "--add", "1", "--set", "0"], "give exactly one of"),
        (["--add", "1"], "Missing option '--count'"),
        (["--count", "1", "--add", "996"], "the value 996 cannot be issued"),
        (["--count", "1", "--set", "998", "--units"], "the value 998 cannot be issued"),
        (["--count", "1", "--add", "-1"], "'-1' is not a number of 0 or more"),
        (["--count", "1", "--add", "1e9"], "'1e9' is not a number of 0 or more"),
        (["--count", "1", "--add", "1.5", "--units"], "1.5 is not a whole number of units"),
        (["--count", "1", "--unlock", "--units"], "--units goes with --add and --set"),
        (["--count", "1", "--add", "1", "--behind"], "--behind goes with --sync"),
        (["--count", "65536", "--add", "1"], "'65536' is not a whole number from 0 to 65535"),
        (["--count", "-1", "--add", "1"], "'-1' is not a whole number from 0 to 65535"),
        (["--count", "65535", "--add", "1"], "no ADD_TIME count is left after 65535"),
        (["--count", "30", "--add", "1", "--max-count", "31"], "the last usable count is 31"),
        (["--count", "1", "--add", "1", "--starting-code", "1234567890"], "'1234567890' is not a whole number from 1"),
        (["--count", "1", "--add", "1", "--starting-code", "0123456789"], "'0123456789' is not a whole number from 1"),
        (["--count", "1", "--add", "1", "--starting-code", "0"], "'0' is not a whole number from 1"),
        (["--count", "1", "--add", "1", "--divider", "256"], "'256' is not a whole number from 1 to 255"),
        (["--count", "1", "--add", "1", "--key", HEX], "give one of --key and --key-file, not both"),
        (["--count", HEX, "--add", "1"], "[secret]"),
        (["--count", "1", "--add", "1", HEX], "[secret]"),
        (["--count", "1", "--add", "1", "--key-fil", HEX], "No such option"),
    ],
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_wrong_arguments_of_generate_are_one_sentence_and_status_2(paygo, key_file, arguments, said, debug):
    """T4, T7 to T10."""
    status, out, err = paygo("generate", *key_file, *START, *arguments, *debug)
    assert (status, out) == (2, "")
    assert err.startswith("paygo: ")
    assert said in err
    assert debug or err.count("\n") == 1


@pytest.mark.parametrize("debug", [[], ["--debug"], ["--json"]])
@pytest.mark.parametrize("key", [HEX[:-1], HEX + "0", HEX[:-1] + "x", "0x" + HEX, KEY.hex(" "), KEY.hex(":")])
@pytest.mark.parametrize("where", ["option", "file", "environment"])
def test_a_wrong_key_is_told_without_being_shown(paygo, monkeypatch, tmp_path, key, where, debug):
    """T1."""
    arguments = []
    if where == "option":
        arguments = ["--key", key]
    elif where == "environment":
        monkeypatch.setenv("PAYGO_KEY", key)
    else:
        (tmp_path / "wrong").write_text(key)
        arguments = ["--key-file", str(tmp_path / "wrong")]
    status, out, err = paygo("generate", *arguments, "--count", "1", "--add", "1", *debug)
    assert (status, out) == (2, "")
    assert "the secret key has" in err


@pytest.mark.parametrize(
    "command", [["generate", "--count", "1", "--add", "1"], ["decode", "016609796", "--count", "1"]]
)
def test_without_a_key_the_ways_to_give_one_are_told(paygo, command):
    """T1."""
    status, _, err = paygo(*command)
    assert (status, err.count("\n")) == (2, 1)
    assert "no secret key was given" in err
    assert "PAYGO_KEY" in err


def test_a_key_file_that_cannot_be_read_is_named(paygo, tmp_path):
    """T1."""
    for path in (tmp_path / "none", tmp_path):
        status, _, err = paygo("generate", "--key-file", str(path), "--count", "1", "--add", "1")
        assert status == 2
        assert f"the key file {path} cannot be read" in err


def test_decode_tells_the_verdict_and_the_state_afterwards(paygo, key_file):
    """T11, T12, T23."""
    status, out, err = paygo("decode", "016", "609-796", *key_file, *START, "--count", "1")
    assert (status, err) == (0, "")
    assert (
        out == "ADD_TIME\n  value   7 (7 days)\n  count   2\n  reason  accepted\n  state   count 2, floor 1, used 2\n"
    )


def test_decode_as_json(paygo, key_file):
    """T14, T15."""
    state = ["--count", "8", "--floor", "1", "--used", "4,8"]
    status, out, _ = paygo("decode", "016609796", *key_file, *START, *state, "--divider", "2", "--json")
    assert status == 0
    assert json.loads(out) == {
        "type": "ADD_TIME", "value": 7, "days": 3.5, "count": 2, "reason": "accepted",
        "state": {"count": 8, "floor": 1, "used_counts": [2, 4, 8]},
    }  # fmt: skip
    status, out, _ = paygo("decode", "016609796", *key_file, *START, "--count", "8", "--floor", "1", "--used", "2, 8",
                           "--json")  # fmt: skip
    assert status == 1
    assert json.loads(out)["type"] == "ALREADY_USED"


@pytest.mark.parametrize(
    ("token", "options", "reason"),
    [
        ("01660979", [], "wrong length"), ("", [], "wrong length"), ("123456789", [], "no matching count"),
        ("724244134441123", ["--restricted"], "wrong digit set"), ("444444444444444", ["--restricted"], "beyond"),
        ("016609796", ["--older-window", "4"], "older than the window"),
        ("016609796", ["--floor", "8"], "older than a set-time"),
        ("123456789012", [], "no matching count"),
    ],
)  # fmt: skip
def test_a_token_that_a_device_refuses_is_a_result_with_status_1(paygo, key_file, token, options, reason):
    """T12, T14 to T17, T20 to T24."""
    floor = [] if "--floor" in options else ["--floor", "1"]
    status, out, err = paygo("decode", token, *key_file, *START, "--count", "12", *floor, *options)
    assert (status, err) == (1, "")
    assert f"reason  {reason}" in out
    assert "state   count 12" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["01660979a", "--count", "1"], "the token has characters that are not digits"),
        ([HEX, "--count", "1"], "the token has characters that are not digits"),
        (["016609796"], "Missing option '--count'"),
        (["--count", "1"], "Missing argument 'TOKEN"),
        (["016609796", "--count", "5", "--floor", "6"], "floor 6 is out of range"),
        (["016609796", "--count", "5", "--used", "6"], "used count 6 is out of range"),
        (["016609796", "--count", "5", "--used", "a"], "'a' is not a list of counts"),
        (["016609796", "--count", "5", "--older-window", "32"], "'32' is not a whole number from 0 to 31"),
    ],
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_wrong_arguments_of_decode_are_one_sentence_and_status_2(paygo, key_file, arguments, said, debug):
    """T11, T14, T20."""
    status, out, err = paygo("decode", *arguments, *key_file, *START, *debug)
    assert (status, out) == (2, "")
    assert said in err
    assert debug or err.count("\n") == 1


def test_explain_prints_why_and_a_command_that_works(paygo, key_file):
    """T15: the printed command is run, and the device takes what it makes."""
    state = ["--count", "20", "--floor", "1", "--used", "20"]
    status, out, err = paygo("explain", "016609796", *key_file, *START, *state)
    assert (status, err) == (1, "")
    assert out.startswith("ALREADY_USED: refused, too old\n  why      It is an add-time token of 7 days with count 2.")
    command = re.search(r"^  run      paygo token (.*)$", out, re.MULTILINE)
    assert command is not None
    status, digits, _ = paygo(*shlex.split(command[1]))
    assert status == 0
    status, out, _ = paygo("explain", digits.strip(), *key_file, *START, *state)
    assert status == 0
    assert out.startswith("ADD_TIME: accepted\n")
    assert "after    count 22, floor 1, used 20, 22" in out


def test_explain_as_json(paygo, key_file):
    """T12, T19: the syncs come as commands, in order."""
    _, digits, _ = paygo("generate", *key_file, *START, "--count", "400", "--add", "7")
    status, out, _ = paygo("explain", digits.strip(), *key_file, *START, "--count", "1", "--json")
    found = json.loads(out)
    assert status == 1
    assert (found["verdict"], found["type"], found["found_at"]) == ("too far ahead", "INVALID", 402)
    assert found["before"] == found["after"] == {"count": 1, "floor": 1, "used_counts": []}
    assert [entry["dialect"] for entry in found["deployed"]] == ["reference C", "reference C, 16-bit int"]
    count = 1
    for command in found["commands"]:
        _, sync, _ = paygo(*shlex.split(command)[2:])
        status, out, _ = paygo("decode", sync.strip(), *key_file, *START, "--count", str(count), "--json")
        assert status == 0
        count = json.loads(out)["state"]["count"]
    assert paygo("decode", digits.strip(), *key_file, *START, "--count", str(count))[0] == 0


def test_explain_prints_no_command_for_what_was_never_issued(paygo, key_file):
    """T12."""
    _, digits, _ = paygo("generate", *key_file, *START, "--count", "99", "--unlock")
    arguments = ["explain", digits.strip(), *key_file, *START, "--count", "20"]
    assert "\n  run      paygo token generate" in paygo(*arguments)[1]
    status, out, _ = paygo(*arguments, "--issued", "30")
    assert status == 1
    assert out.startswith("INVALID: refused, never issued\n")
    assert "Issue nothing until the receipt is found" in out
    assert "  run " not in out
    assert "  run " not in paygo("explain", "930000787", *key_file, *START, "--count", "20", "--floor", "0")[1]


def test_explain_looks_among_other_devices_and_names_the_serial_alone(paygo, key_file, tmp_path):
    """T12; a broken row of the list is told, and no key is."""
    other = "00112233445566778899aabbccddeeff"
    header = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code"
    rows = f"SLT7,555555555,{other},40,1,0,,,\nSLT8,555555555,{other[:31]},1,1,0,,,\n"
    (tmp_path / "list.csv").write_text(f"{header}\n{rows}")
    (tmp_path / "good.csv").write_text(f"{header}\n{rows.splitlines()[0]}\n")
    _, digits, _ = paygo("generate", "--key", other, "--starting-code", "555555555", "--count", "40", "--add", "3")
    arguments = ["explain", digits.strip(), *key_file, *START, "--count", "1"]
    status, out, err = paygo(*arguments, "--other", str(tmp_path / "list.csv"))
    assert status == 1
    assert "SLT7 (at count 42)" in out
    assert "SLT8" in err
    assert other[:31] not in out + err
    with Registry.open(tmp_path / "fleet.db") as registry:
        registry.import_devices(read_device_list(tmp_path / "good.csv").devices)
    status, out, _ = paygo(*arguments, "--registry", str(tmp_path / "fleet.db"), "--json")
    assert json.loads(out)["others"] == [{"serial": "SLT7", "count": 42, "distance": 2}]
    assert paygo(*arguments, "--registry", str(tmp_path / "none.db"))[0] == 2


def test_explain_names_the_device_in_its_commands_as_it_was_named(paygo, key_file, tmp_path, monkeypatch):
    """T7, T10, T21: without the key, wherever that came from."""
    options = ["--divider", "2", "--restricted", "--max-count", "500"]
    state = [*START, *options, "--count", "9"]
    _, digits, _ = paygo("generate", *key_file, *START, *options, "--count", "2", "--set", "3.5")
    _, out, _ = paygo("explain", digits.strip(), *key_file, *state)
    assert f"paygo token generate --key-file {key_file[1]} --starting-code 123456789 --divider 2 --restricted" in out
    assert "--max-count 500 --count 9 --set 7 --units" in out
    monkeypatch.setenv("PAYGO_KEY", HEX)
    _, out, _ = paygo("explain", digits.strip(), *state)
    assert "paygo token generate --starting-code" in out


def test_explain_tells_where_deployed_firmware_differs(paygo, key_file):
    """T6."""
    status, out, _ = paygo("explain", "123456788", *key_file, *START, "--count", "1")
    assert status == 1
    assert "deployed firmware (reference C) takes it as COUNTER_SYNC at count 0" in out
    assert "deployed firmware (reference C, 16-bit int) answers ALREADY_USED" in out


@pytest.mark.parametrize("command", ["decode", "explain"])
def test_what_is_no_number_is_wrong_use(paygo, key_file, command):
    """T20."""
    status, out, err = paygo(command, "01660979a", *key_file, "--count", "1")
    assert (status, out) == (2, "")
    assert "the token has characters that are not digits" in err


@pytest.mark.parametrize("command", [[], ["generate"], ["decode"], ["explain"], ["audit"]])
def test_help_has_an_example_and_warns_of_the_key_option(paygo, command):
    status, out, _ = paygo(*command, "--help")
    assert status == 0
    assert "      paygo token " in out or "    paygo token " in out
    if command and command != ["audit"]:
        assert "process list" in " ".join(out.split())
        assert "PAYGO_KEY" in out


def test_the_exit_statuses_reach_the_shell():
    """0 made or accepted, 1 refused by the device, 2 wrong use; data on standard output, all else on standard error."""
    environment = {"PAYGO_KEY": HEX}
    common = [sys.executable, "-c", "from paygo_core.cli import main; main()", "token"]
    for arguments, status, out in (
        (["generate", *START, "--count", "1", "--add", "7"], 0, "016609796\n"),
        (["decode", *START, "--count", "2", "--json", "016609796"], 1, None),
        (["generate", *START, "--count", "1", "--add", "996"], 2, ""),
    ):
        done = subprocess.run([*common, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert out is None or done.stdout == out
        shows_no_key(done.stdout + done.stderr)
