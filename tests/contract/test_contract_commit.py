"""Commit: a proven quorum on one result, or nothing."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario

from fl_chaincode.canonical import H
from fl_chaincode.hashes import proof


@pytest.fixture
def scenario() -> Scenario:
    scenario = Scenario()
    scenario.create()
    scenario.submit_and_reveal(1)
    return scenario


def of(organisations: int, **changes) -> Scenario:
    """A scenario in which the first round's updates are revealed."""
    scenario = Scenario(organisations)
    everybody = list(scenario.organisations)
    scenario.create(**{"trainers": everybody, "validators": everybody, "k": organisations, **changes})
    scenario.submit_and_reveal(1)
    return scenario


def commit(scenario: Scenario, *aggregate: str) -> dict:
    return scenario.call(ORG1, "rounds:Commit", TASK, 1, *aggregate)


def undecided(scenario: Scenario, *aggregate: str) -> None:
    scenario.refused("FL-ROUND-UNDECIDED", ORG1, "rounds:Commit", TASK, 1, *aggregate)


# a: a quorum


def test_q_proven_attestations_of_one_result_commit_the_model_and_open_the_next_round(scenario):
    scenario.attest(ORG1, 1)
    claim = scenario.claim(ORG2, 1)
    scenario.attest(ORG2, 1)
    answer = commit(scenario, scenario.aggregate(1))
    assert (answer["status"], answer["attempt"], answer["included"]) == ("committed", 1, [ORG1, ORG2, ORG3])
    assert scenario.read("models:Latest", TASK) == {
        "schema": 1,
        "task": TASK,
        "j": 1,
        "round": 1,
        "attempt": 1,
        "base": H("blob"),
        "digest": claim["model"],
        "state": claim["state"],
        "included": [ORG1, ORG2, ORG3],
        "refused": {},
        "result": claim["result"],
        "aggregate": scenario.aggregate(1),
        "attested_by": [ORG1, ORG2],
        "declarations": {},
        "revoked": [],
    }
    head = scenario.head()
    assert (head["status"], head["round"], head["j"], head["unsettled"]) == ("running", 2, 1, [1])
    assert (head["model"], head["state"]) == (claim["model"], claim["state"])
    following = scenario.round(2)
    assert (following["status"], following["j"], following["base"]) == ("open", 2, claim["model"])


def test_committing_again_returns_the_committed_round_and_writes_nothing(scenario):
    for one in (ORG1, ORG2):
        scenario.attest(one, 1)
    answer = commit(scenario, scenario.aggregate(1))
    assert commit(scenario, scenario.aggregate(1)) == answer
    assert not scenario.wrote
    assert commit(scenario, H("another A")) == answer
    assert commit(scenario) == answer


def test_fewer_than_q_attestations_are_undecided(scenario):
    undecided(scenario)
    scenario.attest(ORG1, 1)
    undecided(scenario)
    undecided(scenario, scenario.aggregate(1))


def test_without_the_aggregate_digest_or_with_a_false_one_nothing_is_written(scenario):
    for one in (ORG1, ORG2, ORG3):
        scenario.attest(one, 1)
    undecided(scenario)
    undecided(scenario, H("a false A"))
    assert commit(scenario, scenario.aggregate(1))["status"] == "committed"


def test_the_last_model_finishes_the_task():
    scenario = of(3, rounds=1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1)
    commit(scenario, scenario.aggregate(1))
    assert (scenario.head()["status"], scenario.head()["round"]) == ("finished", 1)
    scenario.refused("FL-ROUND-UNKNOWN", ORG1, "rounds:Read", TASK, 2)


def test_one_liar_does_not_stop_two_honest_validators_and_its_dissent_stays(scenario):
    scenario.attest(ORG1, 1, wrong="a flipped bit")
    scenario.attest(ORG2, 1)
    undecided(scenario, scenario.aggregate(1))
    scenario.attest(ORG3, 1)
    commit(scenario, scenario.aggregate(1))
    assert scenario.read("models:Latest", TASK)["attested_by"] == [ORG2, ORG3]
    dissent = scenario.read("attestations:Read", TASK, 1, ORG1)["attestation"]
    assert dissent["result"] != scenario.read("models:Latest", TASK)["result"]


def test_a_liar_cannot_commit_its_own_result_with_its_own_aggregate(scenario):
    scenario.attest(ORG1, 1, wrong="mine")
    scenario.attest(ORG2, 1)
    undecided(scenario, H("a wrong sum", "mine"))


def test_a_copied_attestation_does_not_count(scenario):
    copied = scenario.claim(ORG2, 1)  # Org2's attestation as Org1 sees it on the ledger, proof and all
    scenario.attest(ORG2, 1)
    scenario.call(ORG1, "attestations:Submit", TASK, 1, copied)
    undecided(scenario, scenario.aggregate(1))
    scenario.attest(ORG3, 1)
    commit(scenario, scenario.aggregate(1))
    assert scenario.read("models:Latest", TASK)["attested_by"] == [ORG2, ORG3]


def test_a_proof_of_another_attempt_does_not_count(scenario):
    old = proof(TASK, 1, 2, ORG1, scenario.aggregate(1))
    scenario.call(ORG1, "attestations:Submit", TASK, 1, {**scenario.claim(ORG1, 1), "proof": old})
    scenario.attest(ORG2, 1)
    undecided(scenario, scenario.aggregate(1))


def test_equal_models_with_different_included_sets_are_different_results(scenario):
    same_model = scenario.claim(ORG1, 1)
    scenario.attest(ORG1, 1)
    fewer = scenario.claim(ORG2, 1, included=[ORG1, ORG2])
    assert fewer["result"] != same_model["result"]
    scenario.attest(ORG2, 1, included=[ORG1, ORG2])
    undecided(scenario, scenario.aggregate(1))


def test_a_refused_update_is_part_of_the_result_and_did_not_miss(scenario):
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2], refused={ORG3: "FL-NAN"})
    answer = commit(scenario, scenario.aggregate(1, [ORG1, ORG2]))
    assert (answer["included"], answer["missed"]) == ([ORG1, ORG2], [])
    assert scenario.read("models:Latest", TASK)["refused"] == {ORG3: "FL-NAN"}


def test_a_blob_that_only_one_can_read_is_left_out_when_the_others_are_a_quorum(scenario):
    scenario.attest(ORG3, 1, included=[ORG1, ORG2, ORG3])
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2])
    answer = commit(scenario, scenario.aggregate(1, [ORG1, ORG2]))
    assert (answer["included"], answer["missed"]) == ([ORG1, ORG2], [ORG3])


def test_an_open_or_aborted_round_is_not_committed():
    scenario = Scenario()
    scenario.create()
    scenario.refused("FL-ROUND-OPEN", ORG1, "rounds:Commit", TASK, 1)
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    scenario.refused("FL-ROUND-FINAL", ORG1, "rounds:Commit", TASK, 1)


# b: different updates could be fetched


def test_stuck_over_different_fetched_lists_fixes_what_a_quorum_can_serve():
    scenario = of(3, q=3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    undecided(scenario)
    scenario.attest(ORG2, 1, included=[ORG1, ORG2])
    scenario.attest(ORG3, 1, included=[ORG1, ORG2, ORG3])
    answer = commit(scenario)
    assert (answer["status"], answer["attempt"], answer["included"]) == ("sealed", 2, [ORG1, ORG2])

    undecided(scenario)  # a new attempt, in which nobody has attested
    for one in (ORG1, ORG2, ORG3):
        version = 2
        scenario.attest(one, 1, included=[ORG1, ORG2], version=version)
    answer = commit(scenario, scenario.aggregate(1, [ORG1, ORG2]))
    assert (answer["status"], answer["attempt"], answer["missed"]) == ("committed", 2, [ORG3])


def test_after_the_commit_a_first_attestation_of_the_committed_attempt_is_still_taken():
    scenario = of(4, q=3)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2, ORG3])
    for one in (ORG3, ORG4):
        scenario.attest(one, 1)
    commit(scenario)
    for one in (ORG1, ORG2, ORG3):
        scenario.attest(one, 1, included=[ORG1, ORG2, ORG3], version=2)
    late = scenario.claim(ORG4, 1, included=[ORG1, ORG2, ORG3], version=2)
    commit(scenario, scenario.aggregate(1, [ORG1, ORG2, ORG3]))
    assert scenario.call(ORG4, "attestations:Submit", TASK, 1, late)["attempt"] == 2
    again = {**late, "version": 3}
    scenario.refused("FL-ROUND-FINAL", ORG4, "attestations:Submit", TASK, 1, again)


def test_attestations_of_the_first_attempt_do_not_count_in_the_second():
    scenario = of(3, q=3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.attest(ORG2, 1, included=[ORG1, ORG2])
    scenario.attest(ORG3, 1)
    commit(scenario)
    scenario.attest(ORG3, 1, included=[ORG1, ORG2], version=2)
    undecided(scenario, scenario.aggregate(1, [ORG1, ORG2]))


def test_once_fixed_a_result_with_another_set_counts_nobody():
    scenario = of(4, q=3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2, ORG3])
    scenario.attest(ORG2, 1, included=[ORG1, ORG2, ORG3])
    for one in (ORG3, ORG4):
        scenario.attest(one, 1)
    assert commit(scenario)["included"] == [ORG1, ORG2, ORG3]
    for one in (ORG1, ORG2, ORG3):
        scenario.attest(one, 1, version=2, included=[ORG1, ORG2])
    answer = commit(scenario, scenario.aggregate(1, [ORG1, ORG2]))
    assert answer["status"] == "disputed"  # three agree, but not on what was fixed
    for one in (ORG1, ORG2, ORG3):
        refusing = {"included": [ORG1, ORG2], "refused": {ORG3: "FL-NAN"}}
        scenario.attest(one, 1, version=3, **refusing)
    assert commit(scenario, scenario.aggregate(1, [ORG1, ORG2]))["status"] == "committed"


def test_what_is_included_is_not_fixed_before_everybody_has_listed_what_he_could_fetch():
    scenario = of(3, q=3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.attest(ORG2, 1, included=[ORG1, ORG2, ORG3])
    undecided(scenario)  # no result can reach 3, but the third list decides what all can serve
    scenario.attest(ORG3, 1, included=[ORG1, ORG2])
    assert commit(scenario)["included"] == [ORG1, ORG2]


def test_nobody_is_blamed_when_fewer_than_q_lists_could_fix_nothing():
    scenario = of(3, q=3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.attest(ORG2, 1, included=[ORG1, ORG2, ORG3])
    scenario.vote("close", 1, 1, ORG1, ORG2, ORG3)
    answer = commit(scenario)
    assert (answer["status"], answer["missed"]) == ("aborted", [])


def test_aborting_after_the_set_was_fixed_moves_those_who_are_not_in_it():
    scenario = of(3, q=3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.attest(ORG2, 1, included=[ORG1, ORG2])
    scenario.attest(ORG3, 1)
    commit(scenario)
    scenario.vote("abort", 1, 2, ORG1, ORG2, ORG3)
    answer = scenario.call(ORG1, "rounds:Abort", TASK, 1)
    assert (answer["attempt"], answer["missed"]) == (2, [ORG3])
    assert scenario.round(2)["selected"][-1] == ORG3


def test_fixing_fewer_than_min_updates_aborts_and_moves_the_unfetched():
    scenario = of(3, q=3, min_updates=2)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.attest(ORG2, 1, included=[ORG2, ORG3])
    scenario.attest(ORG3, 1, included=[ORG1, ORG3])
    before = scenario.round(1)
    answer = commit(scenario)
    assert answer["status"] == "aborted"
    assert answer["missed"] == before["selected"]
    assert scenario.round(2)["j"] == 1
    assert scenario.head()["round"] == 2


def test_a_silent_validator_counts_as_possible_until_q_close_votes_of_this_attempt():
    scenario = of(3)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2])
    scenario.attest(ORG2, 1)
    undecided(scenario)
    scenario.vote("close", 1, 0, ORG1, ORG2)  # the open phase's votes are not this attempt's
    undecided(scenario)
    scenario.vote("close", 1, 1, ORG1)
    undecided(scenario)
    scenario.vote("close", 1, 1, ORG2)
    answer = commit(scenario)
    assert (answer["attempt"], answer["included"]) == (2, [ORG1, ORG2])


# c: disputed


def test_two_results_without_a_quorum_are_disputed_and_nothing_is_committed():
    scenario = of(4, q=3)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1)
    for one in (ORG3, ORG4):
        scenario.attest(one, 1, wrong="together")
    answer = commit(scenario, scenario.aggregate(1))
    assert (answer["status"], answer["attempt"]) == ("disputed", 1)
    assert (scenario.head()["j"], scenario.read("models:Latest", TASK)["j"]) == (0, 0)
    assert commit(scenario, scenario.aggregate(1)) == answer
    assert not scenario.wrote

    scenario.attest(ORG4, 1, version=2)  # it found its mistake
    assert commit(scenario, scenario.aggregate(1))["status"] == "committed"


def test_three_results_of_three_validators_are_disputed(scenario):
    scenario.attest(ORG1, 1)
    scenario.attest(ORG2, 1, wrong="one")
    undecided(scenario)
    scenario.attest(ORG3, 1, wrong="another")
    assert commit(scenario)["status"] == "disputed"


def test_close_votes_dispute_a_round_that_nobody_attests(scenario):
    scenario.vote("close", 1, 1, ORG1, ORG2)
    assert commit(scenario)["status"] == "disputed"
    for one in (ORG1, ORG2):
        scenario.attest(one, 1)
    assert commit(scenario, scenario.aggregate(1))["status"] == "committed"


def test_a_disputed_round_can_be_aborted(scenario):
    scenario.vote("close", 1, 1, ORG1, ORG2)
    commit(scenario)
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    assert scenario.call(ORG1, "rounds:Abort", TASK, 1)["status"] == "aborted"


def test_a_false_aggregate_forces_no_dispute_while_copies_could_still_be_corrected(scenario):
    scenario.attest(ORG1, 1)
    scenario.call(ORG2, "attestations:Submit", TASK, 1, {**scenario.claim(ORG2, 1), "proof": H("made up")})
    scenario.attest(ORG3, 1, wrong="dissent")
    undecided(scenario, scenario.aggregate(1))
    scenario.attest(ORG2, 1, version=2)
    assert commit(scenario, scenario.aggregate(1))["status"] == "committed"
