"""'What am I to do now?': the answers, and that following them is enough."""

import json

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, ORG5, TASK, Scenario, caller, examples
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode import FLError

SCORES = {ORG1: 1, ORG2: 1, ORG3: 1}


@pytest.fixture
def scenario() -> Scenario:
    scenario = Scenario(4)
    scenario.create(rounds=1, budget=90)
    return scenario


def actions(scenario: Scenario, who: str) -> list[dict]:
    return json.loads(scenario.endorse(who, "tasks:Status", TASK).outcome.payload)["actions"]


def todo(scenario: Scenario, who: str) -> list[dict]:
    return json.loads(scenario.endorse(who, "tasks:Todo").outcome.payload)


def named(scenario: Scenario, who: str) -> list[tuple]:
    return [(one["function"], one.get("kind"), one["when"]) for one in actions(scenario, who)]


def test_everybody_is_told_the_next_step_of_a_round_without_failures(scenario):
    submit, close = ("updates:Submit", None, "now"), ("rounds:Vote", "close", "patience")
    assert actions(scenario, ORG1) == [
        {"task": TASK, "round": 1, "function": "updates:Submit", "when": "now"},
        {"task": TASK, "round": 1, "function": "rounds:Vote", "when": "patience", "kind": "close", "attempt": 0},
    ]
    assert named(scenario, ORG4) == []  # has no part in the task
    for one in (ORG1, ORG2, ORG3):
        assert named(scenario, one) == [submit, close]
        scenario.submit(one, 1)
    attest, abort = ("attestations:Submit", None, "patience"), ("rounds:Vote", "abort", "patience")
    for one in (ORG1, ORG2, ORG3):
        assert named(scenario, one) == [("updates:Reveal", None, "now"), attest, abort]
        scenario.reveal(one, 1)
    for one in (ORG1, ORG2):
        assert named(scenario, one) == [("attestations:Submit", None, "now"), abort]
        scenario.attest(one, 1, scores=SCORES)
    assert named(scenario, ORG1)[0] == ("rounds:Commit", None, "now")
    scenario.call(ORG1, "rounds:Commit", TASK, 1, scenario.aggregate(1))
    assert named(scenario, ORG3) == [("attestations:Submit", None, "now")]  # late, as evidence
    scenario.attest(ORG3, 1, scores=SCORES)
    for one in (ORG1, ORG2, ORG3):
        assert named(scenario, one) == [("scores:Open", None, "now")]
        scenario.open(one, 1, SCORES)
    assert named(scenario, ORG2) == [("rounds:Settle", None, "now")]
    scenario.call(ORG2, "rounds:Settle", TASK, 1)
    assert [named(scenario, one) for one in scenario.organisations] == [[]] * 4


def test_one_query_answers_for_all_tasks(scenario):
    scenario.create(id="t2", k=1, min_updates=1)
    found = todo(scenario, ORG1)
    assert {one["task"] for one in found} == {TASK, "t2"}
    assert [one for one in found if one["task"] == TASK] == actions(scenario, ORG1)
    assert todo(scenario, ORG4) == []
    scenario.call(ORG1, "tasks:Cancel", "t2")
    scenario.call(ORG1, "rounds:Abort", "t2", 1)
    found = todo(scenario, ORG1)
    assert {one["task"] for one in found} == {TASK}


def test_the_answer_is_the_organisations_whatever_its_certificate(scenario):
    first = scenario.endorse(ORG1, "tasks:Status", TASK).outcome.payload
    assert scenario.endorse(caller(ORG1, "", "peer"), "tasks:Status", TASK).outcome.payload == first


def test_who_is_suspended_is_told_to_do_nothing(scenario):
    scenario.call(ORG1, "participants:Suspend")
    assert actions(scenario, ORG1) == []
    assert todo(scenario, ORG1) == []


def test_a_trainer_whose_declaration_was_revoked_is_not_asked_for_an_update():
    scenario = Scenario()
    for one in scenario.organisations:
        scenario.declare(one)
    scenario.create(purpose="sepsis")
    scenario.call(ORG2, "declarations:Revoke", "sepsis", 1)
    assert named(scenario, ORG1)[0][0] == "updates:Submit"
    assert named(scenario, ORG2) == [("rounds:Vote", "close", "patience")]


def test_nobody_trains_for_a_round_that_too_few_were_selected_for():
    scenario = Scenario()
    scenario.create(min_updates=2)
    scenario.call(ORG2, "participants:Suspend")
    scenario.call(ORG3, "participants:Suspend")
    scenario.call(ORG2, "participants:Reinstate")
    scenario.submit(ORG1, 1)
    scenario.call(ORG2, "participants:Suspend")
    scenario.vote("abort", 1, 0, ORG1)
    scenario.call(ORG2, "participants:Reinstate")
    scenario.vote("abort", 1, 0, ORG2)
    scenario.call(ORG2, "participants:Suspend")
    scenario.call(ORG1, "rounds:Abort", TASK, 1)
    assert scenario.round(2)["selected"] == [ORG1]
    assert named(scenario, ORG1) == [("rounds:Vote", "close", "patience")]


# Followers: organisations that know nothing but what the query tells them


class Follower:
    """Does what it is told; what it cannot do it skips."""

    def __init__(self, scenario: Scenario, me: str, *, lies: bool = False, reveals: bool = True) -> None:
        self.scenario, self.me, self.lies, self.reveals = scenario, me, lies, reveals

    def act(self, when: str) -> bool:
        return any(self.tried(one) for one in actions(self.scenario, self.me) if one["when"] == when)

    def tried(self, action: dict) -> bool:
        try:
            return self.do(action)
        except FLError:
            return False

    def do(self, action: dict) -> bool:
        scenario, me, number = self.scenario, self.me, action["round"]
        function = action["function"]
        if function == "updates:Submit":
            scenario.submit(me, number)
        elif function == "updates:Reveal":
            if not self.reveals:
                return False
            scenario.reveal(me, number)
        elif function == "rounds:Vote":
            scenario.vote(action["kind"], number, action["attempt"], me)
        elif function == "attestations:Submit":
            return self.attest(number)
        elif function == "rounds:Commit":
            return self.commit(number)
        elif function == "scores:Open":
            scenario.open(me, number, self.scores(number))
        else:
            scenario.call(me, function, TASK, number)
        return True

    def arrived(self, number: int) -> list[str]:
        round_ = self.scenario.round(number)
        if round_["included"] is not None:
            return round_["included"]
        listed = self.scenario.read("updates:List", TASK, number)
        return [one["update"]["participant"] for one in listed if one["reveal"] is not None]

    def scores(self, number: int) -> dict[str, int]:
        return dict.fromkeys(self.arrived(number), 1)

    def attest(self, number: int) -> bool:
        scenario, included = self.scenario, self.arrived(number)
        stored = [
            one["attestation"]
            for one in scenario.read("attestations:List", TASK, number)
            if one["attestation"]["organisation"] == self.me
        ]
        same = bool(stored) and stored[0]["attempt"] == scenario.round(number)["attempt"]
        if same and stored[0]["included"] == included:
            return False  # it would only say the same again
        version = stored[0]["version"] + 1 if stored else 1
        wrong = f"{self.me} lies" if self.lies else ""
        scenario.attest(
            self.me, number, included=included, wrong=wrong, version=version, scores=dict.fromkeys(included, 1)
        )
        return True

    def commit(self, number: int) -> bool:
        aggregate = self.scenario.aggregate(number, self.arrived(number))
        self.scenario.call(self.me, "rounds:Commit", TASK, number, aggregate)
        return self.scenario.wrote


def follow(followers: list[Follower], passes: int = 200) -> str:
    """Let everybody act until the task is over; the patience of all ends when nobody can do anything at once."""
    scenario = followers[0].scenario
    for _ in range(passes):
        if not sum(one.act("now") for one in followers) and not sum(one.act("patience") for one in followers):
            break
    head = scenario.head()
    return head["status"] if not head["unsettled"] else "unsettled"


def test_honest_followers_finish_a_task_and_are_paid():
    scenario = Scenario()
    scenario.create(rounds=3, budget=300)
    assert follow([Follower(scenario, one) for one in scenario.organisations]) == "finished"
    assert scenario.escrow() == 0
    assert [scenario.round(number)["status"] for number in (1, 2, 3)] == ["committed"] * 3


@examples(25)
@given(data=st.data())
def test_followers_finish_though_two_of_five_are_silent_lie_or_do_not_reveal(data):
    scenario = Scenario(5)
    everybody = list(scenario.organisations)
    scenario.create(rounds=2, budget=300, trainers=everybody, validators=everybody, q=3, k=4, min_updates=2)
    faults = data.draw(st.lists(st.sampled_from(["silent", "lies", "conceals"]), min_size=2, max_size=2))
    faulty = dict(zip(data.draw(st.permutations(everybody))[:2], faults, strict=True))
    followers = [
        Follower(scenario, one, lies=faulty.get(one) == "lies", reveals=faulty.get(one) != "conceals")
        for one in everybody
        if faulty.get(one) != "silent"
    ]
    cancelled = data.draw(st.booleans())
    if cancelled:
        scenario.call(ORG1, "tasks:Cancel", TASK)
    assert follow(followers) == ("cancelled" if cancelled else "finished"), scenario.read("tasks:Status", TASK)
    assert scenario.escrow() == 0
    assert scenario.all_tokens() == (300, 300)


def test_a_cancelled_task_that_nobody_has_begun_is_ended_by_its_followers_without_training():
    scenario = Scenario(5)
    scenario.create(rounds=3, budget=300)
    scenario.call(ORG1, "tasks:Cancel", TASK)
    assert named(scenario, ORG1) == [("rounds:Abort", None, "now")]
    assert follow([Follower(scenario, one) for one in (ORG1, ORG5)]) == "cancelled"
    assert scenario.read("updates:List", TASK, 1) == []
