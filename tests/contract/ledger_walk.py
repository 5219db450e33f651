"""A walk over the ledger: blocks of calls that were endorsed on one state, checked against a model of the ledger.

Of every block: the ledger has refused what the model refuses and accepted the rest; exactly those transactions are
invalid that have read what an earlier one wrote; a call wrote exactly if the model changed; the invariants hold over
each transaction; entries, escrows, locks, statuses, rounds are the model's.
"""

from __future__ import annotations

import json
import random
from collections import Counter

from contract_scenario import ORGANISATIONS, caller
from ledger_comparison import compare
from ledger_invariants import DECODED, Books
from ledger_model import Model
from member_model import RefusedError
from walk_calls import Block, Calls
from walk_spelling import Call, spell

from fl_chaincode import FLError
from fl_chaincode.memory import MemoryLedger, Transaction

FOUNDERS = ORGANISATIONS[:3]
Endorsed = tuple[Call, Transaction, int]  # and how many transactions had been valid when it was endorsed


class Walk:
    """One world. Four organisations, of which three are the consortium to begin with; a fifth comes from outside."""

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.ledger = ledger or MemoryLedger(FOUNDERS)
        self.model = Model(FOUNDERS)
        self.calls = Calls(self.model)
        self.books = Books()
        self.held_back: list[Endorsed] = []
        self.valid = 0  # transactions so far
        self.changed: dict[str, int] = {}  # by which of them a key was written last
        self.marking = False
        self.done = Counter[str]()
        self.reached: set[tuple[str, str]] = set()
        self.block(Block(((FOUNDERS[0], "consortium:Init"),)))
        self.block(Block(tuple((who, "participants:Register", {"name": who}) for who in ORGANISATIONS[:4])))
        for number, who in enumerate(ORGANISATIONS[:4]):
            order = {"request_id": f"start{number}", "to": who, "amount": 500}
            self.block(Block(((FOUNDERS[0], "tokens:Issue", order),)))
            self.block(Block(((FOUNDERS[1], "tokens:Issue", order),)))
        self.done.clear()

    def block(self, block: Block) -> None:
        """Endorse calls, order them, and compare all that has come of it."""
        endorsed = [one for one in map(self.endorse, block.calls) if one is not None]
        late, kept = (self.held_back, []) if block.late else ([], self.held_back)
        if block.keep and endorsed:
            kept = [*kept, endorsed.pop()]
        self.held_back = kept
        ordered = [*late, *endorsed] if block.late == 1 else [*endorsed, *late]
        valid = self.ledger.commit(*(transaction for _, transaction, _ in ordered))
        for (call, transaction, seen), fresh in zip(ordered, valid, strict=True):
            stale = any(self.changed.get(key, 0) > seen for key in transaction.state.reads)
            assert fresh is not stale, f"{call} was {'valid' if fresh else 'invalid'}, against what it had read"
            if stale:
                self.done["conflicts"] += 1
                continue
            self.valid += 1
            self.changed |= dict.fromkeys(transaction.state.writes, self.valid)
            self.done[f"accepted {call[1]}"] += 1
            self.follow(call, transaction)
            self.books.enter(call, transaction.state.writes)
        self.done["steps"] += 1
        self.done["calls"] += len(block.calls)
        self.done["late"] += len(late)
        if any(valid):  # nothing has changed otherwise
            self.check()

    def endorse(self, call: Call) -> Endorsed | None:
        organisation, _, role = call[0].partition("/")
        signer = caller(organisation, role) if role else caller(organisation)
        try:
            transaction = self.ledger.endorse(signer, call[1], *spell(self.model, call))
        except FLError as error:
            self.done[f"refused {call[1]}"] += 1
            self.must_refuse(call, error)
            return None
        state = transaction.state
        assert not state.reread, f"{call} reads what it has written itself"
        assert not (state.ranges and state.writes), f"{call} reads a range and writes"
        return call, transaction, self.valid

    def must_refuse(self, call: Call, error: FLError) -> None:
        try:
            self.model.apply(*call)
        except RefusedError:
            return
        raise AssertionError(f"refused for no reason: {call}: {error}")

    def follow(self, call: Call, transaction: Transaction) -> None:
        """Let the model do what the ledger has done, and compare what was written."""
        try:
            self.model.apply(*call)
        except RefusedError:
            raise AssertionError(f"accepted against the rules: {call}") from None
        writes = transaction.state.writes
        assert bool(writes) == self.model.wrote, f"{call} wrote {list(writes)}"
        assert bool(writes) == (transaction.outcome.event is not None)
        entries = {key: value for key, value in writes.items() if key.startswith("token/entry/")}
        gone = sorted(key.split("/")[-1] for key, value in entries.items() if value is None)
        made = [DECODED(value) for value in entries.values() if value is not None]
        assert gone == sorted(self.model.spent), f"{call} spent {gone}"
        assert sorted((one["owner"], one["amount"]) for one in made) == sorted(self.model.made), call
        self.model.coins |= {one["id"]: (one["owner"], one["amount"]) for one in made}
        self.marking |= any(key.startswith(("model/", "declaration/")) for key in writes)

    def check(self) -> None:
        state = dict(self.ledger.state().scan(" ", "~"))
        self.books.compare(state)
        self.reached |= compare(state, self.model)
        if self.marking:
            self.compare_marks()
            self.marking = False

    def compare_marks(self) -> None:
        """Compare which revoked declarations models are said to be made of."""
        for name, task in self.model.tasks.items():
            if task["spec"]["purpose"]:
                found = self.ledger.endorse(caller(ORGANISATIONS[4]), "models:List", name).outcome.payload
                for one in json.loads(found):
                    marks = [(mark["participant"], mark["number"], mark["j"]) for mark in one["revoked"]]
                    assert marks == self.model.marks(name, one["j"]), f"marks of model {one['j']} of {name}"
                    self.reached |= {(f"{name}/{one['j']}", "model marked")} if marks else set()

    def count(self) -> Counter[str]:
        """What has come of the world: calls, conflicts, and how many records were ever in which state."""
        return self.done + Counter(state for _, state in self.reached)


def seeded(seed: int, steps: int, ledger: MemoryLedger | None = None) -> Walk:
    """Walk so far with numbers from a seed: faster than with hypothesis, where nothing needs to shrink."""
    walk, numbers = Walk(ledger), random.Random(seed).randint
    for _ in range(steps):
        walk.block(walk.calls.block(lambda _: numbers))
    walk.books.close()
    return walk
