"""Replay: what the ledger holds as decided, computed again from its records and the blobs.

Nobody has to be believed: selection follows from the base model, each global model from the revealed updates, the
quorum's proofs from the sum, and the payments from the opened scores. Scores themselves cannot be recomputed, because
holdouts are private; they are checked against what was committed to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.aggregation import (
    AggregationError,
    AggregationResult,
    BlobFile,
    RoundInputs,
    UpdateInput,
    aggregate,
)
from fabric_fl.audit.finding import Finding
from fabric_fl.blobs import BlobReader, BlobUnavailableError
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fabric_fl.task_status import Attested, ScoredRound, SubmittedUpdate
from fl_chaincode import hashes, selection, settlement
from fl_chaincode.decision import proven
from fl_chaincode.records import COMMITTED, Model, Round, Task

__all__ = ["RoundReplay", "replay"]


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

    Args:
        ledger: read, never written.
        reader: where updates and the initial model are fetched.
        task_id: the task.
        directory: where the recomputed models are written; emptied of them by whoever made it.

    Raises:
        LedgerRefused: there is no such task.
        BlobUnavailableError: the initial model is not to be had.
        AggregationError: this process flushes subnormals to zero, as one that has loaded TensorFlow does.
    """
    task = ledger.task(task_id)
    models = CommittedModels(ledger, reader, task)
    files: tuple[BlobFile, BlobFile | None] = models.weights(0), None
    settled = {scored.round: scored for scored in ledger.scores(task_id).rounds}
    for round_ in ledger.rounds(task_id):
        if round_.status != COMMITTED:
            continue
        record = ledger.model(task_id, round_.j)
        folder = directory / f"{round_.number:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        updates = ledger.updates(task_id, round_.number)
        attested = ledger.attestations(task_id, round_.number)
        findings = [
            *_selection(task, round_, record),
            *_commitments(task, round_, updates),
            *_proofs(record, attested),
            *_payments(task, round_, record, attested, settled.get(round_.number)),
        ]
        try:
            result = aggregate(round_inputs(task, round_, record, updates, models, reader, files), folder)
        except BlobUnavailableError as error:
            findings.append(Finding("blob", None, f"a blob has expired or cannot be read: {error.message}"))
            yield RoundReplay(round_.number, round_.j, record.digest, None, tuple(findings))
            committed = models.files(round_.j)
            files = committed.model, committed.state
            continue
        except AggregationError as error:
            findings.append(Finding("result", None, f"what was included cannot be summed: {error}"))
            yield RoundReplay(round_.number, round_.j, record.digest, None, tuple(findings))
            return
        findings += _result(record, result)
        yield RoundReplay(round_.number, round_.j, record.digest, result.model.digest, tuple(findings))
        files = result.model, result.state


def round_inputs(
    task: Task,
    round_: Round,
    record: Model,
    updates: tuple[SubmittedUpdate, ...],
    models: CommittedModels,
    reader: BlobReader,
    files: tuple[BlobFile, BlobFile | None],
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


def _selection(task: Task, round_: Round, record: Model) -> Iterator[Finding]:
    """The selected are the first k of an order that follows from the base; who was suspended then is not known now."""
    order = selection.order(task.id, round_.j, round_.base, task.trainers, round_.moved)
    expected = tuple(one for one in order if one in round_.selected)
    if round_.selected != expected or len(round_.selected) > task.k:
        yield Finding("selection", None, f"round {round_.number} selected {', '.join(round_.selected)} out of order")
    if record.base != round_.base:
        yield Finding("base", None, f"round {round_.number} and its model name different bases")


def _commitments(task: Task, round_: Round, updates: tuple[SubmittedUpdate, ...]) -> Iterator[Finding]:
    for update, reveal in updates:
        if reveal is None:
            continue
        commitment = hashes.update_commitment(
            task.id,
            round_.number,
            update.participant,
            round_.base,
            reveal.num_examples,
            reveal.digest,
            reveal.nonce,
        )
        if commitment != update.commitment:
            yield Finding("opening", update.participant, "the reveal does not open the commitment")


def _proofs(record: Model, attested: tuple[Attested, ...]) -> Iterator[Finding]:
    by_organisation = {attestation.organisation: attestation for attestation, _ in attested}
    for organisation in record.attested_by:
        attestation = by_organisation.get(organisation)
        if attestation is None or attestation.result != record.result:
            yield Finding("quorum", organisation, "is counted in the quorum and has not attested this result")
        elif not proven(attestation, record.aggregate):
            yield Finding("proof", organisation, "is counted in the quorum and has not proven the sum")


def _payments(
    task: Task, round_: Round, record: Model, attested: tuple[Attested, ...], scored: ScoredRound | None
) -> Iterator[Finding]:
    openings = {}
    for attestation, opening in attested:
        if opening is None or not settlement.agrees(attestation, record):
            continue
        openings[opening.organisation] = opening
        commitment = hashes.score_commitment(
            task.id, round_.number, opening.organisation, opening.nonce, opening.scores, opening.metrics
        )
        if commitment != attestation.score_commitment:
            yield Finding("scores", opening.organisation, "the opened scores are not those that were committed to")
    if scored is None or scored.settlement is None:
        return
    # scores that were opened after the settlement did not count
    counted = {
        organisation: openings[organisation] for organisation in scored.settlement.scorers if organisation in openings
    }
    evidence = settlement.Evidence(record, counted, unopened=(), everybody=True)
    if settlement.conclude(task, round_, evidence) != scored.settlement:
        yield Finding("payments", None, f"the settlement of round {round_.number} does not follow from the openings")


def _result(record: Model, result: AggregationResult) -> Iterator[Finding]:
    found = {
        "model": (record.digest, result.model.digest),
        "state": (record.state, result.state.digest),
        "aggregate": (record.aggregate, result.aggregate),
        "result": (record.result, result.result),
        "included": (record.included, result.included),
        "refused": (dict(record.refused), dict(result.refused)),
    }
    for what, (committed, recomputed) in found.items():
        if committed != recomputed:
            yield Finding(what, None, f"the ledger holds {committed}, the replay gives {recomputed}")
    if record.result != result.result:
        for organisation in record.attested_by:
            yield Finding("attestation", organisation, "has attested a result that does not follow from the updates")
