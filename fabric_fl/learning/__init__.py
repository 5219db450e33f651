"""Training and evaluating on an organisation's own data.

Importing this loads no TensorFlow; `TFFTrainer`, `describe_keras_model` and `build_keras_model` load it when they are
first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fabric_fl.learning.errors import (
    DataError,
    LearningError,
    LearningUnavailableError,
    ModelError,
    TrainingError,
)
from fabric_fl.learning.model import ModelDescription
from fabric_fl.learning.numpy_trainer import NumpyTrainer, describe_mlp
from fabric_fl.learning.trainer import Trainer, TrainingTask, TrainResult, make_update, training_seed

if TYPE_CHECKING:
    from fabric_fl.learning.tff_model import build_keras_model, describe_keras_model
    from fabric_fl.learning.tff_trainer import TFFTrainer

__all__ = [
    "DataError",
    "LearningError",
    "LearningUnavailableError",
    "ModelDescription",
    "ModelError",
    "NumpyTrainer",
    "TFFTrainer",
    "TrainResult",
    "Trainer",
    "TrainingError",
    "TrainingTask",
    "build_keras_model",
    "describe_keras_model",
    "describe_mlp",
    "make_update",
    "training_seed",
]

_WITH_TENSORFLOW = {
    "TFFTrainer": "tff_trainer",
    "build_keras_model": "tff_model",
    "describe_keras_model": "tff_model",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_TENSORFLOW:
        return getattr(import_module(f"{__name__}.{_WITH_TENSORFLOW[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
