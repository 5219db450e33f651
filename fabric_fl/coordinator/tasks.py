"""Creating a task: publish its initial model, lock its budget, write it to the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from fabric_fl.blobs import BlobStore
from fabric_fl.coordinator.taskfile import TaskDraft
from fabric_fl.ledger import FLLedger
from fl_chaincode.records import Entry, Task


def create_task(ledger: FLLedger, store: BlobStore, msp_id: str, draft: TaskDraft) -> Task:
    """Publishes the initial model in the organisation's own store, then creates the task; repeating it changes nothing.

    Args:
        ledger: In the name of the sponsor.
        store: The sponsor's own, where the others fetch the initial model.
        msp_id: The sponsor, who pays the budget.
        draft: The task.

    Raises:
        LedgerRefused: The contract refuses the specification, or the sponsor has too few tokens.
        BlobStoreError: The store cannot take the model.
    """
    # first, so that nobody reads a task whose model is nowhere
    store.put(draft.initial)
    budget = draft.spec["budget"]
    inputs = entries_covering(ledger.entries(msp_id), budget) if budget else ()
    return ledger.create_task(draft.spec, inputs)


def entries_covering(entries: Iterable[Entry], amount: int) -> tuple[str, ...]:
    """Returns ids of entries that together hold `amount`, the largest first so that they are few.

    Where all of them hold less, all are returned: the ledger says what is missing.
    """
    chosen: list[str] = []
    left = amount
    for entry in sorted(entries, key=lambda entry: (-entry.amount, entry.id)):
        if left <= 0:
            break
        chosen.append(entry.id)
        left -= entry.amount
    return tuple(chosen)
