"""Provisions units one after another: claim a serial, set the unit up, let it prove itself, write it down.

Whatever happens on the way, two units never get one serial, and a serial of which nobody knows whether a unit has it
stays claimed. The unit that has it finishes where it stopped once it is connected again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from hw_bridge.drivers import Info, UnitDriver, UnitStatus, identify, require
from hw_bridge.factory_log import FactoryLog
from paygo_core.device import Device
from paygo_core.errors import DeviceError, NoAnswerError, PaygoError, PortError
from paygo_core.registry import Factory, Registry
from paygo_core.tokens import Token, TokenType

Connect = Callable[[], AbstractContextManager[UnitDriver]]
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Unit:
    """A unit that was proved. resumed: it had been set up before. already: it had been proved before, too."""

    serial: str
    status: UnitStatus
    info: Info | None
    resumed: bool
    already: bool = False


@dataclass(frozen=True)
class Proof:
    """What a unit has to show. restart_seconds: how long somebody has to switch it off and on, 0 for no restart.

    test_token: it takes a token of one unit of time, and one that sets 0, both on the record as tests.
    """

    restart_seconds: float = 120.0
    test_token: bool = False


class FactoryLine:
    """A station: a port where units come and go. tell: gets what a person has to do. by: who, for the record."""

    def __init__(
        self,
        registry: Registry,
        factory: Factory,
        connect: Connect,
        log: FactoryLog,
        proof: Proof,
        tell: Callable[[str], None],
        by: str = "",
    ) -> None:
        self._registry, self._factory, self._connect, self._log = registry, factory, connect, log
        self._proof, self._tell, self._by = proof, tell, by

    def provision(self, serial: str | None = None) -> Unit:
        """Sets up and proves the unit that is connected now, as `serial` or as the next new device.

        To a unit that this station has proved already nothing is done: it may have died before it could say so. Raises
        DeviceError when the unit is set up otherwise or fails, and as the driver and the registry do.
        """
        with self._connect() as driver:
            info = identify(driver)
            require(driver, "provision")
            if info is not None and serial in (None, info.serial) and self._factory.has_proved(info.serial):
                return Unit(info.serial, driver.status(), info, resumed=True, already=True)
            device, resumed = self._begun(info, serial), True
            if device is None:
                device, resumed = self._set_up(driver, info, serial), False
                info = identify(driver)
        if self._proof.restart_seconds:
            self._await_restart(device, info)
        with self._connect() as driver:
            info = identify(driver)
            if info is not None and info.serial != device.serial:
                raise DeviceError(f"{device.serial} was set up, and now the unit says {info.serial or 'nothing'}")
            status = driver.status()
            if self._proof.test_token:
                status = self._try_tokens(driver, device)
        said = f"{info.model} {info.board}, firmware {info.firmware}" if info is not None else "an HDK"
        self._log.step(device.serial, "proved", unit=said, state=status.state, seconds_left=status.seconds_left)
        self._factory.prove(device.serial, said, self._by)
        return Unit(device.serial, status, info, resumed)

    def _begun(self, info: Info | None, wanted: str | None) -> Device | None:
        """The device of a unit that was set up here and never proved; None for a unit that is new."""
        if info is None or not info.serial:
            return None
        if info.serial not in {claim.serial for claim in self._factory.open_claims()}:
            raise DeviceError(f"this unit is {info.serial} already", "a unit is set up once in its life")
        if wanted not in (None, info.serial):
            raise DeviceError(f"this unit is {info.serial}, and {wanted} was asked for", "put its own label on it")
        self._log.step(info.serial, "found again")
        return self._registry.device(info.serial)

    def _set_up(self, driver: UnitDriver, info: Info | None, serial: str | None) -> Device:
        if info is None:
            self._refuse_hdk_that_is_set_up(driver)
        device = self._factory.claim(serial)
        self._log.step(device.serial, "begun")
        try:
            driver.provision(device)
        except (DeviceError, NoAnswerError, PortError, PaygoError) as problem:
            self._log.step(device.serial, "not set up", why=problem.cause)
            if info is not None and self._is_blank(driver):
                self._factory.release(device.serial, problem.cause, self._by)
            raise
        self._log.step(device.serial, "set up")
        return device

    @staticmethod
    def _refuse_hdk_that_is_set_up(driver: UnitDriver) -> None:
        try:
            driver.status()
        except DeviceError:  # it answers INVALID until it is set up
            return
        raise DeviceError("this unit is set up already", "a unit is set up once in its life")

    @staticmethod
    def _is_blank(driver: UnitDriver) -> bool:
        """Whether the unit on the same open line says that it has not taken anything."""
        try:
            info = identify(driver)
        except (DeviceError, NoAnswerError, PortError):
            return False
        return info is not None and not info.serial

    def _await_restart(self, device: Device, before: Info | None) -> None:
        """Waits until the unit has been off: an `hdk+` unit by the number of its start, an HDK by its silence."""
        self._tell(f"{device.serial}: switch the unit off and on")
        until = time.monotonic() + self._proof.restart_seconds
        silent = False
        while time.monotonic() < until:
            try:
                with self._connect() as driver:
                    info = identify(driver)
                    if info is None:
                        driver.status()
            except (DeviceError, NoAnswerError, PortError):
                silent = True
            else:
                if silent if info is None or before is None else info.boot != before.boot:
                    self._log.step(device.serial, "restarted")
                    return
            time.sleep(POLL_SECONDS)
        raise NoAnswerError(
            f"{device.serial} was not switched off and on within {self._proof.restart_seconds:g} s",
            "connect it again to go on with it",
        )

    def _try_tokens(self, driver: UnitDriver, device: Device) -> UnitStatus:
        """One unit of time that the unit takes, and its end."""
        add = self._test_token(device, TokenType.ADD_TIME, 1)
        entry = driver.enter(add.digits)
        if entry.verdict != "accepted":
            raise DeviceError(f"{device.serial} answers {entry.verdict} to its first token", "is it the right unit?")
        if driver.status().state != "active":
            raise DeviceError(f"{device.serial} took a token and is not active", "the unit is broken")
        self._log.step(device.serial, "took a token", count=add.count)
        driver.enter(self._test_token(device, TokenType.SET_TIME, 0).digits)
        status = driver.status()  # an HDK answers INVALID to a token that sets 0: its status tells
        if status.state != "inactive":
            raise DeviceError(f"{device.serial} did not take the token that sets 0", "the unit is broken")
        return status

    def _test_token(self, device: Device, kind: TokenType, value: int) -> Token:
        return self._registry.issue(device.serial, kind, value=value, reason="test", issued_by=self._by)
