"""Motions: the consortium's members, and whom it suspends, by majority."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, Scenario


def order(kind: str, subject: str, request: str = "m") -> dict[str, str]:
    return {"request_id": request, "kind": kind, "subject": subject}


@pytest.fixture
def scenario() -> Scenario:
    scenario = Scenario()
    scenario.call(ORG4, "participants:Register", {"name": "fourth"})
    return scenario


def members(scenario: Scenario) -> list[str]:
    return scenario.read("consortium:Read")["organisations"]


def test_a_majority_adds_a_member_who_then_votes(scenario):
    answer = scenario.call(ORG1, "consortium:Vote", order("add", ORG4))
    assert (answer["votes"], answer["carried"]) == ([ORG1], False)
    assert members(scenario) == [ORG1, ORG2, ORG3]
    scenario.refused("FL-CONSORTIUM-OUTSIDE", ORG4, "consortium:Vote", order("add", ORG4))
    answer = scenario.call(ORG3, "consortium:Vote", order("add", ORG4))
    assert (answer["votes"], answer["carried"]) == ([ORG1, ORG3], True)
    assert scenario.read("consortium:Read") == {
        "schema": 1,
        "organisations": [ORG1, ORG2, ORG3, ORG4],
        "changes": 1,
    }
    # of four, three are the majority now
    assert not scenario.call(ORG4, "consortium:Vote", order("suspend", ORG1, "s"))["carried"]
    assert not scenario.call(ORG2, "consortium:Vote", order("suspend", ORG1, "s"))["carried"]
    assert scenario.call(ORG3, "consortium:Vote", order("suspend", ORG1, "s"))["carried"]


def test_a_carried_motion_acts_once_and_a_repeated_vote_writes_nothing(scenario):
    scenario.carry("add", ORG4)
    scenario.carry("remove", ORG4, "out")
    assert scenario.call(ORG3, "consortium:Vote", order("add", ORG4))["carried"]
    assert not scenario.wrote
    assert members(scenario) == [ORG1, ORG2, ORG3]


def test_a_request_is_for_one_thing(scenario):
    scenario.call(ORG1, "consortium:Vote", order("add", ORG4))
    scenario.refused("FL-CONFLICT", ORG2, "consortium:Vote", order("remove", ORG4))
    scenario.refused("FL-CONFLICT", ORG2, "consortium:Vote", order("add", ORG5))


def test_the_vote_of_who_has_left_the_consortium_does_not_count(scenario):
    scenario.carry("add", ORG4, "in")
    scenario.call(ORG4, "consortium:Vote", order("suspend", ORG3, "s"))
    scenario.carry("remove", ORG4, "out")
    answer = scenario.call(ORG1, "consortium:Vote", order("suspend", ORG3, "s"))
    assert (answer["votes"], answer["carried"]) == ([ORG1, ORG4], False)
    assert scenario.call(ORG2, "consortium:Vote", order("suspend", ORG3, "s"))["carried"]


def test_a_vote_can_be_taken_back_until_the_motion_is_carried(scenario):
    scenario.call(ORG1, "consortium:Vote", order("add", ORG4))
    assert scenario.call(ORG1, "consortium:Retract", "m")["votes"] == []
    scenario.call(ORG1, "consortium:Retract", "m")
    assert not scenario.wrote
    assert not scenario.call(ORG2, "consortium:Vote", order("add", ORG4))["carried"]
    assert scenario.call(ORG1, "consortium:Vote", order("add", ORG4))["carried"]
    scenario.refused("FL-MOTION-VOID", ORG2, "consortium:Retract", "m")


def test_a_member_is_registered_first_so_that_no_misspelt_name_counts_in_majorities(scenario):
    scenario.call(ORG1, "consortium:Vote", order("add", ORG5))
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG2, "consortium:Vote", order("add", ORG5))


def test_two_members_remain_so_that_nobody_is_the_majority_alone():
    scenario = Scenario()
    scenario.carry("remove", ORG3)
    scenario.call(ORG1, "consortium:Vote", order("remove", ORG2, "n"))
    scenario.refused("FL-CONSORTIUM-SMALL", ORG2, "consortium:Vote", order("remove", ORG2, "n"))
    assert members(scenario) == [ORG1, ORG2]


@pytest.mark.parametrize(
    ("kind", "subject", "code"),
    [
        ("add", ORG2, "FL-MOTION-VOID"),
        ("remove", ORG4, "FL-CONSORTIUM-OUTSIDE"),
        ("suspend", ORG5, "FL-PARTICIPANT-UNKNOWN"),
        ("reinstate", ORG2, "FL-MOTION-VOID"),
        ("cancel", "t9", "FL-TASK-UNKNOWN"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_to_the_deciding_vote_and_stays_open(scenario, kind, subject, code):
    scenario.call(ORG1, "consortium:Vote", order(kind, subject))
    scenario.refused(code, ORG2, "consortium:Vote", order(kind, subject))
    assert scenario.read("consortium:Motion", "m")["votes"] == [ORG1]
    assert [one["request_id"] for one in scenario.read("consortium:Motions")] == ["m"]


def test_a_kind_that_is_not_known_and_a_subject_of_another_form_are_refused(scenario):
    for wrong in (order("dissolve", ORG2), order("cancel", ORG2), order("add", "a/b"), order("add", ORG2, "M")):
        scenario.refused("FL-ARGUMENT-INVALID", ORG1, "consortium:Vote", wrong)


def test_running_tasks_keep_a_validator_that_left_the_consortium():
    scenario = Scenario()
    scenario.create()
    scenario.carry("remove", ORG3)
    scenario.submit_and_reveal(1)
    scenario.attest(ORG3, 1)
    scenario.attest(ORG1, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert scenario.round(2)["validators"] == [ORG1, ORG2, ORG3]


def test_init_answers_the_present_consortium_once_a_majority_has_changed_it():
    scenario = Scenario()
    scenario.carry("remove", ORG3)
    assert scenario.call(ORG1, "consortium:Init")["organisations"] == [ORG1, ORG2]
    assert not scenario.wrote


def test_two_deciding_votes_in_one_block_carry_a_motion_once(scenario):
    scenario.call(ORG1, "consortium:Vote", order("add", ORG4))
    votes = [scenario.endorse(one, "consortium:Vote", order("add", ORG4)) for one in (ORG2, ORG3)]
    assert scenario.ledger.commit(*votes) == [True, False]
    assert scenario.read("consortium:Read")["changes"] == 1
