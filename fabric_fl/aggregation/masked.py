"""Masked updates: the arithmetic of secure aggregation's blobs, without the agreement on masks, which is not here.

A masked value is y = num_examples * q + mask modulo 2^64, written as a signed int64. Every value of y is possible, so
nothing can be checked of one update; the masks of all add up to 0 modulo 2^64, and what remains is the sum S that plain
updates would have given, because |S| < 2^63. Of S alone the bound is checked.

References:
    Bonawitz et al. 2017, Practical Secure Aggregation for Privacy-Preserving Machine Learning.
"""

from __future__ import annotations

import numpy as np

from fabric_fl.aggregation.ring import Int32, Int64


def mask(q: Int32, num_examples: int, secret: Int64) -> Int64:
    """Weigh a quantised update and hide it; `secret` is uniform on all of int64."""
    weighed = np.multiply(q, np.int64(num_examples), dtype=np.int64)
    return np.add(weighed, secret, out=weighed)  # numpy's arrays wrap, as the ring does


def add(total: Int64, y: Int64) -> None:
    """Add a masked update to the total in place, unmultiplied, modulo 2^64."""
    np.add(total, y, out=total)


def within(total: Int64, num_examples: int, bound: int) -> bool:
    """Whether an unmasked sum over `num_examples` examples can come from updates within ±bound."""
    limit = num_examples * bound
    return total.size == 0 or (int(total.max()) <= limit and int(total.min()) >= -limit)
