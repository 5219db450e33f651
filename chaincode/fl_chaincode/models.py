"""Models: the committed ones of a task, from the initial model 0 on."""

from fl_chaincode import declarations, lookup
from fl_chaincode.records import Model
from fl_chaincode.state import Reader


def latest(state: Reader, task_id: str) -> Model:
    """Return the newest committed model, marked with the revoked declarations that went into it."""
    return read(state, task_id, lookup.head(state, task_id).j)


def read(state: Reader, task_id: str, j: int) -> Model:
    """Return a committed model, marked with the revoked declarations that went into it; 0 is the initial one."""
    return declarations.marked(state, lookup.task(state, task_id), lookup.model(state, task_id, j))


def list_task(state: Reader, task_id: str) -> list[Model]:
    """Return all models of a task, each marked with the revoked declarations that went into it."""
    task = lookup.task(state, task_id)
    return [declarations.marked(state, task, model) for model in state.scan(Model, task_id)]
