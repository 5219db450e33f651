"""Who is recorded to have failed in a round: it comes last in the order of the next, so it must have failed indeed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fabric_fl.audit.circumstances import Circumstances
from fabric_fl.audit.finding import Finding
from fabric_fl.task_status import Attested, SubmittedUpdate
from fl_chaincode import abort
from fl_chaincode.decision import current_attestations, fetched_by_quorum
from fl_chaincode.records import Round


def check_missed(
    round_: Round,
    updates: Sequence[SubmittedUpdate],
    attested: Sequence[Attested],
    about: Circumstances,
    *,
    ends: bool,
) -> Iterator[Finding]:
    """Yields who is recorded as missed or refused and was not, and the other way round.

    Args:
        round_: An aborted round; after a committed one nobody is moved for what is missing.
        updates: Of the round.
        attested: Its attestations.
        about: Has its votes.
        ends: Whether the task ended with it. It may have been aborted for that alone, and then nobody is blamed.
    """
    expected = _failed(round_, updates, attested)
    if ends and not round_.missed:
        return
    for participant in round_.selected:
        if (participant in round_.missed) != (participant in expected):
            told = "did not fail to arrive" if participant in round_.missed else "is not recorded as missed, and failed"
            yield Finding("missed", participant, f"its update {told}")
    blamed = abort.blamed(round_, about.abort_votes(round_)) if round_.refused else {}
    for participant, code in round_.refused.items():
        if blamed.get(participant) != code:
            yield Finding("missed", participant, f"its update is recorded as {code}, which fewer than q votes say")


def _failed(round_: Round, updates: Sequence[SubmittedUpdate], attested: Sequence[Attested]) -> tuple[str, ...]:
    """Returns whose update did not arrive, as the contract judges it when a round is aborted."""
    if round_.set is None:
        submitted = {update.participant for update, _ in updates}
        return tuple(one for one in round_.selected if one not in submitted)
    digests = {
        update.participant: reveal.digest
        for update, reveal in updates
        if reveal is not None and update.participant in round_.set
    }
    arrived = tuple(digests) if round_.included is None else round_.included
    current = current_attestations(round_, {one.organisation: one for one, _ in attested})
    if len(current) >= round_.q:
        fetched = fetched_by_quorum(round_, digests, current)
        arrived = tuple(one for one in arrived if one in fetched)
    return tuple(one for one in round_.selected if one not in arrived)
