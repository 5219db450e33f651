"""Participants: changing the profile, suspension and its end, withdrawal, renewed certificates."""

import datetime

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, caller, specification
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from fl_chaincode.caller import Caller
from fl_chaincode.canonical import H
from fl_chaincode.hashes import update_commitment


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def order(kind: str, subject: str, request: str = "m") -> dict[str, str]:
    return {"request_id": request, "kind": kind, "subject": subject}


def test_an_update_changes_what_it_names_and_nothing_else(scenario):
    scenario.call(ORG1, "participants:Update", {"description": "a hospital"})
    answer = scenario.call(ORG1, "participants:Update", {"name": "Charité"})
    assert (answer["name"], answer["description"], answer["status"]) == ("Charité", "a hospital", "active")
    scenario.call(ORG1, "participants:Update", {})
    assert not scenario.wrote


def test_an_update_records_the_roles_of_the_certificate_that_made_it(scenario):
    answer = scenario.call(caller(ORG1, "admin,trainer"), "participants:Update", {"name": ORG1})
    assert answer["roles"] == ["admin", "trainer"]


def test_an_organisation_suspends_and_reinstates_itself(scenario):
    scenario.create()
    answer = scenario.call(ORG1, "participants:Suspend")
    assert (answer["status"], answer["suspended_by"]) == ("suspended", "organisation")
    scenario.call(ORG1, "participants:Suspend")
    assert not scenario.wrote
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG1, "updates:Submit", TASK, 1, H("c"))
    answer = scenario.call(ORG1, "participants:Reinstate")
    assert (answer["status"], answer["suspended_by"]) == ("active", None)
    scenario.submit(ORG1, 1)


def test_whom_the_consortium_suspended_it_alone_reinstates(scenario):
    scenario.carry("suspend", ORG3, "s")
    assert scenario.read("participants:Read", ORG3)["suspended_by"] == "consortium"
    scenario.refused("FL-PARTICIPANT-STATUS", ORG3, "participants:Reinstate")
    scenario.call(ORG3, "participants:Suspend")  # does not make the suspension its own
    assert not scenario.wrote
    scenario.refused("FL-PARTICIPANT-STATUS", ORG3, "participants:Reinstate")
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG3, "consortium:Vote", order("reinstate", ORG3, "r"))
    scenario.carry("reinstate", ORG3, "r")
    assert scenario.read("participants:Read", ORG3)["status"] == "active"


def test_the_consortium_takes_over_a_suspension_and_may_end_any(scenario):
    scenario.call(ORG3, "participants:Suspend")
    scenario.carry("suspend", ORG3, "s")
    scenario.refused("FL-PARTICIPANT-STATUS", ORG3, "participants:Reinstate")
    scenario.carry("reinstate", ORG3, "r")
    scenario.call(ORG3, "participants:Suspend")
    scenario.carry("reinstate", ORG3, "r2")
    assert scenario.read("participants:Read", ORG3)["status"] == "active"


def test_a_withdrawal_is_final_for_everybody(scenario):
    scenario.call(ORG3, "participants:Suspend")
    answer = scenario.call(ORG3, "participants:Withdraw")
    assert (answer["status"], answer["suspended_by"]) == ("withdrawn", None)
    scenario.call(ORG3, "participants:Withdraw")
    assert not scenario.wrote
    for function in ("participants:Suspend", "participants:Reinstate"):
        scenario.refused("FL-PARTICIPANT-STATUS", ORG3, function)
    scenario.refused("FL-PARTICIPANT-STATUS", ORG3, "participants:Update", {"name": "again"})
    assert scenario.call(ORG3, "participants:Register", {"name": "again"})["status"] == "withdrawn"
    for kind in ("suspend", "reinstate"):
        scenario.call(ORG1, "consortium:Vote", order(kind, ORG3, kind))
        scenario.refused("FL-PARTICIPANT-STATUS", ORG2, "consortium:Vote", order(kind, ORG3, kind))
    scenario.refused("FL-PARTICIPANT-INACTIVE", ORG1, "tasks:Create", specification())


def certificate(name: str) -> Caller:
    """A client certificate of Org1MSP with a key of its own, as a Fabric CA would issue it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client"),
        ]
    )
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    attributes = b'{"attrs":{"fl.roles":"trainer,validator,admin"}}'
    issued = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=9000))
        .add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5.6.7.8.1"), attributes), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Caller.from_certificate(ORG1, issued.public_bytes(serialization.Encoding.PEM))


def test_a_renewed_certificate_with_another_key_goes_on_where_the_old_one_stopped(scenario):
    old, new = certificate("alice"), certificate("alice")
    scenario.call(old, "participants:Register", {"name": "one"})
    scenario.create()
    opening = scenario.opening_of(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.submit(ORG3, 1)
    base = scenario.round(1)["base"]
    commitment = update_commitment(TASK, 1, ORG1, base, opening["num_examples"], opening["digest"], opening["nonce"])
    scenario.call(old, "updates:Submit", TASK, 1, commitment)
    scenario.call(new, "updates:Submit", TASK, 1, commitment)
    assert not scenario.wrote
    scenario.call(new, "updates:Reveal", TASK, 1, opening)
    scenario.call(old, "rounds:Vote", TASK, 1, "close", 1)
    scenario.call(new, "rounds:Vote", TASK, 1, "close", 1)
    assert scenario.read("tasks:Status", TASK)["votes"] == {"close": {"1": [ORG1]}}
    scenario.call(new, "participants:Register", {"name": "one"})
    assert not scenario.wrote


def test_roles_come_from_the_certificate_of_the_call_not_from_the_record(scenario):
    scenario.create()
    scenario.call(caller(ORG1, "admin"), "participants:Update", {"name": ORG1})
    assert scenario.read("participants:Read", ORG1)["roles"] == ["admin"]
    scenario.submit(ORG1, 1)  # with a certificate that has the role trainer
    scenario.refused("FL-CALLER-ROLE", caller(ORG2, "admin"), "updates:Submit", TASK, 1, H("c"))
