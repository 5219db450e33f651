"""Aborts: the run ends, and the next round makes the same model from the same base."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from fl_chaincode import cancellation, lookup, selection, settlement, succession
from fl_chaincode.caller import Caller
from fl_chaincode.decision import current_attestations, fetched_by_quorum
from fl_chaincode.errors import FLError
from fl_chaincode.records import ABORT, ABORTED, COMMITTED, OPEN, RUNNING, Reveal, Round, Vote
from fl_chaincode.state import Points, Writer


def abort(state: Writer, _caller: Caller, task_id: str, number: int) -> Round:
    """Abort a round for whose present attempt q validators have voted so.

    Where the task is to end and nobody has submitted to the round, nothing is lost by it, and no votes are needed.
    """
    stored = lookup.round_record(state, task_id, number)
    if stored.status == ABORTED:
        return stored
    if stored.status == COMMITTED:
        raise FLError("FL-ROUND-FINAL", f"round {number} is committed")
    round_ = lookup.effective(state, stored)
    votes = lookup.votes(state, round_, ABORT, round_.attempt)
    if len(votes) >= round_.q:
        return rerun(state, round_, missed(state, round_), blamed(round_, votes))
    if lookup.submitted(state, stored) or not _to_end(state, round_):
        raise FLError("FL-ROUND-VOTES", f"{len(votes)} of {round_.q} votes to abort attempt {round_.attempt}")
    return rerun(state, round_, ())


def rerun(
    state: Writer, round_: Round, missed: tuple[str, ...], refused: Mapping[str, str] = MappingProxyType({})
) -> Round:
    """Write the end of this run and what follows; those who failed move to the end of the order."""
    invalid = {participant: code for participant, code in refused.items() if participant not in missed}
    aborted = replace(round_, status=ABORTED, missed=missed, refused=invalid)
    state.put(aborted)
    task = lookup.task(state, round_.task)
    moved = selection.move(round_.moved, (*missed, *selection.invalid(invalid)))
    head = succession.proceed(state, task, lookup.head(state, task.id), aborted, moved)
    state.put(head)
    if head.status != RUNNING:
        settlement.pay(state, task, head, ())
    return aborted


def blamed(round_: Round, votes: Sequence[Vote]) -> dict[str, str]:
    """Return whose updates q of the votes to abort call invalid, each with the same code.

    With too few valid updates nothing can be attested, so the votes say why. Fewer than q liars blame nobody.
    """
    said = [(participant, code) for vote in votes for participant, code in vote.refused.items()]
    revealed_by = round_.set or ()
    return {
        participant: code
        for participant, code in sorted(frozenset(said))
        if participant in revealed_by and said.count((participant, code)) >= round_.q
    }


def _to_end(state: Points, round_: Round) -> bool:
    if lookup.head(state, round_.task).stopped is not None:
        return True
    return cancellation.in_force(state, lookup.task(state, round_.task), round_)


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
