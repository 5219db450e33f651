"""Who may do what at devnet's CA, and what it remembers."""

import base64
import datetime
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from devnet_ca_http import Client, basic, csr, organization_ca, token

from fabric_fl.devnet.ca.authority import certificate_pem, subject_name
from fabric_fl.devnet.ca.registry import Registry
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.identity import Identity, SigningIdentity

ORG = Organization.create("org1", "Org1MSP")
FULL = {"hf.Registrar.Roles": "client,peer", "hf.Registrar.Attributes": "*", "hf.Revoker": "true"}


@pytest.fixture(scope="module")
def ca():
    registry = Registry(":memory:")
    ca = organization_ca(ORG, registry)
    yield ca
    registry.close()


@pytest.fixture(scope="module")
def client(ca):
    return Client(ca)


@pytest.fixture(scope="module")
def admin(client):
    return client.enrolled("admin", "adminpw")


def register(client, registrar, name, attributes=None, **fields):
    given = [{"name": key, "value": value} for key, value in (attributes or {}).items()]
    return client.call(registrar, "POST", "register", {"id": name, "secret": "pw", "attrs": given, **fields})


@pytest.fixture(scope="module")
def limited(client, admin):
    """A registrar of clients and peers below org1."""
    assert register(client, admin, "limited", FULL, type="client", affiliation="org1").status == 201
    return client.enrolled("limited", "pw")


def test_a_registrar_registers_its_types_below_its_affiliation_and_nothing_else(client, limited):
    assert register(client, limited, "r1", type="peer", affiliation="org1.department1").status == 201
    assert register(client, limited, "r2", type="Client").status == 201
    for fields in ({"type": "admin"}, {"affiliation": "org2"}, {"affiliation": "."}, {"affiliation": "org1.none"}):
        answer = register(client, limited, "r3", **fields)
        assert (answer.status, answer.code) == (403, 71)
    # A prefix of the name is no part of the tree.
    assert register(client, limited, "r3", affiliation="org11").code == 71


def test_a_registrar_sees_and_changes_only_those_below_it(client, admin, limited):
    register(client, admin, "elsewhere", affiliation="org2")
    register(client, admin, "anadmin", type="admin", affiliation="org1")
    seen = {each["id"] for each in client.call(limited, "GET", "identities").result["identities"]}
    assert "limited" in seen
    assert not seen & {"elsewhere", "anadmin", "admin"}
    for name in ("elsewhere", "anadmin"):
        assert client.call(limited, "GET", f"identities/{name}").code == 71
        assert client.call(limited, "PUT", f"identities/{name}", {"secret": "x"}).code == 71
        assert client.call(limited, "DELETE", f"identities/{name}").code == 71
        assert client.call(limited, "POST", "revoke", {"id": name}).code == 71


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"anything": "goes"}, 201),
        ({"hf.Revoker": "true"}, 201),
        ({"hf.Revoker": "perhaps"}, 403),
        ({"hf.GenCRL": "true"}, 403),
        ({"hf.Registrar.Roles": "peer"}, 201),
        ({"hf.Registrar.Roles": "admin"}, 403),
        ({"hf.Registrar.Roles": "*"}, 403),
        ({"hf.Registrar.DelegateRoles": "peer"}, 403),
        ({"hf.Registrar.Attributes": "a,b*"}, 201),
        ({"hf.Registrar.Attributes": "hf.Revoker"}, 403),
        ({"hf.Registrar.Attributes": "hf.Revoker", "hf.Revoker": "true"}, 201),
        ({"hf.Type": "admin"}, 403),
        ({"hf.Affiliation": "org2"}, 403),
        ({"hf.Invented": "x"}, 403),
    ],
)
def test_a_registrar_gives_only_attributes_that_it_may(client, limited, attributes, status, request):
    assert register(client, limited, request.node.name, attributes).status == status


def test_who_is_no_registrar_registers_nobody_but_may_revoke_itself(client, admin):
    register(client, admin, "plain")
    plain = client.enrolled("plain", "pw")
    assert register(client, plain, "friend").code == 71
    assert client.call(plain, "GET", "identities").code == 71
    assert client.call(plain, "GET", "certificates").code == 71
    assert client.call(plain, "POST", "revoke", {"id": "admin"}).code == 71
    assert client.call(plain, "POST", "revoke", {"id": "plain"}).status == 200
    assert client.call(plain, "POST", "reenroll", {"certificate_request": csr("plain")}).code == 20


def test_a_token_is_for_one_method_one_path_and_one_body(client, admin):
    uri, body = "/api/v1/identities/admin", b"{}"
    good = token(admin, "GET", uri, body)
    assert client.request("GET", uri, body, good).status == 200
    for method, path, data in (("PUT", uri, body), ("GET", uri + "?a=1", body), ("GET", uri, b"{ }")):
        assert client.request(method, path, data, good).code == 20


def test_the_former_token_over_the_body_alone_is_accepted_too(client, admin):
    body, certificate = b"", base64.b64encode(admin.identity.certificate_pem).decode()
    signature = base64.b64encode(admin.sign(f".{certificate}".encode())).decode()
    assert client.request("GET", "/identities/admin", body, f"{certificate}.{signature}").status == 200


@pytest.mark.parametrize("header", ["", "x", ".", "a.b.c", "Basic YWRtaW46YWRtaW5wdw==", "e30=.e30="])
def test_a_malformed_token_lets_nobody_in(client, header):
    answer = client.request("GET", "/identities/admin", b"", header)
    assert (answer.status, answer.code) == (401, 20 if header else 2)


def test_a_certificate_that_the_ca_did_not_record_expired_or_is_tls_lets_nobody_in(client, ca):
    now = datetime.datetime.now(datetime.UTC)
    past = now - datetime.timedelta(minutes=1)
    subject = subject_name("admin", ("client",))
    for authority, end in ((ORG.ca, None), (ORG.ca, past), (ORG.tls_ca, None)):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority.issue(key.public_key(), subject, not_after=end)
        if authority is ORG.ca and end:
            ca.registry.add_certificate("admin", certificate)
        forged = SigningIdentity(Identity("Org1MSP", certificate_pem(certificate)), key)
        assert client.call(forged, "GET", "identities/admin").code == 20


def test_members_made_with_the_organisation_re_enrol_and_can_be_revoked(client, admin):
    answer = client.call(ORG.node, "POST", "reenroll", {"certificate_request": csr("peer0.org1")})
    again = Identity("Org1MSP", base64.b64decode(answer.result["Cert"]))
    assert (again.role, again.common_name) == ("peer", "peer0.org1")
    assert client.request("POST", "/enroll", b"{}", basic("peer0.org1", "")).code == 20
    revoked = client.call(admin, "POST", "revoke", {"id": "peer0.org1"}).result["RevokedCerts"]
    assert len(revoked) == 2


def test_ten_wrong_secrets_lock_an_identity_until_it_gets_a_new_one(client, admin):
    register(client, admin, "guessed")
    for _ in range(10):
        assert client.enroll("guessed", "wrong").code == 20
    assert client.enroll("guessed", "pw").code == 73
    assert client.call(admin, "PUT", "identities/guessed", {"secret": "new"}).status == 200
    assert client.enroll("guessed", "new").status == 201
    assert client.enroll("guessed", "pw").code == 20


def test_the_units_are_the_registrys_whatever_the_request_says(client, admin):
    register(client, admin, "sly", affiliation="org1")
    extra = {"ORGANIZATIONAL_UNIT_NAME": "admin", "ORGANIZATION_NAME": "Hospital", "COUNTRY_NAME": "CH"}
    answer = client.enroll("sly", "pw", certificate_request=csr("sly", **extra))
    identity = Identity("Org1MSP", base64.b64decode(answer.result["Cert"]))
    assert identity.organizational_units == ("client", "org1")
    subject = identity.certificate.subject
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Hospital"
    ORG.msp().validate(identity)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (lambda: csr("somebody-else"), 403, 77),
        (lambda: "no csr", 400, 31),
        (lambda: "", 400, 31),
        (lambda: csr("admin", rsa.generate_private_key(65537, 2048)), 400, 31),
        (lambda: csr("admin", ec.generate_private_key(ec.SECP521R1())), 400, 31),
        (lambda: csr("admin", extensions=(x509.BasicConstraints(ca=True, path_length=None),)), 403, 71),
        (lambda: tampered(csr("admin")), 400, 31),
        (lambda: csr("admin", ORGANIZATION_NAME="x" * 65), 400, 80),
    ],
)
def test_a_request_that_should_not_be_signed_is_not(client, request_, status, code):
    answer = client.enroll("admin", "adminpw", certificate_request=request_())
    assert (answer.status, answer.code) == (status, code)


def tampered(pem):
    der = bytearray(base64.b64decode("".join(pem.splitlines()[1:-1])))
    der[-1] ^= 1
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE REQUEST-----\n"


def test_affiliations_grow_are_renamed_and_go_with_their_identities(client, admin):
    assert client.call(admin, "POST", "affiliations", {"name": "lab.one"}).code == 60
    assert client.call(admin, "POST", "affiliations?force=true", {"name": "lab.one"}).status == 201
    assert client.call(admin, "POST", "affiliations", {"name": "lab.one"}).status == 409
    assert client.call(admin, "POST", "affiliations", {"name": "lab..two"}).status == 400
    register(client, admin, "worker", affiliation="lab.one")
    assert client.call(admin, "PUT", "affiliations/lab", {"name": "ward"}).code == 64
    renamed = client.call(admin, "PUT", "affiliations/lab?force=true", {"name": "ward"}).result
    assert renamed["affiliations"][0]["name"] == "ward.one"
    assert client.call(admin, "GET", "identities/worker").result["affiliation"] == "ward.one"
    assert client.call(admin, "GET", "affiliations/lab").code == 63
    worker = client.enrolled("worker", "pw")
    assert worker.identity.organizational_units == ("client", "ward", "one")
    assert client.call(admin, "DELETE", "affiliations/ward").code == 71
    assert client.call(admin, "DELETE", "affiliations/ward?force=true").status == 200
    assert client.call(admin, "GET", "identities/worker").code == 63
    assert client.call(worker, "POST", "reenroll", {"certificate_request": csr("worker")}).code == 20


def test_identities_are_added_changed_and_removed(client, admin):
    added = client.call(admin, "POST", "identities", {"id": "temp", "type": "peer", "max_enrollments": 3})
    assert (added.status, added.result["type"], added.result["max_enrollments"]) == (201, "peer", 3)
    assert added.result["secret"]
    changes = {"type": "client", "affiliation": "org2", "attrs": [{"name": "a", "value": "b", "ecert": True}]}
    assert client.call(admin, "PUT", "identities/temp", changes).status == 200
    temp = client.enrolled("temp", added.result["secret"])
    assert (temp.identity.role, temp.identity.attributes["a"]) == ("client", "b")
    assert temp.identity.attributes["hf.Affiliation"] == "org2"
    emptied = client.call(admin, "PUT", "identities/temp", {"attrs": [{"name": "a", "value": ""}]}).result
    assert "a" not in {each["name"] for each in emptied["attrs"]}
    assert client.call(admin, "DELETE", "identities/temp").status == 200
    assert client.call(admin, "GET", "identities/temp").code == 63
    assert client.call(admin, "DELETE", "identities/admin").code == 56


def test_certificates_are_found_by_owner_serial_and_state(client, admin):
    register(client, admin, "owner")
    first, second = (client.enrolled("owner", "pw").identity.certificate for _ in range(2))
    client.call(admin, "POST", "revoke", {"serial": f"{first.serial_number:x}", "aki": aki(first)})

    def found(query):
        answer = client.call(admin, "GET", f"certificates?{query}").result
        return [x509.load_pem_x509_certificate(each["PEM"].encode()).serial_number for each in answer["certs"]]

    assert found("id=owner") == [first.serial_number, second.serial_number]
    assert found("id=owner&notrevoked=true&notexpired=true") == [second.serial_number]
    assert found("id=owner&revoked_start=-1h&revoked_end=%2B1h") == [first.serial_number]
    assert found(f"serial={second.serial_number:x}") == [second.serial_number]
    assert found("id=owner&expired_end=-1d") == []
    for query in ("notrevoked=true&revoked_start=-1h", "expired_end=soon", "expired_end=-1y"):
        assert client.call(admin, "GET", f"certificates?{query}").code == 67


def aki(certificate):
    return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier.hex()


def test_paths_methods_and_bodies_that_are_not_served_get_an_envelope(client, admin):
    assert client.request("DELETE", "/cainfo").status == 405
    answer = client.request("GET", "/api/v1/idemix/cri")
    assert (answer.status, answer.envelope["success"]) == (404, False)
    assert "fabric-ca-server" in answer.envelope["errors"][0]["message"]
    assert client.request("POST", "/register", b"", "x.y").code == 4
    for body in (b"nonsense", b"[]", b'{"id": 1}', b"[" * 10_000):
        uri = "/api/v1/register"
        assert client.request("POST", uri, body, token(admin, "POST", uri, body)).code == 5
    assert client.request("POST", "/enroll", b"x" * (1 << 20 | 1), basic("admin", "adminpw")).status == 413
    assert client.call(admin, "GET", "identities/admin?ca=other").code == 19


def test_both_paths_answer_and_the_envelope_is_fabric_cas(client):
    short, long = (client.request("GET", path) for path in ("/cainfo", "/api/v1/cainfo"))
    assert short.body == long.body
    assert set(short.envelope) == {"result", "errors", "messages", "success"}
    assert base64.b64decode(short.result["CAChain"]) == ORG.ca.certificate_pem
    assert short.result["CAName"] == "ca-org1"


def test_revocations_reach_listeners_at_once_and_again_after_a_restart(tmp_path):
    organization = Organization.create("org1", "Org1MSP")
    msp, later = organization.msp(), organization.msp()

    def start(listening):
        registry = Registry(tmp_path / "ca.db")
        ca = organization_ca(organization, registry)
        ca.on_revocation(lambda crl: listening.update_crls([crl]))
        return registry, Client(ca)

    registry, client = start(msp)
    admin = client.enrolled("admin", "adminpw")
    register(client, admin, "leaver")
    leaver = client.enrolled("leaver", "pw")
    assert msp.satisfies(leaver.identity, "client")
    client.call(admin, "DELETE", "identities/leaver")
    assert not msp.satisfies(leaver.identity, "client")
    registry.close()

    assert later.satisfies(leaver.identity, "client")
    registry, client = start(later)
    assert not later.satisfies(leaver.identity, "client")
    assert later.satisfies(organization.client.identity, "client")
    # What was registered is there, the registrar keeps its secret, and old certificates still authenticate.
    assert register(client, admin, "newcomer").status == 201
    assert client.enroll("newcomer", "pw").status == 201
    registry.close()


def test_no_secret_lies_in_the_database(tmp_path):
    registry = Registry(tmp_path / "ca.db")
    organization_ca(ORG, registry).add_registrar("second", "a-secret-that-can-be-searched-for")
    registry.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"second" in stored
    assert b"a-secret-that-can-be-searched-for" not in stored


def test_what_fails_halfway_leaves_nothing_behind(ca):
    before = ca.registry.identity("admin")

    def fail():
        with ca.registry.transaction():
            ca.registry.put_identity(replace(before, affiliation="org2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ca.registry.identity("admin") == before


def test_a_key_on_p_384_is_enrolled_and_signs_as_a_member_of_the_organisation(client):
    key = ec.generate_private_key(ec.SECP384R1())
    answer = client.enroll("admin", "adminpw", certificate_request=csr("admin", key))
    assert answer.status == 201
    member = SigningIdentity(Identity("Org1MSP", base64.b64decode(answer.result["Cert"])), key)
    ORG.msp().validate(member.identity)
    assert member.identity.verify(b"message", member.sign(b"message"))
    assert client.call(member, "GET", "identities/admin").status == 200
