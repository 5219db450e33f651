import gc
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tff_tasks import FEATURES, data, keras_model, task_of

from fabric_fl.aggregation import ModelBlob, Tensors
from fabric_fl.learning import (
    DataError,
    ModelError,
    TFFTrainer,
    TrainingError,
    build_keras_model,
    describe_keras_model,
    describe_mlp,
)
from fabric_fl.learning.tff_runtime import libraries
from fabric_fl.learning.tff_update import descend

pytestmark = [
    pytest.mark.tff,
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),  # within Keras
]


@pytest.fixture(scope="module")
def description():
    return describe_keras_model(keras_model(), "binary_crossentropy")


def digest_of(result):
    return hashlib.sha256(result.delta.flat().tobytes()).hexdigest()


def test_a_model_travels_as_data_and_predicts_the_same():
    model = keras_model()
    x, _ = data()
    description = describe_keras_model(model, "binary_crossentropy")
    copy = build_keras_model(description.architecture, description.initial)
    np.testing.assert_array_equal(copy(x).numpy(), model(x).numpy())
    first, second = (layer.name for layer in model.layers)
    assert description.initial.tensors.names == (
        f"000:{first}/kernel",
        f"001:{first}/bias",
        f"002:{second}/kernel",
        f"003:{second}/bias",
    )


def test_weights_that_are_changed_where_they_stand_round_as_a_product_and_a_difference_do():
    tf = libraries().tf
    random = np.random.default_rng(0)
    weights, gradients = (random.normal(size=(257, 129)).astype(np.float32) for _ in range(2))
    gradients[0] = np.float32(1) / np.float32(3) * np.float32(2) ** np.arange(-149, -20)  # subnormal products, too
    variables = [tf.Variable(weights), tf.Variable(weights)]
    rate = np.float32(0.05)
    update = tf.function(lambda gradient: descend(variables, [gradient, None], tf.constant(rate)))
    update(tf.constant(gradients))
    np.testing.assert_array_equal(variables[0].numpy(), weights - rate * gradients)
    np.testing.assert_array_equal(variables[1].numpy(), weights)


def test_a_lambda_layer_is_refused_when_the_task_is_made_and_when_it_is_read():
    tf = libraries().tf
    model = keras_model(tf.keras.layers.Lambda(lambda x: x * 2))
    with pytest.raises(ModelError, match=r"FL-MODEL-UNSAFE.*'Lambda'"):
        describe_keras_model(model, "binary_crossentropy")
    with pytest.raises(ModelError, match="FL-MODEL-UNSAFE"):
        build_keras_model(model.to_json())


def test_a_model_that_is_not_built_or_not_float32_is_refused():
    layers = libraries().tf.keras.layers
    with pytest.raises(ModelError, match="no weights yet"):
        describe_keras_model(libraries().tf.keras.Sequential([layers.Dense(1)]), "binary_crossentropy")
    normalization = layers.Normalization()
    normalization.adapt(data()[0])
    with pytest.raises(ModelError, match="float32") as refusal:
        describe_keras_model(keras_model(normalization), "binary_crossentropy")
    assert "mean and variance" in refusal.value.remedy


def test_weights_of_another_architecture_are_refused_before_memory_is_taken(description):
    huge = description.architecture.replace('"units": 5', '"units": 500000000000')
    with pytest.raises(ModelError, match="FL-MODEL-SHAPE"):
        build_keras_model(huge, description.initial)
    with pytest.raises(ModelError, match="FL-MODEL-SHAPE"):
        TFFTrainer(data(), path="in-process").check(task_of(description, architecture=huge), description.initial)


def test_an_unknown_loss_or_optimizer_is_named(description):
    with pytest.raises(ModelError, match=r"FL-MODEL-OPTION.*'focal'.*binary_crossentropy"):
        describe_keras_model(keras_model(), "focal")
    with pytest.raises(ModelError, match=r"FL-MODEL-OPTION.*'lion'.*sgd"):
        TFFTrainer(data(), path="in-process").check(task_of(description, optimizer="lion"), description.initial)


def test_training_repeats_bit_by_bit_for_one_seed_and_differs_for_another(description):
    trainer = TFFTrainer(data())
    task = task_of(description)
    first = trainer.train(task, description.initial, 7)
    other = trainer.train(task, description.initial, 8)
    assert digest_of(trainer.train(task, description.initial, 7)) == digest_of(first) != digest_of(other)
    assert digest_of(TFFTrainer(data()).train(task, description.initial, 7)) == digest_of(first)
    assert first.num_examples == 40


def test_training_with_dropout_repeats_bit_by_bit(description):
    layers = libraries().tf.keras.layers
    model = keras_model(layers.Dense(8), layers.Dropout(0.5), layers.GaussianNoise(0.1))
    dropped = describe_keras_model(model, "binary_crossentropy")
    trainer = TFFTrainer(data())
    first, other, again = (digest_of(trainer.train(task_of(dropped), dropped.initial, seed)) for seed in (7, 8, 7))
    assert first == again != other
    assert digest_of(TFFTrainer(data()).train(task_of(dropped), dropped.initial, 7)) == first


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_tff_trainer import *
description = describe_keras_model(keras_model(), "binary_crossentropy")
print(digest_of(TFFTrainer(data()).train(task_of(description), description.initial, 7)))
TFFTrainer(data(), path="executor").train(task_of(description), description.initial, 7)
from pathlib import Path
for task in Path("/proc/self/task").iterdir():
    for pid in (task / "children").read_text().split():
        print(pid, Path(f"/proc/{pid}/comm").read_text().strip())
"""


def test_another_process_trains_to_the_same_bytes_and_leaves_no_process_behind(description):
    expected = digest_of(TFFTrainer(data()).train(task_of(description), description.initial, 7))
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert found[0] == expected
    pid, name = found[1].split()
    assert name == "worker_binary"
    assert not Path(f"/proc/{pid}").exists()


def pairs():
    tf = libraries().tf
    x, y = data()
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return {
        "arrays": (x, y),
        "float64 and a column of labels": (x.astype(np.float64), y.reshape(-1, 1).astype(float)),
        "a dataset": dataset,
        "a batched dataset": dataset.batch(7),
        "a dataset of mappings": dataset.map(lambda x, y: {"x": x, "y": y}),
        "one client with a dataset": {"client": dataset.batch(16)},
    }


def test_every_form_of_the_same_data_trains_to_the_same_bytes(description):
    task = task_of(description)
    digests = {
        name: digest_of(TFFTrainer(d, path="in-process").train(task, description.initial, 7))
        for name, d in pairs().items()
    }
    assert set(digests.values()) == {digests["arrays"]}, digests


def test_evaluation_is_that_of_keras(description):
    x, y = data(33, seed=9)
    model = build_keras_model(description.architecture, description.initial)
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(x, y.reshape(-1, 1), verbose=0)
    found = TFFTrainer(data(), holdout=(x, y), path="in-process").evaluate(task_of(description), description.initial)
    assert found == {"loss": pytest.approx(loss, rel=1e-6), "accuracy": pytest.approx(accuracy, rel=1e-6)}


@pytest.mark.parametrize(
    ("loss", "outputs", "activation"),
    [
        ("sparse_categorical_crossentropy", 3, "softmax"),
        ("sparse_categorical_crossentropy_from_logits", 3, None),
        ("binary_crossentropy_from_logits", 1, None),
        ("mean_squared_error", 1, None),
        ("huber", 1, None),
    ],
)
def test_training_lowers_every_kind_of_loss(loss, outputs, activation):
    description = describe_keras_model(keras_model(outputs=outputs, activation=activation), loss)
    pair = data(200, classes=max(2, outputs))
    trainer, task = TFFTrainer(pair, holdout=pair, path="in-process"), task_of(description)
    delta = trainer.train(task, description.initial, 1).delta
    after = ModelBlob(Tensors({name: array - delta[name] for name, array in description.initial.tensors.items()}))
    before = trainer.evaluate(task, description.initial)
    assert trainer.evaluate(task, after)["loss"] < before["loss"]
    assert ("accuracy" in before) == ("crossentropy" in loss)


def test_weights_that_are_not_trained_stay(description):
    layers = libraries().tf.keras.layers
    frozen = describe_keras_model(keras_model(layers.Dense(5, trainable=False)), "binary_crossentropy")
    for path in ("in-process", "executor"):
        delta = TFFTrainer(data(), path=path).train(task_of(frozen), frozen.initial, 1).delta
        assert not delta.arrays()[0].any()
        assert delta.arrays()[2].any()


x, y = data()
BAD = {
    "features of another shape": ((x[:, :3], y), "FL-DATA-SHAPE", rf"shape \[3\], the model takes \[{FEATURES}\]"),
    "images": ((x.reshape(40, 2, 3), y), "FL-DATA-SHAPE", r"\[2, 3\]"),
    "two labels an example": ((x, np.stack([y, y], axis=1)), "FL-DATA-SHAPE", r"\[2\]"),
    "a label of 2": ((x, y + 1), "FL-DATA-LABELS", "from 1.0 to 2.0"),
    "too many": ((np.repeat(x, 300, axis=0), np.repeat(y, 300)), "FL-DATA-TOO-MANY", "12000 examples, the task allows"),
    "beyond float32": ((x.astype(np.float64) * 1e200, y), "FL-DATA-NOT-FINITE", "beyond float32"),
    "a bad client among good ones": ({"a": (x, y), "ward 7": (x[:, :2], y)}, "FL-DATA-SHAPE", "ward 7"),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_does_not_fit_the_model_is_refused_before_training(description, name):
    given, code, says = BAD[name]
    for trainer in (TFFTrainer(given, path="in-process"), TFFTrainer(data(), holdout=given, path="in-process")):
        if name == "too many" and trainer._holdout is not None:
            continue  # nothing is claimed for a holdout, so it may be of any size
        with pytest.raises(DataError, match=says) as refusal:
            trainer.check(task_of(description), description.initial)
        assert refusal.value.code == code
        assert refusal.value.remedy


def test_an_empty_or_odd_dataset_is_refused(description):
    tf = libraries().tf
    for dataset, code in (
        (tf.data.Dataset.from_tensor_slices((x, y)).take(0), "FL-DATA-EMPTY"),
        (tf.data.Dataset.range(5), "FL-DATA-TYPE"),
        (tf.data.Dataset.from_tensor_slices((x[..., None, None], y)).batch(3), "FL-DATA-SHAPE"),
    ):
        with pytest.raises(DataError) as refusal:
            TFFTrainer(dataset, path="in-process").check(task_of(description), description.initial)
        assert refusal.value.code == code
    with pytest.raises(DataError, match="FL-DATA-EMPTY"):
        TFFTrainer({})


@pytest.mark.parametrize("path", ["in-process", "executor"])
def test_training_that_diverges_is_an_error_and_not_an_update(path):
    description = describe_keras_model(keras_model(activation=None), "mean_squared_error")
    task = task_of(description, learning_rate="1000000", epochs=30)
    with pytest.raises(TrainingError, match="FL-TRAIN-DIVERGED"):
        TFFTrainer((x * 1e6, y * 1e6), path=path).train(task, description.initial, 1)


def test_a_numpy_model_is_for_another_trainer():
    mlp = describe_mlp([FEATURES, 1])
    with pytest.raises(ModelError, match=r"FL-MODEL-KIND.*'numpy-mlp'.*'keras'"):
        TFFTrainer(data(), path="in-process").check(task_of(mlp), mlp.initial)


@pytest.mark.parametrize(("said", "found"), [(None, "True"), ("0", "False")])
def test_every_processor_computes_with_onednn_unless_the_environment_says_otherwise(said, found):
    code = (
        "from fabric_fl.learning.tff_runtime import libraries; libraries();"
        "from tensorflow.python.util import _pywrap_util_port as port; print(port.IsMklEnabled())"
    )
    name = "TF_ENABLE_ONEDNN_OPTS"
    environment = {other: value for other, value in os.environ.items() if other != name}
    environment |= {} if said is None else {name: said}
    finished = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    assert finished.stdout.strip() == found


class Recorded:
    """Stands in for KeptMemory, which tests/unit/test_kept_memory.py tries alone."""

    said: list[str]

    def hold(self) -> None:
        self.said.append("hold")

    def release(self) -> None:
        self.said.append("release")


def test_memory_is_kept_while_a_task_is_trained_in_process_and_only_then(description, monkeypatch):
    monkeypatch.setattr("fabric_fl.learning.tff_work.KeptMemory", Recorded)
    said: dict[str, list[str]] = {}
    for path in ("in-process", "executor"):
        said[path] = Recorded.said = []
        trainer = TFFTrainer(data(), path=path)
        trainer.train(task_of(description), description.initial, 1)
        trainer.train(task_of(description, learning_rate="0.5"), description.initial, 1)
        trainer.close()
    assert said == {"in-process": ["hold", "release", "hold", "release"], "executor": []}


def test_what_was_written_for_a_task_goes_with_the_next_and_with_the_trainer(description, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def folders():
        return set(tmp_path.glob("fabric-fl-training-*"))

    trainer = TFFTrainer(data(), path="executor")
    gc.disable()  # it finds what nobody needs at some time or other
    try:
        trainer.train(task_of(description), description.initial, 1)
        first = folders()
        trainer.train(task_of(description, learning_rate="0.5"), description.initial, 1)
        second = folders()
        trainer.close()
    finally:
        gc.enable()

    assert len(first) == len(second) == 1
    assert first != second
    assert folders() == set()


def test_evaluating_needs_a_holdout(description):
    with pytest.raises(DataError, match="FL-DATA-HOLDOUT"):
        TFFTrainer(data(), path="in-process").evaluate(task_of(description), description.initial)


def test_a_trainer_works_on_after_tff_traced_a_model_of_its_own(description):
    """TFF traces in a graph, which breaks every Keras model made before; compiled functions are not touched."""
    trainer, task = TFFTrainer(data(), holdout=data(10)), task_of(description)
    before = digest_of(trainer.train(task, description.initial, 7))
    TFFTrainer(data(), path="executor").train(task, description.initial, 7)
    assert digest_of(trainer.train(task, description.initial, 7)) == before
    assert trainer.evaluate(task, description.initial)["loss"] > 0
