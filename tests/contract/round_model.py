"""The part of the simple model that is about tasks and their rounds; ledger_model.py has the rest.

What stands for an attestation here is what was summed (`included`, and a word for a wrong sum) and which updates can be
served; hashes are looked at only to know who is selected.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from fl_chaincode.canonical import H

if TYPE_CHECKING:
    from ledger_model import Model


class RefusedError(Exception):
    """The ledger must refuse this call."""


def require(condition: bool) -> None:
    if not condition:
        raise RefusedError


def model_digest(base: str, included: tuple[str, ...], wrong: str) -> str:
    """The digest that organisations of the walk give the model which they get."""
    return H("a model", base, *included, wrong)


class Rounds:
    """Tasks, each with its rounds in the order of their numbers."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}

    def tasks_create(self: Model, who: str, spec: dict[str, Any], payment: dict[str, list[str]]) -> None:
        require(self.active(who))
        if spec["id"] in self.tasks:
            task = self.tasks[spec["id"]]
            require(task["spec"] == spec and task["sponsor"] == who)
            return
        inputs = payment.get("inputs", [])
        require(set(spec["validators"]) <= self.members)
        require(all(self.active(one) for one in (*spec["trainers"], *spec["validators"])))
        self.check_funds(who, inputs, spec["budget"])
        self.take_out(who, inputs, spec["budget"])
        task = {
            "spec": spec,
            "sponsor": who,
            "escrow": spec["budget"],
            "status": "running",
            "cancel": set(),
            "votes": set(),
            "elections": {},
        }
        self.tasks[spec["id"]] = task | {"j": 0, "base": spec["model"]["initial"], "unsettled": [], "rounds": []}
        self.open_round(self.tasks[spec["id"]], [])
        self.wrote = True

    def open_round(self: Model, task: dict[str, Any], moved: list[str]) -> None:
        spec, j, base = task["spec"], task["j"] + 1, task["base"]
        present = [one for one in spec["trainers"] if self.active(one)]
        ranked = sorted(present, key=lambda one: H("fl/select/v1", spec["id"], j, base, one))
        order = [one for one in ranked if one not in moved] + [one for one in moved if one in present]
        number = len(task["rounds"]) + 1
        round_: dict[str, Any] = {"number": number, "j": j, "base": base, "selected": order[: spec["k"]]}
        validators, q, term = self.elected(task) if task["rounds"] else (spec["validators"], spec["q"], 0)
        round_ |= {"validators": validators, "q": q, "term": term}
        round_ |= {"moved": moved, "status": "open", "attempt": 0, "set": None, "included": None}
        round_ |= {"updates": {}, "reveals": set(), "attested": {}, "opened": {}, "committed": None, "paid": None}
        task["rounds"].append(round_)

    def tasks_cancel(self: Model, who: str, name: str) -> None:
        require(self.active(who) and name in self.tasks)
        task = self.tasks[name]
        if who not in task["cancel"]:
            require(task["status"] == "running" and who in (task["sponsor"], *task["rounds"][-1]["validators"]))
            task["cancel"].add(who)
            self.wrote = True

    def find(self, name: str, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        require(name in self.tasks and number <= len(self.tasks[name]["rounds"]))
        return self.tasks[name], self.tasks[name]["rounds"][number - 1]

    def seen(self, round_: dict[str, Any]) -> dict[str, Any]:
        """The round as the protocol sees it: sealed when all selected have submitted."""
        if round_["status"] == "open" and set(round_["updates"]) >= set(round_["selected"]):
            return round_ | {"status": "sealed", "attempt": 1, "set": sorted(round_["updates"])}
        return round_

    def voted(self, task: dict[str, Any], round_: dict[str, Any], kind: str) -> bool:
        number, attempt = round_["number"], self.seen(round_)["attempt"]
        voted = sum((number, kind, attempt, one) in task["votes"] for one in round_["validators"])
        return voted >= round_["q"]

    # What participants do

    def updates_submit(self: Model, who: str, name: str, number: int, honest: bool) -> None:
        require(self.active(who))
        _, round_ = self.find(name, number)
        require(round_["updates"].get(who, honest) == honest)
        if who not in round_["updates"]:
            require(who in round_["selected"] and round_["status"] == "open")
            round_["updates"][who] = honest
            self.wrote = True

    def updates_reveal(self: Model, who: str, name: str, number: int) -> None:
        require(self.active(who))
        _, round_ = self.find(name, number)
        if who not in round_["reveals"]:
            seen = self.seen(round_)
            require(seen["status"] in ("sealed", "disputed") and seen["included"] is None and who in seen["set"])
            require(round_["updates"][who])
            round_["reveals"].add(who)
            self.wrote = True

    def rounds_vote(self: Model, who: str, name: str, number: int, kind: str, attempt: int) -> None:
        require(self.active(who) and name in self.tasks)
        task = self.tasks[name]
        there = task["rounds"][number - 1]["validators"] if number <= len(task["rounds"]) else ()
        require(who in task["spec"]["validators"] or who in there)
        task["votes"].add((number, kind, attempt, who))  # a validator may vote ahead
        self.wrote = True  # blind: whatever stood there

    def rounds_seal(self: Model, _who: str, name: str, number: int) -> None:
        task, round_ = self.find(name, number)
        require(round_["status"] != "aborted")
        if self.seen(round_)["status"] == "open":
            require(self.voted(task, round_, "close") and len(round_["updates"]) >= task["spec"]["min_updates"])
            round_.update(status="sealed", attempt=1, set=sorted(round_["updates"]))
            self.wrote = True

    def attestations_submit(self: Model, who: str, name: str, number: int, claim: dict[str, Any]) -> None:
        require(self.active(who))
        task, round_ = self.find(name, number)
        require(who in round_["validators"])
        stored, seen = round_["attested"].get(who), self.seen(round_)
        if stored == claim:
            return
        require(seen["status"] in ("sealed", "disputed", "committed") and claim["attempt"] == seen["attempt"])
        require(not (seen["status"] == "committed" and stored and stored["attempt"] == seen["attempt"]))
        require(claim["version"] == (stored["version"] + 1 if stored else 1))
        require(set(claim["included"]) <= round_["reveals"] and set(claim["included"]) <= set(claim["served"]))
        require(len(claim["included"]) >= task["spec"]["min_updates"])
        require(claim["scores"] is None or task["spec"]["scoring"]["rule"] != "none")
        round_["attested"][who] = claim
        self.wrote = True

    def scores_open(self: Model, who: str, name: str, number: int, scores: dict[str, int]) -> None:
        require(self.active(who))
        _, round_ = self.find(name, number)
        if round_["opened"].get(who) == scores:
            return
        claim = round_["attested"].get(who)
        require(who in round_["validators"] and round_["status"] == "committed")
        require(claim is not None and claim["scores"] == scores and scores is not None)
        require(set(scores) <= set(round_["included"]))
        round_["opened"][who] = scores
        self.wrote = True

    # What ends a round

    def current(self, task: dict[str, Any], round_: dict[str, Any]) -> list[dict[str, Any]]:
        attempt = self.seen(round_)["attempt"]
        found = [round_["attested"].get(one) for one in round_["validators"]]
        return [one for one in found if one is not None and one["attempt"] == attempt]

    def rounds_commit(self: Model, _who: str, name: str, number: int, summed: tuple[Any, str] | None) -> None:
        task, round_ = self.find(name, number)
        if round_["status"] == "committed":
            return
        seen, q = self.seen(round_), round_["q"]
        require(seen["status"] in ("sealed", "disputed"))
        claims = self.current(task, round_)
        results = [(one["included"], one["wrong"]) for one in claims]
        able = [one for one in results if seen["included"] is None or list(one[0]) == seen["included"]]
        if summed in able and able.count(summed) >= q:
            self.commit(task, round_, seen, summed)
            return
        silent = 0 if self.voted(task, round_, "close") else len(round_["validators"]) - len(claims)
        require(max((able.count(one) for one in able), default=0) + silent < q)
        if seen["included"] is None and len({one["served"] for one in claims}) > 1:
            require(not silent)
            fixed = [one for one in seen["set"] if one in round_["reveals"] and self.servers(claims, one) >= q]
            if len(fixed) < task["spec"]["min_updates"]:
                self.rerun(task, round_, self.missing(task, round_))
            else:
                round_.update(status="sealed", attempt=seen["attempt"] + 1, set=seen["set"], included=fixed)
                self.wrote = True
        elif round_["status"] != "disputed":
            round_.update(status="disputed", attempt=seen["attempt"], set=seen["set"])
            self.wrote = True

    def servers(self, claims: list[dict[str, Any]], participant: str) -> int:
        return sum(participant in one["served"] for one in claims)

    def commit(self: Model, task: dict[str, Any], round_: dict[str, Any], seen: dict[str, Any], summed: Any) -> None:
        included, wrong = summed
        round_.update(status="committed", attempt=seen["attempt"], set=seen["set"], included=list(included))
        round_["committed"] = summed
        task.update(j=round_["j"], base=model_digest(round_["base"], included, wrong))
        for number in task["unsettled"][:]:
            earlier = task["rounds"][number - 1]
            claims = self.current(task, earlier)
            if len(claims) == len(earlier["validators"]) and not self.closed(task, earlier):
                self.settle(task, earlier)
        task["unsettled"].append(round_["number"])
        if task["spec"]["scoring"]["rule"] == "none":
            self.settle(task, round_)
        self.follow(task, [])

    def missing(self, task: dict[str, Any], round_: dict[str, Any]) -> list[str]:
        seen, claims, q = self.seen(round_), self.current(task, round_), round_["q"]
        if seen["status"] == "open":
            arrived = set(round_["updates"])
        else:
            arrived = round_["reveals"] if seen["included"] is None else set(seen["included"])
            if len(claims) >= q:
                arrived = {one for one in arrived if one in round_["reveals"] and self.servers(claims, one) >= q}
        return [one for one in round_["selected"] if one not in arrived]

    def rerun(self: Model, task: dict[str, Any], round_: dict[str, Any], missed: list[str]) -> None:
        seen = self.seen(round_)
        round_.update(status="aborted", attempt=seen["attempt"], set=seen["set"])
        self.follow(task, [one for one in round_["moved"] if one not in missed] + missed)

    def ending(self, task: dict[str, Any]) -> bool:
        wanted, round_ = task["cancel"], task["rounds"][-1]
        return task["sponsor"] in wanted or len(wanted & set(round_["validators"])) >= round_["q"]

    def follow(self: Model, task: dict[str, Any], moved: list[str]) -> None:
        self.wrote = True
        if task["j"] == task["spec"]["rounds"]:
            task["status"] = "finished"
        elif self.ending(task):
            task["status"] = "cancelled"
        else:
            self.open_round(task, moved)
        self.return_rest(task)

    def validators_vote(self: Model, who: str, name: str, claim: dict[str, Any]) -> None:
        require(self.active(who) and name in self.tasks)
        task = self.tasks[name]
        round_, wanted = task["rounds"][-1], (claim["validators"], claim["q"])
        require(task["status"] == "running" and who in round_["validators"] and claim["term"] == round_["term"])
        require(len(claim["validators"]) < 2 * claim["q"] <= 2 * len(claim["validators"]))
        require(all(one in self.members and self.active(one) for one in claim["validators"]))
        self.wrote = task["elections"].get((claim["term"], who)) != wanted
        task["elections"][claim["term"], who] = wanted

    def elected(self: Model, task: dict[str, Any]) -> tuple[list[str], int, int]:
        """Who validates the next round: those whom q of the present ones want, if all of them can."""
        ended = task["rounds"][-1]
        present = (ended["validators"], ended["q"])
        votes = [task["elections"].get((ended["term"], one)) for one in ended["validators"]]
        for wanted in votes:
            if wanted is None or wanted == present or votes.count(wanted) < ended["q"]:
                continue
            if all(one in self.members and self.active(one) for one in wanted[0]):
                return (*wanted, ended["term"] + 1)
        return (*present, ended["term"])

    def rounds_abort(self: Model, _who: str, name: str, number: int) -> None:
        task, round_ = self.find(name, number)
        if round_["status"] == "aborted":
            return
        require(round_["status"] != "committed")
        if self.voted(task, round_, "abort"):
            self.rerun(task, round_, self.missing(task, round_))
        else:
            require(not round_["updates"] and self.ending(task))
            self.rerun(task, round_, [])

    def end_by_force(self: Model, name: str) -> None:
        require(name in self.tasks)
        task = self.tasks[name]
        require(task["status"] == "running" or bool(task["unsettled"]))
        newest = task["rounds"][-1]
        if newest["status"] not in ("committed", "aborted"):
            seen = self.seen(newest)
            newest.update(status="aborted", attempt=seen["attempt"], set=seen["set"])
        for number in task["unsettled"][:]:
            self.settle(task, task["rounds"][number - 1])
        task["status"] = "cancelled" if task["status"] == "running" else task["status"]
        self.return_rest(task)

    # Pay

    def agreeing(self, task: dict[str, Any], round_: dict[str, Any]) -> list[str]:
        found = [one for one in round_["validators"] if round_["attested"].get(one) is not None]
        claims = {one: round_["attested"][one] for one in found}
        right = round_["committed"]
        return [
            one
            for one, claim in claims.items()
            if claim["attempt"] == round_["attempt"] and (claim["included"], claim["wrong"]) == right
        ]

    def closed(self, task: dict[str, Any], round_: dict[str, Any]) -> list[str]:
        """Who has committed to scores that are not open."""
        agreeing = self.agreeing(task, round_)
        return [
            one for one in agreeing if round_["attested"][one]["scores"] is not None and one not in round_["opened"]
        ]

    def rounds_settle(self: Model, _who: str, name: str, number: int) -> None:
        task, round_ = self.find(name, number)
        if round_["paid"] is not None:
            return
        require(round_["status"] == "committed")
        require(not self.closed(task, round_) or self.voted(task, round_, "settle"))
        self.settle(task, round_)
        self.return_rest(task)

    def settle(self: Model, task: dict[str, Any], round_: dict[str, Any]) -> None:
        """Pay a round's share: to the last unit, by fractions, the largest remainder first."""
        spec, scores = task["spec"], {}
        scorers = [one for one in self.agreeing(task, round_) if one in round_["opened"]]
        for participant in round_["included"]:
            said = [round_["opened"][one] for one in scorers if one != participant]
            votes = sorted(one[participant] for one in said if participant in one)
            scores[participant] = votes[(len(votes) - 1) // 2] if votes else 0
        share = spec["budget"] * round_["j"] // spec["rounds"] - spec["budget"] * (round_["j"] - 1) // spec["rounds"]
        good = {one: score for one, score in scores.items() if score > 0}
        exact = {one: Fraction(share * score, sum(good.values())) for one, score in good.items()}
        paid = {one: int(part) for one, part in exact.items()}
        for one in sorted(good, key=lambda one: (paid[one] - exact[one], one))[
            : share - sum(paid.values()) if good else 0
        ]:
            paid[one] += 1
        most = int(Fraction(share * spec["scoring"].get("cap_percent", 200), 100 * len(scores))) if scores else 0
        round_["paid"] = {one: min(amount, most) for one, amount in paid.items() if min(amount, most)}
        for one, amount in round_["paid"].items():
            self.give(one, amount)
        task["escrow"] -= sum(round_["paid"].values())
        task["unsettled"].remove(round_["number"])
        self.wrote = True

    def return_rest(self: Model, task: dict[str, Any]) -> None:
        if task["status"] != "running" and not task["unsettled"] and task["escrow"]:
            self.give(task["sponsor"], task["escrow"])
            task["escrow"] = 0
        self.wrote = True
