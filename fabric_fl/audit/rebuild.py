"""A task's models as if one organisation had not taken part: what its leaving or a withdrawn consent asks for.

The others' updates are those that they revealed then. They were trained from models in which the organisation's part
still was, so this is no retraining: sums, robust rule and server steps are computed again from the initial model on,
each round from what the rebuilding itself reached, without that organisation's updates. A round in which nobody else
was included leaves the model as it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_fl.aggregation import AggregationError, AggregationResult, BlobFile, aggregate
from fabric_fl.audit.replay import round_inputs
from fabric_fl.blobs import BlobReader
from fabric_fl.errors import FabricFLError
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fl_chaincode.records import COMMITTED


@dataclass(frozen=True)
class RebuiltRound:
    """One committed round, rebuilt.

    Attributes:
        committed: Digest of the model that was committed.
        included: Whose updates it is now made from.
        rebuilt: Digest of the model now; the one before's where nobody is left.
        state: Digest of the server step's state now; None before the first step.
    """

    number: int
    j: int
    committed: str
    included: tuple[str, ...]
    rebuilt: str
    state: str | None


def without(
    ledger: FLLedger, reader: BlobReader, task_id: str, organisation: str, directory: Path, target: Path
) -> Iterator[RebuiltRound]:
    """Rebuilds every committed round without one organisation, and leaves the last model in `target`.

    Raises:
        FabricFLError: The organisation is no trainer of the task, or the task has no committed model.
        BlobUnavailableError: An update is not to be had any more.
    """
    task = ledger.task(task_id)
    if organisation not in task.trainers:
        raise FabricFLError(f"{organisation} is no trainer of {task_id}", code="FL-AUDIT-ORGANISATION")
    models = CommittedModels(ledger, reader, task, patience=0)
    files: tuple[BlobFile, BlobFile | None] = models.weights(0), None
    for round_ in ledger.rounds(task_id):
        if round_.status != COMMITTED:
            continue
        record = models.record(round_.j)
        folder = directory / f"{round_.number:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        inputs = round_inputs(task, round_, record, ledger.updates(task_id, round_.number), models, reader, files)
        left = tuple(update for update in inputs.updates if update.participant != organisation)
        result: AggregationResult | None = None
        if left:
            try:
                result = aggregate(replace(inputs, updates=left), folder)
            except AggregationError as error:
                if error.code != "FL-AGGREGATE-EMPTY":
                    raise
        if result is not None:
            files = result.model, result.state
        included = () if result is None else result.included
        state = None if files[1] is None else files[1].digest
        yield RebuiltRound(round_.number, round_.j, record.digest, included, files[0].digest, state)
    shutil.copyfile(files[0].path, target)
