"""Who may call: certificates decide for people and programs, the ledger for organisations.

A certificate revoked at the authority still signs until every peer has the revocation list, so the participant's own
status on the ledger is checked as well.
"""

from fl_chaincode.args import MSP_ID, shown
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import ACTIVE, SUSPENDED, Consortium, Participant
from fl_chaincode.state import Points


def check_certificate(caller: Caller) -> None:
    """Refuse whoever cannot write at all: a peer's or an orderer's certificate, an MSP id that no key can hold."""
    if not MSP_ID.fullmatch(caller.msp_id):
        raise FLError("FL-CALLER-INVALID", f"the MSP id {shown(caller.msp_id)} cannot stand in a key")
    if caller.role not in ("client", "admin"):
        raise FLError("FL-CALLER-INVALID", "only client and admin certificates write")


def check_role(caller: Caller, role: str) -> None:
    if role not in caller.roles:
        raise FLError("FL-CALLER-ROLE", f"this needs a certificate with {role} in its attribute fl.roles")


def check_active(state: Points, organisation: str) -> None:
    refuse_inactive(organisation, state.get(Participant, organisation))


def refuse_inactive(organisation: str, participant: Participant | None) -> None:
    if participant is None:
        raise FLError("FL-PARTICIPANT-UNKNOWN", f"{organisation} is not registered")
    if participant.status != ACTIVE:
        raise FLError("FL-PARTICIPANT-INACTIVE", f"{organisation} is {participant.status}")


def check_owner(state: Points, organisation: str) -> None:
    """Refuse who may not dispose of his tokens: the unregistered and the suspended.

    Who has withdrawn may: what he earned is his, and rounds that he took part in may still pay him.
    """
    participant = state.get(Participant, organisation)
    if participant is None or participant.status == SUSPENDED:
        refuse_inactive(organisation, participant)


def consortium(state: Points) -> Consortium:
    stored = state.get(Consortium)
    if stored is None:
        raise FLError("FL-CONSORTIUM-UNKNOWN", "the consortium is not written yet")
    return stored


def check_member(members: Consortium, organisation: str) -> None:
    if organisation not in members.organisations:
        raise FLError("FL-CONSORTIUM-OUTSIDE", f"{organisation} is not in the consortium")
