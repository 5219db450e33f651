"""The SDK's CA client, on devnet's CA and on Fabric's own: the same calls, the same answers."""

import contextlib
import datetime
import logging
import socket
import sys
import threading

import pytest
from cryptography import x509
from devnet_ca_http import REGISTRAR
from devnet_ca_servers import authority, devnet_ca, fabric_ca, free_port

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.ca import CAClient, CAError, CAMissing, CAUnavailable
from fabric_fl.fabric.profile import Authority

pytest.importorskip("hfc.fabric_ca", reason="fabric-sdk-py is not installed")

ORG = Organization.create("org1", "Org1MSP")


@pytest.fixture(scope="module", params=["devnet", pytest.param("fabric", marks=pytest.mark.fabric)])
def where(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "devnet":
        with devnet_ca(ORG, folder) as (_, found):
            yield found
    else:
        with fabric_ca(ORG, folder) as found:
            yield found


@pytest.fixture(scope="module")
def client(where):
    return CAClient(where, "Org1MSP")


@pytest.fixture(scope="module")
def registrar(client):
    return client.enroll(*REGISTRAR)


def test_the_ca_shows_its_certificate(client):
    assert x509.load_pem_x509_certificate(client.ca_certificates()) == ORG.ca.certificate


def test_an_enrolled_identity_is_a_member_that_signs(registrar):
    ORG.msp().validate(registrar.identity)
    assert (registrar.identity.common_name, registrar.identity.role) == ("admin", "client")
    assert registrar.identity.verify(b"message", registrar.sign(b"message"))


def test_registered_attributes_and_affiliation_are_in_the_certificate(client, registrar):
    attributes = {"fl.roles": "trainer,validator"}
    secret = client.register(registrar, "alice", affiliation="org1.department1", attributes=attributes)
    alice = client.enroll("alice", secret)
    assert alice.identity.attributes == {
        "fl.roles": "trainer,validator",
        "hf.EnrollmentID": "alice",
        "hf.Type": "client",
        "hf.Affiliation": "org1.department1",
    }
    assert sorted(alice.identity.organizational_units) == ["client", "department1", "org1"]
    ORG.msp().validate(alice.identity)


def test_a_certificate_carries_only_the_attributes_that_were_asked_for(client, registrar):
    secret = client.register(registrar, "bob", secret="bobpw", role="peer", attributes={"a": "1", "b": "2"})
    assert secret == "bobpw"
    bob = client.enroll("bob", secret, attributes=["b"])
    assert (bob.identity.role, bob.identity.attributes) == ("peer", {"b": "2"})
    again = client.reenroll(bob, attributes=["a"])
    assert again.identity.attributes == {"a": "1"}
    assert again.identity.public_key != bob.identity.public_key
    ORG.msp().validate(again.identity)
    with pytest.raises(CAError, match="required attributes are missing"):
        client.enroll("bob", secret, attributes=["none"])


def test_a_tls_certificate_has_its_hosts_and_serves(client, registrar):
    secret = client.register(registrar, "server", role="peer")
    certificate = client.enroll("server", secret, profile="tls", hosts=["peer9.org1"]).identity.certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["peer9.org1"]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.SERVER_AUTH in usages


def test_a_secret_works_as_often_as_was_registered(client, registrar):
    secret = client.register(registrar, "once", max_enrollments=1)
    client.enroll("once", secret)
    with pytest.raises(CAError) as caught:
        client.enroll("once", secret)
    assert (caught.value.code, caught.value.number) == ("FL-CA-AUTHENTICATION", 20)


def test_one_certificate_can_be_revoked_and_the_identity_goes_on(client, registrar):
    secret = client.register(registrar, "carol")
    lost, kept = client.enroll("carol", secret), client.enroll("carol", secret)
    revocation = client.revoke(registrar, certificate=lost.identity.certificate, reason="keycompromise", crl=True)
    assert [serial for serial, _ in revocation.certificates] == [f"{lost.identity.certificate.serial_number:x}"]
    msp = ORG.msp(crls=[x509.load_pem_x509_crl(revocation.crl)])
    assert msp.satisfies(kept.identity, "client")
    assert not msp.satisfies(lost.identity, "client")
    client.reenroll(kept)
    with pytest.raises(CAError, match="FL-CA-AUTHENTICATION"):
        client.reenroll(lost)
    with pytest.raises(CAError, match="was already revoked"):
        client.revoke(registrar, certificate=lost.identity.certificate)


def test_an_identity_is_revoked_with_all_its_certificates(client, registrar):
    secret = client.register(registrar, "dave")
    certificates = [client.enroll("dave", secret).identity.certificate for _ in range(2)]
    revocation = client.revoke(registrar, "dave")
    assert {int(serial, 16) for serial, _ in revocation.certificates} == {each.serial_number for each in certificates}
    assert revocation.crl is None
    with pytest.raises(CAError, match="FL-CA-AUTHENTICATION"):
        client.enroll("dave", secret)


def test_the_revocation_list_can_be_limited_in_time(client, registrar):
    client.enroll("erin", client.register(registrar, "erin"))
    serial = int(client.revoke(registrar, "erin").certificates[0][0], 16)
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)

    def listed(**limits):
        crl = x509.load_pem_x509_crl(client.generate_crl(registrar, **limits))
        assert crl.is_signature_valid(ORG.ca.certificate.public_key())
        return crl.get_revoked_certificate_by_serial_number(serial) is not None

    assert listed()
    assert listed(revoked_after=now - hour, revoked_before=now + hour)
    assert not listed(revoked_after=now + hour)
    assert not listed(revoked_before=now - hour)
    with pytest.raises(ValueError, match="has no time zone"):
        listed(revoked_after=datetime.datetime(2030, 1, 1))
    with pytest.raises(CAError, match="must not be a timestamp greater"):
        listed(revoked_after=now + hour, revoked_before=now)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda client, me, _: client.enroll("admin", "wrong"), "FL-CA-AUTHENTICATION"),
        (lambda client, me, _: client.enroll("nobody", "secret"), "FL-CA-AUTHENTICATION"),
        (lambda client, me, _: client.register(me, "admin"), "FL-CA-REGISTERED"),
        (lambda client, me, ordinary: client.register(ordinary, "x"), "FL-CA-AUTHORIZATION"),
        (lambda client, me, ordinary: client.revoke(ordinary, "admin"), "FL-CA-AUTHORIZATION"),
        (lambda client, me, ordinary: client.generate_crl(ordinary), "FL-CA-AUTHORIZATION"),
        (lambda client, me, _: client.revoke(me, "nobody"), "FL-CA-REFUSED"),
        (lambda client, me, _: client.register(me, "y", attributes={"hf.EnrollmentID": "z"}), "FL-CA-AUTHORIZATION"),
        (lambda client, me, _: client.register(me, "y", attributes={"hf.Unknown": "z"}), "FL-CA-AUTHORIZATION"),
        (lambda client, me, _: client.register(me, "y", affiliation="nowhere"), "FL-CA-AUTHORIZATION"),
        (lambda client, me, _: client.register(me, "y", max_enrollments=-2), "FL-CA-REFUSED"),
    ],
)
def test_a_refusal_has_a_code_and_a_remedy(client, registrar, ordinary, call, code):
    with pytest.raises(CAError) as caught:
        call(client, registrar, ordinary)
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.fixture(scope="module")
def ordinary(client, registrar):
    return client.enroll("ordinary", client.register(registrar, "ordinary"))


def test_a_stranger_with_a_certificate_of_the_same_name_is_not_let_in(client):
    stranger = Organization.create("org1", "Org1MSP")
    with pytest.raises(CAError) as caught:
        client.register(stranger.admin, "mallory")
    assert caught.value.number == 20


def test_another_name_for_the_ca_is_not_answered(where):
    wrong = CAClient(Authority("ca", where.url, "ca-other", where.tls_ca_certs), "Org1MSP")
    with pytest.raises(CAError, match="CA 'ca-other' does not exist"):
        wrong.enroll(*REGISTRAR)


def test_a_ca_whose_roots_are_others_is_unavailable(where):
    roots = Organization.create("org2", "Org2MSP").tls_ca.certificate_pem
    with pytest.raises(CAUnavailable, match="TLS certificate is not accepted"):
        CAClient(Authority("ca", where.url, "", roots), "Org1MSP").enroll(*REGISTRAR)


def test_nothing_secret_is_logged_even_at_debug(client, registrar, caplog):
    with caplog.at_level(logging.DEBUG):
        client.enroll("frank", client.register(registrar, "frank", secret="hush-hush"))
    assert "hush-hush" not in caplog.text


def test_a_ca_that_is_not_there_or_does_not_answer_is_unavailable_in_time():
    with pytest.raises(CAUnavailable, match="connection refused or lost") as caught:
        CAClient(authority(ORG, free_port()), "Org1MSP").ca_certificates()
    assert (caught.value.code, bool(caught.value.remedy)) == ("FL-CA-UNAVAILABLE", True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_ca = authority(ORG, silent.getsockname()[1])
        with pytest.raises(CAUnavailable, match="no answer in time"):
            CAClient(silent_ca, "Org1MSP", timeout=0.3).enroll(*REGISTRAR)


@pytest.mark.parametrize("answer", [b"hello", b"[]", b"{}", b'{"success":false}', b'{"success":false,"errors":[1]}'])
def test_something_else_on_the_port_is_told_apart_from_a_refusal(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once, args=(server, answer))
        thread.start()
        client = CAClient(Authority("ca", f"http://127.0.0.1:{server.getsockname()[1]}", "", None), "Org1MSP")
        with pytest.raises(CAUnavailable, match="does not answer like a Fabric CA"):
            client.enroll(*REGISTRAR)
        thread.join(5)


def answer_once(server, answer):
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.settimeout(2)
        while b"certificate_request" not in connection.recv(65536):
            pass
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + answer)


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hfc.fabric_ca.caservice", None)
    with pytest.raises(CAMissing) as caught:
        CAClient(authority(ORG, 1), "Org1MSP")
    assert "fabric-fl[ca]" in caught.value.remedy
