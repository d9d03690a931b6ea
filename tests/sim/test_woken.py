"""Units that are woken: they judge as the brain alone does, and a defect in the firmware changes what a fleet does."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from runpy import run_path

import pytest

from firmware_sim._fleet import ffi as fleet_ffi
from firmware_sim._native import ffi
from firmware_sim.fleet.engine import LANES
from firmware_sim.fleet.woken import VERDICTS, WokenUnit
from paygo_core import DeviceConfig, PaygoError, PaygUnit, TokenType, generate_token
from paygo_core.decoding import Reason
from paygo_core.device import Device

ROOT = Path(__file__).parents[2]
KEY = bytes(range(16))
ROOMS = ("paygo_core/csrc", "firmware_sim/csrc", "firmware_sim/ports")


def said(brain: PaygUnit, token: str, at_s: int) -> str:
    """The brain's answer in the words of the lights."""
    answer = brain.enter(token, at_s)
    if answer.reason is Reason.WAITING:
        return "waiting"
    return {TokenType.INVALID: "invalid", TokenType.ALREADY_USED: "already used"}.get(answer.token_type, "accepted")


@pytest.mark.parametrize("restricted", [False, True])
def test_a_woken_unit_judges_as_the_brain_alone(restricted: bool) -> None:
    draw = random.Random(8)
    seen = set()
    for number in range(30):
        config = DeviceConfig(
            secret_key=draw.randbytes(16), starting_code=draw.randrange(1, 10**9), restricted_digit_set=restricted,
            time_divider=draw.choice((1, 24)),
        )  # fmt: skip
        woken, brain = WokenUnit(Device(f"SIM{number}", config, count=number)), PaygUnit(config, number)
        count, at_s, typed = number, 0, [generate_token(config, number, 1).digits]
        for _ in range(60):
            at_s += draw.choice((20, 3000, 400_000))
            lot = draw.random()
            if lot < 0.6:
                kind = draw.choice((TokenType.ADD_TIME,) * 8 + (TokenType.SET_TIME, TokenType.COUNTER_SYNC))
                kind = TokenType.DISABLE_PAYG if draw.random() < 0.02 else kind
                value = draw.choice((0, 1, 3, 900)) if kind in (TokenType.ADD_TIME, TokenType.SET_TIME) else None
                made = generate_token(config, count + draw.choice((0, 0, 0, 5, 90)), value, token_type=kind)
                typed.append(made.digits)
                count = made.count
            token = typed[-1] if lot < 0.5 else draw.choice(typed)
            if lot > 0.8:
                token = token[::-1]
            verdict = woken.enter(token, at_s)
            assert verdict == said(brain, token, at_s)
            assert woken.seconds_left(at_s) == brain.seconds_left
            assert woken.unlocked == brain.unlocked
            seen.add(verdict)
    assert seen == set(VERDICTS.values())


def test_a_power_cut_costs_up_to_five_minutes_and_brings_nothing() -> None:
    config = DeviceConfig(secret_key=KEY, starting_code=123456789)
    token = generate_token(config, 1, 2).digits
    for asleep_s in (0, 1, 269, 270, 271, 86_400, 2 * 86_400 - 1, 2 * 86_400, 10**6):
        woken = WokenUnit(Device("SIM1", config))
        assert woken.enter(token, 1000) == "accepted"
        left = woken.seconds_left(1000 + asleep_s)
        assert left == max(0, 2 * 86_400 - asleep_s)
        woken.restart(1000 + asleep_s)
        after = woken.seconds_left(1000 + asleep_s)
        assert after is not None
        assert left - 300 <= after <= max(0, left - 30)
        assert woken.enter(token, 1000 + asleep_s) == "already used"


def test_a_unit_needs_little_memory() -> None:
    """Its firmware, its storage and its lane of the engine; docs/fleets.md."""
    lane = fleet_ffi.sizeof("fleet_block") // LANES
    assert ffi.sizeof("paygo_woken") + lane < 2500


def test_what_the_setup_line_cannot_carry() -> None:
    with pytest.raises(PaygoError, match="cannot be sent"):
        WokenUnit(Device("böse", DeviceConfig(secret_key=KEY)))


RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("firmware_sim._native", sys.argv[1])
sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from firmware_sim.cli import sim
from firmware_sim.fleet.payments import Customer
print([customer.entries_of(day) for customer in (Customer(3, unit) for unit in range(12)) for day in range(200)])
print("a scenario")
sim(["run", sys.argv[2]], standalone_mode=False)
"""
SCENARIO = """
title = "A cut"
about = "A day of credit, a power cut, and the same token again."
days = 3
[weather]
irradiance = 300
[[units]]
name = "home"
model = "home-50"
count = 1
[[events]]
at = "day 0 08:00"
token = "add"
days = 1
[[events]]
at = "day 0 10:02"
restart = true
[[events]]
at = "day 0 11:00"
token = "again"
"""
"""The light goes out on day 1, some minutes before 8:00."""
DEFECTS = {
    "none": ("paygo_core/csrc/codec.c", "/* T13 */", "/* T13 */", set()),
    "a token is taken again": (
        "paygo_core/csrc/codec.c",
        "if (back == 0 || (used & bit) != 0) {",
        "if (back > 99) {",
        {"fleet", "scenario"},
    ),
    "an entry is answered without being stored": (
        "firmware_sim/csrc/firmware.c",
        "        paygo_firmware_save(firmware, from);\n        return;\n",
        "        firmware->live = firmware->next;\n",
        {"scenario"},
    ),
    "the clock is stored as it is and not ahead": (
        "firmware_sim/csrc/storage.h",
        "#define PAYGO_CLOCK_AHEAD_S UINT32_C(300)",
        "#define PAYGO_CLOCK_AHEAD_S UINT32_C(31)",
        {"scenario"},
    ),
    "a day is too short": (
        "paygo_core/csrc/unit.c",
        "#define SECONDS_PER_DAY UINT32_C(86400)",
        "#define SECONDS_PER_DAY UINT32_C(85400)",
        {"fleet", "scenario"},
    ),
}


def played(extension: Path, directory: Path) -> dict[str, str]:
    """What a fleet's customers are answered, and how a scenario goes, with this build of the firmware."""
    (directory / "cut.toml").write_text(SCENARIO, "utf-8")
    command = [sys.executable, "-c", RUN, extension, directory / "cut.toml"]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    fleet, _, scenario = ended.stdout.partition("a scenario")
    assert "output off" in scenario
    return {"fleet": fleet, "scenario": scenario}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    import firmware_sim._native as native

    assert native.__file__ is not None
    return played(Path(native.__file__), tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize(("file", "before", "after", "changed"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_in_the_firmware_changes_what_a_fleet_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sound: dict[str, str],
    file: str,
    before: str,
    after: str,
    changed: set[str],
) -> None:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room)
    text = (tmp_path / file).read_text("utf-8")
    assert text.count(before) == 1, before
    (tmp_path / file).write_text(text.replace(before, after), "utf-8")
    monkeypatch.chdir(ROOT)
    builder = run_path("firmware_sim/_native_build.py")["ffibuilder"]
    monkeypatch.chdir(tmp_path)
    sources = builder.distutils_extension(str(tmp_path)).sources
    rooms = [*(f"-I{room}" for room in ROOMS), f"-I{sysconfig.get_path('include')}"]
    command = ["gcc", "-std=c99", "-O0", "-w", "-shared", "-fPIC", *rooms, *sources, "-o", "_native.abi3.so"]
    subprocess.run(command, check=True)
    now = played(tmp_path / "_native.abi3.so", tmp_path)
    assert {name for name in now if now[name] != sound[name]} == changed


def test_times_that_its_clock_cannot_have_are_refused() -> None:
    woken = WokenUnit(Device("SIM1", DeviceConfig(secret_key=KEY)))
    for at_s in (-1, 1 << 31, 1 << 40):
        for ask in (woken.seconds_left, woken.restart, lambda at: woken.enter("123456789", at)):
            with pytest.raises(PaygoError, match="does not live"):
                ask(at_s)
    woken.restart((1 << 31) - 1)
    assert woken.seconds_left((1 << 31) - 1) == 0


@pytest.mark.parametrize("typed", ["", "1234", "abc", "ä"])
def test_what_is_no_whole_entry_is_one_sentence(typed: str) -> None:
    with pytest.raises(PaygoError, match="no entry"):
        WokenUnit(Device("SIM1", DeviceConfig(secret_key=KEY))).enter(typed, 1)
