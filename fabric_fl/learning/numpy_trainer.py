"""A small network in plain numpy, for tasks that need no TensorFlow and for tests of everything around training.

Fully connected layers with tanh between them, trained by stochastic gradient descent in float64.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fabric_fl.aggregation import ModelBlob, Tensors
from fabric_fl.learning.data import Examples, require_number
from fabric_fl.learning.errors import DataError, ModelError, TrainingError
from fabric_fl.learning.model import ModelDescription
from fabric_fl.learning.trainer import TrainingTask, TrainResult, require_kind

KIND = "numpy-mlp"
LOSSES = ("binary_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error")

Float64 = npt.NDArray[np.float64]
Weights = list[Float64]


def describe_mlp(layers: Sequence[int], loss: str = "binary_crossentropy", seed: int = 0) -> ModelDescription:
    """Describe a network with these widths, inputs first, and draw its initial weights.

    Raises:
        ModelError: The widths or the loss are none.
    """
    architecture = json.dumps({"layers": list(layers)}, separators=(",", ":"))
    widths = _widths(architecture, loss)
    generator = np.random.default_rng(seed)
    named: list[tuple[str, npt.NDArray[Any]]] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        limit = (6.0 / (inputs + outputs)) ** 0.5
        named.append((f"dense_{index}/kernel", generator.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)))
        named.append((f"dense_{index}/bias", np.zeros(outputs, np.float32)))
    return ModelDescription(KIND, architecture, loss, ModelBlob(Tensors.in_order(named)))


class NumpyTrainer:
    """Trains and evaluates such a network on a pair (features `[n, inputs]`, labels `[n]`).

    Args:
        data: What to train on.
        holdout: What to score and evaluate on, never trained on.

    Raises:
        DataError: The data are not finite numbers, or empty.
    """

    def __init__(self, data: Any, holdout: Any = None) -> None:
        self._data = Examples.of(data)
        self._holdout = None if holdout is None else Examples.of(holdout)

    def check(self, task: TrainingTask, model: ModelBlob) -> None:
        """Refuse data that does not fit the task or its model."""
        require_number(len(self._data), task.max_examples)
        for examples in (self._data, self._holdout):
            if examples is not None:
                _fit(task, model, examples)
        if task.optimizer != "sgd":
            message = f"this trainer knows the optimizer sgd, not {task.optimizer!r}"
            raise ModelError(message, code="FL-MODEL-OPTION")

    def train(self, task: TrainingTask, model: ModelBlob, seed: int) -> TrainResult:
        """Train for the task's epochs; the same arguments give the same bits."""
        self.check(task, model)
        initial = [array.astype(np.float64) for array in model.tensors.arrays()]
        weights = [array.copy() for array in initial]
        rate = float(task.learning_rate)
        x, y = self._data.x.astype(np.float64), self._data.y
        with np.errstate(all="ignore"):  # what overflows is found below
            for batch in self._data.batches(task.batch_size, seed, task.epochs):
                gradients = _gradients(weights, x[batch], y[batch], task.loss)
                weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
        if not all(np.isfinite(array).all() for array in weights):
            raise TrainingError("training diverged: the weights are not finite any more")
        delta = dict(zip(model.tensors.names, (a - b for a, b in zip(initial, weights, strict=True)), strict=True))
        return TrainResult(Tensors(delta), len(self._data), _measure(weights, self._data, task.loss))

    def evaluate(self, task: TrainingTask, model: ModelBlob) -> dict[str, float]:
        """Loss and, where there are classes, accuracy on the holdout."""
        if self._holdout is None:
            raise DataError("this trainer was given no holdout", code="FL-DATA-HOLDOUT")
        _fit(task, model, self._holdout)
        return _measure([array.astype(np.float64) for array in model.tensors.arrays()], self._holdout, task.loss)

    def close(self) -> None:
        """Nothing was started."""


def _widths(architecture: str, loss: str) -> list[int]:
    try:
        fields = json.loads(architecture)
        widths = fields["layers"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"the architecture is no JSON object with layers: {error}", code="FL-MODEL-SHAPE") from error
    if (
        not isinstance(widths, list)
        or set(fields) != {"layers"}
        or not 2 <= len(widths) <= 100
        or not all(type(width) is int and 1 <= width <= 1 << 20 for width in widths)
    ):
        raise ModelError("the architecture's layers are two or more widths", code="FL-MODEL-SHAPE")
    if loss not in LOSSES:
        raise ModelError(f"the loss is one of {', '.join(LOSSES)}, not {loss!r}", code="FL-MODEL-OPTION")
    if loss == "binary_crossentropy" and widths[-1] != 1:
        raise ModelError("binary_crossentropy needs one output", code="FL-MODEL-SHAPE")
    return widths


def _fit(task: TrainingTask, model: ModelBlob, examples: Examples) -> None:
    require_kind(task, KIND)
    widths = _widths(task.architecture, task.loss)
    shapes = [shape for pair in pairwise(widths) for shape in (pair, pair[1:])]
    if list(model.tensors.shapes) != shapes:
        raise ModelError("the weights do not have the shapes of the architecture's layers", code="FL-MODEL-SHAPE")
    examples.require_features((widths[0],))
    if task.loss == "mean_squared_error":
        if examples.y.reshape(len(examples), -1).shape[1] != widths[-1]:
            raise DataError(f"the model predicts {widths[-1]} numbers an example", code="FL-DATA-SHAPE")
    else:
        examples.require_classes(max(2, widths[-1]))


def _forward(weights: Weights, x: Float64) -> list[Float64]:
    """The input and every layer's output; the last one is linear."""
    outputs = [x]
    for layer in range(0, len(weights), 2):
        linear = outputs[-1] @ weights[layer] + weights[layer + 1]
        outputs.append(linear if layer + 2 == len(weights) else np.tanh(linear))
    return outputs


def _gradients(weights: Weights, x: Float64, y: npt.NDArray[Any], loss: str) -> Weights:
    outputs = _forward(weights, x)
    slope = _slope(outputs[-1], y, loss) / len(x)
    gradients: Weights = []
    for layer in range(len(weights) - 2, -1, -2):
        before = outputs[layer // 2]
        gradients[:0] = [before.T @ slope, slope.sum(axis=0)]
        slope = (slope @ weights[layer].T) * (1 - before * before)
    return gradients


def _slope(output: Float64, y: npt.NDArray[Any], loss: str) -> Float64:
    """Derivative of each example's loss by the last layer's output."""
    if loss == "mean_squared_error":
        return np.asarray(2 * (output - y.reshape(output.shape)) / output.shape[1])
    probabilities = _probabilities(output, loss)
    if loss == "binary_crossentropy":
        return np.asarray(probabilities - y.reshape(-1, 1))
    target = np.zeros_like(output)
    target[np.arange(len(output)), y.reshape(-1).astype(np.int64)] = 1
    return probabilities - target


def _probabilities(output: Float64, loss: str) -> Float64:
    if loss == "binary_crossentropy":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * output)))
    shifted = np.exp(output - output.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _measure(weights: Weights, examples: Examples, loss: str) -> dict[str, float]:
    with np.errstate(all="ignore"):
        output = _forward(weights, examples.x.astype(np.float64))[-1]
        if loss == "mean_squared_error":
            return {"loss": float(np.mean((output - examples.y.reshape(output.shape)) ** 2))}
        labels = examples.y.reshape(-1).astype(np.int64)
        logits = np.hstack([np.zeros_like(output), output]) if loss == "binary_crossentropy" else output
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_odds = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        log_likelihood = log_odds[np.arange(len(labels)), labels]
        return {"loss": float(-log_likelihood.mean()), "accuracy": float((logits.argmax(axis=1) == labels).mean())}
