"""Certificates that do not come as far as the rules: no function can be called with them, by no gateway."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fabric_fl.devnet.ca.authority import CertificateAuthority, certificate_pem, subject_name
from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import EndorseError, EvaluateError, connect
from fabric_fl.testing import ALL_ROLES, Network
from fl_chaincode.functions import FUNCTIONS


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(1) as network:
        yield network


def enrolled(network: Network, name: str) -> tuple[CAClient, SigningIdentity, SigningIdentity]:
    """Return the organisation's CA, its registrar, and somebody new with every role."""
    profile = ConnectionProfile.load(network.organization("org1"))
    client = CAClient(profile.authority, profile.msp_id)
    registrar = client.enroll(*profile.authority.registrar)
    return client, registrar, client.enroll(name, client.register(registrar, name, attributes=ALL_ROLES))


def expired(network: Network) -> SigningIdentity:
    authority = CertificateAuthority.load(network.directory / "devnet" / "organizations" / "org1" / "ca")
    key = ec.generate_private_key(ec.SECP256R1())
    now, minute = datetime.datetime.now(datetime.UTC), datetime.timedelta(minutes=1)
    issued = authority.issue(
        key.public_key(),
        subject_name("long-gone", ("client",)),
        attributes={"hf.EnrollmentID": "long-gone", "hf.Type": "client", "hf.Affiliation": ""} | ALL_ROLES,
        not_before=now - 4 * minute,
        not_after=now - minute,
    )
    return SigningIdentity(Identity("Org1MSP", certificate_pem(issued)), key)


def refused_everywhere(network: Network, identity: SigningIdentity) -> None:
    with connect(network.organization("org1"), identity=identity) as gateway:
        contract = gateway.network(network.channel).contract(network.chaincode)
        for name, entry in FUNCTIONS.items():
            arguments = ["x"] * len(entry.arguments)
            with pytest.raises(EvaluateError) as answer:
                contract.evaluate(name, *arguments)
            with pytest.raises(EndorseError) as answers:
                contract.submit(name, *arguments)
            for error in (answer.value, answers.value):
                assert error.code in ("FL-IDENTITY-REFUSED", "FL-IDENTITY-EXPIRED"), f"{name}: {error}"


def test_a_revoked_certificate_calls_nothing(network):
    client, registrar, somebody = enrolled(network, "leaver")
    with connect(network.organization("org1"), identity=somebody) as gateway:
        contract = gateway.network(network.channel).contract(network.chaincode)
        contract.submit("consortium:Init")
    client.revoke(registrar, certificate=somebody.identity.certificate)
    refused_everywhere(network, somebody)


def test_an_expired_certificate_calls_nothing(network):
    refused_everywhere(network, expired(network))
