"""Whether this thread computes as IEEE 754 says, subnormal numbers included.

Importing TensorFlow (or a library built with -ffast-math) can set the processor to flush subnormal numbers to zero. The
sum would still be right, the next model would not be: validators would disagree in the last bits of a few tiny weights.
"""

from __future__ import annotations

import numpy as np

from fabric_fl.aggregation.errors import AggregationError

_LENGTH = 64  # enough for the vectorised loops, which obey the same processor flags by other instructions


def require_subnormals() -> None:
    """Refuse to work where subnormal results or operands are flushed to zero.

    Raises:
        AggregationError: They are.
    """
    smallest, half_smallest_normal = _float64(1), _float64(1 << 51)
    smallest_normal, one_and_a_half = _float64(1 << 52), _float64(3 << 51)
    exact = (
        (smallest_normal * 0.5, half_smallest_normal),
        (one_and_a_half - smallest_normal, half_smallest_normal),
        (smallest / 1.0, smallest),
        (np.sqrt(smallest), np.ldexp(1.0, np.full(_LENGTH, -537))),
        (np.ldexp(1.0, np.full(_LENGTH, -149)).astype(np.float32), np.full(_LENGTH, 1, np.uint32).view(np.float32)),
    )
    # Compared as bytes: under these flags a comparison of numbers calls a subnormal equal to zero.
    if any(found.tobytes() != expected.tobytes() for found, expected in exact):
        raise AggregationError(
            "this process flushes subnormal numbers to zero, so its models would differ from the others'",
            code="FL-AGGREGATE-FLUSH-TO-ZERO",
            remedy="Aggregate in AggregationWorker, a process of its own, or before TensorFlow is imported.",
        )


def _float64(bits: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.full(_LENGTH, bits, np.uint64).view(np.float64)
