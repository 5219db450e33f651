"""Concurrent callers, honest and not, over all that the ledger decides, against an independent model of it.

`ledger_model.Model` says what every call must do; `ledger_walk.Walk` draws the calls, orders them in blocks of one to
six that were endorsed on one state, and compares and checks the invariants after every block.
"""

from __future__ import annotations

import pytest
from contract_scenario import ORGANISATIONS, TASK, Scenario, caller
from ledger_walk import Walk, walk
from soaking import times

ORG1, ORG2 = ORGANISATIONS[:2]
SEED = 6


@pytest.mark.soak
def test_any_walk_of_concurrent_callers_leaves_what_the_model_says(record_property):
    done = walk(SEED, times(1500, 100_000))
    record_property("count", done["steps"])
    record_property("seed", SEED)
    for name, number in sorted(done.items()):
        record_property(name, number)
    for what in ("committed rounds", "settled deals", "payments", "conflicts", "finished tasks", "refused"):
        assert done[what] > 0, what  # the walk has come to what it is there for
    assert done["accepted"] > done["steps"] / 3


def test_the_walk_is_the_same_for_the_same_seed():
    assert walk(1, 300) == walk(1, 300)


def test_the_model_is_compared_with_what_is_written():
    one = Walk(1)
    one.model.coins = {name: (owner, amount + 1) for name, (owner, amount) in one.model.coins.items()}
    with pytest.raises(AssertionError):
        one.check()
    one.model.status[ORG1] = ("suspended", "organisation")
    with pytest.raises(AssertionError, match="accepted against the rules"):
        one.block([(ORG1, "tokens:Approve", {"request_id": "a", "spender": ORG2, "expected": 0, "amount": 1})])


def test_money_from_nowhere_and_a_final_record_that_changes_are_found():
    one = Walk(1)
    planted = one.ledger.endorse(caller("AuditorMSP"), "consortium:Read")
    planted.state.put("token/entry/x/y", b'{"amount":1,"cause":"x","id":"y","owner":"x","schema":1}')
    one.ledger.commit(planted)
    with pytest.raises(AssertionError):
        one.check()
    one = Walk(1)
    one.check_final({"task/t1": b"{}"})
    with pytest.raises(AssertionError, match="was final"):
        one.check_final({"task/t1": b'{"changed":1}'})


def test_a_vote_ahead_of_its_round_counts_in_it():
    scenario = Scenario()
    scenario.create()
    scenario.vote("abort", 2, 0, ORG1, ORG2)
    scenario.play(1)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 2)["status"] == "aborted"
