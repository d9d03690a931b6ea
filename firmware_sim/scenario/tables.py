"""A table of a scenario's TOML: gives its values key by key, or says file, line and what would be right.

`tomllib` keeps no lines, so they are looked up in the text: a table by its header, a key by its assignment below it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from paygo_core.errors import PaygoError, brief

DAY_S = 86_400
MOST_DAYS = 3660
_HEADER = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([\w-]+)\s*(\.\s*[\w-]+\s*)*=")
_MOMENT = re.compile(r"day (\d{1,4}),? (\d\d):(\d\d)(:(\d\d))?", re.ASCII)
MOMENT_HINT = 'write it as "day 2 18:30"; the first day is day 0'


def moment(at_s: int) -> str:
    """A time in words, as scenarios write it."""
    day, second = divmod(at_s, DAY_S)
    seconds = f":{second % 60:02}" if second % 60 else ""
    return f"day {day} {second // 3600:02}:{second // 60 % 60:02}{seconds}"


class Source:
    """A file's name, and on which line its tables and keys stand."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines: dict[tuple[str, int, str], int] = {}
        counts: dict[str, int] = {}
        table, number = "", 0
        for line, content in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(content):
                table = header[1]
                number = counts.get(table, 0)
                counts[table] = number + 1
                self._lines.setdefault((table, number, ""), line)
            elif key := _KEY.match(content):
                self._lines.setdefault((table, number, key[1]), line)

    def wrong(self, table: str, number: int, key: str, cause: str, hint: str) -> PaygoError:
        """An error that names the file, and the line where it is known."""
        for place in ((table, number, key), (table, number, ""), ("", 0, table)):
            if place in self._lines:
                return PaygoError(f"{self.file}, line {self._lines[place]}: {cause}", hint)
        return PaygoError(f"{self.file}: {cause}", hint)


class Table:
    """values: what the TOML has. name, number: [name], or the number-th [[name]] from 0 on."""

    def __init__(self, source: Source, values: object, name: str = "", number: int = 0) -> None:
        self._source, self._name, self.index = source, name, number
        if not isinstance(values, Mapping):
            raise self.wrong("", f"{name} is {brief(values)}", f"{name} is a table")
        self._values = dict(values)
        self._asked: list[str] = []

    def wrong(self, key: str, cause: str, hint: str) -> PaygoError:
        """An error about one of its keys."""
        return self._source.wrong(self._name, self.index, key, cause, hint)

    def has(self, *keys: str) -> list[str]:
        """Which of these keys are there."""
        return [key for key in keys if key in self._values]

    def one_of(self, what: str, *keys: str) -> str:
        """The one of these keys that is there. Raises PaygoError for none and for two."""
        found = self.has(*keys)
        if len(found) != 1:
            cause = f"{what} has {' and '.join(found)}" if found else f"it is not said what {what} is"
            raise self.wrong(found[-1] if found else "", cause, f"write one of {', '.join(keys)}")
        return found[0]

    def raw(self, key: str) -> Any:
        """A value as it is, or None."""
        self._asked.append(key)
        return self._values.get(key)

    def text(self, key: str, default: str | None = None, most: int = 400) -> str:
        """A text without line breaks."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
            raise self._missing(key, value, f"it is a text of 1 to {most} characters on one line")
        return value

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """One of some texts."""
        value, names = self.raw(key), list(choices)
        if value is None and default is not None:
            return default
        if value not in names:
            raise self._missing(key, value, f"it is one of {', '.join(names)}")
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._missing(key, value, "it is true or false")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Between two bounds."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise self._missing(key, value, f"it is a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number between two bounds."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._missing(key, value, f"it is a whole number from {low} to {high}")
        return value

    def seconds(self, key: str, unit_s: float, most: float, default: float) -> int:
        """A duration that is written in hours or the like, above 0."""
        value = self.number(key, 0, most, default)
        if key in self._values and round(value * unit_s) < 1:
            raise self._missing(key, value, "it is above 0")
        return round(value * unit_s)

    def moment(self, key: str, most_s: int) -> int:
        """A time in s since the first midnight."""
        return self._moment(key, self.raw(key), most_s)

    def window(self, key: str, most_s: int) -> tuple[int, int] | None:
        """Two times, or None where there are none."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise self._missing(key, value, 'it is two times, as in ["day 1 06:00", "day 1 18:00"]')
        first, last = (self._moment(key, each, most_s) for each in value)
        if first > last:
            raise self.wrong(key, f"{key} ends before it begins", "write the earlier time first")
        return first, last

    def done(self) -> None:
        """Raises PaygoError for a key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                shown = key if len(key) <= 32 and key.isprintable() else f"a key of {len(key)} characters"
                what = f"[{self._name}]" if self._name else "the file"
                known = ", ".join(dict.fromkeys(self._asked))
                raise self.wrong(key, f"nothing in {what} is called {shown!r} here", f"here it has {known}")

    def _moment(self, key: str, value: object, most_s: int) -> int:
        found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self._missing(key, value, MOMENT_HINT)
        day, hour, minute, second = (int(found[place] or 0) for place in (1, 2, 3, 5))
        if hour > 24 or minute > 59 or second > 59 or (hour == 24 and minute + second):
            raise self._missing(key, value, "the time of day lies between 00:00 and 24:00")
        at_s = day * DAY_S + hour * 3600 + minute * 60 + second
        if at_s > most_s:
            raise self.wrong(key, f"{key} is {moment(at_s)}, after the end", f"the scenario ends {moment(most_s)}")
        return at_s

    def _missing(self, key: str, value: object, hint: str) -> PaygoError:
        if value is None:
            return self.wrong("", f"{key} is missing", hint.replace("it is", f"{key} is", 1))
        if isinstance(value, float) and not math.isfinite(value):
            return self.wrong(key, f"{key} is {value}", hint)
        shown = f"a text of {len(value)} characters" if isinstance(value, str) and len(value) > 24 else brief(value)
        if isinstance(value, str) and 12 < len(value) <= 24:
            shown = repr(value)
        return self.wrong(key, f"{key} is {shown}", hint)
