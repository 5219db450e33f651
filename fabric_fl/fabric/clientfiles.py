"""What an organisation's clients need beside their keys: connection profile, TLS roots, shell variables.

Fabric's own programs and any SDK read these; their shapes are Fabric's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabric_fl.fabric.mspdir import make_private, write_private

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
class Server:
    """A peer or an orderer, as its clients reach it.

    Attributes:
        name: Its name in the profile.
        address: ``host:port``.
        tls_ca: PEM of the root of its TLS certificate.
        server_name: The name that its certificate carries, where that is not the address's host.
    """

    name: str
    address: str
    tls_ca: bytes = field(repr=False)
    server_name: str | None = None

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"url": f"grpcs://{self.address}", "tlsCACerts": {"pem": self.tls_ca.decode()}}
        if self.server_name:
            # both keys, because SDKs disagree
            names = ("ssl-target-name-override", "hostnameOverride")
            record["grpcOptions"] = dict.fromkeys(names, self.server_name)
        return record


@dataclass(frozen=True)
class Authority:
    """A Fabric CA; `registrar` is the enrolment id and secret of who may register others, for who may know it."""

    name: str
    address: str
    tls_ca: bytes = field(repr=False)
    registrar: tuple[str, str] | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "url": f"https://{self.address}",
            "caName": self.name,
            "tlsCACerts": {"pem": self.tls_ca.decode()},
            "httpOptions": {"verify": True},
        }
        if self.registrar is not None:
            record["registrar"] = [{"enrollId": self.registrar[0], "enrollSecret": self.registrar[1]}]
        return record


@dataclass(frozen=True)
class Member:
    """An organisation of the channel."""

    name: str
    msp_id: str
    peers: tuple[Server, ...]
    authority: Authority


def write_client_files(
    folder: Path, own: Member, members: Sequence[Member], orderers: Sequence[Server], channel: str
) -> None:
    """Writes an organisation's folder, all but its identities."""
    make_private(folder / "tls")
    (folder / "tls" / "ca.pem").write_bytes(own.peers[0].tls_ca)
    (folder / "tls" / "orderer.pem").write_bytes(orderers[0].tls_ca)
    # it may hold the registrar's secret; who reads it meanwhile finds the old one
    profile = connection_profile(own, members, orderers, channel)
    temporary = folder / "connection.json.tmp"
    write_private(temporary, (json.dumps(profile, indent=2) + "\n").encode())
    temporary.replace(folder / "connection.json")
    (folder / "core.yaml").write_text(_CORE_YAML)
    variables = peer_variables(folder.resolve(), own, orderers[0], channel)
    (folder / "env").write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))


def peer_variables(folder: Path, own: Member, orderer: Server, channel: str) -> Mapping[str, str]:
    """Returns the environment in which ``peer`` acts as an organisation's ordinary user."""
    return {
        "FABRIC_CFG_PATH": str(folder),
        "FABRIC_LOGGING_SPEC": "info:grpc=error",
        "CORE_PEER_ID": f"cli.{own.name}",
        "CORE_PEER_LOCALMSPID": own.msp_id,
        "CORE_PEER_MSPCONFIGPATH": str(folder / "msp"),
        "CORE_PEER_ADDRESS": own.peers[0].address,
        "CORE_PEER_TLS_ENABLED": "true",
        "CORE_PEER_TLS_ROOTCERT_FILE": str(folder / "tls" / "ca.pem"),
        "ORDERER_ADDRESS": orderer.address,
        "ORDERER_CA": str(folder / "tls" / "orderer.pem"),
        "CHANNEL": channel,
    }


def connection_profile(
    own: Member, members: Sequence[Member], orderers: Sequence[Server], channel: str
) -> dict[str, Any]:
    """Returns Fabric's common connection profile for one organisation."""
    peers = {peer.name: peer for each in members for peer in each.peers}
    return {
        "name": f"{channel}-{own.name}",
        "version": "1.0.0",
        "client": {
            "organization": own.name,
            "connection": {"timeout": {"peer": {"endorser": "300"}, "orderer": "300"}},
        },
        "channels": {
            channel: {
                "orderers": [each.name for each in orderers],
                "peers": {
                    name: {"endorsingPeer": True, "chaincodeQuery": True, "ledgerQuery": True, "eventSource": True}
                    for name in peers
                },
            }
        },
        "organizations": {
            each.name: {
                "mspid": each.msp_id,
                "peers": [peer.name for peer in each.peers],
                "certificateAuthorities": [each.authority.name],
            }
            for each in members
        },
        "orderers": {each.name: each.to_json() for each in orderers},
        "peers": {name: peer.to_json() for name, peer in peers.items()},
        "certificateAuthorities": {each.authority.name: each.authority.to_json() for each in members},
    }
