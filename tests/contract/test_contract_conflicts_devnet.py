"""Calls that meet on devnet: sixty-four organisations, of which three endorse.

Every organisation has its own MSP, certificate and gateway. Three run the chaincode, and all three of them execute and
sign every transaction; the others' gateways ask these.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract_scenario import TASK
from network_scenario import NetworkScenario
from soaking import times

from fabric_fl.devnet.genesis import BatchSettings
from fabric_fl.testing import Network

ENDORSERS = "AND('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"
BATCH = BatchSettings(absolute_max_bytes=2**26, preferred_max_bytes=2**25, timeout=0.0)  # a block takes 64 of any kind
ALL_VALID = {"VALID": 64}


@pytest.fixture(scope="module")
def crowd() -> Iterator[NetworkScenario]:
    network = Network(64, endorsing=3, settings={"endorsement": ENDORSERS, "batch": BATCH})
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
