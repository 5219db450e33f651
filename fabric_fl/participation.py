"""One organisation's part in one task: what its trainer and its validator share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.journal import Journal
from fabric_fl.learning import Trainer, TrainingTask
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fl_chaincode.records import Task

logger = logging.getLogger(__name__)

Observer = Callable[[str, str, int], None]


class Patience:
    """How long a phase has lasted here. No rule of the ledger looks at a clock: a process votes when it has waited.

    Args:
        seconds: how long a phase may last before this process votes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[tuple[object, ...], float] = {}

    def over(self, *phase: object) -> bool:
        """Returns whether the phase has lasted longer than the patience, counted from the first time of asking."""
        return time.monotonic() - self._since.setdefault(phase, time.monotonic()) >= self._seconds

    def forget(self) -> None:
        """Forgets all phases; called when a round ends, so that the memory stays small."""
        self._since.clear()


@dataclass
class Participation:
    """The means of taking part: identity, ledger, journal, stores, trainer.

    Attributes:
        msp_id: the organisation.
        task: the task's specification.
        observer: called after each step as (step, task, round).
    """

    msp_id: str
    task: Task
    ledger: FLLedger
    journal: Journal
    store: BlobStore
    reader: BlobReader
    trainer: Trainer
    observer: Observer
    training: TrainingTask = field(init=False)
    models: CommittedModels = field(init=False)

    def __post_init__(self) -> None:
        self.training = TrainingTask.from_spec(self.task)
        self.models = CommittedModels(self.ledger, self.reader, self.task)

    def done(self, step: str, round_number: int) -> None:
        """Tells the observer, and the log, that a step is complete and durable."""
        logger.info("%s: %s round %d: %s", self.msp_id, self.task.id, round_number, step)
        self.observer(step, self.task.id, round_number)
