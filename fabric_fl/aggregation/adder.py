"""Weighted sums of quantised values, exact and fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fabric_fl.aggregation import ring
from fabric_fl.aggregation.ring import Int32, Int64

EXACT = 1 << 53
"""Below it float64 holds every integer."""

_SMALL = 1 << 51
_SHIFT = np.float64(3 * 2**51)
"""Added to an integer below `_SMALL` it makes that the low bits of the sum: faster than converting."""

_SHIFT_BITS = _SHIFT.view(np.int64)

SLICE = 1 << 13
"""Elements that are converted at a time, so that they stay within a core's cache."""

_CONVERTED = 1 << 17
"""Elements of all updates that are converted at a time; with many updates a slice gets shorter."""


class Adder:
    """Sums blocks of `count` updates, each element within ±bound.

    Where the sum of weights times the bound is below 2^53, every partial sum is an integer that float64 holds, in
    whatever order and with whatever fused operations a linear algebra library adds: half the time of 64-bit integers.
    """

    def __init__(self, count: int, bound: int, slice_length: int = SLICE) -> None:
        self._bound = bound
        self._length = max(256, min(slice_length, _CONVERTED // count))
        self._values = np.empty((count, self._length), np.float64)
        self._sum = np.empty(self._length, np.float64)
        self._scratch = np.empty(self._length, np.int64)

    def add(self, q: Int32, weights: Sequence[int], total: Int64) -> None:
        """Write the sum over i of `weights[i] * q[i]` into `total`."""
        most = sum(weights) * self._bound
        exact = most < EXACT
        factors = np.array(weights if exact else (), np.float64)
        for start in range(0, len(total), self._length):
            columns = slice(start, start + self._length)
            part = total[columns]
            if exact:
                values, found = self._values[:, : len(part)], self._sum[: len(part)]
                np.copyto(values, q[:, columns])
                np.dot(factors, values, out=found)
                if most < _SMALL:
                    np.add(found, _SHIFT, out=found)
                    np.subtract(found.view(np.int64), _SHIFT_BITS, out=part)
                else:
                    np.copyto(part, found, casting="unsafe")
            else:
                part[:] = 0
                for row, weight in zip(q, weights, strict=True):
                    ring.add(part, row[columns], weight, self._scratch[: len(part)])
