"""Calls of every writing function, each of which writes: what organisations do in and around a task, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fl_chaincode.canonical import H
from fl_chaincode.hashes import aggregate_digest, proof, result_digest, score_commitment, update_commitment

Call = Callable[..., Any]
"""``call(who, function, *arguments)`` submits, and returns the answer."""


def specification(task: str, trainers: Sequence[str], validators: Sequence[str], **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "id": task,
        "trainers": list(trainers),
        "validators": list(validators),
        "q": len(validators) // 2 + 1,
        "k": len(trainers),
        "min_updates": 2,
        "rounds": 3,
        "patience_s": 30,
        "model": {"kind": "numpy", "architecture": "{}", "loss": "log_loss", "initial": H("initial"), "size": 99},
        "training": {"optimizer": "sgd", "learning_rate": "0.05", "epochs": 1, "batch_size": 16},
        "server": {"step": "fedavg", "learning_rate": "1"},
        "quantisation": {"f": 24, "bound": 2**27},
        "max_examples": 1000,
        "aggregation": {"rule": "none"},
        "scoring": {"rule": "leave-one-out", "cap_percent": 200},
        "budget": 0,
        "horizon_rounds": 10,
        **changes,
    }


class Round:
    """What organisations say in one round of a task, without tensors: digests are hashes of names."""

    def __init__(self, call: Call, task: str, number: int, base: str, participants: Sequence[str]) -> None:
        self.call, self.task, self.number, self.base = call, task, number, base
        self.participants = sorted(participants)
        self.total = aggregate_digest(H("sum", task, number).encode())
        self.model = H("model", task, number)

    def opening(self, who: str) -> dict[str, Any]:
        digest, nonce = H("digest", self.task, self.number, who), H("nonce", self.task, self.number, who)
        return {"digest": digest, "size": 1000, "num_examples": 100, "nonce": nonce}

    def submit(self, who: str) -> None:
        one = self.opening(who)
        commitment = update_commitment(self.task, self.number, who, self.base, 100, one["digest"], one["nonce"])
        self.call(who, "updates:Submit", self.task, self.number, commitment)

    def reveal(self, who: str) -> None:
        self.call(who, "updates:Reveal", self.task, self.number, self.opening(who))

    def scores(self, who: str) -> dict[str, Any]:
        nonce = H("score nonce", self.task, self.number, who)
        return {"nonce": nonce, "scores": dict.fromkeys(self.participants, 5), "metrics": {"loss": 7}}

    def attest(self, who: str) -> None:
        state, scores = H("state", self.model), self.scores(who)
        said = (self.task, self.number, who, scores["nonce"], scores["scores"], scores["metrics"])
        content = (self.base, self.participants, {}, self.model, state)
        claim = {
            "attempt": 1,
            "version": 1,
            "result": result_digest(self.task, self.number, 1, *content),
            "included": self.participants,
            "refused": {},
            "model": self.model,
            "state": state,
            "fetched": [self.opening(one)["digest"] for one in self.participants],
            "proof": proof(self.task, self.number, 1, who, self.total),
            "score_commitment": score_commitment(*said),
            "openings": [],
        }
        self.call(who, "attestations:Submit", self.task, self.number, claim)

    def commit(self, who: str) -> None:
        self.call(who, "rounds:Commit", self.task, self.number, self.total)

    def open(self, who: str) -> None:
        self.call(who, "scores:Open", self.task, self.number, self.scores(who))

    def settle(self, who: str) -> None:
        self.call(who, "rounds:Settle", self.task, self.number)

    def play(self, validators: Sequence[str]) -> None:
        """A good round from the first commitment to the pay."""
        for step, people in ((self.submit, self.participants), (self.reveal, self.participants)):
            for who in people:
                step(who)
        for who in validators:
            self.attest(who)
        self.commit(validators[0])
        for who in validators:
            self.open(who)
        self.settle(validators[0])


def once(call: Call, number: int, people: Sequence[str]) -> None:
    """Call every writing function that more than one call can be made of, for the number-th time."""
    one, two, three = people
    task, base = f"t{number}", H("initial")
    call(one, "participants:Register", {"name": f"name {number}"})
    call(one, "participants:Update", {"name": f"again {number}"})
    call(three, "participants:Suspend")
    call(three, "participants:Reinstate")
    motion = {"request_id": f"m{number}", "kind": "suspend", "subject": three}
    call(one, "consortium:Vote", motion)
    call(one, "consortium:Retract", motion["request_id"])
    declared = {"purpose": "p", "number": number, "digest": H("data"), "num_examples": 9, "last_round": None}
    call(one, "declarations:Submit", declared)
    call(one, "declarations:Revoke", "p", number)
    call(one, "tasks:Create", specification(task, people, people))
    Round(call, task, 1, base, people).play(people)
    second = Round(call, task, 2, H("model", task, 1), people)
    second.submit(one)
    second.submit(two)
    for kind, attempt, function in (("close", 0, "rounds:Seal"), ("abort", 1, "rounds:Abort")):
        for who in (one, two):
            call(who, "rounds:Vote", task, 2, kind, attempt)
        call(three, function, task, 2)
    call(two, "validators:Vote", task, {"term": 0, "validators": [one, two], "q": 2})
    call(one, "tasks:Cancel", task)
    _money(call, number, people)


def _money(call: Call, number: int, people: Sequence[str]) -> None:
    one, two, three = people
    issue = {"request_id": f"i{number}", "to": one, "amount": 100}
    call(one, "tokens:Issue", issue)
    call(two, "tokens:Issue", issue)
    held = H("fl/entry/v1", f"token/issue/i{number}", "payment", one)

    def pay(what: str, function: str, cause: str, **order: Any) -> None:
        """Pay from the one entry that is left, whose id follows from what made it."""
        nonlocal held
        who = order.pop("who", one)
        call(who, function, {"request_id": f"{what}{number}", "inputs": [held], **order})
        held = H("fl/entry/v1", f"{cause}/{what}{number}", "change", one)

    pay("x", "tokens:Transfer", f"token/transfer/{one}", to=two, amount=1)
    allowance = {"request_id": f"a{number}", "spender": two, "expected": 0, "amount": 5}
    call(one, "tokens:Approve", allowance)
    pay("y", "tokens:TransferFrom", f"token/spending/{two}", who=two, owner=one, to=three, amount=5)
    prices = {"request_id": f"p{number}", "services": {"gpu-hour": 2}}
    version = call(two, "prices:Publish", prices)["version"]
    job = {"provider": two, "service": "gpu-hour", "version": version, "quantity": 1, "job": "train"}
    for end in ("c", "r", "v"):
        pay(end, "orders:Place", f"market/order/{one}", **job)
    call(one, "orders:Confirm", f"c{number}")
    call(two, "orders:Refund", one, f"r{number}")
    for who in (one, two):
        call(who, "orders:Vote", one, f"v{number}", "settle")
    call(three, "orders:Decide", one, f"v{number}", "settle")
    sale: Mapping[str, Any] = {"amount": 2, "price": 9, "currency": "EUR", "terms": ""}
    for end in ("w", "f", "n", "d"):
        pay(end, "offers:Make", f"market/offer/{one}", **sale)
        if end != "w":
            call(two, "offers:Take", one, f"{end}{number}", "bill")
    call(one, "offers:Withdraw", f"w{number}")
    call(one, "offers:Confirm", f"f{number}", "bill")
    for who in (one, two):
        call(who, "offers:Cancel", one, f"n{number}")
        call(who, "offers:Vote", one, f"d{number}", "cancel")
    call(three, "offers:Decide", one, f"d{number}", "cancel")


def spelt(argument: Any) -> str:
    return argument if isinstance(argument, str) else json.dumps(argument)
