"""The task that the coordinator creates: the model as data, and every number that the round depends on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fabric_fl.aggregation import write
from fabric_fl.blobs import BlobStore

TASK = "diagnosis"
ROUNDS = 10
BUDGET = 1_000_000  # smallest units of the consortium's token


def publish(folder: Path, store: BlobStore, participants: Sequence[str]) -> dict[str, Any]:
    """Publishes the initial model in the coordinator's store and returns the task's specification."""
    import keras

    from fabric_fl.learning import describe_keras_model

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.InputLayer(input_shape=(30,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    described = describe_keras_model(model, loss="binary_crossentropy")
    file = write(described.initial, folder / "initial.safetensors")
    store.put(file.path, file.digest)
    return {
        "schema": 1,
        "id": TASK,
        "trainers": sorted(participants),
        "validators": sorted(participants),
        "q": len(participants) // 2 + 1,
        "k": 2,
        "min_updates": 2,
        "rounds": ROUNDS,
        "patience_s": 120,
        "model": described.to_spec(file),
        "training": {"optimizer": "sgd", "learning_rate": "0.2", "epochs": 5, "batch_size": 8},
        "server": {"step": "fedavg", "learning_rate": "1"},
        "quantisation": {"f": 24, "bound": 2**30},
        "max_examples": 1000,
        "aggregation": {"rule": "none"},
        "scoring": {"rule": "leave-one-out", "cap_percent": 200},
        "budget": BUDGET,
        "horizon_rounds": ROUNDS,
    }
