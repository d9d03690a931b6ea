"""Makes docs/api.md from the docstrings of what users import, without importing it (make api)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
WIDTH = 120

PUBLIC: dict[str, tuple[str, ...]] = {
    "paygo_core": (),
    "paygo_core.tokens": ("collides", "sync_count", "token_at"),
    "paygo_core.device": ("Device",),
    "paygo_core.registry": (),
    "paygo_core.moving": (),
    "paygo_core.order_list": ("carry_out_list", "Given", "Done"),
    "paygo_core.labels": ("Label", "Size", "svg", "pdf"),
    "paygo_core.compat": (),
    "paygo_core.errors": ("Problem", "DeviceError", "PortError", "NoAnswerError"),
    "paygo_core.wire.hdk": ("Alert",),
    "paygo_core.telemetry": ("Telemetry",),
    "paygo_core.wire.vedirect": (
        "VeDirectReader",
        "Block",
        "HexMessage",
        "Damaged",
        "telemetry",
        "alerts",
        "encode_hex",
        "encode_get",
        "encode_set",
    ),
    "hw_bridge.transport": ("Transport",),
    "hw_bridge.drivers": (
        "Identifies",
        "Provisions",
        "TakesTokens",
        "TellsStatus",
        "SwitchesLoad",
        "Measures",
        "HasAlerts",
        "TellsEvents",
        "UnitDriver",
        "Entry",
        "UnitStatus",
        "Info",
        "Load",
        "ActiveAlert",
        "capabilities",
        "identify",
        "require",
        "driver_names",
        "load_driver",
        "usual_baud",
    ),
    "hw_bridge.drivers.hdk": ("HdkDriver",),
    "hw_bridge.drivers.vedirect": ("VeDirectDriver",),
    "hw_bridge.drivers.testing": ("Line",),
    "hw_bridge.actions": ("ActionStore", "Action"),
    "hw_bridge.simulated": ("simulated_unit", "RunningUnit", "ControlClient"),
    "firmware_sim.control_unit": ("ControlUnit",),
    "firmware_sim.unit": ("SimulatedUnit",),
    "firmware_sim.mcu.unit": ("EmulatedUnit",),
    "firmware_sim.mcu.build": ("starter",),
    "firmware_sim.vedirect": ("VeDirectCharger",),
    "firmware_sim.storage": ("Storage",),
    "firmware_sim.sabotage": ("Sabotage",),
    "firmware_sim.plant.home": ("SolarHome", "Measured"),
    "firmware_sim.plant.battery": ("Battery", "Cells"),
    "firmware_sim.plant.battery_sheets": ("BatterySheet", "BATTERIES", "battery_sheet"),
    "firmware_sim.plant.panel": ("Panel",),
    "firmware_sim.plant.catalogue": ("Kit", "KITS", "PANELS", "kit"),
    "firmware_sim.plant.loads": (
        "Household",
        "Appliance",
        "Use",
        "Archetype",
        "APPLIANCES",
        "ARCHETYPES",
        "household",
        "Homes",
        "demand",
        "peaks",
    ),
    "firmware_sim.report.reading": ("open_fleet", "Fleet"),
    "firmware_sim.report.numbers": ("summarize", "Summary"),
    "firmware_sim.report.estimates": ("Rate", "Curve", "rate", "ratio", "failed_by"),
    "firmware_sim.plant.sites": ("Site", "Climate", "SITES", "site"),
    "firmware_sim.plant.weather": ("Weather", "synthetic", "at_site"),
    "firmware_sim.plant.weather_csv": ("from_csv",),
    "firmware_sim.plant.weather_pvlib": ("clear_sky", "from_tmy"),
}
"""The modules to import from, and the names; none named: what the module exports."""

INTRODUCTION = """# API

What to import in Python, from where, and what it does. It is made of the docstrings by `make api`; change them, not
it. Rules (T1 …) are in [token-rules.md](token-rules.md), those of the console (H1 …) in [hdk-plus.md](hdk-plus.md). A
`PaygoError` is a `ValueError` that says what was wrong and what would be right; all errors are under
[`paygo_core.errors`](#paygo_coreerrors).
"""


HIDDEN = "for this package alone"
"""In the docstring of what a class has for its own package."""


class Undocumented(Exception):
    """A public name without a docstring."""


def page() -> str:
    """docs/api.md as it has to be. Raises Undocumented."""
    lines = [INTRODUCTION]
    shown: dict[str, str] = {}
    for path, names in PUBLIC.items():
        module = _load(path)
        lines.append(f"## `{path}`\n\n{_words(module)}\n")
        for name in names or _exported(module):
            found = _resolved(module.members[name])
            if found.path in shown:
                lines.append(f"### `{name}`\n\nThat of `{shown[found.path]}`.\n")
                continue
            shown[found.path] = path
            lines += _shown(name, found)
    return "\n".join(lines).rstrip("\n") + "\n"


def _load(path: str) -> Any:
    package, *below = path.split(".")
    module = _packages.get(package)
    if module is None:
        module = _packages[package] = griffe.load(package, search_paths=[ROOT], allow_inspection=False)
    for name in below:
        module = module.members[name]
    return module


_packages: dict[str, Any] = {}


def _exported(module: Any) -> list[str]:
    assert module.exports, module.path
    return sorted((str(name) for name in module.exports), key=lambda name: (name.startswith("_"), name.lower()))


def _code(written: object) -> str:
    """An expression with double quotes, as our formatter has them."""
    return str(written).replace("'", '"')


def _resolved(found: Any) -> Any:
    return found.final_target if found.is_alias else found


def _words(found: Any) -> str:
    if found.docstring is None:
        raise Undocumented(found.path)
    return str(found.docstring.value).strip()


def _shown(name: str, found: Any) -> Iterator[str]:
    """A name with its heading; a class with what it has."""
    if found.is_attribute:
        yield f"### `{name}`\n\n```python\n{found.source}\n```\n\n{_words(found)}\n"
        return
    signature = f"class {name}({_bases(found)})" if _is_enum(found) or _is_protocol(found) else _signature(name, found)
    decorated = "".join(f"@{decorator.value}\n" for decorator in found.decorators if found.is_function)
    yield f"### `{name}`\n\n```python\n{decorated}{signature}\n```\n\n{_words(found)}\n"
    if found.is_class:
        members = [line for member in found.members.values() for line in _member(found, member)]
        if members:
            yield "\n".join(members) + "\n"


def _bases(found: Any) -> str:
    return ", ".join(map(str, found.bases))


def _is_enum(found: Any) -> bool:
    return bool(found.is_class) and "Enum" in _bases(found)


def _is_protocol(found: Any) -> bool:
    return bool(found.is_class) and _bases(found) == "Protocol"


def _member(owner: Any, member: Any) -> Iterator[str]:
    """A line for a public method, property, or value of an enumeration. Fields are told by their class's docstring."""
    name = member.name
    if name.startswith("_") or member.is_alias or (member.docstring and HIDDEN in _flat(member).lower()):
        return
    if member.is_attribute and "property" not in member.labels:
        words = f": {_flat(member)}" if member.docstring is not None else ""
        if _is_enum(owner):
            yield f"- `{name}` = `{_code(member.value)}`{words}"
        elif words and not member.labels & {"dataclass", "init"}:
            yield f"- `{name}`: {_flat(member)}"
    elif member.is_attribute:
        yield f"- `{name}` → `{member.annotation}`: {_flat(member)}"
    elif member.is_function:
        yield f"- `{_signature(name, member, bound=True)}`: {_flat(member)}"


def _flat(found: Any) -> str:
    """The docstring as one item of a list."""
    return "\n  ".join(line.strip() for line in _words(found).splitlines() if line.strip())


def _parameters(found: Any) -> list[Any]:
    return [parameter for parameter in found.parameters if parameter.name != "self"]


def _signature(name: str, found: Any, bound: bool = False) -> str:
    parameters = _parameters(found)
    if bound and "classmethod" in found.labels:
        parameters = parameters[1:]
    written, keyword_only = [], False
    for parameter in parameters:
        kind = str(parameter.kind.value)
        if kind == "keyword-only" and not keyword_only:
            keyword_only = True
            written.append("*")
        keyword_only |= kind.startswith("variadic pos")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        text = stars + parameter.name
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not stars:
            text += f" = {parameter.default}" if parameter.annotation is not None else f"={parameter.default}"
        written.append(_code(text))
    returns = f" -> {found.returns}" if found.is_function and found.returns is not None else ""
    line = f"{name}({', '.join(written)}){_code(returns)}"
    if bound or len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {text},\n" for text in written) + f"){_code(returns)}"


def main() -> None:
    """Writes the page."""
    try:
        PAGE.write_text(page(), "utf-8")
    except Undocumented as missing:
        sys.exit(f"{missing} has no docstring")


if __name__ == "__main__":
    main()
