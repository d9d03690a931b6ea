"""Devices are made, swapped and given new keys, and every step stays on the record."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from paygo_core import DecoderState, DeviceConfig, PaygoError, TokenType, decode_token
from paygo_core.cli_device import device as group
from paygo_core.device import Device
from paygo_core.registry import Order, Registry

KEY = bytes.fromhex("a29ab82edc5fbbc41ec9530f6dac86b1")
OLD = Device("OLD", DeviceConfig(KEY, 123456789), 7)
NEW = Device("NEW", DeviceConfig(KEY[::-1], 5, 24, True), 1)


@pytest.fixture
def registry(tmp_path):
    with Registry.open(tmp_path / "paygo.db") as opened:
        opened.import_devices([OLD, NEW])
        yield opened


def test_new_devices_get_serials_that_go_on_and_keys_of_their_own(registry):
    first = registry.make(500, "SLT22", digits=7, hardware_model="SLT-50")
    assert (first[0], first[-1]) == ("SLT220000001", "SLT220000500")
    registry.add(Device("SLT220000777", OLD.config))
    registry.add(Device("SLT22XYZ", OLD.config))
    assert registry.make(2, "SLT22", digits=7) == ["SLT220000778", "SLT220000779"]
    assert registry.make(1, "SLT2_", digits=2) == ["SLT2_01"], "an underscore is one"
    made = [registry.device(serial) for serial in first]
    assert len({device.config.secret_key for device in made}) == 500
    assert len({device.config.starting_code for device in made}) > 490
    assert {(device.count, device.hardware_model) for device in made} == {(1, "SLT-50")}
    assert registry.entry(first[0]).state == "new"


def test_serials_that_run_out_make_nothing(registry):
    registry.make(8, "A", digits=1)
    before = len(list(registry.entries()))
    for wrong in ((2, "A", 1), (0, "B", 3), (100_001, "B", 9), (1, " B", 3), (1, "B\x1b", 3), (1, "B" * 62, 9)):
        with pytest.raises(PaygoError):
            registry.make(wrong[0], wrong[1], digits=wrong[2])
    assert len(list(registry.entries())) == before
    assert registry.make(1, "A", digits=1) == ["A9"]


def test_a_new_key_makes_old_tokens_useless_and_counts_go_on(registry):
    before = registry.issue("OLD", value=7)
    fresh = registry.rekey("OLD", "amina")
    assert fresh.config.secret_key != KEY
    assert fresh.count == before.count
    assert registry.entry("OLD").state == "new"
    after = registry.issue("OLD", value=7)
    assert after.count > before.count
    state = DecoderState(fresh.count)
    assert decode_token(fresh.config, after.digits, state).accepted
    assert not decode_token(fresh.config, before.digits, state).accepted
    [note] = registry.notes("OLD")
    assert (note.kind, note.noted_by) == ("rekey", "amina")
    assert "count 8" in note.text


def test_a_swap_locks_the_old_unit_and_sets_the_new_one(registry):
    lock, moved = registry.swap("OLD", "NEW", 50.5, issued_by="amina")
    assert decode_token(OLD.config, lock.digits, DecoderState(7)).value == 0
    assert lock.token_type is TokenType.SET_TIME
    units, state = 0, DecoderState(1)
    for token in moved:
        decoded = decode_token(NEW.config, token.digits, state)
        assert decoded.accepted
        units, state = units + decoded.value, decoded.state
    assert units == 50.5 * 24
    assert [token.token_type for token in moved] == [TokenType.SET_TIME, TokenType.ADD_TIME]
    assert registry.entry("OLD").state == "repair"
    assert [note.text for note in registry.notes("NEW")] == ["replaces OLD, 50.5 days left"]
    assert [one.reason for one in registry.tokens("OLD") + registry.tokens("NEW")] == ["manual"] * 3


def test_a_swap_that_cannot_be_changes_nothing(registry):
    registry.add_plain("MPPT")
    for old, new, days in (("OLD", "OLD", 1), ("OLD", "GONE", 1), ("OLD", "MPPT", 1), ("OLD", "NEW", -1)):
        with pytest.raises(PaygoError):
            registry.swap(old, new, days)
    assert registry.device("OLD").count == 7
    assert registry.notes("OLD") == registry.notes("NEW") == []
    assert registry.entry("OLD").state == "new"


def test_the_shell_makes_rekeys_and_swaps(tmp_path):
    base = ["--registry", str(tmp_path / "fleet.db")]

    def run(*words: str) -> str:
        result = CliRunner().invoke(group, [*words, *base], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert run("new", "--count", "3", "--prefix", "SLT") == "3 made: SLT0000001 to SLT0000003\n"
    assert json.loads(run("new", "--prefix", "SLT", "--json")) == {
        "made": 1,
        "first": "SLT0000004",
        "last": "SLT0000004",
    }
    assert "provision it again" in run("rekey", "SLT0000001")
    assert len(run("swap", "SLT0000002", "SLT0000003", "--days", "12.5").splitlines()) == 2


class TestStates:
    def test_each_change_leaves_a_note_of_what_was_before(self, registry):
        assert registry.set_state("OLD", "provisioned", "line 2", "amina")
        assert registry.set_state("OLD", "active")
        assert not registry.set_state("OLD", "active")
        assert not registry.set_state("OLD", "active", "still there", "ben")
        assert [(note.kind, note.text, note.noted_by) for note in registry.notes("OLD")] == [
            ("state", "new became provisioned: line 2", "amina"),
            ("state", "provisioned became active", ""),
            ("note", "still there", "ben"),
        ]

    @pytest.mark.parametrize(
        ("path", "refused"),
        [(["retired"], "active"), (["provisioned"], "new"), (["repair"], "new"), (["active", "retired"], "new")],
    )
    def test_a_state_that_cannot_follow_is_refused_and_changes_nothing(self, registry, path, refused):
        for state in path:
            registry.set_state("OLD", state)
        before = registry.notes("OLD")
        with pytest.raises(PaygoError, match=f"OLD is {path[-1]} and cannot become {refused}"):
            registry.set_state("OLD", refused)
        assert (registry.entry("OLD").state, registry.notes("OLD")) == (path[-1], before)

    def test_a_retired_device_gets_nothing_until_it_is_called_back(self, registry):
        registry.set_state("OLD", "retired")
        for use in (
            lambda: registry.issue("OLD", days=1),
            lambda: registry.issue("OLD", days=1, dry_run=True),
            lambda: registry.issue_time("OLD", days=2000),
            lambda: registry.issue_sync("OLD"),
            lambda: registry.swap("OLD", "NEW", 1),
            lambda: registry.swap("NEW", "OLD", 1),
            lambda: registry.rekey("OLD"),
        ):
            with pytest.raises(PaygoError, match="OLD is retired"):
                use()
        [refused, issued] = registry.issue_many([Order("OLD", days=1), Order("NEW", days=1)])
        assert "retired" in refused.cause
        assert issued.tokens
        assert registry.device("OLD").count == 7
        registry.set_state("OLD", "repair")
        assert registry.issue("OLD", days=1).count == 8

    @pytest.mark.parametrize("many", [False, True])
    def test_the_tokens_of_a_life_move_its_state(self, registry, many):
        def issue(token_type, days=None, reason="payment"):
            if many:
                list(registry.issue_many([Order("OLD", token_type, days=days, reason=reason)], issued_by="amina"))
            else:
                registry.issue("OLD", token_type, days=days, reason=reason, issued_by="amina")
            return registry.entry("OLD").state

        add, set_, unlock = TokenType.ADD_TIME, TokenType.SET_TIME, TokenType.DISABLE_PAYG
        assert issue(add, 1) == "new", "it is set up before it is active"
        registry.set_state("OLD", "provisioned")
        assert issue(add, 1, "test") == "provisioned"
        assert issue(set_, 0) == "provisioned"
        assert issue(add, 1) == "active"
        assert issue(unlock) == "unlocked"
        assert issue(add, 1) == "unlocked", "T28"
        assert issue(set_, 0) == "active", "T29"
        registry.set_state("OLD", "repair")
        assert issue(add, 1) == issue(unlock) == "repair"
        assert [note.text for note in registry.notes("OLD") if note.noted_by] == [
            "provisioned became active: a token ADD_TIME at count 12",
            "active became unlocked: a token DISABLE_PAYG at count 13",
            "unlocked became active: a token SET_TIME at count 15",
        ]


def test_the_shell_says_states_and_shows_their_notes(tmp_path):
    base = ["--registry", str(tmp_path / "fleet.db")]

    def run(*words: str) -> str:
        result = CliRunner().invoke(group, [*words, *base], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    run("new", "--count", "2", "--prefix", "SLT")
    assert run("state", "SLT0000001", "repair", "--note", "water", "--by", "amina") == "SLT0000001 is repair\n"
    assert run("state", "SLT0000001", "repair") == "SLT0000001 is repair already\n"
    assert json.loads(run("state", "SLT0000001", "retired", "--json"))["changed"]
    assert [line.split()[0] for line in run("list", "--state", "retired").splitlines()] == ["serial", "SLT0000001"]
    assert "new became repair: water (state by amina)\n" in run("show", "SLT0000001")
    notes = json.loads(run("show", "SLT0000001", "--json"))["notes"]
    assert [note["text"] for note in notes] == ["new became repair: water", "repair became retired"]
