"""Local training in this process: TFF's loop, compiled once by the TensorFlow that is imported here.

That is another build than the one within TFF's executor (which uses fused multiply-add), so that `tanh`, `exp`, `log`
and `rsqrt` differ from its own in the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fabric_fl.learning.data import Array
from fabric_fl.learning.kept_memory import KeptMemory
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_model import build_keras_model
from fabric_fl.learning.tff_runtime import libraries
from fabric_fl.learning.tff_update import Batches, ClientUpdate, drawn_states, hyper_parameters
from fabric_fl.learning.trainer import TrainingTask


class Client(NamedTuple):
    """One local client's data, as tensors `[n, …]`, and its batches in this round."""

    x: Any
    y: Any
    batches: Sequence[np.ndarray[Any, np.dtype[np.int64]]]


class Work(Protocol):
    """Trains clients, each from the same weights."""

    def train(self, weights: Sequence[Array], clients: Sequence[Client], seed: int) -> list[list[Array]]:
        """Initial minus final weights of each client, in the model's order, float32."""

    def close(self) -> None:
        """Give back what it holds."""


class InProcess:
    """Trains and evaluates here.

    Attributes:
        interface: What the model takes and gives.
        draws: Whether a layer draws random numbers in training (dropout, noise).
    """

    def __init__(self, task: TrainingTask) -> None:
        tf = libraries().tf
        # Only these generators can be set back, so that a round that is trained again drops the same units.
        tf.keras.backend.experimental.enable_tf_random_generator()
        try:
            keras_model = build_keras_model(task.architecture)
        finally:
            tf.keras.backend.experimental.disable_tf_random_generator()
        self._memory = KeptMemory()
        self._weights = keras_model.weights
        self.interface = Interface.of(keras_model, task.loss)
        self._update = ClientUpdate(keras_model, task, self.interface.spec(), in_place=True)
        self.draws = bool(self._update.generators)
        self._options = {name: tf.constant(value) for name, value in hyper_parameters(task).items()}
        # Compiled now: once TFF's executor has traced a model of its own, Keras cannot call those made before it.
        weights = [tf.TensorSpec(variable.shape, variable.dtype) for variable in self._weights]
        indices = tf.TensorSpec((None,), tf.int64)
        self._train = tf.function(self._update.__call__).get_concrete_function(
            weights,
            *self.interface.spec(),
            Batches(indices, indices, indices),
            tf.TensorSpec((len(self._update.generators), 3), tf.int64),
            {name: tf.TensorSpec((), tf.float32) for name in self._options},
        )
        self._forward = tf.function(self._forward_batch).get_concrete_function(*self.interface.spec())

    def train(self, weights: Sequence[Array], clients: Sequence[Client], seed: int) -> list[list[Array]]:
        tf = libraries().tf
        self._memory.hold()
        found = []
        for index, client in enumerate(clients):
            delta = self._train(
                [tf.constant(array) for array in weights],
                client.x,
                client.y,
                Batches(*map(tf.constant, Batches.of(client.batches))),
                tf.constant(drawn_states(seed, index, len(self._update.generators))),
                self._options,
            )
            found.append([np.asarray(memoryview(array)) for array in delta])  # where they lie, which numpy() copies
        return found

    def close(self) -> None:
        """Give back the memory that was kept for training."""
        self._memory.release()

    def evaluate(self, weights: Sequence[Array], x: Any, y: Any, batch_size: int = 1024) -> tuple[float, Array]:
        """Mean loss and predictions of a model on tensors `[n, …]`."""
        for variable, array in zip(self._weights, weights, strict=True):
            variable.assign(array)
        total, predictions, count = 0.0, [], int(x.shape[0])
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            loss, predicted = self._forward(x[start:stop], y[start:stop])
            total += float(loss) * (stop - start)
            predictions.append(predicted.numpy())
        return total / count, np.concatenate(predictions)

    def _forward_batch(self, x: Any, y: Any) -> tuple[Any, Any]:
        output = self._update.model.forward_pass((x, y), training=False)
        return output.loss, output.predictions
