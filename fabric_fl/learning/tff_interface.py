"""What a model takes and gives, and an organisation's examples brought into that form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fabric_fl.learning.data import Array, Examples
from fabric_fl.learning.errors import DataError
from fabric_fl.learning.tff_runtime import libraries

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Interface:
    """Shapes of one example, without the batch.

    Attributes:
        classes: How many classes the labels tell apart; None where they are numbers.
        logits: Whether the model gives logits where there are classes, not probabilities.
    """

    input_shape: Shape
    input_dtype: np.dtype[Any]
    label_shape: Shape
    label_dtype: np.dtype[Any]
    classes: int | None
    logits: bool

    @classmethod
    def of(cls, keras_model: Any, loss: str) -> Interface:
        """Read it off a Keras model and the loss that goes with it."""
        inputs, outputs = keras_model.inputs[0], keras_model.outputs[0]
        output_shape: Shape = tuple(outputs.shape[1:])
        sparse, crossentropy = loss.startswith("sparse_"), "crossentropy" in loss
        classes = 2 if loss.startswith("binary_") else output_shape[-1]
        return cls(
            input_shape=tuple(inputs.shape[1:]),
            input_dtype=np.dtype(inputs.dtype.as_numpy_dtype),
            label_shape=output_shape[:-1] if sparse else output_shape,
            label_dtype=np.dtype(np.int32 if sparse else np.float32),
            classes=classes if crossentropy else None,
            logits=loss.endswith("_from_logits"),
        )

    @property
    def sparse(self) -> bool:
        return self.label_dtype.kind == "i"

    def spec(self) -> Any:
        """The pair of `tf.TensorSpec` that TFF calls a model's input spec."""
        tf = libraries().tf
        return (
            tf.TensorSpec((None, *self.input_shape), self.input_dtype),
            tf.TensorSpec((None, *self.label_shape), self.label_dtype),
        )

    def prepare(self, examples: Examples) -> tuple[Array, Array]:
        """Features and labels in the model's types and shapes.

        Raises:
            DataError: They cannot be brought into it without changing what they say.
        """
        examples.require_features(self.input_shape)
        x = _cast(examples.x, self.input_dtype, "features")
        labels = examples.y
        shape = labels.shape[1:]
        if not _matches(shape, self.label_shape):
            # A column of labels and a plain row of them are the same thing.
            if shape == (*self.label_shape, 1):
                labels = labels[..., 0]
            elif (*shape, 1) == self.label_shape:
                labels = labels[..., np.newaxis]
            else:
                message = (
                    f"each example has labels of the shape {list(shape)}, the model takes {list(self.label_shape)}"
                )
                raise DataError(message, code="FL-DATA-SHAPE")
        y = _cast(labels, self.label_dtype, "labels")
        if self.classes is not None:
            highest = self.classes - 1 if self.sparse else 1
            low, high = y.min(), y.max()
            if low < 0 or high > highest:
                raise DataError(f"the labels run from {low} to {high}, not from 0 to {highest}", code="FL-DATA-LABELS")
        return x, y

    def accuracy(self, predictions: Array, y: Array) -> float | None:
        """The share of labels that a model got right; None where they are numbers, not classes."""
        if self.classes is None:
            return None
        if self.sparse:
            return float((predictions.argmax(axis=-1) == y).mean())
        if predictions.shape[-1] > 1 and self.classes > 2:
            return float((predictions.argmax(axis=-1) == y.argmax(axis=-1)).mean())
        threshold = 0.0 if self.logits else 0.5
        return float(((predictions > threshold) == (y > 0.5)).mean())


def _matches(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))


def _cast(values: Array, dtype: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise DataError(f"the {name} hold values beyond float32", code="FL-DATA-NOT-FINITE")
    if dtype.kind == "i" and np.any(cast != values):
        raise DataError(f"the {name} hold fractions, the model takes whole numbers", code="FL-DATA-LABELS")
    return cast
