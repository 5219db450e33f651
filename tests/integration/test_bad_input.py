"""Bad data, weights, names and disks on a real network: an error with code and remedy, and nothing is lost.

In each case the organisation sees the error, mends what is wrong, takes part, and the task ends with the digests of an
undisturbed run.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from devnet_tasks import Tasks, three_organisations, undisturbed
from organisations import patients

from fabric_fl.aggregation import BlobError, ModelBlob, Tensors, encode
from fabric_fl.blobs import BlobStore
from fabric_fl.errors import FabricFLError
from fabric_fl.learning import NumpyTrainer, Trainer, TrainingTask, TrainResult, describe_mlp
from fabric_fl.ledger import LedgerRefused
from fabric_fl.participant import NotNamedError

X, Y = patients(1)


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as started:
        yield started


class Failing(NumpyTrainer):
    """Another organisation's own trainer, with a fault: its weights are not finite."""

    def train(self, task: TrainingTask, model: ModelBlob, seed: int) -> TrainResult:
        result = super().train(task, model, seed)
        broken = {name: np.full_like(values, np.nan) for name, values in result.delta.items()}
        return TrainResult(Tensors(broken), result.num_examples)


UNFIT: dict[str, tuple[str, Callable[[], Trainer]]] = {
    "features of another shape": ("FL-DATA-SHAPE", lambda: NumpyTrainer((X[:, :3], Y))),
    "several labels an example": ("FL-DATA-SHAPE", lambda: NumpyTrainer((X, np.hstack([Y, Y])))),
    "a holdout of another shape": ("FL-DATA-SHAPE", lambda: NumpyTrainer((X, Y), holdout=(X[:, :3], Y))),
    "labels of three classes": ("FL-DATA-LABELS", lambda: NumpyTrainer((X, Y + 1))),
    "more examples than the task takes": (
        "FL-DATA-TOO-MANY",
        lambda: NumpyTrainer((np.tile(X, (26, 1)), np.tile(Y, (26, 1)))),
    ),
    "NaN in the trained weights": ("FL-UPDATE-NOT-FINITE", lambda: Failing((X, Y))),
}


@pytest.mark.parametrize("case", UNFIT)
def test_data_and_weights_that_do_not_fit_are_refused_before_anything_is_sent(
    case: str, tasks: Tasks, tmp_path: Path
) -> None:
    code, make = UNFIT[case]
    task = tasks.create(f"unfit-{list(UNFIT).index(case)}")
    with tasks.running(task, "Org1MSP", "Org3MSP"):
        with tasks.participant("Org2MSP", trainer=make()) as me, pytest.raises(FabricFLError) as failure:
            me.run(task)
        assert failure.value.code == code
        assert failure.value.remedy != FabricFLError.remedy
        assert "Org2MSP" not in tasks.ledgers["Org2MSP"].status(task).submitted

        with tasks.participant("Org2MSP") as me:
            me.run(task)
    assert tasks.digests(task) == undisturbed(task, tmp_path)


@pytest.mark.parametrize("part", ["features", "labels", "holdout"])
def test_nan_in_data_is_refused_before_a_trainer_exists(part: str) -> None:
    x, y = X.copy(), Y.copy()
    (y if part == "labels" else x)[3] = np.nan
    with pytest.raises(FabricFLError, match=r"FL-DATA-NOT-FINITE: the \w+ of 1 examples hold NaN") as failure:
        NumpyTrainer((X, Y), holdout=(x, y)) if part == "holdout" else NumpyTrainer((x, y))
    assert failure.value.remedy == "Remove or fill in the missing and infinite values before training."


def test_an_initial_model_with_nan_is_refused_by_who_would_train_it(tasks: Tasks) -> None:
    described = describe_mlp([4, 3, 1])
    poisoned = encode(described.initial)[:-4] + np.float32(np.nan).tobytes()
    store = BlobStore(tasks.folder("Org1MSP") / "blobs")
    model = {"initial": store.put(poisoned).digest, "size": len(poisoned)}
    task = tasks.create("poisoned", model=model)
    with tasks.participant("Org2MSP") as me, pytest.raises(BlobError, match="FL-BLOB-NOT-FINITE") as failure:
        me.run(task)
    assert failure.value.remedy != FabricFLError.remedy
    assert tasks.ledgers["Org2MSP"].status(task).submitted == ()


def test_a_task_that_does_not_exist(tasks: Tasks) -> None:
    with tasks.participant("Org2MSP") as me, pytest.raises(LedgerRefused, match="FL-TASK-UNKNOWN") as failure:
        me.run("task-9")
    assert failure.value.remedy == "Check the task's id; tasks:List shows what there is."


def test_a_task_that_does_not_name_the_organisation(tasks: Tasks) -> None:
    two = ["Org1MSP", "Org3MSP"]
    task = tasks.create("of-two", trainers=two, validators=two, k=2, min_updates=2)
    with (
        tasks.participant("Org2MSP") as me,
        pytest.raises(NotNamedError, match="Org2MSP neither as trainer") as failure,
    ):
        me.run(task)
    assert "fabric-fl models fetch" in failure.value.remedy
    with tasks.running(task, *two):
        pass
    assert tasks.ledgers["Org1MSP"].latest_model(task).included == tuple(two)


def test_a_participant_that_is_not_registered(tmp_path: Path) -> None:
    with three_organisations(registered=("Org1MSP", "Org3MSP")) as tasks:
        with pytest.raises(LedgerRefused, match="FL-PARTICIPANT-UNKNOWN"):
            tasks.create("task-1")
        two = ["Org1MSP", "Org3MSP"]
        tasks.create("of-two", trainers=two, validators=two, k=2, min_updates=2)
        with tasks.participant("Org2MSP") as me:
            with pytest.raises(LedgerRefused, match="FL-PARTICIPANT-UNKNOWN: Org2MSP is not registered") as failure:
                me.run("of-two")
            assert failure.value.remedy == "The organisation registers first: participants:Register."
            me.register("Hospital 2")
        tasks.create("task-1")
        tasks.finish("task-1")
        assert tasks.digests("task-1") == undisturbed("task-1", tmp_path)


FULL = {
    "trained": "FL-JOURNAL",
    "submitted": "FL-STORE-FULL",
    "published": "FL-STORE-FULL",
    "attested": "FL-STORE-FULL",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system to fill needs root")
@pytest.mark.parametrize("step", FULL)
def test_a_full_disk_stops_an_organisation_until_space_is_freed(step: str, tasks: Tasks, tmp_path: Path) -> None:
    task = tasks.create(f"full-after-{step}")
    place = tasks.folder("Org2MSP") / ("private" if step == "trained" else "blobs")
    with small_disk(place) as disk, tasks.participant("Org2MSP", on_step=disk.fill_after(step)) as me:
        with tasks.running(task, "Org1MSP", "Org3MSP"):
            with pytest.raises(FabricFLError, match=FULL[step]) as failure:
                me.run(task)
            assert "ree space" in failure.value.remedy
            disk.free()
            me.run(task)
        assert tasks.digests(task) == undisturbed(task, tmp_path)
        assert sorted(disk.leftovers()) == []


class SmallDisk:
    """A file system that a test can fill."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._ballast = place / "ballast"
        self._filled = False

    def fill_after(self, step: str) -> Callable[[str, str, int], None]:
        """Returns an observer that leaves no byte free after the first such step."""

        def fill(done: str, _task: str, _round: int) -> None:
            if done == step and not self._filled:
                self._filled = True
                with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                    while file.write(bytes(512)):
                        pass

        return fill

    def free(self) -> None:
        assert self._filled
        self._ballast.unlink()

    def leftovers(self) -> list[str]:
        """Returns what was begun and not finished."""
        return [str(path) for path in self._place.rglob("*") if path.suffix in (".part", ".tmp")]


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)
