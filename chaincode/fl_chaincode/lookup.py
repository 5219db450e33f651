"""Point reads that several rules share, with their refusals."""

from fl_chaincode.args import shown
from fl_chaincode.errors import FLError
from fl_chaincode.records import OPEN, Attestation, Head, Model, Opening, Round, Task, Update, Vote
from fl_chaincode.state import Points


def task(state: Points, task_id: str) -> Task:
    stored = state.get(Task, task_id)
    if stored is None:
        raise FLError("FL-TASK-UNKNOWN", f"there is no task {shown(task_id)}")
    return stored


def head(state: Points, task_id: str) -> Head:
    stored = state.get(Head, task_id)
    if stored is None:
        raise FLError("FL-TASK-UNKNOWN", f"there is no task {shown(task_id)}")
    return stored


def round_record(state: Points, task_id: str, number: int) -> Round:
    """Return a round as it stands on the ledger: open even where all have submitted."""
    stored = state.get(Round, task_id, number)
    if stored is None:
        task(state, task_id)
        raise FLError("FL-ROUND-UNKNOWN", f"task {task_id} has no round {number}")
    return stored


def effective(state: Points, round_: Round) -> Round:
    """Return a round as the protocol sees it: SEALED as soon as every selected participant has submitted."""
    return round_.effective(submitted(state, round_)) if round_.status == OPEN else round_


def voting_keys(round_: Round, kind: str, attempt: int) -> list[str]:
    return [Vote.key_of(round_.task, round_.number, kind, attempt, one) for one in round_.validators]


def update_keys(round_: Round) -> list[str]:
    return [Update.key_of(round_.task, round_.number, participant) for participant in round_.selected]


def attestation_keys(round_: Round) -> list[str]:
    return [Attestation.key_of(round_.task, round_.number, organisation) for organisation in round_.validators]


def settlement_keys(round_: Round) -> list[str]:
    """Return the keys of all that a committed round's settlement depends on."""
    openings = [Opening.key_of(round_.task, round_.number, organisation) for organisation in round_.validators]
    return [Model.key_of(round_.task, round_.j), *attestation_keys(round_), *openings]


def submitted(state: Points, round_: Round) -> tuple[str, ...]:
    """Return which of the selected have submitted, in order of selection."""
    updates = state.get_many(Update, [(round_.task, round_.number, participant) for participant in round_.selected])
    return tuple(update.participant for update in updates if update is not None)


def attestations(state: Points, round_: Round) -> dict[str, Attestation]:
    """Return what the round's validators have attested, by organisation in sorted order."""
    found = state.get_many(
        Attestation, [(round_.task, round_.number, organisation) for organisation in round_.validators]
    )
    return {attestation.organisation: attestation for attestation in found if attestation is not None}


def openings(state: Points, round_: Round) -> dict[str, Opening]:
    found = state.get_many(Opening, [(round_.task, round_.number, organisation) for organisation in round_.validators])
    return {opening.organisation: opening for opening in found if opening is not None}


def voters(state: Points, round_: Round, kind: str, attempt: int) -> tuple[str, ...]:
    """Return which of the round's validators have voted so in this attempt."""
    return tuple(vote.organisation for vote in votes(state, round_, kind, attempt))


def votes(state: Points, round_: Round, kind: str, attempt: int) -> tuple[Vote, ...]:
    """Return the votes of the round's validators in this attempt."""
    keys = [(round_.task, round_.number, kind, attempt, organisation) for organisation in round_.validators]
    return tuple(vote for vote in state.get_many(Vote, keys) if vote is not None)


def model(state: Points, task_id: str, j: int) -> Model:
    stored = state.get(Model, task_id, j)
    if stored is None:
        task(state, task_id)
        raise FLError("FL-MODEL-UNKNOWN", f"task {task_id} has no model {j}")
    return stored
