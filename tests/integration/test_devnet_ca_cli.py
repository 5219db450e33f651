"""Fabric's own ``fabric-ca-client`` on devnet's CA."""

import os
import subprocess

import pytest
from cryptography import x509
from devnet_ca_servers import devnet_ca

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.network.engine import find_program

pytestmark = pytest.mark.fabric
ORG = Organization.create("org1", "Org1MSP")


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    program = find_program("fabric-ca-client", os.environ)
    if program is None:
        pytest.skip("fabric-ca-client is not on PATH or in FABRIC_BIN")
    folder = tmp_path_factory.mktemp("cli")
    environment = {
        "PATH": os.environ["PATH"],
        "FABRIC_CA_CLIENT_HOME": str(folder / "home"),
        "FABRIC_CA_CLIENT_TLS_CERTFILES": str(folder / "org/tlsca/cert.pem"),
    }
    with devnet_ca(ORG, folder) as (_, where):

        def run(*arguments, user="", fails=False):
            url = where.url.replace("https://", f"https://{user}@" if user else "https://")
            command = [program, *arguments, "-u", url]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
            assert bool(done.returncode) is fails, done.stderr
            return done.stdout + done.stderr

        run.home = folder / "home"
        run("enroll", user="admin:adminpw")
        yield run


def identity(folder):
    return SigningIdentity.from_msp_dir(folder, "Org1MSP")


def test_enrol_writes_an_msp_that_is_a_member(cli):
    ORG.msp().validate(identity(cli.home / "msp").identity)
    roots = [x509.load_pem_x509_certificate(path.read_bytes()) for path in (cli.home / "msp/cacerts").iterdir()]
    assert roots == [ORG.ca.certificate]


def test_register_with_attributes_enrol_and_re_enrol(cli):
    attributes = "fl.roles=trainer:ecert,hidden=1"
    given = ("--id.name", "alice", "--id.secret", "pw", "--id.type", "client", "--id.attrs", attributes)
    assert "Password: pw" in cli("register", *given, "--id.affiliation", "org1.department1")
    cli("enroll", "-M", str(cli.home / "alice"), user="alice:pw")
    alice = identity(cli.home / "alice").identity
    assert alice.attributes["fl.roles"] == "trainer"
    assert "hidden" not in alice.attributes
    cli("reenroll", "-M", str(cli.home / "alice"))
    again = identity(cli.home / "alice").identity
    assert again.attributes == alice.attributes
    assert again.public_key != alice.public_key
    cli("enroll", "-M", str(cli.home / "chosen"), "--enrollment.attrs", "hidden,none:opt", user="alice:pw")
    assert identity(cli.home / "chosen").identity.attributes == {"hidden": "1"}
    assert "Error Code: 74" in cli("register", *given, fails=True)
    assert "Error Code: 20" in cli("enroll", "-M", str(cli.home / "x"), user="alice:wrong", fails=True)


def test_a_tls_enrolment_brings_the_tls_authoritys_root(cli):
    folder = cli.home / "tls"
    cli(
        "enroll",
        "--enrollment.profile",
        "tls",
        "--csr.hosts",
        "peer7,127.0.0.9",
        "-M",
        str(folder),
        user="admin:adminpw",
    )
    certificate = x509.load_pem_x509_certificate((folder / "signcerts/cert.pem").read_bytes())
    certificate.verify_directly_issued_by(ORG.tls_ca.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert (names.get_values_for_type(x509.DNSName), str(names.get_values_for_type(x509.IPAddress)[0])) == (
        ["peer7"],
        "127.0.0.9",
    )
    root = next((folder / "tlscacerts").iterdir())
    assert x509.load_pem_x509_certificate(root.read_bytes()) == ORG.tls_ca.certificate


def test_identities_affiliations_and_certificates_are_managed(cli):
    assert "Successfully added identity" in cli("identity", "add", "temp", "--type", "client", "--secret", "s")
    changed = cli("identity", "modify", "temp", "--affiliation", "org2", "--attrs", "a=b:ecert")
    assert "Affiliation: org2" in changed
    assert "Name: temp, Type: client" in cli("identity", "list")
    assert "Successfully removed identity" in cli("identity", "remove", "temp")
    assert "Error Code: 63" in cli("identity", "list", "--id", "temp", fails=True)
    assert "Successfully added affiliation: ward.one" in cli("affiliation", "add", "ward.one", "--force")
    assert "Successfully modified affiliation" in cli("affiliation", "modify", "ward", "--name", "lab")
    listed = [line.strip() for line in cli("affiliation", "list").splitlines()]
    assert {"affiliation: org1.department2", "affiliation: lab.one"} <= set(listed)
    assert "Successfully removed affiliation" in cli("affiliation", "remove", "lab", "--force")
    assert "Serial Number" in cli("certificate", "list", "--id", "admin", "--notexpired", "--notrevoked")


def test_revoke_writes_a_list_that_refuses_the_revoked_one(cli):
    cli("register", "--id.name", "leaver", "--id.secret", "pw")
    cli("enroll", "-M", str(cli.home / "leaver"), user="leaver:pw")
    leaver = identity(cli.home / "leaver").identity
    assert f"{leaver.certificate.serial_number:x}" in cli("revoke", "-e", "leaver", "--gencrl")
    listed = x509.load_pem_x509_crl((cli.home / "msp/crls/crl.pem").read_bytes())
    msp = ORG.msp(crls=[listed])
    assert not msp.satisfies(leaver, "client")
    cli("gencrl", "--revokedafter", "2000-01-01T00:00:00Z")
    again = x509.load_pem_x509_crl((cli.home / "msp/crls/crl.pem").read_bytes())
    assert again.get_revoked_certificate_by_serial_number(leaver.certificate.serial_number) is not None
    assert "Error Code: 20" in cli("enroll", "-M", str(cli.home / "y"), user="leaver:pw", fails=True)
