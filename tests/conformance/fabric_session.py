"""Fabric's own programs with the suite's chaincodes: three organisations, each with its CA and its peer."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from devnet_session import chaincode, write_late
from fabric_network import ANY, MAJORITY, TWO

from fabric_fl import network
from fabric_fl.devnet.ca.authority import CertificateAuthority
from fabric_fl.fabric.mspdir import write_msp_dir
from fabric_fl.network import Batch, Consortium
from fabric_fl.network.fabric import external

ORGANISATIONS = 3


@contextmanager
def fabric(home):
    """Run the network; yield the directory of its connection profiles."""
    consortium = replace(Consortium.default(ORGANISATIONS).on_free_ports(), batch=Batch(max_bytes=10 * 2**20))
    policies = {
        MAJORITY: None,
        ANY: "OR({})".format(",".join(f"'{one}.peer'" for one in consortium.msp_ids)),
        TWO: None,
    }
    root = home / "network"
    with ExitStack() as stack:
        stack.callback(network.down, root)
        network.up(consortium, home=root, engine="fabric")
        for name, policy in policies.items():
            address = stack.enter_context(chaincode(name, home, external.chaincode_id(name)))
            # One process serves all organisations, each on a stream of its own.
            addresses = {one.name: address for one in consortium.organisations[: 2 if name == TWO else None]}
            external.deploy(name, addresses, home=root, policy=policy)
        authority = load_authority(root / "fabric" / "ca-org1")
        write_late(authority, "Org1MSP", lambda path, signer: write_own(path, authority, signer), root / "org1")
        yield root


def load_authority(folder):
    """Read the CA's own key: nobody else can issue a certificate that has ended."""
    certificate = x509.load_pem_x509_certificate((folder / "ca-cert.pem").read_bytes())
    for path in (folder / "msp" / "keystore").glob("*_sk"):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if key.public_key() == certificate.public_key():
            return CertificateAuthority(certificate, key)
    raise AssertionError(f"{folder} holds no key of its certificate")


def write_own(path, authority, signer):
    write_msp_dir(path, ca_certs=[authority.certificate_pem], tls_ca_certs=[authority.certificate_pem], signer=signer)
