"""Cells as spreadsheets and other platforms leave them: repaired where that is certain, never guessed."""

from __future__ import annotations

import base64
import binascii
import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from paygo_core.csv_rows import WrongCell, shown
from paygo_core.errors import PaygoError
from paygo_core.moving.columns import Columns
from paygo_core.moving.words import FIELDS
from paygo_core.moving.xlsx import DateCell
from paygo_core.redact import mask_secrets
from paygo_core.tokens import LARGEST_COUNT, LARGEST_STARTING_CODE, DeviceConfig

ACCEPTABLE = {
    "dates": "a number that became a date is its day number again",
    "decimals": "a serial that ends in .0 is what stands before it",
    "lookalikes": "O, I and l in a key are 0 and 1",
    "short-keys": "a key of 31 digits has lost a leading zero",
    "short-rows": "the cells that a row lacks are empty ones at its end",
    "thousands": "1.000 is a thousand",
}
"""What is not certain, and is done only when it is accepted by name."""

Values = tuple[str, ...]
"""A device as clean text in the order of FIELDS; the key as 32 hexadecimal digits."""

_SPACES = {ord(odd): " " for odd in "\t\n\r\v\f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"}
_SPACES |= {0x2000 + at: " " for at in range(11)}
_NOTHING = dict.fromkeys(map(ord, "\xad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_ODD = {**_SPACES, **_NOTHING}
_EMPTY = {"null", "none", "nan", "n/a", "#n/a", "na", "nil", "-", "--", "(null)", "<na>", "\\n"}
_TRUE = {
    "1",
    "true",
    "yes",
    "y",
    "x",
    "on",
    "oui",
    "vrai",
    "si",
    "verdadero",
    "sim",
    "verdadeiro",
    "ndiyo",
    "kweli",
    "ja",
    "wahr",
}
_FALSE = {"0", "false", "no", "n", "off", "non", "faux", "falso", "nao", "hapana", "siyo", "nein", "falsch"}
_ERROR = re.compile(r"#(?:REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|GETTING_DATA|SPILL!|CALC!|#+)")
_SCIENTIFIC = re.compile(r"([0-9])(?:[.,]([0-9]{1,20}))?[eE]\+?([0-9]{1,2})")
_GROUPED = re.compile(r"[0-9]{1,3}(?:([ .,'\u2019_])[0-9]{3})(?:\1[0-9]{3})*")
_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(
    rf"(?:(?:19|20)[0-9]{{2}}[-/.]{_DAY}[-/.]{_DAY}|{_DAY}[-/.]{_DAY}[-/.](?:(?:19|20)?[0-9]{{2}}))"
    r"(?:[ T].*)?"
    rf"|{_DAY}-{_MONTH}(?:-[0-9]{{2,4}})?|{_MONTH}-[0-9]{{2,4}}",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]00:00:00(?:\.0+)?)?")
_DAY_ZERO = date(1899, 12, 30)


class UnsureCell(WrongCell):
    """A cell that may be repaired, if somebody accepts it: `kind` is one of ACCEPTABLE."""

    def __init__(self, kind: str, column: str, cause: str) -> None:
        super().__init__(column, cause, f"--accept {kind}: {ACCEPTABLE[kind]}")
        self.kind = kind


@dataclass
class Judge:
    """Judges rows, cell by cell. `repaired` counts what was done, by a short sentence, with the first line of each."""

    columns: Columns
    accepted: frozenset[str] = frozenset()
    repaired: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    _done: list[str] = field(default_factory=list)
    _marked: bool = False

    def row(self, cells: list[str], line: int) -> Values:
        """The device of a row. Raises WrongCell, its column one of FIELDS or empty."""
        self._done = []
        cells = self._squared(cells)
        given = {name: cells[at] for name, at in self.columns.places.items()}
        serial = self._serial(given["serial"])
        key, code = self._key_and_code(given["key"], given.get("starting_code", ""))
        count = self._number("count", given.get("count", ""), 0, LARGEST_COUNT)
        divider = self._number("time_divider", given.get("time_divider", ""), 1, 255)
        values = (
            serial,
            str(code),
            key,
            "" if count is None else str(count),
            "" if divider is None else str(divider),
            self._restricted(given.get("restricted", "")),
            self._text("model", given.get("model", "")),
            self._text("version", given.get("version", "")),
            self._test_code(given.get("test_code", "")),
        )
        for what in dict.fromkeys(self._done):
            self.note(what, line)
        return values

    def note(self, what: str, line: int) -> None:
        """Takes note of a repair."""
        self.repaired[what] += 1
        self.first.setdefault(what, line)

    def notes(self, cells: list[str], line: int) -> list[str]:
        """What the history columns of a row say, as one line each, without anything that may be a key."""
        said = []
        for at, title in self.columns.notes.items():
            text = " ".join(cells[at].translate(_ODD).split()) if at < len(cells) else ""
            if not text or text.lower() in _EMPTY:
                continue
            text = "".join(letter for letter in text if letter.isprintable())[:2000]
            name = " ".join(title.split())
            masked = mask_secrets(f"{name}: {text}" if name else text)
            if "[secret]" in masked:
                self.note("a key taken out of a note", line)
            said.append(masked)
        return said

    def keeps(self, name: str, text: str) -> bool:
        """Whether a text stays as it is, as a serial, model or version."""
        try:
            return (self._serial(text) if name == "serial" else self._text(name, text)) == text
        except WrongCell:
            return False

    def _unsure(self, kind: str, column: str, cause: str, done: str) -> None:
        if kind not in self.accepted:
            raise UnsureCell(kind, column, cause)
        self._done.append(done)

    def _squared(self, cells: list[str]) -> list[str]:
        width = self.columns.width
        if len(cells) > width:
            if any(cell.strip() for cell in cells[width:]):
                hint = f"the header has {width}" if self.columns.header else f"the others have {width}"
                raise WrongCell("", f"the row has {len(cells)} columns", hint)
            self._done.append("empty cells at the end of a row dropped")
        elif len(cells) < width:
            last = max(self.columns.places[name] for name in ("serial", "key"))
            if len(cells) <= last:
                raise WrongCell("", f"the row has {len(cells)} columns", f"the header has {width}")
            self._unsure("short-rows", "", f"the row has {len(cells)} columns of {width}", "short rows filled up")
            cells = cells + [""] * (width - len(cells))
        return cells

    def _tidy(self, name: str, cell: str) -> str:
        """Without odd spaces, what a spreadsheet puts around text, and what stands for nothing.

        What stands behind an apostrophe is text as it is meant: the export puts it there too.
        """
        text = cell.translate(_ODD).strip()
        if text != cell:
            self._done.append("spaces taken away")
        if text[:1] == "'" and len(text) > 1:
            self._done.append("spreadsheet marks taken away")
            self._marked = True
            return text[1:-1] if text[-1] == "'" and len(text) > 2 else text[1:]
        self._marked = False
        if text[:2] == '="' and text.endswith('"') and len(text) > 3:
            text = text[2:-1].strip()
            self._done.append("spreadsheet marks taken away")
        if text.lower() in _EMPTY:
            self._done.append("words for nothing taken away")
            return ""
        if _ERROR.fullmatch(text):
            raise WrongCell(name, f"{shown(text)} is what a spreadsheet shows in place of a value", "take the original")
        return text

    def _serial(self, cell: str) -> str:
        if isinstance(cell, DateCell):
            raise WrongCell("serial", "the serial became a date", "take it from the original list")
        text = self._tidy("serial", cell)
        if not text:
            raise WrongCell("serial", "the serial is missing", "every device has one")
        if not text.isprintable() or len(text) > 64:
            hint = "a serial is 1 to 64 printable characters without a space at either end"
            raise WrongCell("serial", "the serial cannot be used", hint)
        if mask_secrets(text) != text:
            raise WrongCell("serial", "the serial looks like a secret key", "are the cells in the right columns?")
        if self._marked:
            return text
        if _DATE.fullmatch(text):
            raise WrongCell(
                "serial", f"{shown(text)} may be a serial that became a date", "take it from the original list"
            )
        if re.fullmatch(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+", text):
            raise WrongCell("serial", f"{shown(text)} has lost digits", "take the serial from the original list")
        if re.fullmatch(r"[0-9]+[.,]0", text):
            self._unsure(
                "decimals", "serial", f"{shown(text)} may be a serial or a number", "decimals of serials dropped"
            )
            return text[:-2]
        return text

    def _text(self, name: str, cell: str) -> str:
        text = self._tidy(name, cell)
        if isinstance(cell, DateCell):
            self._done.append("dates kept as texts")
        if not text.isprintable():
            raise WrongCell(name, "the text has control characters", "write it as plain text")
        if len(text) > 200:
            raise WrongCell(name, f"the text has {len(text)} characters", "it has 200 at most")
        if mask_secrets(text) != text:
            raise WrongCell(name, "the text looks like a secret key", "are the cells in the right columns?")
        return text

    def _test_code(self, cell: str) -> str:
        text = self._decimal(self._tidy("test_code", cell))
        if re.fullmatch(r"[0-9]{1,20}[.,]0", text):
            text = text[:-2]
            self._done.append("decimals of whole numbers dropped")
        if re.fullmatch(r"[0-9]{0,20}", text) is None:
            raise WrongCell("test_code", f"{shown(text)} is not 1 to 20 digits", "empty means that there is none")
        return text

    def _restricted(self, cell: str) -> str:
        text = self._tidy("restricted", cell)
        if text in ("", "0", "1"):
            return text
        word = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
        word = re.sub(r"[.,]0$", "", word)
        for said, words in (("1", _TRUE), ("0", _FALSE)):
            if word in words:
                self._done.append("words for yes and no read")
                return said
        raise WrongCell("restricted", f"{shown(text)} is neither 1 nor 0", "empty means 0")

    def _decimal(self, text: str) -> str:
        """Digits of any script as 0 … 9."""
        if text.isascii():
            return text
        digits = "".join(str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in text)
        if digits != text:
            self._done.append("digits of another script read")
        return digits

    def _number(self, name: str, cell: str, low: int, high: int, derived: int | None = None) -> int | None:
        """A whole number, None where there is none. derived: what follows from the key, to know lost digits by."""
        if isinstance(cell, DateCell) and cell.number is not None and low <= cell.number <= high:
            self._done.append("numbers shown as dates read")
            return cell.number
        text = self._decimal(self._tidy(name, cell))
        if not text:
            return None
        for reading in (self._plain, self._scientific, self._parted, self._dated):
            number = reading(name, text, low, high, derived)
            if number is not None:
                return number
        raise _no_number(name, text, low, high)

    def _plain(self, name: str, text: str, low: int, high: int, _derived: int | None) -> int | None:
        if re.fullmatch(r"[0-9]{1,18}", text) is None:
            return None
        if not low <= int(text) <= high:
            raise _no_number(name, text, low, high)
        return int(text)

    def _scientific(self, name: str, text: str, low: int, high: int, derived: int | None) -> int | None:
        found = _SCIENTIFIC.fullmatch(text)
        if found is None:
            return None
        lead, rest, power = found[1], found[2] or "", int(found[3])
        if len(rest) <= power:
            digits = int(lead + rest)
            missing = power - len(rest)
            if missing == 0 and low <= digits <= high:
                self._done.append("scientific numbers with all digits read")
                return digits
            if derived is not None and missing < 9 and math.floor(derived / 10**missing + 0.5) == digits:
                self._done.append("starting codes that lost digits taken from the key")
                return derived
            if missing:
                raise WrongCell(name, f"{shown(text)} has lost digits", "take the number from the original list")
        raise _no_number(name, text, low, high)

    def _parted(self, name: str, text: str, low: int, high: int, _derived: int | None) -> int | None:
        """Decimals that are zeros, or groups of thousands; 1.000 may be either."""
        decimal = re.fullmatch(r"([0-9]{1,9})[.,]0{1,9}", text)
        whole = int(decimal[1]) if decimal else None
        grouped = int(re.sub("[^0-9]", "", text)) if _GROUPED.fullmatch(text) and len(text) < 20 else None
        readings = {n for n in (whole, grouped) if n is not None and low <= n <= high}
        if not readings:
            return None
        if len(readings) > 1:
            self._unsure("thousands", name, f"{shown(text)} may be {whole} or {grouped}", "thousands read")
            return grouped
        (number,) = readings
        done = "thousands separators taken away" if number == grouped else "decimals of whole numbers dropped"
        self._done.append(done)
        return number

    def _dated(self, name: str, text: str, low: int, high: int, _derived: int | None) -> int | None:
        found = _ISO_DATE.fullmatch(text)
        if found is None:
            if _DATE.fullmatch(text):
                raise WrongCell(name, f"{shown(text)} became a date", "take the number from the original list")
            return None
        try:
            number = (date(int(found[1]), int(found[2]), int(found[3])) - _DAY_ZERO).days
        except ValueError:
            return None
        number -= number <= 60  # the spreadsheets' year 1900 has a 29th of February
        if not low <= number <= high:
            return None
        self._unsure(
            "dates", name, f"a date stands where a number belongs, and may be {number}", "dates read as numbers"
        )
        return number

    def _key_and_code(self, key_cell: str, code_cell: str) -> tuple[str, int]:
        """Both at once: where the starting code follows from the key, either proves the other."""
        text = self._tidy("key", key_cell)
        key = self._key_in(text)
        if re.fullmatch("[0-9A-Fa-f]{32}", key):
            derived = _derived(key)
            code = self._number("starting_code", code_cell, 1, LARGEST_STARTING_CODE, derived)
            return key, derived if code is None else code
        try:
            code = self._number("starting_code", code_cell, 1, LARGEST_STARTING_CODE)
        except WrongCell:
            code = None
        found = _proved(key, code) if code is not None else None
        if found is not None and code is not None:
            self._done.append("keys with a lost or mistaken digit, found by their starting code")
            return found, code
        likely = key.translate(_LOOKALIKE)
        if likely != key and re.fullmatch("[0-9A-Fa-f]{32}", likely):
            self._unsure(
                "lookalikes", "key", "the key has characters that are not hexadecimal", "lookalikes in keys read"
            )
            key = likely
        elif re.fullmatch("[0-9A-Fa-f]{31}", key):
            self._unsure("short-keys", "key", "the key has 31 characters", "leading zeros of keys put back")
            key = "0" + key
        else:
            raise _no_key(key)
        code = self._number("starting_code", code_cell, 1, LARGEST_STARTING_CODE, _derived(key))
        return key, _derived(key) if code is None else code

    def _key_in(self, text: str) -> str:
        """The key as 32 digits, or what is left of one."""
        if re.fullmatch("[0-9A-Fa-f]{32}", text):
            return text
        if not text:
            raise WrongCell("key", "the key is missing", "every device of the list has one")
        bare = re.sub(r"^(?:0[xX]|[hH]')|[\s:.,_{}()\[\]-]|(?<=[\s:,-])0[xX]", "", text)
        if re.fullmatch("[0-9A-Fa-f]{32}", bare):
            self._done.append("separators in keys taken away")
            return bare
        if re.fullmatch(r"[0-9A-Za-z+/_-]{22}==", text):
            try:
                key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
            except binascii.Error:
                return bare
            self._done.append("keys in base64 read")
            return key.hex()
        return bare


_LOOKALIKE = str.maketrans("OoIl", "0011")


def _derived(key: str) -> int:
    return DeviceConfig.from_hex(key).starting_code


def _proved(key: str, code: int) -> str | None:
    """The key with 32 digits from which the starting code follows, where one digit was lost or mistaken.

    Some 500 candidates, each right by chance once in a thousand million.
    """
    key = key.translate(_LOOKALIKE)
    if re.fullmatch("[0-9A-Fa-f]{31}", key):
        tried = [key[:at] + digit + key[at:] for at in range(32) for digit in "0123456789abcdef"]
    elif re.fullmatch("[0-9A-Za-z]{32}", key) and len(wrong := re.findall("[^0-9A-Fa-f]", key)) <= 1:
        tried = [key.replace(wrong[0], digit) for digit in "0123456789abcdef"] if wrong else [key]
    else:
        return None
    try:
        return next((one for one in tried if _derived(one) == code), None)
    except PaygoError:
        return None


def _no_key(key: str) -> WrongCell:
    right = "a key is 32 hexadecimal characters, 0-9 and a-f"
    if _SCIENTIFIC.fullmatch(key) or re.fullmatch(r"[0-9]+E\+?[0-9]+", key):
        return WrongCell("key", "the key became a rounded number", "take it from the original list")
    if re.fullmatch("[0-9A-Fa-f]*", key) is None:
        return WrongCell("key", "the key has characters that are not hexadecimal", right)
    return WrongCell("key", f"the key has {len(key)} characters", right)


_HINTS = {
    "starting_code": "take all digits from the original list",
    "count": "the last count that the server used; empty means 1",
    "time_divider": "units a day; empty means 1",
}


def _no_number(name: str, text: str, low: int, high: int) -> WrongCell:
    return WrongCell(name, f"{shown(text)} is not a whole number from {low} to {high}", _HINTS[name])


def plain_rows(columns: Columns, delimiter: str) -> re.Pattern[str] | None:
    """A pattern whose matches are the rows that need no judging: lines whose every cell is as it should be.

    Its groups are the fields in the order of `columns`, by place. None where a list has too few columns for it.
    """
    letters = "".join(map(chr, (*range(0x21, 0x7F), *range(0xC0, 0x100))))
    letters = "".join(letter for letter in letters if letter not in '"' + delimiter)
    one = f"[{re.escape(letters)}]"
    end = f"(?={re.escape(delimiter)}|$)"
    nothing = f"(?!(?i:{'|'.join(map(re.escape, sorted(_EMPTY)))}){end})"
    odd = f"(?!['#=]){nothing}"
    cells = {
        "serial": rf"{odd}(?![0-9]+(?:[-/.,: ]|E\+)|(?i:{_MONTH})-){one}{{1,64}}",
        "starting_code": "0{0,8}[1-9][0-9]{0,8}",
        "key": "[0-9A-Fa-f]{32}",
        "count": "(?:[0-5]?[0-9]{1,4})?",
        "time_divider": "(?:[1-9][0-9]?|1[0-9][0-9])?",
        "restricted": "[01]?",
        "model": rf"(?:{odd}{one}{{1,15}}(?: {one}{{1,15}}){{0,3}})?",
        "version": rf"(?:{odd}{one}{{1,15}})?",
        "test_code": "[0-9]{0,20}",
    }
    if "starting_code" not in columns.places:
        return None  # it has to be computed
    names = {place: name for name, place in columns.places.items()}
    unused = rf'[^"\0\n{re.escape(delimiter)}]*'
    parts = [
        f"({cells[names[at]]})" if at in names else "" if at in columns.notes else unused for at in range(columns.width)
    ]
    return re.compile(f"^{re.escape(delimiter).join(parts)}$", re.MULTILINE)


def group_order(columns: Columns) -> list[str]:
    """The fields in the order in which plain_rows has them; a starting code that is computed comes last."""
    order = sorted(columns.places, key=columns.places.__getitem__)
    return order if "starting_code" in order else [*order, "starting_code"]


def template_order(values: Values, order: list[str]) -> Values:
    """A judged row as plain_rows gives one."""
    return tuple(values[FIELDS.index(name)] for name in order)
