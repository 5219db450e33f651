"""The trainer's part of a round: train, journal, commit to the update, and reveal it once the round is sealed."""

from __future__ import annotations

from collections.abc import Callable

from fabric_fl.journal import UpdateEntry
from fabric_fl.learning import make_update, training_seed
from fabric_fl.participation import Participation
from fabric_fl.task_status import TaskStatus
from fl_chaincode.hashes import update_commitment
from fl_chaincode.records import Round


class TrainerRole:
    """Acts for an organisation that a round selected. Reads the ledger, then takes the next step, if there is one.

    Args:
        participation: the organisation's means.
        sync: waits until all that this organisation has published is on the disk; called before it submits.
    """

    def __init__(self, participation: Participation, sync: Callable[[], None]) -> None:
        self._part = participation
        self._sync = sync
        self._checked = False

    def act(self, status: TaskStatus) -> bool:
        """Takes the steps that the round waits for from this organisation; returns whether there was one."""
        round_ = status.round
        if status.due("updates:Submit"):
            self._submit(round_, self._part.journal.update(round_.number) or self._train(round_))
            return True
        return status.due("updates:Reveal") and self._reveal(round_)

    def _train(self, round_: Round) -> UpdateEntry:
        part = self._part
        model = part.models.read(round_.j - 1)
        if not self._checked:
            part.trainer.check(part.training, model)
            self._checked = True
        trained = part.trainer.train(part.training, model, training_seed(part.task.id, round_.number, part.msp_id))
        part.done("trained", round_.number)
        quantisation = part.task.quantisation
        blob = make_update(
            trained,
            task=part.task.id,
            round=round_.number,
            participant=part.msp_id,
            base=round_.base,
            f=quantisation.f,
            bound=quantisation.bound,
            rule=part.task.aggregation.to_json(),
        )
        entry = part.journal.record_update(round_.number, round_.base, blob)
        part.done("journaled", round_.number)
        return entry

    def _submit(self, round_: Round, entry: UpdateEntry) -> None:
        part = self._part
        self._sync()
        commitment = update_commitment(
            part.task.id, round_.number, part.msp_id, round_.base, entry.num_examples, entry.digest, entry.nonce
        )
        part.ledger.submit_update(part.task.id, round_.number, commitment)
        part.done("submitted", round_.number)

    def _reveal(self, round_: Round) -> bool:
        part = self._part
        entry = part.journal.update(round_.number)
        if entry is None:  # another folder's submission: its nonce is not here, so nobody here can open it
            return False
        if not part.store.has(entry.digest):
            part.store.adopt(part.journal.update_path(round_.number), entry.digest)
            part.done("published", round_.number)
        part.ledger.reveal_update(
            part.task.id,
            round_.number,
            digest=entry.digest,
            size=entry.size,
            num_examples=entry.num_examples,
            nonce=entry.nonce,
        )
        part.journal.forget_blob(round_.number)
        part.done("revealed", round_.number)
        return True
