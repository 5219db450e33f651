"""Concurrent callers, honest and not, over all that the ledger decides, against an independent model of it.

`ledger_model.Model` says what every call must do, `walk_machine` draws the calls and orders them in blocks that were
endorsed on one state, `ledger_walk.Walk` compares after every block, `ledger_invariants` says what holds in any case.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from contract_scenario import ORGANISATIONS, TASK, Scenario, caller
from ledger_invariants import INVARIANTS, Change
from ledger_walk import FOUNDERS, Walk, seeded
from round_model import DISTANT, INVALID
from soaking import SOAKING, times
from walk_calls import Block
from walk_machine import explore

from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.memory import MemoryLedger

ORG1, ORG2 = ORGANISATIONS[:2]
CALLED = [name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)]
STATES = [
    *(f"round {status}" for status in ("open", "sealed", "disputed", "committed", "aborted", "in term 1", "paid")),
    *(f"task {status}" for status in ("running", "finished", "cancelled", "stopped by target", "stopped by patience")),
    *(f"order {status}" for status in ("placed", "settled", "refunded")),
    *(f"offer {status}" for status in ("open", "taken", "settled", "withdrawn", "cancelled")),
    *(f"participant {status}" for status in ("active", "suspended", "withdrawn")),
    *(f"motion to {kind} carried" for kind in ("add", "remove", "suspend", "reinstate", "cancel")),
    "declaration revoked",
    "model marked",
    f"model without {INVALID}",
    f"model without {DISTANT}",
    "conflicts",
    "late",
]
SOON = ("round committed", "round aborted", "round paid", "task finished", "offer taken", "conflicts", "late")


@pytest.mark.soak
def test_any_walk_of_concurrent_callers_leaves_what_the_model_says(record_property, pytestconfig):
    wanted = times(1500, 100_000)
    done = explore(worlds=times(8, 520))
    record_property("count", done["steps"])
    record_property("seed", pytestconfig.getoption("hypothesis_seed"))
    for name, number in sorted(done.items()):
        record_property(name, number)
    assert done["steps"] >= wanted
    rare = {name: done[name] for name in (STATES if SOAKING else SOON) if done[name] < times(1, 5)}
    assert not rare, "states that the walk is there for"
    ends = [f"{end} {name}" for name in CALLED for end in ("accepted", "refused")]
    rare = {name: done[name] for name in ends if done[name] < times(0, 5)}
    assert not rare, "functions that are neither accepted nor refused often enough"


class Generous(MemoryLedger):
    """A ledger on which every transfer of an amount above 5 pays the payee one token more."""

    def endorse(self, who, function, *arguments):
        transaction = super().endorse(who, function, *arguments)
        for key, data in transaction.state.writes.items():
            if function == "tokens:Transfer" and data is not None and key.startswith("token/entry/"):
                amount = int(re.search(rb'"amount":(\d+)', data)[1])
                more = re.sub(rb'"amount":\d+', b'"amount":%d' % (amount + 1), data)
                transaction.state.writes[key] = more if amount > 5 else data
        return transaction


def test_what_fails_is_shrunk_to_a_few_calls(monkeypatch, capsys):
    init = Walk.__init__
    monkeypatch.setattr(Walk, "__init__", lambda self: init(self, Generous(FOUNDERS)))
    with pytest.raises(AssertionError) as failure:
        explore(60, 30)
    reported = "\n".join([*getattr(failure.value, "__notes__", []), capsys.readouterr().out])
    assert "tokens:Transfer" in reported
    assert 1 <= reported.count("state.order(") <= 5


def test_a_walk_is_the_same_for_the_same_numbers():
    def walked(seed):
        walk = seeded(seed, 100)
        return dict(walk.ledger.state().scan(" ", "~")), walk.count()

    assert walked(1) == walked(1)


def test_transactions_that_read_what_another_has_written_since_are_invalid_in_any_order():
    """Two buyers take one offer: endorsed on one state, and the second one late, three blocks after the first."""
    for late in (0, 1, 2):
        walk = Walk()
        money = {"price": 10, "currency": "EUR", "terms": ""}
        coin = next(one for one, (owner, _) in walk.model.coins.items() if owner == ORG1)
        walk.block(Block(((ORG1, "offers:Make", {"request_id": "o", "inputs": [coin], "amount": 5, **money}),)))
        takes = [(who, "offers:Take", ORG1, "o", "bill") for who in ORGANISATIONS[1:3]]
        if not late:
            walk.block(Block(tuple(takes)))
        else:
            walk.block(Block((takes[1],), keep=True))
            walk.block(Block((takes[0],)))
            walk.block(Block(((ORG1, "participants:Register", {"name": "x"}),), late=late))
        assert walk.done["conflicts"] == 1
        assert walk.model.deals["offer", ORG1, "o"]["other"] == ORG2


def test_the_model_is_compared_with_what_is_written():
    one = Walk()
    one.model.coins = {name: (owner, amount + 1) for name, (owner, amount) in one.model.coins.items()}
    with pytest.raises(AssertionError):
        one.check()
    one.model.status[ORG1] = ("suspended", "organisation")
    with pytest.raises(AssertionError, match="accepted against the rules"):
        one.block(Block(((ORG1, "tokens:Approve", {"request_id": "a", "spender": ORG2, "expected": 0, "amount": 1}),)))


def test_what_no_valid_transaction_wrote_is_found():
    one = Walk()
    planted = one.ledger.endorse(caller("AuditorMSP"), "consortium:Read")
    planted.state.put("token/entry/x/y", b'{"amount":1,"cause":"x","id":"y","owner":"x","schema":1}')
    one.ledger.commit(planted)
    with pytest.raises(AssertionError, match="the world state is not what"):
        one.check()


ENTRY = b'{"amount":5,"cause":"token/transfer/Org1MSP/r","id":"e","owner":"Org2MSP"}'
PAID = b'{"amount":5,"outputs":[],"request_id":"r","sender":"Org1MSP","to":"Org2MSP"}'
ROUND = b'{"attempt":1,"number":1,"status":"committed"}'
VIOLATIONS = {
    "unspent_entries_escrow_and_locks_are_what_was_issued": ({}, {"token/entry/Org2MSP/e": ENTRY}),
    "nobody_spends_more_than_they_hold": ({"token/entry/Org2MSP/e": ENTRY}, {"token/entry/Org2MSP/e": None}),
    "a_committed_round_never_changes": (
        {"round/t/1": ROUND},
        {"round/t/1": ROUND.replace(b'"number":1', b'"number":2')},
    ),
    "every_payment_has_its_cause": (
        {},
        {"token/entry/Org3MSP/e": ENTRY.replace(b"Org2", b"Org3"), "token/transfer/Org1MSP/r": PAID},
    ),
    "states_only_move_forward": ({"motion/m": b'{"carried":true}'}, {"motion/m": b'{"carried":false}'}),
}


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda one: one.__name__)
def test_each_invariant_finds_what_breaks_it(invariant):
    before, writes = VIOLATIONS[invariant.__name__]
    with pytest.raises(AssertionError):
        invariant(Change(ORG1, "tokens:Transfer", ({"amount": 5},), before, writes))
    invariant(Change(ORG1, "tokens:Transfer", ({"amount": 5},), before, {}))


@pytest.mark.parametrize("name", ["ledger_model", "member_model", "round_model", "pay_model", "ledger_invariants"])
def test_the_model_and_the_invariants_know_no_rule(name):
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text())
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "fl_chaincode" in str(node.module)
    ]
    assert {f"{node.module}.{one.name}" for node in imports for one in node.names} <= {"fl_chaincode.canonical.H"}
    assert not any(one.name.startswith("fl_") for n in ast.walk(tree) if isinstance(n, ast.Import) for one in n.names)


def test_a_vote_ahead_of_its_round_counts_in_it():
    scenario = Scenario()
    scenario.create()
    scenario.vote("abort", 2, 0, ORG1, ORG2)
    scenario.play(1)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 2)["status"] == "aborted"
