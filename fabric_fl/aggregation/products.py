"""Exact inner products of quantised updates, a block at a time: what norms and distances are made of.

q = high * 2^16 + low with |high| <= 2^15 and 0 <= low < 2^16, so that a product of parts is below 2^32 and the sum of
2^20 such products below 2^52: float64 holds every partial sum exactly, in whatever order a linear algebra library
adds. The parts' sums are put together in integers without limit.
"""

from __future__ import annotations

import numpy as np

from fabric_fl.aggregation.ring import Float64, Int32

SLICE = 1 << 20
"""Elements whose products are summed in float64."""

_PENDING = 512  # slices, so that int64 holds their sums: 2^9 * 2^52 < 2^63


class Products:
    """Sums q_i * q_j over all elements for each pair of updates, or for i = j alone.

    Args:
        count: How many updates there are.
        pairs: Whether products of different updates are wanted too.
    """

    def __init__(self, count: int, *, pairs: bool) -> None:
        self._pairs = pairs
        shape = (count, count) if pairs else (count,)
        self._pending = np.zeros((3, *shape), np.int64)
        self._slices = 0
        self._exact = np.zeros(shape, object)

    def add(self, q: Int32) -> None:
        """Take the next elements of all updates, `[updates, elements]`."""
        for start in range(0, q.shape[1], SLICE):
            self._add(q[:, start : start + SLICE])

    def _add(self, q: Int32) -> None:
        high = (q >> 16).astype(np.float64)
        low = (q & 0xFFFF).astype(np.float64)
        if self._pairs:
            mixed = high @ low.T
            sums = (high @ high.T, mixed + mixed.T, low @ low.T)
        else:
            sums = (_rows(high, high), 2 * _rows(high, low), _rows(low, low))
        self._pending += np.stack(sums).astype(np.int64)
        self._slices += 1
        if self._slices == _PENDING:
            self._flush()

    def _flush(self) -> None:
        high, mixed, low = self._pending.astype(object)
        self._exact += (high << 32) + (mixed << 16) + low
        self._pending[:] = 0
        self._slices = 0

    def squares(self) -> list[int]:
        """The squared Euclidean norm of each update."""
        self._flush()
        return [int(value) for value in (self._exact.diagonal() if self._pairs else self._exact)]

    def distances(self) -> list[list[int]]:
        """The squared Euclidean distance of each pair of updates."""
        squares = self.squares()
        return [
            [squares[i] + squares[j] - 2 * int(self._exact[i, j]) for j in range(len(squares))]
            for i in range(len(squares))
        ]


def _rows(left: Float64, right: Float64) -> Float64:
    return np.array([np.dot(a, b) for a, b in zip(left, right, strict=True)])
