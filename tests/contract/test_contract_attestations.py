"""Attestations: complete, consistent with themselves, and corrected by version."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, caller

from fl_chaincode.canonical import H
from fl_chaincode.hashes import result_digest


@pytest.fixture
def scenario() -> Scenario:
    scenario = Scenario()
    scenario.create()
    return scenario


def refused(scenario: Scenario, code: str, claim: dict, who: str = ORG1, number: int = 1) -> None:
    scenario.refused(code, who, "attestations:Submit", TASK, number, claim)


def with_result(claim: dict, base: str) -> dict:
    """Compute the result anew, so that another check is the one that refuses."""
    names = ("attempt", "included", "refused", "model", "state")
    attempt, included, outcast, model, state = (claim[name] for name in names)
    return {**claim, "result": result_digest(TASK, 1, attempt, base, included, outcast, model, state)}


def test_an_attestation_is_recorded_with_everything_but_the_aggregate(scenario):
    scenario.submit_and_reveal(1)
    answer = scenario.attest(ORG2, 1)
    claim = scenario.claim(ORG2, 1)
    del claim["openings"]
    claim["fetched"].sort()
    assert answer == {"schema": 1, "task": TASK, "round": 1, "organisation": ORG2, **claim}
    assert scenario.aggregate(1) not in str(answer)
    assert scenario.read("attestations:Read", TASK, 1, ORG2) == {"attestation": answer, "opening": None}
    assert scenario.read("attestations:List", TASK, 1) == [{"attestation": answer, "opening": None}]


def test_the_same_attestation_again_writes_nothing(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1)
    scenario.attest(ORG1, 1)
    assert not scenario.wrote


def test_an_open_round_is_not_attested(scenario):
    scenario.submit(ORG1, 1)
    claim = {**scenario.claim(ORG1, 1, included=[ORG1]), "attempt": 1}
    refused(scenario, "FL-ROUND-OPEN", claim)


def test_an_aborted_round_is_not_attested(scenario):
    scenario.submit_and_reveal(1)
    scenario.vote("abort", 1, 1, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    refused(scenario, "FL-ROUND-FINAL", scenario.claim(ORG1, 1))


def test_only_validators_of_the_task_attest():
    scenario = Scenario(4)
    scenario.create(trainers=list(scenario.organisations))
    scenario.submit_and_reveal(1)
    refused(scenario, "FL-VALIDATOR-OUTSIDE", scenario.claim(ORG4, 1), ORG4)


def test_only_a_validators_certificate_attests(scenario):
    scenario.submit_and_reveal(1)
    one = caller(ORG1, "trainer,admin")
    scenario.refused("FL-CALLER-ROLE", one, "attestations:Submit", TASK, 1, scenario.claim(ORG1, 1))


@pytest.mark.parametrize("attempt", [2, 99_999_999])
def test_another_attempt_is_refused(scenario, attempt):
    scenario.submit_and_reveal(1)
    refused(scenario, "FL-ATTESTATION-ATTEMPT", {**scenario.claim(ORG1, 1), "attempt": attempt})


def test_corrections_count_up_so_that_a_delayed_repetition_brings_nothing_back(scenario):
    scenario.submit_and_reveal(1)
    refused(scenario, "FL-ATTESTATION-VERSION", scenario.claim(ORG1, 1, version=2))
    first = scenario.claim(ORG1, 1, wrong="bit flip")
    scenario.call(ORG1, "attestations:Submit", TASK, 1, first)
    refused(scenario, "FL-ATTESTATION-VERSION", scenario.claim(ORG1, 1, version=1))
    refused(scenario, "FL-ATTESTATION-VERSION", scenario.claim(ORG1, 1, version=3))
    assert scenario.attest(ORG1, 1, version=2)["version"] == 2
    refused(scenario, "FL-ATTESTATION-VERSION", first)


@pytest.mark.parametrize("field", ["model", "state", "included", "refused"])
def test_a_result_that_is_not_the_hash_of_its_own_fields_is_refused(scenario, field):
    scenario.submit_and_reveal(1)
    change = {"included": [ORG1, ORG2], "refused": {ORG3: "FL-NAN"}}.get(field, H("another"))
    refused(scenario, "FL-ATTESTATION-RESULT", {**scenario.claim(ORG1, 1), field: change})


def test_the_order_in_which_lists_are_written_means_nothing(scenario):
    scenario.submit_and_reveal(1)
    claim = scenario.claim(ORG1, 1)
    backwards = {**claim, "included": claim["included"][::-1], "fetched": claim["fetched"][::-1]}
    scenario.call(ORG1, "attestations:Submit", TASK, 1, backwards)
    scenario.call(ORG1, "attestations:Submit", TASK, 1, claim)
    assert not scenario.wrote


def test_a_participant_is_not_both_included_and_refused(scenario):
    scenario.submit_and_reveal(1)
    base = scenario.round(1)["base"]
    claim = with_result({**scenario.claim(ORG1, 1), "refused": {ORG1: "FL-NAN"}}, base)
    refused(scenario, "FL-ATTESTATION-INCLUDED", claim)


@pytest.mark.parametrize("place", ["included", "refused"])
def test_only_those_who_submitted_and_revealed_are_included_or_refused(scenario, place):
    for one in (ORG1, ORG2):
        scenario.submit(one, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Seal", TASK, 1)
    scenario.reveal(ORG1, 1)

    def naming(*others: str) -> dict:
        if place == "included":
            return scenario.claim(ORG1, 1, included=[ORG1, *others])
        return scenario.claim(ORG1, 1, included=[ORG1], refused=dict.fromkeys(others, "FL-NAN"))

    refused(scenario, "FL-ATTESTATION-INCLUDED", naming(ORG2))  # has not revealed
    refused(scenario, "FL-ATTESTATION-INCLUDED", naming(ORG3))  # has not submitted
    refused(scenario, "FL-ATTESTATION-INCLUDED", naming(ORG4))  # is not even selected


def test_whatever_is_included_was_fetched_and_will_be_served(scenario):
    scenario.submit_and_reveal(1)
    refused(scenario, "FL-ATTESTATION-FETCHED", scenario.claim(ORG1, 1, fetched=[ORG1, ORG2]))


def test_an_update_may_be_refused_unread(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2], refused={ORG3: "FL-BLOB-SIZE"}, fetched=[ORG1, ORG2])


def test_more_may_have_been_fetched_than_is_included(scenario):
    scenario.submit_and_reveal(1)
    scenario.attest(ORG1, 1, included=[ORG1, ORG2], fetched=[ORG1, ORG2, ORG3])


def test_fewer_than_min_updates_cannot_be_attested(scenario):
    scenario.submit_and_reveal(1)
    refused(scenario, "FL-ROUND-MIN-UPDATES", scenario.claim(ORG1, 1, included=[ORG1]))
    claim = scenario.claim(ORG1, 1, included=[ORG1], refused={ORG2: "FL-NAN", ORG3: "FL-NAN"})
    refused(scenario, "FL-ROUND-MIN-UPDATES", claim)


def test_after_the_commit_a_first_attestation_is_kept_as_evidence_and_no_other(scenario):
    scenario.submit_and_reveal(1)
    late = scenario.claim(ORG3, 1, wrong="dissent")
    for one in (ORG1, ORG2):
        scenario.attest(one, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    refused(scenario, "FL-ROUND-FINAL", scenario.claim(ORG1, 1, version=2), ORG1)
    before = scenario.round(1)
    scenario.call(ORG3, "attestations:Submit", TASK, 1, late)
    scenario.call(ORG3, "attestations:Submit", TASK, 1, late)
    assert not scenario.wrote
    assert scenario.round(1) == before
    refused(scenario, "FL-ROUND-FINAL", scenario.claim(ORG3, 1, version=2), ORG3)
    assert scenario.read("attestations:Read", TASK, 1, ORG3)["attestation"]["model"] == late["model"]


def test_a_task_without_scoring_takes_no_score_commitment():
    scenario = Scenario()
    scenario.create(scoring={"rule": "none"})
    scenario.submit_and_reveal(1)
    refused(scenario, "FL-SCORE-UNUSED", scenario.claim(ORG1, 1, scores={ORG2: 1}))
    scenario.attest(ORG1, 1)


def test_openings_of_earlier_rounds_ride_along_and_once(scenario):
    scores = dict.fromkeys(scenario.organisations, 5)
    scenario.play(1, scores=scores)
    scenario.submit_and_reveal(2)
    opening = {"round": 1, **scenario.score_opening(ORG1, 1, scores)}
    scenario.attest(ORG1, 2, openings=[opening])
    assert scenario.read("attestations:Read", TASK, 1, ORG1)["opening"]["scores"] == scores
    scenario.attest(ORG1, 2, openings=[opening])
    assert not scenario.wrote


def test_an_opening_can_follow_in_a_repeated_attestation(scenario):
    scores = dict.fromkeys(scenario.organisations, 5)
    scenario.play(1, scores=scores)
    scenario.submit_and_reveal(2)
    scenario.attest(ORG1, 2)
    scenario.attest(ORG1, 2, openings=[{"round": 1, **scenario.score_opening(ORG1, 1, scores)}])
    assert list(scenario.last.state.writes) == ["opening/t1/00000001/Org1MSP"]


def test_a_bad_opening_refuses_the_whole_attestation(scenario):
    scores = dict.fromkeys(scenario.organisations, 5)
    scenario.play(1, scores=scores)
    scenario.submit_and_reveal(2)
    good = {"round": 1, **scenario.score_opening(ORG1, 1, scores)}
    bad = {**good, "nonce": H("guess")}
    refused(scenario, "FL-SCORE-OPENING", scenario.claim(ORG1, 2, openings=[bad]), number=2)
    refused(scenario, "FL-ARGUMENT-INVALID", scenario.claim(ORG1, 2, openings=[good, good]), number=2)
    current = {**good, "round": 2}
    refused(scenario, "FL-ROUND-UNCOMMITTED", scenario.claim(ORG1, 2, openings=[current]), number=2)
    later = {**good, "round": 3}
    refused(scenario, "FL-ROUND-UNCOMMITTED", scenario.claim(ORG1, 2, openings=[later]), number=2)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("attempt", 0, "FL-ARGUMENT-INVALID"),
        ("version", 0, "FL-ARGUMENT-INVALID"),
        ("version", True, "FL-ARGUMENT-INVALID"),
        ("result", "x", "FL-ARGUMENT-INVALID"),
        ("result", None, "FL-ARGUMENT-INVALID"),
        ("included", [ORG1, ORG1], "FL-ARGUMENT-INVALID"),
        ("included", [1], "FL-ARGUMENT-INVALID"),
        ("included", {ORG1: 1}, "FL-ARGUMENT-INVALID"),
        ("refused", [], "FL-ARGUMENT-INVALID"),
        ("refused", {"a/b": "X"}, "FL-ARGUMENT-INVALID"),
        ("refused", {ORG1: "because of NaN"}, "FL-ARGUMENT-INVALID"),
        ("fetched", ["AB" * 32], "FL-ARGUMENT-INVALID"),
        ("proof", "", "FL-ARGUMENT-INVALID"),
        ("score_commitment", "", "FL-ARGUMENT-INVALID"),
        ("openings", [[]], "FL-JSON-FIELD"),
        ("openings", [{}], "FL-JSON-FIELD"),
        ("openings", {}, "FL-ARGUMENT-INVALID"),
        ("aggregate", H("A"), "FL-JSON-FIELD"),
    ],
)
def test_a_field_out_of_its_form_is_refused(scenario, field, value, code):
    scenario.submit_and_reveal(1)
    refused(scenario, code, {**scenario.claim(ORG1, 1), field: value})


def test_reading_an_attestation_that_is_not_there_is_refused(scenario):
    scenario.refused("FL-ATTESTATION-UNKNOWN", ORG1, "attestations:Read", TASK, 1, ORG1)
    scenario.refused("FL-ROUND-UNKNOWN", ORG1, "attestations:List", TASK, 2)
