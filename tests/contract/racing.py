"""Calls that the SDK makes at once: their transactions meet in one block, and what fails there is tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from network_scenario import NetworkScenario

from fabric_fl.gateway import CommitError, Contract
from fabric_fl.gateway.commit import Status
from fabric_fl.ledger import FLLedger, LedgerRefused

Act = Callable[[FLLedger], Any]


class Racer:
    """An organisation's contract, as FLLedger takes one, that tells when its first transaction lies with the orderer.

    Attributes:
        sent: Set then.
        fates: What became of each transaction.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.sent = threading.Event()
        self.fates: list[Status] = []

    def evaluate(self, name: str, /, *args: str) -> bytes:
        return self._contract.evaluate(name, *args)

    def submit(self, name: str, /, *args: str) -> bytes:
        submitted = self._contract.submit_async(name, *args)
        self.sent.set()
        self.fates.append(submitted.status())
        if not self.fates[-1].successful:
            raise CommitError(self.fates[-1])
        return submitted.result


def race(scenario: NetworkScenario, *calls: tuple[str, Act]) -> tuple[list[Any], list[str]]:
    """Makes calls whose first transactions are ordered in one block, in the order given.

    Returns:
        What each call answered in the end, or the code with which it was refused; the code that each one's transaction
        got in that block.
    """
    racers = [Racer(scenario.contracts[who]) for who, _ in calls]

    def run(racer: Racer, act: Act) -> Any:
        try:
            return act(FLLedger(racer))
        except LedgerRefused as refused:
            return refused.code

    scenario.network.fault("stall_ordering")
    with ThreadPoolExecutor(len(calls)) as pool:
        running = []
        try:
            for racer, (_, act) in zip(racers, calls, strict=True):
                running.append(pool.submit(run, racer, act))
                assert racer.sent.wait(30), "a call was not sent"
        finally:
            scenario.network.fault("resume_ordering")
        answers = [one.result() for one in running]
    firsts = [racer.fates[0] for racer in racers]
    assert len({one.block_number for one in firsts}) == 1, "they did not meet in one block"
    return answers, [one.name for one in firsts]
