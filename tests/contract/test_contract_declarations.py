"""Declarations of data: who may train for a purpose, until when, and what a revocation marks."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, caller, declaration, specification

from fl_chaincode.canonical import H


@pytest.fixture
def scenario() -> Scenario:
    """Three organisations that have declared their data for sepsis."""
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one)
    return scenario


def mark(participant: str, number: int, j: int) -> dict:
    return {"participant": participant, "purpose": "sepsis", "number": number, "j": j}


def revoked(scenario: Scenario, j: int) -> list[dict]:
    return scenario.read("models:Read", TASK, j)["revoked"]


def test_a_declaration_is_recorded_for_its_participant_purpose_and_number(scenario):
    answer = scenario.read("declarations:Read", ORG1, "sepsis", 1)
    assert answer == {**declaration(), "schema": 1, "participant": ORG1, "revoked": False}
    scenario.declare(ORG1)
    assert not scenario.wrote


def test_a_newer_declaration_replaces_the_one_before_and_has_the_next_number(scenario):
    scenario.refused("FL-DECLARATION-NUMBER", ORG1, "declarations:Submit", declaration(number=3))
    scenario.declare(ORG1, number=2, digest=H("more data"))
    scenario.refused("FL-CONFLICT", ORG1, "declarations:Submit", declaration(number=2))
    assert [one["number"] for one in scenario.read("declarations:List", ORG1)] == [1, 2]
    scenario.create(purpose="sepsis")
    assert scenario.round(1)["declarations"] == {ORG1: 2, ORG2: 1, ORG3: 1}


def test_purposes_are_numbered_apart(scenario):
    scenario.declare(ORG1, purpose="stroke")
    assert [(one["purpose"], one["number"]) for one in scenario.read("declarations:List", ORG1)] == [
        ("sepsis", 1),
        ("stroke", 1),
    ]


def test_a_task_for_another_purpose_is_refused(scenario):
    error = scenario.refused("FL-DECLARATION-UNKNOWN", ORG1, "tasks:Create", specification(purpose="stroke"))
    assert error.message == "Org1MSP has declared no data for stroke"


def test_a_task_without_a_purpose_asks_for_no_declaration():
    scenario = Scenario()
    scenario.create()
    assert scenario.round(1)["declarations"] == {}
    scenario.play(1)


def test_a_revoked_declaration_is_refused_for_new_tasks_until_there_is_another(scenario):
    scenario.call(ORG2, "declarations:Revoke", "sepsis", 1)
    scenario.refused("FL-DECLARATION-REVOKED", ORG1, "tasks:Create", specification(purpose="sepsis"))
    scenario.declare(ORG2)  # a delayed repetition of what was revoked
    assert not scenario.wrote
    assert scenario.read("declarations:Read", ORG2, "sepsis", 1)["revoked"]
    scenario.declare(ORG2, number=2)
    scenario.create(purpose="sepsis")


def test_only_its_own_participant_revokes_a_declaration_and_once_is_for_ever(scenario):
    scenario.refused("FL-DECLARATION-UNKNOWN", ORG3, "declarations:Revoke", "sepsis", 2)
    scenario.call(ORG3, "declarations:Revoke", "sepsis", 1)
    assert not scenario.read("declarations:Read", ORG2, "sepsis", 1)["revoked"]
    scenario.call(ORG3, "declarations:Revoke", "sepsis", 1)
    assert not scenario.wrote
    scenario.refused("FL-CALLER-ROLE", caller(ORG3, "trainer"), "declarations:Revoke", "sepsis", 1)


@pytest.mark.parametrize("leave", ["participants:Suspend", "participants:Withdraw"])
def test_who_is_suspended_or_has_withdrawn_still_revokes(scenario, leave):
    scenario.call(ORG3, leave)
    assert scenario.call(ORG3, "declarations:Revoke", "sepsis", 1)["revoked"]
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG3, "declarations:Submit", declaration(number=2))


def test_a_declaration_is_selected_up_to_its_last_round_and_not_in_the_next():
    scenario = Scenario()
    for one, last in ((ORG1, None), (ORG2, 2), (ORG3, 1)):
        scenario.declare(one, last_round=last)
    scenario.create(purpose="sepsis", rounds=3, min_updates=1)
    assert sorted(scenario.round(1)["selected"]) == [ORG1, ORG2, ORG3]
    scenario.play(1)
    assert sorted(scenario.round(2)["selected"]) == [ORG1, ORG2]
    scenario.play(2)
    assert scenario.round(3)["selected"] == [ORG1]
    assert scenario.round(3)["declarations"] == {ORG1: 1}


def test_who_has_revoked_is_not_selected_until_it_declares_anew(scenario):
    scenario.create(purpose="sepsis", rounds=4)
    scenario.call(ORG3, "declarations:Revoke", "sepsis", 1)
    scenario.play_as(1, ORG1, ORG2, sealed_by_votes=True)
    assert sorted(scenario.round(2)["selected"]) == [ORG1, ORG2]
    scenario.declare(ORG3, number=2)
    scenario.play(2)
    assert sorted(scenario.round(3)["selected"]) == [ORG1, ORG2, ORG3]
    assert scenario.round(3)["declarations"][ORG3] == 2


def test_a_round_in_progress_refuses_updates_under_a_declaration_that_was_revoked_since(scenario):
    scenario.create(purpose="sepsis")
    scenario.call(ORG3, "declarations:Revoke", "sepsis", 1)
    scenario.refused("FL-DECLARATION-REVOKED", ORG3, "updates:Submit", TASK, 1, H("c"))
    for one in (ORG1, ORG2):
        scenario.submit(one, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Seal", TASK, 1)
    scenario.call(ORG1, "declarations:Revoke", "sepsis", 1)  # after submitting: what was trained is never revealed
    scenario.refused("FL-DECLARATION-REVOKED", ORG1, "updates:Reveal", TASK, 1, scenario.opening_of(ORG1, 1))
    scenario.reveal(ORG2, 1)


def test_a_round_goes_on_under_the_declaration_that_it_began_with(scenario):
    scenario.create(purpose="sepsis")
    scenario.declare(ORG1, number=2, num_examples=1)
    scenario.play(1)
    assert scenario.read("models:Read", TASK, 1)["declarations"] == {ORG1: 1, ORG2: 1, ORG3: 1}
    assert scenario.round(2)["declarations"][ORG1] == 2


def test_an_update_weighs_at_most_what_was_declared_times_the_epochs():
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one, num_examples=50)
    scenario.create(purpose="sepsis", training__epochs=2)  # updates of this scenario weigh 100
    scenario.submit_and_reveal(1)
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one, num_examples=49)
    scenario.create(purpose="sepsis", training__epochs=2)
    for one in scenario.organisations:
        scenario.submit(one, 1)
    scenario.refused("FL-DECLARATION-EXAMPLES", ORG1, "updates:Reveal", TASK, 1, scenario.opening_of(ORG1, 1))


def test_a_revocation_marks_every_model_that_the_data_went_into_and_their_descendants(scenario):
    scenario.create(purpose="sepsis", rounds=4, min_updates=1)
    scenario.declare(ORG1, number=2)  # for rounds that open from now on
    for number in (1, 2, 3):
        scenario.play(number)
    before = {key: scenario.ledger.state().get(key) for key in ("model/t1/00000001", "round/t1/00000001")}
    transaction = scenario.endorse(ORG1, "declarations:Revoke", "sepsis", 2)
    assert list(transaction.state.writes) == [f"declaration/{ORG1}/sepsis/00000002"]
    scenario.ledger.commit(transaction)
    assert [revoked(scenario, j) for j in range(4)] == [
        [],
        [],
        [mark(ORG1, 2, 2)],
        [mark(ORG1, 2, 2), mark(ORG1, 2, 3)],
    ]
    scenario.call(ORG2, "declarations:Revoke", "sepsis", 1)
    assert revoked(scenario, 1) == [mark(ORG2, 1, 1)]
    assert scenario.read("models:Latest", TASK)["revoked"] == revoked(scenario, 3)
    assert [one["revoked"] for one in scenario.read("models:List", TASK)] == [revoked(scenario, j) for j in range(4)]
    assert {key: scenario.ledger.state().get(key) for key in before} == before


def test_submissions_and_reveals_of_one_block_do_not_conflict(scenario):
    scenario.create(purpose="sepsis")
    for step in (scenario.submit, scenario.reveal):
        calls = []
        scenario.call = lambda *call: calls.append(call)  # noqa: B023 -- used within this pass
        for one in scenario.organisations:
            step(one, 1)
        del scenario.call
        assert scenario.ledger.commit(*[scenario.endorse(*call) for call in calls]) == [True] * 3


def test_an_update_that_was_refused_leaves_no_mark(scenario):
    scenario.create(purpose="sepsis")
    scenario.submit_and_reveal(1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2], refused={ORG3: "FL-BLOB-BOUND"})
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1, [ORG1, ORG2]))
    scenario.call(ORG3, "declarations:Revoke", "sepsis", 1)
    assert revoked(scenario, 1) == []
    scenario.call(ORG1, "declarations:Revoke", "sepsis", 1)
    assert revoked(scenario, 1) == [mark(ORG1, 1, 1)]


def test_a_mark_names_the_declaration_of_the_tasks_own_purpose_alone(scenario):
    scenario.declare(ORG1, purpose="stroke")
    scenario.create(purpose="sepsis")
    scenario.play(1)
    scenario.call(ORG1, "declarations:Revoke", "stroke", 1)
    assert revoked(scenario, 1) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"num_examples": 0},
        {"last_round": 0},
        {"purpose": "A"},
        {"digest": "ab"},
        {"number": 0},
        {"last_round": 10**8},
    ],
)
def test_a_declaration_of_another_form_is_refused(scenario, changes):
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "declarations:Submit", declaration(**changes))
