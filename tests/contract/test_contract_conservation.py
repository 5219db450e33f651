"""Any sequence of calls: no token is made or lost, and what is final stays as it is.

A machine draws calls of all kinds, honest and not, sensible and not; the invariants are read from the raw state.
"""

import json
from typing import Any

from contract_scenario import ORG1, ORGANISATIONS, TASK, Scenario, examples, specification
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fl_chaincode import FLError
from fl_chaincode.canonical import H
from fl_chaincode.records import ABORTED, COMMITTED

WHO = st.sampled_from(ORGANISATIONS[:3])
NUMBER = st.integers(1, 4)
REQUEST = st.sampled_from(["r1", "r2", "r3"])
SCORES = st.dictionaries(WHO, st.integers(-5, 20))
WRONG = st.sampled_from(["", "", "", "a bit"])


class Ledger(RuleBasedStateMachine):
    """A task over three organisations, and money moving around it."""

    @initialize(budget=st.integers(0, 100), rounds=st.integers(1, 3), k=st.integers(2, 3), scored=st.booleans())
    def start(self, budget: int, rounds: int, k: int, scored: bool) -> None:
        self.scenario = Scenario()
        self.issued = 0
        self.final: dict[str, bytes] = {}
        self.opened: dict[tuple[str, int], dict[str, int]] = {}
        self.scenario.mint(ORG1, 100, "start")
        entry = self.scenario.read("tokens:Entries", ORG1)[0]["id"]
        scoring = {"rule": "leave-one-out" if scored else "none"}
        spec = specification(budget=budget if scored else 0, rounds=rounds, k=k, scoring=scoring)
        self.scenario.call(ORG1, "tasks:Create", spec, {"inputs": [entry]})

    def attempt(self, who: str, function: str, *arguments: Any) -> Any:
        """Submit a call; a refusal is fine, anything else is not."""
        try:
            return self.scenario.call(who, function, *arguments)
        except FLError:
            return None

    def tried(self, step: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return step(*arguments, **named)
        except FLError:
            return None

    @rule(who=WHO, to=WHO, amount=st.integers(1, 50), request=REQUEST)
    def issue(self, who: str, to: str, amount: int, request: str) -> None:
        self.attempt(who, "tokens:Issue", {"request_id": request, "to": to, "amount": amount})

    @rule(who=WHO, to=WHO, amount=st.integers(1, 60), request=REQUEST, data=st.data())
    def transfer(self, who: str, to: str, amount: int, request: str, data: st.DataObject) -> None:
        every = [one["id"] for name in ORGANISATIONS[:3] for one in self.scenario.read("tokens:Entries", name)]
        inputs = data.draw(st.lists(st.sampled_from([*every, H("made up")]), max_size=4))
        self.attempt(who, "tokens:Transfer", {"request_id": request, "inputs": inputs, "to": to, "amount": amount})

    @rule(who=WHO, budget=st.integers(0, 60))
    def create_another(self, who: str, budget: int) -> None:
        inputs = [one["id"] for one in self.scenario.read("tokens:Entries", who)]
        self.attempt(who, "tasks:Create", specification(id="t2", budget=budget), {"inputs": inputs})

    @rule(number=NUMBER)
    def play_honestly(self, number: int) -> None:
        """Carry a round as far as an honest consortium can, so that the machine gets beyond the first steps."""
        self.tried(self.scenario.submit_and_reveal, number)
        for who in ORGANISATIONS[:3]:
            self.attest_as(who, number, {ORG1: 3}, "")
        self.commit(ORG1, number, True)

    @rule(who=WHO, number=NUMBER, scores=SCORES, wrong=WRONG)
    def attest_as(self, who: str, number: int, scores: dict[str, int], wrong: str) -> None:
        version = 1
        answer = self.tried(self.scenario.read, "attestations:Read", TASK, number, who)
        if answer:
            version = answer["attestation"]["version"] + 1
        status = self.tried(self.scenario.read, "rounds:Read", TASK, number)
        if status and status["status"] not in (COMMITTED, ABORTED):
            accepted = self.tried(self.scenario.attest, who, number, scores=scores, wrong=wrong, version=version)
            if accepted:
                self.opened[who, number] = scores

    @rule(who=WHO, number=NUMBER)
    def submit(self, who: str, number: int) -> None:
        self.tried(self.scenario.submit, who, number)

    @rule(who=WHO, number=NUMBER)
    def reveal(self, who: str, number: int) -> None:
        self.tried(self.scenario.reveal, who, number)

    @rule(
        number=NUMBER,
        kind=st.sampled_from(["close", "abort", "settle"]),
        attempt=st.integers(0, 2),
        voters=st.sets(WHO).map(sorted),
    )
    def vote(self, number: int, kind: str, attempt: int, voters: list[str]) -> None:
        self.scenario.vote(kind, number, attempt, *voters)

    @rule(who=WHO, number=NUMBER, function=st.sampled_from(["rounds:Seal", "rounds:Abort", "rounds:Settle"]))
    def decide(self, who: str, number: int, function: str) -> None:
        self.attempt(who, function, TASK, number)

    @rule(who=WHO, number=NUMBER, proven=st.booleans())
    def commit(self, who: str, number: int, proven: bool) -> None:
        if self.tried(self.scenario.round, number):
            aggregate = [self.scenario.aggregate(number)] if proven else []
            self.attempt(who, "rounds:Commit", TASK, number, *aggregate)

    @rule(who=WHO, number=NUMBER)
    def open_scores(self, who: str, number: int) -> None:
        self.tried(self.scenario.open, who, number, self.opened.get((who, number), {}))

    @invariant()
    def tokens_in_entries_and_escrows_are_the_supply(self) -> None:
        held, supply = self.scenario.all_tokens()
        assert held == supply
        assert supply >= self.issued  # it never shrinks
        self.issued = supply

    @invariant()
    def every_entry_has_its_cause(self) -> None:
        state = self.scenario.ledger.state()
        for _, data in state.scan("token/entry/", "token/entry0"):
            entry = json.loads(data)
            assert entry["amount"] > 0
            assert state.get(entry["cause"]) is not None

    @invariant()
    def what_is_final_never_changes(self) -> None:
        state = self.scenario.ledger.state()
        for prefix in ("task", "model", "settlement", "round"):
            for key, data in state.scan(prefix + "/", prefix + "0"):
                if prefix != "round" or json.loads(data)["status"] in (COMMITTED, ABORTED):
                    assert self.final.setdefault(key, data) == data
        assert all(state.get(key) is not None for key in self.final)

    @invariant()
    def rounds_and_models_are_numbered_without_gaps_and_one_round_is_the_newest(self) -> None:
        head = self.scenario.head()
        rounds = self.scenario.read("rounds:List", TASK)
        assert [one["number"] for one in rounds] == list(range(1, head["round"] + 1))
        running = [one for one in rounds if one["status"] not in (COMMITTED, ABORTED)]
        assert len(running) == (0 if head["status"] == "finished" else 1)
        committed = [one for one in rounds if one["status"] == COMMITTED]
        assert [one["j"] for one in committed] == list(range(1, head["j"] + 1))
        settled = [one["settlement"] is not None for one in self.scenario.read("scores:List", TASK)["rounds"]]
        assert [one["number"] for one, done in zip(committed, settled, strict=True) if not done] == head["unsettled"]
        if head["status"] == "finished" and not head["unsettled"]:
            assert self.scenario.escrow() == 0


TestLedger = Ledger.TestCase
TestLedger.settings = examples(25, stateful_step_count=30)
