"""A client's update: TFF's local training loop, for whoever runs it to put into a graph of its own.

Model, optimizer and order of operations are those of `tff.learning.templates.build_model_delta_client_work`, so that
the same TensorFlow gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from fabric_fl.learning.data import Array
from fabric_fl.learning.tff_model import as_tff_model, make_optimizer
from fabric_fl.learning.tff_runtime import inlined, libraries
from fabric_fl.learning.trainer import TrainingTask

# Within a loop's body TensorFlow rewrites a division by a square root into a product with its reciprocal, which rounds
# otherwise; within a data set's function, where TFF's loop stands, it does not. Adagrad alone divides like that.
_DIVIDE_BY_A_ROOT = frozenset({"adagrad"})


class Batches(NamedTuple):
    """Which examples make up each batch: those from `starts` to `ends` of `order`, int64 all.

    Attributes:
        order: Indices of examples, batch after batch `[m]`.
        starts: Of each batch `[b]`.
        ends: Of each batch, exclusive `[b]`.
    """

    order: Any
    starts: Any
    ends: Any

    @classmethod
    def of(cls, batches: Sequence[np.ndarray[Any, np.dtype[np.int64]]]) -> Batches:
        lengths = np.array([len(batch) for batch in batches], np.int64)
        ends = np.cumsum(lengths)
        return cls(np.concatenate(batches).astype(np.int64), ends - lengths, ends)


class ClientUpdate:
    """The training loop over one Keras model; made where its graph is built, called while it is.

    Args:
        keras_model: Made in that graph.
        task: Its loss and its optimizer.
        input_spec: What TFF calls a model's input spec.
        in_place: Whether plain SGD changes the weights where they stand; see `descend`.
    """

    def __init__(self, keras_model: Any, task: TrainingTask, input_spec: Any, *, in_place: bool) -> None:
        self.variables = list(keras_model.weights)
        self.model = as_tff_model(keras_model, task.loss, input_spec)
        self.generators = list(_generators(keras_model))
        self._optimizer = make_optimizer(task.optimizer, task.learning_rate)
        self._in_place = in_place and task.optimizer == "sgd"
        self._reduce = task.optimizer in _DIVIDE_BY_A_ROOT

    def __call__(self, initial: Sequence[Any], x: Any, y: Any, batches: Batches, drawn: Any, options: Any) -> list[Any]:
        """Initial minus final weights, in the model's order; of weights that are not trained, zeros.

        Args:
            initial: Weights, float32.
            x: Features `[n, …]`.
            y: Labels `[n, …]`.
            batches: As tensors.
            drawn: The state that each of the model's random generators starts from, int64 `[g, 3]`; not read if it has
                none.
            options: The optimizer's hyper-parameters, as tensors: constants would be folded, which rounds otherwise.
        """
        tf = libraries().tf
        for variable, array in zip(self.variables, initial, strict=True):
            variable.assign(array)
        for index, generator in enumerate(self.generators):
            generator.reset(drawn[index])
        trained = tuple(self.model.trainable_variables)
        state = self._optimizer.initialize(tuple(tf.TensorSpec(v.shape, v.dtype) for v in trained))
        state = self._optimizer.set_hparams(state, options)

        def batch(start: Any, end: Any) -> tuple[Any, Any]:
            chosen = batches.order[start:end]
            return tf.gather(x, chosen), tf.gather(y, chosen)

        def step(state: Any, examples: tuple[Any, Any]) -> Any:
            with tf.GradientTape() as tape, inlined() if self._in_place else nullcontext():
                output = self.model.forward_pass(examples, training=True)
            gradients = tuple(tape.gradient(output.loss, trained))
            if self._in_place:
                descend(trained, gradients, state["learning_rate"])
                return state
            state, updated = self._optimizer.next(state, trained, gradients)
            for variable, value in zip(trained, updated, strict=True):
                variable.assign(value)
            return state

        if self._reduce:
            every = tf.data.Dataset.from_tensor_slices((batches.starts, batches.ends)).map(batch)
            every.reduce((tf.constant(0, tf.int64), state), lambda s, one: (s[0] + 1, step(s[1], one)))
        else:
            for index in tf.range(tf.size(batches.starts)):
                state = step(state, batch(batches.starts[index], batches.ends[index]))
        learnt = {id(variable) for variable in trained}
        return [
            array - variable if id(variable) in learnt else tf.zeros_like(array)
            for variable, array in zip(self.variables, initial, strict=True)
        ]


def descend(variables: Sequence[Any], gradients: Sequence[Any], learning_rate: Any) -> None:
    """Subtract `learning_rate * gradient` from each variable, as TFF's SGD does, in one pass over the memory.

    The same bits as by two operations where TensorFlow's build has no fused multiply-add, as the one that is imported
    here and unlike the one of TFF's executor. Nearly all of a large model's training is memory traffic: a variable that
    somebody still holds as it was read would be copied before it is changed, so every gradient is waited for.
    """
    tf = libraries().tf
    known = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]
    with tf.control_dependencies([delta for delta in known if delta is not None]):
        for variable, delta in zip(variables, known, strict=True):
            if delta is not None:
                tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=learning_rate, delta=delta)


def hyper_parameters(task: TrainingTask) -> dict[str, np.float32]:
    """The optimizer's, as TFF carries them from round to round: float32 each, by their names."""
    optimizer = make_optimizer(task.optimizer, task.learning_rate)
    state = optimizer.initialize(libraries().tf.TensorSpec((), np.float32))
    return {name: np.float32(value) for name, value in optimizer.get_hparams(state).items()}


def drawn_states(seed: int, client: int, count: int) -> Array:
    """Where each of `count` random generators (dropout, noise) starts, int64 `[count, 3]`."""
    states = np.zeros((count, 3), np.int64)
    for index in range(count):
        key = np.random.SeedSequence((seed, client, index)).generate_state(1, np.uint64)
        states[index, 2] = int(key[0]) >> 1
    return states


def _generators(keras_model: Any) -> Iterator[Any]:
    for layer in keras_model._flatten_layers():
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        if generator is not None:
            yield generator
