"""Elections: other validators from the next round on."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, Scenario

SCORES = {ORG1: 1, ORG2: 1, ORG3: 1}


@pytest.fixture
def scenario() -> Scenario:
    """Five organisations, of which the first three train and validate with q = 2."""
    scenario = Scenario(5)
    scenario.create(rounds=9, budget=90)
    return scenario


def elect(scenario: Scenario, validators: list[str], q: int, *voters: str, term: int = 0) -> None:
    for who in voters:
        scenario.call(who, "validators:Vote", TASK, {"term": term, "validators": validators, "q": q})


def electorate(scenario: Scenario, number: int) -> tuple[list[str], int, int]:
    round_ = scenario.round(number)
    return round_["validators"], round_["q"], round_["term"]


def test_q_votes_change_the_validators_when_the_next_round_opens(scenario):
    elect(scenario, [ORG4, ORG3, ORG1, ORG5], 3, ORG1, ORG2)
    assert electorate(scenario, 1) == ([ORG1, ORG2, ORG3], 2, 0)
    scenario.submit_and_reveal(1)
    scenario.refused("FL-VALIDATOR-OUTSIDE", ORG4, "attestations:Submit", TASK, 1, scenario.claim(ORG4, 1))
    for one in (ORG1, ORG2, ORG3):
        scenario.attest(one, 1, scores=SCORES)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert electorate(scenario, 2) == ([ORG1, ORG3, ORG4, ORG5], 3, 1)
    scenario.submit_and_reveal(2)
    scenario.refused("FL-VALIDATOR-OUTSIDE", ORG2, "attestations:Submit", TASK, 2, scenario.claim(ORG2, 2))
    for one in (ORG1, ORG4):
        scenario.attest(one, 2)
    scenario.refused("FL-ROUND-UNDECIDED", ORG1, "rounds:Commit", TASK, 2, scenario.aggregate(2))
    scenario.attest(ORG5, 2)
    scenario.call(ORG1, "rounds:Commit", TASK, 2, scenario.aggregate(2))
    assert scenario.read("models:Read", TASK, 2)["attested_by"] == [ORG1, ORG4, ORG5]
    # who validated round 1 still settles it, also when it validates no more
    scenario.open(ORG1, 1, SCORES)
    scenario.open(ORG3, 1, SCORES)
    scenario.refused("FL-SCORE-UNOPENED", ORG1, "rounds:Settle", TASK, 1)
    scenario.open(ORG2, 1, SCORES)
    scenario.call(ORG4, "rounds:Settle", TASK, 1)


def test_an_abort_opens_the_next_round_with_the_new_validators_too(scenario):
    elect(scenario, [ORG1, ORG4, ORG5], 2, ORG1, ORG2)
    scenario.vote("abort", 1, 0, ORG1, ORG3)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    assert electorate(scenario, 2) == ([ORG1, ORG4, ORG5], 2, 1)


def test_new_validators_vote_and_those_voted_out_are_not_counted(scenario):
    elect(scenario, [ORG1, ORG4, ORG5], 2, ORG1, ORG2)
    scenario.refused("FL-VALIDATOR-OUTSIDE", ORG4, "rounds:Vote", TASK, 1, "abort", 0)
    scenario.vote("abort", 1, 0, ORG1, ORG3)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    scenario.vote("abort", 2, 0, ORG2, ORG3)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 2)
    scenario.vote("abort", 2, 0, ORG4, ORG5)
    assert scenario.read("tasks:Status", TASK)["votes"] == {"abort": {"0": [ORG4, ORG5]}}
    scenario.call(ORG1, "rounds:Abort", TASK, 2)


def test_fewer_than_q_votes_or_votes_that_differ_change_nothing(scenario):
    elect(scenario, [ORG1, ORG2, ORG3, ORG4], 3, ORG1)
    elect(scenario, [ORG1, ORG2, ORG3, ORG4], 4, ORG2)
    scenario.play(1)
    assert electorate(scenario, 2) == ([ORG1, ORG2, ORG3], 2, 0)
    assert [one["q"] for one in scenario.read("validators:Read", TASK)["votes"]] == [3, 4]
    elect(scenario, [ORG1, ORG2, ORG3, ORG4], 4, ORG1)
    scenario.play(2)
    assert electorate(scenario, 3) == ([ORG1, ORG2, ORG3, ORG4], 4, 1)


def test_a_vote_is_taken_back_by_one_for_the_present_validators(scenario):
    elect(scenario, [ORG1, ORG2, ORG4], 2, ORG1)
    elect(scenario, [ORG1, ORG2, ORG3], 2, ORG1)
    elect(scenario, [ORG1, ORG2, ORG4], 2, ORG2)
    scenario.play(1)
    assert electorate(scenario, 2) == ([ORG1, ORG2, ORG3], 2, 0)


def test_a_vote_of_an_earlier_term_says_nothing_about_later_validators(scenario):
    elect(scenario, [ORG1, ORG2, ORG4], 2, ORG1, ORG2)
    elect(scenario, [ORG3, ORG4, ORG5], 2, ORG3)
    scenario.play(1)
    scenario.refused(
        "FL-ELECTION-TERM", ORG1, "validators:Vote", TASK, {"term": 0, "validators": [ORG3, ORG4, ORG5], "q": 2}
    )
    elect(scenario, [ORG3, ORG4, ORG5], 2, ORG1, term=1)
    scenario.play(2)
    assert electorate(scenario, 3) == ([ORG1, ORG2, ORG4], 2, 1)


def test_only_active_members_of_the_consortium_with_a_majority_quorum_are_elected(scenario):
    def refused(code: str, validators: list[str], q: int) -> None:
        scenario.refused(code, ORG1, "validators:Vote", TASK, {"term": 0, "validators": validators, "q": q})

    refused("FL-TASK-QUORUM", [ORG1, ORG2, ORG4, ORG5], 2)
    refused("FL-TASK-QUORUM", [ORG1, ORG2], 3)
    scenario.call("OtherMSP", "participants:Register", {"name": "outside"})
    refused("FL-CONSORTIUM-OUTSIDE", [ORG1, "OtherMSP"], 2)
    scenario.call(ORG4, "participants:Suspend")
    refused("FL-PARTICIPANT-INACTIVE", [ORG1, ORG4], 2)


def test_whoever_was_suspended_or_removed_since_the_votes_is_waited_for(scenario):
    elect(scenario, [ORG1, ORG2, ORG4], 2, ORG1, ORG2)
    scenario.call(ORG4, "participants:Suspend")
    scenario.play(1)
    assert electorate(scenario, 2) == ([ORG1, ORG2, ORG3], 2, 0)
    scenario.call(ORG4, "participants:Reinstate")
    scenario.carry("remove", ORG4, "out")
    scenario.play(2)
    assert electorate(scenario, 3) == ([ORG1, ORG2, ORG3], 2, 0)
    scenario.carry("add", ORG4, "in")
    scenario.play(3)
    assert electorate(scenario, 4) == ([ORG1, ORG2, ORG4], 2, 1)


def test_nobody_votes_about_the_validators_of_a_task_that_is_over(scenario):
    scenario.call(ORG1, "tasks:Cancel", TASK)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    election = {"term": 0, "validators": [ORG1, ORG2], "q": 2}
    scenario.refused("FL-TASK-ENDED", ORG1, "validators:Vote", TASK, election)


def test_votes_in_one_block_do_not_conflict(scenario):
    election = {"term": 0, "validators": [ORG1, ORG4, ORG5], "q": 2}
    votes = [scenario.endorse(one, "validators:Vote", TASK, election) for one in (ORG1, ORG2, ORG3)]
    assert scenario.ledger.commit(*votes) == [True] * 3
