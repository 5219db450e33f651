"""Server steps and robust rules in a task's specification, and how a rule's choice counts in an attestation."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, specification

ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.000001"}
DECAYS = {"beta_1": "0.9", "beta_2": "0.99"}

STEPS = [
    {"step": "fedavg", "learning_rate": "1"},
    {"step": "fedavgm", "learning_rate": "1", "momentum": "0.9"},
    {"step": "fedavgm", "learning_rate": "1", "momentum": "0"},
    {"step": "fedadagrad", "learning_rate": "0.1", **ADAPTIVE},
    {"step": "fedadagrad", "learning_rate": "0.1", "epsilon": "0", "initial_preconditioner_value": "0.1"},
    {"step": "fedadagrad", "learning_rate": "0.1", "epsilon": "0.1", "initial_preconditioner_value": "0"},
    {"step": "fedadam", "learning_rate": "0.01", **DECAYS, **ADAPTIVE},
    {"step": "fedadam", "learning_rate": "0.01", "beta_1": "0", "beta_2": "0.0", **ADAPTIVE},
    {"step": "fedyogi", "learning_rate": "0.01", **DECAYS, **ADAPTIVE},
]
ADAM = STEPS[6]

BAD_STEPS = [
    ("FL-ARGUMENT-INVALID", {**ADAM, "step": "FedAdam"}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "beta_1": "1"}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "beta_2": "10.5"}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "beta_2": "-0.5"}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "beta_2": 0}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "epsilon": "0.000"}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "epsilon": "1e-7"}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "initial_preconditioner_value": ""}),
    ("FL-ARGUMENT-INVALID", {**ADAM, "learning_rate": "0"}),
    ("FL-ARGUMENT-INVALID", {**STEPS[4], "initial_preconditioner_value": "0"}),
    ("FL-ARGUMENT-INVALID", {**STEPS[1], "momentum": "1.0"}),
    ("FL-ARGUMENT-INVALID", {**STEPS[1], "momentum": None}),
    ("FL-JSON-FIELD", {**STEPS[0], "momentum": "0.9"}),
    ("FL-JSON-FIELD", {**STEPS[0], "momentum": None}),
    ("FL-JSON-FIELD", {**STEPS[3], "beta_1": "0.9"}),
    ("FL-JSON-FIELD", {**ADAM, "bias_correction": "1"}),
]

RULES = [
    {"rule": "none"},
    {"rule": "median"},
    {"rule": "norm-bound", "norm": "0.5"},
    {"rule": "trimmed-mean", "byzantine": 1},
    {"rule": "krum", "byzantine": 1},
    {"rule": "multi-krum", "byzantine": 1},
]
BAD_RULES = [
    ("FL-ARGUMENT-INVALID", {"rule": "mean"}),
    ("FL-ARGUMENT-INVALID", {"rule": "norm-bound", "norm": "0"}),
    ("FL-ARGUMENT-INVALID", {"rule": "norm-bound", "norm": 1}),
    ("FL-ARGUMENT-INVALID", {"rule": "krum", "byzantine": 0}),
    ("FL-ARGUMENT-INVALID", {"rule": "krum", "byzantine": "1"}),
    ("FL-ARGUMENT-INVALID", {"rule": "krum", "byzantine": True}),
    ("FL-ARGUMENT-INVALID", {"rule": "trimmed-mean", "byzantine": -1}),
    ("FL-TASK-SPEC", {"rule": "trimmed-mean", "byzantine": 2}),
    ("FL-TASK-SPEC", {"rule": "multi-krum", "byzantine": 1024}),
    ("FL-JSON-FIELD", {"rule": "krum"}),
    ("FL-JSON-FIELD", {"rule": "none", "byzantine": 1}),
    ("FL-JSON-FIELD", {"rule": "median", "norm": "1"}),
    ("FL-JSON-FIELD", {"rule": "norm-bound"}),
]


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


@pytest.mark.parametrize("server", STEPS)
def test_a_server_step_is_stored_as_it_was_given(scenario, server):
    assert scenario.create(server=server)["server"] == server
    assert scenario.read("tasks:Read", TASK)["server"] == server


@pytest.mark.parametrize(("code", "server"), BAD_STEPS)
def test_a_server_step_with_other_parameters_than_it_has_is_refused(scenario, code, server):
    scenario.refused(code, ORG1, "tasks:Create", specification(server=server))


@pytest.mark.parametrize("rule", RULES)
def test_a_robust_rule_is_stored_as_it_was_given(scenario, rule):
    assert scenario.create(aggregation=rule, min_updates=3)["aggregation"] == rule
    assert scenario.read("tasks:Read", TASK)["aggregation"] == rule


@pytest.mark.parametrize(("code", "rule"), BAD_RULES)
def test_a_robust_rule_with_other_parameters_than_it_has_is_refused(scenario, code, rule):
    scenario.refused(code, ORG1, "tasks:Create", specification(aggregation=rule, min_updates=3))


def test_liars_are_a_minority_of_the_fewest_updates_that_a_round_may_have(scenario):
    rule = {"rule": "krum", "byzantine": 1}
    scenario.refused("FL-TASK-SPEC", ORG1, "tasks:Create", specification(aggregation=rule, min_updates=2))


OUTVOTED = {ORG2: "FL-RULE-DISTANCE", ORG3: "FL-RULE-DISTANCE"}


def sealed(rule) -> Scenario:
    scenario = Scenario()
    scenario.create(aggregation=rule, min_updates=3, scoring={"rule": "none"})
    scenario.submit_and_reveal(1)
    return scenario


def test_krum_may_choose_one_of_enough_updates_and_the_round_is_committed():
    scenario = sealed({"rule": "krum", "byzantine": 1})
    for who in (ORG1, ORG2):
        claim = scenario.claim(who, 1, included=[ORG1], refused=OUTVOTED)
        scenario.call(who, "attestations:Submit", TASK, 1, claim)
    assert scenario.call(ORG3, "rounds:Commit", TASK, 1, scenario.aggregate(1, [ORG1]))["status"] == "committed"
    model = scenario.read("models:Read", TASK, 1)
    assert (model["included"], model["refused"]) == ([ORG1], OUTVOTED)


def test_an_update_that_krum_leaves_out_is_served_too():
    scenario = sealed({"rule": "krum", "byzantine": 1})
    claim = scenario.claim(ORG1, 1, included=[ORG1], refused=OUTVOTED, fetched=[ORG1, ORG2])
    scenario.refused("FL-ATTESTATION-FETCHED", ORG1, "attestations:Submit", TASK, 1, claim)


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ({"rule": "none"}, OUTVOTED),
        ({"rule": "median"}, OUTVOTED),
        ({"rule": "krum", "byzantine": 1}, {**OUTVOTED, ORG3: "FL-BLOB-BOUND"}),
        ({"rule": "krum", "byzantine": 1}, {ORG2: "FL-RULE-DISTANCE"}),
        ({"rule": "norm-bound", "norm": "1"}, {ORG2: "FL-RULE-NORM", ORG3: "FL-RULE-NORM"}),
    ],
)
def test_only_what_krum_has_compared_counts_beside_what_is_included(rule, refused):
    scenario = sealed(rule)
    claim = scenario.claim(ORG1, 1, included=[ORG1], refused=refused)
    scenario.refused("FL-ROUND-MIN-UPDATES", ORG1, "attestations:Submit", TASK, 1, claim)


def test_a_choice_of_none_is_refused():
    scenario = sealed({"rule": "krum", "byzantine": 1})
    claim = scenario.claim(ORG1, 1, included=[], refused={ORG1: "FL-RULE-DISTANCE", **OUTVOTED})
    scenario.refused("FL-ROUND-MIN-UPDATES", ORG1, "attestations:Submit", TASK, 1, claim)
