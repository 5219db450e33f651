"""What the walk tries next: half of it leads on, the other half is whatever somebody might try.

Everything is drawn as numbers from small ranges, by hypothesis or by a seeded generator, and the smallest number is the
simplest choice: so a failure shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ledger_model import Model
from walk_rounds import ANYBODY, STRANGER, WHO, RoundCalls
from walk_spelling import Call

from fl_chaincode.canonical import H

COUNTS = (1,) * 14 + (2, 2, 3, 3, 4, 5)  # of calls in a block
Numbers = Callable[[int, int], int]  # draws one of low, …, high
Source = Callable[[int], Numbers]  # told about how many of them will be wanted


class Block(NamedTuple):
    """Calls that are endorsed on one state and ordered together.

    Attributes:
        calls: in the order of their transactions.
        keep: whether the last one's transaction is held back, to be ordered in a later block.
        late: whether all that was held back is ordered now, and before (1) or behind (2) these.
    """

    calls: tuple[Call, ...]
    keep: bool = False
    late: int = 0


class Calls(RoundCalls):
    """Draws calls that fit, more or less, what the model has come to."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.made = 0
        self.campaign: list[Call] = []  # calls that belong together, still to come
        self.recent: list[Call] = []

    def block(self, source: Source) -> Block:
        self.numbers = source(4)
        calls, keep, late = self.pick(COUNTS), self.chance(0.06), self.chance(0.1) * self.number(1, 2)
        twice = calls > 1 and self.chance(0.3)  # the same call in one block
        drawn = [self.draw(source(14)) for _ in range(calls)]
        return Block((*drawn, *drawn[len(drawn) - twice :]), keep, late)

    def draw(self, numbers: Numbers) -> Call:
        self.numbers = numbers
        again, powerless, aside, begin = (self.chance(share) for share in (0.08, 0.03, 0.2, 0.08))
        kind, about = self.number(0, 99), self.number(0, 9)
        if again and self.recent:
            return self.pick(self.recent[-30:])
        if begin and not self.campaign:
            campaigns = (self.round_campaign,) * 5 + (self.deals_campaign,) * 3 + (self.motion_campaign,) * 2
            self.campaign = campaigns[about]()
        who, *call = self.campaign.pop(0) if self.campaign and not aside else self.fresh(kind)
        self.recent.append((f"{who}/auditor" if powerless and "/" not in who else who, *call))
        return self.recent[-1]

    def fresh(self, kind: int) -> Call:
        if kind < 63:
            return self.lead_on() or self.create()
        if kind < 74:
            return self.task_call() or self.create()
        if kind < 85:
            return self.deal_call() or self.make()
        if kind < 94:
            return self.money_call()
        return self.member_call() if kind < 98 else self.declaration_call()

    # Choices

    def number(self, low: int, high: int) -> int:
        return self.numbers(low, high)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, share: float) -> bool:
        return self.number(0, 99) >= round(100 - 100 * share)

    def some(self, choices: Sequence[Any], count: int) -> list[Any]:
        left = list(choices)
        return [left.pop(self.number(0, len(left) - 1)) for _ in range(count)]

    def request(self, start: str) -> str:
        """A new request_id, now and then one that was used."""
        self.made += not self.chance(0.15)
        return f"{start}{self.made}"

    def inputs(self, owner: str) -> tuple[list[str], int]:
        """Some of an owner's coins, rarely of somebody else's; and what they hold."""
        others = self.chance(0.03)
        own = [one for one, (holder, _) in self.model.coins.items() if holder == owner or others]
        count, places = self.number(1, 3), [self.number(0, 99) for _ in range(3)]  # as many numbers for any coins
        chosen = sorted(own.pop(place * len(own) // 100) for place in places[:count] if own) or [H("made up")]
        return chosen, sum(self.model.coins.get(one, ("", 0))[1] for one in chosen)

    def amount(self, held: int, most: int = 120) -> int:
        """Mostly what is there, sometimes all of it, sometimes one too many."""
        kind = self.number(0, 2)
        return max(1, self.number(1, max(1, min(held, most))) if kind == 0 else held if kind == 1 else held + 1)

    # Members

    def member_call(self) -> Call:
        who = self.pick(ANYBODY)
        if self.chance(0.5):
            return self.motion_call(who)
        away = [one for one in WHO if self.model.status[one][0] == "suspended"]
        if away and self.chance(0.6):
            return (self.pick(away), "participants:Reinstate")
        kind = self.number(0, 13)
        if kind < 3:
            return (who, "participants:Register", {"name": self.pick([who, f"{who} {self.made}"])})
        if kind < 6:
            return (who, "participants:Update", {self.pick(["name", "description"]): self.pick([who, str(self.made)])})
        if kind == 6:
            return (who, "consortium:Init")
        if kind == 7 and self.chance(0.3):
            return (who, "participants:Withdraw")
        if kind in (8, 9):
            calls = [(STRANGER, "participants:Update", {"name": "x"}), (STRANGER, "participants:Withdraw")]
            return self.pick([*calls, (f"{STRANGER}/auditor", "participants:Register", {"name": "x"})])
        return (who, self.pick(["participants:Suspend", "participants:Reinstate"]))

    def motion_campaign(self) -> list[Call]:
        """A motion that all vote for, and what the one whom it is about tries then."""
        by_all = [one for one in WHO if self.model.status[one] == ("suspended", "consortium")]
        outside = [one for one in WHO if one not in self.model.members]
        kind = self.pick(["suspend", "remove"]) if not (by_all or outside) else "reinstate" if by_all else "add"
        subject = self.pick(by_all or outside or WHO)
        order = {"request_id": self.request("m"), "kind": kind, "subject": subject}
        votes: list[Call] = [(one, "consortium:Vote", order) for one in WHO if one in self.model.members]
        return [*votes, (subject, "participants:Reinstate")]

    def motion_call(self, who: str) -> Call:
        open_ = [(key, one["what"]) for key, one in self.model.motions.items() if not one["carried"]]
        if self.model.motions and self.chance(0.3):
            return (who, "consortium:Retract", self.pick([*self.model.motions, "nothing"]))
        if open_ and not self.chance(0.3):
            request, (kind, subject) = self.pick(open_)
        else:
            kind = self.pick(["add", "remove", "suspend", "reinstate", "reinstate", "cancel"])
            request = self.request("m")
            subject = self.pick([*self.model.tasks, "t0"]) if kind == "cancel" else self.pick(WHO)
        return (who, "consortium:Vote", {"request_id": request, "kind": kind, "subject": subject})

    # Money

    def money_call(self) -> Call:
        who, to = self.pick(ANYBODY), self.pick(ANYBODY)
        open_ = [(key, one["what"]) for key, one in self.model.issues.items() if not one["done"]]
        kind = self.number(0, 9)
        if kind < 2:
            request, (to, amount) = self.pick(open_) if open_ and self.chance(0.7) else (self.request("i"), (to, 50))
            return (who, "tokens:Issue", {"request_id": request, "to": to, "amount": amount})
        if kind < 6:
            inputs, held = self.inputs(who)
            order = {"request_id": self.request("x"), "inputs": inputs, "to": to, "amount": self.amount(held)}
            return (who, "tokens:Transfer", order)
        if kind < 8:
            expected = self.model.allowed.get((who, to), 0) + self.chance(0.1)
            order = {"request_id": self.request("x"), "spender": to, "expected": expected}
            return (who, "tokens:Approve", order | {"amount": self.number(0, 200)})
        owner, who = self.pick(list(self.model.allowed) or [(to, who)])
        inputs, held = self.inputs(owner)
        amount = self.amount(min(held, self.model.allowed.get((owner, who), 0)))
        order = {"request_id": self.request("x"), "owner": owner, "inputs": inputs, "to": to, "amount": amount}
        return (who, "tokens:TransferFrom", order)

    # Deals

    def deals_campaign(self) -> list[Call]:
        """A vote on a deal, and its end by the vote."""
        going = [key for key, one in self.model.deals.items() if one["status"] in ("placed", "taken")]
        if not going:
            return []
        kind, owner, request = self.pick(going)
        outcome = self.pick(["settle", "refund" if kind == "order" else "cancel"])
        voters = self.some(WHO, self.number(1, 3))
        votes = [(who, f"{kind}s:Vote", owner, request, outcome) for who in voters]
        return [*votes, (self.pick(ANYBODY), f"{kind}s:Decide", owner, request, outcome)]

    def make(self) -> Call:
        who, provider = self.pick(WHO), self.pick(WHO)
        inputs, held = self.inputs(who)
        if self.chance(0.4):
            money = {"price": 10, "currency": "EUR", "terms": ""}
            order = {"request_id": self.request("d"), "inputs": inputs, "amount": self.amount(held), **money}
            return (who, "offers:Make", order)
        if provider not in self.model.prices or self.chance(0.1):
            prices = {"gpu-hour": self.number(1, 9)}
            return (provider, "prices:Publish", {"request_id": self.request("p"), "services": prices})
        version = self.model.prices[provider][0] + self.chance(0.05)
        order = {"request_id": self.request("d"), "provider": provider, "service": "gpu-hour", "version": version}
        order |= {"quantity": self.number(1, 9), "job": "x", "inputs": inputs}
        return (who, "orders:Place", order)

    def deal_call(self) -> Call | None:
        going = [key for key, one in self.model.deals.items() if one["status"] in ("placed", "open", "taken")]
        if not going or self.chance(0.25):
            return None
        kind, owner, request = self.pick(going if self.chance(0.9) else list(self.model.deals))
        deal = self.model.deals[kind, owner, request]
        who, reference = self.pick(WHO), self.pick(["bill 1", "bill 1", "bill 1", "bill 2"])
        outcome = self.pick(["settle", "refund" if kind == "order" else "cancel"])
        party = self.pick([owner, deal["other"] or who])
        if kind == "order":
            calls: list[Call] = [(owner, "orders:Confirm", request), (party, "orders:Refund", owner, request)]
            calls += [(who, "orders:Vote", owner, request, outcome)] * 3
            return self.pick([*calls, (who, "orders:Decide", owner, request, outcome)])
        calls = [(who, "offers:Take", owner, request, reference)] * 3 + [(owner, "offers:Withdraw", request)]
        calls += [(owner, "offers:Confirm", request, reference), (party, "offers:Cancel", owner, request)]
        calls += [(who, "offers:Vote", owner, request, outcome)] * 3
        return self.pick([*calls, (who, "offers:Decide", owner, request, outcome)])
