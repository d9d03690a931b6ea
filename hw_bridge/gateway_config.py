"""gateway.toml: which units a gateway runs, and where their readings and alerts go. docs/bridge.md has an example."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paygo_core.errors import PaygoError
from paygo_core.http_post import checked_host
from paygo_core.toml import TOMLDecodeError, loads

_Kinds = tuple[type, ...]
_TEXT: _Kinds = (str,)
_NUMBER: _Kinds = (int, float)
_WHOLE: _Kinds = (int,)
_FLAG: _Kinds = (bool,)
_KIND_WORDS = {_TEXT: "a text", _NUMBER: "a number", _WHOLE: "a whole number", _FLAG: "true or false"}

_GATEWAY = {
    "name": _TEXT,
    "registry": _TEXT,
    "registry_key_file": _TEXT,
    "passphrase_file": _TEXT,
    "spool": _TEXT,
    "spool_megabytes": _NUMBER,
    "interval": _NUMBER,
}
_PORT = {"driver": _TEXT, "baud": _WHOLE, "interval": _NUMBER}
_UNIT = {"port": _TEXT, "serial": _TEXT, "payg": _FLAG, **_PORT}
_HOTPLUG = {"ports": _TEXT, **_PORT}
_WEBHOOK = {"url": _TEXT, "secret_file": _TEXT}
_SINKS: dict[str, dict[str, _Kinds]] = {
    "jsonl": {"path": _TEXT},
    "sqlite": {"path": _TEXT},
    "mqtt": {
        "host": _TEXT,
        "port": _WHOLE,
        "username": _TEXT,
        "password_file": _TEXT,
        "tls": _FLAG,
        "home_assistant": _FLAG,
        "commands": _FLAG,
    },
    "metrics": {"url": _TEXT, "every": _NUMBER, "condensed": _FLAG, "format_id": _WHOLE},
    "prometheus": {"host": _TEXT, "port": _WHOLE},
}
_NEEDED = {"jsonl": ("path",), "sqlite": ("path",), "mqtt": ("host",), "metrics": ("url",), "prometheus": ("port",)}


@dataclass(frozen=True)
class UnitConfig:
    """A unit on a port.

    baud: None for what is usual for its driver. serial: what it has to be, None for whatever is there. interval:
    seconds between readings. payg: it is a charger that knows no tokens, for which the bridge does (serial says as
    which device).
    """

    port: str
    driver: str = "hdk"
    baud: int | None = None
    interval: float = 60.0
    serial: str | None = None
    payg: bool = False


@dataclass(frozen=True)
class GatewayConfig:
    """What gateway.toml says; paths are made absolute by its directory.

    registry_key_file, passphrase_file: what opens the registry's keys, unless the command or its environment says so.
    hotplug: patterns of ports, each with what a unit found there is. sinks: by name, each with its `kind` and options.
    webhooks: by name, each with `url` and perhaps `secret_file`.
    """

    name: str
    registry: str
    spool: Path
    spool_bytes: int
    units: tuple[UnitConfig, ...]
    hotplug: tuple[UnitConfig, ...]
    sinks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    webhooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    registry_key_file: str | None = None
    passphrase_file: str | None = None

    @property
    def needs_keys(self) -> bool:
        """Whether anything here needs the keys of devices."""
        return any(unit.payg for unit in self.units) or any(sink["kind"] == "metrics" for sink in self.sinks.values())


def read_config(path: Path) -> GatewayConfig:
    """The configuration in a file. Raises PaygoError, which says where it is wrong and what would be right."""
    try:
        said = loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, TOMLDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise PaygoError(f"{path}: {why}", "a gateway is described in a TOML file, see docs/bridge.md") from None
    here = path.absolute().parent
    _check(
        path,
        "the file",
        said,
        {"gateway": (dict,), "unit": (list,), "hotplug": (list,), "sink": (dict,), "webhook": (dict,)},
    )
    about = said.get("gateway", {})
    _check(path, "[gateway]", about, _GATEWAY)
    interval = _positive(path, "[gateway] interval", about.get("interval", 60.0))
    units = [_unit(path, "[[unit]]", table, _UNIT, "port", interval) for table in said.get("unit", ())]
    hotplug = [_unit(path, "[[hotplug]]", table, _HOTPLUG, "ports", interval) for table in said.get("hotplug", ())]
    if not units and not hotplug:
        raise PaygoError(f"{path}: no unit is named", 'add [[unit]] with port = "/dev/ttyUSB0", or [[hotplug]]')
    ports = [unit.port for unit in units]
    if len(set(ports)) < len(ports):
        raise PaygoError(f"{path}: a port is named twice", "each [[unit]] has a port of its own")
    files = _absolute(here, about)
    return GatewayConfig(
        name=about.get("name", socket.gethostname()),
        registry=_place(here, about.get("registry", "paygo.db")),
        registry_key_file=files.get("registry_key_file"),
        passphrase_file=files.get("passphrase_file"),
        spool=here / about.get("spool", "spool"),
        spool_bytes=round(_positive(path, "[gateway] spool_megabytes", about.get("spool_megabytes", 256)) * 2**20),
        units=tuple(units),
        hotplug=tuple(hotplug),
        sinks={name: _sink(path, here, name, table) for name, table in said.get("sink", {}).items()},
        webhooks={name: _webhook(path, here, name, table) for name, table in said.get("webhook", {}).items()},
    )


def _unit(path: Path, where: str, table: Any, names: dict[str, _Kinds], port: str, interval: float) -> UnitConfig:
    _check(path, where, table, names)
    if port not in table:
        raise PaygoError(f"{path}: {where} has no {port}", f'write {port} = "/dev/ttyUSB0"')
    if table.get("payg") and "serial" not in table:
        raise PaygoError(f"{path}: {where} has payg and no serial", "name the device of the registry that it is run as")
    return UnitConfig(
        port=table[port],
        driver=table.get("driver", "hdk"),
        baud=table.get("baud"),
        interval=_positive(path, f"{where} interval", table.get("interval", interval)),
        serial=table.get("serial"),
        payg=table.get("payg", False),
    )


def _sink(path: Path, here: Path, name: str, table: Any) -> dict[str, Any]:
    where = f"[sink.{name}]"
    kind = table.get("kind") if isinstance(table, dict) else None
    if kind not in _SINKS:
        raise PaygoError(f"{path}: {where} has no kind that there is", f"kinds are {', '.join(_SINKS)}")
    _check(path, where, table, {"kind": _TEXT, **_SINKS[kind]})
    for needed in _NEEDED[kind]:
        if needed not in table:
            raise PaygoError(f"{path}: {where} has no {needed}", f"a {kind} sink needs it")
    if not table.get("host", "localhost").strip():
        raise PaygoError(f"{path}: {where} host is empty", 'write host = "localhost", or another name or address')
    if not 0 <= table.get("port", 0) <= 65_535:
        raise PaygoError(f"{path}: {where} port is {table['port']}", "it is a number up to 65535")
    if "url" in table:
        _checked_url(path, where, table["url"])
    return _absolute(here, table)


def _webhook(path: Path, here: Path, name: str, table: Any) -> dict[str, Any]:
    _check(path, f"[webhook.{name}]", table, _WEBHOOK)
    if "url" not in table:
        raise PaygoError(f"{path}: [webhook.{name}] has no url", 'write url = "https://…"')
    _checked_url(path, f"[webhook.{name}]", table["url"])
    return _absolute(here, table)


def _checked_url(path: Path, where: str, url: str) -> None:
    try:
        checked_host(url)
    except PaygoError as problem:
        raise PaygoError(f"{path}: {where} url: {problem.cause}", problem.hint) from None


def _absolute(here: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    files = ("path", "secret_file", "password_file", "registry_key_file", "passphrase_file")
    return {name: str(here / value) if name in files else value for name, value in table.items()}


def _place(here: Path, registry: str) -> str:
    return registry if "://" in registry else str(here / registry)


def _positive(path: Path, where: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise PaygoError(f"{path}: {where} is {value}", "it is a number above 0")
    return value


def _check(path: Path, where: str, table: Any, names: Mapping[str, _Kinds]) -> None:
    if not isinstance(table, dict):
        raise PaygoError(f"{path}: {where} is no table", "see docs/bridge.md for an example")
    for name, value in table.items():
        if name not in names:
            raise PaygoError(f"{path}: {where} has {name!r}, which is not known", f"known are {', '.join(names)}")
        kinds = names[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise PaygoError(f"{path}: {where} {name} is wrong", f"it is {_KIND_WORDS.get(kinds, 'a table')}")
