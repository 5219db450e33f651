"""Immutable named tensors in model order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from fabric_fl.aggregation.errors import BlobError
from fabric_fl.aggregation.header import MAX_RANK

Array = npt.NDArray[np.generic]

MAX_TENSORS = 10_000
MAX_ELEMENTS = 1 << 40

_NAME = re.compile(r"([0-9]{3,5}):[A-Za-z0-9_.>/-]{1,200}")
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_.>/-]")


def numbered(names: Iterable[str]) -> tuple[str, ...]:
    """Prefix each name with its position, so that sorted order is model order: `000:dense/kernel`."""
    plain = [_UNNAMEABLE.sub("_", name.removesuffix(":0"))[:200] or "_" for name in names]
    width = _width(len(plain))
    return tuple(f"{index:0{width}d}:{name}" for index, name in enumerate(plain))


def _width(count: int) -> int:
    return max(3, len(str(count - 1)))


@dataclass(frozen=True)
class Layout:
    """Names and shapes of a model's tensors, in model order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_TENSORS or len(self.names) != len(self.shapes):
            raise BlobError(f"a model has 1 to {MAX_TENSORS} tensors, not {len(self.names)}", code="FL-BLOB-NAMES")
        width = _width(len(self.names))
        for index, name in enumerate(self.names):
            match = _NAME.fullmatch(name)
            if match is None or match[1] != f"{index:0{width}d}":
                raise BlobError(f"tensor {index} is named {name[:80]!r}, not {index:0{width}d}:…", code="FL-BLOB-NAMES")
        for name, shape in zip(self.names, self.shapes, strict=True):
            if len(shape) > MAX_RANK or not all(
                type(length) is int and 0 <= length <= MAX_ELEMENTS for length in shape
            ):
                raise BlobError(f"tensor {name} has no shape that a model can have", code="FL-BLOB-SHAPE")
        if self.size > MAX_ELEMENTS:
            raise BlobError(f"{self.size} elements are more than a model can have", code="FL-BLOB-SHAPE")

    @cached_property
    def size(self) -> int:
        """Number of elements of all tensors together."""
        return sum(prod(shape) for shape in self.shapes)

    def split(self, flat: Array) -> Tensors:
        """Cut `[size]` elements into this layout's tensors, without copying."""
        parts, start = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            stop = start + prod(shape)
            parts[name] = flat[start:stop].reshape(shape)
            start = stop
        return Tensors(parts)


class Tensors(Mapping[str, Array]):
    """A read-only mapping of names to arrays of one dtype, in model order."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        kept = {}
        for name in sorted(arrays):
            view = np.asarray(arrays[name], order="C").view()
            view.flags.writeable = False
            kept[name] = view
        self._arrays = kept
        self.layout = Layout(tuple(kept), tuple(array.shape for array in kept.values()))
        kinds = {array.dtype for array in kept.values()}
        if len(kinds) > 1:
            raise BlobError(f"tensors of several types: {', '.join(sorted(map(str, kinds)))}", code="FL-BLOB-DTYPE")
        self.dtype: np.dtype[np.generic] = kinds.pop()

    @classmethod
    def in_order(cls, named: Iterable[tuple[str, Array]]) -> Tensors:
        """Number the tensors as they come."""
        pairs = list(named)
        return cls(dict(zip(numbered(name for name, _ in pairs), (array for _, array in pairs), strict=True)))

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Tensors({len(self)} of {self.dtype}, {self.size} elements)"

    def __eq__(self, other: object) -> bool:
        """Whether names, types, shapes and bytes are the same: -0.0 differs from 0.0, NaN equals itself."""
        if not isinstance(other, Tensors):
            return NotImplemented
        return (
            self.layout == other.layout
            and self.dtype == other.dtype
            and all(self[name].tobytes() == other[name].tobytes() for name in self)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no cheap hash; use the blob's digest

    @property
    def names(self) -> tuple[str, ...]:
        return self.layout.names

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.layout.shapes

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def nbytes(self) -> int:
        return self.layout.size * self.dtype.itemsize

    def arrays(self) -> list[Array]:
        """The arrays alone, in model order."""
        return list(self._arrays.values())

    def flat(self) -> Array:
        """All elements in one new array `[size]`."""
        return np.concatenate([array.reshape(-1) for array in self._arrays.values()])

    def astype(self, dtype: npt.DTypeLike) -> Tensors:
        return Tensors({name: array.astype(dtype) for name, array in self._arrays.items()})
