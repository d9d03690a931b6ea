"""How often each part of the unit's EEPROM is written, and how long it lasts: the sum in docs/storage.md."""

from __future__ import annotations

from firmware_sim._native import lib

ENDURANCE = 100_000
"""Writes of a cell, ATmega328P data sheet."""

YEARS = 10
DAYS = 365.25
CLOCK_EVERY_S = 270
SLOTS_A_DAY = 20
EVENTS_A_DAY = 6


def rows() -> list[tuple[str, float, int]]:
    """What is written, how often a day, over how many places."""
    return [
        ("clock", 86_400 / CLOCK_EVERY_S, lib.PAYGO_CLOCKS),
        ("state", SLOTS_A_DAY, lib.PAYGO_STATES),
        ("events", EVENTS_A_DAY, lib.PAYGO_EVENT_PLACES),
    ]


def lines() -> list[str]:
    """The table."""
    made = []
    for part, a_day, places in rows():
        a_cell = a_day * DAYS / places
        made.append(f"{part:<7} {a_day:>6.0f} {places:>6} {a_cell * YEARS:>30.0f} {ENDURANCE / a_cell:>16.0f}")
    return made


if __name__ == "__main__":
    print("\n".join(lines()))
