"""The pytest plugin: fixtures for a unit on a port, a simulated unit, and a server that issues its tokens.

    def test_my_thing(paygo_unit):
        paygo_unit.enter(paygo_unit.server.add(days=7))
        assert paygo_unit.driver.status().state == "active"

Without --paygo-port and --paygo-rig the unit is a simulated one. A real unit's counts are the registry's.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hw_bridge.conformance.hands import Hands
    from hw_bridge.drivers import Entry
    from paygo_core.device import Device
    from paygo_core.registry import Registry
    from paygo_core.tokens import Token, TokenType

NEEDS = ("clock", "keypad", "plant", "power", "telemetry", "events")


class PaygoServer:
    """Issues tokens for one device, each at the next count. The registry, where there is one, has the count first."""

    def __init__(self, device: Device, registry: Registry | None = None) -> None:
        self.device = device
        self._registry = registry

    def add(self, days: float | None = None, *, units: int | None = None) -> Token:
        """An ADD_TIME."""
        from paygo_core.tokens import TokenType

        return self._issue(TokenType.ADD_TIME, days=days, value=units)

    def set(self, days: float | None = None, *, units: int | None = None) -> Token:
        """A SET_TIME."""
        from paygo_core.tokens import TokenType

        return self._issue(TokenType.SET_TIME, days=days, value=units)

    def unlock(self) -> Token:
        """A DISABLE_PAYG."""
        from paygo_core.tokens import TokenType

        return self._issue(TokenType.DISABLE_PAYG)

    def sync(self) -> Token:
        """A COUNTER_SYNC."""
        from paygo_core.tokens import TokenType

        return self._issue(TokenType.COUNTER_SYNC)

    def _issue(self, kind: TokenType, **amount: Any) -> Token:
        from paygo_core.registry.issuing import next_token

        if self._registry is not None:
            serial = self.device.serial
            token = self._registry.issue(serial, kind, reason="test", issued_by="pytest", **amount)
        else:
            token = next_token(self.device, kind, **amount)
        self.device = replace(self.device, count=token.count)
        return token


@dataclass(frozen=True)
class PaygoUnit:
    """A unit that a test drives: its driver, what can be done to it (hands), its server, who it is."""

    hands: Hands
    server: PaygoServer

    @property
    def driver(self) -> Any:
        """The unit's driver."""
        return self.hands.driver

    @property
    def control(self) -> Any:
        """The control socket of a simulated unit, None of a real one."""
        return self.hands.control

    def enter(self, token: Token | str) -> Entry:
        """Enters a token."""
        return self.hands.enter(token if isinstance(token, str) else token.digits)

    def power_cycle(self) -> None:
        """Takes the supply away, and gives it back."""
        self.hands.cycle()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; --paygo-port also comes from paygo_port in the ini file."""
    group = parser.getgroup("paygo", "control units")
    group.addoption("--paygo-port", metavar="PORT", help="The unit's port; without it a simulated unit is started.")
    group.addoption("--paygo-driver", metavar="NAME", default="hdk", help="What kind of unit it is.")
    group.addoption("--paygo-rig", metavar="FILE:NAME", help="A place in a rig file, in place of --paygo-port.")
    group.addoption("--paygo-serial", metavar="SERIAL", help="The device that a real unit is.")
    group.addoption("--paygo-registry", metavar="FILE", help="The registry that issues its tokens.")


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    needs = ", ".join(NEEDS)
    config.addinivalue_line("markers", f"paygo_needs(*what): skipped on a unit without it: {needs}, unlock, …")


@pytest.fixture
def simulated_paygo_unit(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PaygoUnit]:
    """A simulated unit with a key of its own, set up at count 1."""
    from hw_bridge.conformance.kit import Rig, hands_on
    from hw_bridge.simulated import simulated_unit
    from paygo_core.device import Device
    from paygo_core.tokens import DeviceConfig

    device = Device("990000001", DeviceConfig(secrets.token_bytes(16), 1 + secrets.randbelow(999_999_999)))
    with (
        simulated_unit(tmp_path) as unit,
        hands_on(Rig(unit.port, control=unit.control), device) as hands,
    ):
        hands.driver.provision(device)
        found = PaygoUnit(hands, PaygoServer(device))
        _skip_unless(request, found)
        yield found


@pytest.fixture
def paygo_unit(request: pytest.FixtureRequest) -> Iterator[PaygoUnit]:
    """The unit at --paygo-port or --paygo-rig, or a simulated one."""
    option = request.config.getoption
    if option("--paygo-port") or option("--paygo-rig"):
        with ExitStack() as owner:
            found = _real_unit(request.config, owner)
            _skip_unless(request, found)
            yield found
    else:
        yield request.getfixturevalue("simulated_paygo_unit")


@pytest.fixture
def paygo_server(paygo_unit: PaygoUnit) -> PaygoServer:
    """The server that issues the unit's tokens."""
    return paygo_unit.server


def _real_unit(config: pytest.Config, owner: ExitStack) -> PaygoUnit:
    from hw_bridge.conformance import rig as rigs
    from hw_bridge.conformance.kit import Rig, hands_on
    from paygo_core.registry import Registry

    option = config.getoption
    driver, serial = option("--paygo-driver"), option("--paygo-serial")
    rig = Rig(option("--paygo-port") or "", driver=driver)
    if option("--paygo-rig"):
        path, _, name = option("--paygo-rig").rpartition(":")
        places = {place.name: place for place in rigs.read(Path(path))}
        if name not in places:
            raise pytest.UsageError(f"--paygo-rig: {path} has no unit {name!r}, it has {', '.join(places)}")
        rig = Rig.at(places[name])
        serial = serial or places[name].serial
    if not serial or not option("--paygo-registry"):
        raise pytest.UsageError("a real unit needs --paygo-serial and --paygo-registry, which issue its tokens")
    registry = owner.enter_context(Registry.open(option("--paygo-registry")))
    device = registry.device(serial)
    return PaygoUnit(owner.enter_context(hands_on(rig, device)), PaygoServer(device, registry))


def _skip_unless(request: pytest.FixtureRequest, unit: PaygoUnit) -> None:
    needed = {name for marker in request.node.iter_markers("paygo_needs") for name in marker.args}
    missing = needed - unit.hands.has(allow_unlock=True) if needed else set()
    if missing:
        pytest.skip(f"the unit lacks {', '.join(sorted(missing))}")
