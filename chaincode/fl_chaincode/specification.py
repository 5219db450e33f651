"""A task: the whole specification, written once by tasks:Create and never changed.

Decimals are text of the form ``0.05``, because no float stands in the world state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fl_chaincode.codec import Record, Value

DISTANT = "FL-RULE-DISTANCE"
"""Why Krum and Multi-Krum leave out an update: nothing is wrong with it, others are closer to each other."""


TOO_LONG = "FL-RULE-NORM"
"""Why the norm bound leaves out an update."""


class Options(Value):
    """A part of which each variant uses some of the fields; the others are None, and absent from the JSON."""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_json().items() if value is not None}


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
class ServerSpec(Options):
    """The server step: ``{"step", "learning_rate"}`` and what `STEPS` names besides, all as decimals."""

    step: str
    learning_rate: str
    momentum: str | None = None
    beta_1: str | None = None
    beta_2: str | None = None
    epsilon: str | None = None
    initial_preconditioner_value: str | None = None


_ADAPTIVE = ("epsilon", "initial_preconditioner_value")
STEPS: Mapping[str, tuple[str, ...]] = {
    "fedavg": (),
    "fedavgm": ("momentum",),
    "fedadagrad": _ADAPTIVE,
    "fedadam": ("beta_1", "beta_2", *_ADAPTIVE),
    "fedyogi": ("beta_1", "beta_2", *_ADAPTIVE),
}


@dataclass(frozen=True)
class QuantisationSpec(Value):
    """Fixed point: ``{"f", "bound"}``; an element q of an update is rint(x·2^f), and |q| <= bound < 2^31."""

    f: int
    bound: int


@dataclass(frozen=True)
class AggregationSpec(Options):
    """How updates are combined: ``{"rule": "none" | "median"}``, or with what `RULES` names besides.

    ``norm`` is a decimal, the largest Euclidean norm of an update's mean difference of weights; ``byzantine`` is how
    many liars among the participants of a round the rule is to withstand.
    """

    rule: str
    norm: str | None = None
    byzantine: int | None = None

    def weighed(self, included: Sequence[str], refused: Mapping[str, str]) -> int:
        """Return how many updates the rule has compared: a choice among enough of them may include just one."""
        outvoted = [code for code in refused.values() if code == DISTANT]
        return len(included) + (len(outvoted) if self.rule in ("krum", "multi-krum") else 0)


RULES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "norm-bound": ("norm",),
    "median": (),
    "trimmed-mean": ("byzantine",),
    "krum": ("byzantine",),
    "multi-krum": ("byzantine",),
}


@dataclass(frozen=True)
class ScoringSpec(Value):
    """How contributions are scored: ``{"rule": "leave-one-out" | "none", "cap_percent"}``.

    One participant earns at most cap_percent of the equal share of a round.
    """

    rule: str
    cap_percent: int = 200


@dataclass(frozen=True)
class StopSpec(Value):
    """When a task ends before its maximum of rounds, judged by the opened metrics of its models: see stopping.py.

    ``{"metric", "direction": "min" | "max", "target": int | null, "patience": int | null, "min_delta": int}``
    """

    metric: str  # the name under which validators open it, such as "loss"
    direction: str  # whether less of it is better, or more
    target: int | None  # stop when a model is at least as good
    patience: int | None  # stop when so many models in a row have not been better than the best one before
    min_delta: int  # by less than this a model is not better


@dataclass(frozen=True)
class Task(Record):
    """``task/<id>``: the specification as given to tasks:Create, with sorted lists, and the sponsor.

    ``{"schema":1,"id","trainers":[msp],"validators":[msp],"q","k","min_updates","rounds","patience_s","model":{…},
    "training":{…},"server":{…},"quantisation":{…},"max_examples","aggregation":{…},"scoring":{…},"budget",
    "horizon_rounds","sponsor":msp,"purpose":id|null,"stop":{…}|null}``; tasks:Create takes all of these but the
    sponsor, who is the caller, and the last two may be left out.
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
        "stop": StopSpec,
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
    purpose: str | None = None  # trainers must have declared data for it
    stop: StopSpec | None = None
