"""What a participant sees of a task in one query, and other answers that are more than one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from fl_chaincode.decision import DISPUTE, FIX, current_attestations, decide
from fl_chaincode.records import (
    CLOSE,
    DISPUTED,
    OPEN,
    RUNNING,
    SEALED,
    Attestation,
    Election,
    Head,
    Model,
    Opening,
    Reveal,
    Round,
    Settlement,
    Task,
    Update,
)

_LARGE = 1 << 25  # bytes of a model whose updates take longer to fetch than the ledger to read


class SubmittedUpdate(NamedTuple):
    """A commitment and, once it was opened, what it holds."""

    update: Update
    reveal: Reveal | None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        reveal = value["reveal"]
        return cls(Update.from_json(value["update"]), reveal and Reveal.from_json(reveal))


class Attested(NamedTuple):
    """An attestation and, once it was opened, its scores."""

    attestation: Attestation
    opening: Opening | None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            Attestation.from_json(value["attestation"]), value["opening"] and Opening.from_json(value["opening"])
        )


@dataclass(frozen=True)
class Revealed:
    """What is needed to fetch one update.

    Attributes:
        digest: SHA-256 of the blob.
        size: Bytes of it.
    """

    digest: str
    size: int
    num_examples: int


@dataclass(frozen=True)
class Unsettled:
    """A committed round that has not been paid yet."""

    round: Round
    attestations: Mapping[str, Attestation]
    openings: Mapping[str, Opening]
    settle_votes: tuple[str, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            round=Round.from_json(value["round"]),
            attestations={msp: Attestation.from_json(item) for msp, item in value["attestations"].items()},
            openings={msp: Opening.from_json(item) for msp, item in value["openings"].items()},
            settle_votes=tuple(value["settle_votes"]),
        )


@dataclass(frozen=True)
class Action:
    """Something that the caller's organisation is to do.

    Attributes:
        task: None where it is about no task.
        function: Of the contract, such as ``updates:Submit``.
        when: "now"; or "patience": once the caller has waited the task's patience for the others; or "choice": a vote
            that others have begun, for who agrees.
        kind: Of a vote.
        attempt: Of a vote.
        about: What else the function is called with, by name.
    """

    task: str | None
    round: int | None
    function: str
    when: str
    kind: str | None = None
    attempt: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        fields = dict(value)
        own = {name: fields.pop(name, None) for name in ("task", "round", "kind", "attempt")}
        return cls(function=fields.pop("function"), when=fields.pop("when"), about=fields, **own)


@dataclass(frozen=True)
class Electorate:
    """Who validates a task at present.

    Attributes:
        term: How often they have changed.
        votes: Of the present validators, for those of the next rounds.
    """

    task: str
    term: int
    validators: tuple[str, ...]
    q: int
    votes: tuple[Election, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            task=value["task"],
            term=value["term"],
            validators=tuple(value["validators"]),
            q=value["q"],
            votes=tuple(Election.from_json(item) for item in value["votes"]),
        )


@dataclass(frozen=True)
class TaskStatus:
    """Where a task stands.

    Attributes:
        model: The newest committed model; the initial one before the first commit.
        round: The newest round, with its effective status, attempt and set.
        submitted: Who has submitted an update, sorted.
        reveals: What was opened, by participant.
        votes: Organisations by kind and attempt.
        attestations: By organisation, of any attempt.
        unsettled: Committed rounds that have not been paid yet, ascending.
        state: created (nobody has submitted yet), running, finished or cancelled.
        cancel_wanted_by: Who has asked for the task's end.
        cancelled: Whether that is enough, so that it ends with the present round.
        actions: What the caller's organisation is to do.
    """

    task: Task
    head: Head
    model: Model
    round: Round
    submitted: tuple[str, ...]
    reveals: Mapping[str, Revealed]
    votes: Mapping[str, Mapping[int, tuple[str, ...]]]
    attestations: Mapping[str, Attestation]
    unsettled: tuple[Unsettled, ...]
    state: str
    cancel_wanted_by: tuple[str, ...]
    cancelled: bool
    actions: tuple[Action, ...]

    @property
    def ending(self) -> bool:
        """Whether the task ends with the present round: it is cancelled, or has learnt enough."""
        return self.cancelled or self.head.stopped is not None

    def due(self, function: str) -> bool:
        """Return whether a call of this function is one of the caller's actions for the present round."""
        return any(one.function == function and one.round == self.round.number for one in self.actions)

    @property
    def sealed(self) -> bool:
        """Whether the round takes no more updates."""
        return self.round.status != OPEN

    @property
    def stuck(self) -> bool:
        """Whether the round is sealed and no result can reach the quorum any more in this attempt."""
        if self.round.status not in (SEALED, DISPUTED):
            return False
        silence_counts = len(self.votes.get(CLOSE, {}).get(self.round.attempt, ())) >= self.round.q
        return decide(self.round, self.attestations, silence_counts, aggregate=None).kind in (FIX, DISPUTE)

    @property
    def awaited(self) -> Mapping[str, int]:
        """How many more calls of a function it takes before they give anybody something to do.

        A call of any other function may matter at once. Large updates are fetched while the others are still revealed.
        """
        round_ = self.round
        if round_.status == OPEN:
            return {"updates:Submit": len(round_.selected) - len(self.submitted)}
        missing = sum(participant not in self.reveals for participant in round_.included or round_.set or ())
        if missing:
            return {"updates:Reveal": 1 if self.task.model.size >= _LARGE else missing}
        return {"attestations:Submit": round_.q - len(current_attestations(round_, self.attestations))}

    @property
    def finished(self) -> bool:
        """Whether no more rounds come: the task is finished or cancelled."""
        return self.head.status != RUNNING

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            task=Task.from_json(value["task"]),
            head=Head.from_json(value["head"]),
            model=Model.from_json(value["model"]),
            round=Round.from_json(value["round"]),
            submitted=tuple(value["submitted"]),
            reveals={msp: Revealed(**item) for msp, item in value["reveals"].items()},
            votes={
                kind: {int(attempt): tuple(voters) for attempt, voters in attempts.items()}
                for kind, attempts in value["votes"].items()
            },
            attestations={msp: Attestation.from_json(item) for msp, item in value["attestations"].items()},
            unsettled=tuple(Unsettled.from_json(item) for item in value["unsettled"]),
            state=value["state"],
            cancel_wanted_by=tuple(value["cancel"]["wanted_by"]),
            cancelled=value["cancel"]["decided"],
            actions=tuple(Action.from_json(item) for item in value["actions"]),
        )


@dataclass(frozen=True)
class ScoredRound:
    """A committed round and, once it was settled, its scores and payments."""

    round: int
    j: int
    included: tuple[str, ...]
    settlement: Settlement | None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        settlement = value["settlement"]
        return cls(
            round=value["round"],
            j=value["j"],
            included=tuple(value["included"]),
            settlement=settlement and Settlement.from_json(settlement),
        )


@dataclass(frozen=True)
class Contribution:
    """One participant's part in a task: numbers of rounds, and tokens paid."""

    selected: int
    accepted: int
    refused: int
    missed: int
    paid: int


@dataclass(frozen=True)
class ScoreBoard:
    """A task's committed rounds and what each participant has contributed to them."""

    task: str
    rounds: tuple[ScoredRound, ...]
    participants: Mapping[str, Contribution]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            task=value["task"],
            rounds=tuple(ScoredRound.from_json(item) for item in value["rounds"]),
            participants={msp: Contribution(**item) for msp, item in value["participants"].items()},
        )
