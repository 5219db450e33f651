"""A ledger that an earlier version wrote goes on under this one."""

import json

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario

LATER = {
    "consortium": ("changes",),
    "participant": ("suspended_by",),
    "task": ("purpose", "stop"),
    "head": ("counted", "best", "best_j", "stopped"),
    "round": ("term", "declarations", "refused"),
    "vote": ("refused",),
    "model": ("declarations", "revoked"),
}
SCORES = {ORG1: 3, ORG2: 2, ORG3: 1}


def as_before(scenario: Scenario) -> None:
    """Take from every record the fields that an earlier version did not write."""
    transaction = scenario.endorse(ORG1, "consortium:Read")
    for key, data in list(scenario.ledger.state().scan("a", "z")):
        later = LATER.get(key.split("/")[0], ())
        old = {name: value for name, value in json.loads(data).items() if name not in later}
        transaction.state.put(key, json.dumps(old, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    transaction.state.reads.clear()
    assert scenario.ledger.commit(transaction) == [True]


@pytest.mark.parametrize("step", ["created", "submitted", "voted", "attested", "committed"])
def test_a_task_that_runs_is_finished_and_paid_wherever_the_upgrade_falls(step):
    def upgrade_after(done: str) -> None:
        if done == step:
            as_before(scenario)

    scenario = Scenario()
    scenario.create(budget=300, rounds=2)
    upgrade_after("created")
    for one in (ORG1, ORG2):
        scenario.submit(one, 1)
    upgrade_after("submitted")
    scenario.vote("close", 1, 0, ORG1, ORG2)
    upgrade_after("voted")
    scenario.call(ORG1, "rounds:Seal", TASK, 1)
    for one in (ORG1, ORG2):
        scenario.reveal(one, 1)
    for one in (ORG1, ORG2):
        scenario.attest(one, 1, included=[ORG1, ORG2], scores={ORG1: 1, ORG2: 1})
    upgrade_after("attested")
    scenario.call(ORG3, "rounds:Commit", TASK, 1, scenario.aggregate(1, [ORG1, ORG2]))
    upgrade_after("committed")
    scenario.play(2, scores=SCORES)
    for one in (ORG1, ORG2):
        scenario.open(one, 1, {ORG1: 1, ORG2: 1})
    for one in scenario.organisations:
        scenario.open(one, 2, SCORES)
    for number in (1, 2):
        scenario.call(ORG1, "rounds:Settle", TASK, number)
    assert (scenario.head()["status"], scenario.head()["unsettled"], scenario.escrow()) == ("finished", [], 0)
    assert scenario.all_tokens() == (300, 300)
    assert scenario.read("tasks:Status", TASK)["state"] == "finished"


def test_an_old_task_is_cancelled_and_its_validators_change_like_any_others():
    scenario = Scenario(4)
    scenario.create(rounds=3)
    as_before(scenario)
    for one in (ORG1, ORG2):
        election = {"term": 0, "validators": [ORG1, "Org4MSP"], "q": 2}
        scenario.call(one, "validators:Vote", TASK, election)
    scenario.play(1)
    assert scenario.round(2)["validators"] == [ORG1, "Org4MSP"]
    scenario.call(ORG1, "tasks:Cancel", TASK)
    scenario.play(2)
    assert scenario.head()["status"] == "cancelled"
