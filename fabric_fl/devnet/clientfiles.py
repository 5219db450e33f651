"""Each organisation's folder for its clients: MSP directories, and what `fabric_fl.fabric.clientfiles` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import clientfiles
from fabric_fl.fabric.clientfiles import Authority, Member, Server

REGISTRAR = ("admin", "adminpw")
"""Enrolment id and secret of each CA's registrar: known to everybody, as everything on a devnet."""


@dataclass(frozen=True)
class Addresses:
    """Where an organisation's servers listen, as ``host:port``."""

    organization: Organization
    peer: str
    ca: str


def write_client_files(
    output: Path, channel_id: str, members: Sequence[Addresses], orderer: Organization, orderer_address: str
) -> None:
    """Writes ``<output>/<name>/`` for every organisation; the same keys and certificates every time."""
    described = [_member(each) for each in members]
    orderers = [_server(f"orderer.{orderer.name}", orderer, orderer_address)]
    for member, own in zip(members, described, strict=True):
        folder = output / member.organization.name
        member.organization.write_msp(folder / "msp", member.organization.client)
        member.organization.write_msp(folder / "admin" / "msp", member.organization.admin)
        clientfiles.write_client_files(folder, own, described, orderers, channel_id)


def _member(member: Addresses) -> Member:
    organization = member.organization
    return Member(
        organization.name,
        organization.msp_id,
        (_server(f"peer0.{organization.name}", organization, member.peer),),
        Authority(f"ca.{organization.name}", member.ca, organization.tls_ca.certificate_pem, REGISTRAR),
    )


def _server(name: str, organization: Organization, address: str) -> Server:
    # the certificate is good for loopback, and for this name anywhere
    return Server(name, address, organization.tls_ca.certificate_pem, server_name="localhost")
