"""Which participants a round asks for updates, and the opening of rounds.

The order is a hash of the base model, which nobody knew before it was committed; what bias remains is documented.
Two kinds of participants come last in it: those who failed earlier runs for the same model, and those whose update for
the model before a quorum found invalid, so that nobody holds a task up by invalid updates. To be last for one model is
all: a bad disk excludes nobody for ever.
"""

from collections.abc import Mapping, Sequence

from fl_chaincode import declarations
from fl_chaincode.args import MAX_NUMBER
from fl_chaincode.elections import Electorate
from fl_chaincode.errors import FLError
from fl_chaincode.hashes import selection_rank
from fl_chaincode.records import ACTIVE, OPEN, Participant, Round, Task
from fl_chaincode.specification import DISTANT
from fl_chaincode.state import Points


def open_round(
    state: Points,
    task: Task,
    number: int,
    j: int,
    base: str,
    electorate: Electorate,
    moved: Sequence[str] = (),
) -> Round:
    """Return a new round for the j-th model; the caller writes it.

    Args:
        state: where the trainers' status and declarations are read.
        task: the task.
        number: of the new round.
        j: the model that the round is to make.
        base: digest of the model before it.
        electorate: who validates it.
        moved: who comes last in the order.
    """
    if number > MAX_NUMBER:
        raise FLError("FL-ROUND-LIMIT", f"there is no round number after {MAX_NUMBER}")
    records = state.get_many(Participant, [(trainer,) for trainer in task.trainers])
    eligible = [record.msp_id for record in records if record is not None and record.status == ACTIVE]
    declared: dict[str, int] = {}
    if task.purpose is not None:
        declared = declarations.covering(state, task.purpose, number, eligible)
        eligible = [participant for participant in eligible if participant in declared]
    selected = tuple(order(task.id, j, base, eligible, moved)[: task.k])
    return Round(
        task=task.id,
        number=number,
        j=j,
        base=base,
        selected=selected,
        moved=tuple(moved),
        min_updates=task.min_updates,
        validators=electorate.validators,
        q=electorate.q,
        status=OPEN,
        attempt=0,
        set=None,
        included=None,
        missed=(),
        term=electorate.term,
        declarations={participant: declared[participant] for participant in selected if participant in declared},
    )


def order(task_id: str, j: int, base: str, eligible: Sequence[str], moved: Sequence[str]) -> list[str]:
    """Order the eligible trainers by their rank, those who were moved last and among themselves as they were moved."""
    ranked = sorted(eligible, key=lambda participant: selection_rank(task_id, j, base, participant))
    return [one for one in ranked if one not in moved] + [one for one in moved if one in eligible]


def move(moved: Sequence[str], missed: Sequence[str]) -> tuple[str, ...]:
    """Move those who failed in this run to the end of the order, keeping their order among themselves."""
    return (*(one for one in moved if one not in missed), *missed)


def invalid(refused: Mapping[str, str]) -> tuple[str, ...]:
    """Return whose updates were refused for their content, sorted; that a rule prefers others is nobody's fault."""
    return tuple(sorted(participant for participant, code in refused.items() if code != DISTANT))
