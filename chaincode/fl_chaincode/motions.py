"""Motions: what a majority of the consortium decides about its members, about participants, and about a dead task.

A motion has a request_id, so that a vote is for exactly one thing, which is carried out once, by the vote that
completes the majority. Votes count while their organisation is in the consortium, and can be taken back until then.
"""

from dataclasses import dataclass, replace

from fl_chaincode import access, args, cancellation, participants
from fl_chaincode.args import Fields
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ADD, CANCEL, MOTIONS, REINSTATE, REMOVE, SUSPEND, Consortium, Motion
from fl_chaincode.state import Reader, Writer

LEAST = 2  # of one member alone everything would be the majority's will


@dataclass(frozen=True)
class MotionOrder:
    """The argument of consortium:Vote: ``{"request_id","kind":"add|remove|suspend|reinstate|cancel","subject"}``."""

    request_id: str
    kind: str
    subject: str


def motion_order(what: str, text: str) -> MotionOrder:
    with Fields.of(what, text) as fields:
        kind = fields.take("kind", args.one_of(*MOTIONS))
        return MotionOrder(
            request_id=fields.take("request_id", args.identifier),
            kind=kind,
            subject=fields.take("subject", args.identifier if kind == CANCEL else args.msp_id),
        )


def vote(state: Writer, caller: Caller, order: MotionOrder) -> Motion:
    """Vote for a motion; the vote that completes the majority of the consortium carries it out."""
    members = access.consortium(state)
    access.check_member(members, caller.msp_id)
    stored = state.get(Motion, order.request_id)
    if stored is not None and (stored.kind, stored.subject) != (order.kind, order.subject):
        raise FLError("FL-CONFLICT", f"the motion {order.request_id} is about something else")
    votes = stored.votes if stored else ()
    if stored is not None and (stored.carried or caller.msp_id in votes):
        return stored
    votes = tuple(sorted((*votes, caller.msp_id)))
    carried = sum(1 for voter in votes if voter in members.organisations) >= members.majority
    motion = Motion(order.request_id, order.kind, order.subject, votes, carried)
    if carried:
        _carry_out(state, members, motion)
    state.put(motion)
    return motion


def retract(state: Writer, caller: Caller, request_id: str) -> Motion:
    """Take back the caller's vote for a motion that is not carried yet."""
    stored = read(state, request_id)
    if stored.carried:
        raise FLError("FL-MOTION-VOID", f"the motion {request_id} has been carried")
    motion = replace(stored, votes=tuple(voter for voter in stored.votes if voter != caller.msp_id))
    if motion != stored:
        state.put(motion)
    return motion


def _carry_out(state: Writer, members: Consortium, motion: Motion) -> None:
    if motion.kind == ADD:
        if motion.subject in members.organisations:
            raise FLError("FL-MOTION-VOID", f"{motion.subject} is in the consortium already")
        access.check_active(state, motion.subject)  # a misspelt member would count in every majority for ever
        _change(state, members, (*members.organisations, motion.subject))
    elif motion.kind == REMOVE:
        access.check_member(members, motion.subject)
        if len(members.organisations) <= LEAST:
            raise FLError("FL-CONSORTIUM-SMALL", f"a consortium has at least {LEAST} members")
        _change(state, members, tuple(one for one in members.organisations if one != motion.subject))
    elif motion.kind == SUSPEND:
        participants.suspend_by_majority(state, motion.subject)
    elif motion.kind == REINSTATE:
        participants.reinstate_by_majority(state, motion.subject)
    else:
        cancellation.force(state, motion.subject)


def _change(state: Writer, members: Consortium, organisations: tuple[str, ...]) -> None:
    """Write another consortium. Tasks that run keep their validators: these change by the validators' own votes."""
    state.put(Consortium(tuple(sorted(organisations)), members.changes + 1))


def read(state: Reader | Writer, request_id: str) -> Motion:
    """Return a motion with its votes."""
    stored = state.get(Motion, request_id)
    if stored is None:
        raise FLError("FL-MOTION-UNKNOWN", f"there is no motion {request_id}")
    return stored


def list_all(state: Reader) -> list[Motion]:
    """Return all motions, carried or not."""
    return list(state.scan(Motion))
