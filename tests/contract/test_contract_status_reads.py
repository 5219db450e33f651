"""No call skips the look at what allows it: when that changes in the same block, the call is invalid."""

from __future__ import annotations

from typing import Any

from contract_scenario import Scenario
from every_call import call_everything
from market_scenario import Market

from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.kinds import KINDS

ROUND = {"round"}
ENTRY = {"token/entry"}
ORDER, OFFER = {"market/order"}, {"market/offer"}
ALLOWED_BY: dict[str, set[str]] = {
    "consortium:Init": set(),  # once, from nothing
    "consortium:Vote": {"consortium"},
    "consortium:Retract": {"motion"},
    "participants:Register": set(),  # whoever is not there yet
    "participants:Update": {"participant"},
    "participants:Suspend": {"participant"},
    "participants:Reinstate": {"participant"},
    "participants:Withdraw": {"participant"},
    "declarations:Submit": {"declared"},
    "declarations:Revoke": {"declaration"},
    "tasks:Create": {"consortium", "declaration", *ENTRY},
    "tasks:Cancel": {"head", "round"},
    "validators:Vote": {"consortium", "head", "round"},
    "updates:Submit": ROUND | {"declaration"},
    "updates:Reveal": ROUND | {"declaration", "update"},
    "rounds:Vote": set(),  # blind by design: it is counted by what the round is then
    "rounds:Seal": ROUND | {"update", "vote"},
    "rounds:Commit": ROUND | {"attestation", "head"},
    "rounds:Abort": ROUND | {"head", "vote"},
    "rounds:Settle": ROUND | {"head", "opening", "token/escrow"},
    "attestations:Submit": ROUND | {"reveal"},
    "scores:Open": ROUND | {"attestation"},
    "tokens:Issue": {"consortium", "token/issue"},
    "tokens:Transfer": ENTRY,
    "tokens:Approve": set(),  # from what was expected, here nothing
    "tokens:TransferFrom": {"token/allowance", *ENTRY},
    "prices:Publish": set(),
    "orders:Place": {"market/prices", *ENTRY},
    "orders:Confirm": ORDER | {"token/lock"},
    "orders:Refund": ORDER | {"token/lock"},
    "orders:Vote": ORDER | {"consortium"},
    "orders:Decide": ORDER | {"consortium", "market/vote", "token/lock"},
    "offers:Make": ENTRY,
    "offers:Take": OFFER,
    "offers:Withdraw": OFFER | {"token/lock"},
    "offers:Confirm": OFFER | {"token/lock"},
    "offers:Cancel": OFFER,
    "offers:Vote": OFFER | {"consortium"},
    "offers:Decide": OFFER | {"consortium", "market/vote", "token/lock"},
}


def expected(function: str) -> set[str]:
    entry = FUNCTIONS[function]
    own = isinstance(entry, Write) and (entry.active or entry.owner)
    return ALLOWED_BY[function] | ({"participant"} if own else set())


def kind_of(key: str) -> str:
    fitting = (name for name, kind in KINDS.items() if key == kind.PREFIX or key.startswith(kind.PREFIX + "/"))
    return max(fitting, key=len)


class Overtaken(Market):
    """Each call is first made in a block in which a record that it depends on is written before it."""

    def __init__(self) -> None:
        self.failed: dict[str, set[str]] = {name: set() for name in ALLOWED_BY}
        super().__init__()

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        for kind in expected(function):
            self.overtake(kind, who, function, *arguments)
        return super().call(who, function, *arguments)

    def overtake(self, kind: str, who: Any, function: str, *arguments: Any) -> None:
        transaction = self.endorse(who, function, *arguments)
        read = [key for key, version in transaction.state.reads.items() if version is not None]
        for key in [one for one in read if kind_of(one) == kind and transaction.state.writes][:1]:
            value = self.ledger.state().get(key)
            assert value is not None
            touch = Scenario.endorse(self, "AuditorMSP", "consortium:Read")
            touch.state.reads.clear()
            touch.state.put(key, value)
            assert self.ledger.commit(touch, transaction) == [True, False]
            self.failed[function].add(kind)


def test_a_call_whose_ground_changes_in_the_same_block_is_invalid():
    one = Overtaken()
    call_everything(one)
    assert set(ALLOWED_BY) == {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)}
    assert one.failed == {name: expected(name) for name in ALLOWED_BY}
    one.check_conserved()
