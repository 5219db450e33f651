"""The data of an organisation's local clients as TensorFlow Federated takes them: a `tf.data.Dataset` for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fabric_fl.learning.data import Examples, require_number
from fabric_fl.learning.errors import DataError
from fabric_fl.learning.tff_runtime import libraries

ONLY = "client"


class Clients:
    """Local clients (wards, branches, machines) by their names, each with its examples.

    Args:
        data: A pair (features, labels) of arrays; or a `tf.data.Dataset` of such pairs, batched or not; or a mapping of
            names to either. A dataset is read into memory once.

    Raises:
        DataError: It is nothing of these, or not finite, or empty.
    """

    def __init__(self, data: Any) -> None:
        named = dict(data) if isinstance(data, Mapping) else {ONLY: data}
        if not named:
            raise DataError("there are no clients", code="FL-DATA-EMPTY")
        self._given = {str(name): named[name] for name in sorted(named, key=str)}
        # A dataset is read when the model is known: whether it is batched shows only beside the model's input.
        self._read = {name: Examples.of(item) for name, item in self._given.items() if not _is_dataset(item)}

    def fit(self, input_shape: tuple[int | None, ...], max_examples: int | None) -> dict[str, Examples]:
        """Every client's examples, for a model that takes features of this shape.

        Raises:
            DataError: They have another shape, or there are more than the task allows.
        """
        for name, item in self._given.items():
            if name not in self._read:
                self._read[name] = _read_dataset(item, len(input_shape))
        found = {name: self._read[name] for name in self._given}
        for name, examples in found.items():
            try:
                examples.require_features(input_shape)
            except DataError as error:
                raise DataError(f"client {name}: {error.message}", code=error.code) from error
        if max_examples is not None:
            require_number(sum(len(examples) for examples in found.values()), max_examples)
        return found


def client_dataset(x: Any, y: Any, batches: list[np.ndarray[Any, np.dtype[np.int64]]]) -> Any:
    """A `tf.data.Dataset` that yields these batches, in this order.

    Args:
        x: Features `[n, …]`, a tensor.
        y: Labels `[n, …]`, a tensor.
        batches: Indices of each batch's examples.
    """
    tf = libraries().tf
    order = np.concatenate(batches)
    ends = np.cumsum([len(batch) for batch in batches])
    starts = ends - [len(batch) for batch in batches]

    def batch(start: Any, end: Any) -> tuple[Any, Any]:
        indices = order_tensor[start:end]
        return tf.gather(x, indices), tf.gather(y, indices)

    order_tensor = tf.constant(order)
    return tf.data.Dataset.from_tensor_slices((starts, ends)).map(batch)


def _is_dataset(item: Any) -> bool:
    """Whether it is a `tf.data.Dataset`, found out without importing TensorFlow."""
    return any(kind.__module__.startswith("tensorflow.") for kind in type(item).__mro__) and hasattr(
        item, "element_spec"
    )


def _read_dataset(dataset: Any, rank: int) -> Examples:
    spec = dataset.element_spec
    names = ("x", "y") if isinstance(spec, Mapping) else (0, 1)
    try:
        features, _ = (spec[name] for name in names)
        found = features.shape.rank
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        message = "the dataset's elements are no pairs (features, labels), nor mappings with x and y"
        raise DataError(message, code="FL-DATA-TYPE") from error
    if found not in (rank, rank + 1):
        message = f"the dataset's features have {found} axes, the model takes {rank} an example"
        raise DataError(message, code="FL-DATA-SHAPE")
    if found == rank + 1:
        dataset = dataset.unbatch()
    rows = [(element[names[0]], element[names[1]]) for element in dataset.as_numpy_iterator()]
    if not rows:
        raise DataError("the dataset is empty", code="FL-DATA-EMPTY")
    try:
        return Examples(np.stack([x for x, _ in rows]), np.stack([y for _, y in rows]))
    except ValueError as error:
        message = f"the dataset's examples are of different shapes: {error}"
        raise DataError(message, code="FL-DATA-SHAPE") from error
