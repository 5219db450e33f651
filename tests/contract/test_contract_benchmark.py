"""What bench/contract.py submits: accepted by the rules, all of it, and every writing function is among it."""

from __future__ import annotations

import json

from contract_scenario import ORGANISATIONS, caller

from bench.contract import ONCE, ROUND_SIZES, round_sizes
from bench.contract_calls import once, spelt
from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.memory import MemoryLedger

THREE = ORGANISATIONS[:3]


def test_every_writing_function_is_called_each_time_and_writes():
    ledger = MemoryLedger(THREE)
    called = set()

    def call(who, function, *arguments):
        transaction = ledger.endorse(caller(who), function, *map(spelt, arguments))
        assert transaction.state.writes, f"{function} wrote nothing"
        assert ledger.commit(transaction) == [True]
        called.add(function)
        return json.loads(transaction.outcome.payload)

    call(THREE[0], "consortium:Init")
    for who in THREE:
        call(who, "participants:Register", {"name": who})
    for number in (1, 2, 3):
        once(call, number, THREE)
    writing = {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)}
    assert writing - called == set(ONCE) - {"consortium:Init"}


def test_a_round_of_thirty_organisations_has_as_many_transactions_as_the_protocol_says():
    notes = [result.note for result in round_sizes()]
    for size, note in zip(ROUND_SIZES, notes, strict=True):
        # submit, reveal, attest and open by everybody, one commit, one settlement
        assert note.startswith(f"{4 * size + 2} transactions")
