"""From any finite change of any weights to the sum: round trip, bounds, and no wrap."""

import logging
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fabric_fl.aggregation import Tensors, UpdateBlob, UpdateHeader, decode_update, encode, quantise, ring
from fabric_fl.aggregation.adder import Adder

EXAMPLES = 5000 if os.environ.get("SOAK") else 150
MAX = 2**31 - 1
EDGES = [0.0, -0.0, 5e-324, -5e-324, 2.0**-149, 2.0**-1022, 0.5, -0.5, 1.5, 2.0**31, 1.7e308, -1.7e308]
EDGES_32 = [float(np.float32(value)) for value in EDGES if abs(value) < 3e38] + [3.4028234663852886e38]
shapes = (
    st.just(())
    | hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
    | hnp.array_shapes(min_dims=5, max_dims=16, min_side=0, max_side=1)  # as many axes as a blob may have
    | hnp.array_shapes(min_dims=5, max_dims=8, min_side=1, max_side=2)
)


def arrays(width):
    plain = st.floats(allow_nan=False, allow_infinity=False, width=width)
    edges = st.sampled_from(EDGES if width == 64 else EDGES_32)
    return hnp.arrays(np.dtype(f"f{width // 8}"), shapes, elements=plain | edges | st.floats(-4, 4, width=width))


@st.composite
def changes(draw):
    """One to four tensors of one type, some of them transposed views."""
    width = draw(st.sampled_from([32, 64]))
    found = draw(st.lists(arrays(width), min_size=1, max_size=4))
    return Tensors.in_order([(f"k{i}", one.T if draw(st.booleans()) else one) for i, one in enumerate(found)])


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)  # about clipping, which is asked for here
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.soak
@settings(max_examples=EXAMPLES, deadline=None)
@given(changes(), st.integers(0, 52), st.integers(1, MAX) | st.sampled_from([1, MAX]))
def test_any_change_becomes_an_update_that_comes_back_and_keeps_its_bounds(delta, f, bound):
    q = quantise(delta, f, bound)
    assert (q.names, q.shapes, q.dtype) == (delta.names, delta.shapes, np.int32)
    expected = [max(-bound, min(bound, round(Fraction(float(value)) * 2**f))) for value in delta.flat()]
    assert q.flat().tolist() == expected
    assert all(ring.largest(array) <= bound for array in q.arrays())
    header = UpdateHeader("t1", 1, "Org1MSP", "ab" * 32, 7, f)
    data = encode(UpdateBlob(header, q))
    found = decode_update(data)
    assert (found.header, found.tensors) == (header, q)
    assert encode(found) == data


@pytest.mark.soak
@settings(max_examples=EXAMPLES, deadline=None)
@given(changes(), st.integers(1, MAX), st.lists(st.integers(1, 2**62), min_size=1, max_size=5), st.booleans())
def test_the_largest_weights_that_the_capacity_allows_do_not_wrap_the_sum(delta, bound, weights, opposed):
    """All with the same sign is the worst; `opposed` gives every second update the other one."""
    allowed = max(1, (2**63 - 1) // (bound * len(weights)))
    weights = [min(weight, allowed) for weight in weights]
    ring.check_capacity(sum(weights), bound)
    q = quantise(delta, 24, bound).flat()
    rows = np.stack([-q if opposed and index % 2 else q for index in range(len(weights))])
    total = np.empty(q.size, np.int64)
    Adder(len(weights)).add(rows, weights, total, ring.largest(rows))
    exact = [sum(w * int(x) for w, x in zip(weights, column, strict=True)) for column in rows.T]
    assert total.tolist() == exact
