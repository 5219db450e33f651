"""Tokens: issued by a majority, moved by their holder, never lost and never made."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, Scenario, caller

from fl_chaincode.canonical import H

MAX = 2**53 - 1


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def issue(amount: int = 10, to: str = ORG1, request: str = "r1") -> dict:
    return {"request_id": request, "to": to, "amount": amount}


def transfer(inputs: list[str], amount: int, to: str = ORG2, request: str = "r1") -> dict:
    return {"request_id": request, "inputs": inputs, "to": to, "amount": amount}


def test_the_vote_that_completes_a_majority_makes_the_tokens(scenario):
    first = scenario.call(ORG2, "tokens:Issue", issue())
    assert (first["votes"], first["issued"]) == ([ORG2], False)
    assert scenario.read("tokens:TotalSupply") == {"supply": 0}
    second = scenario.call(ORG1, "tokens:Issue", issue())
    assert (second["votes"], second["issued"]) == ([ORG1, ORG2], True)
    assert scenario.read("tokens:TotalSupply") == {"supply": 10}
    assert scenario.read("tokens:BalanceOf", ORG1) == {"participant": ORG1, "balance": 10}


def test_an_issue_repeated_by_anybody_makes_nothing_more(scenario):
    for who in (ORG1, ORG2):
        scenario.call(who, "tokens:Issue", issue())
    for who in (ORG1, ORG2, ORG3):
        scenario.call(who, "tokens:Issue", issue())
        assert not scenario.wrote
    assert scenario.balance(ORG1) == 10


def test_one_organisation_voting_twice_is_no_majority(scenario):
    scenario.call(ORG1, "tokens:Issue", issue())
    assert scenario.call(ORG1, "tokens:Issue", issue())["issued"] is False
    assert not scenario.wrote


@pytest.mark.parametrize(("organisations", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_majority_is_more_than_half_of_the_consortium(organisations, majority):
    scenario = Scenario(organisations)
    issued = [scenario.call(one, "tokens:Issue", issue())["issued"] for one in scenario.organisations]
    assert issued.index(True) + 1 == majority


def test_the_same_request_with_other_content_is_refused(scenario):
    scenario.call(ORG1, "tokens:Issue", issue())
    scenario.refused("FL-CONFLICT", ORG2, "tokens:Issue", issue(11))
    scenario.refused("FL-CONFLICT", ORG2, "tokens:Issue", issue(to=ORG2))


def test_only_the_consortium_issues(scenario):
    scenario.call(ORG4, "participants:Register", {"name": "outside"})
    scenario.refused("FL-CONSORTIUM-OUTSIDE", ORG4, "tokens:Issue", issue())
    scenario.refused("FL-CALLER-ROLE", caller(ORG1, "coordinator,trainer"), "tokens:Issue", issue())


def test_the_supply_stays_an_exact_integer(scenario):
    scenario.mint(ORG1, MAX)
    scenario.call(ORG1, "tokens:Issue", issue(1, request="r2"))
    scenario.refused("FL-TOKEN-SUPPLY", ORG2, "tokens:Issue", issue(1, request="r2"))


@pytest.mark.parametrize("amount", [0, -1, True, "1", None, MAX + 1, 1.0])
def test_an_amount_is_a_positive_integer(scenario, amount):
    code = "FL-JSON-INVALID" if amount in (MAX + 1, 1.0) and amount is not True else "FL-ARGUMENT-INVALID"
    scenario.refused(code, ORG1, "tokens:Issue", {**issue(), "amount": amount})
    scenario.refused(code, ORG1, "tokens:Transfer", {**transfer([H("x")], 1), "amount": amount})


def test_a_transfer_pays_and_returns_the_change(scenario):
    entry = scenario.mint(ORG1, 10)
    answer = scenario.call(ORG1, "tokens:Transfer", transfer([entry], 3))
    assert (scenario.balance(ORG1), scenario.balance(ORG2)) == (7, 3)
    (paid,) = scenario.read("tokens:Entries", ORG2)
    (change,) = scenario.read("tokens:Entries", ORG1)
    assert answer["outputs"] == [paid["id"], change["id"]]
    assert paid["cause"] == change["cause"] == "token/transfer/Org1MSP/r1"


def test_an_exact_transfer_has_no_change(scenario):
    entries = [scenario.mint(ORG1, 4, "a"), scenario.mint(ORG1, 6, "b")]
    assert len(scenario.call(ORG1, "tokens:Transfer", transfer(entries, 10))["outputs"]) == 1
    assert scenario.read("tokens:Entries", ORG1) == []


def test_a_transfer_to_oneself_joins_entries(scenario):
    entries = [scenario.mint(ORG1, 4, "a"), scenario.mint(ORG1, 6, "b")]
    scenario.call(ORG1, "tokens:Transfer", transfer(entries, 10, to=ORG1))
    assert [one["amount"] for one in scenario.read("tokens:Entries", ORG1)] == [10]


def test_a_repeated_transfer_returns_the_stored_answer_and_pays_once(scenario):
    entry = scenario.mint(ORG1, 10)
    answer = scenario.call(ORG1, "tokens:Transfer", transfer([entry], 3))
    assert scenario.call(ORG1, "tokens:Transfer", transfer([entry], 3)) == answer
    assert not scenario.wrote
    assert scenario.balance(ORG2) == 3


def test_the_same_request_id_with_another_content_is_refused_and_of_another_sender_is_another_request(scenario):
    mine, yours = scenario.mint(ORG1, 10, "a"), scenario.mint(ORG2, 10, "b")
    scenario.call(ORG1, "tokens:Transfer", transfer([mine], 3))
    scenario.refused("FL-CONFLICT", ORG1, "tokens:Transfer", transfer([mine], 4))
    scenario.refused("FL-CONFLICT", ORG1, "tokens:Transfer", transfer([mine], 3, to=ORG3))
    scenario.call(ORG2, "tokens:Transfer", transfer([yours], 3, to=ORG1))
    assert scenario.balance(ORG1) == 10


def test_what_is_spent_or_somebody_elses_cannot_be_spent(scenario):
    entry = scenario.mint(ORG1, 10)
    scenario.refused("FL-TOKEN-INPUT", ORG2, "tokens:Transfer", transfer([entry], 3, to=ORG3))
    scenario.call(ORG1, "tokens:Transfer", transfer([entry], 3))
    scenario.refused("FL-TOKEN-INPUT", ORG1, "tokens:Transfer", transfer([entry], 3, request="r2"))
    scenario.refused("FL-TOKEN-INPUT", ORG1, "tokens:Transfer", transfer([H("made up")], 3, request="r2"))


def test_nobody_spends_more_than_the_named_entries_hold(scenario):
    entry = scenario.mint(ORG1, 10)
    scenario.mint(ORG1, 10, "unnamed")
    scenario.refused("FL-TOKEN-FUNDS", ORG1, "tokens:Transfer", transfer([entry], 11))


def test_the_same_entry_named_twice_is_refused(scenario):
    entry = scenario.mint(ORG1, 10)
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "tokens:Transfer", transfer([entry, entry], 20))
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "tokens:Transfer", transfer([], 1))


def test_nothing_is_paid_to_an_organisation_that_is_not_registered(scenario):
    entry = scenario.mint(ORG1, 10)
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG1, "tokens:Transfer", transfer([entry], 3, to="Org1Msp"))
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG1, "tokens:Issue", issue(to="Org1Msp", request="r2"))


def test_holdings_of_an_organisation_whose_name_begins_with_anothers_are_its_own(scenario):
    scenario.call("Org1MSP.eu", "participants:Register", {"name": "longer"})
    scenario.mint("Org1MSP.eu", 5)
    assert (scenario.balance(ORG1), scenario.balance("Org1MSP.eu")) == (0, 5)


def test_payments_to_one_busy_account_in_one_block_do_not_conflict(scenario):
    entries = [scenario.mint(ORG1, 1, f"m{i}") for i in range(20)]
    block = [
        scenario.endorse(ORG1, "tokens:Transfer", transfer([entry], 1, request=f"p{i}"))
        for i, entry in enumerate(entries)
    ]
    assert scenario.ledger.commit(*block) == [True] * 20
    assert scenario.balance(ORG2) == 20


def test_the_same_entry_spent_twice_in_one_block_is_spent_once(scenario):
    entry = scenario.mint(ORG1, 10)
    block = [scenario.endorse(ORG1, "tokens:Transfer", transfer([entry], 10, request=f"p{i}")) for i in range(3)]
    assert scenario.ledger.commit(*block) == [True, False, False]
    assert scenario.all_tokens() == (10, 10)


def test_two_votes_of_one_issue_in_one_block_count_once_and_the_other_is_repeated(scenario):
    block = [scenario.endorse(who, "tokens:Issue", issue()) for who in (ORG1, ORG2)]
    assert scenario.ledger.commit(*block) == [True, False]
    assert scenario.call(ORG2, "tokens:Issue", issue())["issued"] is True
