"""'What may I vote on now?': the part of tasks:Todo that others have begun."""

import json

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, specification
from market_scenario import Market


@pytest.fixture
def market() -> Market:
    return Market(4)


def choices(scenario: Scenario, who: str) -> list[dict]:
    answer = json.loads(scenario.endorse(who, "tasks:Todo").outcome.payload)
    return [one for one in answer if one["when"] == "choice"]


def asked(scenario: Scenario, function: str, *who: str) -> dict:
    """What all of these are asked, and nobody else."""
    found = {one: choices(scenario, one) for one in scenario.organisations}
    (choice,) = found[who[0]]
    assert {one: told for one, told in found.items() if told} == {one: [choice] for one in who}
    assert (choice.pop("function"), choice.pop("when")) == (function, "choice")
    return choice


def nobody(scenario: Scenario) -> bool:
    return not any(choices(scenario, one) for one in scenario.organisations)


def test_members_are_asked_for_a_motion_until_they_have_voted_or_it_is_carried(market):
    order = {"request_id": "out", "kind": "suspend", "subject": ORG4}
    assert nobody(market)
    market.call(ORG1, "consortium:Vote", order)
    assert asked(market, "consortium:Vote", ORG2, ORG3, ORG4) == order
    market.call(ORG2, "consortium:Vote", order)
    assert asked(market, "consortium:Vote", ORG3, ORG4) == order
    market.call(ORG3, "consortium:Vote", order)
    assert nobody(market)


def test_a_motion_that_everybody_has_retracted_is_no_question(market):
    market.call(ORG1, "consortium:Vote", {"request_id": "out", "kind": "remove", "subject": ORG4})
    market.call(ORG1, "consortium:Retract", "out")
    assert nobody(market)


def test_only_active_members_of_the_consortium_are_asked(market):
    market.carry("remove", ORG4)
    market.call(ORG3, "participants:Suspend")
    market.call(ORG1, "consortium:Vote", {"request_id": "back", "kind": "add", "subject": ORG4})
    assert asked(market, "consortium:Vote", ORG2)["request_id"] == "back"


def test_members_are_asked_for_an_issue_of_tokens_until_it_is_made(market):
    order = {"request_id": "more", "to": ORG2, "amount": 7}
    for voter, others in ((ORG2, (ORG1, ORG3, ORG4)), (ORG1, (ORG3, ORG4))):
        market.call(voter, "tokens:Issue", order)
        assert asked(market, "tokens:Issue", *others) == order
    market.call(ORG3, "tokens:Issue", order)
    assert nobody(market)


def test_members_are_asked_about_a_disputed_order_and_offer_until_it_ends(market):
    market.ordered(request_id="o", quantity=1)
    market.call(ORG1, "orders:Vote", ORG1, "o", "refund")
    dispute = {"buyer": ORG1, "order": "o", "outcome": "refund"}
    assert asked(market, "orders:Vote", ORG2, ORG3, ORG4) == dispute
    market.call(ORG1, "orders:Confirm", "o")
    assert nobody(market)
    market.taken()
    market.call(ORG3, "offers:Vote", ORG1, "s", "settle")
    assert asked(market, "offers:Vote", ORG1, ORG2, ORG4) == {"seller": ORG1, "offer": "s", "outcome": "settle"}
    market.call(ORG2, "offers:Vote", ORG1, "s", "cancel")
    assert [one["outcome"] for one in choices(market, ORG4)] == ["cancel", "settle"]
    assert choices(market, ORG2) == []  # it wants another outcome


def test_validators_are_asked_for_other_validators_once_for_each_proposal(market):
    market.create()
    market.call(ORG1, "validators:Vote", TASK, {"term": 0, "validators": [ORG1, ORG2], "q": 2})
    proposal = {"task": TASK, "round": 1, "term": 0, "validators": [ORG1, ORG2], "q": 2}
    assert asked(market, "validators:Vote", ORG2, ORG3) == proposal
    market.call(ORG2, "validators:Vote", TASK, {"term": 0, "validators": [ORG1, ORG2, ORG3], "q": 2})
    assert asked(market, "validators:Vote", ORG3) == proposal  # Org2 wants the present ones


def test_sponsor_and_validators_are_asked_for_a_tasks_end_until_it_is_decided(market):
    market.call(ORG4, "tasks:Create", specification(), {})
    market.call(ORG1, "tasks:Cancel", TASK)
    assert asked(market, "tasks:Cancel", ORG2, ORG3, ORG4) == {"task": TASK, "round": 1}
    market.call(ORG2, "tasks:Cancel", TASK)
    assert nobody(market)
