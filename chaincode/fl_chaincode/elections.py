"""Who validates: V and q of a task change by the votes of q of its validators, when the next round opens.

A round keeps the V and q that it was opened with. Votes carry the term, the number of changes so far, so that an old
vote cannot meet a later V. Leaving the consortium changes nothing in tasks that run: their validators vote.
"""

from dataclasses import dataclass

from fl_chaincode import access, answers, args, lookup
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ACTIVE, RUNNING, Consortium, Election, Participant, Round
from fl_chaincode.state import Points, Reader, Writer


@dataclass(frozen=True)
class Electorate:
    """The validators of a round."""

    validators: tuple[str, ...]
    q: int
    term: int


@dataclass(frozen=True)
class ElectionClaim:
    """The second argument of validators:Vote: ``{"term","validators":[msp],"q"}``."""

    term: int
    validators: tuple[str, ...]
    q: int


def election_claim(what: str, text: str) -> ElectionClaim:
    with Fields.of(what, text) as fields:
        return ElectionClaim(
            term=fields.integer("term", 0, args.MAX_NUMBER),
            validators=fields.listed("validators", args.msp_id, low=1),
            q=fields.integer("q", 1),
        )


def vote(state: Writer, caller: Caller, task_id: str, claim: ElectionClaim) -> Election:
    """Vote for the next rounds' validators, in place of an earlier vote; for the present ones, to take it back."""
    round_ = _newest(state, task_id)
    if caller.msp_id not in round_.validators:
        raise FLError("FL-VALIDATOR-OUTSIDE", f"{caller.msp_id} is no validator of round {round_.number}")
    if claim.term != round_.term:
        raise FLError("FL-ELECTION-TERM", f"the validators of task {task_id} are in term {round_.term}")
    check_quorum(claim.validators, claim.q)
    members = access.consortium(state)
    for validator in claim.validators:
        access.check_member(members, validator)
        access.check_active(state, validator)
    election = Election(task_id, claim.term, caller.msp_id, claim.validators, claim.q)
    if state.get(Election, task_id, claim.term, caller.msp_id) != election:
        state.put(election)
    return election


def check_quorum(validators: tuple[str, ...], q: int) -> None:
    """Refuse a q that is no majority of the validators, or more than all of them."""
    if not len(validators) // 2 < q <= len(validators):
        raise FLError("FL-TASK-QUORUM", f"q = {q} is no majority of {len(validators)} validators")


def following(state: Points, ended: Round) -> Electorate:
    """Return who validates the round after one that has ended.

    What was voted for is passed over while one of those named is suspended or no longer in the consortium: a vote must
    not stop the task.
    """
    present = Electorate(ended.validators, ended.q, ended.term)
    votes = _votes(state, ended)
    for leader in votes:
        same = [one for one in votes if (one.validators, one.q) == (leader.validators, leader.q)]
        if len(same) >= ended.q and (leader.validators, leader.q) != (present.validators, present.q):
            return Electorate(leader.validators, leader.q, ended.term + 1) if _fit(state, leader) else present
    return present


def proposed(state: Points, round_: Round) -> list[Election]:
    """Return the votes for others than the round's validators."""
    present = (round_.validators, round_.q)
    return [one for one in _votes(state, round_) if (one.validators, one.q) != present]


def _fit(state: Points, election: Election) -> bool:
    members = state.get(Consortium)
    found = state.get_many(Participant, [(validator,) for validator in election.validators])
    return members is not None and all(
        one is not None and one.status == ACTIVE and one.msp_id in members.organisations for one in found
    )


def _votes(state: Points, round_: Round) -> list[Election]:
    keys = [(round_.task, round_.term, validator) for validator in round_.validators]
    return [one for one in state.get_many(Election, keys) if one is not None]


def _newest(state: Points, task_id: str) -> Round:
    head = lookup.head(state, task_id)
    if head.status != RUNNING:
        raise FLError("FL-TASK-ENDED", f"task {task_id} is {head.status}")
    return lookup.round_record(state, task_id, head.round)


def read(state: Reader, task_id: str) -> answers.Electorate:
    """Return a task's present validators, and who has voted for which others."""
    round_ = lookup.round_record(state, task_id, lookup.head(state, task_id).round)
    return {
        "task": task_id,
        "term": round_.term,
        "validators": round_.validators,
        "q": round_.q,
        "votes": _votes(state, round_),
    }
