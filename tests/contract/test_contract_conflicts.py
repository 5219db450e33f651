"""Calls that meet: of one kind they never conflict, and the same call twice acts once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, declaration, specification
from market_scenario import Market
from soaking import times

from fl_chaincode import FLError
from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.memory import Transaction

CROWD = tuple(f"Trainer{number:02d}MSP" for number in range(64))
THREE = (ORG1, ORG2, ORG3)


class Together(Scenario):
    """Sixty-four trainers and three validators; `call` gathers, `block` endorses all on one state and orders them."""

    def __init__(self, rounds: int) -> None:
        self.gathered: list[tuple[Any, ...]] | None = None
        super().__init__()
        for who in CROWD:
            self.call(who, "participants:Register", {"name": who})
            self.mint(who, rounds, f"for-{who.lower()}")
        spec = specification(trainers=list(CROWD), k=len(CROWD), max_examples=100, rounds=rounds)
        self.call(ORG1, "tasks:Create", spec)

    def call(self, *call: Any) -> Any:
        if self.gathered is None:
            return super().call(*call)
        self.gathered.append(call)
        return None

    def block(self, kind: str, calls: int) -> None:
        """Order what was gathered in one block: all of one function, none of it fails."""
        gathered, self.gathered = self.gathered or [], None
        assert [one[1] for one in gathered] == [kind] * calls
        assert self.ledger.commit(*(self.endorse(*one) for one in gathered)) == [True] * calls
        self.gathered = []

    def pay_all(self, number: int) -> None:
        """Everybody pays one token of his own to Org1."""
        for who in CROWD:
            inputs = [one["id"] for one in self.read("tokens:Entries", who)]
            order = {"request_id": f"r{number}", "inputs": inputs, "to": ORG1, "amount": 1}
            self.call(who, "tokens:Transfer", order)


@pytest.mark.soak
def test_all_calls_of_one_kind_in_one_block_are_valid_round_after_round(record_property):
    rounds = times(2, 100)
    scenario = Together(rounds)
    for number in range(1, rounds + 1):
        scenario.gathered = []
        for who in CROWD:
            scenario.submit(who, number)
        scenario.block("updates:Submit", 64)
        for who in CROWD:
            scenario.reveal(who, number)
        scenario.block("updates:Reveal", 64)
        scenario.vote("close", number, 1, *THREE)
        scenario.block("rounds:Vote", 3)
        for who in THREE:
            scenario.attest(who, number, scores=dict.fromkeys(CROWD, 1))
        scenario.block("attestations:Submit", 3)
        scenario.pay_all(number)
        scenario.block("tokens:Transfer", 64)
        scenario.gathered = None
        scenario.call(ORG1, "rounds:Commit", TASK, number, scenario.aggregate(number))
        scenario.gathered = []
        for who in THREE:
            scenario.open(who, number, dict.fromkeys(CROWD, 1))
        scenario.block("scores:Open", 3)
    assert scenario.balance(ORG1) == 64 * rounds
    record_property("count", rounds)
    record_property("transactions", rounds * (3 * 64 + 3 * 3 + 1))


class Twice(Market):
    """Every call is made twice in one block, and once more in the next; only the first one acts."""

    def __init__(self) -> None:
        self.acted: set[str] = set()
        self.refused_later: dict[str, str] = {}
        super().__init__()

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        first, second = (self.endorse(who, function, *arguments) for _ in range(2))
        expected = self.values(first)
        self.last = first
        assert self.ledger.commit(first, second)[0]
        assert self.values() == expected
        events = len(self.ledger.events)
        try:
            third = self.endorse(who, function, *arguments)
        except FLError as error:
            self.refused_later[function] = error.code
        else:
            assert third.outcome.payload == first.outcome.payload
            assert self.ledger.commit(third) == [True]
            assert function == "rounds:Vote" or len(self.ledger.events) == events  # a vote is a blind write
        assert self.values() == expected
        self.acted |= {function} if first.state.writes else set()
        return json.loads(first.outcome.payload)

    def values(self, ahead: Transaction | None = None) -> dict[str, bytes]:
        """What stands under every key; with what a transaction is about to write."""
        found = dict(self.ledger.state().scan(" ", "~"))
        for key, value in (ahead.state.writes if ahead else {}).items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found


def test_the_same_call_twice_in_one_block_and_across_blocks_acts_once():
    one = Twice()
    a_task(one)
    deals(one)
    members(one)
    assert one.acted == {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)}
    assert one.refused_later == {}
    one.check_conserved()


def a_task(one: Twice) -> None:
    for who in THREE:
        one.declare(who)
    one.create(budget=100, rounds=3, purpose="sepsis")
    scores = dict.fromkeys(THREE, 1)
    one.play(1, scores=scores)
    for who in THREE:
        one.open(who, 1, scores)
    one.call(ORG3, "rounds:Settle", TASK, 1)
    one.submit(ORG1, 2)
    one.submit(ORG2, 2)
    one.vote("close", 2, 0, ORG1, ORG2)
    one.call(ORG3, "rounds:Seal", TASK, 2)
    one.vote("abort", 2, 1, ORG1, ORG2)
    one.call(ORG3, "rounds:Abort", TASK, 2)
    one.call(ORG1, "validators:Vote", TASK, {"term": 0, "validators": [ORG1, ORG2], "q": 2})
    one.call(ORG1, "tasks:Cancel", TASK)
    one.call(ORG3, "declarations:Revoke", "sepsis", 1)


def deals(one: Twice) -> None:
    order = {"request_id": "pay", "inputs": one.entries(ORG1), "to": ORG2, "amount": 5}
    one.call(ORG1, "tokens:Transfer", order)
    one.call(ORG1, "tokens:Approve", {"request_id": "a", "spender": ORG2, "expected": 0, "amount": 9})
    spending = {"request_id": "s", "owner": ORG1, "inputs": one.entries(ORG1), "to": ORG3, "amount": 4}
    one.call(ORG2, "tokens:TransferFrom", spending)
    for request in ("confirmed", "refunded", "voted"):
        one.ordered(request_id=request, quantity=1)
    one.call(ORG1, "orders:Confirm", "confirmed")
    one.call(ORG2, "orders:Refund", ORG1, "refunded")
    for who in (ORG1, ORG2):
        one.call(who, "orders:Vote", ORG1, "voted", "settle")
    one.call(ORG3, "orders:Decide", ORG1, "voted", "settle")
    for request in ("withdrawn", "confirmed", "cancelled", "voted"):
        one.call(ORG1, "offers:Make", one.sale(request_id=request, amount=2))
        if request != "withdrawn":
            one.call(ORG2, "offers:Take", ORG1, request, "bill")
    one.call(ORG1, "offers:Withdraw", "withdrawn")
    one.call(ORG1, "offers:Confirm", "confirmed", "bill")
    for who in (ORG1, ORG2):
        one.call(who, "offers:Cancel", ORG1, "cancelled")
        one.call(who, "offers:Vote", ORG1, "voted", "cancel")
    one.call(ORG3, "offers:Decide", ORG1, "voted", "cancel")


def members(one: Twice) -> None:
    one.call(ORG3, "participants:Update", {"name": "another"})
    one.call(ORG1, "consortium:Vote", {"request_id": "m", "kind": "remove", "subject": ORG3})
    one.call(ORG1, "consortium:Retract", "m")
    one.call(ORG3, "declarations:Submit", declaration(number=2))
    one.call(ORG3, "participants:Suspend")
    one.call(ORG3, "participants:Reinstate")
    one.call(ORG3, "participants:Withdraw")
