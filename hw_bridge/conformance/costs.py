"""What each test of the catalogue costs: counts, the unit's time, and the real time where a clock can be advanced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hw_bridge.conformance.catalogue import Test
from hw_bridge.conformance.plan import SECONDS_PER_DAY, Model, plan
from paygo_core.tokens import DeviceConfig

_EXAMPLE = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)


def costs(tests: Sequence[Test]) -> list[dict[str, Any]]:
    """A row for each test, in its order. counts: on the example device. world_seconds: of the unit's own time."""
    rows = []
    model, group = Model.at(_EXAMPLE, 1), ""
    for test in tests:
        fresh = not (test.group and test.group == group)
        four_keys = "restricted" in test.needs
        start = Model.at(DeviceConfig(_EXAMPLE.secret_key, 123456789, restricted_digit_set=True), 1)
        planned = plan(test, start if four_keys else model, fresh)
        before = 1 if four_keys else model.count
        rows.append(
            {
                "id": test.id,
                "title": test.title,
                "rule": test.rule,
                "group": test.group,
                "official": test.official,
                "needs": list(test.needs),
                "catches": test.catches,
                "counts": planned.highest - before,
                "entries": sum(1 for move in planned.moves if move.verdict),
                "world_seconds": test.world_seconds(SECONDS_PER_DAY),
            }
        )
        if not four_keys:
            model = planned.after
        group = test.group
    return rows
