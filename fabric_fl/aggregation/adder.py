"""Weighted sums of quantised values, exact and fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fabric_fl.aggregation.ring import Int32, Int64

NARROW = 1 << 31
"""Below it int32 holds every sum."""

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
    """Sums blocks of `count` updates.

    How depends on what a block's sum can reach at most, the weights' sum times the largest magnitude in it. Where int32
    holds that, nothing need be converted. Below 2^53 every partial sum is an integer that float64 holds, in whatever
    order and with whatever fused operations a linear algebra library adds: two thirds of the time of 64-bit integers.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._length = max(256, min(SLICE, _CONVERTED // count))
        self._values = np.empty((count + 1, self._length), np.float64)
        self._values[count] = _SHIFT  # a summand like the others: what is added up already is shifted
        self._sum = np.empty(self._length, np.float64)

    def add(self, q: Int32, weights: Sequence[int], total: Int64, largest: int) -> None:
        """Write the sum over i of `weights[i] * q[i]` into `total`; no magnitude in `q` is above `largest`."""
        most = sum(weights) * max(1, largest)
        if most < NARROW:
            np.copyto(total, np.einsum("i,ij->j", np.array(weights, np.int32), q))  # multiplies and adds in one pass
        elif most < EXACT:
            self._add_exactly(q, weights, total, shifted=most < _SMALL)
        else:
            np.einsum("i,ij->j", np.array(weights, np.int64), q, out=total)

    def _add_exactly(self, q: Int32, weights: Sequence[int], total: Int64, *, shifted: bool) -> None:
        count, length = self._count, self._length
        factors = np.array((*weights, 1) if shifted else weights, np.float64)
        rows = self._values[: len(factors)]
        for start in range(0, len(total), length):
            part = total[start : start + length]
            values, found = rows[:, : len(part)], self._sum[: len(part)]
            np.copyto(values[:count], q[:, start : start + length])
            np.dot(factors, values, out=found)
            if shifted:
                np.subtract(found.view(np.int64), _SHIFT_BITS, out=part)
            else:
                np.copyto(part, found, casting="unsafe")
