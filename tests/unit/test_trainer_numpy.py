import math
import subprocess
import sys

import numpy as np
import pytest

import fabric_fl.learning
from fabric_fl.aggregation import ModelBlob, Tensors, UpdateHeader
from fabric_fl.blobs import StoredBlob
from fabric_fl.learning import (
    DataError,
    ModelError,
    NumpyTrainer,
    TrainingError,
    TrainingTask,
    TrainResult,
    describe_mlp,
    make_update,
    training_seed,
)
from fabric_fl.learning.data import Examples
from fabric_fl.learning.numpy_trainer import _gradients, _measure


def blobs(count=60, seed=1, features=4):
    """Two overlapping clouds of points."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, count)
    return generator.standard_normal((count, features)) + y[:, None], y


def task_of(description, **changes):
    facts = {
        "kind": description.kind,
        "architecture": description.architecture,
        "loss": description.loss,
        "optimizer": "sgd",
        "learning_rate": "0.1",
        "epochs": 3,
        "batch_size": 8,
        "max_examples": 1000,
    }
    return TrainingTask(**(facts | changes))


@pytest.mark.parametrize(
    ("loss", "outputs"), [("binary_crossentropy", 1), ("sparse_categorical_crossentropy", 3), ("mean_squared_error", 2)]
)
def test_the_gradients_are_those_of_finite_differences(loss, outputs):
    generator = np.random.default_rng(3)
    weights = [array.astype(np.float64) for array in describe_mlp([4, 5, outputs], loss).initial.tensors.arrays()]
    x = generator.standard_normal((7, 4))
    y = generator.standard_normal((7, 2)) if outputs == 2 else generator.integers(0, max(2, outputs), 7)
    for index, gradient in enumerate(_gradients(weights, x, y, loss)):
        for position in np.ndindex(gradient.shape):
            values = []
            for step in (1e-6, -1e-6):
                moved = [array.copy() for array in weights]
                moved[index][position] += step
                values.append(_measure(moved, Examples(x, y), loss)["loss"])
            assert gradient[position] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-7)


def test_a_loss_worked_out_by_hand():
    description = describe_mlp([1, 1])
    model = ModelBlob(Tensors.in_order([("k", np.array([[2.0]], np.float32)), ("b", np.array([-1.0], np.float32))]))
    trainer = NumpyTrainer(([[0.0]], [0]), holdout=(np.array([[0.0], [1.0]]), np.array([0, 0])))
    # logits -1 and 1, both labels 0: log(1 + e^-1) and log(1 + e)
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2
    assert trainer.evaluate(task_of(description), model) == {"loss": pytest.approx(expected), "accuracy": 0.5}


def test_one_step_of_linear_regression_worked_out_by_hand():
    description = describe_mlp([1, 1], loss="mean_squared_error")
    model = ModelBlob(Tensors.in_order([("k", np.array([[1.0]], np.float32)), ("b", np.array([0.0], np.float32))]))
    trainer = NumpyTrainer((np.array([[2.0]]), np.array([5.0])))
    result = trainer.train(task_of(description, epochs=1), model, seed=1)
    # error -3: gradients 2·(-3)·2 = -12 and -6; the delta, initial minus final, is the rate times them
    assert [array.item() for array in result.delta.arrays()] == pytest.approx([-1.2, -0.6])
    assert result.num_examples == 1


def test_training_lowers_the_loss_and_counts_each_example_once():
    description = describe_mlp([4, 6, 1])
    trainer = NumpyTrainer(blobs(), holdout=blobs(seed=2))
    task = task_of(description)
    result = trainer.train(task, description.initial, training_seed("t", 1, "Org1MSP"))
    before = trainer.evaluate(task, description.initial)
    after = ModelBlob(
        Tensors({n: (a - result.delta[n]).astype(np.float32) for n, a in description.initial.tensors.items()})
    )
    assert trainer.evaluate(task, after)["loss"] < before["loss"] - 0.1
    assert result.num_examples == 60
    assert result.delta.layout == description.initial.layout


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    description = describe_mlp([4, 6, 1])
    trainer = NumpyTrainer(blobs())
    first, again, other = (trainer.train(task_of(description), description.initial, seed) for seed in (5, 5, 6))
    assert first.delta == again.delta
    assert first.delta != other.delta


def test_a_seed_depends_on_task_round_and_participant():
    seeds = {training_seed(t, r, p) for t in ("t1", "t2") for r in (1, 2) for p in ("Org1MSP", "Org2MSP")}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert training_seed("t1", 1, "Org1MSP") == training_seed("t1", 1, "Org1MSP")


def test_an_update_carries_the_header_that_the_ledger_will_name():
    description = describe_mlp([4, 1])
    result = NumpyTrainer(blobs()).train(task_of(description), description.initial, 1)
    update = make_update(result, task="t", round=2, participant="Org1MSP", base="ab" * 32, f=20, bound=2**31 - 1)
    assert update.header == UpdateHeader("t", 2, "Org1MSP", "ab" * 32, 60, 20)
    np.testing.assert_allclose(update.tensors.flat() / 2**20, result.delta.flat(), atol=2**-21)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ((np.zeros((5, 4)), np.zeros(4, int)), "FL-DATA-SHAPE", "5 examples with features and 4 with labels"),
        ((np.zeros((0, 4)), np.zeros(0, int)), "FL-DATA-EMPTY", "no examples"),
        ((np.array([[1.0, np.nan]] * 3), np.zeros(3)), "FL-DATA-NOT-FINITE", "features of 3 examples"),
        ((np.zeros((2, 4)), np.array([0.0, np.inf])), "FL-DATA-NOT-FINITE", "labels of 1 examples"),
        (([["a", "b"]], [0]), "FL-DATA-TYPE", "not an array of numbers"),
        (([[1.0], [1.0, 2.0]], [0, 1]), "FL-DATA-TYPE", "no arrays"),
        (np.zeros((3, 4)), "FL-DATA-TYPE", "pair"),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_its_remedy(data, code, says):
    with pytest.raises(DataError, match=says) as refusal:
        NumpyTrainer(data)
    assert refusal.value.code == code
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("data", "changes", "code", "says"),
    [
        (blobs(features=3), {}, "FL-DATA-SHAPE", r"the shape \[3\], the model takes \[4\]"),
        (blobs(), {"max_examples": 59}, "FL-DATA-TOO-MANY", "60 examples, the task allows 59"),
        ((np.zeros((2, 4)), np.array([0, 2])), {}, "FL-DATA-LABELS", "from 0 to 2, the model tells 2 classes"),
        ((np.zeros((2, 4)), np.array([0, 0.5])), {}, "FL-DATA-LABELS", "from 0.0 to 0.5"),
        ((np.zeros((2, 4)), np.zeros((2, 2))), {}, "FL-DATA-SHAPE", "2 labels"),
        (blobs(), {"kind": "keras"}, "FL-MODEL-KIND", "'keras', this trainer's 'numpy-mlp'"),
        (blobs(), {"optimizer": "adam"}, "FL-MODEL-OPTION", "not 'adam'"),
        (blobs(), {"loss": "hinge"}, "FL-MODEL-OPTION", "not 'hinge'"),
        (blobs(), {"architecture": '{"layers":[4,7,1]}'}, "FL-MODEL-SHAPE", "weights do not have the shapes"),
        (blobs(), {"architecture": '{"layers":"4"}'}, "FL-MODEL-SHAPE", "widths"),
        (blobs(), {"architecture": "[" * 10000}, "FL-MODEL-SHAPE", "no JSON object"),
    ],
)
def test_a_task_that_does_not_fit_is_refused_before_training(data, changes, code, says):
    description = describe_mlp([4, 6, 1])
    with pytest.raises((DataError, ModelError), match=says) as refusal:
        NumpyTrainer(data).check(task_of(description, **changes), description.initial)
    assert refusal.value.code == code
    assert refusal.value.remedy


def test_training_that_diverges_is_an_error_and_not_an_update():
    description = describe_mlp([4, 1], loss="mean_squared_error")
    trainer = NumpyTrainer((np.full((50, 4), 1e9), np.ones(50)))
    task = task_of(description, learning_rate="1", epochs=50)
    with pytest.raises(TrainingError, match="FL-TRAIN-DIVERGED") as refusal:
        trainer.train(task, description.initial, 1)
    assert "learning rate" in refusal.value.remedy


def test_evaluating_needs_a_holdout():
    description = describe_mlp([4, 1])
    with pytest.raises(DataError, match="FL-DATA-HOLDOUT"):
        NumpyTrainer(blobs()).evaluate(task_of(description), description.initial)


def test_a_holdout_is_checked_like_the_data():
    description = describe_mlp([4, 1])
    with pytest.raises(DataError, match="FL-DATA-SHAPE"):
        NumpyTrainer(blobs(), holdout=blobs(features=3)).check(task_of(description), description.initial)


def test_a_task_takes_its_model_from_a_description_and_a_written_blob():
    description = describe_mlp([2, 1], seed=4)
    assert description.to_spec(StoredBlob("ab" * 32, 77)) == {
        "kind": "numpy-mlp",
        "architecture": '{"layers":[2,1]}',
        "loss": "binary_crossentropy",
        "initial": "ab" * 32,
        "size": 77,
    }


def test_learning_is_imported_without_tensorflow():
    script = "import sys, fabric_fl, fabric_fl.learning, fabric_fl.scoring; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"


def test_a_name_that_learning_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = fabric_fl.learning.Nothing


def test_an_update_is_shortened_to_the_norm_bound_of_its_task():
    delta = Tensors.in_order([("k", np.array([3.0, -4.0, 0.0], np.float32))])
    facts = {"task": "t", "round": 2, "participant": "Org1MSP", "base": "ab" * 32, "f": 20, "bound": 2**31 - 1}
    result = TrainResult(delta, 7)
    for norm, expected in (("5", [3.0, -4.0, 0.0]), ("1", [0.6, -0.8, 0.0])):
        update = make_update(result, **facts, rule={"rule": "norm-bound", "norm": norm})
        np.testing.assert_allclose(update.tensors.flat() * 2.0**-20, expected, atol=2.0**-20)
        assert sum(int(q) ** 2 for q in update.tensors.flat()) <= (int(norm) * 2**20) ** 2
    unbounded = make_update(result, **facts, rule={"rule": "krum", "byzantine": 1})
    assert unbounded.tensors == make_update(result, **facts).tensors
