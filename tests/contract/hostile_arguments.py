"""Arguments that somebody could send to a function: right ones, nasty ones, and what must come of them."""

from __future__ import annotations

import json
from typing import Any

from contract_scenario import ORG1, ORG2, TASK, Scenario, caller, declaration, specification
from test_contract_access import ARGUMENTS as WELL_FORMED

from fl_chaincode import FLError, dispatch
from fl_chaincode.canonical import H, decode
from fl_chaincode.functions import FUNCTIONS

NASTY = [
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "\x00",
    "../..",
    "t1\x00",
    "t1/00000001",
    "\ud800",
    "ﬀ",
    "9" * 40,
    "9" * 5000,
    "[" * 5000,
    '{"a":' * 5000,
    '{"name":"\\ud800"}',
    '{"name":"a","name":"b"}',
    '{"name":1e400}',
    '{"name":NaN}',
    '{"__class__":"x"}',
    '{"na\\u0000me":"x"}',
    '{"request_id":"r\\n"}',
    '{"amount":9007199254740992}',
    '{"amount":true}',
    '{"inputs":["x","x"]}',
    "x" * 1_000_000,
    json.dumps("x" * 1_000_000),
    json.dumps({"name": "x" * 1_000_000}),
    json.dumps(list(range(5000))),
]
STOP = {"metric": "loss", "direction": "min", "target": 1, "patience": 2, "min_delta": 3}
JOB = {"provider": ORG2, "service": "gpu-hour", "version": 1, "quantity": 1, "job": "x"}
MONEY = {"amount": 5, "price": 100, "currency": "EUR", "terms": ""}
PLACE = f"round/{TASK}/00000001"
QUERIES = {
    "records:Page": [{"kind": "token/entry", "where": {"owner": ORG1}, "size": 5}],
    "records:History": [{"key": "consortium", "size": 5}],
    "records:Read": ["consortium"],
}
PLAIN = {"task": TASK, "round": "1", "j": "0", "purpose": "p", "number": "1", "motion": "m", "order": "o", "offer": "o"}


def busy_ledger() -> Scenario:
    """A ledger in which many calls find something: a committed round, an open one, tokens."""
    scenario = Scenario()
    scenario.create(budget=100)
    scenario.play(1, scores={ORG1: 1, ORG2: 2})
    scenario.mint(ORG1, 50, "more")
    scenario.mint(ORG2, 50, "others")
    scenario.call(ORG2, "prices:Publish", {"request_id": "p", "services": {"gpu-hour": 3}})
    scenario.call(ORG2, "tokens:Approve", {"request_id": "a", "spender": ORG1, "expected": 0, "amount": 9})
    theirs = [one["id"] for one in scenario.read("tokens:Entries", ORG2)]
    scenario.call(ORG2, "offers:Make", {"request_id": "s", "inputs": theirs, **MONEY})
    return scenario


def valid(scenario: Scenario) -> dict[str, list]:
    """Arguments that functions with large JSON accept here, to be changed in one place."""
    entry, theirs = (scenario.read("tokens:Entries", one)[0]["id"] for one in (ORG1, ORG2))
    return {
        "participants:Register": [{"name": "a", "description": "b"}],
        "participants:Update": [{"name": "a", "description": "b"}],
        "consortium:Vote": [{"request_id": "m", "kind": "suspend", "subject": ORG2}],
        "declarations:Submit": [declaration()],
        "validators:Vote": [TASK, {"term": 0, "validators": [ORG1, ORG2], "q": 2}],
        "rounds:Vote": [TASK, 2, "abort", 0, {"refused": {ORG2: "FL-BLOB-BOUND"}}],
        "tasks:Create": [specification(id="t2", budget=10, purpose=None, stop=STOP), {"inputs": [entry]}],
        "updates:Submit": [TASK, 2, H("c")],
        "updates:Reveal": [TASK, 1, scenario.opening_of(ORG1, 1)],
        "attestations:Submit": [TASK, 1, scenario.claim(ORG1, 1, scores={ORG1: 1, ORG2: 2})],
        "scores:Open": [TASK, 1, scenario.score_opening(ORG1, 1, {ORG1: 1, ORG2: 2})],
        "tokens:Issue": [{"request_id": "r", "to": ORG1, "amount": 1}],
        "tokens:Transfer": [{"request_id": "r", "inputs": [entry], "to": ORG2, "amount": 1}],
        "tokens:Approve": [{"request_id": "r", "spender": ORG2, "expected": 0, "amount": 1}],
        "tokens:TransferFrom": [{"request_id": "r", "owner": ORG2, "inputs": [theirs], "to": ORG1, "amount": 1}],
        "prices:Publish": [{"request_id": "r", "services": {"gpu-hour": 1}, "description": "x"}],
        "orders:Place": [{"request_id": "r", "inputs": [entry], **JOB}],
        "offers:Make": [{"request_id": "r", "inputs": [entry], **MONEY}],
        "offers:Take": [ORG2, "s", "invoice 7"],
        "records:Page": [{"kind": "round", "size": 2, "where": {"task": TASK, "number": 1}, "bookmark": PLACE}],
        "records:History": [{"key": PLACE, "size": 2}],
    }


def well_formed(scenario: Scenario, function: str) -> list[Any]:
    """Arguments of the right form for any function, most of which find something."""
    calls = {**WELL_FORMED, **QUERIES, **valid(scenario)}
    return list(calls.get(function, [PLAIN.get(name, ORG1) for name in FUNCTIONS[function].arguments]))


def answers(scenario: Scenario, function: str, arguments: list[str]) -> str:
    """Call a function, which must answer or refuse with a code; return the refusal, or nothing."""
    state = scenario.ledger.state()
    refusal = ""
    try:
        decode(dispatch(state, caller(ORG1), function, arguments).payload)
    except FLError as error:
        refusal = str(error)
    assert refusal.isascii()
    assert len(refusal) < 400
    assert all(key.isascii() and key.isprintable() and len(key) < 256 for key in state.writes)
    for value in state.writes.values():
        assert value is None or decode(value)["schema"] == 1
    return refusal
