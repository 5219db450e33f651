"""Allowances: what an owner lets another spend, without ERC-20's race."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, Scenario

from fl_chaincode.canonical import H


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def approval(amount: int, expected: int = 0, spender: str = ORG2, request: str = "a1") -> dict:
    return {"request_id": request, "spender": spender, "expected": expected, "amount": amount}


def spending(inputs: list[str], amount: int, to: str = ORG3, owner: str = ORG1, request: str = "s1") -> dict:
    return {"request_id": request, "owner": owner, "inputs": inputs, "to": to, "amount": amount}


def allowance(scenario: Scenario, owner: str = ORG1, spender: str = ORG2) -> int:
    return scenario.read("tokens:Allowance", owner, spender)["amount"]


def test_a_spender_pays_from_the_owners_entries_and_the_owner_gets_the_change(scenario):
    entry = scenario.mint(ORG1, 10)
    assert allowance(scenario) == 0
    scenario.call(ORG1, "tokens:Approve", approval(7))
    answer = scenario.call(ORG2, "tokens:TransferFrom", spending([entry], 3))
    assert [scenario.balance(one) for one in (ORG1, ORG2, ORG3)] == [7, 0, 3]
    assert allowance(scenario) == 4
    (paid,), (change,) = scenario.read("tokens:Entries", ORG3), scenario.read("tokens:Entries", ORG1)
    assert answer["outputs"] == [paid["id"], change["id"]]
    assert paid["cause"] == change["cause"] == "token/spending/Org2MSP/s1"
    assert scenario.all_tokens() == (10, 10)


def test_nobody_spends_more_than_what_is_left_of_the_allowance(scenario):
    entries = [scenario.mint(ORG1, 10, "a"), scenario.mint(ORG1, 10, "b")]
    scenario.call(ORG1, "tokens:Approve", approval(7))
    scenario.refused("FL-TOKEN-ALLOWANCE", ORG2, "tokens:TransferFrom", spending(entries, 8))
    scenario.call(ORG2, "tokens:TransferFrom", spending(entries[:1], 5))
    scenario.refused("FL-TOKEN-ALLOWANCE", ORG2, "tokens:TransferFrom", spending(entries[1:], 3, request="s2"))
    scenario.call(ORG2, "tokens:TransferFrom", spending(entries[1:], 2, request="s2"))
    assert allowance(scenario) == 0


def test_an_allowance_is_for_one_spender_and_of_one_owner(scenario):
    entry, other = scenario.mint(ORG1, 10, "a"), scenario.mint(ORG3, 10, "b")
    scenario.call(ORG1, "tokens:Approve", approval(7))
    scenario.refused("FL-TOKEN-ALLOWANCE", ORG3, "tokens:TransferFrom", spending([entry], 1))
    scenario.refused("FL-TOKEN-ALLOWANCE", ORG1, "tokens:TransferFrom", spending([entry], 1))
    scenario.refused("FL-TOKEN-ALLOWANCE", ORG2, "tokens:TransferFrom", spending([other], 1, owner=ORG3))
    scenario.refused("FL-TOKEN-INPUT", ORG2, "tokens:TransferFrom", spending([other], 1))
    scenario.refused("FL-TOKEN-INPUT", ORG2, "tokens:TransferFrom", spending([H("made up")], 1))
    scenario.refused("FL-TOKEN-FUNDS", ORG2, "tokens:TransferFrom", spending([scenario.mint(ORG1, 1, "c")], 2))


def test_a_spender_who_was_faster_than_a_lower_allowance_does_not_get_both(scenario):
    entry = scenario.mint(ORG1, 20)
    scenario.call(ORG1, "tokens:Approve", approval(10))
    lower = scenario.endorse(ORG1, "tokens:Approve", approval(5, expected=10, request="a2"))
    spent = scenario.endorse(ORG2, "tokens:TransferFrom", spending([entry], 10))
    assert scenario.ledger.commit(spent, lower) == [True, False]
    scenario.refused("FL-TOKEN-EXPECTED", ORG1, "tokens:Approve", approval(5, expected=10, request="a2"))
    assert allowance(scenario) == 0


def test_an_allowance_is_replaced_by_who_knows_it_and_taken_away_with_zero(scenario):
    scenario.call(ORG1, "tokens:Approve", approval(10))
    scenario.refused("FL-TOKEN-EXPECTED", ORG1, "tokens:Approve", approval(20, expected=0, request="a2"))
    scenario.call(ORG1, "tokens:Approve", approval(20, expected=10, request="a2"))
    scenario.call(ORG1, "tokens:Approve", approval(0, expected=20, request="a3"))
    assert allowance(scenario) == 0


def test_repetitions_are_answered_from_the_record_and_act_once(scenario):
    entry = scenario.mint(ORG1, 10)
    first = scenario.call(ORG1, "tokens:Approve", approval(10))
    paid = scenario.call(ORG2, "tokens:TransferFrom", spending([entry], 3))
    assert scenario.call(ORG1, "tokens:Approve", approval(10)) == first
    assert not scenario.wrote
    assert scenario.call(ORG2, "tokens:TransferFrom", spending([entry], 3)) == paid
    assert not scenario.wrote
    assert (allowance(scenario), scenario.balance(ORG3)) == (7, 3)
    scenario.refused("FL-CONFLICT", ORG1, "tokens:Approve", approval(11))
    scenario.refused("FL-CONFLICT", ORG1, "tokens:Approve", approval(10, expected=10))
    scenario.refused("FL-CONFLICT", ORG1, "tokens:Approve", approval(10, spender=ORG3))
    scenario.refused("FL-CONFLICT", ORG2, "tokens:TransferFrom", spending([entry], 4))
    scenario.refused("FL-CONFLICT", ORG2, "tokens:TransferFrom", spending([entry], 3, to=ORG2))
    scenario.refused("FL-CONFLICT", ORG2, "tokens:TransferFrom", spending([entry], 3, owner=ORG3))


def test_nothing_moves_for_an_owner_that_is_suspended_nor_to_who_is_not_registered(scenario):
    entry = scenario.mint(ORG1, 10)
    scenario.call(ORG1, "tokens:Approve", approval(10))
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG2, "tokens:TransferFrom", spending([entry], 1, to="Org1Msp"))
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG1, "tokens:Approve", approval(1, spender="Org2Msp", request="a2"))
    scenario.suspend(ORG1)
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG2, "tokens:TransferFrom", spending([entry], 1))
    scenario.suspend(ORG1, "withdrawn")
    scenario.call(ORG2, "tokens:TransferFrom", spending([entry], 1))
    scenario.call(ORG1, "tokens:Transfer", {"request_id": "t", "inputs": _rest(scenario), "to": ORG2, "amount": 9})
    assert scenario.balance(ORG1) == 0


def test_two_spendings_of_one_allowance_in_one_block_conflict_and_those_of_two_do_not(scenario):
    entries = [scenario.mint(ORG1, 1, f"m{i}") for i in range(4)]
    for spender in (ORG2, ORG3):
        scenario.call(ORG1, "tokens:Approve", approval(5, spender=spender, request=f"for-{spender[:4].lower()}"))
    block = [
        scenario.endorse(who, "tokens:TransferFrom", spending([entry], 1, to=ORG2, request=f"s{i}"))
        for i, (who, entry) in enumerate(zip((ORG2, ORG3, ORG2, ORG3), entries, strict=True))
    ]
    assert scenario.ledger.commit(*block) == [True, True, False, False]
    assert (allowance(scenario), allowance(scenario, spender=ORG3), scenario.balance(ORG2)) == (4, 4, 2)


def _rest(scenario: Scenario) -> list[str]:
    return [one["id"] for one in scenario.read("tokens:Entries", ORG1)]
