"""Robust rules in the pass that aggregates, against the implementation that shares nothing with ours."""

import struct
from dataclasses import replace

import independent_round as independent
import numpy as np
import pytest
from rounds_on_disk import F, make_round, with_bytes, with_update, write_update

from fabric_fl.aggregation import (
    AggregationError,
    ModelBlob,
    Tensors,
    aggregate,
    decode_update,
    leave_one_out_models,
    read_model,
    read_state,
    write,
)

RULES = [
    {"rule": "none"},
    {"rule": "norm-bound", "norm": "40"},
    {"rule": "median"},
    {"rule": "trimmed-mean", "byzantine": 1},
    {"rule": "trimmed-mean", "byzantine": 2},
    {"rule": "krum", "byzantine": 1},
    {"rule": "krum", "byzantine": 2},
    {"rule": "multi-krum", "byzantine": 1},
    {"rule": "multi-krum", "byzantine": 2},
]
by_name = pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))


def quantised(inputs):
    return {one.participant: decode_update(one.path.read_bytes()).tensors.flat().tolist() for one in inputs.updates}


def spread(folder, rule, count=5, seed=0):
    """A round whose updates are of different lengths: each later one can be about twice as far from 0."""
    inputs = replace(make_round(folder, count=count, seed=seed), rule=rule)
    generator = np.random.default_rng(seed)
    updates = []
    for index, update in enumerate(inputs.updates):
        layout = decode_update(update.path.read_bytes()).tensors
        bound = 2 ** (24 + index)
        values = {n: generator.integers(-bound, bound, a.shape).astype(np.int32) for n, a in layout.items()}
        updates.append(write_update(folder, update.participant, Tensors(values), update.num_examples))
    return replace(inputs, updates=tuple(updates))


def expected(inputs, participants):
    values = {who: q for who, q in quantised(inputs).items() if who in participants}
    examples = {one.participant: one.num_examples for one in inputs.updates}
    refused = independent.select(inputs.rule, values, F)
    included = sorted(set(values) - set(refused))
    total, divisor = independent.combine(inputs.rule, {who: values[who] for who in included}, examples)
    return refused, included, total, divisor


@by_name
@pytest.mark.parametrize("seed", range(3))
def test_sum_state_and_who_is_left_out_are_those_of_exact_arithmetic(tmp_path, rule, seed):
    inputs = spread(tmp_path, rule, seed=seed)
    result = aggregate(inputs, tmp_path)
    refused, included, total, divisor = expected(inputs, {f"Org{i}MSP" for i in range(1, 6)})
    assert (dict(result.refused), list(result.included)) == (refused, included)
    assert result.aggregate == independent.H("fl/aggregate/v1", struct.pack(f"<{len(total)}q", *total))
    before = independent.first_state(inputs.server, independent.floats(weights(inputs), "F32"))
    d = [independent.mean(one, divisor, F) for one in total]
    after = independent.next_state(inputs.server, before, d)["w"]
    state = read_state(result.state.path, result.state.digest, result.state.size).slots["w"].flat()
    assert state.tolist() == [float(value) for value in after]


def weights(inputs):
    return read_model(inputs.model.path, inputs.model.digest, inputs.model.size).tensors.flat().astype("<f4").tobytes()


def test_the_norm_bound_of_these_tests_separates_them(tmp_path):
    assert set(aggregate(spread(tmp_path, RULES[1]), tmp_path).refused.values()) == {"FL-RULE-NORM"}


@by_name
def test_an_update_refused_for_its_content_is_gone_before_the_rule_decides(tmp_path, rule):
    inputs = spread(tmp_path, rule, count=6)
    first = inputs.updates[0].path.read_bytes()
    broken = with_bytes(replace(inputs, bound=2**30), 0, first[:-4] + struct.pack("<i", -(2**31)))
    result = aggregate(broken, tmp_path)
    refused, included, total, _ = expected(inputs, {f"Org{i}MSP" for i in range(2, 7)})
    assert dict(result.refused) == {"Org1MSP": "FL-BLOB-BOUND", **refused}
    assert list(result.included) == included
    assert result.aggregate == independent.H("fl/aggregate/v1", struct.pack(f"<{len(total)}q", *total))


@pytest.mark.parametrize("name", ["krum", "multi-krum", "trimmed-mean"])
def test_fewer_valid_updates_than_the_rule_needs_are_no_round(tmp_path, name):
    inputs = spread(tmp_path, {"rule": name, "byzantine": 1}, count=3)
    with pytest.raises(
        AggregationError, match=r"FL-AGGREGATE-EMPTY.*needs 3 updates, not 2.*Org2MSP FL-BLOB"
    ) as refusal:
        aggregate(with_bytes(inputs, 1, b"nothing"), tmp_path)
    assert refusal.value.refused == {"Org2MSP": "FL-BLOB-SIZE"}


def test_a_rule_that_leaves_out_everybody_leaves_no_round(tmp_path):
    inputs = spread(tmp_path, {"rule": "norm-bound", "norm": "0.000000000001"}, count=3)
    with pytest.raises(AggregationError, match=r"FL-AGGREGATE-EMPTY.*Org1MSP FL-RULE-NORM") as refusal:
        aggregate(inputs, tmp_path)
    assert set(refusal.value.refused) == {"Org1MSP", "Org2MSP", "Org3MSP"}


@pytest.mark.parametrize("rule", RULES[1:4:2] + RULES[5:6], ids=lambda rule: rule["rule"])
def test_a_missing_update_is_asked_for_under_every_rule(tmp_path, rule):
    inputs = with_update(spread(tmp_path, rule), 2, path=None)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-UNAVAILABLE") as refusal:
        aggregate(inputs, tmp_path)
    assert refusal.value.participants == ("Org3MSP",)


@by_name
def test_leaving_one_out_is_what_the_rule_makes_of_the_others(tmp_path, rule):
    inputs = spread(tmp_path, rule)
    included = aggregate(inputs, tmp_path).included
    (tmp_path / "out").mkdir()
    found = leave_one_out_models(inputs, included, tmp_path / "out")
    assert list(found) == (list(included) if len(included) > 1 else [])
    same = dict(rule) if rule["rule"] in ("none", "median", "trimmed-mean") else {"rule": "none"}
    if same.get("byzantine") == 2:  # of four, two of each side would leave none
        same["byzantine"] = 1
    for left_out, file in found.items():
        rest = [one for one in inputs.updates if one.participant in included and one.participant != left_out]
        if "krum" in rule["rule"]:  # an update is an update, whatever number of examples it claims
            rest = [write_update(tmp_path, u.participant, decode_update(u.path.read_bytes()).tensors, 1) for u in rest]
        assert file.digest == aggregate(replace(inputs, updates=tuple(rest), rule=same), tmp_path).model.digest


def test_a_sum_beyond_what_float64_holds_is_exact(tmp_path):
    """Where weights times bound reach 2^53 the sum is made of 64-bit integers."""
    inputs = make_round(tmp_path, count=3, bound=2**31 - 1)
    updates = [
        write_update(tmp_path, one.participant, decode_update(one.path.read_bytes()).tensors, 2**31 - index)
        for index, one in enumerate(inputs.updates)
    ]
    inputs = replace(inputs, updates=tuple(updates[:1]), max_examples=2**32)
    total = [2**31 * q for q in quantised(inputs)["Org1MSP"]]
    assert any(abs(value) > 2**53 for value in total)
    found = aggregate(inputs, tmp_path).aggregate
    assert found == independent.H("fl/aggregate/v1", struct.pack(f"<{len(total)}q", *total))


def test_a_model_without_a_single_weight_goes_through(tmp_path):
    inputs = make_round(tmp_path, shapes=((0, 3),), count=3)
    for rule in RULES[:4]:
        result = aggregate(replace(inputs, rule=rule), tmp_path)
        assert result.aggregate == independent.H("fl/aggregate/v1", b"")
        assert len(result.included) == 3


def test_a_rule_of_another_version_is_refused(tmp_path):
    with pytest.raises(AggregationError, match="FL-AGGREGATE-RULE"):
        aggregate(replace(make_round(tmp_path), rule={"rule": "geometric-median"}), tmp_path)


def test_a_base_that_is_not_what_the_ledger_names_explains_what_went_wrong(tmp_path):
    """The base's bytes are checked in the pass that uses them: what they led to must not be blamed on the updates."""
    inputs = make_round(tmp_path)
    data = inputs.model.path.read_bytes()
    for spoiled in (data[:-4] + struct.pack("<f", float("nan")), data.replace(b"000:l0", b"000:l9"), data[::-1]):
        inputs.model.path.write_bytes(spoiled)
        with pytest.raises(AggregationError, match=r"FL-AGGREGATE-UNAVAILABLE.*its digest is another"):
            aggregate(inputs, tmp_path)
    other = write(ModelBlob(Tensors.in_order([("l0", np.zeros((7, 5), np.float32))])), tmp_path / "other")
    # the right bytes of another layout: no update fits
    with pytest.raises(AggregationError, match="FL-AGGREGATE-EMPTY"):
        aggregate(replace(inputs, model=other), tmp_path)
