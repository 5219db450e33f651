"""The part of the simple model that is about what a round was worth: scores, pay, and when a task has learnt enough."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from member_model import require

if TYPE_CHECKING:
    from ledger_model import Model


def median(values: list[int]) -> int:
    """The lower one of an even number; 0 of none."""
    return sorted(values)[(len(values) - 1) // 2] if values else 0


def verdict(rule: dict[str, Any], metrics: list[int | None]) -> tuple[int | None, str | None]:
    """Which model is the best, and why to stop, by the metrics of all models so far; the reason is the last one's."""
    best, since, reason = None, 0, None
    for j, metric in enumerate(metrics, start=1):
        value = None if metric is None else metric if rule["direction"] == "max" else -metric
        if value is not None and (best is None or (value > best[0] and value - best[0] >= rule["min_delta"])):
            best, since = (value, j), 0
        else:
            since += 1
        target = rule["target"] if rule["direction"] == "max" or rule["target"] is None else -rule["target"]
        reached = value is not None and target is not None and value >= target
        reason = (
            "target" if reached else "patience" if rule["patience"] is not None and since >= rule["patience"] else None
        )
    return best and best[1], reason


class Pay:
    """What becomes of committed rounds."""

    def scores_open(self: Model, who: str, name: str, number: int, opening: dict[str, Any]) -> None:
        require(self.active(who))
        self.open_scores(who, name, number, opening, dry=False)

    def open_scores(self: Model, who: str, name: str, number: int, opening: dict[str, Any], *, dry: bool) -> None:
        """Open what an attestation committed to, or only see whether that may be."""
        _, round_ = self.find(name, number)
        if round_["opened"].get(who) == opening:
            return
        claim = round_["attested"].get(who)
        require(who in round_["validators"] and round_["status"] == "committed")
        require(claim is not None and claim["scored"] == opening and opening is not None)
        require(set(opening["scores"]) <= set(round_["included"]))
        if not dry:
            round_["opened"][who] = opening
            self.wrote = True

    def agreeing(self, round_: dict[str, Any]) -> list[str]:
        found = [(one, round_["attested"].get(one)) for one in round_["validators"]]
        return [
            one
            for one, claim in found
            if claim is not None and claim["attempt"] == round_["attempt"] and result_of(claim) == round_["committed"]
        ]

    def closed(self, round_: dict[str, Any]) -> list[str]:
        """Who has committed to scores that are not open."""
        attested, opened = round_["attested"], round_["opened"]
        return [one for one in self.agreeing(round_) if attested[one]["scored"] is not None and one not in opened]

    def rounds_settle(self: Model, _who: str, name: str, number: int) -> None:
        task, round_ = self.find(name, number)
        if round_["paid"] is not None:
            return
        require(round_["status"] == "committed")
        require(not self.closed(round_) or self.voted(task, round_, "settle"))
        self.settle(task, round_)
        self.judge(task)
        self.return_rest(task)

    def settle(self: Model, task: dict[str, Any], round_: dict[str, Any]) -> None:
        """Pay a round's share: to the last unit, by fractions, the largest remainder first."""
        spec, scores = task["spec"], {}
        openings = {one: round_["opened"][one] for one in self.agreeing(round_) if one in round_["opened"]}
        for participant in round_["included"]:
            foreign = [opening["scores"] for one, opening in openings.items() if one != participant]
            scores[participant] = median([one[participant] for one in foreign if participant in one])
        losses = [opening["metrics"]["loss"] for opening in openings.values() if "loss" in opening["metrics"]]
        round_["loss"] = median(losses) if losses else None
        share = spec["budget"] * round_["j"] // spec["rounds"] - spec["budget"] * (round_["j"] - 1) // spec["rounds"]
        good = {one: score for one, score in scores.items() if score > 0}
        exact = {one: Fraction(share * score, sum(good.values())) for one, score in good.items()}
        paid = {one: int(part) for one, part in exact.items()}
        left = share - sum(paid.values()) if good else 0
        for one in sorted(good, key=lambda one: (paid[one] - exact[one], one))[:left]:
            paid[one] += 1
        most = int(Fraction(share * spec["scoring"].get("cap_percent", 200), 100 * len(scores))) if scores else 0
        round_["paid"] = {one: min(amount, most) for one, amount in paid.items() if min(amount, most)}
        for one, amount in round_["paid"].items():
            self.give(one, amount)
        task["escrow"] -= sum(round_["paid"].values())
        task["unsettled"].remove(round_["number"])
        self.wrote = True

    def judge(self, task: dict[str, Any]) -> None:
        """Judge the models in the order of their numbers, up to the first that is not settled."""
        rule, metrics = task["spec"].get("stop"), []
        for round_ in task["rounds"]:
            if rule is None or (round_["status"] == "committed" and round_["paid"] is None):
                break
            if round_["status"] != "committed":
                continue
            metrics.append(round_["loss"])
            if len(metrics) > task["judged"]:
                task["best_j"], reason = verdict(rule, metrics)
                if task["status"] == "running":
                    task["stopped"] = task["stopped"] or reason
        task["judged"] = len(metrics)

    def return_rest(self: Model, task: dict[str, Any]) -> None:
        if task["status"] != "running" and not task["unsettled"] and task["escrow"]:
            self.give(task["sponsor"], task["escrow"])
            task["escrow"] = 0
        self.wrote = True


def result_of(claim: dict[str, Any]) -> tuple[Any, ...]:
    return claim["included"], tuple(sorted(claim["refused"].items())), claim["wrong"]
