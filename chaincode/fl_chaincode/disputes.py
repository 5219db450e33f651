"""What the consortium decides where a buyer and a seller do not agree.

A vote is a record of its own, so that votes never conflict; who has agreed to one outcome may come to agree to another.
The first outcome that a majority agrees to and that somebody has carried out is final.
"""

from fl_chaincode import access
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import Ballot
from fl_chaincode.state import Points


def ballot(state: Points, caller: Caller, kind: str, owner: str, request_id: str, outcome: str) -> Ballot:
    """Return the vote of a member of the consortium; the caller of this function writes it."""
    access.check_member(access.consortium(state), caller.msp_id)
    return Ballot(kind, owner, request_id, outcome, caller.msp_id)


def was_cast(state: Points, one: Ballot) -> bool:
    return state.get(Ballot, one.kind, one.owner, one.request_id, one.outcome, one.organisation) is not None


def check_majority(state: Points, kind: str, owner: str, request_id: str, outcome: str) -> None:
    """Refuse where no majority of the consortium, as it is now, has voted for the outcome."""
    members = access.consortium(state)
    keys = [(kind, owner, request_id, outcome, organisation) for organisation in members.organisations]
    votes = sum(1 for one in state.get_many(Ballot, keys) if one is not None)
    if votes < members.majority:
        raise FLError("FL-MARKET-VOTES", f"{votes} of {members.majority} votes to {outcome} the {kind} {request_id}")
