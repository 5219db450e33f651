"""Callers: what a certificate says."""

import datetime
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier
from fabric_protos.msp import identities_pb2

from fl_chaincode.caller import Caller

ATTRIBUTES = ObjectIdentifier("1.2.3.4.5.6.7.8.1")


def certificate(*units: str, attributes: bytes | None = None, name: str = "alice") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
        + [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    start = datetime.datetime(2024, 1, 1)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, start, start + datetime.timedelta(days=1))
    if attributes is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(ATTRIBUTES, attributes), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_creator_is_read_with_its_organisation_name_unit_and_roles():
    attributes = json.dumps({"attrs": {"fl.roles": "validator,trainer", "hf.Type": "client"}}).encode()
    pem = certificate("client", "org1", "department1", attributes=attributes)
    creator = identities_pb2.SerializedIdentity(mspid="Org1MSP", id_bytes=pem).SerializeToString()
    caller = Caller.from_creator(creator)
    assert (caller.msp_id, caller.common_name, caller.role) == ("Org1MSP", "alice", "client")
    assert caller.roles == ("trainer", "validator")
    assert caller.attributes["hf.Type"] == "client"


def test_a_certificate_without_attributes_has_no_roles():
    caller = Caller.from_certificate("Org1MSP", certificate("peer"))
    assert (caller.role, caller.roles) == ("peer", ())


def test_a_certificate_without_a_node_unit_has_none():
    assert Caller.from_certificate("Org1MSP", certificate("org1")).role == ""


def test_only_whole_known_words_are_roles():
    assert Caller("M", attributes={"fl.roles": " admin , Trainer,validators,coordinator"}).roles == (
        "admin",
        "coordinator",
    )


def test_expiry_is_not_judged_by_the_contract():
    assert Caller.from_certificate("Org1MSP", certificate("client")).role == "client"  # it ended in January 2024


@pytest.mark.parametrize("attributes", [b"", b"x", b"\xff", b"[]", b'{"attrs":[]}', b'{"attrs":{"fl.roles":1}}'])
def test_malformed_attributes_are_an_error(attributes):
    with pytest.raises(ValueError, match="malformed"):
        Caller.from_certificate("Org1MSP", certificate("client", attributes=attributes))


@pytest.mark.parametrize("creator", [b"", b"\xff\xff", b"\n\x07Org1MSP\x12\x01x"])
def test_what_is_no_x509_identity_is_an_error(creator):
    with pytest.raises(ValueError, match="creator is no"):
        Caller.from_creator(creator)
