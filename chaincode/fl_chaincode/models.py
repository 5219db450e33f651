"""Models: the committed ones of a task, from the initial model 0 on."""

from fl_chaincode import lookup
from fl_chaincode.records import Model
from fl_chaincode.state import Reader


def latest(state: Reader, task_id: str) -> Model:
    return lookup.model(state, task_id, lookup.head(state, task_id).j)


def read(state: Reader, task_id: str, j: int) -> Model:
    return lookup.model(state, task_id, j)
