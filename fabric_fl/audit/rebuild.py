"""A task's models as if one organisation had not taken part: what its leaving or a withdrawn consent asks for.

The others' updates are those that they revealed then. They were trained from models in which the organisation's part
still was, so this is no retraining: sums, robust rule and server steps are computed again from the initial model on,
each round from what the rebuilding itself reached, without that organisation's updates. A round in which nobody else
was included, or fewer than the rule needs, leaves the model as it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.aggregation import AggregationError, AggregationResult, BlobFile, RoundInputs, aggregate
from fabric_fl.audit.recomputation import Means, round_inputs
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
        kept: Why the model stayed as it was; empty where it did not.
    """

    number: int
    j: int
    committed: str
    included: tuple[str, ...]
    rebuilt: str
    state: str | None
    kept: str = ""


def without(
    ledger: FLLedger, reader: BlobReader, task_id: str, organisation: str, directory: Path, target: Path
) -> Iterator[RebuiltRound]:
    """Rebuilds every committed round without one organisation; leaves the last model in `target`, its state beside it.

    Args:
        ledger: Read, never written.
        reader: Where updates and the initial model are fetched.
        task_id: The task.
        organisation: Whose updates are left out.
        directory: Where the models of all rounds are written; emptied of them by whoever made it.
        target: For the last model; see `state_beside` for the state.

    Raises:
        FabricFLError: The organisation is no trainer of the task (FL-AUDIT-ORGANISATION), or nothing has been committed
            (FL-AUDIT-UNCOMMITTED). Nothing was written.
        BlobUnavailableError: An update is not to be had any more.
    """
    task = ledger.task(task_id)
    if organisation not in task.trainers:
        does = "only validates it, which changes no model" if organisation in task.validators else "has no part in it"
        raise FabricFLError(
            f"{organisation} is no trainer of {task_id}: it {does}",
            code="FL-AUDIT-ORGANISATION",
            remedy=f"Updates came from {', '.join(task.trainers)}.",
        )
    committed = [round_ for round_ in ledger.rounds(task_id) if round_.status == COMMITTED]
    if not committed:
        raise FabricFLError(
            f"no model of {task_id} has been committed yet",
            code="FL-AUDIT-UNCOMMITTED",
            remedy="There is nothing that anybody's update went into.",
        )
    models = CommittedModels(ledger, reader, task, patience=0)
    means = Means(task, models, reader, models.layout(0))
    files: tuple[BlobFile, BlobFile | None] = models.weights(0), None
    for round_ in committed:
        record = models.record(round_.j)
        folder = directory / f"{round_.number:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        arrived = {*record.included, *record.refused} - {organisation}
        inputs = round_inputs(means, round_, ledger.updates(task_id, round_.number), arrived, files)
        result, kept = _result(inputs, folder)
        if result is not None:
            files = result.model, result.state
        included = () if result is None else result.included
        state = None if files[1] is None else files[1].digest
        yield RebuiltRound(round_.number, round_.j, record.digest, included, files[0].digest, state, kept)
    shutil.copyfile(files[0].path, target)
    if files[1] is not None:
        shutil.copyfile(files[1].path, state_beside(target))


def state_beside(target: Path) -> Path:
    """Returns where the server step's state of a model in `target` goes."""
    return target.with_suffix(".state.safetensors")


def _result(inputs: RoundInputs, folder: Path) -> tuple[AggregationResult | None, str]:
    if not inputs.updates:
        return None, "nobody else's update arrived"
    try:
        return aggregate(inputs, folder), ""
    except AggregationError as error:
        if error.code != "FL-AGGREGATE-EMPTY":
            raise
        return None, error.message
