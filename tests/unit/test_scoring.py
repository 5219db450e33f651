import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds_on_disk import make_round

from fabric_fl.aggregation import AggregationWorker, aggregate, read_model
from fabric_fl.scoring import CAP, Scores, leave_one_out, millionths, score_round


def test_a_score_is_how_much_worse_the_model_is_without_the_update():
    losses = {"ABC": 0.50, "BC": 0.75, "AC": 0.49, "AB": 0.50}
    found = leave_one_out("BCA", lambda coalition: losses["".join(sorted(coalition))])
    assert found == {"A": 250_000, "B": -10_000, "C": 0}
    assert list(found) == ["A", "B", "C"]


def test_a_single_update_is_scored_against_the_base_model():
    assert leave_one_out(["A"], lambda coalition: 0.25 if coalition else 1.0) == {"A": 750_000}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1234565, 123_456),  # 123456.5, to the even neighbour
        (-0.0000015, -2),
        (0.0, 0),
        (math.nan, CAP),
        (math.inf, CAP),
        (-math.inf, -CAP),
        (1e300, CAP),
        (-1e300, -CAP),
    ],
)
def test_millionths_are_rounded_and_capped(value, expected):
    assert millionths(value) == expected


@given(st.lists(st.floats(), min_size=2, max_size=2))
def test_a_score_is_an_integer_that_the_ledger_takes_whatever_the_losses_are(losses):
    score = leave_one_out(["A"], lambda coalition: losses[len(coalition)])["A"]
    assert type(score) is int
    assert abs(score) <= 2 * CAP < 2**53


def test_an_update_that_ruins_the_model_has_a_negative_score_and_one_that_saves_it_a_positive():
    assert leave_one_out(["A"], lambda coalition: math.nan if coalition else 0.5)["A"] == 500_000 - CAP
    assert leave_one_out(["A"], lambda coalition: 0.5 if coalition else math.inf)["A"] == CAP - 500_000


def squared_distance_from(target):
    def evaluate(model):
        return {"loss": float(np.mean((model.tensors.flat() - target) ** 2)), "accuracy": 0.5}

    return evaluate


def test_a_round_is_scored_by_the_models_that_leave_one_out(tmp_path):
    inputs = make_round(tmp_path, bound=1 << 24)
    result = aggregate(inputs, tmp_path)
    evaluate = squared_distance_from(3.0)

    def loss_of(updates):
        (tmp_path / "check").mkdir(exist_ok=True)
        file = aggregate(replace(inputs, updates=updates), tmp_path / "check").model
        return millionths(evaluate(read_model(file.path, file.digest, file.size))["loss"])

    whole = loss_of(inputs.updates)
    expected = {
        out.participant: loss_of(tuple(u for u in inputs.updates if u is not out)) - whole for out in inputs.updates
    }
    with AggregationWorker() as worker:
        found = score_round(inputs, result, worker, evaluate, tmp_path)
    assert found == Scores(expected, {"accuracy": 500_000, "loss": whole})
    assert found.to_record() == {"metrics": {"accuracy": 500_000, "loss": whole}, "scores": expected}
    assert not list(tmp_path.glob("without-*"))


def test_a_round_with_one_update_needs_no_further_models(tmp_path):
    inputs = make_round(tmp_path, count=1)
    result = aggregate(inputs, tmp_path)
    with AggregationWorker() as worker:
        found = score_round(inputs, result, worker, squared_distance_from(0.0), tmp_path)
    assert list(found.scores) == ["Org1MSP"]
