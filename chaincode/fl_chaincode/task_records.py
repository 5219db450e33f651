"""Records about a task beside its rounds: where it stands, who wants it to end, who is to validate it."""

from dataclasses import dataclass

from fl_chaincode.codec import Record

RUNNING, FINISHED, CANCELLED = "running", "finished", "cancelled"


@dataclass(frozen=True)
class Head(Record):
    """``head/<task>``: where a task stands.

    ``{"task","status","round","j","model","state","unsettled":[round],"counted","best":int|null,"best_j":int|null,
    "stopped":"target|patience"|null}``

    The last four belong to the task's stop rule: see stopping.py.
    """

    PREFIX = "head"
    KEY = ("task",)

    task: str
    status: str  # running | finished | cancelled
    round: int  # the newest round
    j: int  # how many models are committed
    model: str  # digest of model j, the base of the newest round while the task runs
    state: str | None  # digest of its server state; null for the initial model
    unsettled: tuple[int, ...]  # committed rounds without a settlement, ascending
    counted: int = 0  # the models up to this one have been judged by the stop rule
    best: int | None = None  # the best value of its metric among them
    best_j: int | None = None  # the first model that had it
    stopped: str | None = None  # why the task is to end with the round that runs now


@dataclass(frozen=True)
class Cancellation(Record):
    """``cancel/<task>/<msp>``: ``{"task","organisation"}``: the sponsor, or a validator, wants the task to end."""

    PREFIX = "cancel"
    KEY = ("task", "organisation")

    task: str
    organisation: str


@dataclass(frozen=True)
class Election(Record):
    """``election/<task>/<term>/<msp>``: a validator's vote for who validates from the next round on.

    ``{"task","term","organisation","validators":[msp],"q"}``

    The term counts how often V has changed, so that votes about one V say nothing about the next.
    """

    PREFIX = "election"
    KEY = ("task", "term", "organisation")

    task: str
    term: int
    organisation: str
    validators: tuple[str, ...]
    q: int
