"""Why a device accepts or refuses a token, in plain words, and what to issue instead. Rules: docs/token-rules.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from paygo_core.decoding import Decoded, DecoderState, Dialect, Reason, ReferenceState, decode_token, strip_token
from paygo_core.device import Device
from paygo_core.errors import PaygoError
from paygo_core.tokens import (
    LARGEST_COUNT,
    DeviceConfig,
    TokenType,
    checked_int,
    collides,
    form_of,
    generate_token,
    write_token,
)

_NEAR = 64
"""How far from its server's count another device's token is looked for, in counts either way."""
_LIKELY = 0.005
"""Below this chance of coincidence a match tells more than the form of the entry."""
_MOST_SYNCS = 20
"""More than that nobody enters to make one token work."""
_SYNC = 999


class Verdict(str, Enum):
    """What is the matter with a token."""

    ACCEPTED = "accepted"
    USED = "used before"
    VOID = "void"
    TOO_OLD = "too old"
    OVERTAKEN = "overtaken"
    TOO_FAR = "too far ahead"
    BEYOND_LIMIT = "beyond the model's last count"
    WRITTEN_OTHERWISE = "written otherwise"
    MISTYPED = "mistyped"
    LABEL = "a starting code, not a token"
    OTHER_DEVICE = "another device's token"
    RESERVED = "reserved value"
    NOT_AN_ENTRY = "not an entry"
    NEVER_ISSUED = "never issued"
    UNKNOWN = "no token of this device"


@dataclass(frozen=True)
class Remedy:
    """A token to issue: what `generate_token(config, after, value, token_type, extended)` makes.

    after: the last count before it. value: raw units, None for unlock and sync.
    """

    token_type: TokenType
    after: int
    value: int | None = None
    extended: bool = False


@dataclass(frozen=True)
class Sighting:
    """Another device on whose chain the token lies: `count`, and how far that is from its server's last count."""

    serial: str
    count: int
    distance: int


@dataclass(frozen=True)
class DialectAnswer:
    """What a deployed decoder makes of the token; `differs` when that is not what ours does."""

    dialect: Dialect
    token_type: TokenType
    count: int | None
    accepted: bool
    differs: bool


@dataclass(frozen=True)
class Explanation:
    """Why, and what to do.

    decoded: the device's own verdict, with its state afterwards. cause, advice: sentences for people, without secrets.
    found_at: the count whose token this is, also where the device does not look; None when there is none.
    read_as: the token as the device's keypad takes it, when it was written in another way. mistake: where the typing
    mistake is, never what is right there. coincidence: the chance that a number without any meaning would have been
    explained in this way; None when nothing was searched. remedies: tokens to issue, in this order. others: nearest
    first.
    """

    verdict: Verdict
    decoded: Decoded[DecoderState]
    cause: str
    advice: str
    found_at: int | None = None
    read_as: str | None = None
    mistake: str | None = None
    coincidence: float | None = None
    remedies: tuple[Remedy, ...] = ()
    others: tuple[Sighting, ...] = ()
    dialects: tuple[DialectAnswer, ...] = ()


_PROVE = (
    "Issue nothing until the receipt is found and shows these digits: who knows the starting code, which is printed on "
    "the device, can make up such a number."
)


def explain_token(
    config: DeviceConfig,
    token: str,
    state: DecoderState,
    others: Iterable[Device] = (),
    issued_up_to: int | None = None,
) -> Explanation:
    """Why a device in `state` accepts or refuses a token.

    others: devices that the token may have been meant for; the device itself among them is passed over. issued_up_to:
    the last count that the server used, 0 … 65 535: a token above it was never issued, and nothing is to be issued for
    it. Nothing is changed. The work grows with the number of others and their counts, and is a second at most for one
    device. Raises PaygoError for what decode_token does, and for an issued_up_to out of range.
    """
    issued = LARGEST_COUNT
    if issued_up_to is not None:
        issued = checked_int("issued up to", issued_up_to, 0, LARGEST_COUNT)
    decode_token(config, token, state)  # says what is wrong with the arguments
    digits = strip_token(token)
    found = _explained(config, digits, state, tuple(others), issued)
    if found.found_at is not None and found.found_at > issued:
        found = _never_issued(found, issued)
    return replace(found, dialects=_dialects(config, digits, state, found.decoded))


def _never_issued(found: Explanation, issued: int) -> Explanation:
    never = f"The server has used no count above {issued}, so that it never issued this token"
    if found.decoded.accepted:
        return replace(found, advice=f"{found.advice} {never}: somebody else did, or the server lost its counts.")
    return replace(
        found,
        verdict=Verdict.NEVER_ISSUED,
        cause=f"{found.cause} {never}: it is made up, or another device's.",
        advice=_PROVE,
        remedies=(),
    )


def _explained(
    config: DeviceConfig, digits: str, state: DecoderState, others: tuple[Device, ...], issued: int
) -> Explanation:
    decoded = decode_token(config, digits, state)
    extended = _is_extended(config, digits)
    if decoded.accepted:
        return _accepted(config, decoded, extended)
    if decoded.token_type is TokenType.ALREADY_USED:
        return _already_used(config, state, decoded, extended)
    for reading in _readings(config, digits):
        if found := _read_otherwise(config, state, decoded, reading):
            return found
    if _on_label(config, digits, extended):
        return _label(decoded)
    # Each is a guess that a meaningless number could have caused too: the least likely coincidence tells most. A count
    # that is likely one, or that the server never used, is told only where there is nothing else.
    far = _far(config, digits, state, decoded, extended)
    doubtful = far is not None and (far.verdict is Verdict.UNKNOWN or (far.found_at or 0) > issued)
    guesses = [
        guess
        for guess in (
            None if doubtful else far,
            _mistyped(config, digits, state, decoded),
            _seen_elsewhere(config, digits, decoded, others),
        )
        if guess is not None
    ]
    if guesses:
        return min(guesses, key=lambda guess: guess.coincidence or 0.0)
    return far or _unexplained(config, digits, decoded)


def _is_extended(config: DeviceConfig, digits: str) -> bool:
    return len(digits) == (20 if config.restricted_digit_set else 12)


def _lengths(config: DeviceConfig) -> tuple[int, int]:
    return (15, 20) if config.restricted_digit_set else (9, 12)


def _kind(value: int, count: int) -> TokenType:
    """T9, T10."""
    if value == 998:
        return TokenType.DISABLE_PAYG
    if value == _SYNC:
        return TokenType.COUNTER_SYNC
    return TokenType.ADD_TIME if count % 2 == 0 else TokenType.SET_TIME


_NAMES = {
    TokenType.ADD_TIME: "an add-time token",
    TokenType.SET_TIME: "a set-time token",
    TokenType.DISABLE_PAYG: "an unlock",
    TokenType.COUNTER_SYNC: "a counter sync",
}


def _what(config: DeviceConfig, value: int, count: int, extended: bool) -> str:
    """A token with its worth: an add-time token of 7 days with count 2."""
    kind = _kind(value, count)
    worth = ""
    if kind in (TokenType.ADD_TIME, TokenType.SET_TIME):
        days = value / config.time_divider
        worth = f" with the value {value}" if extended else f" of {days:.6g} day{'' if days == 1 else 's'}"
    return f"{_NAMES[kind]}{worth} {'and' if extended and worth else 'with'} count {count}"


def _again(
    config: DeviceConfig, state: DecoderState, value: int, count: int, extended: bool
) -> tuple[tuple[Remedy, ...], str]:
    """The same token after the device's count, and what to do in words; no token when the device would not take it."""
    kind = _kind(value, count)
    timed = kind in (TokenType.ADD_TIME, TokenType.SET_TIME)
    remedy = Remedy(kind, state.count, value if timed else None, extended)
    try:
        while (made := generate_token(config, remedy.after, remedy.value, kind, extended)) and collides(
            config, made.count, made.value, extended
        ):
            remedy = replace(remedy, after=made.count)  # T18
    except PaygoError:  # T10
        return (), f"no count is left after the device's {state.count}, so that it has to be given a new key."
    if not decode_token(config, made.digits, state).accepted:  # T12
        jump = config.max_sync_jump if kind is TokenType.COUNTER_SYNC else config.max_jump
        return (), (
            f"no such token can be issued: the next one has count {made.count}, and the device at count {state.count} "
            f"looks only {jump} ahead. These windows cannot take it."
        )
    return (remedy,), (
        f"issue the same again after the device's count {remedy.after}, or after the server's if that is higher."
    )


def _accepted(config: DeviceConfig, decoded: Decoded[DecoderState], extended: bool) -> Explanation:
    value, count = decoded.value or 0, decoded.count or 0
    kind, days = decoded.token_type, (decoded.value or 0) / config.time_divider
    amount = f"{days:.6g} day{'' if days == 1 else 's'}"
    if kind is TokenType.DISABLE_PAYG:
        effect = "unlocks the device for good; older tokens stop working"
    elif kind is TokenType.COUNTER_SYNC:
        effect = f"moves the device's count to {decoded.state.count}; older tokens stop working"
    elif extended:
        effect = f"carries the manufacturer's value {value} and gives no time by itself"
    elif kind is TokenType.ADD_TIME:
        effect = f"adds {amount}"
    else:
        effect = "locks the device" if value == 0 else f"sets the time left to {amount}"
        effect += "; older tokens stop working"
    late = count < decoded.state.count
    cause = f"It is {_what(config, value, count, extended)}" + (
        f", unused and not too old for the device's count {decoded.state.count}." if late else ", new to the device."
    )
    if collides(config, count, value, extended):  # T18
        cause += " Another count gives the same digits; the device takes the lowest that it may."
    advice = f"Nothing is to be issued: it {effect}. The server's last count has to be {decoded.state.count} or more."
    return Explanation(Verdict.ACCEPTED, decoded, cause, advice, count)


def _already_used(
    config: DeviceConfig, state: DecoderState, decoded: Decoded[DecoderState], extended: bool
) -> Explanation:
    """T15."""
    value, count = decoded.value or 0, decoded.count or 0
    what = f"It is {_what(config, value, count, extended)}"
    remedies, again = _again(config, state, value, count, extended)
    sentence = again[0].upper() + again[1:]
    if decoded.reason is Reason.USED:
        verdict = Verdict.USED
        if count == state.count:
            cause = (
                f"{what}, the device's last count, which is spent: by this token, by another one with the same count, "
                "or by the provisioning."
            )
        else:
            cause = f"{what}, and the device took a token with that count before: this one, or another one."
        advice = f"If the customer has what it was worth, nothing is to be done. Otherwise {again}"
    elif decoded.reason is Reason.OLDER_THAN_SET:
        verdict = Verdict.VOID
        cause = (
            f"{what}. A set-time, unlock, sync or the provisioning at count {state.floor} made everything up to that "
            "count void, also what was never entered."
        )
        advice = sentence
    elif decoded.reason is Reason.TOO_OLD:
        verdict = Verdict.TOO_OLD
        oldest = max(state.floor, state.count - config.older_window) + 1
        cause = f"{what}. The device, at count {state.count}, takes unused add-time tokens from count {oldest} on."
        advice = f"{sentence} Tokens are best entered in the order in which they were bought."
    else:
        verdict = Verdict.OVERTAKEN
        cause = f"{what}, below the device's last count {state.count}: it works only until a later token is entered."
        advice = sentence
        if value == _SYNC:
            remedies = ()
            advice = f"No sync is needed: the device is at {state.count} already, so let the server go on from there."
    return Explanation(verdict, decoded, cause, advice, count, remedies=remedies)


@dataclass(frozen=True)
class _Reading:
    """The same digits, understood in another way."""

    config: DeviceConfig
    digits: str
    cause: str


def _readings(config: DeviceConfig, digits: str) -> Iterator[_Reading]:
    """T20, T21, T23: leading zeros lost or added, and the digit set that the device does not have."""
    if re.fullmatch("[0-9]+", digits) is None:
        return
    four = config.restricted_digit_set
    plain = replace(config, restricted_digit_set=False)
    bare = digits.lstrip("0")
    for length in (9, 12):
        causes = []
        if len(digits) != length:
            causes = ["leading zeros were lost" if len(digits) < length else "there are too many zeros in front"]
        if four:
            causes.append("it is written with the digits 0 to 9, and the keypad has 1 to 4")
        if len(bare) <= length and causes:
            yield _Reading(plain, bare.zfill(length), " and ".join(causes))
    if not four and len(digits) in (15, 20) and set(digits) <= set("1234"):
        wide = replace(config, restricted_digit_set=True)
        yield _Reading(wide, digits, "it is written for a keypad with the keys 1 to 4, and this one has 0 to 9")


def _read_otherwise(
    config: DeviceConfig, state: DecoderState, decoded: Decoded[DecoderState], reading: _Reading
) -> Explanation | None:
    as_meant = decode_token(reading.config, reading.digits, state)
    extended = _is_extended(reading.config, reading.digits)
    if as_meant.accepted:
        inner = _accepted(reading.config, as_meant, extended)
    elif as_meant.token_type is TokenType.ALREADY_USED:
        inner = _already_used(reading.config, state, as_meant, extended)
    else:
        far = _far(reading.config, reading.digits, state, as_meant, extended)
        if far is None or far.verdict is Verdict.UNKNOWN:
            return None
        inner = far
    read_as = _rewritten(config, reading)
    cause = f"The device cannot take it as it is: {reading.cause}. {inner.cause}"
    advice = inner.advice
    if as_meant.accepted:
        advice = f"Nothing new is to be issued: the device takes it as {read_as}, with all these digits."
    return replace(
        inner,
        verdict=Verdict.WRITTEN_OTHERWISE,
        decoded=decoded,
        cause=cause,
        advice=advice,
        read_as=read_as,
    )


def _number(config: DeviceConfig, digits: str) -> int:
    if not config.restricted_digit_set:
        return int(digits)
    number = 0
    for digit in digits:
        number = number << 2 | int(digit) - 1
    return number


def _rewritten(config: DeviceConfig, reading: _Reading) -> str:
    """The token in the device's own digits."""
    form = form_of(_is_extended(reading.config, reading.digits))
    return write_token(config, form, _number(reading.config, reading.digits))


def _alphabet(config: DeviceConfig) -> str:
    return "1234" if config.restricted_digit_set else "0123456789"


def _on_label(config: DeviceConfig, digits: str, extended: bool) -> bool:
    """T6: whether this is the starting code with any base."""
    if len(digits) not in _lengths(config) or not set(digits) <= set(_alphabet(config)):
        return False
    modulus = 1_000_000 if extended else 1_000
    return _number(config, digits) // modulus == config.starting_code // modulus


def _label(decoded: Decoded[DecoderState]) -> Explanation:
    cause = "It is the device's starting code, at most with other last digits. That is printed, and never a token."
    return Explanation(Verdict.LABEL, decoded, cause, "Enter the digits of the token, not those of the label.", 0)


def _by_chance(tries: float) -> float:
    """The chance that a number of no meaning matches one of so many counts.

    Its leading digits are one of 10^6, and of those that T2 makes twice as likely if who made it up knows the rules.
    """
    return float(1 - (1 - 2e-6) ** tries)


def _far(
    config: DeviceConfig, digits: str, state: DecoderState, decoded: Decoded[DecoderState], extended: bool
) -> Explanation | None:
    """T12: the token beyond the windows, up to the last count that there is."""
    wide = replace(config, max_jump=LARGEST_COUNT, max_sync_jump=LARGEST_COUNT, max_count=LARGEST_COUNT)
    found = decode_token(wide, digits, state)
    if not found.accepted or found.count is None or found.value is None:
        return None
    count, value = found.count, found.value
    jump = config.max_sync_jump if value == _SYNC else config.max_jump
    last = min(state.count + jump, config.max_count)
    coincidence = _by_chance(count - last)
    if coincidence > _LIKELY:
        cause = (
            f"Read for this device it would be {_what(config, value, count, extended)}; the device is at count "
            f"{state.count} and looks no further than {last}. But a number of no meaning is found there or nearer with "
            f"the chance {coincidence:.2g}: this proves nothing."
        )
        return Explanation(Verdict.UNKNOWN, decoded, cause, _PROVE, count, coincidence=coincidence)
    doubt = (
        f" (The chance that a number of no meaning is found there or nearer is {coincidence:.2g}.)"
        if coincidence > 0.001
        else ""
    )
    what = f"It is {_what(config, value, count, extended)}"
    if count > config.max_count:
        remedies, again = _again(config, state, value, count, extended)
        return Explanation(
            Verdict.BEYOND_LIMIT,
            decoded,
            f"{what}, above {config.max_count}, the last count of the device's model.{doubt}",
            f"The server must not go beyond that count. For this device {again}",
            count,
            coincidence=coincidence,
            remedies=remedies,
        )
    cause = f"{what}. The device is at count {state.count} and looks no further than {last}.{doubt}"
    too_many = count - last > _MOST_SYNCS * config.max_sync_jump
    syncs = () if too_many else syncs_to_reach(config, state.count, count, jump)
    if not syncs:
        why = f"It takes more than {_MOST_SYNCS} counter syncs" if too_many else "No counter sync"
        remedies, again = _again(config, state, value, count, extended)
        advice = f"{why}{'' if too_many else ' reaches it'}: {again}"
    else:
        shown = ", ".join(str(sync) for sync in syncs[:4]) + (", …" if len(syncs) > 4 else "")
        many = f"{len(syncs)} counter syncs, at the odd counts {shown}, in this order"
        advice = (
            f"The device first needs {f'a counter sync at the odd count {shown}' if len(syncs) == 1 else many}; then "
            f"this token works. Unused tokens with counts up to {syncs[-1]} become void."
        )
        remedies = tuple(Remedy(TokenType.COUNTER_SYNC, sync - 1) for sync in syncs)
    return Explanation(Verdict.TOO_FAR, decoded, cause, advice, count, coincidence=coincidence, remedies=remedies)


def syncs_to_reach(config: DeviceConfig, device_count: int, count: int, jump: int | None = None) -> tuple[int, ...]:
    """The odd counts of the syncs after which a device at `device_count` looks as far as `count`, and not beyond it.

    The last one is the lowest that does, so that as few unused tokens as possible become void (T12, T17); those before
    it go as far as the device takes a sync, as the rule for a server that is behind does (T19). No sync is put where
    another count gives the same digits (T18). jump: how far above its count the device looks; else config.max_jump.
    Empty when no sync is needed, or none can do it.
    """
    reach = config.max_jump if jump is None else jump
    at, syncs = device_count, []
    while at + reach < count:
        furthest = min(at + config.max_sync_jump, config.max_count, count - 1)
        nearest = max(count - reach, at + 1)
        order = range(nearest, furthest + 1) if nearest <= furthest else range(furthest, at, -1)
        chosen = next((n for n in order if n % 2 == 1 and not collides(config, n, _SYNC)), None)
        if chosen is None:
            return ()
        syncs.append(at := chosen)
    return tuple(syncs)


def _edits(config: DeviceConfig, digits: str) -> Iterator[tuple[str, str]]:
    """What else may have been meant: one digit wrong, two swapped, one too many or one missing, and where."""
    alphabet, lengths = _alphabet(config), _lengths(config)
    if not set(digits) <= set("0123456789"):
        return
    if len(digits) in lengths:
        for at, digit in enumerate(digits):
            for other in alphabet:
                if other != digit:
                    yield f"digit {at + 1} is wrong", digits[:at] + other + digits[at + 1 :]
        for at in range(len(digits) - 1):
            if digits[at] != digits[at + 1]:
                swapped = digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]
                yield f"digits {at + 1} and {at + 2} are swapped", swapped
    if len(digits) - 1 in lengths:
        for at in range(len(digits)):
            yield f"digit {at + 1} is one too many", digits[:at] + digits[at + 1 :]
    if len(digits) + 1 in lengths:
        for at in range(len(digits) + 1):
            for other in alphabet:
                yield f"a digit is missing before digit {at + 1}", digits[:at] + other + digits[at:]


def _mistyped(
    config: DeviceConfig, digits: str, state: DecoderState, decoded: Decoded[DecoderState]
) -> Explanation | None:
    """One typing mistake away from an accepted token. The right digits are not told: who asks may be guessing."""
    tried, where = 0, None
    for mistake, meant in _edits(config, digits):
        if not set(meant) <= set(_alphabet(config)):
            continue
        tried += 1
        if where is None and decode_token(config, meant, state).accepted:
            where = mistake
    if where is None:
        return None
    cause = f"Probably {where}: but for that mistake it is a token that the device accepts."
    advice = "Have the customer read the digits out again, and enter them once more. Nothing new is to be issued."
    coincidence = _by_chance(tried * (config.max_jump + config.older_window // 2))
    return Explanation(Verdict.MISTYPED, decoded, cause, advice, mistake=where, coincidence=coincidence)


def _seen_elsewhere(
    config: DeviceConfig, digits: str, decoded: Decoded[DecoderState], others: tuple[Device, ...]
) -> Explanation | None:
    sightings = []
    looked = 0
    for other in others:
        if (other.config.secret_key, other.config.starting_code) == (config.secret_key, config.starting_code):
            continue
        looked += 1
        wide = replace(other.config, max_jump=2 * _NEAR, max_sync_jump=2 * _NEAR)
        found = decode_token(wide, digits, DecoderState(max(0, other.count - _NEAR), 0))
        if found.accepted and found.count is not None:
            sightings.append(Sighting(other.serial, found.count, found.count - other.count))
    if not sightings:
        return None
    sightings.sort(key=lambda sighting: (abs(sighting.distance), sighting.serial))
    coincidence = _by_chance(looked * 2 * _NEAR)
    names = ", ".join(f"{seen.serial} (at count {seen.count})" for seen in sightings[:5])
    more = f" and {len(sightings) - 5} more" if len(sightings) > 5 else ""
    chance = f" The chance that a number of no meaning fits one of {looked} devices is {coincidence:.2g}."
    return Explanation(
        Verdict.OTHER_DEVICE,
        decoded,
        f"It is no token of this device. It is one of {names}{more}, near the last count of its server.{chance}",
        "Compare the serial on the receipt with the one on the device; issue a token for the right one if it was paid.",
        coincidence=coincidence,
        others=tuple(sightings),
    )


def _unexplained(config: DeviceConfig, digits: str, decoded: Decoded[DecoderState]) -> Explanation:
    short, long = _lengths(config)
    form = f"a token of this device has {short} digits{' of 1 to 4' if config.restricted_digit_set else ''}"
    check = "Compare serial and digits with the receipt"
    if digits and re.fullmatch("[0-9]*", digits) is None:
        cause = f"It has characters that are not digits; {form}. A device does not even look at it."
        return Explanation(Verdict.NOT_AN_ENTRY, decoded, cause, f"{check}, and enter the digits alone.")
    if decoded.reason is Reason.LENGTH:
        cause = f"It has {len(digits)} digits; {form}, or {long} if it is extended. A device does not even look at it."
        return Explanation(Verdict.NOT_AN_ENTRY, decoded, cause, f"{check}, and enter all of them.")
    if decoded.reason is Reason.DIGITS:
        cause = f"It has digits that the device's keypad does not; {form}. A device does not even look at it."
        return Explanation(Verdict.NOT_AN_ENTRY, decoded, cause, f"{check}, and issue tokens in its digit set.")
    if decoded.reason is Reason.RESERVED:
        cause = "Read for this device it has one of the values 996 and 997, which no server issues."
        advice = f"{check}: its last digits are wrong, or it is another device's."
        return Explanation(Verdict.RESERVED, decoded, cause, advice)
    if decoded.reason is Reason.RANGE:
        cause = "It stands for a number that is larger than any token."
        return Explanation(Verdict.UNKNOWN, decoded, cause, f"{check}: a digit is wrong.")
    cause = (
        f"No count from 1 to {LARGEST_COUNT} gives it: it was made for another device, with another key or starting "
        "code, or is mistyped in more than one place."
    )
    advice = f"{check}; look among the other devices too. If both are right, the key or the starting code is not."
    return Explanation(Verdict.UNKNOWN, decoded, cause, advice)


def reference_state(state: DecoderState) -> ReferenceState:
    """What a deployed unit with this history remembers at best: its mask loses bits when it moves, this one none."""
    mask = 0
    for back in range(16):
        count = state.count - 1 - back
        if count in state.used_counts or 0 < count <= state.floor:
            mask |= 1 << back
    return ReferenceState(state.count, mask)


def _dialects(
    config: DeviceConfig, digits: str, state: DecoderState, ours: Decoded[DecoderState]
) -> tuple[DialectAnswer, ...]:
    """Deployed decoders know standard tokens only."""
    if _is_extended(config, digits):
        return ()
    answers = []
    for dialect in (Dialect.REFERENCE_C, Dialect.REFERENCE_C_16):
        theirs = decode_token(config, digits, reference_state(state), dialect)
        same = theirs.token_type is ours.token_type and (not ours.accepted or theirs.count == ours.count)
        answers.append(DialectAnswer(dialect, theirs.token_type, theirs.count, theirs.accepted, not same))
    return tuple(answers)
