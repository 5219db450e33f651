"""The same call twice, in one block and across blocks, acts once: every function that writes."""

from __future__ import annotations

import json
from typing import Any

from every_call import call_everything
from market_scenario import Market

from fl_chaincode import FLError
from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.memory import Transaction


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
    call_everything(one)
    assert one.acted == {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)}
    assert one.refused_later == {}
    one.check_conserved()
