"""Replay: what the ledger holds as decided, computed again from its records and the blobs.

Nobody has to be believed: selection follows from the base model, each global model from the revealed updates, the
quorum's proofs from the sum, and the payments from the opened scores. Scores themselves cannot be recomputed, because
holdouts are private; they are checked against what was committed to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fabric_fl.aggregation import AggregationResult, BlobError, Layout
from fabric_fl.audit.checks import RoundRecords, check, check_selection, escrow
from fabric_fl.audit.circumstances import Circumstances
from fabric_fl.audit.dissent import dissents
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.missed import check_missed
from fabric_fl.audit.outcome import RoundReplay, TaskReplay, UncommittedRound
from fabric_fl.audit.recomputation import Means, Recomputation
from fabric_fl.audit.start import Start
from fabric_fl.blobs import BlobReader
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fabric_fl.task_status import ScoredRound, SubmittedUpdate
from fl_chaincode.records import ABORTED, COMMITTED, RUNNING, Escrow, Head, Model, Round

__all__ = ["RoundReplay", "replay", "replay_task"]

_NO_LAYOUT = Layout(("000:none",), ((0,),))
"""Of a task whose initial model is none, so that nothing is computed of it."""


def replay(ledger: FLLedger, reader: BlobReader, task_id: str, directory: Path) -> Iterator[RoundReplay]:
    """Recomputes every committed round of a task, in order.

    Args and errors are those of `replay_task`, which also says what came of the rounds in between.
    """
    for one in Replay(ledger, reader, task_id, directory).rounds():
        if isinstance(one, RoundReplay):
            yield one


def replay_task(ledger: FLLedger, reader: BlobReader, task_id: str, directory: Path) -> TaskReplay:
    """Recomputes every round of a task, each from the model that the replay itself reached.

    After a committed round that differs or cannot be recomputed it goes on from what was committed there, so that each
    round is judged by itself; and where that is no model at all, from what should have been committed.

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
    running = Replay(ledger, reader, task_id, directory)
    rounds = tuple(running.rounds())
    return TaskReplay(
        task=task_id,
        rounds=tuple(one for one in rounds if isinstance(one, RoundReplay)),
        uncommitted=tuple(one for one in rounds if isinstance(one, UncommittedRound)),
        findings=tuple(running.left),
    )


class Replay:
    """One replay, round by round; args and errors are those of `replay_task`.

    Attributes:
        left: What is wrong with the task and belongs to none of its rounds; complete when the rounds are.
    """

    def __init__(self, ledger: FLLedger, reader: BlobReader, task_id: str, directory: Path) -> None:
        self._ledger = ledger
        self._directory = directory
        self._task = task = ledger.task(task_id)
        models = CommittedModels(ledger, reader, task, patience=0)
        initial, layout = models.weights(0), _NO_LAYOUT
        try:
            layout = models.layout(0)
            self._start = Start(task.model.initial, (initial, None))
        except BlobError as error:  # then no honest organisation ever had anything to start from
            message = f"what the task starts from is no model: {error.message}"
            self._start = Start(task.model.initial, Finding("base", task.sponsor, message))
        self._means = Means(task, models, reader, layout)
        self._about = Circumstances(ledger, task)
        scores, self._head, self._held = _accounts(ledger, task_id)
        self._settled = {scored.round: scored for scored in scores}
        self._settlements = [scored.settlement for scored in scores if scored.settlement is not None]
        self.left: list[Finding] = []

    def rounds(self) -> Iterator[RoundReplay | UncommittedRound]:
        """Recomputes the task's rounds, in order."""
        before: Round | None = None
        refused: Mapping[str, str] = {}
        counted = False
        for round_ in self._ledger.rounds(self._task.id):
            if round_.status == COMMITTED:
                last = round_.j == self._head.j
                yield self._committed(round_, before, refused, last=last)
                refused, counted = self._means.models.record(round_.j).refused, counted or last
            else:
                yield self._uncommitted(round_, before, refused)
            before = round_
        if not counted:
            self.left += self._escrow()

    def _escrow(self) -> Iterator[Finding]:
        return escrow(self._task, self._head, self._settlements, self._held)

    def _committed(self, round_: Round, before: Round | None, refused: Mapping[str, str], *, last: bool) -> RoundReplay:
        records = RoundRecords(
            task=self._task,
            round=round_,
            model=self._means.models.record(round_.j),
            before=before,
            refused=refused,
            updates=self._ledger.updates(self._task.id, round_.number),
            attested=self._ledger.attestations(self._task.id, round_.number),
            scored=self._settled.get(round_.number),
        )
        record = records.model
        found = list(check(records, self._about))
        if last:
            found += self._escrow()
        recomputation = self._recomputation(round_, records.updates)
        outcome = recomputation.of((*record.included, *record.refused))
        found += _result(record, outcome)
        found += dissents(round_, record, records.attested, recomputation, self._about)
        self._start = Start.after(self._means, record, outcome)
        return RoundReplay(
            round_.number,
            round_.j,
            record.digest,
            None if isinstance(outcome, Finding) else outcome.model.digest,
            *_sorted(found),
        )

    def _uncommitted(self, round_: Round, before: Round | None, refused: Mapping[str, str]) -> UncommittedRound:
        updates = self._ledger.updates(self._task.id, round_.number)
        attested = self._ledger.attestations(self._task.id, round_.number)
        found = list(check_selection(self._task, round_, before, refused, self._about))
        if round_.status == ABORTED:
            ends = round_.number == self._head.round and self._head.status != RUNNING
            found += check_missed(round_, updates, attested, self._about, ends=ends)
        if attested:
            found += dissents(round_, None, attested, self._recomputation(round_, updates), self._about)
        return UncommittedRound(round_.number, round_.j, round_.status, *_sorted(found))

    def _recomputation(self, round_: Round, updates: tuple[SubmittedUpdate, ...]) -> Recomputation:
        directory = self._directory / f"{round_.number:08d}"
        return Recomputation(self._means, round_, self._start.of(round_.base), updates, directory)


def _accounts(ledger: FLLedger, task_id: str) -> tuple[tuple[ScoredRound, ...], Head, int]:
    """Reads settlements, head and escrow as of one moment, also of a task that goes on meanwhile."""
    while True:
        head, held = ledger.status(task_id).head, ledger.record(Escrow.key_of(task_id))
        scores = ledger.scores(task_id).rounds
        if (ledger.status(task_id).head, ledger.record(Escrow.key_of(task_id))) == (head, held):
            return scores, head, held["amount"]


def _result(record: Model, result: AggregationResult | Finding) -> Iterator[Finding]:
    if isinstance(result, Finding):
        yield result
        if result.what != "blob":
            yield from _attested(record)
        return
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
        yield from _attested(record)


def _attested(record: Model) -> Iterator[Finding]:
    for organisation in record.attested_by:
        yield Finding("attestation", organisation, "has attested a result that does not follow from the updates")


def _outcomes(of: Model | AggregationResult) -> dict[str, str]:
    """What became of each participant's update: included, or the code with which it was refused."""
    return dict.fromkeys(of.included, "included") | dict(of.refused)


def _sorted(found: list[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...], tuple[Finding, ...]]:
    """Returns what does not hold, what was outvoted, and what the records do not tell."""
    apart = ("dissent", "undecided")
    wrong = tuple(one for one in found if one.what not in apart)
    return wrong, *(tuple(one for one in found if one.what == what) for what in apart)  # type: ignore[return-value]
