"""OpenPAYGO Metrics as a device speaks it to a server: requests, simple or condensed, and what responses say.

What authenticates is two letters, which say over what, and a SipHash-2-4 in lower-case hexadecimal without leading
zeros. A response is authenticated over all it says (`da`).
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paygo_core._native import ffi, lib
from paygo_core.errors import DeviceError

LARGEST_RESPONSE = 65_536
"""Bytes."""

AUTH_METHODS = {
    "sa": "the serial number",
    "ta": "serial number and timestamp",
    "ca": "serial number and request count",
    "da": "all data",
    "ra": "all data, one part after the other",
}
"""Over what a request may be authenticated. The last needs the least memory for much data."""

_CONDENSED = {
    "serial_number": "sn",
    "timestamp": "ts",
    "data_collection_timestamp": "dct",
    "request_count": "rc",
    "data_format": "dfo",
    "data_format_id": "df",
    "data": "d",
    "historical_data": "hd",
    "auth": "a",
}
_SIMPLE = {
    "a": "auth",
    "sn": "serial_number",
    "tkl": "token_list",
    "auts": "active_until_timestamp",
    "asl": "active_seconds_left",
    "st": "settings",
    "ed": "extra_data",
}
_TOKEN = re.compile("[0-9]{9}|[0-9]{12}|[0-9]{15}|[0-9]{20}")


@dataclass(frozen=True)
class DataFormat:
    """The order of values in a condensed request. format_id: how the server knows it; None sends it along."""

    data_order: tuple[str, ...]
    historical_data_order: tuple[str, ...]
    format_id: int | None = None


@dataclass(frozen=True)
class MetricsResponse:
    """What a server says. tokens: digits, with leading zeros. settings, extra: as they came."""

    tokens: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def encode_request(
    serial: str,
    key: bytes | None,
    *,
    timestamp: int,
    request_count: int,
    collected_at: int,
    data: Mapping[str, Any],
    historical: Sequence[Mapping[str, Any]] = (),
    data_format: DataFormat | None = None,
    auth: str = "ra",
) -> bytes:
    """A request, condensed when there is a data format.

    key: 16 bytes, None for a request without authentication. auth: one of AUTH_METHODS. timestamp and request_count:
    above 0, and above those of the last request. collected_at: when `data` was measured, seconds since 1970.
    historical: earlier readings, oldest first, each with its `timestamp`. Values without a place in the data format are
    left out.
    """
    request: dict[str, Any] = {"serial_number": serial}
    if data_format is not None:
        if data_format.format_id is not None:
            request["data_format_id"] = data_format.format_id
        else:
            orders = {"data_order": data_format.data_order, "historical_data_order": data_format.historical_data_order}
            request["data_format"] = orders
    request |= {"timestamp": timestamp, "request_count": request_count, "data_collection_timestamp": collected_at}
    request["data"] = dict(data) if data_format is None else _ordered(data, data_format.data_order)
    if historical:
        order = data_format.historical_data_order if data_format is not None else None
        request["historical_data"] = [dict(step) if order is None else _ordered(step, order) for step in historical]
    if key is not None:
        request["auth"] = auth + _signature(key, auth, request)
    if data_format is not None:
        request = {_CONDENSED[name]: value for name, value in request.items()}
    return _json(request).encode()


def _signature(key: bytes, auth: str, request: Mapping[str, Any]) -> str:
    serial, timestamp, count = (str(request[name]) for name in ("serial_number", "timestamp", "request_count"))
    data, historical = request["data"], request.get("historical_data", [])
    if auth == "ra":
        chain = ""
        for part in (serial, timestamp, count, *(_json(each) for each in (data, *historical))):
            chain = _hash(key, chain + part)
        return chain
    covered = {"sa": serial, "ta": serial + timestamp, "ca": serial + count}
    covered["da"] = serial + timestamp + count + "".join(_json(each) for each in (data, historical) if each)
    return _hash(key, covered[auth])


def decode_response(
    body: bytes, serial: str, key: bytes | None, *, timestamp: int, request_count: int
) -> MetricsResponse:
    """What the response to that request says. An empty one says nothing.

    key: the response has to be authenticated with it, unless it is None. Raises DeviceError for anything else.
    """
    if not body.strip():
        return MetricsResponse()
    if len(body) > LARGEST_RESPONSE:
        raise DeviceError(f"the server's response has more than {LARGEST_RESPONSE} bytes")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise DeviceError("the server's response is not JSON", "is this the address of a Metrics server?") from None
    if not isinstance(said, dict):
        raise DeviceError("the server's response is not an object", "is this the address of a Metrics server?")
    said = {_SIMPLE.get(name, name): value for name, value in said.items()}
    if key is not None and not _is_authentic(said, serial, key, timestamp, request_count):
        raise DeviceError("the server's response is not authenticated for this device", "nothing of it was used")
    tokens, settings, extra = (said.get(name) for name in ("token_list", "settings", "extra_data"))
    if not isinstance(tokens or [], list) or not isinstance(settings or {}, dict) or not isinstance(extra or {}, dict):
        raise DeviceError("the server's response has a token list, settings or extra data of a wrong kind")
    return MetricsResponse(tuple(_token(token) for token in tokens or ()), settings or {}, extra or {})


def _is_authentic(said: Mapping[str, Any], serial: str, key: bytes, timestamp: int, request_count: int) -> bool:
    text = f"{serial}{timestamp}{request_count}"
    for name in ("active_until_timestamp", "active_seconds_left"):
        if said.get(name):
            text += str(said[name])
    for name in ("token_list", "settings", "extra_data"):
        if said.get(name):
            text += _json(said[name])
    auth = said.get("auth")
    return isinstance(auth, str) and auth.isascii() and hmac.compare_digest(auth, f"da{_hash(key, text)}")


def _token(said: Any) -> str:
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 10**20:
        digits = str(said)
        said = digits.zfill(next(length for length in (9, 12, 15, 20) if len(digits) <= length))
    if isinstance(said, str) and _TOKEN.fullmatch(said):
        return said
    raise DeviceError("the server's response has a token of a wrong form", "a token is 9, 12, 15 or 20 digits")


def _ordered(values: Mapping[str, Any], order: Sequence[str]) -> list[Any]:
    found = [values.get(name) for name in order]
    while found and found[-1] is None:
        found.pop()
    return found


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _hash(key: bytes, text: str) -> str:
    loaded = ffi.new("paygo_key *")
    lib.paygo_key_load(loaded, key)
    message = text.encode("utf-8", "replace")  # JSON can say halves of characters
    return f"{lib.paygo_siphash24(loaded, message, len(message)):x}"
