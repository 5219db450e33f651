"""One hospital's own process: it takes part in the task with its own patients, then trains alone to compare.

    python -m demo.hospital ORGANISATION_FOLDER ORGANISATION

Prints one JSON line when it is done: the accuracy on the common test set of a model that this hospital trained alone,
with the same model, hyper-parameters and number of passes over its patients as if it were selected for every round.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from demo.patients import Patients, load
from demo.task import TASK
from fabric_fl import Participant
from fabric_fl.aggregation import ModelBlob, Tensors
from fabric_fl.learning import TFFTrainer, TrainingTask
from fl_chaincode.records import Task


def alone(trainer: TFFTrainer, task: Task, initial: ModelBlob, test: Patients) -> float:
    """Returns the accuracy of as many rounds on this hospital's patients only."""
    training = TrainingTask.from_spec(task)
    model = initial
    for number in range(task.rounds):
        delta = trainer.train(training, model, seed=number).delta
        names = model.tensors.names
        model = ModelBlob(Tensors({name: (model.tensors[name] - delta[name]).astype("float32") for name in names}))
    return TFFTrainer(test.pair(), holdout=test.pair()).evaluate(training, model)["accuracy"]


def wait_for_task(me: Participant) -> None:
    """Waits until the coordinator has created the task."""
    while TASK not in [task.id for task in me.ledger.tasks()]:
        time.sleep(0.2)


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    hospitals, test = load()
    mine = hospitals[name]
    trainer = TFFTrainer(mine.train.pair(), holdout=mine.holdout.pair())
    with Participant.connect(folder, trainer=trainer) as me:
        wait_for_task(me)
        model = me.run(TASK)
        initial = me.model(TASK, 0)
        result = {"model": model.digest, "alone": alone(trainer, model.task, initial.weights, test)}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
