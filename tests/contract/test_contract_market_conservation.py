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
PICK = st.sampled_from([0, 0, 0, 1, 2, 5])  # which deal; steps of one and the same are what matters
AGAIN = st.sampled_from([False, False, False, True])  # whether the request_id is the one before
STEPS = st.sampled_from(
    [
        "take",
        "take",
        "take otherwise",
        "confirm",
        "give back",
        "one cancels",
        "other cancels",
        "vote to settle",
        "vote to undo",
        "settle",
        "undo",
    ]
)
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
        self.requests = 0
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

    @rule(pick=PICK, who=WHO, step=STEPS)
    def hold_back(self, pick: int, who: str, step: str) -> None:
        """Endorse a step now, and order it together with the next one."""
        call = self.step(pick, who, step)
        if self.held_back is None and call is not None:
            try:
                self.held_back = self.market.ledger.endorse(caller(call[0]), *call[1:])
            except FLError:
                return

    @rule(steps=st.lists(st.tuples(PICK, WHO, STEPS), min_size=4, max_size=10))
    def go_on(self, steps: list[tuple[int, str, str]]) -> None:
        for pick, who, step in steps:
            call = self.step(pick, who, step)
            if call is not None:
                self.call(*call)

    @rule(pick=PICK, voters=st.sampled_from([THREE[:2], THREE[1:], THREE[:1]]), settle=st.booleans())
    def vote_and_decide(self, pick: int, voters: tuple[str, ...], settle: bool) -> None:
        for who in voters:
            call = self.step(pick, who, "vote to settle" if settle else "vote to undo")
            if call is not None:
                self.call(*call)
        self.go_on([(pick, voters[0], "settle" if settle else "undo")])

    def step(self, pick: int, who: str, step: str) -> tuple[str, ...] | None:
        """Return the call of a step of a deal: by the party that it belongs to, or by `who` where anybody may try."""
        deals = [*self.records("market/offer").values(), *self.records("market/order").values()]
        if not deals:
            return None
        deal = deals[pick % len(deals)]
        request = deal["request_id"]
        if "seller" in deal:
            owner, buyer = deal["seller"], deal["buyer"] or who
            return {
                "take": (who, "offers:Take", owner, request, "invoice 7"),
                "take otherwise": (who, "offers:Take", owner, request, "invoice 8"),
                "confirm": (owner, "offers:Confirm", request, "invoice 7"),
                "give back": (owner, "offers:Withdraw", request),
                "one cancels": (owner, "offers:Cancel", owner, request),
                "other cancels": (buyer, "offers:Cancel", owner, request),
                "vote to settle": (who, "offers:Vote", owner, request, "settle"),
                "vote to undo": (who, "offers:Vote", owner, request, "cancel"),
                "settle": (who, "offers:Decide", owner, request, "settle"),
                "undo": (who, "offers:Decide", owner, request, "cancel"),
            }[step]
        owner = deal["buyer"]
        return {
            "confirm": (owner, "orders:Confirm", request),
            "give back": (deal["provider"], "orders:Refund", owner, request),
            "one cancels": (who, "orders:Refund", owner, request),
            "vote to settle": (who, "orders:Vote", owner, request, "settle"),
            "vote to undo": (who, "orders:Vote", owner, request, "refund"),
            "settle": (who, "orders:Decide", owner, request, "settle"),
            "undo": (who, "orders:Decide", owner, request, "refund"),
        }.get(step)

    @rule(who=WHO, to=WHO, percent=st.integers(1, 110), again=AGAIN)
    def transfer(self, who: str, to: str, percent: int, again: bool) -> None:
        amount = max(1, self.market.balance(who) * percent // 100)
        order = {"request_id": self.request(again), "inputs": self.market.entries(who), "to": to, "amount": amount}
        self.call(who, "tokens:Transfer", order)

    @rule(owner=WHO, spender=WHO, to=WHO, allowed=st.integers(0, 60), spent=st.integers(1, 30), again=AGAIN)
    def approve_and_spend(self, owner: str, spender: str, to: str, allowed: int, spent: int, again: bool) -> None:
        request = self.request(again)
        expected = self.market.read("tokens:Allowance", owner, spender)["amount"]
        order = {"request_id": request, "spender": spender, "expected": expected, "amount": allowed}
        self.call(owner, "tokens:Approve", order)
        payment = {"request_id": request, "owner": owner, "inputs": self.market.entries(owner), "to": to}
        self.call(spender, "tokens:TransferFrom", {**payment, "amount": spent})

    @rule(who=WHO, provider=WHO, quantity=st.integers(1, 5), again=AGAIN)
    def place(self, who: str, provider: str, quantity: int, again: bool) -> None:
        job = self.market.job(who, provider=provider, request_id=self.request(again), quantity=quantity)
        self.call(who, "orders:Place", job)

    @rule(who=WHO, percent=st.integers(1, 110), again=AGAIN)
    def make(self, who: str, percent: int, again: bool) -> None:
        amount = max(1, self.market.balance(who) * percent // 100)
        self.call(who, "offers:Make", self.market.sale(who, request_id=self.request(again), amount=amount))

    def request(self, again: bool) -> str:
        self.requests += not again
        return f"r{self.requests}"

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
TestTrade.settings = examples(40, stateful_step_count=25)
