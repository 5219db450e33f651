"""The stop rule: which metrics end a task, and in which transaction."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, examples, specification
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode.records import Head, StopSpec
from fl_chaincode.stopping import judge

TARGET = {"metric": "loss", "direction": "min", "target": 50}
PATIENCE = {"metric": "loss", "direction": "min", "patience": 2, "min_delta": 5}


def play(scenario: Scenario, number: int, loss: int | dict[str, int], opened_in: str = "attestation") -> None:
    """Play a round whose models have this loss; what is owed of the round before rides along with it."""
    scenario.losses[number] = loss
    scores = dict.fromkeys(scenario.organisations, 1)
    scenario.submit_and_reveal(number)
    for who in scenario.organisations:
        owed = [{"round": number - 1, **scenario.score_opening(who, number - 1, scores)}]
        riding = owed if number > 1 and opened_in == "attestation" else []
        scenario.attest(who, number, scores=scores, openings=riding)
    scenario.call(ORG1, "rounds:Commit", TASK, number, scenario.aggregate(number))


def settle(scenario: Scenario, number: int) -> None:
    for who in scenario.organisations:
        scenario.open(who, number, dict.fromkeys(scenario.organisations, 1))
    scenario.call(ORG1, "rounds:Settle", TASK, number)


def standing(scenario: Scenario) -> tuple:
    head = scenario.head()
    return head["status"], head["j"], head["stopped"], head["best"], head["best_j"]


def test_a_target_that_model_2_reaches_ends_the_task_in_the_transaction_that_commits_model_3():
    scenario = Scenario()
    scenario.create(rounds=9, budget=900, stop=TARGET)
    play(scenario, 1, 80)
    play(scenario, 2, 50)
    assert standing(scenario) == ("running", 2, None, 80, 1)
    play(scenario, 3, 40)
    assert standing(scenario) == ("finished", 3, "target", 50, 2)
    assert scenario.head()["round"] == 3
    scenario.refused("FL-ROUND-UNKNOWN", ORG1, "rounds:Read", TASK, 4)
    settle(scenario, 3)
    assert standing(scenario) == ("finished", 3, "target", 40, 3)
    assert scenario.escrow() == 0
    assert scenario.all_tokens() == (900, 900)
    # of three shares of 100 each has 33, the odd one goes to the first; the other six are the sponsor's again
    assert [scenario.balance(one) for one in scenario.organisations] == [102 + 600, 99, 99]


def test_a_settlement_of_its_own_ends_the_task_with_the_round_that_runs():
    scenario = Scenario()
    scenario.create(rounds=9, stop=TARGET)
    play(scenario, 1, 10)
    scenario.submit(ORG1, 2)
    settle(scenario, 1)
    assert standing(scenario) == ("running", 1, "target", 10, 1)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 2)  # somebody has submitted: its work counts
    scenario.submit(ORG2, 2)
    scenario.submit(ORG3, 2)
    for who in scenario.organisations:
        scenario.reveal(who, 2)
    for who in (ORG1, ORG2):
        scenario.attest(who, 2)
    scenario.call(ORG1, "rounds:Commit", TASK, 2, scenario.aggregate(2))
    assert standing(scenario)[:3] == ("finished", 2, "target")


def test_a_round_that_nobody_has_begun_is_aborted_without_votes_when_the_task_is_to_stop():
    scenario = Scenario()
    scenario.create(rounds=9, budget=90, stop=TARGET)
    play(scenario, 1, 10)
    scenario.refused("FL-ROUND-VOTES", ORG1, "rounds:Abort", TASK, 2)
    settle(scenario, 1)
    assert scenario.call("AnybodyMSP", "rounds:Abort", TASK, 2)["status"] == "aborted"
    assert standing(scenario)[:3] == ("finished", 1, "target")
    assert scenario.escrow() == 0
    assert scenario.all_tokens() == (90, 90)


def test_patience_ends_a_task_that_has_not_become_better_for_so_many_models():
    scenario = Scenario()
    scenario.create(rounds=20, stop=PATIENCE)
    # model 2 is better by 4 only, which is less than min_delta; model 3 is better by 5 than the best, which is model 1
    for number, loss in enumerate([100, 96, 95, 91, 93, 99], start=1):
        play(scenario, number, loss)
    assert standing(scenario) == ("finished", 6, "patience", 95, 3)


def test_models_that_are_settled_because_the_consortium_ends_the_task_are_judged_as_well():
    scenario = Scenario()
    scenario.create(rounds=9, stop=TARGET)
    play(scenario, 1, 80, opened_in="no attestation")
    play(scenario, 2, 40, opened_in="no attestation")
    for number in (1, 2):
        for who in scenario.organisations[:2]:
            scenario.open(who, number, dict.fromkeys(scenario.organisations, 1))
    assert standing(scenario) == ("running", 2, None, None, None)
    scenario.carry("cancel", TASK)
    assert standing(scenario) == ("cancelled", 2, None, 40, 2)  # it has ended: no reason to stop any more


def test_the_metric_is_the_lower_median_of_what_was_opened():
    scenario = Scenario()
    scenario.create(rounds=9, stop=TARGET)
    play(scenario, 1, {ORG1: 1, ORG2: 51, ORG3: 99})
    play(scenario, 2, {ORG1: 1, ORG2: 50, ORG3: 99})
    assert standing(scenario) == ("running", 2, None, 51, 1)
    play(scenario, 3, 99)
    assert standing(scenario) == ("finished", 3, "target", 50, 2)


def test_models_are_judged_in_their_order_also_when_rounds_are_settled_in_another():
    scenario = Scenario()
    scenario.create(rounds=9, stop=PATIENCE)
    for number, loss in enumerate([100, 50, 100, 100], start=1):
        play(scenario, number, loss, opened_in="nothing")
    for number in (4, 3, 2):
        settle(scenario, number)
    assert scenario.head()["counted"] == 0  # model 1 is not settled
    settle(scenario, 1)
    assert scenario.head()["counted"] == 4
    assert standing(scenario) == ("running", 4, "patience", 50, 2)


def test_the_maximum_of_rounds_ends_a_task_whatever_its_rule():
    scenario = Scenario()
    scenario.create(rounds=2, stop=TARGET)
    play(scenario, 1, 90)
    play(scenario, 2, 40)
    assert standing(scenario) == ("finished", 2, None, 90, 1)
    settle(scenario, 2)  # the target comes too late to be a reason
    assert standing(scenario) == ("finished", 2, None, 40, 2)


def test_more_is_better_where_the_rule_says_so():
    scenario = Scenario()
    scenario.create(rounds=9, stop={**TARGET, "direction": "max"})
    play(scenario, 1, 49)
    play(scenario, 2, 50)
    play(scenario, 3, 1)
    assert standing(scenario) == ("finished", 3, "target", 50, 2)


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        ({"metric": "loss", "direction": "min"}, "FL-TASK-SPEC"),
        ({**TARGET, "direction": "down"}, "FL-ARGUMENT-INVALID"),
        ({**TARGET, "target": 1.5}, "FL-JSON-INVALID"),
        ({**TARGET, "patience": 0}, "FL-ARGUMENT-INVALID"),
        ({**TARGET, "min_delta": -1}, "FL-ARGUMENT-INVALID"),
        ({**TARGET, "metric": "a b"}, "FL-ARGUMENT-INVALID"),
        ({**TARGET, "minimum": 1}, "FL-JSON-FIELD"),
        ([], "FL-JSON-FIELD"),
    ],
)
def test_a_rule_that_could_not_decide_is_refused(stop, code):
    Scenario().refused(code, ORG1, "tasks:Create", specification(stop=stop))


def test_a_task_that_is_not_scored_has_no_metrics_to_stop_by():
    spec = specification(stop=TARGET, scoring={"rule": "none"})
    Scenario().refused("FL-TASK-SPEC", ORG1, "tasks:Create", spec)


def oracle(losses: list[int | None], target: int | None, patience: int | None, delta: int) -> int | None:
    """The first model that stops a task, from the whole list at once; less is better."""
    for j in range(1, len(losses) + 1):
        best, best_j = None, 0
        for i, loss in enumerate(losses[:j], start=1):
            if loss is not None and (best is None or loss <= best - max(1, delta)):
                best, best_j = loss, i
        if target is not None and losses[j - 1] is not None and losses[j - 1] <= target:
            return j
        if patience is not None and j - best_j >= patience:
            return j
    return None


@examples(200)
@given(
    losses=st.lists(st.none() | st.integers(-20, 20), max_size=12),
    target=st.none() | st.integers(-20, 20),
    patience=st.none() | st.integers(1, 4),
    delta=st.integers(0, 5),
)
def test_the_judgement_one_by_one_is_that_of_the_whole_list_in_either_direction(losses, target, patience, delta):
    expected = oracle(losses, target, patience, delta)
    for sign, direction in ((1, "min"), (-1, "max")):
        rule = StopSpec("loss", direction, None if target is None else sign * target, patience, delta)
        head = Head("t1", "running", 1, len(losses), "", None, ())
        stopped_at = None
        for j, loss in enumerate(losses, start=1):
            head = judge(rule, head, j, None if loss is None else sign * loss)
            if head.stopped is not None and stopped_at is None:
                stopped_at = j
        assert stopped_at == expected
