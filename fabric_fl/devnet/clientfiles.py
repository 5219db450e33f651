"""What each organisation's clients need: its MSP directories, TLS roots, connection profile, shell variables.

Fabric's own programs and any SDK read these; their shapes are Fabric's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_fl.devnet.identity import Organization

REGISTRAR = ("admin", "adminpw")
"""Enrolment id and secret of each CA's registrar: known to everybody, as everything on a devnet."""

_CORE_YAML = """# What the peer command reads before it looks at CORE_PEER_* and its flags.
peer:
  BCCSP:
    Default: SW
    SW:
      Hash: SHA2
      Security: 256
  client:
    connTimeout: 3s
"""


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
    for member in members:
        folder = output / member.organization.name
        folder.mkdir(parents=True, exist_ok=True)
        organization = member.organization
        organization.write_msp(folder / "msp", organization.client)
        organization.write_msp(folder / "admin" / "msp", organization.admin)
        (folder / "tls").mkdir(exist_ok=True)
        (folder / "tls" / "ca.pem").write_bytes(organization.tls_ca.certificate_pem)
        (folder / "tls" / "orderer.pem").write_bytes(orderer.tls_ca.certificate_pem)
        profile = connection_profile(channel_id, member, members, orderer, orderer_address)
        (folder / "connection.json").write_text(json.dumps(profile, indent=2) + "\n")
        (folder / "core.yaml").write_text(_CORE_YAML)
        variables = peer_variables(folder.resolve(), member, channel_id, orderer_address)
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        (folder / "env").write_text("".join(lines))


def peer_variables(folder: Path, member: Addresses, channel_id: str, orderer_address: str) -> Mapping[str, str]:
    """Returns the environment in which ``peer`` acts as an organisation's ordinary user."""
    return {
        "FABRIC_CFG_PATH": str(folder),
        "FABRIC_LOGGING_SPEC": "info:grpc=error",
        "CORE_PEER_ID": f"cli.{member.organization.name}",
        "CORE_PEER_LOCALMSPID": member.organization.msp_id,
        "CORE_PEER_MSPCONFIGPATH": str(folder / "msp"),
        "CORE_PEER_ADDRESS": member.peer,
        "CORE_PEER_TLS_ENABLED": "true",
        "CORE_PEER_TLS_ROOTCERT_FILE": str(folder / "tls" / "ca.pem"),
        "ORDERER_ADDRESS": orderer_address,
        "ORDERER_CA": str(folder / "tls" / "orderer.pem"),
        "CHANNEL": channel_id,
    }


def connection_profile(
    channel_id: str, own: Addresses, members: Sequence[Addresses], orderer: Organization, orderer_address: str
) -> dict[str, Any]:
    """Returns Fabric's common connection profile for one organisation."""
    peers = {_peer_name(each): each for each in members}
    return {
        "name": f"devnet-{own.organization.name}",
        "version": "1.0.0",
        "client": {
            "organization": own.organization.name,
            "connection": {"timeout": {"peer": {"endorser": "300"}, "orderer": "300"}},
        },
        "channels": {
            channel_id: {
                "orderers": [f"orderer.{orderer.name}"],
                "peers": {
                    name: {"endorsingPeer": True, "chaincodeQuery": True, "ledgerQuery": True, "eventSource": True}
                    for name in peers
                },
            }
        },
        "organizations": {
            each.organization.name: {
                "mspid": each.organization.msp_id,
                "peers": [name],
                "certificateAuthorities": [_ca_name(each)],
            }
            for name, each in peers.items()
        },
        "orderers": {f"orderer.{orderer.name}": _node(orderer, orderer_address)},
        "peers": {name: _node(each.organization, each.peer) for name, each in peers.items()},
        "certificateAuthorities": {
            _ca_name(each): {
                "url": f"https://{each.ca}",
                "caName": _ca_name(each),
                "tlsCACerts": {"pem": each.organization.tls_ca.certificate_pem.decode()},
                "httpOptions": {"verify": True},
                "registrar": [{"enrollId": REGISTRAR[0], "enrollSecret": REGISTRAR[1]}],
            }
            for each in members
        },
    }


def _node(organization: Organization, address: str) -> dict[str, Any]:
    return {
        "url": f"grpcs://{address}",
        "tlsCACerts": {"pem": organization.tls_ca.certificate_pem.decode()},
        # Both keys, because SDKs disagree. The certificate is good for loopback, and for this name anywhere.
        "grpcOptions": {"ssl-target-name-override": "localhost", "hostnameOverride": "localhost"},
    }


def _peer_name(member: Addresses) -> str:
    return f"peer0.{member.organization.name}"


def _ca_name(member: Addresses) -> str:
    return f"ca.{member.organization.name}"
