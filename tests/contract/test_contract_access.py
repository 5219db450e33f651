"""Who may call what: every function against every kind of caller, as one table."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, Scenario, caller, declaration, specification

from fl_chaincode.caller import Caller
from fl_chaincode.canonical import H
from fl_chaincode.errors import FLError
from fl_chaincode.functions import FUNCTIONS, Query, Write
from fl_chaincode.records import Consortium

ROLE, INVALID = "FL-CALLER-ROLE", "FL-CALLER-INVALID"
INACTIVE, UNKNOWN = "FL-PARTICIPANT-INACTIVE", "FL-PARTICIPANT-UNKNOWN"
OUTSIDE, VALIDATOR = "FL-CONSORTIUM-OUTSIDE", "FL-VALIDATOR-OUTSIDE"
UNSELECTED = "FL-ROUND-UNSELECTED"
NO_ORDER, NO_OFFER = "FL-ORDER-UNKNOWN", "FL-OFFER-UNKNOWN"
STATUS, NO_DATA = "FL-PARTICIPANT-STATUS", "FL-DECLARATION-UNKNOWN"
OK = "accepted"

# Org1 to Org3 are the consortium, and validators and trainers of the task; Org4 is registered and neither; NobodyMSP
# is not registered; Org5 is of the consortium and validates another task. Who passes all checks of access gets OK, or
# what the rest of the rule answers in a fresh task. Revoked and expired certificates do not come as far as the rules:
# tests/integration/test_gateway_access.py.
CALLERS = {
    "the right organisation": caller(ORG1),
    "every role but the right ones": caller(ORG1, "auditor"),
    "no roles": caller(ORG1, ""),
    "an admin certificate with the roles": caller(ORG1, node_ou="admin"),
    "a peer's certificate": caller(ORG1, node_ou="peer"),
    "an orderer's certificate": caller(ORG1, node_ou="orderer"),
    "a certificate without a node unit": caller(ORG1, node_ou=""),
    "an MSP id that is a path": caller("Org1MSP/../Org2MSP"),
    "suspended": caller(ORG2),
    "withdrawn": caller(ORG3),
    "not of the consortium": caller(ORG4),
    "not registered": caller("NobodyMSP"),
    "validator of another task": caller(ORG5),
}
OPENING = {"digest": H("d"), "size": 1, "num_examples": 1, "nonce": H("n")}
ARGUMENTS = {
    "consortium:Init": (),
    "participants:Register": ({"name": "x"},),
    "participants:Update": ({"name": "x"},),
    "participants:Suspend": (),
    "participants:Reinstate": (),
    "participants:Withdraw": (),
    "consortium:Vote": ({"request_id": "m", "kind": "suspend", "subject": ORG1},),
    "consortium:Retract": ("m",),
    "declarations:Submit": (declaration(),),
    "declarations:Revoke": ("sepsis", 1),
    "tasks:Create": (specification(id="t2"),),
    "tasks:Cancel": (TASK,),
    "validators:Vote": (TASK, {"term": 0, "validators": [ORG1], "q": 1}),
    "updates:Submit": (TASK, 1, H("c")),
    "updates:Reveal": (TASK, 1, OPENING),
    "rounds:Vote": (TASK, 1, "close", 0),
    "rounds:Seal": (TASK, 1),
    "rounds:Commit": (TASK, 1),
    "rounds:Abort": (TASK, 1),
    "rounds:Settle": (TASK, 1),
    "attestations:Submit": (TASK, 1, "claim"),
    "scores:Open": (TASK, 1, {"nonce": H("n"), "scores": {}, "metrics": {}}),
    "tokens:Issue": ({"request_id": "r", "to": ORG1, "amount": 1},),
    "tokens:Transfer": ({"request_id": "r", "inputs": [H("i")], "to": ORG1, "amount": 1},),
    "tokens:Approve": ({"request_id": "r", "spender": ORG2, "expected": 0, "amount": 1},),
    "tokens:TransferFrom": ({"request_id": "r", "owner": ORG4, "inputs": [H("i")], "to": ORG1, "amount": 1},),
    "prices:Publish": ({"request_id": "r", "services": {"gpu-hour": 1}},),
    "orders:Place": (
        {
            "request_id": "r",
            "provider": ORG4,
            "service": "gpu-hour",
            "version": 1,
            "quantity": 1,
            "job": "x",
            "inputs": [H("i")],
        },
    ),
    "orders:Confirm": ("o",),
    "orders:Refund": (ORG1, "o"),
    "orders:Vote": (ORG1, "o", "settle"),
    "orders:Decide": (ORG1, "o", "settle"),
    "offers:Make": ({"request_id": "r", "inputs": [H("i")], "amount": 1, "price": 1, "currency": "EUR", "terms": ""},),
    "offers:Take": (ORG1, "o", "invoice 1"),
    "offers:Withdraw": ("o",),
    "offers:Confirm": ("o", "invoice 1"),
    "offers:Cancel": (ORG1, "o"),
    "offers:Vote": (ORG1, "o", "settle"),
    "offers:Decide": (ORG1, "o", "settle"),
}


def row(
    right: str,
    *,
    role: str = ROLE,
    away: str = INACTIVE,
    withdrawn: str = "",
    other: str = OK,
    stranger: str = UNKNOWN,
    elsewhere: str = "",
) -> list[str]:
    """What the callers get, in the order of CALLERS; who has withdrawn is as good as suspended unless said."""
    lacking = [role, role] if role != OK else [right, right]
    unfit = [INVALID] * 4
    return [right, *lacking, right, *unfit, away, withdrawn or away, other, stranger, elsewhere or right]


def owner(right: str) -> list[str]:
    """What is refused to the suspended alone: to dispose of what one owns."""
    return row(right, withdrawn=right, other=right)


MATRIX = {
    "consortium:Init": row(OK, away=OK, other=OUTSIDE, stranger=OUTSIDE, elsewhere=OUTSIDE),
    "participants:Register": row(OK, away=OK, stranger=OK),
    "participants:Update": [OK, ROLE, ROLE, OK, *[INVALID] * 4, OK, STATUS, OK, UNKNOWN, OK],
    "participants:Suspend": [OK, ROLE, ROLE, OK, *[INVALID] * 4, OK, STATUS, OK, UNKNOWN, OK],
    "participants:Reinstate": [OK, ROLE, ROLE, OK, *[INVALID] * 4, OK, STATUS, OK, UNKNOWN, OK],
    "participants:Withdraw": row(OK, away=OK),
    "consortium:Vote": row(OK, other=OUTSIDE),
    "consortium:Retract": row("FL-MOTION-UNKNOWN", other="FL-MOTION-UNKNOWN"),
    "declarations:Submit": row(OK),
    "declarations:Revoke": row(NO_DATA, away=NO_DATA, other=NO_DATA, stranger=NO_DATA),
    "tasks:Cancel": row(OK, other="FL-TASK-OUTSIDE", elsewhere="FL-TASK-OUTSIDE"),
    "validators:Vote": row(OK, other=VALIDATOR, elsewhere=VALIDATOR),
    "tasks:Create": row(INACTIVE, other=INACTIVE),  # its validators Org2 and Org3 are not active here
    "updates:Submit": row(OK, other=UNSELECTED, elsewhere=UNSELECTED),
    "updates:Reveal": row("FL-ROUND-OPEN", other="FL-ROUND-OPEN"),
    "rounds:Vote": row(OK, other=VALIDATOR, elsewhere=VALIDATOR),
    "rounds:Seal": row(
        "FL-ROUND-VOTES", role=OK, away="FL-ROUND-VOTES", other="FL-ROUND-VOTES", stranger="FL-ROUND-VOTES"
    ),
    "rounds:Commit": row(
        "FL-ROUND-OPEN", role=OK, away="FL-ROUND-OPEN", other="FL-ROUND-OPEN", stranger="FL-ROUND-OPEN"
    ),
    "rounds:Abort": row(
        "FL-ROUND-VOTES", role=OK, away="FL-ROUND-VOTES", other="FL-ROUND-VOTES", stranger="FL-ROUND-VOTES"
    ),
    "rounds:Settle": row(
        "FL-ROUND-UNCOMMITTED",
        role=OK,
        away="FL-ROUND-UNCOMMITTED",
        other="FL-ROUND-UNCOMMITTED",
        stranger="FL-ROUND-UNCOMMITTED",
    ),
    "attestations:Submit": row("FL-ROUND-OPEN", other=VALIDATOR, elsewhere=VALIDATOR),
    "scores:Open": row("FL-ROUND-UNCOMMITTED", other=VALIDATOR, elsewhere=VALIDATOR),
    "tokens:Issue": row(OK, other=OUTSIDE),
    "tokens:Transfer": owner("FL-TOKEN-INPUT"),
    "tokens:Approve": owner(OK),
    "tokens:TransferFrom": owner("FL-TOKEN-ALLOWANCE"),
    "prices:Publish": row(OK),
    "orders:Place": row("FL-PRICE-UNKNOWN", other="FL-MARKET-SELF"),
    "orders:Confirm": owner(NO_ORDER),
    "orders:Refund": owner(NO_ORDER),
    "orders:Vote": row(NO_ORDER, other=NO_ORDER),
    "orders:Decide": row(NO_ORDER, role=OK, away=NO_ORDER, other=NO_ORDER, stranger=NO_ORDER),
    "offers:Make": owner("FL-TOKEN-INPUT"),
    "offers:Take": row(NO_OFFER, other=NO_OFFER),
    "offers:Withdraw": owner(NO_OFFER),
    "offers:Confirm": owner(NO_OFFER),
    "offers:Cancel": owner(NO_OFFER),
    "offers:Vote": row(NO_OFFER, other=NO_OFFER),
    "offers:Decide": row(NO_OFFER, role=OK, away=NO_OFFER, other=NO_OFFER, stranger=NO_OFFER),
}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    scenario = Scenario()
    scenario.create()
    scenario.call(ORG4, "participants:Register", {"name": "outside"})
    scenario.call(ORG5, "participants:Register", {"name": "elsewhere"})
    scenario.plant(Consortium((ORG1, ORG2, ORG3, ORG5), changes=1))
    scenario.create(id="another", validators=[ORG1, ORG2, ORG5])
    scenario.suspend(ORG2)
    scenario.suspend(ORG3, "withdrawn")
    return scenario


def test_every_writing_function_has_a_row():
    assert set(MATRIX) == set(ARGUMENTS) == {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)}


@pytest.mark.parametrize("function", MATRIX)
def test_each_kind_of_caller_gets_what_the_table_says(scenario, function):
    arguments = [scenario.claim(ORG1, 1) | {"attempt": 1} if one == "claim" else one for one in ARGUMENTS[function]]
    answers = [answer(scenario, who, function, *arguments) for who in CALLERS.values()]
    assert dict(zip(CALLERS, answers, strict=True)) == dict(zip(CALLERS, MATRIX[function], strict=True))


def answer(scenario: Scenario, who: Caller, function: str, *arguments: object) -> str:
    try:
        scenario.endorse(who, function, *arguments)
    except FLError as error:
        return error.code
    return OK


def test_anybody_reads_everything(scenario):
    arguments = {
        "task": TASK,
        "round": 1,
        "j": 0,
        "order": "o",
        "offer": "o",
        "purpose": "p",
        "number": 1,
        "motion": "m",
    }
    absent = {
        "updates:Read": "FL-UPDATE-UNKNOWN",
        "attestations:Read": "FL-ATTESTATION-UNKNOWN",
        "prices:Read": "FL-PRICE-UNKNOWN",
        "orders:Read": NO_ORDER,
        "offers:Read": NO_OFFER,
        "consortium:Motion": "FL-MOTION-UNKNOWN",
        "declarations:Read": NO_DATA,
    }
    queries = {"records:Page": {"kind": "task", "size": 1}, "records:History": {"key": "consortium", "size": 1}}
    assert len(CALLERS) >= 10
    for name, entry in FUNCTIONS.items():
        if isinstance(entry, Query):
            arguments |= {"query": queries.get(name), "key": "consortium"}
            given = [arguments.get(one, ORG1) for one in entry.arguments]
            answers = [answer(scenario, who, name, *given) for who in CALLERS.values()]
            assert answers == [absent.get(name, OK)] * len(CALLERS), name


def test_renewing_a_certificate_changes_nothing(scenario):
    before = caller(ORG1)
    after = type(before)(ORG1, "a new name", "client", before.attributes)
    first = scenario.endorse(before, "updates:Submit", TASK, 1, H("c"))
    assert scenario.endorse(after, "updates:Submit", TASK, 1, H("c")).state.writes == first.state.writes
