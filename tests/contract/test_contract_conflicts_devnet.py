"""Calls that meet on devnet: sixty-four organisations, of which three endorse.

Every organisation has its own MSP, certificate and gateway. Three run the chaincode, and all three of them execute and
sign every transaction; the others' gateways ask these.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK
from network_scenario import NetworkScenario
from racing import Act, race
from soaking import times

from fabric_fl.devnet.genesis import BatchSettings
from fabric_fl.testing import Network
from fl_chaincode.hashes import update_commitment

THREE = (ORG1, ORG2, ORG3)
ENDORSERS = "AND('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"
BATCH = BatchSettings(absolute_max_bytes=2**26, preferred_max_bytes=2**25, timeout=0.0)  # a block takes 64 of any kind
ALL_VALID = {"VALID": 64}


@pytest.fixture(scope="module")
def crowd() -> Iterator[NetworkScenario]:
    network = Network(64, endorsing=3, settings={"endorsement": ENDORSERS, "batch": BATCH}, time_limit=90)
    with NetworkScenario.on(network) as scenario:
        yield scenario


def share(crowd: NetworkScenario, each: int) -> dict[str, str]:
    """Gives every organisation so many tokens; returns the entry that each has them in."""
    first, *others = crowd.organisations
    left = crowd.mint(first, 64 * each, "for-all")
    held = {}
    for who in others:
        order = {"request_id": f"for-{who.lower()}", "inputs": [left], "to": who, "amount": each}
        held[who], left = crowd.call(first, "tokens:Transfer", order)["outputs"]
    return held | {first: left}


@pytest.mark.soak
def test_all_calls_of_one_kind_in_one_block_are_valid_round_after_round(crowd, record_property):
    rounds, everybody = times(1, 100), crowd.organisations
    held = share(crowd, rounds)
    crowd.create(
        trainers=list(everybody),
        validators=list(everybody),
        k=64,
        q=33,
        max_examples=100,
        rounds=rounds,
        scoring={"rule": "none"},
    )
    for number in range(1, rounds + 1):
        crowd.gather()
        for who in everybody:
            crowd.submit(who, number)
        assert crowd.block("updates:Submit") == ALL_VALID
        crowd.gather()
        for who in everybody:
            crowd.reveal(who, number)
        assert crowd.block("updates:Reveal") == ALL_VALID
        crowd.gather()
        crowd.vote("close", number, 1, *everybody)
        assert crowd.block("rounds:Vote") == ALL_VALID
        crowd.gather()
        for who in everybody:
            crowd.attest(who, number)
        assert crowd.block("attestations:Submit") == ALL_VALID
        crowd.gather()
        for who in everybody:
            order = {"request_id": f"r{number}", "inputs": [held[who]], "to": everybody[0], "amount": 1}
            crowd.call(who, "tokens:Transfer", order)
        assert crowd.block("tokens:Transfer") == ALL_VALID
        held = {who: answer["outputs"][-1] for who, answer in zip(everybody, crowd.answers, strict=True)}
        assert crowd.call(everybody[0], "rounds:Commit", TASK, number, crowd.aggregate(number))["status"] == "committed"
    assert crowd.balance(everybody[0]) == 64 * rounds
    record_property("count", rounds)
    record_property("transactions", rounds * (5 * 64 + 1))
    record_property("participants", 64)
    record_property("endorsing", 3)


# Races, in tasks of three: what fails in the block is resolved by reading again

VALID, CONFLICT = "VALID", "MVCC_READ_CONFLICT"


def submission(scenario: NetworkScenario, task: str) -> Act:
    base = scenario.round(1, task)["base"]
    one = scenario.opening_of(ORG3, 1, task)
    commitment = update_commitment(task, 1, ORG3, base, one["num_examples"], one["digest"], one["nonce"])
    return lambda ledger: ledger.submit_update(task, 1, commitment)


@pytest.mark.parametrize("seal_first", [True, False])
def test_a_submission_that_meets_the_seal_is_in_or_refused(crowd, seal_first):
    task = f"seal-{seal_first}".lower()
    crowd.create(id=task)
    for who in (ORG1, ORG2):
        crowd.submit(who, 1, task)
    crowd.vote("close", 1, 0, ORG1, ORG2, task=task)
    calls = [(ORG1, lambda ledger: ledger.seal(task, 1)), (ORG3, submission(crowd, task))]
    answers, codes = race(crowd, *(calls if seal_first else calls[::-1]))
    assert codes == [VALID, CONFLICT]
    if seal_first:
        assert (answers[0].set, answers[1]) == ((ORG1, ORG2), "FL-ROUND-SEALED")
    else:
        assert (answers[0].participant, answers[1].set) == (ORG3, THREE)
    assert crowd.round(1, task)["set"] == list(THREE if not seal_first else THREE[:2])


def test_a_vote_that_meets_the_seal_is_no_reason_for_it_to_fail_in_the_end(crowd):
    crowd.create(id="vote")
    for who in (ORG1, ORG2):
        crowd.submit(who, 1, "vote")
    crowd.vote("close", 1, 0, ORG1, ORG2, task="vote")
    vote = (ORG3, lambda ledger: ledger.vote("vote", 1, "close", 0))
    (ballot, sealed), codes = race(crowd, vote, (ORG1, lambda ledger: ledger.seal("vote", 1)))
    assert codes == [VALID, CONFLICT]
    assert (ballot.organisation, sealed.set) == (ORG3, (ORG1, ORG2))


@pytest.mark.parametrize("commit_first", [True, False])
def test_a_revelation_that_meets_the_commit_that_fixes_what_is_included_is_in_or_refused(crowd, commit_first):
    task = f"fix-{commit_first}".lower()
    crowd.create(id=task, min_updates=1)
    for who in THREE:
        crowd.submit(who, 1, task)
    for who in THREE[:2]:
        crowd.reveal(who, 1, task)
    crowd.attest(ORG1, 1, task, included=THREE[:2])
    crowd.attest(ORG2, 1, task, included=THREE[:1])
    crowd.vote("close", 1, 1, ORG1, ORG2, task=task)  # without Org3, two that differ can never agree
    opening = crowd.opening_of(ORG3, 1, task)
    calls = [
        (ORG1, lambda ledger: ledger.commit(task, 1)),
        (ORG3, lambda ledger: ledger.reveal_update(task, 1, **opening)),
    ]
    answers, codes = race(crowd, *(calls if commit_first else calls[::-1]))
    assert codes == [VALID, CONFLICT]
    fixed, revealed = answers if commit_first else answers[::-1]
    assert (fixed.attempt, fixed.included) == (2, (ORG1,))  # what both could fetch
    assert (revealed if commit_first else revealed.participant) == ("FL-ROUND-FIXED" if commit_first else ORG3)


@pytest.mark.parametrize("commit_first", [True, False])
def test_an_attestation_that_meets_the_commit_is_counted_or_kept_as_evidence(crowd, commit_first):
    task = f"commit-{commit_first}".lower()
    crowd.create(id=task)
    crowd.submit_and_reveal(1, task)
    for who in (ORG1, ORG2):
        crowd.attest(who, 1, task)
    aggregate, claim = crowd.aggregate(1, task=task), crowd.claim(ORG3, 1, task)
    calls = [
        (ORG1, lambda ledger: ledger.commit(task, 1, aggregate)),
        (ORG3, lambda ledger: ledger.attest(task, 1, claim)),
    ]
    answers, codes = race(crowd, *(calls if commit_first else calls[::-1]))
    assert codes == [VALID, CONFLICT]
    committed, attested = answers if commit_first else answers[::-1]
    assert (committed.status, attested.organisation) == ("committed", ORG3)
    attested_by = crowd.read("models:Read", task, 1)["attested_by"]
    assert attested_by == list(THREE[:2] if commit_first else THREE)
    assert len(crowd.read("attestations:List", task, 1)) == 3


def test_commits_of_sixteen_organisations_in_one_block_commit_once(crowd):
    crowd.create(id="all")
    crowd.submit_and_reveal(1, "all")
    for who in THREE:
        crowd.attest(who, 1, "all")
    aggregate = crowd.aggregate(1, task="all")
    calls = [(who, lambda ledger: ledger.commit("all", 1, aggregate)) for who in crowd.organisations[:16]]
    answers, codes = race(crowd, *calls)
    assert codes == [VALID] + [CONFLICT] * 15
    assert all(one == answers[0] for one in answers)
    assert (answers[0].status, crowd.head("all")["round"]) == ("committed", 2)
