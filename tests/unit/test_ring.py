import logging
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.aggregation import AggregationError, NotFiniteError, Tensors, quantise
from fabric_fl.aggregation.adder import Adder
from fabric_fl.aggregation.ring import check_capacity, dequantise, largest


def one(values, dtype=np.float32):
    return Tensors.in_order([("k", np.array(values, dtype))])


def quantised(values, f, bound=2**31 - 1, dtype=np.float32):
    return quantise(one(values, dtype), f, bound)["000:k"].tolist()


def round_half_even(value: Fraction) -> int:
    return round(value)  # Fraction's rounding is exact, halves to even


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), max_size=20),
    st.integers(0, 24),
    st.integers(1, 2**31 - 1),
)
def test_quantising_is_exact_rounding_within_the_bound(values, f, bound):
    expected = [max(-bound, min(bound, round_half_even(Fraction(value) * 2**f))) for value in values]
    logging.disable(logging.WARNING)
    try:
        assert quantised(values, f, bound) == expected
    finally:
        logging.disable(logging.NOTSET)


def test_halves_go_to_the_even_neighbour():
    assert quantised([0.5, 1.5, 2.5, -0.5, -1.5, -0.0], 0) == [0, 2, 2, 0, -2, 0]


def test_a_float64_update_is_not_rounded_twice():
    assert quantised([0.5 + 2.0**-40], 0, dtype=np.float64) == [1]


def test_subnormals_become_zero_and_the_largest_floats_the_bound(caplog):
    assert quantised([5e-324, 1.7e308, -1.7e308], 10, 1000, np.float64) == [0, 1000, -1000]
    assert "2 of 3 values of the update were clipped to ±0.976562" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused_by_name(value):
    with pytest.raises(NotFiniteError, match="FL-UPDATE-NOT-FINITE: the update of 000:k") as refusal:
        quantised([0.0, value], 24)
    assert "learning rate" in refusal.value.remedy


def test_the_bound_is_checked_where_the_absolute_value_would_wrap():
    assert largest(np.array([-(2**31)], np.int32)) == 2**31
    assert largest(np.array([2**31 - 1, -(2**31 - 1)], np.int32)) == 2**31 - 1
    assert largest(np.array([[-3, 2], [1, 0]], np.int32)) == 3
    assert largest(np.array([], np.int32)) == 0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2**31), st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=3, max_size=3)),
        min_size=1,
        max_size=2,
    ),
    st.integers(0, 30),
)
def test_sum_and_mean_are_those_of_big_integers_and_fractions(updates, f):
    counts, rows = zip(*updates, strict=True)
    q, total = np.array(rows, np.int32), np.empty(3, np.int64)
    Adder(len(counts)).add(q, counts, total, largest(q))
    exact = [sum(count * values[i] for count, values in updates) for i in range(3)]
    assert total.tolist() == exact
    number = sum(count for count, _ in updates)
    expected = [float(Fraction(float(Fraction(float(s)) / Fraction(float(number)))) / 2**f) for s in exact]
    assert dequantise(total, number, f).tolist() == expected


def test_a_sum_that_could_wrap_is_refused_and_the_largest_that_cannot_is_not():
    check_capacity(2**32, 2**31 - 1)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-CAPACITY"):
        check_capacity(2**33, 2**31 - 1)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-CAPACITY"):
        check_capacity(1 << 63, 1)
