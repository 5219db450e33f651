"""The stop rule: when a task has learnt enough, decided from what its validators have opened.

A model's metric is the lower median of the opened integers, as its round's settlement has it. Models are judged in the
order of their numbers, each as soon as it and all before it are settled:

- `target`: the model is at least as good.
- `patience`: it is the patience-th in a row that is not better than the best before it by at least `min_delta` (and by
  at least 1). A model whose metric nobody opened is not better.

When it takes effect: openings ride along with later rounds, so the judgement on model j falls when its round is
settled, usually in the transaction that commits model j + 1 or j + 2. A task that is to stop opens no further round: it
finishes in that very transaction if it is a commit, else when the round that runs then ends, by commit or by abort. So
a task commits one or two models more than the one that stopped it, `head.best_j` names the best, and a round to which
nobody has submitted yet may be aborted without votes.
"""

from collections.abc import Sequence
from dataclasses import replace

from fl_chaincode.records import RUNNING, Head, Model, Settlement, StopSpec, Task
from fl_chaincode.state import Points

TARGET, PATIENCE = "target", "patience"


def advance(state: Points, task: Task, head: Head, settlements: Sequence[Settlement]) -> Head:
    """Return the head with every model judged that can be.

    Args:
        state: the ledger before this transaction.
        task: the task.
        head: as this transaction leaves it, without the settled rounds among the unsettled.
        settlements: of this transaction.
    """
    if task.stop is None:
        return head
    fresh = {settlement.j: settlement for settlement in settlements}
    for j in range(head.counted + 1, head.j + 1):
        settled = fresh.get(j) or _settled(state, head, j)
        if settled is None:
            break
        head = judge(task.stop, head, j, settled.metrics.get(task.stop.metric))
    return head


def _settled(state: Points, head: Head, j: int) -> Settlement | None:
    model = state.get(Model, head.task, j)  # None for the one that this transaction commits
    return state.get(Settlement, head.task, model.round) if model else None


def judge(rule: StopSpec, head: Head, j: int, value: int | None) -> Head:
    """Return the head with the j-th model judged by its metric."""
    if value is not None and _better(rule, value, head.best):
        head = replace(head, best=value, best_j=j)
    reason = None
    if value is not None and _reached(rule, value):
        reason = TARGET
    elif rule.patience is not None and j - (head.best_j or 0) >= rule.patience:
        reason = PATIENCE
    if head.status == RUNNING and head.stopped is None:
        head = replace(head, stopped=reason)
    return replace(head, counted=j)


def _better(rule: StopSpec, value: int, best: int | None) -> bool:
    if best is None:
        return True
    gain = best - value if rule.direction == "min" else value - best
    return gain >= max(1, rule.min_delta)


def _reached(rule: StopSpec, value: int) -> bool:
    if rule.target is None:
        return False
    return value <= rule.target if rule.direction == "min" else value >= rule.target
