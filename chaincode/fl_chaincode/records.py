"""Every record of the world state, and the exact JSON of each.

All carry ``"schema":1``. Absent values are null, never left out. Participants and organisations are MSP ids, hashes 64
hex digits, numbers integers. Lists of participants are sorted unless said otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from fl_chaincode.codec import SCHEMA, Record
from fl_chaincode.specification import (
    AggregationSpec,
    ModelSpec,
    QuantisationSpec,
    ScoringSpec,
    ServerSpec,
    Task,
    TrainingSpec,
)

__all__ = [
    "ABORT",
    "ABORTED",
    "ACTIVE",
    "CLOSE",
    "COMMITTED",
    "DISPUTED",
    "FINISHED",
    "KINDS",
    "OPEN",
    "RUNNING",
    "SCHEMA",
    "SEALED",
    "SETTLE",
    "SUSPENDED",
    "WITHDRAWN",
    "AggregationSpec",
    "Attestation",
    "Consortium",
    "Entry",
    "Escrow",
    "Head",
    "Issue",
    "Model",
    "ModelSpec",
    "Opening",
    "Participant",
    "QuantisationSpec",
    "Reveal",
    "Round",
    "ScoringSpec",
    "ServerSpec",
    "Settlement",
    "Supply",
    "Task",
    "TrainingSpec",
    "Transfer",
    "Update",
    "Vote",
]

ACTIVE, SUSPENDED, WITHDRAWN = "active", "suspended", "withdrawn"
RUNNING, FINISHED = "running", "finished"
OPEN, SEALED, DISPUTED, COMMITTED, ABORTED = "open", "sealed", "disputed", "committed", "aborted"
CLOSE, ABORT, SETTLE = "close", "abort", "settle"
KINDS = (CLOSE, ABORT, SETTLE)


@dataclass(frozen=True)
class Consortium(Record):
    """``consortium``: ``{"organisations":[msp]}``."""

    PREFIX = "consortium"

    organisations: tuple[str, ...]

    @property
    def majority(self) -> int:
        return len(self.organisations) // 2 + 1


@dataclass(frozen=True)
class Participant(Record):
    """``participant/<msp>``: ``{"msp_id","name","description","roles":[role],"status"}``.

    Roles are those of the certificate that registered, for information: each call is judged by its own certificate.
    """

    PREFIX = "participant"
    KEY = ("msp_id",)

    msp_id: str
    name: str
    description: str
    roles: tuple[str, ...]
    status: str  # active | suspended | withdrawn


@dataclass(frozen=True)
class Head(Record):
    """``head/<task>``: ``{"task","status","round","j","model","state","unsettled":[round]}``: where a task stands."""

    PREFIX = "head"
    KEY = ("task",)

    task: str
    status: str  # running | finished
    round: int  # the newest round
    j: int  # how many models are committed
    model: str  # digest of model j, the base of the newest round while the task runs
    state: str | None  # digest of its server state; null for the initial model
    unsettled: tuple[int, ...]  # committed rounds without a settlement, ascending


@dataclass(frozen=True)
class Round(Record):
    """``round/<task>/<number>``: one attempt of the organisations to make the j-th model.

    ``{"task","number","j","base","selected":[msp],"moved":[msp],"min_updates","validators":[msp],"q","status","attempt",
    "set":[msp]|null,"included":[msp]|null,"missed":[msp]}``

    The attempt is 0 while updates come in and at least 1 from SEALED on. `selected` is in order of selection; `moved`
    are those whom earlier runs for this model moved to the end of that order. `set` are those who had submitted when
    the round was sealed. `included` is null until it is fixed by disagreement about what can be fetched (then it names
    what is to be included or refused), and in a committed round is what went into the model. `missed` are, in a final
    round, the selected whose update never arrived or could not be fetched.
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
    """``vote/<task>/<round>/<kind>/<attempt>/<msp>``: ``{"task","round","kind","attempt","organisation"}``."""

    PREFIX = "vote"
    KEY = ("task", "round", "kind", "attempt", "organisation")

    task: str
    round: int
    kind: str  # close | abort | settle
    attempt: int
    organisation: str


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


@dataclass(frozen=True)
class Model(Record):
    """``model/<task>/<j>``: a committed model; j = 0 is the initial one, of round 0, with nulls.

    ``{"task","j","round","attempt","base":hash|null,"digest","state":hash|null,"included":[msp],"refused":{msp:code},
    "result":hash|null,"aggregate":hash|null,"attested_by":[msp]}``
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


@dataclass(frozen=True)
class Entry(Record):
    """``token/entry/<owner>/<id>``: ``{"id","owner","amount","cause"}``: tokens that nobody has spent yet.

    The cause is the key of the record that made it: an issue, a transfer, a task (change, or the escrow's return) or a
    settlement.
    """

    PREFIX = "token/entry"
    KEY = ("owner", "id")

    id: str
    owner: str
    amount: int
    cause: str


@dataclass(frozen=True)
class Escrow(Record):
    """``token/escrow/<task>``: ``{"task","sponsor","amount"}``: what is left of a task's locked budget."""

    PREFIX = "token/escrow"
    KEY = ("task",)

    task: str
    sponsor: str
    amount: int


@dataclass(frozen=True)
class Issue(Record):
    """``token/issue/<request_id>``: ``{"request_id","to","amount","votes":[msp],"issued":bool}``."""

    PREFIX = "token/issue"
    KEY = ("request_id",)

    request_id: str
    to: str
    amount: int
    votes: tuple[str, ...]
    issued: bool


@dataclass(frozen=True)
class Supply(Record):
    """``token/supply``: ``{"supply"}``: all tokens ever issued; none are destroyed."""

    PREFIX = "token/supply"

    supply: int


@dataclass(frozen=True)
class Transfer(Record):
    """``token/transfer/<sender>/<request_id>``: the answer to a transfer, kept for its repetitions.

    ``{"sender","request_id","inputs":[id],"to","amount","outputs":[id]}``
    """

    PREFIX = "token/transfer"
    KEY = ("sender", "request_id")

    sender: str
    request_id: str
    inputs: tuple[str, ...]
    to: str
    amount: int
    outputs: tuple[str, ...]  # the payment, then the change if there is any
