"""What the walk tries next with tasks and their rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract_scenario import ORGANISATIONS, specification
from round_model import DISTANT, INVALID
from walk_spelling import Call

if TYPE_CHECKING:
    from walk_calls import Calls

WHO = ORGANISATIONS[:4]
ANYBODY = (*ORGANISATIONS[:4], *ORGANISATIONS[:4], ORGANISATIONS[4])
STRANGER = "Org6MSP"  # never registers
PURPOSES = ("sepsis", "stroke")


class RoundCalls:
    """Calls about tasks, rounds, validators and declarations."""

    def create(self: Calls) -> Call:
        """A task; where its trainers have declared no data for its purpose, what they declare comes first."""
        who, scored, k = self.pick(WHO), not self.chance(0.3), self.number(1, 3)
        inputs, held = self.inputs(who)
        able = [one for one in WHO if self.model.active(one)]
        voters = [one for one in able if one in self.model.members]
        if len(voters) < 2 or self.chance(0.1):
            able, voters = list(WHO), list(WHO)
        k, purpose = min(k, len(able)), self.pick([None, None, *PURPOSES])
        least = self.pick([1, k])
        spec = specification(
            id=f"t{len(self.model.tasks) + (not self.chance(0.05))}",
            trainers=sorted(self.some(able, self.number(k, len(able)))),
            validators=sorted(self.some(voters, min(3, len(voters)))),
            q=self.pick([2, 2, 3]),
            k=k,
            min_updates=least,
            rounds=self.number(1, 6),
            aggregation={"rule": "krum", "byzantine": 1} if least == 3 and self.chance(0.7) else {"rule": "none"},
            budget=min(self.amount(held), 400) if scored else 0,
            scoring={"rule": "leave-one-out", "cap_percent": self.pick([100, 150, 200])}
            if scored
            else {"rule": "none"},
            purpose=purpose,
            stop=self.stop_rule() if scored and not self.chance(0.3) else None,
        )
        call = (who, "tasks:Create", spec, {"inputs": inputs} if spec["budget"] else {})
        missing = [one for one in spec["trainers"] if purpose and not self.model.covering(one, purpose, 1)]
        if missing and not self.chance(0.1):
            self.campaign = [*(self.declare(one, purpose) for one in missing), call]
            return self.campaign.pop(0)
        return call

    def stop_rule(self: Calls) -> dict[str, Any]:
        target, patience = self.pick([(None, 1), (None, 2), (2, None), (2, 2)])
        rule = {"metric": "loss", "direction": self.pick(["min", "max"]), "target": target, "patience": patience}
        return rule | {"min_delta": self.number(0, 2)}

    def declare(self: Calls, who: str, purpose: str) -> Call:
        made = self.model.declared.get((who, purpose), [])
        if made and self.chance(0.1):
            return (who, "declarations:Submit", self.pick(made)["claim"])
        claim = {"purpose": purpose, "number": len(made) + 1 + self.chance(0.03), "digest": "d" * 64}
        claim |= {
            "num_examples": self.pick([1000, 10, 10, 10, 10, 10, 9]),
            "last_round": self.pick([None, None, 1, 2, 3]),
        }
        return (who, "declarations:Submit", claim)

    def declaration_call(self: Calls) -> Call:
        who, purpose = self.pick(ANYBODY), self.pick(PURPOSES)
        made = [key for key, one in self.model.declared.items() if not one[-1]["revoked"]]
        if made and self.chance(0.4):
            who, purpose = self.pick(made)
            return (who, "declarations:Revoke", purpose, len(self.model.declared[who, purpose]) + self.chance(0.1))
        return self.declare(who, purpose)

    def round_campaign(self: Calls) -> list[Call]:
        """Calls that belong together: a phase of a round ended by votes, a task's end, a change in the middle."""
        running = [one for one in self.model.tasks.values() if one["status"] == "running"]
        if not running:
            return []
        task = self.pick(running[-2:])
        round_ = task["rounds"][-1]
        open_ = self.model.seen(round_)["status"] == "open"
        kinds = [self.elect, self.elect, self.cancel if self.chance(0.4) else self.abort]
        if open_ and len(round_["updates"]) >= task["spec"]["min_updates"]:
            kinds += [self.close] * 3
        if open_ and any(one not in round_["updates"] for one in round_["declarations"]):
            kinds += [self.revoke] * 3
        if len(round_["reveals"]) > 1:
            kinds += [self.differ] * 3
        return self.pick(kinds)(task, round_)

    def voters(self: Calls, round_: dict[str, Any]) -> list[str]:
        return self.some(
            round_["validators"], self.number(min(2, len(round_["validators"])), len(round_["validators"]))
        )

    def votes(self: Calls, task: dict[str, Any], round_: dict[str, Any], kind: str, *blamed: str) -> list[Call]:
        name, number, attempt = task["spec"]["id"], round_["number"], self.model.seen(round_)["attempt"]
        return [(one, "rounds:Vote", name, number, kind, attempt, blamed) for one in self.voters(round_)]

    def elect(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> list[Call]:
        """Validators vote for others, of whom one may be suspended before the round ends."""
        able = [one for one in WHO if self.model.active(one) and one in self.model.members]
        able = able if len(able) > 1 and not self.chance(0.1) else list(WHO)
        wanted = sorted(self.some(able, self.number(2, len(able))))
        claim = {"term": round_["term"] + self.chance(0.05), "validators": wanted, "q": 2 + self.chance(0.1)}
        votes: list[Call] = [(one, "validators:Vote", task["spec"]["id"], claim) for one in self.voters(round_)]
        if not self.chance(0.2):
            return votes
        return [*votes, (wanted[0], "participants:Suspend"), *self.abort(task, round_)]

    def abort(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> list[Call]:
        votes = self.votes(task, round_, "abort", *self.blamed(round_))
        return [*votes, (self.pick(ANYBODY), "rounds:Abort", task["spec"]["id"], round_["number"])]

    def close(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> list[Call]:
        """The round is sealed, and those who had not submitted try it afterwards."""
        name, number = task["spec"]["id"], round_["number"]
        late = [one for one in round_["selected"] if one not in round_["updates"]]
        seal: Call = (self.pick(ANYBODY), "rounds:Seal", name, number)
        too_late: list[Call] = [(one, "updates:Submit", name, number, True) for one in late]
        return [*self.votes(task, round_, "close"), seal, *too_late]

    def cancel(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> list[Call]:
        name, voters = task["spec"]["id"], self.voters(round_)[self.number(0, 1) :]
        end: Call = (self.pick(ANYBODY), "rounds:Abort", name, round_["number"])
        return [*((one, "tasks:Cancel", name) for one in voters), end]

    def differ(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> list[Call]:
        """Validators who could not all fetch the same."""
        name, number = task["spec"]["id"], round_["number"]
        claims = [(one, self.claim(task, round_, one) | self.fetched(round_)) for one in round_["validators"]]
        calls: list[Call] = [(one, "attestations:Submit", name, number, claim) for one, claim in claims]
        return [*calls, (self.pick(ANYBODY), "rounds:Commit", name, number, None)]

    def revoke(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> list[Call]:
        """One who was selected revokes the declaration in the middle of the round, and goes on."""
        name, number, purpose = task["spec"]["id"], round_["number"], task["spec"]["purpose"]
        who = self.pick([one for one in round_["declarations"] if one not in round_["updates"]])
        revocation = (who, "declarations:Revoke", purpose, round_["declarations"][who])
        return [revocation, (who, "updates:Submit", name, number, True), (who, "updates:Reveal", name, number)]

    def blamed(self: Calls, round_: dict[str, Any]) -> tuple[str, ...]:
        return tuple(one for one in sorted(round_["updates"]) if self.chance(0.3))

    def fetched(self: Calls, round_: dict[str, Any]) -> dict[str, Any]:
        """What a validator attests that could fetch only some of the updates."""
        found = tuple(one for one in sorted(round_["reveals"]) if not self.chance(0.3))
        return {"included": found, "served": found, "refused": {}}

    def lead_on(self: Calls) -> Call | None:
        """The call that an honest organisation would make next in some task."""
        running = [one for one in self.model.tasks.values() if one["status"] == "running" or one["unsettled"]]
        if not running or self.chance(0.01):
            return None
        task = self.pick(running[-2:])
        name = task["spec"]["id"]
        if task["unsettled"] and (task["status"] != "running" or self.chance(0.6)):
            return self.settle(task, task["rounds"][task["unsettled"][0] - 1])
        round_ = task["rounds"][-1]
        seen, number = self.model.seen(round_), round_["number"]
        voters = [one for one in round_["validators"] if self.model.active(one)]
        if len(voters) < round_["q"] and not self.campaign:
            return self.end_by_force(name)
        able = [one for one in WHO if self.model.active(one) and self.model.may_train(task, round_, one)]
        if seen["status"] == "open":
            left = [one for one in round_["selected"] if one not in round_["updates"] and one in able]
            if left and not (round_["updates"] and self.chance(0.08)):
                return (self.pick(left), "updates:Submit", name, number, not self.chance(0.03))
            return self.give_up(task, round_)
        closed = [one for one in seen["set"] if one not in round_["reveals"] and one in able and round_["updates"][one]]
        closed = closed or [one for one in seen["set"] if one not in round_["reveals"] and self.chance(0.2)]
        if closed and seen["included"] is None and not self.chance(0.1):
            return (self.pick(closed), "updates:Reveal", name, number)
        if len(round_["reveals"]) < task["spec"]["min_updates"]:
            return self.give_up(task, round_)
        done = [one for one, claim in round_["attested"].items() if claim["attempt"] == seen["attempt"]]
        missing = [one for one in voters if one not in done] or voters[: 3 * (seen["status"] == "disputed")]
        if missing and not self.chance(0.15):
            who = self.pick(missing)
            return (who, "attestations:Submit", name, number, self.claim(task, round_, who))
        return self.give_up(task, round_) if self.chance(0.03) else self.commit(task, round_)

    def give_up(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> Call:
        """The first of the votes that seal a round without those who are silent, or abort it."""
        seen, name, number = self.model.seen(round_), task["spec"]["id"], round_["number"]
        voters = [one for one in round_["validators"] if self.model.active(one)]
        sealing = seen["status"] == "open" and len(round_["updates"]) >= task["spec"]["min_updates"]
        kind, end = ("close", "rounds:Seal") if sealing else ("abort", "rounds:Abort")
        blamed = () if sealing else self.blamed(round_)
        votes: list[Call] = [(one, "rounds:Vote", name, number, kind, seen["attempt"], blamed) for one in voters]
        self.campaign = [*votes, (self.pick(ANYBODY), end, name, number)]
        return self.campaign.pop(0)

    def settle(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> Call:
        closed, name, number = self.model.closed(round_), task["spec"]["id"], round_["number"]
        able = [one for one in closed if self.model.active(one)]
        if able and not self.chance(0.2):
            who = self.pick(able)
            return (who, "scores:Open", name, number, round_["attested"][who]["scored"])
        settle: Call = (self.pick(ANYBODY), "rounds:Settle", name, number)
        voters = [one for one in round_["validators"] if closed and self.model.active(one)]
        self.campaign = [(one, "rounds:Vote", name, number, "settle", round_["attempt"], ()) for one in voters] + [
            settle
        ]
        return self.campaign.pop(0)

    def end_by_force(self: Calls, name: str) -> Call:
        """The first of the consortium's votes to end a task that has too few validators left."""
        order = {"request_id": self.request("m"), "kind": "cancel", "subject": name}
        self.campaign = [(one, "consortium:Vote", order) for one in WHO if one in self.model.members]
        return self.campaign.pop(0)

    def commit(self: Calls, task: dict[str, Any], round_: dict[str, Any]) -> Call:
        results = [(one["included"], one["wrong"]) for one in round_["attested"].values()]
        summed = max(results, key=results.count) if results and not self.chance(0.1) else None
        return (self.pick(ANYBODY), "rounds:Commit", task["spec"]["id"], round_["number"], summed)

    def claim(self: Calls, task: dict[str, Any], round_: dict[str, Any], who: str) -> dict[str, Any]:
        seen, stored = self.model.seen(round_), round_["attested"].get(who)
        revealed = sorted(round_["reveals"])
        fixed = [one for one in seen["included"] or () if one in revealed]
        included = fixed if fixed and seen["status"] != "committed" and not self.chance(0.1) else revealed
        refused: dict[str, str] = {}
        if self.chance(0.1):
            included = [one for one in included if not self.chance(0.3)]
        elif task["spec"]["aggregation"]["rule"] == "krum" and not self.chance(0.1):
            refused, included = dict.fromkeys(included[1:], DISTANT), included[:1]
        elif included[1:] and round_["number"] % 3 == 0 and not self.chance(0.2):
            refused, included = {included[0]: INVALID}, included[1:]  # everybody finds this one invalid
        served = [one for one in revealed if one in included or not self.chance(0.1)]
        return {
            "included": tuple(included),
            "refused": refused,
            "wrong": "a bit" if self.chance(0.1) else "",
            "served": tuple(served[1:] if self.chance(0.03) else served),
            "attempt": max(1, seen["attempt"]) + self.chance(0.03),
            "version": 1 if stored is None or self.chance(0.05) else stored["version"] + 1,
            "scored": self.scored(task, included),
            "openings": self.openings(task, round_, who) if self.chance(0.4) else (),
        }

    def scored(self: Calls, task: dict[str, Any], included: list[str]) -> dict[str, Any] | None:
        if task["spec"]["scoring"]["rule"] == "none" or self.chance(0.1):
            return {"scores": {}, "metrics": {}} if self.chance(0.01) else None
        scored = [*included, *(WHO if self.chance(0.03) else ())]
        scores = {one: self.number(-3, 9) for one in scored if not self.chance(0.1)}
        return {"scores": scores, "metrics": {} if self.chance(0.1) else {"loss": self.number(0, 4)}}

    def openings(self: Calls, task: dict[str, Any], round_: dict[str, Any], who: str) -> tuple[Any, ...]:
        """What rides along of earlier rounds, rarely of this one."""
        earlier = [task["rounds"][number - 1] for number in task["unsettled"]]
        own = [(one["number"], one["attested"][who]["scored"]) for one in earlier if who in self.model.closed(one)]
        wrong = [(round_["number"], {"scores": {}, "metrics": {}})] if self.chance(0.03) else []
        return (*own, *wrong)

    def task_call(self: Calls) -> Call | None:
        """A call that somebody might make about a task, in or out of turn."""
        if not self.model.tasks or self.chance(0.03):
            return None
        task = self.pick(list(self.model.tasks.values()))
        name, who = task["spec"]["id"], self.pick(ANYBODY)
        number = max(1, len(task["rounds"]) + self.pick([0, 0, 0, 0, -1, -1, 1]))
        round_ = task["rounds"][min(number, len(task["rounds"])) - 1]
        attempt, voter = self.model.seen(round_)["attempt"], self.pick(round_["validators"])
        kind = self.number(0, 13)
        late = [one for one in round_["selected"] if one not in round_["updates"]]
        closed = [one for one in round_["updates"] if one not in round_["reveals"]]
        if kind == 0:
            return (self.pick([who, *late]), "updates:Submit", name, number, not self.chance(0.1))
        if kind == 1:
            return (who, "attestations:Submit", name, number, self.claim(task, round_, who))
        if kind == 2:
            stored = round_["attested"].get(who) or {}
            opening = stored.get("scored") or {"scores": {who: 1}, "metrics": {}}
            return (who, "scores:Open", name, number, opening)
        if kind == 3:
            return self.commit(task, round_)
        if kind == 4 and self.chance(0.2):
            return (self.pick([task["sponsor"], voter, who]), "tasks:Cancel", name)
        if kind < 9:
            function = self.pick(["updates:Reveal", "rounds:Seal", "rounds:Abort", "rounds:Settle"])
            return (self.pick([who, *closed]), function, name, number)
        if kind == 9:
            claim = {"term": round_["term"], "validators": sorted({voter, who}), "q": self.pick([2, 1])}
            return (self.pick([voter, who]), "validators:Vote", name, claim)
        vote = self.pick(["close", "close", "abort", "settle"])
        voter, blamed = self.pick([voter, voter, voter, who]), self.blamed(round_) if self.chance(0.3) else ()
        return (voter, "rounds:Vote", name, number, vote, attempt + self.chance(0.05), blamed)
