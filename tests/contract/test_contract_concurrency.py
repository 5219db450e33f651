"""Calls that meet in one block, and what their reads and writes touch."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, caller, specification

from fl_chaincode.memory import MemoryLedger, MemoryState


def crowd(count: int = 64) -> Scenario:
    """Three organisations of the consortium, and a task in which so many participants train."""
    scenario = Scenario()
    trainers = [f"Trainer{i:02d}MSP" for i in range(count)]
    for one in trainers:
        scenario.call(one, "participants:Register", {"name": one})
    scenario.call(ORG1, "tasks:Create", specification(trainers=trainers, k=count, max_examples=100))
    return scenario


def in_one_block(scenario: Scenario, calls) -> list[bool]:
    """Endorse all calls on the same state, then commit them together."""
    return scenario.ledger.commit(*[scenario.endorse(*call) for call in calls])


def test_all_calls_of_one_kind_in_one_block_are_valid():
    scenario = crowd()
    selected = scenario.round(1)["selected"]
    recorded = Scenario.submit, Scenario.reveal
    calls: list[tuple] = []
    scenario.call = lambda *call: calls.append(call)  # type: ignore[method-assign, assignment]
    for step in recorded:
        calls.clear()
        for who in selected:
            step(scenario, who, 1)
        assert in_one_block(scenario, calls) == [True] * 64
    validators = (ORG1, ORG2, ORG3)
    calls.clear()
    for who in validators:
        scenario.vote("close", 1, 1, who)
    assert in_one_block(scenario, calls) == [True] * 3
    calls.clear()
    for who in validators:
        scenario.attest(who, 1, scores=dict.fromkeys(selected, 1))
    assert in_one_block(scenario, calls) == [True] * 3
    del scenario.call
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    openings = [
        (who, "scores:Open", TASK, 1, scenario.score_opening(who, 1, dict.fromkeys(selected, 1))) for who in validators
    ]
    assert in_one_block(scenario, openings) == [True] * 3


def test_several_commits_in_one_block_commit_once():
    scenario = Scenario()
    scenario.create()
    scenario.submit_and_reveal(1)
    for who in (ORG1, ORG2):
        scenario.attest(who, 1)
    commit = [(who, "rounds:Commit", TASK, 1, scenario.aggregate(1)) for who in (ORG1, ORG2, ORG3)]
    assert in_one_block(scenario, commit) == [True, False, False]
    assert scenario.head()["round"] == 2


def test_a_submission_that_meets_the_seal_in_a_block_either_counts_or_fails():
    for seal_first in (True, False):
        scenario = Scenario()
        scenario.create()
        scenario.submit(ORG1, 1)
        scenario.submit(ORG2, 1)
        scenario.vote("close", 1, 0, ORG1, ORG2)
        seal = scenario.endorse(ORG1, "rounds:Seal", TASK, 1)
        submission = scenario.endorse(ORG3, "updates:Submit", TASK, 1, "ab" * 32)
        block = [seal, submission] if seal_first else [submission, seal]
        assert scenario.ledger.commit(*block) == [True, False]
        assert scenario.round(1)["set"] == ([ORG1, ORG2] if seal_first else [ORG1, ORG2, ORG3])


def test_two_settlements_in_one_block_pay_once():
    scenario = Scenario()
    scenario.create(budget=100, rounds=1)
    scores = dict.fromkeys((ORG1, ORG2, ORG3), 1)
    scenario.play(1, scores=scores)
    for who in (ORG1, ORG2, ORG3):
        scenario.open(who, 1, scores)
    assert in_one_block(scenario, [(who, "rounds:Settle", TASK, 1) for who in (ORG1, ORG2)]) == [True, False]
    assert scenario.all_tokens() == (100, 100)


def test_a_refused_call_leaves_no_trace():
    scenario = Scenario()
    scenario.create()
    before = (scenario.ledger.height, dict(scenario.ledger.state().scan("a", "z")))
    scenario.refused("FL-ROUND-OPEN", ORG1, "rounds:Commit", TASK, 1)
    assert (scenario.ledger.height, dict(scenario.ledger.state().scan("a", "z"))) == before


# The memory itself


def test_a_transaction_does_not_see_its_own_writes():
    state = MemoryState({"a": (b"old", (1, 0))})
    state.put("a", b"new")
    assert state.get("a") == b"old"
    assert state.reread == ["a"]


def test_a_snapshot_does_not_see_later_blocks():
    ledger = MemoryLedger((ORG1,))
    scenario = Scenario()
    scenario.ledger = ledger
    before = ledger.state()
    scenario.call(ORG1, "consortium:Init")
    assert before.get("consortium") is None
    assert ledger.state().get("consortium") is not None


def test_a_deleted_key_is_gone_and_a_range_is_in_the_order_of_the_keys():
    ledger = MemoryLedger()
    transaction = Scenario().endorse(ORG1, "consortium:Read")
    for key in ("b/2", "b/10", "a/1", "b0"):
        transaction.state.put(key, b"x")
    transaction.state.delete("b/2")
    transaction.state.reads.clear()
    ledger.commit(transaction)
    assert [key for key, _ in ledger.state().scan("b/", "b0")] == ["b/10"]


@pytest.mark.parametrize("key", ["", "a\0b", "ä"])
def test_keys_that_the_contract_never_writes_are_errors(key):
    with pytest.raises(ValueError, match="key"):
        MemoryState().get(key)


def test_an_empty_value_is_an_error_because_fabric_deletes_by_it():
    with pytest.raises(ValueError, match="empty"):
        MemoryState().put("a", b"")


def test_a_contract_in_memory_submits_and_evaluates_for_its_caller():
    scenario = Scenario()
    contract = scenario.ledger.contract(caller(ORG2))
    height = scenario.ledger.height
    contract.submit("participants:Register", '{"name":"renamed"}')
    assert b"renamed" in contract.evaluate("participants:Read", ORG2)
    assert scenario.ledger.height == height + 1
