"""Tasks: the whole specification is validated once, and what comes with it."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, TASK, Scenario, caller, specification

from fl_chaincode.canonical import H


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def test_a_task_is_stored_as_specified_with_its_sponsor_and_sorted_lists(scenario):
    answer = scenario.create(trainers=[ORG3, ORG1, ORG2])
    assert answer == {**specification(), "sponsor": ORG1, "purpose": None, "stop": None}
    assert scenario.read("tasks:Read", TASK) == answer
    assert scenario.read("tasks:List") == [answer]


def test_creating_a_task_opens_its_first_round_on_the_initial_model(scenario):
    scenario.create(k=2)
    round_ = scenario.round(1)
    assert (round_["j"], round_["base"], round_["status"], round_["attempt"]) == (1, H("blob"), "open", 0)
    assert len(round_["selected"]) == 2
    assert (round_["set"], round_["included"], round_["missed"], round_["moved"]) == (None, None, [], [])
    assert scenario.head() == {
        "schema": 1,
        "task": TASK,
        "status": "running",
        "round": 1,
        "j": 0,
        "model": H("blob"),
        "state": None,
        "unsettled": [],
        "counted": 0,
        "best": None,
        "best_j": None,
        "stopped": None,
    }
    assert scenario.read("models:Latest", TASK)["digest"] == H("blob")
    assert scenario.read("models:Read", TASK, 0)["base"] is None


def test_creating_the_same_task_again_writes_nothing(scenario):
    first = scenario.create(budget=10)
    assert scenario.call(ORG1, "tasks:Create", specification(budget=10), {"inputs": [H("spent")]}) == first
    assert not scenario.wrote


def test_another_task_or_another_sponsor_under_the_same_id_is_refused(scenario):
    scenario.create()
    scenario.refused("FL-CONFLICT", ORG1, "tasks:Create", specification(rounds=3))
    scenario.refused("FL-CONFLICT", ORG2, "tasks:Create", specification())


def test_the_cap_is_twice_the_equal_share_unless_stated(scenario):
    assert scenario.create(scoring={"rule": "leave-one-out"})["scoring"]["cap_percent"] == 200


def test_the_event_names_the_task_and_its_first_round(scenario):
    scenario.create()
    assert scenario.ledger.events[-1][1:] == ("tasks:Create", b'{"round":1,"task":"t1"}')


@pytest.mark.parametrize(
    ("validators", "q", "accepted"),
    [
        ([ORG1], 1, True),
        ([ORG1, ORG2], 1, False),
        ([ORG1, ORG2], 2, True),
        ([ORG1, ORG2, ORG3], 1, False),
        ([ORG1, ORG2, ORG3], 2, True),
        ([ORG1, ORG2, ORG3], 3, True),
        ([ORG1, ORG2, ORG3], 4, False),
        ([ORG1, ORG2, ORG3, ORG4], 2, False),
        ([ORG1, ORG2, ORG3, ORG4], 3, True),
    ],
)
def test_a_quorum_is_a_majority_of_the_validators_and_at_most_all(validators, q, accepted):
    scenario = Scenario(4)
    spec = specification(validators=validators, q=q)
    if accepted:
        assert scenario.call(ORG1, "tasks:Create", spec)["q"] == q
    else:
        scenario.refused("FL-TASK-QUORUM", ORG1, "tasks:Create", spec)


def test_a_sum_that_could_leave_signed_64_bits_is_refused(scenario):
    below = {"k": 1, "min_updates": 1, "max_examples": 2**36, "quantisation": {"f": 24, "bound": 2**27 - 1}}
    scenario.create(**below)
    at = {**below, "id": "t2", "quantisation": {"f": 24, "bound": 2**27}}
    scenario.refused("FL-TASK-OVERFLOW", ORG1, "tasks:Create", specification(**at))
    three = {**below, "id": "t2", "k": 3, "max_examples": 2**36 // 2}
    scenario.refused("FL-TASK-OVERFLOW", ORG1, "tasks:Create", specification(**three))


@pytest.mark.parametrize(("k", "min_updates"), [(4, 1), (2, 3), (3, 4)])
def test_more_updates_than_selected_or_more_selected_than_trainers_are_refused(scenario, k, min_updates):
    spec = specification(k=k, min_updates=min_updates)
    scenario.refused("FL-TASK-SPEC", ORG1, "tasks:Create", spec)


def test_a_budget_that_nobody_could_earn_is_refused(scenario):
    spec = specification(scoring={"rule": "none"}, budget=1)
    scenario.refused("FL-TASK-SPEC", ORG1, "tasks:Create", spec, {"inputs": []})


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "T1"},
        {"id": "-t"},
        {"id": "t" * 64},
        {"id": "t\n"},
        {"id": ""},
        {"id": 1},
        {"trainers": []},
        {"trainers": [ORG1, ORG1]},
        {"trainers": "Org1MSP"},
        {"trainers": ["a/b"]},
        {"trainers": [f"O{i}" for i in range(1025)]},
        {"q": 0},
        {"q": True},
        {"q": "2"},
        {"k": 0},
        {"min_updates": 0},
        {"rounds": 0},
        {"rounds": 1_000_001},
        {"patience_s": 0},
        {"max_examples": 0},
        {"budget": -1},
        {"horizon_rounds": 0},
        {"schema": 2},
        {"model__kind": "Keras"},
        {"model__architecture": ""},
        {"model__architecture": "x" * (1024 * 1024 + 1)},
        {"model__loss": "a loss"},
        {"model__initial": "AB" * 32},
        {"model__initial": "ab" * 31},
        {"model__size": 0},
        {"training__learning_rate": "0"},
        {"training__learning_rate": "0.000"},
        {"training__learning_rate": "1e-3"},
        {"training__learning_rate": ".5"},
        {"training__learning_rate": "\uff11"},
        {"training__learning_rate": 1},
        {"training__epochs": 0},
        {"training__batch_size": 0},
        {"server__step": "fedsgd"},
        {"server__learning_rate": "-1"},
        {"quantisation__f": 53},
        {"quantisation__f": -1},
        {"quantisation__bound": 0},
        {"quantisation__bound": 2**31},
        {"aggregation__rule": "mean"},
        {"scoring__rule": "shapley"},
        {"scoring__cap_percent": 99},
    ],
)
def test_a_value_out_of_its_form_is_refused(scenario, changes):
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "tasks:Create", specification(**changes))


@pytest.mark.parametrize("part", ["", "model", "training", "server", "quantisation", "aggregation", "scoring"])
def test_a_missing_or_surplus_field_is_refused_in_every_part(scenario, part):
    spec = specification()
    place = spec[part] if part else spec
    for field in list(place):
        if field == "cap_percent":
            continue
        value = place.pop(field)
        scenario.refused("FL-JSON-FIELD", ORG1, "tasks:Create", spec)
        place[field] = value
    place["surplus"] = 1
    scenario.refused("FL-JSON-FIELD", ORG1, "tasks:Create", spec)


def test_validators_are_of_the_consortium(scenario):
    scenario.call(ORG4, "participants:Register", {"name": "outside"})
    spec = specification(validators=[ORG1, ORG2, ORG4])
    scenario.refused("FL-CONSORTIUM-OUTSIDE", ORG1, "tasks:Create", spec)


def test_a_trainer_outside_the_consortium_may_take_part(scenario):
    scenario.call(ORG4, "participants:Register", {"name": "outside"})
    assert scenario.create(trainers=[ORG1, ORG2, ORG4])["trainers"] == [ORG1, ORG2, ORG4]


def test_every_trainer_and_validator_is_registered_and_active(scenario):
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG1, "tasks:Create", specification(trainers=[ORG1, ORG2, ORG4]))
    scenario.suspend(ORG3)
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG1, "tasks:Create", specification())


def test_without_a_consortium_there_is_no_task():
    scenario = Scenario()
    fresh = Scenario().ledger
    fresh._committed = {key: value for key, value in scenario.ledger._committed.items() if key != "consortium"}
    scenario.ledger = fresh
    scenario.refused("FL-CONSORTIUM-UNKNOWN", ORG1, "tasks:Create", specification())


def test_only_a_coordinator_creates_tasks(scenario):
    scenario.refused("FL-CALLER-ROLE", caller(ORG1, "trainer,admin"), "tasks:Create", specification())


def test_the_budget_is_locked_and_the_change_returns(scenario):
    inputs = [scenario.mint(ORG1, 70, "a"), scenario.mint(ORG1, 50, "b")]
    scenario.call(ORG1, "tasks:Create", specification(budget=100), {"inputs": inputs})
    assert (scenario.balance(ORG1), scenario.escrow()) == (20, 100)
    assert scenario.read("tokens:Entries", ORG1)[0]["cause"] == "task/t1"
    assert scenario.all_tokens() == (120, 120)


def test_a_budget_that_the_inputs_do_not_cover_is_refused(scenario):
    entry = scenario.mint(ORG1, 99)
    spec = specification(budget=100)
    scenario.refused("FL-TOKEN-FUNDS", ORG1, "tasks:Create", spec, {"inputs": [entry]})
    scenario.refused("FL-TOKEN-FUNDS", ORG1, "tasks:Create", spec)
    scenario.refused("FL-TOKEN-INPUT", ORG2, "tasks:Create", spec, {"inputs": [entry]})


def test_status_answers_everything_a_participant_needs(scenario):
    scenario.create(budget=20)
    scores = dict.fromkeys(scenario.organisations, 1)
    scenario.play(1, scores=scores)
    scenario.open(ORG2, 1, scores)
    scenario.vote("settle", 1, 1, ORG3)
    scenario.vote("close", 2, 0, ORG1, ORG3)
    scenario.vote("abort", 2, 1, ORG1)
    scenario.submit(ORG1, 2)
    status = scenario.read("tasks:Status", TASK)
    assert (status["task"]["id"], status["head"]["round"]) == (TASK, 2)
    assert (status["round"]["number"], status["round"]["status"], status["round"]["attempt"]) == (2, "open", 0)
    assert status["submitted"] == [ORG1]
    assert status["votes"] == {"abort": {"1": [ORG1]}, "close": {"0": [ORG1, ORG3]}}
    (unsettled,) = status["unsettled"]
    assert unsettled["round"]["number"] == 1
    assert list(unsettled["attestations"]) == [ORG1, ORG2, ORG3]
    assert list(unsettled["openings"]) == [ORG2]
    assert unsettled["settle_votes"] == [ORG3]

    scenario.submit(ORG2, 2)
    scenario.submit(ORG3, 2)
    scenario.reveal(ORG3, 2)
    status = scenario.read("tasks:Status", TASK)
    assert (status["round"]["status"], status["round"]["attempt"]) == ("sealed", 1)
    assert status["round"]["set"] == [ORG1, ORG2, ORG3]
    opening = scenario.opening_of(ORG3, 2)
    del opening["nonce"]
    assert status["reveals"] == {ORG3: opening}


@pytest.mark.parametrize("function", ["tasks:Read", "tasks:Status", "rounds:List", "models:Latest", "scores:List"])
def test_a_task_that_does_not_exist_is_refused(scenario, function):
    scenario.refused("FL-TASK-UNKNOWN", ORG1, function, "nothing")


def test_a_model_that_is_not_committed_is_refused(scenario):
    scenario.create()
    scenario.refused("FL-MODEL-UNKNOWN", ORG1, "models:Read", TASK, 1)
    scenario.refused("FL-TASK-UNKNOWN", ORG1, "models:Read", "nothing", 0)
