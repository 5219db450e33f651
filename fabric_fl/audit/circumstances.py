"""What else a ledger holds about a round: asked only where its own records do not explain what came of it.

A trainer's status and its declarations stand in records of their own, of which a peer's history has every version, but
not whether one was written before or after a round was opened. So there are three answers, and one is that the records
do not tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabric_fl.gateway.errors import EvaluateError
from fabric_fl.ledger import FLLedger, LedgerRefused
from fl_chaincode.records import (
    ABORT,
    ACTIVE,
    CANCEL,
    SETTLE,
    Attestation,
    Declaration,
    Motion,
    Participant,
    Round,
    Task,
    Vote,
)


class Circumstances:
    """The records around one task.

    Args:
        ledger: Read, never written.
        task: The task.
    """

    def __init__(self, ledger: FLLedger, task: Task) -> None:
        self._ledger = ledger
        self._task = task
        self._active: dict[str, bool | None] = {}
        self._declared: dict[str, tuple[Declaration, ...]] = {}

    def eligible(self, trainer: str, number: int) -> bool | None:
        """Returns whether a trainer could be selected for the round of this number; None: the records do not tell."""
        declared = self.declared(trainer, number)
        return declared if declared is False else _both(declared, self._always_active(trainer))

    def declared(self, trainer: str, number: int) -> bool | None:
        """Returns whether its newest declaration for the task's purpose covered a round, whichever that was then."""
        if self._task.purpose is None:
            return True
        if trainer not in self._declared:
            where = {"participant": trainer, "purpose": self._task.purpose}
            self._declared[trainer] = tuple(self._ledger.records(Declaration, where))
        # a declaration is revoked for good: one that is not revoked now never was
        reaching = [one.last_round is None or number <= one.last_round for one in self._declared[trainer]]
        if not any(reaching):
            return False
        revoked = any(one.revoked for one in self._declared[trainer])
        return True if all(reaching) and not revoked else None

    def settled_as_it_stood(self, round_: Round) -> bool:
        """Returns whether a round could be settled without scores that were committed to and not open."""
        voters = {vote.organisation for vote in self._votes(round_, SETTLE)}
        if len(voters & {*round_.validators}) >= round_.q:
            return True
        return any(one.carried for one in self._ledger.records(Motion, {"kind": CANCEL, "subject": round_.task}))

    def abort_votes(self, round_: Round) -> tuple[Vote, ...]:
        """Returns the votes of a round's validators to abort its last attempt."""
        return tuple(vote for vote in self._votes(round_, ABORT) if vote.organisation in round_.validators)

    def corrected(self, newest: Attestation) -> tuple[Attestation, ...] | None:
        """Returns the earlier versions of an attestation, the newest first; None where the peer keeps no history."""
        if newest.version == 1:
            return ()
        found = self._history(newest.key)
        if found is None:
            return None
        return tuple(one for one in map(Attestation.from_json, found) if one.version < newest.version)

    def _votes(self, round_: Round, kind: str) -> Iterator[Vote]:
        of: dict[str, str | int] = {
            "task": round_.task,
            "round": round_.number,
            "kind": kind,
            "attempt": round_.attempt,
        }
        return self._ledger.records(Vote, of)

    def _always_active(self, trainer: str) -> bool | None:
        """Returns True where every version of its record says so: it was registered before the task was created."""
        if trainer not in self._active:
            found = self._history(Participant.key_of(trainer))
            always = bool(found) and all(one.get("status") == ACTIVE for one in found or ())
            self._active[trainer] = True if always else None
        return self._active[trainer]

    def _history(self, key: str) -> list[dict[str, object]] | None:
        try:
            return [dict(one.record) for one in self._ledger.history(key) if one.record is not None]
        except (LedgerRefused, EvaluateError):  # a peer may keep no history
            return None


def _both(one: bool | None, other: bool | None) -> bool | None:
    return True if one and other else None
