"""Hostile arguments: whatever is thrown at a function, it answers or refuses with a code."""

import copy
import json

import pytest
from contract_scenario import ORG1, ORG2, TASK, Scenario, argument, caller, declaration, examples, specification
from hypothesis import given
from hypothesis import strategies as st
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
WORDS = st.sampled_from([TASK, "t2", "1", "2", "0", ORG1, ORG2, "close", "abort", H("x")]) | st.sampled_from(NASTY)
TEXT = st.text(st.characters(), max_size=30) | WORDS
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | WORDS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | WORDS, inner, max_size=4),
    max_leaves=8,
)
STOP = {"metric": "loss", "direction": "min", "target": 1, "patience": 2, "min_delta": 3}
NAMES = ["", ":", "rounds", "rounds:", ":Read", "Read", "__init__", "rounds:Read:x", "rounds.Read", " rounds:Read"]
ARGUMENTS = TEXT | JSON.map(json.dumps)

JOB = {"provider": ORG2, "service": "gpu-hour", "version": 1, "quantity": 1, "job": "x"}
MONEY = {"amount": 5, "price": 100, "currency": "EUR", "terms": ""}
PLACE = f"round/{TASK}/00000001"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
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


def answers(scenario: Scenario, function: str, arguments: list[str]) -> None:
    state = scenario.ledger.state()
    refusal = ""
    try:
        decode(dispatch(state, caller(ORG1), function, arguments).payload)
    except FLError as error:
        refusal = str(error)
    assert refusal.isascii()
    assert len(refusal) < 400
    assert all(key.isascii() and "\0" not in key and len(key) < 256 for key in state.writes)
    for value in state.writes.values():
        assert value is None or decode(value)["schema"] == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nasty_texts_in_every_place_are_answered_or_refused(scenario, function):
    entry = FUNCTIONS[function]
    right = {"task": TASK, "round": "1", "j": "0", "attempt": "0", "kind": "close", "participant": ORG1}
    for place in range(len(entry.arguments)):
        for nasty in NASTY:
            arguments = [right.get(name, "{}") for name in entry.arguments]
            arguments[place] = nasty
            answers(scenario, function, arguments)


@examples(200)
@given(function=st.sampled_from(list(FUNCTIONS)), arguments=st.lists(ARGUMENTS, max_size=5))
def test_any_arguments_are_answered_or_refused(scenario, function, arguments):
    answers(scenario, function, arguments)


@examples(100)
@given(function=(st.text(max_size=20) | st.sampled_from(NAMES)).filter(lambda name: name not in FUNCTIONS))
def test_a_function_that_is_not_listed_does_not_exist(scenario, function):
    scenario.refused("FL-FUNCTION-UNKNOWN", ORG1, function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_missing_and_surplus_arguments_are_refused(scenario, function):
    entry = FUNCTIONS[function]
    most = len(entry.arguments)
    least = most - getattr(entry, "optional", 0)
    for count in {*range(least), most + 1, most + 7}:
        scenario.refused("FL-ARGUMENT-COUNT", ORG1, function, *["1"] * count)


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if not name.startswith("consortium")])
def test_the_lower_case_function_is_another_one(scenario, function):
    contract, name = function.split(":")
    scenario.refused("FL-FUNCTION-UNKNOWN", ORG1, f"{contract}:{name[0].lower()}{name[1:]}")


NAMED = ("motion", "order", "offer")
QUERIES = {
    "records:Page": [{"kind": "token/entry", "where": {"owner": ORG1}, "size": 5}],
    "records:History": [{"key": "consortium", "size": 5}],
    "records:Read": ["consortium"],
}


@pytest.mark.parametrize("function", [name for name, entry in FUNCTIONS.items() if entry.arguments])
@examples(8)
@given(data=st.data())
def test_a_valid_argument_changed_in_one_place_is_answered_or_refused(scenario, function, data):
    ids = {
        "task": TASK,
        "round": "1",
        "j": "0",
        "purpose": "p",
        "number": "1",
        "motion": "m",
        "order": "o",
        "offer": "o",
    }
    plain = [ids.get(name, ORG1) for name in FUNCTIONS[function].arguments]
    calls = {**WELL_FORMED, **QUERIES, **valid(scenario)}
    arguments = copy.deepcopy(list(calls.get(function, plain)))
    place = data.draw(st.integers(0, len(arguments) - 1))
    if isinstance(arguments[place], dict):
        target = arguments[place]
        while True:  # walk into the object at random, then change one field of it
            field = data.draw(st.sampled_from(sorted(target)))
            if not (isinstance(target[field], dict) and target[field] and data.draw(st.booleans())):
                break
            target[field] = dict(target[field])
            target = target[field]
        target[field] = data.draw(JSON)
        if data.draw(st.booleans()):
            target[data.draw(st.text(max_size=8))] = data.draw(SCALARS)
    else:
        arguments[place] = data.draw(TEXT)
    answers(scenario, function, [argument(one) for one in arguments])


def test_the_valid_arguments_are_valid(scenario):
    for function, arguments in valid(scenario).items():
        scenario.endorse(ORG1, function, *arguments)
