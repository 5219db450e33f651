from dataclasses import replace
from fractions import Fraction
from statistics import median

import byzfl_aggregators
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rounds_on_disk import make_round, write_update

from fabric_fl.aggregation import AggregationError, Tensors, aggregate, quantise, read_model, read_state
from fabric_fl.aggregation import products as products_module
from fabric_fl.aggregation.products import Products
from fabric_fl.aggregation.rules import Krum, NormBound, Rule, Trim, robust_rule
from fl_chaincode.specification import RULES

MAX = 2**31 - 1
int32 = st.integers(-MAX, MAX) | st.sampled_from([MAX, -MAX, 0, 1, -1, 1 << 16, -(1 << 16)])
few = st.integers(-2, 2)


def updates(elements, least=1, most=20):
    shapes = st.tuples(st.integers(least, most), st.integers(0, 6))
    return shapes.flatmap(lambda shape: hnp.arrays(np.int32, shape, elements=elements))


def squared(a, b):
    return sum((int(x) - int(y)) ** 2 for x, y in zip(a, b, strict=True))


def slow_krum(q, byzantine):
    """Places in the order of Krum's preference, as the paper's sentence has it, in Python's integers."""
    count = len(q)
    scores = []
    for i in range(count):
        nearest = sorted(squared(q[i], q[j]) for j in range(count) if j != i)[: count - byzantine - 1]
        scores.append(sum(nearest))
    return sorted(range(count), key=lambda i: (scores[i], i))


def measured(selection, q):
    found = selection.products(len(q))
    found.add(q)
    return found


def mean(rule, q, num_examples=None):
    """What a rule makes of updates, before the multiplication by 2^-f."""
    counts = [1] * len(q) if num_examples is None else list(num_examples)
    kept = list(range(len(q)))
    if rule.selection is not None:
        left_out = rule.selection.left_out(measured(rule.selection, q), 0)
        kept = [index for index in kept if index not in left_out]
    q, counts = q[kept], [counts[index] for index in kept]
    if rule.trim is not None:
        return rule.trim.total(q.copy()) / rule.divisor(counts)
    return (q.astype(np.int64) * np.array(rule.weights(counts))[:, None]).sum(axis=0) / rule.divisor(counts)


@settings(max_examples=150, deadline=None)
@given(updates(int32), st.booleans(), st.integers(1, 7))
def test_products_are_exact_for_the_largest_values_and_any_cut(q, pairs, cut):
    found = Products(len(q), pairs=pairs)
    for start in range(0, q.shape[1], cut):
        found.add(q[:, start : start + cut])
    zero = [0] * q.shape[1]
    assert found.squares() == [squared(row, zero) for row in q]
    if pairs:
        assert found.distances() == [[squared(a, b) for b in q] for a in q]


def test_products_stay_exact_beyond_what_64_bits_hold(monkeypatch):
    monkeypatch.setattr(products_module, "SLICE", 4)
    monkeypatch.setattr(products_module, "_PENDING", 3)
    q = np.array([[MAX] * 50, [-MAX] * 50], np.int32)
    for pairs in (False, True):
        found = Products(2, pairs=pairs)
        found.add(q)
        assert found.squares() == [50 * MAX**2] * 2
    assert found.distances() == [[0, 200 * MAX**2], [200 * MAX**2, 0]]


def test_the_largest_sums_of_a_slice_are_exact_in_float64():
    """The claim that the module makes: parts of at most 16 bits, products below 2^32, sums below 2^53, in any order."""
    assert products_module.SLICE * (2**16 - 1) ** 2 <= 2**53
    assert products_module._PENDING * products_module.SLICE * 2 * (2**16 - 1) * 2**15 < 2**63
    q = np.full((2, products_module.SLICE), -(2**31) + 0xFFFF, np.int32)
    q[0, 1::3] = MAX
    found = measured(Krum(0, multi=False), q)
    assert found.squares() == [
        sum(int(v) ** 2 * int(c) for v, c in zip(*np.unique(row, return_counts=True), strict=True)) for row in q
    ]


@settings(max_examples=200, deadline=None)
@given(updates(int32) | updates(few))
def test_the_median_is_the_median_of_each_element(q):
    expected = [median([Fraction(int(value)) for value in column]) for column in q.T]
    rule = robust_rule({"rule": "median"})
    divisor = rule.divisor([7] * len(q))
    assert [Fraction(int(total), divisor) for total in rule.trim.total(q.copy())] == expected


@settings(max_examples=200, deadline=None)
@given(updates(int32, least=3) | updates(few, least=3), st.integers(1, 9))
def test_the_trimmed_mean_is_the_mean_of_what_sorting_leaves(q, byzantine):
    byzantine = min(byzantine, (len(q) - 1) // 2)
    rule = robust_rule({"rule": "trimmed-mean", "byzantine": byzantine})
    divisor = rule.divisor([7] * len(q))
    expected = [
        Fraction(sum(sorted(int(value) for value in column)[byzantine : len(q) - byzantine]), len(q) - 2 * byzantine)
        for column in q.T
    ]
    assert [Fraction(int(total), divisor) for total in rule.trim.total(q.copy())] == expected


@settings(max_examples=200, deadline=None)
@given(updates(int32) | updates(few), st.integers(0, 9), st.booleans())
def test_krum_keeps_the_nearest_and_among_equals_the_first(q, byzantine, multi):
    byzantine = min(byzantine, (len(q) - 1) // 2)
    selection = Krum(byzantine, multi)
    kept = slow_krum(q, byzantine)[: len(q) - byzantine if multi else 1]
    left_out = selection.left_out(measured(selection, q), 24)
    assert left_out == dict.fromkeys(set(range(len(q))) - set(kept), "FL-RULE-DISTANCE")


@settings(max_examples=200, deadline=None)
@given(updates(st.integers(-20, 20)), st.sampled_from(["0.5", "5", "1.25", "0.000000000001"]), st.integers(0, 5))
def test_the_norm_bound_leaves_out_what_is_longer_and_nothing_as_long(q, norm, f):
    selection = NormBound(Fraction(norm))
    zero = [0] * q.shape[1]
    expected = {i for i, row in enumerate(q) if squared(row, zero) > (Fraction(norm) * 2**f) ** 2}
    assert selection.left_out(measured(selection, q), f) == dict.fromkeys(expected, "FL-RULE-NORM")


def test_a_norm_that_equals_the_bound_stays():
    q = np.array([[3 << 24, 4 << 24], [3 << 24, (4 << 24) + 1]], np.int32)
    selection = NormBound(Fraction("5"))
    assert selection.left_out(measured(selection, q), 24) == {1: "FL-RULE-NORM"}


@pytest.fixture(scope="module")
def byzfl():
    return byzfl_aggregators.load()


def random_updates(generator, liars):
    """Quantised updates of 4 to 20 participants, of which some are far off."""
    count = int(generator.integers(max(4, 2 * liars + 1), 21))
    q = generator.normal(0, 2**20, (count, int(generator.integers(1, 300))))
    for liar in generator.permutation(count)[:liars]:
        q[liar] = q[liar] * -10 + generator.normal(0, 2**22, q.shape[1])
    return np.rint(q).astype(np.int32)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("median", "Median"), ("trimmed-mean", "TrMean"), ("krum", "Krum"), ("multi-krum", "MultiKrum")],
)
def test_a_rule_gives_what_byzfl_gives(byzfl, name, theirs):
    """To a millionth of the largest value: byzfl computes in float64."""
    generator = np.random.default_rng(11)
    for _ in range(100):
        liars = int(generator.integers(1, 4))
        q = random_updates(generator, liars)
        spec = {"rule": name} if name == "median" else {"rule": name, "byzantine": liars}
        other = getattr(byzfl, theirs)(*(() if name == "median" else (liars,)))
        x = q * 2.0**-24
        expected = other(x.copy())
        found = mean(robust_rule(spec), q, generator.integers(1, 1000, len(q))) * 2.0**-24
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(x).max())


def drawn_round(folder, rule, count, liars, seed):
    """A round, the first participants of which lie; the changes before they were quantised; the weights before."""
    generator = np.random.default_rng(seed)
    inputs = make_round(folder, count=count, seed=seed)
    layout = read_model(inputs.model.path, inputs.model.digest, inputs.model.size).tensors
    changes, updates = [], []
    for index in range(count):
        scale = 3.0 if index < liars else 0.1
        change = Tensors({name: generator.normal(0, scale, array.shape) for name, array in layout.items()})
        changes.append(change.flat())
        updates.append(write_update(folder, f"Org{index + 1}MSP", quantise(change, inputs.f, MAX), 50))
    return replace(inputs, updates=tuple(updates), rule=rule), np.array(changes), layout.flat().astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["norm-bound", "median", "trimmed-mean", "krum", "multi-krum"])
def test_a_round_moves_the_model_by_what_byzfl_makes_of_the_changes_that_participants_trained(
    tmp_path, byzfl, name, seed
):
    """To a millionth, of changes that nobody has quantised: from files through `aggregate` to the next state."""
    liars, count = 1 + seed % 2, 5 + seed
    options = {"norm-bound": {"norm": "2"}, "median": {}}.get(name, {"byzantine": liars})
    inputs, changes, weights = drawn_round(tmp_path, {"rule": name} | options, count, liars, seed)
    if name == "norm-bound":
        kept = np.abs(byzfl.Clipping(2.0)(changes.copy()) - changes).max(axis=1) < 1e-12
        assert kept.tolist() == [index >= liars for index in range(count)]
        expected = byzfl.Average()(changes[kept])
    else:
        theirs = {"median": "Median", "trimmed-mean": "TrMean", "krum": "Krum", "multi-krum": "MultiKrum"}[name]
        expected = getattr(byzfl, theirs)(*options.values())(changes.copy())
    result = aggregate(inputs, tmp_path)
    state = read_state(result.state.path, result.state.digest, result.state.size)
    moved = weights - state.slots["w"].flat()  # FedAvg with a learning rate of 1
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-6)
    assert np.abs(moved - changes.mean(axis=0)).max() > 1e-2  # which without the rule it would be


def test_a_comparison_with_byzfl_that_cannot_be_made_fails(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ModuleNotFoundError, match="byzfl"):
        byzfl_aggregators.load()


def test_the_norm_bound_leaves_out_what_byzfl_would_clip(byzfl):
    generator = np.random.default_rng(12)
    clip = byzfl.Clipping(0.75)
    for _ in range(100):
        q = np.rint(generator.normal(0, 2**21, (8, 40)) * generator.uniform(0.1, 2, (8, 1))).astype(np.int32)
        x = q * 2.0**-24
        unchanged = np.abs(clip(x.copy()) - x).max(axis=1) < 1e-12
        assert 0 < unchanged.sum() < 8
        selection = NormBound(Fraction("0.75"))
        assert set(selection.left_out(measured(selection, q), 24)) == set(np.flatnonzero(~unchanged))


@settings(max_examples=150, deadline=None)
@given(updates(int32, most=1), st.sampled_from(["0.5", "5", "1.25", "100", "0.000000000001"]), st.integers(0, 24))
def test_an_update_that_its_owner_shortened_is_within_the_bound_and_points_the_same_way(q, norm, f):
    bound = NormBound(Fraction(norm))
    shortened = bound.shorten(Tensors.in_order([("k", q)]), f)["000:k"]
    length = Fraction(sum(int(v) ** 2 for v in q.flat))
    limit = (Fraction(norm) * 2**f) ** 2
    assert bound.left_out(measured(bound, shortened), f) == {}
    if length <= limit:
        assert shortened.tolist() == q.tolist()
    else:
        scaled = q * (float(limit) ** 0.5 / float(length) ** 0.5)
        np.testing.assert_allclose(shortened, scaled, rtol=1e-9, atol=1)


def test_an_owner_shortens_as_byzfl_clips(byzfl):
    generator = np.random.default_rng(13)
    x = generator.normal(0, 1, (20, 1000))
    expected = byzfl.Clipping(2.0)(x.copy())
    for row, clipped in zip(x, expected, strict=True):
        q = quantise(Tensors.in_order([("k", row)]), 24, MAX)
        found = NormBound(Fraction(2)).shorten(q, 24)["000:k"] * 2.0**-24
        np.testing.assert_allclose(found, clipped, rtol=0, atol=1e-6)


def test_without_a_rule_updates_count_by_their_examples():
    q = np.array([[1, 2], [5, -2]], np.int32)
    assert mean(robust_rule({"rule": "none"}), q, [1, 3]).tolist() == [4.0, -1.0]
    assert robust_rule({"rule": "none"}) == Rule()


def test_every_rule_that_the_ledger_accepts_is_known_here():
    for name, options in RULES.items():
        given_options = {"norm": {"norm": "1.5"}, "byzantine": {"byzantine": 2}}
        spec = {"rule": name}
        for option in options:
            spec |= given_options[option]
        assert robust_rule(spec).least == (5 if "byzantine" in spec else 1)


@pytest.mark.parametrize(
    "spec",
    [{}, {"rule": "mean"}, {"rule": "none", "byzantine": 1}, {"rule": "krum"}, {"rule": "krum", "byzantine": "1"}],
)
def test_a_rule_that_this_version_does_not_know_is_refused(spec):
    with pytest.raises(AggregationError, match="FL-AGGREGATE-RULE"):
        robust_rule(spec)


def test_a_trim_of_too_few_leaves_the_middle():
    assert Trim(3).each_side(4) == 1
    assert Trim(3).each_side(1) == 0
