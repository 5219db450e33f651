"""A seeded random walk over the ledger: blocks of calls that were endorsed on one state, checked against a model.

After every block: the ledger has refused what the model refuses and accepted the rest; a call wrote exactly if the
model changed; entries, escrows, locks, statuses are the model's; and the invariants hold, read from raw state.
"""

from __future__ import annotations

import functools
import json
import random
from collections import Counter
from typing import Any

from contract_scenario import ORGANISATIONS, argument, caller
from ledger_model import Model
from round_model import RefusedError, model_digest
from walk_calls import Calls

from fl_chaincode import FLError
from fl_chaincode.canonical import H
from fl_chaincode.hashes import aggregate_digest, proof, result_digest, score_commitment, update_commitment
from fl_chaincode.memory import MemoryLedger, Transaction

Call = tuple[Any, ...]  # who, function, arguments as the model takes them
ROUND_ORDER = {"open": 0, "sealed": 1, "disputed": 1, "committed": 2, "aborted": 2}
DEAL_ORDER = {"placed": 0, "open": 0, "taken": 1, "settled": 2, "refunded": 2, "withdrawn": 2, "cancelled": 2}
FINAL = ("task", "model", "settlement")

decoded = functools.lru_cache(maxsize=4096)(json.loads)


class Walk:
    """One world. Four organisations, of which three are the consortium to begin with; a fifth comes from outside."""

    def __init__(self, seed: int, ledger: MemoryLedger | None = None) -> None:
        self.random = random.Random(seed)
        self.ledger = ledger or MemoryLedger(ORGANISATIONS[:3])
        self.model = Model(ORGANISATIONS[:3])
        self.calls = Calls(self.random, self.model)
        self.recent: list[Call] = []
        self.conflicts = self.accepted = self.refused = 0
        self.final: dict[str, bytes] = {}
        self.order: dict[str, tuple[int, ...]] = {}
        self.ledger.commit(self.ledger.endorse(caller(ORGANISATIONS[0]), "consortium:Init"))
        self.block([(who, "participants:Register", {"name": who}) for who in ORGANISATIONS[:4]])
        for number, who in enumerate(ORGANISATIONS[:4]):
            order = {"request_id": f"start{number}", "to": who, "amount": 500}
            self.block([(ORGANISATIONS[0], "tokens:Issue", order)])
            self.block([(ORGANISATIONS[1], "tokens:Issue", order)])

    def step(self) -> int:
        """Order one block; return how many calls that were."""
        several = self.random.random() < 0.4
        block = [self.draw() for _ in range(self.random.randint(2, 5) if several else 1)]
        if several and self.random.random() < 0.3:
            block.append(block[-1])  # the same call twice in one block
        self.block(block)
        return len(block)

    def draw(self) -> Call:
        if self.recent and self.random.random() < 0.08:
            return self.random.choice(self.recent[-30:])
        call = self.calls.draw()
        self.recent.append(call)
        return call

    def block(self, calls: list[Call]) -> None:
        endorsed = []
        for call in calls:
            try:
                transaction = self.ledger.endorse(caller(call[0]), call[1], *self.spell(call))
            except FLError as error:
                self.refused += 1
                self.must_refuse(call, error)
                continue
            state = transaction.state
            assert not state.reread, f"{call} reads what it has written itself"
            assert not (state.ranges and state.writes), f"{call} reads a range and writes"
            endorsed.append((call, transaction))
        valid = self.ledger.commit(*(transaction for _, transaction in endorsed))
        assert all(valid[:1]), "the first transaction of a block conflicts with nothing"
        for (call, transaction), fresh in zip(endorsed, valid, strict=True):
            self.conflicts += not fresh
            if fresh:
                self.accepted += 1
                self.follow(call, transaction)
        self.check()

    def must_refuse(self, call: Call, error: FLError) -> None:
        try:
            self.model.apply(*call)
        except RefusedError:
            return
        raise AssertionError(f"refused for no reason: {call}: {error}")

    def follow(self, call: Call, transaction: Transaction) -> None:
        """Let the model do what the ledger has done, and compare what was written."""
        try:
            self.model.apply(*call)
        except RefusedError:
            raise AssertionError(f"accepted against the rules: {call}") from None
        writes = transaction.state.writes
        assert bool(writes) == self.model.wrote, f"{call} wrote {list(writes)}"
        assert bool(writes) == (transaction.outcome.event is not None)
        entries = {key: value for key, value in writes.items() if key.startswith("token/entry/")}
        gone = sorted(key.split("/")[-1] for key, value in entries.items() if value is None)
        made = [decoded(value) for value in entries.values() if value is not None]
        assert gone == sorted(self.model.spent), f"{call} spent {gone}"
        assert sorted((one["owner"], one["amount"]) for one in made) == sorted(self.model.made), call
        assert all(one["cause"] in writes or one["cause"].startswith("task/") for one in made), call
        self.model.coins |= {one["id"]: (one["owner"], one["amount"]) for one in made}

    # What calls look like on the ledger

    def spell(self, call: Call) -> list[str]:
        who, function, *given = call
        if function in ("updates:Submit", "updates:Reveal", "attestations:Submit", "rounds:Commit", "scores:Open"):
            given = self.spell_round(who, function, *given)
        return [argument(one) for one in given]

    def spell_round(self, who: str, function: str, task: str, number: int, given: Any = None) -> list[Any]:
        rounds = self.model.tasks[task]["rounds"] if task in self.model.tasks else []
        base = rounds[number - 1]["base"] if number <= len(rounds) else H("no base")
        digest, nonce = digest_of(task, number, who), H("nonce", task, number, who)
        if function == "updates:Submit":
            commitment = update_commitment(task, number, who, base, 10, digest, nonce)
            return [task, number, commitment if given else H("of nothing", who)]
        if function == "updates:Reveal":
            return [task, number, {"digest": digest, "size": 9, "num_examples": 10, "nonce": nonce}]
        if function == "rounds:Commit":
            return [task, number] if given is None else [task, number, sum_of(task, number, *given)]
        if function == "scores:Open":
            return [task, number, {"nonce": nonce, "scores": given, "metrics": {}}]
        return [task, number, self.spell_claim(who, task, number, base, given)]

    def spell_claim(self, who: str, task: str, number: int, base: str, claim: dict[str, Any]) -> dict[str, Any]:
        included, wrong, attempt, scores = (claim[name] for name in ("included", "wrong", "attempt", "scores"))
        model = model_digest(base, included, wrong)
        state, nonce = H("a state", model), H("nonce", task, number, who)
        return {
            "attempt": attempt,
            "version": claim["version"],
            "result": result_digest(task, number, attempt, base, included, {}, model, state),
            "included": included,
            "refused": {},
            "model": model,
            "state": state,
            "fetched": [digest_of(task, number, one) for one in claim["served"]],
            "proof": proof(task, number, attempt, who, sum_of(task, number, included, wrong)),
            "score_commitment": score_commitment(task, number, who, nonce, scores, {}) if scores is not None else None,
            "openings": [],
        } | {"included": list(included)}

    # What holds after every block

    def check(self) -> None:
        raw = dict(self.ledger.state().scan(" ", "~"))
        records: dict[str, list[dict[str, Any]]] = {}
        for key, data in raw.items():
            kind = (
                key.rsplit("/", key.count("/") - 1)[0] if key.startswith(("token/", "market/")) else key.split("/")[0]
            )
            records.setdefault(kind, []).append(decoded(data))

        def of(kind: str) -> list[dict[str, Any]]:
            return records.get(kind, [])

        self.check_money(of, raw)
        self.check_statuses(of)
        self.check_final(raw)

    def check_money(self, of: Any, raw: dict[str, bytes]) -> None:
        model = self.model
        entries, escrows, locks = of("token/entry"), of("token/escrow"), of("token/lock")
        supply = sum(one["supply"] for one in of("token/supply"))
        assert sum(one["amount"] for kind in (entries, escrows, locks) for one in kind) == supply == model.supply
        assert {one["id"]: (one["owner"], one["amount"]) for one in entries} == model.coins
        assert all(one["amount"] > 0 and one["cause"] in raw for one in entries)
        assert {one["task"]: one["amount"] for one in escrows} == {k: v["escrow"] for k, v in model.tasks.items()}
        held = {k: v["amount"] for k, v in model.deals.items() if v["status"] in ("placed", "open", "taken")}
        assert {(one["kind"], one["owner"], one["request_id"]): one["amount"] for one in locks} == held
        allowed = {(one["owner"], one["spender"]): one["amount"] for one in of("token/allowance")}
        assert allowed == model.allowed
        assert all(amount >= 0 for amount in (*allowed.values(), *(one["amount"] for one in escrows)))
        paid: Counter[str] = Counter()
        for one in of("settlement"):
            assert sum(one["payments"].values()) <= one["share"]
            paid[one["task"]] += sum(one["payments"].values())
        assert all(paid[name] <= task["spec"]["budget"] for name, task in model.tasks.items())

    def check_statuses(self, of: Any) -> None:
        model = self.model
        assert {one["msp_id"]: (one["status"], one["suspended_by"]) for one in of("participant")} == model.status
        assert {tuple(one["organisations"]) for one in of("consortium")} == {tuple(sorted(model.members))}
        for one in of("market/order"):
            deal = model.deals["order", one["buyer"], one["request_id"]]
            assert (one["status"], one["provider"], one["amount"]) == (deal["status"], deal["other"], deal["amount"])
            self.forward(f"order/{one['buyer']}/{one['request_id']}", DEAL_ORDER[one["status"]])
        for one in of("market/offer"):
            deal = model.deals["offer", one["seller"], one["request_id"]]
            assert (one["status"], one["buyer"], one["amount"]) == (deal["status"], deal["other"], deal["amount"])
            assert set(one["cancelled_by"]) == deal["asked"]
            self.forward(f"offer/{one['seller']}/{one['request_id']}", DEAL_ORDER[one["status"]])
        for one in of("head"):
            task = model.tasks[one["task"]]
            seen = (task["status"], len(task["rounds"]), task["j"], task["base"], task["unsettled"])
            assert (one["status"], one["round"], one["j"], one["model"], one["unsettled"]) == seen
            self.forward(f"head/{one['task']}", one["status"] != "running", one["round"], one["j"])
        for one in of("round"):
            round_ = model.tasks[one["task"]]["rounds"][one["number"] - 1]
            for name in (
                "status",
                "attempt",
                "validators",
                "q",
                "term",
                "selected",
                "set",
                "included",
                "moved",
                "base",
                "j",
            ):
                if name != "included" or one["status"] != "aborted":
                    assert one[name] == round_[name], f"{name} of round {one['number']} of {one['task']}"
            self.forward(f"round/{one['task']}/{one['number']}", one["attempt"], ROUND_ORDER[one["status"]])
        settled = {(one["task"], one["round"]): one["payments"] for one in of("settlement")}
        paid = {(k, r["number"]): r["paid"] for k, v in model.tasks.items() for r in v["rounds"]}
        assert settled == {key: payments for key, payments in paid.items() if payments is not None}

    def forward(self, what: str, *rank: int) -> None:
        assert self.order.get(what, rank) <= rank, f"{what} moved back"
        self.order[what] = rank

    def check_final(self, raw: dict[str, bytes]) -> None:
        for key, data in raw.items():
            kind = key.split("/")[0]
            if kind in FINAL or (kind == "round" and decoded(data)["status"] in ("committed", "aborted")):
                assert self.final.setdefault(key, data) == data, f"{key} was final"
        assert self.final.keys() <= raw.keys()


def digest_of(task: str, number: int, who: str) -> str:
    return H("an update's blob", task, number, who)


def sum_of(task: str, number: int, included: tuple[str, ...], wrong: str) -> str:
    return aggregate_digest(H("a sum", task, number, *included, wrong).encode())


def walk(seed: int, steps: int, world: int = 500) -> dict[str, int]:
    """Walk so many steps, in a new world every so often; return what came of them."""
    count = Counter[str]()
    while count["steps"] < steps:
        one = Walk(seed * 1_000_000 + count["worlds"])
        here = 0
        while here < world and count["steps"] + here < steps:
            here += one.step()
        count["worlds"] += 1
        tasks = one.model.tasks.values()
        count += Counter(steps=here, accepted=one.accepted, refused=one.refused, conflicts=one.conflicts)
        count += Counter(f"{round_['status']} rounds" for task in tasks for round_ in task["rounds"])
        count += Counter(f"{task['status']} tasks" for task in tasks)
        count += Counter(f"{deal['status']} deals" for deal in one.model.deals.values())
        count["payments"] += sum(len(round_["paid"] or ()) for task in tasks for round_ in task["rounds"])
    return dict(count)
