"""Cancelling a task: its sponsor wants it, or q of its validators do.

It takes effect when the round that runs ends, by commit or by abort; a round to which nobody has submitted may then be
aborted at once. Committed rounds are settled as ever, and with the last of them the rest of the budget returns. Where
the validators are gone for good, a majority of the consortium ends the task without them, so that no budget is lost.
"""

from dataclasses import replace

from fl_chaincode import access, lookup, settlement, stopping
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ABORTED, CANCELLED, RUNNING, Cancellation, Round, Task
from fl_chaincode.state import Points, Writer


def cancel(state: Writer, caller: Caller, task_id: str) -> Cancellation:
    """Ask for the end of a task: as its sponsor, which decides alone, or as one of q validators."""
    task = lookup.task(state, task_id)
    wanted = Cancellation(task_id, caller.msp_id)
    if caller.msp_id == task.sponsor:
        access.check_role(caller, "coordinator")
    else:
        access.check_role(caller, "validator")
    if state.get(Cancellation, task_id, caller.msp_id) is not None:
        return wanted
    head = lookup.head(state, task_id)
    if head.status != RUNNING:
        raise FLError("FL-TASK-ENDED", f"task {task_id} is {head.status}")
    validators = lookup.round_record(state, task_id, head.round).validators
    if caller.msp_id not in (task.sponsor, *validators):
        raise FLError("FL-TASK-OUTSIDE", f"{caller.msp_id} is neither sponsor nor validator of task {task_id}")
    state.put(wanted)
    return wanted


def keys(task: Task, round_: Round) -> list[str]:
    """Return the keys of what sponsor and validators may have asked for."""
    return [Cancellation.key_of(task.id, organisation) for organisation in _asked(task, round_)]


def _asked(task: Task, round_: Round) -> tuple[str, ...]:
    return (task.sponsor, *(one for one in round_.validators if one != task.sponsor))


def wanted_by(state: Points, task: Task, round_: Round) -> tuple[str, ...]:
    """Return which of the sponsor and the round's validators want the task to end."""
    found = state.get_many(Cancellation, [(task.id, organisation) for organisation in _asked(task, round_)])
    return tuple(one.organisation for one in found if one is not None)


def decided(task: Task, round_: Round, wanted: tuple[str, ...]) -> bool:
    """Whether the task is to end with this round."""
    return task.sponsor in wanted or len(wanted) >= round_.q


def in_force(state: Points, task: Task, round_: Round) -> bool:
    """Whether the task is to end with this round, as the ledger has it."""
    return decided(task, round_, wanted_by(state, task, round_))


def force(state: Writer, task_id: str) -> None:
    """End a task at once, by a majority of the consortium: what is open of its scores is settled as it stands."""
    task, head = lookup.task(state, task_id), lookup.head(state, task_id)
    if head.status != RUNNING and not head.unsettled:
        raise FLError("FL-TASK-ENDED", f"task {task_id} is {head.status}, and settled")
    newest = lookup.effective(state, lookup.round_record(state, task_id, head.round))
    if not newest.final:
        state.put(replace(newest, status=ABORTED))
    rounds = [lookup.round_record(state, task_id, number) for number in head.unsettled]
    settlements = [settlement.conclude(task, each, settlement.gather(state, each)) for each in rounds]
    head = replace(head, status=CANCELLED if head.status == RUNNING else head.status, unsettled=())
    head = stopping.advance(state, task, head, settlements)
    state.put(head)
    settlement.pay(state, task, head, settlements)
