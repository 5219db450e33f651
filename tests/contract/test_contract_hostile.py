"""Hostile arguments: whatever is thrown at a function, it answers or refuses with a code."""

import copy
import json

import pytest
from contract_scenario import ORG1, ORG2, TASK, Scenario, argument, examples
from hostile_arguments import NASTY, answers, busy_ledger, valid, well_formed
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode.canonical import H
from fl_chaincode.functions import FUNCTIONS

WORDS = st.sampled_from([TASK, "t2", "1", "2", "0", ORG1, ORG2, "close", "abort", H("x")]) | st.sampled_from(NASTY)
TEXT = st.text(st.characters(), max_size=30) | WORDS
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | WORDS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | WORDS, inner, max_size=4),
    max_leaves=8,
)
NAMES = ["", ":", "rounds", "rounds:", ":Read", "Read", "__init__", "rounds:Read:x", "rounds.Read", " rounds:Read"]
ARGUMENTS = TEXT | JSON.map(json.dumps)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return busy_ledger()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nasty_texts_in_every_place_are_answered_or_refused(scenario, function):
    right = [argument(one) for one in well_formed(scenario, function)]
    for place in range(len(FUNCTIONS[function].arguments)):
        for nasty in NASTY:
            answers(scenario, function, [*right[:place], nasty, *right[place + 1 :]])


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


@pytest.mark.parametrize("function", [name for name, entry in FUNCTIONS.items() if entry.arguments])
@examples(8)
@given(data=st.data())
def test_a_valid_argument_changed_in_one_place_is_answered_or_refused(scenario, function, data):
    arguments = copy.deepcopy(well_formed(scenario, function))
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
