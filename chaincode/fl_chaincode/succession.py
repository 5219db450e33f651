"""What follows a round that has ended: the next one, or the end of the task."""

from collections.abc import Sequence
from dataclasses import replace

from fl_chaincode import cancellation, elections, selection
from fl_chaincode.records import CANCELLED, FINISHED, Head, Round, Task
from fl_chaincode.state import Writer


def proceed(state: Writer, task: Task, head: Head, ended: Round, moved: Sequence[str]) -> Head:
    """Open the next round or end the task; return the new head, which the caller writes.

    Args:
        state: the ledger.
        task: the task.
        head: with what this transaction has changed: models, settlements, the stop rule's judgement.
        ended: the round that this transaction commits or aborts.
        moved: who comes last in the order of the next round's selection.
    """
    if head.j == task.rounds or head.stopped is not None:
        return replace(head, status=FINISHED)
    if cancellation.in_force(state, task, ended):
        return replace(head, status=CANCELLED)
    electorate = elections.following(state, ended)
    following = selection.open_round(state, task, ended.number + 1, head.j + 1, head.model, electorate, moved)
    state.put(following)
    return replace(head, round=following.number)
