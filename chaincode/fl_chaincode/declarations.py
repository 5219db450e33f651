"""Declarations: commitments to the data that a participant trains on, for a purpose, up to a round number.

A task that names a purpose takes trainers with a valid declaration for it alone, and each of its rounds records which
declaration every selected one trained under. A revoked declaration is refused from then on. Nothing else is written
when it is revoked: whoever reads a model is shown the revoked declarations that went into it or into its ancestors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fl_chaincode import args
from fl_chaincode.args import Fields, between, nullable
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import Declaration, Declared, Mark, Model, Task
from fl_chaincode.state import Points, Reader, Writer


@dataclass(frozen=True)
class DeclarationClaim:
    """The argument of declarations:Submit: ``{"purpose","number","digest","num_examples","last_round":int|null}``."""

    purpose: str
    number: int
    digest: str
    num_examples: int
    last_round: int | None


def declaration_claim(what: str, text: str) -> DeclarationClaim:
    with Fields.of(what, text) as fields:
        return DeclarationClaim(
            purpose=fields.take("purpose", args.identifier),
            number=fields.integer("number", 1, args.MAX_NUMBER),
            digest=fields.take("digest", args.digest),
            num_examples=fields.integer("num_examples", 1),
            last_round=fields.take("last_round", nullable(between(1, args.MAX_NUMBER))),
        )


def submit(state: Writer, caller: Caller, claim: DeclarationClaim) -> Declaration:
    """Declare the caller's data for a purpose, in place of what it declared for it before.

    The caller numbers its declarations, so that a delayed repetition cannot bring back one that was replaced.
    """
    declaration = Declaration(caller.msp_id, revoked=False, **vars(claim))
    stored = state.get(Declaration, caller.msp_id, claim.purpose, claim.number)
    if stored is not None:
        if replace(stored, revoked=False) != declaration:
            raise FLError("FL-CONFLICT", f"declaration {claim.number} for {claim.purpose} says something else")
        return stored
    newest = state.get(Declared, caller.msp_id, claim.purpose)
    following = newest.number + 1 if newest else 1
    if claim.number != following:
        raise FLError("FL-DECLARATION-NUMBER", f"the next declaration for {claim.purpose} has the number {following}")
    state.put(declaration)
    state.put(Declared(caller.msp_id, claim.purpose, claim.number))
    return declaration


def revoke(state: Writer, caller: Caller, purpose: str, number: int) -> Declaration:
    """Revoke one of the caller's declarations for good; who is suspended or has withdrawn may do so, too."""
    stored = read(state, caller.msp_id, purpose, number)
    revoked = replace(stored, revoked=True)
    if revoked != stored:
        state.put(revoked)
    return revoked


def covering(state: Points, purpose: str, round_number: int, participants: Sequence[str]) -> dict[str, int]:
    """Return whose newest declaration for a purpose covers a round, and its number."""
    found = _newest(state, purpose, participants)
    return {participant: one.number for participant, one in found.items() if one.covers(round_number)}


def check_assignment(state: Points, task: Task) -> None:
    """Refuse a task of which a trainer has no valid declaration for its purpose."""
    if task.purpose is None:
        return
    found = _newest(state, task.purpose, task.trainers)
    for trainer in task.trainers:
        if trainer not in found:
            raise FLError("FL-DECLARATION-UNKNOWN", f"{trainer} has declared no data for {task.purpose}")
        _refuse_uncovered(found[trainer], 1)


def check_round(state: Points, declared: Mapping[str, int], task: Task, participant: str, number: int) -> Declaration:
    """Return the declaration under which a participant trains in a round; refuse one that was revoked since."""
    stored = read(state, participant, task.purpose or "", declared[participant])
    _refuse_uncovered(stored, number)
    return stored


def _refuse_uncovered(declaration: Declaration, round_number: int) -> None:
    of = f"declaration {declaration.number} of {declaration.participant} for {declaration.purpose}"
    if declaration.revoked:
        raise FLError("FL-DECLARATION-REVOKED", f"{of} is revoked")
    if not declaration.covers(round_number):
        raise FLError("FL-DECLARATION-ENDED", f"{of} has ended with round {declaration.last_round}")


def _newest(state: Points, purpose: str, participants: Sequence[str]) -> dict[str, Declaration]:
    pointers = state.get_many(Declared, [(participant, purpose) for participant in participants])
    keys = [(one.participant, purpose, one.number) for one in pointers if one is not None]
    return {one.participant: one for one in state.get_many(Declaration, keys) if one is not None}


def read(state: Points, participant: str, purpose: str, number: int) -> Declaration:
    """Return one declaration of a participant."""
    stored = state.get(Declaration, participant, purpose, number)
    if stored is None:
        raise FLError("FL-DECLARATION-UNKNOWN", f"{participant} has no declaration {number} for {purpose}")
    return stored


def list_participant(state: Reader, participant: str) -> list[Declaration]:
    """Return all declarations of a participant, by purpose and number."""
    return list(state.scan(Declaration, participant))


def marked(state: Reader, task: Task, model: Model) -> Model:
    """Return a model with the revoked declarations that went into it or into a model that it was trained from."""
    if task.purpose is None:
        return model
    revoked = frozenset(
        (one.participant, one.number)
        for trainer in task.trainers
        for one in state.scan(Declaration, trainer, task.purpose)
        if one.revoked
    )
    if not revoked:
        return model
    marks: list[Mark] = []
    for ancestor in state.scan(Model, task.id):
        if ancestor.j > model.j:
            break
        for participant, number in sorted(ancestor.declarations.items()):
            if (participant, number) in revoked:
                marks.append(Mark(participant=participant, purpose=task.purpose, number=number, j=ancestor.j))
    return replace(model, revoked=tuple(marks))
