"""Tasks: created once with everything that decides about them, then read."""

from dataclasses import replace

from fl_chaincode import access, declarations, lookup, selection, tokens
from fl_chaincode.caller import Caller
from fl_chaincode.elections import Electorate
from fl_chaincode.errors import FLError
from fl_chaincode.records import (
    RUNNING,
    Escrow,
    Head,
    Model,
    Participant,
    Task,
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
    declarations.check_assignment(state, task)
    tokens.spend(state, task.sponsor, inputs, task.budget, task.key)
    initial = task.model.initial
    state.put(task)
    state.put(Escrow(task.id, task.sponsor, task.budget))
    state.put(Model(task.id, 0, 0, 0, None, initial, None, (), {}, None, None, ()))
    electorate = Electorate(task.validators, task.q, term=0)
    state.put(selection.open_round(state, task, number=1, j=1, base=initial, electorate=electorate))
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
    """Return a task's specification."""
    return lookup.task(state, task_id)


def list_all(state: Reader) -> list[Task]:
    """Return the specifications of all tasks."""
    return list(state.scan(Task))
