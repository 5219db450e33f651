"""Refusals: every code has a help text, and a call that earns it."""

import json
import pickle
import re

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, caller, declaration, specification

from fl_chaincode import FLError
from fl_chaincode.canonical import H
from fl_chaincode.errors import HELP, parse
from fl_chaincode.memory import MemoryLedger
from fl_chaincode.records import Head, Round

OPENING = {"digest": H("d"), "size": 1, "num_examples": 1, "nonce": H("n")}
SCORES = {"nonce": H("n"), "scores": {}, "metrics": {}}


def fresh() -> Scenario:
    scenario = Scenario()
    scenario.create()
    return scenario


def revealed() -> Scenario:
    scenario = fresh()
    scenario.submit_and_reveal(1)
    return scenario


def committed() -> Scenario:
    scenario = revealed()
    scenario.attest(ORG1, 1, scores={ORG2: 1})
    scenario.attest(ORG2, 1)
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    return scenario


def without_consortium() -> Scenario:
    scenario = Scenario()
    scenario.ledger = MemoryLedger()
    return scenario


def at_the_last_number() -> Scenario:
    scenario = fresh()
    scenario.plant(Round.from_json({**scenario.round(1), "number": 99_999_999}))
    scenario.plant(Head.from_json({**scenario.head(), "round": 99_999_999}))
    scenario.vote("abort", 99_999_999, 0, ORG1, ORG2)
    return scenario


def with_a_newer_record() -> Scenario:
    scenario = fresh()
    transaction = scenario.endorse(ORG1, "consortium:Read")
    transaction.state.put("participant/Org1MSP", json.dumps({"schema": 2}).encode())
    scenario.ledger.commit(transaction)
    return scenario


def rich() -> tuple[Scenario, str]:
    scenario = Scenario()
    return scenario, scenario.mint(ORG1, 2**53 - 1)


def order(inputs: list[str], **changes) -> dict:
    return {"request_id": "r", "inputs": inputs, "to": ORG2, "amount": 1, **changes}


def attestation(scenario: Scenario, **changes) -> tuple:
    return scenario, ORG1, "attestations:Submit", TASK, 1, {**scenario.claim(ORG1, 1), **changes}


def over_supply() -> tuple:
    scenario, _ = rich()
    scenario.call(ORG2, "tokens:Issue", {"request_id": "more", "to": ORG1, "amount": 1})
    return scenario, ORG1, "tokens:Issue", {"request_id": "more", "to": ORG1, "amount": 1}


def not_enough_funds() -> tuple:
    scenario = Scenario()
    return scenario, ORG1, "tokens:Transfer", order([scenario.mint(ORG1, 1)], amount=2)


def unopened() -> tuple:
    return committed(), ORG1, "rounds:Settle", TASK, 1


def not_scored() -> tuple:
    scenario = Scenario()
    scenario.create(scoring={"rule": "none"})
    scenario.submit_and_reveal(1)
    return attestation(scenario, score_commitment=H("x"))


def sealed_late() -> tuple:
    scenario = fresh()
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Seal", TASK, 1)
    return scenario, ORG3, "updates:Submit", TASK, 1, H("c")


def fixed() -> tuple:
    scenario = fresh()
    for one in (ORG1, ORG2, ORG3):
        scenario.submit(one, 1)
    for one in (ORG1, ORG2):
        scenario.reveal(one, 1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2])
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1, [ORG1, ORG2]))
    return scenario, ORG3, "updates:Reveal", TASK, 1, scenario.opening_of(ORG3, 1)


def suspended() -> tuple:
    scenario = fresh()
    scenario.suspend(ORG1)
    return scenario, ORG1, "updates:Submit", TASK, 1, H("c")


def few_updates() -> tuple:
    scenario = fresh()
    scenario.vote("close", 1, 0, ORG1, ORG2)
    return scenario, ORG1, "rounds:Seal", TASK, 1


def create(**changes) -> tuple:
    return Scenario(), ORG1, "tasks:Create", specification(**changes)


def motion(kind: str, subject: str) -> dict[str, str]:
    return {"request_id": "m", "kind": kind, "subject": subject}


def two_members() -> tuple:
    scenario = Scenario(2)
    scenario.call(ORG1, "consortium:Vote", motion("remove", ORG2))
    return scenario, ORG2, "consortium:Vote", motion("remove", ORG2)


def nothing_to_decide() -> tuple:
    scenario = Scenario()
    scenario.call(ORG1, "consortium:Vote", motion("reinstate", ORG3))
    return scenario, ORG2, "consortium:Vote", motion("reinstate", ORG3)


def withdrawn() -> tuple:
    scenario = Scenario()
    scenario.call(ORG1, "participants:Withdraw")
    return scenario, ORG1, "participants:Reinstate"


def ended_declaration() -> tuple:
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one, last_round=1)
    scenario.create(purpose="sepsis")
    scenario.vote("abort", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    assert scenario.round(2)["selected"] == []
    chosen = {"status": "open", "attempt": 0, "set": None, "selected": [ORG1], "declarations": {ORG1: 1}}
    scenario.plant(Round.from_json({**scenario.round(2), **chosen}))
    return scenario, ORG1, "updates:Submit", TASK, 2, H("c")


def revoked_declaration() -> tuple:
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one)
    scenario.call(ORG2, "declarations:Revoke", "sepsis", 1)
    return scenario, ORG1, "tasks:Create", specification(purpose="sepsis")


def small_declaration() -> tuple:
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one, num_examples=99)
    scenario.create(purpose="sepsis")
    for one in scenario.organisations:
        scenario.submit(one, 1)
    return scenario, ORG1, "updates:Reveal", TASK, 1, scenario.opening_of(ORG1, 1)


def finished() -> tuple:
    scenario = Scenario()
    scenario.create(rounds=1)
    scenario.play(1)
    return scenario, ORG1, "tasks:Cancel", TASK


def outsider() -> Scenario:
    scenario = fresh()
    scenario.call(ORG4, "participants:Register", {"name": "x"})
    return scenario


ELECTION = {"term": 1, "validators": [ORG1, ORG2, ORG3], "q": 3}


def market(*calls: tuple) -> Scenario:
    """Org1 with tokens, Org2 with a price list, and these calls carried out."""
    scenario = Scenario()
    scenario.mint(ORG1, 10)
    scenario.call(ORG2, "prices:Publish", {"request_id": "p", "services": {"gpu-hour": 1}})
    for who, function, *arguments in calls:
        filled = [{**one, "inputs": entries(scenario)} if "inputs" in one else one for one in arguments]
        scenario.call(who, function, *filled)
    return scenario


def entries(scenario: Scenario) -> list[str]:
    return [one["id"] for one in scenario.read("tokens:Entries", ORG1)]


def without_a_lock() -> tuple:
    scenario = market((ORG1, "orders:Place", JOB))
    transaction = scenario.endorse(ORG1, "consortium:Read")
    transaction.state.delete("token/lock/order/Org1MSP/o")
    scenario.ledger.commit(transaction)
    return scenario, ORG1, "orders:Confirm", "o"


ISSUE = {"request_id": "r", "to": ORG1, "amount": 1}
JOB = {
    "request_id": "o",
    "provider": ORG2,
    "service": "gpu-hour",
    "version": 1,
    "quantity": 2,
    "job": "anything",
    "inputs": [],
}
SALE = {"request_id": "s", "inputs": [], "amount": 3, "price": 500, "currency": "EUR", "terms": ""}
SPENT = {"request_id": "r", "owner": ORG2, "inputs": [H("i")], "to": ORG1, "amount": 1}
MISSING = {**JOB, "inputs": [H("i")]}

CALLS = {
    "FL-FUNCTION-UNKNOWN": lambda: (fresh(), ORG1, "rounds:read", TASK, 1),
    "FL-ARGUMENT-COUNT": lambda: (fresh(), ORG1, "rounds:Read", TASK),
    "FL-ARGUMENT-INVALID": lambda: (fresh(), ORG1, "rounds:Read", TASK, "0"),
    "FL-ARGUMENT-SIZE": lambda: (fresh(), ORG1, "participants:Register", " " * (2 * 1024 * 1024 + 1)),
    "FL-JSON-INVALID": lambda: (fresh(), ORG1, "participants:Register", '{"name":"a","name":"a"}'),
    "FL-JSON-FIELD": lambda: (fresh(), ORG1, "participants:Register", {}),
    "FL-RECORD-SCHEMA": lambda: (with_a_newer_record(), ORG1, "participants:Read", ORG1),
    "FL-CONFLICT": lambda: (fresh(), ORG2, "tasks:Create", specification()),
    "FL-CALLER-INVALID": lambda: (fresh(), caller(ORG1, node_ou="peer"), "rounds:Seal", TASK, 1),
    "FL-CALLER-ROLE": lambda: (fresh(), caller(ORG1, "auditor"), "participants:Register", {"name": "x"}),
    "FL-CONSORTIUM-UNCONFIGURED": lambda: (without_consortium(), ORG1, "consortium:Init"),
    "FL-CONSORTIUM-UNKNOWN": lambda: (without_consortium(), ORG1, "consortium:Read"),
    "FL-CONSORTIUM-OUTSIDE": lambda: (Scenario(), ORG4, "consortium:Init"),
    "FL-CONSORTIUM-SMALL": two_members,
    "FL-MOTION-UNKNOWN": lambda: (Scenario(), ORG1, "consortium:Motion", "m"),
    "FL-MOTION-VOID": nothing_to_decide,
    "FL-PARTICIPANT-UNKNOWN": lambda: (fresh(), ORG4, "updates:Submit", TASK, 1, H("c")),
    "FL-PARTICIPANT-INACTIVE": suspended,
    "FL-PARTICIPANT-STATUS": withdrawn,
    "FL-DECLARATION-UNKNOWN": lambda: create(purpose="sepsis"),
    "FL-DECLARATION-NUMBER": lambda: (Scenario(), ORG1, "declarations:Submit", declaration(number=2)),
    "FL-DECLARATION-ENDED": ended_declaration,
    "FL-DECLARATION-REVOKED": revoked_declaration,
    "FL-DECLARATION-EXAMPLES": small_declaration,
    "FL-TASK-UNKNOWN": lambda: (fresh(), ORG1, "tasks:Read", "nothing"),
    "FL-TASK-SPEC": lambda: create(k=4),
    "FL-TASK-QUORUM": lambda: create(q=1),
    "FL-TASK-OVERFLOW": lambda: create(max_examples=2**53 - 1),
    "FL-TASK-ENDED": finished,
    "FL-TASK-OUTSIDE": lambda: (outsider(), ORG4, "tasks:Cancel", TASK),
    "FL-ELECTION-TERM": lambda: (fresh(), ORG1, "validators:Vote", TASK, ELECTION),
    "FL-ROUND-UNKNOWN": lambda: (fresh(), ORG1, "rounds:Read", TASK, 2),
    "FL-ROUND-SEALED": sealed_late,
    "FL-ROUND-OPEN": lambda: (fresh(), ORG1, "updates:Reveal", TASK, 1, OPENING),
    "FL-ROUND-FINAL": lambda: (committed(), ORG1, "rounds:Abort", TASK, 1),
    "FL-ROUND-FIXED": fixed,
    "FL-ROUND-UNDECIDED": lambda: (revealed(), ORG1, "rounds:Commit", TASK, 1),
    "FL-ROUND-VOTES": lambda: (fresh(), ORG1, "rounds:Seal", TASK, 1),
    "FL-ROUND-MIN-UPDATES": few_updates,
    "FL-ROUND-UNSELECTED": lambda: (
        (scenario := fresh()).call(ORG4, "participants:Register", {"name": "x"}) and scenario,
        ORG4,
        "updates:Submit",
        TASK,
        1,
        H("c"),
    ),
    "FL-ROUND-UNCOMMITTED": lambda: (fresh(), ORG1, "rounds:Settle", TASK, 1),
    "FL-ROUND-LIMIT": lambda: (at_the_last_number(), ORG1, "rounds:Abort", TASK, 99_999_999),
    "FL-VALIDATOR-OUTSIDE": lambda: (
        (scenario := fresh()).call(ORG4, "participants:Register", {"name": "x"}) and scenario,
        ORG4,
        "rounds:Vote",
        TASK,
        1,
        "close",
        0,
    ),
    "FL-UPDATE-UNKNOWN": lambda: (fresh(), ORG1, "updates:Read", TASK, 1, ORG1),
    "FL-UPDATE-OPENING": lambda: (sealed_late()[0], ORG1, "updates:Reveal", TASK, 1, OPENING),
    "FL-ATTESTATION-UNKNOWN": lambda: (fresh(), ORG1, "attestations:Read", TASK, 1, ORG1),
    "FL-ATTESTATION-ATTEMPT": lambda: attestation(revealed(), attempt=2),
    "FL-ATTESTATION-VERSION": lambda: attestation(revealed(), version=2),
    "FL-ATTESTATION-RESULT": lambda: attestation(revealed(), result=H("x")),
    "FL-ATTESTATION-INCLUDED": lambda: (
        scenario := revealed(),
        ORG1,
        "attestations:Submit",
        TASK,
        1,
        scenario.claim(ORG1, 1, included=[ORG1, ORG4]),
    ),
    "FL-ATTESTATION-FETCHED": lambda: attestation(revealed(), fetched=[]),
    "FL-MODEL-UNKNOWN": lambda: (fresh(), ORG1, "models:Read", TASK, 1),
    "FL-SCORE-UNCOMMITTED": lambda: (committed(), ORG2, "scores:Open", TASK, 1, SCORES),
    "FL-SCORE-OPENING": lambda: (committed(), ORG1, "scores:Open", TASK, 1, SCORES),
    "FL-SCORE-UNOPENED": unopened,
    "FL-SCORE-UNUSED": not_scored,
    "FL-TOKEN-INPUT": lambda: (Scenario(), ORG1, "tokens:Transfer", order([H("x")])),
    "FL-TOKEN-FUNDS": not_enough_funds,
    "FL-TOKEN-ALLOWANCE": lambda: (Scenario(), ORG1, "tokens:TransferFrom", SPENT),
    "FL-TOKEN-EXPECTED": lambda: (
        Scenario(),
        ORG1,
        "tokens:Approve",
        {"request_id": "r", "spender": ORG2, "expected": 1, "amount": 2},
    ),
    "FL-TOKEN-LOCK": without_a_lock,
    "FL-TOKEN-SUPPLY": over_supply,
    "FL-PRICE-UNKNOWN": lambda: (market(), ORG1, "orders:Place", {**MISSING, "service": "cpu-hour"}),
    "FL-PRICE-CHANGED": lambda: (market(), ORG1, "orders:Place", {**MISSING, "version": 2}),
    "FL-ORDER-UNKNOWN": lambda: (market(), ORG1, "orders:Confirm", "o"),
    "FL-ORDER-ENDED": lambda: (
        market((ORG1, "orders:Place", JOB), (ORG1, "orders:Confirm", "o")),
        ORG2,
        "orders:Refund",
        ORG1,
        "o",
    ),
    "FL-OFFER-UNKNOWN": lambda: (market(), ORG1, "offers:Withdraw", "s"),
    "FL-OFFER-STATUS": lambda: (market((ORG1, "offers:Make", SALE)), ORG1, "offers:Confirm", "s", "invoice 1"),
    "FL-OFFER-REFERENCE": lambda: (
        market((ORG1, "offers:Make", SALE), (ORG2, "offers:Take", ORG1, "s", "invoice 1")),
        ORG1,
        "offers:Confirm",
        "s",
        "invoice 2",
    ),
    "FL-MARKET-PARTY": lambda: (market((ORG1, "offers:Make", SALE)), ORG2, "offers:Cancel", ORG1, "s"),
    "FL-MARKET-SELF": lambda: (market((ORG1, "offers:Make", SALE)), ORG1, "offers:Take", ORG1, "s", "invoice 1"),
    "FL-MARKET-VOTES": lambda: (
        market((ORG1, "orders:Place", JOB), (ORG1, "orders:Vote", ORG1, "o", "settle")),
        ORG3,
        "orders:Decide",
        ORG1,
        "o",
        "settle",
    ),
    "FL-RECORD-UNKNOWN": lambda: (Scenario(), ORG1, "records:Read", "task/none"),
    "FL-RECORD-FIELD": lambda: (Scenario(), ORG1, "records:Page", {"kind": "task", "size": 1, "where": {"x": 1}}),
    "FL-RECORD-BOOKMARK": lambda: (
        Scenario(),
        ORG1,
        "records:Page",
        {"kind": "task", "size": 1, "bookmark": "round/t1"},
    ),
}


def test_every_code_has_a_call_that_earns_it():
    assert list(CALLS) == list(HELP)


@pytest.mark.parametrize("code", CALLS)
def test_the_call_is_refused_with_its_code_and_a_remedy(code):
    scenario, *call = CALLS[code]()
    error = scenario.refused(code, *call)
    assert error.help == HELP[code]
    assert re.fullmatch(rf"{code}: [\x20-\x7e]+", str(error))


@pytest.mark.parametrize("code", HELP)
def test_codes_and_help_texts_have_their_form(code):
    assert re.fullmatch(r"FL(-[A-Z0-9]+){1,3}", code)
    assert re.fullmatch(r"[A-Z].{20,110}\.", HELP[code])


def test_a_code_that_does_not_exist_cannot_be_raised():
    with pytest.raises(KeyError):
        FLError("FL-NEW", "x")


def test_a_refusal_survives_pickling_between_processes():
    error = pickle.loads(pickle.dumps(FLError("FL-CONFLICT", "taken")))
    assert (error.code, error.message, str(error)) == ("FL-CONFLICT", "taken", "FL-CONFLICT: taken")


def test_a_refusal_is_found_in_what_a_gateway_says():
    text = "endorse call to endorser returned error: chaincode response 400, FL-ROUND-SEALED: round 3 is sealed"
    assert parse(text) == ("FL-ROUND-SEALED", "round 3 is sealed")
    assert parse("FL-FROM-THE-FUTURE: a sentence") == ("FL-FROM-THE-FUTURE", "a sentence")
    assert parse("context deadline exceeded") is None


def test_a_message_shows_a_callers_text_only_shortened_and_in_ascii():
    error = Scenario().refused("FL-FUNCTION-UNKNOWN", ORG1, "\u202e\n\x00" + "x" * 10_000)
    assert len(str(error)) < 120
    error = Scenario().refused("FL-JSON-FIELD", ORG1, "participants:Register", {"name": "a", "ß\n" * 99: 1})
    assert len(str(error)) < 250
    assert str(error).isascii()
