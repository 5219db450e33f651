"""Which participants a round asks for updates, and the opening of rounds.

The order is a hash of the base model, which nobody knew before it was committed; what bias remains is documented.
"""

from collections.abc import Sequence

from fl_chaincode.args import MAX_NUMBER
from fl_chaincode.errors import FLError
from fl_chaincode.hashes import selection_rank
from fl_chaincode.records import ACTIVE, OPEN, Participant, Round, Task
from fl_chaincode.state import Points


def open_round(state: Points, task: Task, number: int, j: int, base: str, moved: Sequence[str] = ()) -> Round:
    """Return a new round for the j-th model; the caller writes it.

    Args:
        state: where the trainers' status is read.
        task: the task.
        number: of the new round.
        j: the model that the round is to make.
        base: digest of the model before it.
        moved: whom earlier runs for this model moved to the end of the order.
    """
    if number > MAX_NUMBER:
        raise FLError("FL-ROUND-LIMIT", f"there is no round number after {MAX_NUMBER}")
    records = state.get_many(Participant, [(trainer,) for trainer in task.trainers])
    active = [record.msp_id for record in records if record is not None and record.status == ACTIVE]
    return Round(
        task=task.id,
        number=number,
        j=j,
        base=base,
        selected=tuple(order(task.id, j, base, active, moved)[: task.k]),
        moved=tuple(moved),
        min_updates=task.min_updates,
        validators=task.validators,
        q=task.q,
        status=OPEN,
        attempt=0,
        set=None,
        included=None,
        missed=(),
    )


def order(task_id: str, j: int, base: str, active: Sequence[str], moved: Sequence[str]) -> list[str]:
    """Order the active trainers by their rank, those who were moved last and among themselves as they were moved."""
    ranked = sorted(active, key=lambda participant: selection_rank(task_id, j, base, participant))
    return [one for one in ranked if one not in moved] + [one for one in moved if one in active]


def move(moved: Sequence[str], missed: Sequence[str]) -> tuple[str, ...]:
    """Move those who failed in this run to the end of the order, keeping their order among themselves."""
    return (*(one for one in moved if one not in missed), *missed)
