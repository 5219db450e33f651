"""A task: the whole specification, written once by tasks:Create and never changed.

Decimals are text of the form ``0.05``, because no float stands in the world state.
"""

from dataclasses import dataclass

from fl_chaincode.codec import Record, Value


@dataclass(frozen=True)
class ModelSpec(Value):
    """The model as data: ``{"kind", "architecture", "loss", "initial", "size"}``."""

    kind: str  # whose architecture it is, "keras" or a numpy model's name
    architecture: str  # that kind's own JSON text
    loss: str
    initial: str  # digest of the blob with the initial weights
    size: int  # bytes of that blob


@dataclass(frozen=True)
class TrainingSpec(Value):
    """The clients' work: ``{"optimizer", "learning_rate", "epochs", "batch_size"}``."""

    optimizer: str
    learning_rate: str
    epochs: int
    batch_size: int


@dataclass(frozen=True)
class ServerSpec(Value):
    """The server step: ``{"step": "fedavg", "learning_rate"}``."""

    step: str
    learning_rate: str


@dataclass(frozen=True)
class QuantisationSpec(Value):
    """Fixed point: ``{"f", "bound"}``; an element q of an update is rint(x·2^f), and |q| <= bound < 2^31."""

    f: int
    bound: int


@dataclass(frozen=True)
class AggregationSpec(Value):
    """The robust rule: ``{"rule": "none"}``."""

    rule: str


@dataclass(frozen=True)
class ScoringSpec(Value):
    """How contributions are scored: ``{"rule": "leave-one-out" | "none", "cap_percent"}``.

    One participant earns at most cap_percent of the equal share of a round.
    """

    rule: str
    cap_percent: int = 200


@dataclass(frozen=True)
class Task(Record):
    """``task/<id>``: the specification as given to tasks:Create, with sorted lists, and the sponsor.

    ``{"schema":1,"id","trainers":[msp],"validators":[msp],"q","k","min_updates","rounds","patience_s","model":{…},
    "training":{…},"server":{…},"quantisation":{…},"max_examples","aggregation":{…},"scoring":{…},"budget",
    "horizon_rounds","sponsor":msp}``; tasks:Create takes all of these but the sponsor, who is the caller.
    """

    PREFIX = "task"
    KEY = ("id",)
    NESTED = {  # noqa: RUF012 (ClassVar in the base)
        "model": ModelSpec,
        "training": TrainingSpec,
        "server": ServerSpec,
        "quantisation": QuantisationSpec,
        "aggregation": AggregationSpec,
        "scoring": ScoringSpec,
    }

    id: str
    trainers: tuple[str, ...]
    validators: tuple[str, ...]
    q: int
    k: int  # how many are selected for a round
    min_updates: int
    rounds: int  # R: the task ends when so many models are committed
    patience_s: int  # seconds after which processes vote; no rule looks at a clock
    model: ModelSpec
    training: TrainingSpec
    server: ServerSpec
    quantisation: QuantisationSpec
    max_examples: int
    aggregation: AggregationSpec
    scoring: ScoringSpec
    budget: int
    horizon_rounds: int  # blobs are kept so many rounds
    sponsor: str
