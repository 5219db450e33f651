"""Any sequence of payments, orders and offers: balances are what the records account for, and every lock has its deal.

The machine draws calls of all kinds, in blocks of one or two that are endorsed on the same state. What each
organisation must hold is summed up anew after every step from the records of what was asked and done, never from
entries.
"""

import json
from collections import Counter
from typing import Any

from contract_scenario import ORGANISATIONS, argument, caller, examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from market_scenario import Market

from fl_chaincode import FLError
from fl_chaincode.memory import Transaction

THREE = ORGANISATIONS[:3]
WHO = st.sampled_from(THREE)
IDS = st.sampled_from(["a", "b", "c"])
REFERENCES = st.sampled_from(["invoice 7", "invoice 7", "invoice 7", "invoice 8"])
FORWARD = {
    "placed": {"settled", "refunded"},
    "open": {"taken", "withdrawn"},
    "taken": {"settled", "cancelled"},
}


class Trade(RuleBasedStateMachine):
    """Three organisations that pay, order from, sell to and vote about each other."""

    @initialize()
    def start(self) -> None:
        self.market = Market()
        self.held_back: Transaction | None = None
        self.statuses: dict[str, str] = {}
        for number, who in enumerate(THREE):
            self.market.mint(who, 50, f"for-{number}")
            self.market.publish(who, "prices", {"gpu-hour": number + 2})

    def call(self, who: str, function: str, *arguments: Any) -> None:
        """Submit a call, in a block with the one that was held back if there is one; a refusal is fine."""
        try:
            one = self.market.ledger.endorse(caller(who), function, *(argument(value) for value in arguments))
        except FLError:
            return
        block = [one] if self.held_back is None else [self.held_back, one]
        self.held_back = None
        self.market.ledger.commit(*block)

    @rule(data=st.data())
    def hold_back(self, data: st.DataObject) -> None:
        """Endorse the next call now, and order it together with the one after it."""
        if self.held_back is None:
            who, request = data.draw(WHO), data.draw(IDS)
            function, arguments = data.draw(st.sampled_from(self.endings(data.draw(WHO), request)))
            try:
                self.held_back = self.market.ledger.endorse(caller(who), function, *arguments)
            except FLError:
                return

    def endings(self, other: str, request: str) -> list[tuple[str, list[str]]]:
        return [
            ("orders:Confirm", [request]),
            ("orders:Refund", [other, request]),
            ("orders:Decide", [other, request, "settle"]),
            ("orders:Decide", [other, request, "refund"]),
            ("offers:Take", [other, request, "invoice 7"]),
            ("offers:Withdraw", [request]),
            ("offers:Confirm", [request, "invoice 7"]),
            ("offers:Cancel", [other, request]),
            ("offers:Decide", [other, request, "settle"]),
            ("offers:Decide", [other, request, "cancel"]),
        ]

    @rule(who=WHO, to=WHO, request=IDS, amount=st.integers(1, 60))
    def transfer(self, who: str, to: str, request: str, amount: int) -> None:
        order = {"request_id": request, "inputs": self.market.entries(who), "to": to, "amount": amount}
        self.call(who, "tokens:Transfer", order)

    @rule(owner=WHO, spender=WHO, request=IDS, amount=st.integers(0, 60))
    def approve(self, owner: str, spender: str, request: str, amount: int) -> None:
        expected = self.market.read("tokens:Allowance", owner, spender)["amount"]
        order = {"request_id": request, "spender": spender, "expected": expected, "amount": amount}
        self.call(owner, "tokens:Approve", order)

    @rule(owner=WHO, spender=WHO, to=WHO, request=IDS, amount=st.integers(1, 30))
    def transfer_from(self, owner: str, spender: str, to: str, request: str, amount: int) -> None:
        inputs = self.market.entries(owner)[:2]
        order = {"request_id": request, "owner": owner, "inputs": inputs, "to": to, "amount": amount}
        self.call(spender, "tokens:TransferFrom", order)

    @rule(who=WHO, provider=WHO, request=IDS, quantity=st.integers(1, 10))
    def place(self, who: str, provider: str, request: str, quantity: int) -> None:
        self.call(who, "orders:Place", self.market.job(who, provider=provider, request_id=request, quantity=quantity))

    @rule(who=WHO, request=IDS, amount=st.integers(1, 60))
    def make(self, who: str, request: str, amount: int) -> None:
        self.call(who, "offers:Make", self.market.sale(who, request_id=request, amount=amount))

    @rule(who=WHO, seller=WHO, request=IDS, reference=REFERENCES)
    def take_and_perhaps_confirm(self, who: str, seller: str, request: str, reference: str) -> None:
        self.call(who, "offers:Take", seller, request, reference)
        self.call(seller, "offers:Confirm", request, "invoice 7")

    @rule(who=WHO, other=WHO, request=IDS, data=st.data())
    def end(self, who: str, other: str, request: str, data: st.DataObject) -> None:
        for function, arguments in data.draw(st.permutations(self.endings(other, request)))[:5]:
            self.call(who, function, *arguments)

    @rule(who=WHO, seller=WHO, request=IDS)
    def take_and_try_to_get_out(self, who: str, seller: str, request: str) -> None:
        self.call(who, "offers:Take", seller, request, "invoice 8")
        for function, *arguments in (("offers:Withdraw", request), ("offers:Cancel", seller, request)):
            self.call(seller, function, *arguments)

    @rule(owner=WHO, request=IDS, voters=st.sampled_from([THREE[:2], THREE[1:], THREE[:1]]), data=st.data())
    def vote_and_decide(self, owner: str, request: str, voters: tuple[str, ...], data: st.DataObject) -> None:
        contract, outcome = data.draw(
            st.sampled_from([("orders", "settle"), ("orders", "refund"), ("offers", "settle"), ("offers", "cancel")])
        )
        for who in voters:
            self.call(who, f"{contract}:Vote", owner, request, outcome)
        self.call(voters[0], f"{contract}:Decide", owner, request, outcome)

    def records(self, prefix: str) -> dict[str, dict[str, Any]]:
        found = self.market.ledger.state().scan(f"{prefix}/", f"{prefix}0")
        return {key: json.loads(data) for key, data in found}

    @invariant()
    def everybody_holds_what_the_records_account_for(self) -> None:
        holds: Counter[str] = Counter()
        for one in self.records("token/issue").values():
            holds[one["to"]] += one["amount"] if one["issued"] else 0
        for prefix, payer in (("token/transfer", "sender"), ("token/spending", "owner")):
            for one in self.records(prefix).values():
                holds[one[payer]] -= one["amount"]
                holds[one["to"]] += one["amount"]
        for one in self.records("market/order").values():
            holds[one["buyer"]] -= one["amount"] if one["status"] != "refunded" else 0
            holds[one["provider"]] += one["amount"] if one["status"] == "settled" else 0
        for one in self.records("market/offer").values():
            holds[one["seller"]] -= one["amount"] if one["status"] not in ("withdrawn", "cancelled") else 0
            holds[one["buyer"] or ""] += one["amount"] if one["status"] == "settled" else 0
        assert {who: holds[who] for who in THREE} == {who: self.market.balance(who) for who in THREE}

    @invariant()
    def entries_and_locks_are_the_supply(self) -> None:
        self.market.check_conserved()

    @invariant()
    def what_has_not_ended_has_its_lock_and_nothing_else_has_one(self) -> None:
        expected = {}
        for kind, owner, going in (("order", "buyer", ("placed",)), ("offer", "seller", ("open", "taken"))):
            for one in self.records(f"market/{kind}").values():
                if one["status"] in going:
                    expected[f"token/lock/{kind}/{one[owner]}/{one['request_id']}"] = one["amount"]
        assert {key: one["amount"] for key, one in self.records("token/lock").items()} == expected

    @invariant()
    def every_end_has_who_may_bring_it_about(self) -> None:
        for one in self.records("market/offer").values():
            both = sorted((one["seller"], one["buyer"] or ""))
            assert (one["ended_by"] == "agreement") == (one["cancelled_by"] == both)
            assert set(one["cancelled_by"]) <= set(both)
            assert (one["buyer"] is None) == (one["status"] in ("open", "withdrawn"))
            assert one["ended_by"] != "confirmation" or one["reference"] == "invoice 7"
        for kind, owner in (("order", "buyer"), ("offer", "seller")):
            for one in self.records(f"market/{kind}").values():
                if one["ended_by"] == "vote":
                    outcome = {"settled": "settle", "refunded": "refund", "cancelled": "cancel"}[one["status"]]
                    votes = self.records(f"market/vote/{kind}/{one[owner]}/{one['request_id']}/{outcome}")
                    assert len(votes) >= 2

    @invariant()
    def deals_only_move_forward_and_allowances_are_never_negative(self) -> None:
        for key, one in {**self.records("market/order"), **self.records("market/offer")}.items():
            before = self.statuses.setdefault(key, one["status"])
            assert one["status"] == before or _reachable(before, one["status"])
            self.statuses[key] = one["status"]
        assert all(one["amount"] >= 0 for one in self.records("token/allowance").values())


def _reachable(before: str, after: str) -> bool:
    steps = FORWARD.get(before, set())
    return after in steps or any(_reachable(one, after) for one in steps)


TestTrade = Trade.TestCase
TestTrade.settings = examples(25, stateful_step_count=30)
