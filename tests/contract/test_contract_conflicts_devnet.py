"""Calls of one kind in one block on devnet, endorsed by three organisations' own chaincode processes.

Its participants are those three: sixty-four organisations with a peer each are more than a test needs to start, so all
that sixty-four do is in test_contract_conflicts.py, on the ledger in memory. Payments to one account are as many here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from contract_scenario import ORGANISATIONS, TASK, Scenario, argument
from soaking import times

from fabric_fl.gateway import Contract
from fabric_fl.testing import Network

THREE = ORGANISATIONS[:3]


class OnDevnet(Scenario):
    """A scenario whose calls go through each organisation's gateway; `call` gathers them for `block` when asked to."""

    def __init__(self, network: Network, contracts: dict[str, Contract]) -> None:
        self.network, self.contracts = network, contracts
        self.organisations = THREE
        self.losses: dict[int, int | dict[str, int]] = {}
        self.gathered: list[tuple[Any, ...]] | None = None
        self.call(THREE[0], "consortium:Init")
        for who in THREE:
            self.call(who, "participants:Register", {"name": who})

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        if self.gathered is None:
            return json.loads(self.contracts[who].submit(function, *map(argument, arguments)))
        self.gathered.append((who, function, *arguments))
        return None

    def read(self, function: str, *arguments: Any) -> Any:
        return json.loads(self.contracts[THREE[0]].evaluate(function, *map(argument, arguments)))

    def block(self, kind: str, calls: int) -> int:
        """Order what was gathered in one block, which is read back; return how many were invalid."""
        gathered, self.gathered = self.gathered or [], None
        assert [one[1] for one in gathered] == [kind] * calls
        endorsed = [
            self.contracts[who].new_proposal(function, *map(argument, arguments)).endorse()
            for who, function, *arguments in gathered
        ]
        self.network.fault("stall_ordering")
        submitted = [one.submit() for one in endorsed]
        self.network.fault("resume_ordering")
        found = [one.status() for one in submitted]
        assert len({one.block_number for one in found}) == 1, "the calls did not meet in one block"
        self.gathered = []
        return sum(not one.successful for one in found)


@pytest.fixture(scope="module")
def scenario() -> Iterator[OnDevnet]:
    with Network(3) as network, ExitStack() as stack:
        contracts = {}
        for who, name in zip(THREE, network.names, strict=True):
            gateway = stack.enter_context(network.gateway(name))
            contracts[who] = gateway.network(network.channel).contract(network.chaincode)
        yield OnDevnet(network, contracts)


@pytest.mark.soak
def test_calls_of_one_kind_in_one_block_are_valid_on_devnet(scenario, record_property):
    rounds = times(2, 100)
    scenario.create(rounds=rounds)
    scores = dict.fromkeys(THREE, 1)
    for number in range(1, rounds + 1):
        scenario.gathered = []
        for who in THREE:
            scenario.submit(who, number)
        assert scenario.block("updates:Submit", 3) == 0
        for who in THREE:
            scenario.reveal(who, number)
        assert scenario.block("updates:Reveal", 3) == 0
        scenario.vote("close", number, 1, *THREE)
        assert scenario.block("rounds:Vote", 3) == 0
        for who in THREE:
            scenario.attest(who, number, scores=scores)
        assert scenario.block("attestations:Submit", 3) == 0
        scenario.gathered = None
        scenario.call(THREE[0], "rounds:Commit", TASK, number, scenario.aggregate(number))
    record_property("count", rounds)


@pytest.mark.soak
def test_payments_to_one_busy_account_in_one_block_are_valid_on_devnet(scenario, record_property):
    each = times(4, 22)
    for who in THREE:
        left = scenario.mint(who, each, f"for-{who.lower()}")
        for number in range(each - 1):
            order = {"request_id": f"split{number}", "inputs": [left], "to": who, "amount": 1}
            left = scenario.call(who, "tokens:Transfer", order)["outputs"][1]
    scenario.gathered = []
    for who in THREE:
        for number, entry in enumerate(scenario.read("tokens:Entries", who)):
            order = {"request_id": f"pay{number}", "inputs": [entry["id"]], "to": THREE[0], "amount": 1}
            scenario.call(who, "tokens:Transfer", order)
    assert scenario.block("tokens:Transfer", 3 * each) == 0
    scenario.gathered = None
    assert scenario.balance(THREE[0]) == 3 * each
    record_property("count", 3 * each)


def test_one_call_twice_in_one_block_and_once_more_acts_once_on_devnet(scenario):
    entry = scenario.mint(THREE[0], 7, "once")
    order = {"request_id": "once", "inputs": [entry], "to": THREE[1], "amount": 7}
    before = scenario.balance(THREE[1])
    scenario.gathered = [(THREE[0], "tokens:Transfer", order)] * 2
    assert scenario.block("tokens:Transfer", 2) == 1
    scenario.gathered = None
    assert scenario.call(THREE[0], "tokens:Transfer", order)["amount"] == 7
    assert scenario.balance(THREE[1]) == before + 7
