"""What is trained while the clock runs: one Keras model in three sizes, and each organisation's examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

ORGANISATIONS = 3
FEATURES, CLASSES = 64, 10
EXAMPLES, HOLDOUT = 256, 128  # an organisation
LOSS = "sparse_categorical_crossentropy_from_logits"
TRAINING = {"optimizer": "sgd", "learning_rate": "0.05", "epochs": 1, "batch_size": 32}


@dataclass(frozen=True)
class Size:
    """A size of the model.

    Attributes:
        label: Megabytes of weights, roughly.
        width: Units in each of the two hidden layers.
        target: The most that a round may take, in rounds of TFF in memory.
        rounds: How many are measured; as many of TFF's before and after, because the machine's other work comes and
            goes.
        scored: Whether rounds with scoring are measured, too.
    """

    label: str
    width: int
    target: float
    rounds: int = 9
    scored: bool = True

    @property
    def bytes(self) -> int:
        elements = (FEATURES + 1) * self.width + (self.width + 1) * self.width + (self.width + 1) * CLASSES
        return 4 * elements


SIZES = (
    Size("0.1 MB", 125, 10),
    Size("1 MB", 464, 4),
    Size("10 MB", 1544, 1.2),
    Size("100 MB", 4962, 0.5, rounds=7, scored=False),
)


def keras_model(size: Size) -> Any:
    from fabric_fl.learning.tff_runtime import libraries

    keras = libraries().tf.keras
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.InputLayer((FEATURES,)),
            keras.layers.Dense(size.width, activation="relu"),
            keras.layers.Dense(size.width, activation="relu"),
            keras.layers.Dense(CLASSES),
        ]
    )


def examples(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns features, float32[count, 64], and labels, int32[count], of ten overlapping classes."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, CLASSES, count)
    centres = np.random.default_rng(99).standard_normal((CLASSES, FEATURES))
    x = generator.standard_normal((count, FEATURES)) + 0.5 * centres[y]
    return x.astype(np.float32), y.astype(np.int32)
