"""Where a task stands, and what the caller is to do: one query, for a participant and whoever watches."""

from collections.abc import Iterator

from fl_chaincode import cancellation, choices, declarations, duties, lookup, settlement
from fl_chaincode.answers import Action, Revealed, TaskStatus
from fl_chaincode.caller import Caller
from fl_chaincode.duties import Standing, Unsettled
from fl_chaincode.records import (
    ACTIVE,
    RUNNING,
    SETTLE,
    Declaration,
    Head,
    Model,
    Participant,
    Reveal,
    Round,
    Task,
    Vote,
)
from fl_chaincode.state import Reader

CREATED = "created"


def status(state: Reader, caller: Caller, task_id: str) -> TaskStatus:
    """Return where a task stands, and what the caller's organisation is to do in it now."""
    state.ahead([Task.key_of(task_id), Head.key_of(task_id), Participant.key_of(caller.msp_id)])
    task = lookup.task(state, task_id)
    head = lookup.head(state, task_id)
    rounds = (Round.key_of(task_id, number) for number in (head.round, *head.unsettled))
    state.ahead([Model.key_of(task_id, head.j), *rounds])
    stored = lookup.round_record(state, task_id, head.round)
    state.ahead(_keys(state, task, head, stored))
    reveals = _reveals(state, stored)
    wanted = cancellation.wanted_by(state, task, stored)
    cancelled = cancellation.decided(task, stored, wanted)
    standing = _standing(state, task, head, stored, tuple(reveals), cancelled)
    return {
        "task": task,
        "state": _state(standing),
        "head": head,
        "model": declarations.marked(state, task, lookup.model(state, task_id, head.j)),
        "round": standing.round,
        "submitted": sorted(standing.submitted),
        "reveals": reveals,
        "votes": {
            kind: {str(attempt): list(voters) for attempt, voters in attempts.items()}
            for kind, attempts in standing.votes.items()
        },
        "attestations": dict(standing.attestations),
        "unsettled": [
            {
                "round": one.round,
                "attestations": dict(one.attestations),
                "openings": dict(one.openings),
                "settle_votes": one.settle_votes,
            }
            for one in standing.unsettled
        ],
        "cancel": {"wanted_by": sorted(wanted), "decided": cancelled},
        "actions": duties.actions(standing, caller.msp_id) if _active(state, caller) else [],
    }


def _keys(state: Reader, task: Task, head: Head, round_: Round) -> Iterator[str]:
    """Yield the keys of all that the answer is made of, beside the votes."""
    yield from (Reveal.key_of(task.id, round_.number, participant) for participant in round_.selected)
    yield from (*lookup.update_keys(round_), *lookup.attestation_keys(round_), *cancellation.keys(task, round_))
    for number in head.unsettled:
        unsettled = lookup.round_record(state, task.id, number)
        yield from lookup.settlement_keys(unsettled)
        yield from lookup.voting_keys(unsettled, SETTLE, unsettled.attempt)


def todo(state: Reader, caller: Caller) -> list[Action]:
    """Return what the caller's organisation is to do now in every task that is not over, and what it may vote on."""
    if not _active(state, caller):
        return []
    actions: list[Action] = []
    for head in state.scan(Head):
        if head.status == RUNNING or head.unsettled:
            task = lookup.task(state, head.task)
            stored = lookup.round_record(state, task.id, head.round)
            cancelled = cancellation.in_force(state, task, stored)
            standing = _standing(state, task, head, stored, tuple(_reveals(state, stored)), cancelled)
            actions += duties.actions(standing, caller.msp_id)
            actions += choices.in_task(state, task, head, stored, caller.msp_id)
    return [*actions, *choices.in_consortium(state, caller.msp_id)]


def _active(state: Reader, caller: Caller) -> bool:
    participant = state.get(Participant, caller.msp_id)
    return participant is not None and participant.status == ACTIVE


def _state(standing: Standing) -> str:
    """Return created, running, finished or cancelled; a task runs as soon as somebody has submitted to it."""
    head = standing.head
    fresh = head.status == RUNNING and head.round == 1 and not standing.submitted
    return CREATED if fresh else head.status


def _standing(
    state: Reader, task: Task, head: Head, stored: Round, revealed: tuple[str, ...], cancelled: bool
) -> Standing:
    submitted = lookup.submitted(state, stored)
    round_ = stored.effective(submitted)
    keys = [(participant, task.purpose or "", number) for participant, number in sorted(round_.declarations.items())]
    return Standing(
        task=task,
        head=head,
        round=round_,
        submitted=submitted,
        revealed=revealed,
        votes=_votes(state, round_),
        attestations=lookup.attestations(state, round_),
        unsettled=tuple(_unsettled(state, lookup.round_record(state, task.id, number)) for number in head.unsettled),
        ending=cancelled or head.stopped is not None,
        barred=tuple(one.participant for one in state.get_many(Declaration, keys) if one is not None and one.revoked),
    )


def _reveals(state: Reader, round_: Round) -> dict[str, Revealed]:
    found = state.get_many(Reveal, [(round_.task, round_.number, participant) for participant in round_.selected])
    return {
        reveal.participant: {"digest": reveal.digest, "size": reveal.size, "num_examples": reveal.num_examples}
        for reveal in found
        if reveal is not None
    }


def _votes(state: Reader, round_: Round) -> dict[str, dict[int, list[str]]]:
    votes: dict[str, dict[int, list[str]]] = {}
    for vote in state.scan(Vote, round_.task, round_.number):
        if vote.organisation in round_.validators:
            votes.setdefault(vote.kind, {}).setdefault(vote.attempt, []).append(vote.organisation)
    return votes


def _unsettled(state: Reader, round_: Round) -> Unsettled:
    evidence = settlement.gather(state, round_)
    return Unsettled(
        round=round_,
        attestations=lookup.attestations(state, round_),
        openings=lookup.openings(state, round_),
        settle_votes=lookup.voters(state, round_, SETTLE, round_.attempt),
        agreeing=tuple(sorted((*evidence.openings, *evidence.unopened))),
    )
