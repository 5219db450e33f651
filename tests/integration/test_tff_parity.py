"""One round through the exact aggregation equals one round of TFF's own `build_weighted_fed_avg`."""

import numpy as np
import pytest
from tff_tasks import data, keras_model, task_of

from fabric_fl.aggregation import (
    RoundInputs,
    UpdateInput,
    aggregate,
    read_model,
    write,
)
from fabric_fl.learning import TFFTrainer, build_keras_model, describe_keras_model, make_update, training_seed
from fabric_fl.learning.data import Examples
from fabric_fl.learning.tff_data import client_dataset
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_model import OPTIMIZERS, make_optimizer, model_fn
from fabric_fl.learning.tff_runtime import libraries
from fabric_fl.learning.tff_trainer import _client_seed

pytestmark = [
    pytest.mark.tff,
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),  # within Keras
]

PATHS = ("in-process", "executor")
F, BOUND = 24, 2**31 - 1


def committed_model(tmp_path, task, description, trainers):
    """The model of one round with an organisation for each trainer."""
    updates = []
    for name, trainer in trainers.items():
        result = trainer.train(task, description.initial, training_seed("parity", 1, name))
        blob = make_update(result, task="parity", round=1, participant=name, base="ab" * 32, f=F, bound=BOUND)
        file = write(blob, tmp_path / name)
        updates.append(UpdateInput(name, file.path, file.digest, file.size, result.num_examples))
    inputs = RoundInputs(
        task="parity",
        round=1,
        attempt=1,
        base="ab" * 32,
        model=write(description.initial, tmp_path / "base"),
        state=None,
        updates=tuple(updates),
        f=F,
        bound=BOUND,
        max_examples=task.max_examples,
        server={"step": "fedavg", "learning_rate": "1"},
    )
    file = aggregate(inputs, tmp_path).model
    return read_model(file.path, file.digest, file.size).tensors.arrays()


def model_of_tff(task, description, clients):
    """The model of one round of `build_weighted_fed_avg` over the same clients, batches and weights."""
    libraries_ = libraries()
    tf, learning = libraries_.tf, libraries_.tff.learning
    interface = Interface.of(build_keras_model(task.architecture), task.loss)
    process = learning.algorithms.build_weighted_fed_avg(
        model_fn(task.architecture, task.loss, interface.spec()),
        client_optimizer_fn=make_optimizer(task.optimizer, task.learning_rate),
        server_optimizer_fn=learning.optimizers.build_sgdm(1.0),
    )
    weights = learning.models.ModelWeights(trainable=description.initial.tensors.arrays(), non_trainable=[])
    state = process.set_model_weights(process.initialize(), weights)
    datasets = []
    for organisation, client, examples in clients:
        x, y = interface.prepare(examples)
        seed = _client_seed(training_seed("parity", 1, organisation), client)
        batches = examples.batches(task.batch_size, seed, task.epochs)
        datasets.append(client_dataset(tf.constant(x), tf.constant(y), batches))
    return list(process.get_model_weights(process.next(state, datasets).state).trainable)


def assert_within_a_quantisation_step_and_four_ulp(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        distance = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
        assert np.all(distance <= 2.0**-F + 4 * np.spacing(np.abs(theirs)))


def assert_training_moved_the_weights(found, description):
    moved = [np.abs(a - b).max() for a, b in zip(found, description.initial.tensors.arrays(), strict=True)]
    assert max(moved) > 0.01


# Adam's first steps are the gradients' signs, so to speak: it shows every bit in which two builds of TensorFlow differ,
# and TFF's executor is another build than the one that is imported. By client work both sides run in that executor.
@pytest.mark.parametrize(("path", "optimizer"), [("in-process", "sgd"), ("executor", "adam")])
def test_a_round_of_three_organisations_equals_tffs(tmp_path, path, optimizer):
    description = describe_keras_model(keras_model(), "binary_crossentropy")
    task = task_of(description, optimizer=optimizer, learning_rate="0.05")
    sizes = {"Org1MSP": 50, "Org2MSP": 23, "Org3MSP": 8}  # sizes that no batch size divides
    held = {name: data(count, seed=count) for name, count in sizes.items()}
    trainers = {name: TFFTrainer(pair, path=path) for name, pair in held.items()}
    found = committed_model(tmp_path, task, description, trainers)
    clients = [(name, "client", Examples.of(pair)) for name, pair in held.items()]
    expected = model_of_tff(task, description, clients)
    assert_within_a_quantisation_step_and_four_ulp(found, expected)
    assert_training_moved_the_weights(found, description)


def test_several_local_clients_count_as_if_each_took_part_itself(tmp_path):
    description = describe_keras_model(
        keras_model(outputs=3, activation=None), "sparse_categorical_crossentropy_from_logits"
    )
    task = task_of(description)
    wards = {"a": data(30, 1, classes=3), "b": data(11, 2, classes=3)}
    branches = {"c": data(9, 3, classes=3)}
    trainers = {"Org1MSP": TFFTrainer(wards), "Org2MSP": TFFTrainer(branches)}
    found = committed_model(tmp_path, task, description, trainers)
    clients = [("Org1MSP", name, Examples.of(pair)) for name, pair in wards.items()]
    clients += [("Org2MSP", name, Examples.of(pair)) for name, pair in branches.items()]
    assert_within_a_quantisation_step_and_four_ulp(found, model_of_tff(task, description, clients))
    assert_training_moved_the_weights(found, description)


def update_of_client_work(task, description, pair, seed):
    """What TFF's client work gives for one client alone."""
    libs = libraries()
    learning = libs.tff.learning
    interface = Interface.of(build_keras_model(task.architecture), task.loss)
    work = learning.templates.build_model_delta_client_work(
        model_fn(task.architecture, task.loss, interface.spec()),
        optimizer=make_optimizer(task.optimizer, task.learning_rate),
        client_weighting=learning.ClientWeighting.NUM_EXAMPLES,
    )
    weights = learning.models.ModelWeights(trainable=description.initial.tensors.arrays(), non_trainable=[])
    examples = Examples.of(pair)
    x, y = interface.prepare(examples)
    batches = examples.batches(task.batch_size, _client_seed(seed, "client"), task.epochs)
    dataset = client_dataset(libs.tf.constant(x), libs.tf.constant(y), batches)
    return work.next(work.initialize(), [weights], [dataset]).result[0].update


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_is_that_of_tffs_client_work_bit_by_bit(optimizer):
    description = describe_keras_model(keras_model(), "binary_crossentropy")
    task = task_of(description, optimizer=optimizer)
    ours = TFFTrainer(data()).train(task, description.initial, 7).delta
    for mine, theirs in zip(ours.arrays(), update_of_client_work(task, description, data(), 7), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert np.abs(ours.flat()).max() > 0.01


@pytest.mark.parametrize("optimizer", ["adam", "yogi"])
def test_every_optimizer_trains_in_process_as_in_tffs_executor(optimizer):
    description = describe_keras_model(keras_model(), "binary_crossentropy")
    task = task_of(description, optimizer=optimizer)
    here, there = (TFFTrainer(data(), path=path).train(task, description.initial, 1) for path in PATHS)
    # A thousandth of a step: some hundred times what the two builds' rounding was seen to amount to.
    np.testing.assert_allclose(here.delta.flat(), there.delta.flat(), rtol=0, atol=1e-3 * float(task.learning_rate))
    assert np.abs(here.delta.flat()).max() > 0.05
    assert here.num_examples == there.num_examples
