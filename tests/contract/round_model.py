"""The part of the simple model that is about tasks and their rounds; ledger_model.py names the others.

What stands for an attestation here is what was summed (`included`, and a word for a wrong sum), whose updates are
called invalid, and which can be served; hashes are looked at only to know who is selected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from member_model import require
from pay_model import result_of

from fl_chaincode.canonical import H

if TYPE_CHECKING:
    from ledger_model import Model

EXAMPLES = 10  # that every update of the walk says it was trained on
INVALID, DISTANT = "FL-BLOB-BOUND", "FL-RULE-DISTANCE"  # why updates are left out: their fault, or the rule's choice


def model_digest(base: str, included: tuple[str, ...], wrong: str) -> str:
    """The digest that organisations of the walk give the model which they get."""
    return H("a model", base, *included, wrong)


def majority(electorate: dict[str, Any]) -> bool:
    return len(electorate["validators"]) < 2 * electorate["q"] <= 2 * len(electorate["validators"])


class Rounds:
    """Tasks, each with its rounds in the order of their numbers."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}

    def tasks_create(self: Model, who: str, spec: dict[str, Any], payment: dict[str, list[str]]) -> None:
        require(self.active(who) and majority(spec))
        if spec["id"] in self.tasks:
            task = self.tasks[spec["id"]]
            require(task["spec"] == spec and task["sponsor"] == who)
            return
        inputs = payment.get("inputs", [])
        require(set(spec["validators"]) <= self.members)
        require(all(self.active(one) for one in (*spec["trainers"], *spec["validators"])))
        if spec["purpose"]:
            require(all(self.covering(one, spec["purpose"], 1) for one in spec["trainers"]))
        self.check_funds(who, inputs, spec["budget"])
        self.take_out(who, inputs, spec["budget"])
        task = {"spec": spec, "sponsor": who, "escrow": spec["budget"], "status": "running", "cancel": set()}
        task |= {"votes": {}, "elections": {}, "judged": 0, "best_j": None, "stopped": None}
        self.tasks[spec["id"]] = task | {"j": 0, "base": spec["model"]["initial"], "unsettled": [], "rounds": []}
        self.open_round(self.tasks[spec["id"]], [])
        self.wrote = True

    def open_round(self: Model, task: dict[str, Any], moved: list[str]) -> None:
        spec, j, base = task["spec"], task["j"] + 1, task["base"]
        number = len(task["rounds"]) + 1
        present = [one for one in spec["trainers"] if self.active(one)]
        if spec["purpose"]:
            present = [one for one in present if self.covering(one, spec["purpose"], number)]
        ranked = sorted(present, key=lambda one: H("fl/select/v1", spec["id"], j, base, one))
        order = [one for one in ranked if one not in moved] + [one for one in moved if one in present]
        round_: dict[str, Any] = {"number": number, "j": j, "base": base, "selected": order[: spec["k"]]}
        declared = {one: self.covering(one, spec["purpose"], number) for one in round_["selected"] if spec["purpose"]}
        validators, q, term = self.elected(task) if task["rounds"] else (spec["validators"], spec["q"], 0)
        round_ |= {
            "validators": validators,
            "q": q,
            "term": term,
            "declarations": declared,
            "missed": [],
            "refused": {},
        }
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

    def voters(self, task: dict[str, Any], round_: dict[str, Any], kind: str) -> list[tuple[str, ...]]:
        """Whom each of the votes blames."""
        number, attempt = round_["number"], self.seen(round_)["attempt"]
        found = [task["votes"].get((number, kind, attempt, one)) for one in round_["validators"]]
        return [one for one in found if one is not None]

    def voted(self, task: dict[str, Any], round_: dict[str, Any], kind: str) -> bool:
        return len(self.voters(task, round_, kind)) >= round_["q"]

    # What participants do

    def may_train(self: Model, task: dict[str, Any], round_: dict[str, Any], who: str) -> bool:
        number, purpose = round_["declarations"].get(who), task["spec"]["purpose"]
        return number is None or self.usable(who, purpose, number, round_["number"])

    def updates_submit(self: Model, who: str, name: str, number: int, honest: bool) -> None:
        require(self.active(who))
        task, round_ = self.find(name, number)
        require(round_["updates"].get(who, honest) == honest)
        if who not in round_["updates"]:
            require(who in round_["selected"] and round_["status"] == "open" and self.may_train(task, round_, who))
            round_["updates"][who] = honest
            self.wrote = True

    def updates_reveal(self: Model, who: str, name: str, number: int) -> None:
        require(self.active(who))
        task, round_ = self.find(name, number)
        if who not in round_["reveals"]:
            seen = self.seen(round_)
            require(seen["status"] in ("sealed", "disputed") and seen["included"] is None and who in seen["set"])
            require(round_["updates"][who] and self.may_train(task, round_, who))
            if who in round_["declarations"]:
                made = self.declared[who, task["spec"]["purpose"]]
                require(made[round_["declarations"][who] - 1]["claim"]["num_examples"] >= EXAMPLES)
            round_["reveals"].add(who)
            self.wrote = True

    def rounds_vote(
        self: Model, who: str, name: str, number: int, kind: str, attempt: int, blamed: tuple[str, ...]
    ) -> None:
        require(self.active(who) and name in self.tasks and (not blamed or kind == "abort"))
        task = self.tasks[name]
        there = task["rounds"][number - 1]["validators"] if number <= len(task["rounds"]) else ()
        require(who in task["spec"]["validators"] or who in there)
        task["votes"][number, kind, attempt, who] = blamed  # a validator may vote ahead
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
        stored, seen, says = round_["attested"].get(who), self.seen(round_), claim | {"openings": ()}
        if stored != says:
            included, refused = set(claim["included"]), set(claim["refused"])
            require(seen["status"] in ("sealed", "disputed", "committed") and claim["attempt"] == seen["attempt"])
            require(not (seen["status"] == "committed" and stored and stored["attempt"] == seen["attempt"]))
            require(claim["version"] == (stored["version"] + 1 if stored else 1))
            require(included | refused <= round_["reveals"] and not included & refused)
            outvoted = {one for one, code in claim["refused"].items() if code == DISTANT}
            require(included | outvoted <= set(claim["served"]))
            weighed = len(included) + len(outvoted) * (task["spec"]["aggregation"]["rule"] == "krum")
            require(included and weighed >= task["spec"]["min_updates"])
            require(claim["scored"] is None or task["spec"]["scoring"]["rule"] != "none")
        for earlier, opening in claim["openings"]:
            require(earlier < number)
            self.open_scores(who, name, earlier, opening, dry=True)
        for earlier, opening in claim["openings"]:
            self.open_scores(who, name, earlier, opening, dry=False)
        self.wrote |= stored != says
        round_["attested"][who] = says

    # What ends a round

    def current(self, round_: dict[str, Any]) -> list[dict[str, Any]]:
        attempt = self.seen(round_)["attempt"]
        found = [round_["attested"].get(one) for one in round_["validators"]]
        return [one for one in found if one is not None and one["attempt"] == attempt]

    def rounds_commit(self: Model, _who: str, name: str, number: int, summed: tuple[Any, str] | None) -> None:
        task, round_ = self.find(name, number)
        if round_["status"] == "committed":
            return
        seen, q = self.seen(round_), round_["q"]
        require(seen["status"] in ("sealed", "disputed"))
        claims, fixed = self.current(round_), seen["included"]
        covered = [one for one in claims if fixed is None or sorted([*one["included"], *one["refused"]]) == fixed]
        able = [result_of(one) for one in covered]
        for one in able:
            if (one[0], one[2]) == summed and able.count(one) >= q:
                self.commit(task, round_, seen, one)
                return
        silent = 0 if self.voted(task, round_, "close") else len(round_["validators"]) - len(claims)
        require(max((able.count(one) for one in able), default=0) + silent < q)
        if fixed is None and len({one["served"] for one in claims}) > 1:
            require(not silent)
            served = [one for one in seen["set"] if one in round_["reveals"] and self.servers(claims, one) >= q]
            if len(served) < task["spec"]["min_updates"]:
                self.rerun(task, round_, self.missing(round_))
            else:
                round_.update(status="sealed", attempt=seen["attempt"] + 1, set=seen["set"], included=served)
                self.wrote = True
        elif round_["status"] != "disputed":
            round_.update(status="disputed", attempt=seen["attempt"], set=seen["set"])
            self.wrote = True

    def servers(self, claims: list[dict[str, Any]], participant: str) -> int:
        return sum(participant in one["served"] for one in claims)

    def commit(self: Model, task: dict[str, Any], round_: dict[str, Any], seen: dict[str, Any], result: Any) -> None:
        included, refused, wrong = result
        round_.update(status="committed", attempt=seen["attempt"], set=seen["set"], included=list(included))
        invalid = [one for one, code in refused if code != DISTANT]
        round_["committed"], round_["outcast"] = result, dict(refused)
        round_["missed"] = [one for one in round_["selected"] if one not in included and one not in round_["outcast"]]
        task.update(j=round_["j"], base=model_digest(round_["base"], included, wrong))
        for number in task["unsettled"][:]:
            earlier = task["rounds"][number - 1]
            if len(self.current(earlier)) == len(earlier["validators"]) and not self.closed(earlier):
                self.settle(task, earlier)
        task["unsettled"].append(round_["number"])
        if task["spec"]["scoring"]["rule"] == "none":
            self.settle(task, round_)
        self.judge(task)
        self.follow(task, invalid)

    def missing(self, round_: dict[str, Any]) -> list[str]:
        seen, claims, q = self.seen(round_), self.current(round_), round_["q"]
        if seen["status"] == "open":
            arrived = set(round_["updates"])
        else:
            arrived = round_["reveals"] if seen["included"] is None else set(seen["included"])
            if len(claims) >= q:
                arrived = {one for one in arrived if one in round_["reveals"] and self.servers(claims, one) >= q}
        return [one for one in round_["selected"] if one not in arrived]

    def rerun(self: Model, task: dict[str, Any], round_: dict[str, Any], missed: list[str], invalid: Any = ()) -> None:
        seen, invalid = self.seen(round_), [one for one in sorted(invalid) if one not in missed]
        round_.update(status="aborted", attempt=seen["attempt"], set=seen["set"], missed=missed)
        round_["refused"] = dict.fromkeys(invalid, INVALID)
        failed = [*missed, *invalid]
        self.follow(task, [one for one in round_["moved"] if one not in failed] + failed)

    def rounds_abort(self: Model, _who: str, name: str, number: int) -> None:
        task, round_ = self.find(name, number)
        if round_["status"] == "aborted":
            return
        require(round_["status"] != "committed")
        votes = self.voters(task, round_, "abort")
        if len(votes) >= round_["q"]:
            said = [one for blamed in votes for one in blamed if one in (self.seen(round_)["set"] or ())]
            self.rerun(task, round_, self.missing(round_), {one for one in said if said.count(one) >= round_["q"]})
        else:
            require(not round_["updates"] and (self.ending(task) or task["stopped"] is not None))
            self.rerun(task, round_, [])

    # What ends a task, and who validates the next round

    def ending(self, task: dict[str, Any]) -> bool:
        wanted, round_ = task["cancel"], task["rounds"][-1]
        return task["sponsor"] in wanted or len(wanted & set(round_["validators"])) >= round_["q"]

    def follow(self: Model, task: dict[str, Any], moved: list[str]) -> None:
        self.wrote = True
        if task["j"] == task["spec"]["rounds"] or task["stopped"] is not None:
            task["status"] = "finished"
        elif self.ending(task):
            task["status"] = "cancelled"
        else:
            self.open_round(task, moved)
        self.return_rest(task)

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
        self.judge(task)
        self.return_rest(task)

    def validators_vote(self: Model, who: str, name: str, claim: dict[str, Any]) -> None:
        require(self.active(who) and name in self.tasks)
        task = self.tasks[name]
        round_, wanted = task["rounds"][-1], (claim["validators"], claim["q"])
        require(task["status"] == "running" and who in round_["validators"] and claim["term"] == round_["term"])
        require(majority(claim))
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

    # What readers of models are told

    def marks(self: Model, name: str, j: int) -> list[tuple[str, int, int]]:
        """The revoked declarations, each with the model, that went into models up to the j-th."""
        task, found = self.tasks[name], []
        for round_ in task["rounds"]:
            if round_["status"] == "committed" and round_["j"] <= j:
                used = {one: number for one, number in round_["declarations"].items() if one in round_["included"]}
                revoked = {one: self.declared[one, task["spec"]["purpose"]][number - 1] for one, number in used.items()}
                found += [(one, used[one], round_["j"]) for one in sorted(used) if revoked[one]["revoked"]]
        return found
