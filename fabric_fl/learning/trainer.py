"""What stands between the round's loop and whatever trains.

Names follow TensorFlow Federated: an update is initial minus final weights, its weight the number of examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, Self

from fabric_fl.aggregation import ModelBlob, NormBound, Tensors, UpdateBlob, UpdateHeader, quantise, robust_rule
from fabric_fl.learning.errors import ModelError
from fl_chaincode.canonical import H
from fl_chaincode.records import Task


@dataclass(frozen=True)
class TrainingTask:
    """What a trainer has to know of a task.

    Attributes:
        kind: Whose architecture it is: `keras`, or a numpy model's name.
        architecture: That kind's own JSON text.
        learning_rate: Decimal text, as on the ledger.
        max_examples: The most examples that an update may claim.
    """

    kind: str
    architecture: str
    loss: str
    optimizer: str
    learning_rate: str
    epochs: int
    batch_size: int
    max_examples: int

    @classmethod
    def from_spec(cls, task: Task) -> Self:
        """Take the part of a task's record that training needs."""
        return cls(
            kind=task.model.kind,
            architecture=task.model.architecture,
            loss=task.model.loss,
            optimizer=task.training.optimizer,
            learning_rate=task.training.learning_rate,
            epochs=task.training.epochs,
            batch_size=task.training.batch_size,
            max_examples=task.max_examples,
        )


@dataclass(frozen=True)
class TrainResult:
    """An organisation's update before it is quantised. It stays in this process.

    Attributes:
        delta: Initial minus final weights, float32 or float64, with the model's names and shapes.
        num_examples: How many examples it was trained on, each counted once.
        metrics: Of the training data, for the organisation's own eyes.
    """

    delta: Tensors
    num_examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)


class Trainer(Protocol):
    """Trains and evaluates on the data of one organisation, which it alone sees."""

    def check(self, task: TrainingTask, model: ModelBlob) -> None:
        """Refuse, before the first round, data that does not fit the task or its model.

        Raises:
            LearningError: What is wrong, and what to do about it.
        """

    def train(self, task: TrainingTask, model: ModelBlob, seed: int) -> TrainResult:
        """Train from these weights. The same arguments give the same result.

        Raises:
            LearningError: Data or model are unfit, or training diverged.
        """

    def evaluate(self, task: TrainingTask, model: ModelBlob) -> dict[str, float]:
        """Measure a model on the holdout. The answer has `loss`, and what else is worth knowing.

        Raises:
            DataError: There is no holdout (FL-DATA-HOLDOUT), or it is unfit.
        """

    def close(self) -> None:
        """End what training started."""


def training_seed(task: str, round: int, participant: str) -> int:  # noqa: A002 - the protocol's word
    """The seed of a participant's training in a round: 63 bits, the same after a restart."""
    return int(H("fl/train/v1", task, round, participant)[:16], 16) >> 1


def make_update(
    result: TrainResult,
    *,
    task: str,
    round: int,  # noqa: A002 - the protocol's word
    participant: str,
    base: str,
    f: int,
    bound: int,
    rule: Mapping[str, str | int] = MappingProxyType({"rule": "none"}),
) -> UpdateBlob:
    """Quantise a result, keep it within the task's norm bound, and put the header on it that the ledger will name.

    Raises:
        NotFiniteError: It holds NaN or infinity.
    """
    header = UpdateHeader(task, round, participant, base, result.num_examples, f)
    q = quantise(result.delta, f, bound)
    selection = robust_rule(rule).selection
    return UpdateBlob(header, selection.shorten(q, f) if isinstance(selection, NormBound) else q)


def require_kind(task: TrainingTask, kind: str) -> None:
    """Refuse a task whose model is of another kind.

    Raises:
        ModelError: It is.
    """
    if task.kind != kind:
        raise ModelError(
            f"the task's model is of the kind {task.kind!r}, this trainer's {kind!r}", code="FL-MODEL-KIND"
        )
