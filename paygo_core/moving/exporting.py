"""A fleet moves out: as the public template, as the batch generator's variant, or as JSON; with keys only if asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from paygo_core.device_list import GENERATOR_HEADER, TEMPLATE_HEADER
from paygo_core.moving.cells import Judge
from paygo_core.moving.columns import Columns
from paygo_core.moving.quarantine import csv_cells, is_formula, marked

if TYPE_CHECKING:
    from paygo_core.registry import Registry
    from paygo_core.registry.schema import DeviceRow

Form = Literal["template", "generator", "json"]
_WINDOWS = {"max_jump": 64, "max_sync_jump": 100, "older_window": 16, "max_count": 65_535}
"""What a device has of which a CSV list says nothing."""


def export_list(registry: Registry, form: Form, with_keys: bool = False) -> Iterator[tuple[bytes, Counter[str]]]:
    """The lines of a device list, by serial, each with a count of what it cannot tell ("test codes").

    with_keys: else the column of the keys is empty. Devices without a key are in no CSV list. An import takes the CSV
    lists back as they were; texts that a spreadsheet would run stand behind an apostrophe.
    """
    if form != "json":
        yield (
            csv_cells(",", *(TEMPLATE_HEADER if form == "template" else GENERATOR_HEADER)).encode() + b"\r\n",
            Counter(),
        )
    for row, key in registry.moving_out(with_keys):
        lost: Counter[str] = Counter()
        if form == "json":
            yield json.dumps(_facts(row, key), ensure_ascii=False).encode("utf-8") + b"\n", lost
        elif row.key_format == "none":
            yield b"", Counter({"devices without a key": 1})
        else:
            lost["windows"] += any(getattr(row, name) != usual for name, usual in _WINDOWS.items())
            lost["states"] += row.state != "new"
            lost["test codes"] += form == "generator" and row.test_code != ""
            yield _csv_row(row, key, form), +lost


def _csv_row(row: DeviceRow, key: bytes | None, form: Form) -> bytes:
    cells = [
        _cell("serial", row.serial),
        f"{row.starting_code:09d}",
        "" if key is None else key.hex(),
        str(row.count),
        str(row.time_divider),
        str(int(row.restricted_digit_set)),
        _cell("model", row.hardware_model),
        _cell("version", row.version),
        row.test_code,
    ]
    return csv_cells(",", *cells[: 9 if form == "template" else 8]).encode("utf-8") + b"\r\n"


@lru_cache(maxsize=1024)
def _cell(name: str, text: str) -> str:
    keeps = not text or (not is_formula(text) and Judge(Columns({})).keeps(name, text))
    return text if keeps else marked(text)


def _facts(row: DeviceRow, key: bytes | None) -> dict[str, Any]:
    takes_tokens = row.key_format != "none"
    facts: dict[str, Any] = {"serial": row.serial, "state": row.state, "takes_tokens": takes_tokens}
    if takes_tokens:
        for name in ("starting_code", "count", "time_divider", "restricted_digit_set", *_WINDOWS, "test_code"):
            facts[name] = getattr(row, name)
    if key is not None:
        facts["secret_key"] = key.hex()
    facts |= {"hardware_model": row.hardware_model, "version": row.version}
    return facts | {name: getattr(row, name).isoformat() for name in ("created_at", "updated_at")}
