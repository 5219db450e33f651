"""Exported program state goes on in a program that has TFF and not this project, for every server step."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soaking import SOAKING
from tff_rounds import STEPS, slot, task_of
from tff_tasks import run_program

from fabric_fl.aggregation import ModelBlob, StateBlob, Tensors, server_step, write
from fabric_fl.learning import LearningError, ModelError
from fabric_fl.learning.program_state import save_program_state

pytestmark = [
    pytest.mark.tff,
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),  # within Keras
]

NUMBER = 7
# FedAvgM's momentum goes through the command in test_models_export.py; FedAdam keeps what FedYogi keeps.
TRIED = tuple(STEPS) if SOAKING else ("fedavg", "fedadagrad", "fedyogi")

WRITE = """
import json, os, sys
from pathlib import Path
from fabric_fl.aggregation import read_model, read_state
from fabric_fl.learning.program_state import save_program_state
from fl_chaincode.records import Task
for task, (model, digest, size), (state, state_digest, state_size), folder in json.load(sys.stdin):
    read = read_model(Path(model), digest, size), read_state(Path(state), state_digest, state_size)
    save_program_state(Path(folder), Task.from_json(task), 7, *read)
os._exit(0)
"""

# What somebody writes who has the model, TFF and the folders. The numbers in the server optimizers come with the state.
RESTORE = """
import asyncio, json, os, sys
import numpy as np, tensorflow as tf, tensorflow_federated as tff
optimizers = tff.learning.optimizers
servers = {
    "fedavg": optimizers.build_sgdm(1.0),
    "fedavgm": optimizers.build_sgdm(1.0, momentum=0.5),
    "fedadagrad": optimizers.build_adagrad(1.0),
    "fedadam": optimizers.build_adam(1.0),
    "fedyogi": optimizers.build_yogi(1.0),
}
def model_fn():
    dense = tf.keras.layers.Dense
    layers = [tf.keras.layers.InputLayer((6,)), dense(5, activation="tanh"), dense(1, activation="sigmoid")]
    spec = tf.TensorSpec((None, 6)), tf.TensorSpec((None, 1))
    loss = tf.keras.losses.BinaryCrossentropy()
    return tff.learning.models.from_keras_model(tf.keras.Sequential(layers), loss=loss, input_spec=spec)
x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(8, 6)
data = tf.data.Dataset.from_tensor_slices((x, np.float32([[0], [1]] * 4))).batch(4)
def flat(arrays):
    return np.concatenate([np.ravel(array) for array in arrays]).tolist()
found = {}
for step in sys.argv[2:]:
    server = servers[step]
    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn, client_optimizer_fn=optimizers.build_sgdm(0.1), server_optimizer_fn=server)
    manager = tff.program.FileProgramStateManager(os.path.join(sys.argv[1], step))
    state, version = asyncio.run(manager.load_latest(process.initialize()))
    after = process.next(state, [data]).state
    found[step] = {
        "version": version,
        "weights": flat(state.global_model_weights.trainable),
        "server": {name: flat(value) if isinstance(value, (list, tuple)) else float(value)
                   for name, value in state.finalizer.items()},
        "after": flat(after.global_model_weights.trainable),
    }
assert not any(name.startswith(("fabric_fl", "fl_chaincode")) for name in sys.modules)
print(json.dumps(found), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def committed() -> dict[str, tuple[Any, ModelBlob, StateBlob]]:
    """For every server step a task, the same weights, and a state such as some rounds leave behind."""
    generator = np.random.default_rng(5)
    found = {}
    for step in TRIED:
        task, description = task_of(step, 2)
        weights = {name: array.astype(np.float64) for name, array in description.initial.tensors.items()}
        slots = {"w": Tensors(weights)}
        for name in sorted({*server_step({"step": step} | STEPS[step]).slots} - {"w"}):
            low = -0.05 if name == "m" else 0.001
            slots[name] = Tensors({key: generator.uniform(low, 0.05, array.shape) for key, array in weights.items()})
        found[step] = task, description.initial, StateBlob(slots)
    return found


@pytest.fixture(scope="module")
def restored(committed: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("exported")
    orders = []
    for step, (task, model, state) in committed.items():
        files = [write(blob, folder / f"{step}.{name}") for name, blob in (("model", model), ("state", state))]
        written = [(str(file.path), file.digest, file.size) for file in files]
        orders.append((task.to_json(), *written, str(folder / step)))
    run_program(WRITE, folder, given=json.dumps(orders))
    found: dict[str, Any] = json.loads(run_program(RESTORE, folder, folder, *TRIED))
    return found


@pytest.mark.soak
@pytest.mark.parametrize("step", TRIED)
def test_weights_and_state_are_the_committed_ones(
    step: str, committed: Any, restored: Any, record_property: Callable[[str, object], None]
) -> None:
    record_property("count", 1)
    task, model, state = committed[step]
    found = restored[step]
    assert found["version"] == NUMBER
    np.testing.assert_array_equal(np.float32(found["weights"]), model.tensors.flat())
    named = {"m": "accumulator", "v": "preconditioner"}
    assert {named[name] for name in state.slots if name != "w"} == set(named.values()) & set(found["server"])
    for name in set(state.slots) - {"w"}:
        np.testing.assert_array_equal(np.float32(found["server"][named[name]]), np.float32(slot(state, name)))
    sent = task.server.to_json()
    numbers = {name: sent[name] for name in set(sent) & set(found["server"]) - {"step"}}  # TFF's step is a number
    if step == "fedadagrad":
        numbers["epsilon"] = "0"  # TFF adds it below the root
    assert {name: np.float32(found["server"][name]) for name in numbers} == {
        name: np.float32(value) for name, value in numbers.items()
    }
    assert "learning_rate" in numbers
    if "beta_2" in sent:  # no bias is corrected: 1 - beta^step is 1 to float32
        assert max(float(sent[beta]) for beta in ("beta_1", "beta_2")) ** found["server"]["step"] < 2.0**-25


@pytest.mark.soak
@pytest.mark.parametrize("step", TRIED)
def test_the_next_round_is_the_server_step_that_validators_take(
    step: str, committed: Any, restored: Any, record_property: Callable[[str, object], None]
) -> None:
    """The mean update d is read off FedAvg's round, which goes on from the same weights with the same data: w - w'.

    What float32 rounded there is at most an ulp of a weight below 2, 2^-23, and a slope (of the step, in d) of 6 at
    most, its root being 0.03 at least, takes it to 8e-7; the step's own roundings are smaller.
    """
    record_property("count", 1)
    _, _, state = committed[step]
    weights = np.float64(restored["fedavg"]["weights"])
    d = weights - np.float64(restored["fedavg"]["after"])
    assert np.abs(d).max() > 0.005
    exact = server_step({"step": step} | STEPS[step])
    before = {name: slot(state, name) for name in exact.slots}
    after = exact.apply(before, d)["w"]
    assert np.abs(after - weights).max() > 0.005
    np.testing.assert_allclose(np.float64(restored[step]["after"]), after, rtol=0, atol=1e-6)


def test_a_folder_that_holds_something_is_left_alone(committed: Any, tmp_path: Path) -> None:
    (tmp_path / "program_state_1").mkdir()
    with pytest.raises(LearningError, match=r"FL-EXPORT-EXISTS.*no empty folder"):
        save_program_state(tmp_path, committed["fedavg"][0], NUMBER, *committed["fedavg"][1:])
    assert [path.name for path in tmp_path.rglob("*")] == ["program_state_1"]


def test_a_process_that_cannot_save_says_so_before_it_writes(committed: Any, tmp_path: Path) -> None:
    assert "wrapt._wrappers" in sys.modules  # by TensorFlow, for the models above
    with pytest.raises(LearningError, match="FL-EXPORT-PROCESS") as refusal:
        save_program_state(tmp_path / "new", committed["fedavg"][0], NUMBER, *committed["fedavg"][1:])
    assert "WRAPT_DISABLE_EXTENSIONS=1" in str(refusal.value.remedy)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_kerass_is_refused(committed: Any, tmp_path: Path) -> None:
    task, model, state = committed["fedavg"]
    numpy_task = replace(task, model=replace(task.model, kind="numpy-mlp"))
    with pytest.raises(ModelError, match=r"FL-MODEL-KIND.*'numpy-mlp'") as refusal:
        save_program_state(tmp_path / "new", numpy_task, NUMBER, model, state)
    assert "models fetch" in str(refusal.value.remedy)
