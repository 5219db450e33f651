import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from fabric_protos.msp import identities_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.devnet.ca.authority import CertificateAuthority, certificate_pem, subject_name
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.identity import ATTRIBUTES_OID, Identity, InvalidIdentity, SigningIdentity
from fabric_fl.fabric.msp import MSP, MSPManager

NOW = datetime.datetime.now(datetime.UTC)
ORG = Organization.create("org1", "Org1MSP", client_attributes={"fl.roles": "trainer"})
OTHER = Organization.create("org2", "Org2MSP")
KEY = ec.generate_private_key(ec.SECP256R1())


def member(*units, ca=ORG.ca, msp_id="Org1MSP", **options):
    certificate = ca.issue(KEY.public_key(), subject_name("somebody", units), **options)
    return Identity(msp_id, certificate_pem(certificate))


def signed_by(ca, *, key=None, extensions=(), name="leaf", start=None, end=None, is_ca=False):
    """A certificate that no decent authority would issue."""
    key = key or KEY
    issuer = ca.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject_name(name, () if is_ca else ("client",)))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start or issuer.not_valid_before_utc)
        .not_valid_after(end or issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(ca.private_key, hashes.SHA256())


def as_identity(certificate):
    return Identity("Org1MSP", certificate_pem(certificate))


def test_an_identity_travels_as_msp_id_and_pem_and_comes_back():
    identity = ORG.client.identity
    message = identities_pb2.SerializedIdentity.FromString(identity.serialize())
    assert (message.mspid, message.id_bytes) == ("Org1MSP", identity.certificate_pem)
    assert Identity.deserialize(identity.serialize()) == identity


def test_an_identity_tells_its_name_role_and_attributes():
    identity = ORG.client.identity
    assert (identity.common_name, identity.role) == ("user.org1", "client")
    assert identity.attributes["fl.roles"] == "trainer"
    assert identity.attributes["hf.EnrollmentID"] == "user.org1"
    assert member("client").attributes == {}


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"attrs":[]}', b'{"attrs":{"a":1}}', b"\xff"])
def test_a_malformed_attribute_extension_is_an_error_and_not_an_empty_set(value):
    extension = x509.UnrecognizedExtension(ATTRIBUTES_OID, value)
    with pytest.raises(InvalidIdentity, match="attribute extension is malformed"):
        _ = as_identity(signed_by(ORG.ca, extensions=[(extension, False)])).attributes


def test_the_private_key_is_in_no_repr():
    number = ORG.client.private_key.private_numbers().private_value
    assert "key" not in repr(ORG.client)
    assert str(number) not in repr(ORG)
    assert "BEGIN" not in repr(ORG)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x0a\x07Org1MSP", b"\x0a\x07Org1MSP\x12\x03pem"])
def test_bytes_that_hold_no_certificate_are_no_identity(data):
    with pytest.raises(InvalidIdentity):
        Identity.deserialize(data)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_mangled_certificate_is_an_invalid_identity_and_nothing_worse(changes):
    der = bytearray(ORG.client.identity.certificate.public_bytes(Encoding.DER))
    for position, change in changes:
        der[position % len(der)] ^= change
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    if bytes(der) != ORG.client.identity.certificate.public_bytes(Encoding.DER):
        data = Identity("Org1MSP", pem).serialize()
        with pytest.raises(InvalidIdentity):
            MSPManager({"Org1MSP": ORG.msp()}).deserialize(data)


def test_an_organisation_vouches_for_its_own_members_only():
    msp = ORG.msp()
    for signer in (ORG.node, ORG.admin, ORG.client):
        msp.validate(signer.identity)
    with pytest.raises(InvalidIdentity, match="expected MSP ID Org1MSP, received Org2MSP"):
        msp.validate(OTHER.client.identity)
    with pytest.raises(InvalidIdentity, match="unknown authority"):
        msp.validate(Identity("Org1MSP", OTHER.client.identity.certificate_pem))
    with pytest.raises(InvalidIdentity, match="unknown authority"):
        msp.validate(as_identity(ORG.tls_ca.issue(KEY.public_key(), subject_name("x", ("client",)))))


def test_a_forged_certificate_with_the_right_issuers_name_is_refused():
    forger = CertificateAuthority.create("ca.org1", "org1")
    assert forger.certificate.subject == ORG.ca.certificate.subject
    with pytest.raises(InvalidIdentity, match="unknown authority"):
        ORG.msp().validate(member("client", ca=forger))


@pytest.mark.parametrize("units", [(), ("other",), ("client", "peer"), ("admin", "admin", "client")])
def test_an_identity_has_exactly_one_node_ou(units):
    with pytest.raises(InvalidIdentity, match="must have a client, a peer, an orderer, or an admin OU"):
        ORG.msp().validate(member(*units))


def test_other_units_do_not_matter_and_roles_are_told_apart():
    msp = ORG.msp()
    identity = member("peer", "department1")
    msp.validate(identity)
    assert [msp.satisfies(identity, role) for role in ("member", "peer", "client", "admin", "orderer")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not msp.satisfies(member("other"), "member")


def test_an_expired_member_is_still_a_member():
    start, end = NOW - datetime.timedelta(minutes=4), NOW - datetime.timedelta(minutes=1)
    ORG.msp().validate(member("client", not_before=start, not_after=end))


def test_a_certificate_older_than_its_authority_is_refused():
    start = ORG.ca.certificate.not_valid_before_utc - datetime.timedelta(days=1)
    with pytest.raises(InvalidIdentity, match="unknown authority"):
        ORG.msp().validate(as_identity(signed_by(ORG.ca, start=start)))


def test_authorities_are_no_members():
    with pytest.raises(InvalidIdentity, match="CA's certificate cannot be used"):
        ORG.msp().validate(Identity("Org1MSP", ORG.ca.certificate_pem))


def test_usages_that_exclude_servers_are_refused_as_gos_verifier_does():
    for usage, accepted in ((ExtendedKeyUsageOID.CLIENT_AUTH, False), (ExtendedKeyUsageOID.SERVER_AUTH, True)):
        certificate = signed_by(ORG.ca, extensions=[(x509.ExtendedKeyUsage([usage]), False)])
        assert ORG.msp().satisfies(as_identity(certificate), "client") == accepted


def test_an_unknown_critical_extension_is_refused_and_a_harmless_one_is_not():
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    for critical in (True, False):
        certificate = signed_by(ORG.ca, extensions=[(extension, critical)])
        assert ORG.msp().satisfies(as_identity(certificate), "client") is not critical


def test_a_key_that_is_not_ecdsa_is_refused():
    certificate = signed_by(ORG.ca, key=rsa.generate_private_key(65537, 2048))
    with pytest.raises(InvalidIdentity, match="not ECDSA"):
        ORG.msp().validate(as_identity(certificate))


def test_an_intermediate_authority_lies_between_root_and_member():
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = signed_by(ORG.ca, key=key, name="ica", is_ca=True)
    intermediate = CertificateAuthority(certificate, key)
    identity = as_identity(signed_by(intermediate, start=certificate.not_valid_before_utc))
    msp = MSP("Org1MSP", [ORG.ca.certificate], intermediate_certs=[certificate])
    assert msp.chain(identity)[1:] == (certificate, ORG.ca.certificate)
    with pytest.raises(InvalidIdentity, match="unknown authority"):
        ORG.msp().validate(identity)


def test_a_revocation_holds_from_the_next_question_on():
    identity = member("client")
    manager = MSPManager({"Org1MSP": ORG.msp()})
    manager.deserialize(identity.serialize())
    crl = ORG.ca.sign_crl([(identity.certificate.serial_number, NOW)])
    manager["Org1MSP"].update_crls([crl])
    with pytest.raises(InvalidIdentity, match="has been revoked"):
        manager.deserialize(identity.serialize())
    manager.deserialize(ORG.client.identity.serialize())
    manager["Org1MSP"].update_crls([])
    manager.deserialize(identity.serialize())


def test_a_revocation_list_that_somebody_else_signed_counts_for_nothing():
    identity = member("client")
    forger = CertificateAuthority.create("ca.org1", "org1")
    msp = ORG.msp(crls=[forger.sign_crl([(identity.certificate.serial_number, NOW)])])
    msp.validate(identity)


def test_the_manager_parses_equal_bytes_once_and_knows_its_organisations():
    manager = MSPManager({"Org1MSP": ORG.msp()})
    data = ORG.client.serialize()
    assert manager.deserialize(data) is manager.deserialize(bytes(data))
    with pytest.raises(InvalidIdentity, match="MSP Org2MSP is not defined on channel"):
        manager.deserialize(OTHER.client.serialize())
    assert manager.satisfies(ORG.client.identity, "Org1MSP", "client")
    assert not manager.satisfies(ORG.client.identity, "Org2MSP", "client")


def test_an_msp_needs_roots_that_are_authorities():
    with pytest.raises(ValueError, match="at least one root"):
        MSP("Org1MSP", [])
    with pytest.raises(ValueError, match="is not a CA certificate"):
        MSP("Org1MSP", [ORG.client.identity.certificate])


def test_an_msp_directory_gives_the_key_that_fits_the_certificate(tmp_path):
    ORG.write_msp(tmp_path, ORG.client)
    (tmp_path / "keystore" / "a_note.txt").write_text("not a key")
    ORG.write_msp(tmp_path / "other", ORG.admin)
    (tmp_path / "other/keystore/priv_sk").rename(tmp_path / "keystore" / "another_sk")
    read = SigningIdentity.from_msp_dir(tmp_path, "Org1MSP")
    assert read == ORG.client
    assert read.identity.verify(b"message", read.sign(b"message"))
    (tmp_path / "keystore/priv_sk").unlink()
    with pytest.raises(InvalidIdentity, match=r"holds no key for the certificate of 'user\.org1'"):
        SigningIdentity.from_msp_dir(tmp_path, "Org1MSP")
    with pytest.raises(InvalidIdentity, match="holds no certificate"):
        SigningIdentity.from_msp_dir(tmp_path / "nothing", "Org1MSP")


@pytest.mark.parametrize("password", [None, b"only the operator knows"])
def test_an_identity_is_read_from_two_pem_files(tmp_path, password):
    signer = ORG.client
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    (tmp_path / "cert.pem").write_bytes(signer.identity.certificate_pem)
    (tmp_path / "key.pem").write_bytes(signer.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    (tmp_path / "other.pem").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )

    read = SigningIdentity.from_pem("Org1MSP", tmp_path / "cert.pem", tmp_path / "key.pem", password)

    assert read.identity == signer.identity
    assert read.identity.verify(b"message", read.sign(b"message"))
    with pytest.raises(InvalidIdentity, match=r"other\.pem does not belong to the certificate"):
        SigningIdentity.from_pem("Org1MSP", tmp_path / "cert.pem", tmp_path / "other.pem")
    with pytest.raises(InvalidIdentity, match="no identity"):
        SigningIdentity.from_pem("Org1MSP", tmp_path / "cert.pem", tmp_path / "key.pem", b"wrong")
    with pytest.raises(InvalidIdentity, match="no identity"):
        SigningIdentity.from_pem("Org1MSP", tmp_path / "none.pem", tmp_path / "key.pem", password)
