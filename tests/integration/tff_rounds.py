"""Rounds through the exact aggregation, and the same clients, batches and weights for TFF's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from organisations import ORGANISATIONS, specification
from tff_tasks import data, keras_model

from fabric_fl.aggregation import (
    BlobFile,
    ModelBlob,
    RoundInputs,
    StateBlob,
    UpdateInput,
    aggregate,
    read_model,
    read_state,
    write,
)
from fabric_fl.learning import (
    ModelDescription,
    TFFTrainer,
    TrainingTask,
    build_keras_model,
    describe_keras_model,
    make_update,
    training_seed,
)
from fabric_fl.learning.data import Examples
from fabric_fl.learning.tff_data import client_dataset
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_runtime import libraries
from fabric_fl.learning.tff_trainer import _client_seed
from fl_chaincode import selection
from fl_chaincode.records import Task

F = 24
ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.01"}
STEPS = {
    "fedavg": {"learning_rate": "1"},
    "fedavgm": {"learning_rate": "0.5", "momentum": "0.9"},
    "fedadagrad": {"learning_rate": "0.1"} | ADAPTIVE | {"epsilon": "0.0000001"},
    "fedadam": {"learning_rate": "0.05", "beta_1": "0.9", "beta_2": "0.99"} | ADAPTIVE,
    "fedyogi": {"learning_rate": "0.05", "beta_1": "0.9", "beta_2": "0.99"} | ADAPTIVE,
}
# Several local clients an organisation, and sizes that no batch size divides.
CLIENTS: Mapping[str, Mapping[str, Any]] = {
    "Org1MSP": {"ward-a": data(50, 1), "ward-b": data(23, 2)},
    "Org2MSP": {"client": data(31, 3)},
    "Org3MSP": {"east": data(8, 4), "west": data(17, 5), "north": data(12, 6)},
}
TEST = data(2000, 99)


@dataclass(frozen=True)
class Committed:
    """What a round started from, who took part, and what it ended with."""

    number: int
    selected: Sequence[str]
    before: ModelBlob
    state_before: StateBlob | None
    after: ModelBlob
    state: StateBlob


# One model and one trainer for all tasks: what takes long is to compile them.
@cache
def described() -> ModelDescription:
    return describe_keras_model(keras_model(), "binary_crossentropy")


@cache
def trainer_of(name: str) -> TFFTrainer:
    return TFFTrainer(CLIENTS[name])


def task_of(step: str, k: int) -> tuple[Task, ModelDescription]:
    description = described()
    spec = specification(id=f"{step}-{k}", k=k, rounds=10, server={"step": step} | STEPS[step])
    model = {"kind": "keras", "architecture": description.architecture, "loss": description.loss}
    training = {"optimizer": "sgd", "learning_rate": "0.1", "epochs": 2, "batch_size": 8}
    record = {"model": model | {"initial": "ab" * 32, "size": 1}, "training": training, "sponsor": "Org1MSP"}
    return Task.from_json({"purpose": None, "stop": None} | spec | record), description


def run_rounds(task: Task, initial: ModelBlob, folder: Path, rounds: int) -> list[Committed]:
    training = TrainingTask.from_spec(task)
    file, state_file = write(initial, folder / "initial"), None
    model, state, base, found = initial, None, "ab" * 32, []
    for number in range(1, rounds + 1):
        place = folder / str(number)
        place.mkdir()
        selected = selection.order(task.id, number, base, ORGANISATIONS, ())[: task.k]
        updates = []
        for name in sorted(selected):
            trained = trainer_of(name).train(training, model, training_seed(task.id, number, name))
            header = {"task": task.id, "round": number, "participant": name, "base": base}
            blob = make_update(trained, **header, f=F, bound=2**30)
            update = write(blob, place / name)
            updates.append(UpdateInput(name, update.path, update.digest, update.size, trained.num_examples))
        inputs = RoundInputs(
            task=task.id,
            round=number,
            attempt=1,
            base=base,
            model=file,
            state=state_file,
            updates=tuple(updates),
            f=F,
            bound=2**30,
            max_examples=task.max_examples,
            server=task.server.to_json(),
        )
        result = aggregate(inputs, place)
        file, state_file, base = result.model, result.state, result.model.digest
        after, after_state = read_model(*fields(file)), read_state(*fields(state_file))
        found.append(Committed(number, sorted(selected), model, state, after, after_state))
        model, state = after, after_state
    return found


def fields(file: BlobFile) -> tuple[Path, str, int]:
    return file.path, file.digest, file.size


def datasets(task: Task, number: int, selected: Sequence[str]) -> list[Any]:
    tf = libraries().tf
    interface = Interface.of(build_keras_model(task.model.architecture), task.model.loss)
    found = []
    for name in selected:
        for client in sorted(CLIENTS[name]):
            examples = Examples.of(CLIENTS[name][client])
            x, y = interface.prepare(examples)
            seed = _client_seed(training_seed(task.id, number, name), client)
            batches = examples.batches(task.training.batch_size, seed, task.training.epochs)
            found.append(client_dataset(tf.constant(x), tf.constant(y), batches))
    return found


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def slot(state: StateBlob, name: str) -> np.ndarray:
    return flat(state.slots[name].arrays())
