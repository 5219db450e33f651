"""Rounds: votes, sealing and reading; commit.py, abort.py and settlement.py hold their ends."""

from fl_chaincode import lookup
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ABORTED, CLOSE, OPEN, Round, Vote
from fl_chaincode.state import Reader, Writer


def vote(state: Writer, caller: Caller, task_id: str, number: int, kind: str, attempt: int) -> Vote:
    """Vote to close, to abort or to settle.

    A blind write: it reads nothing that others write, so that no two votes ever conflict. A vote for a round or an
    attempt that is not there is merely never counted.
    """
    if caller.msp_id not in lookup.task(state, task_id).validators:
        raise FLError("FL-VALIDATOR-OUTSIDE", f"{caller.msp_id} is no validator of task {task_id}")
    ballot = Vote(task_id, number, kind, attempt, caller.msp_id)
    state.put(ballot)
    return ballot


def seal(state: Writer, _caller: Caller, task_id: str, number: int) -> Round:
    """Seal a round that q validators voted to close, with those who have submitted."""
    stored = lookup.round_record(state, task_id, number)
    if stored.status == ABORTED:
        raise FLError("FL-ROUND-FINAL", f"round {number} is aborted")
    submitted = lookup.submitted(state, stored)
    round_ = stored.effective(submitted)
    if round_.status != OPEN:
        return round_
    votes = len(lookup.voters(state, round_, CLOSE, round_.attempt))
    if votes < round_.q:
        raise FLError("FL-ROUND-VOTES", f"{votes} of {round_.q} votes to close round {number}")
    if len(submitted) < round_.min_updates:
        raise FLError("FL-ROUND-MIN-UPDATES", f"{len(submitted)} of {round_.min_updates} updates are in")
    sealed = round_.sealed(submitted)
    state.put(sealed)
    return sealed


def read(state: Reader, task_id: str, number: int) -> Round:
    return lookup.effective(state, lookup.round_record(state, task_id, number))


def list_task(state: Reader, task_id: str) -> list[Round]:
    lookup.task(state, task_id)
    return [lookup.effective(state, round_) for round_ in state.scan(Round, task_id)]
