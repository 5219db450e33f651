"""After the commit: open the scores that were committed to, and have the round settled, so that it is paid."""

from __future__ import annotations

from typing import Any

from fabric_fl.participation import Participation, Patience
from fabric_fl.task_status import TaskStatus, Unsettled
from fabric_fl.validator import ValidatorRole
from fl_chaincode.records import RUNNING, SETTLE


class SettlerRole:
    """Acts for a validator on rounds that are committed and not yet paid.

    While a task runs, openings ride along with the next attestation and settlement with the next commit. When it has
    ended, or when somebody's silence holds a settlement up, they are transactions of their own.
    """

    def __init__(self, participation: Participation) -> None:
        self._part = participation
        self._patience = Patience(participation.task.patience_s)

    def pending(self, status: TaskStatus) -> bool:
        """Returns whether this organisation still has to see a settlement through."""
        return any(self._part.msp_id in unsettled.round.validators for unsettled in status.unsettled)

    def openings(self, status: TaskStatus) -> list[dict[str, Any]]:
        """Returns the openings that this organisation owes, as an attestation carries them."""
        owed = []
        for unsettled in status.unsettled:
            opening = self._owed(unsettled)
            if opening is not None:
                owed.append({"round": unsettled.round.number, **opening})
        return owed

    def act(self, status: TaskStatus, validator: ValidatorRole) -> bool:
        """Takes the next step towards a settlement; returns whether there was one."""
        mine = (unsettled for unsettled in status.unsettled if self._part.msp_id in unsettled.round.validators)
        return any(self._act(unsettled, status, validator) for unsettled in mine)

    def _act(self, unsettled: Unsettled, status: TaskStatus, validator: ValidatorRole) -> bool:
        part, round_ = self._part, unsettled.round
        if part.msp_id not in unsettled.attestations:
            return validator.attest_late(round_, status)
        waited = self._patience.over(round_.number)
        if status.head.status == RUNNING and not waited:
            return False
        opening = self._owed(unsettled)
        if opening is not None:
            part.ledger.open_scores(part.task.id, round_.number, **opening)
            part.done("opened", round_.number)
            return True
        everybody = len(unsettled.attestations) == len(round_.validators)
        if (everybody or waited) and self._opened(unsettled):
            return self._settle(round_.number)
        if not waited:
            return False
        if part.msp_id not in unsettled.settle_votes:
            part.ledger.vote(part.task.id, round_.number, SETTLE, round_.attempt)
            part.done("voted to settle", round_.number)
            return True
        return len(unsettled.settle_votes) >= round_.q and self._settle(round_.number)

    def _settle(self, round_number: int) -> bool:
        self._part.ledger.settle(self._part.task.id, round_number)
        self._part.done("settled", round_number)
        return True

    def _opened(self, unsettled: Unsettled) -> bool:
        """Returns whether every score that the settlement waits for is open: those of agreeing attestations."""
        round_ = unsettled.round
        committed = self._part.models.record(round_.j).result
        return all(
            attestation.score_commitment is None or organisation in unsettled.openings
            for organisation, attestation in unsettled.attestations.items()
            if attestation.result == committed
        )

    def _owed(self, unsettled: Unsettled) -> dict[str, Any] | None:
        """Returns nonce, scores and metrics of a commitment on the ledger that is not open yet, or None."""
        me, round_ = self._part.msp_id, unsettled.round
        attestation = unsettled.attestations.get(me)
        if attestation is None or attestation.score_commitment is None or me in unsettled.openings:
            return None
        entry = self._part.journal.scores(round_.number, attestation.attempt)
        if entry is None:  # the journal was lost; the others vote to settle without these scores
            return None
        return {"nonce": entry.nonce, "scores": entry.scores, "metrics": entry.metrics}
