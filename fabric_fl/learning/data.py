"""An organisation's examples as arrays, checked before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fabric_fl.learning.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """Features `[n, …]` and labels `[n, …]`, finite numbers."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        for name, values in (("features", self.x), ("labels", self.y)):
            if values.ndim == 0 or values.dtype.kind not in "fiub":
                raise DataError(f"the {name} are {values.dtype} values, not an array of numbers", code="FL-DATA-TYPE")
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                bad = int(np.count_nonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
                raise DataError(f"the {name} of {bad} examples hold NaN or infinity", code="FL-DATA-NOT-FINITE")
        if len(self.x) != len(self.y):
            message = f"there are {len(self.x)} examples with features and {len(self.y)} with labels"
            raise DataError(message, code="FL-DATA-SHAPE")
        if not len(self.x):
            raise DataError("there are no examples", code="FL-DATA-EMPTY")

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def of(cls, data: Any) -> Examples:
        """Take a pair of arrays, or of what numpy makes arrays of.

        Raises:
            DataError: It is no such pair, or not finite, or empty.
        """
        if isinstance(data, Examples):
            return data
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise DataError("data are given as a pair (features, labels) of arrays", code="FL-DATA-TYPE")
        try:
            return cls(np.asarray(data[0]), np.asarray(data[1]))
        except ValueError as error:  # rows of different lengths
            raise DataError(f"the data are no arrays of numbers: {error}", code="FL-DATA-TYPE") from error

    def require_features(self, shape: tuple[int | None, ...]) -> None:
        """Refuse features of another shape than the model takes; None stands for any length.

        Raises:
            DataError: They are.
        """
        found = self.x.shape[1:]
        if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
            message = f"each example has features of the shape {list(found)}, the model takes {_shown(shape)}"
            raise DataError(message, code="FL-DATA-SHAPE")

    def require_classes(self, classes: int) -> None:
        """Refuse labels that are not integers from 0 to `classes` - 1, one an example.

        Raises:
            DataError: They are not.
        """
        labels = self.y.reshape(len(self.y), -1)
        if labels.shape[1] != 1:
            raise DataError(f"an example has {labels.shape[1]} labels, the loss takes one class", code="FL-DATA-SHAPE")
        low, high = labels.min(), labels.max()
        if low < 0 or high >= classes or np.any(labels != np.rint(labels)):
            message = f"the labels run from {low} to {high}, the model tells {classes} classes apart"
            raise DataError(message, code="FL-DATA-LABELS")

    def batches(self, size: int, seed: int, epochs: int) -> list[npt.NDArray[np.int64]]:
        """Indices of each batch. Every epoch has its own order, drawn from the seed; its last batch may be short."""
        found = []
        for epoch in range(epochs):
            order = np.random.default_rng((seed, epoch)).permutation(len(self))
            found += [order[start : start + size] for start in range(0, len(self), size)]
        return found


def require_number(count: int, max_examples: int) -> None:
    """Refuse more examples than the task allows an update to claim.

    Raises:
        DataError: There are more.
    """
    if count > max_examples:
        message = f"there are {count} examples, the task allows {max_examples}"
        raise DataError(message, code="FL-DATA-TOO-MANY")


def _shown(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("any" if length is None else str(length) for length in shape) + "]"
