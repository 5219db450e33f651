"""Updates: a commitment first, its opening only when the round is SEALED.

Commitments are never compared with each other: a thief whose copy is ordered first must not lock out the owner. A copy
cannot be opened, because the commitment names its participant.
"""

from dataclasses import dataclass

from fl_chaincode import args, declarations, lookup
from fl_chaincode.answers import SubmittedUpdate
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.hashes import update_commitment
from fl_chaincode.records import ABORTED, OPEN, Reveal, Round, Task, Update
from fl_chaincode.state import Reader, Writer


@dataclass(frozen=True)
class RevealClaim:
    """The argument of updates:Reveal: ``{"digest","size","num_examples","nonce"}``."""

    digest: str
    size: int
    num_examples: int
    nonce: str


def reveal_claim(what: str, text: str) -> RevealClaim:
    with Fields.of(what, text) as fields:
        return RevealClaim(
            digest=fields.take("digest", args.digest),
            size=fields.integer("size", 1),
            num_examples=fields.integer("num_examples", 1),
            nonce=fields.take("nonce", args.digest),
        )


def submit_keys(caller: Caller, task_id: str, number: int, _commitment: str) -> list[str]:
    """Return what submit reads in any case."""
    return [Round.key_of(task_id, number), Update.key_of(task_id, number, caller.msp_id)]


def reveal_keys(caller: Caller, task_id: str, number: int, _claim: RevealClaim) -> list[str]:
    """Return what reveal reads in any case."""
    own = [kind.key_of(task_id, number, caller.msp_id) for kind in (Update, Reveal)]
    return [Task.key_of(task_id), Round.key_of(task_id, number), *own]


def submit(state: Writer, caller: Caller, task_id: str, number: int, commitment: str) -> Update:
    """Commit to an update; one a participant and round."""
    round_ = lookup.round_record(state, task_id, number)
    update = Update(task_id, number, caller.msp_id, commitment)
    stored = state.get(Update, task_id, number, caller.msp_id)
    if stored is not None:
        if stored != update:
            raise FLError("FL-CONFLICT", f"{caller.msp_id} has committed to another update in round {number}")
        return stored
    if caller.msp_id not in round_.selected:
        raise FLError("FL-ROUND-UNSELECTED", f"round {number} did not select {caller.msp_id}")
    if round_.status != OPEN:
        raise FLError("FL-ROUND-SEALED", f"round {number} is {round_.status}")
    if caller.msp_id in round_.declarations:
        task = lookup.task(state, task_id)
        declarations.check_round(state, round_.declarations, task, caller.msp_id, number)
    state.put(update)
    return update


def reveal(state: Writer, caller: Caller, task_id: str, number: int, claim: RevealClaim) -> Reveal:
    """Open the caller's commitment; only now does anybody learn the digest."""
    round_ = lookup.effective(state, lookup.round_record(state, task_id, number))
    opened = Reveal(task_id, number, caller.msp_id, claim.digest, claim.size, claim.num_examples, claim.nonce)
    stored = state.get(Reveal, task_id, number, caller.msp_id)
    if stored is not None:
        if stored != opened:  # the commitment does not bind the size
            raise FLError("FL-CONFLICT", f"{caller.msp_id} has revealed something else in round {number}")
        return stored
    if round_.status == OPEN:
        raise FLError("FL-ROUND-OPEN", f"round {number} still takes updates")
    if round_.status == ABORTED:
        raise FLError("FL-ROUND-FINAL", f"round {number} is aborted")
    if round_.included is not None:
        raise FLError("FL-ROUND-FIXED", f"what round {number} includes is decided")
    if round_.set is None or caller.msp_id not in round_.set:
        raise FLError("FL-ROUND-UNSELECTED", f"{caller.msp_id} is not among those who submitted to round {number}")
    _check_opening(state, caller, round_, claim)
    state.put(opened)
    return opened


def _check_opening(state: Writer, caller: Caller, round_: Round, claim: RevealClaim) -> None:
    task = lookup.task(state, round_.task)
    number, base = round_.number, round_.base
    if caller.msp_id in round_.declarations:
        declaration = declarations.check_round(state, round_.declarations, task, caller.msp_id, number)
        most = declaration.num_examples * task.training.epochs
        if claim.num_examples > most:
            raise FLError(
                "FL-DECLARATION-EXAMPLES", f"with what {caller.msp_id} declared, an update weighs {most} at most"
            )
    if claim.num_examples > task.max_examples:
        raise FLError("FL-UPDATE-OPENING", f"an update weighs at most max_examples = {task.max_examples}")
    opens = update_commitment(task.id, number, caller.msp_id, base, claim.num_examples, claim.digest, claim.nonce)
    update = state.get(Update, task.id, number, caller.msp_id)
    if update is None or update.commitment != opens:
        raise FLError("FL-UPDATE-OPENING", f"this does not open what {caller.msp_id} submitted to round {number}")


def read(state: Reader, task_id: str, number: int, participant: str) -> SubmittedUpdate:
    """Return one participant's update of a round, and what it revealed."""
    lookup.round_record(state, task_id, number)
    update = state.get(Update, task_id, number, participant)
    if update is None:
        raise FLError("FL-UPDATE-UNKNOWN", f"{participant} has submitted nothing to round {number}")
    return {"update": update, "reveal": state.get(Reveal, task_id, number, participant)}


def list_round(state: Reader, task_id: str, number: int) -> list[SubmittedUpdate]:
    """Return all updates of a round, each with what was revealed."""
    round_ = lookup.round_record(state, task_id, number)
    return [read(state, task_id, number, participant) for participant in sorted(lookup.submitted(state, round_))]
