"""TensorFlow Federated's trainer with data that does not fit, on a real network: told before anything is sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from devnet_tasks import three_organisations
from organisations import patients

from fabric_fl.aggregation import ModelBlob, Tensors, digest, encode, write
from fabric_fl.blobs import BlobStore
from fabric_fl.errors import FabricFLError
from fabric_fl.learning import (
    ModelDescription,
    TFFTrainer,
    TrainingTask,
    TrainResult,
    describe_keras_model,
    training_seed,
)
from fabric_fl.learning.tff_runtime import libraries

pytestmark = [
    pytest.mark.tff,
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),  # within Keras
]


def keras_model() -> ModelDescription:
    keras = libraries().tf.keras
    keras.utils.set_random_seed(0)
    layers = [keras.layers.InputLayer((4,)), keras.layers.Dense(1, activation="sigmoid")]
    return describe_keras_model(keras.Sequential(layers), loss="binary_crossentropy")


def stepped(initial: ModelBlob, result: TrainResult) -> str:
    """Returns the digest of the model after one update alone, quantised to 2^-24 and taken whole."""
    after = {}
    for name, weights in initial.tensors.items():
        rounded = np.rint(result.delta[name].astype(np.float64) * 2**24) / 2**24
        after[name] = (weights.astype(np.float64) - rounded).astype(np.float32)
    return digest(encode(ModelBlob(Tensors(after))))


def test_tff_refuses_data_that_does_not_fit_and_trains_when_they_do(tmp_path: Path) -> None:
    x, y = patients(2)
    broken = x.copy()
    broken[0, 0] = np.nan
    with pytest.raises(FabricFLError, match="FL-DATA-NOT-FINITE: the features of 1 examples hold NaN"):
        TFFTrainer((broken, y))
    described = keras_model()
    with three_organisations() as tasks:
        file = write(described.initial, tmp_path / "initial.safetensors")
        BlobStore(tasks.folder("Org1MSP") / "blobs").put(file.path, file.digest)
        changes = {"trainers": ["Org2MSP"], "k": 1, "min_updates": 1, "scoring": {"rule": "none", "cap_percent": 200}}
        task = tasks.create("keras", model=described.to_spec(file), **changes)
        with tasks.running(task, "Org1MSP", "Org3MSP"):
            unfit = tasks.participant("Org2MSP", trainer=TFFTrainer((x[:, :3], y)))
            with unfit, pytest.raises(FabricFLError, match="FL-DATA-SHAPE: client client: each example") as failure:
                unfit.run(task)
            assert failure.value.remedy.startswith("Prepare the data as the task's model takes it")
            assert tasks.ledgers["Org1MSP"].status(task).submitted == ()

            trainer = TFFTrainer((x, y))
            with tasks.participant("Org2MSP", trainer=trainer) as me:
                model = me.run(task)
    seed = training_seed(task, 1, "Org2MSP")
    alone = trainer.train(TrainingTask.from_spec(model.task), described.initial, seed)
    assert model.digest == stepped(described.initial, alone)
