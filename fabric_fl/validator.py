"""The validator's part of a round: fetch, recompute, score, attest, and commit what a quorum has proven.

It votes when its patience ends, so that nobody's silence stops a round: to close (then what is missing is left out,
or a disagreement is decided) and to abort (then the round is run again).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fabric_fl.aggregation import (
    AggregationError,
    AggregationResult,
    AggregationWorker,
    ModelBlob,
    RoundInputs,
    UpdateHeader,
    UpdateInput,
    update_size,
)
from fabric_fl.blobs import BlobStore
from fabric_fl.intake import Intake
from fabric_fl.journal import ScoreEntry, new_nonce
from fabric_fl.learning import DataError
from fabric_fl.participation import Participation, Patience
from fabric_fl.publication import ModelPublisher
from fabric_fl.scoring import score_round
from fabric_fl.task_status import Revealed, TaskStatus
from fl_chaincode import hashes
from fl_chaincode.decision import current_attestations
from fl_chaincode.records import ABORT, CLOSE, DISPUTED, OPEN, Attestation, Round

_TURN_S = 0.3
"""How much longer each waits with a commit than who is before it."""

_GRACE_S = 0.2
"""For which a commit waits for those who have not attested: an attestation that comes meanwhile would conflict."""


@dataclass(frozen=True)
class Computation:
    """What this organisation got for one attempt of a round, and from what."""

    inputs: RoundInputs
    result: AggregationResult

    @property
    def fetched(self) -> tuple[str, ...]:
        """Digests that were verified and are served from the own store, sorted; two updates may have the same."""
        return tuple(sorted({update.digest for update in self.inputs.updates if update.path is not None}))

    @property
    def read(self) -> tuple[str, ...]:
        """Digests of all that the sum was made from, in the own store."""
        base = [file.digest for file in (self.inputs.model, self.inputs.state) if file is not None]
        return (*base, *self.fetched)

    def of(self, participants: Iterable[str]) -> bool:
        """Returns whether it was made from exactly these participants' updates, and its model still lies there."""
        made_from = {update.participant for update in self.inputs.updates}
        return made_from == set(participants) and self.result.model.path.exists()


class ValidatorRole:
    """Acts for an organisation that validates a task. Reads the ledger, then takes the next step, if there is one.

    Attributes:
        turn_in_s: In how many seconds it is this organisation's turn to commit, if nobody does before.

    Args:
        participation: the organisation's means.
        worker: does the sums in a process without TensorFlow.
        openings: returns the openings of earlier rounds that can ride along with an attestation.
    """

    def __init__(
        self,
        participation: Participation,
        worker: AggregationWorker,
        openings: Callable[[TaskStatus], list[dict[str, Any]]],
    ) -> None:
        self._part = participation
        self._worker = worker
        self._intake = Intake(participation.reader, worker)
        self._openings = openings
        self._patience = Patience(participation.task.patience_s)
        self._round = 0
        self._computed: dict[tuple[int, int], Computation] = {}
        self._invalid: Mapping[str, str] = {}  # the codes of a round in which no update is valid
        self._publisher = ModelPublisher(participation, self._written)
        self._quorum_since: dict[tuple[int, int], float] = {}
        self.turn_in_s = math.inf

    def act(self, status: TaskStatus) -> bool:
        """Takes the next step that the round waits for from this organisation; returns whether there was one."""
        me, round_ = self._part.msp_id, status.round
        self.turn_in_s = math.inf
        unsettled = (one.round for one in status.unsettled)  # whose validators may have been voted out since
        if me in status.task.validators or any(me in one.validators for one in (round_, *unsettled)):
            self._publisher.publish(status.head.j)
        if round_.number != self._round:
            self._round = round_.number
            self._patience.forget()
            self._quorum_since.clear()
        if round_.final or me not in round_.validators:
            return False
        if status.ending and not status.submitted:  # nobody's work is lost, so no votes are needed
            return self._end(round_)
        if round_.status == OPEN:
            return self._while_open(status)
        return self._while_sealed(status)

    def attest_late(self, round_: Round, status: TaskStatus) -> bool:
        """Attests a round that the others committed already: as evidence of agreement, or of dissent.

        Returns False when an update can no longer be read.
        """
        self._publisher.publish(round_.j - 1)  # what this round started from, perhaps in no other store any more
        submitted = self._part.ledger.updates(self._part.task.id, round_.number)
        reveals = {
            update.participant: Revealed(reveal.digest, reveal.size, reveal.num_examples)
            for update, reveal in submitted
            if reveal is not None
        }
        record = self._part.models.record(round_.j)
        candidates = (*record.included, *record.refused)
        updates = self._gather(round_, candidates, reveals, copying=False)
        if len(updates) < len(candidates):
            return False
        known = self._computed.get((round_.number, round_.attempt))
        if known is None or not known.of(candidates):  # a sum without what has arrived since would be a dissent
            known = self._compute(round_, updates)
        self._attest(round_, known, None, status)
        self._publisher.publish_model(record)
        return True

    def sync(self) -> None:
        """Waits until the models that this organisation has published are on the disk."""
        self._publisher.sync()

    # ---------------------------------------------------------------- while updates come in

    def _while_open(self, status: TaskStatus) -> bool:
        round_ = status.round
        if not self._patience.over(round_.number, OPEN):
            return False
        if self._vote(status, CLOSE):
            return True
        if len(_voters(status, CLOSE)) < round_.q:
            return False
        if len(status.submitted) >= round_.min_updates:
            self._part.ledger.seal(status.task.id, round_.number)
            self._part.done("sealed", round_.number)
            return True
        return self._abort(status)

    # ---------------------------------------------------------------- once no more updates come in

    def _while_sealed(self, status: TaskStatus) -> bool:
        round_ = status.round
        mine = status.attestations.get(self._part.msp_id)
        if mine is not None and mine.attempt != round_.attempt:
            mine = None
        computation = self._computed.get((round_.number, round_.attempt)) or self._recompute(status)
        if computation is None or self._too_few(round_, computation.result):
            refused = self._invalid if computation is None else computation.result.invalid
            # whoever was moved for it before and is selected still cannot be replaced: a re-run may end as this one
            fresh = bool(refused) and not any(participant in round_.moved for participant in refused)
            waited = fresh or self._patience.over(round_.number, round_.attempt, "hopeless")
            return self._abort(status, refused) if waited else False
        if mine is None or (round_.status == DISPUTED and mine.result != computation.result.result):
            self._attest(round_, computation, status.attestations.get(self._part.msp_id), status)
            return True
        return self._decide(status, computation)

    def _too_few(self, round_: Round, result: AggregationResult) -> bool:
        """Returns whether the contract takes no attestation of this result."""
        weighed = self._part.task.aggregation.weighed(result.included, result.refused)
        return not result.included or weighed < round_.min_updates

    def _recompute(self, status: TaskStatus) -> Computation | None:
        """Sums what can be fetched; None while updates that may still come are missing, or too few can be had."""
        round_ = status.round
        self._invalid = {}
        candidates = round_.included or round_.set or ()
        if not candidates:  # nobody was there to be selected
            return None
        updates = self._gather(round_, candidates, status.reveals, copying=set(candidates) <= set(status.reveals))
        if len(updates) < len(candidates):
            # Once the ledger has fixed what is included, a sum of anything else cannot be attested.
            fixed = round_.included is not None
            if fixed or not self._patience.over(round_.number, round_.attempt, "missing"):
                return None
            if len(updates) < round_.min_updates:
                return None
        try:
            return self._compute(round_, updates)
        except AggregationError as error:
            if error.code == "FL-AGGREGATE-EMPTY":
                self._invalid = error.refused
                return None
            if any(update.copy is not None and update.participant in error.participants for update in updates):
                return self._recompute(status)  # somebody's file was not what it is named by: another's is tried
            raise

    def _gather(
        self, round_: Round, candidates: Iterable[str], reveals: Mapping[str, Revealed], *, copying: bool
    ) -> tuple[UpdateInput, ...]:
        """Finds the revealed updates; if `copying`, the sum reads others' files itself and copies them meanwhile."""
        part = self._part
        refused: list[UpdateInput] = []
        wanted: list[UpdateInput] = []
        layout = part.models.layout(round_.j - 1)
        for participant in sorted(candidates):
            reveal = reveals.get(participant)
            if reveal is None:
                continue
            header = UpdateHeader(
                part.task.id, round_.number, participant, round_.base, reveal.num_examples, part.task.quantisation.f
            )
            update = UpdateInput(participant, None, reveal.digest, reveal.size, reveal.num_examples)
            (wanted if reveal.size == update_size(header, layout) else refused).append(update)

        def sources(participant: str) -> Iterable[str]:
            return part.models.sources([participant, *round_.validators])

        directory = part.journal.folder(round_.number) if copying else None
        return (*refused, *self._intake.gather(wanted, sources, directory))

    def _compute(self, round_: Round, updates: tuple[UpdateInput, ...]) -> Computation:
        part = self._part
        self._release(round_.number)
        base = part.models.files(round_.j - 1)
        inputs = RoundInputs(
            task=part.task.id,
            round=round_.number,
            attempt=round_.attempt,
            base=round_.base,
            model=base.model,
            state=base.state,
            updates=updates,
            f=part.task.quantisation.f,
            bound=part.task.quantisation.bound,
            max_examples=part.task.max_examples,
            server=part.task.server.to_json(),
            rule=part.task.aggregation.to_json(),
        )
        computation = Computation(*self._intake.aggregate(inputs, part.journal.folder(round_.number)))
        self._computed[round_.number, round_.attempt] = computation
        part.done("aggregated", round_.number)
        return computation

    def _attest(self, round_: Round, computation: Computation, stored: Attestation | None, status: TaskStatus) -> None:
        part, result = self._part, computation.result
        scores = self._scores(round_, computation)
        self.sync()
        part.ledger.attest(
            part.task.id,
            round_.number,
            {
                "attempt": round_.attempt,
                "version": 1 if stored is None else stored.version + 1,
                "result": result.result,
                "included": list(result.included),
                "refused": dict(result.refused),
                "model": result.model.digest,
                "state": result.state.digest,
                "fetched": list(computation.fetched),
                "proof": self._proof(round_, result, part.msp_id),
                "score_commitment": None
                if scores is None
                else hashes.score_commitment(
                    part.task.id, round_.number, part.msp_id, scores.nonce, scores.scores, scores.metrics
                ),
                "openings": self._openings(status),
            },
        )
        part.done("attested", round_.number)

    def _scores(self, round_: Round, computation: Computation) -> ScoreEntry | None:
        """Scores the included updates on the private holdout, once: what was journaled is what will be opened."""
        part, result = self._part, computation.result
        if part.task.scoring.rule == "none":
            return None
        entry = part.journal.scores(round_.number, round_.attempt)
        if entry is not None and entry.result == result.result:
            return entry

        def evaluate(model: ModelBlob) -> dict[str, float]:
            return part.trainer.evaluate(part.training, model)

        folder = part.journal.folder(round_.number)
        try:
            scored = score_round(computation.inputs, result, self._worker, evaluate, folder)
        except DataError as error:
            if error.code == "FL-DATA-HOLDOUT":  # an organisation without a holdout validates, and scores nobody
                return None
            raise
        entry = ScoreEntry(result.result, new_nonce(), dict(scored.scores), dict(scored.metrics))
        part.journal.record_scores(round_.number, round_.attempt, entry)
        part.done("scored", round_.number)
        return entry

    # ---------------------------------------------------------------- decisions

    def _decide(self, status: TaskStatus, computation: Computation) -> bool:
        round_, ledger, task = status.round, self._part.ledger, status.task.id
        proven = [
            organisation
            for organisation, attestation in status.attestations.items()
            if attestation.attempt == round_.attempt
            and attestation.result == computation.result.result
            and attestation.proof == self._proof(round_, computation.result, organisation)
        ]
        if len(proven) >= round_.q:
            self.turn_in_s = self._turn_in_s(status, sorted(proven))
            if self.turn_in_s > 0:
                return False
            ledger.commit(task, round_.number, computation.result.aggregate)
            self._part.done("committed", round_.number)
            return True
        if round_.status != DISPUTED and status.stuck:
            ledger.commit(task, round_.number)  # fixes what is included, or records the dispute
            return True
        if not self._patience.over(round_.number, round_.attempt, round_.status, "undecided"):
            return False
        return self._abort(status) if round_.status == DISPUTED else self._vote(status, CLOSE)

    def _turn_in_s(self, status: TaskStatus, proven: list[str]) -> float:
        """Returns in how many seconds to commit. Anybody may at any time; but several at once would only conflict.

        One after the other waits a little longer, so that nobody's silence delays a commit by more than that.
        """
        me, count, round_ = self._part.msp_id, len(proven), status.round
        rank = (proven.index(me) - round_.number) % count if me in proven else count
        complete = len(current_attestations(round_, status.attestations)) == len(round_.validators)
        grace = 0.0 if complete else _GRACE_S
        since = self._quorum_since.setdefault((round_.number, round_.attempt), time.monotonic())
        return since + grace + rank * _TURN_S - time.monotonic()

    def _vote(self, status: TaskStatus, kind: str, refused: Mapping[str, str] | None = None) -> bool:
        round_ = status.round
        if self._part.msp_id in _voters(status, kind):
            return False
        self._part.ledger.vote(status.task.id, round_.number, kind, round_.attempt, refused)
        self._part.done(f"voted to {kind}", round_.number)
        return True

    def _abort(self, status: TaskStatus, refused: Mapping[str, str] | None = None) -> bool:
        """Votes to abort, naming whose content is invalid, or aborts what enough have voted so for."""
        if self._vote(status, ABORT, refused):
            return True
        return len(_voters(status, ABORT)) >= status.round.q and self._end(status.round)

    def _end(self, round_: Round) -> bool:
        self._part.ledger.abort(round_.task, round_.number)
        self._part.done("aborted", round_.number)
        return True

    def _proof(self, round_: Round, result: AggregationResult, organisation: str) -> str:
        return hashes.proof(self._part.task.id, round_.number, round_.attempt, organisation, result.aggregate)

    def _written(self, number: int) -> tuple[str, ...]:
        """Returns the digests of what this process computed last in a round, which is what the files hold."""
        newest = max((key for key in self._computed if key[0] == number), default=None)
        if newest is None:
            return ()
        result = self._computed[newest].result
        return (result.model.digest, result.state.digest)

    def _release(self, number: int) -> None:
        """Gives back the memory that holds what earlier rounds than the number-th were computed from.

        Meanwhile the sum of this round needs the processors, and the disk has nothing to do.
        """
        over = [found for (earlier, _), found in self._computed.items() if earlier < number]
        digests = [digest for found in over for digest in found.read]
        if digests:
            threading.Thread(target=_release, args=(self._part.store, digests), daemon=True).start()
        self._computed = {key: value for key, value in self._computed.items() if key[0] >= number - 1}


def _release(store: BlobStore, digests: Iterable[str]) -> None:
    for digest in digests:
        store.release(digest)


def _voters(status: TaskStatus, kind: str) -> tuple[str, ...]:
    """Returns who has voted in the round's present attempt."""
    return status.votes.get(kind, {}).get(status.round.attempt, ())
