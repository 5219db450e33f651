"""Local training: TFF's own client work, and the same computation without its executor.

Both train a `tff.learning.models.VariableModel` with a `tff.learning.optimizers.Optimizer` and give initial minus final
weights. TFF's runs in its executor, a process of its own that weights and data are sent to; the other compiles the loop
once and keeps model and data where they are. A test holds one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fabric_fl.learning.data import Array
from fabric_fl.learning.tff_data import client_dataset
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_model import as_tff_model, build_keras_model, make_optimizer, model_fn
from fabric_fl.learning.tff_runtime import libraries
from fabric_fl.learning.trainer import TrainingTask

Batches = list[np.ndarray[Any, np.dtype[np.int64]]]


class Client(NamedTuple):
    """One local client's data, as tensors `[n, …]`, and its batches in this round."""

    x: Any
    y: Any
    batches: Batches


class Work(Protocol):
    """Trains clients, each from the same weights."""

    def train(self, weights: Sequence[Array], clients: Sequence[Client], seed: int) -> list[list[Array]]:
        """Initial minus final weights of each client, in the model's order, float32."""


class ClientWork:
    """TFF's `build_model_delta_client_work`, initialised and run in this organisation alone."""

    def __init__(self, task: TrainingTask, interface: Interface, trainable: Sequence[bool]) -> None:
        learning = libraries().tff.learning
        self._trainable = trainable
        self._work = learning.templates.build_model_delta_client_work(
            model_fn(task.architecture, task.loss, interface.spec()),
            optimizer=make_optimizer(task.optimizer, task.learning_rate),
            client_weighting=learning.ClientWeighting.NUM_EXAMPLES,
        )

    def train(self, weights: Sequence[Array], clients: Sequence[Client], seed: int) -> list[list[Array]]:
        learning = libraries().tff.learning
        initial = learning.models.ModelWeights(
            trainable=[array for array, trained in zip(weights, self._trainable, strict=True) if trained],
            non_trainable=[array for array, trained in zip(weights, self._trainable, strict=True) if not trained],
        )
        datasets = [client_dataset(client.x, client.y, client.batches) for client in clients]
        output = self._work.next(self._work.initialize(), [initial] * len(clients), datasets)
        return [self._delta(result, weights) for result in output.result]

    def _delta(self, result: Any, weights: Sequence[Array]) -> list[Array]:
        if not float(result.update_weight):  # how TFF says that the weights are not finite any more
            return [np.full(array.shape, np.nan, np.float32) for array in weights]
        update = iter(result.update)
        return [
            np.asarray(next(update)) if trained else np.zeros(array.shape, np.float32)
            for array, trained in zip(weights, self._trainable, strict=True)
        ]


class InProcess:
    """The same training loop, compiled once in this process.

    Attributes:
        interface: What the model takes and gives.
        trainable: Of each weight in the model's order, whether it is trained.
    """

    def __init__(self, task: TrainingTask) -> None:
        tf = libraries().tf
        # Only these generators can be set back, so that a round that is trained again drops the same units.
        tf.keras.backend.experimental.enable_tf_random_generator()
        try:
            self._keras_model = build_keras_model(task.architecture)
        finally:
            tf.keras.backend.experimental.disable_tf_random_generator()
        trained = {id(variable) for variable in self._keras_model.trainable_weights}
        self.trainable = [id(variable) in trained for variable in self._keras_model.weights]
        self.interface = Interface.of(self._keras_model, task.loss)
        self._model = as_tff_model(self._keras_model, task.loss, self.interface.spec())
        self._optimizer = make_optimizer(task.optimizer, task.learning_rate)
        self._generators = list(_generators(self._keras_model))
        # Compiled now: once TFF's executor has traced a model of its own, Keras cannot call those made before it.
        weights = [tf.TensorSpec(variable.shape, variable.dtype) for variable in self._keras_model.weights]
        indices = tf.TensorSpec((None,), tf.int64)
        self._train = tf.function(self._train_client).get_concrete_function(
            weights, *self.interface.spec(), indices, indices, indices
        )
        self._forward = tf.function(self._forward_batch).get_concrete_function(*self.interface.spec())

    def train(self, weights: Sequence[Array], clients: Sequence[Client], seed: int) -> list[list[Array]]:
        tf = libraries().tf
        found = []
        for index, client in enumerate(clients):
            self._seed(seed, index)
            ends = np.cumsum([len(batch) for batch in client.batches])
            starts = ends - [len(batch) for batch in client.batches]
            delta = self._train(
                [tf.constant(array) for array in weights],
                client.x,
                client.y,
                tf.constant(np.concatenate(client.batches)),
                tf.constant(starts),
                tf.constant(ends),
            )
            found.append([array.numpy() for array in delta])
        return found

    def evaluate(self, weights: Sequence[Array], x: Any, y: Any, batch_size: int = 1024) -> tuple[float, Array]:
        """Mean loss and predictions of a model on tensors `[n, …]`."""
        for variable, array in zip(self._keras_model.weights, weights, strict=True):
            variable.assign(array)
        total, predictions, count = 0.0, [], int(x.shape[0])
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            loss, predicted = self._forward(x[start:stop], y[start:stop])
            total += float(loss) * (stop - start)
            predictions.append(predicted.numpy())
        return total / count, np.concatenate(predictions)

    def _train_client(self, initial: Any, x: Any, y: Any, order: Any, starts: Any, ends: Any) -> Any:
        tf = libraries().tf
        variables = self._keras_model.weights
        for variable, array in zip(variables, initial, strict=True):
            variable.assign(array)
        trained = tuple(self._model.trainable_variables)
        state = self._optimizer.initialize(tuple(tf.TensorSpec(v.shape, v.dtype) for v in trained))
        for index in tf.range(tf.size(starts)):
            chosen = order[starts[index] : ends[index]]
            with tf.GradientTape() as tape:
                output = self._model.forward_pass((tf.gather(x, chosen), tf.gather(y, chosen)), training=True)
            gradients = tuple(tape.gradient(output.loss, trained))
            state, updated = self._optimizer.next(state, trained, gradients)
            for variable, value in zip(trained, updated, strict=True):
                variable.assign(value)
        return [array - variable for variable, array in zip(variables, initial, strict=True)]

    def _forward_batch(self, x: Any, y: Any) -> tuple[Any, Any]:
        output = self._model.forward_pass((x, y), training=False)
        return output.loss, output.predictions

    def _seed(self, seed: int, client: int) -> None:
        """Set back every generator that a layer draws from (dropout, noise)."""
        for index, generator in enumerate(self._generators):
            drawn = np.random.SeedSequence((seed, client, index)).generate_state(1, np.uint64)
            generator.reset_from_seed(int(drawn[0]) >> 1)


def _generators(keras_model: Any) -> Iterator[Any]:
    for layer in keras_model._flatten_layers():
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        if generator is not None:
            yield generator
