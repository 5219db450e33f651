"""Every identity of an organisation, enrolled with its CA by the SDK's own client.

What an identity enrols with is written down before the CA hears of it, so that an enrolment that was interrupted goes
on where it stopped; a directory appears whole or not at all.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from fabric_fl.fabric import profile
from fabric_fl.fabric.ca import CAClient, CAError
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.mspdir import make_private, write_msp_dir, write_private
from fabric_fl.network.fabric.caconfig import REGISTRAR
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import ORDERER_ORGANISATION, Authority, Topology, names_of
from fabric_fl.network.home import Home

ALL_ROLES = "trainer,validator,coordinator,auditor,admin"
_ALREADY_REGISTERED = 74


@dataclass(frozen=True)
class Enrolment:
    """An identity, and the directories that hold what it is enrolled for.

    Attributes:
        enrollment_id: Its name at the CA, and the common name of its certificates.
        role: client, peer, admin or orderer.
        msp: Where its MSP directory goes; None where it needs but a TLS certificate.
        tls: Where its TLS certificate and key go; None where it needs none.
        hosts: The names that the TLS certificate carries.
        attributes: Carried by its certificates.
    """

    enrollment_id: str
    role: str
    msp: Path | None = None
    tls: Path | None = None
    hosts: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def is_done(self) -> bool:
        return all(path.exists() for path in (self.msp, self.tls) if path is not None)


def enrolments(authority: Authority, topology: Topology, home: Home) -> list[Enrolment]:
    """Returns whom an organisation needs enrolled."""
    layout = Layout.of(home)
    name = authority.organisation
    orderers = topology.orderers_of(name)
    nodes = [
        Enrolment(one.name, role, layout.node(one.name) / "msp", layout.node(one.name) / "tls", names_of(one.address))
        for role, group in (("orderer", orderers), ("peer", topology.peers_of(name)))
        for one in group
    ]
    # as whom osnadmin speaks to the orderers
    tls = layout.orderer_admin(name) if orderers else None
    if name == ORDERER_ORGANISATION:
        return [*nodes, Enrolment("admin", "admin", tls=tls)]
    own = home.organisation(name)
    return [
        *nodes,
        Enrolment("admin", "admin", own / "admin" / "msp", tls),
        Enrolment("client", "client", own / "msp", attributes={"fl.roles": ALL_ROLES}),
    ]


def chaincode_enrolments(organisation: str, hosts: tuple[str, ...], layout: Layout) -> list[Enrolment]:
    """Returns the two ends between which an organisation's peers and its chaincode process trust each other."""
    directory = layout.chaincode(organisation)
    return [
        Enrolment("chaincode", "client", tls=directory / "server", hosts=hosts),
        Enrolment("chaincode-client", "client", tls=directory / "client"),
    ]


def authority_of(authority: Authority, layout: Layout) -> profile.Authority:
    """Returns the CA as a connection profile describes it, its registrar included."""
    return profile.Authority(
        name=authority.name,
        url=f"https://{authority.address}",
        ca_name=authority.name,
        tls_ca_certs=layout.ca_certificate(authority.name).read_bytes(),
        registrar=(REGISTRAR, secret_of(layout.secret(authority.name, REGISTRAR))),
    )


def secret_of(path: Path) -> str:
    """Returns the secret in a file, which it makes the first time; its owner alone can read it."""
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        write_private(temporary, secrets.token_urlsafe(24).encode())
        temporary.replace(path)
    return path.read_text()


def enrol_all(authority: Authority, wanted: list[Enrolment], layout: Layout) -> None:
    """Registers and enrols whoever is not enrolled yet, and writes what the channel knows the organisation by.

    Raises:
        CAError: The CA refused.
        CAUnavailable: It does not answer.
    """
    root = layout.ca_certificate(authority.name).read_bytes()
    whole(layout.msp(authority.organisation), lambda path: write_msp_dir(path, ca_certs=[root], tls_ca_certs=[root]))
    missing = [one for one in wanted if not one.is_done()]
    if not missing:
        return
    described = authority_of(authority, layout)
    client = CAClient(described, authority.msp_id, timeout=30)
    assert described.registrar is not None
    registrar = client.enroll(*described.registrar)
    for one in missing:
        secret = secret_of(layout.secret(authority.name, one.enrollment_id))
        _register(client, registrar, one, secret)
        if one.msp is not None and not one.msp.exists():
            signer = client.enroll(one.enrollment_id, secret)
            _write_msp(one.msp, root, signer)
        if one.tls is not None and not one.tls.exists():
            signer = client.enroll(one.enrollment_id, secret, profile="tls", hosts=one.hosts)
            _write_tls(one.tls, root, signer)


def _register(client: CAClient, registrar: SigningIdentity, one: Enrolment, secret: str) -> None:
    try:
        client.register(registrar, one.enrollment_id, secret=secret, role=one.role, attributes=one.attributes)
    except CAError as error:
        if error.number != _ALREADY_REGISTERED:
            raise


def _write_msp(path: Path, root: bytes, signer: SigningIdentity) -> None:
    whole(path, lambda to: write_msp_dir(to, ca_certs=[root], tls_ca_certs=[root], signer=signer))


def _write_tls(path: Path, root: bytes, signer: SigningIdentity) -> None:
    key = signer.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    def write(to: Path) -> None:
        write_private(to / "server.key", key)
        (to / "server.crt").write_bytes(signer.identity.certificate_pem)
        (to / "ca.crt").write_bytes(root)

    whole(path, write)


def whole(path: Path, write: Callable[[Path], object]) -> None:
    """Has a directory written beside its place and moved there at once, unless it is there."""
    if path.exists():
        return
    temporary = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    make_private(temporary.parent)
    write(temporary)
    temporary.rename(path)
