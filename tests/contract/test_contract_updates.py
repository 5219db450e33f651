"""Updates: committed, then opened, and worth nothing to a thief."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, caller, specification

from fl_chaincode.canonical import H
from fl_chaincode.hashes import update_commitment


@pytest.fixture
def scenario() -> Scenario:
    scenario = Scenario()
    scenario.create()
    return scenario


def seal_two(scenario: Scenario) -> None:
    """Org1 and Org2 submit, and the round is sealed by votes without Org3."""
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    scenario.call(ORG3, "rounds:Seal", TASK, 1)


def test_a_selected_participant_commits_once(scenario):
    answer = scenario.submit(ORG1, 1)
    assert scenario.wrote
    assert answer["participant"] == ORG1
    assert scenario.ledger.events[-1][1:] == ("updates:Submit", b'{"round":1,"task":"t1"}')
    assert scenario.submit(ORG1, 1) == answer
    assert not scenario.wrote


def test_a_second_commitment_of_one_participant_is_refused(scenario):
    scenario.submit(ORG1, 1)
    scenario.refused("FL-CONFLICT", ORG1, "updates:Submit", TASK, 1, H("another"))


def test_a_participant_that_was_not_selected_is_refused():
    scenario = Scenario()
    scenario.create(k=2)
    (left_out,) = [one for one in scenario.organisations if one not in scenario.round(1)["selected"]]
    scenario.refused("FL-ROUND-UNSELECTED", left_out, "updates:Submit", TASK, 1, H("x"))


def test_a_sealed_round_takes_no_more_updates_but_knows_the_ones_it_has(scenario):
    seal_two(scenario)
    scenario.refused("FL-ROUND-SEALED", ORG3, "updates:Submit", TASK, 1, H("late"))
    scenario.submit(ORG1, 1)
    assert not scenario.wrote


def test_a_round_that_does_not_exist_is_refused(scenario):
    scenario.refused("FL-ROUND-UNKNOWN", ORG1, "updates:Submit", TASK, 2, H("x"))
    scenario.refused("FL-TASK-UNKNOWN", ORG1, "updates:Submit", "nothing", 1, H("x"))


def test_nothing_is_revealed_before_all_have_submitted(scenario):
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.refused("FL-ROUND-OPEN", ORG1, "updates:Reveal", TASK, 1, scenario.opening_of(ORG1, 1))
    scenario.submit(ORG3, 1)
    answer = scenario.reveal(ORG1, 1)
    assert answer["digest"] == scenario.opening_of(ORG1, 1)["digest"]
    assert scenario.read("updates:Read", TASK, 1, ORG1)["reveal"] == answer
    assert scenario.reveal(ORG1, 1) == answer
    assert not scenario.wrote


def test_after_sealing_by_votes_those_who_submitted_reveal_and_nobody_else(scenario):
    seal_two(scenario)
    scenario.reveal(ORG2, 1)
    scenario.refused("FL-ROUND-UNSELECTED", ORG3, "updates:Reveal", TASK, 1, scenario.opening_of(ORG3, 1))


@pytest.mark.parametrize(
    "change", [{"digest": H("other")}, {"num_examples": 99}, {"nonce": H("guess")}, {"num_examples": 1001}]
)
def test_an_opening_that_differs_from_the_commitment_is_refused(scenario, change):
    seal_two(scenario)
    opening = {**scenario.opening_of(ORG1, 1), **change}
    scenario.refused("FL-UPDATE-OPENING", ORG1, "updates:Reveal", TASK, 1, opening)


def test_the_size_cannot_be_changed_afterwards(scenario):
    seal_two(scenario)
    scenario.reveal(ORG1, 1)
    opening = {**scenario.opening_of(ORG1, 1), "size": 1}
    scenario.refused("FL-CONFLICT", ORG1, "updates:Reveal", TASK, 1, opening)


def test_a_weight_above_the_tasks_limit_is_refused_even_if_it_was_committed_to(scenario):
    base, opening = scenario.round(1)["base"], {**scenario.opening_of(ORG1, 1), "num_examples": 1001}
    heavy = update_commitment(TASK, 1, ORG1, base, 1001, opening["digest"], opening["nonce"])
    scenario.call(ORG1, "updates:Submit", TASK, 1, heavy)
    scenario.submit(ORG2, 1)
    scenario.submit(ORG3, 1)
    scenario.refused("FL-UPDATE-OPENING", ORG1, "updates:Reveal", TASK, 1, opening)


def test_a_stolen_commitment_cannot_be_opened_and_does_not_lock_out_its_owner(scenario):
    base, opening = scenario.round(1)["base"], scenario.opening_of(ORG1, 1)
    stolen = update_commitment(TASK, 1, ORG1, base, opening["num_examples"], opening["digest"], opening["nonce"])
    scenario.call(ORG2, "updates:Submit", TASK, 1, stolen)  # the thief's copy is ordered first
    scenario.submit(ORG1, 1)
    scenario.submit(ORG3, 1)
    scenario.reveal(ORG1, 1)
    scenario.refused("FL-UPDATE-OPENING", ORG2, "updates:Reveal", TASK, 1, opening)


def test_nothing_is_revealed_once_what_is_included_is_decided(scenario):
    for one in (ORG1, ORG2, ORG3):
        scenario.submit(one, 1)
    scenario.reveal(ORG1, 1)
    scenario.reveal(ORG2, 1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2])
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1, [ORG1, ORG2]))
    scenario.refused("FL-ROUND-FIXED", ORG3, "updates:Reveal", TASK, 1, scenario.opening_of(ORG3, 1))
    assert scenario.round(1)["missed"] == [ORG3]
    scenario.reveal(ORG1, 1)
    assert not scenario.wrote


def test_nothing_is_revealed_in_an_aborted_round(scenario):
    seal_two(scenario)
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    scenario.refused("FL-ROUND-FINAL", ORG1, "updates:Reveal", TASK, 1, scenario.opening_of(ORG1, 1))
    scenario.refused("FL-ROUND-SEALED", ORG3, "updates:Submit", TASK, 1, H("x"))


def test_an_opening_from_another_round_does_not_fit(scenario):
    scenario.play(1)
    opening = scenario.opening_of(ORG1, 1)
    base = scenario.round(1)["base"]
    again = update_commitment(TASK, 1, ORG1, base, opening["num_examples"], opening["digest"], opening["nonce"])
    scenario.call(ORG1, "updates:Submit", TASK, 2, again)
    scenario.submit(ORG2, 2)
    scenario.submit(ORG3, 2)
    scenario.refused("FL-UPDATE-OPENING", ORG1, "updates:Reveal", TASK, 2, opening)


def test_updates_are_listed_with_their_openings(scenario):
    seal_two(scenario)
    scenario.reveal(ORG2, 1)
    listed = scenario.read("updates:List", TASK, 1)
    assert [(one["update"]["participant"], one["reveal"] is not None) for one in listed] == [
        (ORG1, False),
        (ORG2, True),
    ]
    scenario.refused("FL-UPDATE-UNKNOWN", ORG1, "updates:Read", TASK, 1, ORG3)


def test_a_participant_that_is_suspended_or_not_registered_is_refused(scenario):
    scenario.suspend(ORG1)
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG1, "updates:Submit", TASK, 1, H("x"))
    scenario.suspend(ORG1, "withdrawn")
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG1, "updates:Submit", TASK, 1, H("x"))
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG4, "updates:Submit", TASK, 1, H("x"))


def test_only_a_trainers_certificate_submits(scenario):
    scenario.refused("FL-CALLER-ROLE", caller(ORG1, "validator,admin"), "updates:Submit", TASK, 1, H("x"))


def test_a_suspended_trainer_is_not_selected_and_comes_back_when_reinstated():
    scenario = Scenario(4)
    everybody = list(scenario.organisations)
    scenario.call(ORG1, "tasks:Create", specification(trainers=everybody, k=4, rounds=3))
    assert sorted(scenario.round(1)["selected"]) == everybody
    scenario.submit_and_reveal(1)
    scenario.suspend(ORG4)
    commit_by_two(scenario, 1)
    assert sorted(scenario.round(2)["selected"]) == everybody[:3]
    scenario.submit_and_reveal(2)
    scenario.reinstate(ORG4)
    commit_by_two(scenario, 2)
    assert sorted(scenario.round(3)["selected"]) == everybody


def commit_by_two(scenario: Scenario, number: int) -> None:
    scenario.attest(ORG1, number)
    scenario.attest(ORG2, number)
    scenario.call(ORG1, "rounds:Commit", TASK, number, scenario.aggregate(number))
