"""The programs of a network in the official images: each sees its own directory and nothing of the others'."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fabric_fl.network.consortium import Address, Consortium, Versions
from fabric_fl.network.docker.container import Container
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import rules_digest
from fabric_fl.network.fabric.topology import Orderer, Peer, Topology
from fabric_fl.network.program import Program

CHAINCODE_IMAGE = "fabric-fl-chaincode"
_DIGITS = 16  # of the rules' digest in the image's tag


def contained(programs: Sequence[Program], topology: Topology, consortium: Consortium) -> list[Program]:
    """Returns the programs with the containers that they run in."""
    versions = consortium.fabric or Versions()
    authorities = {one.name for one in topology.authorities}
    nodes: dict[str, Peer | Orderer] = {one.name: one for one in topology.orderers}
    nodes |= {one.name: one for one in topology.peers}
    chaincodes = {f"{consortium.chaincode}-{one.name}": one.name for one in consortium.organisations}

    def container(program: Program) -> Container:
        if program.name in authorities:
            return _authority(program, versions)
        if program.name in nodes:
            return _node(program, nodes[program.name], versions)
        return _chaincode(program, chaincodes[program.name])

    return [replace(one, container=container(one)) for one in programs]


def chaincode_image() -> str:
    """Returns the image of the contract that is installed here: other rules, another tag."""
    return f"{CHAINCODE_IMAGE}:{rules_digest()[:_DIGITS]}"


def _authority(program: Program, versions: Versions) -> Container:
    return Container(
        image=f"hyperledger/fabric-ca:{versions.ca}",
        command=_inside(program),
        reads=(),
        writes=(str(Layout.inside().node(program.name)),),
        alive=_healthz(program),
    )


def _node(program: Program, node: Peer | Orderer, versions: Versions) -> Container:
    layout = Layout.inside()
    directory = layout.node(node.name)
    reads, writes = [directory], [directory / "data"]
    if isinstance(node, Peer):
        reads += [layout.builder, layout.chaincode(node.organisation) / "connections"]
        writes += [directory / "snapshots"]
    kind = "peer" if isinstance(node, Peer) else "orderer"
    return Container(
        image=f"hyperledger/fabric-{kind}:{versions.version}",
        command=_inside(program),
        reads=tuple(map(str, reads)),
        writes=tuple(map(str, writes)),
        alive=_healthz(program),
    )


def _chaincode(program: Program, organisation: str) -> Container:
    (address,) = program.listens.values()
    connect = f"import socket; socket.create_connection(({address.host!r}, {address.port}), 3).close()"
    return Container(
        image=chaincode_image(),
        command=(),
        reads=(str(Layout.inside().chaincode(organisation) / "server"),),
        writes=(),
        alive=("/opt/chaincode/bin/python", "-c", connect),
        build=_dockerfile(),
    )


def _dockerfile() -> Path | None:
    """Returns the directory with the Dockerfile of the very rules that are installed, where it is beside them."""
    found = importlib.util.find_spec("fl_chaincode")
    assert found is not None
    assert found.origin is not None
    directory = Path(found.origin).parent.parent
    return directory if (directory / "Dockerfile").exists() else None


def _inside(program: Program) -> tuple[str, ...]:
    return (Path(program.command[0]).name, *program.command[1:])


def _healthz(program: Program) -> tuple[str, ...]:
    """Asks Fabric's own health endpoint; the official images have bash, and neither curl nor wget."""
    at: Address = program.listens[f"{program.name} operations"]
    ask = (
        f"exec 3<>/dev/tcp/{at.host}/{at.port} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"
    )
    return ("bash", "-c", ask)
