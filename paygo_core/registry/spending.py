"""Spends counts: reads a device under the writers' lock and records its tokens, one at a time or thousands together.

All of it happens inside a transaction of the caller's, whose commit makes it durable. Statements are prepared once,
since what Python does for a statement costs as much as what the database does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, select
from sqlalchemy.engine import Connection, CursorResult

from paygo_core.errors import PaygoError
from paygo_core.registry.bulk import checked_digits
from paygo_core.registry.issuing import next_tokens
from paygo_core.registry.keys import PLAIN, SEALED, KeyBox
from paygo_core.registry.life import check_in_use, state_after
from paygo_core.registry.schema import (
    ISSUE_REASONS,
    STATES,
    DeviceRow,
    IssueReason,
    IssueRow,
    NoteRow,
    TokenRow,
    device_of,
    utc_now,
)
from paygo_core.tokens import LARGEST_UNITS, Days, Token, TokenType, units_of_days

ENCRYPTION = "encryption"
"""The name of the fact that tells how keys are encrypted."""

_UNREAD = ("created_at", "updated_at")
_FIND = (
    f"SELECT {', '.join(column.name for column in DeviceRow.__table__.c if column.name not in _UNREAD)},"  # noqa: S608
    f" (SELECT value FROM registry_meta WHERE name = '{ENCRYPTION}') AS encryption FROM devices WHERE serial = ?"
)
_NEW_ISSUE, _NEW_NOTE = (insert(cast(Table, row.__table__)) for row in (IssueRow, NoteRow))
_RECORD = "INSERT INTO tokens (device_id, count, token_type, value, extended, digits, issue_id) VALUES "
_RECORD_ONE = _RECORD + "(?, ?, ?, ?, ?, ?, ?)"
_MOVE = "UPDATE devices SET count = ?, state = ?, updated_at = ? WHERE id = ?"

_TOKENS_OF_REFERENCE = (
    select(TokenRow.digits, TokenRow.count, TokenRow.token_type, TokenRow.value)
    .join(IssueRow, IssueRow.id == TokenRow.issue_id)
    .where(IssueRow.reference == bindparam("reference"), TokenRow.device_id == bindparam("device"))
    .order_by(TokenRow.count)
)
_REFERENCE = select(IssueRow.id).where(IssueRow.reference == bindparam("reference"))

_MANY_MOVED = "UPDATE devices SET count = count + 1 + (count + ?) % 2, updated_at = ? WHERE id {among}"
_AT_ONCE = 100
"""Tokens of a statement: what a statement costs is shared, and its parameters are fewer than any SQLite allows."""
_STATE_MASK, _RESTRICTED, _PLAIN, _FITS, _DIVIDER = 7, 8, 16, 32, 6
_FACTS = (
    "CASE state"
    + "".join(f" WHEN '{state}' THEN {place}" for place, state in enumerate(STATES))
    + f" END + CASE WHEN restricted_digit_set THEN {_RESTRICTED} ELSE 0 END"
    f" + CASE key_format WHEN '{PLAIN}' THEN {_PLAIN} ELSE 0 END"
    f" + CASE WHEN count <= max_count - 2 AND key_format IN ('{PLAIN}', '{SEALED}') THEN {_FITS} ELSE 0 END"
    f" + time_divider * {1 << _DIVIDER}"
)
"""What most devices of a set have in common, as a number; _FITS: it may get one more token of a set."""
_AMONG_WANTED = " FROM json_each(?) AS wanted CROSS JOIN devices ON serial = wanted.value"
_WHICH_IN_FILE = "SELECT serial" + _AMONG_WANTED
_MANY_FOUND_IN_FILE = (
    "SELECT json_group_array(devices.id), json_group_array(starting_code), json_group_array(count),"
    f" json_group_array({_FACTS}), group_concat(coalesce(hex(key_blob), ''), ' '),"
    f" json_group_object(devices.id, test_code) FILTER (WHERE test_code <> ''){_AMONG_WANTED}"
)
_MANY_FOUND_ON_SERVER = (
    f"SELECT serial, id, starting_code, count, {_FACTS}, key_blob, test_code FROM devices"  # noqa: S608
    " WHERE serial {among} ORDER BY serial FOR UPDATE"
)
_MANY_REFERENCES = "SELECT reference, id FROM issues WHERE reference {among}"
_MANY_RECORDED = (
    "SELECT issue_id, device_id, digits, count, token_type, value FROM tokens"
    " WHERE device_id {among} AND issue_id {among} ORDER BY device_id, count"
)
LONGEST_REFERENCE = 200
_UNREADABLE = bytes(16)
_TIMED = (TokenType.ADD_TIME, TokenType.SET_TIME)


@dataclass(frozen=True)
class Order:
    """What a device is to get: value in raw units, or days. tokens: those that were issued, to be entered in order.

    reference: the caller's name for the order, such as a payment's number: with one the order is carried out once,
    and gets the same tokens however often it is given. repeated: the tokens were issued before.
    """

    serial: str
    token_type: TokenType = TokenType.ADD_TIME
    value: int | None = None
    days: Days | None = None
    reason: IssueReason = "payment"
    tokens: tuple[Token, ...] = ()
    reference: str = ""
    repeated: bool = False


@dataclass(frozen=True)
class Refused:
    """An order for which nothing was issued: what is wrong, and what would be right."""

    order: Order
    cause: str
    hint: str


@dataclass(frozen=True)
class _Found:
    """Devices that were asked for and are there, a list a column: rows as tuples cost more than the database does.

    facts: _FACTS. test_codes: by id, of those that have one.
    """

    serials: list[str]
    ids: list[int]
    starting_codes: list[int]
    counts: list[int]
    facts: list[int]
    keys: list[bytes]
    test_codes: dict[int, str]

    def some(self, places: list[int]) -> _Found:
        """Those at these places, which rise."""
        if len(places) == len(self.ids):
            return self
        names, ids, codes, counts, facts, keys = _at(
            places, self.serials, self.ids, self.starting_codes, self.counts, self.facts, self.keys
        )
        return _Found(names, ids, codes, counts, facts, keys, self.test_codes)


def _at(places: list[int], *columns: Any) -> list[Any]:
    """What the columns have at these places; what is no list is the same everywhere."""
    return [[column[place] for place in places] if isinstance(column, list) else column for column in columns]


@dataclass
class Spent:
    """What became of orders, by their places: one token's digits and count, or several tokens, or an error.

    units: of the one token, where the orders are not alike.
    """

    digits: list[str]
    counts: list[int]
    units: list[int] = field(default_factory=list)
    several: dict[int, list[Token]] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    errors: dict[int, PaygoError] = field(default_factory=dict)


def checked_reason(reason: str) -> None:
    """Raises PaygoError for a reason that there is not."""
    if reason not in ISSUE_REASONS:
        raise PaygoError(f"{reason!r} is not a reason", f"reasons are {', '.join(ISSUE_REASONS)}")


def checked_reference(reference: str) -> None:
    """Raises PaygoError for a text that is no name."""
    if len(reference) > LONGEST_REFERENCE or not reference.isprintable():
        raise PaygoError("the reference cannot be used", "a reference is up to 200 printable characters")


def find(connection: Connection, serial: str, lock: bool) -> Any:
    """A device, and as `encryption` how keys are encrypted. lock: against other writers, until the commit."""
    return _run(connection, _FIND + " FOR UPDATE" * (lock and _on_server(connection)), (serial,)).first()


def recorded(
    connection: Connection, row: Any, reference: str, token_type: TokenType, value: int | None, days: Days | None
) -> list[Token]:
    """The tokens that were issued for a device under a reference; none when it is new.

    Raises PaygoError when they were for another device, or not what is asked for now.
    """
    found = connection.execute(_TOKENS_OF_REFERENCE, {"reference": reference, "device": row.id}).all()
    tokens = [Token(digits, count, TokenType(kind), carried) for digits, count, kind, carried in found]
    if tokens or connection.execute(_REFERENCE, {"reference": reference}).first() is not None:
        _check_same(tokens, Order(row.serial, token_type, value, days, reference=reference), row.time_divider)
    return tokens


def _check_same(tokens: list[Token], order: Order, time_divider: int) -> None:
    """Raises PaygoError when the tokens that a device got under the order's reference are none, or another order's."""
    hint = "each order has a reference of its own"
    if not tokens:
        raise PaygoError(f"the reference {order.reference!r} is of another device's order", hint)
    same = tokens[0].token_type is order.token_type
    if same and order.token_type in _TIMED:
        units = units_of_days(order.days, time_divider) if order.days is not None else order.value
        same = sum(token.value for token in tokens) == units
    if not same:
        what = f"{tokens[0].token_type.name} {sum(token.value for token in tokens)}"
        cause = f"under the reference {order.reference!r} {order.serial} got another order, {what} in raw units"
        raise PaygoError(cause, hint)


def spend(
    connection: Connection,
    row: Any,
    tokens: Sequence[Token],
    reason: str,
    issued_by: str,
    *,
    reference: str = "",
    extended: bool = False,
) -> None:
    """Records tokens of one device and moves its count, and its state where they change it, with a note."""
    now = utc_now()
    issue_id = _new_issue(connection, reason, issued_by, now, reference)
    state = row.state
    for token in tokens:
        cells = (row.id, token.count, int(token.token_type), token.value, extended, token.digits, issue_id)
        _run(connection, _RECORD_ONE, cells)
        before, state = state, state_after(state, token, reason)
        if state != before:
            text = f"{before} became {state}: a token {token.token_type.name} at count {token.count}"
            note = {"device_id": row.id, "kind": "state", "text": text, "noted_by": issued_by, "noted_at": now}
            connection.execute(_NEW_NOTE, note)
    _run(connection, _MOVE, (tokens[-1].count, state, _moment(connection, now), row.id))


def spend_many(connection: Connection, keys: KeyBox, orders: Sequence[Order], issued_by: str) -> Spent:
    """The tokens of many orders, as `next_tokens` and `spend` make them one after another, but set by set.

    An order in the set takes one token and leaves its device's state; any other is carried out by itself, behind it.
    A refused order changes nothing.
    """
    found = _find_many(connection, [order.serial for order in orders])
    place_of = {serial: place for place, serial in enumerate(found.serials)}
    known = _issues_of(connection, [order.reference for order in orders if order.reference])
    together, alone = _sorted_out(orders, found, place_of, known)
    due = found.some([place for _, place, _ in together])
    kinds, values = [int(orders[at].token_type) for at, _, _ in together], [units for _, _, units in together]
    digits, counts = _next_of_set(keys, due, kinds, values)
    made = [place for place, text in enumerate(digits) if text]
    issues = _issues_for(connection, [orders[together[place][0]] for place in made], issued_by)
    _record_set(connection, [*_at(made, due.ids, counts, kinds, values, digits), issues])
    spent = Spent([""] * len(orders), [0] * len(orders), [0] * len(orders))
    for (at, _, units), text, count in zip(together, digits, counts, strict=True):
        if text:
            spent.digits[at], spent.counts[at], spent.units[at] = text, count, units
        else:
            alone.append(at)
    before = _tokens_of(connection, known, set(found.ids))
    for at in sorted(alone):
        order = orders[at]
        try:
            if order.reference in known and order.serial in place_of:
                place = place_of[order.serial]
                tokens = before.get((known[order.reference], found.ids[place]), [])
                _check_same(tokens, order, found.facts[place] >> _DIVIDER)
                spent.several[at] = tokens
                spent.repeated.add(at)
                continue
            spent.several[at], again = _carry_out(connection, keys, order, issued_by)
            spent.repeated |= {at} if again else set()
        except PaygoError as error:
            spent.errors[at] = error
    return spent


def spend_alike(
    connection: Connection,
    keys: KeyBox,
    serials: Sequence[str],
    order: Order,
    issued_by: str,
) -> Spent:
    """The same for devices that all get what `order` says; a serial that stands twice is served twice."""
    found = _find_many(connection, serials)  # which locks them, in order
    timed = order.token_type in _TIMED
    units = {
        facts: _units(order, facts >> _DIVIDER) if timed and _together(facts, order) else None
        for facts in set(found.facts)
    }
    due = found
    if None in units.values():
        due = found.some([place for place, facts in enumerate(found.facts) if units[facts] is not None])
    values: list[int] = [units[facts] for facts in due.facts]  # type: ignore[misc]
    kind = int(order.token_type)
    digits, counts = _next_of_set(keys, due, [kind] * len(values), values)
    if any(digits):
        issue = _new_issue(connection, order.reason, issued_by, utc_now())
        value = values[0] if len(set(values)) == 1 else values
        columns: list[list[Any] | int] = [due.ids, counts, kind, value, digits, issue]
        if "" in digits:
            columns = _at([place for place, text in enumerate(digits) if text], *columns)
        _record_set(connection, columns)
    if due.serials != serials:
        places = {serial: place for place, serial in enumerate(due.serials)}
        at_places = [places.pop(serial, -1) for serial in serials]
        digits, counts = [*digits, ""], [*counts, 0]
        digits, counts = [digits[place] for place in at_places], [counts[place] for place in at_places]
    spent = Spent(digits, counts)
    for at in [at for at, text in enumerate(digits) if not text] if "" in digits else ():
        try:
            spent.several[at], _ = _carry_out(connection, keys, replace(order, serial=serials[at]), issued_by)
        except PaygoError as error:
            spent.errors[at] = error
    return spent


def _carry_out(connection: Connection, keys: KeyBox, order: Order, issued_by: str) -> tuple[list[Token], bool]:
    """The tokens of an order, and whether they had been issued before."""
    checked_reason(order.reason)
    checked_reference(order.reference)
    row = find(connection, order.serial, lock=False) if order.serial.isprintable() else None
    if row is None:
        raise PaygoError(f"the registry has no device {order.serial[:64]!r}", "list the devices to see the serials")
    if order.reference:
        known = recorded(connection, row, order.reference, order.token_type, order.value, order.days)
        if known:
            return known, True
    check_in_use(order.serial, row.state)
    tokens = next_tokens(device_of(row, keys), order.token_type, value=order.value, days=order.days)
    spend(connection, row, tokens, order.reason, issued_by, reference=order.reference)
    return tokens, False


def _new_issue(connection: Connection, reason: str, issued_by: str, now: datetime, reference: str = "") -> int:
    issue = {"reason": reason, "issued_by": issued_by, "issued_at": now, "reference": reference or None}
    key = connection.execute(_NEW_ISSUE, issue).inserted_primary_key
    assert key is not None, "one row was inserted, and every database tells its key"
    return int(key[0])


def _issues_for(connection: Connection, orders: list[Order], issued_by: str) -> list[int]:
    """The rows of `issues` for orders: one for each reference, and one for all others of a reason."""
    now = utc_now()
    shared = {
        reason: _new_issue(connection, reason, issued_by, now)
        for reason in sorted({order.reason for order in orders if not order.reference})
    }
    named = [
        {"reason": order.reason, "reference": order.reference, "issued_by": issued_by, "issued_at": now}
        for order in orders
        if order.reference
    ]
    if named:
        connection.execute(_NEW_ISSUE, named)
    own = _issues_of(connection, [order.reference for order in orders if order.reference])
    return [own[order.reference] if order.reference else shared[order.reason] for order in orders]


def _find_many(connection: Connection, serials: Iterable[str]) -> _Found:
    """Devices, as the serials stand here; on a server locked, in the order of the serials, against deadlocks."""
    wanted = list(dict.fromkeys(serials))
    if not "".join(wanted).isprintable():
        wanted = [serial for serial in wanted if serial.isprintable()]
    if _on_server(connection):
        locked: Iterable[Any] = _among(connection, _MANY_FOUND_ON_SERVER, [wanted])
        rows = {row[0]: row for row in locked}
        ordered = [rows[serial] for serial in wanted if serial in rows]
        names, ids, codes, counts, facts = ([row[column] for row in ordered] for column in range(5))
        of_test = {row[1]: row[6] for row in ordered if row[6]}
        return _Found(names, ids, codes, counts, facts, [row[5] or b"" for row in ordered], of_test)
    text = json.dumps(wanted)
    found: Any = _run(connection, _MANY_FOUND_IN_FILE, (text,)).one()
    ids, codes, counts, facts = map(json.loads, found[:4])
    blobs, test_codes = found[4] or "", json.loads(found[5])
    names = wanted
    if len(ids) < len(wanted):
        names = [row[0] for row in _run(connection, _WHICH_IN_FILE, (text,))]
    if all(fact & _PLAIN for fact in set(facts)):
        together = bytes.fromhex(blobs)  # which passes over the spaces
        keys = [together[at : at + 16] for at in range(0, len(together), 16)]
    else:
        keys = [bytes.fromhex(blob) for blob in blobs.split(" ")]
    return _Found(names, ids, codes, counts, facts, keys, {int(key): code for key, code in test_codes.items()})


def _issues_of(connection: Connection, references: Iterable[str]) -> dict[str, int]:
    """The rows of `issues` that have these references."""
    wanted = [reference for reference in references if reference.isprintable()]
    found: Iterable[Any] = _among(connection, _MANY_REFERENCES, [wanted]) if wanted else ()
    return {row[0]: row[1] for row in found}


def _tokens_of(
    connection: Connection, references: dict[str, int], devices: set[int]
) -> dict[tuple[int, int], list[Token]]:
    """The tokens that these devices got under references, by the number of the reference's row and of the device."""
    tokens: dict[tuple[int, int], list[Token]] = {}
    if references:
        lists = (sorted(devices), sorted(references.values()))
        for row in _among(connection, _MANY_RECORDED, lists):
            issue, device, digits, count, kind, value = tuple(row)
            tokens.setdefault((issue, device), []).append(Token(digits, count, TokenType(kind), value))
    return tokens


def _on_server(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _among(connection: Connection, query: str, lists: Sequence[list[Any]], *parameters: Any) -> CursorResult[Any]:
    """Runs a query about rows of which columns are among lists, of any length, which are its last parameters."""
    if _on_server(connection):
        return _run(connection, query.format(among="= ANY(?)"), (*parameters, *lists))
    texts = map(json.dumps, lists)
    return _run(connection, query.format(among="IN (SELECT value FROM json_each(?))"), (*parameters, *texts))


def _moment(connection: Connection, when: datetime) -> datetime | str:
    """A time as `_run` takes it: UtcDateTime's, which it passes by."""
    return when if _on_server(connection) else when.strftime("%Y-%m-%d %H:%M:%S.%f")


def _run(connection: Connection, statement: str, parameters: Any) -> CursorResult[Any]:
    """A statement as the driver wants it: theirs are quicker than ours, which pass through SQLAlchemy's types."""
    if _on_server(connection):
        statement = statement.replace("%", "%%").replace("?", "%s")
    return connection.exec_driver_sql(statement, parameters)


def _sorted_out(
    orders: Sequence[Order], found: _Found, place_of: dict[str, int], known: dict[str, int]
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """The orders that can be carried out as a set: where they stand, their devices' places and units; and where the
    others stand.
    """
    together: list[tuple[int, int, int]] = []
    alone: list[int] = []
    seen: set[str] = set()
    named = set(known)
    fitting: dict[tuple[Any, ...], bool] = {}
    for at, order in enumerate(orders):
        place, reference = place_of.get(order.serial, -1), order.reference
        fits = place >= 0 and order.serial not in seen
        if reference and (reference in named or len(reference) > LONGEST_REFERENCE or not reference.isprintable()):
            fits = False
        seen.add(order.serial)
        named.add(reference)
        facts = found.facts[place] if fits else 0
        if not fits or (units := _units(order, facts >> _DIVIDER)) is None:
            alone.append(at)
            continue
        case = (facts, order.token_type, order.reason, units > 0)
        if case not in fitting:
            fitting[case] = _together(facts, order)
        if fitting[case]:
            together.append((at, place, units))
        else:
            alone.append(at)
    return together, alone


def _units(order: Order, time_divider: int) -> int | None:
    """The units of an order that one token can carry; None for any other order."""
    units = order.value
    if order.token_type not in _TIMED:
        return None
    if order.days is not None:
        try:
            units = units_of_days(order.days, time_divider) if units is None else None
        except PaygoError:
            return None
        if units == 0 and order.days:
            return None
    return units if type(units) is int and 0 <= units <= LARGEST_UNITS else None


def _together(facts: int, order: Order) -> bool:
    """Whether a device of which these _FACTS are true may have the order as one of a set, and keeps its state."""
    state = STATES[facts & _STATE_MASK]
    some = Token("", 0, order.token_type, 1 if order.value or order.days else 0)
    fits = facts & _FITS and state != "retired" and order.reason in ISSUE_REASONS
    return bool(fits) and state_after(state, some, order.reason) == state


def _next_of_set(keys: KeyBox, due: _Found, kinds: list[int], units: list[int]) -> tuple[list[str], list[int]]:
    """One token for each of these devices at its next count: digits and counts.

    The digits are empty where that count may not be issued (T18), or where the key cannot be read.
    """
    counts = [count + 1 + (count + kind) % 2 for count, kind in zip(due.counts, kinds, strict=True)]
    plain = all(facts & _PLAIN for facts in set(due.facts))
    secret_keys = due.keys if plain else [_unsealed(keys, due, place) for place in range(len(counts))]
    restricted = [facts & _RESTRICTED != 0 for facts in due.facts]
    digits = checked_digits(b"".join(secret_keys), due.starting_codes, counts, units, restricted)
    if due.test_codes:
        codes = [due.test_codes.get(number) for number in due.ids]
        digits = ["" if text == code else text for text, code in zip(digits, codes, strict=True)]
    if not plain:
        digits = ["" if key == _UNREADABLE else text for text, key in zip(digits, secret_keys, strict=True)]
    return digits, counts


def _unsealed(keys: KeyBox, due: _Found, place: int) -> bytes:
    if due.facts[place] & _PLAIN:
        return due.keys[place]
    try:
        return keys.unseal(due.serials[place], SEALED, due.keys[place])
    except PaygoError:
        return _UNREADABLE


def _record_set(connection: Connection, columns: Sequence[list[Any] | int]) -> None:
    """Records tokens, each its device's last: ids of devices, counts, types, values, digits and issues.

    Each is a list, or, but for the ids, what all have in common.
    """
    ids, counts, kinds, values, digits, issues = columns
    assert isinstance(ids, list)
    when = _moment(connection, utc_now())
    present = sorted(set(kinds)) if isinstance(kinds, list) else [kinds]
    for kind in present:
        moved = ids
        if isinstance(kinds, list):
            moved = [number for number, its in zip(ids, kinds, strict=True) if its == kind]
        _among(connection, _MANY_MOVED, [moved], kind, when)
    cells = (ids, counts, kinds, values, "FALSE", digits, issues)
    one = f"({', '.join('?' if isinstance(cell, list) else str(cell) for cell in cells)})"
    given = [cell for cell in cells if isinstance(cell, list)]
    width = len(given)
    flat: list[Any] = [None] * (width * len(ids))
    for place, column in enumerate(given):
        flat[place::width] = column
    parameters = tuple(flat)
    whole = len(ids) - len(ids) % _AT_ONCE
    for first, last, size in ((0, whole, _AT_ONCE), (whole, len(ids), len(ids) - whole)):
        if size and last > first:
            rows = [parameters[width * at : width * (at + size)] for at in range(first, last, size)]
            _run(connection, _RECORD + ", ".join([one] * size), rows)
