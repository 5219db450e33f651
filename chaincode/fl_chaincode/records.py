"""Every record of the world state, and the exact JSON of each.

All carry ``"schema":1``. Absent values are null, never left out. Participants and organisations are MSP ids, hashes 64
hex digits, numbers integers. Lists of participants are sorted unless said otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypedDict

from fl_chaincode.codec import SCHEMA, Record
from fl_chaincode.market_records import Ballot, Offer, Order, PriceList, Publication
from fl_chaincode.member_records import (
    ACTIVE,
    ADD,
    CANCEL,
    MOTIONS,
    REINSTATE,
    REMOVE,
    SUSPEND,
    SUSPENDED,
    WITHDRAWN,
    Consortium,
    Declaration,
    Declared,
    Motion,
    Participant,
)
from fl_chaincode.specification import (
    AggregationSpec,
    ModelSpec,
    QuantisationSpec,
    ScoringSpec,
    ServerSpec,
    StopSpec,
    Task,
    TrainingSpec,
)
from fl_chaincode.task_records import CANCELLED, FINISHED, RUNNING, Cancellation, Election, Head
from fl_chaincode.token_records import Allowance, Approval, Entry, Escrow, Issue, Lock, Spending, Supply, Transfer

__all__ = [
    "ABORT",
    "ABORTED",
    "ACTIVE",
    "ADD",
    "CANCEL",
    "CANCELLED",
    "CLOSE",
    "COMMITTED",
    "DISPUTED",
    "FINISHED",
    "KINDS",
    "MOTIONS",
    "OPEN",
    "REINSTATE",
    "REMOVE",
    "RUNNING",
    "SCHEMA",
    "SEALED",
    "SETTLE",
    "SUSPEND",
    "SUSPENDED",
    "WITHDRAWN",
    "AggregationSpec",
    "Allowance",
    "Approval",
    "Attestation",
    "Ballot",
    "Cancellation",
    "Consortium",
    "Declaration",
    "Declared",
    "Election",
    "Entry",
    "Escrow",
    "Head",
    "Issue",
    "Lock",
    "Mark",
    "Model",
    "ModelSpec",
    "Motion",
    "Offer",
    "Opening",
    "Order",
    "Participant",
    "PriceList",
    "Publication",
    "QuantisationSpec",
    "Reveal",
    "Round",
    "ScoringSpec",
    "ServerSpec",
    "Settlement",
    "Spending",
    "StopSpec",
    "Supply",
    "Task",
    "TrainingSpec",
    "Transfer",
    "Update",
    "Vote",
]

OPEN, SEALED, DISPUTED, COMMITTED, ABORTED = "open", "sealed", "disputed", "committed", "aborted"
CLOSE, ABORT, SETTLE = "close", "abort", "settle"
KINDS = (CLOSE, ABORT, SETTLE)


@dataclass(frozen=True)
class Round(Record):
    """``round/<task>/<number>``: one attempt of the organisations to make the j-th model.

    ``{"task","number","j","base","selected":[msp],"moved":[msp],"min_updates","validators":[msp],"q","status","attempt",
    "set":[msp]|null,"included":[msp]|null,"missed":[msp],"term","declarations":{msp:number},"refused":{msp:code}}``

    The attempt is 0 while updates come in and at least 1 from SEALED on. `selected` is in order of selection; `moved`
    are those whom earlier runs for this model, or the content of their update for the model before it, moved to the end
    of that order. `set` are those who had submitted when the round was sealed. `included` is null until it is fixed by
    disagreement about what can be fetched (then it names what is to be included or refused), and in a committed round
    is what went into the model. `missed` are, in a final round, the selected whose update never arrived or could not be
    fetched. `term` counts how often V has changed. `declarations` are those of the selected for the task's purpose.
    `refused` are, in an aborted round, those whose update q votes to abort called invalid; in a committed one the model
    names them.
    """

    PREFIX = "round"
    KEY = ("task", "number")

    task: str
    number: int
    j: int
    base: str
    selected: tuple[str, ...]
    moved: tuple[str, ...]
    min_updates: int
    validators: tuple[str, ...]
    q: int
    status: str  # open | sealed | disputed | committed | aborted
    attempt: int
    set: tuple[str, ...] | None
    included: tuple[str, ...] | None
    missed: tuple[str, ...]
    term: int = 0
    declarations: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        return self.status in (COMMITTED, ABORTED)

    def effective(self, submitted: tuple[str, ...]) -> Self:
        """Return the round as the protocol sees it: SEALED as soon as every selected participant has submitted."""
        if self.status == OPEN and all(participant in submitted for participant in self.selected):
            return self.sealed(submitted)
        return self

    def sealed(self, submitted: tuple[str, ...]) -> Self:
        return replace(self, status=SEALED, attempt=1, set=tuple(sorted(submitted)))


@dataclass(frozen=True)
class Update(Record):
    """``update/<task>/<round>/<participant>``: ``{"task","round","participant","commitment"}``."""

    PREFIX = "update"
    KEY = ("task", "round", "participant")

    task: str
    round: int
    participant: str
    commitment: str


@dataclass(frozen=True)
class Reveal(Record):
    """``reveal/<task>/<round>/<participant>``: the opening of an update.

    ``{"task","round","participant","digest","size","num_examples","nonce"}``
    """

    PREFIX = "reveal"
    KEY = ("task", "round", "participant")

    task: str
    round: int
    participant: str
    digest: str  # of the update's blob
    size: int  # bytes of it
    num_examples: int
    nonce: str


@dataclass(frozen=True)
class Vote(Record):
    """``vote/<task>/<round>/<kind>/<attempt>/<msp>``: a validator wants a phase of the round to end.

    ``{"task","round","kind","attempt","organisation","refused":{msp:code}}``
    """

    PREFIX = "vote"
    KEY = ("task", "round", "kind", "attempt", "organisation")

    task: str
    round: int
    kind: str  # close | abort | settle
    attempt: int
    organisation: str
    refused: Mapping[str, str] = field(default_factory=dict)  # of a vote to abort: whose updates are invalid, and why


@dataclass(frozen=True)
class Attestation(Record):
    """``attestation/<task>/<round>/<msp>``: what an organisation got when it recomputed the round.

    ``{"task","round","organisation","attempt","version","result","included":[msp],"refused":{msp:code},"model","state",
    "fetched":[digest],"proof","score_commitment":hash|null}``
    """

    PREFIX = "attestation"
    KEY = ("task", "round", "organisation")

    task: str
    round: int
    organisation: str
    attempt: int
    version: int
    result: str
    included: tuple[str, ...]
    refused: Mapping[str, str]
    model: str
    state: str
    fetched: tuple[str, ...]
    proof: str
    score_commitment: str | None


@dataclass(frozen=True)
class Opening(Record):
    """``opening/<task>/<round>/<msp>``: the scores that an attestation committed to.

    ``{"task","round","organisation","nonce","scores":{msp:int},"metrics":{name:int}}``

    Scores are in millionths, metrics as the task's validators agree (losses and rates in millionths as well).
    """

    PREFIX = "opening"
    KEY = ("task", "round", "organisation")

    task: str
    round: int
    organisation: str
    nonce: str
    scores: Mapping[str, int]
    metrics: Mapping[str, int]


class Mark(TypedDict):
    """A declaration that went into the j-th model, this one or an ancestor of it, and was revoked since."""

    participant: str
    purpose: str
    number: int
    j: int


@dataclass(frozen=True)
class Model(Record):
    """``model/<task>/<j>``: a committed model; j = 0 is the initial one, of round 0, with nulls.

    ``{"task","j","round","attempt","base":hash|null,"digest","state":hash|null,"included":[msp],"refused":{msp:code},
    "result":hash|null,"aggregate":hash|null,"attested_by":[msp],"declarations":{msp:number},"revoked":[…]}``

    `revoked` is found when a model is read, and empty in the world state.
    """

    PREFIX = "model"
    KEY = ("task", "j")

    task: str
    j: int
    round: int
    attempt: int
    base: str | None
    digest: str
    state: str | None
    included: tuple[str, ...]
    refused: Mapping[str, str]
    result: str | None
    aggregate: str | None  # A, which opens the proofs of those in attested_by
    attested_by: tuple[str, ...]  # the quorum at the moment of the commit
    declarations: Mapping[str, int] = field(default_factory=dict)  # of the included, for the task's purpose
    revoked: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Settlement(Record):
    """``settlement/<task>/<round>``: what a committed round paid, once.

    ``{"task","round","j","share","scores":{msp:int},"payments":{msp:int},"scorers":[msp],"metrics":{name:int}}``

    Scores has every included participant, payments those above 0. Scores and metrics are lower medians over the
    openings of `scorers`. What the payments leave of the share stays in escrow.
    """

    PREFIX = "settlement"
    KEY = ("task", "round")

    task: str
    round: int
    j: int
    share: int
    scores: Mapping[str, int]
    payments: Mapping[str, int]
    scorers: tuple[str, ...]
    metrics: Mapping[str, int]
