import datetime
import shutil
import ssl
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fabric_fl.devnet.ca.authority import CertificateAuthority, subject_name
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import signing

ORG = Organization.create("org1", "Org1MSP", client_attributes={"fl.roles": "trainer,validator"}, hosts=["ledger.test"])


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def openssl(*arguments):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not on PATH")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


def test_each_member_has_its_node_ou_and_name():
    members = [(each.identity.common_name, each.identity.role) for each in (ORG.node, ORG.admin, ORG.client)]
    assert members == [("peer0.org1", "peer"), ("admin.org1", "admin"), ("user.org1", "client")]
    orderer = Organization.create("orderer", "OrdererMSP", node_role="orderer")
    assert (orderer.node.identity.common_name, orderer.node.identity.role) == ("orderer.orderer", "orderer")


def test_the_client_carries_its_attributes_and_the_standard_ones():
    assert ORG.client.identity.attributes == {
        "fl.roles": "trainer,validator",
        "hf.EnrollmentID": "user.org1",
        "hf.Type": "client",
        "hf.Affiliation": "",
    }


def test_the_key_identifier_is_sha256_of_the_uncompressed_point(tmp_path):
    ORG.ca.save(tmp_path)
    key = openssl("x509", "-in", str(tmp_path / "cert.pem"), "-noout", "-pubkey")
    (tmp_path / "public.pem").write_text(key)
    der = tmp_path / "public.der"
    openssl("pkey", "-pubin", "-in", str(tmp_path / "public.pem"), "-outform", "DER", "-out", str(der))
    point = tmp_path / "point"
    point.write_bytes(der.read_bytes()[-65:])  # the point ends a SubjectPublicKeyInfo
    digest = openssl("dgst", "-sha256", "-r", str(point)).split()[0]
    assert extension(ORG.ca.certificate, x509.SubjectKeyIdentifier).digest.hex() == digest
    issued = ORG.client.identity.certificate
    assert extension(issued, x509.AuthorityKeyIdentifier).key_identifier.hex() == digest


def test_openssl_accepts_every_chain_and_keeps_the_two_authorities_apart(tmp_path):
    ORG.save(tmp_path)
    ca, tls = str(tmp_path / "ca/cert.pem"), str(tmp_path / "tlsca/cert.pem")
    for part in ("node", "admin", "client"):
        certificate = str(tmp_path / part / "msp/signcerts/cert.pem")
        assert "OK" in openssl("verify", "-x509_strict", "-CAfile", ca, certificate)
    server = str(tmp_path / "tls/server.crt")
    assert "OK" in openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", tls, server)
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-CAfile", ca, server)


def test_certificates_hold_from_some_minutes_ago_for_years_and_have_low_s():
    now = datetime.datetime.now(datetime.UTC)
    for certificate in (ORG.ca.certificate, ORG.node.identity.certificate, ORG.client.identity.certificate):
        assert certificate.not_valid_before_utc <= now - datetime.timedelta(minutes=4)
        assert certificate.not_valid_after_utc >= now + datetime.timedelta(days=9 * 365)
        assert signing.is_low_s(certificate.signature)
    assert ORG.ca.certificate.not_valid_before_utc <= ORG.node.identity.certificate.not_valid_before_utc


def test_a_certificate_never_outlives_its_authority():
    key = ec.generate_private_key(ec.SECP256R1())
    far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=100 * 365)
    old = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    issued = ORG.ca.issue(key.public_key(), subject_name("x", ("client",)), not_before=old, not_after=far)
    assert issued.not_valid_before_utc == ORG.ca.certificate.not_valid_before_utc
    assert issued.not_valid_after_utc == ORG.ca.certificate.not_valid_after_utc


def test_the_server_certificate_is_good_for_loopback_and_its_own_names():
    certificate = x509.load_pem_x509_certificate(ORG.tls.certificate_pem)
    names = extension(certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "peer0.org1", "ca.org1", "ledger.test"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert ExtendedKeyUsageOID.SERVER_AUTH in extension(certificate, x509.ExtendedKeyUsage)


def test_what_is_saved_loads_and_signs_again(tmp_path):
    ORG.save(tmp_path / "org1")
    loaded = Organization.load(tmp_path / "org1")
    assert loaded == ORG
    message = b"after a restart"
    for before, after in ((ORG.node, loaded.node), (ORG.admin, loaded.admin), (ORG.client, loaded.client)):
        assert before.identity.verify(message, after.sign(message))
    certificate = loaded.ca.issue(ec.generate_private_key(ec.SECP256R1()).public_key(), subject_name("y", ("peer",)))
    certificate.verify_directly_issued_by(ORG.ca.certificate)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        tmp_path / "org1/tls/server.crt", tmp_path / "org1/tls/server.key"
    )


def test_keys_are_readable_by_their_owner_alone(tmp_path):
    ORG.save(tmp_path / "org1")
    keys = [path for path in (tmp_path / "org1").rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert len(keys) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in keys} == {0o700}


def test_saving_twice_replaces_what_was_there(tmp_path):
    ORG.save(tmp_path)
    newer = Organization.create("org1", "Org1MSP")
    newer.save(tmp_path)
    assert Organization.load(tmp_path) == newer


def test_half_an_organisation_does_not_load(tmp_path):
    ORG.save(tmp_path)
    (tmp_path / "organization.json").unlink()
    with pytest.raises(FileNotFoundError):
        Organization.load(tmp_path)
    other = CertificateAuthority.create("ca.org1", "org1")
    other.save(tmp_path / "mixed")
    (tmp_path / "mixed/cert.pem").write_bytes(ORG.ca.certificate_pem)
    with pytest.raises(ValueError, match="the key is not the certificate's"):
        CertificateAuthority.load(tmp_path / "mixed")


def test_a_revocation_list_names_serials_and_its_authority():
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    crl = ORG.ca.sign_crl([(17, now), (2**150, now)])
    assert [(entry.serial_number, entry.revocation_date_utc) for entry in crl] == [(17, now), (2**150, now)]
    assert crl.is_signature_valid(ORG.ca.certificate.public_key())
    own = extension(ORG.ca.certificate, x509.SubjectKeyIdentifier).digest
    assert crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
