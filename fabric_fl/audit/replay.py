"""Replay: what the ledger holds as decided, computed again from its records and the blobs.

Nobody has to be believed: selection follows from the base model, each global model from the revealed updates, the
quorum's proofs from the sum, and the payments from the opened scores. Scores themselves cannot be recomputed, because
holdouts are private; they are checked against what was committed to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fabric_fl.aggregation import (
    AggregationError,
    AggregationResult,
    BlobFile,
    RoundInputs,
    UpdateInput,
    aggregate,
)
from fabric_fl.audit.checks import RoundRecords, check, escrow
from fabric_fl.audit.finding import Finding
from fabric_fl.blobs import BlobReader, BlobUnavailableError
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fabric_fl.task_status import ScoredRound, SubmittedUpdate
from fl_chaincode.records import COMMITTED, Escrow, Head, Model, Round, Task

__all__ = ["RoundReplay", "replay"]

_OWN = {"FL-AGGREGATE-FLUSH-TO-ZERO", "FL-AGGREGATE-STORAGE", "FL-AGGREGATE-UNAVAILABLE"}
"""What is this machine's fault, and nobody's who took part."""
_Files: TypeAlias = tuple[BlobFile, BlobFile | None]
"""A model and the server step's state."""


@dataclass(frozen=True)
class RoundReplay:
    """One committed round and what recomputing it gave.

    Attributes:
        committed: digest of the model on the ledger.
        recomputed: digest that the replay reached; None when a blob is no longer to be had.
    """

    number: int
    j: int
    committed: str
    recomputed: str | None
    findings: tuple[Finding, ...]

    @property
    def identical(self) -> bool:
        return self.recomputed == self.committed and not self.findings


def replay(ledger: FLLedger, reader: BlobReader, task_id: str, directory: Path) -> Iterator[RoundReplay]:
    """Recomputes every committed round of a task, in order, each from the model that the replay itself reached.

    After a round that differs or cannot be recomputed it goes on from what was committed there, where that is to be
    had, so that each round is judged by itself.

    Args:
        ledger: read, never written.
        reader: where updates and the initial model are fetched.
        task_id: the task.
        directory: where the recomputed models are written; emptied of them by whoever made it.

    Raises:
        LedgerRefused: there is no such task.
        BlobUnavailableError: the initial model is not to be had.
        AggregationError: this process flushes subnormals to zero, as one that has loaded TensorFlow does, or cannot
            write what it recomputes.
    """
    task = ledger.task(task_id)
    models = CommittedModels(ledger, reader, task, patience=0)
    files: _Files | None = (models.weights(0), None)
    scores, head, held = _accounts(ledger, task_id)
    settled = {scored.round: scored for scored in scores}
    settlements = [scored.settlement for scored in scores if scored.settlement is not None]
    before: Round | None = None
    refused: Mapping[str, str] = {}
    for round_ in ledger.rounds(task_id):
        previous, before = before, round_
        if round_.status != COMMITTED:
            continue
        record = ledger.model(task_id, round_.j)
        folder = directory / f"{round_.number:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        records = RoundRecords(
            task=task,
            round=round_,
            model=record,
            before=previous,
            refused=refused,
            updates=ledger.updates(task_id, round_.number),
            attested=ledger.attestations(task_id, round_.number),
            scored=settled.get(round_.number),
        )
        refused = record.refused
        findings = list(check(records))
        if round_.j == head.j:
            findings += escrow(task, head, settlements, held)
        outcome = _recomputed(records, models, reader, files, folder)
        if isinstance(outcome, Finding):
            yield RoundReplay(round_.number, round_.j, record.digest, None, (*findings, outcome))
            files = _committed(models, round_.j)
            continue
        findings += _result(record, outcome)
        yield RoundReplay(round_.number, round_.j, record.digest, outcome.model.digest, tuple(findings))
        same = (outcome.model.digest, outcome.state.digest) == (record.digest, record.state)
        files = (outcome.model, outcome.state)
        if not same:
            files = _committed(models, round_.j) or files


def _accounts(ledger: FLLedger, task_id: str) -> tuple[tuple[ScoredRound, ...], Head, int]:
    """Reads settlements, head and escrow as of one moment, also of a task that goes on meanwhile."""
    while True:
        head, held = ledger.status(task_id).head, ledger.record(Escrow.key_of(task_id))
        scores = ledger.scores(task_id).rounds
        if (ledger.status(task_id).head, ledger.record(Escrow.key_of(task_id))) == (head, held):
            return scores, head, held["amount"]


def _recomputed(
    records: RoundRecords, models: CommittedModels, reader: BlobReader, files: _Files | None, folder: Path
) -> AggregationResult | Finding:
    if files is None or files[0].digest != records.round.base:
        return Finding("blob", None, "the model before it has expired or cannot be read")
    try:
        inputs = round_inputs(records.task, records.round, records.model, records.updates, models, reader, files)
        return aggregate(inputs, folder)
    except BlobUnavailableError as error:
        return Finding("blob", None, f"a blob has expired or cannot be read: {error.message}")
    except AggregationError as error:
        if error.code in _OWN:
            raise
        return Finding("result", None, f"what was included cannot be summed: {error}")


def _committed(models: CommittedModels, number: int) -> _Files | None:
    try:
        found = models.files(number)
    except BlobUnavailableError:
        return None
    return found.model, found.state


def round_inputs(
    task: Task,
    round_: Round,
    record: Model,
    updates: tuple[SubmittedUpdate, ...],
    models: CommittedModels,
    reader: BlobReader,
    files: _Files,
) -> RoundInputs:
    """What validators summed in a committed round, on top of these model and state files.

    Raises:
        BlobUnavailableError: An update is not to be had.
    """
    arrived = {*record.included, *record.refused}
    inputs = []
    for update, reveal in updates:
        if reveal is None or update.participant not in arrived:
            continue
        path = None
        if record.refused.get(update.participant) != "FL-BLOB-SIZE":  # such a blob was never read by anybody
            sources = models.sources([update.participant, *record.attested_by])
            path = reader.fetch(reveal.digest, reveal.size, sources)
        inputs.append(UpdateInput(update.participant, path, reveal.digest, reveal.size, reveal.num_examples))
    return RoundInputs(
        task=task.id,
        round=round_.number,
        attempt=record.attempt,
        base=round_.base,
        model=files[0],
        state=files[1],
        updates=tuple(inputs),
        f=task.quantisation.f,
        bound=task.quantisation.bound,
        max_examples=task.max_examples,
        server=task.server.to_json(),
        rule=task.aggregation.to_json(),
    )


def _result(record: Model, result: AggregationResult) -> Iterator[Finding]:
    found = {
        "model": (record.digest, result.model.digest),
        "state": (record.state, result.state.digest),
        "aggregate": (record.aggregate, result.aggregate),
        "result": (record.result, result.result),
    }
    for what, (committed, recomputed) in found.items():
        if committed != recomputed:
            yield Finding(what, None, f"the ledger holds {committed}, the replay gives {recomputed}")
    held, given = _outcomes(record), _outcomes(result)
    for participant in sorted({*held, *given}):
        was, expected = held.get(participant, "absent"), given.get(participant, "absent")
        if was != expected:
            yield Finding("included", participant, f"the ledger holds {was}, the replay gives {expected}")
    if record.result != result.result:
        for organisation in record.attested_by:
            yield Finding("attestation", organisation, "has attested a result that does not follow from the updates")


def _outcomes(of: Model | AggregationResult) -> dict[str, str]:
    """What became of each participant's update: included, or the code with which it was refused."""
    return dict.fromkeys(of.included, "included") | dict(of.refused)
