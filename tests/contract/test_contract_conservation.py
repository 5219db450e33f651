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
from fl_chaincode.records import ABORT, ABORTED, CLOSE, COMMITTED, KINDS, SETTLE

THREE = ORGANISATIONS[:3]
WHO = st.sampled_from(THREE)
SOME = st.sampled_from([THREE, THREE[:2], THREE[1:], THREE[:1], THREE[2:]])
NEAR = st.sampled_from([0, 0, 0, -1, 1])  # mostly the newest round, sometimes one before or after it
SCORES = st.dictionaries(WHO, st.integers(-5, 20))
WRONG = st.sampled_from(["", "", "", "a bit"])


class Ledger(RuleBasedStateMachine):
    """A task over three organisations, and money moving around it."""

    @initialize(budget=st.integers(1, 100), rounds=st.integers(2, 4), k=st.integers(2, 3), scored=st.booleans())
    def start(self, budget: int, rounds: int, k: int, scored: bool) -> None:
        self.scenario = Scenario()
        self.issued = self.requests = 0
        self.final: dict[str, bytes] = {}
        self.opened: dict[tuple[str, int], dict[str, int]] = {}
        entry = self.scenario.mint(ORG1, 100, "start")
        scoring = {"rule": "leave-one-out" if scored else "none"}
        spec = specification(budget=budget if scored else 0, rounds=rounds, k=k, scoring=scoring)
        self.scenario.call(ORG1, "tasks:Create", spec, {"inputs": [entry]})

    def attempt(self, step: Any, *arguments: Any, **named: Any) -> Any:
        """Take a step; a refusal is fine, anything else is not."""
        try:
            return step(*arguments, **named)
        except FLError:
            return None

    def call(self, who: str, function: str, *arguments: Any) -> Any:
        return self.attempt(self.scenario.call, who, function, *arguments)

    def near(self, offset: int) -> int:
        return max(1, self.scenario.head()["round"] + offset)

    # Money

    @rule(voters=SOME, to=WHO, amount=st.integers(1, 50), again=st.booleans())
    def issue(self, voters: tuple[str, ...], to: str, amount: int, again: bool) -> None:
        self.requests += not again
        for who in voters:
            self.call(who, "tokens:Issue", {"request_id": f"i{self.requests}", "to": to, "amount": amount})

    @rule(who=WHO, to=WHO, percent=st.integers(1, 110), others=st.booleans(), again=st.booleans(), data=st.data())
    def transfer(self, who: str, to: str, percent: int, others: bool, again: bool, data: st.DataObject) -> None:
        owners = THREE if others else (who,)
        amounts = {one["id"]: one["amount"] for name in owners for one in self.scenario.read("tokens:Entries", name)}
        inputs = data.draw(st.lists(st.sampled_from([*amounts, H("made up")][: len(amounts) or 1]), unique=True))
        amount = sum(amounts.get(one, 0) for one in inputs) * percent // 100
        self.requests += not again
        order = {"request_id": f"t{self.requests}", "inputs": inputs, "to": to, "amount": amount}
        self.call(who, "tokens:Transfer", order)

    @rule(who=WHO, budget=st.integers(0, 60))
    def create_another(self, who: str, budget: int) -> None:
        inputs = [one["id"] for one in self.scenario.read("tokens:Entries", who)]
        self.call(who, "tasks:Create", specification(id=f"t{self.requests}", budget=budget), {"inputs": inputs})

    # Rounds

    @rule(who=SOME, offset=NEAR)
    def submit(self, who: tuple[str, ...], offset: int) -> None:
        for one in who:
            self.attempt(self.scenario.submit, one, self.near(offset))

    @rule(who=SOME, offset=NEAR)
    def reveal(self, who: tuple[str, ...], offset: int) -> None:
        for one in who:
            self.attempt(self.scenario.reveal, one, self.near(offset))

    @rule(who=SOME, offset=NEAR, scores=SCORES, wrong=WRONG)
    def attest(self, who: tuple[str, ...], offset: int, scores: dict[str, int], wrong: str) -> None:
        number = self.near(offset)
        round_ = self.attempt(self.scenario.round, number)
        for one in who if round_ and round_["attempt"] else ():
            before = self.attempt(self.scenario.read, "attestations:Read", TASK, number, one)
            revealed = [update["update"]["participant"] for update in self.scenario.read("updates:List", TASK, number)]
            accepted = self.attempt(
                self.scenario.attest,
                one,
                number,
                included=revealed,
                scores=scores if self.scored() else None,
                wrong=wrong,
                version=before["attestation"]["version"] + 1 if before else 1,
            )
            if accepted:
                self.opened[one, number] = scores

    def scored(self) -> bool:
        return self.scenario.read("tasks:Read", TASK)["scoring"]["rule"] != "none"

    @rule(offset=NEAR)
    def play(self, offset: int) -> None:
        """Carry a round as far as an honest consortium can, so that the machine gets beyond the first steps."""
        self.submit(THREE, offset)
        self.reveal(THREE, offset)
        self.attest(THREE, offset, {ORG1: 3}, "")
        self.commit(ORG1, offset, True)

    @rule(kind=st.sampled_from(KINDS), offset=NEAR, late=st.sampled_from([0, 0, 1]), voters=SOME)
    def vote(self, kind: str, offset: int, late: int, voters: tuple[str, ...]) -> None:
        """Vote, mostly for the present attempt, and call what the votes are for."""
        number = self.near(offset)
        round_ = self.attempt(self.scenario.round, number)
        if round_:
            self.scenario.vote(kind, number, round_["attempt"] + late, *voters)
            function = {CLOSE: "rounds:Seal", ABORT: "rounds:Abort", SETTLE: "rounds:Settle"}[kind]
            self.call(ORG1, function, TASK, number)

    @rule(who=WHO, offset=NEAR, proven=st.booleans())
    def commit(self, who: str, offset: int, proven: bool) -> None:
        number = self.near(offset)
        listed = self.attempt(self.scenario.read, "attestations:List", TASK, number) or []
        included = listed[0]["attestation"]["included"] if listed else []
        self.call(who, "rounds:Commit", TASK, number, *([self.scenario.aggregate(number, included)] if proven else []))

    @rule(who=SOME)
    def open_and_settle(self, who: tuple[str, ...]) -> None:
        for number in self.scenario.head()["unsettled"]:
            for one in who:
                self.attempt(self.scenario.open, one, number, self.opened.get((one, number), {}))
            self.call(ORG1, "rounds:Settle", TASK, number)

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
TestLedger.settings = examples(30, stateful_step_count=40)
