"""What queries answer that is more than a record or a list of them; fl:Describe makes their schemas of these types."""

from typing import Any, NotRequired, TypedDict

from fl_chaincode.records import (
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


class SubmittedUpdate(TypedDict):
    """A commitment and, once it was opened, what it holds."""

    update: Update
    reveal: Reveal | None


class Attested(TypedDict):
    """An attestation and, once it was opened, its scores."""

    attestation: Attestation
    opening: Opening | None


class Electorate(TypedDict):
    """Who validates a task at present, how often they have changed (term), and their votes for others."""

    task: str
    term: int
    validators: tuple[str, ...]
    q: int
    votes: list[Election]


class Revealed(TypedDict):
    """What is needed to fetch one update."""

    digest: str
    size: int
    num_examples: int


class Unsettled(TypedDict):
    """A committed round that has not been paid, and what has come in for it."""

    round: Round
    attestations: dict[str, Attestation]
    openings: dict[str, Opening]
    settle_votes: tuple[str, ...]


class Cancelling(TypedDict):
    """Who wants a task to end, and whether that decides it."""

    wanted_by: list[str]
    decided: bool


class Action(TypedDict):
    """What an organisation is to do (when: now or patience) or can vote on (choice), with what the function takes."""

    function: str
    when: str
    task: NotRequired[str]
    round: NotRequired[int]
    kind: NotRequired[str]
    attempt: NotRequired[int]
    term: NotRequired[int]
    validators: NotRequired[tuple[str, ...]]
    q: NotRequired[int]
    request_id: NotRequired[str]
    subject: NotRequired[str]
    to: NotRequired[str]
    amount: NotRequired[int]
    buyer: NotRequired[str]
    order: NotRequired[str]
    seller: NotRequired[str]
    offer: NotRequired[str]
    outcome: NotRequired[str]


class TaskStatus(TypedDict):
    """Where a task stands: votes by kind and attempt; what was revealed and attested, by organisation.

    `model` is the newest committed one, as models:Latest tells it.
    """

    task: Task
    state: str
    head: Head
    model: Model
    round: Round
    submitted: list[str]
    reveals: dict[str, Revealed]
    votes: dict[str, dict[str, list[str]]]
    attestations: dict[str, Attestation]
    unsettled: list[Unsettled]
    cancel: Cancelling
    actions: list[Action]


class ScoredRound(TypedDict):
    """A committed round and, once it was settled, what it scored and paid."""

    round: int
    j: int
    included: tuple[str, ...] | None
    settlement: Settlement | None


class Participation(TypedDict):
    """In how many rounds a trainer was selected, accepted, refused, or missed, and what it was paid."""

    selected: int
    accepted: int
    refused: int
    missed: int
    paid: int


class ScoreBoard(TypedDict):
    """A task's scores, by round and by trainer."""

    task: str
    rounds: list[ScoredRound]
    participants: dict[str, Participation]


class Balance(TypedDict):
    """The sum of a participant's unspent entries."""

    participant: str
    balance: int


class TotalSupply(TypedDict):
    """How many tokens there are."""

    supply: int


class Allowed(TypedDict):
    """What a spender may still spend of an owner's tokens."""

    owner: str
    spender: str
    amount: int


class UnitPrice(TypedDict):
    """A price per token as a fraction: price / amount."""

    price: int
    amount: int


class TradedTokens(TypedDict):
    """What was sold in one currency; sums are decimal text."""

    trades: int
    tokens: str
    money: str
    lowest: UnitPrice
    highest: UnitPrice


class SoldService(TypedDict):
    """What was sold of one service; sums are decimal text."""

    orders: int
    quantity: str
    tokens: str


class Volumes(TypedDict):
    """Offers by currency, orders by provider and service, and what is locked now by kind of deal."""

    offers: dict[str, TradedTokens]
    orders: dict[str, dict[str, SoldService]]
    locked: dict[str, int]


class KeyedRecord(TypedDict):
    """A record and where it stands."""

    key: str
    record: Any


class RecordPage(TypedDict):
    """Records of a kind, and where the next page starts; null after the last."""

    kind: str
    records: list[KeyedRecord]
    bookmark: str | None


class RecordVersion(TypedDict):
    """What a transaction left under a key; null when it deleted it. The time is what its client said."""

    transaction: str
    timestamp_ms: int
    record: Any


class RecordHistory(TypedDict):
    """Versions of a record, the newest first, and the bookmark of the next page; null after the oldest."""

    key: str
    versions: list[RecordVersion]
    bookmark: str | None
