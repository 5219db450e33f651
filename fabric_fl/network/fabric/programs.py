"""What supervisord runs: CAs, orderers and peers, each in a directory of its own with its configuration file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from fabric_fl.fabric.mspdir import make_private, write_private
from fabric_fl.network.consortium import Consortium
from fabric_fl.network.fabric import caconfig, ordererconfig, peerconfig
from fabric_fl.network.fabric.caconfig import REGISTRAR
from fabric_fl.network.fabric.enrolment import secret_of
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import Topology
from fabric_fl.network.program import Program

SERVERS = ("fabric-ca-server", "orderer", "peer")
_BUILDER = Path(__file__).with_name("ccaas_builder")
_LOGGING = {
    "FABRIC_LOGGING_SPEC": "gossip=error:comm.grpc.server=warning:grpc=error:info",
    # Fabric's own colours every line, also in a file
    "FABRIC_LOGGING_FORMAT": "%{time:2006-01-02 15:04:05.000 MST} %{level} [%{module}] %{message}",
}


def write_configurations(topology: Topology, layout: Layout) -> None:
    """Writes every node's configuration and the external builder."""
    shutil.copytree(_BUILDER, layout.builder, dirs_exist_ok=True)
    for path in [layout.builder, *layout.builder.rglob("*")]:
        path.chmod(0o700)  # not every installer of Python packages leaves scripts executable
    for authority in topology.authorities:
        secret = secret_of(layout.secret(authority.name, REGISTRAR))
        configuration = caconfig.render(authority, secret)
        write_private(layout.node(authority.name) / "fabric-ca-server-config.yaml", configuration.encode())
    for peer in topology.peers:
        directory = layout.node(peer.name)
        make_private(directory)
        text = peerconfig.render(peer, topology, str(directory), str(layout.builder))
        (directory / "core.yaml").write_text(text)
    for orderer in topology.orderers:
        directory = layout.node(orderer.name)
        make_private(directory)
        (directory / "orderer.yaml").write_text(ordererconfig.render(orderer, str(directory)))


def authorities(binaries: Mapping[str, Path], topology: Topology, consortium: Consortium) -> list[Program]:
    """Returns the organisations' CAs."""
    layout = Layout.inside()
    fields = {address: field for field, address in consortium.addresses().items()}
    return [
        Program(
            name=one.name,
            command=(str(binaries["fabric-ca-server"]), "start", "--home", str(layout.node(one.name))),
            # several on one machine all take port 9443 for this unless told otherwise
            environment={"FABRIC_CA_SERVER_OPERATIONS_LISTENADDRESS": str(one.operations)},
            listens={fields.get(one.address, one.name): one.address, f"{one.name} operations": one.operations},
        )
        for one in topology.authorities
    ]


def nodes(binaries: Mapping[str, Path], topology: Topology, consortium: Consortium) -> list[Program]:
    """Returns orderers and peers."""
    layout = Layout.inside()
    fields = {address: field for field, address in consortium.addresses().items()}
    orderers = [
        Program(
            name=one.name,
            command=(str(binaries["orderer"]),),
            environment={
                "FABRIC_CFG_PATH": str(layout.node(one.name)),
                **_LOGGING,
                # Fabric 2.5 asks; Fabric 3 has no other way
                "ORDERER_GENERAL_BOOTSTRAPMETHOD": "none",
            },
            listens={
                fields[one.address]: one.address,
                f"{one.name} admin": one.admin,
                f"{one.name} operations": one.operations,
            },
        )
        for one in topology.orderers
    ]
    peers = [
        Program(
            name=one.name,
            command=(str(binaries["peer"]), "node", "start"),
            environment={
                "FABRIC_CFG_PATH": str(layout.node(one.name)),
                **_LOGGING,
                "FABRIC_FL_CCAAS": str(layout.chaincode(one.organisation) / "connections"),
            },
            listens={fields[one.address]: one.address, f"{one.name} operations": one.operations},
        )
        for one in topology.peers
    ]
    return [*orderers, *peers]
