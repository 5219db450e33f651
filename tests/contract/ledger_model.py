"""A deliberately simple model of the ledger: plain dictionaries, no keys, no records; this file is money and deals.

Written from the protocol and the documentation, not from the rules, of which it imports nothing but the hash H. `apply`
takes a call as the walk makes it and changes the model, or raises `RefusedError` and leaves it as it was.
"""

from __future__ import annotations

from typing import Any

from member_model import Members, require
from pay_model import Pay
from round_model import Rounds

ANYBODY = {f"rounds:{name}" for name in ("Seal", "Commit", "Abort", "Settle")} | {"orders:Decide", "offers:Decide"}


class Model(Members, Rounds, Pay):
    """What the ledger must be after the same calls."""

    def __init__(self, founders: tuple[str, ...]) -> None:
        Members.__init__(self, founders)
        Rounds.__init__(self)
        self.issues: dict[str, dict[str, Any]] = {}
        self.supply = 0
        self.coins: dict[str, tuple[str, int]] = {}  # by the entry's id, which the walk tells
        self.done: dict[tuple[str, str, str], Any] = {}  # what a request_id stands for
        self.allowed: dict[tuple[str, str], int] = {}
        self.prices: dict[str, tuple[int, dict[str, int]]] = {}
        self.deals: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.spent: list[str] = []  # by the last call
        self.made: list[tuple[str, int]] = []  # owner and amount
        self.wrote = False

    def apply(self, who: str, function: str, *arguments: Any) -> None:
        """Carry out a call; `who` is an organisation, or one with the name of a role that lets nobody write."""
        self.spent, self.made, self.wrote = [], [], False
        who, _, powerless = who.partition("/")
        require(not powerless or function in ANYBODY)
        contract, name = function.split(":")
        getattr(self, f"{contract}_{name.lower()}")(who, *arguments)

    # Money

    def repeated(self, kind: str, who: str, order: dict[str, Any]) -> bool:
        """Whether this very request was carried out; the same id for something else is refused."""
        key = (kind, who, order["request_id"])
        require(self.done.get(key, order) == order)
        return key in self.done

    def remember(self, kind: str, who: str, order: dict[str, Any]) -> None:
        self.done[kind, who, order["request_id"]] = order
        self.wrote = True

    def check_funds(self, owner: str, inputs: list[str], amount: int) -> None:
        require(all(self.coins.get(one, ("",))[0] == owner for one in inputs))
        require(sum(self.coins[one][1] for one in inputs) >= amount)

    def take_out(self, owner: str, inputs: list[str], amount: int) -> None:
        """Remove coins, which must have been checked, and give back what is above the amount."""
        change = sum(self.coins.pop(one)[1] for one in inputs) - amount
        self.spent += inputs
        if change:
            self.give(owner, change)

    def give(self, owner: str, amount: int) -> None:
        self.made.append((owner, amount))
        self.wrote = True

    def tokens_issue(self, who: str, order: dict[str, Any]) -> None:
        require(self.active(who) and who in self.members)
        what = (order["to"], order["amount"])
        issue = self.issues.get(order["request_id"], {"what": what, "votes": set(), "done": False})
        require(issue["what"] == what)
        if issue["done"] or who in issue["votes"]:
            return
        require(order["to"] in self.status)
        votes = issue["votes"] | {who}
        self.issues[order["request_id"]] = {"what": what, "votes": votes, "done": self.majority(votes)}
        self.wrote = True
        if self.majority(votes):
            self.supply += order["amount"]
            self.give(*what)

    def tokens_transfer(self, who: str, order: dict[str, Any]) -> None:
        require(self.owner(who))
        if not self.repeated("transfer", who, order):
            require(order["to"] in self.status)
            self.check_funds(who, order["inputs"], order["amount"])
            self.take_out(who, order["inputs"], order["amount"])
            self.give(order["to"], order["amount"])
            self.remember("transfer", who, order)

    def tokens_approve(self, who: str, order: dict[str, Any]) -> None:
        require(self.owner(who))
        if not self.repeated("approval", who, order):
            require(order["spender"] in self.status)
            require(self.allowed.get((who, order["spender"]), 0) == order["expected"])
            self.allowed[who, order["spender"]] = order["amount"]
            self.remember("approval", who, order)

    def tokens_transferfrom(self, who: str, order: dict[str, Any]) -> None:
        require(self.owner(who))
        if not self.repeated("spending", who, order):
            owner, amount = order["owner"], order["amount"]
            require(self.owner(owner) and order["to"] in self.status)
            require(self.allowed.get((owner, who), 0) >= amount)
            self.check_funds(owner, order["inputs"], amount)
            self.take_out(owner, order["inputs"], amount)
            self.allowed[owner, who] -= amount
            self.give(order["to"], amount)
            self.remember("spending", who, order)

    # Deals

    def prices_publish(self, who: str, order: dict[str, Any]) -> None:
        require(self.active(who))
        if not self.repeated("publication", who, order):
            self.prices[who] = (self.prices.get(who, (0,))[0] + 1, order["services"])
            self.remember("publication", who, order)

    def deal(self, kind: str, owner: str, request: str) -> dict[str, Any]:
        require((kind, owner, request) in self.deals)
        return self.deals[kind, owner, request]

    def end(self, deal: dict[str, Any], status: str, to: str) -> None:
        deal["status"] = status
        self.give(to, deal["amount"])

    def orders_place(self, who: str, order: dict[str, Any]) -> None:
        require(self.active(who))
        if not self.repeated("order", who, order):
            provider = order["provider"]
            require(provider != who and self.active(provider) and provider in self.prices)
            version, services = self.prices[provider]
            require(order["version"] == version and order["service"] in services)
            self.lock("order", who, order, services[order["service"]] * order["quantity"], "placed", other=provider)

    def lock(self, kind: str, who: str, order: dict[str, Any], amount: int, status: str, other: str | None) -> None:
        self.check_funds(who, order["inputs"], amount)
        self.take_out(who, order["inputs"], amount)
        deal = {"amount": amount, "status": status, "other": other, "reference": None, "asked": set(), "votes": {}}
        self.deals[kind, who, order["request_id"]] = deal
        self.remember(kind, who, order)

    def orders_confirm(self, who: str, request: str) -> None:
        require(self.owner(who))
        deal = self.deal("order", who, request)
        require(deal["status"] in ("placed", "settled"))
        if deal["status"] == "placed":
            self.end(deal, "settled", deal["other"])

    def orders_refund(self, who: str, buyer: str, request: str) -> None:
        require(self.owner(who))
        deal = self.deal("order", buyer, request)
        require(deal["other"] == who and deal["status"] in ("placed", "refunded"))
        if deal["status"] == "placed":
            self.end(deal, "refunded", buyer)

    def orders_vote(self, who: str, owner: str, request: str, outcome: str) -> None:
        self.ballot("order", "placed", who, owner, request, outcome)

    def offers_vote(self, who: str, owner: str, request: str, outcome: str) -> None:
        self.ballot("offer", "taken", who, owner, request, outcome)

    def ballot(self, kind: str, needed: str, who: str, owner: str, request: str, outcome: str) -> None:
        require(self.active(who) and who in self.members)
        deal = self.deal(kind, owner, request)
        votes = deal["votes"].get(outcome, set())
        if who not in votes:
            require(deal["status"] == needed)
            deal["votes"][outcome] = votes | {who}
            self.wrote = True

    def orders_decide(self, _who: str, owner: str, request: str, outcome: str) -> None:
        self.decide_deal("order", "placed", owner, request, outcome)

    def offers_decide(self, _who: str, owner: str, request: str, outcome: str) -> None:
        self.decide_deal("offer", "taken", owner, request, outcome)

    def decide_deal(self, kind: str, needed: str, owner: str, request: str, outcome: str) -> None:
        deal = self.deal(kind, owner, request)
        status = {"settle": "settled", "refund": "refunded", "cancel": "cancelled"}[outcome]
        if deal["status"] != status:
            require(deal["status"] == needed and self.majority(deal["votes"].get(outcome, set())))
            self.end(deal, status, deal["other"] if outcome == "settle" else owner)

    def offers_make(self, who: str, order: dict[str, Any]) -> None:
        require(self.owner(who))
        if not self.repeated("offer", who, order):
            self.lock("offer", who, order, order["amount"], "open", other=None)

    def offers_take(self, who: str, seller: str, request: str, reference: str) -> None:
        require(self.active(who))
        deal = self.deal("offer", seller, request)
        if deal["other"] == who:
            require(deal["reference"] == reference)
            return
        require(who != seller and deal["status"] == "open" and self.owner(seller))
        deal.update(status="taken", other=who, reference=reference)
        self.wrote = True

    def offers_withdraw(self, who: str, request: str) -> None:
        require(self.owner(who))
        deal = self.deal("offer", who, request)
        require(deal["status"] in ("open", "withdrawn"))
        if deal["status"] == "open":
            self.end(deal, "withdrawn", who)

    def offers_confirm(self, who: str, request: str, reference: str) -> None:
        require(self.owner(who))
        deal = self.deal("offer", who, request)
        require(deal["status"] in ("taken", "settled") and deal["reference"] == reference)
        if deal["status"] == "taken":
            self.end(deal, "settled", deal["other"])

    def offers_cancel(self, who: str, seller: str, request: str) -> None:
        require(self.owner(who))
        deal = self.deal("offer", seller, request)
        require(who in (seller, deal["other"]) and deal["status"] in ("taken", "cancelled"))
        if deal["status"] == "taken" and who not in deal["asked"]:
            deal["asked"].add(who)
            self.wrote = True
            if deal["asked"] == {seller, deal["other"]}:
                self.end(deal, "cancelled", seller)
