from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from exact_steps import nearest, root, start, step
from hypothesis import given, settings
from hypothesis import strategies as st
from soaking import times

from fabric_fl.aggregation import AggregationError, FedAvg, server_step
from fl_chaincode.specification import STEPS

ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.000001"}
DECAYS = {"beta_1": "0.9", "beta_2": "0.99"}
SPECS = [
    {"step": "fedavg", "learning_rate": "0.3"},
    {"step": "fedavgm", "learning_rate": "0.7", "momentum": "0.9"},
    {"step": "fedadagrad", "learning_rate": "0.1", **ADAPTIVE},
    {"step": "fedadagrad", "learning_rate": "0.1", "epsilon": "0", "initial_preconditioner_value": "0.1"},
    {"step": "fedadam", "learning_rate": "0.01", **DECAYS, **ADAPTIVE},
    {"step": "fedadam", "learning_rate": "0.01", **DECAYS, "epsilon": "0.1", "initial_preconditioner_value": "0"},
    {"step": "fedadam", "learning_rate": "1", "beta_1": "0", "beta_2": "0.999999999999", **ADAPTIVE},
    {"step": "fedyogi", "learning_rate": "0.01", **DECAYS, **ADAPTIVE},
    {"step": "fedyogi", "learning_rate": "0.01", "beta_1": "0.5", "beta_2": "0", **ADAPTIVE},
]
EDGES = [5e-324, -5e-324, 2.0**-1022, 0.0, 1e-300, 2.0**-24, 1e-160, 1e-3]

finite = st.floats(-1e100, 1e100) | st.sampled_from(EDGES)
specs = st.sampled_from(SPECS)


def plain(spec, weights, updates):
    """Several rounds of the fast step."""
    fast = server_step(spec)
    state = fast.init(np.array(weights))
    for d in updates:
        state = fast.apply(state, np.array(d))
    return {name: values.tolist() for name, values in state.items()}


def slow(spec, weight, updates):
    """Several rounds of the oracle, for one weight."""
    state = start(spec, Fraction(weight))
    for d in updates:
        state = step(spec, state, Fraction(d))
    return state


@pytest.mark.soak
@settings(max_examples=times(300, 5_000), deadline=None)
@given(specs, finite, st.lists(finite, min_size=1, max_size=4))
def test_every_step_gives_the_bits_of_exact_arithmetic_that_rounds_each_operation_once(spec, weight, updates):
    found = plain(spec, [weight], [[d] for d in updates])
    expected = slow(spec, weight, updates)
    assert set(found) == set(expected)
    assert {name: Fraction(values[0]) for name, values in found.items()} == expected


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["step"])
def test_ten_rounds_of_every_step_are_the_papers_formula_on_real_numbers(spec):
    generator = np.random.default_rng(3)
    for weight, *updates in generator.standard_normal((5, 11)):
        state = start(spec, Fraction(weight))
        for d in updates:
            state = step(spec, state, Fraction(d), lambda value: value, precise_root)
            state = {name: value.limit_denominator(10**50) for name, value in state.items()}
        found = plain(spec, [weight], [[d] for d in updates])
        for name, value in state.items():
            assert found[name][0] == pytest.approx(float(value), rel=1e-12, abs=1e-12)


def precise_root(value: Fraction) -> Fraction:
    """To fifty digits."""
    return Fraction(isqrt(value.numerator * 10**100 // value.denominator), 10**50)


@settings(max_examples=500, deadline=None)
@given(st.fractions() | st.floats(allow_nan=False, allow_infinity=False).map(Fraction), st.integers(-1200, 900))
def test_the_oracle_rounds_as_python_does(value, exponent):
    """Two ways to the same number: our integers, and CPython's correctly rounded true division."""
    scaled = value * Fraction(2) ** exponent
    try:
        expected = float(scaled)
    except OverflowError:
        with pytest.raises(OverflowError):
            nearest(scaled)
        return
    assert nearest(scaled) == Fraction(expected)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, allow_nan=False, allow_infinity=False) | st.sampled_from([5e-324, 2.0**-1022, 2.0, 4.0]))
def test_the_oracles_root_lies_between_the_neighbours_halfway_points(value):
    found = float(root(Fraction(value)))
    below = (Fraction(found) + Fraction(np.nextafter(found, 0))) / 2
    above = (Fraction(found) + Fraction(np.nextafter(found, np.inf))) / 2
    assert below**2 <= Fraction(value) <= above**2


def test_the_first_fedadam_step_is_the_one_worked_out_by_hand():
    spec = {"step": "fedadam", "learning_rate": "1", "beta_1": "0.5", "beta_2": "0.5"}
    spec |= {"epsilon": "1", "initial_preconditioner_value": "2"}
    # m = 0.5 * 0 + 0.5 * 4 = 2; v = 0.5 * 2 + 0.5 * 16 = 9; w = 10 - 2 / (3 + 1)
    assert plain(spec, [10.0], [[4.0]]) == {"m": [2.0], "v": [9.0], "w": [9.5]}


def test_the_first_fedyogi_steps_are_those_worked_out_by_hand():
    spec = {"step": "fedyogi", "learning_rate": "1", "beta_1": "0", "beta_2": "0.5"}
    spec |= {"epsilon": "1", "initial_preconditioner_value": "1"}
    # v < d^2: v = 1 + 0.5 * 16 = 9; v > d^2: 9 - 0.5 * 0 = 9; equal: 9 - 0 = 9
    assert plain(spec, [10.0], [[4.0]]) == {"m": [4.0], "v": [9.0], "w": [9.0]}
    assert plain(spec, [10.0], [[4.0], [0.0]])["v"] == [9.0]
    assert plain(spec, [10.0], [[4.0], [3.0]])["v"] == [9.0]
    assert plain(spec, [10.0], [[4.0], [2.0]])["v"] == [7.0]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["step"])
def test_a_block_gets_the_same_bits_as_its_elements_alone(spec):
    generator = np.random.default_rng(5)
    weights, *updates = generator.standard_normal((4, 1001))
    whole = plain(spec, weights, updates)
    single = [plain(spec, weights[i : i + 1], [d[i : i + 1] for d in updates]) for i in range(1001)]
    assert whole == {name: [one[name][0] for one in single] for name in whole}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["step"])
def test_a_step_changes_nothing_that_it_was_given(spec):
    weights, d = np.ones(3), np.ones(3)
    fast = server_step(spec)
    before = fast.apply(fast.init(weights), d)
    kept = {name: values.copy() for name, values in before.items()}
    fast.apply(before, d)
    assert weights.tolist() == d.tolist() == [1, 1, 1]
    assert all(before[name].tobytes() == kept[name].tobytes() for name in kept)


def test_what_overflows_is_no_number_that_a_model_can_hold_and_warns_nobody():
    for spec in SPECS:
        fast = server_step(spec)
        state = fast.apply(fast.init(np.array([1e308])), np.array([-1.7e308]))
        state = fast.apply(state, np.array([-1.7e308]))
        assert spec["step"] == "fedavg" or not all(np.isfinite(values).all() for values in state.values())


def test_every_step_that_the_ledger_accepts_is_known_here_with_the_same_parameters():
    for name, options in STEPS.items():
        fast = server_step({"step": name, "learning_rate": "1", **dict.fromkeys(options, "0.5")})
        assert fast.slots == tuple(sorted(fast.slots))
        assert set(fast.init(np.zeros(1))) == set(fast.slots)


@pytest.mark.parametrize(
    "spec",
    [
        {"step": "fedsgd", "learning_rate": "1"},
        {"step": "fedavg"},
        {"step": "fedavg", "learning_rate": "1", "momentum": "0.9"},
        {"step": "fedadam", "learning_rate": "1", **DECAYS},
        {"step": "fedavg", "learning_rate": "fast"},
        {"step": "fedavg", "learning_rate": "inf"},
        {"step": "fedavg", "learning_rate": "nan"},
        {},
    ],
)
def test_a_step_that_this_version_does_not_know_is_refused(spec):
    with pytest.raises(AggregationError, match="FL-AGGREGATE-STEP"):
        server_step(spec)


def test_the_steps_are_values():
    assert server_step({"step": "fedavg", "learning_rate": "1.0"}) == FedAvg(1.0)
