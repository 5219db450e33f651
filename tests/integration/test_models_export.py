"""`fabric-fl models export`: a committed model for programs that know nothing of this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from devnet_tasks import ORGANISATIONS, Tasks, three_organisations
from tff_tasks import run_program

from fabric_fl.aggregation import ModelBlob, Tensors, write
from fabric_fl.blobs import BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.learning import TrainingTask, TrainResult

pytestmark = pytest.mark.tff

TASK = "exported"
LAYERS = [("InputLayer", {"batch_input_shape": [None, 4], "dtype": "float32"}), ("Dense", {"units": 1})]
ARCHITECTURE = json.dumps(
    {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [{"class_name": name, "config": config} for name, config in LAYERS]},
    },
    separators=(",", ":"),
    sort_keys=True,
)
INITIAL = Tensors.in_order([("dense/kernel", np.ones((4, 1), np.float32)), ("dense/bias", np.zeros(1, np.float32))])

WITH_KERAS = """
import json, sys
import tensorflow as tf
model = tf.keras.models.load_model(sys.argv[1])
print(json.dumps(model(tf.constant(json.loads(sys.argv[2]))).numpy().tolist()))
assert not any(name.startswith("fabric_fl") for name in sys.modules)
"""

WITH_TFF = """
import asyncio, json, os, sys
import tensorflow as tf, tensorflow_federated as tff
def model_fn():
    model = tf.keras.Sequential([tf.keras.layers.InputLayer((4,)), tf.keras.layers.Dense(1)])
    spec = tf.TensorSpec((None, 4)), tf.TensorSpec((None, 1))
    return tff.learning.models.from_keras_model(model, loss=tf.keras.losses.MeanSquaredError(), input_spec=spec)
process = tff.learning.algorithms.build_weighted_fed_avg(
    model_fn,
    client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.1),
    server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0, momentum=0.5))
state, version = asyncio.run(tff.program.FileProgramStateManager(sys.argv[1]).load_latest(process.initialize()))
lists = [[array.tolist() for array in arrays] for arrays in
         (state.global_model_weights.trainable, state.finalizer["accumulator"])]
assert not any(name.startswith("fabric_fl") for name in sys.modules)
print(json.dumps([version, *lists]), flush=True)
os._exit(0)
"""


class Drifting:
    """A trainer whose update is known beforehand, and that needs no TensorFlow."""

    def check(self, task: TrainingTask, model: ModelBlob) -> None:
        assert task.kind == "keras"

    def train(self, task: TrainingTask, model: ModelBlob, seed: int) -> TrainResult:
        kernel = np.array([[0.5], [0.25], [-0.5], [0]], np.float32)
        return TrainResult(Tensors.in_order([("dense/kernel", kernel), ("dense/bias", np.full(1, -1, np.float32))]), 10)

    def evaluate(self, task: TrainingTask, model: ModelBlob) -> dict[str, float]:
        return {"loss": 0.0}

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasks]:
    with three_organisations() as running:
        file = write(ModelBlob(INITIAL), tmp_path_factory.mktemp("initial") / "initial")
        BlobStore(ConnectionProfile.load(running.folder("Org1MSP")).participant.store).put(file.path, file.digest)
        described = {"kind": "keras", "architecture": ARCHITECTURE, "loss": "mean_squared_error"}
        running.create(
            TASK,
            described | {"initial": file.digest, "size": file.size},
            rounds=2,
            server={"step": "fedavgm", "learning_rate": "1", "momentum": "0.5"},
            scoring={"rule": "none", "cap_percent": 200},
        )
        honest = running.participant
        running.participant = lambda msp_id: honest(msp_id, trainer=Drifting())
        with running.running(TASK, *ORGANISATIONS):
            pass
        yield running


def export(tasks: Tasks, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "fabric-fl", "models", "export", TASK, *arguments]
    profile = ["--profile", tasks.folder("Org2MSP")]
    return subprocess.run([*command, *profile], capture_output=True, text=True, check=False)


def printed(program: str, *arguments: str) -> object:
    """Runs a program that knows nothing of this project."""
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# Worked out by hand: d = (0.5, 0.25, -0.5, 0), bias -1 in both rounds; m = d, then 1.5 d; w = 1 - d - 1.5 d.
KERNEL_1, KERNEL_2 = [0.5, 0.75, 1.5, 1.0], [-0.25, 0.375, 2.25, 1.0]
BIAS_2 = 2.5
MOMENTUM_2 = [0.75, 0.375, -0.75, 0]  # 1.5 d


def test_the_models_are_those_worked_out_by_hand(tasks: Tasks) -> None:
    ledger = tasks.ledgers["Org1MSP"]
    for number, kernel in ((1, KERNEL_1), (2, KERNEL_2)):
        blob = tasks.folder("Org1MSP") / "blobs" / ledger.model(TASK, number).digest
        assert blob.read_bytes()[-20:-4] == np.float32(kernel).tobytes()


def test_a_committed_model_is_exported_as_plain_keras(tasks: Tasks, tmp_path: Path) -> None:
    file = str(tmp_path / "newest.keras")
    done = export(tasks, "--out", file, "--format", "json")
    assert done.returncode == 0, done.stderr
    digest = tasks.ledgers["Org1MSP"].latest_model(TASK).digest
    assert json.loads(done.stdout) == {"task": TASK, "model": 2, "digest": digest, "file": file}
    rows = np.eye(4, dtype=np.float32).tolist()
    assert printed(WITH_KERAS, file, json.dumps(rows)) == [[weight + BIAS_2] for weight in KERNEL_2]


def test_a_model_that_was_rebuilt_without_somebody_is_exported_as_plain_keras(tasks: Tasks, tmp_path: Path) -> None:
    """All updates of this task are equal, and so is what the others' come to."""
    file = str(tmp_path / "rebuilt.keras")
    command = [Path(sys.executable).parent / "fabric-fl", "audit", "replay", TASK, "--without", "Org3MSP"]
    profile = ["--profile", tasks.folder("Org2MSP"), "--output", file]
    done = subprocess.run([*command, *profile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Org1MSP,Org2MSP\n" in done.stdout
    rows = np.eye(4, dtype=np.float32).tolist()
    assert printed(WITH_KERAS, file, json.dumps(rows)) == [[weight + BIAS_2] for weight in KERNEL_2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rebuilt.keras", "rebuilt.state.safetensors"]


def test_a_committed_model_is_exported_as_the_state_of_a_tff_process(tasks: Tasks, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    done = export(tasks, "--as", "tff", "--out", folder, "--format", "json")
    assert done.returncode == 0, done.stderr
    digest = tasks.ledgers["Org1MSP"].latest_model(TASK).digest
    assert json.loads(done.stdout) == {
        "task": TASK,
        "model": 2,
        "digest": digest,
        "folder": str(folder),
        "version": 2,
    }
    weights = [[[weight] for weight in KERNEL_2], [BIAS_2]]
    assert json.loads(run_program(WITH_TFF, tmp_path, folder)) == [2, weights, [[[m] for m in MOMENTUM_2], [-1.5]]]

    again = export(tasks, "--as", "tff", "--out", folder, "--number", "1")
    assert again.returncode == 1
    assert "FL-EXPORT-EXISTS" in again.stderr
    assert [path.name for path in folder.iterdir()] == ["program_state_2"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Missing option '--out'"),
        (("--out", "model.h5"), "the file's name ends in .keras"),
        (("--out", "model.keras", "--as", "tff"), "a folder, not a .keras file"),
        (("--out", "missing/model", "--as", "tff"), "there is no folder"),
        (("--out", "missing/model.keras"), "FL-OUTPUT-FILE"),
        (("--out", "model", "--as", "tff", "--number", "9"), "FL-MODEL-UNKNOWN"),
        (("--out", "model.keras", "--number", "9"), "FL-MODEL-UNKNOWN"),
    ],
)
def test_what_cannot_be_exported_is_told(
    tasks: Tasks, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = export(tasks, *(str(tmp_path / one) if "model" in one else one for one in arguments))
    assert done.returncode in (1, 2)
    assert complaint in done.stderr
    assert list(tmp_path.iterdir()) == []
