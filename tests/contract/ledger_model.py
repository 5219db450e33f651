"""A deliberately simple model of the ledger: money, deals and membership as plain dictionaries; rounds beside it.

Written from the protocol and the documentation, not from the rules: one class, no keys, no records, no entries' ids but
those that it is told. `apply` takes a call as the walk makes it and changes the model, or raises `RefusedError` and
leaves it as it was. What it leaves out, the walk does not do: declarations and stop rules.
"""

from __future__ import annotations

from typing import Any

from round_model import Rounds, require

ACTIVE, SUSPENDED, WITHDRAWN = "active", "suspended", "withdrawn"


class Model(Rounds):
    """What the ledger must be after the same calls."""

    def __init__(self, members: tuple[str, ...]) -> None:
        super().__init__()
        self.members = set(members)
        self.status: dict[str, tuple[str, str | None]] = {}  # and who suspended it
        self.names: dict[str, str] = {}
        self.motions: dict[str, dict[str, Any]] = {}
        self.issues: dict[str, dict[str, Any]] = {}
        self.supply = 0
        self.coins: dict[str, tuple[str, int]] = {}  # by the entry's id
        self.done: dict[tuple[str, str, str], Any] = {}  # what a request_id stands for
        self.allowed: dict[tuple[str, str], int] = {}
        self.prices: dict[str, tuple[int, dict[str, int]]] = {}
        self.deals: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.spent: list[str] = []  # by the last call
        self.made: list[tuple[str, int]] = []  # owner and amount
        self.wrote = False

    def apply(self, who: str, function: str, *arguments: Any) -> None:
        self.spent, self.made, self.wrote = [], [], False
        contract, name = function.split(":")
        getattr(self, f"{contract}_{name.lower()}")(who, *arguments)

    # Who is who

    def active(self, who: str) -> bool:
        return self.status.get(who, ("",))[0] == ACTIVE

    def owner(self, who: str) -> bool:
        return self.status.get(who, ("",))[0] in (ACTIVE, WITHDRAWN)

    def majority(self, voters: set[str]) -> bool:
        return 2 * len(voters & self.members) > len(self.members)

    def set_status(self, who: str, status: str, by: str | None = None) -> None:
        self.wrote |= self.status[who] != (status, by)
        self.status[who] = (status, by)

    def participants_register(self, who: str, profile: dict[str, str]) -> None:
        self.wrote = self.names.get(who) != profile["name"]
        self.names[who] = profile["name"]
        self.status.setdefault(who, (ACTIVE, None))

    def living(self, who: str) -> bool:
        return who in self.status and self.status[who][0] != WITHDRAWN

    def participants_suspend(self, who: str) -> None:
        require(self.living(who))
        if self.active(who):
            self.set_status(who, SUSPENDED, "organisation")

    def participants_reinstate(self, who: str) -> None:
        require(self.living(who) and self.status[who][1] != "consortium")
        self.set_status(who, ACTIVE)

    def participants_withdraw(self, who: str) -> None:
        require(who in self.status)
        self.set_status(who, WITHDRAWN)

    def consortium_vote(self, who: str, order: dict[str, str]) -> None:
        require(self.active(who) and who in self.members)
        kind, subject = order["kind"], order["subject"]
        motion = self.motions.get(order["request_id"], {"what": (kind, subject), "votes": set(), "carried": False})
        require(motion["what"] == (kind, subject))
        if motion["carried"] or who in motion["votes"]:
            return
        votes = motion["votes"] | {who}
        carried = self.majority(votes)
        if carried:
            self.carry(kind, subject)
        self.motions[order["request_id"]] = {"what": (kind, subject), "votes": votes, "carried": carried}
        self.wrote = True

    def carry(self, kind: str, subject: str) -> None:
        if kind == "add":
            require(subject not in self.members and self.active(subject))
            self.members.add(subject)
        elif kind == "remove":
            require(subject in self.members and len(self.members) > 2)
            self.members.remove(subject)
        elif kind == "suspend":
            require(self.living(subject) and self.status[subject][1] != "consortium")
            self.set_status(subject, SUSPENDED, "consortium")
        elif kind == "reinstate":
            require(self.living(subject) and not self.active(subject))
            self.set_status(subject, ACTIVE)
        else:
            self.end_by_force(subject)

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
