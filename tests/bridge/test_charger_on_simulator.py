"""A simulated VE.Direct charger, which knows no tokens, run as a PAYG unit by the bridge."""

from __future__ import annotations

from hw_bridge.charger_payg import BrainStore, ChargerPayg
from hw_bridge.drivers.vedirect import VeDirectDriver
from hw_bridge.simulated import ControlClient, simulated_unit
from hw_bridge.transport import Transport
from paygo_core import DeviceConfig, generate_token
from paygo_core.device import Device

CONFIG = DeviceConfig.from_hex("a29ab82edc5fbbc41ec9530f6dac86b1", 123456789)
DEVICE = Device("SLT220000001", CONFIG)
DAY = 86_400


def test_the_load_follows_the_credit_over_restarts_of_either_side(tmp_path):
    now = 1_800_000_000.0
    options = ("--protocol", "vedirect", "--state", str(tmp_path / "charger.state"))
    with (
        simulated_unit(tmp_path, *options) as unit,
        ControlClient(unit.control) as control,
        Transport(unit.port, VeDirectDriver.BAUD) as transport,
        BrainStore.open(tmp_path / "paygo.db") as store,
    ):

        def bridge() -> ChargerPayg:
            return ChargerPayg(VeDirectDriver(transport), store, DEVICE, lambda: now)

        payg = bridge()
        assert payg.status().state == "inactive"
        assert control.read()["output"] is False
        assert payg.enter(generate_token(CONFIG, 1, 7).digits).verdict == "accepted"
        assert control.read()["output"] is True
        control.power(False)
        control.power(True)
        assert control.read()["output"] is True
        payg = bridge()
        now += 6 * DAY
        assert payg.status().state == "active"
        assert control.read()["output"] is True
        now += 2 * DAY
        assert payg.status().state == "inactive"
        assert control.read()["output"] is False
        control.power(False)
        control.power(True)
        assert payg.telemetry().output is False
        assert control.read()["writes"] == 3  # off, on, off: each wears the charger's storage
