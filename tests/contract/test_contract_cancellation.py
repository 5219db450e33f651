"""Cancelling: who may, when it takes effect, and where the budget goes."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, caller

SCORES = {ORG1: 1, ORG2: 1, ORG3: 1}


@pytest.fixture
def scenario() -> Scenario:
    """Org1 sponsors a task of three rounds with a budget of 300."""
    scenario = Scenario()
    scenario.create(budget=300, rounds=3)
    return scenario


def cancel(scenario: Scenario) -> dict:
    return scenario.read("tasks:Status", TASK)["cancel"]


def state(scenario: Scenario) -> str:
    return scenario.read("tasks:Status", TASK)["state"]


def test_a_task_is_created_then_running_then_finished(scenario):
    assert state(scenario) == "created"
    scenario.submit(ORG1, 1)
    assert state(scenario) == "running"
    scenario.submit(ORG2, 1)
    scenario.submit(ORG3, 1)
    for one in scenario.organisations:
        scenario.reveal(one, 1)
    for one in scenario.organisations:
        scenario.attest(one, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert state(scenario) == "running"
    scenario.play(2)
    scenario.play(3)
    assert state(scenario) == "finished"


def test_the_sponsor_cancels_and_the_round_that_runs_is_committed_and_paid_first(scenario):
    scenario.play(1, scores=SCORES)
    scenario.submit_and_reveal(2)
    assert scenario.call(ORG1, "tasks:Cancel", TASK) == {"schema": 1, "task": TASK, "organisation": ORG1}
    assert cancel(scenario) == {"wanted_by": [ORG1], "decided": True}
    assert state(scenario) == "running"
    for one in scenario.organisations:
        scenario.attest(one, 2, scores=SCORES)
    scenario.call(ORG2, "rounds:Commit", TASK, 2, scenario.aggregate(2))
    head = scenario.head()
    assert (head["status"], head["round"], head["j"], head["unsettled"]) == ("cancelled", 2, 2, [1, 2])
    assert state(scenario) == "cancelled"
    assert scenario.escrow() == 300  # nothing returns before what was earned is paid
    for number in (1, 2):
        for one in scenario.organisations:
            scenario.open(one, number, SCORES)
        scenario.call(ORG3, "rounds:Settle", TASK, number)
    assert scenario.escrow() == 0
    # the shares of two rounds are 100 each, the odd token of each goes to Org1, which gets back the third
    assert [scenario.balance(one) for one in scenario.organisations] == [34 + 34 + 100, 66, 66]


def test_an_abort_ends_a_cancelled_task_and_returns_the_budget_at_once(scenario):
    scenario.submit(ORG1, 1)
    scenario.call(ORG1, "tasks:Cancel", TASK)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 1)
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["status"] == "aborted"
    assert (scenario.head()["status"], scenario.head()["round"]) == ("cancelled", 1)
    assert (scenario.escrow(), scenario.balance(ORG1)) == (0, 300)
    assert scenario.all_tokens() == (300, 300)


def test_a_round_that_nobody_has_begun_ends_without_votes(scenario):
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 1)
    scenario.call(ORG1, "tasks:Cancel", TASK)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    assert (scenario.head()["status"], scenario.escrow()) == ("cancelled", 0)


def test_a_submission_and_the_abort_of_an_unbegun_round_do_not_both_happen(scenario):
    scenario.call(ORG1, "tasks:Cancel", TASK)
    abort = scenario.endorse(ORG1, "rounds:Abort", TASK, 1)
    update = scenario.endorse(ORG2, "updates:Submit", TASK, 1, "ab" * 32)
    assert scenario.ledger.commit(update, abort) == [True, False]


def test_q_validators_cancel_and_fewer_do_not(scenario):
    scenario.call(ORG2, "tasks:Cancel", TASK)
    assert cancel(scenario) == {"wanted_by": [ORG2], "decided": False}
    scenario.play(1)
    assert scenario.head()["status"] == "running"
    scenario.call(ORG3, "tasks:Cancel", TASK)
    scenario.play(2)
    assert scenario.head()["status"] == "cancelled"


def test_cancelling_asks_for_the_sponsors_coordinator_or_a_validators_validator(scenario):
    scenario.refused("FL-CALLER-ROLE", caller(ORG1, "validator"), "tasks:Cancel", TASK)
    scenario.refused("FL-CALLER-ROLE", caller(ORG2, "coordinator"), "tasks:Cancel", TASK)
    scenario.call(ORG4, "participants:Register", {"name": "x"})
    scenario.refused("FL-TASK-OUTSIDE", ORG4, "tasks:Cancel", TASK)
    scenario.call(caller(ORG1, "coordinator"), "tasks:Cancel", TASK)
    scenario.call(ORG1, "tasks:Cancel", TASK)
    assert not scenario.wrote


def test_what_has_ended_is_not_cancelled(scenario):
    for number in (1, 2, 3):
        scenario.play(number)
    scenario.refused("FL-TASK-ENDED", ORG1, "tasks:Cancel", TASK)


def test_a_task_that_commits_its_last_model_is_finished_though_it_was_cancelled(scenario):
    for number in (1, 2):
        scenario.play(number)
    scenario.call(ORG1, "tasks:Cancel", TASK)
    scenario.play(3)
    assert scenario.head()["status"] == "finished"


def test_a_majority_of_the_consortium_ends_a_task_whose_validators_are_gone():
    scenario = Scenario(5)
    scenario.create(budget=300, rounds=3, q=3)
    scenario.play(1, scores=SCORES)
    scenario.open(ORG1, 1, SCORES)
    for one in (ORG2, ORG3):
        scenario.call(one, "participants:Withdraw")
    scenario.submit(ORG1, 2)
    # Org1 alone can neither commit nor abort nor settle: the other scores stay closed
    scenario.refused("FL-SCORE-UNOPENED", ORG1, "rounds:Settle", TASK, 1)
    scenario.carry("cancel", TASK)
    head = scenario.head()
    assert (head["status"], head["j"], head["unsettled"]) == ("cancelled", 1, [])
    assert scenario.round(2)["status"] == "aborted"
    # Org1's scores of the others count, its score of itself does not
    settlement = scenario.read("scores:List", TASK)["rounds"][0]["settlement"]
    assert (settlement["scorers"], settlement["payments"]) == ([ORG1], {ORG2: 50, ORG3: 50})
    assert (scenario.escrow(), scenario.balance(ORG1)) == (0, 200)
    assert scenario.all_tokens() == (300, 300)


def test_the_consortium_settles_what_a_finished_task_left_open_and_nothing_twice(scenario):
    for number in (1, 2, 3):
        scenario.play(number, scores=SCORES)
    assert scenario.escrow() == 300
    scenario.carry("cancel", TASK)
    assert (scenario.head()["status"], scenario.head()["unsettled"], scenario.escrow()) == ("finished", [], 0)
    scenario.call(ORG1, "consortium:Vote", {"request_id": "again", "kind": "cancel", "subject": TASK})
    scenario.refused(
        "FL-TASK-ENDED", ORG2, "consortium:Vote", {"request_id": "again", "kind": "cancel", "subject": TASK}
    )
    assert scenario.all_tokens() == (300, 300)
