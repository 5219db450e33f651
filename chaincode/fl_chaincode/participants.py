"""Participants: one an organisation, whose id is the caller's MSP id and never an argument."""

from dataclasses import dataclass

from fl_chaincode.args import Fields, line
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ACTIVE, Participant
from fl_chaincode.state import Reader, Writer


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


def register(state: Writer, caller: Caller, profile: Profile) -> Participant:
    """Register the caller's organisation, or replace its profile; its status stays what it is."""
    stored = state.get(Participant, caller.msp_id)
    participant = Participant(
        msp_id=caller.msp_id,
        name=profile.name,
        description=profile.description,
        roles=caller.roles,
        status=stored.status if stored else ACTIVE,
    )
    if participant != stored:
        state.put(participant)
    return participant


def read(state: Reader, organisation: str) -> Participant:
    stored = state.get(Participant, organisation)
    if stored is None:
        raise FLError("FL-PARTICIPANT-UNKNOWN", f"{organisation} is not registered")
    return stored


def list_all(state: Reader) -> list[Participant]:
    return list(state.scan(Participant))
