"""The contract `fl`, one method a function; calls.py says how each is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, Self

from fabric_fl.calls import PATIENCE, Contract, LedgerFormatError, LedgerRefused, decoded, parsed
from fabric_fl.errors import FabricFLError
from fabric_fl.gateway.chaincode_events import ChaincodeEvent
from fabric_fl.gateway.network import Network
from fabric_fl.gateway.retry import PersistentContract
from fabric_fl.market_calls import MarketCalls
from fabric_fl.member_calls import MemberCalls
from fabric_fl.record_calls import RecordCalls
from fabric_fl.task_status import Action, Attested, Electorate, ScoreBoard, SubmittedUpdate, TaskStatus
from fabric_fl.token_calls import TokenCalls
from fl_chaincode.records import (
    Attestation,
    Cancellation,
    Election,
    Model,
    Opening,
    Reveal,
    Round,
    Settlement,
    Task,
    Update,
    Vote,
)

__all__ = ["ChaincodeEvents", "Contract", "FLLedger", "LedgerFormatError", "LedgerRefused", "TaskEvents"]


class ChaincodeEvents(Protocol):
    """A stream of events that can be closed, also from another thread."""

    def __iter__(self) -> Iterator[ChaincodeEvent]: ...

    def close(self) -> None: ...


class TaskEvents:
    """The contract's events as (function, its task and round); closeable from another thread."""

    def __init__(self, events: ChaincodeEvents, task: str | None) -> None:
        self._events = events
        self._task = task

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for event in self._events:
            about = decoded(event.payload) if event.payload else {}
            if self._task is None or about.get("task") == self._task:
                yield event.event_name, about

    def close(self) -> None:
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FLLedger(MemberCalls, TokenCalls, MarketCalls, RecordCalls):
    """The contract's functions in the name of one organisation.

    Args:
        contract: Where calls go.
        events: Opens a stream of the contract's events from now on.
        patience: Seconds for which a call is tried again after it first failed.

    Every method raises LedgerRefused where the contract refuses, and a GatewayError when patience has ended.
    """

    def __init__(
        self, contract: Contract, events: Callable[[], ChaincodeEvents] | None = None, *, patience: float = PATIENCE
    ) -> None:
        super().__init__(contract, patience=patience)
        self._events = events

    @classmethod
    def on(cls, network: Network, chaincode_name: str = "fl", *, patience: float = PATIENCE) -> Self:
        """Return the contract on a channel, with its events."""
        contract = PersistentContract(network.contract(chaincode_name), patience)
        return cls(contract, lambda: network.chaincode_events(chaincode_name), patience=patience)

    def events(self, task: str | None = None) -> TaskEvents:
        """Return what is written from now on, of one task or of all: (function name, {"task", "round"}).

        Whoever opens the stream first and reads the ledger then misses nothing.
        """
        if self._events is None:
            raise FabricFLError("this ledger was opened without events")
        return TaskEvents(self._events(), task)

    # Tasks

    def create_task(self, spec: Mapping[str, Any], inputs: Iterable[str] = ()) -> Task:
        """Create a task and lock its budget.

        Args:
            spec: all fields of a Task but the sponsor.
            inputs: ids of the caller's token entries that the budget is taken from.
        """
        entries = list(inputs)
        return self._write(Task, "tasks:Create", spec, {"inputs": entries} if entries else {})

    def task(self, task: str) -> Task:
        return self._read(Task, "tasks:Read", task)

    def tasks(self) -> tuple[Task, ...]:
        return self._list(Task.from_json, "tasks:List")

    def status(self, task: str) -> TaskStatus:
        """Return all that a participant needs to decide what to do next."""
        return parsed(TaskStatus.from_json, self._evaluate("tasks:Status", task))

    def todo(self) -> tuple[Action, ...]:
        """Return what the caller's organisation is to do now in all tasks, and what it can vote on."""
        return self._list(Action.from_json, "tasks:Todo")

    def cancel_task(self, task: str) -> Cancellation:
        """Ask for the task's end, as its sponsor or as one of its validators; it comes with the end of a round."""
        return self._write(Cancellation, "tasks:Cancel", task)

    def elect(self, task: str, term: int, validators: Iterable[str], q: int) -> Election:
        """Vote, as one of a task's validators, for who validates from its next round on.

        Args:
            task: the task's id.
            term: that of the present validators, see `electorate`.
            validators: MSP ids; the present ones take an earlier vote back.
            q: their quorum.
        """
        fields = {"term": term, "validators": list(validators), "q": q}
        return self._write(Election, "validators:Vote", task, fields)

    def electorate(self, task: str) -> Electorate:
        """Return who validates a task at present, and who has voted for whom."""
        return parsed(Electorate.from_json, self._evaluate("validators:Read", task))

    # Updates

    def submit_update(self, task: str, number: int, commitment: str) -> Update:
        return self._write(Update, "updates:Submit", task, number, commitment)

    def reveal_update(
        self,
        task: str,
        number: int,
        *,
        digest: str,
        size: int,
        num_examples: int,
        nonce: str,
    ) -> Reveal:
        fields = {"digest": digest, "size": size, "num_examples": num_examples, "nonce": nonce}
        return self._write(Reveal, "updates:Reveal", task, number, fields)

    def update(self, task: str, number: int, msp_id: str) -> SubmittedUpdate:
        return parsed(SubmittedUpdate.from_json, self._evaluate("updates:Read", task, number, msp_id))

    def updates(self, task: str, number: int) -> tuple[SubmittedUpdate, ...]:
        return self._list(SubmittedUpdate.from_json, "updates:List", task, number)

    # Rounds

    def vote(self, task: str, number: int, kind: str, attempt: int, refused: Mapping[str, str] | None = None) -> Vote:
        """Vote to close, abort or settle; a vote to abort can name whose updates are invalid, with the codes."""
        reason = [{"refused": dict(refused)}] if refused else []
        return self._write(Vote, "rounds:Vote", task, number, kind, attempt, *reason)

    def seal(self, task: str, number: int) -> Round:
        return self._write(Round, "rounds:Seal", task, number)

    def commit(self, task: str, number: int, aggregate: str | None = None) -> Round:
        """Have the attestations counted; `aggregate` is the digest A of the sum, which opens their proofs."""
        return self._write(Round, "rounds:Commit", task, number, *(() if aggregate is None else (aggregate,)))

    def abort(self, task: str, number: int) -> Round:
        return self._write(Round, "rounds:Abort", task, number)

    def settle(self, task: str, number: int) -> Settlement:
        return self._write(Settlement, "rounds:Settle", task, number)

    def round(self, task: str, number: int) -> Round:
        return self._read(Round, "rounds:Read", task, number)

    def rounds(self, task: str) -> tuple[Round, ...]:
        return self._list(Round.from_json, "rounds:List", task)

    # Attestations and models

    def attest(self, task: str, number: int, attestation: Mapping[str, Any]) -> Attestation:
        """Write what the caller's organisation got, with the openings of its earlier scores."""
        return self._write(Attestation, "attestations:Submit", task, number, attestation)

    def attestation(self, task: str, number: int, msp_id: str) -> Attested:
        return parsed(Attested.from_json, self._evaluate("attestations:Read", task, number, msp_id))

    def attestations(self, task: str, number: int) -> tuple[Attested, ...]:
        return self._list(Attested.from_json, "attestations:List", task, number)

    def model(self, task: str, j: int) -> Model:
        return self._read(Model, "models:Read", task, j)

    def latest_model(self, task: str) -> Model:
        return self._read(Model, "models:Latest", task)

    def models(self, task: str) -> tuple[Model, ...]:
        """Return all models of a task, each marked with the revoked declarations that went into it."""
        return self._list(Model.from_json, "models:List", task)

    # Scores

    def open_scores(
        self,
        task: str,
        number: int,
        *,
        nonce: str,
        scores: Mapping[str, int],
        metrics: Mapping[str, int],
    ) -> Opening:
        fields = {"nonce": nonce, "scores": dict(scores), "metrics": dict(metrics)}
        return self._write(Opening, "scores:Open", task, number, fields)

    def scores(self, task: str) -> ScoreBoard:
        return parsed(ScoreBoard.from_json, self._evaluate("scores:List", task))
