"""Actions leave by webhook: signed, in order, delivered once taken, and audited; and the shell around them."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket

import pytest
from receiver import Receiver

from hw_bridge.actions import ActionStore
from hw_bridge.gateway_config import read_config
from hw_bridge.webhook import Webhook, deliver
from paygo_core import PaygoError
from paygo_core.cli import root
from paygo_core.shell import run
from paygo_core.wire.hdk import Alert

SECRET = "a secret of the receiver"
OVER = Alert("BATTERY_OVERVOLTAGE", True, 16012, "mV", 1, 1)
OVER_ENDED = Alert("BATTERY_OVERVOLTAGE", False, 13800, "mV", 1, 2)
UNDER = Alert("BATTERY_UNDERVOLTAGE", True, 9000, "mV", 1, 3)


@pytest.fixture
def store(tmp_path):
    with ActionStore.open(tmp_path / "paygo.db") as store:
        store.record("A1", OVER)
        yield store


@pytest.fixture
def nowhere():
    """An address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"


def whats(receiver: Receiver) -> list[str]:
    return [json.loads(body)["what"] for _, body in receiver.posts]


def test_each_change_is_posted_once_signed_and_in_order(store):
    store.acknowledge(1, "anna", "driving there")
    store.record("A1", OVER_ENDED)
    with Receiver() as receiver:
        webhook = Webhook(receiver.url, SECRET)
        assert deliver(store, webhook) == (3, "")
        assert deliver(store, webhook) == (0, "")
        assert whats(receiver) == ["opened", "acknowledged", "resolved"]
        store.record("A1", UNDER)
        assert deliver(store, webhook) == (1, "")
    headers, body = receiver.posts[1]
    said = json.loads(body)
    assert (said["who"], said["note"], said["action"]["serial"]) == ("anna", "driving there", "A1")
    signed = headers["X-Paygo-Timestamp"].encode() + b"." + body
    assert headers["X-Paygo-Signature"] == "sha256=" + hmac.digest(SECRET.encode(), signed, hashlib.sha256).hex()
    assert len({headers["X-Paygo-Delivery"] for headers, _ in receiver.posts}) == 4


def test_what_is_not_taken_is_delivered_later_under_the_same_key(store):
    store.record("A1", UNDER)
    with Receiver(500, 200) as receiver:
        webhook = Webhook(receiver.url)
        assert deliver(store, webhook) == (0, "answered 500")
        assert deliver(store, webhook) == (2, "")
    keys = [headers["X-Paygo-Delivery"] for headers, _ in receiver.posts]
    assert keys[0] == keys[1] != keys[2]
    assert "X-Paygo-Signature" not in receiver.posts[0][0]


def test_what_is_refused_for_good_does_not_hold_up_the_rest(store):
    store.record("A1", UNDER)
    with Receiver(422, 200) as receiver:
        assert deliver(store, Webhook(receiver.url)) == (1, "")
    ((action, why),) = store.audit().actions
    assert (action.code, "answered 422" in why) == ("BATTERY_OVERVOLTAGE", True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/elsewhere", "http://[::1", "http://h:99999/", "\xe9"])
def test_a_redirect_is_not_followed(store, status, location):
    """Wherever it points, which need not be an address."""
    with Receiver(status, location=location) as receiver:
        assert deliver(store, Webhook(receiver.url)) == (0, f"answered {status}")
    assert len(receiver.posts) == 1


def test_the_audit_knows_what_reached_nobody(store, nowhere):
    assert store.audit().actions[0][1] == "no delivery was tried"
    taken, why = deliver(store, Webhook(nowhere))
    assert taken == 0
    assert "127.0.0.1 does not answer" in why
    assert "attempt 1" in store.audit().actions[0][1]


def test_deliveries_to_two_receivers_are_tracked_apart(store):
    with Receiver() as one, Receiver() as other:
        assert deliver(store, Webhook(one.url))[0] == 1
        assert deliver(store, Webhook(other.url))[0] == 1


def test_a_short_secret_is_refused_and_the_secret_is_not_shown():
    with pytest.raises(PaygoError, match="has 5 characters"):
        Webhook("http://x/", "short")
    assert SECRET not in repr(Webhook("http://x/", SECRET))
    assert Webhook("https://host:8/path?key=1").destination == "https://host:8/path"


@pytest.mark.parametrize(
    "url",
    ["https://user:word@host:8/path", "http://[::1/x", "http://h:99999/x", f"http://{'x' * 70}.org/", "http://a..b/"],
)
def test_an_address_that_nothing_can_be_posted_to_is_refused_at_once(url, tmp_path):
    """In the shell and in the gateway's configuration, and without its password."""
    with pytest.raises(PaygoError, match="is no URL") as error:
        Webhook(url)
    assert "word" not in str(error.value)
    for table in ("webhook.x]", "sink.x]\nkind = 'metrics'"):
        (tmp_path / "gateway.toml").write_text(f"[gateway]\n[[unit]]\nport = 'p'\n[{table}\nurl = '{url}'\n")
        with pytest.raises(PaygoError, match=r"gateway.toml: \[(webhook|sink).x\] url: .* is no URL"):
            read_config(tmp_path / "gateway.toml")


@pytest.fixture
def alerts(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAYGO_REGISTRY", raising=False)
    monkeypatch.delenv("PAYGO_WEBHOOK_SECRET", raising=False)

    def alerts(*arguments: str) -> tuple[int, str, str]:
        status = run(root, ["bridge", "alerts", *arguments])
        return (status, *capfd.readouterr())

    return alerts


def test_the_shell_lists_acknowledges_and_resolves(alerts, store):
    status, out, _ = alerts()
    assert status == 0
    assert out.startswith("1 A1 BATTERY_OVERVOLTAGE 16012 mV: open, since ")
    assert json.loads(alerts("ack", "1", "--note", "driving there", "--json")[1])["state"] == "acknowledged"
    assert alerts("ack", "1")[0] == 2
    assert alerts("resolve", "1")[0] == 0
    assert alerts("resolve", "1")[0] == 2
    assert alerts("list")[1] == "no action is open\n"
    assert ": resolved by " in alerts("list", "--all")[1]
    shown = alerts("show", "1")[1].splitlines()
    assert [line.split()[2] for line in shown[1:]] == ["opened", "acknowledged", "resolved"]
    assert shown[2].endswith(": driving there")
    assert len(json.loads(alerts("show", "1", "--json")[1])["changes"]) == 3
    assert alerts("show", "9")[0] == 2


def test_the_shell_delivers_and_audits(alerts, store, nowhere, tmp_path):
    status, out, err = alerts("--audit")
    assert status == 1
    assert "reached no outside system; no delivery was tried" in out
    assert "1 actions reached no outside system" in err
    status, _, err = alerts("deliver", "--webhook", nowhere)
    assert status == 4
    assert "does not answer" in err
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    with Receiver() as receiver:
        status, out, _ = alerts("deliver", "--webhook", receiver.url, "--secret-file", "secret")
        assert (status, out) == (0, f"1 delivered to {receiver.url}\n")
        assert json.loads(alerts("deliver", "--webhook", receiver.url, "--json")[1])["delivered"] == 0
    assert "X-Paygo-Signature" in receiver.posts[0][0]
    assert alerts("audit")[0] == 0
    assert alerts("deliver", "--webhook", "ftp://x/")[0] == 2
    assert alerts("deliver", "--webhook", "http://x/", "--secret-file", "missing")[0] == 2


@pytest.mark.parametrize("command", ["list", "show", "ack", "resolve", "audit", "deliver"])
def test_help_of_each_word_has_an_example(alerts, command):
    status, out, _ = alerts(command, "--help")
    assert status == 0
    assert f"  paygo bridge alerts {command}" in out
