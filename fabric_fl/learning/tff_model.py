"""Keras models as data, both ways, and what TensorFlow Federated needs beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fabric_fl.aggregation import BlobError, ModelBlob, Tensors
from fabric_fl.learning.architecture import check_architecture
from fabric_fl.learning.errors import ModelError
from fabric_fl.learning.model import ModelDescription
from fabric_fl.learning.tff_runtime import libraries, quiet

KIND = "keras"

_LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "binary_crossentropy": ("BinaryCrossentropy", {}),
    "binary_crossentropy_from_logits": ("BinaryCrossentropy", {"from_logits": True}),
    "categorical_crossentropy": ("CategoricalCrossentropy", {}),
    "categorical_crossentropy_from_logits": ("CategoricalCrossentropy", {"from_logits": True}),
    "sparse_categorical_crossentropy": ("SparseCategoricalCrossentropy", {}),
    "sparse_categorical_crossentropy_from_logits": ("SparseCategoricalCrossentropy", {"from_logits": True}),
    "mean_squared_error": ("MeanSquaredError", {}),
    "mean_absolute_error": ("MeanAbsoluteError", {}),
    "huber": ("Huber", {}),
}
LOSSES = tuple(_LOSSES)

_OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "sgd": ("build_sgdm", {}),
    "sgdm": ("build_sgdm", {"momentum": 0.9}),
    "adam": ("build_adam", {}),
    "adamw": ("build_adamw", {}),
    "adagrad": ("build_adagrad", {}),
    "rmsprop": ("build_rmsprop", {}),
    "yogi": ("build_yogi", {}),
}
OPTIMIZERS = tuple(_OPTIMIZERS)


def describe_keras_model(model: Any, loss: str) -> ModelDescription:
    """Turn a Keras model into data: its architecture as JSON and its weights as they are now.

    Args:
        model: A built `tf.keras` Sequential or functional model with one input and one output.
        loss: One of `LOSSES`.

    Raises:
        ModelError: It is made of more than known layers, is not built, or has weights that are not float32.
    """
    make_loss(loss)
    try:
        architecture = model.to_json()
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(
            f"the model cannot be written as JSON: {error}",
            code="FL-MODEL-UNSAFE",
            remedy="Build it as a Sequential or functional model of Keras's own layers.",
        ) from error
    check_architecture(architecture)
    _require_built(model)
    named = []
    for variable in model.weights:
        values = variable.numpy()
        if values.dtype != np.float32:
            raise ModelError(
                f"the weight {variable.name} holds {values.dtype} values, a model's weights are float32",
                code="FL-MODEL-SHAPE",
                remedy="For Normalization give mean and variance as arguments instead of calling adapt().",
            )
        named.append((variable.name, values))
    try:
        initial = ModelBlob(Tensors.in_order(named))
    except BlobError as error:
        raise ModelError(f"the model's weights cannot be sent: {error.message}", code="FL-MODEL-SHAPE") from error
    return ModelDescription(KIND, architecture, loss, initial)


def build_keras_model(architecture: str, weights: ModelBlob | None = None) -> Any:
    """Build a `tf.keras` model from data; nothing that the data says is imported or run.

    Args:
        architecture: As `describe_keras_model` wrote it.
        weights: What the model starts with; by its own initialisers where they are not given.

    Raises:
        ModelError: The architecture is refused, or the weights do not belong to it.
    """
    check_architecture(architecture)
    if weights is not None:
        require_weights(architecture, weights)
    model = _from_json(architecture)
    if weights is not None:
        for variable, values in zip(model.weights, weights.tensors.arrays(), strict=True):
            variable.assign(values)
    return model


def require_weights(architecture: str, weights: ModelBlob) -> None:
    """Refuse weights that do not belong to an architecture that was checked, before memory is taken for it.

    Raises:
        ModelError: They have other shapes.
    """
    # In a graph, variables have shapes and take no memory, however large they are.
    with libraries().tf.Graph().as_default():
        shapes = [tuple(variable.shape) for variable in _from_json(architecture).weights]
    if shapes != list(weights.tensors.shapes):
        raise ModelError(
            f"the architecture has {len(shapes)} weights of other shapes than the {len(weights.tensors)} tensors",
            code="FL-MODEL-SHAPE",
        )


def make_loss(name: str) -> Any:
    """A `tf.keras.losses.Loss` by its name in a task.

    Raises:
        ModelError: It is unknown here.
    """
    if name not in _LOSSES:
        message = f"the loss {name!r} is unknown; known are {', '.join(LOSSES)}"
        raise ModelError(message, code="FL-MODEL-OPTION")
    kind, options = _LOSSES[name]
    return getattr(libraries().tf.keras.losses, kind)(**options)


def make_optimizer(name: str, learning_rate: str) -> Any:
    """A `tff.learning.optimizers.Optimizer` by its name in a task, with TFF's defaults for all but the learning rate.

    Raises:
        ModelError: It is unknown here.
    """
    if name not in _OPTIMIZERS:
        message = f"the optimizer {name!r} is unknown; known are {', '.join(OPTIMIZERS)}"
        raise ModelError(message, code="FL-MODEL-OPTION")
    build, options = _OPTIMIZERS[name]
    return getattr(libraries().tff.learning.optimizers, build)(learning_rate=float(learning_rate), **options)


def model_fn(architecture: str, loss: str, input_spec: Any) -> Callable[[], Any]:
    """What TFF's builders take: a function that makes a new `tff.learning.models.VariableModel` each time."""

    def build() -> Any:
        return as_tff_model(_from_json(architecture), loss, input_spec)

    return build


def as_tff_model(keras_model: Any, loss: str, input_spec: Any) -> Any:
    """Wrap a Keras model as a `tff.learning.models.VariableModel`."""
    models = libraries().tff.learning.models
    return models.from_keras_model(keras_model, loss=make_loss(loss), input_spec=input_spec)


def _from_json(architecture: str) -> Any:
    try:
        with quiet():
            model = libraries().tf.keras.models.model_from_json(architecture)
    except Exception as error:  # Keras raises whatever its layers do
        raise ModelError(f"Keras cannot build the architecture: {error}", code="FL-MODEL-SHAPE") from error
    _require_built(model)
    return model


def _require_built(model: Any) -> None:
    if not model.built or not model.weights:
        raise ModelError(
            "the model has no weights yet",
            code="FL-MODEL-SHAPE",
            remedy="Begin a Sequential model with an InputLayer, so that its shapes are known.",
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError("a model has one input and one output", code="FL-MODEL-SHAPE")
