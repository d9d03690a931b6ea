"""`paygo bridge`: exit statuses, what is printed, and what never is."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from fake_hdk import KEY, FakeHdk, PlusUnit, ScriptedUnit, checked, serial_forms

from hw_bridge.actions import ActionStore
from hw_bridge.simulated import ControlClient, simulated_unit
from paygo_core import DeviceConfig, TokenType, generate_token
from paygo_core.cli import root
from paygo_core.device import Device
from paygo_core.registry import Registry
from paygo_core.shell import run

CONFIG = DeviceConfig.from_hex(KEY, 123456789)
HEADER = "Serial Number,Starting Code,Key,Count,Time Divider,Restricted Digit Mode,Hardware Model,Version,Test Code"
TELEMETRY = checked('TELEMETRY;{"serial_number":"A1","data":{"battery_voltage":12.5,"battery_current":-2,"lux":3}}')
ALERT_LINE = checked("ALERT;BATTERY_OVERVOLTAGE;RAISED;16012;mV;1;9")
TOKEN = generate_token(CONFIG, 1, 1)
STATUS_LINE = checked("STATUS;ACTIVE;60")


def switch_at(position: str) -> bytes:
    return checked(f'TELEMETRY;{{"serial_number":"A1","data":{{"load_switch":"{position}"}}}}')


@pytest.fixture
def bridge(capfd, tmp_path, monkeypatch):
    """Runs a command in an empty directory; gives exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    for name in ("PAYGO_PORT", "PAYGO_REGISTRY"):
        monkeypatch.delenv(name, raising=False)

    def bridge(*arguments: str) -> tuple[int, str, str]:
        status = run(root, ["bridge", *arguments])
        return (status, *capfd.readouterr())

    return bridge


@pytest.fixture
def registry(tmp_path):
    with Registry.open(tmp_path / "paygo.db") as registry:
        registry.add(Device("220000001", CONFIG))
        yield registry


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_provisioned_unit_is_noted_and_its_key_is_shown_nowhere(bridge, registry, debug):
    with FakeHdk() as unit:
        status, out, err = bridge("provision", unit.port, "--serial", "220000001", *debug)
        assert unit.stored == CONFIG.secret_key
    assert (status, out) == (0, "220000001 is set up; inactive; 0 s of credit left\n")
    assert ("KEY: [secret]" in err) == bool(debug)
    assert registry.entry("220000001").state == "provisioned"
    shown = (out + err).encode("utf-8", "surrogateescape")
    assert not [form for form in serial_forms(KEY) if form in shown]


def test_a_lost_set_up_shows_the_key_nowhere(bridge, registry):
    blank = checked("INFO;;M;B;0.1;0;1")
    with PlusUnit(INFO=[blank], SETUP_PLUS=[b""]) as unit:
        status, out, err = bridge(
            "provision", unit.port, "--serial", "220000001", "--timeout", "0.6", "--debug", "--json"
        )
    assert status == 4
    assert "Traceback" in err
    assert not [form for form in serial_forms(KEY) if form in (out + err).encode("utf-8", "surrogateescape")]
    assert registry.entry("220000001").state == "new"


def test_a_device_from_a_list(bridge, tmp_path):
    path = tmp_path / "devices.csv"
    path.write_text(f"{HEADER}\n7,123456789,{KEY},1,1,0,M,1,\n8,0,{KEY},1,1,0,M,1,\n")
    with FakeHdk() as unit:
        status, out, _ = bridge("provision", unit.port, "--serial", "7", "--device-list", str(path), "--json")
    assert status == 0
    assert json.loads(out) == {
        "serial": "7",
        "provisioned": True,
        "extended": False,
        "state": "inactive",
        "seconds_left": 0,
    }
    for serial, said in (("8", "line 3, Starting Code"), ("9", "has no device '9'")):
        status, _, err = bridge("provision", "/dev/nowhere", "--serial", serial, "--device-list", str(path))
        assert status == 2
        assert said in err
        assert KEY not in err


def test_a_list_and_a_registry_are_not_given_together(bridge):
    status, _, err = bridge("provision", "p", "--serial", "7", "--device-list", "a", "--registry", "b")
    assert status == 2
    assert "not both" in err


def test_what_an_entry_says_and_its_exit_status(bridge):
    with FakeHdk(CONFIG) as unit:
        assert bridge("enter", unit.port, TOKEN.grouped()) == (0, "accepted; 23 h 59 min 59 s of credit left\n", "")
        status, out, err = bridge("enter", unit.port, TOKEN.digits)
        assert (status, out) == (1, "")
        assert err.startswith("paygo: the token was used before (issue a new token")
        status, _, err = bridge("enter", unit.port, "123456789")
        assert status == 1
        assert err.startswith("paygo: the unit does not know this token (look at its digits")
        unlock = generate_token(CONFIG, 2, token_type=TokenType.DISABLE_PAYG)
        assert bridge("enter", unit.port, unlock.digits) == (0, "accepted; unlocked for good\n", "")
        assert bridge("status", unit.port) == (0, "unlocked for good\n", "")


def test_an_entry_in_json_tells_the_verdict_and_fails_too(bridge):
    with PlusUnit(TOKEN=[checked("TOKEN;WAIT;120")], STATUS=[STATUS_LINE]) as unit:
        status, out, err = bridge("enter", unit.port, "123456789", "--json")
    assert status == 1
    assert json.loads(out)["verdict"] == "wait"
    assert json.loads(out)["wait_seconds"] == 120
    assert json.loads(out)["command"]["state"] == "sent"
    assert "waits 120 s" in json.loads(err)["error"]


def test_an_entry_whose_first_answer_was_lost_says_so(bridge):
    with PlusUnit(TOKEN=[b"", checked("TOKEN;ALREADY_USED")], STATUS=[STATUS_LINE]) as unit:
        status, _, err = bridge("enter", unit.port, "123456789", "--timeout", "0.6")
    assert status == 1
    assert "the first answer was lost" in err


def test_the_port_may_come_from_the_environment(bridge, monkeypatch):
    with FakeHdk(CONFIG) as unit:
        monkeypatch.setenv("PAYGO_PORT", unit.port)
        assert bridge("enter", TOKEN.digits)[0] == 0
        assert bridge("status")[:2] == (0, "active; 1 d of credit left\n")


def test_an_entry_needs_a_port_and_a_token(bridge):
    status, _, err = bridge("enter", "016609796")
    assert status == 2
    assert "Missing argument 'TOKEN'" in err


def test_a_typing_error_in_a_token_is_wrong_use(bridge):
    with FakeHdk(CONFIG) as unit:
        status, _, err = bridge("enter", unit.port, "12")
        assert unit.received == b""
    assert (status, err.count("\n")) == (2, 1)


def test_who_the_unit_is(bridge):
    with PlusUnit(STATUS=[checked("STATUS;ACTIVE;90061")]) as unit:
        status, out, _ = bridge("status", unit.port)
        assert (status, out) == (0, "A1: M B, firmware 0.1, count 3\nactive; 1 d 1 h 1 min 1 s of credit left\n")
        said = json.loads(bridge("status", unit.port, "--json")[1])
    assert said["info"]["last_count"] == 3
    assert (said["state"], said["seconds_left"], said["extended"]) == ("active", 90061, True)


def test_the_switch(bridge):
    """H16."""
    loads = [checked("LOAD;OFF;OFF"), checked("LOAD;AUTO;ON")]
    with PlusUnit(LOAD=loads, TELEMETRY=[switch_at("OFF"), switch_at("AUTO")]) as unit:
        assert bridge("disable", unit.port) == (0, "the switch is at off, the output is off\n", "")
        said = json.loads(bridge("enable", unit.port, "--json")[1])
    assert (said["switch"], said["output"], said["command"]["state"]) == ("auto", True, "confirmed")


def test_a_battery_is_told_and_replaced(bridge):
    """H28: said once, since each is a replacement of its own."""
    answers = [checked("BATTERY;FLOODED;18"), checked("BATTERY;GEL;40"), checked("BATTERY;ERROR;board"), b""]
    with PlusUnit(BATTERY=answers) as unit:
        assert bridge("battery", unit.port) == (0, "flooded, 18 Ah\n", "")
        said = bridge("battery", unit.port, "--replace", "gel", "--capacity", "40", "--json")[1]
        assert json.loads(said) == {"chemistry": "gel", "capacity_ah": 40}
        status, _, err = bridge("battery", unit.port, "--replace", "lfp", "--capacity", "30")
        assert (status, err) == (
            1, "paygo: the unit refuses the battery (its board cannot charge that chemistry safely)\n"
        )  # fmt: skip
        names = unit.names().count("BATTERY")
        status = bridge("battery", unit.port, "--replace", "gel", "--capacity", "40", "--timeout", "0.3")[0]
        assert (status, unit.names().count("BATTERY")) == (4, names + 1)
    status, _, err = bridge("battery", "/dev/null", "--replace", "gel")
    assert (status, err.count("\n")) == (2, 1)


def test_telemetry(bridge):
    """H15: positive charges."""
    with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        out = bridge("telemetry", unit.port)[1]
        assert "battery_voltage      12.5 V\nbattery_current      2.0 A\nlux                  3\n" in out
        said = json.loads(bridge("telemetry", unit.port, "--json")[1])
    assert said == {"serial": "A1", "battery_voltage": 12.5, "battery_current": 2.0, "extra": {"lux": 3}}


@pytest.mark.parametrize("command", ["telemetry", "enable", "disable", "watch"])
def test_what_an_hdk_cannot_do_fails(bridge, command):
    with FakeHdk(CONFIG) as unit:
        status, out, err = bridge(command, unit.port)
    assert (status, out) == (1, "")
    assert "is an HDK" in err


def test_the_exit_statuses_of_ports(bridge):
    status, out, err = bridge("status", "/dev/nowhere")
    assert (status, out) == (3, "")
    assert err.startswith("paygo: there is no port /dev/nowhere (")
    with ScriptedUnit(lambda line: b"") as unit:
        assert bridge("status", unit.port, "--timeout", "0.3")[0] == 4
    unit = ScriptedUnit(lambda line: unit.vanish() or b"")
    with unit:
        status, _, err = bridge("status", unit.port)
    assert status == 3
    assert "vanished" in err
    assert bridge("status", "x", "--baud", "fast")[0] == 2


def test_watch_stores_an_alert_before_it_tells_the_unit(bridge, tmp_path):
    """H20, H21: at least once on the wire, exactly once as an action."""
    path = tmp_path / "fleet.db"
    stored_at_acknowledgement = []

    def acknowledge(line: bytes) -> bytes:
        if not line.startswith(b"#ACK"):
            return unit._scripted(line)
        with ActionStore.open(path) as store:
            stored_at_acknowledgement.append([action.code for action in store.open_actions()])
        return checked("ACK;1;9")

    unit = PlusUnit(TELEMETRY=[ALERT_LINE + TELEMETRY])
    unit._answer = acknowledge
    with unit:
        for became in ("action 1 is open", "known already"):
            status, out, err = bridge("watch", unit.port, "--count", "1", "--registry", str(path))
            assert (status, err) == (0, "")
            reading, alert = out.splitlines()
            assert reading == "A1 battery_voltage 12.5 V, battery_current 2 A"
            assert alert == f"A1 alert BATTERY_OVERVOLTAGE raised 16012 mV: {became}"
    assert stored_at_acknowledgement == [["BATTERY_OVERVOLTAGE"]] * 2
    with ActionStore.open(path) as store:
        assert [action.times for action in store.actions()] == [1]


def test_watch_takes_alerts_between_readings_and_goes_on_when_one_is_unknown(bridge):
    unit = PlusUnit(TELEMETRY=[TELEMETRY, ALERT_LINE + TELEMETRY], ACK=[checked("ACK;UNKNOWN")])
    with unit:
        status, out, err = bridge("watch", unit.port, "--count", "3", "--interval", "0.05", "--json")
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert (status, kinds) == (0, ["telemetry", "telemetry", "alert", "telemetry", "alert"])
    assert "does not know the event 9" in err


@pytest.mark.parametrize(("driver", "serial"), [("vedirect", "HQ2146SIM01"), ("epever", "unit")])
def test_what_is_wrong_with_a_plain_charger_becomes_an_action_and_ends(bridge, tmp_path, driver, serial):
    """It numbers no events; an EPEVER, which tells no serial, is called by its port."""
    if driver == "epever":
        pytest.importorskip("pymodbus")
    watch = ("--driver", driver, "--count", "1")
    with simulated_unit(tmp_path, "--protocol", driver) as unit, ControlClient(unit.control) as control:

        def alerts(offset: float, *options: str) -> list[str]:
            control.request("fault", name="battery_sensor_offset_v", value=offset)
            control.advance(1)
            status, out, err = bridge("watch", unit.port, *watch, *options)
            assert (status, err) == (0, "")
            reading, *found = out.splitlines()
            assert reading.startswith(f"{serial} battery_voltage") or options
            return found

        assert alerts(0) == []
        (raised,) = alerts(6)
        assert raised.startswith(f"{serial} alert BATTERY_OVERVOLTAGE raised")
        assert raised.endswith(": action 1 is open")
        assert alerts(6) == []
        assert alerts(0) == [f"{serial} alert BATTERY_OVERVOLTAGE cleared: action 1 is resolved"]
        (again,) = (json.loads(line) for line in alerts(6, "--json"))
    assert (again["kind"], again["id"], again["state"], again["times"]) == ("action", 1, "open", 2)


def test_watch_shows_a_table_on_a_terminal(tmp_path):
    with PlusUnit(TELEMETRY=[ALERT_LINE + TELEMETRY], ACK=[checked("ACK;1;9")]) as unit:
        terminal, inside = pty.openpty()
        watch = ["bridge", "watch", unit.port, "--count", "2", "--interval", "0.05"]
        with subprocess.Popen(
            [sys.executable, "-c", "from paygo_core.cli import main; main()", *watch],
            cwd=tmp_path,
            stdout=inside,
            stderr=inside,
            stdin=inside,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "140"},
        ) as watching:
            os.close(inside)
            shown = b""
            with suppress(OSError):
                while data := os.read(terminal, 4096):
                    shown += data
        os.close(terminal)
        assert watching.returncode == 0
    assert b"12.50 V" in shown
    assert b"action 1 is open" in shown


def test_watch_ends_cleanly_at_ctrl_c(tmp_path):
    with PlusUnit(TELEMETRY=[TELEMETRY]) as unit:
        with subprocess.Popen(
            [sys.executable, "-c", "from paygo_core.cli import main; main()", "bridge", "watch", unit.port],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stdout.readline() == "A1 battery_voltage 12.5 V, battery_current 2 A\n"
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=60)
        assert watching.returncode == 130
        assert err.strip() == "paygo: interrupted"


@pytest.mark.parametrize("command", ["provision", "status", "enter", "telemetry", "enable", "disable", "watch"])
def test_help_teaches_with_an_example(bridge, command):
    status, out, _ = bridge(command, "--help")
    assert status == 0
    assert f"  paygo bridge {command} /dev/ttyUSB0" in out
