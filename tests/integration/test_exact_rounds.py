"""Whole rounds give the same digests, in whatever order updates arrive and whatever else a process has loaded."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from devnet_tasks import three_organisations, undisturbed
from organisations import ORGANISATIONS, TASK, specification, trainer

from fabric_fl import Participant
from fabric_fl.aggregation import AggregationWorker, write
from fabric_fl.blobs import BlobStore
from fabric_fl.learning import describe_mlp
from fabric_fl.memory_ledger import MemoryLedger
from fl_chaincode.records import Model

FOUR = (*ORGANISATIONS, "Org4MSP")
PROGRAM = Path(__file__).with_name("organisation_process.py")
WITH_TENSORFLOW = f"""
import os, runpy, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
tf.linalg.matmul(tf.ones((64, 64)), tf.ones((64, 64)))  # its thread pools are running
sys.argv = [{str(PROGRAM)!r}, *sys.argv[1:]]
runpy.run_path({str(PROGRAM)!r}, run_name="__main__")
"""


class Turns:
    """Lets participants take two steps of a round, to submit and to reveal, in a given order only."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self._order = order
        self._taken = {(step, one): threading.Event() for step in ("submitted", "revealed") for one in order}
        self.seen: dict[str, list[str]] = {"submitted": [], "revealed": []}

    def observe(self, me: str, step: str) -> None:
        if step == "journaled":
            self._await("submitted", me)
        elif step in self.seen and len(self.seen[step]) < len(self._order):
            self.seen[step].append(me)
            self._taken[step, me].set()
        elif step == "published" and not self._taken["revealed", me].is_set():
            self._await("revealed", me)

    def _await(self, step: str, me: str) -> None:
        before = self._order.index(me) - 1
        if before >= 0:
            assert self._taken[step, self._order[before]].wait(timeout=30)


def committed(folder: Path, order: tuple[str, ...], worker: AggregationWorker) -> tuple[Model, dict[str, list[str]]]:
    """Runs a round of four organisations, whose updates arrive in this order, and returns the model's record."""
    chain = MemoryLedger(FOUR)
    ledgers = {one: chain.client(one) for one in FOUR}
    stores = {one: BlobStore(folder / one / "store") for one in FOUR}
    ledgers[FOUR[0]].init_consortium()
    for one in FOUR:
        ledgers[one].register(one)
    described = describe_mlp([4, 3, 1])
    file = write(described.initial, folder / "initial.safetensors")
    stores[FOUR[0]].put(file.path, file.digest)
    facts = {"trainers": FOUR, "validators": FOUR, "q": 4, "k": 4, "min_updates": 4, "rounds": 1, "budget": 0}
    spec = specification(patience_s=60, **facts) | {"model": described.to_spec(file)}
    ledgers[FOUR[0]].create_task(spec | {"trainers": list(FOUR), "validators": list(FOUR)})
    turns = Turns(order)

    def take_part(me: str) -> None:
        participant = Participant(
            me,
            ledgers[me],
            private=folder / me / "private",
            store=stores[me],
            others={one: store for one, store in stores.items() if one != me},
            trainer=trainer(FOUR.index(me)),
            on_step=lambda step, _task, _round: turns.observe(me, step),
            worker=worker,
        )
        with participant:
            participant.run(TASK)

    threads = [threading.Thread(target=take_part, args=(one,), daemon=True) for one in FOUR]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return ledgers[FOUR[0]].model(TASK, 1), turns.seen


def test_ten_orders_of_arrival_give_one_model_result_and_sum(tmp_path: Path, worker: AggregationWorker) -> None:
    orders = random_orders(10)
    found = {}
    for number, order in enumerate(orders):
        (tmp_path / str(number)).mkdir()
        model, seen = committed(tmp_path / str(number), order, worker)
        assert seen == {"submitted": list(order), "revealed": list(order)}
        assert model.attested_by == FOUR
        found[order] = model.digest, model.state, model.result, model.aggregate
    assert len(found) == 10
    assert len(set(found.values())) == 1


def random_orders(count: int) -> list[tuple[str, ...]]:
    every = list(itertools.permutations(FOUR))
    return [every[index] for index in np.random.default_rng(0).permutation(len(every))[:count]]


@pytest.mark.tff
def test_a_process_that_loaded_tensorflow_and_two_that_did_not_commit_the_same_bytes(tmp_path: Path) -> None:
    changes = {"rounds": 2, "q": 3}
    with three_organisations() as tasks:
        task = tasks.create("with-tensorflow", **changes)
        folders = [str(tasks.folder(one)) for one in ORGANISATIONS]
        programs = [[str(PROGRAM)], ["-c", WITH_TENSORFLOW], [str(PROGRAM)]]
        processes = [
            subprocess.Popen([sys.executable, *program, folder, str(index), task], stdout=subprocess.PIPE, text=True)
            for index, (program, folder) in enumerate(zip(programs, folders, strict=True))
        ]
        try:
            printed = {process.communicate(timeout=90)[0].strip() for process in processes}
        finally:
            for process in processes:
                process.kill()
        assert printed == {tasks.ledgers["Org1MSP"].latest_model(task).digest}
        assert tasks.digests(task) == undisturbed(task, tmp_path, **changes)
        # a quorum of all three: one that computed otherwise would have stopped the round
        assert [tasks.ledgers["Org1MSP"].model(task, j).attested_by for j in (1, 2)] == [ORGANISATIONS] * 2
