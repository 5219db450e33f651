"""Organisations that play on a network, each through its own gateway; what they send together meets in one block."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from contract_scenario import Scenario, argument

from fabric_fl.gateway import Contract
from fabric_fl.gateway.commit import Status
from fabric_fl.gateway.transaction import Transaction
from fabric_fl.testing import Network

Call = tuple[Any, ...]


class GatewayScenario(Scenario):
    """A scenario on a network: each organisation calls through its own gateway.

    Args:
        contracts: The contract as each organisation reaches it, by MSP id; these are the consortium.
    """

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self.contracts = contracts
        self.organisations = tuple(contracts)
        self.losses = {}
        self.call(self.organisations[0], "consortium:Init")
        self.register()

    def register(self) -> None:
        for who in self.organisations:
            self.call(who, "participants:Register", {"name": who})

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        return json.loads(self.contracts[who].submit(function, *map(argument, arguments)))

    def read(self, function: str, *arguments: Any) -> Any:
        return json.loads(self.contracts[self.organisations[0]].evaluate(function, *map(argument, arguments)))

    def endorsed(self, calls: Sequence[Call]) -> list[Transaction]:
        """Has every call executed on the state as it is now."""

        def endorse(call: Call) -> Transaction:
            who, function, *arguments = call
            return self.contracts[who].new_proposal(function, *map(argument, arguments)).endorse()

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(endorse, calls))

    def _record(self, key: str) -> dict[str, Any]:
        return self.read("records:Read", key)


class NetworkScenario(GatewayScenario):
    """A scenario on devnet; `gathered` calls wait for `block`.

    Attributes:
        answers: What the calls of the last block answered.
    """

    def __init__(self, network: Network, contracts: Mapping[str, Contract]) -> None:
        self.network = network
        self.answers: list[Any] = []
        self.gathered: list[Call] | None = None
        super().__init__(contracts)

    def register(self) -> None:
        self.gather()
        super().register()
        self.block("participants:Register")

    @classmethod
    @contextmanager
    def on(cls, network: Network) -> Iterator[Self]:
        """Starts the network and connects everybody to their own gateway."""
        with network, ExitStack() as stack:
            contracts = {}
            for who, name in zip(network.msp_ids, network.names, strict=True):
                gateway = stack.enter_context(network.gateway(name))
                contracts[who] = gateway.network(network.channel).contract(network.chaincode)
            yield cls(network, contracts)

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        if self.gathered is None:
            return super().call(who, function, *arguments)
        self.gathered.append((who, function, *arguments))
        return None

    def gather(self) -> None:
        """Lets calls wait from now on."""
        self.gathered = []

    def block(self, kind: str) -> dict[str, int]:
        """Orders what was gathered, all of one function, in one block; returns how many transactions got which code."""
        calls, self.gathered = self.gathered or [], None
        assert {function for _, function, *_ in calls} == {kind}
        transactions = self.endorsed(calls)
        self.answers = [json.loads(one.result) for one in transactions]
        return dict(Counter(one.name for one in one_block(self.network, transactions)))


def one_block(network: Network, transactions: Sequence[Transaction]) -> list[Status]:
    """Has transactions ordered in one block, in their order: nothing is ordered until all are with the orderer."""
    network.fault("stall_ordering")
    try:
        submitted = [one.submit() for one in transactions]
    finally:
        network.fault("resume_ordering")
    found = [one.status() for one in submitted]
    assert len({one.block_number for one in found}) == 1, "they did not meet in one block"
    return found
