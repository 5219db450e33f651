"""What the random walk tries next: half of it leads on, the other half is whatever somebody might try."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from contract_scenario import ORGANISATIONS, specification
from ledger_model import Model

from fl_chaincode.canonical import H

WHO = ORGANISATIONS[:4]
ANYBODY = (*ORGANISATIONS[:4], *ORGANISATIONS[:4], ORGANISATIONS[4])
Call = tuple[Any, ...]


class Calls:
    """Draws calls that fit, more or less, what the model has come to."""

    def __init__(self, source: random.Random, model: Model) -> None:
        self.random = source
        self.model = model
        self.made = 0
        self.campaign: list[Call] = []  # calls that belong together, still to come

    def draw(self) -> Call:
        if self.campaign and self.chance(0.8):
            return self.campaign.pop(0)
        kind = self.random.random()
        if not self.campaign and self.chance(0.06):
            self.campaign = self.deals_campaign() if self.chance(0.4) else self.round_campaign()
        if kind < 0.42:
            return self.lead_on() or self.create()
        if kind < 0.62:
            return self.task_call() or self.create()
        if kind < 0.80:
            return self.deal_call() or self.make()
        if kind < 0.95:
            return self.money_call()
        return self.member_call()

    def pick(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def request(self, start: str) -> str:
        """A new request_id, now and then one that was used."""
        self.made += not self.chance(0.15)
        return f"{start}{self.made}"

    def inputs(self, owner: str) -> tuple[list[str], int]:
        """Some of an owner's coins, rarely of somebody else's; and what they hold."""
        others = self.chance(0.03)
        own = [one for one, (holder, _) in self.model.coins.items() if holder == owner or others]
        chosen = sorted(self.random.sample(own, min(len(own), self.random.randint(1, 3)))) or [H("made up")]
        return chosen, sum(self.model.coins.get(one, ("", 0))[1] for one in chosen)

    def amount(self, held: int, most: int = 120) -> int:
        """Mostly what is there, sometimes all of it, sometimes one too many."""
        return max(1, self.pick([held, held + 1, self.random.randint(1, max(1, min(held, most)))]))

    # Members

    def member_call(self) -> Call:
        who = self.pick(ANYBODY)
        if self.chance(0.5):
            open_ = [(key, one["what"]) for key, one in self.model.motions.items() if not one["carried"]]
            if open_ and self.chance(0.7):
                request, (kind, subject) = self.pick(open_)
            else:
                kind = self.pick(["add", "remove", "suspend", "reinstate", "reinstate", "cancel"])
                request = self.request("m")
                subject = self.pick([*self.model.tasks, "t0"]) if kind == "cancel" else self.pick(WHO)
            return (who, "consortium:Vote", {"request_id": request, "kind": kind, "subject": subject})
        away = [one for one in WHO if self.model.status[one][0] == "suspended"]
        if away and self.chance(0.6):
            return (self.pick(away), "participants:Reinstate")
        calls = [("participants:Suspend",), ("participants:Reinstate",), ("participants:Register", {"name": who})]
        calls.append(("participants:Register", {"name": f"{who} {self.made}"}))
        calls += [("participants:Withdraw",)] if self.chance(0.1) else []
        return (who, *self.pick(calls))

    # Money

    def money_call(self) -> Call:
        who, to = self.pick(ANYBODY), self.pick(ANYBODY)
        open_ = [(key, one["what"]) for key, one in self.model.issues.items() if not one["done"]]
        kind = self.random.random()
        if kind < 0.2:
            request, (to, amount) = self.pick(open_) if open_ and self.chance(0.7) else (self.request("i"), (to, 50))
            return (who, "tokens:Issue", {"request_id": request, "to": to, "amount": amount})
        if kind < 0.6:
            inputs, held = self.inputs(who)
            order = {"request_id": self.request("x"), "inputs": inputs, "to": to, "amount": self.amount(held)}
            return (who, "tokens:Transfer", order)
        if kind < 0.8:
            expected = self.model.allowed.get((who, to), 0) + self.chance(0.1)
            order = {"request_id": self.request("x"), "spender": to, "expected": expected}
            return (who, "tokens:Approve", order | {"amount": self.random.randint(0, 200)})
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
        voters = self.random.sample(WHO, self.random.randint(1, 3))
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
            prices = {"gpu-hour": self.random.randint(1, 9)}
            return (provider, "prices:Publish", {"request_id": self.request("p"), "services": prices})
        version = self.model.prices[provider][0] + self.chance(0.05)
        order = {"request_id": self.request("d"), "provider": provider, "service": "gpu-hour", "version": version}
        order |= {"quantity": self.random.randint(1, 9), "job": "x", "inputs": inputs}
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

    # Tasks

    def create(self) -> Call:
        who = self.pick(WHO)
        scored = self.chance(0.7)
        inputs, held = self.inputs(who)
        k = self.random.randint(1, 3)
        spec = specification(
            id=f"t{len(self.model.tasks) + (not self.chance(0.05))}",
            trainers=sorted(self.random.sample(WHO, self.random.randint(k, 4))),
            validators=sorted(self.random.sample(WHO, 3)),
            q=self.pick([2, 2, 3]),
            k=k,
            min_updates=self.pick([1, k]),
            rounds=self.random.randint(1, 3),
            budget=min(self.amount(held), 400) if scored else 0,
            scoring={"rule": "leave-one-out", "cap_percent": self.pick([100, 150, 200])}
            if scored
            else {"rule": "none"},
        )
        return (who, "tasks:Create", spec, {"inputs": inputs} if spec["budget"] else {})

    def round_campaign(self) -> list[Call]:
        """Votes that end a phase of a round, validators who cannot fetch the same, or a task's end."""
        running = [one for one in self.model.tasks.values() if one["status"] == "running"]
        if not running:
            return []
        task = self.pick(running)
        name, round_ = task["spec"]["id"], task["rounds"][-1]
        number, seen, anybody = round_["number"], self.model.seen(round_), self.pick(ANYBODY)
        validators = round_["validators"]
        voters = self.random.sample(validators, self.random.randint(1, len(validators)))
        kind = self.pick(["close", "close", "abort", "differ", "differ", "cancel", "elect", "elect"])
        if kind == "elect":
            wanted = sorted(self.random.sample(WHO, self.random.randint(2, 3)))
            claim = {"term": round_["term"] + self.chance(0.05), "validators": wanted, "q": self.pick([2, 2, 2, 3])}
            return [(one, "validators:Vote", name, claim) for one in voters]
        if kind == "cancel":
            return [(one, "tasks:Cancel", name) for one in voters] + [(anybody, "rounds:Abort", name, number)]
        if kind == "differ" and len(round_["reveals"]) > 1:
            claims = [(one, self.claim(task, round_, one) | self.some(round_)) for one in validators]
            calls: list[Call] = [(one, "attestations:Submit", name, number, claim) for one, claim in claims]
            return [*calls, (anybody, "rounds:Commit", name, number, None)]
        votes: list[Call] = [(one, "rounds:Vote", name, number, kind, seen["attempt"]) for one in voters]
        end = "rounds:Abort" if kind == "abort" else "rounds:Seal"
        return [*votes, (anybody, end, name, number)] if kind in ("close", "abort") else []

    def some(self, round_: dict[str, Any]) -> dict[str, Any]:
        """What a validator attests that could fetch only some of the updates."""
        fetched = tuple(one for one in sorted(round_["reveals"]) if self.chance(0.7))
        return {"included": fetched, "served": fetched}

    def lead_on(self) -> Call | None:
        """The call that an honest organisation would make next in some task."""
        running = [one for one in self.model.tasks.values() if one["status"] == "running" or one["unsettled"]]
        if not running or self.chance(0.04):
            return None
        task = self.pick(running)
        name = task["spec"]["id"]
        if task["unsettled"] and (task["status"] != "running" or self.chance(0.3)):
            round_ = task["rounds"][task["unsettled"][0] - 1]
            closed = self.model.closed(task, round_)
            if not closed:
                return (self.pick(ANYBODY), "rounds:Settle", name, round_["number"])
            who = self.pick(closed)
            return (who, "scores:Open", name, round_["number"], round_["attested"][who]["scores"])
        round_ = task["rounds"][-1]
        seen, number = self.model.seen(round_), round_["number"]
        left = [one for one in round_["selected"] if one not in round_["updates"]]
        if seen["status"] == "open" and left and round_["updates"] and self.chance(0.15) and not self.campaign:
            voters = self.random.sample(round_["validators"], 2)
            votes: list[Call] = [(one, "rounds:Vote", name, number, "close", 0) for one in voters]
            self.campaign = [*votes, (self.pick(ANYBODY), "rounds:Seal", name, number)]
            return self.campaign.pop(0)
        if seen["status"] == "open" and left:
            return (self.pick(left), "updates:Submit", name, number, not self.chance(0.02))
        closed = [one for one in seen["set"] or () if one not in round_["reveals"]]
        if closed and seen["included"] is None and not self.chance(0.1):
            return (self.pick(closed), "updates:Reveal", name, number)
        done = [one for one, claim in round_["attested"].items() if claim["attempt"] == seen["attempt"]]
        missing = [one for one in round_["validators"] if one not in done]
        if missing and not self.chance(0.15):
            who = self.pick(missing)
            return (who, "attestations:Submit", name, number, self.claim(task, round_, who))
        return self.commit(task, round_)

    def commit(self, task: dict[str, Any], round_: dict[str, Any]) -> Call:
        results = [(one["included"], one["wrong"]) for one in round_["attested"].values()]
        summed = max(results, key=results.count) if results and not self.chance(0.1) else None
        return (self.pick(ANYBODY), "rounds:Commit", task["spec"]["id"], round_["number"], summed)

    def claim(self, task: dict[str, Any], round_: dict[str, Any], who: str) -> dict[str, Any]:
        seen, stored = self.model.seen(round_), round_["attested"].get(who)
        revealed = sorted(round_["reveals"])
        fixed = [one for one in seen["included"] or () if one in revealed]
        included = fixed if fixed and seen["status"] != "committed" and not self.chance(0.1) else revealed
        if self.chance(0.12):
            included = [one for one in included if self.chance(0.7)]
        served = [one for one in revealed if one in included or self.chance(0.9)]
        scores = None
        if task["spec"]["scoring"]["rule"] != "none" and not self.chance(0.1):
            scored = [*included, *(WHO if self.chance(0.03) else ())]
            scores = {one: self.random.randint(-3, 9) for one in scored if self.chance(0.9)}
        return {
            "included": tuple(included),
            "wrong": "a bit" if self.chance(0.1) else "",
            "served": tuple(served if not self.chance(0.03) else served[1:]),
            "attempt": max(1, seen["attempt"]) + self.chance(0.03),
            "version": 1 if stored is None or self.chance(0.05) else stored["version"] + 1,
            "scores": scores,
        }

    def task_call(self) -> Call | None:
        """A call that somebody might make about a task, in or out of turn."""
        if not self.model.tasks or self.chance(0.04):
            return None
        task = self.pick(list(self.model.tasks.values()))
        name, who = task["spec"]["id"], self.pick(ANYBODY)
        number = max(1, len(task["rounds"]) + self.pick([0, 0, 0, 0, -1, -1, 1]))
        round_ = task["rounds"][min(number, len(task["rounds"])) - 1]
        attempt = self.model.seen(round_)["attempt"] + self.chance(0.05)
        voter = self.pick(round_["validators"])
        calls: list[Call] = [
            (who, "updates:Submit", name, number, not self.chance(0.1)),
            (who, "updates:Reveal", name, number),
            (who, "rounds:Seal", name, number),
            (who, "rounds:Abort", name, number),
            (who, "rounds:Settle", name, number),
            (who, "attestations:Submit", name, number, self.claim(task, round_, who)),
            (who, "scores:Open", name, number, (round_["attested"].get(who) or {}).get("scores") or {who: 1}),
            self.commit(task, round_),
        ]
        calls += [(voter, "rounds:Vote", name, number, self.pick(["close", "close", "abort", "settle"]), attempt)] * 5
        calls += [(self.pick([task["sponsor"], voter]), "tasks:Cancel", name)] if self.chance(0.15) else []
        return self.pick(calls)
