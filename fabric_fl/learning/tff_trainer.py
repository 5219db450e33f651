"""Training with TensorFlow Federated: an organisation's local clients are TFF clients."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fabric_fl.aggregation import Layout, ModelBlob, Tensors
from fabric_fl.learning.architecture import check_architecture
from fabric_fl.learning.data import Array, Examples
from fabric_fl.learning.errors import DataError, TrainingError
from fabric_fl.learning.tff_data import Clients
from fabric_fl.learning.tff_executor import Executor
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_model import KIND, require_weights
from fabric_fl.learning.tff_runtime import end_workers, libraries, require_platform
from fabric_fl.learning.tff_work import Client, InProcess, Work
from fabric_fl.learning.trainer import TrainingTask, TrainResult, require_kind


@dataclass(frozen=True)
class _Prepared:
    """All that was compiled for a task, and the data as tensors."""

    interface: Interface
    in_process: InProcess
    work: Work
    clients: Mapping[str, tuple[Examples, Any, Any]]


class TFFTrainer:
    """Trains and evaluates a Keras model on one organisation's data.

    Several local clients train apart from each other; the organisation's update is their mean weighted by examples, as
    if each took part itself.

    Args:
        data: A pair (features, labels) of arrays, a `tf.data.Dataset` of such pairs (batched or not), or a mapping of
            local clients' names to either. Everything is held in memory.
        holdout: Likewise, for scoring and evaluation; never trained on.
        path: `executor` trains in TFF's executor: the same bits as `build_model_delta_client_work`, whatever the
            optimizer. `in-process` compiles the same loop with the TensorFlow that is imported, which differs from the
            executor's build in the last bits of `tanh`, `exp` and their like: equal to the quantisation step with sgd,
            while adaptive optimizers amplify the difference. It saves some 10 ms a round and a process.

    Raises:
        LearningUnavailableError: TFF does not run on this platform.
        DataError: The data are not finite numbers, or empty.
    """

    def __init__(self, data: Any, holdout: Any = None, *, path: Literal["executor", "in-process"] = "executor") -> None:
        require_platform()
        self._data = Clients(data)
        self._holdout = None if holdout is None else Clients(holdout)
        self._path = path
        self._key: tuple[TrainingTask, Layout] | None = None
        self._prepared: _Prepared | None = None
        self._lock = threading.Lock()  # a compiled model has one set of variables

    def check(self, task: TrainingTask, model: ModelBlob) -> None:
        """Refuse, before the first round, data that does not fit the task or its model."""
        with self._lock:
            prepared = self._prepare(task, model)
            if self._holdout is not None:
                self._holdout_arrays(prepared)

    def train(self, task: TrainingTask, model: ModelBlob, seed: int) -> TrainResult:
        """Train every local client from these weights. The same arguments give the same bits."""
        with self._lock:
            prepared = self._prepare(task, model)
            weights = model.tensors.arrays()
            clients, counts = [], []
            for name, (examples, x, y) in prepared.clients.items():
                batches = examples.batches(task.batch_size, _client_seed(seed, name), task.epochs)
                clients.append(Client(x, y, batches))
                counts.append(len(examples))
            deltas = prepared.work.train(weights, clients, seed)
        for name, delta in zip(prepared.clients, deltas, strict=True):
            if not all(np.isfinite(array).all() for array in delta):
                raise TrainingError(f"training diverged at client {name}: the weights are not finite any more")
        mean = _weighted_mean(deltas, counts)
        return TrainResult(Tensors(dict(zip(model.tensors.names, mean, strict=True))), sum(counts))

    def evaluate(self, task: TrainingTask, model: ModelBlob) -> dict[str, float]:
        """Loss and, where there are classes, accuracy on the holdout.

        Raises:
            DataError: There is no holdout (FL-DATA-HOLDOUT), or it does not fit the model.
        """
        with self._lock:
            prepared = self._prepare(task, model)
            x, y = self._holdout_arrays(prepared)
            tf = libraries().tf
            loss, predictions = prepared.in_process.evaluate(model.tensors.arrays(), tf.constant(x), tf.constant(y))
        accuracy = prepared.interface.accuracy(predictions, y)
        return {"loss": loss} if accuracy is None else {"loss": loss, "accuracy": accuracy}

    def close(self) -> None:
        """End TFF's executor, if this process started one, remove what was written for it, give back memory."""
        if self._prepared is not None:
            self._prepared.work.close()
            self._key, self._prepared = None, None
        end_workers()

    def _prepare(self, task: TrainingTask, model: ModelBlob) -> _Prepared:
        """Check and compile once for a task; the weights change from round to round, their shapes do not."""
        if self._prepared is not None and self._key == (task, model.layout):
            return self._prepared
        require_kind(task, KIND)
        check_architecture(task.architecture)
        require_weights(task.architecture, model)
        in_process = InProcess(task)
        interface, tf = in_process.interface, libraries().tf
        clients = {}
        for name, examples in self._data.fit(interface.input_shape, task.max_examples).items():
            try:
                x, y = interface.prepare(examples)
            except DataError as error:
                raise DataError(f"client {name}: {error.message}", code=error.code) from error
            clients[name] = (examples, tf.constant(x), tf.constant(y))
        work: Work = in_process
        if self._path == "executor" and not in_process.draws:
            work = Executor(task, interface, model.tensors.shapes)
        if self._prepared is not None:
            self._prepared.work.close()
        self._key, self._prepared = (task, model.layout), _Prepared(interface, in_process, work, clients)
        return self._prepared

    def _holdout_arrays(self, prepared: _Prepared) -> tuple[Array, Array]:
        if self._holdout is None:
            raise DataError("this trainer was given no holdout", code="FL-DATA-HOLDOUT")
        found = self._holdout.fit(prepared.interface.input_shape, None).values()
        pairs = [prepared.interface.prepare(examples) for examples in found]
        return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


def _client_seed(seed: int, name: str) -> int:
    """Local clients draw their batches independently of each other."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{name}".encode()).digest()[:8], "big")


def _weighted_mean(deltas: Sequence[Sequence[Array]], counts: Sequence[int]) -> list[Array]:
    if len(deltas) == 1:
        return list(deltas[0])
    total = np.float64(sum(counts))
    means: list[Array] = []
    for arrays in zip(*deltas, strict=True):
        weighted = np.zeros(arrays[0].shape, np.float64)
        for array, count in zip(arrays, counts, strict=True):
            weighted += np.float64(count) * array.astype(np.float64)
        means.append(weighted / total)
    return means
