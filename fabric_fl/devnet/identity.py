"""An organisation's identities: two certificate authorities, a node, an administrator, a client, TLS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fabric_fl.devnet.ca.authority import (
    CertificateAuthority,
    certificate_pem,
    private_key_pem,
    subject_name,
)
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.msp import MSP
from fabric_fl.fabric.mspdir import write_msp_dir, write_private

__all__ = ["CertificateAuthority", "Organization", "TLSCertificate"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class TLSCertificate:
    """A server's certificate and key in PEM."""

    certificate_pem: bytes = field(repr=False)
    private_key_pem: bytes = field(repr=False, compare=False)


@dataclass(frozen=True)
class Organization:
    """Everything that one organisation signs with.

    Attributes:
        name: Short name in directories and host names, such as ``org1``.
        msp_id: Such as ``Org1MSP``.
        node_role: ``peer``, or ``orderer`` for the ordering organisation.
        ca: Issues its members' certificates.
        tls_ca: Issues its servers' certificates; vouches for no member.
        node: Its peer's (or orderer's) identity.
        admin: Its administrator.
        client: An ordinary user.
        tls: The certificate of its servers: node and CA, on loopback.
    """

    name: str
    msp_id: str
    node_role: str
    ca: CertificateAuthority
    tls_ca: CertificateAuthority
    node: SigningIdentity
    admin: SigningIdentity
    client: SigningIdentity
    tls: TLSCertificate

    @classmethod
    def create(
        cls,
        name: str,
        msp_id: str,
        *,
        node_role: str = "peer",
        client_attributes: Mapping[str, str] | None = None,
        hosts: Iterable[str] = (),
    ) -> Organization:
        """Makes all keys and certificates anew.

        Args:
            name: Short name, such as ``org1``.
            msp_id: Such as ``Org1MSP``.
            node_role: ``peer`` or ``orderer``.
            client_attributes: Fabric CA attributes of the client, such as ``{"fl.roles": "trainer"}``.
            hosts: Names of its servers besides loopback's.
        """
        ca = CertificateAuthority.create(f"ca.{name}", name)
        tls_ca = CertificateAuthority.create(f"tlsca.{name}", name)

        def member(common_name: str, role: str, attributes: Mapping[str, str] | None = None) -> SigningIdentity:
            key = ec.generate_private_key(ec.SECP256R1())
            standard = {"hf.EnrollmentID": common_name, "hf.Type": role, "hf.Affiliation": ""}
            certificate = ca.issue(
                key.public_key(), subject_name(common_name, (role,)), attributes={**standard, **(attributes or {})}
            )
            return SigningIdentity(Identity(msp_id, certificate_pem(certificate)), key)

        return cls(
            name=name,
            msp_id=msp_id,
            node_role=node_role,
            ca=ca,
            tls_ca=tls_ca,
            node=member(node_name(name, node_role), node_role),
            admin=member(f"admin.{name}", "admin"),
            client=member(f"user.{name}", "client", client_attributes),
            tls=issue_server_certificate(tls_ca, node_name(name, node_role), (f"ca.{name}", *hosts)),
        )

    def save(self, folder: Path) -> None:
        """Writes everything below ``folder``; private keys are readable by their owner alone."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.ca.save(folder / "ca")
        self.tls_ca.save(folder / "tlsca")
        for part, identity in self._members().items():
            self.write_msp(folder / part / "msp", identity)
        write_private(folder / "tls" / "server.key", self.tls.private_key_pem)
        (folder / "tls" / "server.crt").write_bytes(self.tls.certificate_pem)
        about = {"name": self.name, "msp_id": self.msp_id, "node_role": self.node_role}
        # Last: a folder that has this file is whole.
        (folder / "organization.json").write_text(json.dumps(about, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Organization:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: There is no whole organisation in ``folder``.
        """
        about = json.loads((folder / "organization.json").read_text())
        msp_id = about["msp_id"]
        members = {part: SigningIdentity.from_msp_dir(folder / part / "msp", msp_id) for part in _MEMBERS}
        return cls(
            name=about["name"],
            msp_id=msp_id,
            node_role=about["node_role"],
            ca=CertificateAuthority.load(folder / "ca"),
            tls_ca=CertificateAuthority.load(folder / "tlsca"),
            tls=TLSCertificate(
                (folder / "tls" / "server.crt").read_bytes(), (folder / "tls" / "server.key").read_bytes()
            ),
            **members,
        )

    def msp(self, crls: Iterable[x509.CertificateRevocationList] = ()) -> MSP:
        """Returns the provider that vouches for this organisation's members."""
        return MSP(self.msp_id, [self.ca.certificate], [self.tls_ca.certificate], crls=list(crls))

    def write_msp(self, path: Path, signer: SigningIdentity | None = None) -> Path:
        """Writes the MSP directory that Fabric's programs read, for one of its members or (None) for nobody."""
        return write_msp_dir(
            path,
            ca_certs=[self.ca.certificate_pem],
            tls_ca_certs=[self.tls_ca.certificate_pem],
            signer=signer,
        )

    def _members(self) -> dict[str, SigningIdentity]:
        return {part: getattr(self, part) for part in _MEMBERS}


_MEMBERS = ("node", "admin", "client")


def node_name(organization: str, role: str) -> str:
    """Returns the host name of an organisation's node, which its TLS certificate carries."""
    return f"peer0.{organization}" if role == "peer" else f"orderer.{organization}"


def issue_server_certificate(
    tls_ca: CertificateAuthority, common_name: str, hosts: Iterable[str] = ()
) -> TLSCertificate:
    """Makes a server's TLS key and certificate, good for loopback, its own name and ``hosts``."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = dict.fromkeys((*LOOPBACK, common_name, *hosts))  # in order, each once
    certificate = tls_ca.issue(key.public_key(), subject_name(common_name, ()), hosts=names, tls=True)
    return TLSCertificate(certificate_pem(certificate), private_key_pem(key))
