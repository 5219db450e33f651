"""Rounds under stress: silence, suspension in the middle, invalid content, disputes, late dissent."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, Scenario

from fl_chaincode.canonical import H

SCORES = {ORG1: 1, ORG2: 1, ORG3: 1}
INVALID, NORM = "FL-BLOB-BOUND", "FL-RULE-NORM"


@pytest.fixture
def scenario() -> Scenario:
    """Three organisations, q = 2, min_updates = 2, a budget of 300 for three rounds."""
    scenario = Scenario()
    scenario.create(budget=300, rounds=3)
    return scenario


def five(**changes) -> Scenario:
    """Five organisations that train, of which the first three validate."""
    scenario = Scenario(5)
    scenario.create(trainers=list(scenario.organisations), **changes)
    return scenario


def blame(scenario: Scenario, number: int, attempt: int, refused: dict[str, str], *voters: str) -> None:
    for who in voters:
        scenario.call(who, "rounds:Vote", TASK, number, "abort", attempt, {"refused": refused})


def abort(scenario: Scenario, number: int) -> dict:
    return scenario.call("AnybodyMSP", "rounds:Abort", TASK, number)


# Nobody answers


def test_a_round_in_which_nobody_submits_is_run_again_with_others_until_somebody_does():
    scenario = five(k=2)
    seen = []
    for number in (1, 2):
        seen += scenario.round(number)["selected"]
        scenario.vote("close", number, 0, ORG1, ORG2)
        scenario.refused("FL-ROUND-MIN-UPDATES", ORG1, "rounds:Seal", TASK, number)
        scenario.vote("abort", number, 0, ORG1, ORG2)
        assert abort(scenario, number)["missed"] == scenario.round(number)["selected"]
    third = scenario.round(3)
    assert len(set(seen)) == 4
    assert third["moved"] == seen
    assert third["selected"] == [next(one for one in scenario.organisations if one not in seen), seen[0]]
    assert (third["j"], third["base"]) == (1, H("blob"))
    scenario.play(3)
    assert scenario.head()["j"] == 1


def test_a_round_in_which_nobody_attests_is_aborted_and_blames_nobody(scenario):
    scenario.submit_and_reveal(1)
    scenario.refused("FL-ROUND-UNDECIDED", ORG1, "rounds:Commit", TASK, 1)
    scenario.vote("abort", 1, 1, ORG2, ORG3)
    answer = abort(scenario, 1)
    assert (answer["missed"], answer["refused"], scenario.round(2)["moved"]) == ([], {}, [])


def test_a_round_without_anybody_to_select_is_run_again_until_one_returns(scenario):
    for one in (ORG1, ORG2, ORG3):
        scenario.call(one, "participants:Suspend")
    for one in (ORG1, ORG2):
        scenario.call(one, "participants:Reinstate")
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    for one in (ORG1, ORG2):
        scenario.call(one, "participants:Suspend")
    abort(scenario, 1)
    assert scenario.round(2)["selected"] == []
    assert scenario.round(2)["status"] == "sealed"  # nobody is waited for
    scenario.refused("FL-ROUND-UNDECIDED", ORG1, "rounds:Commit", TASK, 2)
    for one in (ORG1, ORG2):
        scenario.call(one, "participants:Reinstate")
    scenario.vote("abort", 2, 1, ORG1, ORG2)
    abort(scenario, 2)
    assert sorted(scenario.round(3)["selected"]) == [ORG1, ORG2]
    scenario.play_as(3, ORG1, ORG2)
    assert scenario.head()["j"] == 1


# Suspended in the middle of a round


def test_a_trainer_suspended_before_its_reveal_is_left_out_and_not_selected_again(scenario):
    for one in (ORG1, ORG2, ORG3):
        scenario.submit(one, 1)
    scenario.carry("suspend", ORG3)
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG3, "updates:Reveal", TASK, 1, scenario.opening_of(ORG3, 1))
    scenario.play_as(1, ORG1, ORG2, submitted=True)
    assert scenario.round(1)["missed"] == [ORG3]
    assert sorted(scenario.round(2)["selected"]) == [ORG1, ORG2]
    assert scenario.round(2)["validators"] == [ORG1, ORG2, ORG3]  # V is the validators' own decision


def test_a_trainer_suspended_after_its_reveal_has_contributed(scenario):
    scenario.submit_and_reveal(1)
    scenario.carry("suspend", ORG3)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, scores=SCORES)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    for one in (ORG1, ORG2):
        scenario.open(one, 1, SCORES)
    assert scenario.call(ORG1, "rounds:Settle", TASK, 1)["payments"][ORG3] > 0
    assert scenario.balance(ORG3) > 0


def test_a_validator_suspended_before_it_attests_is_declared_silent(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1)
    scenario.attest(ORG2, 1, wrong="a bad disk")
    scenario.carry("suspend", ORG3)
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG3, "attestations:Submit", TASK, 1, scenario.claim(ORG3, 1))
    scenario.refused("FL-ROUND-UNDECIDED", ORG1, "rounds:Commit", TASK, 1)
    scenario.vote("close", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Commit", TASK, 1)["status"] == "disputed"
    scenario.attest(ORG2, 1, version=2)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert scenario.read("models:Read", TASK, 1)["attested_by"] == [ORG1, ORG2]


def test_what_a_validator_attested_and_voted_before_its_suspension_counts(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG3, 1)
    scenario.carry("suspend", ORG3)
    scenario.attest(ORG1, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert scenario.read("models:Read", TASK, 1)["attested_by"] == [ORG1, ORG3]


def test_scores_that_a_suspended_validator_cannot_open_are_voted_away(scenario):
    scenario.play(1, scores=SCORES)
    scenario.carry("suspend", ORG3)
    for one in (ORG1, ORG2):
        scenario.open(one, 1, SCORES)
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG3, "scores:Open", TASK, 1, scenario.score_opening(ORG3, 1, SCORES))
    scenario.refused("FL-SCORE-UNOPENED", ORG1, "rounds:Settle", TASK, 1)
    scenario.vote("settle", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Settle", TASK, 1)["scorers"] == [ORG1, ORG2]


# Invalid content


@pytest.mark.parametrize("code", [INVALID, NORM])
def test_q_votes_to_abort_name_whose_content_was_invalid_and_it_comes_last_in_the_re_run(code):
    scenario = five(k=2, min_updates=2)
    bad, good = scenario.round(1)["selected"]
    scenario.submit_and_reveal(1)
    blame(scenario, 1, 1, {bad: code}, ORG1, ORG2)
    answer = abort(scenario, 1)
    assert (answer["refused"], answer["missed"]) == ({bad: code}, [])
    assert scenario.round(2)["moved"] == [bad]
    assert bad not in scenario.round(2)["selected"]
    assert good in scenario.round(2)["selected"]
    scenario.play(2)
    assert scenario.read("scores:List", TASK)["participants"][bad]["refused"] == 1


def test_fewer_than_q_votes_or_another_code_blame_nobody():
    scenario = five(k=2, min_updates=2)
    bad = scenario.round(1)["selected"][0]
    scenario.submit_and_reveal(1)
    blame(scenario, 1, 1, {bad: INVALID}, ORG1)
    blame(scenario, 1, 1, {bad: "FL-BLOB-HEADER"}, ORG2)
    blame(scenario, 1, 1, {}, ORG3)
    assert abort(scenario, 1)["refused"] == {}
    assert scenario.round(2)["moved"] == []


def test_who_never_submitted_cannot_be_blamed_for_content():
    scenario = five(k=2, min_updates=2)
    first, second = scenario.round(1)["selected"]
    scenario.submit(first, 1)
    stranger = next(one for one in scenario.organisations if one not in (first, second))
    blame(scenario, 1, 0, {first: INVALID, second: INVALID, stranger: INVALID}, ORG1, ORG2)
    answer = abort(scenario, 1)
    assert (answer["refused"], answer["missed"]) == ({}, [second])


def test_who_did_not_reveal_has_missed_the_round_whatever_the_votes_say():
    scenario = five(k=2, min_updates=2)
    first, second = scenario.round(1)["selected"]
    for one in (first, second):
        scenario.submit(one, 1)
    scenario.reveal(first, 1)
    blame(scenario, 1, 1, {second: INVALID}, ORG1, ORG2)
    answer = abort(scenario, 1)
    assert (answer["refused"], answer["missed"]) == ({}, [second])
    assert scenario.round(2)["moved"] == [second]


def test_a_rules_choice_among_valid_updates_blames_nobody():
    scenario = five(k=2, min_updates=2)
    one = scenario.round(1)["selected"][0]
    scenario.submit_and_reveal(1)
    blame(scenario, 1, 1, {one: "FL-RULE-DISTANCE"}, ORG1, ORG2)
    assert abort(scenario, 1)["refused"] == {one: "FL-RULE-DISTANCE"}
    assert scenario.round(2)["moved"] == []


def test_only_a_vote_to_abort_has_something_to_say_about_content(scenario):
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "rounds:Vote", TASK, 1, "close", 0, {"refused": {ORG2: INVALID}})
    scenario.refused("FL-JSON-FIELD", ORG1, "rounds:Vote", TASK, 1, "abort", 0, {})


def test_whose_update_the_quorum_refused_comes_last_for_the_next_model_and_only_for_that():
    scenario = five(k=3, min_updates=2, rounds=3)
    bad, *good = scenario.round(1)["selected"]
    scenario.submit_and_reveal(1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=good, refused={bad: INVALID})
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1, good))
    second = scenario.round(2)
    assert second["moved"] == [bad]
    assert bad not in second["selected"]
    scenario.play(2)
    assert scenario.round(3)["moved"] == []


def test_a_task_with_k_equal_to_min_updates_goes_on_without_who_keeps_revealing_nonsense():
    scenario = five(k=3, min_updates=3, rounds=4)
    bad = scenario.round(1)["selected"][0]
    reruns = 0
    number = 1
    while scenario.head()["status"] == "running":
        selected = scenario.round(number)["selected"]
        scenario.submit_and_reveal(number)
        if bad in selected:
            blame(scenario, number, 1, {bad: INVALID}, ORG1, ORG2)
            abort(scenario, number)
            reruns += 1
        else:
            for one in (ORG1, ORG2):
                scenario.attest(one, number)
            scenario.call(ORG1, "rounds:Commit", TASK, number, scenario.aggregate(number))
        number += 1
    assert scenario.head()["j"] == 4
    assert 1 <= reruns <= 4  # at most one re-run for each model


# Disputes and dissent


def test_a_dispute_ends_with_the_correction_of_one_side_or_with_an_abort(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1)
    scenario.attest(ORG2, 1, wrong="one")
    scenario.attest(ORG3, 1, wrong="another")
    assert scenario.call(ORG1, "rounds:Commit", TASK, 1)["status"] == "disputed"
    scenario.call(ORG1, "rounds:Commit", TASK, 1)
    assert not scenario.wrote
    scenario.refused("FL-ATTESTATION-VERSION", ORG2, "attestations:Submit", TASK, 1, scenario.claim(ORG2, 1))
    scenario.attest(ORG2, 1, version=2)
    scenario.refused(  # what it said first cannot be brought back
        "FL-ATTESTATION-VERSION", ORG2, "attestations:Submit", TASK, 1, scenario.claim(ORG2, 1, wrong="one")
    )
    scenario.call(ORG3, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert scenario.round(1)["status"] == "committed"

    scenario.submit_and_reveal(2)
    for one in scenario.organisations:
        scenario.attest(one, 2, wrong=f"{one} is alone")
    assert scenario.call(ORG1, "rounds:Commit", TASK, 2)["status"] == "disputed"
    scenario.vote("abort", 2, 1, ORG1, ORG3)
    abort(scenario, 2)
    assert (scenario.round(3)["j"], scenario.round(3)["base"]) == (2, scenario.round(2)["base"])


def test_a_late_dissent_stays_on_the_ledger_changes_nothing_and_scores_nobody(scenario):
    scenario.submit_and_reveal(1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, scores=SCORES)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    before = [scenario.ledger.state().get(key) for key in ("round/t1/00000001", "model/t1/00000001", "head/t1")]
    scenario.attest(ORG3, 1, wrong="a dissent", scores={ORG1: 10**9})
    scenario.refused("FL-ROUND-FINAL", ORG3, "attestations:Submit", TASK, 1, scenario.claim(ORG3, 1, version=2))
    scenario.refused(
        "FL-ROUND-FINAL", ORG1, "attestations:Submit", TASK, 1, scenario.claim(ORG1, 1, wrong="x", version=2)
    )
    after = [scenario.ledger.state().get(key) for key in ("round/t1/00000001", "model/t1/00000001", "head/t1")]
    assert after == before
    for one in (ORG1, ORG2):
        scenario.open(one, 1, SCORES)
    scenario.open(ORG3, 1, {ORG1: 10**9})
    assert scenario.call(ORG1, "rounds:Settle", TASK, 1)["scorers"] == [ORG1, ORG2]
    attested = scenario.read("attestations:List", TASK, 1)
    assert [one["attestation"]["result"] == attested[0]["attestation"]["result"] for one in attested] == [
        True,
        True,
        False,
    ]


def test_a_late_agreement_counts_as_a_scorer(scenario):
    scenario.submit_and_reveal(1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, scores=SCORES)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    scenario.attest(ORG3, 1, scores=SCORES)
    for one in scenario.organisations:
        scenario.open(one, 1, SCORES)
    assert scenario.call(ORG1, "rounds:Settle", TASK, 1)["scorers"] == [ORG1, ORG2, ORG3]


def test_validators_voted_in_after_a_dispute_decide_the_re_run():
    scenario = five()
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1)
    scenario.attest(ORG2, 1, wrong="one")
    scenario.attest(ORG3, 1, wrong="another")
    scenario.call(ORG1, "rounds:Commit", TASK, 1)
    for one in (ORG1, ORG2):
        scenario.call(one, "validators:Vote", TASK, {"term": 0, "validators": [ORG1, ORG4, ORG5], "q": 2})
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    abort(scenario, 1)
    scenario.submit_and_reveal(2)
    for one in (ORG4, ORG5):
        scenario.attest(one, 2)
    scenario.call(ORG4, "rounds:Commit", TASK, 2, scenario.aggregate(2))
    assert scenario.read("models:Latest", TASK)["attested_by"] == [ORG4, ORG5]
