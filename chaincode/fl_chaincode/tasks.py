"""Tasks: created once with everything that decides about them, then read."""

from dataclasses import replace
from typing import Any

from fl_chaincode import access, lookup, selection, tokens
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import (
    RUNNING,
    SETTLE,
    Escrow,
    Head,
    Model,
    Participant,
    Reveal,
    Round,
    Task,
    Vote,
)
from fl_chaincode.state import Points, Reader, Writer


def create(state: Writer, caller: Caller, specification: Task, inputs: tuple[str, ...] = ()) -> Task:
    """Create a task: lock its budget, write its initial model and open its first round.

    Args:
        state: the ledger.
        caller: becomes the sponsor, who pays the budget and gets back what nobody earns.
        specification: the task, still without its sponsor.
        inputs: ids of the sponsor's token entries that cover the budget.
    """
    task = replace(specification, sponsor=caller.msp_id)
    stored = state.get(Task, task.id)
    if stored is not None:
        if stored != task:
            raise FLError("FL-CONFLICT", f"there is another task {task.id}")
        return stored
    _check_organisations(state, task)
    tokens.spend(state, task.sponsor, inputs, task.budget, task.key)
    initial = task.model.initial
    state.put(task)
    state.put(Escrow(task.id, task.sponsor, task.budget))
    state.put(Model(task.id, 0, 0, 0, None, initial, None, (), {}, None, None, ()))
    state.put(selection.open_round(state, task, number=1, j=1, base=initial))
    state.put(Head(task.id, RUNNING, round=1, j=0, model=initial, state=None, unsettled=()))
    return task


def _check_organisations(state: Points, task: Task) -> None:
    members = access.consortium(state)
    for validator in task.validators:
        access.check_member(members, validator)
    organisations = sorted((*task.trainers, *(one for one in task.validators if one not in task.trainers)))
    found = state.get_many(Participant, [(organisation,) for organisation in organisations])
    for organisation, participant in zip(organisations, found, strict=True):
        access.refuse_inactive(organisation, participant)


def read(state: Reader, task_id: str) -> Task:
    return lookup.task(state, task_id)


def list_all(state: Reader) -> list[Task]:
    return list(state.scan(Task))


def status(state: Reader, task_id: str) -> dict[str, Any]:
    """Return all that a participant, a validator or a coordinator needs to decide what to do next."""
    task = lookup.task(state, task_id)
    head = lookup.head(state, task_id)
    stored = lookup.round_record(state, task_id, head.round)
    submitted = lookup.submitted(state, stored)
    round_ = stored.effective(submitted)
    return {
        "task": task,
        "head": head,
        "round": round_,
        "submitted": sorted(submitted),
        "reveals": _reveals(state, round_),
        "votes": _votes(state, round_),
        "attestations": lookup.attestations(state, round_),
        "unsettled": [_unsettled(state, lookup.round_record(state, task_id, number)) for number in head.unsettled],
    }


def _reveals(state: Reader, round_: Round) -> dict[str, Any]:
    found = state.get_many(Reveal, [(round_.task, round_.number, participant) for participant in round_.selected])
    return {
        reveal.participant: {"digest": reveal.digest, "size": reveal.size, "num_examples": reveal.num_examples}
        for reveal in found
        if reveal is not None
    }


def _votes(state: Reader, round_: Round) -> dict[str, dict[str, list[str]]]:
    votes: dict[str, dict[str, list[str]]] = {}
    for vote in state.scan(Vote, round_.task, round_.number):
        votes.setdefault(vote.kind, {}).setdefault(str(vote.attempt), []).append(vote.organisation)
    return votes


def _unsettled(state: Reader, round_: Round) -> dict[str, Any]:
    return {
        "round": round_,
        "attestations": lookup.attestations(state, round_),
        "openings": lookup.openings(state, round_),
        "settle_votes": lookup.voters(state, round_, SETTLE, round_.attempt),
    }
