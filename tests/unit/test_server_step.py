from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.aggregation import AggregationError, FedAvg, server_step

finite = st.floats(-1e100, 1e100) | st.sampled_from([5e-324, -5e-324, 2.0**-1022, 0.0, 1e-300])


def nearest(value: Fraction) -> float:
    return float(value)  # CPython rounds a Fraction to the nearest float64, halves to even, subnormals included


@settings(max_examples=300, deadline=None)
@given(finite, finite, st.sampled_from(["1", "0.05", "0.3", "1.000000000001"]))
def test_fedavg_is_two_correctly_rounded_operations(weight, d, rate):
    step = server_step({"step": "fedavg", "learning_rate": rate})
    found = step.apply(step.init(np.array([weight])), np.array([d]))["w"][0]
    moved = Fraction(nearest(Fraction(nearest(Fraction(rate))) * Fraction(d)))
    assert found == nearest(Fraction(weight) - moved)


def test_a_block_gets_the_same_bits_as_its_elements_alone():
    generator = np.random.default_rng(5)
    weights, d = generator.standard_normal((2, 1001))
    step = FedAvg(0.7)
    whole = step.apply({"w": weights}, d)["w"]
    single = [step.apply({"w": weights[i : i + 1]}, d[i : i + 1])["w"][0] for i in range(1001)]
    assert whole.tobytes() == np.array(single).tobytes()


def test_a_step_changes_nothing_that_it_was_given():
    weights, d = np.ones(3), np.ones(3)
    FedAvg(0.5).apply({"w": weights}, d)
    assert weights.tolist() == d.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "spec",
    [
        {"step": "fedsgd", "learning_rate": "1"},
        {"step": "fedavg"},
        {"step": "fedavg", "learning_rate": "1", "momentum": "0.9"},
        {"step": "fedavg", "learning_rate": "fast"},
        {"step": "fedavg", "learning_rate": "inf"},
        {"step": "fedavg", "learning_rate": "nan"},
    ],
)
def test_a_step_that_this_version_does_not_know_is_refused(spec):
    with pytest.raises(AggregationError, match="FL-AGGREGATE-STEP"):
        server_step(spec)
