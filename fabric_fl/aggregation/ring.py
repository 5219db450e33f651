"""The ring of signed 64-bit integers in which updates are summed, so that order cannot matter.

q = rint(clip(initial - final) * 2^f) with |q| <= Q; S = sum(n * q); d = (float64(S) / float64(sum(n))) * 2^-f.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from fabric_fl.aggregation.errors import AggregationError, NotFiniteError
from fabric_fl.aggregation.tensors import Tensors

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

MAX_BOUND = (1 << 31) - 1
_BLOCK = 1 << 15  # elements that stay in a processor's cache while they are scaled and rounded

_log = logging.getLogger(__name__)


def quantise(delta: Tensors, f: int, bound: int) -> Tensors:
    """Round `delta * 2^f` to integers, halves to even, within ±bound.

    Args:
        delta: float32 or float64, initial minus final weights.
        f: Fraction bits, 0 to 52.
        bound: Q, the largest magnitude that the task allows, at most 2^31 - 1.

    Returns:
        The same names and shapes, int32.

    Raises:
        NotFiniteError: A value is NaN or infinite; nothing sensible could be sent.
    """
    if not 0 <= f <= 52 or not 1 <= bound <= MAX_BOUND:
        raise ValueError(f"f is 0 to 52 and the bound 1 to {MAX_BOUND}, not {f} and {bound}")
    limit = bound * 2.0**-f  # exact: a power of two only shifts
    quantised, clipped = {}, 0
    for name, values in delta.items():
        q = np.empty(values.size, np.int32)
        flat = values.reshape(-1)
        kept = np.empty(min(_BLOCK, flat.size), flat.dtype)
        scale = flat.dtype.type(2.0**f)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            low, high = np.minimum.reduce(block), np.maximum.reduce(block)  # NaN, if there is one
            if not (np.isfinite(low) and np.isfinite(high)):
                raise NotFiniteError(f"the update of {name} holds NaN or infinity")
            if low < -limit or high > limit:
                inside = np.clip(block, -limit, limit, dtype=np.float64)
                clipped += int(np.count_nonzero(inside != block))
                scaled = np.multiply(inside, np.float64(2.0**f), out=inside)
            else:  # exact in float32 too: only what is rounded to 0 anyway can be subnormal
                scaled = np.multiply(block, scale, out=kept[: block.size])
            np.rint(scaled, out=scaled)
            q[start : start + block.size] = scaled
        quantised[name] = q.reshape(values.shape)
    if clipped:
        _log.warning("%d of %d values of the update were clipped to ±%g", clipped, delta.size, limit)
    return Tensors(quantised)


def check_capacity(num_examples: int, bound: int) -> None:
    """Refuse a round whose sum could leave the ring.

    Raises:
        AggregationError: `num_examples * bound` reaches 2^63.
    """
    if num_examples * bound >= 1 << 63:
        raise AggregationError(
            f"{num_examples} examples with values up to {bound} could wrap a 64-bit sum", code="FL-AGGREGATE-CAPACITY"
        )


def largest(q: Int32) -> int:
    """The largest magnitude. From minimum and maximum, because the absolute value of -2^31 is no int32."""
    if q.size == 0:
        return 0
    return max(int(np.maximum.reduce(q, axis=None)), -int(np.minimum.reduce(q, axis=None)))


def dequantise(total: Int64, num_examples: int, f: int) -> Float64:
    """The mean update, float64: a division, then a multiplication by a power of two, each correctly rounded.

    Multiplying the divisor is the same, bit for bit, and a pass less: neither under- nor overflows, since an S other
    than 0 leaves at least 2^-63 * 2^-52, so that a power of two changes nothing but exponents.
    """
    mean = total.astype(np.float64)
    return np.divide(mean, np.float64(num_examples) * np.float64(2.0**f), out=mean)
