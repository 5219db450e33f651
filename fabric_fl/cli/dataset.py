"""An organisation's examples from a file, and the trainer that the task's model needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fabric_fl.learning import DataError, NumpyTrainer
from fabric_fl.learning.numpy_trainer import KIND as NUMPY_KIND

if TYPE_CHECKING:
    from fabric_fl.learning import Trainer

_REMEDY = "Write the file with numpy.savez(file, x=features, y=labels)."


def trainer_for(kind: str, data: Path, holdout: Path | None) -> Trainer:
    """Returns a trainer for models of this kind, on the examples in `data` and scoring on those in `holdout`.

    Raises:
        DataError: A file is missing, or holds something else than two arrays of numbers.
    """
    examples = _examples(data)
    held_out = _examples(holdout) if holdout else None
    if kind == NUMPY_KIND:
        return NumpyTrainer(examples, held_out)
    from fabric_fl.learning import TFFTrainer

    trainer: Trainer = TFFTrainer(examples, holdout=held_out)
    return trainer


def _examples(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        # without pickle: a data set is data, never code
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
        raise DataError(f"{path} has no arrays x and y: {error}", code="FL-DATA-FILE", remedy=_REMEDY) from error
