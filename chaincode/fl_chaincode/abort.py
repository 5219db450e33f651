"""Aborts: the run ends, and the next round makes the same model from the same base."""

from dataclasses import replace

from fl_chaincode import lookup, selection
from fl_chaincode.caller import Caller
from fl_chaincode.decision import current_attestations, fetched_by_quorum
from fl_chaincode.errors import FLError
from fl_chaincode.records import ABORT, ABORTED, COMMITTED, OPEN, Reveal, Round
from fl_chaincode.state import Points, Writer


def abort(state: Writer, _caller: Caller, task_id: str, number: int) -> Round:
    """Abort a round for whose present attempt q validators have voted so."""
    stored = lookup.round_record(state, task_id, number)
    if stored.status == ABORTED:
        return stored
    if stored.status == COMMITTED:
        raise FLError("FL-ROUND-FINAL", f"round {number} is committed")
    round_ = lookup.effective(state, stored)
    votes = len(lookup.voters(state, round_, ABORT, round_.attempt))
    if votes < round_.q:
        raise FLError("FL-ROUND-VOTES", f"{votes} of {round_.q} votes to abort attempt {round_.attempt}")
    return rerun(state, round_, missed(state, round_))


def rerun(state: Writer, round_: Round, missed: tuple[str, ...]) -> Round:
    """Write the end of this run and the opening of the next; those who failed move to the end of the order."""
    aborted = replace(round_, status=ABORTED, missed=missed)
    state.put(aborted)
    task = lookup.task(state, round_.task)
    moved = selection.move(round_.moved, missed)
    following = selection.open_round(state, task, round_.number + 1, round_.j, round_.base, moved)
    state.put(following)
    state.put(replace(lookup.head(state, round_.task), round=following.number))
    return aborted


def missed(state: Points, round_: Round) -> tuple[str, ...]:
    """Return who failed to submit, to reveal or to be fetched, in order of selection.

    What can be fetched is judged as Commit judges it, by q of the attestations of this attempt; where fewer than q
    have attested, nobody can be blamed for it.
    """
    if round_.status == OPEN:
        submitted = lookup.submitted(state, round_)
        return tuple(participant for participant in round_.selected if participant not in submitted)
    digests = revealed(state, round_)
    arrived = tuple(digests) if round_.included is None else round_.included
    attestations = current_attestations(round_, lookup.attestations(state, round_))
    if len(attestations) >= round_.q:
        fetched = fetched_by_quorum(round_, digests, attestations)
        arrived = tuple(participant for participant in arrived if participant in fetched)
    return tuple(participant for participant in round_.selected if participant not in arrived)


def revealed(state: Points, round_: Round) -> dict[str, str]:
    """Return the digests that the round's participants have revealed."""
    found = state.get_many(Reveal, [(round_.task, round_.number, participant) for participant in round_.set or ()])
    return {reveal.participant: reveal.digest for reveal in found if reveal is not None}
