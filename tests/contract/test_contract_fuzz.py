"""A fuzzer over every function: right arguments, as the text that they are sent as, broken in a few places."""

from __future__ import annotations

import random
import re

import pytest
from contract_scenario import argument
from hostile_arguments import NASTY, answers, busy_ledger, well_formed
from soaking import times

from fl_chaincode.functions import FUNCTIONS

SEED = 20
TOKENS = [*'{}[]":,\\/-.', "\x00", "\n", "\x7f", "\u2028", "\ud800", "\\ud800", "\\u0000", "NaN", "-Infinity", "1e999"]
TOKENS += ["null", "true", "-0", "0x1", "9" * 20, "9" * 5000, "[" * 40, '{"a":' * 40, '"a":1,"a":2', "x" * 2_000_000]
LONG = 100_000
NUMBER = re.compile(r"\d+")


def broken(source: random.Random, text: str) -> str:
    """The text with something inserted, cut out, repeated or replaced: repeated, a field is a duplicate key."""
    start, end = sorted(source.randrange(len(text) + 1) for _ in range(2))
    field = re.search(r'"[^"]*":("[^"]*"|-?\d+)', text[start:])
    token = source.choice(TOKENS)
    kind = source.randrange(6)
    if kind == 0:
        return text[:start] + token + text[start:]
    if kind == 1:
        return text[:start] + text[end:]
    if kind == 2 and field:
        return text[: start + field.start()] + f"{field[0]}," + text[start + field.start() :]
    if kind == 3 and field:
        return text[: start + field.start(1)] + token + text[start + field.end(1) :]
    if kind == 4:
        return NUMBER.sub(lambda _: token, text, count=source.randint(1, 3))
    return text[:start] + source.choice(NASTY) + text[end:]


@pytest.mark.soak
def test_broken_arguments_of_every_function_are_answered_or_refused(record_property):
    scenario, source, count, accepted = busy_ledger(), random.Random(SEED), 0, set()
    for function in [name for name, entry in FUNCTIONS.items() if entry.arguments]:
        right = [argument(one) for one in well_formed(scenario, function)]
        for _ in range(times(40, 2000)):
            arguments = right[:]
            for _ in range(source.choice([1, 1, 2, 3])):
                place = source.randrange(len(arguments))
                if len(arguments[place]) < LONG:
                    arguments[place] = broken(source, arguments[place])
            count += 1
            if not answers(scenario, function, arguments):
                accepted.add(function)
    record_property("count", count)
    record_property("seed", SEED)
    assert len(accepted) > len(FUNCTIONS) / 4, "what is broken everywhere is refused for one reason alone"
