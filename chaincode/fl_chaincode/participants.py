"""Participants: one an organisation, whose id is the caller's MSP id and never an argument."""

from dataclasses import dataclass, replace

from fl_chaincode.args import Fields, line
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ACTIVE, SUSPENDED, WITHDRAWN, Participant
from fl_chaincode.state import Points, Reader, Writer

ORGANISATION, CONSORTIUM = "organisation", "consortium"  # who has suspended a participant


@dataclass(frozen=True)
class Profile:
    """The argument of participants:Register: ``{"name","description"?}``."""

    name: str
    description: str


def profile(what: str, text: str) -> Profile:
    with Fields.of(what, text) as fields:
        return Profile(
            name=fields.take("name", line(100, shortest=1)),
            description=fields.take("description", line(1000)) if "description" in fields else "",
        )


@dataclass(frozen=True)
class ProfileChange:
    """The argument of participants:Update: ``{"name"?,"description"?}``; what is left out stays."""

    name: str | None
    description: str | None


def profile_change(what: str, text: str) -> ProfileChange:
    with Fields.of(what, text) as fields:
        return ProfileChange(
            name=fields.take("name", line(100, shortest=1)) if "name" in fields else None,
            description=fields.take("description", line(1000)) if "description" in fields else None,
        )


def register(state: Writer, caller: Caller, profile: Profile) -> Participant:
    """Register the caller's organisation, or replace its profile; its status stays what it is."""
    stored = state.get(Participant, caller.msp_id)
    participant = Participant(
        msp_id=caller.msp_id,
        name=profile.name,
        description=profile.description,
        roles=caller.roles,
        status=stored.status if stored else ACTIVE,
        suspended_by=stored.suspended_by if stored else None,
    )
    return _put(state, stored, participant)


def update(state: Writer, caller: Caller, change: ProfileChange) -> Participant:
    """Change parts of the caller's profile, and record the roles of the certificate that does so."""
    stored = _living(state, caller.msp_id)
    changed = replace(
        stored,
        name=stored.name if change.name is None else change.name,
        description=stored.description if change.description is None else change.description,
        roles=caller.roles,
    )
    return _put(state, stored, changed)


def suspend(state: Writer, caller: Caller) -> Participant:
    """Suspend the caller's own organisation, for example while a key of it is lost; it ends its own suspension."""
    stored = _living(state, caller.msp_id)
    if stored.status == SUSPENDED:
        return stored
    return _put(state, stored, replace(stored, status=SUSPENDED, suspended_by=ORGANISATION))


def reinstate(state: Writer, caller: Caller) -> Participant:
    """End the suspension that the caller's own organisation began."""
    stored = _living(state, caller.msp_id)
    if stored.suspended_by == CONSORTIUM:
        raise FLError("FL-PARTICIPANT-STATUS", f"{caller.msp_id} was suspended by the consortium, which reinstates it")
    return _put(state, stored, replace(stored, status=ACTIVE, suspended_by=None))


def withdraw(state: Writer, caller: Caller) -> Participant:
    """End the participation of the caller's own organisation for good; what it has done and owns stays."""
    stored = read(state, caller.msp_id)
    return _put(state, stored, replace(stored, status=WITHDRAWN, suspended_by=None))


def suspend_by_majority(state: Writer, organisation: str) -> None:
    stored = _living(state, organisation)
    if stored.suspended_by == CONSORTIUM:
        raise FLError("FL-MOTION-VOID", f"{organisation} is suspended by the consortium already")
    state.put(replace(stored, status=SUSPENDED, suspended_by=CONSORTIUM))


def reinstate_by_majority(state: Writer, organisation: str) -> None:
    stored = _living(state, organisation)
    if stored.status != SUSPENDED:
        raise FLError("FL-MOTION-VOID", f"{organisation} is not suspended")
    state.put(replace(stored, status=ACTIVE, suspended_by=None))


def _living(state: Points, organisation: str) -> Participant:
    stored = read(state, organisation)
    if stored.status == WITHDRAWN:
        raise FLError("FL-PARTICIPANT-STATUS", f"{organisation} has withdrawn, which is final")
    return stored


def _put(state: Writer, stored: Participant | None, participant: Participant) -> Participant:
    if participant != stored:
        state.put(participant)
    return participant


def read(state: Points, organisation: str) -> Participant:
    """Return an organisation's record."""
    stored = state.get(Participant, organisation)
    if stored is None:
        raise FLError("FL-PARTICIPANT-UNKNOWN", f"{organisation} is not registered")
    return stored


def list_all(state: Reader) -> list[Participant]:
    """Return all participants, in the order of their ids."""
    return list(state.scan(Participant))
