"""What each organisation's peers are told of its chaincode processes: address, roots, and the key that they show."""

from __future__ import annotations

import json
from pathlib import Path

from fabric_fl.fabric.mspdir import write_private
from fabric_fl.network.consortium import Organisation
from fabric_fl.network.fabric.layout import Layout

_DIAL_TIMEOUT = "5s"


def write_trusted(name: str, organisation: Organisation, layout: Layout) -> None:
    """Writes how its peers reach an organisation's own process of ours: each side shows its certificate."""
    client = layout.chaincode(organisation.name) / "client"
    _write(
        _file(name, organisation.name, layout),
        {
            "address": str(organisation.chaincode),
            "dial_timeout": _DIAL_TIMEOUT,
            "tls_required": True,
            "client_auth_required": True,
            "client_key": (client / "server.key").read_text(),
            "client_cert": (client / "server.crt").read_text(),
            "root_cert": (client / "ca.crt").read_text(),
        },
    )


def write_external(name: str, organisation: str, address: str, layout: Layout) -> None:
    """Writes how its peers reach a process that somebody else runs, without TLS."""
    _write(
        _file(name, organisation, layout),
        {"address": address, "dial_timeout": _DIAL_TIMEOUT, "tls_required": False},
    )


def process_environment(organisation: str) -> dict[str, str]:
    """Returns the TLS settings of an organisation's chaincode process, as Fabric's documentation names them."""
    server = Layout.inside().chaincode(organisation) / "server"
    return {
        "CHAINCODE_TLS_DISABLED": "false",
        "CHAINCODE_TLS_KEY": str(server / "server.key"),
        "CHAINCODE_TLS_CERT": str(server / "server.crt"),
        "CHAINCODE_CLIENT_CA_CERT": str(server / "ca.crt"),
    }


def _file(name: str, organisation: str, layout: Layout) -> Path:
    return layout.chaincode(organisation) / "connections" / f"{name}.json"


def _write(path: Path, connection: dict[str, object]) -> None:
    write_private(path, json.dumps(connection, indent=2).encode())
