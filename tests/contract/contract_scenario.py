"""Organisations that play a task on the ledger in memory: what honest ones do, with every step open to deviation."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import settings

from fl_chaincode import FLError
from fl_chaincode.caller import Caller
from fl_chaincode.canonical import H
from fl_chaincode.codec import Record
from fl_chaincode.hashes import aggregate_digest, proof, result_digest, score_commitment, update_commitment
from fl_chaincode.memory import MemoryLedger, Transaction
from fl_chaincode.records import ACTIVE, Entry, Participant, Supply

EVERY_ROLE = "trainer,validator,coordinator,auditor,admin"
ORG1, ORG2, ORG3, ORG4, ORG5 = ORGANISATIONS = tuple(f"Org{i}MSP" for i in range(1, 6))
TASK = "t1"


def examples(count: int, **others: Any) -> settings:
    """So many examples of a property, the same ones in every run; with SOAK=1 fifty times as many, and new ones."""
    soak = os.environ.get("SOAK") == "1"
    return settings(max_examples=count * (50 if soak else 1), derandomize=not soak, deadline=None, **others)


def caller(organisation: str, roles: str = EVERY_ROLE, node_ou: str = "client") -> Caller:
    return Caller(organisation, "somebody", node_ou, {"fl.roles": roles})


def specification(**changes: Any) -> dict[str, Any]:
    """A task of three trainers, who are the validators as well, with q = 2; dotted names change parts of it."""
    value: dict[str, Any] = {
        "schema": 1,
        "id": TASK,
        "trainers": [ORG1, ORG2, ORG3],
        "validators": [ORG1, ORG2, ORG3],
        "q": 2,
        "k": 3,
        "min_updates": 2,
        "rounds": 2,
        "patience_s": 30,
        "model": {"kind": "numpy-logistic", "architecture": "{}", "loss": "log_loss", "initial": H("blob"), "size": 99},
        "training": {"optimizer": "sgd", "learning_rate": "0.05", "epochs": 1, "batch_size": 16},
        "server": {"step": "fedavg", "learning_rate": "1"},
        "quantisation": {"f": 24, "bound": 2**27},
        "max_examples": 1000,
        "aggregation": {"rule": "none"},
        "scoring": {"rule": "leave-one-out", "cap_percent": 200},
        "budget": 0,
        "horizon_rounds": 10,
    }
    for name, change in changes.items():
        part, _, field = name.partition("__")
        if field:
            value[part] = {**value[part], field: change}
        else:
            value[part] = change
    return value


def declaration(**changes: Any) -> dict[str, Any]:
    """A first declaration of data for sepsis, without an end."""
    return {"purpose": "sepsis", "number": 1, "digest": H("data"), "num_examples": 1000, "last_round": None, **changes}


def argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)


class Scenario:
    """A ledger with a consortium of registered organisations, and what honest ones of them do in a task.

    Without real tensors: digests are hashes of what they would depend on, so that honest organisations agree.
    """

    def __init__(self, organisations: int = 3) -> None:
        self.organisations = ORGANISATIONS[:organisations]
        self.ledger = MemoryLedger(self.organisations)
        self.last: Transaction | None = None
        self.losses: dict[int, int | dict[str, int]] = {}
        self.call(ORG1, "consortium:Init")
        for organisation in self.organisations:
            self.call(organisation, "participants:Register", {"name": organisation})

    # Calls

    def endorse(self, who: str | Caller, function: str, *arguments: Any) -> Transaction:
        one = who if isinstance(who, Caller) else caller(who)
        transaction = self.ledger.endorse(one, function, *(argument(value) for value in arguments))
        state = transaction.state
        assert not state.reread, "a rule reads what it has written itself"
        assert not (state.writes and state.ranges), "a writing function reads a range"
        assert bool(state.writes) == (transaction.outcome.event is not None)
        return transaction

    def call(self, who: str | Caller, function: str, *arguments: Any) -> Any:
        """Submit a call that must be accepted; return its answer."""
        self.last = self.endorse(who, function, *arguments)
        assert self.ledger.commit(self.last) == [True]
        return json.loads(self.last.outcome.payload)

    def read(self, function: str, *arguments: Any) -> Any:
        return json.loads(self.endorse("AuditorMSP", function, *arguments).outcome.payload)

    def refused(self, code: str, who: str | Caller, function: str, *arguments: Any) -> FLError:
        """Submit a call that must be refused with this code."""
        with pytest.raises(FLError) as caught:
            self.endorse(who, function, *arguments)
        assert caught.value.code == code, str(caught.value)
        return caught.value

    @property
    def wrote(self) -> bool:
        """Whether the last accepted call wrote something."""
        assert self.last is not None
        return bool(self.last.state.writes)

    def plant(self, record: Record) -> None:
        """Put a record into the state as it would come from somewhere else."""
        transaction = self.endorse("AuditorMSP", "consortium:Read")
        transaction.state.put(record.key, record.encode())
        self.ledger.commit(transaction)

    def suspend(self, organisation: str, status: str = "suspended") -> None:
        record = Participant.from_json(self.read("participants:Read", organisation))
        self.plant(Participant(record.msp_id, record.name, record.description, record.roles, status))

    def reinstate(self, organisation: str) -> None:
        self.suspend(organisation, ACTIVE)

    def declare(self, who: str, **changes: Any) -> dict[str, Any]:
        return self.call(who, "declarations:Submit", declaration(**changes))

    def carry(self, kind: str, subject: str, request: str = "m") -> dict[str, Any]:
        """Have a majority of the consortium carry a motion."""
        order = {"request_id": request, "kind": kind, "subject": subject}
        members = self.read("consortium:Read")["organisations"]
        active = [one for one in members if self.read("participants:Read", one)["status"] == ACTIVE]
        return [self.call(one, "consortium:Vote", order) for one in active[: len(members) // 2 + 1]][-1]

    # Tasks and money

    def create(self, **changes: Any) -> dict[str, Any]:
        """Let Org1 create a task; its budget is given to it first."""
        spec = specification(**changes)
        inputs = [self.mint(ORG1, spec["budget"], f"for-{spec['id']}")] if spec["budget"] else []
        return self.call(ORG1, "tasks:Create", spec, {"inputs": inputs})

    def mint(self, to: str, amount: int, request: str = "first") -> str:
        """Issue tokens by a majority; return the entry's id."""
        order = {"request_id": request, "to": to, "amount": amount}
        for organisation in self.organisations[: len(self.organisations) // 2 + 1]:
            self.call(organisation, "tokens:Issue", order)
        return next(one["id"] for one in self.read("tokens:Entries", to) if one["cause"] == f"token/issue/{request}")

    def balance(self, organisation: str) -> int:
        return self.read("tokens:BalanceOf", organisation)["balance"]

    def escrow(self, task: str = TASK) -> int:
        return self._record(f"token/escrow/{task}").get("amount", 0)

    def all_tokens(self) -> tuple[int, int]:
        """What stands in entries, escrows and locks, and the supply: two numbers that must be equal."""
        state = self.ledger.state()
        held = sum(Entry.decode(data).amount for _, data in state.scan("token/entry/", "token/entry0"))
        ranges = [("token/escrow/", "token/escrow0"), ("token/lock/", "token/lock0")]
        locked = sum(json.loads(data)["amount"] for both in ranges for _, data in state.scan(*both))
        supply = state.get(Supply.key_of())
        return held + locked, Supply.decode(supply).supply if supply else 0

    def _record(self, key: str) -> dict[str, Any]:
        data = self.ledger.state().get(key)
        return json.loads(data) if data else {}

    def head(self, task: str = TASK) -> dict[str, Any]:
        return self._record(f"head/{task}")

    def round(self, number: int, task: str = TASK) -> dict[str, Any]:
        return self.read("rounds:Read", task, number)

    # A round as honest organisations play it

    def opening_of(self, who: str, number: int, task: str = TASK) -> dict[str, Any]:
        return {
            "digest": H("an update's blob", task, number, who),
            "size": 1000,
            "num_examples": 100,
            "nonce": H("an update's nonce", task, number, who),
        }

    def submit(self, who: str, number: int, task: str = TASK) -> dict[str, Any]:
        base = self.round(number, task)["base"]
        one = self.opening_of(who, number, task)
        commitment = update_commitment(task, number, who, base, one["num_examples"], one["digest"], one["nonce"])
        return self.call(who, "updates:Submit", task, number, commitment)

    def reveal(self, who: str, number: int, task: str = TASK) -> dict[str, Any]:
        return self.call(who, "updates:Reveal", task, number, self.opening_of(who, number, task))

    def submit_and_reveal(self, number: int, task: str = TASK) -> None:
        selected = self.round(number, task)["selected"]
        for who in selected:
            self.submit(who, number, task)
        for who in selected:
            self.reveal(who, number, task)

    def aggregate(self, number: int, included: Sequence[str] | None = None, task: str = TASK) -> str:
        """The aggregate digest A that whoever sums these updates gets."""
        summed = sorted(self.round(number, task)["selected"] if included is None else included)
        return aggregate_digest(b"".join(H("an update's blob", task, number, one).encode() for one in summed))

    def claim(
        self,
        who: str,
        number: int,
        task: str = TASK,
        *,
        included: Sequence[str] | None = None,
        refused: Mapping[str, str] | None = None,
        fetched: Sequence[str] | None = None,
        wrong: str = "",
        version: int = 1,
        scores: Mapping[str, int] | None = None,
        openings: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """What an organisation attests; `wrong` makes its sum another one."""
        round_ = self.round(number, task)
        took = sorted(round_["selected"] if included is None else included)
        outcast = dict(refused or {})
        attempt, base = round_["attempt"], round_["base"]
        model = H("a model", base, *took, wrong)
        state = H("a state", model)
        aggregate = H("a wrong sum", wrong) if wrong else self.aggregate(number, took, task)
        served = [*took, *outcast] if fetched is None else fetched
        commitment = None
        if scores is not None:
            nonce, metrics = self.score_nonce(who, number, task), self.metrics_of(who, number)
            commitment = score_commitment(task, number, who, nonce, scores, metrics)
        return {
            "attempt": attempt,
            "version": version,
            "result": result_digest(task, number, attempt, base, took, outcast, model, state),
            "included": took,
            "refused": outcast,
            "model": model,
            "state": state,
            "fetched": [self.opening_of(one, number, task)["digest"] for one in served],
            "proof": proof(task, number, attempt, who, aggregate),
            "score_commitment": commitment,
            "openings": list(openings),
        }

    def attest(self, who: str, number: int, task: str = TASK, **deviation: Any) -> dict[str, Any]:
        return self.call(who, "attestations:Submit", task, number, self.claim(who, number, task, **deviation))

    def score_nonce(self, who: str, number: int, task: str = TASK) -> str:
        return H("a score nonce", task, number, who)

    def score_opening(self, who: str, number: int, scores: Mapping[str, int], task: str = TASK) -> dict[str, Any]:
        return {
            "nonce": self.score_nonce(who, number, task),
            "scores": dict(scores),
            "metrics": self.metrics_of(who, number),
        }

    def metrics_of(self, who: str, number: int) -> dict[str, int]:
        """What an organisation measures in a round: the round's loss, or its own."""
        loss = self.losses.get(number, 1)
        return {"loss": loss[who] if isinstance(loss, dict) else loss}

    def vote(self, kind: str, number: int, attempt: int, *voters: str, task: str = TASK) -> None:
        for who in voters:
            self.call(who, "rounds:Vote", task, number, kind, attempt)

    def play(self, number: int, task: str = TASK, scores: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Play a round in which nothing goes wrong; return the committed round."""
        self.submit_and_reveal(number, task)
        for who in self.round(number, task)["validators"]:
            self.attest(who, number, task, scores=scores)
        return self.call(ORG1, "rounds:Commit", task, number, self.aggregate(number, task=task))

    def play_as(self, number: int, *who: str, submitted: bool = False, sealed_by_votes: bool = False) -> dict[str, Any]:
        """Play the rest of a round in which only these reveal, attest and vote."""
        if not submitted:
            for one in who:
                self.submit(one, number)
        if sealed_by_votes:
            self.vote("close", number, 0, *who)
            self.call(who[0], "rounds:Seal", TASK, number)
        for one in who:
            self.reveal(one, number)
        for one in who:
            self.attest(one, number, included=who)
        return self.call(who[0], "rounds:Commit", TASK, number, self.aggregate(number, who))

    def open(self, who: str, number: int, scores: Mapping[str, int], task: str = TASK) -> dict[str, Any]:
        return self.call(who, "scores:Open", task, number, self.score_opening(who, number, scores, task))


def scored(opened: dict[str, dict[str, int]], budget: int = 300, rounds: int = 3, **changes: Any) -> Scenario:
    """A committed round of which every organisation has opened its own scores."""
    scenario = Scenario(len(opened))
    everybody = list(scenario.organisations)
    scenario.create(
        budget=budget,
        rounds=rounds,
        **{"trainers": everybody, "validators": everybody, "k": len(opened), "q": len(opened) // 2 + 1, **changes},
    )
    scenario.submit_and_reveal(1)
    for who, scores in opened.items():
        scenario.attest(who, 1, scores=scores)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    for who, scores in opened.items():
        scenario.open(who, 1, scores)
    return scenario
