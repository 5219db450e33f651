"""Consortium and participants."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, Scenario, caller

from fl_chaincode.memory import MemoryLedger


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def empty(*consortium: str) -> Scenario:
    scenario = Scenario()
    scenario.ledger = MemoryLedger(consortium)
    return scenario


def test_init_writes_the_configured_organisations_in_sorted_order():
    scenario = empty(ORG3, ORG1, ORG2)
    assert scenario.call(ORG2, "consortium:Init") == {"organisations": [ORG1, ORG2, ORG3], "changes": 0, "schema": 1}
    assert scenario.read("consortium:Read")["organisations"] == [ORG1, ORG2, ORG3]


def test_init_from_the_same_list_in_another_order_writes_nothing(scenario):
    scenario.ledger.consortium = (ORG2, ORG3, ORG1)
    assert scenario.call(ORG3, "consortium:Init")["organisations"] == [ORG1, ORG2, ORG3]
    assert not scenario.wrote


def test_init_from_another_list_is_refused_for_ever(scenario):
    scenario.ledger.consortium = (ORG1, ORG2)
    scenario.refused("FL-CONFLICT", ORG1, "consortium:Init")


def test_init_by_an_organisation_outside_the_list_is_refused():
    empty(ORG1, ORG2).refused("FL-CONSORTIUM-OUTSIDE", ORG3, "consortium:Init")


@pytest.mark.parametrize("consortium", [(), (ORG1, ORG1), ("",), (ORG1, "a/b"), (ORG1, " Org2MSP")])
def test_init_without_a_valid_list_is_refused(consortium):
    empty(*consortium).refused("FL-CONSORTIUM-UNCONFIGURED", ORG1, "consortium:Init")


def test_reading_a_consortium_that_is_not_written_is_refused():
    empty(ORG1).refused("FL-CONSORTIUM-UNKNOWN", ORG1, "consortium:Read")


def test_registering_records_the_caller_and_the_roles_of_its_certificate(scenario):
    answer = scenario.call(caller("HospitalMSP", "trainer,admin"), "participants:Register", {"name": "Hôpital"})
    assert answer == {
        "schema": 1,
        "msp_id": "HospitalMSP",
        "name": "Hôpital",
        "description": "",
        "roles": ["admin", "trainer"],
        "status": "active",
        "suspended_by": None,
    }
    assert scenario.read("participants:Read", "HospitalMSP") == answer


def test_registering_again_with_the_same_profile_writes_nothing(scenario):
    scenario.call(ORG1, "participants:Register", {"name": ORG1, "description": ""})
    assert not scenario.wrote


def test_registering_again_replaces_the_profile_and_keeps_the_status(scenario):
    scenario.suspend(ORG1)
    answer = scenario.call(ORG1, "participants:Register", {"name": "New", "description": "moved"})
    assert (answer["name"], answer["description"], answer["status"]) == ("New", "moved", "suspended")


def test_the_list_is_in_the_order_of_the_ids(scenario):
    scenario.call("AMSP", "participants:Register", {"name": "first"})
    assert [one["msp_id"] for one in scenario.read("participants:List")] == ["AMSP", ORG1, ORG2, ORG3]


def test_reading_an_organisation_that_is_not_registered_is_refused(scenario):
    scenario.refused("FL-PARTICIPANT-UNKNOWN", ORG1, "participants:Read", "NobodyMSP")


@pytest.mark.parametrize(
    "profile",
    [{"name": ""}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": "a\u2028b"}, {"name": 1}, {"name": None}],
)
def test_a_name_that_is_no_line_of_text_is_refused(scenario, profile):
    scenario.refused("FL-ARGUMENT-INVALID", ORG1, "participants:Register", profile)


@pytest.mark.parametrize("profile", ["{}", '{"name":"a","msp_id":"Org2MSP"}', "[]", '"a"', "null"])
def test_a_profile_with_other_fields_is_refused(scenario, profile):
    scenario.refused("FL-JSON-FIELD", ORG1, "participants:Register", profile)
