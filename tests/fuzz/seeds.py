"""Writes the fuzz targets' seeds in corpus/: real tokens, console lines and storage images, as each target takes them.

Run `python tests/fuzz/seeds.py` when a target reads its input differently; the corpus has nothing else in it.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack

from firmware_sim.plant.home import SolarHome
from firmware_sim.storage import Storage
from firmware_sim.unit import SimulatedUnit
from paygo_core import DeviceConfig, generate_token

CORPUS = Path(__file__).parent / "corpus"
KEY = "a29ab82edc5fbbc41ec9530f6dac86b1"
START = 123456789
SETUP = f"#SETUP+;SLT220000001;{START};{KEY};1;1;0;12345;64,100,16\n"
WEEK, UNLOCK, SYNC, SET_ZERO, WRONG = "016609796", "312690787", "074712788", "552995789", "123456789"


def config(*, restricted: bool = False, strict: bool = False, divider: int = 1) -> bytes:
    """What input.h's take_config reads."""
    numbers = pack(">IHBBBBBB", START - 1, 65534, 63, 99, 16, divider - 1, restricted, strict)
    return bytes.fromhex(KEY) + numbers


def entries(*texts: str) -> bytes:
    """Entries of fuzz_tokens: 88 is 4 times 22, so that the letter behind it is the length."""
    return b"".join(bytes([88 + len(text)]) + text.encode() for text in texts)


def tokens() -> dict[str, bytes]:
    """A configuration, a choice, a last count and used counts, and entries."""
    device = DeviceConfig.from_hex(KEY, starting_code=START, restricted_digit_set=True)
    four_keys = generate_token(device, count=1, days=7).digits
    at_1, at_300 = pack(">HI", 1, 0), pack(">HI", 300, 0x5555)
    stored = bytes([1, 0, 3, 0]) + pack("<HHIQQQ", 300, 280, 0x5555, 1000, 605800, 1240)
    return {
        "life": config() + b"\x00" + at_1 + entries(WEEK, WEEK, SET_ZERO, SYNC, UNLOCK),
        "waits": config() + b"\x00" + at_1 + entries(*[WRONG] * 5, "12345678", "12345678x", WEEK),
        "strict": config(strict=True) + b"\x10" + at_1 + entries(WRONG, WEEK),
        "restricted": config(restricted=True) + b"\x00" + at_1 + entries(four_keys, "4" * 15, "1" * 20),
        "hours": config(divider=24) + b"\x00" + at_1 + entries(WEEK, UNLOCK),
        "extended": config() + b"\x01" + at_1 + entries("247264959011", "9" * 12),
        "own": config() + b"\x04" + at_300 + pack(">HI", 301, 7)[:5] + entries(WEEK),
        "stored": config() + b"\x08" + at_300 + stored + entries(WEEK),
    }


def chain() -> dict[str, bytes]:
    """A configuration, a form, a number, a slice, and a text."""
    standard, extended = b"\x00", b"\x01"
    return {
        "standard": config() + standard + pack(">QB", int(WEEK), 7) + WEEK.encode(),
        "extended": config() + extended + pack(">QB", 247264959011, 0) + b"247264959011",
        "four-keys": config(restricted=True) + standard + pack(">QB", 662486790, 255) + b"324244134441123",
        "largest": config() + standard + pack(">QB", 999_999_999, 1) + b"999999999",
        "beyond": config(restricted=True) + extended + pack(">QB", 2**64 - 1, 1) + b"4" * 20,
        "no-digit": config() + standard + pack(">QB", 0, 1) + b"12345678:",
    }


def judging() -> dict[str, bytes]:
    """A configuration, a form, a token's count and value, the device's last count, a slice and its used counts."""

    def token(count: int, value: int, last: int, back: int = 20, form: int = 0) -> bytes:
        fields = pack(">BH", form, count - 1) + pack(">I", value)[1:] + pack(">HBBI", last, 6, back, 0x5555)
        return fields + bytes(number for number in range(24, 90) if number % 3)

    return {
        "next": config() + token(302, 7, 300),
        "older": config() + token(294, 7, 301),
        "too-old": config() + token(200, 7, 300, back=200),
        "used": config() + token(300, 7, 300),
        "set": config() + token(303, 30, 300),
        "overtaken": config() + token(299, 30, 300),
        "unlock": config() + token(301, 998, 300),
        "sync": config() + token(399, 999, 300),
        "too-far": config() + token(390, 7, 300),
        "reserved": config() + token(302, 996, 300),
        "start": config() + token(1, 5, 0),
        "extended": config() + token(302, 123456, 300, form=1),
    }


COLLISIONS = {
    0: (
        (6782, 209),
        (6782, 129),
        (2301, 179),
        (2301, 260),
        (389, 104),
        (260, 69),
        (51996, 45),
        (2222, 235),
        (12599, 188),
    ),
    1: ((13681, 256), (13681, 176), (6399, 203), (6399, 284), (1468, 252), (46425, 62)),
}
"""Per form, a key's first bytes and a count of value 7 that collides, or all but does (tests/c/test_batch.c)."""


def batch() -> dict[str, bytes]:
    """A configuration, a form, which columns vary, how many jobs, and for each job its key, code, count and value."""

    def row(job: int, form: int) -> bytes:
        key, count = COLLISIONS[form][job % len(COLLISIONS[form])]
        code, value = (START, 7) if job % 4 else (1 + job * 24999983, job * 8191)
        return pack(">IIHI", key, code - 1, count - 1, value << 8)[:13]

    return {
        f"{jobs}-{strides:02x}-{form}": config()
        + bytes([form, strides, jobs])
        + b"".join(row(i, form) for i in range(40))
        for jobs, strides, form in ((1, 0x1F, 0), (3, 0, 0), (13, 0x5F, 1), (33, 0x3F, 0), (40, 0x7F, 0), (40, 0x1F, 1))
    }


LINES = {
    "tokens": ["TOKEN;" + token for token in (WEEK, WEEK, WRONG, SET_ZERO, UNLOCK, "12", "")],
    "waits": ["TOKEN;" + WRONG] * 4 + ["STATUS;", "TELEMETRY;"],
    "judged-last": ["TOKEN;" + WRONG, "TOKEN;12\x17", "TOKEN;1OTOKEN;1OKEN;" + WRONG, "TOKE"],
    "queries": ["STATUS;", "STATUS", "INFO;", "TELEMETRY;", "ALERTS;", "LOG;", "STATUS;x", "NOTHING", ""],
    "load": ["TOKEN;" + WEEK, "LOAD;OFF", "STATUS;", "LOAD;ON", "LOAD;AUTO", "LOAD;x"],
    "alerts": ["INFO;", "!165", "ALERTS;", "LOG;", "ACK;1;1", "ACK;1;1", "ACK;1;2", *["!100", "!130"] * 2],
    "many-alerts": [line for _ in range(6) for line in ("!165", "!130", "!130", "!130")] + ["LOG;", "ACK;1;1", "!165"],
    "setup": [SETUP[1:-1], SETUP[1:-1].replace("64,100,16", "")],
    "setup-hdk": [f"SETUP;SLT220000001;{START};{KEY}", "STATUS;"],
    "setup-wrong": [
        f"SETUP+;;{START};{KEY};1;1;0;;",
        f"SETUP+;SLT;0;{KEY};1;1;0;;",
        f"SETUP+;SLT;{START};{KEY[1:]};1;1;0;;",
        f"SETUP+;SLT;{START};{KEY.upper()};65536;1;0;;",
        f"SETUP+;SLT;{START};{KEY};1;256;0;;",
        f"SETUP+;SLT;{START};{KEY};1;1;2;;",
        f"SETUP+;SLT;{START};{KEY};1;1;1;x;",
        f"SETUP+;SLT;{START};{KEY};1;1;1;;1,2",
        f"SETUP+;SLT;{START};{KEY};1;24;1;;65535,1,31",
    ],
    "keypad": ["@" + WEEK, "@" + WRONG, "@" + UNLOCK, "@12"],
}


def commands() -> dict[str, bytes]:
    """P is a unit that is set up, Q a blank one, S one whose storage is corrupt; 0 is set up and uses checks."""
    seeds = {name: ("Q" if name.startswith("setup") else "P") + "\n".join(lines) for name, lines in LINES.items()}
    seeds["checked"] = "0" + "\n".join(LINES["queries"])
    seeds["corrupt"] = "S" + "\n".join(LINES["queries"] + LINES["keypad"])
    return {name: text.encode() for name, text in seeds.items()}


def console() -> dict[str, bytes]:
    """Console bytes; ESC and a byte are a silence."""
    return {
        "lines": "".join(f"#{line}\r\n" for line in LINES["queries"]).encode(),
        "checked": b"#STATUS;*D8F7\n#STATUS;\n#STATUS;*D8F8\n#STATUS;*D8f7\n#*FFFF\n#*\n",
        "setup": SETUP.encode(),
        "silence": b"#STATUS;\x1b\x0c\x1b\x01#TOKEN;016609796\x1b\xf9\x1b\x01#INFO\x1b\xff",
        "noise": b"\x00\xff#INF#INFO;\n;;\n#\x01\n#A;B;C;D;E;F;G;H;I;J\n",
        "long": b"#" + b"A" * 160 + b"\n#" + b"A" * 161 + b"\n",
    }


def firmware() -> dict[str, bytes]:
    """Steps: 40 and a length, then so many console bytes; where that is a multiple of 16 the first is a key too."""

    def step(text: str) -> bytes:
        return bytes([40 + len(text)]) + text.encode()

    long = {"setup", "setup-hdk", "setup-wrong"}
    seeds = {
        name: b"(" * 3 + b"".join(step(f"#{line}\n") for line in lines if len(line) < 38 and line[:1] not in ("!", "@"))
        for name, lines in LINES.items()
        if name not in long
    }
    seeds["keypad"] = b"(" * 3 + b"".join(step(f"{key:8}") for key in "#*" + WEEK)
    seeds["alert"] = b"(((" + step("#INFO;\n") + b"\xc8" * 20 + step("#LOG;\n") + b"\xa0" * 60 + step("#ACK;1;1\n")
    seeds["torn"] = b"(" * 3 + step(f"#TOKEN;{WEEK}\n") + b"\xfb\xfa" + step(f"#TOKEN;{WEEK}\n")
    return seeds


def storage() -> dict[str, bytes]:
    """Which checks are made right, where the next write is torn, and the image of a unit."""
    kept = Storage()
    unit = SimulatedUnit(kept, SolarHome(start_hour=0.0, state_of_charge=0.5))
    images = {}
    for name, line in {"blank": "", "new": SETUP, "week": f"#TOKEN;{WEEK}\n", "wrong": f"#TOKEN;{WRONG}\n" * 4}.items():
        unit.feed(line.encode())
        unit.pass_time(0, 0)
        images[name] = bytes(kept.image)
    seeds = {f"{name}-{cut}": bytes([0, cut]) + image for name, image in images.items() for cut in (0, 100, 255)}
    seeds["sealed"] = bytes([0x8F, 100]) + images["wrong"]
    return seeds


def panel() -> dict[str, bytes]:
    """An entry's length, a battery's chemistry and Ah, and steps of a key or a blink, mV, mA and a time."""

    def steps(*each: tuple[int, int, int, int]) -> bytes:
        return b"".join(pack(">BHHH", op, mv, ma + 32768, ms) for op, mv, ma, ms in each)

    lead, lithium = pack(">BH", 0, 17), pack(">BH", 3, 499)
    typed = [(op, 12500, 100, 300) for op in (10, *(int(digit) for digit in WEEK), 11)]
    blinks = [(202, 12500, 0, 250)] + [(12, 12500, 0, 250)] * 5 + [(210, 12500, 0, 700)]
    rising, falling = (12500, 16000, 16100, 15000, 14900, 14800, 14700), (12500, 11000, 11100, 12600, 12700, 12600)
    return {
        "charging": b"\x00" + lead + steps(*[(12, mv, 2000, 10000) for mv in rising]),
        "discharging": b"\x00" + lithium + steps(*[(12, mv, -2000, 30000) for mv in falling]),
        "keypad": b"\x00" + lead + steps(*typed, *typed[:4], (12, 12500, 0, 20000), *typed[:2]),
        "light": b"\x01" + lithium + steps(*blinks),
        "long": b"\x02" + lead + b"\xff" * 7 + steps((255, 16000, 0, 0), (239, 1000, 0, 0)),
    }


def law() -> dict[str, bytes]:
    """A battery, a board, alerts from before, and steps: dt, mV and mA at battery and panel, load, warmth, wanted."""

    def steps(*each: tuple[int, int, int, int, int, int, int, int]) -> bytes:
        return b"".join(pack(">BHHHHHHB", dt, mv, ma + 32768, panel, into, load, dc + 32768, on) for (
            dt, mv, ma, panel, into, load, dc, on) in each)  # fmt: skip

    day = [(59, mv, 2000, 15000, 2500, 500, 250, 1) for mv in (12000, 13000, 14600, 14600, 14600, 13000, 13000)]
    return {
        "day": b"\x00\x01\x00\x00" + steps(*day),
        "lithium": b"\x03\x01\x00\x00" + steps(*day, *[(9, 14200, 100, 15000, 1000, 0, -5, 1)] * 4),
        "alerts": b"\x01\x00\x1f\xf3"
        + steps(*day, (0, 10000, -9000, 0, 0, 30000, 900, 1), (0, 0, 0, 46000, 0, 0, 1300, 1)),
    }


def write(corpus: Path) -> None:
    """Writes all seeds below `corpus`, a directory a target."""
    for make in (tokens, chain, judging, batch, commands, console, firmware, storage, panel, law):
        directory = corpus / f"fuzz_{make.__name__}"
        directory.mkdir(parents=True, exist_ok=True)
        for name, seed in make().items():
            (directory / name).write_bytes(seed)


if __name__ == "__main__":
    write(CORPUS)
