"""Spends counts: reads a device under the writers' lock and records its tokens, one at a time or thousands together.

All of it happens inside a transaction of the caller's, whose commit makes it durable. Statements are prepared once,
since what Python does for a statement costs as much as what the database does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.engine import Connection, CursorResult

from paygo_core.errors import PaygoError
from paygo_core.registry.bulk import checked_digits
from paygo_core.registry.issuing import next_tokens
from paygo_core.registry.keys import NO_KEY, PLAIN, KeyBox
from paygo_core.registry.life import check_in_use, state_after
from paygo_core.registry.schema import (
    ISSUE_REASONS,
    STATES,
    DeviceRow,
    IssueReason,
    IssueRow,
    MetaRow,
    NoteRow,
    TokenRow,
    device_of,
    utc_now,
)
from paygo_core.tokens import LARGEST_UNITS, Days, Token, TokenType, units_of_days

ENCRYPTION = "encryption"
"""The name of the fact that tells how keys are encrypted."""

_UNREAD = ("created_at", "updated_at")
_COLUMNS = [column for column in DeviceRow.__table__.c if column.name not in _UNREAD]
_FIND = select(
    *_COLUMNS, select(MetaRow.value).where(MetaRow.name == ENCRYPTION).scalar_subquery().label("encryption")
).where(DeviceRow.serial == bindparam("wanted"))
_FIND_LOCKED = _FIND.with_for_update(of=DeviceRow)
_MOVE = (
    update(cast(Table, DeviceRow.__table__))
    .where(DeviceRow.id == bindparam("device"))
    .values(count=bindparam("new_count"), state=bindparam("new_state"), updated_at=bindparam("now"))
)
_NEW_ISSUE, _NEW_TOKEN, _NEW_NOTE = (insert(cast(Table, row.__table__)) for row in (IssueRow, TokenRow, NoteRow))

_TOKENS_OF_REFERENCE = (
    select(TokenRow.digits, TokenRow.count, TokenRow.token_type, TokenRow.value)
    .join(IssueRow, IssueRow.id == TokenRow.issue_id)
    .where(IssueRow.reference == bindparam("reference"), TokenRow.device_id == bindparam("device"))
    .order_by(TokenRow.count)
)
_REFERENCE = select(IssueRow.id).where(IssueRow.reference == bindparam("reference"))

_MANY_MOVED = "UPDATE devices SET count = count + 1 + (count + ?) % 2, updated_at = ? WHERE id {among}"
_MANY_TOKENS = "INSERT INTO tokens (device_id, count, token_type, value, extended, digits, issue_id) VALUES "
_ONE_OF_MANY = "(?, ?, ?, ?, FALSE, ?, ?)"
_AT_ONCE = 100
"""Tokens of a statement: what a statement costs is shared, and its parameters are fewer than any SQLite allows."""
_FOUND = (
    "SELECT serial, devices.id, key_format, key_blob, starting_code, count, time_divider, restricted_digit_set,"
    " max_count, test_code, state FROM "
)
_MANY_FOUND_IN_FILE = _FOUND + "json_each(?) CROSS JOIN devices ON serial = json_each.value"
_MANY_FOUND_ON_SERVER = _FOUND + "devices WHERE serial {among} ORDER BY serial FOR UPDATE"
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
    return connection.execute(_FIND_LOCKED if lock else _FIND, {"wanted": serial}).first()


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
        values = {"device_id": row.id, "count": token.count, "token_type": int(token.token_type), "value": token.value}
        values |= {"extended": extended, "digits": token.digits, "issue_id": issue_id}
        connection.execute(_NEW_TOKEN, values)
        before, state = state, state_after(state, token, reason)
        if state != before:
            text = f"{before} became {state}: a token {token.token_type.name} at count {token.count}"
            note = {"device_id": row.id, "kind": "state", "text": text, "noted_by": issued_by, "noted_at": now}
            connection.execute(_NEW_NOTE, note)
    connection.execute(_MOVE, {"device": row.id, "new_count": tokens[-1].count, "new_state": state, "now": now})


def spend_many(connection: Connection, keys: KeyBox, orders: Sequence[Order], issued_by: str) -> Spent:
    """The tokens of many orders, as `next_tokens` and `spend` make them one after another, but set by set.

    An order in the set takes one token and leaves its device's state; any other is carried out by itself, behind it.
    A refused order changes nothing.
    """
    rows = {row[0]: row for row in _find_many(connection, [order.serial for order in orders])}
    known = _issues_of(connection, [order.reference for order in orders if order.reference])
    together, alone = _sorted_out(orders, rows, known)
    kinds = [int(orders[at].token_type) for at, _, _ in together]
    digits, counts = _next_of_set(keys, [row for _, row, _ in together], kinds, [units for _, _, units in together])
    made = [
        (at, row, kind, units, text, count)
        for (at, row, units), kind, text, count in zip(together, kinds, digits, counts, strict=True)
        if text
    ]
    issues = _issues_for(connection, [orders[at] for at, *_ in made], issued_by)
    _record_set(
        connection,
        [
            (row[1], count, kind, units, text, issue)
            for (_, row, kind, units, text, count), issue in zip(made, issues, strict=True)
        ],
    )
    spent = Spent([""] * len(orders), [0] * len(orders), [0] * len(orders))
    for at, _, _, units, text, count in made:
        spent.digits[at], spent.counts[at], spent.units[at] = text, count, units
    alone += [at for (at, _, _), text in zip(together, digits, strict=True) if not text]
    before = _tokens_of(connection, known, {row[1] for row in rows.values()})
    for at in sorted(alone):
        order = orders[at]
        try:
            if order.reference in known and order.serial in rows:
                row = rows[order.serial]
                tokens = before.get((known[order.reference], row[1]), [])
                _check_same(tokens, order, row[6])
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
    rows = _find_many(connection, serials) if order.token_type in _TIMED else []
    units = {divider: _units(order, divider) for divider in {row[6] for row in rows}}
    calm = [state for state in STATES if _stays(state, order)]
    due = [
        row
        for row in rows
        if row[10] in calm and row[2] != NO_KEY and row[5] <= row[8] - 2 and units[row[6]] is not None
    ]
    values: list[int] = [units[row[6]] for row in due]  # type: ignore[misc]
    kind = int(order.token_type)
    digits, counts = _next_of_set(keys, due, [kind] * len(due), values)
    if any(digits):
        issue = _new_issue(connection, order.reason, issued_by, utc_now())
        _record_set(
            connection,
            [
                (row[1], count, kind, value, text, issue)
                for row, count, value, text in zip(due, counts, values, digits, strict=True)
                if text
            ],
        )
    if [row[0] for row in due] != serials:
        places = {row[0]: place for place, row in enumerate(due)}
        found = [places.pop(serial, -1) for serial in serials]
        digits, counts = [*digits, ""], [*counts, 0]
        digits, counts = [digits[place] for place in found], [counts[place] for place in found]
    spent = Spent(digits, counts)
    for at, text in enumerate(spent.digits):
        if not text:
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
    [number] = connection.execute(_NEW_ISSUE, issue).inserted_primary_key or (0,)
    return int(number)


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


def _find_many(connection: Connection, serials: Iterable[str]) -> list[Any]:
    """Devices as tuples of _FOUND; on a server locked, in the order of their serials, against deadlocks."""
    wanted = [serial for serial in dict.fromkeys(serials) if serial.isprintable()]
    query = _MANY_FOUND_ON_SERVER if _on_server(connection) else _MANY_FOUND_IN_FILE
    cursor = _among(connection, query, [wanted]).cursor
    assert cursor is not None
    return list(cursor.fetchall())


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


def _run(connection: Connection, statement: str, parameters: Any) -> CursorResult[Any]:
    """A statement as the driver wants it: theirs are quicker than ours, which pass through SQLAlchemy's types."""
    if _on_server(connection):
        statement = statement.replace("%", "%%").replace("?", "%s")
    return connection.exec_driver_sql(statement, parameters)


def _sorted_out(
    orders: Sequence[Order], rows: dict[str, Any], known: dict[str, int]
) -> tuple[list[tuple[int, Any, int]], list[int]]:
    """The orders that can be carried out as a set, as place, device and units; and the places of the others."""
    together: list[tuple[int, Any, int]] = []
    alone: list[int] = []
    seen: set[str] = set()
    named = set(known)
    stays: dict[tuple[Any, ...], bool] = {}
    for at, order in enumerate(orders):
        row, reference = rows.get(order.serial), order.reference
        fits = row is not None and row[2] != NO_KEY and order.serial not in seen and row[5] <= row[8] - 2
        if reference and (reference in named or len(reference) > LONGEST_REFERENCE or not reference.isprintable()):
            fits = False
        seen.add(order.serial)
        named.add(reference)
        if row is None or not fits or (units := _units(order, row[6])) is None:
            alone.append(at)
            continue
        case = (row[10], order.token_type, order.reason, units > 0)
        if case not in stays:
            stays[case] = _stays(row[10], order)
        if stays[case]:
            together.append((at, row, units))
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


def _stays(state: str, order: Order) -> bool:
    """Whether a device in this state may have the order, and keeps its state."""
    some = Token("", 0, order.token_type, 1 if order.value or order.days else 0)
    return state != "retired" and order.reason in ISSUE_REASONS and state_after(state, some, order.reason) == state


def _next_of_set(keys: KeyBox, rows: list[Any], kinds: list[int], units: list[int]) -> tuple[list[str], list[int]]:
    """One token for each of these devices at its next count: digits and counts.

    The digits are empty where that count may not be issued (T18), or where the key cannot be read.
    """
    counts = [row[5] + 1 + (row[5] + kind) % 2 for row, kind in zip(rows, kinds, strict=True)]
    secret_keys = [row[3] if row[2] == PLAIN else _unsealed(keys, row) for row in rows]
    restricted = [bool(row[7]) for row in rows]
    digits = checked_digits(b"".join(secret_keys), [row[4] for row in rows], counts, units, restricted)
    if any(test_codes := [row[9] for row in rows]):
        digits = ["" if text == code else text for text, code in zip(digits, test_codes, strict=True)]
    if _UNREADABLE in secret_keys:
        digits = ["" if key == _UNREADABLE else text for text, key in zip(digits, secret_keys, strict=True)]
    return digits, counts


def _unsealed(keys: KeyBox, row: Any) -> bytes:
    try:
        return keys.unseal(row[0], row[2], row[3])
    except PaygoError:
        return _UNREADABLE


def _record_set(connection: Connection, tokens: list[tuple[int, int, int, int, str, int]]) -> None:
    """Records tokens as device, count, type, value, digits, issue; of each device one, which is its last now."""
    now = utc_now()
    when = now if _on_server(connection) else now.strftime("%Y-%m-%d %H:%M:%S.%f")
    for kind in sorted({one[2] for one in tokens}):
        _among(connection, _MANY_MOVED, [[one[0] for one in tokens if one[2] == kind]], kind, when)
    whole = len(tokens) - len(tokens) % _AT_ONCE
    for size, part in ((_AT_ONCE, tokens[:whole]), (len(tokens) - whole, tokens[whole:])):
        if part:
            cells = [tuple(chain.from_iterable(part[at : at + size])) for at in range(0, len(part), size)]
            _run(connection, _MANY_TOKENS + ", ".join([_ONE_OF_MANY] * size), cells)
