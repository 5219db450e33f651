"""What goes wrong with data, models and training.

FabricFLError
└── LearningError
    ├── DataError                   the organisation's data cannot be used with this task
    ├── ModelError                  the task's model cannot be used here
    ├── TrainingError               training gave nothing that could be sent
    └── LearningUnavailableError    TensorFlow Federated does not run here
"""

from __future__ import annotations

from fabric_fl.errors import FabricFLError

_REMEDIES = {
    "FL-DATA-SHAPE": "Prepare the data as the task's model takes it; `tasks:Read` shows the architecture.",
    "FL-DATA-TYPE": "Convert the data to numbers: float32 features, and labels as the loss takes them.",
    "FL-DATA-NOT-FINITE": "Remove or fill in the missing and infinite values before training.",
    "FL-DATA-EMPTY": "Give at least one example.",
    "FL-DATA-TOO-MANY": "Take part with a sample of the data, or in a task with a higher max_examples.",
    "FL-DATA-LABELS": "Number the classes from 0, as the model's output counts them.",
    "FL-DATA-HOLDOUT": "Give the trainer a holdout: examples that it does not train on.",
    "FL-MODEL-UNSAFE": "Take no part in this task: its model is, or contains, something that could run code here.",
    "FL-MODEL-SHAPE": "The task was made with weights that do not belong to its architecture: make it anew.",
    "FL-MODEL-KIND": "Use the trainer for this kind of model; `tasks:Read` names the kind.",
    "FL-MODEL-OPTION": "Install the version of fabric-fl that the task was made with.",
}


class LearningError(FabricFLError):
    """Something that stops an organisation from training or evaluating. Nothing was sent."""

    code = "FL-LEARN-FAILED"

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message, code=code, remedy=remedy or _REMEDIES.get(code or ""))


class DataError(LearningError):
    """The organisation's data cannot be used with this task."""

    code = "FL-DATA-INVALID"


class ModelError(LearningError):
    """The task's model cannot be used here."""

    code = "FL-MODEL-INVALID"


class TrainingError(LearningError):
    """Training gave nothing that could be sent."""

    code = "FL-TRAIN-DIVERGED"
    remedy = "Lower the task's learning rate, or scale the features; the round goes on without this organisation."


class LearningUnavailableError(LearningError):
    """TensorFlow Federated does not run here."""

    code = "FL-LEARN-PLATFORM"
    remedy = "Train on Linux x86-64 with Python 3.11 and the extra fabric-fl[tff], or with a trainer of your own."
