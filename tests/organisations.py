"""Three organisations on one ledger in memory, each with folder, store, thread and a numpy model of its own."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from waiting import wait_for

from fabric_fl import CommittedModel, Participant
from fabric_fl.aggregation import AggregationResult, AggregationWorker, RoundInputs, read_model, write
from fabric_fl.aggregation.codec import ModelBlob
from fabric_fl.aggregation.tensors import Tensors
from fabric_fl.blobs import BlobStore
from fabric_fl.learning import NumpyTrainer, describe_mlp
from fabric_fl.ledger import FLLedger
from fabric_fl.memory_ledger import MemoryLedger
from fl_chaincode import hashes

ORGANISATIONS = ("Org1MSP", "Org2MSP", "Org3MSP")
TASK = "task-1"
BUDGET = 1_000_003


def patients(seed: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Returns features, float32[count, 4], and labels, float32[count, 1], of a separable problem."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 4)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5, 0.0]) > 0).astype(np.float32).reshape(-1, 1)
    return x, y


def trainer(index: int) -> NumpyTrainer:
    return NumpyTrainer(patients(index, 30 + 10 * index), holdout=patients(100 + index))


def specification(**changes: Any) -> dict[str, Any]:
    """Returns a task of three rounds with two of three selected."""
    return {
        "schema": 1,
        "id": TASK,
        "trainers": list(ORGANISATIONS),
        "validators": list(ORGANISATIONS),
        "q": 2,
        "k": 2,
        "min_updates": 1,
        "rounds": 3,
        "patience_s": 1,
        "training": {"optimizer": "sgd", "learning_rate": "0.5", "epochs": 1, "batch_size": 8},
        "server": {"step": "fedavg", "learning_rate": "1"},
        "quantisation": {"f": 24, "bound": 2**30},
        "max_examples": 1000,
        "aggregation": {"rule": "none"},
        "scoring": {"rule": "leave-one-out", "cap_percent": 200},
        "budget": BUDGET,
        "horizon_rounds": 10,
    } | changes


def task_specification(folder: Path, store: BlobStore, **changes: Any) -> dict[str, Any]:
    """Publishes the initial model of a small network in a store; returns the task that starts from it."""
    described = describe_mlp([4, 3, 1], loss="binary_crossentropy", seed=0)
    folder.mkdir(parents=True, exist_ok=True)
    file = write(described.initial, folder / "initial.safetensors")
    store.put(file.path, file.digest)
    return specification(**changes) | {"model": described.to_spec(file)}


def once_committed(ledger: FLLedger, j: int) -> None:
    """Waits until the task has so many models."""
    wait_for(lambda: ledger.latest_model(TASK).j >= j, 30)


class Consortium:
    """The organisations, and the threads in which they take part.

    Args:
        folder: where private folders and stores lie.
        task: the task's id, on which selection and training seeds depend.
        worker: sums for all of them; each starts its own where none is lent.
    """

    def __init__(self, folder: Path, task: str = TASK, worker: AggregationWorker | None = None) -> None:
        self._worker = worker
        self.task = task
        self.chain = MemoryLedger(ORGANISATIONS)
        self.folder = folder
        self.ledgers = {msp_id: self.chain.client(msp_id) for msp_id in ORGANISATIONS}
        self.stores = {msp_id: BlobStore(folder / msp_id / "store") for msp_id in ORGANISATIONS}
        self.steps: list[tuple[str, str, int]] = []
        self.models: dict[str, CommittedModel] = {}
        self.failures: dict[str, BaseException] = {}
        self.tolerated = False  # whether the others go on when one fails
        self._stop = threading.Event()

    def create_task(self, **changes: Any) -> None:
        """Registers everybody, issues the budget and creates the task."""
        self.ledgers["Org1MSP"].init_consortium()
        for msp_id, ledger in self.ledgers.items():
            ledger.register(msp_id)
        for msp_id in ORGANISATIONS[:2]:
            self.ledgers[msp_id].issue("budget", "Org1MSP", BUDGET)
        spec = task_specification(self.folder, self.stores["Org1MSP"], id=self.task, **changes)
        entries = [entry.id for entry in self.ledgers["Org1MSP"].entries("Org1MSP")]
        self.ledgers["Org1MSP"].create_task(spec, entries if spec["budget"] else [])

    def participant(
        self,
        msp_id: str,
        *,
        ledger: FLLedger | None = None,
        worker: AggregationWorker | None = None,
        store: BlobStore | None = None,
        others: Mapping[str, BlobStore] | None = None,
        on_step: Callable[[str, str, int], None] | None = None,
    ) -> Participant:
        """Returns a participant; what is passed stands in for its own, honest part."""

        def note(step: str, task: str, number: int) -> None:
            self.steps.append((msp_id, step, number))
            if on_step is not None:
                on_step(step, task, number)

        return Participant(
            msp_id,
            ledger or self.ledgers[msp_id],
            private=self.folder / msp_id / "private",
            store=store or self.stores[msp_id],
            others=dict(self.stores if others is None else others),
            trainer=trainer(ORGANISATIONS.index(msp_id)),
            on_step=note,
            worker=worker or self._worker,
        )

    def run(
        self,
        participants: Sequence[Participant] | None = None,
        *,
        until: Callable[[], bool] = lambda: False,
        seconds: float = 60,
    ) -> None:
        """Lets them take part until the task has ended for each of them, or something has come about.

        Raises:
            AssertionError: one failed, or did not end in time.
        """
        self._stop.clear()
        chosen = participants if participants is not None else [self.participant(one) for one in ORGANISATIONS]
        threads = [threading.Thread(target=self._take_part, args=(one,), daemon=True) for one in chosen]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + seconds
        while any(thread.is_alive() for thread in threads) and not until() and time.monotonic() < deadline:
            time.sleep(0.05)
        reached = until()
        stuck = [thread for thread in threads if thread.is_alive()]
        self._stop.set()
        for thread in stuck:
            thread.join(timeout=5)
        for one in chosen:
            one.close()
        if self.failures and not self.tolerated:
            raise next(iter(self.failures.values()))
        assert reached or not stuck, f"the task did not end; steps so far: {self.steps}"

    def _take_part(self, participant: Participant) -> None:
        try:
            self.models[participant.msp_id] = participant.run(self.task, stop=self._stop)
        except BaseException as failure:
            self.failures[participant.msp_id] = failure
            if not self.tolerated:
                self._stop.set()


class FlippedBit:
    """A worker that computes right and then flips the lowest bit of one weight."""

    def __init__(self, worker: AggregationWorker) -> None:
        self._worker = worker

    def aggregate(self, inputs: RoundInputs, directory: Path) -> AggregationResult:
        result = self._worker.aggregate(inputs, directory)
        blob = read_model(result.model.path, result.model.digest, result.model.size)
        arrays = {name: array.copy() for name, array in blob.tensors.items()}
        first = arrays[blob.tensors.names[0]].reshape(-1).view(np.uint32)
        first[0] ^= 1
        model = write(ModelBlob(Tensors(arrays)), directory / "model.safetensors")
        wrong = hashes.result_digest(
            inputs.task,
            inputs.round,
            inputs.attempt,
            inputs.base,
            result.included,
            result.refused,
            model.digest,
            result.state.digest,
        )
        return dataclasses.replace(result, model=model, result=wrong, aggregate="f" * 64)

    def leave_one_out_models(self, *args: Any) -> Any:
        return self._worker.leave_one_out_models(*args)
